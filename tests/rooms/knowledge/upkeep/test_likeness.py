"""Near duplicates are found by keyed sketches, and a report says what was read badly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.errors import BadOption, Forbidden, UnknownCollection, UnknownDocument
from bastide.knowledge import Knowledge
from bastide.knowledge.likeness import PLACES, sketch
from bastide.store import Query, Scope, Store, new_id
from tests.rooms.knowledge.conftest import LEASE, MENU

WORDS = [f"word{n}" for n in range(4_000)]
KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
SKETCHES = Query("test", "sketches", "select sketch from knowledge.likeness")


def prose(seed: int, sentences: int = 60) -> list[str]:
    """Sentences of ten words, the same for the same seed."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=10)).capitalize() + "." for _ in range(sentences)]


def written(sentences: list[str]) -> bytes:
    """A text with a heading, a sentence a paragraph."""
    return ("# Report\n\n" + "\n\n".join(sentences)).encode()


async def taken_in(knowledge: Knowledge, scope: Scope, name: str, data: bytes, collection: str = "default") -> str:
    """The id of a document that was just taken in."""
    return (await knowledge.ingest(scope, name, data, collection=collection, vectors=False)).documents[0].id or ""


# -- sketches ---------------------------------------------------------------------------------------


def shared(one: list[str], other: list[str], key: bytes = KEY) -> float:
    """The share of equal places in two sketches."""
    left, right = (sketch([" ".join(text)], key).places for text in (one, other))
    return sum(left[n : n + 4] == right[n : n + 4] for n in range(0, 4 * PLACES, 4)) / PLACES


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(200, 600), st.floats(0.0, 1.0))
def test_a_sketch_estimates_the_similarity(seed: int, length: int, kept: float) -> None:
    chance = random.Random(seed)
    one = [f"a{chance.random()}" for _ in range(length)]
    cut = int(length * kept)
    other = one[:cut] + [f"b{chance.random()}" for _ in range(length - cut)]
    left, right = ({tuple(text[n : n + 5]) for n in range(length - 4)} for text in (one, other))
    assert abs(shared(one, other) - len(left & right) / len(left | right)) < 0.23  # five standard errors


@settings(max_examples=30)
@given(st.lists(st.text(max_size=40), max_size=8))
def test_a_sketch_is_a_function_of_the_words(texts: list[str]) -> None:
    made = sketch(texts, KEY)
    assert made == sketch([text.upper().lower() if text.isascii() else text for text in texts], KEY)
    assert len(made.places) in (0, 4 * PLACES)
    assert (made.shingles == 0) == (made.places == b"")


def test_another_key_gives_another_sketch() -> None:
    one = sketch([" ".join(prose(1))], KEY).places
    other = sketch([" ".join(prose(1))], OTHER_KEY).places
    assert sum(one[n : n + 4] == other[n : n + 4] for n in range(0, len(one), 4)) == 0


# -- duplicates -------------------------------------------------------------------------------------


async def test_near_duplicates_are_found_with_what_differs(
    knowledge: Knowledge, ours: Scope, neighbour: Scope, nobody: Scope
) -> None:
    text = prose(1)
    changed = [*text]
    changed[30] = "Here one sentence says something else altogether, and at length."
    first = await taken_in(knowledge, ours, "first.md", written(text))
    second = await taken_in(knowledge, ours, "second.md", written(changed))
    copy = await taken_in(knowledge, ours, "first.md", written(text), "copies")
    other = await taken_in(knowledge, ours, "other.md", written(prose(2)))
    await taken_in(knowledge, neighbour, "first.md", written(text))
    found = {(one.document, one.other): one for one in await knowledge.upkeep.duplicates(ours)}
    assert found.keys() == {(first, second), (first, copy), (second, copy)}
    equal, near = found[first, copy], found[first, second]
    assert (equal.similarity, equal.same_content, equal.only_here) == (1.0, True, ())
    assert 0.9 < near.similarity < 1.0
    assert not near.same_content
    assert near.only_here == (text[30],)
    assert near.only_there == (changed[30],)
    asked = await knowledge.upkeep.duplicates(ours, document_id=copy)
    assert [(one.document, one.other) for one in asked] == [(copy, first), (copy, second)]
    assert await knowledge.upkeep.duplicates(ours, document_id=other) == ()
    assert [one.other for one in await knowledge.upkeep.duplicates(ours, collection="default")] == [second]
    assert len(await knowledge.upkeep.duplicates(ours, limit=1)) == 1
    assert len(await knowledge.upkeep.duplicates(ours, least=1.0)) >= 1
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.duplicates(neighbour, document_id=first)
    with pytest.raises(UnknownCollection):
        await knowledge.upkeep.duplicates(neighbour, collection="copies")
    with pytest.raises(Forbidden):
        await knowledge.upkeep.duplicates(nobody)


