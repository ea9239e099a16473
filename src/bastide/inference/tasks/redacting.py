"""Redacting: the text without the names and numbers that must not stay in it. What is taken out cannot come back.

A span is looked for as it may be written anywhere: in other case, with or without accents, with a soft hyphen or an
unseen sign inside. The last step reads the result again, and refuses to give it out if anything is left.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bastide.errors import TaskAnswerUnusable
from bastide.inference.tasks.entities import by_form, named_by_model
from bastide.inference.tasks.kinds import Kind, Names, Output, Text
from bastide.inference.tasks.names import NAME_KINDS
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.patterns import KINDS_FOUND
from bastide.inference.tasks.task import Task
from bastide.workflows import JsonValue

PERSONAL = ("person", "other", "address", "email", "phone", "iban", "card", "national_id", "ip")
"""What is taken out by default; a name of which nobody can tell the kind is taken for a person's."""
_PART_LETTERS_MIN = 3
_NAME_PART = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Redact:
    """A text, names that must not stay, the kinds that are looked for beside them, and words that may stay."""

    text: Text
    names: Names = ()
    kinds: Names = PERSONAL
    keep: Names = ()
    model: str | None = None


async def _redact(task: Task[Redact]) -> Output:
    # 1. what must go: the given names, what has a known form, and, with a model, what it names
    # 2. every place where any of it stands is taken out, however it is written there
    # 3. the result is read again; with anything left in it, it is not given out
    asked = task.input
    unknown = [kind for kind in asked.kinds if kind not in {*NAME_KINDS, *KINDS_FOUND, "number"}]
    model = await task.generator(asked.model)
    found = await asyncio.to_thread(by_form, asked.text, asked.kinds)
    if model is not None and asked.kinds:
        found += await named_by_model(task, model, asked.text, asked.kinds)
    kept = {fold(word) for word in asked.keep}
    values = dict.fromkeys(asked.names, "name")
    values |= {one.text: one.kind for one in found if fold(one.text) not in kept and one.text not in values}
    await task.run.progress(1, 2, "taking out")
    text, spans = await asyncio.to_thread(taken_out, asked.text, values, asked.names)
    remarks = [f"{kind} cannot be found without a generative model." for kind in unknown if model is None]
    if model is None:
        remarks.append("Names were found by how they are written: read it before you give it away.")
    return task.output(
        "patterns" if model is None else "generated",
        text=text,
        spans=spans,
        counts=dict(Counter(str(span["kind"]) for span in spans)),
        reversible=False,
        remarks=remarks,
    )


def taken_out(text: str, values: Mapping[str, str], given: Sequence[str]) -> tuple[str, list[dict[str, JsonValue]]]:
    """The text with a mark for every place where one of the values stands. Raises TaskAnswerUnusable."""
    parts = _parts(values, given)
    spans = _joined(_places(text, values, parts))
    for mark in ("[{kind}]", "[…]", "█"):  # a value may be the very word of a mark
        pieces: list[str] = []
        at = 0
        for start, end, kind in spans:
            pieces += [text[at:start], mark.format(kind=kind)]
            at = end
        result = "".join([*pieces, text[at:]])
        if not _places(result, values, parts):
            return result, [{"start": start, "end": end, "kind": kind} for start, end, kind in spans]
    raise TaskAnswerUnusable(
        "Something that had to go was still in the redacted text, so it was not given out.",
        next_step="Give the names that must not stay in `names`, each as it is written, and report this text's form.",
    )


def _places(text: str, values: Mapping[str, str], parts: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """Where something stands that must go: the values however they are written, parts of them with a capital."""
    shadow = Shadow(text)
    found = [(start, end, kind) for value, kind in values.items() for start, end in shadow.find(value)]
    for value, kind in parts.items():
        found += [(start, end, kind) for start, end in shadow.find(value) if text[start].isupper()]
    return found


def _parts(values: Mapping[str, str], given: Sequence[str]) -> dict[str, str]:
    """The parts of persons' names: who is called Anna Müller is also told by Müller, and by Mueller."""
    parts: dict[str, str] = {}
    for value, kind in values.items():
        if kind == "person" or (value in given and len(value.split()) <= 4):
            for part in _NAME_PART.findall(value):
                if len(part) >= _PART_LETTERS_MIN and part[0].isupper():
                    parts |= {part: kind, _spelled_out(part): kind}
    return parts


def _spelled_out(name: str) -> str:
    for letter, letters in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa"}.items():
        name = name.replace(letter, letters)
    return name


def _joined(places: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Overlapping places as one, with the kind of the longer."""
    joined: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(places, key=lambda place: (place[0], -place[1])):
        if joined and start < joined[-1][1]:
            before = joined[-1]
            joined[-1] = (before[0], max(end, before[1]), before[2])
        else:
            joined.append((start, end, kind))
    return joined


_NOTE = (
    "Mrs Anna Müller (anna.mueller@example.org, +49 40 1234567) paid from DE89 3704 0044 0532 0130 00. "
    "Müller lives at Lindenstraße 12 in Hamburg. It may rain."
)


def _nothing_left(output: Any) -> bool:
    return (
        not any(word in output["text"] for word in ("Müller", "anna.", "1234567", "3704", "Lindenstraße"))
        and output["counts"]["iban"] == 1
        and output["reversible"] is False
    )


KINDS = (
    Kind(
        "redact",
        "Take names, addresses and numbers out of a text for good; what is left is read again before it is given out.",
        Redact,
        _redact,
        {"text": _NOTE, "names": ["Anna Müller"]},
        _nothing_left,
    ),
)
"""The task types of this file."""
