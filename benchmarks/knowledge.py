"""Figures of knowledge on this machine: ingest with and without vectors, search among many tenants, quality.

    python -m benchmarks.knowledge [--full] [--tenants 20] [--chunks 10000] [--queries 200] [--strangers 400]
    python -m benchmarks.knowledge --sets FOLDER [--queries 2000] [--only NAME ...] [--home FOLDER]
    python -m benchmarks.knowledge --shares 100000 [--queries 200]

Each figure that has a gate is printed beside it. --full is 100,000 chunks in 200 tenants and 10,000 random queries, of
which none may meet a foreign row; --tenants 1 shows one tenant that holds all. The chunks are made of sentences of the
examples; their vectors are real ones of such sentences with noise, because embedding 100,000 chunks takes half an hour;
queries are embedded for real. The peer is PostgreSQL's own full text search and a plain pgvector scan on the same rows,
without our layer, without row security.

--sets measures quality on unpacked retrieval sets (corpus.jsonl of {id, title, text}, queries.jsonl of {question,
gold}) below FOLDER, through the house: each passage is a document of its own, named by its id; passages of equal
content are one document that counts for each of their ids. One fixed configuration for all sets, no language model.
With --home the house stays, and what was taken in is not taken in again: remove the folder after a change of intake.
The second half of the queries is shown apart. The peer in the same run is the plain pgvector hybrid: ts_rank and
vectors of the same embedder over the same chunks, joined by reciprocal ranks. HippoRAG and LightRAG are no peers here:
as published, both ask a language model while they index, and the embedders they name come from a model hub.

--shares measures the vectors alone: recall@10 of tenants that hold 50, 10, 1 and 0.1 % of so many chunks.
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
from bastide.knowledge.indexing import Known, Vectors, growth, write_extent
from bastide.knowledge.likeness import Sketch
from bastide.knowledge.placement import Placement
from bastide.knowledge.preparing import Prepared, prepare
from bastide.knowledge.reading import Limits, sentences
from bastide.knowledge.writing import Entry, write_entries
from bastide.policy import Label, Policy
from bastide.settings import Settings
from bastide.store import Json, Query, Scope, Store, new_id, queries, vector_text
from bastide.tenancy import Tenancy
from bastide.workflows import Workflows
from benchmarks import gates
from benchmarks.tenants import recall_by_share, strangers, web_growth

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
    settings: Settings


@asynccontextmanager
async def house(kept: Path | None = None) -> AsyncIterator[Rooms]:
    """A house in `kept`, which stays, or in a temporary home."""
    home = kept or Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    settings = Settings.read(home, environment={})
    store = Store(settings.store)
    await store.start()
    audit = Audit(store, settings.audit)
    await audit.start()
    policy = Policy(store, audit, settings.policy)
    await policy.start()
    egress = Egress(settings.egress)
    await egress.start()
    inference = Inference(store, audit, policy, egress, settings.inference)
    await inference.start()
    closed = Inference(store, audit, policy, egress, settings.inference)  # not started: without an embedder
    tenancy = Tenancy(store, audit)
    apart = [Workflows(store, audit, tenancy, policy, settings.work) for _ in range(2)]
    rooms = [
        Knowledge(store, audit, policy, embedder, workflows, settings.knowledge)
        for embedder, workflows in zip((inference, closed), apart, strict=True)
    ]
    await apart[0].start(work=False)
    try:
        yield Rooms(store, inference, *rooms, settings)
    finally:
        await apart[0].stop()
        for room in rooms:
            await room.stop()
        await inference.stop()
        await egress.stop()
        await policy.stop()
        await audit.stop()
        await store.stop()
        if kept is None:
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
    documents: list[set[str]]


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
    each, library = chunks // tenants, Library([], [], [], [])
    written_s = 0.0
    for _ in range(tenants):
        scope = tenant()
        texts: list[str] = []
        rows: list[np.ndarray] = []
        documents: set[str] = set()
        for place in range(0, each, 50):
            count = min(50, each - place)
            parts = [" ".join(chance.sample(pool, 3)) + f" Item {place + n}." for n in range(count)]
            body = "".join(f"# Part {place + n}\n\n{part}\n\n" for n, part in enumerate(parts))
            prepared = await asyncio.to_thread(prepare, "parts.md", body.encode(), Limits())
            shape = (len(prepared.pieces), known.shape[1])
            vectors = known[noise.integers(0, len(known), shape[0])] + noise.normal(0, 0.04, shape).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            start = time.perf_counter()
            documents.add(await _write(rooms, scope, f"{place}.md", prepared, vectors))
            written_s += time.perf_counter() - start
            texts += [piece.text for piece in prepared.pieces]
            rows.append(vectors)
        library.scopes.append(scope)
        library.texts.append(texts)
        library.vectors.append(np.concatenate(rows))
        library.documents.append(documents)
    total = sum(map(len, library.texts))
    print(f"write: {total} chunks with words and vectors in {written_s:.1f} s: {total / written_s:.0f} chunks/s")
    for scope in library.scopes:
        await Placement(rooms.store, rooms.settings.knowledge.partition_chunks_min).consider(scope)
    async with rooms.store.as_owner(reason="statistics before a benchmark") as owner:
        await owner.execute("vacuum (analyze)")
    return library


async def _write(rooms: Rooms, scope: Scope, name: str, prepared: Prepared, vectors: np.ndarray) -> str:
    rows = Vectors("local/minilm", [vector_text(row) for row in vectors])
    async with rooms.store.under(scope) as db:
        await db.run(_Q["add_collection"], name="default")
        identifier = new_id("doc")
        number = await db.value(
            _Q["add_document"], id=identifier, collection="default", name=name, label=Json(Label().to_wire())
        )
        here = Known(identifier, number, "default", name, 1, {}, identifier.encode(), 0)
        await write_entries(db, [Entry(here, "", 0, prepared, rows, Sketch(0, b""), new=True)])
        await write_extent(db, growth(prepared), [])
    return identifier


async def search(rooms: Rooms, library: Library, count: int) -> None:
    """Queries of random tenants: the time of each, and whether the vectors' best ten are the true ones."""
    chance = random.Random(11)
    pool = _sentences()
    plan = [(chance.randrange(len(library.scopes)), " ".join(chance.choice(pool).split()[:9])) for _ in range(count)]
    for place, query in plan[:20]:
        await rooms.knowledge.search(library.scopes[place], query, limit=10)
    for mode in ("hybrid", "text", "vector", "graph"):
        times: list[float] = []
        burnt = time.process_time()
        for place, query in plan:
            start = time.perf_counter()
            await rooms.knowledge.search(library.scopes[place], query, limit=10, mode=mode)
            times.append(time.perf_counter() - start)
        burnt = (time.process_time() - burnt) / len(plan) * 1000
        print(
            f"search, {mode}: p50 {p(times, 50):.1f} ms, p95 {p(times, 95):.1f} ms, query embedding included; "
            f"{burnt:.1f} ms of this process's CPU each (the database's comes on top)"
        )
        if mode == "hybrid":
            each = max(map(len, library.texts))
            print(
                f"  a tenant has {each} chunks; row security, query embedding with its receipt, words, vectors, grams, "
                "walk and highlights are on"
            )
            if each < gates.LARGE:
                gates.at_most("hybrid p50", p(times, 50), gates.P50_MS, unit=" ms")
            gates.at_most(
                "hybrid p95", p(times, 95), gates.P95_MS if each < gates.LARGE else gates.P95_LARGE_MS, unit=" ms"
            )
    times = []
    for place, query in plan:
        start = time.perf_counter()
        await rooms.inference.embed(library.scopes[place], [query], label=Label(), kind="query")
        times.append(time.perf_counter() - start)
    print(f"query embedding with its receipt alone: p50 {p(times, 50):.1f} ms, p95 {p(times, 95):.1f} ms")


