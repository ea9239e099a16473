"""Walking: personalised PageRank over the phrases that passages share. Pure; arrays only.

A `Web` holds, of one tenant, which phrases each chunk mentions, and for each phrase who mentions it. `walk` starts
at the phrases that a question names and at the best passages of the other rankings, and goes to and fro between
passages and phrases: what it often comes by belongs to the question though it may share no word with it. That is
how "the mayor of the town where she was born" finds the town (Haveliwala 2002; HippoRAG 2024; here without a model).

Only the neighbourhood is looked at: the passages where the walk starts, their phrases, and who else has those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.phrases import NOUNS_CAPITALISED, TITLE, WHOLE, asked, marked
from bastide.knowledge.weaving import Ints, Web, expand

# Chosen on HotpotQA-train-100 and MuSiQue-train-100, each value on a broad plateau (`make bench-knowledge`).
COMMON_SHARE = 0.02  # a phrase of more passages than this share ties nothing together
COMMON_MIN = 5  # unless there are few passages at all
ASKED_SHARE = 0.2  # the same for a phrase that the question names
TITLE_BOOST = 20.0  # a phrase leads to the passage it is the title of, rather than to who mentions it
SMALL_WORDS = 0.1  # weight of a word written small, in a question that writes its names large
SEED_POWER = 4.0  # sharpens the scores of the passages where the walk starts
PHRASES_MOST = 2.0  # the share of named phrases grows with their rarity, up to this multiple of the passages' share
BACK = 0.1  # of the flow that returns to the phrases of the question
DAMPING = 0.8
STEPS = 10
RELEVANCE_POWER = 0.75  # a phrase leads first to those passages that the other rankings know
RELEVANCE_FLOOR = 0.1
REACHED = 300  # of the passages that it came by, those it came by most are given
CHUNKS_OF_PHRASE = 100  # so many passages of a named phrase are starting points, titles first

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Named:
    """A phrase of the question that is one here: its words, how many chunks have it, how many are called so."""

    phrase: str
    key: int
    chunks: int
    titled: int
    small: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk came by: the share of each chunk and of each phrase, by its key (they need not add up to 1), and
    the phrases it began with. `titled` is how much of the way over phrases went over what a passage is called;
    `linked` is the web's."""

    shares: Mapping[int, float]
    named: tuple[Named, ...]
    phrases: Mapping[int, float]
    titled: float = 0.0
    linked: float = 0.0


@dataclass(frozen=True, slots=True)
class _Holders:
    """Who mentions each of some phrases: `phrase[i]` is mentioned by place `holder[i]`."""

    phrase: Ints
    holder: Ints
    kind: NDArray[np.uint8]
    times: NDArray[np.uint8]
    count: Ints
    whole: NDArray[np.bool_]
    titled: Ints


def walk(
    web: Web,
    question: str,
    language: str,
    seeds: Mapping[int, float],
    *,
    within: NDArray[np.bool_] | None = None,
) -> Walk:
    """The walk from `question` and from `seeds`, chunk -> score from 0 to 1, over the chunks that are alive.

    `within`, by place, leaves only those chunks that a filter lets through; the others are not walked over either.
    """
    alive = web.alive if within is None else web.alive & within
    total = int(alive.sum())
    places = web.places(list(seeds))
    known = places >= 0
    known[known] = alive[places[known]]
    scores = np.zeros(len(web.chunks))
    scores[places[known]] = np.fromiter(seeds.values(), float, len(seeds))[known]
    named, keys, weights = _named(web, question, language, alive, total)
    start = np.union1d(places[known], _starting(web, keys, alive))
    if not len(start):
        return Walk({}, named, {})
    owner, phrases, strength, titles = _phrases_of(web, start, keys, alive, total)
    used = np.union1d(phrases, keys)
    if not len(used):
        return Walk({}, named, {})
    onward = _holders(web, used, alive)
    weight = (1 + np.log(np.maximum(onward.times, 1))) * np.where(onward.kind & TITLE, TITLE_BOOST, 1.0)
    weight *= np.maximum(scores[onward.holder], RELEVANCE_FLOOR) ** RELEVANCE_POWER
    nodes = np.union1d(start, onward.holder)
    column = np.searchsorted(used, phrases)
    strength = np.where(titles, 0.0, strength * _rarity(onward.count[column], total))
    shares, masses = _steps(
        (np.searchsorted(nodes, owner), column, strength),
        (onward.phrase, np.searchsorted(nodes, onward.holder), weight),
        np.maximum(scores[nodes], 0.0) ** SEED_POWER,
        np.searchsorted(used, keys),
        weights,
        len(used),
    )
    if len(nodes) > REACHED:
        most = np.argpartition(-shares, REACHED)[:REACHED]
        nodes, shares = nodes[most], shares[most]
    return Walk(
        dict(zip(web.chunks[nodes].tolist(), shares.tolist(), strict=True)),
        named,
        dict(zip(used.tolist(), masses.tolist(), strict=True)),
        float(masses[onward.titled > 0].sum() / (masses.sum() or 1.0)),
        web.linked,
    )


def _rarity(counts: Ints | Floats, total: int) -> Floats:
    return np.log1p(total / np.maximum(counts, 1))


def _holders(web: Web, keys: Ints, alive: NDArray[np.bool_]) -> _Holders:
    low, high = np.searchsorted(web.keys, keys, "left"), np.searchsorted(web.keys, keys, "right")
    phrase, at = expand(low, high)
    holder = web.holders[at].astype(np.int64)
    here = alive[holder]
    if not here.all():
        phrase, at, holder = phrase[here], at[here], holder[here]
    kind = web.kinds[at]
    many = len(keys)
    return _Holders(
        phrase,
        holder,
        kind,
        web.times[at],
        np.bincount(phrase, minlength=many),
        np.bincount(phrase, (kind & WHOLE) > 0, many) > 0,
        np.bincount(phrase, (kind & TITLE) > 0, many).astype(np.int64),
    )


