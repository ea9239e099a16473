"""Hops: the parts of a question, by rule or by a model, searched besides it; nothing is named that nobody wrote."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadOption
from bastide.inference import ModelSpec
from bastide.knowledge import Knowledge
from bastide.knowledge.hops import bridged, chained, halves, invented
from bastide.store import Scope
from bastide.testing import Fails, ScriptedModel

from .conftest import Rooms

PAPERS = {
    "gazette.md": "# Harbour Gazette\n\nThe Harbour Gazette is printed by the Lantern Press since 1911.",
    "press.md": "# Lantern Press\n\nThe founder of the firm was Ada Quill, a printer.",
    "quill.md": "# Ada Quill\n\nAda Quill was born in Ghent.",
    "other.md": "# Tin Press\n\nThe Tin Press prints posters and has no founder that is known.",
}
ASKED = "Who was the founder of the firm that prints the Harbour Gazette?"


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Who is older, Sid Haig or Vic Darchinyan?", ("Who is older, Sid Haig?", "Who is older, Vic Darchinyan?")),
        ("Are Ann Lee and the Iron Band on tour?", ("Are Ann Lee on tour?", "Are Iron Band on tour?")),
        (
            "Welche Firma ist älter, Alpha oder Beta?",
            ("Welche Firma ist älter, Alpha?", "Welche Firma ist älter, Beta?"),
        ),
        ("When does the lease end?", ()),
        ("Who lives in Ghent?", ()),
        ("and or and", ()),
        ("", ()),
    ],
)
def test_a_question_about_two_names_has_two_halves(question: str, parts: tuple[str, ...]) -> None:
    assert halves(question) == parts


def test_a_chain_is_seen_and_crossed() -> None:
    assert chained(ASKED)
    assert not chained("When does the lease end?")
    title, _, text = PAPERS["gazette.md"].removeprefix("# ").partition("\n\n")
    asked = bridged(ASKED, "en", title, text)
    assert {"founder", "firm", "Lantern", "Press"} <= set(asked.split())
    assert "Gazette" not in asked  # what was found is not asked for again
    assert bridged("Where is Ghent?", "en", "Ghent", "Where is Ghent?") == ""


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=80))
def test_no_word_is_made_up(question: str, title: str, text: str) -> None:
    def words(*parts: str) -> set[str]:
        return set(re.findall(r"[^\W_]+", " ".join(parts)))

    assert all(words(half) <= words(question) for half in halves(question))
    assert words(bridged(question, "en", title, text)) <= words(question, title, text)
    assert not any(invented(half, question) for half in halves(question))


def test_what_a_model_adds_is_seen() -> None:
    assert not invented("Which firm prints the Harbour Gazette?", ASKED)
    assert not invented("Who was the founder of #1?", ASKED)
    assert invented("Who founded the Lantern Press?", ASKED)
    assert invented("Who was the founder in 1911?", ASKED)


async def _fill(knowledge: Knowledge, scope: Scope) -> None:
    for name, text in PAPERS.items():
        label = {"class": "confidential" if name == "gazette.md" else "internal", "personal": "none"}
        await knowledge.ingest(scope, name, text.encode(), label=label)


async def test_a_hop_shows_what_it_found_and_carries_the_label_of_its_bridge(
    rooms: Rooms, knowledge: Knowledge, ours: Scope, neighbour: Scope
) -> None:
    await _fill(knowledge, ours)
    await _fill(knowledge, neighbour)
    plain = await knowledge.search(ours, ASKED, explain=True, mode="vector")
    assert all(one.why and one.why.hop == "" for one in plain.passages)
    assert not plain.receipts
    found = await knowledge.search(ours, ASKED, explain=True, mode="vector", decompose="auto")
    hops = {one.name: one.why.hop for one in found.passages if one.why and one.why.hop}
    assert "Lantern Press" in hops["press.md"]
    assert found.to_wire()["receipts"] == {"hop 1": found.receipts["hop 1"]}
    told = (await rooms.audit.receipt(ours, found.receipts["hop 1"])).to_wire()["label"]
    assert isinstance(told, dict)
    assert told["class"] == "confidential"  # the query holds a name that a confidential passage gave
    theirs = {one.id for one in (await knowledge.documents(neighbour)).items}
    assert not theirs & {one.document_id for one in found.passages}
    answer = await knowledge.answer(ours, ASKED, decompose="auto", model="local/extractive")
    assert "Quill" in answer.answer
    for word in ("on", ""):
        with pytest.raises(BadOption):
            await knowledge.search(ours, ASKED, decompose=word)


async def test_a_model_that_is_allowed_takes_the_question_apart(
    rooms: Rooms, knowledge: Knowledge, ours: Scope
) -> None:
    await _fill(knowledge, ours)
    parts = [
        "Which firm prints the Harbour Gazette?",
        "Who was the founder of #1?",
        "Who founded the Tin Press in 1911?",
    ]
    said = f"<think>Two hops.</think> {json.dumps({'questions': parts})}"
    async with ScriptedModel(said, "No JSON at all.", Fails(500)) as server:
        spec = ModelSpec("writer", url=server.url, local=True, capabilities=("chat",), upstream="scripted")
        await rooms.inference.add_model(ours, spec)
        found = await knowledge.search(ours, ASKED, decompose="always", explain=True)
        assert server.chats[0].body["response_format"]["json_schema"]["strict"] is True
        assert found.notes == ("1 parts by writer name what the question does not, and were dropped.",)
        assert set(found.receipts) == {"decompose", "hop 1", "hop 2"}
        receipt = (await rooms.audit.receipt(ours, found.receipts["decompose"])).to_wire()
        assert receipt["model"] == "writer"
        unread = await knowledge.search(ours, ASKED, decompose="always")
        assert unread.notes == ("writer gave no parts of the question.",)
        assert "hop 1" in unread.receipts  # the rules go on without it
        failed = await knowledge.search(ours, ASKED, decompose="always")
        assert failed.notes == ("Not decomposed by writer (inference.upstream_failed).",)
        calls = len(server.chats)
        await knowledge.search(ours, ASKED, decompose="auto")
        await knowledge.search(ours, ASKED)
        assert len(server.chats) == calls