async def after_intake(rooms: Rooms, library: Library, count: int) -> None:
    """The first search of a tenant after each of `count` documents that came: what is held has to follow them."""
    pool, times, burnt = _sentences(), list[float](), 0.0
    scope, vectors = library.scopes[0], library.vectors[0][:10]
    for n in range(count):
        body = "".join(f"# Later {n} {place}\n\n{pool[(7 * n + place) % len(pool)]}\n\n" for place in range(8))
        prepared = prepare("later.md", body.encode(), Limits())
        library.documents[0].add(await _write(rooms, scope, f"later {n}.md", prepared, vectors[: len(prepared.pieces)]))
        start, before = time.perf_counter(), time.process_time()
        await rooms.knowledge.search(scope, " ".join(pool[n].split()[:9]), limit=10)
        times.append(time.perf_counter() - start)
        burnt += time.process_time() - before
    print(
        f"search, hybrid, right after a document came: p50 {p(times, 50):.1f} ms, p95 {p(times, 95):.1f} ms; "
        f"{burnt / count * 1000:.1f} ms of this process's CPU each"
    )


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

MODES = ("text", "vector", "hybrid", "graph")


async def quality(rooms: Rooms, options: argparse.Namespace) -> None:
    """Each set below a folder in every mode, and the peer: recall at 2, 5 and 10 and nDCG@10, all and held-out."""
    print(
        "one configuration: words (stems), 5-grams, vectors (local/minilm, int8), walk over phrases; no language model"
    )
    for corpus in sorted(options.sets.rglob("corpus.jsonl")):
        name = str(corpus.parent.relative_to(options.sets))
        if options.only and name not in options.only:
            continue
        scope, of = await _taken_in(
            rooms, corpus, options.home / f"{name.replace('/', '-')}.json" if options.home else None
        )
        asked = [json.loads(line) for line in corpus.with_name("queries.jsonl").read_text("utf-8").splitlines()]
        if options.queries:  # of the whole set, not of its beginning
            asked = asked[:: max(1, math.ceil(len(asked) / options.queries))]
        print(f"\n{name}: {len(asked)} questions")
        figures: dict[str, dict[str, float]] = {}
        for mode in MODES:
            wall, cpu = time.perf_counter(), time.process_time()
            found = [await _found(rooms, scope, mode, row, of) for row in asked]
            wall, cpu = (time.perf_counter() - wall) / len(asked), (time.process_time() - cpu) / len(asked)
            figures[mode] = _tell(mode, found, asked, f"{1000 * wall:.0f} ms wall, {1000 * cpu:.0f} ms CPU a query")
        await _peer_of(rooms, scope, asked, of)
        gates.quality(name, figures)


