"""Judging a text: its one class, the labels that apply, its score. Never a class or label that was not given."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, with_config

from bastide.inference.tasks.kinds import Kind, Name, Output, Text, named_once
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.pieces import Piece, pieces
from bastide.inference.tasks.ranking import nearness, worth_weighing
from bastide.inference.tasks.task import CLOSED, Complaint, Measure, Task
from bastide.inference.tasks.words import content, empty_words
from bastide.workflows import JsonValue

_SENTENCES_MAX = 64
_TEMPERATURE = 0.06  # how sharply a lead in nearness becomes a lead in share


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Choice:
    """A class or label that may be given: its name, what it means, texts that have it."""

    name: Name
    about: str = ""
    examples: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """Everything that is known of it, in one text."""
        return ". ".join(part for part in (self.name, self.about, *self.examples) if part)


Choices = Annotated[tuple[Choice, ...], Field(min_length=1, max_length=100), AfterValidator(named_once)]


# -- classify ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Classify:
    """A text, and the classes of which it gets one."""

    text: Text
    classes: Annotated[Choices, Field(min_length=2)]
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Class:
    name: str
    confidence: float
    quote: str


async def _classify(task: Task[Classify]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await _classify_by_nearness(task)
    by_fold = {fold(one.name): one.name for one in asked.classes}
    votes = dict.fromkeys((one.name for one in asked.classes), 0.0)
    evidence: list[tuple[str, JsonValue]] = []
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = Shadow(part.text)

        def check(answer: _Class, shadow: Shadow = shadow) -> Iterable[Complaint]:
            if fold(answer.name) not in by_fold:
                yield Complaint("the name is not one of the classes.")
            yield from _within(answer.confidence, 0, 1, "the confidence")
            yield from _quoted(answer.quote, shadow)

        told = await task.ask(
            f"classify {number}",
            model,
            _Class,
            "Choose the one class that fits the text best. Give its name as it is written, your confidence from "
            "0 to 1, "
            "and in quote the words of the text, word for word, that decide it.",
            {"classes": _listed(asked.classes), "text": part.text},
            check=check,
            tokens_max=400,
        )
        name = by_fold[fold(told.answer.name)]
        votes[name] += told.answer.confidence * len(part.text) / len(asked.text)
        evidence.append((name, _place(told.answer.quote, shadow, part)))
        await task.run.progress(number, len(parts))
    best = max(votes, key=lambda name: votes[name])
    scores = {name: round(vote, 4) for name, vote in votes.items()}
    return task.output(
        "generated",
        **{"class": best},
        scores=scores,
        confidence=scores[best],
        evidence=[place for name, place in evidence if name == best and place],
    )


async def _classify_by_nearness(task: Task[Classify]) -> Output:
    asked = task.input
    near, places = await _nearness(task, asked.text, asked.classes)
    shares = _shares(near)
    best = max(shares, key=lambda name: shares[name])
    return task.output(
        "similarity",
        **{"class": best},
        scores=shares,
        confidence=shares[best],
        evidence=[places[best]] if places[best] else [],
    )


# -- label ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelText:
    """A text, and the labels of which any number may apply; without a model, those at least so near."""

    text: Text
    labels: Choices
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Given:
    label: str
    quote: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Labels:
    labels: tuple[_Given, ...]


async def _label(task: Task[LabelText]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await _label_by_nearness(task)
    by_fold = {fold(one.name): one.name for one in asked.labels}
    found: dict[str, list[JsonValue]] = {}
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = Shadow(part.text)

        def check(answer: _Labels, shadow: Shadow = shadow) -> Iterable[Complaint]:
            if any(fold(one.label) not in by_fold for one in answer.labels):
                yield Complaint("a label is not one of the given labels.")
            for one in answer.labels:
                yield from _quoted(one.quote, shadow)

        told = await task.ask(
            f"label {number}",
            model,
            _Labels,
            "List the labels that apply to the text; none is a good answer, too. Give each as it is written, and "
            "in quote "
            "the words of the text, word for word, that show it.",
            {"labels": _listed(asked.labels), "text": part.text},
            check=check,
        )
        for one in told.answer.labels:
            found.setdefault(by_fold[fold(one.label)], []).append(_place(one.quote, shadow, part))
        await task.run.progress(number, len(parts))
    labels: list[JsonValue] = [
        {"label": one.name, "evidence": found[one.name]} for one in asked.labels if one.name in found
    ]
    return task.output("generated", labels=labels)


async def _label_by_nearness(task: Task[LabelText]) -> Output:
    asked = task.input
    near, places = await _nearness(task, asked.text, asked.labels)
    given: list[JsonValue] = [
        {"label": name, "score": round(score, 4), "evidence": [places[name]] if places[name] else []}
        for name, score in sorted(near.items(), key=lambda each: -each[1])
        if score >= asked.threshold
    ]
    return task.output("similarity", labels=given, scores={name: round(score, 4) for name, score in near.items()})


# -- score ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """A text, the criterion, and the ends of the scale; examples of both ends help where no model judges."""

    text: Text
    criterion: Name
    low: float = 0.0
    high: float = 10.0
    low_example: str = ""
    high_example: str = ""
    model: str | None = None

    def __post_init__(self) -> None:
        """A scale has two ends."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("low must be below high, and both finite")


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Score:
    score: float
    reason: str
    quote: str


