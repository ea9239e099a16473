"""Answers without a generative model: the sentences that best answer a question, word for word.

A sentence is weighed by (1) how much of the question's content it covers, rare words counting more;
(2) whether it shows what the question asks for: a time, an amount, somebody, a meaning, a reason;
(3) its likeness to the question in the embedding, where there is one; (4) the rank of its passage.
Where nothing covers enough of the question, nothing is returned: "not found" is an answer too.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bastide.inference.local.question_words import FUNCTION_WORDS, guess_language, hint, kind_of
from bastide.inference.local.sentence_ends import sentence_spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PASSAGES_MAX, _SENTENCES_WEIGHED_MAX, _EMBEDDED_MAX = 50, 2000, 24
_SENTENCE_CHARACTERS_MAX, _LIST_CHARACTERS_MAX = 1500, 700
# Some models give any two texts a cosine of 0.7. What these get is what unrelated texts get.
_PROBES = (
    "The weather was mild and the birds sang in the garden.",
    "Sie kochte eine Suppe aus Karotten und Lauch.",
    "Le train avait vingt minutes de retard ce matin.",
    "De kinderen speelden voetbal op het strand.",
)
_WORD = re.compile(r"\w+")
_ITEM = re.compile(r"\s*(?:[-–—•*▪◦·]|\(?(?:\d{1,3}|[a-z]{1,4}|[ivx]{1,5})[.)°])\s")


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence (or a sentence with its list) of passage number `passage`: `passages[passage][start:end] == text`."""

    text: str
    passage: int
    start: int
    end: int
    score: float  # 0 to about 1


@dataclass(slots=True)
class _Candidate:
    passage: int
    start: int
    end: int
    text: str
    folded: str
    words: frozenset[str]
    heading: bool
    coverage: float = 0.0  # by rarity of the words
    share: float = 0.0  # by their number
    hint: float = 0.0
    likeness: float = 0.0
    score: float = 0.0


def extract(
    question: str,
    passages: Sequence[str],
    *,
    language: str | None = None,
    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    sentences_max: int = 4,
) -> list[Extract]:
    """At most `sentences_max` sentences that answer `question`; [] where none does.

    The passage with the best sentence comes first; within a passage the order is that of the text.
    `passages` are in order of rank. `embed` gives normalised rows, question first.
    """
    folded = _fold(question)
    asked = _WORD.findall(folded)
    spoken = language if language in FUNCTION_WORDS else guess_language(asked)
    content = _content(asked, spoken)
    candidates = _candidates(passages)
    if not content or not candidates:
        return []
    _weigh_words(content, candidates)
    kind = kind_of(" ".join(asked), spoken)
    for each in candidates:
        each.hint = hint(kind, each.folded, content)
        each.score = _score(each, with_likeness=False)
    if embed is not None:
        _weigh_likeness(question, candidates, embed)
        for each in candidates:
            each.score = _score(each, with_likeness=True)
    return _chosen(passages, candidates, sentences_max)


def _fold(text: str) -> str:
    """Lower case without accents: 'Übermäßig' and 'ubermassig' are one."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def _content(asked: list[str], language: str | None) -> list[str]:
    """The question's words that carry content, each once, in order."""
    empty = FUNCTION_WORDS.get(language or "", frozenset())
    words = [word for word in dict.fromkeys(asked) if word not in empty and (len(word) > 1 or word.isdecimal())]
    return words[:40]


def _candidates(passages: Sequence[str]) -> list[_Candidate]:
    found: list[_Candidate] = []
    for number, passage in enumerate(passages[:_PASSAGES_MAX]):
        for start, end in sentence_spans(passage):
            if end - start > _SENTENCE_CHARACTERS_MAX or len(found) >= _SENTENCES_WEIGHED_MAX:
                continue
            text = passage[start:end]
            folded = _fold(text)
            words = _WORD.findall(folded)
            if words:
                found.append(
                    _Candidate(number, start, end, text, " ".join(words), frozenset(words), _is_heading(text, words))
                )
    return found


def _is_heading(text: str, words: list[str]) -> bool:
    """Whether this names what follows and says nothing itself."""
    if text.startswith("#"):
        return True
    if text[-1] in ".!?…;:\"'»”)" or ":" in text or _ITEM.match(text):
        return False
    return len(words) < 4 or (len(words) < 16 and not any(sign.isdecimal() for sign in text))


