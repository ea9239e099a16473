"""Sight: a job as it is, why it waits in plain words, and all that happened to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bastide.policy import Label
from bastide.settings import WorkSettings
from bastide.store import Db, Query, queries
from bastide.workflows.decisions import told
from bastide.workflows.ending import problem_of
from bastide.workflows.registry import Registry
from bastide.workflows.values import JobRecord, Moment, Progress, Spent, Trace

_Q = queries("bastide.workflows")
_PAUSES, _LANES, _WORKERS, _AT_WORK = _Q["pauses"], _Q["lanes"], _Q["workers"], _Q["at_work_of"]
_AHEAD, _BEGUN, _MOMENTS, _STEPS = _Q["ahead"], _Q["begun_lately"], _Q["moments"], _Q["steps_of"]


async def record_of(db: Db, row: Mapping[str, Any], *, why: str = "", full: bool = True) -> JobRecord:
    """The job that a row tells of; `full` opens what is sealed."""
    id, output = row["id"], None
    if full and row["output"]:
        output = json.loads(await db.unseal(row["output"], about=f"workflows.run|{id}|output"))
    done, total = row["children"] or (row["progress_done"], row["progress_total"])
    waits = row["status"] in {"waiting", "delayed"}
    return JobRecord(
        id=id,
        type=row["type"],
        version=row["version"],
        status=row["status"],
        priority=row["priority"],
        label=Label.from_wire(row["label"]),
        attempt=row["attempt"],
        progress=Progress(done, total, row["progress_note"]),
        spent=Spent(row["tokens_in"], row["tokens_out"], row["eur"]),
        revision=row["revision"],
        created_at=row["created_at"],
        due_at=row["wake_at"] or row["due_at"],
        deadline=row["deadline"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        parent=row["parent"],
        origin=row["origin"],
        user=row["user_id"],
        waits_for=(row["waits_for"] or "time") if waits else None,
        why=why,
        output=output,
        problem=await problem_of(db, id, row["problem_code"], row["problem"]) if full else None,
    )


class _Asked:
    """What the database was asked in one transaction: each question once, for all jobs that are looked at."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._known: dict[tuple[object, ...], list[tuple[Any, ...]]] = {}

    async def rows(self, query: Query, **values: Any) -> list[tuple[Any, ...]]:
        """The rows, asked for or remembered."""
        place = (query.name, *values.items())
        if place not in self._known:
            self._known[place] = await self._db.rows(tuple, query, **values)
        return self._known[place]


