"""Walking: two hops are found, filters hold, and a web that grew by parts is the web that was made at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.knowledge.phrases import mentioned
from bastide.knowledge.ranking import Scored, led
from bastide.knowledge.walking import Walk, walk
from bastide.knowledge.weaving import EMPTY, MENTION, Batch, Web, pack

TOWN = [
    ("Ada Vermeer", "Ada Vermeer was born in Lissewege and painted gates."),
    ("Lissewege", "Lissewege is a village whose mayor is Bram Declerck."),
    ("Bram Declerck", "Bram Declerck studied law."),
    ("Oostkamp", "Oostkamp is a village, and its mayor is Jan Peeters."),
    ("Gates", "A gate has two posts and a bar."),
]


def batch(documents: dict[int, list[tuple[str, str]]]) -> Batch:
    """Documents as rows: number -> the title and the text of each chunk; chunks are numbered 100 * document + place."""
    packed = {
        number: [pack(mentioned(text, "en", [title])) for title, text in chunks] for number, chunks in documents.items()
    }
    mentions = b"".join(part for parts in packed.values() for part in parts)
    return Batch(
        np.array(list(packed), np.int64),
        np.array(list(packed), np.int64),
        np.array([len(parts) for parts in packed.values()], np.int64),
        np.array([100 * number + place for number, parts in packed.items() for place in range(len(parts))], np.int64),
        np.array([len(part) // MENTION.itemsize for parts in packed.values() for part in parts], np.int64),
        np.frombuffer(mentions, MENTION),
    )


def web_of(pairs: list[tuple[str, str]]) -> Web:
    return EMPTY.changed(batch({n: [pair] for n, pair in enumerate(pairs)}))


def best(found: Walk) -> list[int]:
    return sorted(found.shares, key=lambda chunk: -found.shares[chunk])


def test_a_second_hop_is_found_through_the_name_between() -> None:
    found = walk(web_of(TOWN), "Who is mayor of the village where Ada Vermeer was born?", "en", {0: 1.0, 300: 0.3})
    assert best(found)[:2] == [0, 100]
    assert [one.phrase for one in found.named if not one.small] == ["ada vermeer"]
    assert found.titled > 0.1


def test_a_question_written_small_finds_the_same() -> None:
    found = walk(web_of(TOWN), "who is mayor of the village where ada vermeer was born?", "en", {0: 1.0, 300: 0.3})
    assert best(found)[:2] == [0, 100]


def test_a_filter_is_not_walked_around() -> None:
    web = web_of(TOWN)
    within = web.documents != 1
    found = walk(web, "Where does Ada Vermeer come from?", "en", {0: 1.0, 100: 0.9}, within=within)
    assert 100 not in found.shares


@pytest.mark.parametrize("question", ["", "???", "ada", "Ada Vermeer " * 80, "漢字", "the of and"])
def test_any_question_may_be_walked(question: str) -> None:
    for web in (EMPTY, web_of(TOWN)):
        found = walk(web, question, "en", {0: 1.0, 999_999: 0.5})
        assert all(share >= 0 for share in found.shares.values())


def test_a_walk_without_seeds_and_names_goes_nowhere() -> None:
    assert walk(web_of(TOWN), "nothing of this", "en", {}).shares == {}


WORDS = st.sampled_from(["Ada Vermeer", "Lissewege", "Bram Declerck", "the gate", "a village", "Oostkamp", "of"])
CHUNK = st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=6).map(" ".join))
DOCUMENTS = st.dictionaries(st.integers(1, 30), st.lists(CHUNK, min_size=1, max_size=3), max_size=12)


@given(DOCUMENTS, st.sets(st.integers(1, 30)), st.integers(0, 12))
def test_a_web_that_grew_and_shrank_walks_as_one_made_at_once(
    documents: dict[int, list[tuple[str, str]]], gone: set[int], first: int
) -> None:
    numbers = list(documents)
    web = EMPTY
    for part in (numbers[:first], numbers[first:]):
        web = web.changed(batch({number: documents[number] for number in part}))
    web = web.changed(batch({}), [number for number in numbers if number in gone])
    left = {number: chunks for number, chunks in documents.items() if number not in gone}
    fresh = EMPTY.changed(batch(left))
    seeds = {100 * number: 1.0 / number for number in numbers}
    was, now = (walk(one, "Where was Ada Vermeer born?", "en", seeds) for one in (web, fresh))
    assert web.rows.keys() == left.keys()
    assert was.named == now.named
    assert was.shares == pytest.approx(now.shares)
    assert all(chunk // 100 in left for chunk in was.shares)


@settings(max_examples=40)
@given(DOCUMENTS)
def test_a_web_that_took_in_one_after_the_other_is_the_same_and_what_it_was_stays(
    documents: dict[int, list[tuple[str, str]]],
) -> None:
    webs = [EMPTY]
    for number, chunks in documents.items():
        webs.append(webs[-1].changed(batch({number: chunks})))
        webs[-2].changed(batch({number + 100: chunks}), list(webs[-2].rows)[:1])  # another way on from the same web
    seeds = {100 * number: 1.0 / number for number in documents}
    for many, web in enumerate(webs):
        fresh = EMPTY.changed(batch(dict(list(documents.items())[:many])))
        was, now = (walk(one, "Where was Ada Vermeer born?", "en", seeds) for one in (web, fresh))
        assert (was.named, was.linked) == (now.named, now.linked)
        assert was.shares == pytest.approx(now.shares)
        assert dict(was.phrases) == pytest.approx(now.phrases)


def test_the_walk_leads_only_where_it_knows_the_way() -> None:
    order = [Scored(1, 0.9, 5.0, 0.5), Scored(2, 0.5, 3.0, 0.4)]
    astray = Walk({2: 0.9, 3: 0.1}, (), {})
    assert led(order, astray) == order
    assert [one.chunk for one in led(order, astray, always=True)] == [2, 3, 1]
    named = walk(web_of(TOWN), "Ada Vermeer", "en", {0: 1.0}).named
    assert [one.chunk for one in led(order, Walk({2: 0.9, 3: 0.1}, named, {}))] == [2, 3, 1]
    assert led(order, Walk({}, (), {})) == order


UNTITLED = [("", text) for _, text in TOWN] + [("", f"The DNA of case {n} was read.") for n in range(4)]


@pytest.mark.parametrize(
    ("question", "voice"),
    [
        ("Who is mayor of the village where Ada Vermeer was born?", 0.5),
        ("Who is mayor of Lissewege?", 0.1),
        ("Was the DNA of a village read?", 0.0),
        ("was the dna of a village read?", 0.0),
    ],
)
def test_without_titles_the_walk_has_the_voice_that_a_name_gives_it(question: str, voice: float) -> None:
    found = walk(web_of(UNTITLED), question, "en", {0: 1.0, 300: 0.3})
    assert found.named
    assert found.titled == found.linked == 0
    order = [Scored(900, 1.0, 5.0, 0.5)]
    both = led(order, found)
    assert next(one.score for one in both if one.chunk == 900) == 1.0 - voice
    assert len(both) == (1 if voice == 0 else 1 + len(found.shares))


def test_a_full_name_that_many_have_says_no_more_than_a_single_one() -> None:
    web = web_of([("", f"The Data Protection Officer heard of it{'.' * n}") for n in range(1, 13)] + TOWN * 9)
    (named,) = (one for one in walk(web, "What does the Data Protection Officer do?", "en", {0: 1.0}).named)
    assert (named.phrase, named.chunks, named.proper) == ("data protection officer", 12, 1)


def test_a_letter_that_is_two_when_small_is_walked_over() -> None:
    web = web_of([("İSTANBUL", "İSTANBUL is a town."), ("Ankara", "Ankara is a town.")])
    assert best(walk(web, "Is Ankara İSTANBUL?", "tr", {0: 1.0}))


def test_a_question_that_names_nothing_is_not_walked_unless_asked_for() -> None:
    web, question = web_of(TOWN), "Who paints the walls?"
    assert walk(web, question, "en", {0: 1.0}).shares
    assert not walk(web, question, "en", {0: 1.0}, always=False).shares
    assert walk(web, "Who is Ada Vermeer?", "en", {0: 1.0}, always=False).shares
