"""The items of OpenAI's responses: the input of a request, read and written."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import media
from bastide.inference.wires.fields import Fields, cannot, only_named, refused
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

_ROLES: Final = ("user", "assistant", "system", "developer")


def read(fields: Fields) -> tuple[Turn, ...]:
    """The turns in `instructions` and `input`; what the assistant did in a row is one turn. Raises BadChat."""
    turns: list[Turn] = []
    instructions = fields.text("instructions")
    if instructions:
        turns.append(Turn("system", (Text(instructions),)))
    given = fields.take("input")
    if type(given) is str and given:
        return (*turns, Turn("user", (Text(given),)))
    if type(given) is not list or not given:
        raise refused("input", "must be text or a list of at least one item")
    for place, one in enumerate(given):
        turn = _turn(Fields(one, f"input[{place}]"))
        if turns and turn.role in {"assistant", "tool"} and turns[-1].role == turn.role:
            turn = Turn(turn.role, turns.pop().parts + turn.parts)
        turns.append(turn)
    return tuple(turns)


def _turn(fields: Fields) -> Turn:
    if "type" not in fields and "role" not in fields and "id" in fields:
        kind = "item_reference"  # whose type may be left out
    else:
        kind = fields.text("type", "message")
    turn: Turn
    if kind == "message":
        role = fields.one_of("role", *_ROLES) or "user"
        fields.drop("id", "phase")
        turn = Turn(role, tuple(_contents(fields, "content")))  # type: ignore[arg-type]
    elif kind == "function_call":
        fields.drop("id", "caller")
        turn = Turn("assistant", (Call(fields.needed("call_id"), fields.needed("name"), fields.text("arguments")),))
    elif kind == "function_call_output":
        fields.drop("id", "name", "caller")
        parts = tuple(_contents(fields, "output"))
        turn = Turn("tool", (Result(fields.needed("call_id"), parts),))  # type: ignore[arg-type]
    elif kind == "reasoning":
        turn = Turn("assistant", (_reasoning(fields),))
    elif kind == "item_reference":
        raise only_named(fields.path("type"))
    else:
        raise refused(fields.path("type"), f"is {kind[:64]!r}, which is not translated")
    fields.drop("status")
    fields.done()
    return turn


def _reasoning(fields: Fields) -> Reasoning:
    texts = [Fields(one, at).text("text") for name in ("summary", "content") for one, at in fields.rows(name)]
    return unmarked("\n\n".join(texts), fields.text("encrypted_content"), "responses", id=fields.text("id"))


def _contents(fields: Fields, name: str) -> list[Part]:
    found = fields.take(name)
    if type(found) is str:
        return [Text(found)] if found else []
    if type(found) is not list:
        raise refused(fields.path(name), "must be text or a list of parts")
    return [_part(Fields(one, f"{fields.path(name)}[{place}]")) for place, one in enumerate(found)]


def _part(fields: Fields) -> Part:
    kind = fields.needed("type")
    fields.drop("prompt_cache_breakpoint")
    found: Part
    if kind in {"input_text", "output_text", "text"}:
        fields.drop("annotations", "logprobs")
        found = Text(fields.text("text"))
    elif kind == "refusal":
        found = Refused(fields.text("refusal"))
    elif kind == "input_image":
        fields.only("file_id")
        found = media.image(fields.needed("image_url"), fields.path("image_url"), fields.text("detail"))
    elif kind == "input_file":
        fields.only("file_id")
        fields.drop("detail")
        name, url = fields.text("filename"), fields.text("file_url")
        found = (
            media.address(url, fields.path("file_url"), name)
            if url
            else media.file(fields.needed("file_data"), name, fields.path("file_data"))
        )
    else:
        raise refused(fields.path("type"), f"is {kind[:64]!r}, which is not translated")
    fields.done()
    return found


# -- writing ----------------------------------------------------------------------------------------


def write(turns: tuple[Turn, ...]) -> tuple[str, list[dict[str, Any]]]:
    """The instructions and the items of the input."""
    instructions = ""
    if turns and turns[0].role == "system" and len(turns[0].parts) == 1 and isinstance(turns[0].parts[0], Text):
        instructions, turns = turns[0].parts[0].text, turns[1:]
    items: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role in {"assistant", "tool"}:
            items += [item for part in turn.parts if (item := _item(part)) is not None]
        else:
            items.append({"type": "message", "role": turn.role, "content": [_written(part) for part in turn.parts]})
    return instructions, items


def _item(part: Part) -> dict[str, Any] | None:
    match part:
        case Text():
            return {"type": "message", "role": "assistant", "content": part.text}
        case Refused():
            content = [{"type": "refusal", "refusal": part.text}]
            known = {"id": "msg_refused", "status": "completed"}  # a message in parts must have both
            return {"type": "message", "role": "assistant", "content": content, **known}
        case Call():
            return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
        case Result():
            one = part.parts[0] if len(part.parts) == 1 else None
            output: Any = one.text if isinstance(one, Text) else [_written(each) for each in part.parts] or ""
            return {"type": "function_call_output", "call_id": part.call, "output": output}
        case Reasoning():
            if part.maker != "responses" or not part.seal:
                return None  # no other maker's thought means anything to this one
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return {"type": "reasoning", "id": part.id, "summary": summary, "encrypted_content": part.seal}
    raise cannot("input", "responses: sound, or pictures of the assistant")


def _written(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = part.url or media.data_url(part.data, part.media_type)
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case File(plain=str()):
            return {"type": "input_text", "text": part.plain}
        case File():
            name = {"filename": part.name} if part.name else {}
            if part.url:
                return {"type": "input_file", "file_url": part.url, **name}
            data = media.data_url(part.data, part.media_type)
            return {"type": "input_file", "file_data": data, "filename": part.name or "document.pdf"}
    raise cannot("input", "responses: sound")
