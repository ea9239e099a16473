"""A model reads; what it says is kept only where the passage says it. Its lies are dropped and counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastide.inference import ModelSpec
from bastide.knowledge.graph import CommunityJobs, EnrichJobs, Graph
from bastide.knowledge.graph.communities import supported
from bastide.knowledge.graph.enriching import Chunk, verified
from bastide.knowledge.graph.types import SHIPPED
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope
from bastide.tenancy import Tenancy
from bastide.testing import Fails, ScriptedModel
from bastide.workflows import Job, Workflows
from tests.rooms.knowledge.conftest import Rooms
from tests.rooms.knowledge.graph.conftest import Take
from tests.rooms.knowledge.graph.test_graph import by_name

TEXT = "Anna Schmidt chairs the board of Acme Ltd since March 2019. The mill is painted red."
TRUE = {
    "entities": [{"name": "Anna Schmidt", "type": "person"}, {"name": "Acme Ltd", "type": "organisation"}],
    "relations": [
        {"from": "Anna Schmidt", "to": "Acme Ltd", "type": "leads", "valid_from": "2019-03", "valid_to": None,
         "quote": "Anna Schmidt chairs the board of Acme Ltd since March 2019"},
    ],
}  # fmt: skip


def said(**parts: Any) -> str:
    """A model's answer: the true one with some parts changed."""
    return json.dumps(TRUE | parts)


def tie(**parts: Any) -> list[dict[str, Any]]:
    """The true tie with some parts changed."""
    return [{**TRUE["relations"][0], **parts}]


CHUNK = Chunk(7, 100, TEXT, "en")


def test_what_stands_in_the_passage_is_kept() -> None:
    kept = verified(said(), CHUNK, SHIPPED)
    assert [(one.name, one.start, one.end) for one in kept.names] == [
        ("Anna Schmidt", 100, 112),
        ("Acme Ltd", 133, 141),
    ]
    (found,) = kept.ties
    assert (found.type, found.start, found.end, str(found.first), found.after) == (
        "leads",
        100,
        158,
        "2019-03-01",
        None,
    )
    assert not kept.dropped


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I see Anna Schmidt.", "no JSON"),
        ("[" * 9_000, "no JSON"),
        ("null", "no JSON"),
        ('{"entities": {}}', "no JSON"),
        (said(entities=[*TRUE["entities"], {"name": "Bruno Weber", "type": "person"}]), "not in the passage"),
        (said(entities=[*TRUE["entities"], {"name": "anna schmidt", "type": "person"}]), "not in the passage"),
        (said(entities=[*TRUE["entities"], {"name": "Ann", "type": "person"}]), "not in the passage"),
        (said(entities=[*TRUE["entities"], {"name": "mill", "type": "windmill"}]), "unknown type"),
        (said(entities=[*TRUE["entities"], {"name": ".", "type": "concept"}]), "no name"),
        (said(entities=[*TRUE["entities"], "mill"]), "wrong shape"),
        (said(entities=[*TRUE["entities"], *[{"name": "mill", "type": "product"}] * 99]), "too many"),
        (said(relations=tie(quote="Anna Schmidt owns Acme Ltd")), "quotation not in the passage"),
        (said(relations=tie(quote="The mill is painted red.")), "quotation without the names"),
        (said(relations=tie(quote="")), "quotation not in the passage"),
        (said(relations=tie(type="murders")), "unknown type"),
        (said(relations=tie(type="married_to")), "type not allowed"),
        (said(relations=tie(**{"from": "Acme Ltd", "to": "Anna Schmidt"})), "type not allowed"),
        (said(relations=tie(to="Bruno Weber")), "tie without its names"),
        (said(relations=tie(to="Anna Schmidt")), "tie without its names"),
        (said(relations=[{"from": "Anna Schmidt"}]), "wrong shape"),
        (said(relations=tie(valid_from="2018-03")), "date not in the passage"),
        (said(relations=tie(valid_to="2")), "date not in the passage"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) and " " in value and "{" not in value else "said",
)
def test_a_lie_is_dropped_and_counted(answer: str, why: str) -> None:
    kept = verified(answer, CHUNK, SHIPPED)
    assert kept.dropped[why] >= 1
    assert {one.name for one in kept.names} <= {"Anna Schmidt", "Acme Ltd", "mill"}
    for one in kept.ties:
        assert (one.type, one.a) == ("leads", kept.names[0].key)
        assert str(one.first) in {"2019-03-01", "None"}


