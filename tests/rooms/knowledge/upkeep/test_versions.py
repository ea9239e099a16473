"""New versions embed only what is new; documents move and are renamed; a label tells what it comes too late for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from bastide.errors import BadOption, Forbidden, LooseningRefused, NameHeld, UnknownDocument
from bastide.knowledge import Knowledge
from bastide.policy import Label
from bastide.store import Query, Scope, Store
from tests.rooms.knowledge.conftest import LEASE, MENU, Rooms

CLAUSES = [
    f"## Clause {n}\n\nThe tenant keeps room {n} clean, pays for its heating, and hands over key {n} when leaving. "
    f"Repairs of window {n} are done by the landlord within {n + 2} weeks after they were asked for in writing.\n"
    for n in range(1, 31)
]
QUESTION = "When does the lease of the workshop in Ghent end?"

VECTORS = Query(
    "test",
    "vectors",
    "select c.text, e.v::text from knowledge.chunk c join knowledge.embedding e on e.chunk = c.id order by c.ord",
)
SOURCES = Query("test", "sources", "select count(*) from knowledge.answer_source")


def contract(clauses: list[str]) -> bytes:
    """A contract of these clauses."""
    return ("# House contract\n\n" + "\n".join(clauses)).encode()


async def tokens_embedded(rooms: Rooms, scope: Scope, ingests: int) -> list[int]:
    """Of each call of an embedder before the last of so many ingests, by its receipt, how many tokens it read."""
    for _ in range(200):
        acts = (await rooms.audit.events(scope, limit=200)).items
        if sum(event.act == "document.ingest" for event in acts) == ingests:
            break
        await asyncio.sleep(0.05)
    bodies = [(await rooms.audit.receipt(scope, one.id)).body for one in reversed(acts) if one.act == "inference"]
    return [cast("dict[str, int]", body["tokens"])["input"] for body in bodies]


# -- a new version ----------------------------------------------------------------------------------


async def test_a_new_version_embeds_only_what_is_new(rooms: Rooms, knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "house.md", contract(CLAUSES))
    changed = [*CLAUSES]
    changed[7] = changed[7].replace("pays for its heating", "pays for its heating and its water")
    taken = await knowledge.ingest(ours, "house.md", contract(changed))
    assert taken.documents[0].version == 2
    whole, part = await tokens_embedded(rooms, ours, 2)
    assert 0 < part < whole / 10
    async with rooms.store.under(ours) as db:
        kept: dict[str, str] = dict(await db.rows(tuple, VECTORS))
    assert len(kept) == taken.documents[0].chunks
    await knowledge.reindex(ours, taken.documents[0].id or "")  # embeds all anew: the same vectors come out
    async with rooms.store.under(ours) as db:
        anew: dict[str, str] = dict(await db.rows(tuple, VECTORS))
    assert anew.keys() == kept.keys()
    for text, vector in anew.items():
        assert _cosine(vector, kept[text]) > 0.999


async def test_equal_words_elsewhere_are_not_reused_and_a_neighbour_never(
    rooms: Rooms, knowledge: Knowledge, ours: Scope, neighbour: Scope
) -> None:
    await knowledge.ingest(ours, "house.md", contract(CLAUSES))
    await knowledge.ingest(neighbour, "house.md", contract(CLAUSES))
    assert len(set(await tokens_embedded(rooms, ours, 1) + await tokens_embedded(rooms, neighbour, 1))) == 1


async def test_a_version_with_nothing_new_embeds_nothing(rooms: Rooms, knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "house.md", contract(CLAUSES))
    taken = await knowledge.ingest(ours, "house.md", contract(CLAUSES[:10]))
    assert taken.documents[0].version == 2
    assert len(await tokens_embedded(rooms, ours, 2)) == 1
    async with rooms.store.under(ours) as db:
        assert len(await db.rows(tuple, VECTORS)) == taken.documents[0].chunks
    found = await knowledge.search(ours, "Who pays for the heating of room 4?", mode="vector")
    assert found.passages[0].document_id == taken.documents[0].id


async def test_a_version_after_one_without_vectors_embeds_all(rooms: Rooms, knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "house.md", contract(CLAUSES), vectors=False)
    taken = await knowledge.ingest(ours, "house.md", contract(CLAUSES[:10]))
    async with rooms.store.under(ours) as db:
        assert len(await db.rows(tuple, VECTORS)) == taken.documents[0].chunks


def _cosine(one: str, other: str) -> float:
    left, right = ([float(part) for part in text.strip("[]").split(",")] for text in (one, other))
    return sum(a * b for a, b in zip(left, right, strict=True))


# -- moving and renaming ----------------------------------------------------------------------------


async def taken_in(knowledge: Knowledge, scope: Scope, name: str, data: bytes, collection: str) -> str:
    """The id of a document that was just taken in."""
    return (await knowledge.ingest(scope, name, data, collection=collection)).documents[0].id or ""


async def test_documents_move_and_stay_what_they_are(knowledge: Knowledge, ours: Scope, neighbour: Scope) -> None:
    lease = await taken_in(knowledge, ours, "lease.md", LEASE, "inbox")
    menu = await taken_in(knowledge, ours, "menu.md", MENU, "inbox")
    before = await knowledge.document(ours, lease)
    assert await knowledge.upkeep.move(ours, [lease, menu, lease], "archive", reason="done") == 2
    assert await knowledge.upkeep.move(ours, [lease], "archive") == 0
    after = await knowledge.document(ours, lease)
    assert after == replace(before, collection="archive")
    assert (await knowledge.search(ours, QUESTION, collection="inbox")).passages == ()
    assert (await knowledge.search(ours, QUESTION, collection="archive")).passages[0].document_id == lease
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.move(neighbour, [lease], "mine")
    again = await knowledge.ingest(ours, "lease.md", LEASE + b"\nNew.", collection="archive")
    assert (again.documents[0].id, again.documents[0].version) == (lease, 2)


async def test_a_clash_of_names_moves_nothing(knowledge: Knowledge, ours: Scope) -> None:
    lease = await taken_in(knowledge, ours, "lease.md", LEASE, "inbox")
    menu = await taken_in(knowledge, ours, "menu.md", MENU, "inbox")
    other = await taken_in(knowledge, ours, "menu.md", MENU + b"Soup.", "archive")
    with pytest.raises(NameHeld, match=r"menu\.md"):
        await knowledge.upkeep.move(ours, [lease, menu], "archive")
    assert (await knowledge.document(ours, lease)).collection == "inbox"
    with pytest.raises(NameHeld):  # two that come from two places
        await knowledge.upkeep.move(ours, [menu, other], "third")
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.move(ours, [lease, "doc_00000000000000000000000000"], "archive")
    for wrong in ([], [lease] * 0, ["doc_00000000000000000000000000"] * 0):
        with pytest.raises(BadOption):
            await knowledge.upkeep.move(ours, wrong, "archive")
    assert (await knowledge.document(ours, lease)).collection == "inbox"


async def test_a_renamed_document_keeps_its_id(knowledge: Knowledge, ours: Scope, nobody: Scope) -> None:
    lease = await taken_in(knowledge, ours, "lease.md", LEASE, "inbox")
    note = await taken_in(knowledge, ours, "note.txt", b"The cellar is dry and the attic is not.", "inbox")
    with pytest.raises(NameHeld):
        await knowledge.upkeep.rename(ours, note, "lease.md")
    with pytest.raises(Forbidden):
        await knowledge.upkeep.rename(nobody, note, "cellar.txt")
    renamed = await knowledge.upkeep.rename(ours, note, "cellar.txt")
    assert (renamed.id, renamed.name, renamed.title, renamed.version) == (note, "cellar.txt", "cellar", 1)
    titled = await knowledge.upkeep.rename(ours, lease, "rent.md")
    assert (titled.name, titled.title) == ("rent.md", "Lease")
    assert (await knowledge.upkeep.rename(ours, lease, "rent.md")).name == "rent.md"
    free = await knowledge.ingest(ours, "lease.md", MENU, collection="inbox")
    assert free.documents[0].id not in {lease, note}


# -- labels and past answers ------------------------------------------------------------------------


async def test_a_new_label_tells_which_answers_came_before_it(
    knowledge: Knowledge, ours: Scope, neighbour: Scope
) -> None:
    lease = await taken_in(knowledge, ours, "lease.md", LEASE, "inbox")
    menu = await taken_in(knowledge, ours, "menu.md", MENU, "inbox")
    answers = [await knowledge.answer(ours, QUESTION) for _ in range(2)]
    tried = await knowledge.upkeep.relabel(ours, lease, {"class": "secret"}, dry_run=True)
    assert (tried.done, tried.after.cls, tried.document.label) == (False, "secret", tried.before)
    assert (await knowledge.document(ours, lease)).label == tried.before
    done = await knowledge.upkeep.relabel(ours, lease, {"class": "secret"})
    assert done.past == tried.past
    assert (done.past.answers, done.past.models) == (2, {"local/extractive": 2})
    assert {one.receipt for one in done.past.newest} == {answer.receipt for answer in answers}
    assert {(one.version, one.cited, one.label) for one in done.past.newest} == {(1, True, tried.before)}
    assert done.document.label.cls == "secret"
    assert (await knowledge.upkeep.relabel(ours, lease, {"class": "secret"})).past.answers == 0
    await knowledge.answer(ours, QUESTION)
    listed = await knowledge.upkeep.answers_from(ours, lease)
    assert [one.label.cls for one in listed] == ["secret", tried.before.cls, tried.before.cls]
    assert await knowledge.upkeep.answers_from(ours, menu) == ()
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.answers_from(neighbour, lease)


async def test_a_told_answer_is_kept_and_goes_with_its_document(
    knowledge: Knowledge, store: Store, ours: Scope
) -> None:
    lease = await taken_in(knowledge, ours, "lease.md", LEASE, "inbox")
    events = [event async for event in knowledge.tell(ours, QUESTION)]
    (kept,) = await knowledge.upkeep.answers_from(ours, lease)
    assert kept.receipt == events[-1].receipt
    await knowledge.delete(ours, lease)
    async with store.under(ours) as db:
        assert await db.value(SOURCES) == 0


async def test_a_dry_run_of_loosening_needs_what_loosening_needs(knowledge: Knowledge, ours: Scope) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE, label=Label(cls="secret"))
    id = taken.documents[0].id or ""
    clerk = replace(ours, permissions=ours.permissions - {"policy:manage"})
    with pytest.raises(LooseningRefused):
        await knowledge.upkeep.relabel(clerk, id, {"class": "public"}, reason="no reason", dry_run=True)
    with pytest.raises(LooseningRefused):
        await knowledge.upkeep.relabel(ours, id, {"class": "public"}, dry_run=True)
    await knowledge.upkeep.relabel(ours, id, {"class": "public"}, reason="published", dry_run=True)
    assert (await knowledge.document(ours, id)).label.cls == "secret"
