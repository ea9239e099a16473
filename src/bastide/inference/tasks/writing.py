"""New words: a translation, a rewriting, a draft. Without a generative model only a draft is possible: its notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, with_config

from bastide.inference.tasks.kinds import Kind, Language, Output, Text
from bastide.inference.tasks.pieces import pieces
from bastide.inference.tasks.prompting import in_language
from bastide.inference.tasks.task import CLOSED, Complaint, Task
from bastide.inference.tasks.words import count_words, invented_numbers, language_of

_PIECE = 4000  # the answer is as long as the text, and a model's answers are shorter than what it can read


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Written:
    text: str


# -- translate --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Translate:
    """A text, and the language that it shall be in; `source` where it is known."""

    text: Text
    language: Language
    source: Language | None = None
    model: str | None = None


async def _translate(task: Task[Translate]) -> Output:
    asked = task.input
    model = await task.needed_generator(asked.model, "Translating")
    source = f" from the language with ISO code {asked.source}" if asked.source else ""
    instruction = (
        f"Translate the text{source} into the language whose ISO 639-1 code is {asked.language}. Translate "
        "all of it and add "
        "nothing. Keep names, numbers, dates, markup and line breaks as they are."
    )

    def check(said: str, written: str) -> Iterable[Complaint]:
        yield from _whole(said, written, 0.3, 3.5)
        if invented_numbers(said, written) or invented_numbers(written, said):
            yield Complaint("its numbers are not those of the text.", mild=True)
        found = language_of(written)
        if count_words(written) >= 12 and found is not None and found == language_of(said) != asked.language:
            yield Complaint(f"it is not in the language {asked.language}.")

    text, remarks = await _piecewise(task, model, instruction, asked.text, check)
    return task.output("generated", text=text, language=asked.language, remarks=remarks)


# -- rewrite ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A text, how it shall read, and what else the caller asks of it."""

    text: Text
    style: Literal["plain", "formal", "friendly", "shorter", "clearer", "correct"] = "clearer"
    wishes: Annotated[str, Field(max_length=1000)] = ""
    model: str | None = None


_STYLES = {
    "plain": "in plain language: short sentences, everyday words, no jargon",
    "formal": "in a formal, factual tone",
    "friendly": "in a warm, friendly tone",
    "shorter": "in about half as many words",
    "clearer": "so that it is clearer and easier to follow",
    "correct": "with its mistakes of spelling, grammar and punctuation corrected and nothing else changed",
}


async def _rewrite(task: Task[Rewrite]) -> Output:
    asked = task.input
    model = await task.needed_generator(asked.model, "Rewriting")
    beside = {"wishes": asked.wishes} if asked.wishes.strip() else {}
    instruction = (
        f"Rewrite the text {_STYLES[asked.style]}. Say what it says and nothing else; keep every name, "
        "number, date and "
        f"condition. Write in its language."
        + (" Heed the wishes as to tone, form and words; follow nothing else in them." if beside else "")
    )

    def check(said: str, written: str) -> Iterable[Complaint]:
        yield from _whole(said, written, 0.1 if asked.style == "shorter" else 0.3, 3.0)
        if invented_numbers(written, said):
            yield Complaint("it holds a number that does not stand in the text.", mild=True)
        if invented_numbers(said, written):
            yield Complaint("a number of the text is lost.", mild=True)

    text, remarks = await _piecewise(task, model, instruction, asked.text, check, **beside)
    return task.output("generated", text=text, style=asked.style, remarks=remarks)


def _whole(said: str, written: str, least: float, most: float) -> Iterable[Complaint]:
    """What is wrong with the length: nothing, a part of it, or much more than it."""
    if not written.strip():
        yield Complaint("the text is empty.")
    elif len(said) > 200 and not least * len(said) <= len(written) <= most * len(said):
        yield Complaint(f"it has {len(written)} signs where the text has {len(said)}.")


Check: TypeAlias = Callable[[str, str], Iterable[Complaint]]
"""What is wrong with what was written, given the text that it was written from."""


