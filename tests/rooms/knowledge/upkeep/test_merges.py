"""Merges leave with a collection and are made again where it comes to; what is not of the collection stays behind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.app import House, open_house
from bastide.errors import BrokenExport
from bastide.knowledge.graph.carried import MERGES_MAX, Called, Part, Place
from bastide.knowledge.graph.merging import Link as Joint
from bastide.knowledge.graph.merging import joined
from bastide.knowledge.graph.parting import Lineage, Split, partable
from bastide.knowledge.graph.remaking import Link, tellable
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id
from tests.rooms.knowledge.graph.test_graph import by_name
from tests.rooms.knowledge.upkeep.test_jobs import exported, gave, run

CASES = "A. Schmidt lives in Berlin. Anna Schmidt met Peter Novak. Peter Novak met Karl Weber."
STAFF = "Maria Rossi lives in Rome. Anna Schmidt met Maria Rossi."

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


async def take(house: House, scope: Scope, name: str, text: str, collection: str) -> None:
    taken = await house.knowledge.ingest(scope, name, text.encode(), collection=collection, vectors=False)
    assert taken.documents[0].status == "ready"


async def merge(house: House, scope: Scope, *names: str, why: str = "the same signature") -> str:
    ids = [(await by_name(house.knowledge.graph, scope, name)).id for name in names]
    return (await house.knowledge.graph.merge(scope, ids, why)).id


def told(data: bytes, kind: str = "merges") -> list[dict[str, Any]]:
    """The decisions of a kind in the manifest of an export."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found: list[dict[str, Any]] = json.loads(archive.read("manifest.json"))[kind]
    return found


