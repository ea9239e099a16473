"""The messages of Anthropic's format, read and written."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import media
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.json_text import arguments, object_in
from bastide.inference.wires.seals import unmarked
from bastide.inference.wires.values import (
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

_ROLES: Final = ("user", "assistant", "system")


def read(fields: Fields) -> tuple[Turn, ...]:
    """The turns in `system` and `messages`; results of tools are turns of their own. Raises BadChat."""
    turns: list[Turn] = []
    system = _contents(fields, "system")
    if system:
        turns.append(Turn("system", tuple(system)))
    rows = fields.rows("messages")
    if not rows:
        raise refused("messages", "must be a list of at least one message")
    for entry, at in rows:
        message = Fields(entry, at)
        role = message.one_of("role", *_ROLES) or "user"
        parts = _contents(message, "content")
        message.done()
        results = tuple(part for part in parts if isinstance(part, Result))
        others = tuple(part for part in parts if not isinstance(part, Result))
        if results:
            turns.append(Turn("tool", results))
        if others or not results:
            turns.append(Turn(role, others))  # type: ignore[arg-type]
    return tuple(turns)


def _contents(fields: Fields, name: str) -> list[Part]:
    found = fields.take(name)
    if found is None:
        return []
    if type(found) is str:
        return [Text(found)] if found else []
    if type(found) is not list:
        raise refused(fields.path(name), "must be text or a list of blocks")
    return [_block(Fields(one, f"{fields.path(name)}[{place}]")) for place, one in enumerate(found)]


def _block(fields: Fields) -> Part:
    kind = fields.needed("type")
    fields.drop("cache_control", "caller")
    found: Part
    if kind == "text":
        fields.drop("citations")
        found = Text(fields.text("text"))
    elif kind == "image":
        fields.drop("transformations")
        found = _image(Fields(fields.take("source"), fields.path("source")))
    elif kind == "document":
        found = _document(fields)
    elif kind == "thinking":
        found = unmarked(fields.text("thinking"), fields.text("signature"), "messages")
    elif kind == "redacted_thinking":
        found = unmarked("", fields.needed("data"), "messages", redacted=True)
    elif kind == "tool_use":
        given = fields.table("input") or {}
        found = Call(fields.needed("id"), fields.needed("name"), arguments(given))
    elif kind == "tool_reference":
        found = Text(fields.needed("tool_name"))  # the tool itself is among those that are offered
    elif kind == "tool_result":
        parts = tuple(_contents(fields, "content"))
        if not all(isinstance(part, Text | Image | File) for part in parts):
            raise refused(fields.path("content"), "may hold text, pictures and documents")
        found = Result(fields.needed("tool_use_id"), parts, bool(fields.flag("is_error")))  # type: ignore[arg-type]
    else:
        raise refused(fields.path("type"), f"is {kind[:64]!r}, which is not translated")
    fields.done()
    return found


def _image(source: Fields) -> Image:
    kind = source.needed("type")
    if kind == "base64":
        return media.checked(Image(source.needed("data"), source.needed("media_type").lower()), source.path("data"))
    if kind == "url":
        return media.image(source.needed("url"), source.path("url"))
    raise refused(source.path("type"), "must be 'base64' or 'url': a file's id belongs to the server that gave it")


def _document(fields: Fields) -> File:
    citations = fields.inner("citations")
    if citations is not None and citations.flag("enabled"):
        raise refused(citations.path("enabled"), "cannot be put into the format of this model's server")
    fields.only("context")
    name = fields.text("title")
    source = Fields(fields.take("source"), fields.path("source"))
    kind = source.needed("type")
    if kind == "base64":
        data = media.base64(source.needed("data"), source.path("data"))
        return File(data, source.needed("media_type"), name=name)
    if kind == "text":
        return File(media_type="text/plain", name=name, plain=source.text("data"))
    if kind == "url":
        return media.address(source.needed("url"), source.path("url"), name)
    raise refused(source.path("type"), "must be 'base64', 'text' or 'url'")


# -- writing ----------------------------------------------------------------------------------------


def write(turns: tuple[Turn, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The blocks of `system` and the messages. What a user says after results of tools stands in their message."""
    first = next((place for place, turn in enumerate(turns) if turn.role not in {"system", "developer"}), len(turns))
    system = [_written(part) for turn in turns[:first] for part in turn.parts if not _empty(part)]
    messages: list[dict[str, Any]] = []
    before = ""
    for turn in turns[first:]:
        blocks = [_written(part) for part in turn.parts if _said(part)]
        if not blocks:
            continue
        if turn.role == "user" and before == "tool":
            messages[-1]["content"] += blocks
        else:
            role = {"developer": "system", "tool": "user"}.get(turn.role, turn.role)
            messages.append({"role": role, "content": blocks})
        before = turn.role
    return system, messages


def _empty(part: Part) -> bool:
    return isinstance(part, Text) and not part.text


def _said(part: Part) -> bool:
    """Whether the server takes it: no empty text, and no thought that it did not seal itself."""
    if isinstance(part, Reasoning):
        return part.maker == "messages" and bool(part.seal)
    return not _empty(part)


def _written(part: Part) -> dict[str, Any]:
    match part:
        case Text() | Refused():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case File():
            title = {"title": part.name} if part.name else {}
            return {"type": "document", "source": _file_source(part), **title}
        case Reasoning():
            return _thinking(part)
        case Call():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": _input(part)}
        case Result():
            failed = {"is_error": True} if part.failed else {}
            content = [_written(one) for one in part.parts if not _empty(one)]
            return {"type": "tool_result", "tool_use_id": part.call, "content": content, **failed}
    raise cannot("messages", "messages: sound")


def _thinking(part: Reasoning) -> dict[str, Any]:
    """A thought that the server sealed."""
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.seal}
    return {"type": "thinking", "thinking": part.text, "signature": part.seal}


def _input(call: Call) -> dict[str, Any]:
    found = object_in(call.arguments)
    if found is None:
        raise refused("messages", f"holds a call of {call.name[:64]!r} whose arguments are no JSON object")
    return found


def _source(part: Image) -> dict[str, Any]:
    if part.url:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _file_source(part: File) -> dict[str, Any]:
    if part.plain is not None:
        return {"type": "text", "media_type": "text/plain", "data": part.plain}
    if part.url:
        return {"type": "url", "url": part.url}
    if part.media_type != "application/pdf":
        raise refused("messages", f"holds a document of the type {part.media_type[:64]!r}; this server reads PDF")
    return {"type": "base64", "media_type": part.media_type, "data": part.data}
