"""Leaving: documents that are deleted in numbers, and a collection that is handed out whole.

knowledge.erase     an effect, with the oversight that the tenant asks for: who decides sees how many and which;
                    then each batch of documents goes in one transaction, and a stop is heeded between two;
                    schedules, triggers and files of calls that name a person go too; what names a document is paused
                    without it
knowledge.export    the originals and a manifest in one zip file, kept sealed for a week: GET the job's artifact; the
                    merges and splits that people made go along where the documents name what they are about
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import IO, cast

from bastide.audit import Audit
from bastide.errors import BadOption, ExportTooLarge, UnknownCollection, UnknownDocument
from bastide.inference.jobs import Batches
from bastide.knowledge import bounds
from bastide.knowledge.archive import DOCUMENTS_MAX, FORMAT
from bastide.knowledge.documents import Shelf
from bastide.knowledge.graph import Decided, told
from bastide.knowledge.members import MANAGE, kept_collection
from bastide.knowledge.retaining import Deleting
from bastide.knowledge.staging import Staging
from bastide.knowledge.values import Document
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Effect, Example, JobType, JsonValue, Limits, Run, Workflows

_Q = queries("bastide.knowledge")
_OF, _HAS, _ORIGINAL = _Q["documents_of"], _Q["has_collection"], _Q["original"]

_SHOWN = 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same documents give the same bytes


@dataclass(frozen=True, slots=True)
class Doomed:
    """What is to be deleted: the named documents, or all of a collection, or all about a person. One of the three."""

    documents: tuple[str, ...] = ()
    collection: str | None = None
    subject: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which collection is handed out."""

    collection: str


@dataclass(frozen=True, slots=True)
class _Packed:
    """What is in the zip file; of decisions also how many are not, because other documents name what they are about."""

    documents: int
    decided: Decided
    label: Label