def _named(
    web: Web, question: str, language: str, alive: NDArray[np.bool_], total: int
) -> tuple[tuple[Named, ...], Ints, Floats]:
    """The phrases of the question, the longest where several cover a word; their keys, in order, and their weights."""
    candidates = asked(question, language)
    if not candidates:
        return (), np.zeros(0, np.int64), np.zeros(0)
    found = _holders(web, np.array([one.key for one in candidates], np.int64), alive)
    covered: set[int] = set()
    chosen: dict[int, Named] = {}
    written = marked(question)
    for place, one in enumerate(candidates):
        words = range(one.start, one.start + one.length)
        count = int(found.count[place])
        if not found.whole[place] or count > ASKED_SHARE * total + COMMON_MIN or covered.intersection(words):
            continue
        covered.update(words)
        small = written is not None and not any(written[word] for word in words)
        small = small or (one.length == 1 and language in NOUNS_CAPITALISED)
        if one.key not in chosen:
            chosen[one.key] = Named(one.phrase, one.key, count, int(found.titled[place]), small)
    ordered = sorted(chosen.values(), key=lambda one: one.key)
    weights = [
        math.log1p(total / one.chunks) / math.sqrt(one.chunks) * (SMALL_WORDS if one.small else 1.0) for one in ordered
    ]
    return tuple(chosen.values()), np.array([one.key for one in ordered], np.int64), np.array(weights)


def _starting(web: Web, keys: Ints, alive: NDArray[np.bool_]) -> Ints:
    """The passages of the phrases that the question names: those that are called so, then others, 100 a phrase."""
    found = _holders(web, keys, alive)
    order = np.lexsort((found.holder, (found.kind & TITLE) == 0, found.phrase))
    phrase = found.phrase[order]
    rank = np.arange(len(phrase)) - np.searchsorted(phrase, phrase, "left")
    return found.holder[order][rank < CHUNKS_OF_PHRASE]


def _phrases_of(
    web: Web, start: Ints, named: Ints, alive: NDArray[np.bool_], total: int
) -> tuple[Ints, Ints, Floats, NDArray[np.bool_]]:
    """Which phrases these passages mention: (place, key, strength, whether it is the place's own title).

    A part of a run counts where it is a phrase elsewhere and no longer such part covers it; a phrase that is
    common here does not, unless the question names it.
    """
    owner, at = expand(web.starts[start], web.starts[start + 1])
    mentions = web.mentions[at]
    keys, inverse = np.unique(mentions["key"], return_inverse=True)
    found = _holders(web, keys, alive)
    few = (found.count <= max(COMMON_MIN, COMMON_SHARE * total)) | np.isin(keys, named)
    phrase = found.whole[inverse]
    kept = phrase & few[inverse]
    own = (mentions["kind"] & TITLE) > 0
    inside = np.nonzero(phrase & ~own)[0]
    if len(inside):
        run = (owner[inside] * 256 + mentions["run"][inside]) * 1024
        first = mentions["start"][inside].astype(np.int64)
        last = first + mentions["length"][inside]
        order = np.lexsort((-last, first, run))
        reach = (run + last)[order]
        before = np.maximum.accumulate(np.concatenate([[-1], reach[:-1]]))
        covered = inside[order[before >= reach]]
        kept[covered[(mentions["kind"][covered] & WHOLE) == 0]] = False
    strength = 1 + np.log(np.maximum(mentions["times"][kept], 1))
    return start[owner[kept]], keys[inverse[kept]], strength, own[kept]


def _steps(
    to_phrases: tuple[Ints, Ints, Floats],
    to_passages: tuple[Ints, Ints, Floats],
    seeds: Floats,
    named: Ints,
    weights: Floats,
    phrases: int,
) -> tuple[Floats, Floats]:
    """The walk itself: ten steps of damping 0.8, each row of both matrices brought to 1."""
    source, column, strength = to_phrases
    phrase, target, weight = to_passages
    passages = len(seeds)
    strength = strength / _nonzero(np.bincount(source, strength, passages))[source]
    weight = weight / _nonzero(np.bincount(phrase, weight, phrases))[phrase]
    home = np.zeros(phrases)
    home[named] = weights
    seeds = seeds / _nonzero(seeds.sum())
    if len(named):
        rarity = weights.sum()
        home *= PHRASES_MOST / (rarity + 3.0)
        asked_for = np.zeros(phrases, np.bool_)
        asked_for[named] = True
        returning = np.bincount(source, strength * asked_for[column], passages)
        spread = np.minimum(1 / (1 - (1 - BACK) * np.minimum(returning, 0.999)), 20.0)
        strength = strength * spread[source] * np.where(asked_for[column], BACK, 1.0)
    whole = _nonzero(home.sum() + seeds.sum())
    home, seeds = home / whole, seeds / whole
    at, on = seeds.copy(), home.copy()
    for _ in range(STEPS):
        at, on = (
            (1 - DAMPING) * seeds + DAMPING * np.bincount(target, on[phrase] * weight, passages),
            (1 - DAMPING) * home + DAMPING * np.bincount(column, at[source] * strength, phrases),
        )
    return at, on


def _nonzero(sums: Any) -> Floats:
    return np.where(np.asarray(sums) == 0, 1.0, sums)