class Sight:
    """Says why a job waits, and tells its story."""

    def __init__(self, registry: Registry, settings: WorkSettings) -> None:
        self._registry = registry
        self._settings = settings

    async def why(self, db: Db, row: Mapping[str, Any]) -> str:
        """Why this job does not run now; "" when it runs or has ended."""
        return await self._why(_Asked(db), row, alone=True)

    async def whys(self, db: Db, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The same of each of these jobs; however many they are, what is asked is asked once for all, or for a type."""
        asked = _Asked(db)
        return [await self._why(asked, row, alone=False) for row in rows]

    async def _why(self, asked: _Asked, row: Mapping[str, Any], *, alone: bool) -> str:  # noqa: PLR0911 one sentence a state
        match row["status"]:
            case "delayed" if row["failures"]:
                return (
                    f"Attempt {row['attempt']} failed ({row['problem_code']}); the next begins {_at(row['wake_at'])}."
                )
            case "delayed":
                return f"It is not due before {_at(row['wake_at'])}."
            case "waiting":
                return _waiting(row)
            case "stopping":
                return "It was asked to stop; its worker is letting go of it."
            case "handed":
                return "It is next: a worker will take it at once."
            case "queued":
                return await self._queued(asked, row, alone=alone)
            case _:
                return ""

    # Asked in the order in which the feeder asks.
    async def _queued(self, asked: _Asked, row: Mapping[str, Any], *, alone: bool) -> str:
        kind = row["type"]
        paused = {name for (name,) in await asked.rows(_PAUSES)}
        if paused & {"*", kind}:
            return f"The platform's operator has paused {'all work' if '*' in paused else kind}."
        workers = await asked.rows(_WORKERS, stale_s=self._settings.stale_s)
        if not workers:
            return "No worker is running. Start one: `bastide serve --role worker`."
        able = [worker for worker in workers if _can(worker[3], kind, row["version"])]
        if not able:
            return f"None of the {len(workers)} running workers knows {kind} version {row['version']}."
        lanes = {lane[0]: lane for lane in await asked.rows(_LANES)}
        if held := _lane_paused(lanes, kind) or await self._crowded(asked, row, lanes):
            return held
        taken = f"the workers take {sum(worker[2] for worker in able)} at a time, in turns among tenants."
        if not alone:  # to count who is before it takes longer the more there are
            return f"It waits for its turn; {taken}"
        ((ahead,),) = await asked.rows(_AHEAD, id=row["id"])
        return f"{ahead} jobs of its type are before it; {taken}"

    async def _crowded(self, asked: _Asked, row: Mapping[str, Any], lanes: Mapping[str, Any]) -> str:
        """Which limit of the tenant or the type is reached; "" for none."""
        kind = row["type"]
        known = self._registry.runnable(kind, row["version"])
        own = lanes.get(kind)
        ((of_kind, of_all),) = await asked.rows(_AT_WORK, type=kind)
        limit = (own and own[2]) or (known.limits.per_tenant if known else None)
        if limit is not None and of_kind >= limit:
            return f"{of_kind} jobs of type {kind} are at work, and this tenant may have {limit} at a time."
        if "*" in lanes and lanes["*"][2] and of_all >= lanes["*"][2]:
            return f"{of_all} jobs are at work, and this tenant may have {lanes['*'][2]} at a time."
        rate, per = (
            (own[3], own[4]) if own and own[3] else (known.limits.rate, known.limits.rate_s) if known else (0, 0)
        )
        if rate and (await asked.rows(_BEGUN, type=kind, seconds=per))[0][0] >= rate:
            return f"{rate} jobs of type {kind} were begun in the last {per:g} seconds, which is the limit."
        return ""

    async def trace(self, db: Db, record: JobRecord) -> Trace:
        """The job with its time line."""
        moments = [Moment(record.created_at, "dispatched", f"{record.type} was dispatched.")]
        if record.started_at:
            moments.append(Moment(record.started_at, "begun", "A worker began it.", 1))
        for at, kind, name, attempt, took_ms in await db.rows(tuple, _STEPS, run=record.id):
            said = {"children": f"{name}: its parts were dispatched.", "sleep": f"{name}: a waiting time was set."}
            moments.append(Moment(at, kind, said.get(kind, f"{name} was done."), attempt, took_ms, {"name": name}))
        for at, kind, attempt, facts in await db.rows(tuple, _MOMENTS, run=record.id):
            moments.append(Moment(at, kind, _said(kind, facts), attempt, None, facts))
        if record.ended_at:
            moments.append(Moment(record.ended_at, "ended", f"It ended: {record.status}.", record.attempt))
        return Trace(record, tuple(sorted(moments, key=lambda moment: (moment.kind == "ended", moment.at))))


def _lane_paused(lanes: Mapping[str, Any], kind: str) -> str:
    for name, word in ((kind, kind), ("*", "all work of this tenant")):
        if name in lanes and lanes[name][1]:
            return f"{word[0].upper()}{word[1:]} is paused; resume it with `bastide job lane '{name}' --resume`."
    return ""


def _can(types: Mapping[str, list[int]], kind: str, version: int) -> bool:
    known = types.get(kind)
    return known is not None and known[0] <= version <= known[1]


def _waiting(row: Mapping[str, Any]) -> str:
    what, _, name = (row["waits_for"] or "time").partition(" ")
    until = f", at most until {_at(row['wake_at'])}" if row["wake_at"] else ""
    match what:
        case "children":
            done, total = row["children"] or (0, 0)
            return f"It waits for its parts: {done} of {total} have ended."
        case "signal":
            return f"It waits for the signal {name}{until}."
        case "together":
            return f"It is done together with {name}, which is at work."
        case "approval":
            return f"A person must decide: `bastide approval show {name}`{until}."
        case _:
            return f"It sleeps until {_at(row['wake_at'])}."


def _said(kind: str, facts: Mapping[str, Any]) -> str:  # noqa: PLR0911 one sentence a kind
    match kind:
        case "failed":
            return f"The attempt failed: {facts.get('code')}" + ("; it is tried again." if facts.get("again") else ".")
        case "taken over":
            return "Its worker was not heard of any more; the run went back to the queue."
        case "taken along":
            return f"{facts.get('by')} does it together with its own."
        case "given back":
            return "Its worker stopped and gave it back; that is no failure."
        case "waiting":
            return f"It waits for {facts.get('for')}."
        case "woken":
            return f"It goes on: {facts.get('by')}."
        case "approval":
            return told(facts)
        case "stop":
            return "Somebody asked to stop it."
        case "retry":
            return "Somebody asked to try it again."
        case _:
            return kind[:1].upper() + kind[1:] + "."


def _at(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "later"
