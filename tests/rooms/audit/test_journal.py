"""The journal: what a call left is on the disk before anybody asks, and in the log exactly once, whatever dies."""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.audit import Audit, CallFacts, Journal, canonical, verify_file
from bastide.audit.carrying import Carrying
from bastide.audit.collecting import Collector
from bastide.audit.composing import Composer
from bastide.audit.entering import Enter
from bastide.audit.entries import Common, Noted, Reading, Who, Writing
from bastide.audit.leaf import Pseudonyms, compose, derive, pseudonym
from bastide.audit.note import SecretKey
from bastide.audit.packing import Packer, unpacked
from bastide.audit.receipts import body_of, evidence_of
from bastide.audit.segments import SYNC, Folder, Owned, Reader, Writer
from bastide.errors import BlobDamaged, JournalUnwritable, UnknownReceipt
from bastide.settings import AuditSettings
from bastide.store import Query, Scope, TenantKeys, new_id
from bastide.store.db import Db

from .conftest import Logged, facts, somebody, started

IN, OUT = b"When does the lease end?", b"The lease ends in June."
PACKED_1 = "0128b52ffd2051b50000383031347d5d7d7d0400c01065f30c68cf383a2fe720"
COUNTED = Query("test", "counted", "select id from audit.event where act = 'inference' order by index")


def call(**changes: Any) -> CallFacts:
    """What a call left."""
    whole, now = facts(), time.time()
    given = {
        "act": "inference",
        "decision": whole.decision,
        "label": whole.label,
        "endpoint": whole.endpoint,
        "model": whole.model,
        "tokens_in": 7,
        "tokens_out": 6,
        "estimated": False,
        "tls": None,
        "started": now,
        "ended": now,
        "assurance": "local-measured",
    }
    return CallFacts(**{**given, **changes})


def made(journal: Journal, scope: Scope, said: CallFacts | None = None, **more: Any) -> str:
    """A call that began, went and ended."""
    entry = journal.begin(scope)
    entry.input(IN)
    entry.output(OUT[:5])
    entry.output(OUT[5:])
    entry.close(said or call(), **more)
    return entry.id


async def carried(journal: Journal) -> None:
    """Until all that is over is in the outbox; if that does not come about, what it waits for."""
    until = time.monotonic() + 60
    while journal.waiting:
        assert time.monotonic() < until, _what_waits(journal)
        await asyncio.sleep(0.01)


def _what_waits(journal: Journal) -> str:
    return "\n".join(
        [
            f"{journal.waiting} calls wait; frames {list(journal._reach)[:3]}; problem {journal.problem!r}",
            f"another process carries: {journal._folder.somebody_carries()}; its way: {vars(journal._way or object)}",
            *(str(task) for task in asyncio.all_tasks() if "bastide" in str(task)),
        ]
    )


def keep_back(journal: Journal) -> None:
    """From now on nothing is carried: it stays on the disk."""

    async def nothing() -> None:
        journal._carrying = None

    journal._carry = nothing  # type: ignore[method-assign]


def let_go(journal: Journal) -> None:
    """Again all is carried."""
    del journal._carry
    journal._carrying = asyncio.create_task(journal._carry())


async def recorded(logged: Logged, scope: Scope) -> list[str]:
    """The calls in the log, in their order."""
    await logged.settle()
    async with logged.store.under(scope) as db:
        return [row[0] for row in await db.rows(tuple, COUNTED)]


