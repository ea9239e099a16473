"""Vision models from the intake to the page: a real call over HTTP, decided, with a receipt on the page.

A double stands where tesseract would, found as the program of that name, and a scripted model answers.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bastide.inference import ModelSpec
from bastide.knowledge.reading import PageRead, png
from bastide.settings import KnowledgeSettings
from bastide.store import Scope
from bastide.testing import Fails, Says, ScriptedModel
from tests.rooms.knowledge.conftest import Rooms
from tests.rooms.knowledge.ocr.paper import double, reading, strokes

_SURE = (
    "The council of the borough has considered the request of the owner",
    "who asked to pay the rent of the workshop in four parts this year",
    "and the treasurer told the members what the rules of the house allow",
)
_REST = (
    "After a short discussion the members agreed to it with nine votes",
    "The first part is due within thirty days after this letter is received",
    "and the others follow every three months until the whole is paid",
    "Whoever pays late owes interest and the rest may be asked for at once",
    "An objection may be made in writing until the end of the month",
)
_TRUE = "\n".join(_SURE + _REST)
_INVENTED = "Dear Sir or Madam, everything is paid and nothing is left to do. " * 8
_SCAN = png(strokes().pixels)


@pytest.fixture
def third(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tesseract reads three of eight lines."""
    double(tmp_path, reading(*[(text, 95) for text in _SURE]))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


async def _read(
    rooms: Rooms, scope: Scope, model: ScriptedModel | None, *more: str, settings: KnowledgeSettings | None = None
) -> PageRead | str:
    """How the page was read, with this model in the house; why the document was refused where it was."""
    if model is not None:
        spec = ModelSpec("eyes", url=model.url, local=True, capabilities=("vision", *more))
        await rooms.inference.add_model(scope, spec)
    knowledge = rooms.knowledge_with(settings or KnowledgeSettings())
    (taken,) = (await knowledge.ingest(scope, "letter.png", _SCAN, vectors=False)).documents
    if taken.id is None:
        assert taken.error is not None
        return str(taken.error["message"])
    (page,) = await knowledge.pages(scope, taken.id)
    return page


async def test_the_true_text_is_taken_and_the_receipt_stands_on_the_page(
    rooms: Rooms, ours: Scope, third: None
) -> None:
    async with ScriptedModel(_TRUE) as model:
        page = await _read(rooms, ours, model)
        assert isinstance(page, PageRead)
        assert (page.tier, page.band, page.engine) == ("vision", "accepted", "eyes")
        (asked,) = model.chats
    (receipt,) = page.receipts
    facts = await rooms.audit.receipt(ours, receipt)
    assert facts.to_wire()["model"] == "eyes"
    text, shown = asked.body["messages"][0]["content"]
    assert "Do not correct, translate, complete or explain" in text["text"]
    assert base64.b64decode(shown["image_url"]["url"].partition(",")[2]).startswith(b"\x89PNG")
    found = await rooms.knowledge.search(ours, "objection in writing", mode="text")
    assert found.passages[0].page == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_INVENTED, "come again in order"),
        (_TRUE[: len(_TRUE) // 2], "too few"),
        (Says(_TRUE, finish="length"), "cut off by a limit"),
        (Fails(400, "no pictures here"), "no pictures here"),
        ("", "found no text"),
    ],
)
async def test_what_is_not_the_page_is_not_taken_and_the_reason_is_told(
    rooms: Rooms, ours: Scope, third: None, answer: str | Says | Fails, reason: str
) -> None:
    async with ScriptedModel(answer) as model:
        told = await _read(rooms, ours, model)
    assert isinstance(told, str), "nothing else stands in this document"
    assert reason in told


async def test_a_model_that_is_slow_is_not_waited_for_for_ever(rooms: Rooms, ours: Scope, third: None) -> None:
    async with ScriptedModel(Says(_TRUE, pause_s=30.0)) as model:
        told = await _read(rooms, ours, model, settings=KnowledgeSettings(vision_timeout_s=0.5))
    assert isinstance(told, str)
    assert "the time for showing pictures" in told


async def test_without_a_model_without_leave_and_switched_off_the_reason_is_told(
    rooms: Rooms, ours: Scope, neighbour: Scope, third: None
) -> None:
    async with ScriptedModel(_TRUE) as model:
        await _read(rooms, neighbour, model)  # the neighbour's model is none of ours
        told = await _read(rooms, ours, None)
        assert "There is no model for vision here" in str(told)
        off = await _read(rooms, ours, model, settings=KnowledgeSettings(vision_pictures_max=0))
        assert "vision" not in str(off)
        await rooms.policy.set_policy(ours, replace(await rooms.policy.settings(ours), enabled=frozenset()))
        assert "has not enabled" in str(await _read(rooms, ours, None))
        assert len(model.chats) == 1, "by the neighbour"


async def test_a_refused_answer_is_given_to_a_second_model(rooms: Rooms, ours: Scope, third: None) -> None:
    async with ScriptedModel(_INVENTED) as inventing, ScriptedModel(_TRUE) as honest:
        spec = ModelSpec("second", url=honest.url, local=True, capabilities=("vision.second",))
        await rooms.inference.add_model(ours, spec)
        page = await _read(rooms, ours, inventing)
    assert isinstance(page, PageRead)
    assert (page.tier, page.band, page.engine, len(page.receipts)) == ("special", "accepted", "second", 2)
    assert "eyes was refused" in page.reason


async def test_a_marking_on_the_page_holds_before_anybody_is_asked(
    rooms: Rooms, ours: Scope, tmp_path: Path, third: None
) -> None:
    """The label of the call, as its receipt has it, is that of the page's own words."""
    double(tmp_path, reading(("SECRET", 95), *[(text, 95) for text in _SURE]))
    async with ScriptedModel(f"SECRET\n{_TRUE}") as model:
        page = await _read(rooms, ours, model)
    assert isinstance(page, PageRead)
    assert (page.tier, page.engine) == ("vision", "eyes")
    wire = (await rooms.audit.receipt(ours, page.receipts[0])).to_wire()
    assert wire["label"]["class"] == "secret"  # type: ignore[index,call-overload]
