"""Less of a text: its summary, its title, its tags."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, with_config

from bastide.inference.tasks.kinds import Kind, Language, Names, Output, Text
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.pieces import PIECE_CHARACTERS_MAX, pieces
from bastide.inference.tasks.prompting import in_language
from bastide.inference.tasks.ranking import central, nearness, worth_weighing
from bastide.inference.tasks.task import CLOSED, Complaint, Measure, Task
from bastide.inference.tasks.words import content, count_words, empty_words, first_words, invented_numbers, key_phrases
from bastide.workflows import JsonValue

_HEADING = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<marked>.+?)\s*#*|(?P<bare>[^\s.,;:!?][^\n]{2,90}[^\s.,;:!?…]))\s*$", re.MULTILINE
)
_SUBJECT = re.compile(
    r"^\s*(?:subject|betreff|objet|onderwerp|asunto|oggetto|temat|titl?el?)\s*:\s*(\S.*)$", re.I | re.M
)


# -- summarise --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summarise:
    """A text, and how many words its summary may have."""

    text: Text
    words: Annotated[int, Field(ge=10, le=2000)] = 120
    language: Language | None = None
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Summary:
    summary: str


async def _summarise(task: Task[Summarise]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await _summarise_extractively(task)
    text, level = asked.text, 0
    remarks: tuple[str, ...] = ()
    while True:  # each round writes shorter notes of each piece, until one piece holds them all
        parts = pieces(text)
        last = len(parts) == 1
        words = asked.words if last else max(80, min(300, 4 * asked.words // len(parts)))
        written: list[str] = []
        for number, part in enumerate(parts, 1):
            step = f"summarise {level + 1}.{number}"
            summary, remarks = await _written_summary(task, model, step, part.text, words)
            written.append(summary)
            await task.run.progress(number, len(parts), "summarised" if last else "notes of the parts")
        if last:
            return task.output("generated", summary=written[0], words=count_words(written[0]), remarks=list(remarks))
        text, level = "\n\n".join(written), level + 1  # less than half of it: the check sees to that


async def _written_summary(
    task: Task[Summarise], model: str, step: str, text: str, words: int
) -> tuple[str, tuple[str, ...]]:
    def check(answer: _Summary) -> Iterable[Complaint]:
        said = count_words(answer.summary)
        if not said:
            yield Complaint("the summary is empty.")
        if said > 1.5 * words + 15 or len(answer.summary) > 12 * words + 200:
            yield Complaint(f"the summary has {said} words, {len(answer.summary)} signs, and may have {words} words.")
        if invented_numbers(answer.summary, text):
            yield Complaint("the summary holds a number that does not stand in the text.", mild=True)

    instruction = (
        f"Summarise the text in at most {words} words. Say only what it says; keep names, numbers, dates and "
        f"conditions as they are. {in_language(task.input.language)}"
    )
    told = await task.ask(step, model, _Summary, instruction, {"text": text}, check=check, tokens_max=4 * words + 200)
    return told.answer.summary.strip(), told.remarks


async def _summarise_extractively(task: Task[Summarise]) -> Output:
    text, words = task.input.text, task.input.words

    async def work(measure: Measure) -> JsonValue:
        found = await asyncio.to_thread(worth_weighing, text)
        vectors = await measure.vectors([one.text for one in found])
        places = await asyncio.to_thread(central, [one.text for one in found], vectors, words)
        return [{"text": found[at].text, "start": found[at].start, "end": found[at].end} for at in places]

    chosen = await task.measured("choose sentences", work)
    summary = " ".join(" ".join(one["text"].split()) for one in chosen)
    if count_words(summary) > words:  # one sentence that is longer than all that was asked for
        summary = first_words(summary, words) + " …"
    remarks = (
        ["It is in the language of the text: translating needs a generative model."] if task.input.language else []
    )
    return task.output("extractive", summary=summary, words=count_words(summary), sentences=chosen, remarks=remarks)


# -- title ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Title:
    """A text, and how many words its title may have."""

    text: Text
    words: Annotated[int, Field(ge=2, le=30)] = 10
    language: Language | None = None
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Titled:
    title: str


async def _title(task: Task[Title]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        found, how = await asyncio.to_thread(_title_in, asked.text, asked.words)
        return task.output("extractive", title=found, taken_from=how)
    text = await asyncio.to_thread(_condensed, asked.text)

    def check(answer: _Titled) -> Iterable[Complaint]:
        if not count_words(answer.title):
            yield Complaint("the title is empty.")
        if "\n" in answer.title.strip() or count_words(answer.title) > asked.words:
            yield Complaint(f"the title must be one line of at most {asked.words} words.")
        if invented_numbers(answer.title, text):
            yield Complaint("the title holds a number that does not stand in the text.")

    told = await task.ask(
        "title",
        model,
        _Titled,
        f"Give the text a title of at most {asked.words} words that says what it is about. "
        f"{in_language(asked.language)}",
        {"text": text},
        check=check,
        tokens_max=200,
    )
    return task.output("generated", title=told.answer.title.strip(), taken_from="the whole text")


def _title_in(text: str, words: int) -> tuple[str, str]:
    """The text's own title: its subject line, its first heading, else its weightiest phrases."""
    subject = _SUBJECT.search(text[:4000])
    if subject:
        return first_words(subject[1], words), "its subject line"
    heading = _HEADING.search(text[:4000])
    if heading and (heading["marked"] or not text[: heading.start()].strip()):
        named = heading["marked"] or heading["bare"]
        if heading["marked"] or text[heading.end() :].strip():
            return first_words(named, words), "its first heading"
    if "\n" not in text.strip() and count_words(text) <= words:
        return text.strip(), "the text itself"
    phrases = [phrase for phrase, _ in key_phrases(text[:200_000], 3)]
    if not phrases:
        return first_words(text, words), "its first words"
    title = phrases[0]
    for phrase in phrases[1:]:
        if count_words(title) + count_words(phrase) <= min(words, 6):
            title = f"{title}, {phrase}"
    title = first_words(title, words)
    return title[:1].upper() + title[1:], "its most frequent phrases"


