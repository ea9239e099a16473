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

from bastide.knowledge.growing import Bytes, Ints, Places, expand
from bastide.knowledge.phrases import NOUNS_CAPITALISED, TITLE, WHOLE, asked, marked
from bastide.knowledge.weaving import Web

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
    """A phrase of the question that is one here: its words, how many chunks have it, how many are called so; whether
    it is written as no name is, and how many of its words are as those of somebody's name are: of a phrase that many
    chunks have, one at most."""

    phrase: str
    key: int
    chunks: int
    titled: int
    small: bool
    proper: int = 0


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
    """Who mentions each of some phrases: `phrase[i]`, counted among those asked for, is mentioned by `holder[i]`."""

    phrase: Ints
    holder: Places
    kind: Bytes
    times: Bytes


def walk(
    web: Web,
    question: str,
    language: str,
    seeds: Mapping[int, float],
    *,
    within: NDArray[np.bool_] | None = None,
    masses: bool = True,
    always: bool = True,
) -> Walk:
    """The walk from `question` and from `seeds`, chunk -> score from 0 to 1, over the chunks that are alive.

    `within`, by place, leaves only those chunks that a filter lets through; the others are not walked over either.
    Without `masses` it is not said which phrases it came by; without `always` it goes nowhere where the question names
    nothing, for then it has no voice in the end.
    """
    alive = web.alive if within is None else web.alive & within
    total = int(np.count_nonzero(alive))
    here = None if total == len(alive) else alive
    places = web.places(list(seeds))
    known = places >= 0
    known[known] = alive[places[known]]
    places, scores = places[known], np.fromiter(seeds.values(), float, len(seeds))[known]
    relevance = np.full(len(web.chunks), _FLOOR)
    relevance[places] = np.maximum(scores, RELEVANCE_FLOOR) ** RELEVANCE_POWER
    named, asked_for, weights = _named(web, question, language, here, total)
    silent = not always and all(one.small for one in named)
    start = np.union1d(places, _starting(web, asked_for, here))
    if silent or not len(start):
        return Walk({}, named, {})
    owner, phrases, strength, titles = _phrases_of(web, start, asked_for, total)
    used, use_of = _numbered(len(web.names), phrases, asked_for)
    if not len(used):
        return Walk({}, named, {})
    onward = _holders(web, used, here)
    weight = _LOGS[onward.times] * np.where(onward.kind & TITLE, TITLE_BOOST, 1.0)
    weight *= relevance[onward.holder]
    nodes, node_of = _numbered(len(web.chunks), start, onward.holder)
    home = np.zeros(len(nodes))
    home[node_of[places]] = np.maximum(scores, 0.0) ** SEED_POWER
    strength = np.where(titles, 0.0, strength * _rarity(web.count[phrases], total))
    shares, on = _steps(
        (node_of[owner], use_of[phrases], strength),
        (onward.phrase, node_of[onward.holder], weight),
        home,
        use_of[asked_for],
        weights,
        len(used),
    )
    if len(nodes) > REACHED:
        most = np.argpartition(-shares, REACHED)[:REACHED]
        nodes, shares = nodes[most], shares[most]
    return Walk(
        dict(zip(web.chunks[nodes].tolist(), shares.tolist(), strict=True)),
        named,
        dict(zip(web.names[used].tolist(), on.tolist(), strict=True)) if masses else {},
        float(on[web.titled[used] > 0].sum() / (on.sum() or 1.0)),
        web.linked,
    )


_FLOOR = RELEVANCE_FLOOR**RELEVANCE_POWER
_LOGS = 1 + np.log(np.maximum(np.arange(256), 1))


def _rarity(counts: Places, total: int) -> Floats:
    return np.log1p(total / np.maximum(counts, 1))


def _numbered(many: int, *places: NDArray[Any]) -> tuple[Ints, Places]:
    """These places once each, in order; and for each place its number among them."""
    used = np.zeros(many, np.bool_)
    for some in places:
        used[some] = True
    found = np.flatnonzero(used)
    number = np.zeros(many, np.int32)
    number[found] = np.arange(len(found), dtype=np.int32)
    return found, number


def _holders(web: Web, phrases: Ints, alive: NDArray[np.bool_] | None) -> _Holders:
    """Who mentions these phrases, given by their places; all who do where `alive` is None."""
    phrase, holder, kind, times = web.held.of(phrases)
    if alive is not None:
        here = alive[holder]
        phrase, holder, kind, times = phrase[here], holder[here], kind[here], times[here]
    return _Holders(phrase, holder, kind, times)


