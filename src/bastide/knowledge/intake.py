"""Intake: a file becomes a document, whole or not at all.

    1. content that is here already is not taken in twice     4. one transaction writes original, structure,
    2. the file is read and cut, in a thread                     chunks, words, vectors and the event
    3. the chunks are embedded: no transaction is open        5. a file that cannot be read leaves an event only
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bastide.audit import Audit
from bastide.errors import AlreadyThere, Refusal, Unavailable, UnknownDocument
from bastide.inference import Inference
from bastide.knowledge.preparing import Prepared, prepare
from bastide.knowledge.reading import Limits
from bastide.knowledge.values import IngestedDocument
from bastide.policy import Label
from bastide.settings import KnowledgeSettings
from bastide.store import Db, Json, Scope, Store, new_id, queries, vector_text
from bastide.telemetry import count, timed

_Q = queries("bastide.knowledge")
_LOCK, _BY_CONTENT, _BY_NAME, _BY_ID = _Q["lock_intake"], _Q["find_by_content"], _Q["find_by_name"], _Q["find_by_id"]
_ADD_COLLECTION, _ADD_DOCUMENT, _RENEW = _Q["add_collection"], _Q["add_document"], _Q["renew_document"]
_ADD_VERSION, _ADD_NODES, _ADD_CHUNKS = _Q["add_version"], _Q["add_nodes"], _Q["add_chunks"]
_ADD_POSTINGS, _ADD_EMBEDDINGS = _Q["add_postings"], _Q["add_embeddings"]
_FORGET_SUBJECTS, _ADD_SUBJECTS = _Q["forget_subjects"], _Q["add_subjects"]
_EXTENT_OF, _GROW_EXTENT, _TRIM_EXTENT = _Q["extent_of_document"], _Q["grow_extent"], _Q["trim_extent"]
_FORGET_CHUNKS, _FORGET_POSTINGS, _FORGET_NODES = _Q["forget_chunks"], _Q["forget_postings"], _Q["forget_nodes"]
_ADD_REFUSAL, _FORGET_REFUSAL = _Q["add_refusal"], _Q["forget_refusal"]
_RELABEL, _ORIGINAL = _Q["relabel_document"], _Q["original"]

_READERS = 2  # files read at a time: reading is CPU and memory
_EMBED_AT_ONCE = 1_024
_UNIT_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Known:
    """A document that is here, in its current version; its row is locked when it was found by name or id."""

    id: str
    number: int
    collection: str
    name: str
    version: int
    label: dict[str, object]
    fingerprint: bytes
    chunks: int


@dataclass(frozen=True, slots=True)
class Given:
    """One file with what was said about it."""

    name: str
    data: bytes
    collection: str
    label: Label


@dataclass(frozen=True, slots=True)
class Vectors:
    """The embeddings of a document's chunks; `problem` says why there are none."""

    model: str = ""
    rows: np.ndarray | None = None
    problem: str = ""


