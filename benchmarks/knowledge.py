"""Figures of knowledge on this machine: ingest with and without vectors, search among many tenants, a peer beside it.

    python -m benchmarks.knowledge [--full] [--tenants 20] [--chunks 10000] [--queries 200] [--sets FOLDER]

--full is 100,000 chunks in 200 tenants. The chunks of the search benchmark are made of sentences of the examples;
their vectors are real ones of such sentences with noise, because embedding 100,000 chunks takes half an hour; queries
are embedded for real. The peer is PostgreSQL's own full text search and a plain pgvector scan on the same rows,
without our layer, without row security. --sets measures quality on unpacked retrieval sets (corpus.jsonl,
queries.jsonl) below FOLDER.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import platform
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.inference import Inference
from bastide.knowledge import Knowledge
from bastide.knowledge.indexing import Known, Vectors, growth, write_extent, write_index, write_version
from bastide.knowledge.preparing import Prepared, prepare
from bastide.knowledge.reading import Limits, sentences
from bastide.policy import Label, Policy
from bastide.settings import Settings
from bastide.store import Json, Scope, Store, new_id, queries, vector_text

EXAMPLES = Path(__file__).parents[1] / "examples"
OURS = frozenset({"knowledge:read", "knowledge:write", "model:use"})
_Q = queries("bastide.knowledge")


@dataclass(frozen=True)
class Rooms:
    """What is measured, and what it stands on."""

    store: Store
    inference: Inference
    knowledge: Knowledge
    words_only: Knowledge


@asynccontextmanager
async def house() -> AsyncIterator[Rooms]:
    """A house in a temporary home."""
    home = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    settings = Settings.read(home, environment={})
    store = Store(settings.store)
    await store.start()
    audit = Audit(store, settings.audit)
    await audit.start()
    policy = Policy(store, audit, settings.policy)
    await policy.start()
    egress = Egress(settings.egress)
    inference = Inference(store, audit, policy, egress, settings.inference)
    await inference.start()
    closed = Inference(store, audit, policy, egress, settings.inference)  # not started: without an embedder
    try:
        yield Rooms(
            store,
            inference,
            Knowledge(store, audit, policy, inference, settings.knowledge),
            Knowledge(store, audit, policy, closed, settings.knowledge),
        )
    finally:
        await inference.stop()
        await policy.stop()
        await audit.stop()
        await store.stop()
        shutil.rmtree(home, ignore_errors=True)


def tenant() -> Scope:
    """A new tenant."""
    return Scope(new_id("ten"), None, None, frozenset(), OURS)


def p(values: list[float], percent: float) -> float:
    """A percentile, in milliseconds."""
    return float(np.percentile(np.array(values) * 1000, percent))


# -- ingest -----------------------------------------------------------------------------------------


async def ingest(rooms: Rooms) -> None:
    """Whole example documents through the face: pages and chunks a second."""
    names = ["gdpr-en.txt", "egovg-de.md", "pe-30-2026-nl.pdf"]
    for title, knowledge in (("words only", rooms.words_only), ("with vectors", rooms.knowledge)):
        scope, chunks, pages, characters = tenant(), 0, 0, 0
        start = time.perf_counter()
        for name in names:
            data = (EXAMPLES / name).read_bytes()
            taken = (await knowledge.ingest(scope, name, data)).documents[0]
            document = await knowledge.document(scope, taken.id or "")
            chunks += taken.chunks
            pages += document.pages or round(len(data) / 3000)  # a page of plain text: 3,000 characters
            characters += len(data)
        took = time.perf_counter() - start
        print(
            f"ingest, {title}: {chunks} chunks of {len(names)} documents in {took:.1f} s: "
            f"{chunks / took:.0f} chunks/s, {pages / took:.0f} pages/s"
        )


# -- search -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """Tenants full of chunks, with the vectors that were written, row by row."""

    scopes: list[Scope]
    texts: list[list[str]]
    vectors: list[np.ndarray]


def _sentences() -> list[str]:
    text = (EXAMPLES / "gdpr-en.txt").read_text("utf-8")
    found = (" ".join(text[start:end].split()) for start, end in sentences(text, "en"))
    return [one for one in found if 40 < len(one) < 400]


async def fill(rooms: Rooms, tenants: int, chunks: int) -> Library:
    """Write `chunks` chunks for `tenants` tenants, 50 a document, by the room's own writer."""
    chance = random.Random(7)
    noise = np.random.default_rng(7)
    pool = _sentences()
    known = (await rooms.inference.embed(tenant(), pool[:1500], label=Label())).vectors
    each, library = chunks // tenants, Library([], [], [])
    written_s = 0.0
    for _ in range(tenants):
        scope = tenant()
        texts: list[str] = []
        rows: list[np.ndarray] = []
        for place in range(0, each, 50):
            count = min(50, each - place)
            parts = [" ".join(chance.sample(pool, 3)) + f" Item {place + n}." for n in range(count)]
            body = "".join(f"# Part {place + n}\n\n{part}\n\n" for n, part in enumerate(parts))
            prepared = await asyncio.to_thread(prepare, "parts.md", body.encode(), Limits())
            shape = (len(prepared.pieces), known.shape[1])
            vectors = known[noise.integers(0, len(known), shape[0])] + noise.normal(0, 0.04, shape).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            start = time.perf_counter()
            await _write(rooms, scope, f"{place}.md", prepared, vectors)
            written_s += time.perf_counter() - start
            texts += [piece.text for piece in prepared.pieces]
            rows.append(vectors)
        library.scopes.append(scope)
        library.texts.append(texts)
        library.vectors.append(np.concatenate(rows))
    total = sum(map(len, library.texts))
    print(f"write: {total} chunks with words and vectors in {written_s:.1f} s: {total / written_s:.0f} chunks/s")
    async with rooms.store.as_owner(reason="statistics before a benchmark") as owner:
        await owner.execute("vacuum (analyze)")
    return library


