"""Who and what a text names, and how they are bound to each other. Nothing that does not stand in the text."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import with_config

from bastide.inference.tasks.kinds import Kind, Names, Output, Text
from bastide.inference.tasks.names import NAME_KINDS, find_names
from bastide.inference.tasks.occurrences import Found, Shadow, apart, fold, without_overlaps
from bastide.inference.tasks.patterns import KINDS_FOUND, find
from bastide.inference.tasks.pieces import pieces, sentences
from bastide.inference.tasks.task import CLOSED, Complaint, Task
from bastide.workflows import JsonValue

_BETWEEN_MAX = 90
_FAR_MAX = 3


# -- name_entities ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NameEntities:
    """A text, and the kinds that are looked for: names by default, any others with a model."""

    text: Text
    kinds: Names = ("person", "organisation", "place", "other", "date", "amount")
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Named:
    text: str
    kind: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _AllNamed:
    entities: tuple[_Named, ...]


async def _name_entities(task: Task[NameEntities]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        found = await asyncio.to_thread(by_form, asked.text, asked.kinds)
        known = {*NAME_KINDS, *KINDS_FOUND, "number"}
        unknown = [f"{kind} cannot be found without a generative model." for kind in asked.kinds if kind not in known]
        return task.output("patterns", entities=_gathered(found), remarks=["Best effort, by form.", *unknown])
    found = await named_by_model(task, model, asked.text, asked.kinds)
    return task.output("generated", entities=_gathered(found), remarks=[])


def by_form(text: str, kinds: Sequence[str]) -> list[Found]:
    """The names and patterns of these kinds, in order of place."""
    patterns = find(text, [kind for kind in kinds if kind in KINDS_FOUND or kind == "number"])
    names = [one for one in find_names(text) if one.kind in kinds] if set(kinds) & set(NAME_KINDS) else []
    return without_overlaps([*patterns, *apart(names, patterns)])


async def named_by_model(task: Task[Any], model: str, text: str, kinds: Sequence[str]) -> list[Found]:
    """What the model names, each at every place where it stands; verified to stand there, and of these kinds."""
    by_fold = {fold(kind): kind for kind in kinds}
    found: list[Found] = []
    parts = pieces(text)
    for number, part in enumerate(parts, 1):
        shadow = await asyncio.to_thread(Shadow, part.text)

        def check(answer: _AllNamed, shadow: Shadow = shadow) -> Iterable[Complaint]:
            for place, one in enumerate(answer.entities):
                if fold(one.kind) not in by_fold:
                    yield Complaint(f"entities[{place}].kind is not one of the given kinds.")
                if not shadow.holds(one.text):
                    yield Complaint(f"entities[{place}].text does not stand in the text word for word.")

        told = await task.ask(
            f"name {number}",
            model,
            _AllNamed,
            "List what the text names, of the given kinds only: each name once, word for word as it stands in "
            "the text, "
            "without titles, and its kind as it is written.",
            {"kinds": "\n".join(kinds), "text": part.text},
            check=check,
            tokens_max=3000,
        )
        for one in told.answer.entities:
            for start, end in shadow.find(one.text):
                begin = part.start + start
                found.append(Found(begin, part.start + end, by_fold[fold(one.kind)], text[begin : part.start + end]))
        await task.run.progress(number, len(parts))
    return without_overlaps(found)


def _gathered(found: Sequence[Found]) -> list[JsonValue]:
    """Each entity once, with every place where it stands, in order of the first."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        groups.setdefault((one.kind, one.normal or fold(one.text)), []).append(one)
    return [
        {
            "text": Counter(one.text for one in group).most_common(1)[0][0],
            "kind": kind,
            "normal": group[0].normal or None,
            "places": [{"start": one.start, "end": one.end} for one in group],
        }
        for (kind, _), group in groups.items()
    ]


# -- relations --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relations:
    """A text, and the relations that are looked for; any, if none is named."""

    text: Text
    relations: Names = ()
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Relation:
    subject: str
    relation: str
    object: str
    quote: str


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Relations:
    relations: tuple[_Relation, ...]


