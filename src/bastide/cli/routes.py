"""`bastide route add|list|show|remove`: a name for several models."""

from typing import TYPE_CHECKING, Annotated

import typer

from bastide.cli.line import segment
from bastide.cli.printing import sheet, table
from bastide.cli.registering import errand

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called; used like a model's name.")]
Members = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Models or other routes, in the order in which they are asked.")
]
Order = Annotated[
    str, typer.Option("--order", metavar="O", help="listed, price (cheapest first) or latency (fastest first).")
]
Hedge = Annotated[
    int | None,
    typer.Option("--hedge-ms", metavar="N", min=1, help="Ask a second one when the first has not begun by then."),
]

_route = typer.Typer(help="Names for several models: the first that may and can answers.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    errand(_route, "add", example="bastide route add writer mistral ovh-a ovh-b --order price")(add_route)
    errand(_route, "list", example="bastide route list")(list_routes)
    errand(_route, "show", example="bastide route show writer")(show_route)
    errand(_route, "remove", example="bastide route remove writer")(remove_route)
    root.add_typer(_route, name="route")


async def add_route(
    desk: "Desk", name: Name, members: Members, *, order: Order = "listed", hedge_ms: Hedge = None
) -> None:
    """Add a route. Policy decides on each member for each call, and again for each fallback."""
    body = {"name": name, "members": members, "order": order, "hedge_ms": hedge_ms}
    async with desk.server() as line:
        made = await line.post("/api/v1/routes", body)
    desk.say(made, lambda: sheet(made))


async def list_routes(desk: "Desk") -> None:
    """List the routes."""
    async with desk.server() as line:
        items = await line.all("/api/v1/routes")
    columns = ("name", "members", "order", "hedge_ms")
    desk.say({"routes": items}, lambda: table([[item.get(column) for column in columns] for item in items], columns))


async def show_route(desk: "Desk", name: Name) -> None:
    """Show a route."""
    async with desk.server() as line:
        wire = await line.get(f"/api/v1/routes/{segment(name)}")
    desk.say(wire, lambda: sheet(wire))


async def remove_route(desk: "Desk", name: Name) -> None:
    """Remove a route; its members stay."""
    async with desk.server() as line:
        wire = await line.delete(f"/api/v1/routes/{segment(name)}")
    desk.say(wire, lambda: f"{name} is removed.")
