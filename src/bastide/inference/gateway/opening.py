"""Opening: events by which a server begins an answer before it has said a word of it.

Servers send them as soon as they have taken a request. As long as a client has got nothing else, another target may
still answer in the place of one that breaks off, so that they are kept back where there is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_OPENING_BYTES_MAX: Final = 64 * 1024
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "messages": frozenset({"message_start", "content_block_start", "ping"}),
    "responses": frozenset(
        {
            "response.created",
            "response.queued",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        }
    ),
}
_EMPTY: Final[tuple[object, ...]] = (None, "", [])


def only_opens(wire: str, events: bytes) -> bool:
    """Whether whole events of a wire, sound as they are, say nothing yet."""
    if len(events) > _OPENING_BYTES_MAX:
        return False
    lines = [line[5:].strip() for line in events.splitlines() if line.startswith(b"data:")]
    try:
        return bool(lines) and all(_opens(wire, msgspec.json.decode(line)) for line in lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the word at the end of a stream, for one
        return False


def _opens(wire: str, event: Any) -> bool:
    if type(event) is not dict:
        return False
    if wire in _TYPES:
        return event.get("type") in _TYPES[wire] and not _holds_something(event)
    choices = event.get("choices")
    if wire != "chat" or type(choices) is not list or not choices or event.get("usage"):
        return False
    return all(type(choice) is dict and _only_names_who_speaks(choice) for choice in choices)


def _only_names_who_speaks(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if type(delta) is not dict or choice.get("finish_reason") is not None:
        return False
    return all(name == "role" or value in _EMPTY for name, value in delta.items())


def _holds_something(event: dict[str, Any]) -> bool:
    """A block or an item that comes whole, as some servers give tools and what they have searched for."""
    block = event.get("content_block") or event.get("item") or event.get("part")
    return type(block) is dict and any(
        value not in (*_EMPTY, {}) for name, value in block.items() if name not in {"type", "id", "role", "status"}
    )
