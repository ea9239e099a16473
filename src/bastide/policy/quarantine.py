"""Quarantine: the records that a probe has found something against (R15), as this process knows them.

What is put here counts at once, what is put elsewhere as soon as it is heard and read. While there may be others than
those that are known, `in_doubt` says so, and a reading that began before the last alarm does not end the doubt.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bastide.policy.rules import HOLDS
from bastide.store import Db, queries

_QUARANTINED: Final = queries(__package__)["quarantined"]
_NEVER: Final = float("-inf")


class Quarantine:
    """What was found, by record."""

    def __init__(self, *, fresh_s: float) -> None:
        """What was read is read again after `fresh_s`."""
        self._fresh_s = fresh_s
        self._found: dict[str, str] = {}
        self._begun: dict[str, str] = {}  # being written here: no reading can know of them yet
        self._looked = _NEVER
        self._alarms = 0
        self.changes = 0

    @property
    def in_doubt(self) -> bool:
        """Whether there may be others than those that are known."""
        return self._looked == _NEVER

    def found(self, record_id: str) -> str:
        """What stands against a record; HOLDS if nothing does."""
        return self._found.get(record_id, HOLDS)

    def alarm(self) -> None:
        """Something was changed, here or elsewhere, or that may have been missed."""
        self._alarms += 1
        self._looked = _NEVER

    async def look(self, db: Db) -> None:
        """Read all of it, if what is known is not fresh."""
        asked_at, alarms = time.monotonic(), self._alarms
        if asked_at - self._looked <= self._fresh_s:
            return
        rows: list[tuple[str, str]] = await db.rows(tuple, _QUARANTINED)
        self._know(dict(rows) | self._begun)
        if alarms == self._alarms:
            self._looked = asked_at

    @contextmanager
    def putting(self, record_id: str, found: str) -> Iterator[None]:
        """While a record is put in: it counts from the beginning."""
        self._begun[record_id] = found
        self._know({**self._found, record_id: found})
        try:
            yield
        finally:
            del self._begun[record_id]

    def lift(self, record_id: str) -> None:
        """A record was taken out."""
        self._know({one: found for one, found in self._found.items() if one != record_id})

    def _know(self, found: dict[str, str]) -> None:
        self.changes += found != self._found
        self._found = found
