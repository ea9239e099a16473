"""The laws of tenants as this process knows them: read for a call, good for a moment, and longer without a database.

A law that was changed elsewhere is in doubt as soon as that is heard: calls that begin from then on wait until it has
been read anew, which is begun at once. If it cannot be read, they are refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bastide.errors import BastideError, DatabaseUnavailable
from bastide.policy.decision import Governing
from bastide.store import Presence, Scope, ended

_ANSWER_S: Final = 2.0  # a call waits so long where there is a law that may govern it
_DOUBTS_S: Final = 10.0  # and so long where there is one in doubt

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
        self._scopes: dict[str, Scope] = {}  # under which each was read or set last
        self._doubts: dict[str, int] = {}
        self._alarms = 0  # that were for everybody
        self._reading: set[asyncio.Task[None]] = set()
        self.changes = 0  # of any law that was known before

    async def of(self, scope: Scope) -> Governing:
        """The tenant's law; with the database away, as it was read lately. Raises DatabaseUnavailable."""
        held, presence = self._laws.get(scope.tenant), self._presence
        if held and time.monotonic() - held[0] <= self._fresh_s and scope.tenant not in self._doubts:
            return held[1]
        try:
            if held is None:
                return await self._learn(scope)
            if scope.tenant not in self._doubts:
                return await presence.unless_silent(lambda: self._learn(scope), within_s=_ANSWER_S)
            if presence.away:
                raise DatabaseUnavailable
            return await presence.promptly(self._learn(scope), within_s=_DOUBTS_S)
        except DatabaseUnavailable:
            in_doubt = held is None or scope.tenant in self._doubts
            if held is None or in_doubt or not presence.excuses(held[0], stale_s=self._stale_s):
                raise
            return held[1]

    def doubt(self, tenant: str) -> None:
        """It was changed elsewhere: it is read anew, and nothing begins under it until then."""
        scope = self._scopes.get(tenant)
        if scope is None or tenant not in self._laws:
            return
        self.changes += 1
        self._doubts[tenant] = self.changes
        task = asyncio.get_running_loop().create_task(self._read_again(scope))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def doubt_all(self) -> None:
        """Something has changed for everybody: each is read anew by the next call that needs it."""
        self.changes += 1
        self._alarms += 1
        self._doubts.update(dict.fromkeys(self._laws, self.changes))

    async def stop(self) -> None:
        """Forget all, and read no more."""
        await ended(*self._reading)
        self.clear()

    async def _read_again(self, scope: Scope) -> None:
        with suppress(BastideError):  # the next call that needs it says why it cannot be read
            await self._learn(scope)

    async def _learn(self, scope: Scope) -> Governing:
        asked_at, held, doubt = time.monotonic(), self._laws.get(scope.tenant), self._doubts.get(scope.tenant)
        alarms = self._alarms
        law = await self._read(scope)
        self._scopes[scope.tenant] = scope
        if doubt is not None and self._doubts.get(scope.tenant) == doubt:
            del self._doubts[scope.tenant]
        if held and held[1].hash == law.hash:
            law = held[1]
        latest = self._laws.get(scope.tenant)
        if latest is held or (latest is not None and latest[0] <= asked_at):  # nobody set another, or read it later
            self._put(scope.tenant, asked_at, law)
        if alarms != self._alarms:  # it may be older than what was heard meanwhile
            self._doubts[scope.tenant] = self.changes
        return law

    def set(self, scope: Scope, law: Governing) -> None:
        """This is the tenant's law from now on."""
        self._scopes[scope.tenant] = scope
        self._put(scope.tenant, time.monotonic(), law)

    def _put(self, tenant: str, at: float, law: Governing) -> None:
        held = self._laws.get(tenant)
        self.changes += held is not None and held[1] is not law
        self._laws[tenant] = (at, law)

    def clear(self) -> None:
        """Forget all."""
        self._laws.clear()
        self._scopes.clear()
        self._doubts.clear()
        self.changes += 1

    def held(self, scope: Scope) -> Governing | None:
        """The tenant's law, if it may govern a decision now."""
        held = self._laws.get(scope.tenant)
        return held[1] if held and time.monotonic() - held[0] <= self._stale_s else None

    def ready(self, scope: Scope) -> bool:
        """Whether the tenant's law is at hand and need not be read anew for the next calls."""
        held = self._laws.get(scope.tenant)
        fresh = held is not None and time.monotonic() - held[0] <= self._fresh_s / 2
        return fresh and scope.tenant not in self._doubts

    def at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's law may be used as it is: it is fresh, or the database is silent and it is not old."""
        held, presence = self._laws.get(scope.tenant), self._presence
        if held is None or scope.tenant in self._doubts:
            return False
        fresh = time.monotonic() - held[0] <= self._fresh_s
        return fresh or (presence.silent and presence.excuses(held[0], stale_s=self._stale_s))
