"""Laws that hold for every file: offsets are exact, nothing is lost, nothing is told twice, order is kept."""

from __future__ import annotations

import html
import random
import string
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide import errors
from bastide.knowledge.reading import Piece, Reading, cut, read, sentences, terms
from tests.rooms.knowledge.reading.made import (
    AI_ACT,
    BDSG,
    CRPA,
    EGOVG,
    EXAMPLES,
    GDPR,
    OMNIBUS,
    Line,
    bare_docx,
    example,
    pdf,
    pieces,
    tried,
)  # fmt: skip

ALL = (GDPR, AI_ACT, BDSG, EGOVG, CRPA, OMNIBUS)
OFTEN = settings(max_examples=120)


def well_built(reading: Reading) -> None:
    """The tree's own laws."""
    nodes, text = reading.nodes, reading.text
    assert nodes[0].kind == "document"
    assert (nodes[0].start, nodes[0].end, nodes[0].parent) == (0, len(text), None)
    for i, node in enumerate(nodes):
        assert node.ord == i
        assert 0 <= node.start <= node.end <= len(text)
        if i:
            assert node.parent is not None
            assert node.parent < i
            above = nodes[node.parent]
            assert above.start <= node.start
            assert node.end <= above.end
            assert nodes[i - 1].start <= node.start
            assert text[node.start : node.end].strip()
    assert "\0" not in text
    text.encode("utf-8")


def well_cut(reading: Reading, cuts: tuple[Piece, ...]) -> None:
    """The chunks' laws: exact, in order, apart, below their headings, and nothing of the body is lost."""
    covered = bytearray(len(reading.text))
    end = 0
    for i, piece in enumerate(cuts):
        assert piece.ord == i
        assert piece.text == reading.text[piece.start : piece.end]
        assert piece.text.rstrip() == piece.text != ""
        assert piece.start >= end
        assert piece.words == len(piece.text.split())
        holder = reading.nodes[piece.node]
        assert holder.start <= piece.start
        assert piece.end <= holder.end
        assert piece.language
        end = piece.end
        covered[piece.start : piece.end] = b"x" * (piece.end - piece.start)
    for start, stop in own_text(reading):
        for at in range(start, stop):
            assert covered[at] or reading.text[at].isspace(), reading.text[max(0, at - 40) : at + 40]


def own_text(reading: Reading) -> Iterator[tuple[int, int]]:
    """(start, end) of every node's own words, headings left out."""
    for node in reading.nodes:
        last = node.ord + 1 >= len(reading.nodes)
        end = node.end if last else min(node.end, reading.nodes[node.ord + 1].start)
        if node.kind not in {"section", "document", "table"}:
            yield node.start, end


@pytest.mark.parametrize("name", ALL)
def test_examples(name: str) -> None:
    well_built(example(name))
    well_cut(example(name), pieces(name))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("most", "least"), [(8, 0), (30, 10), (300, 60)])
def test_examples_in_other_sizes(name: str, most: int, least: int) -> None:
    cuts = cut(example(name), max_words=most, min_words=least)
    well_cut(example(name), cuts)
    headings = {node.start for node in example(name).nodes if node.kind == "section"}
    assert all(p.words <= most * 11 / 10 or p.start in headings for p in cuts)


@pytest.mark.parametrize("name", ALL)
def test_no_chunk_crosses_a_heading(name: str) -> None:
    reading = example(name)
    starts = [node.start for node in reading.nodes if node.kind == "section"]
    for piece in pieces(name):
        assert not any(piece.start < start < piece.end for start in starts)


@pytest.mark.parametrize("name", ALL)
def test_same_bytes_same_reading(name: str) -> None:
    again = read(name, (EXAMPLES / name).read_bytes())
    assert again == example(name)
    assert cut(again) == pieces(name)


def test_pages_of_the_pdf_never_go_back() -> None:
    pages = [p.page or 0 for p in pieces(OMNIBUS)]
    assert pages == sorted(pages)
    assert pages[0] == 1
    assert pages[-1] == 102
    starts = example(OMNIBUS).page_starts
    assert [page for _, page in starts] == list(range(1, 103))
    assert [at for at, _ in starts] == sorted(at for at, _ in starts)


_LAWLIKE = (
    "the controller shall notify Article 33 (1) 2. a) § 5 Chapter IV 72 hours: “Artikel 4 bis — e.g. Nr. — 2016/679 "
    "ΆΡΘΡΟ straße l'administration; (i) (v) 1° Whereas: CHAPTER CHAPTER_II"
)
WORDS = st.sampled_from(_LAWLIKE.split())
LINES = st.lists(WORDS, min_size=0, max_size=30).map(" ".join)
TEXTS = st.lists(LINES, min_size=1, max_size=30).map("\n".join)


