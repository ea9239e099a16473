"""Past: which answers were given from a document, so that a change of its label shows what it comes too late for.

Kept are ids: of the receipt, of the document, its version and its label at that time, and the model that was shown it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import datetime

from bastide.errors import UnknownDocument
from bastide.knowledge.told import Answer, Telling
from bastide.knowledge.values import Document, Passage
from bastide.policy import Label
from bastide.store import Db, Json, Scope, Store, queries

_Q = queries("bastide.knowledge")
_ADD, _LIST, _BY_MODEL, _THERE = (
    _Q["add_answer_sources"],
    _Q["answers_from"],
    _Q["answers_by_model"],
    _Q["documents_there"],
)

RECEIPTS_MAX = 1_000
"""So many receipts are named; all are counted."""


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """An answer that was given from a document: `cited`, or only shown to the model that wrote it."""

    receipt: str
    version: int
    model: str
    cited: bool
    label: Label
    answered_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {**asdict(self), "label": self.label.to_wire(), "answered_at": self.answered_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Past:
    """How many answers were given from a document under one label, by which models, and the newest of them."""

    answers: int
    models: dict[str, int]
    newest: tuple[PastAnswer, ...]

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {"answers": self.answers, "models": self.models, "newest": [one.to_wire() for one in self.newest]}


@dataclass(frozen=True, slots=True)
class Relabelled:
    """A change of label, made or only tried, and the answers that were given under the label before."""

    document: Document
    before: Label
    after: Label
    done: bool
    past: Past

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "document": self.document.to_wire(),
            "before": self.before.to_wire(),
            "after": self.after.to_wire(),
            "tighter": self.before.join(self.after) == self.after,
            "done": self.done,
            "past_answers": self.past.to_wire(),
        }


async def past_answers(db: Db, document_id: str, label: Label) -> Past:
    """The answers that were given from a document while it had this label."""
    wire = Json(label.to_wire())
    models: dict[str, int] = dict(await db.rows(tuple, _BY_MODEL, id=document_id, label=wire))
    return Past(sum(models.values()), models, await _listed(db, document_id, wire, RECEIPTS_MAX))


async def _listed(db: Db, document_id: str, label: Json | None, limit: int) -> tuple[PastAnswer, ...]:
    rows = await db.rows(dict, _LIST, id=document_id, label=label, limit=limit)
    return tuple(PastAnswer(**{**row, "label": Label.from_wire(row["label"])}) for row in rows)


class PastAnswers:
    """Keeps what answers were given from, and tells it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def noted(self, scope: Scope, told: AsyncGenerator[Telling]) -> AsyncGenerator[Telling]:
        """The same events; what the answer was given from is kept before it is told."""
        shown: tuple[Passage, ...] = ()
        async with aclosing(told):
            async for event in told:
                shown = event.passages or shown
                if event.answer is not None:
                    await self.note(scope, event.answer, shown)
                yield event

    async def note(self, scope: Scope, answer: Answer, shown: Iterable[Passage]) -> None:
        """Keep what an answer was given from: what it cites; of one that a model wrote, also what it was `shown`."""
        cited = {passage.document_id for passage in answer.citations}
        from_all = {passage.document_id: passage for passage in (shown if answer.mode == "generated" else ())}
        from_all |= {passage.document_id: passage for passage in answer.citations}
        if answer.receipt is None or not from_all:
            return
        async with self._store.under(scope) as db:
            await db.run(
                _ADD,
                receipt=answer.receipt,
                model=answer.model,
                ids=list(from_all),
                versions=[passage.version for passage in from_all.values()],
                labels=[json.dumps(passage.label.to_wire()) for passage in from_all.values()],
                cited=[id in cited for id in from_all],
            )

    async def of(self, scope: Scope, document_id: str, *, limit: int) -> tuple[PastAnswer, ...]:
        """The answers given from a document, newest first, under whatever label. Raises UnknownDocument."""
        async with self._store.under(scope) as db:
            if not await db.rows(tuple, _THERE, ids=[document_id]):
                raise UnknownDocument
            return await _listed(db, document_id, None, limit)
