"""Showing: a passage with what helps to judge it: the words that matched, and why it is here. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bastide.knowledge.phrases import WORDS_MAX, names, phrase_key, plain
from bastide.knowledge.ranking import Scored
from bastide.knowledge.reading import stems_of, terms
from bastide.knowledge.values import Why
from bastide.knowledge.walking import Walk

HIGHLIGHTS_MAX = 64
PHRASES_MAX = 8

_WORD = re.compile(r"\w+(?:[./:-]\d+\w*)*")


def highlights(
    text: str, language: str, stems: frozenset[str], known: dict[str, bool] | None = None
) -> tuple[tuple[int, int], ...]:
    """(start, end) in `text` of each word with a stem of the query, in order; at most 64.

    `known` says of words whether they have one; it is filled, for the next text in this language.
    """
    found: list[tuple[int, int]] = []
    known = {} if known is None else known
    for match in _WORD.finditer(text):
        word = match[0]
        if word not in known:
            known[word] = not stems.isdisjoint(stems_of(word, language))
        if known[word]:
            found.append(match.span())
            if len(found) == HIGHLIGHTS_MAX:
                break
    return tuple(found)


def why(one: Scored, *, text: str, above: str, language: str, query_stems: frozenset[str], walked: Walk) -> Why:
    """What put a passage where it is. `above` are the words of its title and headings."""
    there = terms(f"{above}\n{text}", language)
    return Why(
        stems=tuple(sorted(query_stems & there.keys())),
        words=one.words,
        grams=one.grams,
        cosine=one.cosine,
        graph=one.graph,
        phrases=_phrases(text, above, walked.phrases),
        by=one.by,
    )


def _phrases(text: str, above: str, masses: Mapping[int, float]) -> tuple[str, ...]:
    """The phrases of this passage that the walk came by, those it came by most first."""
    found: dict[str, float] = {}
    for name in (name for line in above.splitlines() for name in names(line)):
        if (key := phrase_key(name)) in masses:
            found[name] = masses[key]
    words = plain(text)
    for length in range(1, WORDS_MAX + 1):
        for phrase in _runs(words, length):
            if (key := phrase_key(phrase)) in masses:
                found[phrase] = masses[key]
    best = sorted(found, key=lambda phrase: (-found[phrase], phrase))
    return tuple(best[:PHRASES_MAX])


def _runs(words: Sequence[str], length: int) -> set[str]:
    return {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}
