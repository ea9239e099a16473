"""Whatever breaks in the journal is told, and nothing is lost or comes twice."""

from __future__ import annotations

import asyncio
import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.rooms.audit.conftest import Logged, somebody

from bastide.audit import CallFacts, Journal
from bastide.audit.carrying import Carrying
from bastide.audit.collecting import Collector
from bastide.audit.composing import Composer
from bastide.audit.segments import SYNC
from bastide.errors import JournalUnwritable
from bastide.settings import AuditSettings

from .journals import call, carried, keep_back, made, recorded, until, written


async def test_a_full_disk_lets_no_call_begin_and_loses_none(logged: Logged, tmp_path: Path) -> None:
    full = asyncio.Event()

    def sync(file: int) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        SYNC(file)

    ours = somebody()
    journal = Journal(logged.store, AuditSettings(home=tmp_path), sync=sync)
    before = made(journal, ours)
    running = journal.begin(ours)
    await carried(journal)
    full.set()
    running.close(call())
    await until(lambda: bool(journal.problem))
    with pytest.raises(JournalUnwritable) as caught:
        journal.begin(ours)
    assert (caught.value.status, "No space left" in caught.value.message) == (503, True)
    full.clear()
    await until(lambda: not journal.problem)
    after = made(journal, ours)
    await carried(journal)
    await journal.stop()
    assert await recorded(logged, ours) == [before, running.id, after]
    assert (await logged.audit.verify()).valid


@pytest.mark.parametrize("fault", [ValueError("a word"), MemoryError(), asyncio.CancelledError()])
async def test_whatever_breaks_while_it_is_written_lets_no_call_begin_and_loses_none(
    logged: Logged, tmp_path: Path, fault: BaseException
) -> None:
    broken = threading.Event()

    def sync(file: int) -> None:
        if broken.is_set():
            raise fault
        SYNC(file)

    ours = somebody()
    journal = Journal(logged.store, AuditSettings(home=tmp_path), sync=sync)
    before = made(journal, ours)
    await carried(journal)
    broken.set()
    running = made(journal, ours)
    await until(lambda: bool(journal.problem))
    with pytest.raises(JournalUnwritable, match=type(fault).__name__):
        journal.begin(ours)
    broken.clear()
    await until(lambda: not journal.problem)
    await carried(journal)
    await journal.stop()
    assert await recorded(logged, ours) == [before, running]
    assert (await logged.audit.verify()).valid


async def test_what_breaks_while_it_is_carried_is_tried_again(
    logged: Logged, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, faults, step = somebody(), [asyncio.CancelledError(), ValueError("a word")], Carrying.step

    async def broken(way: Carrying) -> Any:
        if faults:
            raise faults.pop(0)
        return await step(way)

    monkeypatch.setattr(Carrying, "step", broken)
    id = made(journal, ours)
    await carried(journal)
    assert (await recorded(logged, ours), faults) == ([id], [])


async def test_who_carries_for_all_goes_on_whatever_breaks(
    logged: Logged, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.collecting._RETRY_S", 0.01)
    faults, turn, gone_on = [asyncio.CancelledError(), ValueError("a word")], Collector._turn, asyncio.Event()

    async def broken(collector: Collector, **options: Any) -> float:
        if faults:
            raise faults.pop(0)
        gone_on.set()
        return await turn(collector, **options)

    monkeypatch.setattr(Collector, "_turn", broken)
    await journal.start(for_all=True)
    async with asyncio.timeout(60):
        await gone_on.wait()


async def test_a_call_that_cannot_tell_what_it_is_holds_up_nobody(logged: Logged, journal: Journal) -> None:
    def dumb() -> CallFacts:
        raise ValueError("a word")

    ours = somebody()
    silent = journal.begin(ours, dumb)
    id = made(journal, ours)
    await carried(journal)
    silent.close(call())
    await carried(journal)
    assert await recorded(logged, ours) == [id, silent.id]


async def test_a_disk_that_is_silent_lets_no_call_begin_and_loses_none(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.journal._SLOW_S", 0.3)
    speaks = threading.Event()

    def sync(file: int) -> None:
        speaks.wait()
        SYNC(file)

    ours = somebody()
    journal = Journal(logged.store, AuditSettings(home=tmp_path), sync=sync)
    made_before = [made(journal, ours) for _ in range(3)]
    await until(lambda: bool(journal.problem))
    with pytest.raises(JournalUnwritable, match="has not ended"):
        journal.begin(ours)
    speaks.set()
    await until(lambda: not journal.problem)
    after = made(journal, ours)
    await carried(journal)
    await journal.stop()
    assert await recorded(logged, ours) == [*made_before, after]


@pytest.mark.parametrize(("answers", "drained", "pauses"), [
    (False, True, [0.001] * 2), (True, True, [0.001] * 5), (True, False, [0.0] * 5), (False, False, []),
])  # fmt: skip
async def test_composing_lets_others_run_where_there_are_any_and_hurries_when_it_is_behind(
    logged: Logged, journal: Journal, monkeypatch: pytest.MonkeyPatch, answers: bool, drained: bool, pauses: list[float]
) -> None:
    ours, slept = somebody(), []
    keep_back(journal)
    ids = [made(journal, ours) for _ in range(40)]
    owned = await written(journal)
    with ThreadPoolExecutor(1) as thread:
        way = Carrying(logged.store, owned, Composer(), thread, answers=lambda: answers)
        noted, _ = way._read()
        assert way.drained
        way.drained = drained
        keys = {ours.tenant: await logged.store.keys_of(ours.tenant)}
        monkeypatch.setattr("bastide.audit.carrying.time.sleep", slept.append)
        assert [row.id for row in way._compose(noted, keys)] == ids
    assert slept == pauses


async def test_what_was_carried_is_not_carried_again(logged: Logged, either: Journal) -> None:
    journal = either
    ours = somebody()
    ids = [made(journal, ours) for _ in range(3)]
    await carried(journal)
    assert journal._owned is not None
    with ThreadPoolExecutor(1) as thread:
        again = Carrying(logged.store, journal._owned, Composer(), thread, journal._enter)
        assert await again.step() is None, "the database knows how far it is"
        await logged.sql(f"delete from audit.journal where owner = '{journal._owned.name}'")
        again = Carrying(logged.store, journal._owned, Composer(), thread, journal._enter)
        assert await again.step() is not None
    assert await recorded(logged, ours) == ids, "and knows each call by its id"
    assert (await logged.audit.verify()).valid


async def test_a_fault_after_the_commit_carries_nothing_twice(logged: Logged, either: Journal) -> None:
    journal = either
    ours = somebody()
    first = made(journal, ours)
    await carried(journal)
    way = journal._way
    assert way is not None
    write, faults = way._write, iter([True, False])

    async def breaks(*given: Any) -> bool:
        done = await write(*given)
        if next(faults, False):
            raise OSError("the connection broke when the commit was sent")
        return done

    way._write = breaks  # type: ignore[method-assign]
    rest = [made(journal, ours) for _ in range(3)]
    await carried(journal)
    assert await recorded(logged, ours) == [first, *rest]


async def test_two_carry_the_same_segments_at_once(logged: Logged, either: Journal) -> None:
    journal = either
    ours = somebody()
    keep_back(journal)
    ids = [made(journal, ours) for _ in range(5)]
    owned = await written(journal)
    with ThreadPoolExecutor(1) as thread:
        ways = [Carrying(logged.store, owned, Composer(), thread, journal._enter) for _ in range(4)]
        await asyncio.gather(*(way.step() for way in ways))
    assert await recorded(logged, ours) == ids
