"""The graph: who and what the documents name, how it is tied, when it was so; every edge points to its passage."""

from __future__ import annotations

from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page, whole
from bastide.api.shapes import graph as shapes
from bastide.api.shapes.ground import Listed, Pages, Removed
from bastide.knowledge import GraphType

Wire = dict[str, Any]


# -- types ------------------------------------------------------------------------------------------


async def list_types(ask: Ask[Nothing]) -> Wire:
    """The kinds of nodes and relations, with what may stand at their ends; the tenant's own last."""
    return whole("types", [one.to_wire() for one in await ask.rooms.knowledge.graph.types(ask.caller.scope)])


async def add_type(ask: Ask[shapes.NewType]) -> Wire:
    """Extractors with a model use it from the next document on."""
    given = ask.given
    made = GraphType(
        given.kind,
        given.name,
        given.about,
        tuple(given.from_types),
        tuple(given.to_types),
        given.symmetric,
        given.inverse,
        given.transitive,
        shipped=False,
    )
    return (await ask.rooms.knowledge.graph.add_type(ask.caller.scope, made)).to_wire()


async def remove_type(ask: Ask[shapes.WhichType]) -> Wire:
    """One of the tenant's own that nothing uses."""
    await ask.rooms.knowledge.graph.remove_type(ask.caller.scope, ask.given.kind, ask.given.name)
    return {"id": ask.given.name, "removed": True}


# -- entities ---------------------------------------------------------------------------------------


async def list_entities(ask: Ask[shapes.WhichEntities]) -> Wire:
    """Those named most often first."""
    return page("entities", await ask.rooms.knowledge.graph.entities(ask.caller.scope, **ask.given.model_dump()))


async def show_entity(ask: Ask[Nothing]) -> Wire:
    """With its other names. An id that was merged into another leads there."""
    return (await ask.rooms.knowledge.graph.entity(ask.caller.scope, ask.id)).to_wire()


async def neighbours(ask: Ask[shapes.Near]) -> Wire:
    """Up to three steps away, the nearest and strongest first."""
    found = await ask.rooms.knowledge.graph.neighbours(ask.caller.scope, ask.id, **ask.given.model_dump())
    return whole("neighbours", [one.to_wire() for one in found])


async def timeline(ask: Ask[shapes.KnownAt]) -> Wire:
    """What the documents say happened to it, and when they came in, in the order of time."""
    found = await ask.rooms.knowledge.graph.timeline(ask.caller.scope, ask.id, **ask.given.model_dump())
    return whole("episodes", [one.to_wire() for one in found])


async def mentions(ask: Ask[Pages]) -> Wire:
    """The passages that name it: how it is written there, who found it, how sure that is."""
    return page(
        "mentions", await ask.rooms.knowledge.graph.mentions(ask.caller.scope, ask.id, **ask.given.model_dump())
    )


# -- ties and time ----------------------------------------------------------------------------------


async def relations(ask: Ask[shapes.WhichRelations]) -> Wire:
    """The strongest first: of an entity, of what a document itself does, or of all."""
    return page("relations", await ask.rooms.knowledge.graph.relations(ask.caller.scope, **ask.given.model_dump()))


async def references(ask: Ask[shapes.WhichReferences]) -> Wire:
    """What a document or a section refers to, or what refers to it."""
    found = await ask.rooms.knowledge.graph.references(ask.caller.scope, **ask.given.model_dump())
    return whole("references", [one.to_wire() for one in found])


async def episodes(ask: Ask[shapes.WhichEpisodes]) -> Wire:
    """Dated sentences, the earliest first; `since` and `until` bound the time that they tell of."""
    return page("episodes", await ask.rooms.knowledge.graph.episodes(ask.caller.scope, **ask.given.model_dump()))


async def paths(ask: Ask[shapes.FromTo]) -> Wire:
    """The shortest ways between two entities; none is no error."""
    given = ask.given.model_dump()
    found = await ask.rooms.knowledge.graph.paths(ask.caller.scope, given.pop("from_id"), given.pop("to_id"), **given)
    return whole("paths", [one.to_wire() for one in found])