@pytest.fixture(scope="module")
async def logged() -> AsyncIterator[Logged]:
    """A log of its own: others of this room count what stands in theirs."""
    place = Path(tempfile.mkdtemp(prefix="bastide-journal-"))
    async with started(place / "home") as one:
        yield one
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
async def journal(logged: Logged, tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal of a folder of its own, on this room's database."""
    one = Journal(logged.store, AuditSettings(home=tmp_path))
    yield one
    await one.stop()


@pytest.fixture(params=["through the outbox", "straight"])
def either(request: pytest.FixtureRequest, logged: Logged, journal: Journal) -> Journal:
    """The same journal, carried either way."""
    if request.param == "straight":
        journal._enter = straight(logged)
    return journal


def straight(logged: Logged) -> Enter:
    """The way past the outbox."""
    sequencer = logged.audit._sequencer
    assert sequencer is not None
    return sequencer.enter


async def written(journal: Journal) -> Owned:
    """Until something that is over lies on the disk; where."""
    async with asyncio.timeout(60):
        while not journal._reach:
            await asyncio.sleep(0.01)
    assert journal._owned is not None
    return journal._owned


# -- what is recorded -------------------------------------------------------------------------------


async def test_a_receipt_of_a_call_proves_itself_offline(logged: Logged, tmp_path: Path) -> None:
    ours, neighbour = somebody(), somebody()
    id = made(logged.audit.journal, ours, resource="doc_1", subjects=["anna"])
    receipt = await logged.audit.receipt(ours, id)  # asked for at once: it is waited for
    wire = receipt.to_wire()
    assert (wire["outcome"], wire["tokens"], wire["estimated"]) == ("done", {"input": 7, "output": 6}, False)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(wire))
    found = verify_file(file, logged.home / "log.vkey")
    assert found.valid, found.problems
    assert await logged.audit.matches(ours, id, input=IN, output=OUT)
    assert not await logged.audit.matches(ours, id, output=OUT + b" ")
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(neighbour, id)
    async with logged.store.under(ours) as db:
        assert await logged.audit.forget(db, "anna") == 1
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(ours, id)
    assert (await logged.audit.verify()).valid


async def test_many_calls_of_many_tenants_come_in_their_order_and_once(logged: Logged, either: Journal) -> None:
    journal = either
    tenants = [somebody() for _ in range(3)]
    said = call()
    expected = {scope.tenant: [made(journal, scope, said) for _ in range(400)] for scope in tenants}
    await carried(journal)
    for scope in tenants:
        assert await recorded(logged, scope) == expected[scope.tenant]
    found = await logged.audit.verify()
    assert found.valid, found.problems


@pytest.mark.parametrize("calls", [511, 512, 513, 1024])
async def test_calls_that_just_fill_their_frames_are_carried_to_the_last(
    logged: Logged, either: Journal, calls: int
) -> None:
    ours, said = somebody(), call()
    ids = [made(either, ours, said) for _ in range(calls)]
    await carried(either)
    assert await recorded(logged, ours) == ids


async def test_a_long_answer_is_committed_to_as_a_short_one(logged: Logged) -> None:
    ours = somebody()
    entry = logged.audit.journal.begin(ours)
    piece = os.urandom(50_000)
    for _ in range(20):
        entry.output(piece)
    entry.close(call())
    assert await logged.audit.matches(ours, entry.id, input=b"", output=piece * 20)


async def test_what_went_in_is_committed_to_while_a_call_runs_and_when_it_has_just_ended(
    logged: Logged, journal: Journal
) -> None:
    entry = journal.begin(somebody())
    entry.input(IN)
    before = entry.committed_input()
    entry.output(OUT)
    entry.close(call())  # the thread may ask for a call that was noted as begun a moment later
    assert entry.committed_input() == before == entry.sides[0]


TEXT = st.text(max_size=20)
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3)


