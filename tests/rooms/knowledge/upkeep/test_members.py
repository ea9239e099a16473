"""Collections with members: row security shows them to those alone, in every table and on every path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bastide.errors import (
    BadOption,
    DocumentHeld,
    Forbidden,
    MembersOnly,
    UnknownCollection,
    UnknownDocument,
)
from bastide.knowledge import Knowledge
from bastide.store import Query, Scope, Store, new_id
from tests.rooms.knowledge.conftest import LEASE, MENU, Rooms

QUESTION = "When does the lease of the workshop in Ghent end?"
MEMBER = frozenset({"knowledge:read", "knowledge:write", "knowledge:erase", "model:use"})

TABLES = Query(
    "test",
    "tables",
    "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'document'"
    " where c.relnamespace = 'knowledge'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition",
)


def rows(table: str) -> Query:
    """How many rows of documents with these numbers a transaction sees in a table."""
    return Query("test", "rows", f"select count(*) from knowledge.{table} where document = any(%(numbers)s)")


NUMBERS = Query("test", "numbers", "select array_agg(number) from knowledge.document where collection = 'staff'")
TOUCH = Query("test", "touch", "update knowledge.document set updated = updated where number = any(%(numbers)s)")
TAKE = Query("test", "take", "delete from knowledge.document where number = any(%(numbers)s)")
JOIN = Query(
    "test",
    "join",
    "insert into knowledge.collection_member (collection, member, access) values ('staff', %(m)s, 'read')",
)
LEAVE = Query("test", "leave", "delete from knowledge.collection_member where collection = 'staff'")


def person(of: Scope, *roles: str) -> Scope:
    """Somebody else of the same tenant, without the right to manage collections."""
    return replace(of, user=new_id("usr"), roles=frozenset(roles), permissions=MEMBER)


@pytest.fixture
async def staff(knowledge: Knowledge, ours: Scope) -> Scope:
    """A collection `staff` with a lease in it, read by the person that is given, managed by nobody."""
    await knowledge.ingest(ours, "lease.md", LEASE, collection="staff")
    await knowledge.ingest(ours, "menu.md", MENU, collection="open")
    reader = person(ours)
    await knowledge.upkeep.set_members(ours, "staff", {str(reader.user): "read"})
    return reader


async def test_a_collection_without_members_is_open(knowledge: Knowledge, ours: Scope) -> None:
    await knowledge.ingest(ours, "lease.md", LEASE, collection="staff")
    found = await knowledge.search(person(ours), QUESTION)
    assert [one.collection for one in found.passages] == ["staff"]
    kept = await knowledge.upkeep.collection(person(ours), "staff")
    assert (dict(kept.members), kept.retention_days, kept.documents) == ({}, None, 1)


async def test_only_members_find_read_and_list(knowledge: Knowledge, ours: Scope, staff: Scope) -> None:
    stranger = person(ours, "member")
    for mode in ("hybrid", "text", "vector", "graph"):
        found = await knowledge.search(staff, QUESTION, mode=mode)
        assert [one.collection for one in found.passages][:1] == ["staff"], mode
        strange = await knowledge.search(stranger, QUESTION, mode=mode)
        assert {one.collection for one in strange.passages} <= {"open"}, mode
    (document,) = [one for one in (await knowledge.documents(staff)).items if one.collection == "staff"]
    assert [one.collection for one in (await knowledge.documents(stranger)).items] == ["open"]
    assert [one.name for one in await knowledge.collections(stranger)] == ["open"]
    assert (await knowledge.statistics(stranger)).documents == 1
    for read in (knowledge.document, knowledge.original, knowledge.structure, knowledge.chunks, knowledge.versions):
        with pytest.raises(UnknownDocument):
            await read(stranger, document.id)
        await read(staff, document.id)
    with pytest.raises(UnknownCollection):
        await knowledge.search(stranger, QUESTION, collection="staff")
    assert not (await knowledge.answer(stranger, QUESTION)).found
    assert (await knowledge.answer(staff, QUESTION)).found


async def test_a_manager_of_the_house_sees_no_more_until_made_a_member(
    knowledge: Knowledge, ours: Scope, staff: Scope
) -> None:
    assert [one.collection for one in (await knowledge.documents(ours)).items] == ["open"]
    kept = await knowledge.upkeep.set_members(ours, "staff", {str(staff.user): "read", "role:administrator": "manage"})
    assert kept.members == {str(staff.user): "read", "role:administrator": "manage"}
    assert len((await knowledge.documents(ours)).items) == 2


async def test_who_reads_does_not_write(knowledge: Knowledge, ours: Scope, staff: Scope) -> None:
    (document,) = (await knowledge.documents(staff, collection="staff")).items
    with pytest.raises(MembersOnly):
        await knowledge.ingest(staff, "other.md", b"Something else.", collection="staff")
    with pytest.raises(MembersOnly):
        await knowledge.delete(staff, document.id)
    with pytest.raises(MembersOnly):
        await knowledge.reindex(staff, document.id)
    with pytest.raises(MembersOnly):
        await knowledge.relabel(staff, document.id, {"class": "secret"})
    with pytest.raises(MembersOnly):
        await knowledge.upkeep.set_members(staff, "staff", {str(staff.user): "manage"})
    with pytest.raises(MembersOnly):
        await knowledge.ingest(person(ours), "lease.md", b"Mine now.", collection="staff")
    writer = person(ours, "clerk")
    await knowledge.upkeep.set_members(ours, "staff", {str(staff.user): "read", "role:clerk": "write"})
    taken = await knowledge.ingest(writer, "lease.md", LEASE + b"\nThe deposit is 900 euros.\n", collection="staff")
    assert taken.documents[0].version == 2
    await knowledge.delete(writer, document.id)
    assert (await knowledge.documents(staff, collection="staff")).items == ()


async def test_an_app_may_be_a_member(knowledge: Knowledge, ours: Scope, staff: Scope) -> None:
    app = new_id("app")
    await knowledge.upkeep.set_members(ours, "staff", {app: "read"})
    assert not (await knowledge.documents(staff)).items[1:]
    assert len((await knowledge.documents(replace(person(ours), app=app))).items) == 2


async def test_who_manages_a_collection_sets_its_members_but_does_not_open_it(
    knowledge: Knowledge, ours: Scope, staff: Scope
) -> None:
    head = person(ours)
    await knowledge.upkeep.set_members(ours, "staff", {str(head.user): "manage"})
    await knowledge.upkeep.set_members(head, "staff", {str(head.user): "manage", str(staff.user): "write"})
    with pytest.raises(MembersOnly):
        await knowledge.upkeep.set_members(head, "staff", {})
    with pytest.raises(MembersOnly):  # the first members of a collection that is open to all
        await knowledge.upkeep.set_members(head, "open", {str(head.user): "manage"})
    with pytest.raises(UnknownCollection):
        await knowledge.upkeep.set_members(person(ours), "staff", {"role:member": "read"})
    await knowledge.upkeep.set_members(ours, "staff", {})
    assert len((await knowledge.documents(person(ours))).items) == 2


async def test_row_security_holds_in_every_table(store: Store, ours: Scope, staff: Scope) -> None:
    """SQL of any kind, under a stranger's own transaction, sees and touches no row of the collection."""
    stranger = person(ours)
    async with store.under(staff) as db:
        numbers = await db.value(NUMBERS)
        tables = [name for (name,) in await db.rows(tuple, TABLES)]
        seen = {table: await db.value(rows(table), numbers=numbers) for table in tables}
    assert seen["chunk"] > 0
    assert seen["posting"] > 0
    assert seen["embedding"] > 0
    assert seen["mention"] > 0
    async with store.under(stranger) as db:
        for table in tables:
            assert await db.value(rows(table), numbers=numbers) == 0, table
        assert await db.run(TOUCH, numbers=numbers) == 0
        assert await db.run(TAKE, numbers=numbers) == 0
        assert await db.run(LEAVE) == 0
    async with store.under(staff) as db:
        assert await db.run(TAKE, numbers=numbers) == 0
        assert await db.run(LEAVE) == 0
    for act, values in ((JOIN, {"m": str(stranger.user)}), (TOUCH, {"numbers": numbers})):
        with pytest.raises(Exception, match="row-level security"):
            async with store.under(staff) as db:
                await db.run(act, **values)


