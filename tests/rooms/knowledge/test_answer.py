"""Answers: extractive without a model, written and checked with one, and an honest "no" when nothing fits."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any

import pytest

from bastide.errors import BadOption, UnknownModel, UpstreamFailed
from bastide.inference import ModelSpec
from bastide.knowledge import Answer, Knowledge, Telling, Turn
from bastide.policy import Label
from bastide.store import Scope
from bastide.testing import Fails, ScriptedModel
from tests.rooms.knowledge.reading.made import paragraph, pdf

from .conftest import EXAMPLES, LEASE, MENU, Rooms

LOCAL = {"class": "internal", "personal": "none"}


async def _with_model(rooms: Rooms, scope: Scope, model: ScriptedModel) -> None:
    await rooms.inference.add_model(scope, ModelSpec(name="writer", url=model.url, local=True))
    await rooms.knowledge.ingest(scope, "lease.md", LEASE, label=LOCAL)
    await rooms.knowledge.ingest(scope, "menu.md", MENU, label=LOCAL)


def _held_together(answer: Answer) -> None:
    """Every number in the text is a citation, every citation is used, every mark is where it is said to be."""
    used = {int(n) for n in re.findall(r"\[(\d+)\]", answer.answer)}
    assert used == {passage.n for passage in answer.citations}
    assert [p.n for p in answer.citations] == list(range(1, len(answer.citations) + 1))
    for one in answer.unsupported:
        assert answer.answer[one.start : one.end] == one.text
        assert answer.answer[one.end :].startswith(" [unsupported]")
    assert answer.answer.count("[unsupported]") == len(answer.unsupported)


async def test_without_a_model_the_answer_is_extractive_and_says_so(rooms: Rooms, library: Scope) -> None:
    answer = await rooms.knowledge.answer(library, "How soon must a personal data breach be notified?")
    assert (answer.mode, answer.model, answer.found) == ("extractive", "local/extractive", True)
    assert "72 hours" in answer.answer
    assert any("Article 33" in " ".join(p.section) or "(85)" in p.text or "85" in p.section for p in answer.citations)
    _held_together(answer)
    assert answer.unsupported == ()
    assert answer.receipt
    assert answer.receipt.startswith("rcp_")
    plain = " ".join(re.sub(r"\s*\[\d+\]", "", answer.answer).split())
    sources = " ".join(" ".join(p.text.split()) for p in answer.citations)
    first = plain.split(". ")[0].rstrip(".")
    assert first in sources, "extractive sentences are the document's own"


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "How do I bake an apple pie?",
        "Who won the football world cup in 1998?",
        "Wie hoch ist der Eiffelturm?",
        "Quelle est la recette de la bouillabaisse ?",
    ],
)
async def test_what_the_documents_do_not_say_is_not_answered(
    knowledge: Knowledge, library: Scope, question: str
) -> None:
    answer = await knowledge.answer(library, question)
    assert not answer.found, answer.answer
    assert answer.citations == ()


@pytest.mark.parametrize(
    "question",
    [
        "When must a data protection impact assessment be carried out?",
        "What is the age of consent of a child?",
        "Who appoints the data protection officer?",
        "How high are the fines?",
        "Can I get my data deleted?",
        "What is pseudonymisation?",
        "right to data portability",
    ],
)
async def test_what_the_documents_say_is_answered(knowledge: Knowledge, library: Scope, question: str) -> None:
    answer = await knowledge.answer(library, question)
    assert answer.found
    assert answer.citations
    _held_together(answer)


async def test_an_empty_tenant_gets_an_honest_no(knowledge: Knowledge, ours: Scope) -> None:
    answer = await knowledge.answer(ours, "When does the lease end?")
    assert (answer.found, answer.citations) == (False, ())
    assert answer.answer


async def test_a_model_writes_and_every_sentence_is_checked(rooms: Rooms, ours: Scope) -> None:
    said = (
        "The lease ends on 30 June 2031. [1] The rent is 1,200 euros a month [1]. The rent is 1,500 euros a month [1]. "
        "Mr Janssens signed it [1]. The lease does not end on 30 June 2031 [1]. The soup is served with carrots [9]."
    )
    async with ScriptedModel(said) as model:
        await _with_model(rooms, ours, model)
        answer = await rooms.knowledge.answer(ours, "When does the lease of the workshop end?")
        asked = model.chats[-1].body
    assert (answer.mode, answer.model, answer.prompt) == ("generated", "writer", "answer@2")
    _held_together(answer)
    assert "The lease ends on 30 June 2031 [1]." in answer.answer
    assert "The rent is 1,200 euros a month [1]." in answer.answer
    doubts = {one.text: one.why for one in answer.unsupported}
    assert "1500" in doubts["The rent is 1,500 euros a month [1]."]
    assert "janssens" in doubts["Mr Janssens signed it [1]."]
    assert "denies" in doubts["The lease does not end on 30 June 2031 [1]."]
    assert len(doubts) in {3, 4}, "the sentence about the soup is cited to a passage that is not there"
    assert answer.receipt
    system, user = (message["content"] for message in asked["messages"])
    fence = re.search(r"passages-[0-9a-f]{16}", system)
    assert fence is not None
    assert f"<{fence[0]}>" in user
    assert "[1]" in user
    assert "30 June 2031" in user


async def test_passages_are_fenced_anew_each_time(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("The lease ends on 30 June 2031 [1].") as model:
        await _with_model(rooms, ours, model)
        for _ in range(2):
            await rooms.knowledge.answer(ours, "When does the lease of the workshop end?")
        fences = {re.findall(r"passages-[0-9a-f]{16}", chat.body["messages"][0]["content"])[0] for chat in model.chats}
    assert len(fences) == 2


async def test_a_model_that_finds_nothing_says_so(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("<think>Hm.</think>Your documents do not answer this.") as model:
        await _with_model(rooms, ours, model)
        answer = await rooms.knowledge.answer(ours, "When does the lease of the workshop end?")
    assert (answer.found, answer.citations, answer.mode) == (False, (), "generated")


async def test_the_label_of_what_a_model_reads_is_the_strictest_of_its_passages(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("The lease ends on 30 June 2031 [1].") as model:
        await _with_model(rooms, ours, model)
        await rooms.knowledge.ingest(
            ours, "annex.md", b"# Annex\n\nThe lease of the workshop may be ended early.", label={"class": "secret"}
        )
        answer = await rooms.knowledge.answer(ours, "When does the lease of the workshop end?")
    assert answer.label.cls == "secret"


async def test_extracts_can_be_asked_for_although_there_is_a_model(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("never asked") as model:
        await _with_model(rooms, ours, model)
        answer = await rooms.knowledge.answer(
            ours, "When does the lease of the workshop end?", model="local/extractive"
        )
        assert model.chats == []
    assert answer.mode == "extractive"
    assert "30 June 2031" in answer.answer


async def test_an_unknown_model_is_an_error_and_not_another_model(knowledge: Knowledge, ours: Scope) -> None:
    with pytest.raises(UnknownModel):
        await knowledge.answer(ours, "When does the lease of the workshop end?", model="gpt-9")
    await knowledge.ingest(ours, "lease.md", LEASE)
    with pytest.raises(UnknownModel):
        await knowledge.answer(ours, "When does the lease of the workshop end?", model="gpt-9")


async def test_a_model_that_was_named_and_fails_is_an_error_with_a_next_step(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Fails(500)) as model:
        await _with_model(rooms, ours, model)
        with pytest.raises(UpstreamFailed) as failed:
            await rooms.knowledge.answer(ours, "When does the lease of the workshop end?", model="writer")
    assert failed.value.next_step


async def test_a_model_that_nobody_named_and_fails_leaves_the_documents_own_words(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Fails(500)) as model:
        await _with_model(rooms, ours, model)
        answer = await rooms.knowledge.answer(ours, "When does the lease of the workshop end?")
    assert answer.mode == "extractive"
    assert "30 June 2031" in answer.answer
    assert any("inference.upstream_failed" in note for note in answer.notes)


# -- while it is made -------------------------------------------------------------------------------


async def _told(rooms: Rooms, scope: Scope, question: str, **more: Any) -> list[Telling]:
    return [event async for event in rooms.knowledge.tell(scope, question, **more)]


async def test_an_answer_is_told_while_it_is_written(rooms: Rooms, ours: Scope) -> None:
    said = "<think>Which clause?</think>The lease ends on 30 June 2031 [1]. It was signed by Mr Janssens [1]."
    async with ScriptedModel(said) as model:
        await _with_model(rooms, ours, model)
        events = await _told(rooms, ours, "When does the lease of the workshop end?")
        assert model.chats[-1].body["stream"] is True
    assert [events[0].kind, events[-1].kind] == ["passages", "answer"]
    assert {event.kind for event in events[1:-1]} == {"text"}
    words = "".join(event.text for event in events)
    assert words == "The lease ends on 30 June 2031 [1]. It was signed by Mr Janssens [1]."
    assert "30 June 2031" in events[0].passages[0].text
    answer = events[-1].answer
    assert answer is not None
    assert [one.text for one in answer.unsupported] == ["It was signed by Mr Janssens [1]."]
    assert {event.receipt for event in events} == {answer.receipt}, "the receipt is known at the first event"
    _held_together(answer)


async def test_whoever_stops_listening_stops_the_model(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("The lease ends on 30 June 2031 [1]. " * 200) as model:
        await _with_model(rooms, ours, model)
        told = rooms.knowledge.tell(ours, "When does the lease of the workshop end?")
        async with aclosing(told):
            async for event in told:
                if event.kind == "text":
                    break
        for _ in range(100):
            if model.closed_early:
                break
            await asyncio.sleep(0.02)
        assert model.closed_early == 1
    receipt = await rooms.audit.receipt(ours, event.receipt or "")
    assert receipt.body["outcome"] == "aborted"


async def test_without_a_model_the_passages_come_before_the_answer(rooms: Rooms, library: Scope) -> None:
    events = await _told(rooms, library, "How soon must a personal data breach be notified?")
    assert [event.kind for event in events] == ["passages", "answer"]
    assert events[0].receipt == events[1].receipt


async def test_a_follow_up_leans_on_what_was_said(rooms: Rooms, library: Scope) -> None:
    first = await rooms.knowledge.answer(library, "How soon must a personal data breach be notified?")
    alone = await rooms.knowledge.answer(library, "And to whom?")
    history = [Turn("How soon must a personal data breach be notified?", first.answer, first.label)]
    after = await rooms.knowledge.answer(library, "And to whom?", history=history)
    assert "breach" in after.searched
    assert "breach" not in alone.searched
    assert after.found
    assert any("breach" in passage.text for passage in after.citations)
    assert "supervisory authority" in after.answer


async def test_what_was_said_under_a_stricter_label_binds_the_answer(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("The lease ends on 30 June 2031 [1].") as model:
        await _with_model(rooms, ours, model)
        secret = Turn("What is the plan?", "To sell the workshop.", Label.from_wire({"class": "restricted"}))
        answer = await rooms.knowledge.answer(ours, "When does the lease of the workshop end?", history=[secret])
        said = [message["content"] for message in model.chats[-1].body["messages"]]
    assert answer.label.cls == "restricted"
    assert "To sell the workshop." in said


async def test_what_can_be_asked_next_is_what_the_documents_hold(rooms: Rooms, library: Scope) -> None:
    answer = await rooms.knowledge.answer(library, "How soon must a personal data breach be notified?")
    assert 0 < len(answer.further) <= 3
    cited = {part for passage in answer.citations for part in passage.section}
    for question in answer.further:
        section = question.removeprefix("What does “").removesuffix("” say?")
        assert section not in cited
        assert (await rooms.knowledge.answer(library, question)).found


async def test_an_answer_across_languages_is_written_in_the_asker_s_and_doubted_openly(
    rooms: Rooms, ours: Scope
) -> None:
    text = (
        "# Mietvertrag\n\nDas Mietverhältnis über die Werkstatt endet am 30. Juni 2031. Die Kaution beträgt 500 Euro.\n"
    )
    async with ScriptedModel("The tenancy of the Werkstatt ends in 2031 [1]. The deposit is 900 euros [1].") as model:
        await rooms.inference.add_model(ours, ModelSpec(name="writer", url=model.url, local=True))
        await rooms.knowledge.ingest(ours, "mietvertrag.md", text.encode(), label=LOCAL)
        answer = await rooms.knowledge.answer(
            ours, "When does the Mietverhältnis of the Werkstatt end in the contract?"
        )
        system = model.chats[-1].body["messages"][0]["content"]
    assert "Write in English" in system
    assert answer.language == "en"
    doubts = {one.text: one.why for one in answer.unsupported}
    assert "another language (de)" in doubts["The tenancy of the Werkstatt ends in 2031 [1]."]
    assert "900" in doubts["The deposit is 900 euros [1]."]


async def test_too_long_a_conversation_is_refused(rooms: Rooms, ours: Scope) -> None:
    with pytest.raises(BadOption, match="turns"):
        await rooms.knowledge.answer(ours, "And then?", history=[Turn("q", "a")] * 51)
    with pytest.raises(BadOption, match="characters"):
        await rooms.knowledge.answer(ours, "And then?", history=[Turn("q", "a" * 20_001)])


TABLE = b"""# Rents