async def _taken_in(rooms: Rooms, corpus: Path, kept: Path | None) -> tuple[Scope, dict[str | None, list[Any]]]:
    """The tenant that holds the set, and which ids each document stands for; from `kept` if it was taken in before."""
    if kept is not None and kept.exists():
        tenant_id, known = json.loads(kept.read_text("utf-8"))
        return Scope(tenant_id, None, None, frozenset(), OURS), known
    scope = tenant()
    of: dict[str | None, list[Any]] = {}
    rows = [json.loads(line) for line in corpus.read_text("utf-8").splitlines()]
    wall, cpu = time.perf_counter(), time.process_time()
    for row in rows:
        taken = await rooms.knowledge.ingest(scope, *_document(row), label={"class": "public", "personal": "none"})
        of.setdefault(taken.documents[0].id, []).append(row["id"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{len(rows)} passages taken in: {len(rows) / wall:.0f}/s wall, {len(rows) / cpu:.0f}/s CPU")
    if kept is not None:
        kept.write_text(json.dumps([scope.tenant, of]), "utf-8")
    return scope, of


def _document(row: dict[str, Any]) -> tuple[str, bytes]:
    """A passage as somebody would hand it in: named by its number, its title as its heading, where it has one.

    As a first line of plain text a title that ends as a sentence does (all of SciFact's do) would be taken for one.
    """
    if row.get("title"):
        return f"{row['id']}.md", f"# {row['title']}\n\n{row['text']}".encode()
    return f"{row['id']}.txt", row["text"].encode()


async def _found(
    rooms: Rooms, scope: Scope, mode: str, row: dict[str, Any], of: dict[str | None, list[Any]]
) -> list[Any]:
    found = await rooms.knowledge.search(scope, row["question"], limit=30, mode=mode)
    return list(dict.fromkeys(one for passage in found.passages for one in of[passage.document_id]))


async def _peer_of(rooms: Rooms, scope: Scope, asked: list[dict[str, Any]], of: dict[str | None, list[Any]]) -> None:
    """Plain pgvector hybrid over the same chunks: ts_rank (English) and vectors, reciprocal ranks with k = 60.

    A document stands where its best chunk does, once in each ranking.
    """
    found: list[list[Any]] = []
    async with rooms.store.as_owner(reason="the peer of a benchmark") as owner:
        await owner.execute("drop schema if exists peer cascade; create schema peer")
        await owner.execute("create table peer.chunk (document text, ts tsvector, v vector(384))")
        async with rooms.store.under(scope) as db:
            listed = await db.rows(tuple, _CHUNKS)
        await owner.execute(
            "insert into peer.chunk select d, to_tsvector('english', t), v::vector "
            "from unnest(%s::text[], %s::text[], %s::text[]) as u(d, t, v)",
            [list(column) for column in zip(*listed, strict=True)],
        )
        await owner.execute("create index on peer.chunk using gin (ts); analyze peer.chunk")
        for row in asked:
            embedded = await rooms.inference.embed(scope, [row["question"]], label=Label(), kind="query")
            cursor = await owner.execute(_PEER, {"q": row["question"], "v": vector_text(embedded.vectors[0])})
            ranked = [document for (document,) in await cursor.fetchall()]
            found.append(list(dict.fromkeys(one for document in ranked for one in of[document])))
        await owner.execute("drop schema peer cascade")
    _tell("pgvector", found, asked, "ts_rank and vectors by reciprocal ranks")


_CHUNKS = Query(
    "knowledge",
    "benchmark_chunks",
    "select d.id, c.text, e.v::text from knowledge.chunk c join knowledge.document d on d.number = c.document "
    "join knowledge.embedding e on e.chunk = c.id",
)
_PEER = """
with q as (select replace(plainto_tsquery('english', %(q)s)::text, '&', '|')::tsquery as q),
words as (select document, row_number() over (order by max(ts_rank(ts, q)) desc) as n from peer.chunk, q where ts @@ q
          group by document order by n limit 100),
near as (select document, row_number() over (order by min(v <#> %(v)s::vector)) as n from peer.chunk
         group by document order by n limit 100)
select document from (select * from words union all select * from near) as ranked
group by document order by sum(1.0 / (60 + n)) desc limit 30
"""


def _tell(mode: str, found: list[list[Any]], asked: list[dict[str, Any]], note: str) -> dict[str, float]:
    half = len(asked) // 2
    all_of_them = _figures(found, asked)
    shown, held = (
        " ".join(f"{measure} {value:5.1f}" for measure, value in figures.items())
        for figures in (all_of_them, _figures(found[half:], asked[half:]))
    )
    print(f"  {mode:9} {shown} | held out {held} | {note}", flush=True)
    return all_of_them


def _figures(found: list[list[Any]], asked: list[dict[str, Any]]) -> dict[str, float]:
    gold = [set(row["gold"]) for row in asked]
    figures = {
        f"R@{k}": 100
        * float(np.mean([len(right & set(one[:k])) / len(right) for one, right in zip(found, gold, strict=True)]))
        for k in (2, 5, 10)
    }
    figures["nDCG@10"] = 100 * float(np.mean([_gain(one, right) for one, right in zip(found, gold, strict=True)]))
    return figures


def _gain(order: list[Any], gold: set[Any]) -> float:
    ideal = sum(1 / math.log2(n + 2) for n in range(min(10, len(gold))))
    return sum(1 / math.log2(n + 2) for n, one in enumerate(order[:10]) if one in gold) / ideal


async def measure(options: argparse.Namespace) -> None:
    """Everything that was asked for."""
    async with house(options.home) as rooms:
        if options.sets:
            await quality(rooms, options)
            return
        if options.shares:
            known = (await rooms.inference.embed(tenant(), _sentences()[:1500], label=Label())).vectors
            await recall_by_share(rooms.store, rooms.settings, known, options.shares, options.queries or 200)
            return
        await ingest(rooms)
        library = await fill(rooms, options.tenants, options.chunks)
        print(f"library: {sum(map(len, library.texts))} chunks in {options.tenants} tenants")
        await web_growth(rooms.store, library.scopes[0])
        await search(rooms, library, options.queries or 200)
        await after_intake(rooms, library, 20)
        owners = list(zip(library.scopes, library.documents, strict=True))
        await strangers(rooms.knowledge, owners, _sentences(), options.strangers)
        await peer(rooms, library, options.queries or 200)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--queries", type=int, help="200 of what is timed, and all of a set, unless named")
    parser.add_argument("--strangers", type=int, default=400)
    parser.add_argument("--shares", type=int, default=0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--sets", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    if options.full:
        options.tenants, options.chunks, options.strangers = 200, 100_000, 10_000
    print(f"machine: {platform.node()}, {platform.machine()}, Python {platform.python_version()}")
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
