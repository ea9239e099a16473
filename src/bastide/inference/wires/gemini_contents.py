"""The contents of Google's generateContent, read and written."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import media
from bastide.inference.wires.fields import Fields, refused
from bastide.inference.wires.json_text import arguments, call_id, object_in
from bastide.inference.wires.seals import unmarked
from bastide.inference.wires.values import (
    Audio,
    Call,
    File,
    Image,
    Part,
    Reasoning,
    Refused,
    Result,
    Text,
    Turn,
)

_SOUNDS: Final = {"audio/wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}


class _Ids:
    """Calls and results without ids are matched by their name, the oldest open call first."""

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}
        self._made = 0

    def called(self, name: str, given: str) -> str:
        made = given or call_id("request", 0, self._made)
        self._made += 1
        self._open.setdefault(name, []).append(made)
        return made

    def answered(self, name: str, given: str, at: str) -> str:
        waiting = self._open.get(name, [])
        if given:
            if given in waiting:
                waiting.remove(given)
            return given
        if not waiting:
            raise refused(at, f"answers a call of {name[:64]!r} that was not made")
        return waiting.pop(0)


def read(fields: Fields) -> tuple[Turn, ...]:
    """The turns in `systemInstruction` and `contents`. Raises BadChat."""
    turns: list[Turn] = []
    ids = _Ids()
    system = fields.inner("systemInstruction")
    if system is not None:
        system.drop("role")
        turns.append(Turn("system", tuple(_parts(system, ids))))
        system.done()
    rows = fields.rows("contents")
    if not rows:
        raise refused("contents", "must be a list of at least one entry")
    for entry, at in rows:
        content = Fields(entry, at, snake=True)
        role = content.one_of("role", "user", "model", "function")
        parts = _parts(content, ids)
        content.done()
        results = tuple(part for part in parts if isinstance(part, Result))
        others = tuple(part for part in parts if not isinstance(part, Result))
        if results:
            turns.append(Turn("tool", results))
        if others or not results:
            turns.append(Turn("assistant" if role == "model" else "user", others))
    return tuple(turns)


def _parts(content: Fields, ids: _Ids) -> list[Part]:
    parts: list[Part] = []
    for entry, at in content.rows("parts"):
        part = Fields(entry, at, snake=True)
        seal = part.text("thoughtSignature")
        thought = bool(part.flag("thought"))
        found = _part(part, ids)
        if thought and isinstance(found, Text):
            parts.append(unmarked(found.text, seal, "gemini"))
        else:
            parts += [unmarked("", seal, "gemini")] if seal else []
            parts += [found] if not (isinstance(found, Text) and not found.text) else []
        part.done()
    return parts


def _part(fields: Fields, ids: _Ids) -> Part:
    if "text" in fields:
        return Text(fields.text("text"))
    if (inner := fields.inner("inlineData")) is not None:
        inner.drop("displayName")
        return _inline(inner.needed("mimeType").lower(), inner.needed("data"), inner.path("data"))
    if (inner := fields.inner("fileData")) is not None:
        return _file(inner)
    if (inner := fields.inner("functionCall")) is not None:
        name = inner.needed("name")
        return Call(ids.called(name, inner.text("id")), name, arguments(inner.table("args") or {}))
    if (inner := fields.inner("functionResponse")) is not None:
        return _result(inner, ids)
    raise refused(fields.at, "holds no part that is translated")


def _inline(media_type: str, data: str, at: str) -> Image | File | Audio:
    if media_type.startswith("image/"):
        return media.checked(Image(data, media_type), at)
    media.base64(data, at)
    if media_type.startswith("audio/"):
        if media_type not in _SOUNDS:
            raise refused(at, f"has the type {media_type[:64]!r}; sounds are WAV or MP3")
        return Audio(data, _SOUNDS[media_type])
    return File(data, media_type)


def _file(inner: Fields) -> Image | File:
    url, media_type = inner.needed("fileUri"), inner.text("mimeType").lower()
    inner.drop("displayName")
    if media_type.startswith("image/"):
        return media.image(url, inner.path("fileUri"))
    return media.address(url, inner.path("fileUri"))


def _result(inner: Fields, ids: _Ids) -> Result:
    name = inner.needed("name")
    identity = ids.answered(name, inner.text("id"), inner.at)
    given = inner.table("response") or {}
    failed = set(given) == {"error"}
    value = given.get("error" if failed else "output") if set(given) in ({"error"}, {"output"}) else given
    parts: list[Any] = [Text(value if type(value) is str else arguments(value))] if value not in (None, "") else []
    for entry, at in inner.rows("parts"):
        part = Fields(entry, at, snake=True)
        blob = Fields(part.take("inlineData"), part.path("inlineData"), snake=True)
        parts.append(_inline(blob.needed("mimeType").lower(), blob.needed("data"), blob.path("data")))
    return Result(identity, tuple(parts), failed)


# -- writing ----------------------------------------------------------------------------------------


def write(turns: tuple[Turn, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The parts of `systemInstruction` and the contents. Raises BadChat."""
    first = next((place for place, turn in enumerate(turns) if turn.role not in {"system", "developer"}), len(turns))
    system = [{"text": part.text} for turn in turns[:first] for part in turn.parts if isinstance(part, Text)]
    names = {part.id: part.name for turn in turns for part in turn.parts if isinstance(part, Call)}
    contents: list[dict[str, Any]] = []
    before = ""
    for turn in turns[first:]:
        if turn.role in {"system", "developer"}:
            raise refused("messages", "holds a system message after the first turn, which this server cannot be told")
        parts = _written(turn.parts, names)
        if not parts:
            continue
        if turn.role == "user" and before == "tool":
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
        before = turn.role
    return system, contents


