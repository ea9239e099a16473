"""Callers that were let in a moment ago: what the doorkeeper found for the very same headers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.datastructures import Headers

from bastide.api.values import Caller
from bastide.policy import Label
from bastide.store import Scope
from bastide.tenancy import Tenancy

_REMEMBERED_S: Final = 1.0  # a change elsewhere is seen after this and what tenancy itself remembers
_REMEMBERED_MAX: Final = 10_000
NAMES: Final = ("authorization", "x-api-key", "x-company-id", "x-user-id", "x-app-id", "x-label")
"""The headers that say who asks."""

Said = tuple[str | None, ...]
"""Their values, in that order."""

LetIn = Callable[[Headers, str], Awaitable[Caller]]


class Callers:
    """Remembers for a second whom the doorkeeper let in; forgets at once when an identity changes here."""

    def __init__(self, let_in: LetIn, identities: Callable[[], Tenancy]) -> None:
        self._let_in = let_in
        self._identities = identities
        self._seen = -1  # asked for at the first call
        self._known: dict[Said, tuple[float, Scope, Label]] = {}

    def known(self, said: Said) -> tuple[Scope, Label] | None:
        """The scope and label of these headers, if they were let in just now."""
        if self._seen != self._identities().changes():
            self._known.clear()
            self._seen = self._identities().changes()
        found = self._known.get(said)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1], found[2]

    async def ask(self, said: Said, headers: Mapping[str, str], request_id: str) -> tuple[Scope, Label]:
        """Let in or refused, by the doorkeeper. Raises what it raises."""
        changes, until = self._identities().changes(), time.monotonic() + _REMEMBERED_S
        caller = await self._let_in(Headers(headers=dict(headers)), request_id)
        scope, label = caller.scope, caller.label
        if changes == self._identities().changes():
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            before = self._known.get(said)
            if before is not None and before[1:] == (scope, label):
                scope, label = before[1:]  # the same objects: what is remembered by them stays known
            self._known[said] = (until, scope, label)
        return scope, label