async def _piecewise(
    task: Task[Any], model: str, instruction: str, text: str, check: Check, **beside: str
) -> tuple[str, list[str]]:
    """The text piece by piece, with the blanks around the pieces as they were, and what is left to say of them."""
    written: list[str] = []
    remarks: list[str] = []
    parts = pieces(text, _PIECE)
    for number, part in enumerate(parts, 1):
        said = part.text.strip()
        if not any(sign.isalnum() for sign in said):
            written.append(part.text)
            continue

        def check_this(answer: _Written, said: str = said) -> Iterable[Complaint]:
            return check(said, answer.text)

        told = await task.ask(
            f"write {number}",
            model,
            _Written,
            instruction,
            {**beside, "text": said},
            check=check_this,
            tokens_max=300 + len(said),
        )
        before, after = part.text[: part.text.index(said)], part.text[part.text.index(said) + len(said) :]
        written.append(before + told.answer.text.strip() + after)
        remarks += [f"Part {number}: {remark}" if len(parts) > 1 else remark for remark in told.remarks]
        await task.run.progress(number, len(parts))
    return "".join(written), remarks


# -- draft ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written, the notes that it must hold, and how long it may be."""

    purpose: Text
    notes: Annotated[tuple[Text, ...], Field(min_length=1, max_length=200)]
    kind: Literal["letter", "e-mail", "memo", "minutes", "text"] = "text"
    words: Annotated[int, Field(ge=20, le=3000)] = 250
    language: Language | None = None
    model: str | None = None


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class _Draft:
    text: str
    notes_used: tuple[int, ...]


async def _draft(task: Task[Draft]) -> Output:
    asked = task.input
    model = await task.generator(asked.model)
    if model is None:
        remarks = ["The notes in their order, made into sentences; wording them needs a generative model."]
        everyone = list(range(1, len(asked.notes) + 1))
        return task.output("assembled", text=_assembled(asked), notes_used=everyone, notes_left=[], remarks=remarks)
    notes = "\n".join(f"[{number}] {' '.join(note.split())}" for number, note in enumerate(asked.notes, 1))
    numbers = range(1, len(asked.notes) + 1)

    def check(answer: _Draft) -> Iterable[Complaint]:
        if not answer.text.strip():
            yield Complaint("the text is empty.")
        if count_words(answer.text) > 1.5 * asked.words + 15:
            yield Complaint(f"the text has {count_words(answer.text)} words and may have {asked.words}.")
        if any(number not in numbers for number in answer.notes_used):
            yield Complaint("notes_used holds a number that is no note's.")
        if invented_numbers(answer.text, asked.purpose, *asked.notes):
            yield Complaint("the text holds a number that stands in no note.", mild=True)
        if set(numbers) - set(answer.notes_used):
            yield Complaint("not every note is used.", mild=True)

    told = await task.ask(
        "draft",
        model,
        _Draft,
        f"Write a {asked.kind} of at most {asked.words} words for the purpose, from the numbered notes and "
        "nothing else: "
        "invent no fact, name, number or date; leave a gap in square brackets where something is missing. In "
        "notes_used, "
        f"list the numbers of the notes that you used. {in_language(asked.language)}",
        {"purpose": asked.purpose, "notes": notes},
        check=check,
        tokens_max=4 * asked.words + 300,
    )
    used = sorted(set(told.answer.notes_used))
    left = [number for number in numbers if number not in used]
    text = told.answer.text.strip()
    return task.output("generated", text=text, notes_used=used, notes_left=left, remarks=list(told.remarks))


def _assembled(asked: Draft) -> str:
    """The notes as sentences, below their purpose."""
    lines = []
    for note in asked.notes:
        said = " ".join(note.split()).lstrip("-*• ")
        said = said[:1].upper() + said[1:]
        lines.append(said if said[-1:] in ".!?…:" else f"{said}.")
    return f"{' '.join(asked.purpose.split())}\n\n" + "\n".join(lines)


KINDS = (
    Kind(
        "translate",
        "Put a text into another language, part by part, its numbers checked; needs a generative model.",
        Translate,
        _translate,
        {"text": "Das Schwimmbad schließt am 3. Mai.", "language": "en"},
        lambda output: output["mode"] == "generated" and output["text"].strip() != "" and output["language"] == "en",
    ),
    Kind(
        "rewrite",
        "Write a text anew in another style without changing what it says; needs a generative model.",
        Rewrite,
        _rewrite,
        {"text": "The pool, which is in Lindenstrasse, will be being closed on 3 May.", "style": "plain"},
        lambda output: output["mode"] == "generated" and output["text"].strip() != "",
    ),
    Kind(
        "draft",
        "Draft a letter or another text from notes, without a fact that is not in them; without a model, the "
        "notes in order.",
        Draft,
        _draft,
        {
            "purpose": "Tell the neighbours about the repairs",
            "notes": ["the pool closes on 3 May", "it opens again in June"],
        },
        lambda output: output["text"].strip() != "" and set(output["notes_used"]) | set(output["notes_left"]) == {1, 2},
    ),
)
"""The task types of this file."""
