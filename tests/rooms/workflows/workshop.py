"""A workshop: workflows with job types that fail in every way, on the session's database.

One type, `fault.act`, does what its input names; the others have the limits of the same code set otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bastide.app import House
from bastide.errors import BadRequest, Unavailable
from bastide.policy import Label
from bastide.settings import WorkSettings
from bastide.store import Scope
from bastide.workflows import Dispatched, Job, JobRecord, JobType, JsonValue, Limits, Retry, Run, Workflows

Act = Callable[["Workshop", "Run[Asked]"], Awaitable[JsonValue]]
ACTS: dict[str, Act] = {}

QUICK = WorkSettings(concurrency=8, heartbeat_s=0.5, stale_s=3.0, poll_s=0.3, grace_s=1.0)


@dataclass(frozen=True)
class Asked:
    """What to do, and with what."""

    do: str
    text: str = ""
    number: int = 0
    seconds: float = 0.0


def act(given: Act) -> Act:
    """Name a behaviour after its function."""
    ACTS[given.__name__] = given
    return given


@dataclass
class Workshop:
    """Workflows at work, and what the handlers saw."""

    house: House
    workflows: Workflows
    family: str = "fault"  # before the types' names; another family is not taken by another workshop's worker
    calls: Counter[str] = field(default_factory=Counter)  # by job
    begun: list[tuple[str, str, float]] = field(default_factory=list)  # (job, text, when)
    at_work: Counter[str] = field(default_factory=Counter)  # by tenant, now
    most: Counter[str] = field(default_factory=Counter)  # by tenant, at most
    attempts: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, scope: Scope, do: str, *, type: str = "act", **given: Any) -> str:
        """Dispatch; the id. What is no field of the input is a field of the job."""
        fields = {name: given.pop(name) for name in ("text", "number", "seconds") if name in given}
        return (await self.put_job(scope, Job(f"{self.family}.{type}", {"do": do, **fields}, **given))).id

    async def put_job(self, scope: Scope, job: Job) -> Dispatched:
        """Dispatch."""
        return await self.workflows.dispatch(scope, job)

    async def end(self, scope: Scope, id: str, *, timeout_s: float = 60) -> JobRecord:
        """The job, ended."""
        record = await self.workflows.result(scope, id, timeout_s=timeout_s)
        assert record.ended, f"it has not ended: {record.status}, {record.why}"
        return record

    async def did(self, scope: Scope, do: str, **given: Any) -> JobRecord:
        """Dispatch and wait for the end."""
        return await self.end(scope, await self.put(scope, do, **given))

    async def until(self, scope: Scope, id: str, *statuses: str, timeout_s: float = 60) -> JobRecord:
        """The job, once it is in one of these states."""
        deadline = time.monotonic() + timeout_s
        while (record := await self.workflows.job(scope, id)).status not in statuses:
            assert time.monotonic() < deadline, f"{record.status}: {record.why} {record.problem}"
            await asyncio.sleep(0.02)
        return record


def types_of(workshop: Workshop) -> list[JobType]:
    """The types, whose handlers tell this workshop."""

    async def run(run: Run[Asked]) -> JsonValue:
        tenant = run.scope.tenant
        workshop.calls[run.id] += 1
        workshop.begun.append((run.id, run.input.text, time.monotonic()))
        workshop.at_work[tenant] += 1
        workshop.most[tenant] = max(workshop.most[tenant], workshop.at_work[tenant])
        try:
            return await ACTS[run.input.do](workshop, run)
        finally:
            workshop.at_work[tenant] -= 1

    quick = Retry(attempts=3, first_s=0.05, factor=1.0)
    kind = partial(JobType, about="Fails as asked.", input=Asked, run=run, permission="work:run")
    family = workshop.family
    plain = kind(f"{family}.act", limits=Limits(step_s=0.7, per_tenant=100), retry=quick)
    return [
        plain,
        replace(plain, name=f"{family}.once", retry=Retry(attempts=1)),
        replace(plain, name=f"{family}.brief", limits=Limits(run_s=0.7)),
        replace(plain, name=f"{family}.narrow", limits=Limits(per_tenant=2)),
        replace(plain, name=f"{family}.single", limits=Limits(per_tenant=1)),
        replace(plain, name=f"{family}.overall", limits=Limits(overall=2)),
        replace(plain, name=f"{family}.rated", limits=Limits(rate=3, rate_s=2.0)),
        replace(plain, name=f"{family}.daily", limits=Limits(rate=3, rate_s=86_400.0)),
        replace(plain, name=f"{family}.public", limits=Limits(class_max="internal")),
        replace(plain, name=f"{family}.new", version=3, compatible_from=2),
        replace(plain, name=f"{family}.labelled", label=lambda given, label: Label(subjects=frozenset({given.text}))),
    ]


@asynccontextmanager
async def opened(
    house: House, settings: WorkSettings = QUICK, *, work: bool = True, family: str = "fault"
) -> AsyncIterator[Workshop]:
    """A workshop on the rooms of the house. Two with the same family share their queue, as two processes do."""
    workflows = Workflows(house.store, house.audit, house.tenancy, house.policy, settings)
    workshop = Workshop(house, workflows, family)
    for kind in types_of(workshop):
        workflows.register(kind)
    await workflows.start(work=work)
    try:
        yield workshop
    finally:
        await workflows.stop()


def giving(value: JsonValue) -> Callable[[], Awaitable[JsonValue]]:
    """A step that gives this."""

    async def give() -> JsonValue:
        return value

    return give


# -- what a handler may do ------------------------------------------------------------------------------


@act
async def returns(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """One step, and its text."""
    return await run.step("give", giving(run.input.text))


@act
async def naps(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Keep the worker for a while, between steps."""
    await asyncio.sleep(run.input.seconds)
    return await run.step("give", giving(run.input.text))


