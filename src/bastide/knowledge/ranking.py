"""Ranking: how the scores of words and of vectors become one order. Pure.

Each ranking is brought to [0, 1] over the candidates of this query; a chunk's score is their weighted
mean. The weight of the vectors depends on languages: an embedder that was trained on English says
little about German, and a fixed weight made German answers worse than words alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Literal, NamedTuple

from bastide.knowledge.walking import Walk

# The share of the vectors where the embedder knows the language, and where it does not. Measured with MiniLM, R@5 and
# nDCG@10: from 0.5 to 0.6 English sets gain most (MuSiQue 53 by words, 61 by vectors, 64 fused); 0.2 is never below
# words alone on German, Spanish, Romanian and Greek, where 0.6 is; reciprocal ranks lose up to 45 points there.
VECTOR_SHARE = 0.55
VECTOR_SHARE_ELSEWHERE = 0.2

# What the 5-grams of words count beside their stems. Between 0.3 and 0.5 SciFact stays within 0.15 of nDCG@10 through
# the house, and MuSiQue and Greek are best at 0.5.
GRAM_SHARE = 0.5

# A place that the query names ("Article 17") against one of its words.
PLACE_WEIGHT = 2.0

# A passage in another language than the query, while the query's own language might have said it better.
ACROSS_LANGUAGES = 0.75

# A chunk that has no vector (yet) is judged by its words alone, among others that have one.
WITHOUT_VECTOR = 0.9

# The voice of the walk over phrases, by how surely the query names something: among passages that mention each other by
# their titles any name will do, elsewhere it takes a full name ("Ada Lovelace"). Measured with titles taken away: with
# a full name 0.5 is worth five points of R@5 on MuSiQue and HotpotQA and none is lost on XQuAD. A single proper name
# says less, and a term ("DNA", "p53") nothing: on claims about science 0.1 for all costs half a point of nDCG@10.
WALK_SHARE_NAMED = 0.5
WALK_SHARE_HINTED = 0.1
FULL_NAME_MIN = 2  # words
LINKED_MIN = 0.05

# The walk leads where so much of its way went over phrases that passages are called by: a quarter does in an
# encyclopaedia, nothing where titles are sentences.
TITLED_MIN = 0.1

# What the second, the third and each further passage of one section keeps of its score, so that the first ones
# of a list do not all say the same.
OF_THE_SAME_SECTION = (1.0, 0.95, 0.85, 0.75)

# A term of a language that is not the query's own still counts: names and numbers are the same everywhere.
OTHER_LANGUAGE_WEIGHT = 0.7


Origin = Literal["words", "vectors", "graph"]
"""Which ranking did most for a passage."""


class Scored(NamedTuple):
    """A chunk with its score and what it was made of: BM25 of its stems and of its 5-grams, cosine (None without a
    vector, or where it was not looked at), and the share of the walk over phrases that came by, against the most."""

    chunk: int
    score: float
    words: float
    cosine: float | None
    graph: float = 0.0
    grams: float = 0.0
    by: Origin = "words"


_scored = Scored._make  # of a tuple: a quarter of what naming each field costs, and a search makes some eight hundred
_CHUNK, _SCORE = itemgetter(0), itemgetter(1)
_BY_WORDS: Origin = "words"
_BY_VECTORS: Origin = "vectors"
_BY_GRAPH: Origin = "graph"


@lru_cache(maxsize=65_536)
def term_key(language: str, stem: str) -> int:
    """The key of a term: 64 bits, signed, of BLAKE2b over language and stem."""
    digest = hashlib.blake2b(f"{language}\0{stem}".encode(), digest_size=8, person=b"bastide.term").digest()
    return int.from_bytes(digest, "big", signed=True)


def vector_share(query_language: str, chunk_language: str, known: Collection[str]) -> float:
    """How much the vectors count for this pair of languages; `known` is empty when the embedder knows all."""
    if not known or (query_language in known and chunk_language in known):
        return VECTOR_SHARE
    return VECTOR_SHARE_ELSEWHERE


def fuse(
    words: Mapping[int, float],
    cosines: Mapping[int, float],
    *,
    languages: Mapping[int, str],
    query_language: str,
    known: Collection[str] = (),
    grams: Mapping[int, float] | None = None,
) -> list[Scored]:
    """All candidates of both rankings, best first.

    BM25 is divided by its best score; where `grams` gives that of 5-grams, too, words are the mean of both. A cosine
    is put between 0 and the best one; what is below 0 is 0. `languages` may leave out chunks that are in the
    query's language.
    """
    best_words = max(words.values(), default=0.0) or 1.0
    best_gram = max(grams.values(), default=0.0) if grams else 0.0
    best_cosine = max(cosines.values(), default=0.0)
    best_cosine = best_cosine if best_cosine > 0 else 1.0
    of_language: dict[str, tuple[float, float]] = {}
    found: list[Scored] = []
    for chunk in words.keys() | cosines.keys():
        language = languages.get(chunk, query_language)
        if language not in of_language:
            share = (vector_share(query_language, language, known) if words or best_gram else 1.0) if cosines else 0.0
            of_language[language] = share, ACROSS_LANGUAGES if known and language != query_language else 1.0
        share, keeps = of_language[language]
        bm25 = words.get(chunk, 0.0)
        gram = grams.get(chunk, 0.0) if grams else 0.0
        by_words = bm25 / best_words
        if best_gram > 0:
            by_words = (1 - GRAM_SHARE) * by_words + GRAM_SHARE * gram / best_gram
        cosine = cosines.get(chunk)
        said = (1 - share) * by_words
        if cosine is None:
            meant, by = share * (WITHOUT_VECTOR * by_words), _BY_WORDS
        else:
            meant = share * (cosine / best_cosine if cosine > 0 else 0.0)
            by = _BY_VECTORS if meant > said else _BY_WORDS
        found.append(_scored((chunk, (said + meant) * keeps, bm25, cosine, 0.0, gram, by)))
    return _best_first(found)


def led(order: Sequence[Scored], walked: Walk, *, always: bool = False) -> list[Scored]:
    """The order of `fuse` and that of the walk as one.

    The walk knows the way where the question names something, and passages here are called by such names: then its
    order holds. Elsewhere it is a voice beside the others where the question names somebody at all, and none where it
    does not: by itself it would cost eight points of nDCG@10.
    """
    most = max(walked.shares.values(), default=0.0)
    if most <= 0:
        return list(order)
    voice = 1.0 if always else _voice(walked)
    if voice == 0:
        return list(order)
    shares = {chunk: math.sqrt(share / most) for chunk, share in walked.shares.items()}
    found: list[Scored] = []
    for chunk, score, words, cosine, _, grams, by in order:
        share = shares.pop(chunk, 0.0)
        mine, walks = (1 - voice) * score, voice * share
        most_by = _BY_GRAPH if walks > mine else by
        found.append(_scored((chunk, mine + walks, words, cosine, share * share, grams, most_by)))
    found += [
        _scored((chunk, voice * share, 0.0, None, share * share, 0.0, _BY_GRAPH)) for chunk, share in shares.items()
    ]
    return _best_first(found)


def _voice(walked: Walk) -> float:
    """How much the walk counts beside the rest, from 0 to 1."""
    names = [one for one in walked.named if not one.small]
    if any(one.titled for one in names) or (names and walked.titled >= TITLED_MIN):
        return 1.0
    surely = max((one.proper for one in names), default=0)
    if surely >= FULL_NAME_MIN or (names and walked.linked >= LINKED_MIN):
        return WALK_SHARE_NAMED
    return WALK_SHARE_HINTED if surely else 0.0


def _best_first(found: list[Scored]) -> list[Scored]:
    """By score, equal ones by number."""
    found.sort(key=_CHUNK)
    found.sort(key=_SCORE, reverse=True)
    return found


def spread(order: Sequence[Scored], places: Mapping[int, tuple[str, str]], limit: int) -> list[Scored]:
    """The first `limit` of `order`, each text once, and no section first, second and third.

    `places` gives a chunk's section, "" where it has none, and its text; a chunk without a place is left out.
    """
    seen: set[str] = set()
    of_section: Counter[str] = Counter()
    kept: list[Scored] = []
    for one in order:
        if one.chunk not in places or places[one.chunk][1] in seen:
            continue
        section, text = places[one.chunk]
        seen.add(text)
        keeps = OF_THE_SAME_SECTION[min(of_section[section], len(OF_THE_SAME_SECTION) - 1)] if section else 1.0
        of_section[section] += 1
        kept.append(one if keeps == 1.0 else one._replace(score=one.score * keeps))
    return _best_first(kept)[:limit]
