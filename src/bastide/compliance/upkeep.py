"""Upkeep: the house looks after itself, as jobs that a person or a schedule dispatches and whose results are kept.

    audit.verify     the whole log against its checkpoint         store.backup    an archive of the database
    audit.export     the log as files that anybody can verify     house.health    what is well, and what is not

All four are of the platform: they touch what belongs to no tenant. Verifying is for whoever may verify; the others are
for the operator of the platform. Files are written below the home: `exports/` and `backups/`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from bastide.audit import Audit, log_step
from bastide.errors import BadJob, BastideError
from bastide.inference import Inference
from bastide.knowledge import Knowledge
from bastide.settings import Settings
from bastide.store import Scope, Store
from bastide.workflows import Example, JobType, JsonValue, Limits, Retry, Run, Workflows

OPERATE = "platform:operate"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_FREE_MB_LOW, _FREE_MB_GONE = 2048, 256
_QUEUED_S_LONG = 300.0
_ONCE_MORE = Retry(attempts=2, first_s=5.0)


@dataclass(frozen=True, slots=True)
class Nothing:
    """It needs nothing."""


@dataclass(frozen=True, slots=True)
class Named:
    """How what is written is called, below its folder in the home; the job's id where nothing is said."""

    name: str | None = None


class Upkeep:
    """The code of the platform's own job types."""

    def __init__(
        self, store: Store, audit: Audit, knowledge: Knowledge, inference: Inference, settings: Settings
    ) -> None:
        self._store = store
        self._audit = audit
        self._knowledge = knowledge
        self._inference = inference
        self._home = settings.home
        self._workflows: Workflows | None = None

    def register(self, workflows: Workflows) -> None:
        """Make the types known, before work begins; the health of the queues is then told, too."""
        self._workflows = workflows
        for kind in self.types():
            workflows.register(kind)

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            _long(
                "audit.verify",
                "Verifies the whole audit log from its stored leaves; the first bad index is named.",
                Nothing,
                self._verify,
                Example({}, lambda out: isinstance(out, Mapping) and out["valid"] is True),
                permission="audit:verify",
            ),
            _long(
                "audit.export",
                "Writes the audit log as static files into exports/ below the home, or continues an export.",
                Named,
                self._export,
                Example({"name": "evidence"}, lambda out: isinstance(out, Mapping) and bool(out["folder"])),
            ),
            _long(
                "store.backup",
                "Writes an archive of the database into backups/ below the home; what is sealed stays sealed.",
                Named,
                self._back_up,
                Example({"name": "nightly"}, lambda out: isinstance(out, Mapping) and bool(out["sha256"])),
            ),
            JobType(
                name="house.health",
                about="Looks at every part of the house and says what is well, what is not, and what to do.",
                input=Nothing,
                run=self._look,
                permission=OPERATE,
                limits=Limits(step_s=600.0, per_tenant=1),
                retry=_ONCE_MORE,
                example=Example({}, lambda out: isinstance(out, Mapping) and out["state"] != "broken"),
            ),
        )

    # -- audit and store ----------------------------------------------------------------------------

    async def _verify(self, run: Run[Nothing]) -> JsonValue:
        async def verify() -> JsonValue:
            return cast(JsonValue, asdict(await self._audit.verify()))

        return await run.step("verify", verify)

    async def _export(self, run: Run[Named]) -> JsonValue:
        folder = self._folder("exports", run)

        async def export() -> JsonValue:
            await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
            done = await self._audit.export(folder)
            return cast(JsonValue, {**asdict(done), "folder": str(folder)})

        return await run.step("export", export)

    async def _back_up(self, run: Run[Named]) -> JsonValue:
        place = self._folder("backups", run)

        async def back_up() -> JsonValue:
            done = await self._store.back_up(place)
            async with self._store.under(run.scope) as db:
                await self._audit.record(
                    db, "store.backup", resource=place.name, details={"bytes": done.bytes, "sha256": done.sha256}
                )
            return cast(JsonValue, asdict(done))

        return await run.step("back up", back_up)

    def _folder(self, kind: str, run: Run[Named]) -> Path:
        name = run.input.name or run.id
        if not _NAME.fullmatch(name):
            raise BadJob(f"{name[:80]!r} is no name of a folder: use letters, digits, dot, dash and underscore.")
        return self._home / kind / name

    # -- health -------------------------------------------------------------------------------------

    async def _look(self, run: Run[Nothing]) -> JsonValue:
        async def look() -> JsonValue:
            parts = [
                await self._row_security(),
                await self._log(),
                await self._work(),
                self._models(),
                await self._documents(run.scope),
                await asyncio.to_thread(self._disk),
            ]
            state = next(
                word for word in ("broken", "attention", "ok") if any(part["state"] == word for part in [*parts, _ALL])
            )
            return {"state": state, "parts": parts}

        return await run.step("look", look)

    async def _row_security(self) -> dict[str, JsonValue]:
        try:
            faults = await self._store.lint()
        except BastideError as fault:
            return _part("row security", "broken", fault.message, fault.next_step)
        if faults:
            listed = "; ".join(f"{fault.object}: {fault.rule}" for fault in faults)
            return _part("row security", "broken", f"It could be bypassed: {listed}.", faults[0].next)
        return _part("row security", "ok", "Every table of a tenant is closed to the others.")

    async def _log(self) -> dict[str, JsonValue]:
        health = await self._audit.health()
        if health.problem:
            return _part("audit", "attention", health.problem, log_step(self._audit))
        return _part("audit", "ok", f"{health.size} events in the log, {health.waiting} waiting.")

    async def _work(self) -> dict[str, JsonValue]:
        if self._workflows is None:
            return _part("work", "attention", "The queues were not looked at.")
        health = await self._workflows.health()
        said = (
            f"{health.workers} workers; {health.queued} queued, {health.running} running, {health.waiting} waiting, "
            f"{health.failed} failed."
        )
        if health.stuck:
            return _part("work", "attention", " ".join(health.stuck), "See `bastide job list --status running`.")
        if health.oldest_queued_s > _QUEUED_S_LONG:
            step = "Start another worker (`bastide serve --role worker`), or see what is paused."
            return _part("work", "attention", f"{said} The oldest has waited {health.oldest_queued_s:.0f} s.", step)
        return _part("work", "ok", said)

    def _models(self) -> dict[str, JsonValue]:
        if self._inference.has_embedder():
            return _part("models", "ok", "Texts are embedded on this machine.")
        step = "Name a model folder in BASTIDE_EMBEDDER."
        return _part("models", "attention", "There is no embedding model on this machine.", step)

    async def _documents(self, scope: Scope) -> dict[str, JsonValue]:
        found = await self._knowledge.statistics(scope)
        said = f"{found.documents} documents, {found.chunks} chunks, {found.queued} files waiting in this tenant."
        return _part("knowledge", "ok", said)

    def _disk(self) -> dict[str, JsonValue]:
        free = shutil.disk_usage(self._home).free // 1024**2
        said = f"{free:,} MB free where the home lies."
        state = "ok" if free > _FREE_MB_LOW else "attention" if free > _FREE_MB_GONE else "broken"
        return _part("disk", state, said, "" if state == "ok" else "Make room: PostgreSQL stops when the disk is full.")


def _long(
    name: str,
    about: str,
    input: type[Any],
    run: Callable[[Run[Any]], Awaitable[JsonValue]],
    example: Example,
    *,
    permission: str = OPERATE,
) -> JobType:
    """A type that may take hours, of which one runs at a time."""
    return JobType(
        name=name,
        about=about,
        input=input,
        run=run,
        permission=permission,
        limits=Limits(step_s=4 * 3600.0, run_s=6 * 3600.0, per_tenant=1, overall=1),
        retry=_ONCE_MORE,
        example=example,
    )


def _part(name: str, state: str, message: str, step: str = "") -> dict[str, JsonValue]:
    return {"name": name, "state": state, "message": message, "next": step or None}


_ALL = _part("all", "ok", "")
