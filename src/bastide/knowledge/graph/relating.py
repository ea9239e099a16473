"""Relating: which names of a sentence are tied, and how. Pure.

The words between two neighbours are held against the cues of the language (`patterns.toml`), and a tie is taken where
the registry allows its type between the two; a name of which nothing was known gets the only type that the tie allows.
All other names of one sentence are `related_to` each other, at most so many a passage.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from bastide.knowledge.graph.names import Name
from bastide.knowledge.graph.types import SHIPPED, Registry

_PATTERNS: Final[dict[str, Any]] = tomllib.loads(
    (files("bastide.knowledge.graph") / "patterns.toml").read_text(encoding="utf-8")
)
BETWEEN_MAX = 90
"""Characters between two names that a cue may join."""

NAMES_MAX = 6
"""Names of one sentence that are related to each other."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_BEGIN = re.compile(r"([^\W\d_]{3})[^\W\d_]*")
_ESCAPES = re.compile(r"\\[bwsd]|\(\?:?|\[[^\]]*\]")
_ELIDED = re.compile(r"\b[ldLD]’$")
_CONFIDENT, _GUESSED = 0.8, 0.6


@dataclass(frozen=True, slots=True)
class Tie:
    """Names `a` and `b` of one sentence, by their place in it; types where the tie told them."""

    a: int
    b: int
    type: str
    confidence: float
    a_type: str = ""
    b_type: str = ""


@dataclass(frozen=True, slots=True)
class _Cue:
    type: str
    turned: bool
    pattern: re.Pattern[str]


@lru_cache(maxsize=16)
def _cues(language: str) -> tuple[tuple[_Cue, ...], frozenset[str]]:
    """The cues of a language, and the beginnings of their words: a quick way to see that none can match."""
    found: list[_Cue] = []
    begins: set[str] = set()
    for name, source in _PATTERNS.get(language, {}).items():
        found.append(_Cue(name.removeprefix("< "), name.startswith("<"), re.compile(source, re.IGNORECASE)))
        begins |= {word[:3].lower() for word in _WORD.findall(_ESCAPES.sub(" ", source))}
    return tuple(found), frozenset(begins)


@lru_cache(maxsize=1)
def _acts() -> tuple[tuple[tuple[str, re.Pattern[str]], ...], tuple[tuple[str, re.Pattern[str]], ...]]:
    before, behind = (
        tuple((name, re.compile(source, re.IGNORECASE)) for name, source in _PATTERNS["acts"][side].items())
        for side in ("before", "behind")
    )
    return before, behind


def ties(text: str, names: Sequence[Name], language: str, registry: Registry = SHIPPED) -> Iterator[Tie]:
    """What the words between neighbouring names say of them."""
    cues, begins = _cues(language)
    for place in range(len(names) - 1):
        between = text[names[place].end : names[place + 1].start]
        if len(between) > BETWEEN_MAX or begins.isdisjoint([begin.lower() for begin in _BEGIN.findall(between)]):
            continue
        between = between.replace("'", "’").replace("\n", " ").rstrip()
        between = _ELIDED.sub("", between)
        for cue in cues:
            if cue.pattern.search(between) is None:
                continue
            a, b = (place + 1, place) if cue.turned else (place, place + 1)
            allowed = registry.fits(cue.type, names[a].type, names[b].type)
            if allowed is not None:
                a_type, b_type = allowed
                guessed = a_type != names[a].type or b_type != names[b].type
                yield Tie(a, b, cue.type, _GUESSED if guessed else _CONFIDENT, a_type, b_type)
                break


def act_tie(text: str, start: int, end: int) -> str:
    """What this document does to the act that stands at `text[start:end]`; it refers to it at least."""
    before, behind = _acts()
    left, right = text[max(0, start - 60) : start].replace("'", "’"), text[end : end + 60]
    for name, pattern in before:
        if pattern.search(left):
            return name
    for name, pattern in behind:
        if pattern.search(right):
            return name
    return "refers_to"
