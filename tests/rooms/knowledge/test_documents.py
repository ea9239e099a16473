"""A document's life: taken in once, versioned, relabelled, given back bit for bit, deleted without a trace."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from bastide.errors import (
    BadLabel,
    BadName,
    BadOption,
    CollectionNotEmpty,
    LooseningRefused,
    UnknownCollection,
    UnknownDocument,
)
from bastide.knowledge import Knowledge
from bastide.settings import KnowledgeSettings
from bastide.store import Scope, Store
from bastide.store import queries as stored
from bastide.store.identifiers import to_uuid

from .conftest import LEASE, MENU, Rooms


async def _acts(rooms: Rooms, scope: Scope, resource: str | None = None, *, expect: str) -> list[str]:
    """The acts in the log, once the sequencer has brought the expected one."""
    for _ in range(100):
        page = await rooms.audit.events(scope, limit=200)
        acts = [event.act for event in page.items if resource is None or event.resource == resource]
        if expect in acts:
            return acts
        await asyncio.sleep(0.05)
    raise AssertionError(f"{expect} is not among {acts}")


async def test_a_file_becomes_a_document(knowledge: Knowledge, ours: Scope) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE, label={"class": "confidential"}, subjects=["per_7"])
    assert (taken.ingested, taken.unchanged, taken.refused) == (1, 0, 0)
    wire = taken.to_wire()["documents"]
    assert isinstance(wire, list)
    assert {"id", "name", "status", "chunks", "error"} <= set(wire[0])
    document = await knowledge.document(ours, taken.documents[0].id or "")
    assert (document.name, document.title, document.collection) == ("lease.md", "Lease", "default")
    assert (document.version, document.language, document.bytes) == (1, "en", len(LEASE))
    assert document.label.cls == "confidential"
    assert document.label.personal == "personal", "what nobody said is as the tenant's default"
    assert document.label.subjects == {"per_7"}


async def test_the_original_comes_back_bit_for_bit_and_reading_it_is_recorded(rooms: Rooms, ours: Scope) -> None:
    data = b"\xef\xbb\xbfLine one\r\nLine two, na\xc3\xafve.\r\n"
    taken = await rooms.knowledge.ingest(ours, "odd.txt", data)
    identifier = taken.documents[0].id or ""
    original = await rooms.knowledge.original(ours, identifier)
    assert original.data == data
    await _acts(rooms, ours, identifier, expect="document.read")


async def test_structure_and_chunks_point_into_one_text(knowledge: Knowledge, ours: Scope) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE)
    identifier = taken.documents[0].id or ""
    nodes = await knowledge.structure(ours, identifier)
    assert nodes[0].kind == "document"
    assert nodes[0].parent is None
    page = await knowledge.chunks(ours, identifier)
    assert [chunk.ord for chunk in page.items] == list(range(taken.documents[0].chunks))
    assert all(chunk.end - chunk.start == len(chunk.text) for chunk in page.items)
    assert all(nodes[chunk.node].start <= chunk.start <= chunk.end <= nodes[chunk.node].end for chunk in page.items)


async def test_chunks_are_paged(knowledge: Knowledge, ours: Scope) -> None:
    text = "\n\n".join(f"# Part {n}\n\n" + f"Sentence {n} about widget {n}. " * 40 for n in range(7))
    taken = await knowledge.ingest(ours, "parts.md", text.encode())
    identifier = taken.documents[0].id or ""
    seen: list[int] = []
    cursor = None
    while True:
        page = await knowledge.chunks(ours, identifier, cursor=cursor, limit=2)
        seen += [chunk.ord for chunk in page.items]
        if (cursor := page.cursor) is None:
            break
    assert seen == list(range(taken.documents[0].chunks))
    assert len(seen) >= 7


async def test_known_content_is_not_taken_in_twice(knowledge: Knowledge, ours: Scope) -> None:
    first = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0]
    again = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0]
    renamed = (await knowledge.ingest(ours, "lease (copy).md", LEASE)).documents[0]
    assert (again.status, again.id, again.chunks) == ("unchanged", first.id, first.chunks)
    assert (renamed.status, renamed.id) == ("unchanged", first.id)
    elsewhere = (await knowledge.ingest(ours, "lease.md", LEASE, collection="contracts")).documents[0]
    assert elsewhere.status == "ready", "another collection is another shelf"
    assert (await knowledge.statistics(ours)).documents == 2


async def test_handing_in_again_with_a_stricter_label_tightens(rooms: Rooms, ours: Scope) -> None:
    first = (await rooms.knowledge.ingest(ours, "lease.md", LEASE)).documents[0]
    again = (await rooms.knowledge.ingest(ours, "lease.md", LEASE, label={"class": "secret"})).documents[0]
    looser = (await rooms.knowledge.ingest(ours, "lease.md", LEASE, label={"class": "public"})).documents[0]
    assert (again.status, looser.status) == ("unchanged", "unchanged")
    assert (await rooms.knowledge.document(ours, first.id or "")).label.cls == "secret"
    acts = await _acts(rooms, ours, first.id, expect="document.relabel")
    assert acts.count("document.relabel") == 1


async def test_other_content_under_a_known_name_is_a_new_version(knowledge: Knowledge, ours: Scope) -> None:
    first = (
        await knowledge.ingest(ours, "note.txt", b"The gate opens at seven.", label={"class": "secret"})
    ).documents[0]
    second = (await knowledge.ingest(ours, "note.txt", b"The gate opens at nine.")).documents[0]
    assert (second.id, second.version, second.status) == (first.id, 2, "ready")
    identifier = first.id or ""
    assert (await knowledge.document(ours, identifier)).label.cls == "secret", "a new version is never looser"
    versions = await knowledge.versions(ours, identifier)
    assert [(version.version, version.current) for version in versions] == [(2, True), (1, False)]
    assert (await knowledge.original(ours, identifier, version=1)).data == b"The gate opens at seven."
    assert (await knowledge.original(ours, identifier)).data == b"The gate opens at nine."
    texts = [p.text for p in (await knowledge.search(ours, "When does the gate open?")).passages]
    assert texts == ["The gate opens at nine."], "the old version left the index"
    third = (await knowledge.ingest(ours, "note.txt", b"The gate opens at seven.")).documents[0]
    assert third.version == 3, "content of an old version may come back"
    assert (await knowledge.statistics(ours)).chunks == 1


async def test_two_equal_requests_at_once_give_one_document(knowledge: Knowledge, ours: Scope) -> None:
    taken = await asyncio.gather(*(knowledge.ingest(ours, "lease.md", LEASE) for _ in range(6)))
    statuses = sorted(one.documents[0].status for one in taken)
    assert statuses == ["ready", *["unchanged"] * 5]
    assert len({one.documents[0].id for one in taken}) == 1
    assert (await knowledge.statistics(ours)).documents == 1


async def test_labels_tightened_at_once_are_joined(knowledge: Knowledge, ours: Scope) -> None:
    first = (await knowledge.ingest(ours, "lease.md", LEASE, label={"class": "public", "personal": "none"})).documents[
        0
    ]
    labels: list[dict[str, object]] = [
        {"class": "restricted"},
        {"air_gap": True},
        {"integrity": "untrusted"},
        {"subjects": ["per_1"]},
        {"zone": ["FR", "BE"]},
        {"zone": ["BE", "DE"]},
    ]
    await asyncio.gather(
        *(knowledge.ingest(ours, f"{n}.md", LEASE, label=label) for n, label in enumerate(labels)),
        *(knowledge.relabel(ours, first.id or "", label) for label in labels[:3]),
    )
    label = (await knowledge.document(ours, first.id or "")).label
    assert (label.cls, label.air_gap, label.integrity) == ("restricted", True, "untrusted")
    assert (label.subjects, label.zone) == ({"per_1"}, {"BE"})


async def test_versions_at_once_lose_nothing(knowledge: Knowledge, ours: Scope) -> None:
    bodies = [f"Reading {n} of the meter is {n * 7}.".encode() for n in range(6)]
    await asyncio.gather(*(knowledge.ingest(ours, "meter.txt", body) for body in bodies))
    page = await knowledge.documents(ours)
    assert len(page.items) == 1
    identifier = page.items[0].id
    versions = await knowledge.versions(ours, identifier)
    kept = {(await knowledge.original(ours, identifier, version=one.version)).data for one in versions}
    assert kept == set(bodies)
    assert (await knowledge.statistics(ours)).chunks == 1


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty.txt", b"", "knowledge.empty_file"),
        ("blank.txt", b"  \n\t\n", "knowledge.empty_file"),
        ("cut.pdf", b"%PDF-1.7\n1 0 obj\n<<", "knowledge.unreadable_file"),
        ("cut.docx", b"PK\x03\x04garbage", "knowledge.unreadable_file"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(64), "knowledge.unreadable_file"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_leaves_an_event_only(
    rooms: Rooms, ours: Scope, name: str, data: bytes, code: str
) -> None:
    taken = await rooms.knowledge.ingest(ours, name, data)
    one = taken.documents[0]
    assert (taken.refused, one.status, one.id) == (1, "refused", None)
    assert one.error is not None
    assert one.error["code"] == code
    assert one.error["next"]
    assert (await rooms.knowledge.documents(ours)).items == ()
    assert (await rooms.knowledge.statistics(ours)).refused == 1
    await _acts(rooms, ours, expect="document.ingest")


async def test_too_large_is_refused(rooms: Rooms, ours: Scope) -> None:
    small = rooms.knowledge_with(KnowledgeSettings(document_bytes_max=1_000))
    taken = await small.ingest(ours, "long.txt", b"word " * 1_000)
    assert taken.documents[0].error is not None
    assert taken.documents[0].error["code"] == "knowledge.too_large"


@pytest.mark.parametrize("name", ["", "   ", "a\0b", "x" * 401, "line\nbreak"])
async def test_a_bad_name_is_refused(knowledge: Knowledge, ours: Scope, name: str) -> None:
    with pytest.raises(BadName):
        await knowledge.ingest(ours, name, LEASE)


@pytest.mark.parametrize("collection", ["", "../up", "a/b", "x" * 101, " lead", "nul\0"])
async def test_a_bad_collection_is_refused(knowledge: Knowledge, ours: Scope, collection: str) -> None:
    with pytest.raises(BadName):
        await knowledge.ingest(ours, "lease.md", LEASE, collection=collection)


async def test_a_misspelt_label_is_refused(knowledge: Knowledge, ours: Scope) -> None:
    with pytest.raises(BadLabel):
        await knowledge.ingest(ours, "lease.md", LEASE, label={"classe": "secret"})
    for subject in ("", "a\0b", "\ud800", "x" * 401):
        with pytest.raises(BadOption):
            await knowledge.ingest(ours, "lease.md", LEASE, subjects=[subject])
        with pytest.raises((BadOption, BadLabel)):
            await knowledge.ingest(ours, "lease.md", LEASE, label={"subjects": [subject]})
        with pytest.raises(BadOption):
            await knowledge.documents(ours, subject=subject)


async def test_the_scopes_label_tightens(knowledge: Knowledge, ours: Scope) -> None:
    tight = replace(ours, label=json.dumps({"class": "restricted", "air_gap": True}))
    taken = await knowledge.ingest(tight, "lease.md", LEASE, label={"class": "public"})
    label = (await knowledge.document(ours, taken.documents[0].id or "")).label
    assert (label.cls, label.air_gap) == ("restricted", True)


async def test_tightening_is_free_and_loosening_is_a_declassification(
    rooms: Rooms, ours: Scope, scope_with: Callable[..., Scope]
) -> None:
    identifier = (await rooms.knowledge.ingest(ours, "lease.md", LEASE)).documents[0].id or ""
    writer = scope_with("knowledge:read", "knowledge:write", "model:use", tenant=ours.tenant)
    tightened = await rooms.knowledge.relabel(writer, identifier, {"class": "restricted"})
    assert tightened.label.cls == "restricted"
    with pytest.raises(LooseningRefused):
        await rooms.knowledge.relabel(writer, identifier, {"class": "public"}, reason="it is on the website")
    with pytest.raises(LooseningRefused):
        await rooms.knowledge.relabel(ours, identifier, {"class": "public"})
    with pytest.raises(BadOption):
        await rooms.knowledge.relabel(ours, identifier, {"class": "public"}, reason="a\0b")
    with pytest.raises(BadLabel):
        await rooms.knowledge.relabel(ours, identifier, {"class": "publicc"}, reason="a slip")
    with pytest.raises((BadLabel, BadOption)):
        await rooms.knowledge.relabel(ours, identifier, {"subjects": ["a\0b"]})
    loosened = await rooms.knowledge.relabel(ours, identifier, {"class": "public"}, reason="it is on the website")
    assert loosened.label.cls == "public"
    acts = await _acts(rooms, ours, identifier, expect="document.declassify")
    assert acts.count("document.declassify") == 1
    assert acts.count("document.relabel") == 1


async def test_documents_are_paged_newest_first_and_found_by_subject(knowledge: Knowledge, ours: Scope) -> None:
    for n in range(5):
        subjects = ["per_anna"] if n % 2 else []
        await knowledge.ingest(ours, f"note {n}.txt", f"Note number {n}.".encode(), subjects=subjects)
    names: list[str] = []
    cursor = None
    while True:
        page = await knowledge.documents(ours, cursor=cursor, limit=2)
        names += [document.name for document in page.items]
        if (cursor := page.cursor) is None:
            break
    assert names == [f"note {n}.txt" for n in (4, 3, 2, 1, 0)]
    about = await knowledge.documents(ours, subject="per_anna")
    assert {document.name for document in about.items} == {"note 1.txt", "note 3.txt"}
    with pytest.raises(UnknownCollection):
        await knowledge.documents(ours, collection="nowhere")
    for cursor in ("☃", "AAAA", "a", "\ud800", "'"):
        with pytest.raises(BadOption):
            await knowledge.documents(ours, cursor=cursor)


async def test_reindexing_keeps_id_version_and_answers(knowledge: Knowledge, ours: Scope) -> None:
    identifier = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0].id or ""
    await knowledge.ingest(ours, "menu.md", MENU)
    before = await knowledge.search(ours, "When does the lease end?")
    again = await knowledge.reindex(ours, identifier)
    after = await knowledge.search(ours, "When does the lease end?")
    assert (again.id, again.version) == (identifier, 1)
    assert [p.text for p in after.passages] == [p.text for p in before.passages]
    assert [round(p.score, 6) for p in after.passages] == [round(p.score, 6) for p in before.passages]
    assert (await knowledge.statistics(ours)).chunks == 2


async def test_collections(knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.add_collection(ours, "contracts")
    taken = await knowledge.ingest(ours, "lease.md", LEASE, collection="contracts")
    assert [(one.name, one.documents) for one in await knowledge.collections(ours)] == [("contracts", 1)]
    with pytest.raises(CollectionNotEmpty):
        await knowledge.delete_collection(ours, "contracts")
    await knowledge.delete(ours, taken.documents[0].id or "")
    await knowledge.delete_collection(ours, "contracts")
    assert await knowledge.collections(ours) == ()
    with pytest.raises(UnknownCollection):
        await knowledge.delete_collection(ours, "contracts")


async def _rows_of_tenant(store: Store, scope: Scope) -> dict[str, int]:
    """How many rows this tenant has in every table of this room and of blobs, as the owner sees it without a policy."""
    found: dict[str, int] = {}
    async with store.as_owner(reason="look for leftovers") as owner:
        cursor = await owner.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'knowledge' "
            "or (schemaname = 'store' and tablename in ('blob', 'blob_piece')) order by 1"
        )
        tables = [row[0] for row in await cursor.fetchall()]
        for table in tables:
            async with owner.transaction(force_rollback=True):
                await owner.execute(f"alter table {table} no force row level security")
                cursor = await owner.execute(
                    f"select count(*) from {table} where tenant_id = %s", (to_uuid(scope.tenant),)
                )
                row = await cursor.fetchone()
                found[table] = row[0] if row else 0
    return found


async def test_deletion_leaves_nothing(rooms: Rooms, ours: Scope, neighbour: Scope) -> None:
    for scope in (ours, neighbour):
        await rooms.knowledge.ingest(scope, "lease.md", b"An earlier lease, long since replaced.", subjects=["per_1"])
        await rooms.knowledge.ingest(scope, "lease.md", LEASE)
    before = await _rows_of_tenant(rooms.store, ours)
    full = {table for table, rows in before.items() if rows}
    assert {"knowledge.chunk", "knowledge.posting", "knowledge.embedding", "knowledge.node", "store.blob"} <= full
    identifier = (await rooms.knowledge.documents(ours)).items[0].id
    await rooms.knowledge.delete(ours, identifier, reason="the person asked")
    left = {table: rows for table, rows in (await _rows_of_tenant(rooms.store, ours)).items() if rows}
    assert left == {"knowledge.collection": 1}
    assert await _rows_of_tenant(rooms.store, neighbour) == before, "the neighbour's equal document is untouched"
    assert (await rooms.knowledge.search(ours, "When does the lease end?")).passages == ()
    with pytest.raises(UnknownDocument):
        await rooms.knowledge.original(ours, identifier)
    with pytest.raises(UnknownDocument):
        await rooms.knowledge.delete(ours, identifier)
    await _acts(rooms, ours, identifier, expect="document.delete")


@pytest.mark.parametrize(
    "identifier", ["", "doc_1", "x", "ten_" + "0" * 26, "doc_" + "0" * 26, "doc_" + "0" * 26 + "'; --"]
)
async def test_an_unknown_id_is_unknown_everywhere(knowledge: Knowledge, ours: Scope, identifier: str) -> None:
    for call in (
        knowledge.document(ours, identifier),
        knowledge.original(ours, identifier),
        knowledge.structure(ours, identifier),
        knowledge.chunks(ours, identifier),
        knowledge.versions(ours, identifier),
        knowledge.reindex(ours, identifier),
        knowledge.relabel(ours, identifier, {"class": "secret"}),
        knowledge.delete(ours, identifier),
    ):
        with pytest.raises(UnknownDocument):
            await call


TEXTS = (
    "The controller shall publish the contact details of the data protection officer number {n}.",
    "Der Verantwortliche veröffentlicht die Kontaktdaten des Datenschutzbeauftragten Nummer {n} ohne Verzug.",
    "Le responsable du traitement publie les coordonnées du délégué à la protection des données numéro {n}.",
)


async def test_the_books_balance_after_everything_at_once(rooms: Rooms, ours: Scope) -> None:
    knowledge = rooms.without_embedder
    chance = random.Random(5)

    async def live(lane: int) -> None:
        for step in range(12):
            body = "\n\n".join(f"# {k}\n\n{text.format(n=chance.randrange(9))}" for k, text in enumerate(TEXTS))
            await knowledge.ingest(ours, f"{(lane + step) % 5}.md", body.encode())
            page = await knowledge.documents(ours, limit=5)
            one = chance.choice(page.items) if page.items else None
            try:
                if one and step % 4 == 1:
                    await knowledge.delete(ours, one.id)
                if one and step % 4 == 2:
                    await knowledge.reindex(ours, one.id)
                if one and step % 4 == 3:
                    await knowledge.relabel(ours, one.id, {"class": "secret"})
            except UnknownDocument:
                pass  # another lane was faster

    await asyncio.gather(*(live(lane) for lane in range(8)))
    counted: dict[str, list[int]] = {}
    for document in (await knowledge.documents(ours)).items:
        for chunk in (await knowledge.chunks(ours, document.id)).items:
            counted.setdefault(chunk.language, [0])[0] += 1
    async with rooms.store.under(ours) as db:
        extents = await db.rows(dict, stored("bastide.knowledge")["extent"], model="")
    assert {extent["language"]: [extent["chunks"]] for extent in extents} == counted
    for document in (await knowledge.documents(ours)).items:
        await knowledge.delete(ours, document.id)
    left = {table: rows for table, rows in (await _rows_of_tenant(rooms.store, ours)).items() if rows}
    assert left == {"knowledge.collection": 1}