def _named(
    web: Web, question: str, language: str, alive: NDArray[np.bool_] | None, total: int
) -> tuple[tuple[Named, ...], Ints, Floats]:
    """The phrases of the question, the longest where several cover a word; their places, in order, and weights."""
    candidates = asked(question, language)
    places = web.places_of_phrases([one.key for one in candidates])
    there = np.flatnonzero(places >= 0)
    if not len(there):
        return (), np.zeros(0, np.int64), np.zeros(0)
    found = _holders(web, places[there], alive)
    counts = np.bincount(found.phrase, minlength=len(there)).tolist()
    whole = np.bincount(found.phrase[(found.kind & WHOLE) > 0], minlength=len(there)).tolist()
    titled = np.bincount(found.phrase[(found.kind & TITLE) > 0], minlength=len(there)).tolist()
    covered: set[int] = set()
    chosen: dict[int, Named] = {}
    written, common = marked(question), max(COMMON_MIN, COMMON_SHARE * total)
    for n, (candidate, place) in enumerate(zip(there.tolist(), places[there].tolist(), strict=True)):
        one = candidates[candidate]
        words = range(one.start, one.start + one.length)
        if not whole[n] or counts[n] > ASKED_SHARE * total + COMMON_MIN or covered.intersection(words):
            continue
        covered.update(words)
        small = written is not None and not any(written.large[word] for word in words)
        small = small or (one.length == 1 and language in NOUNS_CAPITALISED)
        proper = 0 if small or written is None else sum(written.proper[word] for word in words)
        proper = proper if counts[n] <= common else min(proper, 1)
        if place not in chosen:
            chosen[place] = Named(one.phrase, one.key, counts[n], titled[n], small, proper)
    ordered = sorted(chosen)
    weights = [_weight(chosen[place], total) for place in ordered]
    return tuple(chosen.values()), np.array(ordered, np.int64), np.array(weights)


def _weight(one: Named, total: int) -> float:
    return math.log1p(total / one.chunks) / math.sqrt(one.chunks) * (SMALL_WORDS if one.small else 1.0)


def _starting(web: Web, phrases: Ints, alive: NDArray[np.bool_] | None) -> Places:
    """The passages of the phrases that the question names: those that are called so, then others, 100 a phrase."""
    found = _holders(web, phrases, alive)
    order = np.lexsort((found.holder, (found.kind & TITLE) == 0, found.phrase))
    phrase = found.phrase[order]
    rank = np.arange(len(phrase)) - np.searchsorted(phrase, phrase, "left")
    return found.holder[order][rank < CHUNKS_OF_PHRASE]


def _phrases_of(web: Web, start: Ints, named: Ints, total: int) -> tuple[Ints, Places, Floats, NDArray[np.bool_]]:
    """Which phrases these passages mention: (place of the passage, of the phrase, strength, whether it is its title).

    A part of a run counts where it is a phrase elsewhere and no longer such part covers it; a phrase that is
    common here does not, unless the question names it.
    """
    owner, at = expand(web.starts[start], web.starts[start + 1])
    phrase = web.phrases[at]
    real = web.whole[phrase] > 0
    owner, at, phrase = owner[real], at[real], phrase[real]
    kept = (web.count[phrase] <= max(COMMON_MIN, COMMON_SHARE * total)) | np.isin(phrase, named)
    kind = web.spans.kind[at]
    own = (kind & TITLE) > 0
    # of each run in turn the parts from left to right, the longest first; one that ends where an earlier one did, or
    # before, is covered by it
    inside = np.flatnonzero(~own)
    run = (owner[inside] * 256 + web.spans.run[at[inside]]) * 1024
    first = web.spans.start[at[inside]].astype(np.int64)
    last = first + web.spans.length[at[inside]]
    order = np.argsort((run + first) * 1024 - last, kind="stable")
    reach = (run + last)[order]
    before = np.maximum.accumulate(np.concatenate([[-1], reach[:-1]]))
    covered = inside[order[before >= reach]]
    kept[covered[(kind[covered] & WHOLE) == 0]] = False
    return start[owner[kept]], phrase[kept], _LOGS[web.spans.times[at[kept]]], own[kept]


def _steps(
    to_phrases: tuple[NDArray[Any], NDArray[Any], Floats],
    to_passages: tuple[Ints, NDArray[Any], Floats],
    seeds: Floats,
    named: NDArray[Any],
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
    # Most passages were only reached: nothing leads on from them, so what comes by them is counted at the end.
    leads = np.zeros(passages, np.bool_)
    leads[source] = True
    back = leads[target]
    near_phrase, near_target, near_weight = phrase[back], target[back], weight[back]
    at, on = seeds, home
    for step in range(STEPS):
        if step == STEPS - 1:
            near_phrase, near_target, near_weight = phrase, target, weight
        at, on = (
            (1 - DAMPING) * seeds + DAMPING * np.bincount(near_target, on[near_phrase] * near_weight, passages),
            (1 - DAMPING) * home + DAMPING * np.bincount(column, at[source] * strength, phrases),
        )
    return at, on


def _nonzero(sums: Any) -> Floats:
    return np.where(np.asarray(sums) == 0, 1.0, sums)
