"""Tenants beside each other: whether a filter costs answers, whether anybody meets a stranger's rows, how webs grow.

Rows for the recall of vectors are written by the room's own questions with the least that a vector needs: documents and
their chunks. A tenant past the threshold is then placed by the room's own `Placement`.
"""

from __future__ import annotations

import asyncio
import random
import time

import numpy as np

from bastide.knowledge import Knowledge
from bastide.knowledge.candidates import Extent
from bastide.knowledge.placement import Placement
from bastide.knowledge.webs import Webs
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Json, Scope, Store, new_id, queries, vector_text
from benchmarks import gates

_Q = queries("bastide.knowledge")
_SHARES = (0.5, 0.1, 0.01, 0.001)
_AT_ONCE = 2_000
_MODEL = "local/minilm"


async def recall_by_share(store: Store, settings: Settings, known: np.ndarray, total: int, count: int) -> None:
    """recall@10 of each tenant's vectors against numpy, for tenants that hold these shares of `total` chunks."""
    noise = np.random.default_rng(17)
    rest = total - sum(int(share * total) for share in _SHARES)
    held: list[tuple[float, Scope, np.ndarray, np.ndarray]] = []
    for share in (*_SHARES, rest / total):
        scope = Scope(new_id("ten"), None, None, frozenset(), frozenset({"knowledge:read", "knowledge:write"}))
        many = round(share * total)
        vectors = known[noise.integers(0, len(known), many)]
        vectors = vectors + noise.normal(0, 0.04, vectors.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        chunks: list[int] = []
        for start in range(0, many, _AT_ONCE):
            chunks += await _write(store, scope, f"{start}", vectors[start : start + _AT_ONCE])
        await Placement(store, settings.knowledge.partition_chunks_min).consider(scope)
        held.append((share, scope, vectors, np.array(chunks)))
    for share, scope, vectors, ids in held[: len(_SHARES)]:
        asked = vectors[noise.integers(0, len(vectors), count)] + noise.normal(0, 0.03, (count, vectors.shape[1]))
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
        right: list[float] = []
        times: list[float] = []
        for query in asked:
            start = time.perf_counter()
            found, through = await _nearest(store, scope, query)
            times.append(time.perf_counter() - start)
            true = np.sort(vectors @ query)[::-1][:10]
            right.append(float(np.mean(vectors[np.searchsorted(ids, found)] @ query >= true[-1] - 5e-4)))
        way = "by its own graph" if through else "exactly"
        title = f"vector recall@10, a tenant with {100 * share:g} % of {total} chunks, {way}"
        gates.at_least(title, float(np.mean(right)), gates.SHARE_RECALL)
        print(f"    p50 {np.percentile(times, 50) * 1000:.1f} ms, p95 {np.percentile(times, 95) * 1000:.1f} ms")


async def _write(store: Store, scope: Scope, name: str, vectors: np.ndarray) -> list[int]:
    many = list(range(len(vectors)))
    async with store.under(scope) as db:
        await db.run(_Q["add_collection"], name="default")
        number = await db.value(
            _Q["add_document"], id=new_id("doc"), collection="default", name=name, label=Json(Label().to_wire())
        )
        none, zero, empty = [None] * len(many), [0] * len(many), ["[]"] * len(many)
        same = [number] * len(many)
        written: list[tuple[int, int, int]] = await db.rows(
            tuple, _Q["add_chunks"], documents=same, ords=many, nodes=zero, sections=[""] * len(many), pages=none,
            starts=zero, ends=zero, texts=[f"{name} {n}" for n in many], languages=["en"] * len(many), words=zero,
            lengths=[1] * len(many), parents=none, boxes=empty,
        )  # fmt: skip
        chunk_of = {ord: chunk for _, ord, chunk in written}
        texts = [vector_text(row) for row in vectors]
        chunks = [chunk_of[n] for n in many]
        await db.run(_Q["add_embeddings"], documents=same, chunks=chunks, models=[_MODEL] * len(chunks), vectors=texts)
        await db.run(_Q["grow_extent"], languages=["en"], chunks=[len(many)], lengths=[len(many)])
    return chunks


async def _nearest(store: Store, scope: Scope, query: np.ndarray) -> tuple[list[int], bool]:
    """The chunks of the ten nearest vectors, and whether a graph was asked."""
    values = {
        "vector": vector_text(query.astype(np.float32)),
        "model": _MODEL,
        "chunks": [],
        "several": False,
        "limit": 10,
    }
    async with store.under(scope) as db:
        extents = await db.rows(Extent, _Q["extent"], model=_MODEL)
        graph = extents[0].graph
        if graph is None:
            rows = await db.rows(tuple, _Q["nearest"], within=None, **values)
        else:
            rows = await db.rows(tuple, _Q[f"nearest_{graph}"], **values)
    return [chunk for chunk, _, _ in sorted(rows, key=lambda row: -row[1])], graph is not None


async def strangers(knowledge: Knowledge, owners: list[tuple[Scope, set[str]]], pool: list[str], count: int) -> None:
    """Random queries of random tenants: how many passages were of a document of somebody else."""
    chance = random.Random(23)
    foreign = met = 0
    for n in range(count):
        scope, own = chance.choice(owners)
        query = " ".join(chance.choice(pool).split()[: chance.randint(1, 12)])
        mode = ("hybrid", "text", "vector", "graph")[n % 4]
        found = await knowledge.search(scope, query, mode=mode, limit=chance.randint(1, 10))
        met += len(found.passages)
        foreign += sum(passage.document_id not in own for passage in found.passages)
    title = f"foreign rows among {met} passages of {count} random queries of {len(owners)} tenants, each mode in turn"
    gates.at_most(title, foreign, 0)


async def web_growth(store: Store, scope: Scope) -> None:
    """Making the web of a tenant from its rows, and bringing it to a state with one row more."""
    webs = Webs()
    async with store.under(scope) as db:
        extents = await db.rows(Extent, _Q["extent"], model=_MODEL)
        start, burnt = time.perf_counter(), time.process_time()
        held = await webs.of(db, scope.tenant, extents)
        took, burnt = time.perf_counter() - start, time.process_time() - burnt
    web = held.web
    if web is None:
        return
    passages, mentions = len(web.chunks), len(web.phrases)
    print(f"web: {passages} passages, {mentions} mentions, {web.bytes / 1e6:.0f} MB, {burnt:.2f} s of CPU here")
    gates.at_most("making a web of 10,000 passages", took * 10_000 / passages, gates.WEB_S_PER_10000, unit=" s")
    one = web._kept({number: web.rows[number] for number in list(web.rows)[:1]})
    few = await asyncio.to_thread(web.changed, one, list(web.rows)[:1])
    start = time.process_time()
    for _ in range(5):
        few = few.changed(one, list(one.numbers.tolist()))
    print(f"web: one row of {len(one.chunks)} passages anew costs {(time.process_time() - start) * 200:.2f} ms of CPU")
