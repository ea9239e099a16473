"""Lists come in pages: `?cursor=&limit=`, and `next_cursor` for the next page or null at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Query

Cursor = Annotated[
    str | None,
    Query(max_length=512, description="Where to go on: `next_cursor` of the page before. Leave it out to begin."),
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]

T_co = TypeVar("T_co", covariant=True)


class Paged(Protocol):
    """A page of any room's list."""

    @property
    def items(self) -> Iterable[Any]: ...
    @property
    def cursor(self) -> str | None: ...


def page(listed: Paged) -> Mapping[str, object]:
    """The page as the wire shows it."""
    return {"items": [item.to_wire() for item in listed.items], "next_cursor": listed.cursor}
