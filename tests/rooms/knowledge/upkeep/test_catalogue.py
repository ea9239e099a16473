"""The catalogue says that a deletion is whole: what hangs on a document goes with it in one transaction."""

from __future__ import annotations

import pytest

from bastide.knowledge import Knowledge
from bastide.knowledge.verifying import remains, traces
from bastide.store import Query, Scope, Store
from tests.rooms.knowledge.conftest import LEASE, MENU

# Tables with a column `document` that is not deleted by the document's own DELETE, and why.
STAYS = {
    "hold": "a hold refuses the deletion of its document: that is what it is for",
    "watched": "it forgets its document and keeps the file's size and time, or a watched folder would bring it back",
}
# Tables of a tenant that do not hang on a document, and what rids them of what they hold about one.
APART = {
    "alias": "keys of names; the graph works it out anew from what documents say",
    "alias_source": "two keys of names; it names its document as `source`, and goes with it",
    "artifact": "an export, fetched for a week and then given up",
    "collection": "a shelf; it has no word of a document",
    "collection_member": "persons and roles",
    "community": "keys of names; what is told of it stands in community_source and community_line",
    "community_line": "goes with any of the sources that it cites",
    "decision": "keys of names that persons or rules merged or split",
    "document": "the document itself",
    "embedder": "names of embedders, by collection",
    "extent": "how many chunks a tenant has; written in the transaction that deletes",
    "graph_type": "types, as a tenant names them",
    "intake": "a job that gathers files",
    "placement": "which models have a partition of their own",
    "projection": "targets in other systems; no word of a document",
    "projection_change": "ids of documents that a target still has to hear of",
    "projection_copy": "ids of documents and counts: that a target has taken an erased one away is the proof",
    "refusal": "keyed fingerprints of files that were never documents",
    "staged": "files on their way in; an erasure reaches them by subject",
}

BY_DOCUMENT = Query(
    "test",
    "by_document",
    "select c.relname, k.confdeltype is not null from pg_class c"
    " join pg_attribute a on a.attrelid = c.oid and a.attname = 'document' and not a.attisdropped"
    " left join pg_constraint k on k.conrelid = c.oid and k.contype = 'f' and k.confdeltype = 'c'"
    "  and k.confrelid in ('knowledge.document'::regclass, 'knowledge.chunk'::regclass) and k.conparentid = 0"
    " where c.relnamespace = 'knowledge'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition",
)
KEPT = Query(
    "test",
    "kept",
    "select c.relname from pg_policy p join pg_class c on c.oid = p.polrelid"
    " where c.relnamespace = 'knowledge'::regnamespace and p.polname = 'members_only' and not p.polpermissive",
)
ALL = Query(
    "test",
    "all",
    "select c.relname from pg_class c where c.relnamespace = 'knowledge'::regnamespace and c.relkind in ('r', 'p')"
    " and not c.relispartition",
)
BREAK = Query(
    "test",
    "break",
    "select 1 / (select count(*) - count(*) from knowledge.document)",  # fails when it runs
)


async def test_every_table_of_a_document_goes_with_it(store: Store, ours: Scope) -> None:
    async with store.under(ours) as db:
        tables: dict[str, bool] = {}
        for name, cascades in await db.rows(tuple, BY_DOCUMENT):
            tables[name] = tables.get(name, False) or cascades
        every = {name for (name,) in await db.rows(tuple, ALL)}
        kept = {name for (name,) in await db.rows(tuple, KEPT)}
    assert {name for name, cascades in tables.items() if not cascades} == set(STAYS)
    assert every - set(tables) == set(APART), "a new table says here what becomes of it when a document is deleted"
    assert set(tables) <= kept, "a new table calls knowledge.keep_to_members in its migration"


async def test_the_verifier_finds_what_is_there_and_nothing_after_a_deletion(
    knowledge: Knowledge, store: Store, ours: Scope, neighbour: Scope
) -> None:
    lease = (await knowledge.ingest(ours, "lease.md", LEASE * 3)).documents[0].id or ""
    await knowledge.ingest(ours, "menu.md", MENU)
    await knowledge.ingest(neighbour, "lease.md", LEASE * 3)
    await knowledge.answer(ours, "When does the lease of the workshop end?")
    async with store.under(ours) as db:
        before = await traces(db, [lease])
        found = await remains(db, before)
    assert before.words
    assert all(len(words.split(" ")) == 8 for words in before.words)
    assert found["chunk"] > 0
    assert found["knowledge.document by id"] == 1
    assert {"document_version", "posting", "mention", "embedding", "likeness", "answer_source"} <= set(found)
    await knowledge.delete(ours, lease)
    async with store.under(ours) as db:
        assert await remains(db, before) == {}
    async with store.under(neighbour) as db:  # the same words, under another tenant
        assert (await remains(db, before)).keys() == {"chunk"}


async def test_words_that_others_have_too_are_no_trace(knowledge: Knowledge, store: Store, ours: Scope) -> None:
    lease = (await knowledge.ingest(ours, "lease.md", LEASE, collection="one")).documents[0].id or ""
    await knowledge.ingest(ours, "lease.md", LEASE, collection="two")
    async with store.under(ours) as db:
        before = await traces(db, [lease])
    assert before.words == ()
    await knowledge.delete(ours, lease)
    async with store.under(ours) as db:
        assert await remains(db, before) == {}


async def test_a_deletion_is_whole_or_not_at_all(knowledge: Knowledge, store: Store, ours: Scope) -> None:
    lease = (await knowledge.ingest(ours, "lease.md", LEASE)).documents[0].id or ""
    async with store.under(ours) as db:
        before = await traces(db, [lease])
        there = await remains(db, before)
    with pytest.raises(Exception, match="division by zero"):
        async with store.under(ours) as db:
            assert await knowledge.upkeep.shelf.delete_here(db, [lease], reason="tried") == [lease]
            assert await remains(db, before) == {}
            await db.run(BREAK)
    async with store.under(ours) as db:
        assert await remains(db, before) == there
    assert (await knowledge.search(ours, "When does the lease end?")).passages[0].document_id == lease
