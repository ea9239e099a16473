"""Conversing: a question that leans on what was said before becomes one that can be searched alone. Pure.

Without a model, on purpose: what is searched for is the question's own words, and, where the question leans on the
conversation, the names and words of the last turn beside them. Nothing is guessed that nobody said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bastide.knowledge.reading import terms
from bastide.knowledge.told import Turn
from bastide.knowledge.values import Passage

_ALONE_STEMS_MIN = 5  # a question with so many words of its own is searched as it stands
_KEPT_WORDS = 12
_FURTHER_MAX = 3

_CITATION = re.compile(r"\s*\[\d+\]")
_WORD = re.compile(r"[^\W_]+(?:['’./-][^\W_]+)*")

# Words that point back: pronouns, and openings that go on with what was said.
_POINTING = {
    "en": "it its they them their that this those these he she his her there then such same one ones and also",
    "de": "es er sie ihn ihm ihr ihre ihrer deren dessen das dies diese dieser dieses dort dann solche dafür dabei "
    "davon dazu damit und auch",
    "fr": "il elle ils elles le la les lui leur leurs cela ça ce ceci celui celle ceux y en là et aussi",
    "nl": "het hij zij ze hem haar hun die dat dit deze daar dan daarvan daarbij daarvoor en ook",
    "es": "él ella ellos ellas lo la los las le les eso esto ese esa este esta allí entonces y también su sus",
    "it": "esso essa essi esse lo la li le lui lei loro ciò questo questa quello quella lì allora e anche suo sua",
    "pl": "on ona ono oni one go ją jego jej ich to ten ta te tam wtedy i też",
    "pt": "ele ela eles elas o a os as isso isto esse essa este esta ali então e também seu sua",
    "ro": "el ea ei ele îl o îi le asta aceasta acest acesta acolo atunci și lui",
}
_POINTERS = {language: frozenset(words.split()) for language, words in _POINTING.items()}

_FURTHER = {
    "en": "What does “{section}” say?",
    "de": "Was steht in „{section}“?",
    "fr": "Que dit « {section} » ?",
    "nl": "Wat staat er in “{section}”?",
    "es": "¿Qué dice «{section}»?",
    "it": "Che cosa dice «{section}»?",
    "pl": "Co mówi „{section}”?",
}


def standalone(question: str, history: Sequence[Turn], language: str) -> str:
    """What is searched for: the question, and where it leans on the last turn, that turn's words behind it.

    A question leans when it has few words of its own and one of them points back ("And how long may they keep it?"),
    or has hardly any word of its own ("Why?").
    """
    if not history:
        return question
    own = terms(question, language)
    words = {word.casefold() for word in _WORD.findall(question)}
    points = not words.isdisjoint(_POINTERS.get(language, frozenset()))
    if len(own) >= _ALONE_STEMS_MIN or (len(own) > 1 and not points):
        return question
    last = history[-1]
    added: dict[str, None] = {}
    for said in (last.question, _first_sentence(last.answer)):
        for word in _WORD.findall(_CITATION.sub("", said)):
            stems = terms(word, language)
            if stems and stems.keys().isdisjoint(own):
                added[word] = None
    kept = list(added)[:_KEPT_WORDS]
    return f"{question} {' '.join(kept)}" if kept else question


def _first_sentence(answer: str) -> str:
    return re.split(r"(?<=[.!?])\s", answer.strip(), maxsplit=1)[0][:400]


def further(passages: Sequence[Passage], cited: Sequence[Passage], language: str) -> tuple[str, ...]:
    """Questions that the documents can answer next: what was found beside what is cited, by its headings."""
    template = _FURTHER.get(language)
    if template is None:
        return ()
    known = {(one.document_id, _heading(one)) for one in cited}
    found: dict[str, None] = {}
    for one in passages:
        heading = _heading(one)
        if heading and (one.document_id, heading) not in known:
            found[template.format(section=heading)] = None
    return tuple(found)[:_FURTHER_MAX]


def _heading(passage: Passage) -> str:
    """The innermost heading with a word in it; "" where there is none that a person could ask for."""
    named = [part for part in passage.section if sum(map(str.isalpha, part)) > 3]
    return named[-1] if named and len(named[-1]) <= 120 else ""
