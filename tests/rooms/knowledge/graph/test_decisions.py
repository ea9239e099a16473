"""Candidates with reasons; merges and splits that are undone exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadMerge, BadOption, UnknownDecision, UnknownEntity
from bastide.knowledge.graph import Graph
from bastide.knowledge.graph.deciding import likeness
from bastide.knowledge.graph.inflecting import inflected
from bastide.knowledge.graph.merging import Link, joined
from bastide.store import Query, Scope, Store
from tests.rooms.knowledge.graph.conftest import Take
from tests.rooms.knowledge.graph.test_graph import by_name

STATE = [
    Query("test", table, f"select t.*::text from knowledge.{table} t order by 1".replace("t.*", "t"))
    for table in ("alias", "entity_source", "relation_source", "fact")
]

keys = st.integers(1, 12)
links = st.lists(
    st.builds(lambda into, others: (into, tuple(others)), keys, st.lists(keys, min_size=1, max_size=3)), max_size=12
)


async def state(store: Store, scope: Scope) -> list[list[tuple[str]]]:
    """Everything that a decision can change, row by row."""
    async with store.under(scope) as db:
        return [await db.rows(tuple, query) for query in STATE]


@given(links, st.data())
def test_leaving_a_link_out_is_as_if_it_never_was(made: list[tuple[int, tuple[int, ...]]], data: st.DataObject) -> None:
    chain = [Link(f"{n:02}", into, others) for n, (into, others) in enumerate(made)]
    before = joined(chain)
    merged = joined([*chain, Link("99", data.draw(keys), (data.draw(keys),))])
    assert joined(chain) == before
    assert all(merged.get(root, root) == root for root in merged.values()), "an entity is not another entity"
    for link in chain:
        assert len({merged.get(one, one) for one in (link.into, *link.others)}) == 1


@given(links)
def test_the_order_in_which_links_are_read_does_not_matter(made: list[tuple[int, tuple[int, ...]]]) -> None:
    chain = [Link(f"{n:02}", into, others) for n, (into, others) in enumerate(made)]
    assert joined(chain) == joined(chain[::-1])


async def test_a_merge_undone_is_as_if_it_never_was(graph: Graph, take: Take, ours: Scope, store: Store) -> None:
    await take(ours, "a.md", "Anna Schmidt works for Acme Ltd. Peter Novak joined Acme Ltd on 3 May 2021.")
    await take(ours, "b.md", "A. Schmidt lives in Berlin. Maria Rossi lives in Rome.")
    anna, initial = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "A. Schmidt")
    peter, maria = await by_name(graph, ours, "Peter Novak"), await by_name(graph, ours, "Maria Rossi")
    first = await state(store, ours)
    one = await graph.merge(ours, [anna.id, initial.id], "the same signature")
    assert (one.kind, one.who, one.why) == ("merge", ours.user, "the same signature")
    together = await graph.entity(ours, initial.id)
    assert (together.id, together.documents, set(together.aliases)) == (anna.id, 2, {"A. Schmidt"})
    assert {found.entity.name for found in await graph.neighbours(ours, anna.id)} >= {"Acme Ltd", "Berlin"}
    second = await state(store, ours)
    two = await graph.merge(ours, [peter.id, maria.id, anna.id], "a test")
    assert (await graph.entity(ours, initial.id)).id == peter.id
    await graph.undo(ours, two.id, reason="wrong")
    assert await state(store, ours) == second
    await graph.undo(ours, one.id)
    assert await state(store, ours) == first
    told = (await graph.decisions(ours)).items
    assert [(decision.id, decision.undone_by) for decision in told] == [(two.id, ours.user), (one.id, ours.user)]


async def test_merges_are_undone_in_any_order(graph: Graph, take: Take, ours: Scope, store: Store) -> None:
    await take(ours, "a.md", "Anna Schmidt met Peter Novak. Maria Rossi met Karl Weber.")
    ids = [
        (await by_name(graph, ours, name)).id for name in ("Anna Schmidt", "Peter Novak", "Maria Rossi", "Karl Weber")
    ]
    first = await state(store, ours)
    one = await graph.merge(ours, ids[:2], "one")
    two = await graph.merge(ours, [ids[2], ids[0]], "two")
    await graph.undo(ours, one.id)
    assert (await graph.entity(ours, ids[1])).id == ids[1]
    assert (await graph.entity(ours, ids[0])).id == ids[2]
    await graph.undo(ours, two.id)
    assert await state(store, ours) == first


async def test_a_split_undone_is_as_if_it_never_was(graph: Graph, take: Take, ours: Scope, store: Store) -> None:
    await take(ours, "mill.md", "John Smith works for Mill Ltd. John Smith was seen on 3 May 2021.")
    await take(ours, "port.md", "John Smith lives in Porto.")
    john = await by_name(graph, ours, "John Smith")
    first = await state(store, ours)
    sources = [one.id for one in (await graph.mentions(ours, john.id)).items]
    apart = [one for one in (await graph.mentions(ours, john.id)).items if one.passage.name == "port.md"]
    made = await graph.split(ours, john.id, [apart[0].id], "another man of that name")
    assert made.made is not None
    other = await graph.entity(ours, made.made)
    assert (other.name, other.documents, (await graph.entity(ours, john.id)).documents) == ("John Smith", 1, 1)
    assert {found.entity.name for found in await graph.neighbours(ours, other.id)} == {"Porto"}
    assert "Porto" not in {found.entity.name for found in await graph.neighbours(ours, john.id)}
    both = await graph.merge(ours, [other.id, john.id], "the same man after all")
    assert (await graph.entity(ours, john.id)).documents == 2
    await graph.undo(ours, both.id)
    await graph.undo(ours, made.id)
    assert await state(store, ours) == first
    with pytest.raises(BadMerge):
        await graph.split(ours, john.id, sources, "all of them")


async def test_what_cannot_be_decided(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "a.md", "Anna Schmidt met Peter Novak.")
    anna, peter = await by_name(graph, ours, "Anna Schmidt"), await by_name(graph, ours, "Peter Novak")
    with pytest.raises(BadMerge):
        await graph.merge(ours, [anna.id, anna.id], "x")
    for ids in ([anna.id], [], "ent_"):
        with pytest.raises(BadOption):
            await graph.merge(ours, ids, "x")
    with pytest.raises(BadOption):
        await graph.merge(ours, [anna.id, peter.id], "  ")
    with pytest.raises(UnknownEntity):
        await graph.merge(ours, [anna.id, "ent_0000000000000001"], "x")
    made = await graph.merge(ours, [anna.id, peter.id], "x")
    await graph.undo(ours, made.id)
    for id in (made.id, "mrg_x", ""):
        with pytest.raises(UnknownDecision):
            await graph.undo(ours, id)
    for source in ("", "doc_x", "doc_x:1x", f"doc_x:{'9' * 12}"):
        with pytest.raises((UnknownEntity, BadMerge)):
            await graph.split(ours, anna.id, [source], "x")


async def test_an_explained_acronym_is_one_entity_until_it_means_two(
    graph: Graph, take: Take, ours: Scope, rooms: object
) -> None:
    await take(ours, "a.md", "The European Data Protection Board (EDPB) met in Brussels.")
    await take(ours, "b.md", "The EDPB met Anna Schmidt.")
    board = await by_name(graph, ours, "European Data Protection Board")
    assert ("EDPB" in board.aliases, board.documents) == (True, 2)
    await take(ours, "c.md", "The Energy Development Planning Bureau (EDPB) met in Oslo.")
    apart = await by_name(graph, ours, "EDPB")
    assert apart.name == "EDPB", "two documents explain it as two bodies: nobody is merged by a guess"
    found = {one.entity.name: one for one in await graph.resolve(ours, "EDPB")}
    assert "a document explains one as the other" in found["European Data Protection Board"].reasons
    assert "a document explains one as the other" in found["Energy Development Planning Bureau"].reasons
    assert found["EDPB"].score == 1.0


async def test_candidates_come_with_reasons(graph: Graph, take: Take, ours: Scope) -> None:
    await take(ours, "a.md", "Anna Schmidt works for Acme Systems Ltd. Anton Weber met Maria Rossi in Rome.")
    await take(ours, "b.md", "A. Schmidt met Anna Schmid. Acme Systems was sold.")
    anna = await by_name(graph, ours, "Anna Schmidt")
    found = {one.entity.name: one for one in await graph.resolve(ours, anna.id)}
    assert "the same family name and initial" in found["A. Schmidt"].reasons
    assert "nearly the same spelling" in found["Anna Schmid"].reasons
    assert "Anton Weber" not in found
    assert all(0.5 <= one.score < 1 for one in found.values())
    (best, *_) = await graph.resolve(ours, "Acme Systems Limited")
    assert (best.entity.name, best.score, best.reasons[0]) == ("Acme Systems Ltd", 1.0, "the same name")
    assert await graph.resolve(ours, "Nobody Here") == ()


@pytest.mark.parametrize(
    ("name", "other", "reason"),
    [
        ("Acme GmbH", "ACME G.m.b.H.", "the same name"),
        ("Dr. Anna Schmidt", "anna schmidt", "the same name"),
        ("Deutschland", "Germany", "the same name"),
        ("Müller & Söhne GmbH", "Müller & Söhne", "the same name without its legal form"),
        ("EDPB", "European Data Protection Board", "the initials of the other"),
        ("Jan de Vries", "J. de Vries", "the same family name and initial"),
        ("Warszawa Wola", "Warszawy Wola", "nearly the same spelling"),
    ],
)
def test_names_are_alike_for_a_reason(name: str, other: str, reason: str) -> None:
    assert reason in dict(likeness(name, other))
    assert reason in dict(likeness(other, name))


@pytest.mark.parametrize(("name", "other"), [("Acme GmbH", "Acme AG"), ("Anna Weber", "Peter Novak"), ("EU", "UN")])
def test_names_are_not_alike(name: str, other: str) -> None:
    assert dict(likeness(name, other)) == {}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Anna Kowalska", "Anny Kowalskiej"),
        ("Jan Kowalski", "Jana Kowalskiego"),
        ("Jan Kowalski", "Janowi Kowalskiemu"),
        ("Warszawa", "Warszawie"),
        ("Kraków", "Krakowie"),
        ("Ministerstwo Finansów", "Ministerstwem Finansów"),
    ],
)
def test_a_name_in_another_case_of_polish_is_proposed_with_its_reason(one: str, two: str) -> None:
    assert inflected(one.casefold(), two.casefold())
    assert {"the same name in another case of Polish", "the same name"} & set(dict(likeness(one, two)))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Anna Kowalska", "Anna Nowak"),
        ("Jan", "Janusz"),
        ("Bank", "Banking"),
        ("Acme Ltd", "Acme"),
        ("Ewa", "Ewy Nowak"),
        ("Urząd", "Urzędu"),
    ],
)
def test_other_names_are_no_cases(one: str, two: str) -> None:
    assert not inflected(one.casefold(), two.casefold())
    assert not inflected(one.casefold(), one.casefold())
