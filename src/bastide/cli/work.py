"""`bastide job`: what is to be done, how far it is, why it waits, and what became of it."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.following import PATIENCE_S, follow, shown, state, told
from bastide.cli.giving import Fields, Input, InputFile, fitted, put_together
from bastide.cli.line import segment
from bastide.cli.printing import how_long, sheet, table, when, wrap
from bastide.cli.registering import errand
from bastide.cli.running import find

if TYPE_CHECKING:
    from bastide.cli.desk import Desk
    from bastide.cli.line import Line

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, job_...")]
TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="A job type, from `bastide job types`.")]
SomeType = Annotated[str | None, typer.Argument(metavar="[TYPE]", help="One job type only.")]
OfStatus = Annotated[
    str | None,
    typer.Option("--status", help="delayed, queued, running, waiting, stopping, done, failed or cancelled."),
]
OfType = Annotated[str | None, typer.Option("--type", help="Jobs of this type only.")]
All = Annotated[bool, typer.Option("--all", help="Every one, not the newest fifty only.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end, or only say its id.")]
Priority = Annotated[int, typer.Option("--priority", metavar="N", min=-100, max=100, help="Among our own jobs.")]
Delay = Annotated[float | None, typer.Option("--delay", metavar="SECONDS", min=0, help="Begin not before so long.")]
Key = Annotated[str | None, typer.Option("--key", metavar="K", help="The same key and type give the same job, once.")]
ClassName = Annotated[str | None, typer.Option("--class", help="public, internal, confidential, restricted or secret.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the job.")]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", metavar="N", min=1, help="At most so many at a time.")
]
Rate = Annotated[int | None, typer.Option("--rate", metavar="N", min=1, help="Begin at most so many ...")]
Per = Annotated[
    float | None, typer.Option("--per", metavar="SECONDS", min=0.001, help="... in so many seconds.  [default: 60]")
]
Paused = Annotated[bool | None, typer.Option("--pause/--resume", help="Begin none of them; or begin them again.")]
Patience = Annotated[
    float, typer.Option("--patience", metavar="SECONDS", min=0, help="How long a server that is away is waited for.")
]

_LISTED, _MINUTE_S = 50, 60.0
_job = typer.Typer(help="Durable work: what is to be done, how far it is, why it waits.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    some = "job_06ar2k8m1v6t7c9d0e1f2g3h4j"
    errand(_job, "list", example="bastide job list --status failed")(list_jobs)
    errand(_job, "show", example=f"bastide job show {some}")(show_job)
    errand(_job, "trace", example=f"bastide job trace {some}")(trace_job)
    errand(_job, "run", example="bastide job run summarise --field text=@report.txt")(run_job)
    errand(_job, "follow", example=f"bastide job follow {some}")(follow_job)
    errand(_job, "cancel", example=f'bastide job cancel {some} --reason "no longer needed"')(cancel_job)
    errand(_job, "retry", example=f"bastide job retry {some}")(retry_job)
    errand(_job, "types", example="bastide job types summarise")(job_types)
    errand(_job, "lanes", example="bastide job lanes --json")(list_lanes)
    errand(_job, "lane", example="bastide job lane summarise --concurrency 2 --rate 30 --per 60")(set_lane)
    errand(_job, "pause", example="bastide job pause")(pause_work)
    errand(_job, "resume", example="bastide job resume")(resume_work)
    root.add_typer(_job, name="job")


async def list_jobs(desk: "Desk", *, status: OfStatus = None, type: OfType = None, all: All = False) -> None:
    """List the jobs, the newest first."""
    async with desk.server() as line:
        if all:
            jobs, more = await line.all("/api/v1/jobs", status=status, type=type), False
        else:
            page = await line.get("/api/v1/jobs", status=status, type=type, limit=_LISTED)
            jobs, more = page["jobs"], page["next"] is not None
    note = f"\n\nThe newest {_LISTED}; --all shows every one." if more else ""
    desk.say({"jobs": jobs}, lambda: _jobs(jobs) + note)


def _jobs(jobs: list[dict[str, Any]]) -> str:
    rows = [(one["id"], one["type"], state(one), when(one["created_at"]), one.get("why") or "") for one in jobs]
    return table(rows, ("id", "type", "state", "made (UTC)", "why it waits")) if rows else "There is no job here."


async def show_job(desk: "Desk", id: JobId) -> None:
    """Show one job: where it stands, why it waits, what it used, what came out."""
    async with desk.server() as line:
        job = await line.get(f"/api/v1/jobs/{segment(id)}")
    desk.say(job, lambda: _job_sheet(job))


def _job_sheet(job: dict[str, Any]) -> str:
    spent = job["spent"]
    facts = {
        "id": job["id"],
        "type": f"{job['type']}, version {job['version']}",
        "state": state(job),
        "why it waits": job.get("why"),
        "label": job["label"].get("class"),
        "attempt": job["attempt"] or None,
        "spent": f"{spent['tokens_in']} tokens in, {spent['tokens_out']} out, {spent['eur']:.4f} EUR"
        if any(spent.values())
        else None,
        "made (UTC)": when(job["created_at"]),
        "begins (UTC)": when(job["due_at"]) if job["status"] == "delayed" else None,
        "ended (UTC)": when(job["ended_at"]) if job["ended_at"] else None,
        "deadline (UTC)": when(job["deadline"]) if job["deadline"] else None,
        "part of": job.get("parent"),
        "asked for by": job.get("origin") or job.get("user"),
    }
    parts = [sheet({name: value for name, value in facts.items() if value is not None})]
    if error := job.get("error"):
        parts.append(told(error))
    if job.get("output") is not None:
        parts.append(shown(job["output"]))
    return "\n\n".join(parts)


async def trace_job(desk: "Desk", id: JobId) -> None:
    """Show all that happened to a job, oldest first: steps, attempts, waits, decisions."""
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/jobs/{segment(id)}/timeline")
    desk.say(wire, lambda: _timeline(wire))


def _timeline(wire: dict[str, Any]) -> str:
    rows = [
        (when(one["at"], exact=True), one["said"], one["attempt"] or None, how_long(one["took_ms"]))
        for one in wire["timeline"]
    ]
    job = wire["job"]
    return f"{job['id']}  {job['type']}  {state(job)}\n\n" + table(rows, ("at (UTC)", "what", "attempt", "took"))


async def run_job(
    desk: "Desk",
    type: TypeName,
    *,
    input: Input = None,
    input_file: InputFile = None,
    field: Fields = None,
    wait: Wait = True,
    priority: Priority = 0,
    delay: Delay = None,
    key: Key = None,
    class_name: ClassName = None,
    patience: Patience = PATIENCE_S,
) -> int:
    """Ask for a job and follow it to its end; Ctrl-C leaves the job running.

    Exit status 0 if the job is done, 1 if it failed or was cancelled. With --no-wait: 0 once it is accepted.
    """
    body: dict[str, Any] = {"type": type, "priority": priority}
    body |= {"delay_s": delay} if delay is not None else {}
    body |= {"key": key} if key is not None else {}
    body |= {"label": {"class": class_name}} if class_name is not None else {}
    given = put_together(input, input_file, field)
    async with desk.server() as line:
        body["input"] = await as_the_type_takes_it(line, type, given) if field else given
        made = await line.post("/api/v1/jobs", body)
        if wait:
            return await follow(desk, line, made["id"], patience_s=patience)
    desk.say(made, lambda: _accepted(made))
    _say_if_nobody_works(desk)
    return 0


async def as_the_type_takes_it(line: "Line", type: str, given: dict[str, Any]) -> dict[str, Any]:
    """Fields that were given one by one, with a list of one where the type takes lists."""
    known = await line.get(f"/api/v1/job-types/{segment(type)}")
    return fitted(given, known["input"])


def _accepted(made: dict[str, Any]) -> str:
    head = f"{made['id']} is accepted." if made["fresh"] else f"{made['id']} was there already."
    return f"{head} Follow it with `bastide job follow {made['id']}`."


def _say_if_nobody_works(desk: "Desk") -> None:
    if not desk.as_json and find(desk.settings.home) is None:
        print("No server runs on this home: jobs wait until one does, with `bastide up`.", file=sys.stderr)


async def follow_job(desk: "Desk", id: JobId, patience: Patience = PATIENCE_S) -> int:
    """Follow a job to its end and show what came out; Ctrl-C leaves the job running.

    Should the server go away, it is tried again, at growing intervals, for as long as --patience says.
    Exit status 0 if the job is done, 1 if it failed or was cancelled, or the server stayed away.
    """
    async with desk.server() as line:
        return await follow(desk, line, id, patience_s=patience)


async def cancel_job(desk: "Desk", id: JobId, *, reason: Reason = "") -> None:
    """Stop a job, and all that it has asked for; once it says cancelled, nothing more of it happens."""
    async with desk.server() as line:
        job = await line.post(f"/api/v1/jobs/{segment(id)}:cancel", {"reason": reason})
    desk.say(job, lambda: _cancelled(job))


def _cancelled(job: dict[str, Any]) -> str:
    if job["status"] == "stopping":
        return wrap(f"{job['id']} is stopping: its worker has been told. Look with `bastide job show {job['id']}`.")
    return f"{job['id']} is {job['status']}."


async def retry_job(desk: "Desk", id: JobId, *, input: Input = None) -> None:
    """Begin a failed or cancelled job again; what it had finished is not repeated.

    With --input it begins anew with that, unless it has had effects already.
    """
    body = {"input": input} if input is not None else {}
    async with desk.server() as line:
        job = await line.post(f"/api/v1/jobs/{segment(id)}:retry", body)
    desk.say(job, lambda: f"{job['id']} is {state(job)}. Follow it with `bastide job follow {job['id']}`.")
    _say_if_nobody_works(desk)


async def job_types(desk: "Desk", type: SomeType = None) -> None:
    """List what can be asked for; or show one type: its input, limits, effects, and an example."""
    async with desk.server() as line:
        if type is not None:
            one = await line.get(f"/api/v1/job-types/{segment(type)}")
            desk.say(one, lambda: _type_sheet(one))
            return
        found = await line.get("/api/v1/job-types")
    types = found["job_types"]
    desk.say({"job_types": types}, lambda: _types(types))


def _types(types: list[dict[str, Any]]) -> str:
    size = max((len(one["name"]) for one in types), default=0)
    return "\n".join(wrap(one["about"], " " * (size + 2), one["name"].ljust(size + 2)) for one in types)


def _type_sheet(one: dict[str, Any]) -> str:
    limits = {name: value for name, value in one["limits"].items() if value is not None}
    facts = {
        "name": f"{one['name']}, version {one['version']}, tier {one['tier']}",
        "does": one["about"],
        "needs": one["permission"],
        "tried": f"{one['attempts']} times at most",
        **{f"limit: {name}": value for name, value in limits.items()},
        **{f"effect: {name}": f"{effect['about']} (oversight: {effect['oversight']})"
           for name, effect in one["effects"].items()},
    }  # fmt: skip
    parts = [sheet(facts), "Input\n\n" + _fields(one["input"])]
    if one.get("example"):
        example = json.dumps(one["example"], ensure_ascii=False)
        quoted = example.replace("'", "'\\''")
        parts.append(f"Example\n  bastide job run {one['name']} --input '{quoted}'")
    return "\n\n".join(parts)


def _fields(schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        (name, _kind(field), "needed" if name in needed else json.dumps(field.get("default")))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(rows, ("field", "kind", "default")) if rows else "none"


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items') or {})}"
    return str(field.get("type") or field.get("$ref", "JSON").rpartition("/")[2])


# -- how much at a time -----------------------------------------------------------------------------


async def list_lanes(desk: "Desk") -> None:
    """List what this tenant has set for its job types: pauses, how many at a time, how fast."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/lanes")
    columns = ("type", "paused", "concurrency", "rate", "rate_s")
    rows = [[one.get(column) for column in columns] for one in wire["lanes"]]
    desk.say(
        {"lanes": wire["lanes"]}, lambda: table(rows, columns) if rows else "Nothing is set: the types' own limits."
    )


