"""Cutting: chunks that an embedder reads whole, tables that stay together, and where each chunk stands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.inference import Inference
from bastide.knowledge.reading import Gauge, Reading, cut, read
from tests.rooms.knowledge.conftest import Rooms
from tests.rooms.knowledge.reading.made import BDSG, CRPA, Line, example, pdf


def by_letters(texts: Sequence[str]) -> list[int]:
    """A tokenizer that has a token for every three letters, and two marks."""
    return [2 + -(-len(text) // 3) for text in texts]


GAUGE = Gauge(64, by_letters)


def table(rows: int, words: str = "value") -> Reading:
    lines = ["# Prices", "", "Some words before the table.", "", "| Item | Price |", "|---|---|"]
    lines += [f"| Item {at} | {at} {words} |" for at in range(rows)]
    return read("a.md", "\n".join([*lines, "", "Some words behind the table."]).encode())


@pytest.mark.parametrize("name", [BDSG, CRPA])
def test_a_chunk_and_its_headings_fit_into_the_embedder(name: str) -> None:
    gauge = Gauge(128, by_letters)
    found = cut(example(name), gauge=gauge)
    nodes = example(name).nodes
    for piece in found:
        # up to a third of the room is kept for the two nearest headings
        assert by_letters([piece.text])[0] <= 128, piece.text
        assert nodes[piece.parent].kind in {"section", "document"}
    assert " ".join("".join(piece.text for piece in found).split()) != ""


def test_without_words_lost() -> None:
    with_gauge = cut(example(BDSG), gauge=Gauge(128, by_letters))
    without = cut(example(BDSG))
    assert sorted(" ".join(p.text for p in with_gauge).split()) == sorted(" ".join(p.text for p in without).split())


@settings(max_examples=30)
@given(st.lists(st.text("abcdefgh .", min_size=1, max_size=400), min_size=1, max_size=6))
def test_no_chunk_is_longer_than_the_gauge_allows(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    if not text.strip(" .\n"):
        return
    reading = read("a.txt", text.encode())
    for piece in cut(reading, gauge=GAUGE, min_words=0):
        assert by_letters([piece.text])[0] <= GAUGE.most, piece.text
        assert piece.text == reading.text[piece.start : piece.end]


def test_a_table_that_fits_is_not_cut() -> None:
    reading = table(10)  # five words a row, signs included: 53 with its head
    (holding,) = (piece for piece in cut(reading, max_words=56, min_words=25) if "| " in piece.text)
    assert holding.text.startswith("Item | Price")
    assert holding.text.count(" | ") == 11


def test_a_long_table_is_cut_between_rows() -> None:
    reading = table(90)
    rows = [piece for piece in cut(reading, max_words=60) if "| " in piece.text]
    assert len(rows) > 2
    for piece in rows:
        for line in piece.text.split("\n"):
            assert not line or line.count(" | ") == 1 or "words" in line


def test_the_embedder_counts_its_own_tokens(rooms: Rooms) -> None:
    inference: Inference = rooms.inference
    most = inference.embedder_tokens_max()
    if not most:
        pytest.skip("no embedder here")
    one, two = inference.count_tokens(["a", "a b c d e"])
    assert (one, two) == (3, 7)
    found = cut(example(BDSG), gauge=Gauge(most, inference.count_tokens))
    assert max(inference.count_tokens([piece.text for piece in found])) <= most


def test_a_chunk_of_a_paragraph_over_many_pages_is_placed_on_its_own() -> None:
    """Once each had the boxes of all pages: a book without paragraphs took ten gigabytes and was never written."""
    words = "the council of the borough has considered the request of the owner and agreed to it"
    pages = [[Line(f"{page} {n} {words}", 72, 735 - 15 * n, 10) for n in range(40)] for page in range(9)]
    reading = read("book.pdf", pdf(pages))
    (whole,) = reading.nodes[1:]
    assert len(whole.boxes) == 9
    found = cut(reading)
    assert len(found) > 40
    for piece in found:
        inside = [page for offset, page in reading.page_starts if piece.start < offset < piece.end]
        assert [box.page for box in piece.boxes] == [piece.page, *inside]
