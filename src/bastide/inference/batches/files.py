"""Files: kept sealed for some days, seen by whoever handed them in, deleted with all that came of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from bastide.audit import Audit
from bastide.errors import BadFile, BatchFileTooLarge, FileInUse, FilesFull, JobEnded, UnknownFile, UnknownJob
from bastide.inference.batches.handed import doom
from bastide.inference.batches.lines import declared
from bastide.inference.batches.values import StoredFile
from bastide.policy import Label, personal_kind
from bastide.store import Db, Json, Page, Scope, Store, is_id, new_id, queries
from bastide.workflows import Workflows

_Q = queries("bastide.inference")
_ADD, _FILES, _FROM_OLDEST = _Q["add_file"], _Q["files"], _Q["files_from_the_oldest"]
_DELETE, _DELETE_LINES, _DELETE_OUTPUTS = _Q["delete_file"], _Q["delete_lines"], _Q["delete_outputs"]
_OF_FILE, _DELETE_BATCHES = _Q["batches_of_file"], _Q["delete_batches"]
_EXPIRED, _OLD_BATCHES = _Q["expired_files"], _Q["old_batches"]
_ABOUT, _BATCHES_ABOUT = _Q["files_about"], _Q["batches_about"]
_BYTES_KEPT, _LINES_PAGE = _Q["bytes_kept"], _Q["lines_page"]

BYTES_MAX: Final = 100 * 1024 * 1024
KEPT_S: Final = 30 * 86_400
"""How long a file is kept unless something else is said: as long as OpenAI keeps those of batches."""

PURPOSE: Final = "batch"
_KEPT_S_MIN: Final = 3600
_PURPOSES_ELSEWHERE: Final = frozenset({"assistants", "fine-tune", "vision", "user_data", "evals"})
_LISTED_MAX: Final = 10_000
_NAME_MAX: Final = 500
_PAGE: Final = 200  # lines of an output in one look
_BATCH_DAYS: Final = 30


class Files:
    """The files of all tenants."""

    def __init__(self, store: Store, audit: Audit, workflows: Workflows, *, bytes_max: int) -> None:
        """`bytes_max` of files are kept for each tenant; what comes of a batch counts, and is never refused."""
        self._bytes_max = bytes_max
        self._store = store
        self._audit = audit
        self._workflows = workflows

    async def add(
        self, scope: Scope, name: str, data: bytes, *, label: Label, purpose: str = PURPOSE, keep_s: int | None = None
    ) -> StoredFile:
        """Keep a file of calls for `keep_s` seconds. What its days are over of goes first.

        Its label is that of who hands it in, joined with what its lines say and with what is found in them.
        Raises BadFile, BatchFileTooLarge, FilesFull.
        """
        scope.need("model:use")
        _check(name, data, purpose)
        keep_s = kept_s(keep_s, "expires_after.seconds")
        said = Label.of_scope(scope).join(label)
        found = await asyncio.to_thread(_looked_into, data)
        whole = said.join(found)
        await self.sweep(scope)
        async with self._store.under(scope) as db:
            kept = int(await db.value(_BYTES_KEPT))
            if kept + len(data) > self._bytes_max:
                told = f"This tenant keeps {kept:,} bytes of files, and may keep {self._bytes_max:,}."
                raise FilesFull(told, param="file", bytes_kept=kept, bytes_max=self._bytes_max)
            row = await db.row(
                dict,
                _ADD,
                id=new_id("file"),
                name=name,
                bytes=len(data),
                blob=await db.put_blob(data),
                said=Json(said.to_wire()),
                label=Json(whole.to_wire()),
                subjects=sorted(whole.subjects),
                keep_s=keep_s,
                **owner(scope),
            )
            assert row is not None, "an insert that returns"
            made = _file(row)
            await self._audit.record(
                db, "file.add", resource=made.id, subjects=sorted(whole.subjects), details={"bytes": made.bytes}
            )
        return made

    async def get(self, scope: Scope, id: str) -> StoredFile:
        """One file. Raises UnknownFile, also for one of somebody else."""
        scope.need("model:use")
        async with self._store.under(scope) as db:
            return await file_of(db, scope, id)

    async def list(
        self,
        scope: Scope,
        *,
        purpose: str | None = None,
        cursor: str | None = None,
        limit: int = _LISTED_MAX,
        oldest_first: bool = False,
    ) -> Page[StoredFile]:
        """The files that the scope may see, newest first unless asked otherwise; `cursor` is the last one seen."""
        scope.need("model:use")
        limit = max(1, min(limit, _LISTED_MAX))
        asked: dict[str, Any] = {"purpose": purpose, "after": cursor, "limit": limit + 1, **seen_by(scope)}
        async with self._store.under(scope) as db:
            if oldest_first:
                rows = await db.rows(dict, _FROM_OLDEST, **asked)
            else:
                rows = await db.rows(dict, _FILES, ids=None, **asked)
        items = tuple(_file(row) for row in rows[:limit])
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def content(self, scope: Scope, id: str) -> tuple[StoredFile, AsyncGenerator[bytes]]:
        """A file and its bytes, piece by piece. That it was read is recorded. Raises UnknownFile."""
        scope.need("model:use")
        async with self._store.under(scope) as db:
            found = await file_of(db, scope, id)
            whole = None if found.blob is None else await db.get_blob(found.blob)
            await self._audit.record(db, "file.read", resource=id, subjects=sorted(found.label.subjects))
        return found, self._pieces(scope, found, whole)

    async def _pieces(self, scope: Scope, file: StoredFile, whole: bytes | None) -> AsyncGenerator[bytes]:
        if whole is not None:
            yield whole
            return
        after = 0
        while True:
            async with self._store.under(scope) as db:  # one look a page: whoever reads slowly holds no transaction
                rows = await db.rows(tuple, _LINES_PAGE, batch=file.batch, failed=file.errors, after=after, limit=_PAGE)
                lines = [await db.unseal(sealed, about=about(str(file.batch), n)) for n, sealed in rows]
            if not rows:
                return
            after = rows[-1][0]
            yield b"".join(lines)

    async def delete(self, scope: Scope, id: str, *, derived: bool = False) -> None:
        """Delete a file; `derived` also the batches that were made of it, with all that came of them.

        Raises UnknownFile, and FileInUse while a batch reads it, which `derived` stops.
        """
        scope.need("model:use")
        async with self._store.under(scope) as db:
            await file_of(db, scope, id)
            live = [job for _, job, live in await db.rows(tuple, _OF_FILE, files=[id]) if live]
        for job in live:
            if not derived:
                raise FileInUse(f"A batch still reads {id}.", file=id)
            await stopped(self._workflows, scope, job)
        async with self._store.under(scope) as db:
            file = await file_of(db, scope, id)
            if derived:
                await _forget(db, [one for one, _, _ in await db.rows(tuple, _OF_FILE, files=[id])])
            await _delete(db, id)
            await self._audit.record(
                db, "file.delete", resource=id, subjects=sorted(file.label.subjects), details={"derived": derived}
            )

    async def sweep(self, scope: Scope) -> int:
        """Delete what is past its days; how many files."""
        swept = 0
        while True:
            async with self._store.under(scope) as db:
                rows = await db.rows(tuple, _EXPIRED)
                for _, blob, batch, errors in rows:
                    await _drop(db, blob, batch, errors)
                await db.run(_OLD_BATCHES, days=_BATCH_DAYS)
            swept += len(rows)
            if not rows:
                return swept

    @staticmethod
    async def forget_about(db: Db, subject: str) -> int:
        """Delete the files about a person and all that came of them, in this transaction; how many files.

        What still works on one of them fails for good at its next line.
        """
        files = await db.rows(tuple, _ABOUT, subject=subject)
        for _, blob in files:
            if blob is not None:
                await db.drop_blob(blob)
        ids = [id for id, _ in files]
        await _forget(db, [id for (id,) in await db.rows(tuple, _BATCHES_ABOUT, subject=subject, files=ids)])
        return len(files)


async def stopped(workflows: Workflows, scope: Scope, job: str, *, wait_s: float = 10.0) -> None:
    """Stop the job of a batch, if it has not ended meanwhile."""
    try:
        await workflows.cancel(scope, job, reason="its batch was cancelled", wait_s=wait_s)
    except (JobEnded, UnknownJob):
        return


async def file_of(db: Db, scope: Scope, id: str) -> StoredFile:
    """A file that this scope may see. Raises UnknownFile."""
    if is_id(id, "file"):
        row = await db.row(dict, _FILES, ids=[id], purpose=None, after=None, limit=1, **seen_by(scope))
        if row is not None:
            return _file(row)
    raise UnknownFile(f"There is no file {id[:80]!r} here.")


def seen_by(scope: Scope) -> dict[str, object]:
    """The parameters that say whose files and batches a scope sees: who may steer all work sees all."""
    return {"mine": "work:manage" not in scope.permissions, "user": scope.user, "key": scope.key}


def owner(scope: Scope) -> dict[str, object]:
    """Whose a new file or batch is."""
    return {"user": scope.user, "app": scope.app, "key": scope.key}


def about(batch: str, n: int) -> str:
    """What the seal of a line is bound to."""
    return f"inference.batch_line|{batch}|{n}"


def kept_s(seconds: int | None, field: str) -> int:
    """How long something is kept. Raises BadFile for less than an hour or more than thirty days."""
    if seconds is None:
        return KEPT_S
    if not _KEPT_S_MIN <= seconds <= KEPT_S:
        raise BadFile(f"A file is kept for {_KEPT_S_MIN:,} to {KEPT_S:,} seconds.", param=field)
    return seconds


def _check(name: str, data: bytes, purpose: str) -> None:
    if purpose in _PURPOSES_ELSEWHERE:
        raise BadFile(f"Files for {purpose} are not kept here; the one purpose is {PURPOSE}.", param="purpose")
    if purpose != PURPOSE:
        raise BadFile(f"There is no such purpose; the one purpose is {PURPOSE}.", param="purpose")
    if not 0 < len(name) <= _NAME_MAX or not name.isprintable():
        raise BadFile(f"A file's name has 1 to {_NAME_MAX} printable characters.", param="file")
    if not data:
        raise BadFile("The file is empty.", param="file")
    if len(data) > BYTES_MAX:
        raise BatchFileTooLarge(f"The file has {len(data):,} bytes; at most {BYTES_MAX:,} are kept.", param="file")


def _looked_into(data: bytes) -> Label:
    said = declared(data) or Label()
    return said.join(Label(personal=personal_kind(data)))


async def _forget(db: Db, batches: list[str]) -> None:
    """Batches with their lines and outputs go; what of them lies at a provider is withdrawn."""
    await doom(db, batches=batches)
    await db.run(_DELETE_OUTPUTS, batches=batches)
    await db.run(_DELETE_BATCHES, ids=batches)


async def _delete(db: Db, id: str) -> None:
    row = await db.row(tuple, _DELETE, id=id)
    if row is None:
        raise UnknownFile(f"There is no file {id[:80]!r} here.")
    await _drop(db, *row)


async def _drop(db: Db, blob: str | None, batch: str | None, errors: bool | None) -> None:
    if blob is not None:
        await db.drop_blob(blob)
    else:
        await db.run(_DELETE_LINES, batch=batch, failed=errors)


def _file(row: dict[str, Any]) -> StoredFile:
    return StoredFile(**{**row, "said": Label.from_wire(row["said"]), "label": Label.from_wire(row["label"])})
