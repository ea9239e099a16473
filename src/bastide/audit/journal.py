"""The journal: receipts of calls that happen outside any transaction, at the speed of those calls.

    1. a receipt's id exists when its call begins; what goes in and out is committed to
    2. within 100 ms of the end the entry is on the disk, sealed, many in one write (see segments);
       a call that goes on longer is noted as begun, so that it is known of even if the process is killed
    3. from the disk it is carried into the outbox (see carrying), whenever the database is there; where a process of
       the home carries for all, by that one
    4. what a process that is gone has left there is carried by another, or by the next (see collecting)

A call waits for none of this. While the disk takes nothing, no further call begins: without evidence none is made.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from bastide.audit.carrying import Carrying
from bastide.audit.collecting import Collector
from bastide.audit.committing import Entry, Promise
from bastide.audit.composing import Composer
from bastide.audit.entering import Enter
from bastide.audit.entries import INTERRUPTED, Writing
from bastide.audit.leaf import SECRET_BYTES
from bastide.audit.segments import SYNC, Folder, Owned, Sync, Writer
from bastide.audit.values import CallFacts
from bastide.errors import BastideError, JournalUnwritable
from bastide.settings import AuditSettings
from bastide.store import Scope, Store, ended, for_ever, told_to_end
from bastide.telemetry import count, gauge, log

_AT_ONCE: Final = 64  # secrets that the operating system is asked for
_GROUP_S: Final = 0.05
_SLOW_S: Final = 10.0  # a disk that is silent for so long takes nothing
_RETRY_S: Final = 0.5
_RETRY_S_MAX: Final = 5.0
_FRAME_MAX: Final = 512  # calls
_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
_COMING_MAX: Final = 4_000  # ids that are kept at hand; while more are on their way, any may be
_STOP_S: Final = 5.0
_WATCH_S: Final = 0.5  # between two looks at how far another process has carried
_OTHERS_S: Final = 5.0  # after so long without progress of another process we carry ourselves
_REST_S: Final = 15.0  # a last file of which all was carried lies for so long at most

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Long:
    """A call that goes on, as it is noted."""

    entry: Entry
    facts: CallFacts | None


class Journal:
    """The entries of a process on their way into the log. Used in one event loop."""

    def __init__(self, store: Store, settings: AuditSettings, *, sync: Sync = SYNC) -> None:
        """`sync` waits for the disk; tests have disks that are full."""
        self._store = store
        self._folder = Folder(settings.home)
        self._sync = sync
        self._composer = Composer()
        self._writing = Writing()
        self._fresh: list[Entry] = []
        self._closed: list[Entry] = []
        self._open: dict[str, _Long] = {}
        self._coming: set[str] = set()
        self._more_coming = False
        self._keeping: asyncio.Task[None] | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._collector: Collector | None = None
        self._collecting: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._owned: Owned | None = None
        self._writer: Writer | None = None
        self._way: Carrying | None = None
        self._enter: Enter | None = None
        self._reach: deque[tuple[int, int, list[str]]] = deque()  # the frame after some calls, how many, which
        self._leaving = False
        self._secrets: list[bytes] = []
        self.waiting = 0  # calls that are over and not in the outbox
        self.problem = ""

    # -- calls --------------------------------------------------------------------------------------

    def begin(self, scope: Scope, promise: Promise | None = None) -> Entry:
        """An entry for a call of `scope`. Raises JournalUnwritable while the disk takes nothing.

        `promise` is asked for what is known before the end, should the call take long.
        """
        if self.problem:
            raise JournalUnwritable(self.problem)
        entry = Entry(self, scope, promise)
        self._fresh.append(entry)
        if self._keeping is None:
            self._keep_soon()
        return entry

    def secret(self) -> bytes:
        """What nobody else has got, for an entry."""
        if not self._secrets:
            data = os.urandom(SECRET_BYTES * _AT_ONCE)
            self._secrets += [data[at : at + SECRET_BYTES] for at in range(0, len(data), SECRET_BYTES)]
        return self._secrets.pop()

    def note(self, entry: Entry) -> None:
        """An entry was closed."""
        self._closed.append(entry)
        self.waiting += 1
        if self._keeping is None:
            self._keep_soon()

    def holds(self, id: str) -> bool:
        """Whether this receipt may be on its way into the log."""
        return id in self._coming or self._more_coming or any(one.id == id for one in self._fresh)

    # -- starting and stopping ----------------------------------------------------------------------

    async def start(self, *, for_all: bool = False, enter: Enter | None = None) -> None:
        """Carry what processes have left that are gone; `for_all` also what those of this home write that run.

        `enter` is the way into the log where this process takes its turns.
        """
        loop = asyncio.get_running_loop()
        self._enter = enter
        self._collector = Collector(self._store, self._folder, self._composer, self._executor(), self._name, enter)
        self._collecting = loop.create_task(self._collector.run(for_all=for_all))
        self._tidying = loop.create_task(for_ever("tidying the journal", self._tidy_up))

    async def stop(self) -> None:
        """Note what runs as interrupted, and carry what can be carried in a few seconds; the rest stays on the disk."""
        await ended(self._collecting, self._tidying)
        self._collecting = self._tidying = None
        self._interrupt()
        await _over(self._keeping, _STOP_S)
        self._leaving = True
        await _over(self._carrying, 0.1 if self._store.presence.away else _STOP_S)
        self._keeping = self._carrying = None
        if self._thread is not None:
            await self._off(self._give_up)
            self._thread.shutdown()
            self._thread = None
        self._fresh, self._closed, self._open = [], [], {}
        self._leaving = False

    def _name(self) -> str:
        return "" if self._owned is None else self._owned.name

    def _interrupt(self) -> None:
        for entry in [*self._fresh, *(one.entry for one in self._open.values())]:
            if entry.end is None and (facts := _promised(entry)) is not None:
                entry.close(facts, outcome=INTERRUPTED)

    def _give_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._owned is not None:
            self._owned.release(whole=not self.waiting and not self._open)
        self._writer = self._owned = self._way = None

    # -- onto the disk ------------------------------------------------------------------------------

    def _keep_soon(self) -> None:
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while self._fresh or self._closed:
            await asyncio.sleep(_GROUP_S)
            fresh, self._fresh = self._fresh, []
            closed, self._closed = self._closed, []
            long = [_Long(one, _promised(one)) for one in fresh if one.end is None]
            self._remember([one.id for one in fresh])
            try:
                await self._written(long, closed)
            except (Exception, asyncio.CancelledError) as fault:  # whatever it is: without evidence no call begins
                if told_to_end():
                    raise
                self._closed[:0] = closed
                self._failed(fault.strerror or str(fault) if isinstance(fault, OSError) else type(fault).__name__)
                await asyncio.sleep(_RETRY_S)
                continue
            self._mended()
            assert self._writer is not None, "it has just written"
            if closed:
                ids = [] if self._more_coming else [one.id for one in closed]
                self._reach.append((self._writer.number, len(closed), ids))
            if self._carrying is None and self._reach:
                self._carrying = asyncio.get_running_loop().create_task(self._carry())
        self._keeping = None

    def _remember(self, ids: list[str]) -> None:
        if len(self._coming) < _COMING_MAX:
            self._coming.update(ids)
        else:
            self._more_coming = True

    async def _written(self, long: list[_Long], closed: list[Entry]) -> None:
        """A write that has ended. One that takes long holds up new calls, as what they leave would lie in memory."""
        writing = asyncio.ensure_future(self._off(lambda: self._write(long, closed)))
        await asyncio.wait({writing}, timeout=_SLOW_S)
        if not writing.done():
            self._failed(f"a write has not ended for {_SLOW_S:g} seconds")
        await writing

    def _failed(self, why: str) -> None:
        count("journal_writes_failed")
        told = f"The journal cannot be written: {why}."
        if told != self.problem:
            log.error("no call begins: %s", told)
            gauge("journal_unwritable", 1)
        self.problem = told

    def _mended(self) -> None:
        if self.problem:
            log.warning("the journal is written again")
            gauge("journal_unwritable", 0)
            self.problem = ""

    def _write(self, long: list[_Long], closed: list[Entry]) -> None:
        """In the thread."""
        writing = self._writing
        for one in long:
            self._open[one.entry.id] = one
        for entry in closed:
            self._open.pop(entry.id, None)
        if self._owned is None:
            self._owned = self._folder.claim()
        if self._writer is None:
            self._writer = Writer(self._owned, sync=self._sync)
        if not self._writer.open or self._writer.size > _FILE_BYTES_MAX:
            self._writer.begin()
            writing.begin()
            long = list(self._open.values())  # earlier files may go without them
        contents = []
        for one in long:
            entry = one.entry
            writing.begun(entry.id, entry.scope, one.facts, entry.secret, entry.committed_input(), entry.started)
        for n, entry in enumerate(closed):
            assert entry.end is not None
            facts, outcome, resource, subjects = entry.end
            writing.over(entry.id, entry.scope, facts, entry.secret, entry.sides, outcome, resource, subjects)
            if n % _FRAME_MAX == _FRAME_MAX - 1 and n + 1 < len(closed):
                contents.append(writing.taken(time.time()))
        contents.append(writing.taken(time.time()))
        self._writer.append(contents)

    # -- into the outbox ----------------------------------------------------------------------------

    async def _carry(self) -> None:
        """Until all frames are in the outbox: by our own hand, or by that of the process that carries for all."""
        pause, since = _RETRY_S, time.monotonic()
        while self._reach:
            try:
                own = self._leaving or time.monotonic() - since > _OTHERS_S or self._is_the_carrier
                if not own and await self._off(self._folder.somebody_carries):
                    await asyncio.sleep(_WATCH_S)
                    place = await self._ours().asked()
                else:
                    left = await self._ours().step()
                    place = self._ours().place
                    if left is None and place < self._reach[0][0]:
                        place = self._lost()
                if self._reach[0][0] <= place:
                    since = time.monotonic()
                    await self._off(lambda place=place: self._tidy(place))  # type: ignore[misc]
                    self._arrived(place)
                pause = _RETRY_S
            except (
                Exception,
                asyncio.CancelledError,
            ) as fault:  # what waits is on the disk, and goes on when it is mended
                if told_to_end():
                    raise
                count("journal_carries_failed")
                if not isinstance(fault, BastideError):
                    log.exception("the journal was not carried")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_S_MAX)
        self._carrying = None

    def _lost(self) -> int:
        """The oldest calls that wait are nowhere to be read: somebody has removed or spoiled what was written."""
        place, calls, _ = self._reach[0]
        count("journal_entries_lost", calls)
        log.error("the receipts of %d calls cannot be read from the journal and are lost", calls)
        return place

    @property
    def _is_the_carrier(self) -> bool:
        return self._collector is not None and self._collector.in_office

    def _ours(self) -> Carrying:
        if self._way is None:
            assert self._owned is not None, "something was written"
            self._way = Carrying(self._store, self._owned, self._composer, self._executor(), self._enter)
        return self._way

    def _arrived(self, place: int) -> None:
        """The frames before `place` are in the outbox."""
        while self._reach and self._reach[0][0] <= place:
            _, calls, ids = self._reach.popleft()
            self.waiting -= calls
            self._coming.difference_update(ids)
        if not self.waiting:
            self._more_coming = False
            self._coming = set(self._coming)  # a set that has been large stays so until it is made anew
        gauge("journal_waiting", self.waiting)

    def _tidy(self, place: int) -> None:
        """In the thread: files whose frames were all carried go."""
        if self._owned is not None:
            self._owned.drop(place)

    async def _tidy_up(self) -> None:
        await asyncio.sleep(_REST_S)
        await self._off(self._rest)

    def _rest(self) -> None:
        """In the thread: when all is carried, the last file goes too."""
        if self._owned is not None and self._writer is not None and not self.waiting and not self._open:
            self._writer.close()
            self._owned.drop(self._writer.number, last=True)

    def _executor(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "journal")
        return self._thread

    async def _off(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor(), work)


def _promised(entry: Entry) -> CallFacts | None:
    """What is known of a call before its end; nothing where whoever should tell it fails."""
    try:
        return entry.promise() if entry.promise else None
    except Exception:
        log.exception("what is known of a call that goes on was not told")
        return None


async def _over(task: asyncio.Task[None] | None, within_s: float) -> None:
    """Wait for a task, and end it if that takes too long."""
    if task is not None:
        await asyncio.wait({task}, timeout=within_s)
        await ended(task)
