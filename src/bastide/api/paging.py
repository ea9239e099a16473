"""Lists come in pages: `?cursor=&limit=`, and `next` is the cursor of the next page or null at the end."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import Query

Cursor = Annotated[
    str | None,
    Query(max_length=512, description="Where to go on: `next` of the page before. Leave it out to begin."),
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]


class Paged(Protocol):
    """A page of any room's list."""

    @property
    def items(self) -> tuple[Any, ...]:
        """What is on it."""
        ...

    @property
    def cursor(self) -> str | None:
        """Where the next one begins."""
        ...


def page(name: str, listed: Paged) -> dict[str, object]:
    """The page as the wire shows it, its items under the list's own name."""
    return {name: [item.to_wire() for item in listed.items], "next": listed.cursor}


def whole(name: str, items: list[dict[str, Any]]) -> dict[str, object]:
    """A list that is short enough to come at once."""
    return {name: items, "next": None}
