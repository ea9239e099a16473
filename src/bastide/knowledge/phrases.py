"""Phrases: the names that tie passages together, found without a model. Pure.

A phrase is a run of capitalised words within one sentence ("University of Ghent"), or a title. Passages that
hold the same phrase are neighbours in the graph that `walking` walks, and a passage whose title is the phrase is the
nearest of them. Where case says nothing (Greek capitals aside: Arabic, Chinese, Hindi, Thai) only titles are left, and
in German, which capitalises every noun, a single word makes no phrase by itself.

What is kept of a phrase is a 64-bit hash of its words, lower-case, so a question that is written small meets it, too.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from bastide.knowledge.reading import sentences
from bastide.knowledge.reading.stopwords import STOPWORDS

WORDS_MAX = 6
"""The longest phrase, in words."""

TITLE_WORDS_MAX = 12
"""A longer title is a sentence, not a name."""

_ASKED_WORDS_MAX = 200

WHOLE, TITLE = 1, 2
"""What makes a run of words a phrase: it stands somewhere by itself, or it is what something is called."""

NOUNS_CAPITALISED = frozenset({"de", "lb"})
"""Languages in which a capital says nothing of a single word."""

_LINK_WORDS = "of the de la le les van von der den des du da di do dos del della and und et y e i & for in zu zum zur"
_LINKS = frozenset(_LINK_WORDS.split())
_PARTING = frozenset({"and", "und", "et", "y", "e", "i", "&", "for", "in", "zu", "zum", "zur", "der", "des"})
_SHORT_FORMS = "mr mrs ms dr st jr sr vs no vol prof gen col lt sgt capt rev hon inc ltd co corp sen gov mt ft"
_SHORT = frozenset(_SHORT_FORMS.split())
_TOKEN = re.compile(r"[^\W_]+(?:['’.\-‐‑&][^\W_]+)*|\S")
_WORD = re.compile(r"[^\W_]+")
_OPENING = frozenset('.:;!?“"„«')
_BRACKET = re.compile(r"\s*[(\[（][^)\]）]*[)\]）]\s*$")
_NUMBERED = re.compile(r"\s*[-_#]\s*\d+$")
_POSSESSIVE = re.compile(r"['’]s?(?!\w)")
_COUNTED = re.compile(
    r"^(?:[\W\d_]+|(?:§+|art(?:ic[a-z]*|ikel|yku[lł])?\.?|section|rule|chapter)\s*[\w.\-]*\d[\w.\-]*)\s*", re.IGNORECASE
)


class Mentioned(NamedTuple):
    """A phrase, or what may be one, in a passage: which words of which run it covers, and how often it stands there.

    `run` numbers the runs of the passage, `start` and `length` count words in it; a title has run -1.
    """

    key: int
    kind: int
    run: int
    start: int
    length: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A run of words of a question that may be a phrase, and which words it covers."""

    phrase: str
    key: int
    start: int
    length: int


@lru_cache(maxsize=65_536)
def phrase_key(phrase: str) -> int:
    """The key of a phrase in lower-case words parted by single blanks: 64 bits, signed, of BLAKE2b."""
    digest = hashlib.blake2b(phrase.encode("utf-8", "replace"), digest_size=8, person=b"bastide.phrase").digest()
    return int.from_bytes(digest, "big", signed=True)


def plain(text: str) -> list[str]:
    """The words of a text as phrases are made of them: lower case, without a possessive's 's."""
    text = _POSSESSIVE.sub("", unicodedata.normalize("NFKC", text))
    return _WORD.findall(text.lower())


@lru_cache(maxsize=65_536)
def _plain_token(token: str) -> tuple[str, ...]:
    return tuple(plain(token))


def names(title: str) -> list[str]:
    """What a title calls its passage: the title; without its bracket, the number that it begins with, a "-2" behind."""
    found: dict[str, None] = {}
    for form in (title, _BRACKET.sub("", title), _NUMBERED.sub("", title)):
        for bare in (form, _COUNTED.sub("", form)):
            words = plain(bare)
            if words and len(words) <= TITLE_WORDS_MAX and _says(words):
                found[" ".join(words)] = None
    return list(found)


def mentioned(text: str, language: str, titles: Iterable[str] = ()) -> list[Mentioned]:
    """The phrases of one passage, and every part of a run that may be a phrase because it is one elsewhere."""
    stop = STOPWORDS.get(language, frozenset()) | STOPWORDS["en"]
    runs: dict[tuple[str, ...], tuple[int, bool]] = {}
    for start, end in sentences(text, language):
        for words, opens in _runs(text[start:end]):
            times, opened = runs.get(words, (0, True))
            runs[words] = (times + 1, opened and opens)
    found: dict[int, Mentioned] = {}
    for number, (words, (times, opens)) in enumerate(runs.items()):
        for part in _parts(words, number, times, opens, stop, language):
            before = found.get(part.key)
            if before is None:
                found[part.key] = part
            else:
                kept = max(before, part, key=lambda one: one.length)
                found[part.key] = Mentioned(
                    kept.key, before.kind | part.kind, kept.run, kept.start, kept.length, before.times + part.times
                )
    for title in titles:
        for name in names(title):
            key = phrase_key(name)
            before = found.get(key)
            times = before.times if before is not None else 1
            found[key] = Mentioned(key, TITLE | WHOLE, -1, 0, name.count(" ") + 1, times)
    return list(found.values())


