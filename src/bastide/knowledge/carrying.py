"""Carrying: an export of a collection comes back: documents with all versions, labels, members and days, and decisions.

knowledge.import    the zip file of knowledge.export; every file is compared with its SHA-256 in the manifest before
                    anything is written. Documents get new ids, and labels that are as strict as they were, or stricter.
                    Splits and merges become decisions of who brings them; those that cannot be made again are told.
                    The zip file is never in memory as a whole: it lies sealed in the store, and is read from a file of
                    this machine that nobody else can open and that vanishes with the process.
"""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, cast

from bastide.audit import Audit
from bastide.errors import MembersOnly, NameHeld
from bastide.knowledge import archive as archives
from bastide.knowledge import bounds
from bastide.knowledge.archive import Kept, Manifest
from bastide.knowledge.graph import Part, Parted, Told, keys_named, part_again, remake
from bastide.knowledge.intake import Given, Intake
from bastide.knowledge.members import MANAGE, Members, acting, need
from bastide.knowledge.staging import Staging
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Dispatched, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_ADD_COLLECTION, _TAKEN, _TIMES = _Q["add_collection"], _Q["names_taken"], _Q["restore_times"]

IMPORT = "knowledge.import"

_REASON = "brought by knowledge.import"
_SHOWN = 200  # decisions that could not be made again, of which each is told


@dataclass(frozen=True, slots=True)
class Brought:
    """Which staged zip file comes, and into which collection: that of its manifest where none is named.

    `least` is the least strict label that who brings it may use. The job's own label is that of all documents together.
    """

    staged: str
    least: dict[str, Any]
    collection: str | None = None


