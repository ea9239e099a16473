# ruff: noqa: E501 -- one act of damage a line
"""Whoever edits, deletes, inserts or reorders rows is found, and the first bad index is named."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from bastide.audit import Audit, Verification
from bastide.audit.merkle import leaf_hashes
from bastide.audit.note import Checkpoint, SecretKey
from bastide.audit.tiles import Frontier
from bastide.errors import LogDamaged, LogKeyMismatch, LogKeyMissing, LogRewound

from .conftest import TABLES, Logged, facts, somebody

FIRST = 260  # a leaf in the second tile


@pytest.fixture(scope="session")
async def grown(logged: Logged) -> Logged:
    """A log of several tiles and many batches, of two tenants."""
    ours, neighbour = somebody(), somebody()
    for number in range(40):
        await asyncio.gather(*(_some(logged, scope) for scope in (ours, neighbour)))
        if number % 4 == 3:  # so every tile has checkpoints inside, however slow the machine is
            await logged.settle()
    return logged


async def _some(logged: Logged, scope: object) -> None:
    for _ in range(2):
        async with logged.store.under(scope) as db:  # type: ignore[arg-type]
            for _ in range(5):
                await logged.audit.record(db, "test.act", resource="doc_1")
    await asyncio.sleep(0.012)


@pytest.fixture
async def victim(grown: Logged, quiet: Logged) -> Logged:
    """The grown log, whole, with nobody appending."""
    found = await quiet.audit.verify()
    assert found.valid, found.problems
    assert (found.size or 0) > 520
    return quiet


DAMAGE = {
    "leaf edited": f"update audit.leaf set body = replace(convert_from(body, 'UTF8'), '\"test.act\"', '\"test.axt\"')::bytea where index = {FIRST}",
    "leaf edited by a bit": f"update audit.leaf set body = set_byte(body, 40, get_byte(body, 40) # 1) where index = {FIRST}",
    "leaf emptied": f"update audit.leaf set body = '' where index = {FIRST}",
    "leaf deleted": f"delete from audit.leaf where index = {FIRST}",
    "leaves swapped": f"""update audit.leaf set body = case index when {FIRST} then (select body from audit.leaf where index = {FIRST + 9})
        else (select body from audit.leaf where index = {FIRST}) end where index in ({FIRST}, {FIRST + 9})""",
    "leaf inserted": f"""update audit.leaf set index = index + 1000001 where index >= {FIRST};
        update audit.leaf set index = index - 1000000 where index > 1000000;
        insert into audit.leaf select {FIRST}, body from audit.leaf where index = 3""",
    "leaf removed, the rest moved up": f"""delete from audit.leaf where index = {FIRST};
        update audit.leaf set index = index + 1000000 where index > {FIRST};
        update audit.leaf set index = index - 1000001 where index > 1000000""",
    "leaf copied over": f"update audit.leaf set body = (select body from audit.leaf where index = 3) where index = {FIRST}",
    "tile edited": f"update audit.tile set hashes = set_byte(hashes, 32 * {FIRST % 256} + 5, get_byte(hashes, 32 * {FIRST % 256} + 5) # 1) where level = 0 and n = 1",
    "tile cut": f"update audit.tile set hashes = substr(hashes, 1, 32 * {FIRST % 256}) where level = 0 and n = 1",
    "event edited": f"update audit.event set act = 'test.other' where index = {FIRST}",
    "event outcome": f"update audit.event set outcome = 'refused' where index = {FIRST}",
    "event time": f"update audit.event set t = t - 1000 where index = {FIRST}",
    "event deleted": f"delete from audit.event where index = {FIRST}",
    "event id": f"update audit.event set id = 'evt_00000000000000000000000000' where index = {FIRST}",
    "events swapped": f"update audit.event set index = case index when {FIRST} then {FIRST + 9} else {FIRST} end where index in ({FIRST}, {FIRST + 9})",
    "event inserted": f"insert into audit.event select tenant_id, 'evt_x', index, act, outcome, t from audit.event where index = {FIRST}",
    "event moved to another tenant": f"""update audit.event set tenant_id =
        (select tenant_id from audit.event where tenant_id <> (select tenant_id from audit.event where index = {FIRST}) and act = 'test.act' limit 1)
        where index = {FIRST}""",
    "checkpoint deleted": f"delete from audit.checkpoint where size = (select max(size) from audit.checkpoint where size <= {FIRST})",
    "checkpoint edited": f"update audit.checkpoint set note = replace(note, 'bastide', 'bastidd') where size = (select min(size) from audit.checkpoint where size > {FIRST})",
    "checkpoint of another size": f"""update audit.checkpoint set note = (select note from audit.checkpoint where size = 0)
        where size = (select min(size) from audit.checkpoint where size > {FIRST})""",
    "upper tile edited": "update audit.tile set hashes = set_byte(hashes, 33, get_byte(hashes, 33) # 1) where level = 1 and n = 0",
    "upper tile deleted": "delete from audit.tile where level = 1 and n = 0",
    "tile deleted": "delete from audit.tile where level = 0 and n = 1",
    "leaf after the end": "insert into audit.leaf select (select max(index) + 1 from audit.leaf), body from audit.leaf where index = 3",
    "event after the end": "insert into audit.event select tenant_id, 'evt_x', (select max(index) + 1 from audit.event), act, outcome, t from audit.event where index = 3",
    "tile too many": "insert into audit.tile values (0, 1000, decode(repeat('00', 32), 'hex'))",
    "counter turned back": "update audit.counter set n = n - 1 where n > 1",
    "counter deleted": "delete from audit.counter",
    "leaf blown up": f"update audit.leaf set body = body || decode(repeat('20', 70000), 'hex') where index = {FIRST}",
    "checkpoint far ahead": "insert into audit.checkpoint select 1000000000000, note from audit.checkpoint where size = 0",
    "first checkpoint deleted": "delete from audit.checkpoint where size = 0",
    "first checkpoint edited": "update audit.checkpoint set note = replace(note, '=', 'A') where size = 0",
    "every checkpoint deleted": "truncate audit.checkpoint",
    "log renamed": "update audit.log set id = 'other'",
    "everything deleted": "truncate audit.leaf, audit.tile, audit.checkpoint, audit.event",
    "the end cut off": f"""delete from audit.leaf where index >= {FIRST}; delete from audit.event where index >= {FIRST};
        delete from audit.checkpoint where size > {FIRST}""",
}
EXACT = {name for name in DAMAGE if name.startswith(("leaf", "leaves", "event", "tile edited", "tile cut"))} - {
    "leaf after the end",
    "event after the end",
    "events swapped",
    "event inserted",
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_damage_is_found(victim: Logged, name: str) -> None:
    before = await victim.value("select max(index) from audit.leaf")
    await victim.sql(*DAMAGE[name].split(";"))
    found = await victim.audit.verify()
    assert not found.valid
    assert found.problems
    if name in EXACT or name in {"events swapped", "event inserted"}:
        assert found.index == FIRST, found.problems
    elif name.endswith("after the end"):
        assert found.index == before + 1, found.problems


async def test_a_checkpoint_between_a_tile_s_start_and_the_damage_judges_only_what_lies_before_it(
    victim: Logged,
) -> None:
    start = FIRST - FIRST % 256
    inside = f"select max(size) from audit.checkpoint where size > {start} and size < {start + 250}"
    damaged = await victim.value(inside) + 3
    await victim.sql(f"update audit.leaf set body = set_byte(body, 40, get_byte(body, 40) # 1) where index = {damaged}")
    found = await victim.audit.verify()
    assert found.index == damaged, found.problems
    assert "the leaf was changed" in found.problems[0]


async def test_leaf_and_tiles_rewritten_together_are_found_by_the_next_signature(victim: Logged) -> None:
    """The whole tree is recomputed around a changed leaf; only the signatures cannot be."""
    async with victim.superuser() as connection:
        rows = await (await connection.execute("select body from audit.leaf order by index")).fetchall()
        bodies = [bytes(body) for (body,) in rows]
        bodies[FIRST] = bodies[FIRST].replace(b'"outcome":"done"', b'"outcome":"nope"')
        assert bodies[FIRST] != rows[FIRST][0]
        tiles = Frontier().extend(leaf_hashes(bodies))
        await connection.execute("update audit.leaf set body = %s where index = %s", (bodies[FIRST], FIRST))
        await connection.execute("update audit.event set outcome = 'nope' where index = %s", (FIRST,))
        for (level, n), hashes in tiles.items():
            await connection.execute(
                "update audit.tile set hashes = %s where level = %s and n = %s", (hashes, level, n)
            )
        last_good = (
            await (
                await connection.execute("select max(size) from audit.checkpoint where size <= %s", (FIRST,))
            ).fetchone()
        )[0]  # type: ignore[index]
    found = await victim.audit.verify()
    assert not found.valid
    assert found.index == last_good
    with pytest.raises((LogDamaged, LogRewound)):
        await Audit(victim.store, victim.settings).start()


async def test_a_row_taken_from_the_outbox_before_it_was_sequenced_is_missed(victim: Logged) -> None:
    ours = somebody()
    for _ in range(3):
        async with victim.store.under(ours) as db:
            await victim.audit.record(db, "test.act")
    assert (await victim.audit.verify()).valid
    await victim.sql("delete from audit.outbox where seq = (select max(seq) from audit.outbox)")
    assert any("never reached the log" in text for text in (await victim.audit.verify()).problems)
    await victim.bring_back()
    async with victim.store.under(ours) as db:
        for _ in range(3):
            await victim.audit.record(db, "test.act")
    await victim.sql("delete from audit.outbox where seq = (select min(seq) + 1 from audit.outbox)")
    await _append(victim)
    found = await victim.audit.verify()
    assert not found.valid
    assert any("counts" in text for text in found.problems), found.problems


async def _append(logged: Logged) -> None:
    """Let a sequencer append what waits."""
    audit = Audit(logged.store, logged.settings)
    await audit.start()
    while (await audit.health()).waiting:
        await asyncio.sleep(0.02)
    await audit.stop()


async def test_a_database_set_back_is_named_as_such(victim: Logged) -> None:
    size = (await victim.audit.verify()).size or 0
    async with victim.store.under(somebody()) as db:
        await victim.audit.record(db, "test.act")
    await _append(victim)
    assert (await victim.audit.verify()).size == size + 1
    await victim.bring_back()
    found = await victim.audit.verify()
    assert any("set back" in text for text in found.problems), found.problems
    assert found.index == size
    with pytest.raises(LogRewound):
        await Audit(victim.store, victim.settings).start()
    with pytest.raises(LogRewound):
        await Audit(victim.store, victim.settings).start(sequence=False)
    await Audit(victim.store, victim.settings).accept_rewind("restored on purpose, test")
    await _append(victim)
    found = await victim.audit.verify()
    assert found.valid, found.problems
    assert (victim.home / f"checkpoint.lost-{size + 1}").exists()
    assert await victim.value("select act from audit.event order by index desc limit 1") == "audit.rewound"


async def test_an_empty_database_under_a_home_that_has_signed_is_refused(victim: Logged) -> None:
    await victim.sql(*(f"truncate audit.{table}" for table in TABLES))
    with pytest.raises(LogRewound):
        await Audit(victim.store, victim.settings).start()
    await Audit(victim.store, victim.settings).accept_rewind("a new database, on purpose")
    await _append(victim)
    found = await victim.audit.verify()
    assert found.valid, found.problems
    assert found.size == 1


async def test_a_split_view_is_found(victim: Logged) -> None:
    """Somebody with the log's key signs another tree of the same size; this home remembers the first."""
    key = SecretKey.parse((victim.home / "secrets" / "log-key").read_text())
    size = await victim.value("select max(size) from audit.checkpoint")
    other = Checkpoint.sign(key, size, b"\7" * 32)
    (victim.home / "checkpoint.latest").write_text(other.note)
    found = await victim.audit.verify()
    assert any("split view" in text for text in found.problems), found.problems
    with pytest.raises(LogRewound):
        await Audit(victim.store, victim.settings).start()


