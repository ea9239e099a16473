"""Who carries: the process itself, one for all of its home, or another when it was killed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.rooms.audit.conftest import Logged, somebody

from bastide.audit import Audit, Journal
from bastide.audit.segments import Folder
from bastide.settings import AuditSettings

from .journals import IN, call, carried, made, recorded, until


async def test_one_process_of_a_home_carries_for_all_that_run(logged: Logged, tmp_path: Path) -> None:
    ours, theirs = somebody(), somebody()
    office, worker, other = (Journal(logged.store, AuditSettings(home=tmp_path)) for _ in range(3))
    await office.start(for_all=True)
    await until(Folder(tmp_path).somebody_carries)
    await other.start(for_all=True)  # one has the office already
    ids = [made(worker, ours) for _ in range(5)]
    foreign = [made(other, theirs) for _ in range(5)]
    await asyncio.gather(carried(worker), carried(other))
    assert worker._ours()._reader.number == 0, "it has not read its segments itself"
    assert (await recorded(logged, ours), await recorded(logged, theirs)) == (ids, foreign)
    await office.stop()  # and now nobody does
    ids += [made(worker, ours) for _ in range(5)]
    await carried(worker)
    assert worker._ours()._reader.number > 0
    assert await recorded(logged, ours) == ids
    for one in (worker, other):
        await one.stop()
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["carrier.lock"]


async def test_an_office_that_carries_nothing_holds_up_nobody(
    logged: Logged, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.journal._OTHERS_S", 0.3)
    office = Folder(tmp_path).carry_for_all()
    assert office is not None
    assert Folder(tmp_path).carry_for_all() is None, "one at a time"
    ours = somebody()
    ids = [made(journal, ours) for _ in range(3)]
    await carried(journal)
    assert await recorded(logged, ours) == ids
    office.leave()
    assert not Folder(tmp_path).somebody_carries()


async def test_a_folder_that_cannot_be_read_for_a_while_is_looked_at_again(
    logged: Logged, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.collecting._RETRY_S", 0.05)
    owners, fails = Folder.owners, iter([True, True])

    def unreadable(self: Folder) -> list[str]:
        if next(fails, False):
            raise OSError(errno.EIO, "Input/output error")
        return owners(self)

    monkeypatch.setattr(Folder, "owners", unreadable)
    office = Journal(logged.store, AuditSettings(home=tmp_path))
    await office.start(for_all=True)
    await until(Folder(tmp_path).somebody_carries)
    ours = somebody()
    ids = [made(journal, ours) for _ in range(3)]
    await carried(journal)
    assert journal._ours()._reader.number == 0, "the office has carried them"
    assert await recorded(logged, ours) == ids
    await office.stop()


_CALLS = """
import asyncio, sys
from pathlib import Path
from bastide.audit import Journal
from bastide.settings import AuditSettings, Settings
from bastide.store import Store
from tests.rooms.audit.journal.journals import call, made
from tests.rooms.audit.conftest import somebody

async def main(home, journal_home, tenant):
    store = Store(Settings.read(home, environment={}).store)
    await store.start()
    journal = Journal(store, AuditSettings(home=journal_home))
    if sys.argv[4] == "away":
        async def never(*given):
            await asyncio.sleep(600)
        journal._carry = never
    ours = somebody(tenant)
    for n in range(100000):
        closed = made(journal, ours)
        open = journal.begin(ours, call)
        open.input(b"x")
        print(closed, open.id, flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.parametrize("database", ["away", "there", "there, and another carries"])
async def test_kill_9_loses_no_receipt_that_was_given_out_a_moment_before(
    logged: Logged, tmp_path: Path, database: str
) -> None:
    ours = somebody()
    given: list[tuple[float, str, str]] = []
    words = [sys.executable, "-c", _CALLS, str(logged.home), str(tmp_path), ours.tenant, database]
    office = Journal(logged.store, AuditSettings(home=tmp_path))
    if database == "there, and another carries":
        await office.start(for_all=True)
        await until(Folder(tmp_path).somebody_carries)
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    while len(given) < 150:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        given.append((time.monotonic(), *line.decode().split()))  # type: ignore[arg-type]
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    await process.wait()
    audit = Audit(logged.store, AuditSettings(home=tmp_path))
    await audit.journal.start()
    await until(lambda: not list((tmp_path / "journal").glob("jrn_*")))
    await office.stop()
    found = await recorded(logged, ours)
    assert len(found) == len(set(found)), "none twice"
    kept = set(found)
    old = [one for one in given if one[0] < killed - 0.3]
    assert len(old) > 30
    assert {closed for _, closed, _ in old} | {begun for _, _, begun in old} <= kept
    receipt = await logged.audit.receipt(ours, old[0][2])
    assert (receipt.body["outcome"], receipt.body["output"]) == ("interrupted", "")
    assert receipt.body["model"] == "local/extractive", "what was known of it is said"
    assert await logged.audit.matches(ours, old[0][2], input=b"x")
    assert (await logged.audit.receipt(ours, old[0][1])).body["outcome"] == "done"
    checked = await logged.audit.verify()
    assert checked.valid, checked.problems
    await audit.journal.stop()


async def test_who_lives_keeps_what_is_his(logged: Logged, journal: Journal, tmp_path: Path) -> None:
    journal.begin(somebody())
    await until(lambda: journal._writer is not None)
    assert list(Folder(tmp_path).orphans()) == []


async def test_calls_that_run_when_the_house_stops_are_recorded_as_interrupted(
    logged: Logged, journal: Journal
) -> None:
    ours = somebody()
    entry = journal.begin(ours, call)
    entry.input(IN)
    await journal.stop()
    receipt = await logged.audit.receipt(ours, entry.id)
    assert receipt.body["outcome"] == "interrupted"