@pytest.fixture
async def work(rooms: Rooms, settings: Settings) -> AsyncIterator[Workflows]:
    """A worker that knows the graph's jobs."""
    workflows = Workflows(rooms.store, rooms.audit, Tenancy(rooms.store, rooms.audit), rooms.policy, settings.work)
    for jobs in (EnrichJobs(rooms.store, rooms.inference), CommunityJobs(rooms.store, rooms.inference)):
        for kind in jobs.types():
            workflows.register(kind)
    await workflows.start(work=True)
    yield workflows
    await workflows.stop()


async def done(work: Workflows, scope: Scope, type: str, **given: Any) -> dict[str, Any]:
    """What a job gave; it must have ended well."""
    made = await work.dispatch(scope, Job(type, given))
    record = await work.result(scope, made.id, timeout_s=60)
    assert record.status == "done", (record.status, record.why, record.problem)
    assert isinstance(record.output, dict)
    return record.output


async def test_a_model_enriches_the_graph(
    work: Workflows, rooms: Rooms, graph: Graph, take: Take, ours: Scope, neighbour: Scope
) -> None:
    lie = {"from": "Anna Schmidt", "to": "Acme Ltd", "type": "owns", "quote": "Anna Schmidt bought Acme Ltd"}
    async with ScriptedModel(said(relations=[*TRUE["relations"], lie])) as model:
        await rooms.inference.add_model(ours, ModelSpec(name="reader", url=model.url, local=True))
        document = await take(ours, "board.md", TEXT, label=Label(air_gap=True))
        out = await done(work, ours, "knowledge.enrich", documents=[document])
        assert (out["documents"], out["passages"], out["entities"], out["relations"]) == (1, 1, 2, 1)
        assert out["dropped"] == {"quotation not in the passage": 1}
        asked = model.chats[-1].body
    assert asked["response_format"]["json_schema"]["schema"]["required"] == ["entities", "relations"]
    assert TEXT in asked["messages"][1]["content"]
    anna = await by_name(graph, ours, "Anna Schmidt")
    (leads,) = (await graph.relations(ours, id=anna.id, types=["leads"])).items
    assert (leads.extractors, str(leads.valid_from)) == (("model:reader",), "2019-03-01")
    assert leads.passage is not None
    assert leads.passage.text == "Anna Schmidt chairs the board of Acme Ltd since March 2019"
    assert (await graph.relations(ours, id=anna.id, types=["owns"])).items == ()
    assert (await graph.entities(neighbour)).items == ()
    async with ScriptedModel("nothing to say") as model:  # a second reading replaces the first
        await rooms.inference.remove_model(ours, "reader")
        await rooms.inference.add_model(ours, ModelSpec(name="reader", url=model.url, local=True))
        out = await done(work, ours, "knowledge.enrich", documents=[document])
    assert out["dropped"] == {"no JSON": 1}
    assert (await graph.relations(ours, id=anna.id, types=["leads"])).items == ()


async def test_without_a_permitted_model_nothing_is_sent(
    work: Workflows, take: Take, ours: Scope, graph: Graph
) -> None:
    document = await take(ours, "board.md", TEXT)
    out = await done(work, ours, "knowledge.enrich", documents=[document])
    assert out["failed"] == [{"document": document, "error": "inference.no_permitted_model"}]
    assert set((await graph.statistics(ours)).by_extractor) == {"rules/2"}