async def subgraph(ask: Ask[shapes.Around]) -> Wire:
    """The seeds, what stands up to so many steps from them, and all ties among these."""
    return (await ask.rooms.knowledge.graph.subgraph(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def communities(ask: Ask[shapes.AtLevel]) -> Wire:
    """Entities that belong together, each group with a summary that cites; made by the job knowledge.communities."""
    found = await ask.rooms.knowledge.graph.communities(ask.caller.scope, **ask.given.model_dump())
    return whole("communities", [one.to_wire() for one in found])


async def statistics(ask: Ask[Nothing]) -> Wire:
    """How large the graph is that the caller may see."""
    return (await ask.rooms.knowledge.graph.statistics(ask.caller.scope)).to_wire()


# -- who is who -------------------------------------------------------------------------------------


async def resolve(ask: Ask[shapes.Name]) -> Wire:
    """The entities that a name may mean, or that may be the same as an entity, with reasons and a score."""
    found = await ask.rooms.knowledge.graph.resolve(ask.caller.scope, ask.given.name, limit=ask.given.limit)
    return whole("candidates", [one.to_wire() for one in found])


async def merge(ask: Ask[shapes.Merge]) -> Wire:
    """Make entities one, known by the first. It can be undone exactly."""
    return (await ask.rooms.knowledge.graph.merge(ask.caller.scope, ask.given.entities, ask.given.reason)).to_wire()


async def split(ask: Ask[shapes.Split]) -> Wire:
    """Make what these mentions name an entity of its own. It can be undone exactly."""
    given = ask.given
    return (
        await ask.rooms.knowledge.graph.split(ask.caller.scope, given.entity, given.mentions, given.reason)
    ).to_wire()


async def undo(ask: Ask[shapes.Undo]) -> Wire:
    """Take a merge or a split back; later decisions stay."""
    return (
        await ask.rooms.knowledge.graph.undo(ask.caller.scope, ask.given.decision, reason=ask.given.reason)
    ).to_wire()


async def decisions(ask: Ask[Pages]) -> Wire:
    """Merges and splits, newest first: who, and why."""
    return page("decisions", await ask.rooms.knowledge.graph.decisions(ask.caller.scope, **ask.given.model_dump()))


_G, _ONE, _E = "/api/v1/graph", "/api/v1/graph/entities/{id}", "entity"
_reads = partial(Operation, needs="knowledge:read")
_asks = partial(Operation, needs="knowledge:read", effect="reads")
_writes = partial(Operation, needs="knowledge:write")

TABLE = (
    _reads("graph.types", "GET", f"{_G}/types", "List the types of the graph", list_types, answer=Listed),
    _writes("graph.add-type", "POST", f"{_G}/types", "Add a type", add_type, shapes.NewType, shapes.Type, 201),
    _writes("graph.remove-type", "DELETE", f"{_G}/types", "Remove a type", remove_type, shapes.WhichType, Removed),
    _reads("entities.list", "GET", f"{_G}/entities", "List the entities", list_entities, shapes.WhichEntities, Listed),
    _reads("entities.get", "GET", _ONE, "Show an entity", show_entity, answer=shapes.Entity, of=_E),
    _reads("entities.neighbours", "GET", f"{_ONE}/neighbours", "What is near", neighbours, shapes.Near, Listed, of=_E),
    _reads("entities.timeline", "GET", f"{_ONE}/timeline", "Its time line", timeline, shapes.KnownAt, Listed, of=_E),
    _reads("entities.mentions", "GET", f"{_ONE}/mentions", "Where it is named", mentions, Pages, Listed, of=_E),
    _reads("graph.relations", "GET", f"{_G}/relations", "List the ties", relations, shapes.WhichRelations, Listed),
    _reads(
        "graph.references", "GET", f"{_G}/references", "What refers to what", references, shapes.WhichReferences, Listed
    ),
    _reads("graph.episodes", "GET", f"{_G}/episodes", "What happened when", episodes, shapes.WhichEpisodes, Listed),
    _asks("graph.paths", "POST", f"{_G}/paths", "Find ways between two", paths, shapes.FromTo, Listed),
    _asks("graph.subgraph", "POST", f"{_G}/subgraph", "Show a part of the graph", subgraph, shapes.Around, shapes.Part),
    _reads("graph.communities", "GET", f"{_G}/communities", "List the groups", communities, shapes.AtLevel, Listed),
    _reads("graph.statistics", "GET", f"{_G}/statistics", "How large the graph is", statistics),
    _asks("graph.resolve", "POST", f"{_G}/resolve", "Who is meant", resolve, shapes.Name, Listed),
    _writes("graph.merge", "POST", f"{_G}/merge", "Make entities one", merge, shapes.Merge, shapes.Decision),
    _writes("graph.split", "POST", f"{_G}/split", "Make one entity two", split, shapes.Split, shapes.Decision),
    _writes("graph.undo", "POST", f"{_G}/undo", "Undo a merge or a split", undo, shapes.Undo, shapes.Decision),
    _reads("graph.decisions", "GET", f"{_G}/decisions", "List merges and splits", decisions, Pages, Listed),
)

router = routes(TABLE, tag="graph")
