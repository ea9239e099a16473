"""Projections: copies in other systems, fed from an outbox; added, looked at, verified, made anew, removed."""

from __future__ import annotations

from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import whole
from bastide.api.shapes import projections as shapes
from bastide.api.shapes.ground import Listed
from bastide.knowledge import NewProjection, Projection

Wire = dict[str, Any]


async def add(ask: Ask[shapes.NewTarget]) -> Wire:
    """Its record must be enabled, and policy decides on each document. The job that fills it begins at once."""
    given = NewProjection(**ask.given.model_dump())
    made, job = await ask.rooms.projections.add(ask.caller.scope, given)
    return {"projection": made.to_wire(), "job": job.id}


async def list_all(ask: Ask[Nothing]) -> Wire:
    """By name, each with how far behind it is."""
    return whole("projections", [one.to_wire() for one in await ask.rooms.projections.list(ask.caller.scope)])


async def show(ask: Ask[Nothing]) -> Wire:
    """How far behind it is, and what was wrong the last time."""
    return (await ask.rooms.projections.get(ask.caller.scope, ask.id)).to_wire()


async def feed(ask: Ask[Nothing]) -> Wire:
    """What waits is sent by itself within seconds; this does not wait for that."""
    return {"job": (await ask.rooms.projections.feed(ask.caller.scope, ask.id)).id}


async def rebuild(ask: Ask[Nothing]) -> Wire:
    """The tenant's part of the target is emptied first."""
    return {"job": (await ask.rooms.projections.rebuild(ask.caller.scope, ask.id)).id}


async def verify(ask: Ask[Nothing]) -> Wire:
    """The job's result says what differs; that is sent anew."""
    return {"job": (await ask.rooms.projections.verify(ask.caller.scope, ask.id)).id}


async def remove(ask: Ask[shapes.Removing]) -> Wire:
    """It is emptied by a job and then forgotten; with `abandon` it is forgotten at once, and what it held is told."""
    done = await ask.rooms.projections.remove(
        ask.caller.scope, ask.id, abandon=ask.given.abandon, reason=ask.given.reason
    )
    if isinstance(done, Projection):
        return {"job": None, "left": done.to_wire()}
    return {"job": done.id, "left": None}


async def departures(ask: Ask[shapes.WhichDepartures]) -> Wire:
    """Gone from the target when, looked for when, or why not yet."""
    documents = None if ask.given.document is None else [ask.given.document]
    found = await ask.rooms.projections.departures(ask.caller.scope, documents=documents, limit=ask.given.limit)
    return whole("departures", [one.to_wire() for one in found])


_ALL, _ONE = "/api/v1/projections", "/api/v1/projections/{name}"
_P = "projection"
_reads = partial(Operation, needs="knowledge:read")
_manages = partial(Operation, needs="knowledge:manage")

TABLE = (
    _manages("projections.add", "POST", _ALL, "Add a target", add, shapes.NewTarget, shapes.Added, 201),
    _reads("projections.list", "GET", _ALL, "List the targets", list_all, answer=Listed),
    _reads("projections.get", "GET", _ONE, "Show a target", show, answer=shapes.Target, of=_P),
    _manages(
        "projections.feed", "POST", f"{_ONE}:feed", "Send what waits", feed, answer=shapes.Begun, status=202, of=_P
    ),
    _manages(
        "projections.rebuild",
        "POST",
        f"{_ONE}:rebuild",
        "Make it anew",
        rebuild,
        answer=shapes.Begun,
        status=202,
        of=_P,
    ),
    _manages(
        "projections.verify", "POST", f"{_ONE}:verify", "Compare it", verify, answer=shapes.Begun, status=202, of=_P
    ),
    _manages("projections.remove", "DELETE", _ONE, "Remove a target", remove, shapes.Removing, shapes.Removal, of=_P),
    _reads(
        "projections.departures",
        "GET",
        "/api/v1/knowledge/departures",
        "What became of erased documents in the targets",
        departures,
        shapes.WhichDepartures,
        Listed,
    ),
)

router = routes(TABLE, tag="projections")
