"""Carrying: an export of a collection comes back: documents with all versions, labels, members and days, and merges.

knowledge.import    the zip file of knowledge.export; every file is compared with its SHA-256 in the manifest before
                    anything is written. Documents get new ids, and labels that are as strict as they were, or stricter.
                    Merges become decisions of who brings them; those that cannot be made again are told.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from bastide.audit import Audit
from bastide.errors import BadLabel, BadName, BadOption, BrokenExport, ExportTooLarge, MembersOnly, NameHeld
from bastide.knowledge import bounds
from bastide.knowledge.graph import MERGES_MAX, Told, keys_named, remake
from bastide.knowledge.intake import Given, Intake
from bastide.knowledge.leaving import DOCUMENTS_MAX, EXPORT_BYTES_MAX, FORMAT
from bastide.knowledge.members import MANAGE, Members, acting, need
from bastide.knowledge.metadata import Metadata, checked
from bastide.knowledge.staging import Staging
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Dispatched, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_ADD_COLLECTION, _TAKEN, _TIMES = _Q["add_collection"], _Q["names_taken"], _Q["restore_times"]

IMPORT = "knowledge.import"

_MANIFEST_BYTES_MAX = 64 * 1024 * 1024
_REASON = "brought by knowledge.import"
_SHOWN = 200  # merges that could not be made again, of which each is told


@dataclass(frozen=True, slots=True)
class Brought:
    """Which staged zip file comes, and into which collection: that of its manifest where none is named.

    `least` is the least strict label that who brings it may use. The job's own label is that of all documents together.
    """

    staged: str
    least: dict[str, Any]
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class _Version:
    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class _Document:
    id: str
    name: str
    label: Label
    created: datetime
    updated: datetime
    versions: tuple[_Version, ...]
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class _Manifest:
    collection: str
    retention_days: int | None
    members: dict[str, str]
    documents: tuple[_Document, ...]
    merges: tuple[Told, ...]


def unpacked(data: bytes) -> tuple[_Manifest, zipfile.ZipFile]:
    """The manifest of an export, every file compared with it. Raises BrokenExport, ExportTooLarge. CPU-bound."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        if sum(entry.file_size for entry in archive.infolist()) > EXPORT_BYTES_MAX + _MANIFEST_BYTES_MAX:
            raise ExportTooLarge(f"The archive holds more than {EXPORT_BYTES_MAX // 1024**2} MiB.")
        manifest = _manifest(json.loads(_file(archive, "manifest.json", _MANIFEST_BYTES_MAX)))
        for document in manifest.documents:
            for version in document.versions:
                found = _file(archive, version.file, version.bytes)
                if len(found) != version.bytes or hashlib.sha256(found).hexdigest() != version.sha256:
                    raise BrokenExport(f"{version.file!r} is not what its manifest says.")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, RecursionError) as fault:
        raise BrokenExport("The zip file is damaged.") from fault
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise BrokenExport(f"The manifest is not one of {FORMAT}, or names a file that is not there.") from fault
    except (BadName, BadLabel, BadOption) as fault:
        raise BrokenExport(f"The manifest holds what cannot be: {fault.message}") from fault
    return manifest, archive


