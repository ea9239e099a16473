"""Figures of the graph of names: extraction per passage, and steps through a graph of many edges under row security.

python -m benchmarks graph [--entities 10000] [--edges 80000] [--documents 1000] [--queries 200]

The edges are synthetic, between names met with a Zipf frequency; the passages are those of the examples. A query is
the whole of `Graph.neighbours`: rights, transaction, steps, names, labels. Milliseconds of extraction are CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bastide.app import open_house
from bastide.knowledge.graph import Graph, extracted
from bastide.knowledge.graph.naming import id_of, key_of
from bastide.knowledge.reading import Limits, cut, read
from bastide.settings import Settings
from bastide.store import Query, Scope, Store, new_id

EXAMPLES = Path(__file__).parents[1] / "examples"
ROUNDS = 15
PIECES = 40

DOCUMENTS = Query(
    "bench",
    "documents",
    "insert into knowledge.document (id, collection, name, label) "
    "select 'doc_' || lpad(n::text, 26, '0'), 'bench', 'd' || n, '{\"class\": \"internal\"}' "
    "from generate_series(1, %(count)s) n returning number",
)
COLLECTION = Query("bench", "collection", "insert into knowledge.collection (name) values ('bench')")
NAMES = Query(
    "bench",
    "names",
    "insert into knowledge.entity_source (document, chunk, key, extractor, type, name, start_at, end_at, times, "
    "confidence, self) select u.document, u.n, u.key, 'bench', 'person', 'Name ' || u.key, 0, 4, 1, 0.9, false "
    "from unnest(%(documents)s::bigint[], %(keys)s::bigint[]) with ordinality as u(document, key, n)",
)
EDGES = Query(
    "bench",
    "edges",
    "insert into knowledge.relation_source (document, chunk, a, b, type, extractor, start_at, end_at, weight, "
    "confidence) select u.document, u.n, u.a, u.b, 'related_to', 'bench', 0, 4, 1, 0.5 "
    "from unnest(%(documents)s::bigint[], %(ones)s::bigint[], %(others)s::bigint[]) "
    "with ordinality as u(document, a, b, n)",
)
ANALYZE = Query("bench", "analyze", "analyze knowledge.entity_source, knowledge.relation_source, knowledge.document")


def extraction() -> None:
    """Milliseconds of CPU per 100 words, the best of the rounds, for each example."""
    for path in sorted(EXAMPLES.glob("*.*")):
        if path.suffix not in {".txt", ".md", ".html"} or path.name == "README.md":
            continue
        reading = read(path.name, path.read_bytes(), Limits())
        pieces = tuple(cut(reading))[PIECES : 2 * PIECES]
        words = sum(piece.words for piece in pieces)
        times = []
        for _ in range(ROUNDS):
            start = time.process_time()
            extracted(reading, pieces)
            times.append(time.process_time() - start)
        if words:
            print(f"  extraction {path.name}: {min(times) * 1e5 / words:.2f} ms per 100 words (target 2)")


async def fill(store: Store, scope: Scope, args: argparse.Namespace) -> list[int]:
    """Documents, names and edges of one tenant; the keys of the names."""
    chance = random.Random(7)
    keys = [key_of(f"name {number}") for number in range(args.entities)]
    weights = [1.0 / (rank + 10) for rank in range(args.entities)]
    async with store.under(scope) as db:
        await db.run(COLLECTION)
        documents = [number for (number,) in await db.rows(tuple, DOCUMENTS, count=args.documents)]
        await db.run(NAMES, documents=[chance.choice(documents) for _ in keys], keys=keys)
        ones = chance.choices(keys, weights, k=args.edges)
        others = chance.choices(keys, weights, k=args.edges)
        at = [chance.choice(documents) for _ in ones]
        await db.run(EDGES, documents=at, ones=ones, others=others)
    async with store.as_owner(reason="statistics for the benchmark") as owner:
        await owner.execute(ANALYZE.sql)
    return keys


async def steps(args: argparse.Namespace) -> None:
    """Milliseconds of neighbours one and two steps away, and of a page of entities."""
    home = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    try:
        async with open_house(Settings.read(home / "home", environment={}), sequence=False, work=False) as house:
            rights = frozenset({"knowledge:read", "knowledge:write"})
            scope = Scope(new_id("ten"), new_id("usr"), None, frozenset(), rights)
            graph = Graph(house.store, house.audit)
            keys = await fill(house.store, scope, args)
            chance = random.Random(11)
            for depth, limit in ((1, 20), (2, 20)):
                times = []
                for _ in range(args.queries):
                    start = time.perf_counter()
                    await graph.neighbours(scope, id_of(chance.choice(keys)), depth=depth, limit=limit)
                    times.append((time.perf_counter() - start) * 1e3)
                cuts = statistics.quantiles(times, n=20)
                print(f"  {depth} steps of {args.edges:,} edges: p50 {cuts[9]:.2f} ms, p95 {cuts[18]:.2f} ms")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--edges", type=int, default=80_000)
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    if args.queries > 0:
        extraction()
    asyncio.run(steps(args))


if __name__ == "__main__":
    main()
