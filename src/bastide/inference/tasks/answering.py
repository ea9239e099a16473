"""An answer from given passages, and from nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, with_config

from bastide.inference.tasks.kinds import Kind, Language, Name, Output, Text
from bastide.inference.tasks.occurrences import Shadow
from bastide.inference.tasks.pieces import PIECE_CHARACTERS_MAX, pieces
from bastide.inference.tasks.ranking import nearness
from bastide.inference.tasks.task import CLOSED, Complaint, Measure, Task
from bastide.inference.tasks.words import content, empty_words, invented_numbers
from bastide.workflows import JsonValue

_PART = 1200
_PARTS_MAX = 400


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Passage:
    """A text in which the answer may stand."""

    text: Text
    name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, and the passages in which its answer may stand."""

    question: Annotated[Text, Field(max_length=4000)]
    passages: Annotated[tuple[Passage, ...], Field(min_length=1, max_length=200)]
    language: Language | None = None
    model: Name | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a passage: `passages[passage].text[start:start + len(text)] == text`."""

    passage: int
    text: str
    start: int


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Cited:
    passage: int
    quote: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Answered:
    answered: bool
    answer: str
    quotes: tuple[_Cited, ...]


async def _answer(task: Task[Answer]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await _from_sentences(task)
    parts = await _to_read(task)
    shadows = [Shadow(part.text) for part in parts]

    def check(answer: _Answered) -> Iterable[Complaint]:
        if not answer.answered:
            return
        if not answer.answer.strip():
            yield Complaint("the answer is empty.")
        if not answer.quotes:
            yield Complaint("no passage is quoted.")
        for place, one in enumerate(answer.quotes):
            if not 0 < one.passage <= len(parts):
                yield Complaint(f"quotes[{place}].passage is not the number of a passage.")
            elif not shadows[one.passage - 1].holds(one.quote):
                yield Complaint(f"quotes[{place}].quote does not stand in passage {one.passage} word for word.")
        if invented_numbers(answer.answer, asked.question, *(part.text for part in parts)):
            yield Complaint("the answer holds a number that stands in no passage.")

    language = (
        f"the language whose ISO 639-1 code is {asked.language}" if asked.language else "the language of the question"
    )
    told = await task.ask(
        "answer",
        model,
        _Answered,
        "Answer the question from the numbered passages and from nothing else, in a few sentences. In quotes "
        "give the words "
        "of the passages that the answer rests on, word for word, with the passage's number. If the passages "
        "do not answer "
        f"it, `answered` is false, the answer empty and there are no quotes. Write in {language}.",
        {"question": asked.question, **{f"passage {number}": part.text for number, part in enumerate(parts, 1)}},
        check=check,
        tokens_max=1200,
    )
    if not told.answer.answered:
        return task.output("generated", found=False, answer="", quotes=[])
    quotes = [_quoted(parts[one.passage - 1], shadows[one.passage - 1], one.quote) for one in told.answer.quotes]
    return task.output("generated", found=True, answer=told.answer.answer.strip(), quotes=quotes)


def _quoted(part: Part, shadow: Shadow, quote: str) -> JsonValue:
    start, end = shadow.find(quote)[0]
    return {"passage": part.passage, "text": part.text[start:end], "start": part.start + start, "end": part.start + end}


async def _from_sentences(task: Task[Answer]) -> Output:
    asked = task.input

    async def work(measure: Measure) -> JsonValue:
        reply = await measure.extract(asked.question, [one.text for one in asked.passages], asked.language)
        return [
            {"passage": one.passage, "text": one.text, "start": one.start, "end": one.end} for one in reply.sentences
        ]

    found = await task.measured("find sentences", work)
    answer = " ".join(" ".join(one["text"].split()) for one in found)
    return task.output("extractive", found=bool(found), answer=answer, quotes=found)


async def _to_read(task: Task[Answer]) -> list[Part]:
    """The passages as far as one call can read them: all, or the parts of them that are nearest to the question."""
    asked = task.input
    whole = [Part(number, one.text, 0) for number, one in enumerate(asked.passages)]
    if sum(len(part.text) for part in whole) <= PIECE_CHARACTERS_MAX:
        return whole
    parts = [
        Part(number, piece.text, piece.start)
        for number, one in enumerate(asked.passages)
        for piece in pieces(one.text, _PART)
    ]

    async def work(measure: Measure) -> JsonValue:
        by_words = await asyncio.to_thread(_nearest, asked.question, parts, None)
        some = sorted(by_words[:_PARTS_MAX])
        vectors = await measure.vectors([asked.question, *(parts[at].text for at in some)])
        if vectors is None:
            return list(by_words)
        cosines = [float(row @ vectors[0]) for row in vectors[1:]]
        order = await asyncio.to_thread(_nearest, asked.question, [parts[at] for at in some], cosines)
        return [some[at] for at in order]

    chosen: list[int] = []
    left = PIECE_CHARACTERS_MAX
    for at in await task.measured("choose passages", work):
        if len(parts[at].text) <= left:
            chosen.append(at)
            left -= len(parts[at].text)
    return [parts[at] for at in sorted(chosen)]


def _nearest(question: str, parts: Sequence[Part], cosines: Sequence[float] | None) -> list[int]:
    empty = empty_words(question)
    wanted = frozenset(content(question, empty))
    near = [
        nearness(frozenset(content(part.text, empty)), wanted, None if cosines is None else cosines[at])
        for at, part in enumerate(parts)
    ]
    return sorted(range(len(parts)), key=lambda at: (-near[at], at))


_PASSAGES: list[JsonValue] = [
    {"name": "opening", "text": "The pool opens at seven. It closes at nine in the evening from May to September."},
    {"name": "prices", "text": "A ticket costs 4 euros. Children under six swim for nothing."},
]


def _price_found(output: Any) -> bool:
    return output["found"] and "4 euros" in output["answer"] and [one["passage"] for one in output["quotes"]] == [1]


KINDS = (
    Kind(
        "answer",
        "Answer a question from given passages and from nothing else, with the words that the answer rests on.",
        Answer,
        _answer,
        {"question": "How much does a ticket cost?", "passages": _PASSAGES},
        _price_found,
    ),
)
"""The task types of this file."""
