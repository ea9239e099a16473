"""Postings: what is read of the table as bytes is what stands there, sums are BM25's, what is held is never stale."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge import Knowledge
from bastide.knowledge.candidates import Extent, postings_of
from bastide.knowledge.postings import NOWHERE, Postings, Term, ranked, read
from bastide.knowledge.ranking import term_key
from bastide.knowledge.webs import Held, Webs
from bastide.settings import KnowledgeSettings
from bastide.store import Query, Scope, new_id, queries

from .conftest import LEASE, MENU, Rooms

EVERY = Query("test", "every", "select term, document, chunks, counts from knowledge.posting order by term, document")

# of each term: documents, each with its chunks (beside a base, which may lie far off), and how often it stands there
CHUNK = st.tuples(st.integers(0, 9), st.integers(1, 9))
TERMS = st.lists(st.dictionaries(st.integers(0, 5), st.lists(CHUNK, min_size=1, max_size=4), max_size=4), max_size=5)


def postings(of: dict[int, list[tuple[int, int]]], far: int, lengths: dict[int, int]) -> Postings:
    """A term's places; a chunk is numbered by its document and its place in that."""
    rows = {document: {far * document + 10 * document + at: n for at, n in places} for document, places in of.items()}
    chunks = [chunk for row in rows.values() for chunk in row]
    return Postings(
        np.array(list(rows), np.int64),
        np.array([len(row) for row in rows.values()], np.int64),
        np.array(chunks, np.int64),
        np.array([n << 16 | lengths[chunk] for row in rows.values() for chunk, n in row.items()], np.int32),
    )


@given(TERMS, st.sampled_from([0, 10**12]), st.none() | st.lists(st.integers(0, 5), max_size=3), st.integers(1, 5))
def test_the_sums_are_bm25s(
    rows: list[dict[int, list[tuple[int, int]]]], far: int, within: list[int] | None, most: int
) -> None:
    lengths: dict[int, int] = defaultdict(lambda: 7) | {1: 40_000, 10: 1}
    known = {key: postings(of, far, lengths) for key, of in enumerate(rows)}
    asked = [Term(key, 30, 11.5, 0.7 + key) for key in known]
    expected: dict[int, float] = defaultdict(float)
    for term in asked:
        found = known[term.key]
        df = len(found.chunks)
        owners = np.repeat(found.documents, found.sizes).tolist()
        for owner, chunk, count in zip(owners, found.chunks.tolist(), found.counts.tolist(), strict=True):
            if within is None or owner in within:
                norm = 1.2 * (0.25 + 0.75 * (count & 65535) / 11.5)
                idf = math.log(1 + (30 - df + 0.5) / (df + 0.5))
                expected[chunk] += term.weight * idf * (count >> 16) / ((count >> 16) + norm)
    found_here = ranked(asked, known, within)
    assert found_here.of([*expected, -5, 10**15]) == pytest.approx(expected)
    best = found_here.best(most)
    assert best == pytest.approx({chunk: expected[chunk] for chunk in best})
    worst = min(best.values(), default=0.0)
    assert len(best) >= min(most, len(expected))
    assert sum(score > worst + 1e-9 for score in expected.values()) < most


async def test_what_is_read_as_bytes_is_what_stands_there(rooms: Rooms, ours: Scope) -> None:
    body = "\n\n".join(
        f"# Part {n}\n\nThe ferry of part {n} sails, the ferry sails, at {n * 7} o'clock." for n in range(9)
    )
    await rooms.knowledge.ingest(ours, "ferries.md", body.encode())
    await rooms.knowledge.ingest(ours, "lease.md", LEASE)
    await rooms.knowledge.ingest(ours, "more.md", LEASE + b"\nThe ferry is not let.\n")
    async with rooms.store.under(ours) as db:
        rows: list[tuple[int, int, list[int], list[int]]] = await db.rows(tuple, EVERY)
        sent = await db.rows(tuple, queries("bastide.knowledge")["postings"], terms=[term for term, *_ in rows])
    assert max(len(chunks) for *_, chunks, _ in rows) >= 9
    standing: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for term, document, chunks, counts in rows:
        standing[term] += [(document, chunk, count) for chunk, count in zip(chunks, counts, strict=True)]
    got: dict[int, list[tuple[int, int, int]]] = {}
    for term, *columns in sent:
        one = read(*columns)
        documents = np.repeat(one.documents, one.sizes).tolist()
        got[term] = sorted(zip(documents, one.chunks.tolist(), one.counts.tolist(), strict=True))
    assert got == {term: sorted(places) for term, places in standing.items()}