def _written(parts: tuple[Part, ...], names: dict[str, str]) -> list[dict[str, Any]]:
    """A seal of the server's own stands at the part that came after it; other thoughts stay out."""
    rows: list[dict[str, Any]] = []
    seals: list[str] = []
    calls = any(isinstance(part, Call) for part in parts)
    for part in parts:
        if isinstance(part, Reasoning):
            seals += [part.seal] if part.maker == "gemini" and part.seal else []
            continue
        if isinstance(part, Text) and not part.text:
            continue
        row = one(part, names)
        # A client of chats does not tell before which part a seal stood: the last one is that of the first call.
        if seals and (isinstance(part, Call) or (isinstance(part, Text) and len(seals) > calls)):
            row["thoughtSignature"] = seals.pop(0)
        rows.append(row)
    return [*rows, *({"text": "", "thoughtSignature": seal} for seal in seals)]


def one(part: Part, names: dict[str, str]) -> dict[str, Any]:
    """A part as this format has it. Raises BadChat."""
    match part:
        case Text() | Refused():
            return {"text": part.text}
        case Image() | File(plain=None):
            return _blob(part)
        case File():
            return {"text": part.plain}
        case Audio():
            kind = {form: name for name, form in _SOUNDS.items() if name != "audio/mp3"}.get(part.form)
            if kind is None:
                raise refused(
                    "messages", f"holds a sound of the form {part.form[:64]!r}; this server reads WAV and MP3"
                )
            return {"inlineData": {"mimeType": kind, "data": part.data}}
        case Call():
            given = object_in(part.arguments)
            if given is None:
                raise refused("messages", f"holds a call of {part.name[:64]!r} whose arguments are no JSON object")
            return {"functionCall": {"id": part.id, "name": part.name, "args": given}}
        case Result():
            return {"functionResponse": _response(part, names)}
    raise refused("messages", "holds a part that this server cannot be told")


def _blob(part: Image | File) -> dict[str, Any]:
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    media_type = media.type_of(part.url)
    if not media_type:
        raise refused("messages", "holds an address whose end does not tell what is there, which this server must know")
    return {"fileData": {"mimeType": media_type, "fileUri": part.url}}


def _response(part: Result, names: dict[str, str]) -> dict[str, Any]:
    name = names.get(part.call)
    if name is None:
        raise refused("messages", f"holds the result of a call {part.call[:64]!r} that was not made")
    texts = [one.text for one in part.parts if isinstance(one, Text)]
    blobs = [_blob(one) for one in part.parts if isinstance(one, Image | File) and not isinstance(one, Text)]
    response = {"error" if part.failed else "output": "\n".join(texts)}
    return {"id": part.call, "name": name, "response": response, **({"parts": blobs} if blobs else {})}
