"""Batches: many small files are taken in together, and each is still whole or not at all.

1. one question tells what is here by name or by content: that goes the way of a single file, after the others
2. the rest is read and cut, and embedded by one call for all files of one label: one decision, one receipt
3. one transaction writes them, with an event for each; what came in between goes the way of a single file
While one batch is written the next two are embedded, one with its receipt and one by the model, and the one after them
is read. They are written in their order.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bastide.errors import AlreadyThere, BadName, Contended, Refusal
from bastide.knowledge import bounds
from bastide.knowledge.indexing import Known, Vectors
from bastide.knowledge.intake import Act, Chain, Given, Intake, said_of
from bastide.knowledge.labelling import label_of
from bastide.knowledge.likeness import Sketch, likeness_key, sketch
from bastide.knowledge.meaning import LATER
from bastide.knowledge.members import need
from bastide.knowledge.metadata import checked, describe
from bastide.knowledge.placement import Placement
from bastide.knowledge.preparing import Prepared
from bastide.knowledge.reading import class_of
from bastide.knowledge.values import Ingested, IngestedDocument
from bastide.knowledge.writing import Entry
from bastide.policy import Label, Policy
from bastide.store import Db, Scope, Store, new_id, queries
from bastide.telemetry import timed

_Q = queries("bastide.knowledge")
_LOCK, _HERE = _Q["lock_intake"], _Q["names_or_contents_here"]
_ADD_COLLECTION, _ADD_DOCUMENTS = _Q["add_collection"], _Q["add_documents"]

FILES_MAX = 64
"""Files of one batch: twice as many save little more, and wait longer for each other."""

BYTES_MAX = 1024 * 1024
"""Of one batch. A file that is as large fills the embedder and a transaction by itself."""

_EMBEDDED = 2  # batches: while one gets its receipt and its vectors are written down, the model has the other
_AT_ONCE = 2 + _EMBEDDED  # batches on their way: one is read, one written


@dataclass(slots=True)
class _File:
    """A file on its way; what it will be is known once it was read."""

    given: Given
    fingerprint: bytes
    prepared: Prepared | None = None
    refusal: Refusal | None = None
    alike: Sketch = field(default_factory=lambda: Sketch(0, b""))
    vectors: Vectors = field(default_factory=Vectors)


class Ready:
    """Files of one collection with everything slow behind them: what is left runs in one transaction."""

    def __init__(self, batches: Batches, fresh: dict[int, _File], acts: Mapping[int, Act], chain: Chain) -> None:
        self._batches = batches
        self._fresh = fresh
        self._acts = acts
        self._chain = chain

    async def write(self, db: Db, places: Collection[int]) -> dict[int, IngestedDocument]:
        """What became of the files at these places. Raises AlreadyThere or Contended, and then nothing is written."""
        fresh = {place: file for place, file in self._fresh.items() if place in places}
        done = await self._batches.write(db, fresh, chain=self._chain) if fresh else {}
        for place in sorted(set(places) - set(fresh)):
            done[place] = await self._acts[place](db)
        if set(places) - set(done):  # what somebody else wrote meanwhile is looked at anew, all of it
            raise Contended
        return done


@dataclass(frozen=True, slots=True)
class _Line:
    """Whose turn it is to be read, to be embedded. Both are given in the order in which they were asked."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    embedding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_EMBEDDED))