class LeavingJobs:
    """The code of both types."""

    def __init__(
        self, store: Store, audit: Audit, workflows: Workflows, shelf: Shelf, staging: Staging, export_bytes_max: int
    ) -> None:
        self._export_bytes_max = export_bytes_max
        self._store = store
        self._audit = audit
        self._workflows = workflows
        self._shelf = shelf
        self._staging = staging
        self._deleting = Deleting(store, shelf)

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name="knowledge.erase",
                about="Deletes documents with all that was made from them: named ones, a collection's, a person's.",
                input=Doomed,
                run=self._erase,
                permission="knowledge:erase",
                limits=Limits(step_s=3600.0, run_s=4 * 3600.0, per_tenant=1),
                effects={"erase": Effect("Documents and all their versions are deleted; nothing brings them back.")},
                example=Example(
                    {"collection": "notes", "reason": "kept long enough"},
                    lambda out: isinstance(out, Mapping) and isinstance(out["erased"], int) and out["erased"] >= 0,
                ),
            ),
            JobType(
                name="knowledge.export",
                about="Puts the originals of a collection and a manifest into one zip file, to be fetched for a week.",
                input=Wanted,
                run=self._export,
                permission="knowledge:read",
                limits=Limits(step_s=1800.0, run_s=2 * 3600.0, per_tenant=1, overall=2),
                example=Example({"collection": "notes"}, lambda out: isinstance(out, Mapping) and bool(out["sha256"])),
            ),
        )

    # -- erase --------------------------------------------------------------------------------------

    async def _erase(self, run: Run[Doomed]) -> JsonValue:
        asked = run.input
        reason = bounds.reason(asked.reason)
        found = cast("list[str]", await run.step("find", partial(self._find, run.scope, asked)))
        if not found and asked.subject is None:
            nothing: dict[str, JsonValue] = {"erased": 0, "documents": [], "held": {}, "left": {}, "unverified": 0}
            return {**nothing, "staged": 0, "orders": 0, "files": 0}

        async def erase(arguments: JsonValue, key: str) -> JsonValue:
            # A person may have taken documents out of the list; nobody can put another one in.
            given = arguments.get("documents", []) if isinstance(arguments, Mapping) else []
            kept = set(given) if isinstance(given, Sequence) and not isinstance(given, str) else set()
            ids = [one for one in found if one in kept]
            staged = await run.write("staged", partial(self._erase_staged, asked.subject))
            orders = await run.write("orders", partial(self._erase_orders, asked.subject))
            files = await run.write("files", partial(self._erase_files, asked.subject))
            past = _past_members(run.scope, asked)
            done = await self._deleting.all(cast("Run[object]", run), ids, reason, past_members=past)
            return {**done, "staged": staged, "orders": orders, "files": files}

        listed = (", ".join(found[:_SHOWN]) or "none") + (
            f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        )
        shown = f"{len(found)} documents are deleted for good: {listed}. Reason given: {reason or 'none'}."
        return await run.effect("erase", {"documents": found, "reason": reason}, erase, shown=shown)

    async def _find(self, scope: Scope, asked: Doomed) -> JsonValue:
        if sum((bool(asked.documents), asked.collection is not None, asked.subject is not None)) != 1:
            raise BadOption("Name documents, or a collection, or a subject: one of the three.", option="documents")
        if asked.documents:
            return sorted({bounds.document_id(one) for one in asked.documents})
        collection = None if asked.collection is None else bounds.collection(asked.collection)
        subject = None if asked.subject is None else min(bounds.subjects([asked.subject]))
        async with self._store.under(scope, past_members=_past_members(scope, asked)) as db:
            rows = await db.rows(tuple, _OF, collection=collection, subject=subject, limit=DOCUMENTS_MAX)
        return [id for (id,) in rows]

    async def _erase_staged(self, subject: str | None, db: Db) -> JsonValue:
        return 0 if subject is None else await self._staging.forget_about(db, subject)

    async def _erase_files(self, subject: str | None, db: Db) -> JsonValue:
        """Files of calls about a person, and what came of them."""
        return 0 if subject is None else await Batches.forget_about(db, subject)

    async def _erase_orders(self, subject: str | None, db: Db) -> JsonValue:
        if subject is None:
            return 0
        return sum([await orders.forget(db, subject) for orders in self._workflows.orders])

    # -- export -------------------------------------------------------------------------------------

    # The zip is written to a file of this machine that nobody else can open and that vanishes with the process; what
    # stays is sealed. Its label is the strictest of all that it holds.
    async def _export(self, run: Run[Wanted]) -> JsonValue:
        if run.remembered("keep") is not None:
            return await run.write("keep", _recorded)
        name = bounds.collection(run.input.collection)
        async with self._store.under(run.scope) as db:
            if not await db.value(_HAS, name=name):
                raise UnknownCollection(f"There is no collection {name!r} here.")
            ids = [id for (id,) in await db.rows(tuple, _OF, collection=name, subject=None, limit=DOCUMENTS_MAX)]
        with tempfile.TemporaryFile() as file:
            packed = await self._pack(run, name, ids, file)
            await run.tighten(packed.label)
            return await self._keep(run, name, packed, file)

    async def _keep(self, run: Run[Wanted], name: str, packed: _Packed, file: IO[bytes]) -> JsonValue:
        size = file.seek(0, os.SEEK_END)
        digest = await asyncio.to_thread(_digest, file)
        decided = packed.decided

        async def keep(db: Db) -> JsonValue:
            await self._staging.keep(db, run.id, f"{name}.zip", "application/zip", file)
            await self._audit.record(
                db,
                "collection.export",
                resource=run.id,
                subjects=sorted(packed.label.subjects),
                details={"collection": name, "documents": packed.documents, "bytes": size},
            )
            return {
                "documents": packed.documents,
                "merges": len(decided.merges),
                "merges_left": decided.merges_left,
                "splits": len(decided.splits),
                "splits_left": decided.splits_left,
                "bytes": size,
                "sha256": digest,
                "artifact": f"/api/v1/jobs/{run.id}/artifact",
            }

        return await run.write("keep", keep)

    async def _pack(self, run: Run[Wanted], name: str, ids: Sequence[str], file: IO[bytes]) -> _Packed:
        entries: list[dict[str, object]] = []
        labels = [run.label]
        total = 0
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, id in enumerate(ids):
                await run.progress(number, len(ids), id)
                try:
                    document = await self._shelf.get(run.scope, id)
                    versions = []
                    for version in sorted(one.version for one in await self._shelf.versions(run.scope, id)):
                        data = await self._read(run.scope, id, version)
                        total += len(data)
                        if total > self._export_bytes_max:
                            most = self._export_bytes_max // 1024**2
                            raise ExportTooLarge(f"The collection holds more than {most} MiB.")
                        versions.append(_version(document, version, data))
                        await asyncio.to_thread(archive.writestr, _entry(str(versions[-1]["file"])), data)
                except UnknownDocument:
                    continue  # deleted meanwhile; what is in the archive of it is named nowhere
                entries.append(_described(document, versions))
                labels.append(document.label)
            async with self._store.under(run.scope) as db:
                kept = await kept_collection(db, name)
                decided = await told(db, [str(one["id"]) for one in entries])
            manifest = {
                "format": FORMAT,
                "collection": name,
                "retention_days": kept.retention_days,
                "members": dict(kept.members),
                "documents": entries,
                "splits": [one.to_wire() for one in decided.splits],
                "merges": [one.to_wire() for one in decided.merges],
            }
            archive.writestr(_entry("manifest.json"), json.dumps(manifest, ensure_ascii=False, indent=1))
        await run.progress(len(ids), len(ids))
        return _Packed(len(entries), decided, Label.join_all(labels))

    async def _read(self, scope: Scope, id: str, version: int) -> bytes:
        async with self._store.under(scope) as db:
            row = await db.row(dict, _ORIGINAL, id=id, version=version)
            if row is None:
                raise UnknownDocument
            return await db.get_blob(row["blob"])


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # wants a name for what it reads


def _past_members(scope: Scope, asked: Doomed) -> bool:
    """What is erased about a person is erased everywhere, by who acts on persons' rights; the job is the record."""
    return asked.subject is not None and not scope.permissions.isdisjoint({"rights:use", MANAGE})


def _entry(place: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(place, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _version(document: Document, version: int, data: bytes) -> dict[str, object]:
    """One version in the manifest; that of today lies beside the folders of those before."""
    older = "" if version == document.version else f"versions/{version}/"
    place = f"documents/{document.id}/{older}{PurePath(document.name).name}"
    return {"version": version, "file": place, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _described(document: Document, versions: Sequence[dict[str, object]]) -> dict[str, object]:
    """A line of the manifest: the document as it is today, and all its versions, the oldest first."""
    wire = document.to_wire()
    kept = (
        "id",
        "name",
        "title",
        "version",
        "media_type",
        "language",
        "bytes",
        "label",
        "metadata",
        "created",
        "updated",
    )
    today = {word: versions[-1][word] for word in ("file", "sha256")}
    return {**today, **{word: wire[word] for word in kept}, "versions": list(versions)}


async def _recorded(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")
