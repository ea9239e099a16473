"""Concepts: the terms of a passage that are no names: "personal data breach", "Auftragsverarbeiter". Pure.

German writes its nouns large: long ones, compounds above all, are terms. In the other languages a term is a run of
words between stop words, verbs and marks, as in RAKE (Rose and others, 2010), whose last word (in Romance languages
and Polish the first) has the ending of a noun or which the document repeats. At most so many a passage, the strongest
first.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from bastide.knowledge.graph.names import Token
from bastide.knowledge.graph.naming import WORDS, stem
from bastide.knowledge.reading.stopwords import STOPWORDS

CONCEPTS_MAX = 6
"""Terms of one passage."""

_NOUN: Final = {language: tuple(endings.split()) for language, endings in WORDS["noun_endings"].items()}
_VERB: Final = {language: tuple(endings.split()) for language, endings in WORDS["verb_endings"].items()}
_HEAD_FIRST = frozenset({"fr", "es", "it", "pl", "pt", "ro"})
_INNER = {
    "fr": frozenset({"de", "du", "des", "d'", "d’", "à"}), "es": frozenset({"de", "del"}), "nl": frozenset({"van"}),
    "it": frozenset({"di", "del", "della", "dei", "dell'", "dell’"}), "pl": frozenset(), "en": frozenset({"of"}),
}  # fmt: skip
_GERMAN_ENDINGS = (
    "ung", "heit", "keit", "schaft", "tion", "ität", "nis", "recht", "gesetz", "pflicht", "verfahren", "ordnung",
    "vertrag",
    "schutz", "daten", "beauftragter", "beauftragte", "verarbeiter", "system", "antrag", "bescheid", "mittel", "stelle",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,}(?:[-‐‑][^\W\d_]+)*$|[dD](?:ell)?['’]$")
_LETTERS = re.compile(r"[^\W\d_]{4,}")
_LONG = 9


def counted(text: str, language: str) -> Counter[str]:
    """How often each word stands in a document, in any of its forms: what it repeats is what it is about."""
    words = Counter(_LETTERS.findall(text.lower()))
    stem_of = {word: stem(word, language) for word in words}
    stems: dict[str, int] = {}
    for word, count in words.items():
        stems[stem_of[word]] = stems.get(stem_of[word], 0) + count
    return Counter({word: stems[own] for word, own in stem_of.items()})


def concepts(
    words: list[Token], language: str, often: Counter[str], masked: list[tuple[int, int]]
) -> list[tuple[int, int, float]]:
    """(start, end, strength) of the terms of one sentence; what lies in `masked` is none."""
    if language == "de":
        return _german(words, often, masked)
    noun = _NOUN.get(language)
    if noun is None:
        return []
    return _parted(words, language, often, masked, noun)


def _german(words: list[Token], often: Counter[str], masked: list[tuple[int, int]]) -> list[tuple[int, int, float]]:
    found = []
    for place, token in enumerate(words):
        word = token.text
        if not word[0].isupper() or word.isupper() or len(word) < 5 or not _WORD.match(word) or _in(token, masked):
            continue
        low = word.lower()
        if place == 0 and often[low] < 2 and not low.endswith(_GERMAN_ENDINGS):
            continue
        strength = (
            min(often[low], 6) * 0.1 + (0.4 if low.endswith(_GERMAN_ENDINGS) else 0.0) + min(len(word), 30) * 0.02
        )
        if len(word) >= _LONG or low.endswith(_GERMAN_ENDINGS) or often[low] >= 3:
            found.append((token.start, token.end, strength))
    return found


def _parted(
    words: list[Token], language: str, often: Counter[str], masked: list[tuple[int, int]], noun: tuple[str, ...]
) -> list[tuple[int, int, float]]:
    stop = STOPWORDS.get(language, frozenset())
    verb, inner = _VERB[language], _INNER.get(language, frozenset())
    found: list[tuple[int, int, float]] = []
    run: list[Token] = []

    def close() -> None:
        while run and run[-1].text.lower() in inner:
            run.pop()
        while run and run[0].text.lower() in inner:
            run.pop(0)
        kept = run[-3:] if language not in _HEAD_FIRST else run[:4]
        while kept and kept[-1].text.lower() in inner:
            kept = kept[:-1]
        while kept and kept[0].text.lower() in inner:
            kept = kept[1:]
        content = [token.text.lower() for token in kept if token.text.lower() not in inner]
        if content:
            head = content[0] if language in _HEAD_FIRST else content[-1]
            strong = head.endswith(noun) or head.rstrip("s").endswith(noun)
            repeated = min([often[word] for word in content if len(word) >= 4], default=0)
            whole = strong or repeated >= 2
            if whole and (len(content) > 1 or (len(content[0]) >= 6 and (strong or repeated >= 3))):
                weight = 0.2 * min(len(content), 3) + 0.1 * min(repeated, 6) + (0.3 if strong else 0.0)
                found.append((kept[0].start, kept[-1].end, weight))
        run.clear()

    for place, token in enumerate(words):
        low = token.text.lower()
        if not _WORD.match(token.text) or _in(token, masked) or (token.text[0].isupper() and place):
            if run:
                close()
        elif low in inner:
            if run:
                run.append(token)
        elif low in stop or len(low) < 3 or (low.endswith(verb) and not low.endswith(noun) and often[low] < 3):
            if run:
                close()
        else:
            run.append(token)
    if run:
        close()
    return found


def _in(token: Token, spans: list[tuple[int, int]]) -> bool:
    for start, end in spans:  # noqa: SIM110 asked of each word, where a generator costs twice as much
        if start < token.end and token.start < end:
            return True
    return False
