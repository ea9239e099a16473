"""Watching: what the files of a folder were when they were last taken in, kept here and not in the folder.

Who watches (the command `bastide watch`) compares sizes and times with these, hands in what differs, and may be
stopped at any moment: what was not noted is looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bastide.errors import BadOption
from bastide.knowledge import bounds
from bastide.store import Scope, Store, queries

_Q = queries("bastide.knowledge")
_LIST, _PUT, _FORGET = _Q["list_watched"], _Q["put_watched"], _Q["forget_watched"]

_PLACE = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """One file of a watched folder; `document` is None for one that was refused. `modified` is in nanoseconds."""

    path: str
    document: str | None
    bytes: int
    modified: int

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return asdict(self)


def watched_place(text: object) -> str:
    """What a watched folder is known by: 64 hexadecimal digits, a hash of where it is. Raises BadOption."""
    if not isinstance(text, str) or not _PLACE.fullmatch(text):
        raise BadOption("A watched folder is named by 64 hexadecimal digits.", option="place")
    return text


class Watched:
    """The files of watched folders."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def files(self, scope: Scope, place: str) -> tuple[WatchedFile, ...]:
        """All that are remembered, by path."""
        async with self._store.under(scope) as db:
            return tuple(await db.rows(WatchedFile, _LIST, place=place))

    async def note(self, scope: Scope, place: str, file: WatchedFile) -> None:
        """Remember one. Raises BadName or BadOption."""
        if not (0 <= file.bytes <= _LARGEST and 0 <= file.modified <= _LARGEST):
            raise BadOption("bytes and modified are counted from 0.", option="bytes")
        async with self._store.under(scope) as db:
            await db.run(
                _PUT,
                place=place,
                path=bounds.name(file.path),
                document=file.document,
                bytes=file.bytes,
                modified=file.modified,
            )

    async def forget(self, scope: Scope, place: str, paths: Sequence[str]) -> None:
        """Forget some."""
        async with self._store.under(scope) as db:
            await db.run(_FORGET, place=place, paths=list(paths))
