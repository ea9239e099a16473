"""Events and receipts, recorded, read and proven."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bastide.audit import Audit, canonical, verify_file
from bastide.audit.canonical import parse_json
from bastide.errors import BastideError, Forbidden, UnknownReceipt, UnknownTile
from bastide.store import new_id

from .conftest import Logged, facts, somebody


async def test_an_event_is_listed_with_who_and_what(logged: Logged) -> None:
    ours = somebody()
    await logged.act(ours, resource="doc_1", subjects=["anna"], details={"why": "Anna asked", "size": 1.5})
    page = await logged.audit.events(ours)
    (event,) = page.items
    assert (event.act, event.outcome, event.actor, event.resource) == ("test.act", "done", ours.user, "doc_1")
    assert event.subjects == ("anna",)
    assert event.details == {"why": "Anna asked", "size": 1.5}
    assert not event.erased


async def test_a_neighbour_sees_no_event_and_no_receipt(logged: Logged) -> None:
    ours, neighbour = somebody(), somebody()
    async with logged.store.under(ours) as db:
        receipt = await logged.audit.record(db, "inference.chat", receipt=facts())
    await logged.act(ours, 2)
    assert (await logged.audit.events(neighbour)).items == ()
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(neighbour, receipt)
    assert (await logged.audit.receipt(ours, receipt)).id == receipt


async def test_events_are_paged_newest_first(logged: Logged) -> None:
    ours = somebody()
    made = await logged.act(ours, 7)
    seen, cursor = [], None
    while True:
        page = await logged.audit.events(ours, cursor=cursor, limit=3)
        seen += [event.id for event in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == made[::-1]


async def test_reading_needs_the_permission(logged: Logged) -> None:
    with pytest.raises(Forbidden):
        await logged.audit.events(somebody(permissions=frozenset()))


async def test_an_act_that_is_rolled_back_leaves_no_event(logged: Logged) -> None:
    ours = somebody()
    with pytest.raises(ZeroDivisionError):
        async with logged.store.under(ours) as db:
            await logged.audit.record(db, "test.act")
            raise ZeroDivisionError
    await logged.act(ours)
    assert len((await logged.audit.events(ours)).items) == 1
    assert (await logged.audit.verify()).valid


async def test_many_at_once_wait_for_nobody_and_leave_no_gap(logged: Logged) -> None:
    ours = somebody()

    async def one(n: int) -> None:
        async with logged.store.under(ours) as db:
            await logged.audit.record(db, "test.act", details={"n": n})
            await logged.audit.record(db, "test.act", details={"n": n})
            if n % 3 == 0:
                raise ZeroDivisionError

    done = await asyncio.gather(*(one(n) for n in range(60)), return_exceptions=True)
    assert sum(isinstance(outcome, ZeroDivisionError) for outcome in done) == 20
    await logged.settle()
    assert len((await logged.audit.events(ours, limit=200)).items) == 80
    found = await logged.audit.verify()
    assert found.valid, found.problems


async def test_a_receipt_proves_itself_offline(logged: Logged, tmp_path: Path) -> None:
    ours = somebody()
    promised = new_id("rcp")
    async with logged.store.under(ours) as db:
        assert await logged.audit.record(db, "inference.chat", receipt=facts(), id=promised) == promised
    receipt = await logged.audit.receipt(ours, promised)
    wire = receipt.to_wire()
    for name in ("id", "time", "act", "decision", "label", "endpoint", "tls", "model", "tokens", "assurance"):
        assert name in wire
    assert str(wire["input"]).startswith("hmac:")
    assert "lease" not in json.dumps(wire)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(wire, indent=2, ensure_ascii=False))
    found = verify_file(file)
    assert (found.valid, found.kind, found.key, found.assurance) == (True, "receipt", "embedded", "local-measured")
    assert found.index == receipt.index
    found = verify_file(file, logged.home / "log.vkey")
    assert (found.valid, found.key, found.problems) == (True, "given", ())
    assert found.log == receipt.log


async def test_a_receipt_says_whether_it_is_of_these_words(logged: Logged) -> None:
    ours = somebody()
    async with logged.store.under(ours) as db:
        id = await logged.audit.record(db, "inference.chat", receipt=facts())
    assert await logged.audit.matches(ours, id, input=b"When does the lease end?", output=b"The lease ends in June.")
    assert not await logged.audit.matches(ours, id, input=b"When does the lease begin?")


async def test_ones_own_receipt_needs_no_permission_a_colleagues_does(logged: Logged) -> None:
    ours = somebody(permissions=frozenset())
    async with logged.store.under(ours) as db:
        id = await logged.audit.record(db, "inference.chat", receipt=facts())
    assert (await logged.audit.receipt(ours, id)).proof
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(replace(ours, user=new_id("usr")), id)
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(replace(ours, user=None), id)


@pytest.mark.parametrize("id", ["", "rcp_", "evt_x", "rcp_" + "0" * 26, "rcp_' or 1=1 --", "\0"])
async def test_no_such_receipt(logged: Logged, id: str) -> None:
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(somebody(), id)


async def test_forgetting_a_person_leaves_the_log_whole(logged: Logged) -> None:
    ours = somebody()
    about_anna = await logged.act(ours, 2, subjects=["anna", "bert"], details={"text": "Anna lives in Lyon"})
    await logged.act(ours, 1, subjects=["bert"])
    async with logged.store.under(ours) as db:
        assert await logged.audit.forget(db, "anna") == 2
    events = {event.id: event for event in (await logged.audit.events(ours)).items}
    assert len(events) == 3
    assert all(events[id].erased and not events[id].subjects for id in about_anna)
    assert sum(not event.erased for event in events.values()) == 1
    async with logged.store.under(ours) as db:
        assert await logged.audit.forget(db, "anna") == 0
    found = await logged.audit.verify()
    assert found.valid, found.problems


async def test_the_leaf_holds_no_text(logged: Logged) -> None:
    ours = somebody()
    marks = ["Anna", "anna@example.org", "Lyon", str(ours.user), ours.tenant, "doc_secretplan", "acme merger model"]
    async with logged.store.under(ours) as db:
        await logged.audit.record(
            db,
            "inference.chat",
            resource="doc_secretplan",
            subjects=["anna@example.org"],
            details={"who": "Anna", "where": "Lyon"},
            receipt=facts(model="acme merger model", input=b"Anna", output=b"Lyon"),
        )
    await logged.settle()
    async with logged.superuser() as connection:
        rows = await (await connection.execute("select body from audit.leaf")).fetchall()
        sealed = await (await connection.execute("select sealed from audit.payload")).fetchall()
    text = b"".join(bytes(body) for (body,) in rows + sealed)
    assert [mark for mark in marks if mark.encode() in text] == []


async def test_a_stamped_leaf_is_canonical_and_says_where_it_stands(logged: Logged) -> None:
    await logged.act(somebody(), 3, subjects=["x"])
    async with logged.superuser() as connection:
        rows = await (
            await connection.execute("select index, body from audit.leaf order by index desc limit 3")
        ).fetchall()
    for index, body in rows:
        leaf = parse_json(bytes(body))
        assert canonical(leaf) == bytes(body)
        assert isinstance(leaf, dict)
        place = leaf["log"]
        assert isinstance(place, dict)
        assert sorted(place) == ["at", "base", "id", "n", "p"]
        assert f"bastide/{place['id']}" == (await logged.audit.key()).split("+")[0]
        assert 0 <= int(str(place["base"])) <= index


async def test_the_platform_records_without_a_tenant(logged: Logged) -> None:
    async with logged.store.as_operator(reason="test") as db:
        id = await logged.audit.record(db, "platform.test", details={"x": "y"})
    await logged.settle()
    assert id.startswith("evt_")
    assert await logged.value(f"select act from audit.event where id = '{id}'") == "platform.test"
    assert (await logged.audit.verify()).valid


@pytest.mark.parametrize("act", ["", "Anna asked for her lease", "a" * 65, "drop table x;", "Ünder"])
async def test_an_act_is_a_word(logged: Logged, act: str) -> None:
    async with logged.store.under(somebody()) as db:
        with pytest.raises(ValueError, match="word"):
            await logged.audit.record(db, act)


@pytest.mark.parametrize(
    "statement",
    [
        "update audit.leaf set body = ''",
        "delete from audit.leaf",
        "insert into audit.leaf values (1000000, '')",
        "select * from audit.leaf",
        "update audit.tile set hashes = ''",
        "delete from audit.checkpoint",
        "update audit.event set act = 'x'",
        "delete from audit.event",
        "insert into audit.event (id, index, act, outcome, t) values ('x', 1, 'x', 'x', 1)",
        "delete from audit.outbox",
        "update audit.outbox set act = 'x'",
        "select * from audit.outbox",
        "delete from audit.counter",
        "update audit.payload set sealed = ''",
        "update audit.counter set n = 1000",
        f"select audit.enter({', '.join(['null'] * 27)})",
        "select audit.record('evt_x', 'a', 'b', 1, '', '', false)",  # without the signed context
        "insert into audit.outbox (id, act, outcome, t, producer, n, body) values ('x', 'x', 'x', 1, 'x', 1, 'x')",
        "select * from audit.counter",
        "insert into audit.payload (id, sealed) values ('x', '')",
    ],
)
async def test_the_application_cannot_touch_the_log(logged: Logged, statement: str) -> None:
    ours = somebody()
    await logged.act(ours)
    with pytest.raises(Exception, match=r"permission denied|needs a tenant"):
        async with logged.store.under(ours) as db:
            if statement.startswith("select audit.record"):
                await db._connection.execute("select set_config('bastide.context', '', true)")
            await db._connection.execute(statement)
    assert (await logged.audit.verify()).valid


async def test_tiles_and_the_checkpoint_are_served(logged: Logged) -> None:
    await logged.act(somebody(), 3)
    note = await logged.audit.checkpoint()
    size = int(note.split("\n")[1])
    tile = await logged.audit.tile(0, size // 256, size % 256 or None)
    assert len(tile) == 32 * (size % 256 or 256)
    for level, n, width in ((0, size // 256 + 1, None), (9, 0, None), (-1, 0, None), (0, 0, 0), (0, 0, 257)):
        with pytest.raises(UnknownTile):
            await logged.audit.tile(level, n, width)


async def test_a_log_that_was_never_begun_is_named(logged: Logged, tmp_path: Path) -> None:
    audit = Audit(logged.store, replace(logged.settings, home=tmp_path))
    await audit.start(sequence=False)  # another machine's reader finds the key in the database
    assert await audit.key() == await logged.audit.key()
    with pytest.raises(BastideError):
        await Audit(logged.store, replace(logged.settings, home=tmp_path)).start()
