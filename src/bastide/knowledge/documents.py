"""Documents: what is on the shelf, given back as it came, relabelled, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bastide.audit import Audit
from bastide.errors import (
    BadOption,
    CollectionNotEmpty,
    LooseningRefused,
    UnknownCollection,
    UnknownDocument,
)
from bastide.knowledge.bounds import after_cursor, cursor_of
from bastide.knowledge.bounds import subjects as subjects_of
from bastide.knowledge.comparing import called, changes
from bastide.knowledge.graph import forget_graph
from bastide.knowledge.indexing import Known, extent_of, label_change, write_extent, write_label
from bastide.knowledge.members import need, refuse_held
from bastide.knowledge.metadata import described
from bastide.knowledge.past import Relabelled, past_answers
from bastide.knowledge.reading import Limits, PageRead, draw_page, read_apart
from bastide.knowledge.values import Change, Chunk, Collection, Document, Original, Statistics, StructureNode, Version
from bastide.policy import Label
from bastide.store import Db, Page, Scope, Store, queries
from bastide.workflows import JsonValue, Workflows

_Q = queries("bastide.knowledge")
_LIST, _GET, _BY_ID, _VERSIONS = _Q["list_documents"], _Q["get_document"], _Q["find_by_id"], _Q["list_versions"]
_ORIGINAL, _NODES, _CHUNKS = _Q["original"], _Q["list_nodes"], _Q["list_chunks"]
_PAGES, _NODES_OF = _Q["list_pages"], _Q["version_nodes"]
_BLOBS, _FORGET = _Q["blobs_of_document"], _Q["forget_document"]
_COLLECTIONS, _HAS, _ADD, _FORGET_COLLECTION = (
    _Q["list_collections"],
    _Q["has_collection"],
    _Q["add_collection"],
    _Q["forget_collection"],
)
_STATISTICS, _LANGUAGES = _Q["statistics"], _Q["document_languages"]


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    collection: str
    name: str
    version: int
    label: dict[str, object]
    created: datetime
    updated: datetime
    bytes: int
    media_type: str
    title: str
    language: str
    pages: int | None
    chunks: int
    problems: list[str]
    marks: list[str]
    metadata: dict[str, object]

    def document(self) -> Document:
        values = {name: getattr(self, name) for name in self.__slots__}
        return Document(
            **values
            | {"label": Label.from_wire(self.label), "problems": tuple(self.problems), "marks": tuple(self.marks)}
        )


class Shelf:
    """The documents of a tenant, one by one."""

    def __init__(self, store: Store, audit: Audit, workflows: Workflows) -> None:
        self._store = store
        self._audit = audit
        self._workflows = workflows

    async def page(
        self,
        scope: Scope,
        *,
        collection: str | None,
        name: str | None,
        subject: str | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Document]:
        """Documents, newest first."""
        before = after_cursor(cursor)
        async with self._store.under(scope) as db:
            if collection is not None and not await db.value(_HAS, name=collection):
                raise UnknownCollection(f"There is no collection {collection!r} here.")
            rows = await db.rows(
                _Row, _LIST, collection=collection, name=name, subject=subject, before=before, limit=limit + 1
            )
        more = len(rows) > limit
        kept = rows[:limit]
        return Page(tuple(row.document() for row in kept), cursor_of(kept[-1].id) if more else None)

    async def get(self, scope: Scope, document_id: str) -> Document:
        """One document. Raises UnknownDocument."""
        async with self._store.under(scope) as db:
            row = await db.row(_Row, _GET, id=document_id)
        if row is None:
            raise UnknownDocument
        return row.document()

    async def original(self, scope: Scope, document_id: str, version: int | None) -> Original:
        """The bytes as they came in, verified; that they were read is recorded."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _ORIGINAL, id=document_id, version=version)
            if row is None:
                raise UnknownDocument("There is no such document or version here.")
            data = await db.get_blob(row["blob"])
            await self._audit.record(
                db, "document.read", resource=document_id, details={"version": row["version"], "bytes": len(data)}
            )
        return Original(row["name"], row["version"], row["media_type"], data)

    async def structure(self, scope: Scope, document_id: str) -> tuple[StructureNode, ...]:
        """The tree, in reading order."""
        async with self._store.under(scope) as db:
            await _there(db, document_id)
            return tuple(await db.rows(StructureNode, _NODES, id=document_id))

    async def chunks(self, scope: Scope, document_id: str, *, cursor: str | None, limit: int) -> Page[Chunk]:
        """The chunks, in reading order."""
        after = after_cursor(cursor)
        if after is not None and not after.isdecimal():
            raise BadOption("The cursor was not given out by this list.", option="cursor")
        async with self._store.under(scope) as db:
            await _there(db, document_id)
            rows = await db.rows(Chunk, _CHUNKS, id=document_id, after=int(after or -1), limit=limit + 1)
        kept = rows[:limit]
        return Page(tuple(kept), cursor_of(str(kept[-1].ord)) if len(rows) > limit else None)

    async def versions(self, scope: Scope, document_id: str) -> tuple[Version, ...]:
        """All versions, newest first."""
        async with self._store.under(scope) as db:
            found = await db.rows(Version, _VERSIONS, id=document_id)
        if not found:
            raise UnknownDocument
        return tuple(found)

    async def pages(self, scope: Scope, document_id: str) -> tuple[PageRead, ...]:
        """How each page of the current version was read; none for a format without pages."""
        async with self._store.under(scope) as db:
            await _there(db, document_id)
            rows = await db.rows(dict, _PAGES, id=document_id)
        return tuple(PageRead(**row | {name: tuple(row[name]) for name in ("doubts", "receipts")}) for row in rows)

    async def page_image(
        self, scope: Scope, document_id: str, page: int, *, dpi: int, version: int | None, limits: Limits
    ) -> bytes:
        """One page as PNG. Raises UnknownDocument, UnknownPage; that it was looked at is recorded."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _ORIGINAL, id=document_id, version=version)
            if row is None:
                raise UnknownDocument("There is no such document or version here.")
            data = await db.get_blob(row["blob"])
            details: dict[str, JsonValue] = {"version": row["version"], "page": page}
            await self._audit.record(db, "document.read", resource=document_id, details=details)
        return await asyncio.to_thread(draw_page, data, page, dpi, limits)

    # Only ids and fingerprints of older versions are kept, so both originals are read again, one after the other:
    # for scans that takes as long as their recognition did.
    async def diff(
        self, scope: Scope, document_id: str, older: int, newer: int, *, limits: Limits
    ) -> tuple[Change, ...]:
        """What differs between two versions. Raises UnknownDocument."""
        found = []
        async with self._store.under(scope) as db:
            for version in (older, newer):
                row = await db.row(dict, _NODES_OF, id=document_id, version=version)
                if row is None:
                    raise UnknownDocument("There is no such document or version here.")
                data = await db.get_blob(row["blob"])
                details: dict[str, JsonValue] = {"version": row["version"], "bytes": len(data)}
                await self._audit.record(db, "document.read", resource=document_id, details=details)
                found.append((row, data))

        def compared() -> tuple[Change, ...]:
            before, after = (read_apart(row["name"], data, limits) for row, data in found)
            ids = [called(row["ids"], row["marks"], one) for (row, _), one in zip(found, (before, after), strict=True)]
            return changes(before, ids[0], after, ids[1])

        return await asyncio.to_thread(compared)

    async def delete(self, scope: Scope, document_id: str, *, reason: str) -> None:
        """Delete a document with everything that was made from it. Raises UnknownDocument."""
        async with self._store.under(scope) as db:
            if not await self.delete_here(db, [document_id], reason=reason):
                raise UnknownDocument

    async def delete_here(
        self, db: Db, documents: Sequence[str], *, reason: str, chain: Sequence[tuple[str, str]] = ()
    ) -> list[str]:
        """Those of these documents that are here, in a transaction that is open; `chain` is what led to it.

        Schedules and triggers that name one are paused, its id blotted out.
        """
        gone = [one for one in documents if await self._delete(db, one, reason, chain)]
        if gone:
            for orders in self._workflows.orders:
                await orders.blot(db, gone)
        return gone

    # One transaction, in this order: what it added to the extent is counted before it goes; the originals of all
    # versions are given up; one DELETE takes the rest; the event names the id and counts, never the name.
    async def _delete(self, db: Db, document_id: str, reason: str, chain: Sequence[tuple[str, str]]) -> bool:
        """False for one that is not here: somebody else was first, or it never was."""
        try:
            known = await _locked(db, document_id)
        except UnknownDocument:
            return False
        await need(db, known.collection, "write")
        await refuse_held(db, known.id)
        taken = await extent_of(db, known.number)
        blobs: list[tuple[str]] = await db.rows(tuple, _BLOBS, document=known.number)
        await forget_graph(db, known.number)
        await db.run(_FORGET, document=known.number)
        for (blob,) in blobs:
            await db.drop_blob(blob)
        await self._audit.record(
            db,
            "document.delete",
            resource=known.id,
            details={"versions": len(blobs), "chunks": known.chunks, "reason": reason},
        )
        facts: dict[str, JsonValue] = {"document": known.id, "name": known.name, "collection": known.collection}
        label = Label.from_wire(known.label)
        await self._workflows.triggers.happened(db, "document.deleted", facts, label=label, chain=chain)
        await write_extent(db, {}, taken)
        return True

    async def relabel(
        self,
        scope: Scope,
        document_id: str,
        wire: dict[str, object],
        *,
        reason: str,
        dry_run: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> Relabelled:
        """Give a document another label; what `wire` leaves out stays as it is. A dry run only says what would be.

        `metadata` changes that, too: a key with None goes, what is not named stays.

        Raises LooseningRefused without the permission policy:manage or without a reason.
        """
        async with self._store.under(scope) as db:
            known = await _locked(db, document_id)
            await need(db, known.collection, "write")
            before = Label.from_wire(known.label)
            after = Label.from_wire(wire, default=before).join(Label.of_scope(scope))
            subjects_of(after.subjects)
            tighter = before.join(after) == after
            if not tighter and ("policy:manage" not in scope.permissions or not reason.strip()):
                raise LooseningRefused
            past = await past_answers(db, document_id, before)
            if after != before and not dry_run:
                await write_label(db, known.number, after)
                details = label_change(before, after, reason)
                await self._audit.record(
                    db,
                    "document.relabel" if tighter else "document.declassify",
                    resource=known.id,
                    subjects=sorted(before.subjects | after.subjects),
                    details={**details, "past_answers": past.answers},
                )
            if not dry_run:
                await described(db, self._audit, known.number, metadata, id=known.id, label=after, reason=reason)
            row = await db.row(_Row, _GET, id=document_id)
        assert row is not None, "its row is locked"
        return Relabelled(row.document(), before, after, done=not dry_run, past=past)

    # -- collections --------------------------------------------------------------------------------

    async def collections(self, scope: Scope) -> tuple[Collection, ...]:
        """All collections, by name."""
        async with self._store.under(scope) as db:
            return tuple(await db.rows(Collection, _COLLECTIONS))

    async def add_collection(self, scope: Scope, name: str) -> Collection:
        """Make an empty collection; one that is there stays as it is."""
        async with self._store.under(scope) as db:
            await need(db, name, "write")
            if await db.run(_ADD, name=name):
                await self._audit.record(db, "collection.create", details={"name": name})
            return next(one for one in await db.rows(Collection, _COLLECTIONS) if one.name == name)

    async def delete_collection(self, scope: Scope, name: str) -> None:
        """Delete an empty collection. Raises CollectionNotEmpty or UnknownCollection."""
        async with self._store.under(scope) as db:
            if await db.value(_HAS, name=name):
                await need(db, name, "manage")
            if not await db.run(_FORGET_COLLECTION, name=name):
                if await db.value(_HAS, name=name):
                    raise CollectionNotEmpty
                raise UnknownCollection(f"There is no collection {name!r} here.")
            await self._audit.record(db, "collection.delete", details={"name": name})

    async def statistics(self, scope: Scope) -> Statistics:
        """How much there is."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _STATISTICS)
            languages: list[tuple[str, int]] = await db.rows(tuple, _LANGUAGES)
        assert row is not None, "a select without from has a row"
        return Statistics(
            documents=row["documents"],
            chunks=row["chunks"],
            entities=row["entities"],
            queued=row["queued"],
            refused=row["refused"],
            languages=dict(languages),
        )


async def _locked(db: Db, document_id: str) -> Known:
    known = await db.row(Known, _BY_ID, id=document_id)
    if known is None:
        raise UnknownDocument
    return known


async def _there(db: Db, document_id: str) -> None:
    if await db.row(_Row, _GET, id=document_id) is None:
        raise UnknownDocument