async def _write(rooms: Rooms, scope: Scope, name: str, prepared: Prepared, vectors: np.ndarray) -> None:
    rows = Vectors("local/minilm", [vector_text(row) for row in vectors])
    async with rooms.store.under(scope) as db:
        await db.run(_Q["add_collection"], name="default")
        identifier = new_id("doc")
        number = await db.value(
            _Q["add_document"], id=identifier, collection="default", name=name, label=Json(Label().to_wire())
        )
        here = Known(identifier, number, "default", name, 1, {}, identifier.encode(), 0)
        await write_version(db, here, blob="", size=0, prepared=prepared, vectors=rows)
        await write_index(db, number, prepared, rows)
        await write_extent(db, growth(prepared), [])


async def search(rooms: Rooms, library: Library, count: int) -> None:
    """Queries of random tenants: the time of each, and whether the vectors' best ten are the true ones."""
    chance = random.Random(11)
    pool = _sentences()
    plan = [(chance.randrange(len(library.scopes)), " ".join(chance.choice(pool).split()[:9])) for _ in range(count)]
    for place, query in plan[:20]:
        await rooms.knowledge.search(library.scopes[place], query, limit=10)
    for mode in ("hybrid", "text", "vector"):
        times: list[float] = []
        for place, query in plan:
            start = time.perf_counter()
            await rooms.knowledge.search(library.scopes[place], query, limit=10, mode=mode)
            times.append(time.perf_counter() - start)
        print(f"search, {mode}: p50 {p(times, 50):.1f} ms, p95 {p(times, 95):.1f} ms, query embedding included")
    times, right = [], []
    for place, query in plan:
        start = time.perf_counter()
        asked = await rooms.inference.embed(library.scopes[place], [query], label=Label(), kind="query")
        times.append(time.perf_counter() - start)
        async with rooms.store.under(library.scopes[place]) as db:
            rows = await db.rows(
                tuple,
                _Q["rank"],
                terms=[],
                totals=[],
                means=[],
                weights=[],
                within=None,
                limit=10,
                vector=vector_text(asked.vectors[0]),
                model="local/minilm",
            )
        true = np.sort(library.vectors[place] @ asked.vectors[0])[::-1][:10]
        right.append(sum(cosine >= true[-1] - 5e-4 for _, _, cosine, _ in rows) / 10)
    print(f"query embedding with its receipt alone: p50 {p(times, 50):.1f} ms, p95 {p(times, 95):.1f} ms")
    print(f"vectors: recall@10 {np.mean(right):.4f} against an exact search in numpy (float32)")


