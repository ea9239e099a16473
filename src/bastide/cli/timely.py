"""`bastide schedule` and `bastide trigger`: jobs that are dispatched by the clock, or by what happens."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.giving import Fields, Input, InputFile, a_field, put_together
from bastide.cli.line import segment
from bastide.cli.printing import sheet, table, when
from bastide.cli.registering import Errand, errand
from bastide.cli.work import as_the_type_takes_it

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

_KINDS = ("document.ingested", "document.deleted", "entity.changed", "job.ended", "metric", "webhook")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="Its id, or its name.")]
TypeName = Annotated[str, typer.Option("--type", metavar="T", help="The job type, from `bastide job types`.")]
Cron = Annotated[str, typer.Option("--cron", help='Minute, hour, day, month, weekday: "0 6 * * 1-5".')]
Zone = Annotated[str, typer.Option("--timezone", help="The zone that the clock is read in, as Europe/Paris.")]
Priority = Annotated[int, typer.Option("--priority", metavar="N", min=-100, max=100, help="Of its jobs.")]
CatchUp = Annotated[
    bool, typer.Option("--catch-up", help="After a pause of the house, make good the last one that was missed.")
]
Count = Annotated[int, typer.Option("--count", min=1, max=100, help="How many times to show.")]
Happening = Annotated[str, typer.Option("--on", metavar="KIND", help=f"One of: {', '.join(_KINDS)}.")]
Filters = Annotated[
    list[Any] | None,
    typer.Option("--filter", metavar="NAME=VALUE", parser=a_field, help="Only where this is so; may be repeated."),
]

_EXAMPLE = {"schedule": "weekly-check", "trigger": "title-new-documents"}
_schedule = typer.Typer(help="Jobs by the clock.", no_args_is_help=True)
_trigger = typer.Typer(help="Jobs by what happens.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the two groups."""
    schedule = 'bastide schedule create weekly-check --type audit.verify --cron "0 6 * * 1" --timezone Europe/Paris'
    errand(_schedule, "create", example=schedule)(create_schedule)
    errand(_schedule, "preview", example='bastide schedule preview --cron "30 2 * * *" --timezone Europe/Paris')(
        preview_schedule
    )
    errand(
        _trigger, "create", example="bastide trigger create title-new-documents --on document.ingested --type title"
    )(create_trigger)
    errand(_trigger, "renew-secret", example="bastide trigger renew-secret from-the-registry")(renew_secret)
    for kind, group in (("schedule", _schedule), ("trigger", _trigger)):
        name = _EXAMPLE[kind]
        errand(group, "list", example=f"bastide {kind} list")(_lister(kind))
        errand(group, "show", example=f"bastide {kind} show {name}")(_shower(kind))
        errand(group, "pause", example=f"bastide {kind} pause {name}")(_changer(kind, "pause", "paused"))
        errand(group, "resume", example=f"bastide {kind} resume {name}")(_changer(kind, "resume", "active again"))
        errand(group, "delete", example=f"bastide {kind} delete {name}")(_deleter(kind))
        root.add_typer(group, name=kind)


async def create_schedule(
    desk: "Desk",
    name: Name,
    type: TypeName,
    cron: Cron,
    timezone: Zone = "UTC",
    *,
    input: Input = None,
    input_file: InputFile = None,
    field: Fields = None,
    priority: Priority = 0,
    catch_up: CatchUp = False,
) -> None:
    """Have a job dispatched by the clock, in a zone with its daylight saving, as the person who makes this."""
    body: dict[str, Any] = {
        "name": name,
        "type": type,
        "cron": cron,
        "timezone": timezone,
        "priority": priority,
        "catch_up": catch_up,
    }
    given = put_together(input, input_file, field)
    async with desk.server() as line:
        body["input"] = await as_the_type_takes_it(line, type, given) if field else given
        made = await line.post("/api/v1/schedules", body)
    desk.say(made, lambda: sheet(made))


