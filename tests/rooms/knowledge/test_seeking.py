"""Seeking: a re-ranker's order where it may read the passages; else the search's own, and a note that says why."""

from __future__ import annotations

import pytest

from bastide.errors import BadOption
from bastide.inference import ModelSpec
from bastide.knowledge import Knowledge
from bastide.store import Scope
from bastide.testing import Fails, ScriptedModel

from .conftest import Rooms

ASKED = "gate opens at eight"
# By words and meaning the first answers; the scripted re-ranker parts words at spaces only: the last has most of them.
NOTES = {
    "a.md": "# Gate\n\nThe gate opens at eight.",
    "b.md": "# Gate\n\nThe gate is painted green and has two wings of oak.",
    "c.md": "# Rules\n\nWhen the porter opens the chest he looks at his list of eight keys, one of which is that of "
    "the old gate in the park behind the mill by the river.",
}


async def _fill(knowledge: Knowledge, scope: Scope, **labels: str) -> None:
    for name, text in NOTES.items():
        cls = labels.get(name[0], "internal")
        await knowledge.ingest(scope, name, text.encode(), label={"class": cls, "personal": "none"})


async def _ranker(rooms: Rooms, scope: Scope, server: ScriptedModel) -> None:
    spec = ModelSpec("ranker", url=server.url, local=True, capabilities=("rerank",), upstream="scripted")
    await rooms.inference.add_model(scope, spec)


async def test_the_order_is_the_re_rankers(rooms: Rooms, knowledge: Knowledge, ours: Scope, neighbour: Scope) -> None:
    await _fill(knowledge, ours, c="confidential")
    await _fill(knowledge, neighbour)
    own = await knowledge.search(ours, ASKED, rerank="off", explain=True)
    assert all(one.why and one.why.rerank is None for one in own.passages)
    async with ScriptedModel() as server:
        await _ranker(rooms, ours, server)
        found = await knowledge.search(ours, ASKED, explain=True)
        few = await knowledge.search(ours, ASKED, limit=1)
        asked = [one for one in server.asked if one.path.endswith("/rerank")]
        await knowledge.search(neighbour, ASKED)
        await knowledge.search(ours, ASKED, rerank="off")
        assert len([one for one in server.asked if one.path.endswith("/rerank")]) == len(asked) == 2
    scores = [one.score for one in found.passages]
    assert scores == sorted(scores, reverse=True) == [one.why.rerank for one in found.passages if one.why]
    assert own.passages[0].name != "c.md"
    assert found.passages[0].name == few.passages[0].name == "c.md"
    assert {one.name for one in found.passages} == {one.name for one in own.passages}
    assert [one.n for one in found.passages] == [1, 2, 3]
    assert asked[0].body["query"] == ASKED
    assert any(text.startswith("Rules") for text in asked[0].body["documents"])
    told = (await rooms.audit.receipt(ours, found.receipts["rerank"])).to_wire()
    label = told["label"]
    assert isinstance(label, dict)
    assert label["class"] == "confidential"  # that of the strictest passage that was read
    assert found.to_wire()["receipts"] == {"rerank": found.receipts["rerank"]}


async def test_an_answer_reads_the_passages_in_that_order(rooms: Rooms, knowledge: Knowledge, ours: Scope) -> None:
    await _fill(knowledge, ours)
    async with ScriptedModel() as server:
        await _ranker(rooms, ours, server)
        answer = await knowledge.answer(ours, "When does the gate open?", model="local/extractive", limit=2)
        assert [one.path for one in server.asked if one.path.endswith("/rerank")] == ["/v1/rerank"]
        await knowledge.answer(ours, "When does the gate open?", model="local/extractive", rerank="off")
        assert len([one for one in server.asked if one.path.endswith("/rerank")]) == 1
    assert answer.found


async def test_a_re_ranker_that_is_silent_refused_or_wrong_changes_nothing(
    rooms: Rooms, knowledge: Knowledge, ours: Scope
) -> None:
    await _fill(knowledge, ours)
    own = await knowledge.search(ours, ASKED, rerank="off")
    async with ScriptedModel(Fails(500), Fails(401), Fails(404), Fails(429)) as server:
        await _ranker(rooms, ours, server)
        for code in ("upstream_failed", "key_refused", "upstream_unknown_model", "upstream_busy"):
            found = await knowledge.search(ours, ASKED)
            assert found.notes == (f"Not re-ranked (inference.{code}): the order is the search's own.",)
            assert [one.document_id for one in found.passages] == [one.document_id for one in own.passages]
    gone = await knowledge.search(ours, ASKED)
    assert gone.notes
    assert "egress." in gone.notes[0]
    assert [one.score for one in gone.passages] == [one.score for one in own.passages]


async def test_passages_that_no_re_ranker_may_read_stay_here(rooms: Rooms, knowledge: Knowledge, ours: Scope) -> None:
    await _fill(knowledge, ours, c="secret")
    record = next(one.id for one in rooms.policy.records() if one.kind != "local" and one.url)
    await rooms.inference.add_model(ours, ModelSpec("far", provider=record, capabilities=("rerank",), upstream="x"))
    found = await knowledge.search(ours, ASKED)
    assert found.notes == ("Not re-ranked (inference.no_permitted_model): the order is the search's own.",)
    assert found.passages
    assert not found.receipts


async def test_an_order_that_nobody_knows_is_refused(knowledge: Knowledge, ours: Scope) -> None:
    for word in ("on", "", "always"):
        with pytest.raises(BadOption):
            await knowledge.search(ours, ASKED, rerank=word)
