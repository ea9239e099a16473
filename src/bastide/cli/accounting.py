"""`bastide budget`, `bastide rate` and `bastide usage`: what calls may cost, how often, and what they did cost."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.line import segment
from bastide.cli.printing import sheet, table
from bastide.cli.registering import errand

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="tenant, department, app, user, key or model.")]
Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="Which one; * each of them; nothing for the tenant.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, from the list.")]
Period = Annotated[str, typer.Option("--period", help="day, month or total.")]
Eur = Annotated[float | None, typer.Option("--eur", help="Euros.")]
Tokens = Annotated[int | None, typer.Option("--tokens", help="Tokens.")]
Requests = Annotated[int | None, typer.Option("--requests", help="Requests of a minute.")]
Warns = Annotated[bool, typer.Option("--warn", help="It warns only, and stops nothing.")]
Contact = Annotated[str, typer.Option("--contact", help="Whom to ask when it is spent.")]
By = Annotated[str, typer.Option("--by", help="app, user, department, model, endpoint, outcome, day, hour or all.")]
Since = Annotated[str | None, typer.Option("--since", help="From when, such as 2026-11-01T00:00:00Z.")]
Until = Annotated[str | None, typer.Option("--until", help="Until when.")]

_budget = typer.Typer(help="Budgets of calls: euros or tokens of a period.", no_args_is_help=True)
_rate = typer.Typer(help="Rates of calls: requests or tokens of a minute.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the groups, and `usage` beside them."""
    errand(_budget, "list", example="bastide budget list")(list_budgets)
    errand(_budget, "set", example='bastide budget set user "*" --eur 20')(set_budget)
    errand(_budget, "remove", example="bastide budget remove bud_06ar2k8m1v6t7c9d0e1f2g3h4j")(remove_budget)
    errand(_rate, "list", example="bastide rate list")(list_rates)
    errand(_rate, "set", example='bastide rate set app "*" --requests 60')(set_rate)
    errand(_rate, "remove", example="bastide rate remove rat_06ar2k8m1v6t7c9d0e1f2g3h4j")(remove_rate)
    errand(root, "usage", example="bastide usage --by department")(show_usage)
    root.add_typer(_budget, name="budget")
    root.add_typer(_rate, name="rate")


async def list_budgets(desk: "Desk") -> None:
    """List the budgets, with what was spent of each."""
    async with desk.server() as line:
        items = await line.all("/api/v1/budgets")
    columns = ("id", "scope", "subject", "period", "eur", "spent_eur", "tokens", "spent_tokens", "hard")
    desk.say({"budgets": items}, lambda: _listed(items, columns))


async def set_budget(
    desk: "Desk",
    scope: Scope,
    subject: Subject = "",
    period: Period = "month",
    eur: Eur = None,
    tokens: Tokens = None,
    warn: Warns = False,
    contact: Contact = "",
) -> None:
    """Set a budget, in the place of that of the same scope, subject and period."""
    body = {"scope": scope, "subject": subject, "period": period, "eur": eur, "tokens": tokens}
    async with desk.server() as line:
        wire = await line.post("/api/v1/budgets", {**body, "hard": not warn, "contact": contact})
    desk.say(wire, lambda: sheet(wire))


async def remove_budget(desk: "Desk", id: Id) -> None:
    """Remove a budget."""
    async with desk.server() as line:
        wire = await line.delete(f"/api/v1/budgets/{segment(id)}")
    desk.say(wire, lambda: f"Removed {id}.")


async def list_rates(desk: "Desk") -> None:
    """List the rates."""
    async with desk.server() as line:
        items = await line.all("/api/v1/rates")
    desk.say({"rates": items}, lambda: _listed(items, ("id", "scope", "subject", "requests", "tokens")))


async def set_rate(
    desk: "Desk", scope: Scope, subject: Subject = "", requests: Requests = None, tokens: Tokens = None
) -> None:
    """Set a rate, in the place of that of the same scope and subject."""
    body = {"scope": scope, "subject": subject, "requests": requests, "tokens": tokens}
    async with desk.server() as line:
        wire = await line.post("/api/v1/rates", body)
    desk.say(wire, lambda: sheet(wire))


async def remove_rate(desk: "Desk", id: Id) -> None:
    """Remove a rate."""
    async with desk.server() as line:
        wire = await line.delete(f"/api/v1/rates/{segment(id)}")
    desk.say(wire, lambda: f"Removed {id}.")


async def show_usage(desk: "Desk", by: By = "model", since: Since = None, until: Until = None) -> None:
    """Show what calls used: the tenant's, or one's own for who keeps no budgets."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/usage", by=by, since=since, until=until)
    units = [name for name in ("pictures", "seconds", "characters") if any(one.get(name) for one in wire["usage"])]
    columns = ("name", "calls", "tokens_in", "tokens_out", *units, "eur", "estimated", "unpriced")
    desk.say(wire, lambda: _listed(wire["usage"], columns))


def _listed(items: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    return table([[item.get(name) for name in columns] for item in items], columns)
