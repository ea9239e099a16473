"""Callers that were let in a moment ago: whom the very same headers named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bastide.api.lane.letting_in import let_in
from bastide.policy import Label, Policy
from bastide.store import Scope
from bastide.tenancy import Tenancy

_FRESH_S: Final = 1.0  # after this their key is looked up again, behind those who go on asking
_HELD_S: Final = 2.0  # and after this nobody is let in before it has answered
_REMEMBERED_MAX: Final = 10_000

Said = tuple[str | None, ...]
"""The values of the headers that say who asks, in the order of `NAMES`."""


@dataclass(slots=True)
class _Known:
    """Whom some headers let in, and when."""

    asked_at: float
    scope: Scope
    label: Label


class Callers:
    """Remembers for two seconds who was let in; forgets at once when an identity or a policy changes here."""

    def __init__(self, identities: Tenancy, policy: Policy) -> None:
        self._identities = identities
        self._policy = policy
        self._seen = -1  # asked for at the first call
        self._known: dict[Said, _Known] = {}
        self._asking: dict[Said, asyncio.Task[_Known]] = {}

    def known(self, said: Said, headers: Mapping[str, str]) -> tuple[Scope, Label] | None:
        """The scope and label of these headers, if they were let in just now."""
        changes = self._changes()
        if self._seen != changes:
            self._known.clear()
            self._seen = changes
        found = self._known.get(said)
        if found is None:
            return None
        age = time.monotonic() - found.asked_at
        if age > _HELD_S:
            return None
        if age > _FRESH_S and said not in self._asking:
            self._ask(said, headers).add_done_callback(_quietly)
        return found.scope, found.label

    async def ask(self, said: Said, headers: Mapping[str, str]) -> tuple[Scope, Label]:
        """Let in or refused; who asks at once shares the answer. Raises what `let_in` raises."""
        found = await asyncio.shield(self._asking.get(said) or self._ask(said, headers))
        return found.scope, found.label

    def _ask(self, said: Said, headers: Mapping[str, str]) -> asyncio.Task[_Known]:
        task = asyncio.get_running_loop().create_task(self._answer(said, headers))
        self._asking[said] = task
        task.add_done_callback(lambda _: self._asking.pop(said, None))
        return task

    async def _answer(self, said: Said, headers: Mapping[str, str]) -> _Known:
        asked_at, changes = time.monotonic(), self._changes()
        try:
            scope, label = await let_in(self._identities, self._policy, headers)
        except BaseException:
            self._known.pop(said, None)
            raise
        found, before = _Known(asked_at, scope, label), self._known.get(said)
        if before is not None and (before.scope, before.label) == (found.scope, found.label):
            found.scope, found.label = before.scope, before.label  # what is remembered by these objects stays known
        if changes == self._changes():
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[said] = found
        return found

    def _changes(self) -> int:
        """Another number as soon as anything has changed here that somebody was let in by."""
        return self._identities.changes() + self._policy.changes


def _quietly(task: asyncio.Task[_Known]) -> None:
    if not task.cancelled():
        task.exception()  # who is refused hears of it when they ask next
