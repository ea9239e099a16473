"""The laws of tenants as this process knows them: read for a call, good for a moment, and longer without a database."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from bastide.errors import DatabaseUnavailable
from bastide.policy.decision import Governing
from bastide.store import Presence, Scope

_ANSWER_S: Final = 10.0  # a database that is silent for longer is away

Read = Callable[[Scope], Awaitable[Governing]]


class Laws:
    """What governs each tenant that was asked for lately."""

    def __init__(self, read: Read, presence: Presence, *, fresh_s: float, stale_s: float) -> None:
        """`read` gives a tenant's law as it stands; it is asked again after `fresh_s`."""
        self._read = read
        self._presence = presence
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._laws: dict[str, tuple[float, Governing]] = {}
        self.changes = 0  # of any law that was known before

    async def of(self, scope: Scope) -> Governing:
        """The tenant's law; with the database away, as it was read lately. Raises DatabaseUnavailable."""
        held, presence = self._laws.get(scope.tenant), self._presence
        if held and time.monotonic() - held[0] <= self._fresh_s:
            return held[1]
        try:
            if held and presence.away:
                raise DatabaseUnavailable
            read = self._learn(scope)
            return await (presence.promptly(read, within_s=_ANSWER_S) if held else read)
        except DatabaseUnavailable:
            if held is None or not presence.excuses(held[0], stale_s=self._stale_s):
                raise
            return held[1]

    async def _learn(self, scope: Scope) -> Governing:
        asked_at, held = time.monotonic(), self._laws.get(scope.tenant)
        law = await self._read(scope)
        if held and held[1].hash == law.hash:
            law = held[1]
        if self._laws.get(scope.tenant) is held:  # nobody has set another meanwhile
            self._put(scope.tenant, asked_at, law)
        return law

    def set(self, scope: Scope, law: Governing) -> None:
        """This is the tenant's law from now on."""
        self._put(scope.tenant, time.monotonic(), law)

    def _put(self, tenant: str, at: float, law: Governing) -> None:
        held = self._laws.get(tenant)
        self.changes += held is not None and held[1] is not law
        self._laws[tenant] = (at, law)

    def clear(self) -> None:
        """Forget all."""
        self._laws.clear()
        self.changes += 1

    def held(self, scope: Scope) -> Governing | None:
        """The tenant's law, if it may govern a decision now."""
        held = self._laws.get(scope.tenant)
        return held[1] if held and time.monotonic() - held[0] <= self._stale_s else None

    def ready(self, scope: Scope) -> bool:
        """Whether the tenant's law is at hand and need not be read anew for the next calls."""
        held = self._laws.get(scope.tenant)
        return held is not None and time.monotonic() - held[0] <= self._fresh_s / 2

    def at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's law may be used as it is: it is fresh, or the database is away and it is not old."""
        held, presence = self._laws.get(scope.tenant), self._presence
        if held is None:
            return False
        fresh = time.monotonic() - held[0] <= self._fresh_s
        return fresh or (presence.away and presence.excuses(held[0], stale_s=self._stale_s))