class CarryingJobs:
    """The code of the type."""

    def __init__(self, store: Store, audit: Audit, intake: Intake, staging: Staging, bytes_max: int) -> None:
        self._store = store
        self._audit = audit
        self._intake = intake
        self._staging = staging
        self._bytes_max = bytes_max
        self._members = Members(store, audit)

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name=IMPORT,
                about="Takes a collection in as knowledge.export gave it out: versions, labels, members and days.",
                input=Brought,
                run=self._import,
                permission="knowledge:write",
                limits=Limits(step_s=1800.0, run_s=4 * 3600.0, per_tenant=1, overall=2),
                internal=True,
            ),
        )

    # 1. the archive is compared with its manifest              4. splits, then merges are made again, the oldest first
    # 2. the collection is made, closed at once if it was       5. members and days are what they were; the file goes
    # 3. documents come one by one, oldest version first
    async def _import(self, run: Run[Brought]) -> JsonValue:
        if run.remembered("end") is not None:
            return await run.write("end", _recorded)
        with tempfile.TemporaryFile() as file:
            await run.progress(0, 1, "The archive is compared with its manifest.")
            await self._staging.take_into(run.scope, run.input.staged, file)
            manifest, archive = await asyncio.to_thread(archives.opened, file, self._bytes_max)
            return await self._take_in(run, manifest, archive)

    async def _take_in(self, run: Run[Brought], manifest: Manifest, archive: zipfile.ZipFile) -> JsonValue:
        name = manifest.collection if run.input.collection is None else bounds.collection(run.input.collection)
        if (manifest.members or manifest.retention_days) and MANAGE not in run.scope.permissions:
            raise MembersOnly("This collection has members or days; only who has knowledge:manage brings it in.")
        await run.write("begin", partial(self._begin, name, [one.name for one in manifest.documents]))
        if manifest.members:
            writing = {**manifest.members, next(iter(acting(run.scope))): "manage"}
            await self._members.set(run.scope, name, writing, reason=_REASON)
        brought: dict[str, JsonValue] = {}
        refused: list[JsonValue] = []
        for number, document in enumerate(manifest.documents):
            await run.progress(number, len(manifest.documents), document.name)
            done = await self._bring(run, name, document, archive)
            if done["id"] is None:
                refused.append(done)
            else:
                brought[document.id] = done["id"]
        await run.progress(len(manifest.documents), len(manifest.documents))
        decided = await self._decide(run, manifest, {old: str(new) for old, new in brought.items()})
        if manifest.members:
            await self._members.set(run.scope, name, manifest.members, reason=_REASON)
        if manifest.retention_days is not None:
            await self._members.retain(run.scope, name, manifest.retention_days, reason=_REASON)

        async def end(db: Db) -> JsonValue:
            await self._staging.give_up(db, run.input.staged)
            return {"collection": name, "documents": len(brought), "ids": brought, "refused": refused, **decided}

        return await run.write("end", end)

    async def _begin(self, name: str, names: Sequence[str], db: Db) -> JsonValue:
        """The collection is there, and holds no document of these names: nothing is replaced."""
        await need(db, name, "write")
        await db.run(_ADD_COLLECTION, name=name)
        taken = [one for (one,) in await db.rows(tuple, _TAKEN, collection=name, names=list(names), ids=[])]
        if taken:
            raise NameHeld(f"{name!r} has documents of these names already: {', '.join(map(repr, taken[:10]))}.")
        return None

    async def _bring(
        self, run: Run[Brought], collection: str, document: Kept, archive: zipfile.ZipFile
    ) -> dict[str, JsonValue]:
        """One document: every version a step of its own. Only that of today is embedded."""
        label = document.label.join(Label.from_wire(run.input.least))
        done: dict[str, JsonValue] = {}
        for number, version in enumerate(document.versions, start=1):
            step = f"{document.id} {number}"
            if run.remembered(step) is not None:
                done = cast("dict[str, JsonValue]", await run.write(step, _recorded))
                continue
            data = await asyncio.to_thread(archives.unpacked, archive, version.file, version.bytes)
            last = number == len(document.versions)
            given = Given(document.name, data, collection, label, document.metadata if last else None)
            act = await self._intake.ready(run.scope, given, vectors=last, chain=run.chain)

            async def write(db: Db, act: Any = act, last: bool = last) -> JsonValue:
                taken = await act(db)
                if last and taken.status == "ready":
                    await db.run(_TIMES, id=taken.id, created=document.created, updated=document.updated)
                return {"id": taken.id, "name": document.name, "status": taken.status, "error": taken.error}

            done = cast("dict[str, JsonValue]", await run.write(step, write))
        return done

    async def _decide(
        self, run: Run[Brought], manifest: Manifest, document_of: Mapping[str, str]
    ) -> dict[str, JsonValue]:
        """What became of splits and merges: how many were made, were known already or are left, and of these why."""
        meant = [one for split in manifest.splits for one in split.entities]
        meant += [one for merge in manifest.merges for one in merge.entities]
        async with self._store.under(run.scope) as db:
            keys = await keys_named(db, meant, list(document_of.values()))
        splits, merges = _Outcomes(), _Outcomes()
        for number, split in enumerate(manifest.splits, start=1):

            async def part(db: Db, split: Parted = split) -> JsonValue:
                again = await part_again(db, self._audit, run.scope, split, keys, document_of, manifest.collection)
                return [*again[:2], list(map(str, again[2]))]

            outcome, why, made = cast("tuple[str, str, list[str]]", await run.write(f"split {number}", part))
            keys[Part(split.id)] = list(map(int, made))
            splits.add(split, outcome, why)
        for number, merge in enumerate(manifest.merges, start=1):

            async def make(db: Db, merge: Told = merge) -> JsonValue:
                return list(await remake(db, self._audit, run.scope, merge, keys, manifest.collection))

            outcome, why = cast("tuple[str, str]", await run.write(f"merge {number}", make))
            merges.add(merge, outcome, why)
        return {"splits": splits.to_wire(), "merges": merges.to_wire()}


class _Outcomes:
    """What became of decisions: counted, and why of those that were not made, or not wholly."""

    def __init__(self) -> None:
        self._count = {"made": 0, "known": 0, "left": 0}
        self._reasons: list[JsonValue] = []

    def add(self, decision: Parted | Told, outcome: str, why: str) -> None:
        self._count[outcome] += 1
        if why and len(self._reasons) < _SHOWN:
            named = [str(one) for one in decision.entities]
            self._reasons.append({"id": decision.id, "entities": cast("JsonValue", named), "why": why})

    def to_wire(self) -> JsonValue:
        return {**self._count, "reasons": self._reasons}


async def _recorded(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")


class Carrying:
    """Hands an export to its job."""

    def __init__(self, staging: Staging, bytes_max: int) -> None:
        self._staging = staging
        self._bytes_max = bytes_max

    async def bring(self, scope: Scope, file: IO[bytes], collection: str | None) -> Dispatched:
        """Keep the zip file, sealed, and dispatch the job. Raises BrokenExport or ExportTooLarge at once."""
        manifest, _ = await asyncio.to_thread(archives.opened, file, self._bytes_max)
        least = Label.of_scope(scope)
        label = Label.join_all([least, *(one.label for one in manifest.documents)])
        given: dict[str, JsonValue] = {"collection": collection, "least": cast("JsonValue", least.to_wire())}
        return await self._staging.put_for(scope, IMPORT, given, f"{manifest.collection}.zip", file, label)
