"""Figures of the audit log on this machine: append, the price of an event, verification, proofs.

    python -m benchmarks.audit [--events 100000] [--acts 2000] [--full]      --full: 10^6 events

Makes a home of its own in a temporary folder and removes it. Prints what was measured, nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bastide.audit import Audit, ReceiptFacts, verify_file
from bastide.audit.leaf import Pseudonyms, compose
from bastide.audit.merkle import leaf_hashes
from bastide.audit.sequencer import Sequencer
from bastide.audit.tiles import Frontier
from bastide.settings import Settings
from bastide.store import Query, Scope, Store, new_id

_ACT = Query("bench", "act", "insert into bench.act (what) values (%(what)s)")
_FILL = """
insert into audit.outbox (tenant_id, id, act, outcome, t, producer, n, body)
select md5('tenant' || (i %% 64))::uuid, 'evt_' || lpad((%(from)s + i)::text, 26, '0'), 'bench.act', 'done',
    1, 'bench' || (i %% 64), %(from)s / 64 + i / 64 + 1,
    replace(replace(%(body)s, 'EVENT', 'evt_' || lpad((%(from)s + i)::text, 26, '0')),
        repeat('a', 22), substr(md5('tenant' || (i %% 64)), 1, 22))
from generate_series(0, %(count)s - 1) as i
"""


def say(what: str, figure: str) -> None:
    print(f"{what:<66} {figure}", flush=True)


def somebody() -> Scope:
    return Scope(new_id("ten"), new_id("usr"), None, frozenset(), frozenset({"audit:read"}))


def body() -> str:
    who = Pseudonyms(*(f"{n}" * 22 for n in "abcd"))
    return compose(
        id="EVENT", act="bench.act", outcome="done", t=1, who=who, subjects=[], payload=b"", secret=b"s" * 32
    )


def hashing(count: int) -> None:
    entries = [b"%08d" % i + os.urandom(400) for i in range(count)]
    begun = time.perf_counter()
    frontier = Frontier()
    for start in range(0, count, 4096):
        frontier.extend(leaf_hashes(entries[start : start + 4096]))
    frontier.root()
    say("leaf hash + tree, pure Python, 408-byte entries", f"{count / (time.perf_counter() - begun):,.0f}/s")


async def appends(store: Store, settings: Settings, audit: Audit, count: int, batches: tuple[int, ...]) -> None:
    key = audit._sequencer._key if audit._sequencer else None
    assert key is not None
    await audit.stop()
    entry = body()
    server = store._server
    assert server is not None
    import psycopg  # noqa: PLC0415 -- fills the outbox as the administrator, which the store does not offer

    filled = 0
    async with await psycopg.AsyncConnection.connect(
        store._superuser_url(server), dbname="bastide", autocommit=True
    ) as admin:
        for batch in batches:
            part = min(count, batch * 300) // 64 * 64
            await admin.execute(_FILL, {"from": filled, "count": part, "body": entry})
            await admin.execute("analyze audit.outbox")
            filled += part
            sequencer = Sequencer(store, type(settings.audit)(settings.home, batch_max=batch), key)
            took, begun = [], time.perf_counter()
            while True:
                turn = time.perf_counter()
                if not await sequencer.turn():
                    break
                took.append(time.perf_counter() - turn)
            whole = time.perf_counter() - begun
            took.sort()
            say(
                f"append, batches of {batch} ({len(entry) + 120}-byte leaves, outbox -> signed)",
                f"{part / whole:,.0f}/s   turn p50 {1e3 * statistics.median(took):.1f} ms,"
                f" p99 {1e3 * took[int(len(took) * 0.99)]:.1f} ms",
            )
        await admin.execute(
            "insert into audit.counter (tenant_id, slot, producer, n)"
            " select gen_random_uuid(), 0, 'bench' || i, %s from generate_series(0, 63) as i",
            (filled // 64,),
        )


async def price(store: Store, audit: Audit, acts: int, clients: int) -> None:
    scopes = [somebody() for _ in range(clients)]

    async def client(scope: Scope, recorded: bool, count: int) -> None:
        for _ in range(count):
            async with store.under(scope) as db:
                await db.run(_ACT, what="something")
                if recorded:
                    await audit.record(db, "bench.act", resource="doc_1", details={"what": "something"})

    for scope in scopes:
        await client(scope, True, 5)
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(5):
        for recorded in (False, True):
            begun = time.perf_counter()
            await asyncio.gather(*(client(scope, recorded, acts // clients // 5) for scope in scopes))
            rates[recorded].append(acts // clients // 5 * clients / (time.perf_counter() - begun))
    without, with_event = statistics.median(rates[False]), statistics.median(rates[True])
    say(
        f"an act (one insert, one commit), {clients} clients: without / with its event",
        f"{without:,.0f} / {with_event:,.0f} per s   ratio {with_event / without:.2f}",
    )


async def receipts(store: Store, audit: Audit, folder: Path) -> None:
    scope, now = somebody(), datetime.now(UTC)
    facts = ReceiptFacts(
        "inference", {"allowed": True, "policy": "sha256:aa", "rules": []}, {}, {"id": "local/onnx"}, "local/x",
        b"in", b"out", 1, 1, None, now, now, "local-measured",
    )  # fmt: skip
    took, checked = [], []
    for _ in range(30):
        async with store.under(scope) as db:
            id = await audit.record(db, "inference.chat", receipt=facts)
        begun = time.perf_counter()
        receipt = await audit.receipt(scope, id)
        took.append(time.perf_counter() - begun)
        assert receipt.proof
        import json  # noqa: PLC0415

        (folder / "r.json").write_text(json.dumps(receipt.to_wire()))
        begun = time.perf_counter()
        assert verify_file(folder / "r.json").valid
        checked.append(time.perf_counter() - begun)
    say("a receipt's proof after the call, waiting for the sequencer", f"p50 {1e3 * statistics.median(took):.0f} ms")
    say("a receipt verified offline", f"p50 {1e3 * statistics.median(checked):.2f} ms")


async def measure(home: Path, events: int, acts: int) -> None:
    settings = Settings.read(home, environment={})
    store = Store(settings.store)
    await store.start()
    try:
        async with store.as_owner(reason="benchmark") as owner:
            await owner.execute(
                "create schema bench; grant usage on schema bench to bastide_app;"
                "create table bench.act (tenant_id uuid not null default store.tenant(),"
                " n bigint generated always as identity, what text, primary key (tenant_id, n));"
                "call store.protect('bench.act')"
            )
        audit = Audit(store, settings.audit)
        await audit.start()
        for clients in (1, 8):
            await price(store, audit, acts, clients)
        await receipts(store, audit, home)
        await appends(store, settings, audit, events, (1, 16, 256, 1024, 4096))
        await audit.start()
        begun = time.perf_counter()
        found = await audit.verify()
        took = time.perf_counter() - begun
        assert found.valid, found.problems
        say(f"verify() of {found.size:,} events in the database", f"{took:.1f} s   {(found.size or 0) / took:,.0f}/s")
        begun = time.perf_counter()
        done = await audit.export(home / "export")
        say(f"export of {done.size:,} events, {done.files:,} files", f"{time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        offline = verify_file(home / "export")
        took = time.perf_counter() - begun
        assert offline.valid, offline.problems
        say(
            f"verify_file() of the export, {offline.size:,} events",
            f"{took:.1f} s   {(offline.size or 0) / took:,.0f}/s",
        )
        await audit.stop()
    finally:
        await store.stop()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    ask.add_argument("--events", type=int, default=100_000)
    ask.add_argument("--acts", type=int, default=2_000)
    ask.add_argument("--full", action="store_true")
    given, _ = ask.parse_known_args()
    events = 1_000_000 if given.full else given.events
    say(
        "machine", f"{platform.node()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    say("load when this began", "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()))
    hashing(min(events, 200_000))
    home = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    try:
        asyncio.run(measure(home / "home", events, given.acts))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