@settings(max_examples=60)
@given(
    model=TEXT, decision=JSON, label=JSON, tls=st.none() | JSON, place=TEXT, subjects=st.lists(TEXT, max_size=3),
    rules=st.lists(st.sampled_from(["R01", "R04", "a rule with a name"]), max_size=3), estimated=st.booleans(),
    t=st.integers(0, 4_000_000_000_000),
)  # fmt: skip
def test_what_is_composed_quickly_is_what_recording_composes(
    model: str, decision: Any, label: Any, tls: Any, place: str, subjects: list[str], rules: list[str],
    estimated: bool, t: int,
) -> None:  # fmt: skip
    decision = {**decision, "rules": [{"id": one, "ok": one == "R01"} for one in rules], "policy": place}
    endpoint = {"id": place, "record": "sha256:ab"}
    secret, tenant, id = os.urandom(32), new_id("ten"), new_id("rcp")
    keys, when = TenantKeys.of(tenant, b"k" * 32), datetime.fromtimestamp(t / 1000, UTC)
    spelled = [canonical(one).decode() for one in (decision, label, endpoint, tls)]
    noted = Noted(
        id, Who(tenant, "usr_1", "app_1"), Common("inference", model, "attested", *spelled), secret,
        commit_of(secret, "input", IN), commit_of(secret, "output", OUT), 1, 2, estimated, t, t, "done", model,
        subjects,
    )  # fmt: skip
    row = Composer().row(noted, keys)
    whole = facts(
        decision=decision, label=label, endpoint=endpoint, tls=tls, model=model, tokens_in=1, tokens_out=2,
        assurance="attested", started=when, ended=when,
    )  # fmt: skip
    body = {**body_of(whole, id=id, t=t, outcome="done", secret=secret), "estimated": estimated}
    opened = keys.unseal(row.sealed, f"audit.payload|{id}")
    assert opened[:32] == secret
    payload = unpacked(opened[32:])
    content = json.loads(payload)
    assert canonical(content["receipt"]) == canonical(body)
    assert canonical(body) in payload
    slow = json.loads(
        compose(
            id=id, act="inference", outcome="done", t=t, subjects=subjects, payload=payload, secret=secret,
            who=Pseudonyms(
                pseudonym(keys.keyed(b"", "audit tenant")),
                pseudonym(keys.keyed(b"usr_1", "audit actor")),
                pseudonym(keys.keyed(b"app_1", "audit app")),
                pseudonym(keys.keyed(model.encode(), "audit resource")) if model else "",
            ),
            evidence=evidence_of(body, whole, secret),
        )
    )  # fmt: skip
    quick = json.loads(row.body)
    assert row.body.isascii()
    assert "\n" not in row.body
    assert row.body.count('"log":{}') == 1, "the sequencer puts its place there"
    assert {**quick, "nonce": ""} == {**slow, "nonce": ""}


def commit_of(secret: bytes, side: str, content: bytes) -> bytes:
    return hmac.digest(derive(secret, side), content, "sha256")


async def test_what_the_log_cannot_take_holds_up_nothing(logged: Logged, journal: Journal) -> None:
    ours = somebody()
    made(journal, ours, call(assurance="sworn"))
    made(journal, ours, outcome="A Sentence!")
    good = made(journal, ours)
    await carried(journal)
    assert await recorded(logged, ours) == [good]


# -- on the disk ------------------------------------------------------------------------------------


