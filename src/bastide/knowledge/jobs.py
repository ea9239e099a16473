"""Jobs of the intake: one file as one job, and a folder as the parent of many.

    knowledge.ingest    reads, cuts and embeds a file, then writes the document and the end of the step in one
                        transaction: whatever dies, a file is taken in once. Files of a folder that wait go along
    knowledge.intake    gathers files until it is closed, waits for their jobs, and says what became of each

A file that cannot be read is no failed job: what it gives says `refused`, and why. A job that failed all the same
(its worker died again and again) counts as refused where the intake sums up, and its file is kept for a retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

from bastide.errors import AlreadyThere, BadOption, Contended
from bastide.knowledge import bounds
from bastide.knowledge.intake import Given, Intake
from bastide.knowledge.metadata import checked
from bastide.knowledge.placement import Placement
from bastide.knowledge.staging import CLOSED, INGEST, INTAKE, Staging
from bastide.knowledge.together import File, Together
from bastide.knowledge.values import IngestedDocument
from bastide.policy import Label
from bastide.store import Db
from bastide.workflows import Ended, Example, JobType, JsonValue, Limits, Retry, Run

WRITE = "knowledge:write"
LISTED_MAX = 10_000
"""So many files are named where an intake sums up, those that were refused before all others."""

_AT_ONCE = 4  # files of one tenant at a time: reading is CPU, and a document's embeddings fill the embedder
_TOLD_S = 1.0
_LABEL = Label.from_wire


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files of an intake go."""

    collection: str = "default"


class IntakeJobs:
    """The code of both types."""

    def __init__(
        self, intake: Intake, together: Together, staging: Staging, placement: Placement, *, idle_s: float
    ) -> None:
        """`idle_s`: an intake that got no file for so long closes by itself."""
        self._intake = intake
        self._together = together
        self._staging = staging
        self._placement = placement
        self._idle_s = idle_s

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name=INGEST,
                about="Takes one file in: read, cut, embedded, and written once, whatever dies meanwhile.",
                input=File,
                run=self._ingest,
                permission=WRITE,
                limits=Limits(input_bytes_max=8 * 1024 * 1024, step_s=900.0, per_tenant=_AT_ONCE),
                retry=Retry(attempts=5, first_s=1.0),
                label=_label_of,
                example=Example(
                    {"name": "gate.md", "text": "# Gate\n\nThe east gate opens at eight.", "collection": "notes"},
                    lambda out: isinstance(out, Mapping) and out["status"] in {"ready", "unchanged"},
                    "A short note becomes a document.",
                ),
            ),
            JobType(
                name=INTAKE,
                about="Gathers files until it is closed, waits for their jobs, and says what became of each.",
                input=Folder,
                run=self._gather,
                permission=WRITE,
                limits=Limits(per_tenant=64, output_bytes_max=32 * 1024 * 1024),
                internal=True,
            ),
        )

    # -- one file -----------------------------------------------------------------------------------

    async def _ingest(self, run: Run[File]) -> JsonValue:
        if run.remembered("document") is not None:  # written in an earlier attempt: its staged bytes are gone
            return await run.write("document", _done_before)
        asked = run.input
        said = checked(asked.metadata or {})
        where = bounds.collection(asked.collection)
        given = Given(bounds.name(asked.name), await self._bytes(run), where, run.label, said)
        out = await self._together.ingest(run, given) or await self._alone(run, given)
        if isinstance(out, Mapping) and out["status"] == "ready":
            self._placement.consider_soon(run.scope)
        return out

    async def _alone(self, run: Run[File], given: Given) -> JsonValue:
        asked = run.input
        async with _pages_told(run) as heard:
            act = await self._intake.ready(run.scope, given, vectors=asked.vectors, chain=run.chain, heard=heard)

        async def write(db: Db) -> JsonValue:
            done = await act(db)
            if asked.staged is not None:
                await self._staging.give_up(db, asked.staged)
            return cast(JsonValue, asdict(done))

        try:
            return await run.write("document", write)
        except AlreadyThere as fault:  # the same name came in between: another attempt finds it
            raise Contended from fault

    async def _bytes(self, run: Run[File]) -> bytes:
        asked = run.input
        if (asked.staged is None) == (asked.text is None):
            raise BadOption("A file comes as `text` or as `staged` bytes: name one of the two.", option="text")
        if asked.text is not None:
            return asked.text.encode("utf-8", "replace")
        return await self._staging.take(run.scope, str(asked.staged))

    # -- a folder -----------------------------------------------------------------------------------

    # 1. files come until somebody says that they were all, or none came for long
    # 2. the door is closed, so that no file comes that nobody waits for
    # 3. the jobs of the files end, one way or another
    # 4. what became of them is summed up, and the intake's own row goes
    async def _gather(self, run: Run[Folder]) -> JsonValue:
        while await run.signal(CLOSED, timeout_s=self._idle_s) is None:
            if not await run.step("look", partial(self._staging.came_within, run.scope, run.id, self._idle_s)):
                break
        await run.write("close", partial(self._close, run.id))
        ended = await run.join()
        return await run.write("sum", partial(self._sum, run.id, ended))

    async def _close(self, job: str, db: Db) -> JsonValue:
        await self._staging.shut(db, job)
        return None

    async def _sum(self, job: str, ended: Sequence[Ended], db: Db) -> JsonValue:
        lost = [one.id for one in ended if one.status != "done"]
        names = await self._staging.settle(db, job, lost)
        documents = [_outcome(one, names) for one in ended]
        counts = {word: sum(one["status"] == word for one in documents) for word in ("ready", "unchanged", "refused")}
        if len(documents) > LISTED_MAX:
            documents.sort(key=lambda one: one["status"] != "refused")
        return cast(
            JsonValue,
            {
                "documents": documents[:LISTED_MAX],
                "ingested": counts["ready"],
                "unchanged": counts["unchanged"],
                "refused": counts["refused"],
                "chunks": sum(one["chunks"] for one in documents if one["status"] == "ready"),
                "files": len(documents),
            },
        )


@asynccontextmanager
async def _pages_told(run: Run[File]) -> AsyncGenerator[Callable[[int, int], None]]:
    """What the reader says of its pages is told of the job, once a second."""
    read = [(0, 0)]

    async def tell() -> None:
        told = read[0]
        while True:
            await asyncio.sleep(_TOLD_S)
            if read[0] != told:
                told = read[0]
                await run.progress(*told, "pages read")

    telling = asyncio.create_task(tell())
    try:
        yield lambda done, total: read.__setitem__(0, (done, total))
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)  # a run that was taken over finds out when it writes


def _label_of(asked: File, label: Label) -> Label:
    said = _LABEL(asked.label or {}, default=label)
    bounds.subjects(said.subjects | frozenset(asked.subjects))
    return said.join(Label(subjects=frozenset(asked.subjects)))


async def _done_before(db: Db) -> JsonValue:
    raise AssertionError("a step that was recorded is not repeated")


def _outcome(one: Ended, names: Mapping[str, str]) -> dict[str, Any]:
    """What became of one file, its job named."""
    if one.status == "done":
        return {**cast("dict[str, Any]", one.output), "job": one.id}
    error: dict[str, object] = {
        "code": "workflows.cancelled",
        "message": "The job of this file was cancelled.",
        "next": f"`bastide job retry {one.id}` takes it in after all.",
    }
    if one.problem is not None:
        error = one.problem.to_wire()
    return {**asdict(IngestedDocument(None, names.get(one.id, one.id), "refused")), "error": error, "job": one.id}
