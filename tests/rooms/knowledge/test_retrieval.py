"""Retrieval through the room: hops, reasons, surroundings, filters in each mode, erasure, and the neighbour tenant."""

from __future__ import annotations

import pytest

from bastide.errors import BadOption
from bastide.knowledge import Knowledge
from bastide.store import Scope, queries

from .conftest import Rooms

_Q = queries("bastide.knowledge")
QUESTION = "Who is mayor of the village where Ada Vermeer was born?"
PAGES = {
    "Ada Vermeer": "Ada Vermeer was born in Lissewege. She painted gates, doors and the sea.",
    "Lissewege": "Lissewege lies near the coast. The council is led by Bram Declerck since the last election.",
    "Bram Declerck": "Bram Declerck studied law and keeps bees.",
    "Mayors": "A mayor is born to talk: who is mayor of a village is asked at each election.",
    "Oostkamp": "Oostkamp is a village. It is led by Jan Peeters.",
}
MODES = ["hybrid", "text", "vector", "graph"]


async def fill(knowledge: Knowledge, scope: Scope, pages: dict[str, str] = PAGES, **options: object) -> dict[str, str]:
    """The pages as documents; title -> id."""
    found: dict[str, str] = {}
    for title, text in pages.items():
        taken = await knowledge.ingest(scope, title, text.encode(), **options)  # type: ignore[arg-type]
        found[title] = taken.documents[0].id or ""
    return found


async def titles(knowledge: Knowledge, scope: Scope, query: str, **options: object) -> list[str]:
    return [p.title for p in (await knowledge.search(scope, query, **options)).passages]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["hybrid", "graph"])
async def test_a_hop_over_a_name_is_found(knowledge: Knowledge, ours: Scope, mode: str) -> None:
    await fill(knowledge, ours)
    assert set((await titles(knowledge, ours, QUESTION, mode=mode))[:2]) == {"Ada Vermeer", "Lissewege"}


async def test_a_passage_says_why_it_is_here(knowledge: Knowledge, ours: Scope) -> None:
    await fill(knowledge, ours)
    found = {p.title: p for p in (await knowledge.search(ours, QUESTION, explain=True)).passages}
    reached = found["Lissewege"].why
    assert reached is not None
    assert "lissewege" in reached.phrases
    assert reached.graph > 0
    named = found["Ada Vermeer"].why
    assert named is not None
    assert {"ada", "vermeer", "born"} <= set(named.stems)
    wire = found["Ada Vermeer"].to_wire()
    assert set(wire["why"]) == {"by", "stems", "phrases", "words", "grams", "cosine", "graph"}  # type: ignore[arg-type]
    assert "why" not in (await knowledge.search(ours, QUESTION)).passages[0].to_wire()


async def test_highlights_are_the_words_that_matched(knowledge: Knowledge, ours: Scope) -> None:
    await fill(knowledge, ours)
    passage = (await knowledge.search(ours, "painting a gate by Vermeer", mode="text")).passages[0]
    assert [passage.text[start:end] for start, end in passage.highlights] == ["Vermeer", "painted", "gates"]


async def test_neighbours_and_the_section_come_on_demand(knowledge: Knowledge, ours: Scope) -> None:
    parts = [f"Part {n} tells of the {word}." for n, word in enumerate(["oak", "elm", "ash", "fir"])]
    long = [" ".join([part, *(f"Word {n} of many stands here." for n in range(15))]) for part in parts]
    await knowledge.ingest(ours, "trees.md", ("# Trees\n\n" + "\n\n".join(long)).encode())
    bare, near, whole = [
        (await knowledge.search(ours, "elm", mode="text", context=context)).passages[0]
        for context in ("none", "neighbours", "section")
    ]
    assert bare.around == ()
    assert "elm" in near.text
    assert {one.step for one in near.around} <= {-1, 1}
    assert any("oak" in one.text for one in near.around)
    assert [one.step for one in whole.around] == sorted(one.step for one in whole.around)
    assert any("fir" in one.text for one in whole.around)
    with pytest.raises(BadOption):
        await knowledge.search(ours, "elm", context="everything")


@pytest.mark.parametrize("mode", MODES)
async def test_filters_hold_in_each_mode(knowledge: Knowledge, ours: Scope, mode: str) -> None:
    await fill(knowledge, ours, {"Ada Vermeer": PAGES["Ada Vermeer"]}, collection="people")
    secret = {"class": "confidential"}
    await fill(knowledge, ours, {"Lissewege": PAGES["Lissewege"]}, collection="places", label=secret)
    await fill(knowledge, ours, {"Oostkamp": PAGES["Oostkamp"]}, collection="places", label={"class": "internal"})
    assert await titles(knowledge, ours, QUESTION, mode=mode, collection="people") == ["Ada Vermeer"]
    only = {"classes": ["confidential"]}
    assert await titles(knowledge, ours, "Lissewege village", mode=mode, filters=only) == ["Lissewege"]
    assert await titles(knowledge, ours, QUESTION, mode=mode, filters={"until": "2020-01-01T00:00:00Z"}) == []
    with pytest.raises(BadOption):
        await knowledge.search(ours, QUESTION, mode=mode, filters={"classes": [7]})