class Intake:
    """Takes files in, and cuts and indexes documents anew."""

    def __init__(self, store: Store, audit: Audit, inference: Inference, settings: KnowledgeSettings) -> None:
        self._store = store
        self._audit = audit
        self._inference = inference
        self._limits = Limits(bytes_max=settings.document_bytes_max)
        self._readers = asyncio.Semaphore(_READERS)

    async def ingest(self, scope: Scope, given: Given) -> IngestedDocument:
        """Take one file in; what became of it."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(given.data).digest())
        async with self._store.under(scope) as db:
            fingerprint = await db.keyed(digest, purpose="knowledge content")
            known = await self._same(db, given, fingerprint)
            if known is not None:
                return await self._unchanged(db, known, given)
        try:
            prepared = await self._prepare(given.name, given.data)
        except Refusal as no:
            return await self._refused(scope, given, fingerprint, no)
        vectors = await self._embed(scope, prepared, given.label)
        with timed("knowledge_write"):
            for last in (False, True):
                try:
                    async with self._store.under(scope) as db:
                        return await self._write(db, given, fingerprint, prepared, vectors)
                except AlreadyThere:
                    if last:  # somebody else wrote the same name in between, twice: that is no race
                        raise
        raise AssertionError("unreachable")

    async def reindex(self, scope: Scope, document_id: str) -> IngestedDocument:
        """Read, cut, embed and index the current original anew; id and version stay."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _ORIGINAL, id=document_id, version=None)
            if row is None:
                raise UnknownDocument
            known = await db.row(Known, _BY_ID, id=document_id)
            assert known is not None
            data = await db.get_blob(row["blob"])
        label = Label.from_wire(known.label)
        prepared = await self._prepare(known.name, data)
        vectors = await self._embed(scope, prepared, label)
        async with self._store.under(scope) as db:
            again = await db.row(Known, _BY_ID, id=document_id)
            if again is None:
                raise UnknownDocument
            if again.version != known.version:  # a newer version came in between and is indexed already
                return IngestedDocument(again.id, again.name, "ready", again.chunks, again.version)
            taken = await self._extent(db, again.number)
            await self._forget_index(db, again.number)
            await self._write_version(db, again, row["blob"], len(data), prepared, vectors)
            await self._write_index(db, again.number, prepared, vectors)
            await self._audit.record(
                db,
                "document.reindex",
                resource=again.id,
                subjects=sorted(label.subjects),
                details={"version": again.version, "chunks": len(prepared.pieces), "embedded_by": vectors.model},
            )
            await self._grow(db, prepared, taken)
        return _taken_in(again.id, again.name, again.version, prepared, vectors)

    # -- before the transaction ---------------------------------------------------------------------

    async def _prepare(self, name: str, data: bytes) -> Prepared:
        async with self._readers:
            with timed("knowledge_read"):
                return await asyncio.to_thread(prepare, name, data, self._limits)

    async def _embed(self, scope: Scope, prepared: Prepared, label: Label) -> Vectors:
        if not prepared.pieces or not self._inference.has_embedder():
            return Vectors(problem="" if not prepared.pieces else "No embedder is set up: found by its words only.")
        texts = prepared.texts_to_embed()
        rows: list[np.ndarray] = []
        model = ""
        try:
            with timed("knowledge_embed"):
                for start in range(0, len(texts), _EMBED_AT_ONCE):
                    part = await self._inference.embed(
                        scope, texts[start : start + _EMBED_AT_ONCE], label=label, kind="passage"
                    )
                    rows.append(part.vectors)
                    model = part.model
        except (Refusal, Unavailable) as no:
            return Vectors(problem=f"Not embedded ({no.code}): found by its words only.")
        return Vectors(model, np.concatenate(rows))

    # -- what is here already -----------------------------------------------------------------------

    async def _same(self, db: Db, given: Given, fingerprint: bytes) -> Known | None:
        """The document that these bytes are: the one of that name if it has them, else one of equal content.

        A name that is here with other content is not "the same", even if its new content stands elsewhere.
        """
        named = await db.row(Known, _BY_NAME, collection=given.collection, name=given.name)
        if named is not None:
            return named if named.fingerprint == fingerprint else None
        return await db.row(Known, _BY_CONTENT, collection=given.collection, fingerprint=fingerprint)

    async def _unchanged(self, db: Db, known: Known, given: Given) -> IngestedDocument:
        """Nothing to do, except that a stricter label than before holds from now on."""
        before = Label.from_wire(known.label)
        label = before.join(given.label)
        if label != before:
            await self._write_label(db, known.number, label)
            await self._audit.record(
                db,
                "document.relabel",
                resource=known.id,
                subjects=sorted(label.subjects),
                details={"from": before.to_wire(), "to": label.to_wire(), "reason": "handed in again"},
            )
        return IngestedDocument(known.id, known.name, "unchanged", known.chunks, known.version)

    async def _refused(self, scope: Scope, given: Given, fingerprint: bytes, no: Refusal) -> IngestedDocument:
        async with self._store.under(scope) as db:
            await db.run(_ADD_REFUSAL, fingerprint=fingerprint, code=no.code)
            await self._audit.record(
                db,
                "document.ingest",
                outcome="refused",
                details={"name": given.name, "collection": given.collection, "code": no.code},
            )
        count("knowledge_refused", code=no.code)
        error = {"code": no.code, "message": no.message, "next": no.next_step}
        return IngestedDocument(None, given.name, "refused", error=error)

    # -- the one transaction ------------------------------------------------------------------------

    # Equal content and equal names wait for each other here, so the second of two equal requests finds the first's
    # document. Everything is written or nothing; the extent comes last, because all writers of a tenant meet there.
    async def _write(
        self, db: Db, given: Given, fingerprint: bytes, prepared: Prepared, vectors: Vectors
    ) -> IngestedDocument:
        await db.run(_LOCK, keys=await self._lock_keys(db, given, fingerprint))
        known = await self._same(db, given, fingerprint)
        if known is not None:
            return await self._unchanged(db, known, given)
        await db.run(_ADD_COLLECTION, name=given.collection)
        blob = await db.put_blob(given.data)
        old = await db.row(Known, _BY_NAME, collection=given.collection, name=given.name)
        taken: list[tuple[str, int, int]] = []
        if old is None:
            label = given.label
            number = await db.value(
                _ADD_DOCUMENT,
                id=(identifier := new_id("doc")),
                collection=given.collection,
                name=given.name,
                label=Json(label.to_wire()),
            )
            here = Known(identifier, number, given.collection, given.name, 1, label.to_wire(), fingerprint, 0)
        else:
            label = Label.from_wire(old.label).join(given.label)
            taken = await self._extent(db, old.number)
            await self._forget_index(db, old.number)
            here = Known(
                old.id, old.number, old.collection, old.name, old.version + 1, label.to_wire(), fingerprint, 0
            )
            await db.run(_RENEW, document=here.number, version=here.version, label=Json(here.label))
        await self._write_subjects(db, here.number, label)
        await self._write_version(db, here, blob, len(given.data), prepared, vectors)
        await self._write_index(db, here.number, prepared, vectors)
        await db.run(_FORGET_REFUSAL, fingerprint=fingerprint)
        await self._audit.record(
            db,
            "document.ingest",
            resource=here.id,
            subjects=sorted(label.subjects),
            details={
                "version": here.version,
                "bytes": len(given.data),
                "media_type": prepared.reading.media_type,
                "chunks": len(prepared.pieces),
                "embedded_by": vectors.model,
                "class": label.cls,
            },
        )
        await self._grow(db, prepared, taken)
        count("knowledge_documents")
        count("knowledge_chunks", len(prepared.pieces))
        return _taken_in(here.id, here.name, here.version, prepared, vectors)

    @staticmethod
    async def _lock_keys(db: Db, given: Given, fingerprint: bytes) -> list[int]:
        place = await db.keyed(f"{given.collection}\0{given.name}".encode(), purpose="knowledge name")
        content = await db.keyed(given.collection.encode() + b"\0" + fingerprint, purpose="knowledge content lock")
        return sorted(struct.unpack(">q", key[:8])[0] for key in (place, content))

    async def _write_version(
        self, db: Db, here: Known, blob: str, size: int, prepared: Prepared, vectors: Vectors
    ) -> None:
        reading = prepared.reading
        await db.run(
            _ADD_VERSION,
            document=here.number,
            version=here.version,
            fingerprint=here.fingerprint,
            blob=blob,
            bytes=size,
            media_type=reading.media_type,
            title=reading.title or here.name,
            language=reading.language,
            pages=reading.pages,
            chunks=len(prepared.pieces),
            problems=[*reading.problems, *([vectors.problem] if vectors.problem else [])],
            marks=list(reading.marks),
        )

    @staticmethod
    async def _write_label(db: Db, number: int, label: Label) -> None:
        await db.run(_RELABEL, document=number, label=Json(label.to_wire()))
        await Intake._write_subjects(db, number, label)

    @staticmethod
    async def _write_subjects(db: Db, number: int, label: Label) -> None:
        await db.run(_FORGET_SUBJECTS, document=number)
        if label.subjects:
            await db.run(_ADD_SUBJECTS, document=number, subjects=sorted(label.subjects))

    async def _write_index(self, db: Db, number: int, prepared: Prepared, vectors: Vectors) -> None:
        nodes, pieces, usual = prepared.reading.nodes, prepared.pieces, prepared.reading.language
        await db.run(
            _ADD_NODES,
            document=number,
            ords=[node.ord for node in nodes],
            parents=[node.parent for node in nodes],
            kinds=[node.kind for node in nodes],
            levels=[node.level for node in nodes],
            titles=[node.title for node in nodes],
            starts=[node.start for node in nodes],
            ends=[node.end for node in nodes],
            pages=[node.page for node in nodes],
            languages=[node.language for node in nodes],
        )
        if not pieces:
            return
        written: list[tuple[int, int]] = await db.rows(
            tuple,
            _ADD_CHUNKS,
            document=number,
            ords=[piece.ord for piece in pieces],
            nodes=[piece.node for piece in pieces],
            sections=[_path(piece.section) for piece in pieces],
            pages=[piece.page for piece in pieces],
            starts=[piece.start for piece in pieces],
            ends=[piece.end for piece in pieces],
            texts=[piece.text for piece in pieces],
            languages=[piece.language or usual for piece in pieces],
            words=[piece.words for piece in pieces],
            lengths=list(prepared.lengths),
        )
        chunk_of = dict(written)
        await db.run(_ADD_POSTINGS, document=number, **_posting_columns(prepared, chunk_of))
        if vectors.rows is not None:
            await db.run(
                _ADD_EMBEDDINGS,
                document=number,
                model=vectors.model,
                chunks=[chunk_of[piece.ord] for piece in pieces],
                vectors=[vector_text(row) for row in vectors.rows],
            )

    @staticmethod
    async def _forget_index(db: Db, number: int) -> None:
        await db.run(_FORGET_POSTINGS, document=number)
        await db.run(_FORGET_CHUNKS, document=number)  # embeddings go with them
        await db.run(_FORGET_NODES, document=number)

    @staticmethod
    async def _extent(db: Db, number: int) -> list[tuple[str, int, int]]:
        return await db.rows(tuple, _EXTENT_OF, document=number)

    async def _grow(self, db: Db, prepared: Prepared, taken: Sequence[tuple[str, int, int]]) -> None:
        usual = prepared.reading.language
        change: dict[str, list[int]] = {}
        for piece, length in zip(prepared.pieces, prepared.lengths, strict=True):
            add = change.setdefault(piece.language or usual, [0, 0])
            add[0] += 1
            add[1] += length
        await write_extent(db, change, taken)