async def _score(task: Task[Score]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await _score_by_nearness(task)
    total, reasons, evidence = 0.0, [], []
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = Shadow(part.text)

        def check(answer: _Score, shadow: Shadow = shadow) -> Iterable[Complaint]:
            yield from _within(answer.score, asked.low, asked.high, "the score")
            yield from _quoted(answer.quote, shadow)
            if not answer.reason.strip():
                yield Complaint("there is no reason.")

        examples = {"text that scores lowest": asked.low_example, "text that scores highest": asked.high_example}
        told = await task.ask(
            f"score {number}",
            model,
            _Score,
            f"Score how far the text meets the criterion, from {asked.low:g} (not at all) to {asked.high:g} "
            "(wholly). Give "
            "the reason in one sentence, and in quote the words of the text, word for word, that decide it.",
            {"criterion": asked.criterion, **{k: v for k, v in examples.items() if v}, "text": part.text},
            check=check,
            tokens_max=500,
        )
        total += told.answer.score * len(part.text) / len(asked.text)
        reasons.append(told.answer.reason.strip())
        evidence.append(_place(told.answer.quote, shadow, part))
        await task.run.progress(number, len(parts))
    score = round(min(asked.high, max(asked.low, total)), 4)
    return task.output(
        "generated", score=score, low=asked.low, high=asked.high, reasons=reasons, evidence=[e for e in evidence if e]
    )


async def _score_by_nearness(task: Task[Score]) -> Output:
    asked = task.input
    ends = [Choice("high", asked.criterion, (asked.high_example,)), Choice("low", asked.low_example)]
    described = [one for one in ends if one.about]
    near, places = await _nearness(task, asked.text, described, named=False)
    share = _shares(near)["high"] if len(described) == 2 else near["high"]
    score = asked.low + share * (asked.high - asked.low)
    reason = "The nearness of the text's words to those of the criterion; nobody judged whether it is met."
    return task.output(
        "similarity",
        score=round(min(asked.high, max(asked.low, score)), 4),
        low=asked.low,
        high=asked.high,
        reasons=[reason],
        evidence=[places["high"]] if places["high"] else [],
    )


# -- what they share --------------------------------------------------------------------------------


def _listed(choices: Sequence[Choice]) -> str:
    lines = []
    for one in choices:
        examples = "".join(f"\n  such as: {' '.join(text.split())[:300]}" for text in one.examples)
        lines.append(f"- {one.name}{': ' + one.about if one.about else ''}{examples}")
    return "\n".join(lines)


def _within(number: float, low: float, high: float, what: str) -> Iterable[Complaint]:
    if not low <= number <= high:  # no number at all is refused as well
        yield Complaint(f"{what} must be between {low:g} and {high:g}.")


def _quoted(quote: str, shadow: Shadow) -> Iterable[Complaint]:
    if not shadow.holds(quote):
        yield Complaint("a quote does not stand in the text word for word.")


def _place(quote: str, shadow: Shadow, part: Piece) -> JsonValue:
    start, end = shadow.find(quote)[0]
    return {"text": part.text[start:end], "start": part.start + start, "end": part.start + end}


async def _nearness(
    task: Task[Any], text: str, choices: Sequence[Choice], *, named: bool = True
) -> tuple[Mapping[str, float], Mapping[str, JsonValue]]:
    """How near the text is to each choice, 0 to 1, and its nearest sentence: the mean of the three nearest ones."""
    said = [one.said if named else one.said.partition(". ")[2] for one in choices]

    async def work(measure: Measure) -> JsonValue:
        found = (await asyncio.to_thread(worth_weighing, text))[:_SENTENCES_MAX]
        texts = [text[:2000], *(one.text for one in found)]
        vectors = await measure.vectors([*said, *texts])
        return await asyncio.to_thread(_near_choices, choices, said, found, texts, vectors)

    found = await task.measured("compare with the choices", work)
    return (
        {name: one["near"] for name, one in found.items()},
        {name: one["evidence"] for name, one in found.items()},
    )


def _near_choices(
    choices: Sequence[Choice],
    said: Sequence[str],
    found: Sequence[Piece],
    texts: Sequence[str],
    vectors: NDArray[np.float32] | None,
) -> dict[str, JsonValue]:
    """By choice: how near, and the sentence. `texts` are the whole and its sentences; `vectors` those of said, then of
    texts."""
    empty = empty_words(texts[0])
    words = [frozenset(content(each, empty)) for each in texts]
    result: dict[str, JsonValue] = {}
    for at, one in enumerate(choices):
        wanted = frozenset(content(said[at], empty))
        cosines = None if vectors is None else vectors[len(said) :] @ vectors[at]
        near = [nearness(w, wanted, None if cosines is None else float(cosines[row])) for row, w in enumerate(words)]
        best = sorted(near, reverse=True)[:3]
        nearest = max(range(len(found)), key=lambda row: near[row + 1])
        place = found[nearest]
        shown: JsonValue = {"text": place.text, "start": place.start, "end": place.end}
        result[one.name] = {"near": sum(best) / len(best), "evidence": shown if near[nearest + 1] > 0 else None}
    return result


def _shares(near: Mapping[str, float]) -> dict[str, float]:
    """Nearness as shares that add up to 1: a small lead is a small lead."""
    top = max(near.values())
    weights = {name: 2.718281828 ** ((score - top) / _TEMPERATURE) for name, score in near.items()}
    total = sum(weights.values())
    return {name: round(weight / total, 4) for name, weight in weights.items()}


_COMPLAINT = (
    "The parcel arrived two weeks late and the box was torn. Please refund the delivery fee of 12 euros. "
    "I have ordered from you for years and was never disappointed before."
)
_CLASSES: list[JsonValue] = [
    {"name": "delivery", "about": "a parcel that arrived late, damaged or not at all"},
    {"name": "invoice", "about": "a question about an invoice or a tax number"},
    {"name": "praise", "about": "thanks to the staff for their help"},
]

KINDS = (
    Kind(
        "classify",
        "Give a text exactly one of the given classes, with a score for each and the words that decide it.",
        Classify,
        _classify,
        {"text": _COMPLAINT, "classes": _CLASSES},
        lambda output: output["class"] == "delivery" and set(output["scores"]) == {"delivery", "invoice", "praise"},
    ),
    Kind(
        "label",
        "Give a text those of the given labels that apply, each with the words that show it.",
        LabelText,
        _label,
        {"text": _COMPLAINT, "labels": _CLASSES},
        lambda output: "delivery" in [one["label"] for one in output["labels"]],
    ),
    Kind(
        "score",
        "Score how far a text meets a criterion on a given scale; without a model by likeness, and it says so.",
        Score,
        _score,
        {"text": _COMPLAINT, "criterion": "a customer complains about a late parcel", "low": 1, "high": 5},
        lambda output: 1 <= output["score"] <= 5 and len(output["reasons"]) > 0,
    ),
)
"""The task types of this file."""
