"""`bastide provider` and `bastide policy`: what is known of each place, and what may go there."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.line import segment
from bastide.cli.printing import sheet, table, wrap
from bastide.cli.registering import errand
from bastide.errors import BadPolicy, MissingFile

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

RecordId = Annotated[str, typer.Argument(metavar="ID", help="The record's id, from `bastide provider list`.")]
ClassName = Annotated[str | None, typer.Option("--class", help="public, internal, confidential, restricted or secret.")]
Personal = Annotated[
    str | None, typer.Option("--personal", help="none, pseudonymised, personal, special, criminal or minor.")
]
Wanted = Annotated[str, typer.Argument(metavar="NAME", help="A model or a route, as calls name it.")]
Capability = Annotated[str, typer.Option("--capability", help="What it would be used for.")]
Draft = Annotated[Path, typer.Argument(metavar="FILE", help="A policy as YAML or JSON, with the cases it is tried on.")]

Calls = Annotated[int, typer.Option("--calls", min=1, max=100_000, help="How many of the last calls.")]

_provider = typer.Typer(help="Provider records: what is known of each place, on what evidence.", no_args_is_help=True)
_policy = typer.Typer(help="The tenant's own rules.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the two groups."""
    errand(_provider, "list", example="bastide provider list")(list_records)
    errand(_provider, "show", example="bastide provider show local/onnx")(show_record)
    errand(_provider, "explain", example="bastide provider explain local/onnx --class confidential")(explain)
    errand(_policy, "show", example="bastide policy show --json")(show_policy)
    errand(_policy, "test", example="bastide policy test draft.yaml")(test_policy)
    errand(_policy, "replay", example="bastide policy replay draft.yaml --calls 500")(replay_policy)
    root.add_typer(_provider, name="provider")
    root.add_typer(_policy, name="policy")


async def list_records(desk: "Desk") -> None:
    """List the provider records."""
    async with desk.server() as line:
        items = await line.all("/api/v1/providers")
    columns = ("id", "title", "kind", "enabled")
    desk.say({"providers": items}, lambda: table([[item.get(column) for column in columns] for item in items], columns))


async def show_record(desk: "Desk", id: RecordId) -> None:
    """Show one record: every fact with its evidence, source and date."""
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/providers/{segment(id)}")
    desk.say(wire, lambda: sheet(wire))


async def explain(
    desk: "Desk", id: RecordId, class_name: ClassName = None, personal: Personal = None, capability: Capability = "chat"
) -> int:
    """Say whether bytes of a class may go to this provider, and which rules say no.

    Exit status 0 if they may, 1 if not.
    """
    return await _explained(desk, {"provider": id, "capability": capability}, class_name, personal)


async def explain_model(
    desk: "Desk",
    name: Wanted,
    class_name: ClassName = None,
    personal: Personal = None,
    capability: Capability = "chat",
) -> int:
    """Say which models a name leads to may be asked with bytes of a class, in which order, and why the others not.

    Exit status 0 if one may, 1 if none.
    """
    return await _explained(desk, {"model": name, "capability": capability}, class_name, personal)


async def _explained(desk: "Desk", asked: dict[str, str], class_name: str | None, personal: str | None) -> int:
    label = {name: value for name, value in (("class", class_name), ("personal", personal)) if value}
    async with desk.server() as line:
        wire = await line.post("/api/v1/decisions:explain", {**asked, "label": label})
    desk.say(wire, lambda: _explanation(wire))
    return 0 if wire["allowed"] else 1


async def show_policy(desk: "Desk") -> None:
    """Show the tenant's policy."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/policies")
    desk.say(wire, lambda: sheet(wire))


async def test_policy(desk: "Desk", file: Draft) -> int:
    """Say what a draft would decide, without putting it into force.

    Exit status 1 if one of the draft's cases comes out differently from what it expects.
    """
    draft = _read(Path(file))
    async with desk.server() as line:
        wire = await line.post("/api/v1/policies:test", {"text": draft})
    desk.say(wire, lambda: _trials(wire["trials"]))
    return 0 if all(trial["ok"] for trial in wire["trials"]) else 1


async def replay_policy(desk: "Desk", file: Draft, calls: Calls = 1000) -> int:
    """Say what a draft would have decided of past calls, where they could have gone, and what it would have cost.

    Exit status 1 if it would have refused calls that no other endpoint could have taken.
    """
    draft = _read(Path(file))
    async with desk.server() as line:
        wire = await line.post("/api/v1/decisions:replay", {"text": draft, "calls": calls})
    desk.say(wire, lambda: _replayed(wire))
    return 1 if wire["without_alternative"] else 0


def _replayed(wire: dict[str, Any]) -> str:
    if not wire["calls"]:
        return "No call of a model is on record yet."
    lines = [f"{wire['calls']} calls since {wire['since']}: {wire['allowed']} as before, {wire['refused']} refused."]
    for one in wire["changes"]:
        instead = one["alternative"] or "nothing that is allowed"
        said = f"{one['calls']} calls to {one['endpoint']}. {one['why']} Instead: {instead}."
        lines.append(wrap(said, "     ", ""))
    cost = wire["cost"]
    lines.append(f"Cost at today's prices: {cost['before']:.4f} before, {cost['after']:.4f} after.")
    if cost["calls_without_price"]:
        lines.append(f"{cost['calls_without_price']} calls have no known price and are not in it.")
    if wire["unreadable"]:
        lines.append(f"{wire['unreadable']} receipts could not be read.")
    return "\n".join(lines)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError as fault:
        raise MissingFile(f"There is no {file}.") from fault
    except UnicodeDecodeError as fault:
        raise BadPolicy(f"{file} is not text in UTF-8.") from fault


def _place(one: dict[str, Any]) -> str:
    return f"{one['name']} ({one['endpoint']})" if one.get("name") else str(one["endpoint"])


def _explanation(wire: dict[str, Any]) -> str:
    lines = [wrap(f"yes  {_place(one)}", "     ", "") for one in wire["allowed"]]
    for one in wire["denied"]:
        lines.append(wrap(f"no   {_place(one)}: {', '.join(one['rules'])}. {one['why']}", "     ", ""))
    if (nearest := wire.get("nearest")) and not wire["allowed"]:
        needs = "; ".join(need.removesuffix(".") for need in nearest.get("needs") or ())
        lines.append(wrap(f"Nearest: {_place(nearest)}" + (f". It would need: {needs}." if needs else ".")))
    return "\n".join(lines) or "No endpoint is known for this."


def _trials(trials: list[dict[str, Any]]) -> str:
    rows = [
        (
            "ok" if trial["ok"] else "DIFFERS",
            "yes" if trial["allowed"] else "no",
            trial["endpoint"],
            json.dumps(trial["label"]),
            ", ".join(trial["rules"]),
        )
        for trial in trials
    ]
    return table(rows, ("", "allowed", "endpoint", "label", "rules that say no"))
