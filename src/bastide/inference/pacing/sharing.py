"""Sharing: processes of one database divide the rate of an endpoint among them, behind the calls.

1. A share is asked for when an endpoint is first looked at, and again before half of it is used, or when a call was
   held back for want of it; else every few seconds, which keeps it.
2. Where the database says that others lack what is not used here, less is used from then on, and then it is told so:
   in this order, so that at no moment more is used than the database counts.
3. A process that stops gives its share back, but for what it has used in the last minute; that of one that was killed
   is free a minute after its time.

The database away: what is held is used on, since nobody else can be lent it, and at least a twentieth of the rate.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bastide.errors import BastideError, Contended, DatabaseUnavailable
from bastide.inference.pacing.pace import Pace, Share
from bastide.store import Scope, Store, ended, for_ever, queries, to_uuid

_Q: Final = queries("bastide.inference")
_SHARE, _LEAVE = _Q["share_pace"], _Q["leave_pace"]

_LEASE_S: Final = 15.0
_OWN_S: Final = 12.0  # of them, how long this process counts on it
_PATIENCE_S: Final = 5.0
_BEGIN_S: Final = 1.0  # how long who begins waits for what others give up
_ALONE_S: Final = 5.0  # how often a share is looked at
_AMONG_OTHERS_S: Final = 2.0
_SOON_S: Final = 0.05  # others were asked to give some up
_AT_MOST_EVERY_S: Final = 0.2
_AWAY_S: Final = 0.5
_TELL_EVERY_S: Final = 1.0
_QUIET_S: Final = 900.0  # what was not used for so long is given back
_FOR_EVER: Final = float("inf")
_NEVER: Final = float("-inf")


class Sharing:
    """Keeps the shares of this process. One a process, used in one event loop."""

    def __init__(self, store: Store, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`holder` is what this process is known by."""
        self._store = store
        self._holder = holder
        self._clock = clock
        self._paces: dict[tuple[str, bytes], Pace] = {}
        self._new: list[Pace] = []
        self._woken = asyncio.Event()
        self._asking = asyncio.Lock()
        self._beginning = asyncio.Lock()
        self._told_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._leave: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to look after the shares."""
        self._task = asyncio.get_running_loop().create_task(
            for_ever("sharing the rates of endpoints", self._turn, pause_s=_AWAY_S)
        )
        self._leave = self._store.hearing.on("inference.pace", self._wanted)

    async def stop(self) -> None:
        """Give back what is held."""
        self._leave()
        await ended(self._task)
        for scope, paces in _by_tenant(self._paces.values()):
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._give_back(scope, paces)
            except (BastideError, TimeoutError):
                break
        self._paces.clear()

    def keep(self, pace: Pace) -> None:
        """Look after this one's share, from now on if it was not."""
        share = pace.share
        assert share is not None, "only what is shared is kept"
        place = (share.scope.tenant, share.place)
        if self._paces.get(place) is not pace:
            self._paces[place] = pace
            share.used_at = self._clock()
            self._new.append(pace)

    async def begun(self) -> None:
        """Have a first share of what is new here; where others hold all of it, wait a moment for what they give up."""
        if not self._new and not self._beginning.locked():
            return
        async with self._beginning:  # another call may have begun to ask for what is new
            new, self._new = self._new, []
            until = self._clock() + _BEGIN_S
            while new and self._clock() < until:
                await self._ask(new)
                new = [one for one in new if one.share is not None and one.share.requests == 0 and one.share.others]
                if new:
                    await asyncio.sleep(_SOON_S)

    def wake(self, pace: Pace) -> None:
        """More is wanted of this one, or will be soon."""
        share = pace.share
        if share is None:
            return
        self.keep(pace)
        soon = share.asked_at + (_TELL_EVERY_S if share.dry else _AT_MOST_EVERY_S)
        if share.ask_at > soon:
            share.ask_at = soon
            self._woken.set()

    def _wanted(self, said: str) -> None:
        """Another process lacks some of this."""
        for pace in self._paces.values():
            share = pace.share
            if share is not None and said == f"{to_uuid(share.scope.tenant)} {share.id}":
                share.ask_at = 0.0
                self._woken.set()

    async def _turn(self) -> None:
        now = self._clock()
        nearest = min((one.share.ask_at for one in self._paces.values() if one.share), default=_FOR_EVER)
        if nearest > now:
            try:
                async with asyncio.timeout(min(nearest - now, _ALONE_S)):
                    await self._woken.wait()
            except TimeoutError:
                pass
        self._woken.clear()
        now = self._clock()
        await self._put_away(now - _QUIET_S)
        await self._ask([one for one in self._paces.values() if one.share and one.share.ask_at <= now])

    # -- asking -------------------------------------------------------------------------------------

    async def _ask(self, paces: Sequence[Pace]) -> None:
        async with self._asking:
            for scope, of_tenant in _by_tenant(paces):
                try:
                    async with asyncio.timeout(_PATIENCE_S):
                        await self._asked(scope, of_tenant)
                except (DatabaseUnavailable, Contended, TimeoutError):
                    _go_on_without(of_tenant, self._clock())

    async def _asked(self, scope: Scope, paces: Sequence[Pace]) -> None:
        asked_at = self._clock()
        tell = asked_at - self._told_at > _TELL_EVERY_S
        found: list[tuple[Pace, Share, int, int, tuple[int, int, bool]]] = []
        async with self._store.under(scope) as db:
            for pace in paces:
                share = pace.share
                if share is not None and not share.id:
                    share.id = (await db.keyed(share.place, purpose="pace")).hex()[:32]
            for pace in sorted(paces, key=lambda one: one.share.id if one.share else ""):
                share = pace.share
                if share is None or pace.per_minute is None:
                    continue
                wants = pace.wants(asked_at)
                pace.allot(min(share.requests, max(pace.used(asked_at), wants, share.requests // 2)), share.own_until)
                rate = pace.per_minute
                values = {"pace": share.id, "rate": rate, "keeps": share.requests, "wants": wants}
                row = await db.row(tuple, _SHARE, holder=self._holder, seconds=_LEASE_S, tell=tell, **values)
                assert row is not None, "a share is always answered for"
                found.append((pace, share, wants, rate, row))
        for pace, share, wants, rate, row in found:  # only what was committed is held
            if pace.share is share and pace.per_minute is not None:
                self._learn(pace, share, wants, row, asked_at)
                if pace.per_minute != rate:  # meanwhile: what was said is of the rate before
                    pace.take_over(rate)
                    share.ask_at = self._clock()

    def _learn(self, pace: Pace, share: Share, wants: int, row: tuple[int, int, bool], asked_at: float) -> None:
        requests, gives, share.others = row
        now, was_dry = self._clock(), share.dry
        left = max(requests - gives, min(requests, pace.used(now)))
        pace.allot(left, asked_at + _OWN_S)
        share.asked_at = asked_at
        share.dry = requests < wants
        if share.dry and share.others:
            self._told_at = asked_at
        if left < requests:
            share.ask_at = now  # what is given up is told at once
        elif share.dry and share.others and not was_dry:
            share.ask_at = now + _SOON_S  # they were asked to give some up
        else:
            share.ask_at = asked_at + (_AMONG_OTHERS_S if share.others else _ALONE_S)

    # -- ending -------------------------------------------------------------------------------------

    async def _put_away(self, before: float) -> None:
        old = [key for key, one in self._paces.items() if one.share is None or one.share.used_at < before]
        if not old:
            return
        quiet = [self._paces.pop(key) for key in old]
        async with self._asking:
            for scope, paces in _by_tenant(quiet):
                try:
                    await self._give_back(scope, paces)
                except DatabaseUnavailable:
                    break

    async def _give_back(self, scope: Scope, paces: Sequence[Pace]) -> None:
        now = self._clock()
        left = [(one.share, one.used(now)) for one in paces if one.share is not None and one.share.id]
        for pace in paces:
            if pace.share is not None:
                pace.allot(0, _NEVER)
        async with self._store.under(scope) as db:
            for share, used in left:
                await db.run(_LEAVE, pace=share.id, holder=self._holder, used=used)


def _by_tenant(paces: Iterable[Pace]) -> list[tuple[Scope, list[Pace]]]:
    found: dict[str, list[Pace]] = defaultdict(list)
    for pace in paces:
        if pace.share is not None:
            found[pace.share.scope.tenant].append(pace)
    return [(of_tenant[0].share.scope, of_tenant) for of_tenant in found.values() if of_tenant[0].share is not None]


def _go_on_without(paces: Sequence[Pace], now: float) -> None:
    for pace in paces:
        if pace.share is not None:
            pace.allot(max(pace.share.requests, pace.without()), _FOR_EVER)
            pace.share.asked_at, pace.share.ask_at = now, now + _AWAY_S