def _condensed(text: str) -> str:
    """As much of a text as one call reads: all of it, or its beginning and its central sentences."""
    if len(text) <= PIECE_CHARACTERS_MAX:
        return text
    found = worth_weighing(text)
    places = central([one.text for one in found], None, PIECE_CHARACTERS_MAX // 12)
    head = text[: PIECE_CHARACTERS_MAX // 4]
    return f"{head}\n\n{' '.join(found[at].text for at in places)}"[:PIECE_CHARACTERS_MAX]


# -- tag --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tag:
    """A text, how many tags it gets, and the only ones that it may get, if they are given."""

    text: Text
    most: Annotated[int, Field(ge=1, le=50)] = 8
    allowed: Names = ()
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Tags:
    tags: tuple[str, ...]


async def _tag(task: Task[Tag]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        return await (_tag_from_list(task) if asked.allowed else _tag_by_phrases(task))
    text = await asyncio.to_thread(_condensed, asked.text)
    by_fold = {fold(tag): tag for tag in asked.allowed}

    def check(answer: _Tags) -> Iterable[Complaint]:
        if not answer.tags and not asked.allowed:
            yield Complaint("there is no tag.")
        if len(answer.tags) > asked.most:
            yield Complaint(f"there are {len(answer.tags)} tags, and {asked.most} are allowed.")
        if asked.allowed and any(fold(tag) not in by_fold for tag in answer.tags):
            yield Complaint("a tag is not one of the allowed tags.")
        if any(not 0 < count_words(tag) <= 5 or "\n" in tag for tag in answer.tags if fold(tag) not in by_fold):
            yield Complaint("a tag must have one to five words.")

    parts = {"text": text, **({"allowed tags": "\n".join(asked.allowed)} if asked.allowed else {})}
    choice = (
        "Use only the allowed tags, as they are written." if asked.allowed else "Use short noun phrases of the text."
    )
    told = await task.ask(
        "tag",
        model,
        _Tags,
        f"Give the text at most {asked.most} tags, the most telling first. {choice}",
        parts,
        check=check,
    )
    shadow = await asyncio.to_thread(Shadow, asked.text)
    tags = list(dict.fromkeys(by_fold.get(fold(tag), " ".join(tag.split())) for tag in told.answer.tags))
    return task.output("generated", tags=[{"tag": tag, "in_text": shadow.holds(tag)} for tag in tags])


async def _tag_by_phrases(task: Task[Tag]) -> Output:
    text = task.input.text

    async def work(measure: Measure) -> JsonValue:
        phrases = await asyncio.to_thread(key_phrases, text[:400_000], 4 * task.input.most)
        if not phrases:
            return [{"tag": first_words(text, 3), "weight": 1.0, "in_text": True}]
        vectors = await measure.vectors([text[:4000], *(phrase for phrase, _ in phrases)])
        near = [1.0] * len(phrases) if vectors is None else [1 + float(row @ vectors[0]) for row in vectors[1:]]
        weighed = [(weight * near[at], phrase) for at, (phrase, weight) in enumerate(phrases)]
        best = sorted(weighed, key=lambda each: -each[0])[: task.input.most]
        top = best[0][0]
        return [{"tag": phrase, "weight": round(weight / top, 3), "in_text": True} for weight, phrase in best]

    tags = await task.measured("find phrases", work)
    return task.output("extractive", tags=tags)


async def _tag_from_list(task: Task[Tag]) -> Output:
    asked = task.input

    async def work(measure: Measure) -> JsonValue:
        shadow = await asyncio.to_thread(Shadow, asked.text)
        text = await asyncio.to_thread(_condensed, asked.text)
        vectors = await measure.vectors([text, *asked.allowed])
        found: list[tuple[float, str, bool]] = []
        empty = empty_words(text)
        words = frozenset(content(text, empty))
        for at, tag in enumerate(asked.allowed, 1):
            stands = shadow.holds(tag)
            near = nearness(
                words, frozenset(content(tag, empty)), None if vectors is None else float(vectors[at] @ vectors[0])
            )
            if stands or near >= _TAG_NEAR_MIN:
                found.append((near + stands, tag, stands))
        best = sorted(found, key=lambda each: -each[0])[: asked.most]
        return [{"tag": tag, "weight": round(min(1.0, weight), 3), "in_text": stands} for weight, tag, stands in best]

    return task.output("similarity", tags=await task.measured("compare with the allowed tags", work))


_TAG_NEAR_MIN = 0.35

_NOTICE = (
    "The swimming pool in Lindenstrasse closes on 3 May 2027 for repairs. The roof leaks and the boiler is 40 years "
    "old. The council has set aside 2.4 million euros for the repairs. Swimmers may use the pool in Hafenstadt at the "
    "same price until the pool in Lindenstrasse opens again. The weather was fine on the day of the meeting."
)


def _short_and_true(output: Any) -> bool:
    return 0 < count_words(output["summary"]) <= 60 and not invented_numbers(output["summary"], _NOTICE)


KINDS = (
    Kind(
        "summarise",
        "Say a text in fewer words: written by a model and its numbers checked, or its most central sentences.",
        Summarise,
        _summarise,
        {"text": _NOTICE, "words": 40},
        _short_and_true,
    ),
    Kind(
        "title",
        "Name a text in one line: written by a model, or its own heading or most frequent phrases.",
        Title,
        _title,
        {"text": f"# The pool closes for repairs\n\n{_NOTICE}"},
        lambda output: 0 < count_words(output["title"]) <= 10 and "\n" not in output["title"],
    ),
    Kind(
        "tag",
        "Give a text a few telling tags: free ones, or only those of a given list.",
        Tag,
        _tag,
        {"text": _NOTICE, "most": 5},
        lambda output: 0 < len(output["tags"]) <= 5 and any("pool" in tag["tag"].lower() for tag in output["tags"]),
    ),
)
"""The task types of this file."""
