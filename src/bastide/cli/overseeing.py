"""`bastide approval`: what waits for a person, what exactly is proposed, and the person's decision."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli import ruling
from bastide.cli.giving import a_value, an_object
from bastide.cli.line import Line, segment
from bastide.cli.printing import sheet, table, when, wrap
from bastide.cli.registering import errand

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

_STANDINGS = ("pending", "approved", "refused", "taken_over", "stopped", "expired", "withdrawn", "informed", "seen")
_MODES = {
    "none": "nobody is asked",
    "informed": "persons are informed",
    "approve": "one person must approve",
    "two_persons": "two persons must approve",
}

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="The approval's id, apr_...")]
OfStatus = Annotated[str | None, typer.Option("--status", help=f"One of: {', '.join(_STANDINGS)}.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the log.")]
NeededReason = Annotated[str, typer.Option("--reason", help="Why; whoever asked for the job reads it.")]
Arguments = Annotated[
    Any, typer.Option("--input", metavar="JSON", parser=an_object, help="The arguments that are right.")
]
Result = Annotated[
    Any, typer.Option("--result", metavar="JSON", parser=a_value, help="What came of it, done by a person.")
]
_approval = typer.Typer(help="What waits for a person's decision.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    some = "apr_06ar2k8m1v6t7c9d0e1f2g3h4j"
    errand(_approval, "list", example="bastide approval list --status pending")(list_approvals)
    errand(_approval, "show", example=f"bastide approval show {some}")(show_approval)
    errand(_approval, "approve", example=f"bastide approval approve {some}")(approve)
    errand(_approval, "refuse", example=f'bastide approval refuse {some} --reason "wrong recipient"')(refuse)
    errand(_approval, "edit", example=f"""bastide approval edit {some} --input '{{"to": "ada@example.org"}}'""")(edit)
    errand(_approval, "take-over", example=f"""bastide approval take-over {some} --result '{{"sent": true}}'""")(
        take_over
    )
    errand(_approval, "stop", example=f"bastide approval stop {some}")(stop_approval)
    errand(_approval, "seen", example=f"bastide approval seen {some}")(seen)
    ruling.add_to(_approval)
    root.add_typer(_approval, name="approval")


async def list_approvals(desk: "Desk", status: OfStatus = None) -> None:
    """List what waits, or has waited, for a decision."""
    async with desk.server() as line:
        found = await line.all("/api/v1/approvals", status=status)
    desk.say({"approvals": found}, lambda: _approvals(found))


def _approvals(found: list[dict[str, Any]]) -> str:
    rows = [(one["id"], one["type"], one["effect"], one["status"], when(one.get("deadline"))) for one in found]
    return table(rows, ("id", "job type", "effect", "status", "until (UTC)")) if rows else "Nothing waits for a person."


async def show_approval(desk: "Desk", id: ApprovalId) -> None:
    """Show what is proposed, for which job, until when, who may decide, and what was decided so far.

    That it was shown, and to whom, is written to the log.
    """
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/approvals/{segment(id)}")
    desk.say(wire, lambda: _proposal(wire))


def _proposal(wire: dict[str, Any]) -> str:
    facts = {
        "id": wire["id"],
        "job": f"{wire['job']}, {wire['type']}",
        "effect": wire["effect"],
        "status": wire["status"],
        "oversight": _MODES.get(wire["mode"], wire["mode"]),
        "asked for by": wire["dispatched_by"],
        "label": wire["label"].get("class"),
        "who decides": wire["persons"] or "everybody who oversees work",
        "stand-ins": [*wire["stand_ins"], f"from {when(wire['stand_in_at'])} UTC"] if wire["stand_ins"] else None,
        "until (UTC)": f"{when(wire['deadline'])}, then: {wire['fallback']}",
        "yours to approve": wire["yours"],
        "digest": wire["digest"],
    }
    parts = [sheet({name: value for name, value in facts.items() if value is not None})]
    if wire.get("shown"):
        parts.append("What a person must see\n" + wrap(wire["shown"], "  "))
    if wire.get("arguments") is not None:
        head = "Arguments, as a person changed them" if wire["edited"] else "Arguments"
        parts.append(f"{head}\n" + wrap(json.dumps(wire["arguments"], ensure_ascii=False, indent=2), "  "))
    if wire["verdicts"]:
        parts.append("Said so far\n" + "\n".join(_verdict(one) for one in wire["verdicts"]))
    return "\n\n".join(parts)


def _verdict(one: dict[str, Any]) -> str:
    why = f": {one['reason']}" if one.get("reason") else ""
    return wrap(f"{when(one['at'])}  {one['who']} {one['verdict'].replace('_', ' ')}{why}", "    ", "  ")


async def approve(desk: "Desk", id: ApprovalId, reason: Reason = "") -> None:
    """Approve what is proposed now; should it change in between, nothing is approved."""
    await _decide(desk, id, "approve", {"reason": reason})


async def refuse(desk: "Desk", id: ApprovalId, reason: NeededReason) -> None:
    """Refuse: the effect does not happen, and the job is told why."""
    await _decide(desk, id, "refuse", {"reason": reason})


async def edit(desk: "Desk", id: ApprovalId, input: Arguments, reason: Reason = "") -> None:
    """Put other arguments in place of the proposed ones, and approve those."""
    await _decide(desk, id, "edit", {"arguments": input, "reason": reason})


async def take_over(desk: "Desk", id: ApprovalId, result: Result, reason: Reason = "") -> None:
    """Say that a person did it instead, and what came of it; the job goes on with that."""
    await _decide(desk, id, "take-over", {"result": result, "reason": reason})


async def stop_approval(desk: "Desk", id: ApprovalId, reason: Reason = "") -> None:
    """Stop the whole job that asks; once this is acknowledged, it has not one effect more."""
    async with desk.server() as line:
        wire = await line.post(f"/api/v1/approvals/{segment(id)}:stop", {"reason": reason})
    desk.say(wire, lambda: f"{id}: stopped.")


async def seen(desk: "Desk", id: ApprovalId) -> None:
    """Acknowledge a notice: somebody has seen what was done."""
    async with desk.server() as line:
        wire = await line.post(f"/api/v1/approvals/{segment(id)}:see")
    desk.say(wire, lambda: f"{wire['id']} is {wire['status']}.")


async def _decide(desk: "Desk", id: str, verb: str, body: dict[str, Any]) -> None:
    async with desk.server() as line:
        digest = await _digest(line, id)
        wire = await line.post(f"/api/v1/approvals/{segment(id)}:{verb}", {**body, "digest": digest})
    desk.say(wire, lambda: _decided(wire))


async def _digest(line: Line, id: str) -> str:
    """What the proposal is at this moment: a decision is bound to it.

    Taken from the list, which shows nobody what is proposed: a yes needs that the person has opened it before.
    """
    waiting = await line.all("/api/v1/approvals", status="pending")
    return next((str(one["digest"]) for one in waiting if one["id"] == id), "")


def _decided(wire: dict[str, Any]) -> str:
    if wire["status"] == "pending":
        return f"{wire['id']}: noted. Another person must agree too."
    return f"{wire['id']} is {wire['status'].replace('_', ' ')}. The job: bastide job show {wire['job']}"
