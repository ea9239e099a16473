"""Collecting: segments of other processes on their way into the outbox.

What a process has left that is gone is carried by any other that finds it. One process of a home may hold the office
of carrying for all that run, too: composing a receipt costs more than a call of the gateway, and whoever answers calls
should do nothing else. It needs nothing of them but their segments; a kill of either loses nothing (see `carrying`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

from bastide.audit.carrying import Carrying
from bastide.audit.composing import Composer
from bastide.audit.entering import Enter
from bastide.audit.segments import Folder, Office, Owned
from bastide.errors import BastideError
from bastide.store import Store, for_ever
from bastide.telemetry import count, log

_LEFT_S: Final = 15.0  # between two looks for what processes have left that are gone
_LOOK_S: Final = 0.1  # between two looks at the segments of those that run
_QUIET_LOOK_S: Final = 0.3  # the same after a while without any
_QUIET_LOOKS: Final = 30
_RETRY_S: Final = 2.0

Answer = TypeVar("Answer")


class Collector:
    """Carries what lies in a folder and is not its own process's."""

    def __init__(
        self,
        store: Store,
        folder: Folder,
        composer: Composer,
        thread: Executor,
        ours: Callable[[], str],
        enter: Enter | None = None,
    ):
        """`ours` names the segments of this process, which it carries itself; `enter` as in `Carrying`."""
        self._enter = enter
        self._store = store
        self._folder = folder
        self._composer = composer
        self._thread = thread
        self._ours = ours
        self._ways: dict[str, Carrying] = {}
        self._office: Office | None = None
        self._told: set[str] = set()
        self._looked = float("-inf")
        self._quiet = 0  # looks without anything

    @property
    def in_office(self) -> bool:
        """Whether it carries for all."""
        return self._office is not None

    async def run(self, *, for_all: bool) -> None:
        """Look again and again; `for_all` asks for the office of carrying for the processes that run."""
        try:
            await for_ever("collecting what lies in the journal", lambda: self._turn(for_all=for_all), pause_s=_RETRY_S)
        finally:
            if self._office is not None:
                self._office.leave()
                self._office = None

    async def _turn(self, *, for_all: bool) -> None:
        await asyncio.sleep(await self._look(for_all=for_all))

    async def _look(self, *, for_all: bool) -> float:
        """How long to wait before the next."""
        if time.monotonic() - self._looked > _LEFT_S:
            await self._left()
            self._looked = time.monotonic()
        if not for_all:
            return _LEFT_S
        if not await self._taken_office():
            return _RETRY_S
        self._quiet = 0 if await self._running() else self._quiet + 1
        return _LOOK_S if self._quiet < _QUIET_LOOKS else _QUIET_LOOK_S

    async def _taken_office(self) -> bool:
        if self._office is None:
            self._office = await self._off(self._folder.carry_for_all)
        return self._office is not None

    async def _running(self) -> bool:
        """Carry what the processes that run have written; whether there was anything."""
        names = await self._off(self._folder.owners)
        for gone in self._ways.keys() - set(names):
            del self._ways[gone]
        carried = False
        for name in names:
            if name == self._ours():
                continue
            way = self._ways.get(name)
            if way is None:
                owned = self._folder.seen(name)
                way = self._ways[name] = self._way(owned)
            try:
                while await way.step() is not None:
                    carried = True
                    if way.drained:
                        break
                self._told.discard(name)
            except Exception as fault:  # what waits is on the disk, and goes on by itself when what broke is mended
                count("journal_carries_failed")
                if name not in self._told:
                    self._told.add(name)
                    log.warning("receipts of a process wait: %s", fault)
                if not isinstance(fault, BastideError):
                    self._ways.pop(name, None)
                await asyncio.sleep(_RETRY_S)
        return carried

    def _way(self, owned: Owned) -> Carrying:
        answers = lambda: bool(self._ours())  # noqa: E731
        return Carrying(self._store, owned, self._composer, self._thread, self._enter, answers=answers)

    async def _left(self) -> None:
        for owned in await self._off(lambda: list(self._folder.orphans())):
            self._ways.pop(owned.name, None)
            await self._adopt(owned)

    async def _adopt(self, owned: Owned) -> None:
        try:
            way = self._way(owned)
            interrupted = await way.finish()
        except Exception as fault:  # what it left stays where it is until the next look
            log.warning("receipts of a process that is gone wait: %s", fault)
            return
        finally:
            owned.release(whole=False)
        log.info("receipts of a process that is gone were carried; %d calls were interrupted", interrupted)

    async def _off(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
