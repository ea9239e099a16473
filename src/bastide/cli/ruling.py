"""`bastide approval rule ...` and `... training`: which oversight effects need, who may give it, and how they do."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bastide.cli.line import address
from bastide.cli.printing import sheet, table, when
from bastide.cli.registering import errand

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="A job type, from `bastide job types`.")]
EffectName = Annotated[str | None, typer.Option("--effect", help="One effect of the type.  [default: all of them]")]
Mode = Annotated[
    Literal["none", "informed", "approve", "two_persons"], typer.Option("--mode", help="Which oversight it needs.")
]
Persons = Annotated[
    list[str] | None, typer.Option("--person", metavar="USER", help="Who may decide: id or e-mail; may be repeated.")
]
StandIns = Annotated[
    list[str] | None,
    typer.Option("--stand-in", metavar="USER", help="Who may decide too, after a while; may be repeated."),
]
After = Annotated[
    float | None, typer.Option("--stand-in-after", metavar="SECONDS", min=0, help="After how long the stand-ins may.")
]
Deadline = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", min=1, help="How long a decision may take.")
]
Fallback = Annotated[
    Literal["refuse", "cancel"] | None, typer.Option("--fallback", help="What happens when nobody decides in time.")
]

Competence = Annotated[bool, typer.Option("--trained", help="Only who is recorded as trained may say yes.")]
UserName = Annotated[str, typer.Argument(metavar="USER", help="Id or e-mail.")]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Until when it holds: 2027-11-21T00:00:00Z.")]
Evidence = Annotated[str, typer.Option("--evidence", help="What the training was, and who gave it.")]
Hasty = Annotated[
    float, typer.Option("--hasty", metavar="SECONDS", min=0.1, help="A yes sooner after opening is hasty.")
]
Days = Annotated[int, typer.Option("--days", min=1, max=3660, help="How far back.")]


def add_to(group: typer.Typer) -> None:
    """Register the commands of the group."""
    errand(group, "rules", example="bastide approval rules")(list_rules)
    errand(group, "rule", example="bastide approval rule knowledge.erase --mode two_persons --deadline 86400")(set_rule)
    errand(group, "drop-rule", example="bastide approval drop-rule knowledge.erase")(drop_rule)
    errand(group, "habits", example="bastide approval habits --days 7")(habits)
    errand(group, "trainings", example="bastide approval trainings")(trainings)
    errand(
        group,
        "train",
        example="bastide approval train claire@example.org knowledge.erase --until 2027-11-21T00:00:00Z "
        '--evidence "course of 3 March"',
    )(train)
    errand(group, "untrain", example="bastide approval untrain claire@example.org knowledge.erase")(untrain)


async def list_rules(desk: "Desk") -> None:
    """List which effects of which job types this tenant wants a person to see or to decide."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/oversight-rules")
    desk.say(wire, lambda: _rules(wire["rules"]))


def _rules(rules: list[dict[str, Any]]) -> str:
    columns = ("type", "effect", "mode", "persons", "stand_ins", "deadline_s", "fallback")
    rows = [[one.get(column) for column in columns] for one in rules]
    return table(rows, columns) if rows else "Nothing is set: what each job type asks for by itself holds."


async def set_rule(
    desk: "Desk",
    type: TypeName,
    mode: Mode,
    *,
    effect: EffectName = None,
    person: Persons = None,
    stand_in: StandIns = None,
    stand_in_after: After = None,
    deadline: Deadline = None,
    fallback: Fallback = None,
    trained: Competence = False,
) -> None:
    """Say which oversight an effect of a job type needs; it can only be stricter than the type's own."""
    body = {
        "type": type,
        "effect": effect or "*",
        "mode": mode,
        "persons": person or [],
        "stand_ins": stand_in or [],
        "stand_in_after_s": stand_in_after,
        "deadline_s": deadline,
        "fallback": fallback,
        "competence": trained,
    }
    async with desk.server() as line:
        rule = await line.put("/api/v1/oversight-rules", {n: v for n, v in body.items() if v is not None})
    desk.say(rule, lambda: sheet(rule))


async def drop_rule(desk: "Desk", type: TypeName, effect: EffectName = None) -> None:
    """Drop a rule: from now on what the job type asks for by itself holds, and any other rule."""
    async with desk.server() as line:
        gone = await line.delete(address("/api/v1/oversight-rules", {"type": type, "effect": effect}))
    desk.say(gone, lambda: f"There is no rule any more for {_effects(gone)} of {gone['type']}.")


def _effects(gone: dict[str, Any]) -> str:
    return "all effects" if gone["effect"] == "*" else f"the effect {gone['effect']}"


# -- who decides ------------------------------------------------------------------------------------


async def habits(desk: "Desk", hasty: Hasty = 10.0, days: Days = 30) -> None:
    """Show how each overseer decided lately: how often, how soon after opening, how often otherwise than proposed."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/overseers/habits", hasty_s=hasty, days=days)
    columns = ("who", "agreed", "hastily", "edited", "refused", "looked_s")
    rows = [[one.get(column) for column in columns] for one in wire["habits"]]
    desk.say(wire, lambda: table(rows, columns) if rows else f"Nobody decided anything in {days} days.")


async def trainings(desk: "Desk") -> None:
    """List who was trained to oversee which job types, and until when."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/competences")
    rows = [
        (one["user"], one["type"], when(one["until"]), "yes" if one["holds"] else "no", one["evidence"])
        for one in wire["competences"]
    ]
    columns = ("user", "job type", "until (UTC)", "holds", "evidence")
    desk.say(wire, lambda: table(rows, columns) if rows else "No training is recorded.")


async def train(desk: "Desk", user: UserName, type: TypeName, until: Until, evidence: Evidence) -> None:
    """Record that a person was trained to oversee a job type; nobody records their own."""
    async with desk.server() as line:
        said = {"user": user, "type": type, "until": until, "evidence": evidence}
        wire = await line.put("/api/v1/competences", said)
    desk.say(wire, lambda: sheet(wire))


async def untrain(desk: "Desk", user: UserName, type: TypeName) -> None:
    """Withdraw a record of training; what was decided under it stays."""
    async with desk.server() as line:
        wire = await line.delete(address("/api/v1/competences", {"user": user, "type": type}))
    desk.say(wire, lambda: f"The training of {user} for {type} holds no longer.")
