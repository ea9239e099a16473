"""Answers: extractive without a model, written and checked with one, and an honest "no" when nothing fits."""

from __future__ import annotations

import re

import pytest

from bastide.errors import UnknownModel, UpstreamFailed
from bastide.inference import ModelSpec
from bastide.knowledge import Answer, Knowledge
from bastide.store import Scope, new_id
from bastide.testing import Fails, ScriptedModel

from .conftest import EXAMPLES, LEASE, MENU, Rooms

pytestmark = pytest.mark.xdist_group("library")  # the same long documents: read once

LOCAL = {"class": "internal", "personal": "none"}


@pytest.fixture(scope="session")
async def gdpr(rooms: Rooms) -> Scope:
    """A tenant that has read the GDPR."""
    permissions = frozenset({"knowledge:read", "knowledge:write", "model:use"})
    scope = Scope(new_id("ten"), None, None, frozenset(), permissions)
    await rooms.knowledge.ingest(scope, "gdpr-en.txt", (EXAMPLES / "gdpr-en.txt").read_bytes())
    return scope


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


async def test_without_a_model_the_answer_is_extractive_and_says_so(rooms: Rooms, gdpr: Scope) -> None:
    answer = await rooms.knowledge.answer(gdpr, "How soon must a personal data breach be notified?")
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
async def test_what_the_documents_do_not_say_is_not_answered(knowledge: Knowledge, gdpr: Scope, question: str) -> None:
    answer = await knowledge.answer(gdpr, question)
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
async def test_what_the_documents_say_is_answered(knowledge: Knowledge, gdpr: Scope, question: str) -> None:
    answer = await knowledge.answer(gdpr, question)
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
    assert (answer.mode, answer.model, answer.prompt) == ("generated", "writer", "answer@1")
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