async def test_segments_are_sealed_and_for_their_owner_only(journal: Journal, tmp_path: Path) -> None:
    ours = somebody()
    keep_back(journal)
    id = made(journal, ours, call(model="a-model-of-ours"), subjects=["anna"])
    async with asyncio.timeout(60):
        while not journal._reach:
            await asyncio.sleep(0.01)
    folder = tmp_path / "journal"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = [path for path in folder.iterdir() if not path.name.endswith(".lock")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert stat.S_IMODE((tmp_path / "secrets" / "journal-key").stat().st_mode) == 0o600
    content = file.read_bytes()
    for word in (id, ours.tenant, "a-model-of-ours", "anna", "lease", "R01"):
        assert word.encode() not in content
    assert file.stat().st_size < 4096


def frames_of(folder: Folder) -> tuple[Any, Path, list[int]]:
    """A file with five frames, and where each ends."""
    owned = folder.claim()
    writer = Writer(owned, sync=SYNC)
    writer.begin()
    ends = []
    for n in range(5):
        writer.append([b"frame %d" % n])
        ends.append(writer.size)
    writer.close()
    (_, path) = owned.files()[0]
    return owned, path, ends


def test_a_torn_end_is_not_there_and_what_is_whole_is(tmp_path: Path) -> None:
    owned, path, ends = frames_of(Folder(tmp_path))
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        expected = [b"frame %d" % n for n, end in enumerate(ends) if end <= size]
        assert [content for _, content, _ in Reader(owned).read()] == expected
    path.write_bytes(whole + bytes(100))  # space that the file system gave and nobody filled
    assert len(list(Reader(owned).read())) == 5
    path.write_bytes(whole + os.urandom(100))
    assert len(list(Reader(owned).read())) == 5


def test_a_damaged_frame_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    owned, path, ends = frames_of(Folder(tmp_path))
    whole = bytearray(path.read_bytes())
    whole[ends[1] + 20] ^= 1
    path.write_bytes(whole)
    assert [number for number, _, _ in Reader(owned).read()] == [0, 1, 3, 4]
    swapped = path.read_bytes()
    path.write_bytes(swapped[ends[0] :] + swapped[: ends[0]])
    assert [content for _, content, _ in Reader(owned).read()] == [], "a frame belongs to its place"


def test_another_home_cannot_read_it(tmp_path: Path) -> None:
    owned, path, _ = frames_of(Folder(tmp_path / "one"))
    other = Folder(tmp_path / "two")
    theirs = other.claim()
    (other.path / path.name.replace(owned.name, theirs.name)).write_bytes(path.read_bytes())
    assert list(Reader(theirs).read()) == []


def test_what_rests_on_a_lost_frame_is_counted_and_not_guessed() -> None:
    writing, reading = Writing(), Reading()
    scope, said = somebody(), call()
    contents = []
    for _ in range(2):
        writing.over(new_id("rcp"), scope, said, b"", (b"", b""), "done", "", [])
        contents.append(writing.taken(1.0))
    assert reading.read(contents[1])[2:] == ([], 1)
    assert len(reading.read(contents[0])[2]) == 1
    assert len(reading.read(contents[1])[2]) == 1
    reading.begin()
    assert reading.read(contents[1])[3] == 1, "numbers count within one file"


async def test_calls_that_the_disk_has_spoiled_are_waited_for_no_longer(logged: Logged, journal: Journal) -> None:
    ours = somebody()
    keep_back(journal)
    made(journal, ours)
    owned = await written(journal)
    made(journal, ours)  # its frame rests on the first
    async with asyncio.timeout(60):
        while len(journal._reach) < 2:
            await asyncio.sleep(0.01)
    ((_, path),) = owned.files()
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    let_go(journal)
    await carried(journal)
    assert await recorded(logged, ours) == []


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"")])
async def test_calls_that_are_gone_from_the_disk_are_told_as_lost(
    logged: Logged, journal: Journal, spoil: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    ours = somebody()
    keep_back(journal)
    made(journal, ours)
    ((_, path),) = (await written(journal)).files()
    spoil(path)
    let_go(journal)
    await carried(journal)
    assert "the receipts of 1 calls cannot be read from the journal and are lost" in caplog.text
    assert await recorded(logged, ours) == []


async def test_a_file_goes_when_all_of_it_was_carried(
    logged: Logged, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.journal._FILE_BYTES_MAX", 1)
    ours = somebody()
    long = journal.begin(ours, call)
    ids = []
    for _ in range(4):
        ids += [made(journal, ours) for _ in range(3)]
        await carried(journal)
    files = [path.name for path in (tmp_path / "journal").iterdir() if not path.name.endswith(".lock")]
    assert len(files) == 1, "and the call that goes on is noted in the last one again"
    long.close(call())
    await journal.stop()
    assert list((tmp_path / "journal").iterdir()) == []
    assert await recorded(logged, ours) == [*ids, long.id]


# -- what goes wrong --------------------------------------------------------------------------------


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
    async with asyncio.timeout(60):
        while not journal.problem:
            await asyncio.sleep(0.01)
    with pytest.raises(JournalUnwritable) as caught:
        journal.begin(ours)
    assert (caught.value.status, "No space left" in caught.value.message) == (503, True)
    full.clear()
    async with asyncio.timeout(60):
        while journal.problem:
            await asyncio.sleep(0.01)
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
    async with asyncio.timeout(60):
        while not journal.problem:
            await asyncio.sleep(0.01)
    with pytest.raises(JournalUnwritable, match=type(fault).__name__):
        journal.begin(ours)
    broken.clear()
    async with asyncio.timeout(60):
        while journal.problem:
            await asyncio.sleep(0.01)
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
    async with asyncio.timeout(60):
        while not journal.problem:
            await asyncio.sleep(0.01)
    with pytest.raises(JournalUnwritable, match="has not ended"):
        journal.begin(ours)
    speaks.set()
    async with asyncio.timeout(60):
        while journal.problem:
            await asyncio.sleep(0.01)
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


# -- straight into the log --------------------------------------------------------------------------


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


# -- what lies sealed -------------------------------------------------------------------------------


@given(st.binary(max_size=3000).map(lambda raw: b"{" + raw))
def test_what_is_packed_is_unpacked(payload: bytes) -> None:
    assert unpacked(Packer()(payload)) == payload == unpacked(payload)


def test_what_earlier_versions_packed_can_be_read() -> None:
    packed = bytes.fromhex(PACKED_1)
    assert unpacked(packed) == b'{"actor":"usr_01","receipt":{"act":"inference","rules":[{"id":"R04","ok":true}]}}'
    assert len(packed) < 60, "it refers to the vocabulary, whose letters must stay as they are"


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01{}", b"\xff(\xb5/\xfd", b"[]"])
def test_what_is_not_packed_rightly_is_named(content: bytes) -> None:
    with pytest.raises(BlobDamaged):
        unpacked(content)


async def test_a_receipt_from_before_it_was_packed_proves_itself(
    logged: Logged, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, sizes = somebody(), []
    for packed in (bytes, Packer()):
        monkeypatch.setattr(journal._composer, "_packed", packed)
        id = made(journal, ours)
        await carried(journal)
        assert (await logged.audit.receipt(ours, id)).body["outcome"] == "done"
        assert await logged.audit.matches(ours, id, input=IN, output=OUT)
        sizes.append(await logged.value(f"select length(sealed) from audit.payload where id = '{id}'"))
    assert sizes[1] < sizes[0] - 300, "nothing of it is packed, and then nearly all"


# -- who carries ------------------------------------------------------------------------------------


async def test_one_process_of_a_home_carries_for_all_that_run(logged: Logged, tmp_path: Path) -> None:
    ours, theirs = somebody(), somebody()
    office, worker, other = (Journal(logged.store, AuditSettings(home=tmp_path)) for _ in range(3))
    await office.start(for_all=True)
    async with asyncio.timeout(60):
        while not Folder(tmp_path).somebody_carries():
            await asyncio.sleep(0.01)
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
    async with asyncio.timeout(60):
        while not Folder(tmp_path).somebody_carries():
            await asyncio.sleep(0.01)
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
from tests.rooms.audit.test_journal import call, made
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
        async with asyncio.timeout(60):
            while not Folder(tmp_path).somebody_carries():
                await asyncio.sleep(0.01)
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
    async with asyncio.timeout(20):
        while list((tmp_path / "journal").glob("jrn_*")):
            await asyncio.sleep(0.02)
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
    async with asyncio.timeout(60):
        while journal._writer is None:
            await asyncio.sleep(0.01)
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


async def test_ones_own_call_needs_no_permission(logged: Logged) -> None:
    ours = somebody(permissions=frozenset())
    id = made(logged.audit.journal, ours)
    assert (await logged.audit.receipt(ours, id)).proof
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(replace(ours, user=new_id("usr")), id)


async def test_a_receipt_that_arrives_between_two_looks_is_not_called_erased(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt and its place in the log are committed together, and looked for one after the other."""
    scope, looks = somebody(), 0
    entry = logged.audit.journal.begin(scope)
    plain = Db.value

    async def value(self: Db, query: Query, **values: Any) -> Any:
        nonlocal looks
        found = await plain(self, query, **values)
        if values.get("id") == entry.id:
            looks += 1
            if looks == 1:
                assert found is None
                entry.close(call())
                while entry.id not in await recorded(logged, scope):
                    await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(Db, "value", value)
    async with asyncio.timeout(60):
        assert (await logged.audit.receipt(scope, entry.id)).id == entry.id
    assert looks > 1
