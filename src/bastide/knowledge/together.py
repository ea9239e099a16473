"""Together: the files of a folder that wait are taken in with the one that is at work, as one batch.

Each stays a job of its own, with its own end; what cannot go along (another collection, too large, a name that is
refused) goes by itself. All of them are documents, and their staged bytes given up, in one transaction with the end of
their jobs: whatever dies, each is taken in once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from bastide.errors import AlreadyThere, BastideError, Contended, StagedGone
from bastide.knowledge import bounds
from bastide.knowledge.batches import BYTES_MAX, FILES_MAX, Batches, Ready
from bastide.knowledge.intake import Given
from bastide.knowledge.metadata import checked
from bastide.knowledge.staging import Staging
from bastide.knowledge.values import IngestedDocument
from bastide.store import Db
from bastide.workflows import Companions, Company, JsonValue, Run


@dataclass(frozen=True, slots=True)
class File:
    """A file to be taken in: staged bytes, or a text. What `label` leaves unsaid is as the job's own label."""

    name: str
    collection: str = "default"
    staged: str | None = None
    text: str | None = None
    label: dict[str, Any] | None = None
    subjects: tuple[str, ...] = ()
    vectors: bool = True
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """The file at work first, then those that go along: what is given, by the job of each, and where it is staged."""

    given: dict[str, Given]
    staged: dict[str, str]


class Together:
    """Takes files in with those that wait beside them."""

    def __init__(self, companions: Companions, staging: Staging, batches: Batches) -> None:
        self._companions = companions
        self._staging = staging
        self._batches = batches

    async def ingest(self, run: Run[File], own: Given) -> JsonValue:
        """What became of the run's own file, taken in with others; None when there are none: it goes by itself.

        Raises Contended when somebody else is at the same: each is then begun anew, by itself.
        """
        if run.input.staged is None or len(own.data) >= BYTES_MAX:
            return None
        async with self._companions.of(run, FILES_MAX - 1) as company:
            batch = await self._gathered(run, own, company)
            if len(batch.given) == 1:
                return None
            ready = await self._batches.ready(
                run.scope, list(batch.given.values()), vectors=run.input.vectors, chain=run.chain
            )

            async def write(db: Db) -> JsonValue:
                return await self._write(db, run, company, batch, ready)

            try:
                return await run.write("document", write)
            except AlreadyThere as fault:
                raise Contended from fault

    async def _gathered(self, run: Run[File], own: Given, company: Company) -> _Batch:
        batch = _Batch({run.id: own}, {run.id: str(run.input.staged)})
        fitting: dict[str, str] = {}
        for id, asked in company.inputs.items():
            alike = (asked.collection, asked.vectors) == (run.input.collection, run.input.vectors)
            if alike and asked.staged is not None and asked.text is None:
                fitting[id] = asked.staged
        data = await self._staging.take_some(run.scope, list(fitting.values()), BYTES_MAX - len(own.data))
        given = {id: _given(company.inputs[id], data[staged], own) for id, staged in fitting.items() if staged in data}
        for id, one in given.items():
            if one is not None:
                batch.given[id], batch.staged[id] = one, fitting[id]
        wrong = [id for id, staged in fitting.items() if given.get(id, own) is None]
        await company.leave(wrong)
        others = set(company.inputs) - set(batch.given) - set(wrong)
        await company.leave(others, begun=False)
        return batch

    async def _write(self, db: Db, run: Run[File], company: Company, batch: _Batch, ready: Ready) -> JsonValue:
        """Everything of the batch in the transaction that holds the run; what became of its own file."""
        jobs = {run.id, *await company.hold(db)} & set(batch.given)
        blobs = await self._staging.give_up_some(db, [batch.staged[id] for id in batch.given if id in jobs])
        if batch.staged[run.id] not in blobs:
            raise StagedGone
        places = {place: id for place, id in enumerate(batch.given) if id in jobs and batch.staged[id] in blobs}
        done = await ready.write(db, places)
        for blob in sorted(blobs.values()):
            await db.drop_blob(blob)
        outputs = {id: _wire(done[place]) for place, id in places.items()}
        own = outputs.pop(run.id)
        await company.end(db, outputs)
        return own


def _given(asked: File, data: bytes, own: Given) -> Given | None:
    """A file that goes along, under the label of them all; None for one whose job must say what is wrong with it."""
    try:
        said = checked(asked.metadata or {})
        return Given(bounds.name(asked.name), data, own.collection, own.label, said)
    except BastideError:
        return None


def _wire(one: IngestedDocument) -> JsonValue:
    return cast(JsonValue, asdict(one))
