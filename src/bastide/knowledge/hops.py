"""Hops: the questions that a question is made of, found by rule. Pure.

"Were A and B born in one country?" asks about A and about B. "Who founded the firm that made X?" asks first for the
firm: what a first search finds (its title, and the names beside the words that it shares with the question) is the
bridge, and the rest of the question is asked of it. No name is made up: all stand in the question or in a passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bastide.knowledge.reading import sentences, terms

_WORD = re.compile(r"[^\W_]+(?:['’.\-&][^\W_]+)*")
_LINK_WORDS = "of the de la le les van von der den des du da di do del della for"
_ASKING_WORDS = """who what which when where why how is are was were do does did has have had in at on of from if the a
an wer was welche welcher welches wann wo warum wie ist sind war waren hat im qui que quel quelle quand où est sont wat
welke wanneer waar zijn quién qué cuál cuándo dónde es son chi cosa quale quando dove"""
_JOINING_WORDS = "and or und oder et ou en of y o e i lub &"
_LINKS, _ASKING, _BOTH = (frozenset(words.split()) for words in (_LINK_WORDS, _ASKING_WORDS, _JOINING_WORDS))
_CHAINED = re.compile(
    r"\b(?:that|which|who|whose|whom|where|of|der|die|das|dessen|deren|von|des|qui|que|dont|où|du|de|del|della|di|che"
    r"|cui|van|waar|waarvan|cuyo|cuya|donde)\b",
    re.IGNORECASE,
)
_NAMES_MAX = 3


@dataclass(frozen=True, slots=True)
class _Name:
    start: int
    end: int
    text: str


def halves(question: str) -> tuple[str, ...]:
    """The question about each of two names that it joins ("A and B", "A or B"); none where it joins no two."""
    names = list(_names(question))
    for one, other in pairwise(names):
        between = question[one.end : other.start].strip(" ,\"'“”").casefold().removesuffix(" the")
        if between in _BOTH:
            before, after = question[: one.start], question[other.end :]
            return f"{before}{one.text}{after}", f"{before}{other.text}{after}"
    return ()


def chained(question: str) -> bool:
    """Whether a question asks for something by way of something else: two of its words tie things together."""
    return len(_CHAINED.findall(question)[:3]) >= 2


def bridged(question: str, language: str, title: str, text: str) -> str:
    """What is left of the question after a passage, asked of what the passage is called and names; "" where nothing is.

    What is left are the words that the passage has not; the names are those of its sentence that is nearest to the
    question.
    """
    there = terms(f"{title}\n{text}", language)
    left = [
        word
        for word in _WORD.findall(question)
        if (stems := terms(word, language)) and not any(stem in there for stem in stems)
    ]
    said = question.casefold()
    nearest = max(_spoken(text, language), key=lambda one: _common(one, question, language), default="")
    found = [title, *(name.text for name in _names(f" {nearest}"))]
    names = list(dict.fromkeys(name for name in found if name and name.casefold() not in said))[:_NAMES_MAX]
    return " ".join([*left, *names]) if left and names else ""


def invented(part: str, question: str) -> bool:
    """Whether a part of a question names, or counts, what the question does not."""
    known = {word.casefold() for word in _WORD.findall(question)}
    named = {word.casefold() for name in _names(part) for word in _WORD.findall(name.text)} - _LINKS
    named |= {word for word in _WORD.findall(re.sub(r"#\d", " ", part)) if any(map(str.isdigit, word))}
    return not named <= known


def _spoken(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, language)]


def _common(sentence: str, question: str, language: str) -> int:
    stems = terms(sentence, language)
    return sum(stem in stems for stem in terms(question, language))


def _names(text: str) -> Iterator[_Name]:
    """Runs of capitalised words; a question word at the beginning begins none."""
    words = list(_WORD.finditer(text))
    place = 0
    while place < len(words):
        if not words[place][0][0].isupper() or (place == 0 and words[0][0].casefold() in _ASKING):
            place += 1
            continue
        last = ahead = place
        while ahead + 1 < len(words) and not text[words[ahead].end() : words[ahead + 1].start()].strip(" '’"):
            ahead += 1
            following = words[ahead][0]
            if following[0].isupper() or following[0].isdigit():
                last = ahead
            elif following.casefold() not in _LINKS:
                break
        yield _Name(words[place].start(), words[last].end(), text[words[place].start() : words[last].end()])
        place = last + 1