async def test_a_clock_that_is_set_back_is_flagged_and_not_called_tampering(victim: Logged) -> None:
    async with victim.store.under(somebody()) as db:
        await victim.audit.record(db, "test.act")
    late = Audit(victim.store, victim.settings, clock=lambda: 1_000_000_000.0)
    await late.start()
    await late.stop()
    found = await victim.audit.verify()
    assert found.valid
    assert any("clock was set back" in text for text in found.warnings)


@pytest.mark.parametrize("body", ["", "x", "{}", "x" * 70_000, '"log":{}' * 9_000, 'é"log":{}'])
async def test_a_forged_row_in_the_outbox_does_not_stop_the_log(victim: Logged, body: str) -> None:
    ours = somebody()
    async with victim.store.under(ours) as db:
        id = await victim.audit.record(db, "test.act")
    await victim.sql(
        f"update audit.outbox set body = '{body}' where id = '{id}'",
        "insert into audit.outbox (tenant_id, id, act, outcome, t, producer, n, body)"
        " select tenant_id, id, act, outcome, t, producer, n, body from audit.outbox",
    )
    await _append(victim)
    assert (await victim.audit.health()).waiting == 0
    assert not (await victim.audit.verify()).valid


async def test_without_its_key_or_with_another_the_log_is_not_continued(victim: Logged) -> None:
    path = victim.home / "secrets" / "log-key"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    try:
        path.unlink()
        with pytest.raises(LogKeyMissing):
            await Audit(victim.store, victim.settings).start()
        assert not path.exists()
        path.write_text(SecretKey.generate("bastide/" + "0" * 16).reveal())
        with pytest.raises(LogKeyMismatch):
            await Audit(victim.store, victim.settings).start()
        name = SecretKey.parse(text).public.name
        path.write_text(SecretKey.generate(name).reveal())
        with pytest.raises(LogKeyMismatch):
            await Audit(victim.store, victim.settings).start()
        for junk in ("", "\0\0", "PRIVATE+KEY+x", text[:-10]):
            path.write_text(junk)
            with pytest.raises(LogKeyMismatch):
                await Audit(victim.store, victim.settings).start()
    finally:
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text)


async def test_two_sequencers_take_turns(victim: Logged) -> None:
    ours = somebody()
    two = [Audit(victim.store, victim.settings) for _ in range(2)]
    for audit in two:
        await audit.start()

    async def one(n: int) -> None:
        async with victim.store.under(ours) as db:
            await victim.audit.record(db, "test.act", receipt=facts() if n % 5 == 0 else None)

    for _ in range(10):
        await asyncio.gather(*(one(n) for n in range(10)))
    for audit in two:
        await audit.stop()
    found = await victim.audit.verify()
    assert found.valid, found.problems
    assert len((await victim.audit.events(ours, limit=200)).items) == 100


def test_a_verification_is_shown_as_it_is() -> None:
    shown = Verification(False, "log", size=3, problems=("x",)).to_wire()
    assert {"valid": False, "kind": "log", "size": 3, "problems": ["x"]}.items() <= shown.items()
    assert replace(Verification(True, "log"), size=1).size == 1
