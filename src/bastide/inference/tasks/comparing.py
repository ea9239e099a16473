"""Two texts beside each other: what stands in both, what in one alone, what was changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import with_config

from bastide.inference.tasks.kinds import Kind, Language, Output, Text
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.pieces import Piece, sentences
from bastide.inference.tasks.prompting import in_language
from bastide.inference.tasks.task import CLOSED, Complaint, Measure, Task
from bastide.inference.tasks.words import content, empty_words, jaccard, numbers
from bastide.workflows import JsonValue

_SENTENCES_MAX = 240
_CHANGED_WORDS_MIN, _CHANGED_COSINE_MIN = 0.5, 0.8
_READ_AT_ONCE = 6000


@dataclass(frozen=True, slots=True)
class Compare:
    """Two texts."""

    first: Text
    second: Text
    language: Language | None = None
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Difference:
    aspect: str
    first_quote: str
    second_quote: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Compared:
    verdict: str
    common: tuple[str, ...]
    differences: tuple[_Difference, ...]


async def _compare(task: Task[Compare]) -> Output:
    """What is measured is always there; a model, if there is one, says what the differences mean."""
    asked = task.input
    model = await task.generator(asked.model)
    measured = await task.measured("measure", lambda measure: _measured(measure, asked.first, asked.second))
    if model is None:
        return task.output("similarity", **measured)
    first, second = _to_read(asked.first, measured, "only_first"), _to_read(asked.second, measured, "only_second")
    shadows = Shadow(first), Shadow(second)

    def check(answer: _Compared) -> Iterable[Complaint]:
        if not answer.verdict.strip():
            yield Complaint("there is no verdict.")
        for number, one in enumerate(answer.differences):
            if not one.first_quote and not one.second_quote:
                yield Complaint(f"differences[{number}] quotes neither text.")
            for quote, shadow, name in (
                (one.first_quote, shadows[0], "first"),
                (one.second_quote, shadows[1], "second"),
            ):
                if quote and not shadow.holds(quote):
                    yield Complaint(f"differences[{number}].{name}_quote does not stand in the {name} text.")

    told = await task.ask(
        "compare",
        model,
        _Compared,
        "Compare the first text with the second. Say in one sentence what the difference comes to (verdict), list what "
        "both say (common), and each difference with the words of either text, word for word; where a text says "
        f"nothing of it, its quote is empty. {in_language(asked.language)}",
        {"first text": first, "second text": second},
        check=check,
        tokens_max=1500,
    )
    differences = [
        {"aspect": one.aspect, "first": one.first_quote or None, "second": one.second_quote or None}
        for one in told.answer.differences
    ]
    whole = len(first) == len(asked.first) and len(second) == len(asked.second)
    return task.output(
        "generated",
        **measured,
        verdict=told.answer.verdict.strip(),
        common=list(told.answer.common),
        differences=differences,
        read="both texts" if whole else "the sentences that differ",
    )


def _to_read(text: str, measured: dict[str, JsonValue], side: str) -> str:
    """The whole text, or, of a long one, the sentences that are not in both."""
    if len(text) <= _READ_AT_ONCE:
        return text
    alone = measured[side]
    changed = measured["changed"]
    assert isinstance(alone, list)
    assert isinstance(changed, list)
    own = [one["text"] for one in alone] + [one[side.removeprefix("only_")]["text"] for one in changed]
    return "\n".join(own)[:_READ_AT_ONCE] or text[:_READ_AT_ONCE]


async def _measured(measure: Measure, first: str, second: str) -> dict[str, JsonValue]:
    """Their likeness, and their sentences in pairs."""
    one, other = await asyncio.gather(*(asyncio.to_thread(sentences, text) for text in (first, second)))
    same = {fold(each.text) for each in one} & {fold(each.text) for each in other}
    left = [each for each in one if fold(each.text) not in same][:_SENTENCES_MAX]
    right = [each for each in other if fold(each.text) not in same][:_SENTENCES_MAX]
    vectors = await measure.vectors([first[:4000], second[:4000], *(each.text for each in (*left, *right))])
    cosine = None if vectors is None else float(vectors[0] @ vectors[1])
    pairs = await asyncio.to_thread(_pairs, left, right, None if vectors is None else vectors[2:])
    paired = {(0, a) for a, _ in pairs} | {(1, b) for _, b in pairs}
    words = jaccard(content(first), content(second))
    return {
        "similarity": round(words if cosine is None else max(0.0, min(1.0, 0.5 * words + 0.5 * cosine)), 4),
        "same_sentences": len(same),
        "changed": [
            {
                "first": _shown(left[a]),
                "second": _shown(right[b]),
                "numbers_differ": numbers(left[a].text) != numbers(right[b].text),
            }
            for a, b in pairs
        ],
        "only_first": [_shown(each) for at, each in enumerate(left) if (0, at) not in paired],
        "only_second": [_shown(each) for at, each in enumerate(right) if (1, at) not in paired],
    }


def _pairs(left: Sequence[Piece], right: Sequence[Piece], vectors: NDArray[np.float32] | None) -> list[tuple[int, int]]:
    """Which sentence of one text became which of the other: the nearest first, each once."""
    empty = empty_words(" ".join(each.text for each in (*left, *right)))
    words = [set(content(each.text, empty)) for each in left], [set(content(each.text, empty)) for each in right]
    near: list[tuple[float, int, int]] = []
    for a in range(len(left)):
        for b in range(len(right)):
            shared = jaccard(words[0][a], words[1][b])
            cosine = 0.0 if vectors is None else float(vectors[a] @ vectors[len(left) + b])
            if shared >= _CHANGED_WORDS_MIN or cosine >= _CHANGED_COSINE_MIN:
                near.append((shared + cosine, a, b))
    taken: set[tuple[int, int]] = set()
    pairs: list[tuple[int, int]] = []
    for _, a, b in sorted(near, key=lambda each: (-each[0], each[1], each[2])):
        if (0, a) not in taken and (1, b) not in taken:
            taken |= {(0, a), (1, b)}
            pairs.append((a, b))
    return sorted(pairs)


def _shown(piece: Piece) -> dict[str, JsonValue]:
    return {"text": piece.text, "start": piece.start, "end": piece.end}


KINDS = (
    Kind(
        "compare",
        "Lay two texts side by side: how alike they are, what was changed, what only one of them says.",
        Compare,
        _compare,
        {
            "first": "The lease ends on 30 June 2027. The rent is 900 euros a month. Dogs are allowed.",
            "second": "The lease ends on 30 June 2027. The rent is 950 euros a month. The garden is shared.",
        },
        lambda output: (
            0 <= output["similarity"] <= 1
            and output["same_sentences"] == 1
            and [pair["numbers_differ"] for pair in output["changed"]] == [True]
        ),
    ),
)
"""The task types of this file."""
