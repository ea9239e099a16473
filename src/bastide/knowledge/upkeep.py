"""Upkeep: how documents are looked after once they are here. Each operation asks the scope first."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import IO

from bastide.audit import Audit
from bastide.errors import BadOption
from bastide.inference import Inference
from bastide.knowledge import bounds
from bastide.knowledge.carrying import Carrying
from bastide.knowledge.documents import Shelf
from bastide.knowledge.embedders import Coverage, Embedders
from bastide.knowledge.likeness import ALIKE_MIN, Alike, Likeness
from bastide.knowledge.members import MANAGE, Hold, Kept, Members
from bastide.knowledge.mending import MendingJobs
from bastide.knowledge.moving import Moving
from bastide.knowledge.past import PastAnswer, PastAnswers, Relabelled
from bastide.knowledge.quality import Doubtful, Quality, QualityReport
from bastide.knowledge.switching import Switching
from bastide.knowledge.values import Document
from bastide.knowledge.watching import Watched, WatchedFile, watched_place
from bastide.store import Page, Scope, Store
from bastide.workflows import Dispatched, Workflows

READ, WRITE = "knowledge:read", "knowledge:write"


class Upkeep:
    """Members and retention, holds, moving, labels, past answers, likeness, quality, watched folders."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        inference: Inference,
        workflows: Workflows,
        embedders: Embedders,
        shelf: Shelf,
        carrying: Carrying,
        mending: MendingJobs,
    ) -> None:
        self._workflows = workflows
        self._mending = mending
        self.shelf = shelf
        self._embedders = embedders
        self._switching = Switching(store, audit, embedders)
        self._carrying = carrying
        self._members = Members(store, audit)
        self._moving = Moving(store, audit)
        self._likeness = Likeness(store)
        self._quality = QualityReport(store, inference, self._likeness)
        self._watched = Watched(store)
        self.past = PastAnswers(store)

    # -- members, retention, holds ------------------------------------------------------------------

    async def collection(self, scope: Scope, name: str) -> Kept:
        """A collection with its members and its retention. Raises UnknownCollection."""
        scope.need(READ)
        return await self._members.get(scope, bounds.collection(name))

    async def set_members(self, scope: Scope, name: str, members: Mapping[str, str], *, reason: str = "") -> Kept:
        """Give a collection exactly these members: {id of a user or app, or role:NAME: read, write or manage}.

        With none it is open to the tenant. For its managers, and whoever has knowledge:manage. Raises
        UnknownCollection, MembersOnly, BadOption.
        """
        scope.need(READ)
        return await self._members.set(scope, bounds.collection(name), members, reason=bounds.reason(reason))

    async def set_retention(self, scope: Scope, name: str, days: int | None, *, reason: str = "") -> Kept:
        """Keep the collection's documents for so many days after their last change; None keeps them for good.

        The job knowledge.retain deletes what is past; schedule it. Raises BadOption, UnknownCollection.
        """
        scope.need(MANAGE)
        return await self._members.retain(scope, bounds.collection(name), days, reason=bounds.reason(reason))

    async def hold(self, scope: Scope, document_id: str, *, reason: str) -> None:
        """Let nothing delete a document until `release`. Raises UnknownDocument, BadOption without a reason."""
        scope.need(MANAGE)
        await self._members.hold(scope, bounds.document_id(document_id), reason=bounds.reason(reason))

    async def release(self, scope: Scope, document_id: str, *, reason: str = "") -> None:
        """End a hold. Raises UnknownDocument where there is none."""
        scope.need(MANAGE)
        await self._members.release(scope, bounds.document_id(document_id), reason=bounds.reason(reason))

    async def holds(self, scope: Scope, *, cursor: str | None = None, limit: int = 50) -> Page[Hold]:
        """The documents on hold, by id."""
        scope.need(READ)
        return await self._members.holds(scope, cursor=cursor, limit=bounds.limit(limit, bounds.LIST_MAX))

    # -- moving and labels --------------------------------------------------------------------------

    async def move(self, scope: Scope, documents: Sequence[str], collection: str, *, reason: str = "") -> int:
        """Put documents into another collection, all or none; how many moved. Their ids stay.

        Raises UnknownDocument, MembersOnly, NameHeld.
        """
        scope.need(WRITE)
        ids = [bounds.document_id(one) for one in documents]
        return await self._moving.move(scope, ids, bounds.collection(collection), reason=bounds.reason(reason))

    async def rename(self, scope: Scope, document_id: str, name: str, *, reason: str = "") -> Document:
        """Call a document otherwise; its id stays. Raises UnknownDocument, MembersOnly, NameHeld."""
        scope.need(WRITE)
        id = bounds.document_id(document_id)
        await self._moving.rename(scope, id, bounds.name(name), reason=bounds.reason(reason))
        return await self.shelf.get(scope, id)

    async def relabel(
        self, scope: Scope, document_id: str, label: Mapping[str, object], *, reason: str = "", dry_run: bool = False
    ) -> Relabelled:
        """As `Knowledge.relabel`, with the answers that were given under the label before; or only what would be."""
        scope.need(WRITE)
        id = bounds.document_id(document_id)
        return await self.shelf.relabel(scope, id, dict(label), reason=bounds.reason(reason), dry_run=dry_run)

    async def answers_from(self, scope: Scope, document_id: str, *, limit: int = 50) -> tuple[PastAnswer, ...]:
        """The answers that were given from a document, newest first. Raises UnknownDocument."""
        scope.need(READ)
        limit = bounds.limit(limit, bounds.LIST_MAX)
        return await self.past.of(scope, bounds.document_id(document_id), limit=limit)

    # -- likeness and quality -----------------------------------------------------------------------

    async def duplicates(
        self,
        scope: Scope,
        *,
        document_id: str | None = None,
        collection: str | None = None,
        least: float = ALIKE_MIN,
        limit: int = 50,
    ) -> tuple[Alike, ...]:
        """Documents that say almost the same, in pairs, the most alike first: of one, of a collection, or of all.

        `least` is the lowest similarity that is shown, in (0, 1]. Raises BadOption, UnknownDocument, UnknownCollection.
        """
        scope.need(READ)
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0.0 < least <= 1.0:
            raise BadOption("least is a similarity above 0 and at most 1.", option="least")
        return await self._likeness.alike(
            scope,
            document=None if document_id is None else bounds.document_id(document_id),
            collection=None if collection is None else bounds.collection(collection),
            least=float(least),
            limit=bounds.limit(limit, bounds.LIST_MAX),
        )

    async def quality(self, scope: Scope, *, collection: str | None = None) -> Quality:
        """How well the documents were read, in counts. Raises UnknownCollection."""
        scope.need(READ)
        return await self._quality.counts(scope, None if collection is None else bounds.collection(collection))

    async def doubtful(
        self, scope: Scope, *, collection: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[Doubtful]:
        """The documents behind those counts, by id."""
        scope.need(READ)
        return await self._quality.documents(
            scope,
            None if collection is None else bounds.collection(collection),
            cursor=cursor,
            limit=bounds.limit(limit, bounds.LIST_MAX),
        )

    # -- embedders ----------------------------------------------------------------------------------

    async def embedders(self, scope: Scope) -> tuple[Coverage, ...]:
        """Each embedder of each collection, with how many of its chunks it has read."""
        scope.need(READ)
        return await self._embedders.coverage(scope)

    async def switch_off(self, scope: Scope, model: str, *, collection: str | None = None) -> None:
        """Take an embedder away from a collection, or from all that name none; its vectors go, too.

        Raises UnknownModel where it is not switched on there, LastEmbedder where it is the only one that is asked.
        """
        scope.need(MANAGE)
        await self._switching.off(scope, model, None if collection is None else bounds.collection(collection))

    async def bring_up_to_date(self, scope: Scope) -> Dispatched | None:
        """Begin, in the background, to make anew what an older house has read; None where nothing is behind."""
        scope.need(MANAGE)
        job = await self._mending.behind(scope)
        return None if job is None else await self._workflows.dispatch(scope, job)

    # -- carrying -----------------------------------------------------------------------------------

    async def bring(self, scope: Scope, data: bytes | IO[bytes], *, collection: str | None = None) -> Dispatched:
        """Take in a collection as the job knowledge.export gave it out (its zip file); the job that does it.

        Into a collection of its own name unless another is named; nothing that is there is replaced. A file is read
        piece by piece. Raises BrokenExport for what is none, or was changed; ExportTooLarge.
        """
        scope.need(WRITE)
        where = None if collection is None else bounds.collection(collection)
        return await self._carrying.bring(scope, io.BytesIO(data) if isinstance(data, bytes) else data, where)

    # -- watched folders ----------------------------------------------------------------------------

    async def watched(self, scope: Scope, place: str) -> tuple[WatchedFile, ...]:
        """What the files of a watched folder were when they were last taken in."""
        scope.need(READ)
        return await self._watched.files(scope, watched_place(place))

    async def note_watched(self, scope: Scope, place: str, file: WatchedFile) -> None:
        """Remember a file of a watched folder as it is now."""
        scope.need(WRITE)
        await self._watched.note(scope, watched_place(place), file)

    async def forget_watched(self, scope: Scope, place: str, paths: Sequence[str]) -> None:
        """Forget files that are no longer in a watched folder."""
        scope.need(WRITE)
        await self._watched.forget(scope, watched_place(place), list(paths))
