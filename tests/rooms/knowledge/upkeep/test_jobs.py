"""The jobs of upkeep on the real queue: retained, erased and looked for, handed out and brought back, written anew."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bastide.app import House, open_house
from bastide.errors import BrokenExport, Forbidden
from bastide.settings import Settings
from bastide.store import Query, Scope, Store, new_id
from bastide.store.provision import DATABASE
from bastide.workflows import Job, JobRecord
from tests.conftest import ALL_PERMISSIONS
from tests.rooms.knowledge.conftest import LEASE, MENU

AGE = Query(
    "test", "age", "update knowledge.document set updated = now() - make_interval(days => %(days)s) where id = %(id)s"
)
STAGED = Query("test", "staged", "select count(*) from knowledge.staged")


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


async def run(house: House, scope: Scope, type: str, **given: Any) -> JobRecord:
    """A job, at its end."""
    made = await house.workflows.dispatch(scope, Job(type, given))
    return await house.workflows.result(scope, made.id, timeout_s=60)


async def gave(house: House, scope: Scope, id: str) -> dict[str, Any]:
    """What a job gave; it must have ended well."""
    record = await house.workflows.result(scope, id, timeout_s=60)
    assert record.status == "done", (record.status, record.why, record.problem)
    assert isinstance(record.output, dict)
    return record.output


async def taken_in(house: House, scope: Scope, name: str, data: bytes, collection: str, **said: Any) -> str:
    """The id of a document that was just taken in."""
    taken = await house.knowledge.ingest(scope, name, data, collection=collection, **said)
    return taken.documents[0].id or ""


# -- retention --------------------------------------------------------------------------------------


async def test_what_is_past_its_days_goes_and_what_is_on_hold_stays(
    house: House, ours: Scope, neighbour: Scope
) -> None:
    old = await taken_in(house, ours, "old.md", LEASE, "cases")
    held = await taken_in(house, ours, "held.md", LEASE + b"\nA copy.", "cases")
    new = await taken_in(house, ours, "new.md", MENU, "cases")
    kept = await taken_in(house, ours, "kept.md", MENU, "forever")
    theirs = await taken_in(house, neighbour, "old.md", LEASE, "cases")
    for scope, id in ((ours, old), (ours, held), (ours, kept), (neighbour, theirs)):
        async with house.store.under(scope) as db:
            await db.run(AGE, id=id, days=31)
    assert (await gave(house, ours, (await run(house, ours, "knowledge.retain")).id))["erased"] == 0
    await house.knowledge.upkeep.set_retention(ours, "cases", 30)
    await house.knowledge.upkeep.hold(ours, held, reason="Case 12 is pending.")
    out = await gave(house, ours, (await run(house, ours, "knowledge.retain")).id)
    assert (out["documents"], out["held"], out["left"]) == ([old], {held: "Case 12 is pending."}, {})
    assert {one.id for one in (await house.knowledge.documents(ours)).items} == {held, new, kept}
    assert (await house.knowledge.document(neighbour, theirs)).id == theirs


async def test_retention_reaches_collections_of_others(house: House, ours: Scope) -> None:
    old = await taken_in(house, ours, "old.md", LEASE, "staff")
    async with house.store.under(ours) as db:
        await db.run(AGE, id=old, days=31)
    await house.knowledge.upkeep.set_retention(ours, "staff", 30)
    await house.knowledge.upkeep.set_members(ours, "staff", {new_id("usr"): "manage"})
    out = await gave(house, ours, (await run(house, ours, "knowledge.retain")).id)
    assert out["documents"] == [old]


async def test_only_who_manages_retains(house: House, ours: Scope) -> None:
    clerk = replace(ours, permissions=ours.permissions - {"knowledge:manage"})
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(clerk, Job("knowledge.retain", {}))


# -- erasure ----------------------------------------------------------------------------------------


async def test_an_erasure_looks_for_what_is_left(house: House, ours: Scope) -> None:
    lease = await taken_in(house, ours, "lease.md", LEASE, "cases")
    await taken_in(house, ours, "lease.md", LEASE + b"\nThe deposit of the workshop is 900 euros.\n", "cases")
    await house.knowledge.answer(ours, "When does the lease of the workshop end?")
    menu = await taken_in(house, ours, "menu.md", MENU, "cases")
    record = await run(house, ours, "knowledge.erase", documents=[lease], reason="asked for")
    out = await gave(house, ours, record.id)
    assert (out["documents"], out["left"], out["unverified"]) == ([lease], {}, 0)
    assert [one.id for one in (await house.knowledge.documents(ours)).items] == [menu]


async def test_what_is_erased_about_a_person_is_erased_in_collections_of_others(house: House, ours: Scope) -> None:
    id = await taken_in(house, ours, "lease.md", LEASE, "staff", subjects=["per_7"])
    await house.knowledge.upkeep.set_members(ours, "staff", {new_id("usr"): "manage"})
    clerk = replace(ours, permissions=ours.permissions - {"knowledge:manage", "rights:use"})
    assert (await gave(house, clerk, (await run(house, clerk, "knowledge.erase", subject="per_7")).id))["erased"] == 0
    out = await gave(house, ours, (await run(house, ours, "knowledge.erase", subject="per_7")).id)
    assert out["documents"] == [id]


async def test_rewritten_tables_no_longer_hold_what_was_deleted(house: House, settings: Settings) -> None:
    """The bytes of a deleted row lie in the table's file until the table is written anew."""
    ours = Scope(new_id("ten"), new_id("usr"), None, frozenset(), ALL_PERMISSIONS | {"platform:operate"})
    word = f"Zyxwvut{new_id('x')[2:]}"
    id = await taken_in(house, ours, "note.md", f"# Note\n\nThe word {word} stands only here.".encode(), "notes")
    files = settings.home / "postgres"
    await house.knowledge.delete(ours, id)
    await on_disk(house)
    assert holding(files, word)
    out = await gave(house, ours, (await run(house, ours, "knowledge.rewrite")).id)
    tables = {one["table"]: one for one in out["tables"]}
    assert {"knowledge.chunk", "knowledge.embedding_shared", "store.blob_piece"} <= set(tables)
    assert [one["table"] for one in out["tables"] if one["problem"]] == []
    await on_disk(house)
    assert not holding(files, word)
    clerk = replace(ours, permissions=ALL_PERMISSIONS)
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(clerk, Job("knowledge.rewrite", {}))


