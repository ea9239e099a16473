"""Intake: a file becomes a document, whole or not at all.

1. content that is here already is not taken in twice     4. one transaction writes original, structure,
2. the file is read and cut, in a thread                     chunks, words, vectors and the event
3. the chunks are embedded: no transaction is open        5. a file that cannot be read leaves an event only
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bastide.audit import Audit
from bastide.errors import AlreadyThere, Contended, Refusal, StillEmbedded, UnknownDocument
from bastide.inference import Inference
from bastide.knowledge.embedders import Embedders
from bastide.knowledge.indexing import (
    Known,
    Vectors,
    extent_of,
    forget_index,
    growth,
    label_change,
    write_extent,
    write_label,
    write_subjects,
)
from bastide.knowledge.likeness import Sketch, likeness_key, sketch
from bastide.knowledge.meaning import LATER, Meaning
from bastide.knowledge.members import need
from bastide.knowledge.metadata import describe, described
from bastide.knowledge.preparing import Prepared
from bastide.knowledge.reading import class_of
from bastide.knowledge.seeing import Seeing
from bastide.knowledge.values import IngestedDocument
from bastide.knowledge.writing import Entry, write_entries
from bastide.policy import Label
from bastide.settings import KnowledgeSettings
from bastide.store import Db, Json, Scope, Store, new_id, queries
from bastide.telemetry import count, timed
from bastide.workflows import Workflows

Chain = Sequence[tuple[str, str]]
"""What led to a job, as workflows keeps it: (trigger or schedule, job) of each before it."""

Act = Callable[[Db], Awaitable[IngestedDocument]]
"""What is left to do once everything slow is done: it runs in one transaction and says what became of the file."""

_Q = queries("bastide.knowledge")
_LOCK, _BY_CONTENT, _BY_NAME, _BY_ID = _Q["lock_intake"], _Q["find_by_content"], _Q["find_by_name"], _Q["find_by_id"]
_ADD_COLLECTION, _ADD_DOCUMENT, _RENEW = _Q["add_collection"], _Q["add_document"], _Q["renew_document"]
_ADD_REFUSAL, _FORGET_REFUSALS = _Q["add_refusal"], _Q["forget_refusals"]
_ORIGINAL, _MODELS = _Q["original"], _Q["models_of_document"]


@dataclass(frozen=True, slots=True)
class Given:
    """One file with what was said about it."""

    name: str
    data: bytes
    collection: str
    label: Label
    metadata: Mapping[str, object] | None = None


class Intake:
    """Takes files in, and cuts and indexes documents anew."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        inference: Inference,
        embedders: Embedders,
        workflows: Workflows,
        settings: KnowledgeSettings,
    ) -> None:
        self._store = store
        self._audit = audit
        self._inference = inference
        self.meaning = Meaning(store, inference, embedders)
        self._workflows = workflows
        self.seeing = Seeing(inference, settings)

    async def ingest(self, scope: Scope, given: Given, *, vectors: bool) -> IngestedDocument:
        """Take one file in; what became of it."""
        for last in (False, True):
            act = await self.ready(scope, given, vectors=vectors)
            try:
                with timed("knowledge_write"):
                    async with self._store.under(scope) as db:
                        return await act(db)
            except (AlreadyThere, Contended):
                if last:  # somebody else wrote or deleted the same in between, twice: that is no race
                    raise
        raise AssertionError("unreachable")

    async def ready(
        self,
        scope: Scope,
        given: Given,
        *,
        vectors: bool,
        chain: Chain = (),
        heard: Callable[[int, int], None] | None = None,
    ) -> Act:
        """Everything that comes before the transaction; what it gives is that transaction's work.

        `chain` is what led to this: the triggers that follow a document are told. `heard` is told in another thread how
        many pages were read, and of how many.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(given.data).digest())
        async with self._store.under(scope) as db:
            await need(db, given.collection, "write")
            fingerprint = await db.keyed(digest, purpose="knowledge content")
            same, older = await self._here(db, given, fingerprint)
            if same is not None:
                return partial(self._still, given, fingerprint)
            key = await likeness_key(db)
        if older is not None:  # what holds for a document holds for its new version, the embedder's decision included
            given = replace(given, label=Label.from_wire(older.label).join(given.label))
        try:
            prepared = await self.seeing.read(scope, given.name, given.data, given.label, heard)
        except Refusal as no:
            return partial(self.refused, given, fingerprint, no)
        marked = class_of(prepared.reading.marks)
        if marked:  # what a document says of itself in its running heads tightens its label, before anybody is asked
            given = replace(given, label=given.label.join(Label(cls=marked)))
        alike = await asyncio.to_thread(sketch, [piece.text for piece in prepared.pieces], key)
        meaning = Vectors(problem=LATER)
        if vectors:
            meaning = await self.meaning.of(scope, prepared, given.label, given.collection, older)
        return partial(self._write, given, fingerprint, prepared=prepared, vectors=meaning, alike=alike, chain=chain)

    async def reindex(self, scope: Scope, document_id: str) -> IngestedDocument:
        """Read, cut, embed and index the current original anew; id and version stay."""
        act = await self.ready_again(scope, document_id)
        async with self._store.under(scope) as db:
            return await act(db)

    async def ready_again(self, scope: Scope, document_id: str, *, keep: bool = False) -> Act:
        """The same for a document that is here. Raises UnknownDocument.

        With `keep`, the house's own way past members, vectors of texts that stay do so; raises StillEmbedded rather
        than give up vectors because an embedder is away.
        """
        async with self._store.under(scope, past_members=keep) as db:
            known = await db.row(Known, _BY_ID, id=document_id)
            if known is None:
                raise UnknownDocument
            await need(db, known.collection, "write")
            row = await db.row(dict, _ORIGINAL, id=document_id, version=known.version)
            assert row is not None, "the document is locked"
            data = await db.get_blob(row["blob"])
            key = await likeness_key(db)
            had = keep and bool(await db.rows(tuple, _MODELS, document=known.number))
        older = known if keep else None
        prepared = await self.seeing.read(scope, known.name, data, Label.from_wire(known.label))
        alike = await asyncio.to_thread(sketch, [piece.text for piece in prepared.pieces], key)
        vectors = await self.meaning.of(scope, prepared, Label.from_wire(known.label), known.collection, older)
        if had and vectors.problem:
            raise StillEmbedded(vectors.problem)
        return partial(
            self._write_again,
            known,
            blob=row["blob"],
            size=len(data),
            prepared=prepared,
            vectors=vectors,
            alike=alike,
        )

    async def _write_again(
        self, known: Known, db: Db, *, blob: str, size: int, prepared: Prepared, vectors: Vectors, alike: Sketch
    ) -> IngestedDocument:
        again = await db.row(Known, _BY_ID, id=known.id)
        if again is None:
            raise UnknownDocument
        await need(db, again.collection, "write")
        if again.version != known.version:  # a newer version came in between and is indexed already
            return IngestedDocument(again.id, again.name, "ready", again.chunks, again.version)
        taken = await extent_of(db, again.number)
        await forget_index(db, again.number)
        await write_entries(db, [Entry(again, blob, size, prepared, vectors, alike)])
        await self._audit.record(
            db,
            "document.reindex",
            resource=again.id,
            subjects=sorted(Label.from_wire(again.label).subjects),
            details={"version": again.version, "chunks": len(prepared.pieces), "embedded_by": vectors.model},
        )
        await write_extent(db, growth(prepared), taken)
        return _taken_in(again.id, again.name, again.version, prepared, vectors)

    # -- what is here already -----------------------------------------------------------------------

    async def _here(self, db: Db, given: Given, fingerprint: bytes) -> tuple[Known | None, Known | None]:
        """The document that these bytes are, and the one of that name, which has other content unless it is the same.

        They are the document of that name if it has them, else one of equal content. A name that is here with other
        content is not "the same", even if its new content stands elsewhere.
        """
        named = await db.row(Known, _BY_NAME, collection=given.collection, name=given.name)
        if named is not None:
            return named if named.fingerprint == fingerprint else None, named
        return await db.row(Known, _BY_CONTENT, collection=given.collection, fingerprint=fingerprint), None

    async def _unchanged(self, db: Db, known: Known, given: Given) -> IngestedDocument:
        """Nothing to do, except that a stricter label than before holds from now on."""
        before = Label.from_wire(known.label)
        label = before.join(given.label)
        if label != before:
            await write_label(db, known.number, label)
            await self._audit.record(
                db,
                "document.relabel",
                resource=known.id,
                subjects=sorted(label.subjects),
                details=label_change(before, label, "handed in again"),
            )
        await described(
            db, self._audit, known.number, given.metadata, id=known.id, label=label, reason="handed in again"
        )
        return IngestedDocument(known.id, known.name, "unchanged", known.chunks, known.version)

    async def _still(self, given: Given, fingerprint: bytes, db: Db) -> IngestedDocument:
        known, _ = await self._here(db, given, fingerprint)
        if known is None:
            raise Contended("The document was deleted while it was handed in again.")
        return await self._unchanged(db, known, given)

    async def refused(self, given: Given, fingerprint: bytes, no: Refusal, db: Db) -> IngestedDocument:
        """Note that a file could not be read, and why."""
        await db.run(_ADD_REFUSAL, fingerprint=fingerprint, code=no.code)
        await self._audit.record(
            db,
            "document.ingest",
            outcome="refused",
            details={"name": given.name, "collection": given.collection, "code": no.code},
        )
        count("knowledge_refused", code=no.code)
        return IngestedDocument(None, given.name, "refused", error=said_of(no))

    # -- the one transaction ------------------------------------------------------------------------

    # Equal content and equal names wait for each other here, so the second of two equal requests finds the first's
    # document. Everything is written or nothing; the extent comes last, because all writers of a tenant meet there.
    async def _write(
        self,
        given: Given,
        fingerprint: bytes,
        db: Db,
        *,
        prepared: Prepared,
        vectors: Vectors,
        alike: Sketch,
        chain: Chain,
    ) -> IngestedDocument:
        await db.run(_LOCK, keys=await self.lock_keys(db, given, fingerprint))
        await need(db, given.collection, "write")
        known, named = await self._here(db, given, fingerprint)
        if known is not None:
            return await self._unchanged(db, known, given)
        here, taken = await self._place(db, given, fingerprint, named)
        blob = await db.put_blob(given.data)
        await describe(db, here.number, given.metadata)
        entry = Entry(here, blob, len(given.data), prepared, vectors, alike, new=here.version == 1)
        return (await self.enter(db, [entry], taken, chain=chain))[0]

    async def enter(
        self, db: Db, entries: Sequence[Entry], taken: Sequence[tuple[str, int, int]] = (), *, chain: Chain = ()
    ) -> list[IngestedDocument]:
        """Write documents whose rows are there, tell of each, and change the extent, less what was `taken` from it."""
        for entry in entries:
            label = Label.from_wire(entry.here.label)
            if label.subjects or not entry.new:
                await write_subjects(db, entry.here.number, label)
        await write_entries(db, entries)
        await db.run(_FORGET_REFUSALS, fingerprints=[entry.here.fingerprint for entry in entries])
        added: dict[str, list[int]] = {}
        for entry in entries:
            await self._told(db, entry, chain)
            for language, (chunks, length) in growth(entry.prepared).items():
                pair = added.setdefault(language, [0, 0])
                pair[0] += chunks
                pair[1] += length
        await write_extent(db, added, taken)
        count("knowledge_documents", len(entries))
        count("knowledge_chunks", sum(len(entry.prepared.pieces) for entry in entries))
        return [_taken_in(one.here.id, one.here.name, one.here.version, one.prepared, one.vectors) for one in entries]

    async def _told(self, db: Db, entry: Entry, chain: Chain) -> None:
        """The event of one document, and the triggers that wait for it."""
        here, label, media_type = entry.here, Label.from_wire(entry.here.label), entry.prepared.reading.media_type
        await self._audit.record(
            db,
            "document.ingest",
            resource=here.id,
            subjects=sorted(label.subjects),
            details={
                "version": here.version,
                "bytes": entry.size,
                "media_type": media_type,
                "chunks": len(entry.prepared.pieces),
                "embedded_by": entry.vectors.model,
                "class": label.cls,
            },
        )
        await self._workflows.triggers.happened(
            db,
            "document.ingested",
            {
                "document": here.id,
                "name": here.name,
                "collection": here.collection,
                "version": here.version,
                "media_type": media_type,
                "class": label.cls,
            },
            label=label,
            chain=chain,
        )

    @staticmethod
    async def _place(
        db: Db, given: Given, fingerprint: bytes, old: Known | None
    ) -> tuple[Known, list[tuple[str, int, int]]]:
        """The document's row, new or renewed, and what its version before had added to the extent."""
        await db.run(_ADD_COLLECTION, name=given.collection)
        if old is None:
            wire = given.label.to_wire()
            identifier = new_id("doc")
            number = await db.value(
                _ADD_DOCUMENT, id=identifier, collection=given.collection, name=given.name, label=Json(wire)
            )
            return Known(identifier, number, given.collection, given.name, 1, wire, fingerprint, 0), []
        wire = Label.from_wire(old.label).join(given.label).to_wire()
        taken = await extent_of(db, old.number)
        await forget_index(db, old.number)
        here = Known(old.id, old.number, old.collection, old.name, old.version + 1, wire, fingerprint, 0)
        await db.run(_RENEW, document=here.number, version=here.version, label=Json(wire))
        return here, taken

    @staticmethod
    async def lock_keys(db: Db, given: Given, fingerprint: bytes) -> list[int]:
        """What who takes in the same name or the same content waits for."""
        place = await db.keyed(f"{given.collection}\0{given.name}".encode(), purpose="knowledge name")
        content = await db.keyed(given.collection.encode() + b"\0" + fingerprint, purpose="knowledge content lock")
        return sorted(struct.unpack(">q", key[:8])[0] for key in (place, content))


def said_of(no: Refusal) -> dict[str, str]:
    """Why a file was refused, as it is told of it."""
    return {"code": no.code, "message": no.message, "next": no.next_step}


def _taken_in(identifier: str, name: str, version: int, prepared: Prepared, vectors: Vectors) -> IngestedDocument:
    problems = (*prepared.reading.problems, *((vectors.problem,) if vectors.problem else ()))
    return IngestedDocument(identifier, name, "ready", len(prepared.pieces), version, problems=problems)
