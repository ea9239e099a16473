"""Which sentences a text turns on, and how alike two texts are, by vectors where there are some, else by words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bastide.inference.tasks.pieces import Piece, sentences
from bastide.inference.tasks.words import content, count_words, empty_words, overlap

WEIGHED_MAX = 320
"""So many sentences are embedded at most; of a longer text those whose words it repeats."""
_SENTENCE_WORDS_MAX = 80


def worth_weighing(text: str) -> list[Piece]:
    """The sentences among which the central ones are looked for, in order; without headings where there is prose."""
    found = [one for one in sentences(text) if count_words(one.text) <= _SENTENCE_WORDS_MAX] or sentences(text)
    prose = [one for one in found if count_words(one.text) >= 4 and not one.text.startswith("#")] or found
    if len(prose) <= WEIGHED_MAX:
        return prose
    empty = empty_words(text)
    held = [content(one.text, empty) for one in prose]
    often = Counter(word for words in held for word in set(words))
    weight = [sum(often[word] for word in set(words)) / (6 + len(words)) for words in held]
    kept = sorted(sorted(range(len(prose)), key=lambda at: (-weight[at], at))[:WEIGHED_MAX])
    return [prose[at] for at in kept]


def central(texts: Sequence[str], vectors: NDArray[np.float32] | None, words_max: int) -> list[int]:
    """The sentences that say most of the text in so many words, in its order: central, early, and unlike each other.

    There is always at least one.
    """
    near = likeness(texts, vectors)
    weight = near.mean(axis=1)
    weight = (weight - weight.min()) / max(1e-6, float(np.ptp(weight)))
    weight = weight + np.array([0.35 / (1 + at) for at in range(len(texts))])
    lengths = [count_words(text) for text in texts]
    chosen: list[int] = []
    left = words_max
    while True:
        fitting = [at for at in range(len(texts)) if at not in chosen and (lengths[at] <= left or not chosen)]
        if not fitting:
            return sorted(chosen)
        repeated = near[:, chosen].max(axis=1) if chosen else np.zeros(len(texts))
        best = max(fitting, key=lambda at: (float(weight[at] - 0.7 * repeated[at]), -at))
        chosen.append(best)
        left -= lengths[best]


def likeness(texts: Sequence[str], vectors: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """How alike each two texts are, `(n, n)`: the cosines of their vectors, or of their weighted words."""
    if vectors is None:
        vectors = _word_vectors(texts)
    near: NDArray[np.float64] = np.clip(vectors @ vectors.T, 0.0, 1.0).astype(np.float64)
    return near


def nearness(words: frozenset[str], wanted: frozenset[str], cosine: float | None) -> float:
    """How near a text is to a description by the words of both and their cosine, if there is one: 0 to 1."""
    shared = overlap(words, wanted)
    return shared if cosine is None else max(0.0, min(1.0, 0.75 * max(0.0, cosine) + 0.25 * shared))


def _word_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    empty = empty_words(" ".join(texts))
    held = [Counter(content(text, empty)) for text in texts]
    often = Counter(word for words in held for word in words)
    place = {word: at for at, word in enumerate(often)}
    found = np.zeros((len(texts), max(1, len(place))), dtype=np.float32)
    for row, words in enumerate(held):
        for word, times in words.items():
            found[row, place[word]] = (1 + math.log(times)) * math.log(1 + len(texts) / often[word])
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    np.divide(found, lengths, out=found, where=lengths > 0)
    return found