@pytest.mark.parametrize(
    "forged",
    ["", "*", "{body}|*|00", "{context}|*", "{actors}|*", "{renamed}"],
    ids=["empty", "star", "no mac", "other mac", "longer", "other user"],
)
async def test_forged_actors_see_nothing(store: Store, ours: Scope, staff: Scope, forged: str) -> None:
    stranger = person(ours)
    put = Query("test", "put", "select set_config('bastide.actors', %(a)s, true)")
    get = Query("test", "get", "select current_setting('bastide.context'), current_setting('bastide.actors')")
    async with store.under(stranger) as db:
        context, actors = await db.row(tuple, get) or ("", "")
        body = context.rpartition("|")[0]
        renamed = actors.replace(str(stranger.user), str(staff.user))
        assert renamed != actors
        made = forged.format(body=body, context=context, actors=actors, renamed=renamed)
        await db.run(put, a=made)
        assert await db.value(NUMBERS) is None
    async with store.under(staff) as db:
        assert await db.value(NUMBERS) is not None


async def test_a_neighbours_members_close_nothing_of_ours(
    knowledge: Knowledge, ours: Scope, neighbour: Scope, staff: Scope
) -> None:
    await knowledge.ingest(neighbour, "lease.md", LEASE, collection="staff")
    assert len((await knowledge.documents(person(neighbour))).items) == 1
    with pytest.raises(UnknownCollection):
        await knowledge.upkeep.set_members(neighbour, "open", {"role:member": "read"})


