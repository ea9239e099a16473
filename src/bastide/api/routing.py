"""Routes: names for several models, as they are made, listed, shown and removed."""

from __future__ import annotations

from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import whole
from bastide.api.shapes import models as shapes
from bastide.api.shapes.ground import Listed, Removed
from bastide.inference import ModelRoute

Wire = dict[str, Any]


async def add(ask: Ask[shapes.NewRoute]) -> Wire:
    """Its name is used like a model's. Policy decides on each member for each call, and again for each fallback."""
    given = ask.given
    route = ModelRoute(given.name, tuple(given.members), given.order, given.hedge_ms)
    return (await ask.rooms.inference.routes.add(ask.caller.scope, route)).to_wire()


async def list_all(ask: Ask[Nothing]) -> Wire:
    """By name."""
    return whole("routes", [one.to_wire() for one in await ask.rooms.inference.routes.list(ask.caller.scope)])


async def show(ask: Ask[Nothing]) -> Wire:
    """Its members in their order."""
    return (await ask.rooms.inference.routes.show(ask.caller.scope, ask.id)).to_wire()


async def remove(ask: Ask[Nothing]) -> Wire:
    """Its members stay."""
    await ask.rooms.inference.routes.remove(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


_ALL, _ONE = "/api/v1/routes", "/api/v1/routes/{name:path}"
_reads = partial(Operation, needs="model:use")
_manages = partial(Operation, needs="model:manage")

TABLE = (
    _manages("routes.add", "POST", _ALL, "Add a route", add, shapes.NewRoute, shapes.ModelRoute, 201),
    _reads("routes.list", "GET", _ALL, "List the routes", list_all, answer=Listed),
    _reads("routes.get", "GET", _ONE, "Show a route", show, answer=shapes.ModelRoute, of="route"),
    _manages("routes.remove", "DELETE", _ONE, "Remove a route", remove, answer=Removed, of="route"),
)

router = routes(TABLE, tag="models")