| Workshop | Rent | Deposit |
|---|---|---|
| Mill Street | 900 euros | 2,700 euros |
| Abbey Lane | 1,100 euros | 3,300 euros |
"""


async def test_an_answer_from_a_table_cites_the_cell(rooms: Rooms, ours: Scope) -> None:
    await rooms.knowledge.ingest(ours, "rents.md", TABLE, label=LOCAL)
    answer = await rooms.knowledge.answer(ours, "What is the deposit of the workshop in Abbey Lane?")
    (row,) = [
        place for passage in answer.citations for place in passage.places if any("Abbey" in c.text for c in place.cells)
    ]
    assert row.kind == "table_row"
    assert [(cell.heading, cell.text) for cell in row.cells if cell.answers] == [("Deposit", "3,300 euros")]


async def test_a_citation_of_a_page_has_its_boxes(rooms: Rooms, ours: Scope) -> None:
    data = (EXAMPLES / "pe-30-2026-nl.pdf").read_bytes()
    await rooms.without_embedder.ingest(ours, "pe-30-2026-nl.pdf", data)  # places come from words alone
    answer = await rooms.knowledge.answer(ours, "Wat is het onderwerp van deze verordening?")
    assert answer.citations
    for passage in answer.citations:
        assert passage.places, "every citation of a page says where on it"
        for place in passage.places:
            assert passage.start < place.end
            assert place.start < passage.end
            for page, (left, top, right, bottom) in place.boxes:
                assert page >= (passage.page or 1)
                assert 0 <= left < right < 700
                assert 0 <= top < bottom < 900


async def test_a_caption_that_answers_is_cited_as_the_figure_that_it_names(rooms: Rooms, ours: Scope) -> None:
    lines = [
        *paragraph("The harbour had three cranes, of which two are gone.", y=700),
        *paragraph("Figure 3: The lantern crane lifts forty tons since 1911.", y=500),
    ]
    await rooms.knowledge.ingest(ours, "harbour.pdf", pdf([lines]), label=LOCAL)
    answer = await rooms.knowledge.answer(ours, "How many tons does the lantern crane lift?", model="local/extractive")
    assert "forty tons" in answer.answer
    (figure,) = [place for one in answer.citations for place in one.places if place.kind == "figure"]
    ((page, (left, top, right, bottom)),) = figure.boxes
    assert (page, figure.page) == (1, 1)
    assert 60 < left < right
    assert 300 < top < bottom < 360  # 842 points high, so that 500 from below is 342 from above