@pytest.mark.parametrize(
    "members",
    [
        {"everybody": "read"},
        {"role:": "read"},
        {"role:a b": "read"},
        {"role:x' or true --": "read"},
        {"*": "manage"},
        {"role:member": "own"},
        {f"role:r{n}": "read" for n in range(501)},
    ],
    ids=["word", "empty role", "space", "sql", "star", "access", "too many"],
)
async def test_wrong_members_are_refused(
    knowledge: Knowledge, ours: Scope, staff: Scope, members: dict[str, str]
) -> None:
    with pytest.raises(BadOption):
        await knowledge.upkeep.set_members(ours, "staff", members)
    assert list((await knowledge.upkeep.collection(staff, "staff")).members) == [staff.user]


async def test_who_changed_members_stands_in_the_log(rooms: Rooms, ours: Scope, staff: Scope) -> None:
    found = []
    for _ in range(200):
        found = [one for one in (await rooms.audit.events(ours)).items if one.act == "collection.members"]
        if found:
            break
        await asyncio.sleep(0.05)
    (event,) = found
    assert event.details is not None
    assert event.details["after"] == {str(staff.user): "read"}
    assert event.subjects == (str(staff.user),)


# -- retention and holds ----------------------------------------------------------------------------


async def test_nothing_deletes_a_document_on_hold(knowledge: Knowledge, store: Store, ours: Scope) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE)
    id = taken.documents[0].id or ""
    with pytest.raises(BadOption):
        await knowledge.upkeep.hold(ours, id, reason=" ")
    await knowledge.upkeep.hold(ours, id, reason="Case 12/2026 is pending.")
    with pytest.raises(DocumentHeld, match="Case 12/2026"):
        await knowledge.delete(ours, id)
    with pytest.raises(Exception, match="foreign key"):  # the database itself
        async with store.under(ours) as db:
            await db.run(Query("test", "gone", "delete from knowledge.document where id = %(id)s"), id=id)
    (hold,) = (await knowledge.upkeep.holds(ours)).items
    assert (hold.document, hold.reason, hold.placed_by) == (id, "Case 12/2026 is pending.", ours.user)
    await knowledge.upkeep.release(ours, id)
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.release(ours, id)
    await knowledge.delete(ours, id)


@pytest.mark.parametrize("days", [0, -1, 36_501, True], ids=["zero", "negative", "century", "bool"])
async def test_wrong_days_are_refused(knowledge: Knowledge, ours: Scope, days: int) -> None:
    await knowledge.add_collection(ours, "staff")
    with pytest.raises(BadOption):
        await knowledge.upkeep.set_retention(ours, "staff", days)


async def test_upkeep_needs_its_permissions(
    knowledge: Knowledge, ours: Scope, nobody: Scope, neighbour: Scope, scope_with: Callable[..., Scope]
) -> None:
    taken = await knowledge.ingest(ours, "lease.md", LEASE, collection="staff")
    id = taken.documents[0].id or ""
    writer = scope_with("knowledge:read", "knowledge:write", "knowledge:erase", tenant=ours.tenant)
    for scope in (nobody, writer):
        with pytest.raises(Forbidden):
            await knowledge.upkeep.set_members(scope, "staff", {"role:member": "read"})
        with pytest.raises(Forbidden):
            await knowledge.upkeep.set_retention(scope, "staff", 30)
        with pytest.raises(Forbidden):
            await knowledge.upkeep.hold(scope, id, reason="because")
        with pytest.raises(Forbidden):
            await knowledge.upkeep.release(scope, id)
    with pytest.raises(UnknownDocument):
        await knowledge.upkeep.hold(neighbour, id, reason="because")
    with pytest.raises(UnknownCollection):
        await knowledge.upkeep.set_retention(neighbour, "staff", 30)