def rewritten(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The same export with another manifest."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                manifest = json.loads(content)
                change(manifest)
                content = json.dumps(manifest).encode()
            new.writestr(name, content)
    return out.getvalue()


async def brought(house: House, scope: Scope, data: bytes, collection: str | None = None) -> dict[str, Any]:
    """What an import says of the merges."""
    made = await house.knowledge.upkeep.bring(scope, data, collection=collection)
    merges: dict[str, Any] = (await gave(house, scope, made.id))["merges"]
    return merges


async def test_a_merge_goes_along_and_says_where_it_came_from(house: House, ours: Scope, neighbour: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    one = await merge(house, ours, "Anna Schmidt", "A. Schmidt")
    two = await merge(house, ours, "Peter Novak", "Anna Schmidt", why="an alias")
    data = await exported(house, ours, "cases")
    assert [(each["id"], each["who"], each["why"]) for each in told(data)] == [
        (one, ours.user, "the same signature"),
        (two, ours.user, "an alias"),
    ]
    assert await brought(house, neighbour, data) == {"made": 2, "known": 0, "left": 0, "reasons": []}
    found = await by_name(house.knowledge.graph, neighbour, "A. Schmidt")
    assert (found.name, set(found.aliases)) == ("Peter Novak", {"Anna Schmidt", "A. Schmidt"})
    last, first = (await house.knowledge.graph.decisions(neighbour)).items
    assert (first.who, last.who) == (neighbour.user, neighbour.user)
    assert str(ours.user) in first.why
    assert first.why.endswith(": the same signature")
    assert "the collection cases" in first.why
    again = await exported(house, neighbour, "cases")
    assert [each["entities"] for each in told(again)] == [each["entities"] for each in told(data)]


async def test_what_is_merged_already_is_no_error(house: House, ours: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    await merge(house, ours, "Anna Schmidt", "A. Schmidt")
    data = await exported(house, ours, "cases")
    assert await brought(house, ours, data, "copies") == {"made": 0, "known": 1, "left": 0, "reasons": []}
    assert await brought(house, ours, data, "more") == {"made": 0, "known": 1, "left": 0, "reasons": []}
    assert len((await house.knowledge.graph.decisions(ours)).items) == 1


async def test_nothing_of_another_collection_or_tenant_goes_along(house: House, ours: Scope, neighbour: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    await take(house, ours, "staff.md", STAFF, "staff")
    await merge(house, ours, "Anna Schmidt", "Maria Rossi", why="married in Rome")
    kept = await merge(house, ours, "Peter Novak", "Karl Weber", why="a pen name")
    await take(house, neighbour, "cases.md", CASES, "cases")
    await merge(house, neighbour, "Anna Schmidt", "Karl Weber", why="theirs alone")
    made = await run(house, ours, "knowledge.export", collection="cases")
    assert isinstance(made.output, dict)
    assert (made.output["merges"], made.output["merges_left"]) == (1, 1)
    data = (await house.knowledge.artifact(ours, made.id)).data
    assert [one["id"] for one in told(data)] == [kept]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = archive.read("manifest.json")
    for word in ("Rossi", "Rome", "theirs"):
        assert word.encode() not in manifest


async def test_an_entity_of_a_closed_collection_is_not_told_to_who_is_no_member(house: House, ours: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    await take(house, ours, "staff.md", STAFF, "staff")
    await merge(house, ours, "Anna Schmidt", "Maria Rossi", why="married in Rome")
    await house.knowledge.upkeep.set_members(ours, "staff", {str(ours.user): "manage"})
    clerk = replace(ours, user=new_id("usr"), roles=frozenset(), permissions=ours.permissions - {"knowledge:manage"})
    assert told(await exported(house, clerk, "cases")) == []
    assert (await run(house, clerk, "knowledge.export", collection="staff")).status == "failed"


async def test_an_undone_merge_stays_behind(house: House, ours: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    made = await merge(house, ours, "Anna Schmidt", "A. Schmidt")
    await house.knowledge.graph.undo(ours, made, reason="two persons")
    assert told(await exported(house, ours, "cases")) == []


async def entities(house: House, scope: Scope, collection: str) -> set[tuple[frozenset[str], frozenset[str]]]:
    """Who is named in a collection: the names of each person there, with the files that name him."""
    graph = house.knowledge.graph
    here = {one.id for one in (await house.knowledge.documents(scope, collection=collection)).items}
    found = set()
    for one in (await graph.entities(scope, type="person", collection=collection)).items:
        said = [m for m in (await graph.mentions(scope, one.id)).items if m.passage.document_id in here]
        found.add((frozenset(m.written for m in said), frozenset(m.passage.name for m in said)))
    return found


async def apart(house: House, scope: Scope, id: str, *files: str, why: str = "another one") -> str:
    """The entity that a split makes of what these files name."""
    graph = house.knowledge.graph
    sources = [one.id for one in (await graph.mentions(scope, id)).items if one.passage.name in files]
    made = (await graph.split(scope, id, sources, why)).made
    assert made is not None
    return made


async def test_a_split_goes_along_with_what_rests_on_it(house: House, ours: Scope, neighbour: Scope) -> None:
    graph = house.knowledge.graph
    await take(house, ours, "a.md", CASES, "cases")
    await take(house, ours, "b.md", "Anna Schmidt met Karl Weber.", "cases")
    await take(house, ours, "c.md", "Anna Schmidt lives in Rome.", "cases")
    anna = await by_name(graph, ours, "Anna Schmidt")
    other = await apart(house, ours, anna.id, "b.md", "c.md", why="the aunt")
    third = await apart(house, ours, other, "c.md", why="the grandmother")
    await graph.merge(ours, [(await by_name(graph, ours, "Karl Weber")).id, other], "his pen name")
    made = await run(house, ours, "knowledge.export", collection="cases")
    assert isinstance(made.output, dict)
    assert [made.output[word] for word in ("merges", "merges_left", "splits", "splits_left")] == [1, 0, 2, 0]
    data = (await house.knowledge.artifact(ours, made.id)).data
    done = await house.knowledge.upkeep.bring(neighbour, data)
    out = await gave(house, neighbour, done.id)
    assert out["splits"] == out["merges"] | {"made": 2} == {"made": 2, "known": 0, "left": 0, "reasons": []}
    here, there = await entities(house, ours, "cases"), await entities(house, neighbour, "cases")
    assert here == there
    assert (frozenset({"Anna Schmidt"}), frozenset({"c.md"})) in there
    assert third != other
    decided = (await graph.decisions(neighbour)).items
    assert [one.kind for one in decided] == ["split", "split", "merge"]
    assert decided[1].why.endswith(": the aunt")
    assert {one.who for one in decided} == {neighbour.user}
    again = await exported(house, neighbour, "cases")
    assert [len(each["places"]) for each in told(again, "splits")] == [2, 1]


async def test_a_split_that_stands_here_takes_the_copies_in(house: House, ours: Scope) -> None:
    graph = house.knowledge.graph
    await take(house, ours, "a.md", CASES, "cases")
    await take(house, ours, "b.md", "Anna Schmidt met Karl Weber.", "cases")
    await apart(house, ours, (await by_name(graph, ours, "Anna Schmidt")).id, "b.md")
    data = await exported(house, ours, "cases")
    done = await gave(house, ours, (await house.knowledge.upkeep.bring(ours, data, collection="copies")).id)
    assert done["splits"] == {"made": 0, "known": 1, "left": 0, "reasons": []}
    assert await entities(house, ours, "copies") == await entities(house, ours, "cases")
    assert len((await graph.decisions(ours)).items) == 1


async def test_of_a_split_only_the_places_in_the_collection_go_along(
    house: House, ours: Scope, neighbour: Scope
) -> None:
    """What is named in the collection is another Anna than the one whom the house knows first."""
    graph = house.knowledge.graph
    await take(house, ours, "secret.md", CASES, "staff")
    await take(house, ours, "c.md", "Anna Schmidt lives in Rome.", "staff")
    await take(house, ours, "b.md", "Anna Schmidt met Maria Rossi.", "cases")
    anna = await by_name(graph, ours, "Anna Schmidt")
    other = await apart(house, ours, anna.id, "b.md", "c.md")
    await graph.merge(ours, [(await by_name(graph, ours, "Peter Novak")).id, other], "a pen name")
    made = await run(house, ours, "knowledge.export", collection="cases")
    assert isinstance(made.output, dict)
    assert [made.output[word] for word in ("merges", "merges_left", "splits", "splits_left")] == [0, 1, 1, 0]
    data = (await house.knowledge.artifact(ours, made.id)).data
    (split,) = told(data, "splits")
    (document,) = {place["document"] for place in split["places"]}
    assert (await house.knowledge.document(ours, document)).name == "b.md"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert b"Novak" not in archive.read("manifest.json")
    await take(house, neighbour, "own.md", "Anna Schmidt lives in Vienna.", "own")
    out = await gave(house, neighbour, (await house.knowledge.upkeep.bring(neighbour, data)).id)
    assert out["splits"] == {"made": 1, "known": 0, "left": 0, "reasons": []}
    both = [one for one in (await graph.entities(neighbour, query="Anna Schmidt")).items if one.type == "person"]
    assert [one.documents for one in both] == [1, 1]


async def test_an_undone_split_stays_behind(house: House, ours: Scope) -> None:
    graph = house.knowledge.graph
    await take(house, ours, "a.md", CASES, "cases")
    await take(house, ours, "b.md", "Anna Schmidt met Karl Weber.", "cases")
    await apart(house, ours, (await by_name(graph, ours, "Anna Schmidt")).id, "b.md")
    (made,) = (await graph.decisions(ours)).items
    await graph.undo(ours, made.id, reason="one person")
    assert told(await exported(house, ours, "cases"), "splits") == []


async def test_a_split_whose_places_are_not_found_is_told(house: House, ours: Scope, neighbour: Scope) -> None:
    graph = house.knowledge.graph
    await take(house, ours, "a.md", CASES, "cases")
    await take(house, ours, "b.md", "Anna Schmidt met Karl Weber.", "cases")
    await take(house, ours, "c.md", "Anna Schmidt met Karl Weber again.", "cases")
    other = await apart(house, ours, (await by_name(graph, ours, "Anna Schmidt")).id, "b.md", "c.md")
    await graph.merge(ours, [(await by_name(graph, ours, "Peter Novak")).id, other], "a pen name")
    data = await exported(house, ours, "cases")

    def moved(manifest: dict[str, Any]) -> None:
        manifest["splits"][0]["places"][0]["start"] += 3

    out = await gave(house, neighbour, (await house.knowledge.upkeep.bring(neighbour, rewritten(data, moved))).id)
    assert (out["splits"]["made"], out["merges"]["made"]) == (1, 1)
    assert out["splits"]["reasons"][0]["why"] == "1 of its 2 places were found"

    def all_moved(manifest: dict[str, Any]) -> None:
        for place in manifest["splits"][0]["places"]:
            place["start"] += 3

    data = rewritten(data, all_moved)
    out = await gave(house, neighbour, (await house.knowledge.upkeep.bring(neighbour, data, collection="more")).id)
    assert (out["splits"]["left"], out["merges"]["left"]) == (1, 1)
    assert "none of its places" in out["splits"]["reasons"][0]["why"]
    assert "is not apart here" in out["merges"]["reasons"][0]["why"]


async def test_a_merge_that_cannot_be_made_again_is_told(house: House, ours: Scope, neighbour: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    await merge(house, ours, "Anna Schmidt", "A. Schmidt")

    def another_name(manifest: dict[str, Any]) -> None:
        manifest["merges"][0]["entities"][1]["name"] = "B. Schmidt"

    out = await brought(house, neighbour, rewritten(await exported(house, ours, "cases"), another_name))
    assert (out["made"], out["left"]) == (0, 1)
    assert "B. Schmidt" in out["reasons"][0]["why"]
    assert (await house.knowledge.graph.decisions(neighbour)).items == ()


async def test_an_export_of_earlier_days_comes_in(house: House, ours: Scope, neighbour: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    old = rewritten(
        await exported(house, ours, "cases"), lambda manifest: (manifest.pop("merges"), manifest.pop("splits"))
    )
    assert await brought(house, neighbour, old) == {"made": 0, "known": 0, "left": 0, "reasons": []}


async def test_merges_that_cannot_be_are_refused(house: House, ours: Scope, neighbour: Scope) -> None:
    await take(house, ours, "cases.md", CASES, "cases")
    await merge(house, ours, "Anna Schmidt", "A. Schmidt")
    data = await exported(house, ours, "cases")
    (good,) = told(data)
    named = good["entities"][0]
    wrong: list[Any] = [
        None,
        {},
        [good, good],
        [{**good, "id": str(n)} for n in range(MERGES_MAX + 1)],
        [{**good, "entities": [named]}],
        [{**good, "entities": [named, named]}],
        [{**good, "entities": [{**named, "name": f"n{n}"} for n in range(51)]}],
        [{**good, "entities": [named, {"name": "a\0b", "type": "person"}]}],
        [{**good, "entities": [named, {"name": "a\ud800b", "type": "person"}]}],
        [{**good, "entities": [named, {"name": 7, "type": "person"}]}],
        [{**good, "why": "x" * 2001}],
        [{**good, "who": 7}],
        [{**good, "made_at": "2026-11-29T10:00:00"}],
        [{word: value for word, value in good.items() if word != "made_at"}],
        [{**good, "entities": [named, {"split": "spl_that_nobody_told"}]}],
        [{**good, "entities": [named, {"split": 7}]}],
    ]
    place = {"document": "doc_1", "start": 0}
    split = {**good, "entities": [named], "places": [place]}
    for splits in (
        [good],
        [{**split, "places": []}],
        [{**split, "places": [place, place]}],
        [{**split, "places": [{**place, "start": -1}]}],
        [{**split, "places": [{**place, "start": True}]}],
        [{**split, "places": [{**place, "document": "a\0"}]}],
        [{**split, "places": [{**place, "start": n} for n in range(1001)]}],
        [{**split, "entities": []}],
        [{**split, "entities": [{"split": good["id"]}]}],
        [split, split],
    ):
        wrong.append({"splits": splits, "merges": []})
    for said in wrong:
        change = said if isinstance(said, dict) and "splits" in said else {"merges": said}
        changed = rewritten(data, lambda manifest, change=change: manifest.update(change))  # type: ignore[misc]
        with pytest.raises(BrokenExport):
            await house.knowledge.upkeep.bring(neighbour, changed)
    assert await house.knowledge.collections(neighbour) == ()


# -- laws -------------------------------------------------------------------------------------------

keys = st.integers(1, 12)
chains = st.lists(
    st.tuples(st.sampled_from(["merge", "said", "split"]), st.lists(keys, min_size=2, max_size=4)), max_size=12
)


@given(chains, st.sets(keys))
def test_what_is_told_is_named_and_joins_what_was_joined(made: list[tuple[str, list[int]]], named: set[int]) -> None:
    called = {key: Called(f"name {key}", "person") for key in named}
    links = [Link(f"{n:02}", kind, of, "usr", "why", NOW) for n, (kind, of) in enumerate(made)]
    found, left = tellable(links, called)
    assert found == [one for one in found if set(one.entities) <= set(called.values())]
    assert len(found) + left <= sum(link.kind == "merge" for link in links)
    whole = joined([Joint(link.id, link.keys[0], tuple(link.keys[1:])) for link in links])
    key_of = {one: key for key, one in called.items()}
    for one in found:  # nothing is merged elsewhere that is two here
        assert len({whole.get(key_of[entity], key_of[entity]) for entity in one.entities}) == 1


@given(chains)
def test_where_all_are_named_all_goes_along(made: list[tuple[str, list[int]]]) -> None:
    called = {key: Called(f"name {key}", "person") for key in range(1, 13)}
    links = [Link(f"{n:02}", "merge", of, "usr", "why", NOW) for n, (_, of) in enumerate(made)]
    found, _ = tellable(links, called)
    key_of = {one: key for key, one in called.items()}
    again = [Joint(one.id, key_of[one.entities[0]], tuple(key_of[each] for each in one.entities[1:])) for one in found]
    assert joined(again) == joined([Joint(link.id, link.keys[0], tuple(link.keys[1:])) for link in links])


def test_an_entity_is_called_by_what_was_one_with_it() -> None:
    """The full name stands in another document, which says what the short one means; the merge is of the full name."""
    links = [
        Link("", "said", [1, 2], "", "", NOW),
        Link("mrg_1", "merge", [1, 3], "usr_1", "the same board", NOW),
        Link("mrg_2", "merge", [3, 4], "usr_1", "the same board", NOW),
    ]
    short, third = Called("EDPB", "organisation"), Called("Board", "organisation")
    found, left = tellable(links, {2: short, 3: third})
    assert ([one.entities for one in found], left) == ([(short, third)], 1)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=10), st.sets(st.integers(1, 10)))
def test_what_splits_made_is_found_again_in_order(made: list[tuple[int, bool]], named: set[int]) -> None:
    """Split `n` takes from key 0, or from what an earlier one made, and makes key `n`; every key is named somewhere."""
    splits = [
        Split(f"spl_{n:02}", [min(of, n - 1)], [n], "usr", "why", NOW, holds) for n, (of, holds) in enumerate(made, 1)
    ]
    known = Lineage.of(splits)
    places = {key: [Place("doc", key)] for key in named & set(known.by)}
    told, left = partable(known, places, {0: Called("name", "person")})
    assert left == 0
    at = dict.fromkeys((one.start for found in places.values() for one in found), "")
    for split in told:  # made again one after the other
        (entity,) = split.entities
        before = entity.split if isinstance(entity, Part) else ""
        for place in split.places:
            assert at[place.start] == before
            at[place.start] = split.id
    assert at == {key: known.by[key] for key in places}
