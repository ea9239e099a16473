"""Knowledge: the room's one class. Each operation asks the scope first, then the part that knows how."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import IO, Unpack

from bastide.audit import Audit
from bastide.inference import Inference
from bastide.knowledge import bounds
from bastide.knowledge.answer import Answering
from bastide.knowledge.batches import Batches
from bastide.knowledge.carrying import Carrying, CarryingJobs
from bastide.knowledge.documents import Shelf
from bastide.knowledge.embedders import Embedders
from bastide.knowledge.evaluating import Evaluating
from bastide.knowledge.graph import CommunityJobs, EnrichJobs, Graph
from bastide.knowledge.intake import Given, Intake
from bastide.knowledge.jobs import IntakeJobs
from bastide.knowledge.labelling import label_of
from bastide.knowledge.leaving import LeavingJobs
from bastide.knowledge.mending import MendingJobs
from bastide.knowledge.metadata import checked
from bastide.knowledge.pinning import Pinning
from bastide.knowledge.placement import Placement
from bastide.knowledge.reading import Limits, PageRead
from bastide.knowledge.reembedding import ReembeddingJobs
from bastide.knowledge.retaining import RetainingJobs
from bastide.knowledge.search import Finder
from bastide.knowledge.seeking import Seeker
from bastide.knowledge.staging import Artifact, Gathering, Staged, Staging, Waiting
from bastide.knowledge.together import Together
from bastide.knowledge.told import Answer, AnswerOptions, SearchOptions, Telling
from bastide.knowledge.upkeep import Upkeep
from bastide.knowledge.values import (
    Change,
    Chunk,
    Collection,
    Document,
    Ingested,
    IngestedDocument,
    Original,
    SearchResult,
    Statistics,
    StructureNode,
    Version,
)
from bastide.policy import Label, Policy
from bastide.settings import KnowledgeSettings
from bastide.store import Page, Scope, Store
from bastide.workflows import Dispatched, Workflows

READ, WRITE, ERASE = "knowledge:read", "knowledge:write", "knowledge:erase"


class Knowledge:
    """What a tenant has written down, found again with its source."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        policy: Policy,
        inference: Inference,
        workflows: Workflows,
        settings: KnowledgeSettings,
    ) -> None:
        self._policy = policy
        self._limits = Limits(bytes_max=settings.document_bytes_max)
        embedders = Embedders(store, inference)
        self._intake = Intake(store, audit, inference, embedders, workflows, settings)
        self._shelf = Shelf(store, audit, workflows)
        finder = Finder(store, embedders)
        self._seeker = Seeker(finder, inference)
        self._answering = Answering(self._seeker, inference, Pinning(store))
        self._placement = Placement(store, settings.partition_chunks_min)
        self._staging = Staging(store, workflows)
        mending = MendingJobs(store, self._intake)
        self.batches = Batches(store, policy, self._intake, self._placement)
        together = Together(workflows.companions, self._staging, self.batches)
        self.graph = Graph(store, audit)
        carrying = Carrying(self._staging, settings.export_bytes_max)
        self.upkeep = Upkeep(store, audit, inference, workflows, embedders, self._shelf, carrying, mending)
        for jobs in (
            IntakeJobs(self._intake, together, self._staging, self._placement, idle_s=settings.intake_idle_s),
            mending,
            ReembeddingJobs(store, audit, inference, embedders),
            LeavingJobs(store, audit, workflows, self._shelf, self._staging, settings.export_bytes_max),
            RetainingJobs(store, self._shelf),
            CarryingJobs(store, audit, self._intake, self._staging, settings.export_bytes_max),
            Evaluating(finder, self._answering),
            EnrichJobs(store, inference),
            CommunityJobs(store, inference),
        ):
            for kind in jobs.types():
                workflows.register(kind)

    async def start(self) -> None:
        """Nothing to open: all state is in the store."""

    async def stop(self) -> None:
        """Give up background work; it is resumed after the next intake."""
        await self._placement.stop()

    async def settled(self) -> None:
        """Wait until the background work that is running has ended."""
        await self._placement.settled()

    # -- documents in -------------------------------------------------------------------------------

    async def ingest(
        self,
        scope: Scope,
        name: str,
        data: bytes,
        *,
        collection: str = "default",
        label: Mapping[str, object] | Label | None = None,
        subjects: Iterable[str] = (),
        vectors: bool = True,
        metadata: Mapping[str, object] | None = None,
    ) -> Ingested:
        """Take one file in. What was handed in before is `unchanged`; what cannot be read is `refused`, not raised.

        Other content under a known name of the collection is a new version. What `label` leaves unsaid is as the
        tenant's default; the label of the scope and, for a new version, that of the document before only tighten it.
        Without `vectors` the file is found by its words at once, and by its meaning after `reindex`.
        """
        scope.need(WRITE)
        given = Given(
            bounds.name(name),
            bytes(data),
            bounds.collection(collection),
            await label_of(self._policy, scope, label, subjects),
            checked(metadata or {}),
        )
        document = await self._intake.ingest(scope, given, vectors=vectors)
        if document.status == "ready":
            self._placement.consider_soon(scope)
        return Ingested((document,))

    async def stage(self, scope: Scope, name: str, data: bytes, **said: Unpack[Staged]) -> Dispatched:
        """Keep a file, sealed, and dispatch the job that takes it in: both are here, or neither.

        With `job`, an intake that is open: what is left unsaid is as the intake has it. Raises UnknownIntake,
        IntakeClosed.
        """
        return (await self.stage_all(scope, [(name, data)], **said))[0]

    async def stage_all(
        self, scope: Scope, files: Sequence[tuple[str, bytes]], **said: Unpack[Staged]
    ) -> list[Dispatched]:
        """The same for several files at once: all of them are here, or none; a wrong name refuses all."""
        scope.need(WRITE)
        job, collection, subjects = said.get("job"), said.get("collection"), said.get("subjects", ())
        label, metadata = said.get("label"), checked(said.get("metadata") or {})
        waiting = [Waiting(bounds.name(name), bytes(data), metadata) for name, data in files]
        if job is None:
            where = Gathering(
                bounds.collection(collection or "default"), await label_of(self._policy, scope, label, subjects)
            )
        else:
            of = await self._staging.gathering(scope, job)
            own = label if isinstance(label, Label) else Label.from_wire(label or {}, default=of.label)
            where = Gathering(
                bounds.collection(collection or of.collection),
                of.label.join(await label_of(self._policy, scope, own, subjects)),
            )
        return await self._staging.put(scope, waiting, where, vectors=said.get("vectors", True), parent=job)

    async def intake(
        self,
        scope: Scope,
        *,
        collection: str = "default",
        label: Mapping[str, object] | Label | None = None,
        subjects: Iterable[str] = (),
    ) -> Dispatched:
        """Open an intake: one job that gathers files (`stage`) until `close_intake`, and then sums up.

        What is named here holds for all its files. It closes by itself an hour after its last file.
        """
        scope.need(WRITE)
        return await self._staging.open(
            scope, Gathering(bounds.collection(collection), await label_of(self._policy, scope, label, subjects))
        )

    async def close_intake(self, scope: Scope, job: str) -> None:
        """No further file comes: the intake ends with the last of its jobs. Raises UnknownJob or UnknownIntake."""
        scope.need(WRITE)
        await self._staging.close(scope, job)

    async def artifact(self, scope: Scope, job: str) -> Original:
        """The file that a job of the caller's made, such as an export. Raises UnknownJob or ArtifactGone."""
        content = io.BytesIO()
        made = await self.artifact_into(scope, job, content)
        return Original(made.name, 1, made.media_type, content.getvalue())

    async def artifact_into(self, scope: Scope, job: str, file: IO[bytes]) -> Artifact:
        """The same, written to a file: it may be more than fits into memory. What was written is worth nothing if it
        raises."""
        scope.need(READ)
        return await self._staging.artifact(scope, job, file)

    async def reindex(self, scope: Scope, document_id: str) -> IngestedDocument:
        """Read, cut, embed and index a document's original anew. Raises UnknownDocument."""
        scope.need(WRITE)
        return await self._intake.reindex(scope, bounds.document_id(document_id))

    # -- passages and answers out -------------------------------------------------------------------

    async def search(self, scope: Scope, query: str, **asked: Unpack[SearchOptions]) -> SearchResult:
        """The passages that best answer `query`, best first, each with where it stands. None is no error.

        Raises BadQuery, BadOption, UnknownCollection.
        """
        scope.need(READ)
        found = await self._seeker.find(
            scope,
            bounds.query(query),
            limit=bounds.limit(asked.get("limit", 8)),
            filters=bounds.filters(asked.get("filters"), asked.get("collection")),
            mode=bounds.mode(asked.get("mode", "hybrid")),
            ways=bounds.ways(asked.get("rerank", "auto"), asked.get("decompose", "off")),
            explain=asked.get("explain", False),
            context=bounds.context(asked.get("context", "none")),
        )
        passages = tuple(hit.passage for hit in found.hits)
        return SearchResult(passages, found.took_ms, found.notes, found.receipts)

    async def answer(self, scope: Scope, question: str, **asked: Unpack[AnswerOptions]) -> Answer:
        """An answer whose sentences cite passages.

        With a model that policy permits for these passages it is written, and what no cited passage supports is
        marked ` [unsupported]`; without one, or with `model="local/extractive"`, it consists of whole sentences
        from the passages.
        """
        answer = None
        async with aclosing(self._told(scope, question, asked, streamed=False)) as told:
            async for event in told:
                answer = event.answer
        assert answer is not None, "the last event is the answer"
        return answer

    async def tell(self, scope: Scope, question: str, **asked: Unpack[AnswerOptions]) -> AsyncGenerator[Telling]:
        """The same answer while it is made: the passages, the words as they are written, the checked answer last."""
        async with aclosing(self._told(scope, question, asked, streamed=True)) as told:
            async for event in told:
                yield event

    def _told(self, scope: Scope, question: str, asked: AnswerOptions, *, streamed: bool) -> AsyncGenerator[Telling]:
        scope.need(READ)
        told = self._answering.tell(
            scope,
            bounds.query(question),
            model=asked.get("model"),
            limit=bounds.limit(asked.get("limit", 8), 32),
            filters=bounds.filters(asked.get("filters"), asked.get("collection")),
            history=bounds.history(asked.get("history", ())),
            ways=bounds.ways(asked.get("rerank", "auto"), asked.get("decompose", "off")),
            streamed=streamed,
        )
        return self.upkeep.past.noted(scope, told)

    # -- the shelf ----------------------------------------------------------------------------------

    async def documents(
        self,
        scope: Scope,
        *,
        collection: str | None = None,
        name: str | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Document]:
        """The documents, newest first; of one collection, of one name, or about one subject."""
        scope.need(READ)
        return await self._shelf.page(
            scope,
            collection=collection if collection is None else bounds.collection(collection),
            name=name if name is None else bounds.name(name),
            subject=subject if subject is None else min(bounds.subjects([subject])),
            cursor=cursor,
            limit=bounds.limit(limit, bounds.LIST_MAX),
        )

    async def document(self, scope: Scope, document_id: str) -> Document:
        """One document. Raises UnknownDocument."""
        scope.need(READ)
        return await self._shelf.get(scope, bounds.document_id(document_id))

    async def original(self, scope: Scope, document_id: str, *, version: int | None = None) -> Original:
        """The bytes as they came in, bit for bit; of the current version unless another is named."""
        scope.need(READ)
        return await self._shelf.original(scope, bounds.document_id(document_id), version)

    async def structure(self, scope: Scope, document_id: str) -> tuple[StructureNode, ...]:
        """The tree of headings, sections and paragraphs, in reading order."""
        scope.need(READ)
        return await self._shelf.structure(scope, bounds.document_id(document_id))

    async def chunks(
        self, scope: Scope, document_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Chunk]:
        """The chunks that are searched, in reading order."""
        scope.need(READ)
        return await self._shelf.chunks(
            scope, bounds.document_id(document_id), cursor=cursor, limit=bounds.limit(limit, bounds.LIST_MAX)
        )

    async def versions(self, scope: Scope, document_id: str) -> tuple[Version, ...]:
        """All versions, newest first; of those that were replaced only the original is kept."""
        scope.need(READ)
        return await self._shelf.versions(scope, bounds.document_id(document_id))

    async def pages(self, scope: Scope, document_id: str) -> tuple[PageRead, ...]:
        """How each page of the current version was read, and why so; none for a format without pages."""
        scope.need(READ)
        return await self._shelf.pages(scope, bounds.document_id(document_id))

    async def page_image(
        self, scope: Scope, document_id: str, page: int, *, dpi: int = 100, version: int | None = None
    ) -> bytes:
        """A page as it looks, PNG. Raises UnknownPage; that it was looked at is recorded."""
        scope.need(READ)
        return await self._shelf.page_image(
            scope,
            bounds.document_id(document_id),
            page,
            dpi=bounds.dpi(dpi),
            version=version,
            limits=self._limits,
        )

    async def diff(self, scope: Scope, document_id: str, *, older: int, newer: int) -> tuple[Change, ...]:
        """What differs between two versions, node by node: both originals are read again."""
        scope.need(READ)
        return await self._shelf.diff(scope, bounds.document_id(document_id), older, newer, limits=self._limits)

    async def delete(self, scope: Scope, document_id: str, *, reason: str = "") -> None:
        """Delete a document, all its versions, and everything that was made from them, in one transaction."""
        scope.need(ERASE)
        await self._shelf.delete(scope, bounds.document_id(document_id), reason=bounds.reason(reason))

    async def relabel(
        self,
        scope: Scope,
        document_id: str,
        label: Mapping[str, object],
        *,
        reason: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> Document:
        """Give a document another label, and other metadata; what they leave out stays, and a key with null goes.

        Tightening is free. Loosening is a declassification: it needs policy:manage and a reason, and is recorded
        as such. Raises LooseningRefused.
        """
        scope.need(WRITE)
        done = await self._shelf.relabel(
            scope,
            bounds.document_id(document_id),
            dict(label),
            reason=bounds.reason(reason),
            metadata=checked(metadata or {}, dropping=True),
        )
        return done.document

    async def collections(self, scope: Scope) -> tuple[Collection, ...]:
        """All collections, by name."""
        scope.need(READ)
        return await self._shelf.collections(scope)

    async def add_collection(self, scope: Scope, name: str) -> Collection:
        """Make a collection; one that is there stays as it is."""
        scope.need(WRITE)
        return await self._shelf.add_collection(scope, bounds.collection(name))

    async def delete_collection(self, scope: Scope, name: str) -> None:
        """Delete an empty collection. Raises CollectionNotEmpty or UnknownCollection."""
        scope.need(ERASE)
        await self._shelf.delete_collection(scope, bounds.collection(name))

    async def statistics(self, scope: Scope) -> Statistics:
        """How many documents and chunks there are, in which languages."""
        scope.need(READ)
        return await self._shelf.statistics(scope)