async def write_extent(db: Db, added: dict[str, list[int]], taken: Sequence[tuple[str, int, int]]) -> None:
    """Change the tenant's extent by what was added less what was taken away; `taken` is (language, chunks, length)."""
    change = {language: list(pair) for language, pair in added.items()}
    for language, chunks, length in taken:
        pair = change.setdefault(language, [0, 0])
        pair[0] -= chunks
        pair[1] -= length
    if change:
        await db.run(
            _GROW_EXTENT,
            languages=list(change),
            chunks=[pair[0] for pair in change.values()],
            lengths=[pair[1] for pair in change.values()],
        )
    if taken:
        await db.run(_TRIM_EXTENT)


def _path(section: Sequence[str]) -> str:
    return _UNIT_SEPARATOR.join(part.replace(_UNIT_SEPARATOR, " ") for part in section)


def _posting_columns(prepared: Prepared, chunk_of: dict[int, int]) -> dict[str, Any]:
    """The postings as columns, sorted by term so that the index is filled in order."""
    ordered = sorted(prepared.postings.items())
    return {
        "terms": [term for term, _ in ordered],
        "chunks": ["{" + ",".join(str(chunk_of[place]) for place, _ in hits) + "}" for _, hits in ordered],
        "counts": ["{" + ",".join(str(number) for _, number in hits) + "}" for _, hits in ordered],
    }


def _taken_in(identifier: str, name: str, version: int, prepared: Prepared, vectors: Vectors) -> IngestedDocument:
    problems = (*prepared.reading.problems, *((vectors.problem,) if vectors.problem else ()))
    return IngestedDocument(identifier, name, "ready", len(prepared.pieces), version, problems=problems)
