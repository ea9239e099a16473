"""What must hold of a body whoever answers it, so that a mistake is told by us, in words that name the field.

A body in the server's own format is sent as it came. Servers answer what is wrong in it each in their own way, some
by failing. What all of them would refuse is refused here: turns and parts that are none, pictures of a kind that no
model reads, tools without a name, schemas that are none. What is not known is passed on.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from bastide.errors import BadChat
from bastide.inference.wires import media
from bastide.inference.wires.fields import refused
from bastide.inference.wires.values import Image

_TURNS_MAX: Final = 4096
_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_DEPTH_MAX: Final = 64


def check(wire: str, body: dict[str, Any]) -> None:
    """Raises BadChat, which names the first field that is wrong."""
    _CHECKS[wire](body)
    if "tools" in body and wire in _SCHEMA_OF_TOOL and (tools := body["tools"]) is not None:
        _tools(tools, wire)


# -- what is asked ----------------------------------------------------------------------------------


def _turns(body: dict[str, Any]) -> None:
    turns = body.get("messages")
    if type(turns) is not list or not turns:
        raise refused("messages", "must be a list of at least one message")
    if len(turns) > _TURNS_MAX:
        raise refused("messages", f"are {len(turns)}; at most {_TURNS_MAX} go into one call")
    for place, turn in enumerate(turns):
        if type(turn) is not dict:
            raise refused(f"messages[{place}]", "must be an object")
        content = turn.get("content")
        if type(content) is str or content is None:
            continue
        if type(content) is not list:
            raise refused(f"messages[{place}].content", "must be text or a list of parts")
        for at, part in _parts(content, f"messages[{place}].content"):
            _picture(part, at)


def _items(body: dict[str, Any]) -> None:
    items = body.get("input")
    if type(items) is str:
        return
    if type(items) is not list or not items:
        raise refused("input", "must be text or a list of at least one item")
    if len(items) > _TURNS_MAX:
        raise refused("input", f"has {len(items)} items; at most {_TURNS_MAX} go into one call")
    for at, item in _parts(items, "input"):
        content = item.get("content")
        if type(content) is list:
            for place, part in _parts(content, f"{at}.content"):
                _picture(part, place)


def _prompt(body: dict[str, Any]) -> None:
    prompt = body.get("prompt")
    if type(prompt) is str or (prompt is None and body.get("prompt_embeds") is not None):
        return
    _texts("prompt", prompt)


def _inputs(body: dict[str, Any]) -> None:
    if body.get("messages") is None:  # some servers make vectors of whole conversations
        inputs = body.get("input")
        if type(inputs) is not str:
            _texts("input", inputs)


def _texts(field: str, value: Any) -> None:
    """Texts, tokens, or lists of tokens; some servers take parts with pictures, too."""
    if type(value) is not list or not value:
        raise refused(field, "must be text, or a list of at least one text")
    kind = type(value[0])
    if kind not in {str, int, list, dict} or any(type(one) is not kind for one in value):
        raise refused(field, "must hold texts only, or tokens only")


def _parts(content: list[Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, part in enumerate(content):
        if type(part) is not dict:
            raise refused(f"{at}[{place}]", "must be an object")
        yield f"{at}[{place}]", part


_CHECKS: Final[Mapping[str, Callable[[dict[str, Any]], None]]] = {
    "chat": _turns,
    "messages": _turns,
    "responses": _items,
    "completions": _prompt,
    "embeddings": _inputs,
}


def _picture(part: dict[str, Any], at: str) -> None:
    """A picture that a body holds itself must be one that models read."""
    kind = part.get("type")
    if kind in ("image_url", "input_image"):  # a tuple: whatever stands there may not be hashable
        given = part.get("image_url")
        url, at = (given.get("url"), f"{at}.image_url.url") if type(given) is dict else (given, f"{at}.image_url")
        if type(url) is str:
            _seen(media.image(url, at), at)
        elif url is not None or kind == "image_url":  # the other kind may name a file instead
            raise refused(at, "must be given, as text", media.PICTURE)
    elif kind == "image":
        source = part.get("source")
        if type(source) is dict and source.get("type") == "base64":
            data, media_type = source.get("data"), source.get("media_type")
            if type(data) is not str or type(media_type) is not str:
                raise refused(f"{at}.source", "must have `data` and `media_type`, as text", media.PICTURE)
            at = f"{at}.source.data"
            _seen(media.checked(Image(data, media_type), at), at)


def _seen(picture: Image, at: str) -> None:
    """What is called a picture must begin as one does. Raises BadChat."""
    if picture.data and not media.sort_of(binascii.a2b_base64(picture.data[:16])):
        raise refused(at, "is no picture that models read; pictures are JPEG, PNG, GIF or WebP", media.PICTURE)


# -- tools ------------------------------------------------------------------------------------------

_SCHEMA_OF_TOOL: Final = {"chat": "parameters", "responses": "parameters", "messages": "input_schema"}


def _tools(tools: Any, wire: str) -> None:
    if type(tools) is not list:
        raise refused("tools", "must be a list")
    for place, tool in enumerate(tools):
        at = f"tools[{place}]"
        if type(tool) is not dict:
            raise refused(at, "must be an object")
        kind = tool.get("type")
        if kind not in ("function", "custom", None) or (kind == "custom" and wire != "messages"):
            continue  # a tool of the server's own
        if wire == "chat":
            tool, at = tool.get("function"), f"{at}.function"  # noqa: PLW2901 what is described is inside
            if type(tool) is not dict:
                raise refused(at, "must be an object")
        name = tool.get("name")
        if type(name) is not str or not name:
            raise refused(f"{at}.name", "must be given, as text")
        field = _SCHEMA_OF_TOOL[wire]
        schema = tool.get(field)
        if schema is None:
            continue
        if type(schema) is not dict:
            raise refused(f"{at}.{field}", "must be an object")
        if not _sound(schema, _DEPTH_MAX):
            raise _unsound(schema, f"{at}.{field}", _DEPTH_MAX)


def _sound(schema: Any, depth: int) -> bool:
    """Whether it has the form of a JSON Schema, in the words that every draft has. Most do: nothing is made here."""
    if type(schema) is not dict:
        return type(schema) is bool
    if depth == 0:
        return False
    for word, value in schema.items():
        form = _FORMS.get(word)
        if form is not None and value is not None and not form(value, depth - 1):
            return False
    return True


def _type(value: Any, _: int) -> bool:
    if type(value) is str:
        return value in _TYPES
    return type(value) is list and bool(value) and all(type(one) is str and one in _TYPES for one in value)


def _names(value: Any, _: int) -> bool:
    return type(value) is list and all(type(one) is str for one in value)


def _table(value: Any, depth: int) -> bool:
    return type(value) is dict and all(_sound(one, depth) for one in value.values())


def _list(value: Any, depth: int) -> bool:
    return type(value) is list and bool(value) and all(_sound(one, depth) for one in value)


def _items_of(value: Any, depth: int) -> bool:
    return _list(value, depth) if type(value) is list else _sound(value, depth)  # a list before the draft of 2020


_FORMS: Final[Mapping[str, Callable[[Any, int], bool]]] = {
    "type": _type,
    "required": _names,
    "items": _items_of,
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"), _table),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _list),
    **dict.fromkeys(("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"), _sound),
}
_SAYS: Final[Mapping[Callable[[Any, int], bool], str]] = {
    _type: f"must be one of {', '.join(sorted(_TYPES))}, or a list of them",
    _names: "must be a list of names",
    _table: "must be an object of schemas",
    _list: "must be a list of at least one schema",
    _items_of: "must be a schema",
    _sound: "must be a schema: an object, true or false",
}


def _unsound(schema: Any, at: str, depth: int) -> BadChat:
    """The error that names the innermost place where it is none."""
    if type(schema) is not dict:
        return refused(at, _SAYS[_sound])
    if depth == 0:
        return refused(at, "is nested too deeply")
    for word, value in schema.items():
        form = _FORMS.get(word)
        if form is None or value is None or form(value, depth - 1):
            continue
        place = f"{at}.{word}"
        inner: Iterator[tuple[str, Any]] = iter(())
        if form is _table and type(value) is dict:
            inner = ((f"{place}.{key[:64]}", one) for key, one in value.items())
        elif type(value) is list and form in {_list, _items_of}:
            inner = ((f"{place}[{number}]", one) for number, one in enumerate(value))
        elif form in {_sound, _items_of}:
            inner = iter([(place, value)])
        for where, one in inner:
            if not _sound(one, depth - 1):
                return _unsound(one, where, depth - 1)
        return refused(place, _SAYS[form])
    return refused(at, _SAYS[_sound])