def _kinship(asked: str, word: str) -> float:
    """How far two words are the same: 1 equal, else by their common beginning; 0 where that is short."""
    if asked == word:
        return 1.0
    shorter = min(len(asked), len(word))
    if shorter == 3 and abs(len(asked) - len(word)) <= 2 and not asked.isdecimal():
        return 0.9 if asked.startswith(word) or word.startswith(asked) else 0.0
    if shorter < 4 or asked[:4] != word[:4] or asked.isdecimal():
        return 0.0
    common = 4
    while common < shorter and asked[common] == word[common]:
        common += 1
    if common < 0.7 * shorter:
        return 0.0
    return 0.5 + 0.45 * common / max(len(asked), len(word))


def _weigh_words(content: list[str], candidates: list[_Candidate]) -> None:
    """Sets each candidate's coverage: the share of the question's content that it holds, by rarity."""
    vocabulary = frozenset().union(*(each.words for each in candidates))
    kin: dict[str, dict[str, float]] = {}
    for asked in content:
        kin[asked] = {word: nearness for word in vocabulary if (nearness := _kinship(asked, word)) > 0}
    count = len(candidates)
    weights = {}
    for asked in content:
        holding = sum(1 for each in candidates if not each.words.isdisjoint(kin[asked]))
        weights[asked] = math.log(1 + (count + 1) / (holding + 0.5))
    total = sum(weights.values())
    for each in candidates:
        held = share = 0.0
        for asked in content:
            near = kin[asked]
            nearest = max((near[word] for word in each.words & near.keys()), default=0.0)
            held += weights[asked] * nearest
            share += nearest
        each.coverage = held / total
        each.share = share / len(content)


def _weigh_likeness(
    question: str, candidates: list[_Candidate], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> None:
    """Sets the likeness of the most promising candidates: the cosine with the question above that of the probes."""
    ranked = sorted(range(len(candidates)), key=lambda at: (-candidates[at].score, at))[:_EMBEDDED_MAX]
    vectors = embed([question, *_PROBES, *(candidates[at].text for at in ranked)])
    cosines = vectors[1:] @ vectors[0]
    floor = max(0.0, float(cosines[: len(_PROBES)].mean()))
    for at, cosine in zip(ranked, cosines[len(_PROBES) :], strict=True):
        candidates[at].likeness = max(0.0, (float(cosine) - floor) / max(1e-6, 1 - floor))


def _score(each: _Candidate, *, with_likeness: bool) -> float:
    lexical = 0.62 * each.coverage + 0.28 * each.likeness if with_likeness else 0.9 * each.coverage
    prior = 0.1 / (1 + each.passage)
    length = 0.08 * min(1.0, len(each.words) / 80)  # a long sentence covers much by chance
    return (lexical + each.hint * min(1.0, 2 * each.coverage) + prior - length) * (0.45 if each.heading else 1.0)


def _fits(each: _Candidate) -> bool:
    """Whether a sentence is about the question at all."""
    return (
        each.coverage >= 0.45
        or (each.share >= 0.6 and each.hint > 0)
        or each.likeness >= 0.55
        or (each.coverage >= 0.25 and each.likeness >= 0.4)
    )


def _chosen(passages: Sequence[str], candidates: list[_Candidate], sentences_max: int) -> list[Extract]:
    fitting = sorted((each for each in candidates if _fits(each)), key=lambda each: -each.score)
    ranked = [each for each in fitting if not each.heading] or [each for each in fitting if each.text[0] != "#"][:1]
    chosen: list[_Candidate] = []
    for each in ranked:
        if len(chosen) >= sentences_max or each.score < 0.62 * ranked[0].score:
            break
        if not any(_alike(each, other) for other in chosen):
            chosen.append(each)
    best: dict[int, float] = {}
    for each in chosen:
        best.setdefault(each.passage, each.score)
    chosen.sort(key=lambda each: (-best[each.passage], each.passage, each.start))
    extracts: list[Extract] = []
    for each in chosen:
        if any(other.passage == each.passage and each.start < other.end for other in extracts):
            continue  # it stands in a list that was taken whole
        end = _with_list(passages[each.passage], each.end)
        text = passages[each.passage][each.start : end]
        extracts.append(Extract(text, each.passage, each.start, end, round(each.score, 4)))
    return extracts


def _alike(one: _Candidate, other: _Candidate) -> bool:
    return len(one.words & other.words) >= 0.8 * min(len(one.words), len(other.words)) and (
        min(len(one.words), len(other.words)) >= 0.6 * max(len(one.words), len(other.words))
    )


def _with_list(passage: str, end: int) -> int:
    """The end of a sentence, or of the list that it introduces with a colon, as far as that is short."""
    if not passage[:end].endswith(":"):
        return end
    last = end
    for start, stop in sentence_spans(passage[end : end + 4 * _LIST_CHARACTERS_MAX]):
        item = _ITEM.match(passage[end + start : end + stop] + " ")
        if not item or stop > _LIST_CHARACTERS_MAX:
            break
        last = end + stop
    return last
