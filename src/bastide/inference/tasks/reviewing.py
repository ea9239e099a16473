"""A second look: what is weak in a text, and in which order things are to be done."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, with_config

from bastide.inference.tasks.kinds import Kind, Language, Output, Text
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.patterns import find
from bastide.inference.tasks.pieces import Piece, pieces, sentences
from bastide.inference.tasks.prompting import in_language
from bastide.inference.tasks.task import CLOSED, Complaint, Task
from bastide.inference.tasks.words import content, count_words, empty_words
from bastide.workflows import JsonValue

_LONG_SENTENCE, _LONG_PARAGRAPH = 32, 160
_SHOWN_MAX = 100
_REPEATED = re.compile(r"(?<!\w)([^\W\d_]{2,})\s+\1(?!\w)", re.IGNORECASE)
_GAP = re.compile(
    r"\b(?:TODO|TBD|FIXME|XXX+|N\.N\.|lorem ipsum)\b|\?\?\?+|_{4,}|\[(?:…|\.{3}|name|date|datum|nom)\]", re.I
)
_UNCLEAR = re.compile(
    r"(?<!\w)(?:soon|recently|as soon as possible|asap|several|some time|many people|a lot of|appropriate(?:ly)?|"
    r"demnächst|bald|zeitnah|zeitlich begrenzt|einige|viele|gegebenenfalls|ggf\.|bientôt|prochainement|plusieurs|"
    r"binnenkort|spoedig|enkele|pronto|próximamente|varios|presto|prossimamente|alcuni|wkrótce|niebawem|kilka)(?!\w)",
    re.I,
)


# -- critique ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Critique:
    """A text, and what it is meant to do."""

    text: Text
    purpose: Annotated[str, Field(max_length=2000)] = ""
    language: Language | None = None
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Issue:
    quote: str
    problem: str
    suggestion: str
    severity: Literal["low", "medium", "high"]


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Issues:
    issues: tuple[_Issue, ...]


async def _critique(task: Task[Critique]) -> Output:
    """What can be counted is always there; a model, if there is one, adds what must be judged."""
    asked = task.input
    model = await task.generator(asked.model)
    counted, figures = await asyncio.to_thread(_counted, asked.text)
    if model is None:
        remarks = ["What can be counted was counted; whether it is true, apt or complete was not judged."]
        return task.output("measured", issues=counted, figures=figures, remarks=remarks)
    issues: list[JsonValue] = []
    parts = pieces(asked.text)
    for number, part in enumerate(parts, 1):
        shadow = await asyncio.to_thread(Shadow, part.text)

        def check(answer: _Issues, shadow: Shadow = shadow) -> Iterable[Complaint]:
            for place, one in enumerate(answer.issues):
                if not shadow.holds(one.quote):
                    yield Complaint(f"issues[{place}].quote does not stand in the text word for word.")
                if not one.problem.strip():
                    yield Complaint(f"issues[{place}].problem is empty.")

        told = await task.ask(
            f"critique {number}",
            model,
            _Issues,
            "Review the text as a careful editor: what is unclear, contradictory, unsupported, missing or wrong "
            "for its "
            "purpose. Quote the words of the text, word for word; say the problem and what to do about it. At "
            "most twelve "
            f"issues, the weightiest first; none is a good answer, too. {in_language(asked.language)}",
            {**({"purpose": asked.purpose} if asked.purpose.strip() else {}), "text": part.text},
            check=check,
            tokens_max=2500,
        )
        issues += [_shown(one, shadow, part) for one in told.answer.issues]
        await task.run.progress(number, len(parts))
    return task.output("generated", issues=[*issues, *counted], figures=figures, remarks=[])


def _shown(one: _Issue, shadow: Shadow, part: Piece) -> JsonValue:
    start, end = shadow.find(one.quote)[0]
    return {
        "quote": part.text[start:end],
        "start": part.start + start,
        "end": part.start + end,
        "problem": one.problem.strip(),
        "suggestion": one.suggestion.strip(),
        "severity": one.severity,
        "by": "model",
    }


def _counted(text: str) -> tuple[list[JsonValue], dict[str, JsonValue]]:
    """What a count can find fault with, and the figures of the text."""
    parts = sentences(text)
    lengths = [count_words(part.text) for part in parts]
    issues: list[JsonValue] = []
    for part, words in zip(parts, lengths, strict=True):
        if words > _LONG_SENTENCE:
            issues.append(_found(part.text, part.start, f"A sentence of {words} words.", "Cut it in two.", "medium"))
    for match in _REPEATED.finditer(text):
        issues.append(_found(match.group(), match.start(), "A word stands twice.", "Strike one of them.", "medium"))
    for match in _GAP.finditer(text):
        issues.append(_found(match.group(), match.start(), "Something is left open.", "Fill it in.", "high"))
    for match in _UNCLEAR.finditer(text):
        said = "It does not say when, how much or who."
        issues.append(_found(match.group(), match.start(), said, "Name the day, the number or the person.", "low"))
    issues += _numbers_at_odds(text, parts)
    figures: dict[str, JsonValue] = {
        "words": sum(lengths),
        "sentences": len(parts),
        "words_a_sentence": round(sum(lengths) / max(1, len(parts)), 1),
        "longest_sentence": max(lengths, default=0),
        "numbers": len(find(text, ["date", "amount", "percent", "number"])),
        "repeated_words": _often(text),
        "long_paragraphs": sum(count_words(part) > _LONG_PARAGRAPH for part in re.split(r"\n\s*\n", text)),
    }
    return issues[:_SHOWN_MAX], figures


def _numbers_at_odds(text: str, parts: Sequence[Piece]) -> list[JsonValue]:
    """Sentences that say the same but for a number."""
    seen: dict[tuple[str, ...], tuple[Piece, list[str]]] = {}
    issues: list[JsonValue] = []
    for part in parts:
        words = [word for word in content(part.text, frozenset()) if not word.isdecimal()]
        key, numbers = tuple(words), re.findall(r"\d+", part.text)
        if len(words) < 3 or not numbers:
            continue
        before = seen.setdefault(key, (part, numbers))
        if before[1] != numbers:
            said = f"An earlier sentence (at {before[0].start}) says the same with another number."
            issues.append(_found(part.text, part.start, said, "Decide which one is right.", "high"))
    return issues


def _often(text: str) -> list[JsonValue]:
    """The words that come strikingly often: at least four times and in more than a fiftieth of all words."""
    words = content(text, empty_words(text))
    often = Counter(words)
    return [
        {"word": word, "times": times} for word, times in often.most_common(5) if times >= 4 and times > len(words) / 50
    ]


def _found(quote: str, start: int, problem: str, suggestion: str, severity: str) -> dict[str, JsonValue]:
    return {
        "quote": quote,
        "start": start,
        "end": start + len(quote),
        "problem": problem,
        "suggestion": suggestion,
        "severity": severity,
        "by": "count",
    }


# -- plan -------------------------------------------------------------------------------------------


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Item:
    """Something that has to be done: its title, and the titles of what must be done before."""

    title: Annotated[Text, Field(max_length=500)]
    after: tuple[str, ...] = ()
    due: str | None = None  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class Plan:
    """A goal, what is known about it, and the things to do, if they are known already."""

    goal: Text
    items: Annotated[tuple[Item, ...], Field(max_length=200)] = ()
    notes: Annotated[str, Field(max_length=20_000)] = ""
    most: Annotated[int, Field(ge=1, le=40)] = 12
    language: Language | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """What an item comes after must be one of the items, and nothing comes after itself."""
        titles = [fold(item.title) for item in self.items]
        if len(set(titles)) != len(titles):
            raise ValueError("two items have the same title")
        if any(fold(name) not in titles for item in self.items for name in item.after):
            raise ValueError("an item comes after something that is no item")
        if _in_order([[titles.index(fold(name)) for name in item.after] for item in self.items], titles) is None:
            raise ValueError("the items wait for each other in a circle")


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Step:
    title: str
    detail: str
    after: tuple[int, ...]


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Steps:
    steps: tuple[_Step, ...]


async def _plan(task: Task[Plan]) -> Output:
    asked = task.input
    if not asked.items or asked.model is not None:
        model = await task.needed_generator(asked.model, "Planning without items")
    else:
        found = await task.generator(None)
        if found is None:
            remarks = ["The given items in an order that keeps what comes before what; nothing was added."]
            return task.output("ordered", goal=asked.goal, steps=ordered(asked.items), remarks=remarks)
        model = found
    most = max(asked.most, len(asked.items))
    given = {fold(item.title) for item in asked.items}

    def check(answer: _Steps) -> Iterable[Complaint]:
        if not 0 < len(answer.steps) <= most:
            yield Complaint(f"there must be one to {most} steps.")
        if any(not step.title.strip() for step in answer.steps):
            yield Complaint("a step has no title.")
        if any(not 0 < number < place for place, step in enumerate(answer.steps, 1) for number in step.after):
            yield Complaint("`after` must name numbers of earlier steps, counted from 1.")
        if given - {fold(step.title) for step in answer.steps}:
            yield Complaint("a given item is not among the steps under its own title.")

    items = "\n".join(
        f"- {item.title}" + (f" (after: {'; '.join(item.after)})" if item.after else "") for item in asked.items
    )
    parts = {"goal": asked.goal, "items": items, "notes": asked.notes}
    told = await task.ask(
        "plan",
        model,
        _Steps,
        f"Plan how the goal is reached, in at most {most} steps in their order. Each has a title, one "
        "sentence of detail, and "
        "in `after` the numbers of the earlier steps that must be done before, counted from 1. Keep given "
        "items as steps "
        f"under their own titles. Invent no fact. {in_language(asked.language)}",
        {name: text for name, text in parts.items() if text.strip()},
        check=check,
        tokens_max=2000,
    )
    steps: list[JsonValue] = [
        {"number": number, "title": step.title.strip(), "detail": step.detail.strip(), "after": sorted(set(step.after))}
        for number, step in enumerate(told.answer.steps, 1)
    ]
    return task.output("generated", goal=asked.goal, steps=steps, remarks=list(told.remarks))


def ordered(items: Sequence[Item]) -> list[JsonValue]:
    """The items, each behind what it waits for; among those that may come next, the one due first, then as given."""
    titles = [fold(item.title) for item in items]
    after = [[titles.index(fold(name)) for name in item.after] for item in items]
    order = _in_order(after, [item.due or "9" for item in items])
    assert order is not None  # the input was checked
    place = {at: number for number, at in enumerate(order, 1)}
    return [
        {
            "number": place[at],
            "title": items[at].title,
            "detail": "",
            "due": items[at].due,
            "after": sorted(place[before] for before in after[at]),
        }
        for at in order
    ]


def _in_order(after: Sequence[Sequence[int]], first: Sequence[str]) -> list[int] | None:
    """An order that keeps what comes after what; None where there is none."""
    left, order = set(range(len(after))), []
    while left:
        ready = [at for at in left if not left & set(after[at])]
        if not ready:
            return None
        chosen = min(ready, key=lambda at: (first[at] if len(first) else "", at))
        order.append(chosen)
        left.discard(chosen)
    return order


_LETTER = (
    "We will will close the pool soon. The repairs cost 2.4 million euros. The date is TBD. The repairs "
    "cost 2.6 million "
    "euros. Everybody who has bought a ticket for the season and who does not wish to travel to the "
    "other pool, which is "
    "in the next town and can be reached by bus every hour, may bring it back to the desk at which it was bought."
)


def _faults_found(output: Any) -> bool:
    quotes = [issue["quote"] for issue in output["issues"]]
    stands = all(_LETTER[issue["start"] : issue["end"]] == issue["quote"] for issue in output["issues"])
    return stands and "will will" in quotes and "TBD" in quotes and output["figures"]["longest_sentence"] > 40


KINDS = (
    Kind(
        "critique",
        "Say what is weak in a text, with the words it is about: what can be counted, and what a model finds.",
        Critique,
        _critique,
        {"text": _LETTER},
        _faults_found,
    ),
    Kind(
        "plan",
        "Put what has to be done in order, or, with a model, work out the steps to a goal.",
        Plan,
        _plan,
        {
            "goal": "Open the pool again",
            "items": [
                {"title": "fill the pool", "after": ["mend the roof", "replace the boiler"]},
                {"title": "replace the boiler", "after": ["order a boiler"]},
                {"title": "mend the roof"},
                {"title": "order a boiler"},
            ],
        },
        lambda output: (
            {"fill the pool", "order a boiler"} <= {step["title"] for step in output["steps"]}
            and all(before < step["number"] for step in output["steps"] for before in step["after"])
        ),
    ),
)
"""The task types of this file."""
