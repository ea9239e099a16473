"""What crosses the door as an answer is asked for and told: turns, the answer, and what is told while it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypedDict

from bastide.knowledge.values import Passage, Wire
from bastide.policy import Label


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A sentence of an answer that no cited passage supports; `answer[start:end] == text`, the mark follows it."""

    text: str
    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was asked before, with its answer; `label` is that answer's, the tenant's default if unsaid."""

    question: str
    answer: str
    label: Label = field(default_factory=Label)


class SearchOptions(TypedDict, total=False):
    """How a search may be asked for. Left out: eight passages of everything, in hybrid mode."""

    limit: int
    collection: str | None
    filters: Mapping[str, object] | None
    mode: str
    """hybrid, text, vector or graph."""
    explain: bool
    """Each passage says why it is here."""
    context: str
    """What stands around a passage comes along: none, neighbours, or the rest of its section."""
    rerank: str
    """auto: a re-ranker that is there and allowed to read the best puts them in its order; off."""
    decompose: str
    """off; auto: the parts of a question are searched, too, found by rule; always: by a model, where one may."""


class AnswerOptions(TypedDict, total=False):
    """How a question may be asked. Left out: the best model that is allowed, eight passages, everything, no history."""

    model: str | None
    limit: int
    collection: str | None
    filters: Mapping[str, object] | None
    history: Iterable[Turn]
    """The turns before, oldest first: a follow-up question leans on the last."""
    rerank: str
    decompose: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose sentences cite passages by number; `found` is false when nothing relevant was there."""

    answer: str
    mode: Literal["extractive", "generated"]
    model: str
    citations: tuple[Passage, ...]
    unsupported: tuple[Unsupported, ...] = ()
    receipt: str | None = None
    found: bool = True
    label: Label = field(default_factory=Label)
    prompt: str | None = None
    notes: tuple[str, ...] = ()
    language: str = ""
    searched: str = ""
    """What was searched for: the question, with what a follow-up leans on."""
    further: tuple[str, ...] = ()
    """Questions that the documents could answer next."""

    def to_wire(self) -> Wire:
        """The shape of SURFACE."""
        return {
            "answer": self.answer,
            "mode": self.mode,
            "model": self.model,
            "citations": [passage.to_wire() for passage in self.citations],
            "unsupported": [asdict(sentence) for sentence in self.unsupported],
            "receipt": self.receipt,
            "found": self.found,
            "label": self.label.to_wire(),
            "prompt": self.prompt,
            "notes": list(self.notes),
            "language": self.language,
            "searched": self.searched,
            "further": list(self.further),
        }


@dataclass(frozen=True, slots=True)
class Telling:
    """One event of an answer while it is made: `passages` once, `text` as it is written, `answer` last.

    Words of `text` are provisional: they cite the numbers of `passages`, and are checked only in `answer`.
    """

    kind: Literal["passages", "text", "answer"]
    receipt: str | None
    passages: tuple[Passage, ...] = ()
    text: str = ""
    answer: Answer | None = None

    def to_wire(self) -> Wire:
        """What the event carries."""
        if self.answer is not None:
            return self.answer.to_wire()
        if self.kind == "text":
            return {"text": self.text}
        return {"passages": [passage.to_wire() for passage in self.passages], "receipt": self.receipt}