async def test_a_sketch_follows_its_document_and_goes_with_it(knowledge: Knowledge, store: Store, ours: Scope) -> None:
    first = await taken_in(knowledge, ours, "first.md", written(prose(1)))
    second = await taken_in(knowledge, ours, "second.md", written(prose(1)[:55]))
    assert len(await knowledge.upkeep.duplicates(ours)) == 1
    await taken_in(knowledge, ours, "second.md", written(prose(3)))
    assert await knowledge.upkeep.duplicates(ours) == ()
    await knowledge.delete(ours, first)
    await knowledge.delete(ours, second)
    async with store.under(ours) as db:
        assert await db.rows(tuple, SKETCHES) == []


async def test_equal_words_of_two_tenants_have_nothing_in_common(
    knowledge: Knowledge, store: Store, ours: Scope, neighbour: Scope
) -> None:
    sketches = []
    for scope in (ours, neighbour):
        await taken_in(knowledge, scope, "first.md", written(prose(1)))
        async with store.under(scope) as db:
            sketches.append(bytes(await db.value(SKETCHES)))
    same = sum(sketches[0][n : n + 4] == sketches[1][n : n + 4] for n in range(0, 4 * PLACES, 4))
    assert same == 0


async def test_what_is_closed_to_somebody_is_not_compared_for_him(knowledge: Knowledge, ours: Scope) -> None:
    await taken_in(knowledge, ours, "first.md", written(prose(1)))
    await taken_in(knowledge, ours, "first.md", written(prose(1)), "staff")
    assert len(await knowledge.upkeep.duplicates(ours)) == 1
    await knowledge.upkeep.set_members(ours, "staff", {new_id("usr"): "read"})
    assert await knowledge.upkeep.duplicates(ours) == ()


@pytest.mark.parametrize("least", [0, -1, 1.1, True, "0.5"], ids=["zero", "negative", "above", "bool", "text"])
async def test_a_wrong_similarity_is_refused(knowledge: Knowledge, ours: Scope, least: float) -> None:
    with pytest.raises(BadOption):
        await knowledge.upkeep.duplicates(ours, least=least)


# -- quality ----------------------------------------------------------------------------------------


async def test_the_quality_report_counts_and_names(
    knowledge: Knowledge, ours: Scope, neighbour: Scope, nobody: Scope
) -> None:
    await knowledge.ingest(ours, "lease.md", LEASE)
    rules = [f"The tenant of room {n} keeps it clean and pays for its heating in month {n}." for n in range(60)]
    await knowledge.ingest(ours, "twin.md", written(rules))
    later = await taken_in(knowledge, ours, "later.md", written(rules[:58]), "other")
    german = "Die Miete der Werkstatt beträgt zwölfhundert Euro im Monat und ist am ersten Werktag fällig.\n" * 3
    miete = (await knowledge.ingest(ours, "miete.md", german.encode())).documents[0].id
    await knowledge.ingest(ours, "bad.pdf", b"%PDF-1.7\nthis is cut off")
    await knowledge.ingest(neighbour, "bad.pdf", b"%PDF-1.7\nthis is cut off, too")
    report = await knowledge.upkeep.quality(ours)
    assert (report.documents, report.not_embedded, report.with_problems) == (4, 1, 1)
    assert (report.other_language, report.near_duplicates, report.embedder) == (1, 1, "local/minilm")
    assert [(one.code, one.files) for one in report.refused] == [("knowledge.unreadable_file", 1)]
    listed = (await knowledge.upkeep.doubtful(ours)).items
    assert [(one.id, one.not_embedded) for one in listed] == [(later, True), (miete, False)]
    first = await knowledge.upkeep.doubtful(ours, limit=1)
    second = await knowledge.upkeep.doubtful(ours, limit=1, cursor=first.cursor)
    assert (*first.items, *second.items) == listed
    alone = await knowledge.upkeep.quality(ours, collection="other")
    assert (alone.documents, alone.not_embedded, alone.near_duplicates) == (1, 1, 0)
    theirs = await knowledge.upkeep.quality(neighbour)
    assert (theirs.documents, len(theirs.refused)) == (0, 1)
    with pytest.raises(UnknownCollection):
        await knowledge.upkeep.quality(neighbour, collection="other")
    with pytest.raises(Forbidden):
        await knowledge.upkeep.quality(nobody)


async def test_a_house_without_documents_has_a_report(knowledge: Knowledge, ours: Scope) -> None:
    report = await knowledge.upkeep.quality(ours)
    assert (report.documents, report.refused, report.pages, report.near_duplicates) == (0, (), {}, 0)
    assert (await knowledge.upkeep.doubtful(ours)).items == ()
    await knowledge.ingest(ours, "menu.md", MENU)
    assert (await knowledge.upkeep.quality(ours)).documents == 1
