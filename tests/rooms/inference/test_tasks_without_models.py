"""Tasks on a machine without an embedder, and what each does of its own: measured, ordered, counted."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.app import House
from bastide.errors import JobInputWrong, NoPermittedModel
from bastide.inference import Inference, ModelSpec
from bastide.inference.tasks import job_types
from bastide.inference.tasks.occurrences import fold
from bastide.inference.tasks.ranking import central
from bastide.inference.tasks.reviewing import ordered
from bastide.inference.tasks.words import count_words
from bastide.policy import Label
from bastide.settings import InferenceSettings
from bastide.store import Scope
from bastide.workflows import Job
from bastide.workflows.registry import Registry

from .conftest import Rooms
from .test_tasks import done


class Notebook:
    """What a task sees of its run, without the run: steps are kept by name, as the real one keeps them."""

    def __init__(self, scope: Scope, given: Any, label: Label = Label()) -> None:  # noqa: B008
        self.scope, self.input, self.label = scope, given, label
        self.kept: dict[str, str] = {}

    async def step(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """The kept result, or a new one, through JSON."""
        if name not in self.kept:
            self.kept[name] = json.dumps(await work())
        return json.loads(self.kept[name])

    async def spent(self, **tokens: int) -> None:
        """Nobody counts here."""

    async def progress(self, *far: Any) -> None:
        """Nobody looks here."""


async def task(inference: Inference, scope: Scope, name: str, given: Any, label: Label = Label()) -> Any:  # noqa: B008
    """What a task gives, run by itself."""
    (kind,) = (kind for kind in job_types(inference) if kind.name == name)
    typed, _ = Registry.check_input(kind, given)
    run: Any = Notebook(scope, typed, label)
    return await kind.run(run)


@pytest.fixture
def bare(rooms: Rooms, tmp_path: Any) -> Inference:
    """Inference without a single model file: its local models were never opened."""
    return Inference(rooms.store, rooms.audit, rooms.policy, rooms.egress, InferenceSettings(home=tmp_path))


@pytest.mark.parametrize(
    "name", ["summarise", "title", "tag", "classify", "label", "score", "extract", "compare", "answer", "name_entities"]
)
async def test_words_do_where_no_embedder_is(bare: Inference, ours: Scope, name: str) -> None:
    (kind,) = (kind for kind in job_types(bare) if kind.name == name)
    assert kind.example is not None
    output = await task(bare, ours, name, kind.example.input)
    assert kind.example.check(output), output
    assert output["mode"] in {"extractive", "words", "patterns"}
    assert output["model"] in {None, "local/extractive"}


async def test_the_law_refuses_by_name_what_it_may_not_have(rooms: Rooms, ours: Scope) -> None:
    await rooms.inference.add_model(
        ours, ModelSpec("far", url="https://api.unknown.example/v1", provider="test/unknown", upstream="x", key="k")
    )
    confidential = Label(cls="confidential", personal="personal")
    for named in ({}, {"model": "far"}):
        with pytest.raises(NoPermittedModel) as refused:
            await task(
                rooms.inference, ours, "translate", {"text": "Hallo Anna", "language": "en", **named}, confidential
            )
        assert refused.value.facts["rejected"]
    output = await task(rooms.inference, ours, "title", {"text": "# The plan\n\nIt is ours."}, confidential)
    assert (output["mode"], output["title"]) == ("extractive", "The plan")


# -- summaries --------------------------------------------------------------------------------------------


@given(st.lists(st.text("abcde ", min_size=1, max_size=40), min_size=1, max_size=30), st.integers(10, 60))
def test_central_sentences_keep_their_order_and_their_measure(texts: list[str], words: int) -> None:
    chosen = central(texts, None, words)
    assert chosen == sorted(set(chosen))
    assert chosen
    assert len(chosen) == 1 or sum(count_words(texts[at]) for at in chosen) <= words


async def test_a_summary_is_whole_sentences_of_the_text(house: House, ours: Scope) -> None:
    story = " ".join(
        f"In {1900 + n} the mill of Hafenstadt ground {n * 7} tonnes of rye and wheat." for n in range(200)
    )
    text = f"{story} The mill burnt down in 2101. {story}"
    output = await done(house, ours, "summarise", {"text": text, "words": 60})
    assert 0 < output["words"] <= 60
    for one in output["sentences"]:
        assert text[one["start"] : one["end"]] == one["text"]
        assert one["text"] in output["summary"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Subject: Lease of the mill\n\nDear Anna, the mill is free.", "Lease of the mill"),
        ("Betreff: Pachtvertrag\n\nSehr geehrte Frau Nowak", "Pachtvertrag"),
        ("The annual report\n\nIt was a good year for the mill.", "The annual report"),
        ("Notes\n\n## What was agreed\n\nNothing.", "Notes"),
    ],
)
async def test_a_text_that_has_a_title_keeps_it(house: House, ours: Scope, text: str, title: str) -> None:
    assert (await done(house, ours, "title", {"text": text}))["title"] == title


# -- judging ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My invoice has the wrong tax number on it, please correct it.", "billing"),
        ("The screen stays black when I press the button.", "fault"),
        ("Can I cancel my subscription at the end of the month?", "cancelling"),
    ],
)
async def test_a_class_is_chosen_by_its_meaning(house: House, ours: Scope, text: str, expected: str) -> None:
    classes = [
        {"name": "billing", "about": "invoices, payments and taxes"},
        {"name": "fault", "about": "a device is broken or does not work"},
        {"name": "cancelling", "about": "the customer wants to end a contract"},
    ]
    output = await done(house, ours, "classify", {"text": text, "classes": classes})
    assert output["class"] == expected
    assert sum(output["scores"].values()) == pytest.approx(1, abs=1e-3)


async def test_a_text_about_nothing_of_it_gets_no_label(house: House, ours: Scope) -> None:
    labels = [{"name": "tax law"}, {"name": "football"}]
    output = await done(house, ours, "label", {"text": "The cat sleeps on the warm stove.", "labels": labels})
    assert output["labels"] == []


async def test_a_better_fit_scores_higher(house: House, ours: Scope) -> None:
    scored = [
        (await done(house, ours, "score", {"text": text, "criterion": "a polite apology to a customer"}))["score"]
        for text in ("We are very sorry and apologise to you, dear customer.", "Gravel is sold by the tonne.")
    ]
    assert 10 >= scored[0] > scored[1] >= 0


async def test_only_allowed_tags_are_given(house: House, ours: Scope) -> None:
    given = {"text": "The council builds a bridge over the river.", "allowed": ["bridge", "school", "tax"]}
    output = await done(house, ours, "tag", given)
    assert [tag["tag"] for tag in output["tags"]] == ["bridge"]


# -- extracting and answering -----------------------------------------------------------------------------


async def test_fields_are_found_by_line_by_kind_and_by_sentence(house: House, ours: Scope) -> None:
    text = (
        "Mietvertrag\nMieter: Anna Nowak\nKaltmiete: 900,00 EUR\n\nDas Mietverhältnis beginnt am 1. März 2027. "
        "Die Kaution von 1.800 EUR ist bis zum 15. Februar 2027 zu zahlen. Rückfragen an haus@example.org."
    )
    fields = [
        {"name": "Mieter", "kind": "person"},
        {"name": "Kaltmiete", "kind": "amount"},
        {"name": "Beginn", "kind": "date", "about": "wann das Mietverhältnis beginnt"},
        {"name": "Kaution", "kind": "amount"},
        {"name": "Kontakt", "kind": "email"},
        {"name": "Konto", "kind": "iban"},
        {"name": "alle Daten", "kind": "date", "many": True},
    ]
    output = await done(house, ours, "extract", {"text": text, "fields": fields})
    found = output["fields"]
    assert found["Mieter"]["value"] == "Anna Nowak"
    assert found["Kaltmiete"]["normal"] == "900 EUR"
    assert found["Beginn"]["normal"] == "2027-03-01"
    assert found["Kaution"]["normal"] == "1800 EUR"
    assert found["Kontakt"]["value"] == "haus@example.org"
    assert [one["normal"] for one in found["alle Daten"]] == ["2027-03-01", "2027-02-15"]
    assert output["missing"] == ["Konto"]


async def test_no_answer_is_an_answer(house: House, ours: Scope) -> None:
    given = {"question": "Who invented the telescope?", "passages": [{"text": "Gravel is sold by the tonne."}]}
    output = await done(house, ours, "answer", given)
    assert (output["found"], output["answer"], output["quotes"]) == (False, "", [])


# -- planning, comparing, criticising ---------------------------------------------------------------------

GRAPHS = st.integers(1, 9).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=2), min_size=size, max_size=size)
)


@given(GRAPHS)
def test_a_plan_keeps_what_comes_before_and_a_circle_is_refused(graph: list[set[int]]) -> None:
    items = [{"title": f"item {at}", "after": [f"item {b}" for b in after]} for at, after in enumerate(graph)]
    (kind,) = (kind for kind in job_types(None) if kind.name == "plan")  # type: ignore[arg-type]
    try:
        TopologicalSorter(dict(enumerate(graph))).prepare()
    except CycleError:
        with pytest.raises(JobInputWrong, match="circle"):
            Registry.check_input(kind, {"goal": "Go", "items": items})
        return
    typed, _ = Registry.check_input(kind, {"goal": "Go", "items": items})
    steps: Any = ordered(typed.items)
    assert sorted(step["title"] for step in steps) == sorted(item["title"] for item in items)
    assert [step["number"] for step in steps] == list(range(1, len(items) + 1))
    place = {step["title"]: step["number"] for step in steps}
    for item in items:
        before = {place[name] for name in item["after"]}
        assert set(steps[place[str(item["title"])] - 1]["after"]) == before
        assert all(number < place[str(item["title"])] for number in before)


async def test_a_plan_takes_the_first_due_first(house: House, ours: Scope) -> None:
    items = [
        {"title": "paint", "after": ["plaster"], "due": "2027-05-01"},
        {"title": "plaster", "due": "2027-04-01"},
        {"title": "order", "due": "2027-03-01"},
        {"title": "sweep"},
    ]
    output = await done(house, ours, "plan", {"goal": "A room", "items": items})
    assert [step["title"] for step in output["steps"]] == ["order", "plaster", "paint", "sweep"]
    assert output["steps"][2]["after"] == [2]


async def test_a_goal_alone_needs_a_model(house: House, ours: Scope) -> None:
    made = await house.workflows.dispatch(ours, Job("plan", {"goal": "Peace"}))
    record = await house.workflows.result(ours, made.id, timeout_s=40)
    assert record.problem is not None
    assert record.problem.code == "inference.no_permitted_model"


async def test_the_same_text_twice_differs_in_nothing(house: House, ours: Scope) -> None:
    text = "The rent is 900 euros. Dogs are allowed. The lease ends in June."
    output = await done(house, ours, "compare", {"first": text, "second": text})
    assert output["similarity"] == pytest.approx(1, abs=1e-3)
    assert (output["changed"], output["only_first"], output["only_second"]) == ([], [], [])


async def test_a_text_without_fault_has_no_issue(house: House, ours: Scope) -> None:
    text = "The pool closes on 3 May 2027. The council pays 2.4 million euros for the roof."
    output = await done(house, ours, "critique", {"text": text})
    assert output["issues"] == []
    assert output["figures"]["sentences"] == 2


# -- vectors ----------------------------------------------------------------------------------------------


async def test_vectors_come_in_order_in_both_encodings(house: House, ours: Scope) -> None:
    texts = [f"Text number {number} is about thing {number % 7}." for number in range(130)]
    plain = await done(house, ours, "embed", {"texts": texts})
    packed = await done(house, ours, "embed", {"texts": texts, "encoding": "base64"})
    assert len(plain["vectors"]) == 130
    assert len(plain["receipts"]) == 3
    for row, said in zip(plain["vectors"], packed["vectors"], strict=True):
        assert np.array_equal(np.array(row, dtype="<f4"), np.frombuffer(base64.b64decode(said), dtype="<f4"))
    direct = await house.inference.embed(ours, texts[:3], label=Label())
    assert np.allclose(np.array(plain["vectors"][:3]), direct.vectors, atol=1e-4)
    assert plain["dimensions"] == direct.dimensions


async def test_a_model_that_makes_no_vectors_is_refused(house: House, ours: Scope) -> None:
    made = await house.workflows.dispatch(ours, Job("embed", {"texts": ["x"], "model": "local/extractive"}))
    record = await house.workflows.result(ours, made.id, timeout_s=40)
    assert record.problem is not None
    assert record.problem.code == "inference.wrong_capability"


def test_folding_is_stable() -> None:
    assert fold("ÉCOLE “Straße”") == fold('école "strasse"')
