"""Pinning: where on its page a cited sentence stands, and which cell of a table gives the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bastide.knowledge.reading import terms
from bastide.knowledge.values import CitedCell, Passage, Place
from bastide.store import Scope, Store, queries

_PLACES = queries("bastide.knowledge")["places_of"]
_PLACES_MAX = 12  # of one citation

Span = tuple[int, int]
"""(start, end) in the text of a document's version."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A node that holds a cited stretch; `text[start - chunk_start:]` is what it says, as far as its chunk goes."""

    n: int
    kind: str
    start: int
    end: int
    page: int | None
    boxes: list[list[float]]
    cells: list[list[Any]]
    text: str
    chunk_start: int
    head: list[list[Any]] | None
    head_text: str | None
    head_start: int | None


class Pinning:
    """Adds places to citations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def pin(
        self, scope: Scope, question: str, citations: Sequence[Passage], said: Mapping[int, Sequence[Span]]
    ) -> tuple[Passage, ...]:
        """The citations with the places that they rest on.

        `said` gives, by a citation's number, the stretches that were taken from it; a citation that is not in it is
        pinned as a whole.
        """
        spans = [
            (one.n, one.document_id, start, end)
            for one in citations
            for start, end in said.get(one.n, [(one.start, one.end)])
        ]
        if not spans:
            return tuple(citations)
        ns, documents, starts, ends = (list(column) for column in zip(*spans, strict=True))
        async with self._store.under(scope) as db:
            rows = await db.rows(_Row, _PLACES, ns=ns, documents=documents, starts=starts, ends=ends)
        places: dict[int, dict[Span, Place]] = {}
        languages = {one.n: one.language for one in citations}
        for row in rows:
            places.setdefault(row.n, {})[row.start, row.end] = _place(row, question, languages[row.n])
        return tuple(
            replace(one, places=tuple(places[one.n].values())[:_PLACES_MAX]) if one.n in places else one
            for one in citations
        )


def _place(row: _Row, question: str, language: str) -> Place:
    return Place(
        row.kind,
        row.start,
        row.end,
        row.page,
        tuple((int(box[0]), (box[1], box[2], box[3], box[4])) for box in row.boxes),
        _cells(row, question, language),
    )


def _cells(row: _Row, question: str, language: str) -> tuple[CitedCell, ...]:
    """The cells of a row, each with the heading of its column; `answers` marks those that tell what was asked.

    A cell that repeats words of the question names the row; one that does not, in the column that the question names
    if it names one, is the answer.
    """
    if not row.cells:
        return ()
    asked = terms(question, language).keys()
    at = row.start - row.chunk_start
    heads = _heads(row)
    told = [(int(column), row.text[max(at + start, 0) : at + end], box) for column, start, end, _, _, box in row.cells]
    named = {column for column, name in heads.items() if not asked.isdisjoint(terms(name, language))}
    candidates = {
        column
        for column, text, _ in told
        if text.strip() and asked.isdisjoint(terms(text, language)) and heads.get(column) != text
    }
    answers = (candidates & named) or candidates
    return tuple(
        CitedCell(column, heads.get(column, ""), text, tuple(box) if box else None, column in answers)
        for column, text, box in told
    )


def _heads(row: _Row) -> dict[int, str]:
    """Column -> its heading, where the first row of the table is one."""
    if not row.head or row.head_text is None or row.head_start is None or not any(cell[4] for cell in row.head):
        return {}
    return {int(cell[0]): row.head_text[row.head_start + cell[1] : row.head_start + cell[2]] for cell in row.head}
