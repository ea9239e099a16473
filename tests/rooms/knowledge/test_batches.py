"""Many files at once: each is what it would be by itself, whole or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from bastide.errors import Forbidden, NoPermittedModel
from bastide.inference import Inference
from bastide.knowledge import Document, Knowledge
from bastide.knowledge.batches import Batches
from bastide.knowledge.embedders import Embedders
from bastide.knowledge.intake import Intake
from bastide.knowledge.meaning import Meaning
from bastide.knowledge.placement import Placement
from bastide.settings import KnowledgeSettings
from bastide.store import Query, Scope

from .conftest import LEASE, MENU, Rooms
from .reading.made import Line, paragraph, pdf

File = tuple[str, bytes]

NOTES = [
    (
        f"note{n}.txt",
        f"Dr. Ada Lovelace of Acme GmbH in Ghent paid {n} euros on {n + 1} March 2031 (Article {n}).".encode(),
    )
    for n in range(9)
]

MARKED = pdf([[Line("CONFIDENTIAL", 72, 815, 9), *paragraph("The plan of the vault is kept in the east wing.")]])

# Everything that hangs on a document, told without the numbers that are new each time.
_TOLD = {
    "versions": "select d.name, d.version, d.label, v.fingerprint is null, v.bytes, v.media_type, v.title, v.language, "
    "v.chunks, v.problems, v.marks, v.node_ids, v.node_marks, v.node_last, "
    "v.recipe, v.node_sketches, d.metadata from knowledge.document d "
    "join knowledge.document_version v on v.document = d.number order by 1, 2, v.version",
    "nodes": "select d.name, n.ord, n.parent, n.kind, n.level, n.title, n.start_at, n.end_at, n.language, n.id, "
    "n.source, n.confidence from knowledge.node n join knowledge.document d on d.number = n.document order by 1, 2",
    "chunks": "select d.name, c.ord, c.node, c.section, c.start_at, c.end_at, c.text, c.language, c.words, c.length, "
    "c.parent from knowledge.chunk c join knowledge.document d on d.number = c.document order by 1, 2",
    "postings": "select d.name, p.term, array_agg(c.ord order by c.ord), p.counts from knowledge.posting p "
    "join knowledge.document d on d.number = p.document cross join unnest(p.chunks) u(id) "
    "join knowledge.chunk c on c.id = u.id group by d.name, p.term, p.counts order by 1, 2",
    "mentions": "select d.name, m.sizes, m.phrases from knowledge.mention m join knowledge.document d "
    "on d.number = m.document order by 1",
    "vectors": "select d.name, c.ord, e.model, e.v::text from knowledge.embedding e "
    "join knowledge.chunk c on c.id = e.chunk join knowledge.document d on d.number = e.document order by 1, 2",
    "names": "select d.name, c.ord, s.key, s.extractor, s.type, s.name, s.start_at, s.end_at, s.times, "
    "s.confidence, s.self from knowledge.entity_source s join knowledge.document d on d.number = s.document "
    "join knowledge.chunk c on c.id = s.chunk order by 1, 2, 3",
    "ties": "select d.name, c.ord, r.a, r.b, r.type, r.start_at, r.end_at, r.weight, r.valid_from, r.valid_to "
    "from knowledge.relation_source r join knowledge.document d on d.number = r.document "
    "join knowledge.chunk c on c.id = r.chunk order by 1, 2, 3, 4, 5",
    "facts": "select d.name, c.ord, f.ord, f.kind, f.start_at, f.valid_from, f.valid_to, f.detail, f.value, f.keys "
    "from knowledge.fact f join knowledge.document d on d.number = f.document join knowledge.chunk c on c.id = f.chunk "
    "order by 1, 2, 3",
    "citations": "select d.name, c.ord, t.ord, t.place, t.detail, t.act from knowledge.citation t "
    "join knowledge.document d on d.number = t.document join knowledge.chunk c on c.id = t.chunk order by 1, 2, 3",
    "subjects": "select d.name, s.subject from knowledge.document_subject s join knowledge.document d "
    "on d.number = s.document order by 1, 2",
    "sketches": "select d.name, l.shingles, octet_length(l.sketch) from knowledge.likeness l join knowledge.document d "
    "on d.number = l.document order by 1",
    "metadata": "select d.name, m.key, m.word, m.number from knowledge.document_metadata m join knowledge.document d "
    "on d.number = m.document order by 1, 2",
    "extent": "select language, chunks, length from knowledge.extent order by 1",
    "refusals": "select code from knowledge.refusal order by 1",
    "blobs": "select b.bytes, b.uses from store.blob b order by 1, 2",
}


async def _given(files: Sequence[File]) -> AsyncIterator[File]:
    for file in files:
        yield file


async def _told(rooms: Rooms, scope: Scope) -> dict[str, list[tuple[object, ...]]]:
    async with rooms.store.under(scope) as db:
        return {what: await db.rows(tuple, Query("test", what, sql)) for what, sql in _TOLD.items()}


async def _documents(knowledge: Knowledge, scope: Scope) -> list[Document]:
    return list((await knowledge.documents(scope, limit=200)).items)


@pytest.fixture
def small(rooms: Rooms) -> Batches:
    """The same with four files a batch, so that three are on their way at once."""
    intake = Intake(
        rooms.store,
        rooms.audit,
        rooms.inference,
        Embedders(rooms.store, rooms.inference),
        rooms.workflows,
        KnowledgeSettings(),
    )
    return Batches(rooms.store, rooms.policy, intake, Placement(rooms.store, 10**9), files_max=4)


async def test_a_batch_writes_what_single_files_write(rooms: Rooms, ours: Scope, neighbour: Scope) -> None:
    files = [
        *NOTES,
        ("lease.md", LEASE),
        ("menu.md", MENU),
        ("empty.txt", b"  \n"),
        ("broken.pdf", b"%PDF-1.7 nothing"),
    ]
    label, said = {"class": "confidential", "personal": "none"}, {"case": 17}
    for name, data in files:
        await rooms.knowledge.ingest(
            ours, name, data, collection="shelf", label=label, subjects=["per_7"], metadata=said
        )
    taken = await rooms.knowledge.batches.ingest(
        neighbour, _given(files), collection="shelf", label=label, subjects=["per_7"], metadata=said
    )
    assert [one.status for one in taken.documents] == ["ready"] * 11 + ["refused"] * 2
    alone, together = await _told(rooms, ours), await _told(rooms, neighbour)
    assert all(alone[what] for what in alone), "every table was compared"
    for what in alone:
        assert together[what] == alone[what], what


@pytest.mark.parametrize("seed", range(4))
async def test_files_that_resemble_each_other_end_as_if_they_came_one_by_one(
    rooms: Rooms, small: Batches, ours: Scope, neighbour: Scope, seed: int
) -> None:
    chance = random.Random(seed)
    contents = [f"The {word} is kept in the east wing.".encode() for word in ("seal", "ledger", "charter")] + [b""]
    files = [(f"{chance.choice('xyz')}.txt", chance.choice(contents)) for _ in range(18)]
    one_by_one = [(await rooms.knowledge.ingest(ours, name, data, vectors=False)).documents[0] for name, data in files]
    together = (await small.ingest(neighbour, _given(files), vectors=False)).documents
    shown = [[(one.name, one.status, one.version) for one in found] for found in (one_by_one, together)]
    assert shown[1] == shown[0]
    assert await _told(rooms, neighbour) == await _told(rooms, ours)


async def test_a_bad_file_in_the_middle_is_reported_and_the_rest_goes_on(
    small: Batches, knowledge: Knowledge, ours: Scope
) -> None:
    files = [NOTES[0], ("lie.docx", b"PK\x03\x04 no zip"), NOTES[1], ("bad\0name", b"words"), NOTES[2], ("none", b"")]
    taken = (await small.ingest(ours, _given(files))).documents
    assert [one.status for one in taken] == ["ready", "refused", "ready", "refused", "ready", "refused"]
    assert [one.error["code"] for one in taken if one.error] == [
        "knowledge.unreadable_file", "knowledge.bad_name", "knowledge.empty_file"
    ]  # fmt: skip
    assert {one.name for one in await _documents(knowledge, ours)} == {name for name, _ in NOTES[:3]}


async def test_each_document_has_its_event_and_one_receipt_stands_for_all(rooms: Rooms, ours: Scope) -> None:
    taken = await rooms.knowledge.batches.ingest(ours, _given(NOTES))
    wanted = {one.id or "": "document.ingest" for one in taken.documents}
    for _ in range(100):
        events = (await rooms.audit.events(ours, limit=200)).items
        acts = {event.resource: event.act for event in events if event.act == "document.ingest"}
        if acts == wanted:
            break
        await asyncio.sleep(0.05)
    assert acts == wanted
    assert sum(event.act == "inference" for event in events) == 1


async def test_without_a_permitted_embedder_documents_are_found_by_their_words(rooms: Rooms, ours: Scope) -> None:
    taken = await rooms.without_embedder.batches.ingest(ours, _given(NOTES))
    assert {one.status for one in taken.documents} == {"ready"}
    assert all("Not embedded (inference." in one.problems[0] for one in taken.documents)
    found = await rooms.without_embedder.search(ours, "Lovelace 7 euros", mode="text")
    assert found.passages


async def test_what_a_document_says_of_itself_tightens_its_own_label_only(rooms: Rooms, ours: Scope) -> None:
    files = [NOTES[0], ("plan.pdf", MARKED), NOTES[1]]
    taken = await rooms.knowledge.batches.ingest(ours, _given(files), label={"class": "internal", "personal": "none"})
    labels = {one.name: one.label.cls for one in await _documents(rooms.knowledge, ours)}
    assert [one.status for one in taken.documents] == ["ready"] * 3
    assert labels[NOTES[0][0]] == labels[NOTES[1][0]] == "internal"
    assert labels["plan.pdf"] == "confidential"


class _Guarded(Inference):
    """The embedder, kept from what is confidential: what a policy does whose only permitted embedder is elsewhere."""

    def __init__(self, behind: Inference) -> None:
        self._behind = behind

    def __getattribute__(self, name: str) -> Any:
        own = name in {"_behind", "embed"}
        return object.__getattribute__(self, name) if own else getattr(self._behind, name)

    async def embed(self, scope: Scope, texts: Sequence[str], **said: Any) -> Any:
        if said["label"].cls == "confidential":
            raise NoPermittedModel("No embedder here may read what is confidential.")
        return await self._behind.embed(scope, texts, **said)


async def test_what_may_not_be_embedded_stays_without_vectors_and_the_rest_has_them(rooms: Rooms, ours: Scope) -> None:
    inference = _Guarded(rooms.inference)
    embedders = Embedders(rooms.store, inference)
    intake = Intake(rooms.store, rooms.audit, inference, embedders, rooms.workflows, KnowledgeSettings())
    batches = Batches(rooms.store, rooms.policy, intake, Placement(rooms.store, 10**9))
    taken = await batches.ingest(
        ours, _given([NOTES[0], ("plan.pdf", MARKED), NOTES[1]]), label={"class": "internal", "personal": "none"}
    )
    assert [one.status for one in taken.documents] == ["ready"] * 3
    problems = {one.name: one.problems for one in taken.documents}
    assert problems[NOTES[0][0]] == problems[NOTES[1][0]] == ()
    assert [f"({NoPermittedModel.code})" in problem for problem in problems["plan.pdf"]] == [True]
    assert {row[0] for row in (await _told(rooms, ours))["vectors"]} == {NOTES[0][0], NOTES[1][0]}
    found = await rooms.knowledge.search(ours, "plan of the vault", mode="text")
    assert found.passages[0].name == "plan.pdf"


async def test_a_neighbour_has_nothing_of_it_and_the_same_content_is_his_own(
    rooms: Rooms, ours: Scope, neighbour: Scope
) -> None:
    await rooms.knowledge.batches.ingest(ours, _given(NOTES))
    assert not await _documents(rooms.knowledge, neighbour)
    assert not (await rooms.knowledge.search(neighbour, "Lovelace")).passages
    taken = await rooms.knowledge.batches.ingest(neighbour, _given(NOTES))
    assert {one.status for one in taken.documents} == {"ready"}, "content is compared within a tenant only"


async def test_who_may_not_write_writes_nothing(rooms: Rooms, scope_with: Callable[..., Scope]) -> None:
    reader = scope_with("knowledge:read", "model:use")
    with pytest.raises(Forbidden):
        await rooms.knowledge.batches.ingest(reader, _given(NOTES))


async def test_two_who_hand_in_the_same_at_once_write_it_once(rooms: Rooms, small: Batches, ours: Scope) -> None:
    both = await asyncio.gather(*(small.ingest(ours, _given(NOTES), vectors=False) for _ in range(3)))
    statuses = [sorted(one.status for one in column) for column in zip(*(one.documents for one in both), strict=True)]
    assert statuses == [["ready", "unchanged", "unchanged"]] * len(NOTES)
    assert len(await _documents(rooms.knowledge, ours)) == len(NOTES)


async def test_what_breaks_off_leaves_whole_documents_only(rooms: Rooms, small: Batches, ours: Scope) -> None:
    async def breaking() -> AsyncIterator[File]:
        for file in NOTES:
            yield file
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await small.ingest(ours, breaking())
    there = await _documents(rooms.knowledge, ours)
    told = await _told(rooms, ours)
    assert len(there) in {0, 4, 8}, "batches, not parts of them"
    for what in ("chunks", "postings", "mentions", "vectors", "names", "sketches"):
        assert {row[0] for row in told[what]} == {one.name for one in there}, what
    again = await small.ingest(ours, _given(NOTES))
    assert sum(one.status == "unchanged" for one in again.documents) == len(there)
    assert len(await _documents(rooms.knowledge, ours)) == len(NOTES)


async def test_batches_are_written_in_their_order_whichever_has_its_vectors_first(
    rooms: Rooms, small: Batches, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    second = asyncio.Event()
    real = Meaning.of_many

    async def of_many(self: Meaning, *arguments: Any) -> Any:
        begun.append(len(begun))
        if begun[-1] == 0:
            await asyncio.wait_for(second.wait(), 60)  # the second is embedded while the first one still is
        found = await real(self, *arguments)
        if len(begun) > 1:
            second.set()
        return found

    monkeypatch.setattr(Meaning, "of_many", of_many)
    await small.ingest(ours, _given(NOTES))
    in_order = Query("test", "in_order", "select name from knowledge.document order by number")
    async with rooms.store.under(ours) as db:
        assert [name for (name,) in await db.rows(tuple, in_order)] == [name for name, _ in NOTES]


async def test_nothing_is_written_behind_a_batch_that_failed(
    rooms: Rooms, small: Batches, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    both = asyncio.Event()
    real = Meaning.of_many

    async def of_many(self: Meaning, *arguments: Any) -> Any:
        begun.append(len(begun))
        if begun[-1] == 0:
            await asyncio.wait_for(both.wait(), 60)
            raise RuntimeError("the disk is full")
        found = await real(self, *arguments)
        both.set()
        return found

    monkeypatch.setattr(Meaning, "of_many", of_many)
    with pytest.raises(RuntimeError, match="disk"):
        await small.ingest(ours, _given(NOTES))
    assert await _documents(rooms.knowledge, ours) == []