async def _relations(task: Task[Relations]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        found = await asyncio.to_thread(_together, asked.text)
        remarks = ["Names that stand in one sentence, with the words between them; what these mean is not judged."]
        if asked.relations:
            remarks.append("Choosing among the given relations needs a generative model: all are shown.")
        return task.output("co-occurrence", relations=found, remarks=remarks)
    by_fold = {fold(name): name for name in asked.relations}
    told_of: list[JsonValue] = []
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = await asyncio.to_thread(Shadow, part.text)
        told = await task.ask(
            f"relate {number}",
            model,
            _Relations,
            "List the relations between the persons, organisations, places and things that the text states. Subject, "
            "object and quote stand in the text word for word; the quote is the sentence that states it."
            + (
                " Use only the given relations, as they are written." if by_fold else " Name the relation in few words."
            ),
            {**({"relations": "\n".join(asked.relations)} if by_fold else {}), "text": part.text},
            check=_relation_check(shadow, by_fold),
            tokens_max=3000,
        )
        for one in told.answer.relations:
            told_of.append(_related(one, shadow, part.text, part.start, by_fold))
        await task.run.progress(number, len(parts))
    return task.output("generated", relations=told_of, remarks=[])


def _relation_check(shadow: Shadow, by_fold: Mapping[str, str]) -> Any:
    def check(answer: _Relations) -> Iterable[Complaint]:
        for place, one in enumerate(answer.relations):
            for field, said in (("subject", one.subject), ("object", one.object), ("quote", one.quote)):
                if not shadow.holds(said):
                    yield Complaint(f"relations[{place}].{field} does not stand in the text word for word.")
            if by_fold and fold(one.relation) not in by_fold:
                yield Complaint(f"relations[{place}].relation is not one of the given relations.")
            if not one.relation.strip():
                yield Complaint(f"relations[{place}].relation is empty.")

    return check


def _related(one: _Relation, shadow: Shadow, text: str, offset: int, by_fold: Mapping[str, str]) -> JsonValue:
    quote = shadow.find(one.quote)[0]
    return {
        "subject": _standing(one.subject, shadow, text, offset, quote),
        "relation": by_fold.get(fold(one.relation), one.relation.strip()),
        "object": _standing(one.object, shadow, text, offset, quote),
        "quote": {"text": text[quote[0] : quote[1]], "start": offset + quote[0], "end": offset + quote[1]},
    }


def _standing(said: str, shadow: Shadow, text: str, offset: int, quote: tuple[int, int]) -> JsonValue:
    """Where it stands: in the quote if it does, else its first place."""
    places = shadow.find(said)
    start, end = next((place for place in places if quote[0] <= place[0] and place[1] <= quote[1]), places[0])
    return {"text": text[start:end], "start": offset + start, "end": offset + end}


def _together(text: str) -> list[JsonValue]:
    """Names that stand near each other in a sentence, with the words between."""
    found = by_form(text, ("person", "organisation", "place", "other"))
    related: list[JsonValue] = []
    at = 0
    for sentence in sentences(text):
        while at < len(found) and found[at].start < sentence.start:
            at += 1
        inside = []
        while at < len(found) and found[at].end <= sentence.end:
            inside.append(found[at])
            at += 1
        for place, one in enumerate(inside):
            for other in inside[place + 1 : place + 1 + _FAR_MAX]:
                between = " ".join(text[one.end : other.start].split()).strip(" ,;:")
                if fold(one.text) != fold(other.text) and 0 < len(between) <= _BETWEEN_MAX:
                    quote: JsonValue = {"text": sentence.text, "start": sentence.start, "end": sentence.end}
                    entry: JsonValue = {
                        "relation": between,
                        "subject": one.to_wire(),
                        "object": other.to_wire(),
                        "quote": quote,
                    }
                    related.append(entry)
    return related


_LETTER = (
    "Anna Nowak works for Nordwind GmbH in Hamburg. On 3 May 2027 Nordwind GmbH bought the ship from Jan de Vries for "
    "1.2 million euros. Anna Nowak signed the contract."
)


def _names_anna(output: Any) -> bool:
    found = {(one["text"], one["kind"]) for one in output["entities"]}
    places = [place for one in output["entities"] for place in one["places"]]
    return {("Anna Nowak", "person"), ("Nordwind GmbH", "organisation")} <= found and all(
        0 <= place["start"] < place["end"] <= len(_LETTER) for place in places
    )


KINDS = (
    Kind(
        "name_entities",
        "List the persons, organisations, places, dates and amounts that a text names, with every place "
        "where they stand.",
        NameEntities,
        _name_entities,
        {"text": _LETTER},
        _names_anna,
    ),
    Kind(
        "relations",
        "List who stands in which relation to whom, with the sentence that says so; without a model, who "
        "stands beside whom.",
        Relations,
        _relations,
        {"text": _LETTER},
        lambda output: any(
            (one["subject"]["text"], one["object"]["text"]) == ("Anna Nowak", "Nordwind GmbH")
            for one in output["relations"]
        ),
    ),
)
"""The task types of this file."""