class Batches:
    """Takes many files in."""

    def __init__(
        self, store: Store, policy: Policy, intake: Intake, placement: Placement, *, files_max: int = FILES_MAX
    ) -> None:
        self._store = store
        self._policy = policy
        self._intake = intake
        self._placement = placement
        self._files_max = files_max

    async def ingest(
        self,
        scope: Scope,
        files: AsyncIterable[tuple[str, bytes]],
        *,
        collection: str = "default",
        label: Mapping[str, object] | Label | None = None,
        subjects: Iterable[str] = (),
        vectors: bool = True,
        metadata: Mapping[str, object] | None = None,
    ) -> Ingested:
        """Take many files in, as `Knowledge.ingest` takes each of them and in their order, for a fraction of the work.

        One that cannot be taken in is `refused`, a wrong name included, and the rest goes on. What fails for another
        reason is raised, and what was written until then stays. Files are asked for as they are needed: four batches
        at most are in memory.
        """
        scope.need("knowledge:write")
        label = await label_of(self._policy, scope, label, subjects)
        said = Given("", b"", bounds.collection(collection), label, checked(metadata or {}))
        documents: list[IngestedDocument] = []
        line, before = _Line(), asyncio.Event()
        before.set()
        going: deque[asyncio.Task[list[IngestedDocument]]] = deque()
        try:
            async for batch in _gathered(files, said, self._files_max):
                if len(going) >= _AT_ONCE:
                    documents += await going.popleft()
                own = asyncio.Event()
                going.append(asyncio.create_task(self._through(scope, batch, line, (before, own), vectors=vectors)))
                before = own
            while going:
                documents += await going.popleft()
        finally:
            for task in going:
                task.cancel()
            await asyncio.gather(*going, return_exceptions=True)
            if any(one.status == "ready" for one in documents):
                self._placement.consider_soon(scope)
        return Ingested(tuple(documents))

    async def _through(
        self,
        scope: Scope,
        batch: Sequence[Given | IngestedDocument],
        line: _Line,
        written: tuple[asyncio.Event, asyncio.Event],
        *,
        vectors: bool,
    ) -> list[IngestedDocument]:
        """A batch from its bytes to its documents. `written` says so of the batch before it, and of this one."""
        async with line.reading:
            fresh = await self._read(scope, batch) if len(batch) > 1 else {}
        async with line.embedding:
            await self._embed(scope, list(fresh.values()), vectors=vectors)
        before, own = written
        await before.wait()  # for good, where that one failed: who awaits both gives this one up
        done: dict[int, IngestedDocument] = {}
        if fresh:
            try:
                with timed("knowledge_write"):
                    async with self._store.under(scope) as db:
                        done = await self.write(db, fresh)
            except (AlreadyThere, Contended):  # somebody else is at the same: each by itself finds out
                done = {}
        documents = [
            done.get(place) or (await self._intake.ingest(scope, one, vectors=vectors))
            if isinstance(one, Given)
            else one
            for place, one in enumerate(batch)
        ]
        own.set()
        return documents

    async def ready(self, scope: Scope, files: Sequence[Given], *, vectors: bool, chain: Chain = ()) -> Ready:
        """Everything that comes before the transaction, for a few files of one collection."""
        fresh = await self._read(scope, files)
        await self._embed(scope, list(fresh.values()), vectors=vectors)
        acts = {
            place: await self._intake.ready(scope, file, vectors=vectors, chain=chain)
            for place, file in enumerate(files)
            if place not in fresh
        }
        return Ready(self, fresh, acts, chain)

    # -- before the transaction ---------------------------------------------------------------------

    async def _read(self, scope: Scope, batch: Sequence[Given | IngestedDocument]) -> dict[int, _File]:
        """By their places the files that nothing here resembles by name or content, read and cut.

        Of two that resemble each other the first may be among them: the other is then looked at after it was written.
        """
        given = {place: one for place, one in enumerate(batch) if isinstance(one, Given)}
        if not given:
            return {}
        digests = await asyncio.to_thread(_digests, list(given.values()))
        async with self._store.under(scope) as db:
            files = [
                _File(one, await db.keyed(digest, purpose="knowledge content"))
                for one, digest in zip(given.values(), digests, strict=True)
            ]
            await need(db, files[0].given.collection, "write")
            names, contents = await _here(db, files)
            key = await likeness_key(db)
        fresh: dict[int, _File] = {}
        for place, file in zip(given, files, strict=True):
            if file.given.name not in names and file.fingerprint not in contents:
                fresh[place] = file
            names.add(file.given.name)
            contents.add(file.fingerprint)
        wanted = [(file.given.name, file.given.data, file.given.label) for file in fresh.values()]
        for file, read in zip(fresh.values(), await self._intake.seeing.read_several(scope, wanted), strict=True):
            if isinstance(read, Refusal):
                file.refusal = read
                continue
            file.prepared = read
            marked = class_of(read.reading.marks)
            if marked:
                file.given = replace(file.given, label=file.given.label.join(Label(cls=marked)))
        await asyncio.to_thread(_sketch, list(fresh.values()), key)
        return fresh

    async def _embed(self, scope: Scope, files: Sequence[_File], *, vectors: bool) -> None:
        """One call for all files of one label: what it may not be sent to stays without vectors, and says why."""
        groups: dict[Label, list[tuple[_File, Prepared]]] = {}
        for file in files:
            if file.prepared is not None:
                file.vectors = Vectors(problem=LATER)
                groups.setdefault(file.given.label, []).append((file, file.prepared))
        for label, members in groups.items() if vectors else ():
            made = await self._intake.meaning.of_many(
                scope, [prepared for _, prepared in members], label, members[0][0].given.collection
            )
            for (file, _), own in zip(members, made, strict=True):
                file.vectors = own

    # -- the one transaction ------------------------------------------------------------------------

    async def write(self, db: Db, files: dict[int, _File], *, chain: Chain = ()) -> dict[int, IngestedDocument]:
        """What was written, by place. As for a single file, the locks come first and the extent last."""
        keys = [key for one in files.values() for key in await self._intake.lock_keys(db, one.given, one.fingerprint)]
        await db.run(_LOCK, keys=sorted(set(keys)))
        collection = next(iter(files.values())).given.collection
        await need(db, collection, "write")
        names, contents = await _here(db, list(files.values()))
        done: dict[int, IngestedDocument] = {}
        rows: list[tuple[int, _File, Prepared]] = []
        for place, file in files.items():
            if file.refusal is not None:
                done[place] = await self._intake.refused(file.given, file.fingerprint, file.refusal, db)
            elif file.prepared is not None and file.given.name not in names and file.fingerprint not in contents:
                rows.append((place, file, file.prepared))
        if rows:
            await db.run(_ADD_COLLECTION, name=collection)
            here = await _add_rows(db, [file for _, file, _ in rows])
            for known, (_, file, _) in zip(here, rows, strict=True):
                await describe(db, known.number, file.given.metadata)
            blobs = await db.put_blobs([file.given.data for _, file, _ in rows])
            entries = [
                Entry(known, blob, len(file.given.data), prepared, file.vectors, file.alike, new=True)
                for known, blob, (_, file, prepared) in zip(here, blobs, rows, strict=True)
            ]
            written = await self._intake.enter(db, entries, chain=chain)
            done |= {place: one for (place, _, _), one in zip(rows, written, strict=True)}
        return done


