"""Every operation as us, as a neighbour, as nobody, as a worker: a foreign row is never seen or touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bastide.errors import Forbidden, UnknownCollection, UnknownDocument
from bastide.knowledge import Knowledge
from bastide.store import Scope

from .conftest import LEASE, MENU, Rooms

Call = Callable[[Knowledge, Scope, str], Awaitable[Any]]

BY_ID: dict[str, Call] = {
    "document": lambda k, s, i: k.document(s, i),
    "original": lambda k, s, i: k.original(s, i),
    "structure": lambda k, s, i: k.structure(s, i),
    "chunks": lambda k, s, i: k.chunks(s, i),
    "versions": lambda k, s, i: k.versions(s, i),
    "reindex": lambda k, s, i: k.reindex(s, i),
    "relabel": lambda k, s, i: k.relabel(s, i, {"class": "secret"}),
    "delete": lambda k, s, i: k.delete(s, i),
}
OTHERS: dict[str, Call] = {
    "ingest": lambda k, s, i: k.ingest(s, "a.txt", b"Some text that is new here."),
    "search": lambda k, s, i: k.search(s, "When does the lease end?"),
    "answer": lambda k, s, i: k.answer(s, "When does the lease end?"),
    "documents": lambda k, s, i: k.documents(s),
    "collections": lambda k, s, i: k.collections(s),
    "add_collection": lambda k, s, i: k.add_collection(s, "mine"),
    "delete_collection": lambda k, s, i: k.delete_collection(s, "contracts"),
    "statistics": lambda k, s, i: k.statistics(s),
}
NEEDS_ERASE = {"delete", "delete_collection"}


@pytest.fixture
async def lease(knowledge: Knowledge, ours: Scope) -> str:
    """A document of ours, in a collection of ours."""
    taken = await knowledge.ingest(ours, "lease.md", LEASE, collection="contracts", subjects=["per_1"])
    return taken.documents[0].id or ""


@pytest.mark.parametrize("name", BY_ID)
async def test_a_neighbour_meets_an_unknown_document(
    knowledge: Knowledge, ours: Scope, neighbour: Scope, lease: str, name: str
) -> None:
    before = await knowledge.document(ours, lease)
    with pytest.raises(UnknownDocument):
        await BY_ID[name](knowledge, neighbour, lease)
    assert await knowledge.document(ours, lease) == before


async def test_a_neighbour_finds_nothing(knowledge: Knowledge, ours: Scope, neighbour: Scope, lease: str) -> None:
    for mode in ("hybrid", "text", "vector"):
        assert (await knowledge.search(neighbour, "When does the lease end?", mode=mode)).passages == ()
    narrowed = await knowledge.search(neighbour, "lease", filters={"documents": [lease]})
    assert narrowed.passages == ()
    with pytest.raises(UnknownCollection):
        await knowledge.search(neighbour, "lease", collection="contracts")
    with pytest.raises(UnknownCollection):
        await knowledge.delete_collection(neighbour, "contracts")
    answer = await knowledge.answer(neighbour, "When does the lease end?")
    assert not answer.found
    assert answer.citations == ()
    assert (await knowledge.documents(neighbour)).items == ()
    assert (await knowledge.documents(neighbour, subject="per_1")).items == ()
    assert await knowledge.collections(neighbour) == ()
    assert (await knowledge.statistics(neighbour)).to_wire()["documents"] == 0


async def test_equal_documents_of_two_tenants_know_nothing_of_each_other(
    knowledge: Knowledge, ours: Scope, neighbour: Scope
) -> None:
    mine = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0]
    theirs = (await knowledge.ingest(neighbour, "lease.md", LEASE)).documents[0]
    assert (mine.status, theirs.status) == ("ready", "ready")
    assert mine.id != theirs.id
    await knowledge.ingest(ours, "menu.md", MENU)
    found = await knowledge.search(neighbour, "lease soup")
    assert {p.document_id for p in found.passages} == {theirs.id}
    await knowledge.delete(neighbour, theirs.id or "")
    assert (await knowledge.original(ours, mine.id or "")).data == LEASE


async def test_what_a_neighbour_has_changes_no_score(knowledge: Knowledge, ours: Scope, neighbour: Scope) -> None:
    await knowledge.ingest(ours, "lease.md", LEASE)
    await knowledge.ingest(ours, "menu.md", MENU)
    before = [(p.document_id, p.score) for p in (await knowledge.search(ours, "lease of the workshop")).passages]
    for n in range(5):
        await knowledge.ingest(neighbour, f"{n}.txt", f"The lease of workshop number {n}.".encode())
    after = [(p.document_id, p.score) for p in (await knowledge.search(ours, "lease of the workshop")).passages]
    assert after == before


@pytest.mark.parametrize("name", [*BY_ID, *OTHERS])
async def test_nobody_may_do_nothing(knowledge: Knowledge, ours: Scope, nobody: Scope, lease: str, name: str) -> None:
    with pytest.raises(Forbidden):
        await {**BY_ID, **OTHERS}[name](knowledge, nobody, lease)
    assert (await knowledge.statistics(ours)).documents == 1


@pytest.mark.parametrize("name", [*BY_ID, *OTHERS])
async def test_a_worker_reads_and_writes_and_does_not_erase(
    knowledge: Knowledge, ours: Scope, lease: str, name: str, scope_with: Callable[..., Scope]
) -> None:
    worker = scope_with("knowledge:read", "knowledge:write", "model:use", tenant=ours.tenant)
    call = {**BY_ID, **OTHERS}[name](knowledge, worker, lease)
    if name in NEEDS_ERASE:
        with pytest.raises(Forbidden):
            await call
    else:
        await call


async def test_who_may_read_only_does_not_write(
    knowledge: Knowledge, ours: Scope, lease: str, scope_with: Callable[..., Scope]
) -> None:
    reader = scope_with("knowledge:read", tenant=ours.tenant)
    for name in ("reindex", "relabel", "ingest", "add_collection"):
        with pytest.raises(Forbidden):
            await {**BY_ID, **OTHERS}[name](knowledge, reader, lease)
    found = await knowledge.search(reader, "When does the lease end?")
    assert found.passages, "without model:use the query is not embedded, but its words are found"
    assert found.notes


async def test_tenants_at_once_stay_apart(rooms: Rooms, scope_with: Callable[..., Scope]) -> None:
    permissions = ("knowledge:read", "knowledge:write", "model:use")
    tenants = [scope_with(*permissions) for _ in range(8)]

    async def live(n: int, scope: Scope) -> None:
        await rooms.knowledge.ingest(scope, "secret.txt", f"The code of the vault is {n}{n}{n}{n}.".encode())
        for _ in range(5):
            found = await rooms.knowledge.search(scope, "code of the vault")
            assert [p.text for p in found.passages] == [f"The code of the vault is {n}{n}{n}{n}."]

    await asyncio.gather(*(live(n, scope) for n, scope in enumerate(tenants)))
