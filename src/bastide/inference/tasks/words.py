"""Words without a model: which carry content, which belong together, which phrases a text turns on."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from bastide.inference.local.question_words import FUNCTION_WORDS, guess_language
from bastide.inference.tasks.occurrences import fold
from bastide.inference.tasks.tables import NAME_TABLE

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,'’  ]\d+)*")
_LINKING = frozenset(NAME_TABLE["linking"]["words"].split())
"""Words that link others and name nothing, beside those by which questions are told."""
_EMPTY = _LINKING.union(*FUNCTION_WORDS.values())
_STEM = 6
_PHRASE_WORDS_MAX = 3


def language_of(text: str) -> str | None:
    """The language whose small words are most frequent; None where none is. A guess, for hints only."""
    return guess_language(fold(text[:4000]).split())


def empty_words(text: str) -> frozenset[str]:
    """The words without content in the language of the text; those of all languages where it cannot be told."""
    return FUNCTION_WORDS.get(language_of(text) or "", _EMPTY) | _LINKING


def content(text: str, empty: frozenset[str] | None = None) -> list[str]:
    """The words that carry content, folded and cut to their beginnings, in order and as often as they stand there."""
    known = empty_words(text) if empty is None else empty
    return [
        word[:_STEM] for word in _WORD.findall(fold(text)) if word not in known and (len(word) > 2 or word.isdecimal())
    ]


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of the smaller vocabulary the larger one holds: 0 to 1."""
    return len(one & other) / min(len(one), len(other)) if one and other else 0.0


def jaccard(one: Iterable[str], other: Iterable[str]) -> float:
    """The share of common words in all words of both: 0 to 1; two texts without words are alike."""
    first, second = set(one), set(other)
    return len(first & second) / len(first | second) if first | second else 1.0


def numbers(text: str) -> Counter[str]:
    """The numbers of a text by their digits alone, so that 1,000 and 1.000 and 1 000 are one."""
    return Counter(re.sub(r"\D", "", found) for found in _NUMBER.findall(text))


def invented_numbers(written: str, *sources: str) -> list[str]:
    """The numbers in `written` that no source has; single digits count nothing."""
    known = {part for source in sources for part in (*numbers(source), *re.findall(r"\d+", source))}
    return [number for number in numbers(written) if len(number) > 1 and number not in known]


def count_words(text: str) -> int:
    """How many words."""
    return len(_WORD.findall(text))


def first_words(text: str, most: int) -> str:
    """The text's first words, cut after a word; signs that end nothing are left off."""
    found = list(_WORD.finditer(text))
    if len(found) <= most:
        return text.strip().rstrip(",;:–—- ")
    return text[: found[most - 1].end()].strip()


def key_phrases(text: str, most: int) -> list[tuple[str, float]]:
    """The phrases that the text turns on, as they are written there, best first, each with its weight.

    A phrase is up to three words in a row without an empty one or a sign between; it weighs by how often it
    stands there, how long it is, and how early it comes.
    """
    empty = empty_words(text)
    seen: dict[str, list[tuple[int, str]]] = {}
    for run in _runs(text, empty):
        for size in range(1, min(_PHRASE_WORDS_MAX, len(run)) + 1):
            for at in range(len(run) - size + 1):
                words = run[at : at + size]
                written = text[words[0].start() : words[-1].end()]
                key = " ".join(fold(word.group())[:_STEM] for word in words)
                seen.setdefault(key, []).append((words[0].start(), written))
    length = max(1, len(text))
    weights = {key: _weight(len(places), key.count(" ") + 1, places[0][0] / length) for key, places in seen.items()}
    chosen: list[tuple[str, float]] = []
    taken: list[set[str]] = []
    for key in sorted(weights, key=lambda each: (-weights[each], seen[each][0][0])):
        parts = set(key.split())
        if any(parts <= other or other <= parts for other in taken):
            continue
        taken.append(parts)
        chosen.append((_usual(seen[key]), round(weights[key], 3)))
        if len(chosen) == most:
            break
    return chosen


def _runs(text: str, empty: frozenset[str]) -> Iterable[Sequence[re.Match[str]]]:
    """Words in a row with nothing but a blank between them, none of them empty or a bare number."""
    run: list[re.Match[str]] = []
    for word in _WORD.finditer(text):
        plain = fold(word.group())
        if run and text[run[-1].end() : word.start()].strip(" ") != "":
            yield run
            run = []
        if plain in empty or len(plain) < 3 or plain.isdecimal():
            if run:
                yield run
            run = []
        else:
            run.append(word)
    if run:
        yield run


def _weight(times: int, words: int, place: float) -> float:
    repeated = math.log(1 + times) * (1.0 if times > 1 or words > 1 else 0.6)
    return repeated * (1 + 0.45 * (words - 1)) * (1.25 - 0.5 * place)


def _usual(places: Sequence[tuple[int, str]]) -> str:
    """How a phrase is mostly written."""
    return Counter(" ".join(written.split()) for _, written in places).most_common(1)[0][0]