async def preview_schedule(desk: "Desk", cron: Cron, timezone: Zone = "UTC", count: Count = 5) -> None:
    """Show when a schedule would fire next; nothing is made."""
    async with desk.server() as line:
        wire = await line.post("/api/v1/schedules:preview", {"cron": cron, "timezone": timezone, "count": count})
    desk.say(wire, lambda: "\n".join(wire["times"]))


async def create_trigger(
    desk: "Desk",
    name: Name,
    type: TypeName,
    on: Happening,
    *,
    filter: Filters = None,
    input: Input = None,
    input_file: InputFile = None,
    field: Fields = None,
    priority: Priority = 0,
) -> None:
    """Have a job dispatched whenever something happens; a webhook's secret is shown this once."""
    body: dict[str, Any] = {
        "name": name,
        "on": on,
        "type": type,
        "filter": put_together(None, None, filter),
        "priority": priority,
    }
    given = put_together(input, input_file, field)
    async with desk.server() as line:
        body["input"] = await as_the_type_takes_it(line, type, given) if field else given
        made = await line.post("/api/v1/triggers", body)
    desk.say(made, lambda: _with_secret(made))


async def renew_secret(desk: "Desk", which: Which) -> None:
    """Make a new secret for a webhook, shown this once; the old one is good for a day more."""
    async with desk.server() as line:
        made = await line.post(f"/api/v1/triggers/{segment(which)}:renew-secret")
    desk.say(made, lambda: _with_secret(made))


def _with_secret(made: dict[str, Any]) -> str:
    text = sheet(made)
    if not made.get("secret"):
        return text
    return f"{text}\n\nSend signed requests to {made['address']}.\nKeep the secret now: it is not shown again."


# -- both -------------------------------------------------------------------------------------------

_COLUMNS = {
    "schedule": ("name", "type", "cron", "timezone", "next (UTC)", "paused"),
    "trigger": ("name", "on", "type", "filter", "paused"),
}


def _lister(kind: str) -> Errand:
    async def show_all(desk: "Desk") -> None:
        async with desk.server() as line:
            items = await line.all(f"/api/v1/{kind}s")
        desk.say({f"{kind}s": items}, lambda: table([_row(kind, one) for one in items], _COLUMNS[kind]))

    show_all.__name__ = f"list_{kind}s"
    show_all.__doc__ = f"List the {kind}s."
    return show_all


def _row(kind: str, one: dict[str, Any]) -> list[Any]:
    shown = {**one, "next (UTC)": when(one.get("next_at"))}
    return [shown.get(column) or None for column in _COLUMNS[kind]]


def _shower(kind: str) -> Errand:
    async def show(desk: "Desk", which: Which) -> None:
        async with desk.server() as line:
            wire = await line.get(f"/api/v1/{kind}s/{segment(which)}")
        desk.say(wire, lambda: sheet(wire))

    show.__name__ = f"show_{kind}"
    show.__doc__ = f"Show one {kind}."
    return show


def _changer(kind: str, verb: str, said: str) -> Errand:
    async def change(desk: "Desk", which: Which) -> None:
        async with desk.server() as line:
            wire = await line.post(f"/api/v1/{kind}s/{segment(which)}:{verb}")
        desk.say(wire, lambda: f"{which} is {said}.")

    change.__name__ = f"{verb}_{kind}"
    change.__doc__ = {
        "pause": f"Let one {kind} dispatch nothing until it is resumed.",
        "resume": f"Let one {kind} dispatch again.",
    }[verb]
    return change


def _deleter(kind: str) -> Errand:
    async def delete(desk: "Desk", which: Which) -> None:
        async with desk.server() as line:
            wire = await line.delete(f"/api/v1/{kind}s/{segment(which)}")
        desk.say(wire, lambda: f"{which} is deleted.")

    delete.__name__ = f"delete_{kind}"
    delete.__doc__ = f"Delete one {kind}; the jobs that it has dispatched stay."
    return delete
