"""Figures of upkeep on this machine: a large document erased, members and what they cost a search, memory of an intake.

    python -m benchmarks.upkeep [--full] [--erase 2000] [--chunks 10000] [--queries 100] [--documents 500]

--full takes in 10,000 documents. Vectors are noise of the right shape, because embedding is not what is measured here.
The same searches run in turns where no collection has a member, as a member of five collections of ten, and as a
stranger to them; and at the end without the policies of members, which are dropped for the purpose.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bastide.app import House, open_house
from bastide.settings import Settings
from bastide.store import Query, Scope, new_id, queries, vector_text

OURS = frozenset({"knowledge:read", "knowledge:write", "knowledge:erase", "knowledge:manage", "model:use"})
WORDS = ["".join(part) for part in zip(*[iter("balomirotesanukedivofegupahicozyrljw" * 400)] * 5, strict=False)]
ERASE_S_MAX = 2.0
_GRAPH = Query(
    "bench",
    "graph",
    "select (select count(*) from knowledge.entity_source) + (select count(*) from knowledge.relation_source)"
    " + (select count(*) from knowledge.citation)",
)
_CHUNKS = Query("bench", "chunks", "select c.id, c.document from knowledge.chunk c order by c.document, c.id")
_CLOSED = Query("bench", "closed", "select knowledge.closed() from generate_series(1, %(times)s)")
_ADD = queries("bastide.knowledge")["add_embeddings"]
_POLICIES = (
    "select format('drop policy %I on knowledge.%I', p.polname, c.relname) from pg_policy p"
    " join pg_class c on c.oid = p.polrelid where c.relnamespace = 'knowledge'::regnamespace and not p.polpermissive"
)


def scope() -> Scope:
    """A new tenant."""
    return Scope(new_id("ten"), new_id("usr"), None, frozenset(), OURS)


def text(chance: random.Random, sections: int) -> bytes:
    """A document of so many short sections."""
    parts = [
        f"## Part {n}\n\nDr Clara {chance.choice(WORDS).title()} met Dr Hans {chance.choice(WORDS).title()} of Harbour "
        f"{n % 97} Ltd on {n % 28 + 1} March 2024 under Article {n % 99 + 1} of Regulation (EU) 2016/679. "
        + " ".join(chance.choices(WORDS, k=12))
        + f" stands under number {chance.randrange(10**6)}."
        for n in range(sections)
    ]
    return ("# Report\n\n" + "\n\n".join(parts)).encode()


async def vectors(house: House, of: Scope) -> int:
    """A vector for every chunk; how many."""
    noise = np.random.default_rng(1)
    async with house.store.under(of) as db:
        rows: list[tuple[int, int]] = await db.rows(tuple, _CHUNKS)
        for document in sorted({document for _, document in rows}):
            chunks = [chunk for chunk, of_document in rows if of_document == document]
            made = noise.standard_normal((len(chunks), 384)).astype(np.float32)
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            await db.run(
                _ADD,
                documents=[document] * len(chunks),
                models=["local/minilm"] * len(chunks),
                chunks=chunks,
                vectors=[vector_text(one) for one in made],
            )
    return len(rows)


async def erase(house: House, chunks: int) -> None:
    """How long it takes to delete one document with everything that was made from it."""
    ours, took, counted, named = scope(), [], 0, 0
    for n in range(3):
        taken = await house.knowledge.ingest(ours, f"{n}.md", text(random.Random(n), chunks), vectors=False)
        counted = await vectors(house, ours)
        async with house.store.under(ours) as db:
            named = await db.value(_GRAPH)
        began = time.perf_counter()
        await house.knowledge.delete(ours, taken.documents[0].id or "")
        took.append(time.perf_counter() - began)
    said = ", ".join(f"{one:.3f}" for one in took)
    kept = "kept" if max(took) <= ERASE_S_MAX else "NOT kept"
    print(f"erase a document of {counted:,} chunks, with vectors and {named:,} rows of its graph: {said} s")
    print(f"gate: at most {ERASE_S_MAX:.0f} s for 2,000 chunks: {kept}")


async def searches(house: House, of: dict[str, Scope], count: int) -> None:
    """How long searches take, by words and by words and meaning; in turns, so that all meet the same machine."""
    chance = random.Random(5)
    asked = [" ".join(chance.choices(WORDS, k=4)) for _ in range(count)]
    for mode in ("text", "hybrid"):
        took: dict[str, list[float]] = {what: [] for what in of}
        for query in [asked[0], *asked]:
            for what, who in of.items():
                began = time.perf_counter()
                await house.knowledge.search(who, query, mode=mode)
                took[what].append(1000 * (time.perf_counter() - began))
        for what, each in took.items():
            times = sorted(each[1:])
            half, most = times[len(times) // 2], times[int(len(times) * 0.95)]
            print(f"search {mode:6} {what:28} p50 {half:6.1f} ms, p95 {most:6.1f} ms")


async def filled(house: House, chunks: int) -> Scope:
    """A tenant with so many chunks in ten collections."""
    ours, chance = scope(), random.Random(7)
    for n in range(max(10, chunks // 50)):
        await house.knowledge.ingest(ours, f"{n}.md", text(chance, 50), collection=f"shelf{n % 10}", vectors=False)
    print(f"{await vectors(house, ours):,} chunks in ten collections of a tenant")
    return ours


async def members(house: House, chunks: int, count: int) -> None:
    """What members cost a search."""
    free, kept = await filled(house, chunks), await filled(house, chunks)
    member, stranger = (replace(kept, user=new_id("usr")) for _ in range(2))
    for n in range(5):
        await house.knowledge.upkeep.set_members(kept, f"shelf{n}", {str(member.user): "read"})
    of = {"no member anywhere": free, "a member of five of ten": member, "a stranger to five of ten": stranger}
    await searches(house, of, count)
    for what, who in of.items():
        async with house.store.under(who) as db:
            began = time.perf_counter()
            await db.rows(tuple, _CLOSED, times=1_000)
            print(f"knowledge.closed(), {what:28} {1000 * (time.perf_counter() - began):.0f} microseconds a call")
    async with house.store.as_owner(reason="to see what the policies cost") as owner:
        for (statement,) in await (await owner.execute(_POLICIES)).fetchall():
            await owner.execute(statement)
    await searches(house, {"policies dropped": free, "policies dropped, again": free}, count)


async def intake(house: House, documents: int) -> None:
    """How much memory this process needs for many documents."""
    ours, chance = scope(), random.Random(9)
    began = time.perf_counter()
    for n in range(documents):
        await house.knowledge.ingest(ours, f"{n}.md", text(chance, 2))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{documents:,} documents taken in with vectors: {documents / took:.1f}/s one after the other, "
        f"peak memory of this process {peak:.0f} MiB (PostgreSQL's is not in it)"
    )


async def run(asked: argparse.Namespace) -> None:
    """All of it, in a home that is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    try:
        async with open_house(Settings.read(home, environment={}), sequence=False, work=False) as house:
            if asked.documents:
                await intake(house, 10_000 if asked.full else asked.documents)
            if asked.erase:
                await erase(house, asked.erase)
            if asked.chunks:
                await members(house, asked.chunks, asked.queries)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    for name, number in (("erase", 2_000), ("chunks", 10_000), ("queries", 100), ("documents", 500)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asyncio.run(run(parser.parse_args()))