@pytest.mark.parametrize("mode", MODES)
async def test_a_neighbour_is_found_by_no_mode(knowledge: Knowledge, ours: Scope, neighbour: Scope, mode: str) -> None:
    await fill(knowledge, ours)
    await fill(knowledge, neighbour, {"Ada Vermeer": "Ada Vermeer of the other house lives in Damme."})
    assert await titles(knowledge, ours, "Damme", mode=mode) != ["Ada Vermeer"] * 2
    texts = {p.text for p in (await knowledge.search(neighbour, QUESTION, mode=mode, limit=50)).passages}
    assert texts == {"Ada Vermeer of the other house lives in Damme."}
    texts = {p.text for p in (await knowledge.search(ours, "Ada Vermeer Damme", mode=mode, limit=50)).passages}
    assert not any("other house" in text for text in texts)


async def test_what_is_erased_takes_no_part_in_the_next_walk(rooms: Rooms, ours: Scope) -> None:
    knowledge = rooms.knowledge
    ids = await fill(knowledge, ours)
    assert "Lissewege" in await titles(knowledge, ours, QUESTION, mode="graph")
    await knowledge.delete(ours, ids["Lissewege"])
    found = await knowledge.search(ours, QUESTION, mode="graph", explain=True)
    assert "Lissewege" not in [p.title for p in found.passages]
    async with rooms.store.under(ours) as db:
        numbers = await db.value(_Q["mention_numbers"])
    assert len(numbers) == len(PAGES) - 1
    for id in ids.values():
        if id != ids["Lissewege"]:
            await knowledge.delete(ours, id)
    async with rooms.store.under(ours) as db:
        assert await db.value(_Q["mention_numbers"]) is None
    assert await titles(knowledge, ours, QUESTION, mode="graph") == []


async def test_a_new_document_joins_the_walk_at_once(knowledge: Knowledge, ours: Scope) -> None:
    await fill(knowledge, ours, {title: text for title, text in PAGES.items() if title != "Lissewege"})
    assert "Lissewege" not in await titles(knowledge, ours, QUESTION, mode="graph")
    await fill(knowledge, ours, {"Lissewege": PAGES["Lissewege"]})
    assert "Lissewege" in (await titles(knowledge, ours, QUESTION, mode="graph"))[:2]


async def test_documents_of_an_older_house_are_searched_without_and_mended(rooms: Rooms, ours: Scope) -> None:
    knowledge = rooms.knowledge
    ids = await fill(knowledge, ours)
    async with rooms.store.under(ours) as db:
        for id in ids.values():
            known = await db.row(dict, _Q["find_by_id"], id=id)
            assert known is not None
            await db.run(_Q["forget_mentions"], document=known["number"])
    for mode in MODES:
        assert await titles(knowledge, ours, "Ada Vermeer", mode=mode)
    assert "Lissewege" not in (await titles(knowledge, ours, QUESTION))[:2]
    for id in ids.values():
        await knowledge.reindex(ours, id)
    assert "Lissewege" in (await titles(knowledge, ours, QUESTION))[:2]


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("zh", "黑豹队的防守只丢了三百零八分，在联赛中排名第六。", "黑豹队丢了多少分"),
        ("th", "แนวรับของทีมแพนเธอร์สเสียคะแนนเพียงสามร้อยแปดแต้ม", "แพนเธอร์สเสียคะแนนเท่าไร"),
        ("hi", "पैंथर्स के डिफ़ेंस ने केवल तीन सौ आठ अंक दिए और लीग में छठे स्थान पर रहे।", "डिफ़ेंस ने कितने अंक दिए"),
        ("ar", "سمح دفاع بانثرز بثلاثمائة وثماني نقاط فقط واحتل المركز السادس في الدوري.", "كم نقطة سمح دفاع بانثرز"),
        (
            "vi",
            "Đội phòng thủ của Panthers chỉ để thua ba trăm lẻ tám điểm trong mùa giải này.",
            "phòng thủ để thua bao nhiêu điểm",
        ),
        ("ja", "パンサーズの守備は三百八点しか許さず、リーグで六位になった。", "パンサーズの守備は何点許したか"),
    ],
)
async def test_scripts_from_elsewhere_are_found_by_their_words(
    knowledge: Knowledge, ours: Scope, language: str, text: str, query: str
) -> None:
    await knowledge.ingest(ours, "one.txt", text.encode())
    await knowledge.ingest(ours, "two.txt", b"The gate opens at seven and closes at nine, every day but Sunday.")
    found = await knowledge.search(ours, query, mode="text")
    assert [p.text for p in found.passages] == [text]
    assert found.passages[0].language == language
    assert found.passages[0].highlights
