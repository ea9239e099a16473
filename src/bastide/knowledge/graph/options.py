"""Options: what callers of the graph say, checked before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from bastide.errors import BadOption
from bastide.knowledge import bounds
from bastide.store import Page

T = TypeVar("T")
DEPTH_MAX = 3


def depth_in(number: object, most: int = DEPTH_MAX) -> int:
    """How many steps. Raises BadOption."""
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise BadOption(f"A depth is a whole number from 1 to {most}, not {number!r}.", option="depth")
    return number


def word_in(text: object, option: str) -> str | None:
    """The name of a type. Raises BadOption."""
    if text is not None and (not isinstance(text, str) or not text.isidentifier()):
        raise BadOption(f"{option} is the name of a type.", option=option)
    return text


def reason_in(text: object) -> str:
    """Why something is decided; it must be said. Raises BadOption."""
    said = bounds.reason(text)
    if not said:
        raise BadOption("A merge or a split needs its reason.", option="reason")
    return said


def zoned(at: datetime | None) -> datetime | None:
    """A moment with its time zone. Raises BadOption."""
    if at is not None and at.tzinfo is None:
        raise BadOption("known_at needs its time zone.", option="known_at")
    return at


def pair_in(cursor: str | None) -> tuple[int, int] | None:
    """What the cursor of the list of entities holds: mentions, entity. Raises BadOption."""
    said = bounds.after_cursor(cursor)
    if said is None:
        return None
    mentions, colon, entity = said.partition(":")
    if not colon or not mentions.isdecimal() or not entity.removeprefix("-").isdecimal() or len(said) > 40:
        raise BadOption("The cursor was not given out by this list.", option="cursor")
    return int(mentions), int(entity)


def triple_in(cursor: str | None) -> tuple[str, int, str] | None:
    """What the cursor of mentions holds: document, offset, extractor. Raises BadOption."""
    said = bounds.after_cursor(cursor)
    if said is None:
        return None
    parts = said.split(":", 2)
    if len(parts) < 3 or not parts[1].isdecimal() or len(parts[1]) > 9:
        raise BadOption("The cursor was not given out by this list.", option="cursor")
    return parts[0], int(parts[1]), parts[2]


def offset_in(cursor: str | None) -> int:
    """How many rows a cursor has left behind. Raises BadOption."""
    said = bounds.after_cursor(cursor)
    if said is None:
        return 0
    if not said.isdecimal() or len(said) > 7:
        raise BadOption("The cursor was not given out by this list.", option="cursor")
    return int(said)


def page_of(found: Sequence[T], wanted: int, offset: int) -> Page[T]:
    """A page of what was found, one more of which was asked for than is shown."""
    return Page(tuple(found[:wanted]), bounds.cursor_of(str(offset + wanted)) if len(found) > wanted else None)
