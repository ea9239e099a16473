"""Calls that go straight into the log, past the outbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.rooms.audit.conftest import Logged, somebody

from bastide.audit import Audit, Journal
from bastide.audit.note import SecretKey
from bastide.settings import AuditSettings

from .journals import carried, made, recorded, straight


async def test_what_the_home_carries_itself_does_not_pass_through_the_outbox(logged: Logged, journal: Journal) -> None:
    journal._enter = straight(logged)
    ours = somebody()
    passed = "select pg_sequence_last_value(pg_get_serial_sequence('audit.outbox', 'seq'))"
    before = await logged.value(passed)
    ids = [made(journal, ours, subjects=["anna"]) for _ in range(3)]
    await carried(journal)
    assert await logged.value(passed) == before
    assert await recorded(logged, ours) == ids
    async with logged.store.under(ours) as db:
        assert await logged.audit.forget(db, "anna") == 3
    assert (await logged.audit.verify()).valid


async def test_what_goes_straight_counts_apart_from_what_waits(logged: Logged, journal: Journal) -> None:
    journal._enter = straight(logged)
    ours = somebody()
    for _ in range(4):
        async with logged.store.under(ours) as db:
            await logged.audit.record(db, "test.act")
        made(journal, ours)
        await asyncio.sleep(0)
    await carried(journal)
    await logged.settle()
    counts = await logged.value(
        "select array_agg(n order by slot = 32) from (select slot, n from audit.counter where tenant_id ="
        f" (select tenant_id from audit.event where id = '{(await recorded(logged, ours))[0]}')) as c"
    )
    assert (sum(counts[:-1]), counts[-1]) == (4, 4)
    found = await logged.audit.verify()
    assert found.valid, found.problems


async def test_while_another_has_the_turn_calls_wait_in_the_outbox(logged: Logged, journal: Journal) -> None:
    journal._enter = straight(logged)
    ours = somebody()
    async with logged.superuser() as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock(7092446862314537474)")
        ids = [made(journal, ours) for _ in range(3)]
        await carried(journal)
        assert (await logged.audit.health()).waiting == 3
    assert await recorded(logged, ours) == ids
    assert (await logged.audit.verify()).valid


async def test_two_that_take_turns_know_when_the_other_was_there(logged: Logged, tmp_path: Path) -> None:
    second = Audit(logged.store, logged.settings)
    await second.start()
    assert second._sequencer is not None
    journals = [Journal(logged.store, AuditSettings(home=tmp_path)) for _ in range(2)]
    journals[0]._enter, journals[1]._enter = straight(logged), second._sequencer.enter
    ours, ids = somebody(), []
    for n in range(6):
        ids.append(made(journals[n % 2], ours))
        await carried(journals[n % 2])
    assert await recorded(logged, ours) == ids
    for one in journals:
        await one.stop()
    await second.stop()
    found = await logged.audit.verify()
    assert found.valid, found.problems


class Faulty:
    """A log's key whose first signature no database takes."""

    def __init__(self, key: SecretKey) -> None:
        self.public, self._key, self.signed = key.public, key, 0

    def sign(self, text: str) -> str:
        self.signed += 1
        return self._key.sign(text) + ("\0" if self.signed == 1 else "")


async def test_a_turn_that_was_not_committed_leaves_no_trace_in_the_next(
    logged: Logged, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = logged.audit._sequencer
    assert sequencer is not None
    faulty = Faulty(sequencer._key)
    monkeypatch.setattr(sequencer, "_key", faulty)
    journal._enter = straight(logged)
    ours = somebody()
    ids = [made(journal, ours) for _ in range(3)]
    await carried(journal)
    assert await recorded(logged, ours) == ids
    assert faulty.signed > 1
    found = await logged.audit.verify()
    assert found.valid, found.problems