async def _gathered(
    files: AsyncIterable[tuple[str, bytes]], said: Given, most: int
) -> AsyncIterator[list[Given | IngestedDocument]]:
    """Files until there are enough of them; of a file that cannot be named so, what is told of it."""
    batch: list[Given | IngestedDocument] = []
    size = 0
    async for name, data in files:
        if batch and (size + len(data) > BYTES_MAX or len(batch) >= most):
            yield batch
            batch, size = [], 0
        try:
            batch.append(replace(said, name=bounds.name(name), data=bytes(data)))
        except BadName as no:
            batch.append(IngestedDocument(None, str(name), "refused", error=said_of(no)))
        size += len(data)
    if batch:
        yield batch


async def _here(db: Db, files: Sequence[_File]) -> tuple[set[str], set[bytes]]:
    """Of the names and contents of these files those that the collection has."""
    rows: list[tuple[str | None, bytes | None]] = await db.rows(
        tuple,
        _HERE,
        collection=files[0].given.collection,
        names=[one.given.name for one in files],
        fingerprints=[one.fingerprint for one in files],
    )
    return {name for name, _ in rows if name is not None}, {bytes(own) for _, own in rows if own is not None}


async def _add_rows(db: Db, files: Sequence[_File]) -> list[Known]:
    """The rows of new documents."""
    wires = [one.given.label.to_wire() for one in files]
    ids = [new_id("doc") for _ in files]
    rows: list[tuple[str, int]] = await db.rows(
        tuple,
        _ADD_DOCUMENTS,
        ids=ids,
        collections=[one.given.collection for one in files],
        names=[one.given.name for one in files],
        labels=[json.dumps(wire) for wire in wires],
    )
    numbers = dict(rows)
    return [
        Known(id, numbers[id], one.given.collection, one.given.name, 1, wire, one.fingerprint, 0)
        for id, one, wire in zip(ids, files, wires, strict=True)
    ]


def _digests(batch: Sequence[Given]) -> list[bytes]:
    return [hashlib.sha256(one.data).digest() for one in batch]


def _sketch(files: Sequence[_File], key: bytes) -> None:
    for file in files:
        if file.prepared is not None:
            file.alike = sketch([piece.text for piece in file.prepared.pieces], key)
