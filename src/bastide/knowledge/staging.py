"""Staging: what lies between a hand and a document, and between a job and whoever fetches what it made.

A file that a job shall take in is kept, sealed, in the transaction that dispatches its job, and given up in the
transaction that writes the document. So a crash loses neither, and a document is written once. What a failed job
leaves stays for its retry, and goes after thirty days with the next intake of its tenant.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TypedDict

from bastide.errors import ArtifactGone, IntakeClosed, JobEnded, StagedGone, UnknownIntake
from bastide.policy import Label
from bastide.store import Db, Json, Scope, Store, new_id, queries
from bastide.workflows import Dispatched, Job, JsonValue, Workflows

_Q = queries("bastide.knowledge")
_OPEN, _FIND_INTAKE, _CLOSE, _FORGET_INTAKE = (
    _Q["open_intake"],
    _Q["find_intake"],
    _Q["close_intake"],
    _Q["forget_intake"],
)
_ADD, _FIND, _FORGET = _Q["add_staged"], _Q["find_staged"], _Q["forget_staged"]
_SIZES, _FIND_ALL, _FORGET_ALL = _Q["sizes_of_staged"], _Q["find_all_staged"], _Q["forget_all_staged"]
_FORGET_ABOUT = _Q["forget_staged_about"]
_NAMES, _GIVE_UP = _Q["staged_names"], _Q["give_up_staged"]
_OLD, _OLD_INTAKES, _OLD_ARTIFACTS = _Q["forget_old_staged"], _Q["forget_old_intakes"], _Q["forget_old_artifacts"]
_LATELY = _Q["lately"]
_ADD_ARTIFACT, _FIND_ARTIFACT = _Q["add_artifact"], _Q["find_artifact"]

INGEST, INTAKE = "knowledge.ingest", "knowledge.intake"
CLOSED = "closed"
"""The signal that says that an intake gets no further file."""

STAGED_DAYS, ARTIFACT_DAYS = 30, 7


@dataclass(frozen=True, slots=True)
class Gathering:
    """An intake that takes files: where they go, and what holds for all of them."""

    collection: str
    label: Label


class Staged(TypedDict, total=False):
    """What is said of files that are handed in. `job`: the intake that they belong to."""

    job: str | None
    collection: str | None
    label: Mapping[str, object] | Label | None
    subjects: Iterable[str]
    vectors: bool
    metadata: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that is handed in, with what is said of it."""

    name: str
    data: bytes
    metadata: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a job made, as it is fetched."""

    name: str
    media_type: str
    bytes: int


class Staging:
    """Files on their way in, and artifacts on their way out."""

    def __init__(self, store: Store, workflows: Workflows) -> None:
        self._store = store
        self._workflows = workflows

    # -- intakes ------------------------------------------------------------------------------------

    async def open(self, scope: Scope, gathering: Gathering) -> Dispatched:
        """Dispatch the job that gathers files. What lay here too long goes first."""
        await self.sweep(scope)
        async with self._store.under(scope) as db:
            made = await self._workflows.dispatch(
                scope, Job(INTAKE, {"collection": gathering.collection}, label=gathering.label), db=db
            )
            await db.run(_OPEN, job=made.id, collection=gathering.collection, label=Json(gathering.label.to_wire()))
        return made

    async def gathering(self, scope: Scope, job: str) -> Gathering:
        """An intake of the caller's that is open. Raises UnknownIntake or IntakeClosed."""
        if (await self._workflows.job(scope, job)).type != INTAKE:  # may this person see it at all?
            raise UnknownIntake
        async with self._store.under(scope) as db:
            return await _gathering(db, job)

    async def close(self, scope: Scope, job: str) -> None:
        """No further file comes to this intake; closing twice is closing once. Raises UnknownIntake."""
        record = await self._workflows.job(scope, job)
        if record.type != INTAKE:
            raise UnknownIntake
        if record.ended:
            return
        async with self._store.under(scope) as db:
            await self.shut(db, job)
        with suppress(JobEnded):  # it was cancelled meanwhile
            await self._workflows.signal(scope, job, CLOSED, {"closed": True})

    @staticmethod
    async def shut(db: Db, job: str) -> None:
        """The door of an intake is closed from this transaction on."""
        await db.run(_CLOSE, job=job)

    async def came_within(self, scope: Scope, job: str, seconds: float) -> bool:
        """Whether a file was handed to this intake in the last so many seconds."""
        page = await self._workflows.jobs(scope, parent=job, limit=1)
        async with self._store.under(scope) as db:
            return any([await db.value(_LATELY, moment=one.created_at, seconds=seconds) for one in page.items])

    # -- files on their way in ----------------------------------------------------------------------

    async def put(
        self, scope: Scope, files: Sequence[Waiting], gathering: Gathering, *, vectors: bool, parent: str | None
    ) -> list[Dispatched]:
        """Keep files and dispatch the job of each: all or nothing. Raises UnknownIntake or IntakeClosed."""
        made: list[Dispatched] = []
        async with self._store.under(scope) as db:
            blobs = await db.put_blobs([file.data for file in files])
            if parent is not None:
                await _gathering(db, parent)
            for file, blob in zip(files, blobs, strict=True):
                staged = new_id("stg")
                given: dict[str, JsonValue] = {
                    "name": file.name,
                    "staged": staged,
                    "collection": gathering.collection,
                    "vectors": vectors,
                    "metadata": file.metadata,
                }
                job = Job(INGEST, given, label=gathering.label, parent=parent)
                made.append(await self._workflows.dispatch(scope, job, db=db))
                await db.at_commit(
                    _ADD,
                    id=staged,
                    job=made[-1].id,
                    name=file.name,
                    blob=blob,
                    bytes=len(file.data),
                    subjects=sorted(gathering.label.subjects),
                )
        return made

    async def put_for(
        self, scope: Scope, job_type: str, given: dict[str, JsonValue], name: str, file: IO[bytes], label: Label
    ) -> Dispatched:
        """Keep a file for a job of another type, which gets its id as `staged`, and dispatch it: both or neither."""
        staged = new_id("stg")
        size = file.seek(0, os.SEEK_END)
        async with self._store.under(scope) as db:
            blob = await db.put_file(file)
            made = await self._workflows.dispatch(scope, Job(job_type, {**given, "staged": staged}, label=label), db=db)
            subjects = sorted(label.subjects)
            await db.run(_ADD, id=staged, job=made.id, name=name, blob=blob, bytes=size, subjects=subjects)
        return made

    async def take(self, scope: Scope, staged: str) -> bytes:
        """The bytes of a staged file. Raises StagedGone."""
        async with self._store.under(scope) as db:
            return await db.get_blob(await _staged(db, staged))

    async def take_into(self, scope: Scope, staged: str, file: IO[bytes]) -> None:
        """Write a staged file into another, which need not fit into memory. Raises StagedGone."""
        async with self._store.under(scope) as db:
            await db.get_into(await _staged(db, staged), file)

    @staticmethod
    async def give_up(db: Db, staged: str) -> None:
        """The file has become a document, or never will: its place here goes. Raises StagedGone."""
        blob = await db.value(_FORGET, id=staged)
        if blob is None:
            raise StagedGone
        await db.drop_blob(blob)

    async def take_some(self, scope: Scope, staged: Sequence[str], bytes_max: int) -> dict[str, bytes]:
        """Of these files as many as are no more than so many bytes together. One that is gone is left out."""
        async with self._store.under(scope) as db:
            sizes: dict[str, int] = dict(await db.rows(tuple, _SIZES, ids=list(staged)))
            wanted: list[str] = []
            for id in staged:
                if sizes.get(id, 0) <= bytes_max:
                    bytes_max -= sizes.get(id, 0)
                    wanted.append(id)
            return {id: await db.get_blob(blob) for id, blob in await db.rows(tuple, _FIND_ALL, ids=wanted)}

    @staticmethod
    async def give_up_some(db: Db, staged: Sequence[str]) -> dict[str, str]:
        """The places of these files go; the bytes of those that were there, to be dropped once they are documents."""
        return dict(await db.rows(tuple, _FORGET_ALL, ids=list(staged)))

    @staticmethod
    async def forget_about(db: Db, subject: str) -> int:
        """Give up the files about a person; how many. The jobs that were to take them in will say so."""
        gone = await db.rows(tuple, _FORGET_ABOUT, subject=subject)
        for (blob,) in gone:
            await db.drop_blob(blob)
        return len(gone)

    @staticmethod
    async def settle(db: Db, intake: str, failed: Sequence[str]) -> dict[str, str]:
        """An intake has ended; the names of the files of these failed jobs. They stay for a retry."""
        names: list[tuple[str, str]] = await db.rows(tuple, _NAMES, jobs=list(failed))
        await db.run(_GIVE_UP, jobs=list(failed))
        await db.run(_FORGET_INTAKE, job=intake)
        return dict(names)

    async def sweep(self, scope: Scope) -> None:
        """Give up what nobody has come for."""
        async with self._store.under(scope) as db:
            old = await db.rows(tuple, _OLD, days=STAGED_DAYS)
            old += await db.rows(tuple, _OLD_ARTIFACTS, days=ARTIFACT_DAYS)
            await db.run(_OLD_INTAKES, days=STAGED_DAYS)
            for (blob,) in old:
                await db.drop_blob(blob)

    # -- artifacts ----------------------------------------------------------------------------------

    @staticmethod
    async def keep(db: Db, job: str, name: str, media_type: str, file: IO[bytes]) -> None:
        """Keep what a job made, to be fetched by whoever may see the job."""
        size = file.seek(0, os.SEEK_END)
        blob = await db.put_file(file)
        await db.run(_ADD_ARTIFACT, job=job, name=name, media_type=media_type, blob=blob, bytes=size)

    async def artifact(self, scope: Scope, job: str, file: IO[bytes]) -> Artifact:
        """Write what a job of the caller's made into `file`. Raises UnknownJob or ArtifactGone."""
        await self._workflows.job(scope, job)
        async with self._store.under(scope) as db:
            row = await db.row(tuple, _FIND_ARTIFACT, job=job)
            if row is None:
                raise ArtifactGone
            name, media_type, size, blob = row
            await db.get_into(blob, file)
        return Artifact(name, media_type, size)


async def _staged(db: Db, staged: str) -> str:
    blob: str | None = await db.value(_FIND, id=staged)
    if blob is None:
        raise StagedGone
    return blob


async def _gathering(db: Db, job: str) -> Gathering:
    row = await db.row(tuple, _FIND_INTAKE, job=job)
    if row is None:
        raise IntakeClosed("This intake has ended.")
    collection, label, closed = row
    if closed:
        raise IntakeClosed
    return Gathering(collection, Label.from_wire(label))