async def on_disk(house: House) -> None:
    """Wait until what was written is in the files of the tables."""
    embedded = house.store._embedded
    assert embedded is not None
    url = make_conninfo(house.store._superuser_url(await embedded.ensure()), dbname=DATABASE)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("checkpoint")


def holding(folder: Path, word: str) -> list[str]:
    """The files of tables that hold these bytes."""
    return [path.name for path in folder.rglob("base/*/*") if path.is_file() and word.encode() in path.read_bytes()]


# -- out and in again -------------------------------------------------------------------------------


async def exported(house: House, scope: Scope, collection: str) -> bytes:
    """A collection as a zip file."""
    made = await run(house, scope, "knowledge.export", collection=collection)
    assert made.status == "done", made.problem
    return (await house.knowledge.artifact(scope, made.id)).data


def manifest_of(data: bytes) -> dict[str, Any]:
    """What an export says of itself, without what is new wherever it comes to."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    for document in manifest["documents"]:
        for part in (document, *document["versions"]):
            part["file"] = part["file"].replace(document["id"], "ID")
        del document["id"]
    manifest["documents"].sort(key=lambda one: one["name"])
    return manifest


def changed(data: bytes, change: str) -> bytes:
    """The same export with one thing changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if change == "content" and name.endswith("lease.md"):
                content = content.replace(b"Ghent", b"Gouda")
            if change == "shorter" and name.endswith("lease.md"):
                content = content[:-1]
            if change == "manifest" and name == "manifest.json":
                content = content.replace(b"bastide/collection/1", b"bastide/collection/9")
            if change == "path" and name == "manifest.json":
                content = content.replace(b'"file": "documents', b'"file": "../documents')
            if change == "name" and name == "manifest.json":
                content = content.replace(b'"name": "lease.md"', b'"name": "lease\\u0000.md"')
            if not (change == "missing" and name.endswith("lease.md")):
                new.writestr(name, content)
    return out.getvalue()[: 200 if change == "cut off" else None]


