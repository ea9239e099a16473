"""The laws of the fusion: bounded, deterministic, and deaf to a ranking that says nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.ranking import Scored, fuse, spread, term_key

WORDS = st.dictionaries(st.integers(1, 40), st.floats(0.01, 50), max_size=20)
COSINES = st.dictionaries(st.integers(1, 40), st.floats(-1, 1), max_size=20)
LANGUAGES = st.dictionaries(st.integers(1, 40), st.sampled_from(["en", "de", "el"]))
KNOWN = st.sampled_from([frozenset[str](), frozenset({"en"})])


@given(WORDS, COSINES, LANGUAGES, KNOWN)
def test_scores_lie_between_0_and_1_and_descend(
    words: dict[int, float], cosines: dict[int, float], languages: dict[int, str], known: frozenset[str]
) -> None:
    order = fuse(words, cosines, languages=languages, query_language="en", known=known)
    assert {one.chunk for one in order} == words.keys() | cosines.keys()
    assert all(-1e-9 <= one.score <= 1 + 1e-9 for one in order)
    assert [one.score for one in order] == sorted((one.score for one in order), reverse=True)
    assert order == fuse(words, cosines, languages=languages, query_language="en", known=known)


@given(WORDS)
def test_words_alone_keep_their_order(words: dict[int, float]) -> None:
    order = fuse(words, {}, languages={}, query_language="de", known=frozenset({"en"}))
    assert [one.chunk for one in order] == sorted(words, key=lambda chunk: (-words[chunk], chunk))


@given(COSINES)
def test_vectors_alone_keep_their_order(cosines: dict[int, float]) -> None:
    order = fuse({}, cosines, languages={}, query_language="en")
    assert [one.chunk for one in order if cosines[one.chunk] > 0] == sorted(
        (chunk for chunk in cosines if cosines[chunk] > 0), key=lambda chunk: (-cosines[chunk], chunk)
    )


@given(WORDS, COSINES, st.integers(1, 40), st.floats(1.01, 3))
def test_a_better_score_never_ranks_lower(
    words: dict[int, float], cosines: dict[int, float], chunk: int, times: float
) -> None:
    if chunk not in words:
        return
    before = fuse(words, cosines, languages={}, query_language="en")
    after = fuse({**words, chunk: words[chunk] * times}, cosines, languages={}, query_language="en")

    def place(order: list[Scored]) -> int:
        return [one.chunk for one in order].index(chunk)

    assert place(after) <= place(before)


def test_an_embedder_counts_less_where_it_does_not_know_the_language() -> None:
    words, cosines = {1: 10.0, 2: 5.0}, {1: 0.1, 2: 0.9}
    here = fuse(words, cosines, languages={1: "en", 2: "en"}, query_language="en", known={"en"})
    there = fuse(words, cosines, languages={1: "de", 2: "de"}, query_language="de", known={"en"})
    assert here[0].chunk == 2
    assert there[0].chunk == 1


def test_a_chunk_without_a_vector_is_judged_by_its_words() -> None:
    order = fuse({1: 10.0, 2: 9.0}, {2: 0.05, 3: 0.3}, languages={}, query_language="en")
    assert [one.chunk for one in order] == [1, 3, 2]


def test_equal_texts_once_and_sections_take_turns() -> None:
    order = [Scored(n, 1.0 - n / 100, 1.0, None) for n in range(1, 7)]
    places = {1: ("a", "one"), 2: ("a", "two"), 3: ("a", "three"), 4: ("a", "one"), 5: ("b", "five"), 6: ("", "six")}
    kept = spread(order, places, 5)
    assert [one.chunk for one in kept] == [1, 5, 6, 2, 3]
    assert spread(order, {}, 5) == []


def test_the_key_of_a_term_is_stable_and_knows_its_language() -> None:
    assert term_key("en", "gift") == term_key("en", "gift")
    assert term_key("en", "gift") != term_key("de", "gift")
    assert -(2**63) <= term_key("en", "gift") < 2**63