def asked(question: str, language: str) -> list[Asked]:
    """Every run of words of a question that may be a phrase, longest first."""
    stop = STOPWORDS.get(language, frozenset()) | STOPWORDS["en"]
    words = plain(question)[:_ASKED_WORDS_MAX]
    found: list[Asked] = []
    for length in range(min(len(words), TITLE_WORDS_MAX), 0, -1):
        for at in range(len(words) - length + 1):
            phrase = " ".join(words[at : at + length])
            if length > 1 or (phrase not in stop and len(phrase) > 1):
                found.append(Asked(phrase, phrase_key(phrase), at, length))
    return found


@dataclass(frozen=True, slots=True)
class Marked:
    """How the words of a question are written, one by one: as names are (in capitals or with a digit), and as the parts
    of somebody's name are (one capital, then small letters)."""

    large: tuple[bool, ...]
    proper: tuple[bool, ...]


def marked(question: str) -> Marked | None:
    """Which words of a question are written as names are; None where its writing tells nothing.

    The first word is written large anyway: it counts as a name where the second one does.
    """
    large: list[bool] = []
    proper: list[bool] = []
    for word in _WORD.findall(_POSSESSIVE.sub("", unicodedata.normalize("NFKC", question)))[:_ASKED_WORDS_MAX]:
        parts = len(_WORD.findall(word.lower()))  # a small letter may be two characters: "İ" is
        large += [word[0].isupper() or word[0].isdigit()] * parts
        proper += [word[0].isupper() and word[1:].islower()] * parts
    if not any(large[1:]):
        return None
    first = large[0] and large[1]
    return Marked((first, *large[1:]), (first and proper[0], *proper[1:]))


def _runs(sentence: str) -> Iterable[tuple[tuple[str, ...], bool]]:
    """The runs of capitalised words in a sentence, and whether each opens it."""
    words = _TOKEN.findall(sentence if sentence.isascii() else unicodedata.normalize("NFKC", sentence))
    run: list[str] = []
    opens = first = True
    for place, word in enumerate(words):
        if word[0].isalnum():
            if word[0].isupper() or word[0].isdigit():
                opens = first if not run else opens
                run.append(word)
                first = False
                continue
            if run and word.lower() in _LINKS:
                run.append(word)
                continue
            first = False
        elif word == "." and run and place + 1 < len(words) and _abbreviates(run[-1]):
            continue
        if run:
            yield from _closed(run, opens)
            run = []
        first = first or word in _OPENING
    if run:
        yield from _closed(run, opens)


def _abbreviates(word: str) -> bool:
    return len(word) == 1 or word.lower() in _SHORT


def _closed(run: list[str], opens: bool) -> Iterable[tuple[tuple[str, ...], bool]]:
    while run and run[-1].lower() in _LINKS and not run[-1][0].isupper():
        run = run[:-1]
    if not run:
        return
    words = tuple([word for token in run for word in _plain_token(token)])
    if words:
        yield words, opens
    part: list[str] = []
    if any(word in _PARTING for word in run):  # "Ghent and Bruges" is two names, or one
        first = opens
        for word in (*run, "and"):
            if word not in _PARTING:
                part.append(word)
                continue
            words = tuple([bare for one in part for bare in _plain_token(one)])
            if words:
                yield words, first
            part, first = [], False


def _parts(
    words: tuple[str, ...], run: int, times: int, opens: bool, stop: frozenset[str], language: str
) -> Iterable[Mentioned]:
    """The run itself and each shorter stretch of it that begins and ends with a word that says something."""
    while words and (words[0] in _LINKS or (opens and words[0] in stop)):
        words = words[1:]
        opens = False
    if len(words) > 4 * WORDS_MAX:
        words = words[: 4 * WORDS_MAX]
    for at in range(len(words)):
        if words[at] in _LINKS:
            continue
        for end in range(at + 1, min(at + WORDS_MAX, len(words)) + 1):
            part = words[at:end]
            if part[-1] in _LINKS or not _says(part) or (len(part) == 1 and part[0] in stop):
                continue
            whole = end - at == len(words) and not (len(words) == 1 and (opens or language in NOUNS_CAPITALISED))
            yield Mentioned(phrase_key(" ".join(part)), WHOLE if whole else 0, run, at, end - at, times)


def _says(words: Sequence[str]) -> bool:
    """Whether these words can name something: not a bare number, but a year; not a single letter."""
    if len(words) == 1:
        word = words[0]
        return len(word) == 4 if word.isdigit() else len(word) > 2 or not word.isascii()
    return not all(word.isdigit() for word in words)