async def test_a_collection_comes_back_bit_for_bit(house: House, ours: Scope, neighbour: Scope) -> None:
    said = {"label": {"class": "restricted"}, "subjects": ["per_7"]}
    lease = await taken_in(house, ours, "lease.md", LEASE, "cases", **said)
    await taken_in(house, ours, "lease.md", LEASE + b"\nThe deposit is 900 euros.\n", "cases")
    await taken_in(house, ours, "sub/menu.md", MENU, "cases", label={"class": "internal"}, metadata={"kind": ["menu"]})
    async with house.store.under(ours) as db:
        await db.run(AGE, id=lease, days=400)
    await house.knowledge.upkeep.set_retention(ours, "cases", 900)
    await house.knowledge.upkeep.set_members(ours, "cases", {str(ours.user): "manage", "role:clerk": "read"})
    neighbour = replace(neighbour, user=ours.user)  # the same person, in another tenant
    data = await exported(house, ours, "cases")
    out = await gave(house, neighbour, (await house.knowledge.upkeep.bring(neighbour, data)).id)
    assert (out["documents"], out["refused"], out["collection"]) == (2, [], "cases")
    again = await exported(house, neighbour, "cases")
    assert manifest_of(again) == manifest_of(data)
    theirs = await house.knowledge.document(neighbour, out["ids"][lease])
    assert (theirs.version, theirs.label.cls, theirs.label.subjects) == (2, "restricted", frozenset({"per_7"}))
    for version, content in ((1, LEASE), (2, LEASE + b"\nThe deposit is 900 euros.\n")):
        assert (await house.knowledge.original(neighbour, theirs.id, version=version)).data == content
    stranger = replace(neighbour, user=new_id("usr"), roles=frozenset())
    assert (await house.knowledge.documents(stranger)).items == ()
    (menu,) = (await house.knowledge.search(neighbour, "soup", filters={"metadata": {"kind": "menu"}})).passages
    assert (menu.name, menu.metadata) == ("sub/menu.md", {"kind": ["menu"]})
    found = await house.knowledge.search(neighbour, "How much is the deposit?")
    assert found.passages[0].document_id == theirs.id
    async with house.store.under(neighbour) as db:
        assert await db.value(STAGED) == 0


async def test_an_import_only_tightens_labels(house: House, ours: Scope, neighbour: Scope) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases", label={"class": "secret"})
    await taken_in(house, ours, "menu.md", MENU, "cases", label={"class": "public"})
    data = await exported(house, ours, "cases")
    strict = replace(neighbour, label='{"class":"restricted"}')
    await gave(house, strict, (await house.knowledge.upkeep.bring(strict, data)).id)
    page = await house.knowledge.documents(neighbour)
    assert {one.name: one.label.cls for one in page.items} == {"lease.md": "secret", "menu.md": "restricted"}


async def test_an_import_replaces_nothing(house: House, ours: Scope) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    data = await exported(house, ours, "cases")
    record = await house.workflows.result(ours, (await house.knowledge.upkeep.bring(ours, data)).id, timeout_s=60)
    assert record.problem is not None
    assert record.problem.code == "knowledge.name_held"
    made = await house.knowledge.upkeep.bring(ours, data, collection="copies")
    assert (await gave(house, ours, made.id))["documents"] == 1
    assert len((await house.knowledge.documents(ours)).items) == 2


async def test_members_are_brought_by_who_may_set_them_only(house: House, ours: Scope, neighbour: Scope) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    await house.knowledge.upkeep.set_members(ours, "cases", {str(ours.user): "manage"})
    data = await exported(house, ours, "cases")
    clerk = replace(neighbour, permissions=neighbour.permissions - {"knowledge:manage"})
    record = await house.workflows.result(clerk, (await house.knowledge.upkeep.bring(clerk, data)).id, timeout_s=60)
    assert record.problem is not None
    assert record.problem.code == "knowledge.members_only"
    assert (await house.knowledge.documents(neighbour)).items == ()


@pytest.mark.parametrize("change", ["content", "shorter", "manifest", "path", "name", "missing", "cut off"])
async def test_a_changed_export_is_refused(house: House, ours: Scope, neighbour: Scope, change: str) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    data = changed(await exported(house, ours, "cases"), change)
    with pytest.raises(BrokenExport):
        await house.knowledge.upkeep.bring(neighbour, data)
    assert await house.knowledge.collections(neighbour) == ()


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all"], ids=["empty", "start", "text"])
async def test_what_is_no_export_is_refused(house: House, ours: Scope, nobody: Scope, data: bytes) -> None:
    with pytest.raises(BrokenExport):
        await house.knowledge.upkeep.bring(ours, data)
    with pytest.raises(Forbidden):
        await house.knowledge.upkeep.bring(nobody, data)
