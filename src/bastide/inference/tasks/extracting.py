"""Fields out of a text, each value with the place where it stands. What does not stand there is missing."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, with_config

from bastide.inference.tasks.entities import by_form
from bastide.inference.tasks.kinds import Kind, Name, Output, Text, named_once
from bastide.inference.tasks.occurrences import Found, Shadow, fold
from bastide.inference.tasks.patterns import find, number_in
from bastide.inference.tasks.pieces import Piece, pieces, sentences
from bastide.inference.tasks.task import CLOSED, Complaint, Measure, Task
from bastide.inference.tasks.words import content, empty_words
from bastide.workflows import JsonValue

FieldKind = Literal[
    "text", "date", "amount", "number", "percent", "email", "iban", "phone", "url", "reference", "person",
    "organisation", "place",
]  # fmt: skip
_NAMES: Final = frozenset({"person", "organisation", "place"})
_LINE: Final = re.compile(
    r"^[ \t]{0,20}(?:[-*•][ \t]{1,4})?(?P<name>[^\s:|][^\n:|]{0,58}?)[ \t]{0,20}[:|]"
    r"[ \t]{0,40}(?P<value>\S[^\n]{0,399})$",
    re.M,
)
_EMPTY: Final[frozenset[str]] = frozenset()


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Wanted:
    """A field: its name, what it means, what kind of value it has, and whether it may have several."""

    name: Name
    about: str = ""
    kind: FieldKind = "text"
    many: bool = False


@dataclass(frozen=True, slots=True)
class Extract:
    """A text, and the fields that are looked for in it."""

    text: Text
    fields: Annotated[tuple[Wanted, ...], Field(min_length=1, max_length=60), AfterValidator(named_once)]
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A value that stands in the text, and how it was found."""

    found: Found
    how: str

    def to_wire(self) -> dict[str, JsonValue]:
        """As the output shows it."""
        one = self.found
        return {"value": one.text, "normal": one.normal or None, "start": one.start, "end": one.end, "how": self.how}


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Value:
    field: str
    value: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Values:
    values: tuple[_Value, ...]


