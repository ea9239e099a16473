"""The registry: what is shipped, what a tenant adds, and what it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bastide.errors import AlreadyThere, BadGraphType, GraphTypeInUse, UnknownGraphType
from bastide.knowledge.graph import Graph, GraphType
from bastide.knowledge.graph.types import SHIPPED
from bastide.store import Query, Scope, Store
from tests.rooms.knowledge.graph.conftest import Take
from tests.rooms.knowledge.graph.test_graph import by_name

OWN = GraphType("relation", "insures", "gives cover to", ("organisation",), ("person",), inverse="insured_by")
USE = Query(
    "test",
    "use",
    "update knowledge.relation_source set type = 'insures' where type = 'works_for'",
)


def test_the_shipped_types_fit_together() -> None:
    nodes = {"document", "section", "person", "organisation", "place", "event", "concept", "product"}
    assert set(SHIPPED.nodes) == nodes
    assert len(SHIPPED.relations) >= 33
    inverses = [one.inverse for one in SHIPPED.relations.values() if one.inverse]
    assert len(inverses) == len(set(inverses))
    assert not set(inverses) & set(SHIPPED.relations)
    for one in SHIPPED.relations.values():
        assert one.about
        assert {*one.from_types, *one.to_types} <= nodes
        assert not (one.symmetric and (one.inverse or one.from_types != one.to_types)), one.name


async def test_a_tenant_adds_its_own(graph: Graph, ours: Scope, neighbour: Scope) -> None:
    node = await graph.add_type(ours, GraphType("node", "vessel", "A ship."))
    assert not node.shipped
    made = await graph.add_type(ours, replace(OWN, to_types=("vessel",)))
    assert made in await graph.types(ours)
    assert "insures" not in {one.name for one in await graph.types(neighbour)}
    with pytest.raises(GraphTypeInUse):
        await graph.remove_type(ours, "node", "vessel")
    await graph.remove_type(ours, "relation", "insures")
    await graph.remove_type(ours, "node", "vessel")
    with pytest.raises(UnknownGraphType):
        await graph.remove_type(ours, "node", "vessel")
    with pytest.raises(UnknownGraphType):
        await graph.remove_type(neighbour, "relation", "insures")


async def test_a_type_in_use_stays(graph: Graph, take: Take, ours: Scope, store: Store) -> None:
    await graph.add_type(ours, OWN)
    await take(ours, "a.md", "Anna Schmidt works for Acme Ltd.")
    async with store.under(ours) as db:
        assert await db.run(USE) == 1
    with pytest.raises(GraphTypeInUse):
        await graph.remove_type(ours, "relation", "insures")
    anna = await by_name(graph, ours, "Anna Schmidt")
    assert len((await graph.relations(ours, id=anna.id, types=["insures"])).items) == 1
    for kind, name in (("node", "person"), ("relation", "works_for")):
        with pytest.raises(GraphTypeInUse):
            await graph.remove_type(ours, kind, name)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Insures"},
        {"name": "x"},
        {"name": "a" * 49},
        {"name": "works_for"},
        {"name": "employs"},
        {"name": "in sure"},
        {"name": "ins'; drop"},
        {"about": " "},
        {"about": "\0"},
        {"about": "x" * 301},
        {"from_types": ("ship",)},
        {"inverse": "works_for"},
        {"inverse": "insures"},
        {"symmetric": True},
        {"kind": "edge"},
        {"kind": "node"},
    ],
    ids=str,
)
async def test_a_wrong_type_is_refused(graph: Graph, ours: Scope, change: dict[str, object]) -> None:
    with pytest.raises((BadGraphType, AlreadyThere)):
        await graph.add_type(ours, replace(OWN, **change))  # type: ignore[arg-type]
    assert not [one for one in await graph.types(ours) if not one.shipped]