async def peer(rooms: Rooms, library: Library, count: int) -> None:
    """PostgreSQL's own full text search and a plain pgvector scan, on the same rows, without our layer."""
    async with rooms.store.as_owner(reason="the peer of a benchmark") as owner:
        await owner.execute("create schema peer")
        await owner.execute(
            "create table peer.chunk (tenant integer, ts tsvector, v vector(384)); "
            "create index on peer.chunk (tenant); create index on peer.chunk using gin (ts)"
        )
        for place, (texts, vectors) in enumerate(zip(library.texts, library.vectors, strict=True)):
            await owner.execute(
                "insert into peer.chunk select %s, to_tsvector('english', t), v::vector "
                "from unnest(%s::text[], %s::text[]) as u(t, v)",
                (place, texts, [vector_text(row) for row in vectors]),
            )
        await owner.execute("vacuum (analyze) peer.chunk")
        chance, pool = random.Random(11), _sentences()
        words: list[float] = []
        near: list[float] = []
        for _ in range(count):
            place, query = chance.randrange(len(library.scopes)), " ".join(chance.choice(pool).split()[:9])
            vector = vector_text(library.vectors[place][0])
            start = time.perf_counter()
            cursor = await owner.execute(
                "with q as (select replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery as q) "
                "select ctid from peer.chunk, q where tenant = %s and ts @@ q "
                "order by ts_rank_cd(ts, q) desc limit 100",
                (query, place),
            )
            await cursor.fetchall()
            words.append(time.perf_counter() - start)
            start = time.perf_counter()
            cursor = await owner.execute(
                "select ctid from peer.chunk where tenant = %s order by v <#> %s::vector limit 100", (place, vector)
            )
            await cursor.fetchall()
            near.append(time.perf_counter() - start)
        print(f"peer, ts_rank_cd (not BM25): p50 {p(words, 50):.1f} ms, p95 {p(words, 95):.1f} ms")
        print(f"peer, pgvector scan of a tenant: p50 {p(near, 50):.1f} ms, p95 {p(near, 95):.1f} ms")


# -- quality ----------------------------------------------------------------------------------------


async def quality(rooms: Rooms, folder: Path, most: int) -> None:
    """nDCG@10 and R@5 of each set below `folder`, by words, by vectors, and fused."""
    for corpus in sorted(folder.rglob("corpus.jsonl")):
        scope = tenant()
        of: dict[str | None, list[Any]] = {}
        for line in corpus.read_text("utf-8").splitlines():
            row = json.loads(line)
            head = f"# {row['title']}\n\n" if row.get("title") else ""
            label: dict[str, object] = {"class": "public", "personal": "none"}
            body = (head + row["text"]).encode()
            taken = await rooms.knowledge.ingest(scope, f"{row['id']}.md", body, label=label)
            of.setdefault(taken.documents[0].id, []).append(row["id"])
        asked = [json.loads(line) for line in corpus.with_name("queries.jsonl").read_text("utf-8").splitlines()]
        asked = asked[:: max(1, len(asked) // most)][:most]
        for mode in ("text", "vector", "hybrid"):
            gains = [await _gain(rooms, scope, mode, row, of) for row in asked]
            ndcg, recall = (100 * np.mean([gain[at] for gain in gains]) for at in (0, 1))
            place = corpus.parent.relative_to(folder)
            print(f"quality, {place}, {mode}: nDCG@10 {ndcg:.1f}, R@5 {recall:.1f} ({len(asked)} queries)", flush=True)


async def _gain(
    rooms: Rooms, scope: Scope, mode: str, row: dict[str, Any], of: dict[str | None, list[Any]]
) -> tuple[float, float]:
    found = await rooms.knowledge.search(scope, row["question"], limit=30, mode=mode)
    order = list(dict.fromkeys(one for passage in found.passages for one in of[passage.document_id]))
    gold = set(row["gold"])
    ideal = sum(1 / math.log2(n + 2) for n in range(min(10, len(gold))))
    ndcg = sum(1 / math.log2(n + 2) for n, one in enumerate(order[:10]) if one in gold) / ideal
    return ndcg, len(gold & set(order[:5])) / len(gold)


async def measure(options: argparse.Namespace) -> None:
    """Everything that was asked for."""
    async with house() as rooms:
        if options.sets:
            await quality(rooms, options.sets, options.queries)
            return
        await ingest(rooms)
        library = await fill(rooms, options.tenants, options.chunks)
        print(f"library: {sum(map(len, library.texts))} chunks in {options.tenants} tenants")
        await search(rooms, library, options.queries)
        await peer(rooms, library, options.queries)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--sets", type=Path)
    options = parser.parse_args()
    if options.full:
        options.tenants, options.chunks = 200, 100_000
    print(f"machine: {platform.node()}, {platform.machine()}, Python {platform.python_version()}")
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
