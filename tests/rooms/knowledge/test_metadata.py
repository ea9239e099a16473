"""Metadata: said of a document, shown with its passages, filtered by in every way of searching, gone with it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadOption, LooseningRefused, UnknownDocument
from bastide.knowledge import Knowledge
from bastide.knowledge.metadata import _word, checked, conditions
from bastide.settings import KnowledgeSettings
from bastide.store import Query, Scope

from .conftest import LEASE, MENU, Rooms

_LEFT = Query("test", "left", "select count(*) from knowledge.document_metadata")
_NO_SCAN = Query("test", "no scan", "set local enable_seqscan = off")
_PLAN = Query(
    "test",
    "plan",
    "explain select m.document from knowledge.document_metadata m "
    "where m.key = 'kind' and m.word >= 'sa' and m.word < 'sb'",
)

SHELF: dict[str, dict[str, Any]] = {
    "a.md": {"kind": "lease", "year": 2019, "signed": "2019-03-01", "parties": ["Ann", "Bob"], "open": True},
    "b.md": {"kind": "lease", "year": 2024, "signed": "2024-11-30", "parties": ["Bob"], "open": False},
    "c.md": {"kind": "note", "year": 2024.5, "open": "true"},
    "d.md": {},
}
ASKED: list[tuple[dict[str, Any], set[str]]] = [
    ({"kind": "lease"}, {"a.md", "b.md"}),
    ({"kind": ["lease", "note"]}, {"a.md", "b.md", "c.md"}),
    ({"kind": "lease", "year": 2024}, {"b.md"}),
    ({"year": 2024.0}, {"b.md"}),
    ({"year": "2024"}, set()),
    ({"open": True}, {"a.md"}),
    ({"open": "true"}, {"c.md"}),
    ({"parties": "Bob"}, {"a.md", "b.md"}),
    ({"parties": {"any": ["Ann", "Zoe"]}}, {"a.md"}),
    ({"year": {"gte": 2024}}, {"b.md", "c.md"}),
    ({"year": {"gt": 2024}}, {"c.md"}),
    ({"year": {"gt": 2019, "lt": 2024.5}}, {"b.md"}),
    ({"year": {"gte": 2019, "lte": 2019}}, {"a.md"}),
    ({"signed": {"gte": "2019-03-01", "lt": "2024-11-30"}}, {"a.md"}),
    ({"signed": {"gt": "2019-03-01", "lte": "2024-11-30"}}, {"b.md"}),
    ({"signed": {"exists": True}}, {"a.md", "b.md"}),
    ({"signed": {"exists": False}}, {"c.md", "d.md"}),
    ({"kind": {"exists": True}, "signed": {"exists": False}}, {"c.md"}),
    ({"kind": {"eq": "lease", "exists": True}, "parties": "Ann"}, {"a.md"}),
    ({"nothing": "there"}, set()),
]


async def _fill(knowledge: Knowledge, scope: Scope) -> None:
    for name, said in SHELF.items():
        text = f"# Gate {name[0]}\n\nThe east gate of plant {name[0]} opens at eight."
        await knowledge.ingest(scope, name, text.encode(), metadata=said)


async def test_every_way_of_searching_keeps_to_it(knowledge: Knowledge, ours: Scope, neighbour: Scope) -> None:
    await _fill(knowledge, ours)
    await knowledge.ingest(neighbour, "z.md", b"The east gate opens at nine.", metadata=SHELF["a.md"])
    for mode in ("hybrid", "text", "vector", "graph"):
        for asked, names in ASKED:
            found = await knowledge.search(ours, "east gate", mode=mode, filters={"metadata": asked})
            assert {one.name for one in found.passages} == names, (mode, asked)
    (passage,) = (await knowledge.search(ours, "gate", filters={"metadata": {"year": 2019}})).passages
    assert passage.to_wire()["metadata"] == SHELF["a.md"]
    answer = await knowledge.answer(ours, "When does the east gate open?", filters={"metadata": {"kind": "note"}})
    assert {one.name for one in answer.citations} == {"c.md"}


async def test_a_partition_of_vectors_keeps_to_it(rooms: Rooms, ours: Scope) -> None:
    small = rooms.knowledge_with(KnowledgeSettings(partition_chunks_min=4))
    await _fill(small, ours)
    await small.settled()
    for asked, names in ASKED:
        found = await small.search(ours, "gate", mode="vector", filters={"metadata": asked})
        assert {one.name for one in found.passages} == names, asked


async def test_it_is_changed_key_by_key_and_recorded_without_its_values(
    rooms: Rooms, knowledge: Knowledge, ours: Scope
) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE, metadata={"kind": "lease", "of": ["Ann"]})
    id = taken.documents[0].id or ""
    changed = await knowledge.relabel(ours, id, {}, metadata={"of": None, "room": 12, "kind": "contract"})
    assert changed.metadata == {"kind": "contract", "room": 12}
    # handed in again, and as a new version: what is said is added, what is not said stays
    await knowledge.ingest(ours, "lease.md", LEASE, metadata={"seen": True})
    await knowledge.ingest(ours, "lease.md", LEASE + b"More.", metadata={"room": 1})
    assert (await knowledge.document(ours, id)).metadata == {"kind": "contract", "room": 1, "seen": True}
    assert not (await knowledge.search(ours, "lease", filters={"metadata": {"of": "Ann"}})).passages
    for _ in range(200):
        if len(acts := await _described(rooms, ours, id)) == 2:
            break
        await asyncio.sleep(0.05)
    assert [one["keys"] for one in acts] == [["kind", "of", "room"], ["seen"]]
    with pytest.raises(LooseningRefused):  # nothing of a refused change is done
        await knowledge.relabel(ours, id, {"class": "public"}, metadata={"kind": "x"})
    assert (await knowledge.document(ours, id)).metadata["kind"] == "contract"
    await knowledge.delete(ours, id)
    async with rooms.store.under(ours) as db:
        assert await db.value(_LEFT) == 0


async def test_a_neighbour_neither_sees_nor_changes_it(knowledge: Knowledge, ours: Scope, neighbour: Scope) -> None:
    id = (await knowledge.ingest(ours, "menu.md", MENU, metadata={"kind": "menu"})).documents[0].id or ""
    with pytest.raises(UnknownDocument):
        await knowledge.relabel(neighbour, id, {}, metadata={"kind": "theirs"})
    assert (await knowledge.document(ours, id)).metadata == {"kind": "menu"}


@pytest.mark.parametrize(
    "hostile",
    [
        [],
        "kind",
        {"__proto__": "x"},
        {"$where": "x"},
        {"": "x"},
        {"a" * 65: "x"},
        {"kind ": "x"},
        {"a\0b": "x"},
        {"kind": {"nested": 1}},
        {"kind": [["deep"]]},
        {"kind": None},
        {"kind": "a\0"},
        {"kind": "\ud800"},
        {"kind": "x" * 401},
        {"n": math.nan},
        {"n": math.inf},
        {"n": 2**53 + 1},
        {"many": ["x"] * 101},
        {f"k{n}": n for n in range(65)},
        {f"k{n}": "x" * 400 for n in range(60)},
    ],
    ids=str,
)
async def test_what_cannot_be_said_is_refused(knowledge: Knowledge, ours: Scope, hostile: Any) -> None:
    with pytest.raises(BadOption):
        checked(hostile)
    if hostile:  # nothing at all is metadata that says nothing
        with pytest.raises(BadOption):
            await knowledge.ingest(ours, "menu.md", MENU, metadata=hostile)
    assert not (await knowledge.documents(ours)).items


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {"kind": {"like": "x"}},
        {"kind": {}},
        {"kind": []},
        {"kind": None},
        {"year": {"gt": 1, "lt": "z"}},
        {"year": {"gt": True}},
        {"year": {"exists": "yes"}},
        {"$or": [1]},
        {f"k{n}": 1 for n in range(17)},
    ],
    ids=str,
)
def test_a_filter_that_is_not_understood_is_refused(asked: Any) -> None:
    with pytest.raises(BadOption):
        conditions(asked)


async def test_many_small_changes_stay_within_bounds(knowledge: Knowledge, ours: Scope) -> None:
    id = (await knowledge.ingest(ours, "menu.md", MENU)).documents[0].id or ""
    for start in range(0, 40, 8):
        await knowledge.relabel(ours, id, {}, metadata={f"k{n}": "x" * 380 for n in range(start, start + 8)})
    with pytest.raises(BadOption):
        await knowledge.relabel(ours, id, {}, metadata={"last": "x" * 400, "more": "x" * 400})
    assert len((await knowledge.document(ours, id)).metadata) == 40


_TEXT = st.text(max_size=20).filter(lambda text: text.isprintable())
_SCALAR = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)


@given(_SCALAR, _SCALAR)
def test_equal_words_are_equal_values(one: Any, other: Any) -> None:
    alike = isinstance(one, bool) == isinstance(other, bool) and one == other
    assert (_word(one) == _word(other)) == alike


@given(_TEXT, _TEXT)
def test_words_of_texts_stand_in_their_order(one: str, other: str) -> None:
    assert (_word(one) < _word(other)) == (one < other)


async def test_a_filter_uses_the_index_under_row_security(rooms: Rooms, ours: Scope) -> None:
    async with rooms.store.under(ours) as db:
        await db.run(_NO_SCAN)
        plan = "\n".join(line for (line,) in await db.rows(tuple, _PLAN))
    conds = [line for line in plan.splitlines() if "Index Cond" in line]
    assert any("word" in line for line in conds), plan


async def _described(rooms: Rooms, scope: Scope, id: str) -> list[dict[str, Any]]:
    events = await rooms.audit.events(scope, limit=200)
    told = [one for one in events.items if one.resource == id and one.act == "document.describe"]
    return [dict(one.details) for one in sorted(told, key=lambda one: one.time)]