@act
async def hangs(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """A step that does not end by itself."""

    async def for_ever() -> JsonValue:
        await asyncio.Event().wait()
        return None

    return await run.step("hang", for_ever)


@act
async def hangs_outside(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """The handler itself does not end, between steps."""
    await asyncio.Event().wait()
    return None


UNUSABLE: dict[str, Any] = {
    "object": object(),
    "nan": float("nan"),
    "bytes": b"bytes",
    "set": {1},
    "surrogate": "\ud800",
    "function": len,
    "key": {(1, 2): 3},
}


@act
async def gives_unusable(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """A step that gives something that is not JSON."""
    if run.input.text == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        return await run.step("give", giving(cycle))
    return await run.step("give", giving(UNUSABLE[run.input.text]))


@act
async def returns_unusable(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """The handler itself returns it."""
    return UNUSABLE[run.input.text]  # type: ignore[no-any-return]


@act
async def gives_much(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Many bytes."""
    return await run.step("give", giving("x" * run.input.number))


@act
async def raises_in_clean_up(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """A hanging step, and a clean-up that fails."""
    try:
        return await hangs(workshop, run)
    finally:
        raise RuntimeError("the clean-up failed")


@act
async def swallows_cancel(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """A handler that does not obey, and goes on to a further step."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(run.input.seconds)
    try:
        return await run.step("after", giving("after"))
    except BaseException as fault:
        workshop.attempts[run.id].append(type(fault).__name__)
        raise


@act
async def blocks(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Never awaits: the whole loop stands still."""

    async def block() -> JsonValue:
        time.sleep(run.input.seconds)
        return "blocked"

    return await run.step("block", block)


@act
async def raises(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Fail as named, with a recorded step before it."""
    await run.step("before", partial(_counted, workshop, run, "before"))
    match run.input.text:
        case "refusal":
            raise BadRequest("This input is refused.")
        case "unavailable":
            raise Unavailable("Something else is away.")
        case "exit":
            raise SystemExit(3)
        case _:
            raise ValueError(f"no {run.input.text}")


@act
async def mends(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Fail until attempt `number`."""
    first = await run.step("first", partial(_counted, workshop, run, "first"))
    if run.attempt < run.input.number:
        raise Unavailable("Not yet.")
    return [first, await run.step("second", partial(_counted, workshop, run, "second"))]


async def _counted(workshop: Workshop, run: Run[Asked], step: str) -> JsonValue:
    workshop.calls[f"{run.id}/{step}"] += 1
    return workshop.calls[f"{run.id}/{step}"]


@act
async def waits_for_gate(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Work until the test opens the gate, then take a step."""
    await workshop.gate.wait()
    return await run.step("after", giving("after"))


@act
async def sleeps(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Let go of the worker for a while."""
    before = await run.step("before", partial(_counted, workshop, run, "before"))
    await run.sleep("nap", run.input.seconds)
    return [before, "woken"]


@act
async def listens(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Wait for the signal `go`."""
    before = await run.step("before", partial(_counted, workshop, run, "before"))
    return [before, await run.signal("go", timeout_s=run.input.seconds or None)]


@act
async def fans_out(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """`number` parts; the one whose number is `text` fails."""
    kind = "fault.once"
    parts = [
        Job(kind, {"do": "raises", "text": "x"} if str(n) == run.input.text else {"do": "returns", "text": str(n)})
        for n in range(run.input.number)
    ]
    return [[one.status, one.output, one.problem and one.problem.code] for one in await run.fan_out("parts", parts)]


@act
async def fans_out_hanging(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Parts that do not end by themselves."""
    await run.fan_out("parts", [Job("fault.once", {"do": "hangs_outside"}) for _ in range(run.input.number)])
    return None


@act
async def tells_progress(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Forward, then backward, then forward."""
    for done in (1, 5, 3, 7, 2, 10):
        await run.progress(done, 10, note=f"at {done}")
        await asyncio.sleep(0.25)
    return None


@act
async def spends(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """A hundred tokens a step, `number` times."""
    for turn in range(run.input.number):
        await run.spent(tokens_in=60, tokens_out=40, eur=0.01)
        await run.step("turn", giving(turn))
    return run.input.number


@act
async def tightens(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """See something restricted, then fan out."""
    await run.tighten(Label(cls="restricted", subjects=frozenset({"person:ada"})))
    (part,) = await run.fan_out("parts", [Job("fault.act", {"do": "returns", "text": "part"})])
    return [run.label.cls, part.id]


@act
async def repeats_name(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """The same name three times."""
    return [await run.step("same", giving(number)) for number in range(3)]


@act
async def secrets(workshop: Workshop, run: Run[Asked]) -> JsonValue:
    """Content in everything that is kept."""
    await run.step("content", giving({"kept": run.input.text}))
    await run.signal("go")
    if run.input.number:
        raise ValueError(run.input.text)
    return {"given": run.input.text}