def _file(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the archive, never more than a byte beyond `most`: what an entry says of its size may be wrong."""
    try:
        with archive.open(name) as file:
            return file.read(most + 1)
    except (zipfile.BadZipFile, RuntimeError) as fault:  # a wrong checksum, or a password
        raise BrokenExport(f"{name!r} cannot be unpacked.") from fault


def _manifest(wire: Mapping[str, Any]) -> _Manifest:
    if wire["format"] != FORMAT or len(wire["documents"]) > DOCUMENTS_MAX:
        raise ValueError(wire["format"])
    days = wire["retention_days"]
    if days is not None and type(days) is not int:
        raise ValueError(days)
    documents = tuple(_document(one) for one in wire["documents"])
    if len({one.name for one in documents}) < len(documents):
        raise ValueError("two documents of one name")
    said = wire.get("merges", [])  # exports of earlier days have none
    if not isinstance(said, list) or len(said) > MERGES_MAX:
        raise ValueError("merges")
    merges = tuple(Told.from_wire(one) for one in said)
    if len({one.id for one in merges}) < len(merges):
        raise ValueError("two merges of one id")
    return _Manifest(bounds.collection(wire["collection"]), days, dict(wire["members"]), documents, merges)


def _document(wire: Mapping[str, Any]) -> _Document:
    versions = tuple(_Version(str(one["file"]), str(one["sha256"]), int(one["bytes"])) for one in wire["versions"])
    if not versions or any(not 0 <= one.bytes <= EXPORT_BYTES_MAX for one in versions):
        raise ValueError("a document without a version")
    label = Label.from_wire(wire["label"])
    bounds.subjects(label.subjects)
    times = [datetime.fromisoformat(wire[word]) for word in ("created", "updated")]
    if any(moment.tzinfo is None for moment in times):
        raise ValueError("a time without its zone")
    metadata = checked(wire.get("metadata", {}))  # exports of earlier days have none
    return _Document(str(wire["id"]), bounds.name(wire["name"]), label, times[0], times[1], versions, metadata)


class CarryingJobs:
    """The code of the type."""

    def __init__(self, store: Store, audit: Audit, intake: Intake, staging: Staging) -> None:
        self._store = store
        self._audit = audit
        self._intake = intake
        self._staging = staging
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

    # 1. the archive is compared with its manifest              4. merges are made again, the oldest first
    # 2. the collection is made, closed at once if it was       5. members and days are what they were; the file goes
    # 3. documents come one by one, oldest version first
    async def _import(self, run: Run[Brought]) -> JsonValue:
        if run.remembered("end") is not None:
            return await run.write("end", _recorded)
        data = await self._staging.take(run.scope, run.input.staged)
        manifest, archive = await asyncio.to_thread(unpacked, data)
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
        merges = await self._merge(run, manifest, [str(id) for id in brought.values()])
        if manifest.members:
            await self._members.set(run.scope, name, manifest.members, reason=_REASON)
        if manifest.retention_days is not None:
            await self._members.retain(run.scope, name, manifest.retention_days, reason=_REASON)

        async def end(db: Db) -> JsonValue:
            await self._staging.give_up(db, run.input.staged)
            return {"collection": name, "documents": len(brought), "ids": brought, "refused": refused, "merges": merges}

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
        self, run: Run[Brought], collection: str, document: _Document, archive: zipfile.ZipFile
    ) -> dict[str, JsonValue]:
        """One document: every version a step of its own. Only that of today is embedded."""
        label = document.label.join(Label.from_wire(run.input.least))
        done: dict[str, JsonValue] = {}
        for number, version in enumerate(document.versions, start=1):
            step = f"{document.id} {number}"
            if run.remembered(step) is not None:
                done = cast("dict[str, JsonValue]", await run.write(step, _recorded))
                continue
            data = await asyncio.to_thread(_file, archive, version.file, version.bytes)
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

    async def _merge(self, run: Run[Brought], manifest: _Manifest, documents: Sequence[str]) -> dict[str, JsonValue]:
        """What became of the merges: how many were made, were known already or are left, and of these why."""
        async with self._store.under(run.scope) as db:
            keys = await keys_named(db, manifest.merges, documents)
        count = {"made": 0, "known": 0, "left": 0}
        reasons: list[JsonValue] = []
        for number, merge in enumerate(manifest.merges, start=1):

            async def make(db: Db, merge: Told = merge) -> JsonValue:
                return list(await remake(db, self._audit, run.scope, merge, keys, manifest.collection))

            outcome, why = cast("tuple[str, str]", await run.write(f"merge {number}", make))
            count[outcome] += 1
            if outcome == "left" and len(reasons) < _SHOWN:
                reasons.append({"id": merge.id, "entities": [str(one) for one in merge.entities], "why": why})
        return {**count, "reasons": reasons}


async def _recorded(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")


class Carrying:
    """Hands an export to its job."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    async def bring(self, scope: Scope, data: bytes, collection: str | None) -> Dispatched:
        """Keep the zip file, sealed, and dispatch the job. Raises BrokenExport at once for what is none."""
        manifest, _ = await asyncio.to_thread(unpacked, data)
        least = Label.of_scope(scope)
        label = Label.join_all([least, *(one.label for one in manifest.documents)])
        given: dict[str, JsonValue] = {"collection": collection, "least": cast("JsonValue", least.to_wire())}
        return await self._staging.put_for(scope, IMPORT, given, f"{manifest.collection}.zip", data, label)