async def _extract(task: Task[Extract]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return task.output("patterns", **_result(asked.fields, await _by_form(task)))
    by_fold = {fold(one.name): one for one in asked.fields}
    values: dict[str, list[Value]] = {}
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = await asyncio.to_thread(Shadow, part.text)
        told = await task.ask(
            f"extract {number}",
            model,
            _Values,
            "Find the value of each field in the text. Give it word for word as it stands in the text, nothing "
            "added. Leave "
            "out a field that the text does not answer. Give a field more than once only where it says `several`.",
            {"fields": "\n".join(_described(one) for one in asked.fields), "text": part.text},
            check=_check(shadow, by_fold),
            tokens_max=2000,
        )
        for one in told.answer.values:
            wanted = by_fold[fold(one.field)]
            values.setdefault(wanted.name, []).append(_standing(one.value, wanted, shadow, part))
        await task.run.progress(number, len(parts))
    return task.output("generated", **_result(asked.fields, values))


def _described(wanted: Wanted) -> str:
    several = ", several" if wanted.many else ""
    return f"- {wanted.name} ({wanted.kind}{several}){': ' + wanted.about if wanted.about else ''}"


def _check(shadow: Shadow, by_fold: Mapping[str, Wanted]) -> Any:
    def check(answer: _Values) -> Iterable[Complaint]:
        for place, one in enumerate(answer.values):
            wanted = by_fold.get(fold(one.field))
            if wanted is None:
                yield Complaint(f"values[{place}].field is not one of the fields.")
            elif not shadow.holds(one.value):
                yield Complaint(f"values[{place}].value does not stand in the text word for word.")
            elif _normal(one.value, wanted.kind) is None:
                yield Complaint(f"values[{place}].value is not of the kind {wanted.kind}.")

    return check


def _standing(said: str, wanted: Wanted, shadow: Shadow, part: Piece) -> Value:
    start, end = shadow.find(said)[0]
    text = part.text[start:end]
    found = Found(part.start + start, part.start + end, wanted.kind, text, _normal(text, wanted.kind) or "")
    return Value(found, "named by the model")


def _normal(said: str, kind: str) -> str | None:
    """The machine form of a value of this kind, empty where it has none; None where it is not of this kind."""
    if kind == "text" or kind in _NAMES or kind == "reference":
        return ""
    if kind == "number" and number_in(said) is not None:
        return find(said, ["number"])[0].normal if find(said, ["number"]) else ""
    inside = find(said, [kind])
    return inside[0].normal if inside else None


def _result(fields: Sequence[Wanted], values: Mapping[str, Sequence[Value]]) -> dict[str, JsonValue]:
    """Every field that was asked for, with its value or values, and the names of those that are missing."""
    shown: dict[str, JsonValue] = {}
    for wanted in fields:
        unique: dict[tuple[int, int], Value] = {}
        for one in values.get(wanted.name, ()):
            unique.setdefault((one.found.start, one.found.end), one)
        entries = [one.to_wire() for one in unique.values()]
        shown[wanted.name] = entries if wanted.many else (entries[0] if entries else None)
    return {"fields": shown, "missing": [wanted.name for wanted in fields if not shown[wanted.name]]}


# -- without a generative model ---------------------------------------------------------------------
# A value is looked for in this order:
#   1. on a line `name: value` whose name is that of the field
#   2. as something of the field's kind in the sentence that speaks most of it; the only one of its kind counts, too
#   3. for a text, the sentence that best answers "what is the ...?"


async def _by_form(task: Task[Extract]) -> dict[str, list[Value]]:
    text = task.input.text
    ground = await asyncio.to_thread(_Ground, text)
    values: dict[str, list[Value]] = {}
    for number, wanted in enumerate(task.input.fields, 1):
        found = await asyncio.to_thread(_on_a_line, wanted, ground.lines)
        if not found and wanted.kind != "text":
            found = await asyncio.to_thread(_of_its_kind, wanted, ground)
        if not found and wanted.kind == "text":
            found = await _answered(task, number, wanted, text)
        values[wanted.name] = found if wanted.many else found[:1]
        await task.run.progress(number, len(task.input.fields))
    return values


class _Ground:
    """What is worked out once for all fields: the lines, the sentences and their words, what is of which kind."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.empty = empty_words(text)
        self.lines = list(_LINE.finditer(text))
        self.sentences = sentences(text)
        self.words = [frozenset(content(one.text, self.empty)) for one in self.sentences]
        self._by_kind: dict[str, list[Found]] = {}

    def of_kind(self, kind: str) -> list[Found]:
        """What of this kind stands in the text, in order of place."""
        if kind not in self._by_kind:
            self._by_kind[kind] = _candidates(kind, self.text)
        return self._by_kind[kind]


def _on_a_line(wanted: Wanted, lines: Iterable[re.Match[str]]) -> list[Value]:
    asked = set(content(wanted.name, _EMPTY))
    found: list[tuple[int, Value]] = []
    for line in lines:
        named = set(content(line["name"], _EMPTY))
        if not asked or not asked <= named:
            continue
        said = line["value"].rstrip()
        value = Found(line.start("value"), line.start("value") + len(said), wanted.kind, said)
        if wanted.kind != "text":
            inside = _candidates(wanted.kind, said)
            if not inside:
                continue
            first = inside[0]
            start = value.start + first.start
            value = Found(start, start + len(first.text), wanted.kind, first.text, first.normal)
        found.append((len(named - asked), Value(value, "on a line of its name")))
    return [value for _, value in sorted(found, key=lambda each: (each[0], each[1].found.start))]


def _of_its_kind(wanted: Wanted, ground: _Ground) -> list[Value]:
    found = ground.of_kind(wanted.kind)
    if wanted.many:
        return [Value(one, "of its kind") for one in found]
    asked = frozenset(content(f"{wanted.name} {wanted.about}", ground.empty))
    asked = asked - {wanted.kind} or asked  # "date" says nothing of which date
    rare = {word: 1 / (1 + sum(word in words for words in ground.words)) for word in asked}
    starts = [one.start for one in found]
    best: list[tuple[float, int, Value]] = []
    for part, words in zip(ground.sentences, ground.words, strict=True):
        shared = sum(rare[word] for word in asked & words)
        inside = found[bisect_left(starts, part.start) : bisect_left(starts, part.end)] if shared else []
        best += [
            (-shared, _distance(one, part, asked), Value(one, "in the sentence that speaks of it")) for one in inside
        ]
    if best:
        return [min(best, key=lambda each: each[:2])[2]]
    return [Value(found[0], "the only one of its kind")] if len({one.normal or one.text for one in found}) == 1 else []


def _distance(one: Found, part: Piece, asked: frozenset[str]) -> int:
    """How far a value stands from the nearest word of its field."""
    words = [match for match in re.finditer(r"[^\W_]+", part.text) if set(content(match.group(), _EMPTY)) & asked]
    at, end = one.start - part.start, one.end - part.start
    return min((max(at - word.end(), word.start() - end, 0) for word in words), default=len(part.text))


def _candidates(kind: str, text: str) -> list[Found]:
    return by_form(text, [kind]) if kind in _NAMES else find(text, [kind])


async def _answered(task: Task[Extract], number: int, wanted: Wanted, text: str) -> list[Value]:
    question = wanted.about if wanted.about.endswith("?") else f"What is the {wanted.name}? {wanted.about}".strip()

    async def work(measure: Measure) -> JsonValue:
        reply = await measure.extract(question, [text])
        return [[one.start, one.end] for one in reply.sentences]

    found = await task.measured(f"find {number}", work)
    return [
        Value(Found(start, end, "text", text[start:end]), "the sentence that answers")
        for start, end in sorted(found)[:3]
    ]


_INVOICE = (
    "Invoice number: 2027-0415\nDate: 3 May 2027\n\nNordwind GmbH delivered twelve chairs on 28 April 2027.\n"
    "The total of 1.234,50 EUR is due on 2 June 2027. Please pay to DE89 3704 0044 0532 0130 00."
)


def _invoice_read(output: Any) -> bool:
    fields = output["fields"]
    stands = all(one is None or _INVOICE[one["start"] : one["end"]] == one["value"] for one in fields.values())
    return (
        stands
        and fields["total"]["normal"] == "1234.50 EUR"
        and fields["due date"]["normal"] == "2027-06-02"
        and output["missing"] == ["e-mail"]
    )


KINDS = (
    Kind(
        "extract",
        "Find the values of given fields in a text, each with its place; a value that does not stand there is missing.",
        Extract,
        _extract,
        {
            "text": _INVOICE,
            "fields": [
                {"name": "invoice number"},
                {"name": "total", "kind": "amount"},
                {"name": "due date", "kind": "date"},
                {"name": "account", "kind": "iban"},
                {"name": "e-mail", "kind": "email"},
            ],
        },
        _invoice_read,
    ),
)
"""The task types of this file."""