async def test_communities_cite_and_go_with_their_documents(
    work: Workflows, rooms: Rooms, graph: Graph, take: Take, ours: Scope, neighbour: Scope
) -> None:
    mill = await take(
        ours, "mill.md", "Anna Schmidt met Karl Weber and Maria Rossi in the mill. Maria Rossi met Karl Weber."
    )
    await take(ours, "port.md", "Peter Novak met Ivan Horvat and Julia Kowal at the port. Julia Kowal met Peter Novak.")
    out = await done(work, ours, "knowledge.communities")
    assert out["communities"] == 2
    found = await graph.communities(ours)
    names = [{one.name for one in group.entities} for group in found]
    assert {"Anna Schmidt", "Karl Weber", "Maria Rossi"} in names
    assert {"Peter Novak", "Ivan Horvat", "Julia Kowal"} in names
    for group in found:
        assert group.made_by == "sentences"
        for number, source in enumerate(group.sources, 1):
            assert f"{source.text} [{number}]" in group.summary
            assert source.document_id
    assert await graph.communities(neighbour) == ()
    await rooms.knowledge.delete(ours, mill)
    left = await graph.communities(ours)
    assert [{one.name for one in group.entities} for group in left] == [{"Peter Novak", "Ivan Horvat", "Julia Kowal"}]
    assert "Anna" not in json.dumps([group.to_wire() for group in left])


async def test_a_summary_that_a_model_wrote_is_held_against_its_sentences(
    work: Workflows, rooms: Rooms, graph: Graph, take: Take, ours: Scope
) -> None:
    told = "Anna Schmidt met Karl Weber in the mill [1]. They plan to rob a bank [1]. Maria Rossi is rich [9]. So what."
    async with ScriptedModel(told) as model:
        await rooms.inference.add_model(ours, ModelSpec(name="writer", url=model.url, local=True))
        await take(ours, "mill.md", "Anna Schmidt met Karl Weber and Maria Rossi in the mill.")
        out = await done(work, ours, "knowledge.communities", model=True)
    assert out["by_model"] == 1
    (group,) = await graph.communities(ours)
    assert (group.summary, group.made_by) == ("Anna Schmidt met Karl Weber in the mill [1].", "writer")
    await take(ours, "mill.md", "The mill is empty now.")
    assert await graph.communities(ours) == (), "a new version takes what the old one said with it"


async def test_a_model_that_fails_leaves_the_sentences(
    work: Workflows, rooms: Rooms, graph: Graph, take: Take, ours: Scope
) -> None:
    async with ScriptedModel(Fails(400)) as model:
        await rooms.inference.add_model(ours, ModelSpec(name="writer", url=model.url, local=True))
        await take(ours, "mill.md", "Anna Schmidt met Karl Weber and Maria Rossi in the mill.")
        out = await done(work, ours, "knowledge.communities", model=True)
    assert (out["communities"], out["by_model"]) == (1, 0)
    assert len(await graph.communities(ours)) == 1


def test_a_line_must_cite_what_it_says() -> None:
    sentences = ["The mill in Ghent was sold to Anna Schmidt.", "It has two wheels."]
    assert supported("Anna Schmidt bought the mill, sold in Ghent [1]. It has two wheels [2].", sentences) == (
        ("Anna Schmidt bought the mill, sold in Ghent.", (1,)),
        ("It has two wheels.", (2,)),
    )
    for text in ("", "The mill was sold.", "The mill was sold [0].", "The mill was sold [3].", "Ducks swim badly [1]."):
        assert supported(text, sentences) == ()


async def test_a_document_that_goes_while_a_model_reads(
    work: Workflows, rooms: Rooms, graph: Graph, take: Take, ours: Scope
) -> None:
    document = await take(ours, "board.md", TEXT)
    going: list[asyncio.Task[None]] = []

    def answer(asked: object) -> str:
        going.append(asyncio.get_running_loop().create_task(rooms.knowledge.delete(ours, document)))
        return said()

    async with ScriptedModel(answer) as model:
        await rooms.inference.add_model(ours, ModelSpec(name="reader", url=model.url, local=True))
        await done(work, ours, "knowledge.enrich", documents=[document])
    await asyncio.wait_for(asyncio.gather(*going), 60)
    assert (await graph.entities(ours)).items == ()
