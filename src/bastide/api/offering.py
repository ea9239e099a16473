"""What endpoints say that they offer: asked for, kept, shown."""

from __future__ import annotations

from typing import Any

from bastide.api.operations import Ask, Operation, routes
from bastide.api.paging import whole
from bastide.api.shapes import models as shapes
from bastide.api.shapes.ground import Listed

Wire = dict[str, Any]


async def sync(ask: Ask[shapes.WhichCatalogue]) -> Wire:
    """What came, what went, whose price has changed since it was last asked. A model that went is not chosen."""
    given = ask.given
    done = await ask.rooms.inference.catalogue.sync(ask.caller.scope, model=given.model, provider=given.provider)
    return done.to_wire()


async def offered(ask: Ask[shapes.WhoseOffers]) -> Wire:
    """As it was when it was last asked; `gone_at` says since when a model is listed no more."""
    found = await ask.rooms.inference.catalogue.offers(ask.caller.scope, ask.given.provider)
    return whole("offers", [one.to_wire() for one in found])


TABLE = (
    Operation(
        "models.sync",
        "POST",
        "/api/v1/models:sync",
        "Ask an endpoint what it offers",
        sync,
        shapes.WhichCatalogue,
        shapes.Synced,
        needs="model:manage",
    ),
    Operation(
        "models.offered",
        "GET",
        "/api/v1/models:offered",
        "What endpoints offer",
        offered,
        shapes.WhoseOffers,
        Listed,
        needs="model:use",
    ),
)

router = routes(TABLE, tag="models")
