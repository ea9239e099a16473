"""Search: the right passage, in four languages; bad requests; vectors against an exact search in numpy."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bastide.errors import BadOption, BadQuery, UnknownCollection
from bastide.knowledge import Knowledge
from bastide.knowledge.reading import terms
from bastide.policy import Label
from bastide.settings import KnowledgeSettings
from bastide.store import Scope
from bastide.store import queries as stored

from .conftest import LEASE, MENU, Rooms

KNOWN_PLACES = [
    ("How soon must a personal data breach be notified?", "gdpr-en.txt", "Article 33"),
    ("Binnen welke termijn moet een ernstig incident worden gemeld?", "ai-act-nl.html", "Artikel 73"),
    ("Wann ist ein Datenschutzbeauftragter zu benennen?", "bdsg-de.md", "§ 38"),
    (
        "Dans quel délai le silence de l'administration vaut-il acceptation ?",
        "relations-public-administration-fr.md",
        "L231-1",
    ),
]


@pytest.mark.parametrize(("question", "name", "place"), KNOWN_PLACES)
@pytest.mark.parametrize("mode", ["hybrid", "text"])
async def test_a_known_question_finds_its_article(
    knowledge: Knowledge, library: Scope, question: str, name: str, place: str, mode: str
) -> None:
    found = await knowledge.search(library, question, limit=3, mode=mode)
    places = [(p.name, " > ".join(p.section)) for p in found.passages]
    assert any(where == name and place in path for where, path in places), places


async def test_a_passage_says_where_it_stands(knowledge: Knowledge, library: Scope) -> None:
    result = await knowledge.search(library, "right to erasure")
    wire = result.to_wire()
    assert set(wire) >= {"passages", "took_ms"}
    passages = wire["passages"]
    assert isinstance(passages, list)
    shape = {"n", "document_id", "title", "collection", "section", "page", "start", "end", "text", "score", "version"}
    assert shape | {"label"} <= set(passages[0])
    assert {"class", "personal", "integrity"} <= set(passages[0]["label"])
    assert [p["n"] for p in passages] == list(range(1, len(passages) + 1))
    scores = [p["score"] for p in passages]
    assert scores == sorted(scores, reverse=True)


async def test_bm25_is_lucenes(knowledge: Knowledge, ours: Scope) -> None:
    texts = [
        "red apple pie",
        "green apple",
        "apple apple apple tree in the garden",
        "blue sky",
        "pie in the sky, red pie",
    ]
    for n, text in enumerate(texts):
        await knowledge.ingest(ours, f"{n}.txt", text.encode())
    found = await knowledge.search(ours, "red apple pie", mode="text", explain=True)
    # the title of a file without one is its first line or its name: count as the index does
    chunks = {p.text: terms(p.text, "en") + _above(p.title, p.section) for p in found.passages}
    documents = [(await knowledge.search(ours, text, mode="text", limit=1)).passages[0] for text in texts]
    counted = [terms(p.text, "en") + _above(p.title, p.section) for p in documents]
    mean = sum(sum(c.values()) for c in counted) / len(counted)

    def score(c: Counter[str]) -> float:
        total = 0.0
        for stem in terms("red apple pie", "en"):
            df = sum(stem in one for one in counted)
            idf = math.log(1 + (len(counted) - df + 0.5) / (df + 0.5))
            tf = c[stem]
            total += idf * tf / (tf + 1.2 * (0.25 + 0.75 * sum(c.values()) / mean))
        return total

    expected = {text: score(c) for text, c in chunks.items()}
    for p in found.passages:
        assert p.why is not None
        assert p.why.words == pytest.approx(expected[p.text], abs=1e-6)


def _above(title: str, section: tuple[str, ...]) -> Counter[str]:
    path = list(section)
    return terms("\n".join([title, *path] if title and title not in path else path), "en")


async def test_words_find_what_vectors_cannot_and_vectors_what_words_cannot(knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "lease.md", LEASE)
    await knowledge.ingest(ours, "menu.md", MENU)
    await knowledge.ingest(ours, "part.txt", b"Order number ZX-4471-B was shipped on Monday.")
    assert (await knowledge.search(ours, "ZX-4471-B")).passages[0].name == "part.txt"
    near = await knowledge.search(ours, "What can I eat for lunch?")
    assert near.passages[0].name == "menu.md"
    assert (await knowledge.search(ours, "What can I eat for lunch?", mode="text")).passages == ()


async def test_filters_narrow(knowledge: Knowledge, ours: Scope) -> None:
    lease = (await knowledge.ingest(ours, "lease.md", LEASE, collection="contracts")).documents[0].id
    await knowledge.ingest(ours, "menu.md", MENU)
    await knowledge.ingest(ours, "bail.txt", b"Le bail de l'atelier de Gand se termine le 30 juin 2031.")

    async def names(**options: object) -> set[str]:
        return {p.name for p in (await knowledge.search(ours, "lease bail soup 2031", **options)).passages}  # type: ignore[arg-type]

    assert await names() == {"lease.md", "menu.md", "bail.txt"}
    assert await names(collection="contracts") == {"lease.md"}
    assert await names(filters={"documents": [lease]}) == {"lease.md"}
    assert await names(filters={"languages": ["fr"]}) == {"bail.txt"}
    assert await names(filters={"names": ["menu.md", "lease.md"]}) == {"menu.md", "lease.md"}
    assert await names(filters={"media_types": "text/plain"}) == {"bail.txt"}
    assert await names(filters={"since": (datetime.now(UTC) + timedelta(days=1)).isoformat()}) == set()
    assert await names(filters={"documents": []}) == set()


@pytest.mark.parametrize("query", ["", "  \n ", "a\0b", "x" * 4_001, 7, None])
async def test_a_bad_query_is_refused(knowledge: Knowledge, ours: Scope, query: str) -> None:
    with pytest.raises(BadQuery):
        await knowledge.search(ours, query)
    with pytest.raises(BadQuery):
        await knowledge.answer(ours, query)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "8"},
        {"limit": True},
        {"mode": "magic"},
        {"filters": {"colour": "red"}},
        {"filters": {"languages": [1]}},
        {"filters": {"names": ["a\0b"]}},
        {"filters": {"names": ["\ud800"]}},
        {"filters": {"since": "yesterday"}},
        {"filters": {"since": "2026-01-01"}},
    ],
)
async def test_a_bad_option_is_refused(knowledge: Knowledge, ours: Scope, options: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        await knowledge.search(ours, "lease", **options)  # type: ignore[arg-type]


async def test_a_collection_that_is_not_there(knowledge: Knowledge, ours: Scope) -> None:
    with pytest.raises(UnknownCollection):
        await knowledge.search(ours, "lease", collection="nowhere")


@pytest.mark.parametrize(
    "query",
    [
        "'; drop table knowledge.chunk; --",
        "%s %(x)s {}",
        "\\x00 \\",
        "٣٤ 漢字 🙂",
        "\ud800",
        "a" * 3_999,
        "!?",
        "the of and",
    ],
)
async def test_odd_queries_are_answered(knowledge: Knowledge, ours: Scope, query: str) -> None:
    await knowledge.ingest(ours, "lease.md", LEASE)
    for mode in ("hybrid", "text", "vector", "graph"):
        await knowledge.search(ours, query, mode=mode)


async def test_an_empty_tenant_is_no_error(knowledge: Knowledge, ours: Scope) -> None:
    assert (await knowledge.search(ours, "anything")).passages == ()


async def test_equal_texts_are_shown_once(knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "a.txt", b"The gate opens at seven.", collection="one")
    await knowledge.ingest(ours, "a.txt", b"The gate opens at seven.", collection="two")
    assert len((await knowledge.search(ours, "gate")).passages) == 1


async def _cosines(rooms: Rooms, scope: Scope, texts: list[str], query: str) -> np.ndarray:
    passages = await rooms.inference.embed(scope, texts, label=Label(), kind="passage")
    asked = await rooms.inference.embed(scope, [query], label=Label(), kind="query")
    return passages.vectors @ asked.vectors[0]


async def test_vectors_are_searched_exactly(rooms: Rooms, ours: Scope) -> None:
    facts = [
        f"{thing} number {n} is kept in room {n * 3}." for n, thing in enumerate(["Lamp", "Chair", "Book", "Pen"] * 12)
    ]
    for n, fact in enumerate(facts):
        await rooms.knowledge.ingest(ours, f"{n}.txt", fact.encode())
    found = await rooms.knowledge.search(ours, "Where is the seat?", mode="vector", limit=10)
    chunks = [(await rooms.knowledge.search(ours, fact, limit=1, mode="text")).passages[0] for fact in facts]
    texts = [f"{p.title if not p.section else ' · '.join(p.section[-2:])}\n{p.text}" for p in chunks]
    cosines = await _cosines(rooms, ours, texts, "Where is the seat?")
    floor = np.sort(cosines)[::-1][9]
    by_text = dict(zip(facts, cosines, strict=True))
    assert len(found.passages) == 10
    assert all(by_text[p.text] >= floor - 1e-3 for p in found.passages)


async def test_placing_waits_for_nobody_who_waits_for_it(rooms: Rooms, scope_with: Callable[..., Scope]) -> None:
    eager = rooms.knowledge_with(KnowledgeSettings(partition_chunks_min=4))
    tenants = [scope_with("knowledge:read", "knowledge:write", "knowledge:erase", "model:use") for _ in range(5)]

    async def live(scope: Scope) -> None:
        for n in range(6):
            body = "\n\n".join(f"# Part {p}\n\nEngine {p} of plant {n} turns." for p in range(4))
            taken = await eager.ingest(scope, f"{n}.md", body.encode())
            assert (await eager.search(scope, f"engine of plant {n}", limit=30)).passages
            if n % 2:
                await eager.delete(scope, taken.documents[0].id or "")

    await asyncio.gather(*(live(scope) for scope in tenants))
    await eager.settled()
    for scope in tenants:
        async with rooms.store.under(scope) as db:
            extents = await db.rows(dict, stored("bastide.knowledge")["extent"], model="local/minilm")
        assert [(extent["chunks"], extent["graph"]) for extent in extents] == [(12, 384)]
        found = await eager.search(scope, "engine", mode="vector", limit=30)
        assert len(found.passages) == 12


async def test_a_large_tenant_gets_its_partition_and_the_same_answers(
    rooms: Rooms, ours: Scope, neighbour: Scope
) -> None:
    small = rooms.knowledge_with(KnowledgeSettings(partition_chunks_min=40))
    body = "\n\n".join(
        f"# Part {n}\n\nThe {w} engine number {n} turns {n * 13} times." for n, w in enumerate(["red", "blue"] * 25)
    )
    await rooms.knowledge.ingest(ours, "engines.md", body.encode())
    await rooms.knowledge.ingest(neighbour, "engines.md", body.encode())
    queries = ["red motor", "blue machine number 31", "how often does engine 12 turn"]
    before = [await rooms.knowledge.search(ours, query, mode="vector", limit=10) for query in queries]
    await small.ingest(ours, "one more.md", b"# One more\n\nA green engine stands still.")
    await small.settled()
    async with rooms.store.under(ours) as db:
        extents = await db.rows(dict, stored("bastide.knowledge")["extent"], model="local/minilm")
    assert [extent["graph"] for extent in extents] == [384]
    for query, found in zip(queries, before, strict=True):
        after = await rooms.knowledge.search(ours, query, mode="vector", limit=10)
        texts = {p.text for p in after.passages}
        assert len({p.text for p in found.passages} & texts) >= 9
    assert len((await rooms.knowledge.search(neighbour, "red motor", mode="vector")).passages) == 8
    assert await rooms.store.lint() == []
    # life goes on in the partition: a new document is found, a deleted one is not, and nothing is placed twice
    taken = await small.ingest(ours, "last.md", b"# Last\n\nThe violet engine sings at night.")
    await small.settled()
    assert (await small.search(ours, "violet engine", mode="vector", limit=1)).passages[0].name == "last.md"
    await small.delete(ours, taken.documents[0].id or "")
    assert all(p.name != "last.md" for p in (await small.search(ours, "violet engine", mode="vector")).passages)
    narrowed = await small.search(ours, "engine", mode="vector", filters={"names": ["one more.md"]})
    assert [p.name for p in narrowed.passages] == ["one more.md"]
