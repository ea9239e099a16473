"""The messages of a chat, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from bastide.inference.wires import media
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.values import (
    Audio,
    Call,
    File,
    Image,
    Part,
    Reasoning,
    Refused,
    Result,
    Role,
    Text,
    Turn,
)

_ROLES: Final = frozenset(get_args(Role))
_FORMATS: Final[Mapping[str, str]] = {
    "messages": "anthropic-claude-v1",
    "gemini": "google-gemini-v1",
    "responses": "openai-responses-v1",
}
_MAKERS: Final = {form: maker for maker, form in _FORMATS.items()}


def maker_of(form: str) -> str:
    """Who makes seals of this format."""
    return _MAKERS.get(form, "")


def read(fields: Fields) -> tuple[Turn, ...]:
    """The turns in `messages`; messages of tools that follow each other are one. Raises BadChat."""
    turns: list[Turn] = []
    for entry, at in fields.rows("messages"):
        turn = _turn(Fields(entry, at))
        if turn.role == "tool" and turns and turns[-1].role == "tool":
            turn = Turn("tool", turns.pop().parts + turn.parts)
        turns.append(turn)
    if not turns:
        raise refused("messages", "must be a list of at least one message")
    return tuple(turns)


def _turn(fields: Fields) -> Turn:
    role = fields.needed("role")
    if role not in _ROLES:
        raise refused(fields.path("role"), f"must be one of {', '.join(sorted(_ROLES))}")
    name = fields.text("name")
    if role == "tool":
        parts: tuple[Part, ...] = (Result(fields.needed("tool_call_id"), tuple(_contents(fields))),)  # type: ignore[arg-type]
        return Turn("tool", parts)
    parts = tuple(_contents(fields))
    if role == "assistant":
        parts = (*_reasonings(fields), *parts, *_refusal(fields), *_calls(fields))
        fields.drop("annotations", "provider_specific_fields")
        fields.only("audio")
        fields.only("function_call")
    fields.done()
    return Turn(role, parts, name)  # type: ignore[arg-type]


def _contents(fields: Fields) -> list[Part]:
    found = fields.take("content")
    if found is None:
        return []
    if type(found) is str:
        return [Text(found)]
    if type(found) is not list:
        raise refused(fields.path("content"), "must be text or a list of parts")
    return [_part(Fields(one, f"{fields.path('content')}[{place}]")) for place, one in enumerate(found)]


def _part(fields: Fields) -> Part:
    kind = fields.needed("type")
    fields.drop("cache_control", "prompt_cache_breakpoint")
    found: Part
    if kind == "text":
        found = Text(fields.text("text"))
    elif kind == "refusal":
        found = Refused(fields.text("refusal"))
    elif kind == "image_url":
        given = fields.take("image_url")
        inner = Fields({"url": given} if type(given) is str else given, fields.path("image_url"))
        found = media.image(inner.needed("url"), inner.path("url"), inner.text("detail"))
        inner.done()
    elif kind == "file":
        inner = Fields(fields.take("file"), fields.path("file"))
        inner.only("file_id")
        found = media.file(inner.needed("file_data"), inner.text("filename"), inner.path("file_data"))
        inner.done()
    elif kind == "input_audio":
        inner = Fields(fields.take("input_audio"), fields.path("input_audio"))
        found = Audio(media.base64(inner.needed("data"), inner.path("data")), inner.needed("format"))
        inner.done()
    else:
        raise refused(fields.path("type"), f"is {kind[:64]!r}, which is not known here")
    fields.done()
    return found


def _refusal(fields: Fields) -> list[Part]:
    said = fields.text("refusal")
    return [Refused(said)] if said else []


def _calls(fields: Fields) -> list[Part]:
    calls: list[Part] = []
    for entry, at in fields.rows("tool_calls"):
        call = Fields(entry, at)
        if call.text("type", "function") != "function":
            raise refused(call.path("type"), "must be 'function': other tools are not translated")
        function = Fields(call.take("function"), call.path("function"))
        calls.append(Call(call.needed("id"), function.needed("name"), function.text("arguments")))
    return calls


def _reasonings(fields: Fields) -> list[Reasoning]:
    plain = fields.text("reasoning_content") or fields.text("reasoning")
    fields.drop("reasoning")
    details = fields.rows("reasoning_details")
    found = [one for entry, at in details if (one := _detail(Fields(entry, at))) is not None]
    return found or ([Reasoning(plain)] if plain else [])


def _detail(fields: Fields) -> Reasoning | None:
    kind = fields.text("type")
    maker = maker_of(fields.text("format"))
    if kind == "reasoning.text":
        seal = fields.text("signature")
        return Reasoning(fields.text("text"), seal, maker if seal else "", fields.text("id"))
    if kind == "reasoning.summary":
        return Reasoning(fields.text("summary"), id=fields.text("id"))
    if kind == "reasoning.encrypted":
        return Reasoning("", fields.text("data"), maker, fields.text("id"), redacted=maker == "messages")
    return None


# -- writing ----------------------------------------------------------------------------------------


def write(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    """The messages for a server. Sealed reasonings stay out: no server of chats can read a seal."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "tool":
            messages += _results(turn)
        else:
            messages.append(_message(turn))
    return messages


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role}
    if turn.name:
        message["name"] = turn.name
    said = [part for part in turn.parts if not isinstance(part, Reasoning | Refused | Call)]
    message["content"] = _content(said)
    if turn.role == "assistant":
        message |= spoken(turn.parts, sealed=False)
        if not said:
            message["content"] = None
    return message


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_written(part) for part in parts]


