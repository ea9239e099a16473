"""Growing: an index, a list of holders and a column that grew by little say what one made at once would say."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.growing import Holders, Index, Spare

KEYS = st.lists(st.lists(st.integers(-50, 50), max_size=9, unique=True), max_size=12)
MENTIONS = st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 99)), max_size=9), max_size=12)


@given(KEYS)
def test_an_index_knows_the_last_place_of_each_key(parts: list[list[int]]) -> None:
    index, known, place = Index.empty(), dict[int, int](), 0
    wanted = np.arange(-55, 55)
    for part in parts:
        before = index.of(wanted).tolist()
        grown = index.and_these(np.array(part, np.int64), np.arange(place, place + len(part), dtype=np.int32))
        assert index.of(wanted).tolist() == before  # what it was stays
        known |= {key: place + n for n, key in enumerate(part)}
        index, place = grown, place + len(part)
        assert index.of(wanted).tolist() == [known.get(key, -1) for key in wanted.tolist()]


@given(MENTIONS, st.lists(st.integers(0, 12), max_size=6))
def test_holders_are_those_of_each_phrase_in_their_order(parts: list[list[tuple[int, int]]], asked: list[int]) -> None:
    held = Holders.empty()
    known: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, part in enumerate(parts):
        phrases = np.array([phrase for phrase, _ in part], np.int32)
        holders = np.array([holder for _, holder in part], np.int32)
        kinds, times = np.full(len(part), number % 3, np.uint8), (holders % 7).astype(np.uint8)
        held = held.and_these(phrases, holders, kinds, times, 13)
        for phrase, holder in part:
            known[phrase].append((holder, number % 3, holder % 7))
        found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for place, *mention in zip(*(column.tolist() for column in held.of(np.array(asked, np.int64))), strict=True):
            found[place].append((mention[0], mention[1], mention[2]))
        assert dict(found) == {n: known[phrase] for n, phrase in enumerate(asked) if known[phrase]}


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=9)), max_size=20))
def test_a_column_keeps_what_it_was_also_where_two_grow_from_it(steps: list[tuple[int, list[int]]]) -> None:
    spare = Spare()
    columns, expected = [np.zeros(0, np.int64)], [list[int]()]
    for of, more in steps:  # from any that there has been, so that several ask for the same room
        of %= len(columns)  # noqa: PLW2901
        columns.append(spare.behind("one", columns[of], np.array(more, np.int64)))
        expected.append(expected[of] + more)
        assert [column.tolist() for column in columns] == expected
