"""The graph of a tenant: what is told comes from passages, goes with them, and is nobody else's."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from bastide.errors import BadOption, Forbidden, UnknownEntity
from bastide.knowledge.graph import Graph
from bastide.knowledge.graph.values import Entity
from bastide.store import Query, Scope, Store
from tests.rooms.knowledge.conftest import Rooms
from tests.rooms.knowledge.graph.conftest import Take

STAFF = (
    "# Staff\n\nDr. Anna Schmidt works for Acme Systems Ltd since 2019. Acme Systems Ltd is based in Berlin.\n\n"
    "On 3 May 2021 Peter Novak joined Acme Systems Ltd in spring. Mr. Novak lives in Prague.\n"
)
TABLES = ("entity_source", "relation_source", "fact", "citation", "alias_source", "alias", "decision")


async def by_name(graph: Graph, scope: Scope, name: str) -> Entity:
    """The one entity of this name."""
    (found,) = [one for one in (await graph.entities(scope, query=name)).items if name in (one.name, *one.aliases)]
    return found


async def rows_left(store: Store, scope: Scope) -> dict[str, int]:
    """How many rows each table of the graph has for a tenant."""
    async with store.under(scope) as db:
        return {
            table: await db.value(Query("test", table, f"select count(*) from knowledge.{table}")) for table in TABLES
        }


async def test_entities_stand_in_passages(graph: Graph, take: Take, ours: Scope) -> None:
    document = await take(ours, "staff.md", STAFF)
    anna = await by_name(graph, ours, "Anna Schmidt")
    assert (anna.type, anna.documents, anna.mentions) == ("person", 1, 1)
    (mention,) = (await graph.mentions(ours, anna.id)).items
    assert (mention.written, mention.passage.document_id) == ("Anna Schmidt", document)
    passage = mention.passage
    assert passage.text[mention.start - passage.start : mention.end - passage.start] == "Anna Schmidt"
    novak = await by_name(graph, ours, "Peter Novak")
    assert novak.mentions == 2, "Mr. Novak is Peter Novak in this document"
    assert (await graph.entity(ours, novak.id)).to_wire()["id"] == novak.id


async def test_ties_say_where_they_come_from_and_when_they_hold(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "staff.md", STAFF)
    anna, acme = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Acme Systems Ltd")
    (tie,) = (await graph.relations(ours, id=anna.id, types=["works_for"])).items
    assert (tie.from_id, tie.to_id, tie.valid_from, tie.valid_to) == (anna.id, acme.id, date(2019, 1, 1), None)
    assert tie.passage is not None
    assert tie.passage.text == "Dr. Anna Schmidt works for Acme Systems Ltd since 2019."
    before = await graph.relations(ours, id=anna.id, types=["works_for"], as_of=date(2018, 12, 31))
    assert before.items == ()
    then = await graph.relations(ours, id=anna.id, types=["works_for"], as_of=date(2019, 1, 1))
    assert len(then.items) == 1
    known = await graph.relations(ours, id=anna.id, known_at=datetime.now(UTC) - timedelta(days=1))
    assert known.items == ()


async def test_neighbours_paths_and_subgraphs(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "staff.md", STAFF)
    await take(ours, "prague.md", "Prague is the capital of Czechia. Škoda Auto a.s. is based in Prague.")
    anna, prague = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Prague")
    one = {found.entity.name: found for found in await graph.neighbours(ours, anna.id)}
    assert one["Acme Systems Ltd"].type == "works_for"
    assert one["Acme Systems Ltd"].forward
    assert "Prague" not in one
    three = {found.entity.name: found.hops for found in await graph.neighbours(ours, anna.id, depth=3)}
    assert (three["Acme Systems Ltd"], three["Peter Novak"], three["Prague"]) == (1, 2, 3)
    (path,) = await graph.paths(ours, anna.id, prague.id)
    assert [node.name for node in path.nodes] == ["Anna Schmidt", "Acme Systems Ltd", "Peter Novak", "Prague"]
    assert path.types[0] == "works_for"
    assert await graph.paths(ours, anna.id, prague.id, max_hops=2) == ()
    drawn = await graph.subgraph(ours, [anna.id], hops=2)
    ids = {node.id for node in drawn.entities}
    assert prague.id not in ids
    assert all({tie.from_id, tie.to_id} <= ids for tie in drawn.relations)
    small = await graph.subgraph(ours, [anna.id], hops=2, limit=2)
    assert (len(small.entities), small.truncated) == (2, True)


async def test_a_time_line_has_both_times(graph: Graph, take: Take, ours: Scope) -> None:
    document = await take(ours, "staff.md", STAFF)
    acme = await by_name(graph, ours, "Acme Systems Ltd")
    line = await graph.timeline(ours, acme.id)
    assert [(one.kind, one.valid_from) for one in line] == [
        ("event", date(2019, 1, 1)),
        ("event", date(2021, 5, 3)),
        ("intake", None),
    ]
    assert line[1].passage.text == "On 3 May 2021 Peter Novak joined Acme Systems Ltd in spring."
    assert (line[0].valid_to, line[1].valid_to) == (None, date(2021, 5, 4))
    assert line[2].passage.document_id == document
    assert await graph.timeline(ours, acme.id, known_at=line[0].seen_at - timedelta(seconds=5)) == ()
    later = await graph.episodes(ours, since=date(2021, 5, 3), until=date(2021, 5, 4))
    assert [one.valid_from for one in later.items] == [date(2019, 1, 1), date(2021, 5, 3)], "since 2019 is still so"


async def test_references_lead_to_sections_that_are_here(graph: Graph, take: Take, ours: Scope) -> None:
    law = (
        "# Regulation (EU) 2031/77\n\n## Article 1 Scope\n\nThis Regulation applies to mills, without prejudice to "
        "Article 2(1).\n\n## Article 2 Duties\n\nA miller keeps records of all grain that is milled.\n"
    )
    there = await take(ours, "law.md", law)
    memo = await take(ours, "memo.md", "# Memo\n\nUnder Article 2 of Regulation (EU) 2031/77 and Directive 95/46/EC.\n")
    found = {one.to_id: one for one in await graph.references(ours, memo)}
    section = next(id for id in found if id.startswith("sec_"))
    assert section.startswith(f"sec_{there}:")
    assert found[section].passage is not None
    assert found[section].passage.text.startswith("Article 2 of Regulation (EU) 2031/77")
    directive = await by_name(graph, ours, "Directive 95/46/EC")
    assert directive.id in found, "an act that is not here is still named"
    back = {one.from_id for one in await graph.references(ours, section, incoming=True)}
    assert back == {memo, there}
    within = await graph.references(ours, there)
    assert [one.to_id for one in within] == [section]


async def test_what_has_no_source_left_is_gone(
    graph: Graph, take: Take, ours: Scope, rooms: Rooms, store: Store
) -> None:
    text = STAFF + "\nThe European Data Protection Board (EDPB) met in Article 5 on 4 May 2020 and paid EUR 20.\n"
    document = await take(ours, "staff.md", text)
    other = await take(ours, "other.md", "Peter Novak was seen in Vienna.")
    anna, peter = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Peter Novak")
    await graph.merge(ours, [anna.id, (await by_name(graph, ours, "Prague")).id], "a test")
    await rooms.knowledge.delete(ours, document)
    assert [one.name for one in (await graph.entities(ours)).items if one.name == "Anna Schmidt"] == []
    with pytest.raises(UnknownEntity):
        await graph.entity(ours, anna.id)
    assert (await graph.entity(ours, peter.id)).documents == 1
    await rooms.knowledge.delete(ours, other)
    assert await rows_left(store, ours) == dict.fromkeys(TABLES, 0)


async def test_a_new_version_replaces_what_the_old_one_said(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "staff.md", STAFF)
    anna, peter = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Peter Novak")
    made = await graph.merge(ours, [anna.id, peter.id], "one person under two names")
    await take(ours, "staff.md", STAFF.replace("Berlin", "Hamburg"))
    assert (await by_name(graph, ours, "Hamburg")).type == "place"
    assert [one.name for one in (await graph.entities(ours, query="Berlin")).items] == []
    assert (await graph.entity(ours, peter.id)).id == anna.id, "a decision outlives a version"
    await graph.undo(ours, made.id)
    assert (await graph.entity(ours, peter.id)).id == peter.id


async def test_the_same_new_names_at_once(graph: Graph, take: Take, ours: Scope) -> None:
    texts = [f"{STAFF}\nThe European Data Protection Board (EDPB) met. Number {n}.\n" for n in range(6)]
    await asyncio.gather(*(take(ours, f"{n}.md", text) for n, text in enumerate(texts)))
    acme = await by_name(graph, ours, "Acme Systems Ltd")
    assert acme.documents == 6
    board = await by_name(graph, ours, "European Data Protection Board")
    assert board.documents == 6


async def test_a_filter_hides_what_other_documents_say(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "a.md", "The European Data Protection Board (EDPB) met in Brussels.", collection="open")
    await take(
        ours,
        "b.md",
        "EDPB members saw Anna Schmidt.",
        collection="closed",
        label={"class": "secret", "subjects": ["anna"]},
    )
    found = (await graph.entities(ours, collection="open")).items
    names = {name for one in found for name in (one.name, *one.aliases)}
    assert "Anna Schmidt" not in names
    assert {one.label.cls for one in found} == {found[0].label.cls} != {"secret"}
    board = next(one for one in found if "Data Protection Board" in one.name)
    assert (board.documents, (await graph.entity(ours, board.id)).documents) == (1, 2)
    assert (await graph.entity(ours, board.id)).label.cls == "secret", "a label is the join of its sources'"
    assert "anna" in (await by_name(graph, ours, "Anna Schmidt")).label.subjects


async def test_pages_of_entities_follow_each_other(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "staff.md", STAFF)
    every = [one.id for one in (await graph.entities(ours, limit=200)).items]
    seen: list[str] = []
    cursor = None
    while True:
        page = await graph.entities(ours, limit=2, cursor=cursor)
        seen += [one.id for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == every
    people = await graph.entities(ours, type="person")
    assert {one.name for one in people.items} == {"Anna Schmidt", "Peter Novak"}


async def test_the_neighbour_sees_nothing(graph: Graph, take: Take, ours: Scope, neighbour: Scope) -> None:
    document = await take(ours, "staff.md", STAFF + "\nSee Article 5.\n")
    anna, acme = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Acme Systems Ltd")
    made = await graph.merge(ours, [anna.id, acme.id], "a test")
    assert (await graph.entities(neighbour)).items == ()
    assert (await graph.relations(neighbour)).items == ()
    assert (await graph.episodes(neighbour)).items == ()
    assert (await graph.decisions(neighbour)).items == ()
    assert await graph.resolve(neighbour, "Anna Schmidt") == ()
    assert await graph.communities(neighbour) == ()
    statistics = await graph.statistics(neighbour)
    assert (statistics.entities, statistics.mentions, statistics.relations) == (0, 0, 0)
    for ask in (
        graph.entity(neighbour, anna.id),
        graph.mentions(neighbour, anna.id),
        graph.neighbours(neighbour, anna.id),
        graph.relations(neighbour, id=anna.id),
        graph.timeline(neighbour, anna.id),
        graph.paths(neighbour, anna.id, acme.id),
        graph.subgraph(neighbour, [anna.id]),
        graph.resolve(neighbour, anna.id),
        graph.merge(neighbour, [anna.id, acme.id], "theirs"),
        graph.split(neighbour, anna.id, ["doc_x:1"], "theirs"),
        graph.references(neighbour, document),
    ):
        with pytest.raises(UnknownEntity):
            await ask
    await take(neighbour, "own.md", "Anna Schmidt lives in Paris.")
    assert (await graph.entity(neighbour, anna.id)).documents == 1, "the same name there is their own"
    assert made.undone_at is None


async def test_each_operation_asks_for_its_permission(graph: Graph, nobody: Scope) -> None:
    for ask in (
        graph.types(nobody),
        graph.entities(nobody),
        graph.entity(nobody, "ent_0000000000000001"),
        graph.resolve(nobody, "x"),
        graph.merge(nobody, ["a", "b"], "x"),
        graph.undo(nobody, "x"),
        graph.communities(nobody),
        graph.statistics(nobody),
    ):
        with pytest.raises(Forbidden):
            await ask


@pytest.mark.parametrize(
    "id", ["", "ent_", "ent_xyz", "ent_00000000000000001", "' or 1=1", "doc_x", "sec_doc_1:2", "\0"]
)
async def test_a_wrong_id_is_unknown(graph: Graph, ours: Scope, id: str) -> None:
    with pytest.raises(UnknownEntity):
        await graph.entity(ours, id)
    with pytest.raises(UnknownEntity):
        await graph.references(ours, id)


@pytest.mark.parametrize(
    "given",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": True},
        {"cursor": "!"},
        {"cursor": "OjpA"},
        {"type": "a b"},
        {"query": "a\0"},
    ],
    ids=str,
)
async def test_a_wrong_option_is_named(graph: Graph, ours: Scope, given: dict[str, object]) -> None:
    with pytest.raises((BadOption, Exception)) as caught:
        await graph.entities(ours, **given)  # type: ignore[arg-type]
    assert getattr(caught.value, "code", "").startswith("knowledge.bad_")


@pytest.mark.parametrize("depth", [0, 4, True, "2"])
async def test_a_wrong_depth_is_refused(graph: Graph, ours: Scope, depth: object) -> None:
    with pytest.raises(BadOption):
        await graph.neighbours(ours, "ent_0000000000000001", depth=depth)  # type: ignore[arg-type]


async def test_statistics_count_what_is_here(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "staff.md", STAFF)
    statistics = await graph.statistics(ours)
    assert statistics.entities == len((await graph.entities(ours, limit=200)).items)
    assert statistics.by_type["person"] == 2
    assert statistics.by_relation["works_for"] >= 1
    assert set(statistics.by_extractor) == {"rules/2"}
    assert statistics.facts >= 2