def _written(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url or media.data_url(part.data, part.media_type)
            return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
        case File() if part.plain is not None:
            return {"type": "text", "text": part.plain}
        case File() if part.data:
            name = part.name or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": media.data_url(part.data, part.media_type)}}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.form}}
    raise cannot("messages", "chat: documents by address")


def _results(turn: Turn) -> list[dict[str, Any]]:
    """A message for each result; pictures and documents in them follow as the user's, for only text goes in there."""
    messages: list[dict[str, Any]] = []
    seen: list[Part] = []
    for result in turn.parts:
        assert isinstance(result, Result), "a turn of a tool holds results"
        texts = [part for part in result.parts if isinstance(part, Text)]
        seen += [part for part in result.parts if not isinstance(part, Text)]
        content: Any = texts[0].text if len(texts) == 1 else [_written(part) for part in texts] or ""
        messages.append({"role": "tool", "tool_call_id": result.call, "content": content})
    if seen:
        messages.append({"role": "user", "content": [_written(part) for part in seen]})
    return messages


def spoken(parts: tuple[Part, ...], *, sealed: bool) -> dict[str, Any]:
    """What a message of the assistant holds beside its content."""
    more: dict[str, Any] = {}
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    plain = "".join(part.text for part in thoughts if sealed or not part.seal)
    if plain:
        more["reasoning_content"] = plain
    if sealed and (any(part.seal or part.id for part in thoughts) or len(thoughts) > 1):
        more["reasoning_details"] = [detail(part, place) for place, part in enumerate(thoughts)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refused))
    if refusal:
        more["refusal"] = refusal
    calls = [part for part in parts if isinstance(part, Call)]
    if calls:
        more["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments or "{}"}}
            for one in calls
        ]
    return more


def detail(part: Reasoning, place: int) -> dict[str, Any]:
    """A reasoning with its seal, in the form that OpenRouter gave such details."""
    form = {"format": _FORMATS[part.maker]} if part.maker else {}
    known = {"id": part.id} if part.id else {}
    if part.seal and not part.text and (part.redacted or part.maker != "messages"):
        return {"type": "reasoning.encrypted", "data": part.seal, **known, **form, "index": place}
    seal = {"signature": part.seal} if part.seal else {}
    return {"type": "reasoning.text", "text": part.text, **seal, **known, **form, "index": place}