@OFTEN
@given(TEXTS, st.sampled_from(["a.txt", "a.md"]), st.integers(8, 60))
def test_any_lawlike_text(text: str, name: str, most: int) -> None:
    try:
        reading = read(name, text.encode())
    except errors.EmptyFile:
        assert not any(letter.isalnum() for letter in text) or name == "a.md"
        return
    well_built(reading)
    well_cut(reading, cut(reading, max_words=most, min_words=most // 3))
    if name == "a.txt":
        kept = [word for word in text.split() if word.strip("-—=*_~#")]
        assert [word for word in reading.text.split() if word.strip("-—=*_~#")] == kept


@OFTEN
@given(st.text(max_size=600), st.sampled_from(["a.txt", "a.md", "a.html", "a"]))
def test_any_text_at_all(text: str, name: str) -> None:
    reading = tried(name, text.encode("utf-8", "surrogatepass"))
    if reading is not None:
        well_built(reading)
        well_cut(reading, cut(reading))


_TAGS = "p div li ul ol table tr td th h1 h2 h3 span b blockquote pre br script style section"
TAGS = _TAGS.split()
SCRAPS = st.one_of(
    st.sampled_from(
        [f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + ["<div hidden>", "&lt;", "&#0;", "<!--"]
    ),
    st.text(string.ascii_letters + " .,", max_size=20),
)


@OFTEN
@given(st.lists(SCRAPS, max_size=60).map("".join))
def test_any_soup_of_tags(soup: str) -> None:
    try:
        reading = read("a.html", f"<html><body>start {soup}".encode())
    except errors.EmptyFile:
        return
    well_built(reading)
    well_cut(reading, cut(reading))


@OFTEN
@given(st.lists(st.text(string.ascii_letters + "äéß <>&", min_size=1, max_size=80), min_size=1, max_size=12))
def test_a_page_gives_back_its_paragraphs(paragraphs: list[str]) -> None:
    shown = [" ".join(p.split()) for p in paragraphs if p.strip()]
    page = "<html><body>" + "".join(f"<p>{html.escape(p)}</p><script>no</script>" for p in paragraphs)
    if shown:
        assert read("a.html", page.encode()).text.split("\n\n") == shown


@OFTEN
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"%PDF-1.4\n", b"PK\x03\x04", b"\xff\xfe", b"<html>", b"<?xml version='1.0'?>"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, head: bytes) -> None:
    reading = tried("file", head + data + (b"\n%%EOF" if head.startswith(b"%PDF") else b""))
    if reading is not None:
        well_built(reading)
        well_cut(reading, cut(reading))


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_file_is_read_or_refused(seed: int) -> None:
    """Bytes changed at random in a PDF and in a DOCX: never another exception, never a bad tree."""
    chance = random.Random(seed)
    lines = [Line(f"Line {i} of a made page, for damage.", y=700 - 14 * i) for i in range(20)]
    originals = (
        pdf([lines, lines], outline=[("Line 3", 0)]),
        bare_docx("<w:p><w:r><w:t>Woorden.</w:t></w:r></w:p>" * 30),
    )
    for original in originals:
        data = bytearray(original)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        reading = tried("file", bytes(data))
        if reading is not None:
            well_built(reading)
            well_cut(reading, cut(reading))


@OFTEN
@given(TEXTS, st.sampled_from(["en", "de", "fr", "el", "xx"]))
def test_sentences_hold_all_words_in_order(text: str, language: str) -> None:
    found = sentences(text, language)
    assert all(start < end for start, end in found)
    assert [end for _, end in found[:-1]] <= [start for start, _ in found[1:]]
    assert " ".join(text[a:b] for a, b in found).split() == text.split()


@OFTEN
@given(st.text(max_size=300), st.sampled_from(["en", "de", "fr", "nl", "el", "cs", "xx"]))
def test_terms_of_the_parts_are_terms_of_the_whole(text: str, language: str) -> None:
    counted = terms(text, language)
    assert all(times > 0 and term and not term.isspace() for term, times in counted.items())
    assert terms(f"{text}\n{text}", language) == counted + counted
    assert all(len(term) <= 64 for term in counted)


def test_empty_lines_before_a_word_are_no_letters_of_another_alphabet() -> None:
    assert read("a.txt", b"\n\n\n\n\nthe").text.strip() == "the"