async def _words(knowledge: Knowledge, scope: Scope, query: str, mode: str = "text") -> dict[str, float]:
    """By name, the BM25 of what is found."""
    found = await knowledge.search(scope, query, mode=mode, explain=True)
    return {one.name: one.why.words for one in found.passages if one.why is not None}


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_what_is_held_of_words_is_never_stale(rooms: Rooms, ours: Scope, neighbour: Scope, mode: str) -> None:
    knowledge, query = rooms.knowledge, "lease of the workshop, soup and pancakes"
    seen: list[dict[str, float]] = []
    lease = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0].id or ""
    await knowledge.ingest(neighbour, "other.md", MENU + LEASE)

    async def looked() -> set[str]:
        seen.append(await _words(knowledge, ours, query, mode))
        fresh = rooms.knowledge_with(KnowledgeSettings())  # which holds nothing
        assert seen[-1] == await _words(knowledge, ours, query, mode) == await _words(fresh, ours, query, mode)
        return set(seen[-1])

    assert await looked() == {"lease.md"}
    await knowledge.ingest(ours, "menu.md", MENU)
    assert await looked() == {"lease.md", "menu.md"}
    await knowledge.ingest(ours, "lease.md", LEASE + b"\nSoup is not served.\n")
    assert await looked() == {"lease.md", "menu.md"}
    await knowledge.delete(ours, lease)
    assert await looked() == {"menu.md"}
    for n in range(3):
        await knowledge.ingest(ours, f"{n}.md", f"# Workshop {n}\n\nIts lease {'ends. ' * (n + 1)}".encode())
        await knowledge.reindex(ours, str((await knowledge.documents(ours)).items[0].id))
        assert await looked() == {"menu.md", *(f"{m}.md" for m in range(n + 1))}
    assert len({tuple(sorted(one.items())) for one in seen}) == 7
    assert set(await _words(knowledge, neighbour, query, mode)) == {"other.md"}


async def test_what_is_held_of_words_follows_the_documents_that_change(rooms: Rooms, ours: Scope) -> None:
    webs, terms = Webs(), [term_key("en", stem) for stem in ("leas", "workshop", "soup", "nowher")]
    stored = queries("bastide.knowledge")

    async def held() -> Held:
        async with rooms.store.under(ours) as db:
            found = await webs.of(db, ours.tenant, await db.rows(Extent, stored["extent"], model=""))
            postings = await postings_of(db, terms, found)
            everything = await db.rows(tuple, stored["postings"], terms=terms)
        now = {key: read(*columns) for key, *columns in everything}
        for key, one in postings.items():
            assert sorted(one.chunks.tolist()) == sorted(now.get(key, NOWHERE).chunks.tolist())
            assert sorted(one.documents.tolist()) == sorted(now.get(key, NOWHERE).documents.tolist())
            assert sorted(one.counts.tolist()) == sorted(now.get(key, NOWHERE).counts.tolist())
        assert found.postings_bytes == sum(one.postings.bytes for one in found.postings.values())
        return found

    lease = (await rooms.knowledge.ingest(ours, "lease.md", LEASE)).documents[0].id or ""
    first = await held()
    assert (first.whole, len(first.changed), set(first.postings)) == (True, 0, set(terms))
    await rooms.knowledge.ingest(ours, "menu.md", MENU)
    second = await held()
    assert len(second.changed) == 1
    assert {one.changes for one in second.postings.values()} == {1}
    await rooms.knowledge.ingest(
        ours, "lease.md", LEASE + b"\nThe workshop has a lease.\n"
    )  # another row, same document
    assert len((await held()).changed) == 3
    async with rooms.store.under(ours) as db:  # as a house wrote it that knew no phrases: what changes is not told
        row = await db.row(dict, stored["find_by_id"], id=lease)
        assert row is not None
        await db.run(stored["forget_mentions"], document=row["number"])
    await rooms.knowledge.ingest(ours, "more.md", MENU + LEASE)
    fourth = await held()
    assert (fourth.whole, len(fourth.changed)) == (False, 0)
    await rooms.knowledge.delete(ours, lease)
    assert (await held()).whole
    await rooms.knowledge.ingest(ours, "again.md", LEASE)
    assert len((await held()).changed) == 1


async def test_what_moves_behind_a_door_leaves_what_is_held(rooms: Rooms, ours: Scope) -> None:
    knowledge = rooms.knowledge
    # without a phrase in it, so that only the document says where it stands
    dry = (await knowledge.ingest(ours, "dry.txt", b"the cellar is dry and warm.", collection="open")).documents[0].id
    await knowledge.ingest(ours, "wet.txt", b"the cellar is wet and cold.", collection="open")
    await knowledge.ingest(ours, "lease.md", LEASE, collection="staff")
    member = replace(ours, user=new_id("usr"), roles=frozenset(), permissions=ours.permissions)
    await knowledge.upkeep.set_members(ours, "staff", {str(member.user): "manage", str(ours.user): "manage"})
    stranger = replace(ours, user=new_id("usr"), roles=frozenset())
    before = await _words(knowledge, stranger, "dry cellar")
    assert set(before) == {"dry.txt", "wet.txt"}
    await knowledge.upkeep.move(ours, [str(dry)], "staff")
    after = await _words(knowledge, stranger, "dry cellar")
    assert after == await _words(rooms.knowledge_with(KnowledgeSettings()), stranger, "dry cellar")
    assert set(after) == {"wet.txt"}
    assert after["wet.txt"] != before["wet.txt"]
    assert set(await _words(knowledge, member, "dry cellar")) == {"dry.txt", "wet.txt"}