async def set_lane(
    desk: "Desk",
    type: TypeName,
    *,
    paused: Paused = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    per: Per = None,
) -> None:
    """Set how this tenant's jobs of a type (or `*`, all of them) are begun; what is not named stays as it is."""
    said = {"paused": paused, "concurrency": concurrency, "rate": rate, "rate_s": per}
    async with desk.server() as line:
        lanes = (await line.get("/api/v1/lanes"))["lanes"]
        before: dict[str, Any] = next((one for one in lanes if one["type"] == type), {})
        changed = {name: before.get(name) if value is None else value for name, value in said.items()}
        changed["paused"] = bool(changed["paused"])
        if changed["rate"] is not None and changed["rate_s"] is None:
            changed["rate_s"] = _MINUTE_S
        lane = await line.put("/api/v1/lanes", {"type": type, **changed})
    desk.say(lane, lambda: sheet(lane))


async def pause_work(desk: "Desk", type: SomeType = None) -> None:
    """Begin no more jobs, of all tenants; what runs is finished. For the operator of the platform."""
    async with desk.server(within=False) as line:
        wire = await line.post("/api/v1/work:pause", {"type": type or "*"})
    desk.say(wire, lambda: f"{_what(type)} begin no more. Go on with `bastide job resume{_named(type)}`.")


async def resume_work(desk: "Desk", type: SomeType = None) -> None:
    """Begin jobs again after a pause. For the operator of the platform."""
    async with desk.server(within=False) as line:
        wire = await line.post("/api/v1/work:resume", {"type": type or "*"})
    desk.say(wire, lambda: f"{_what(type)} begin again.")


def _what(type: str | None) -> str:
    return f"Jobs of type {type}" if type else "Jobs of every type"


def _named(type: str | None) -> str:
    return f" {type}" if type else ""
