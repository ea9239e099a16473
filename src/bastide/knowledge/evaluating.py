"""Evaluating: how well the documents of a tenant answer a set of questions whose right places are known.

    recall@k          share of the answerable questions with an expected place among the first k passages
    MRR               mean of 1 / rank of the first expected place, 0 where there is none (Voorhees 1999)
    no-answer rate    share of the questions without an answer here for which the house says that it has none

A question is a step of its own, so a long set goes on where it was interrupted. Nothing of it leaves the machine
beyond what a search sends to the embedder, and no generative model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Literal, cast

from bastide.errors import BadOption
from bastide.inference import EXTRACTIVE
from bastide.knowledge import bounds
from bastide.knowledge.answer import Answering
from bastide.knowledge.search import Finder
from bastide.knowledge.values import Passage
from bastide.policy import Label
from bastide.store import Scope
from bastide.workflows import Example, JobType, JsonValue, Limits, Run

_QUESTIONS_MAX = 5_000
_MISSED_MAX = 50


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and where its answer stands: in one of `documents` (id, name or title), under the heading `section`.

    Without documents it has no answer here.
    """

    question: str
    documents: tuple[str, ...] = ()
    section: str | None = None


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """What is asked, and how it is searched."""

    questions: tuple[Question, ...]
    limit: int = 8
    collection: str | None = None
    mode: Literal["hybrid", "text", "vector"] = "hybrid"


class Evaluating:
    """The code of the type."""

    def __init__(self, finder: Finder, answering: Answering) -> None:
        self._finder = finder
        self._answering = answering

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        question = {"question": "When does the east gate open?", "documents": ["gate.md"], "section": "Gate"}
        return (
            JobType(
                name="knowledge.evaluate",
                about="Asks a set of questions whose right places are known: recall, mean reciprocal rank, silence.",
                input=QuestionSet,
                run=self._evaluate,
                permission="knowledge:read",
                limits=Limits(input_bytes_max=4 * 1024 * 1024, run_s=4 * 3600.0, per_tenant=1),
                example=Example(
                    {"questions": [question], "limit": 5},
                    lambda out: isinstance(out, Mapping) and out["questions"] == 1 and "mrr" in out,
                ),
            ),
        )

    async def _evaluate(self, run: Run[QuestionSet]) -> JsonValue:
        asked = run.input
        limit = bounds.limit(asked.limit)
        if not 0 < len(asked.questions) <= _QUESTIONS_MAX:
            raise BadOption(f"A set has 1 to {_QUESTIONS_MAX:,} questions.", option="questions")
        filters = bounds.filters(None, asked.collection)
        found: list[dict[str, Any]] = []
        for number, one in enumerate(asked.questions):
            bounds.query(one.question)
            ask = partial(self._ask, run.scope, one, limit=limit, filters=filters, mode=asked.mode)
            found.append(cast("dict[str, Any]", await run.step(f"question {number}", ask)))
            await run.progress(number + 1, len(asked.questions))
        await run.tighten(Label.join_all([run.label, *(Label.from_wire(one["label"]) for one in found)]))
        return cast(JsonValue, figures(asked.questions, found, limit))

    async def _ask(self, scope: Scope, one: Question, *, limit: int, filters: bounds.Filters, mode: str) -> JsonValue:
        hits = await self._finder.find(scope, bounds.query(one.question), limit=limit, filters=filters, mode=mode)
        passages = [hit.passage for hit in hits.hits]
        silent = None
        if not one.documents:
            said = await self._answering.answer(
                scope, bounds.query(one.question), model=EXTRACTIVE, limit=limit, filters=filters
            )
            silent = not said.found
        label = Label.join_all([passage.label for passage in passages])
        return {
            "rank": next((n for n, passage in enumerate(passages, 1) if stands_at(passage, one)), None),
            "first": _place(passages[0]) if passages else None,
            "silent": silent,
            "took_ms": round(hits.took_ms, 2),
            "label": cast(JsonValue, label.to_wire()),
        }


def stands_at(passage: Passage, one: Question) -> bool:
    """Whether this passage is an expected place."""
    if not {passage.document_id, passage.name, passage.title} & set(one.documents):
        return False
    if one.section is None:
        return True
    wanted = re.compile(rf"{re.escape(one.section.strip())}(?!\w)", re.IGNORECASE)
    return any(wanted.match(part.strip()) for part in (passage.title, *passage.section))


def figures(questions: Sequence[Question], found: Sequence[Mapping[str, Any]], limit: int) -> dict[str, object]:
    """The figures of a whole set; a rate of no questions is None."""
    answerable = [one for one, asked in zip(found, questions, strict=True) if asked.documents]
    others = [one for one, asked in zip(found, questions, strict=True) if not asked.documents]
    ranks = [one["rank"] for one in answerable]
    cuts = sorted({1, min(3, limit), limit})
    missed = [
        {"question": asked.question, "expected": list(asked.documents), "first": one["first"]}
        for one, asked in zip(found, questions, strict=True)
        if asked.documents and one["rank"] is None
    ]
    return {
        "questions": len(questions),
        "answerable": len(answerable),
        "unanswerable": len(others),
        "recall": {str(k): _rate(sum(rank is not None and rank <= k for rank in ranks), len(answerable)) for k in cuts},
        "mrr": _rate(sum(1 / rank for rank in ranks if rank), len(answerable)) or 0.0,
        "no_answer_rate": _rate(sum(bool(one["silent"]) for one in others), len(others)),
        "median_ms": round(median(one["took_ms"] for one in found), 2),
        "missed": missed[:_MISSED_MAX],
    }


def _rate(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _place(passage: Passage) -> str:
    return " > ".join([passage.name, *passage.section])
