"""Extractors: our own readers and xberg promise the same; what dies or hangs is a refusal, and another one is asked."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bastide import errors
from bastide.errors import ReaderFailed
from bastide.knowledge.reading import Limits, cut, media, read
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.confining import confined, lines
from bastide.knowledge.reading.documents import READERS, extractors_for
from bastide.knowledge.reading.extractors import Extractor, OwnReader, extract
from bastide.knowledge.reading.pdf import pages_of
from bastide.knowledge.reading.xberg_reading import XbergExtractor
from tests.rooms.knowledge.reading.made import Line, paragraph, pdf

without = pytest.mark.skipif(not XbergExtractor.installed(), reason="xberg is an extra and not installed")
BOTH = [
    pytest.param(OwnReader(media.PDF, READERS[media.PDF]), id="own"),
    pytest.param(XbergExtractor(), id="xberg", marks=without),
]
HANDBOOK = [
    [
        Line(f"{k} Chapter of the handbook", 72, 740, 18, bold=True),
        *paragraph("The first paragraph of this chapter says what it is about,\nand goes on to a second line.", y=700),
        *paragraph("Another one stands below it, after a gap that is wider\nthan that between two lines.", y=640),
    ]
    for k in range(1, 4)
]


@pytest.mark.parametrize("extractor", BOTH)
def test_each_keeps_words_headings_pages_and_places(extractor: Extractor) -> None:
    assert extractor.name
    assert extractor.version
    assert media.PDF in extractor.media_types
    reading = read("h.pdf", pdf(HANDBOOK), extractors=(extractor,))
    titles = [node.title for node in reading.nodes if node.kind == "section"]
    assert titles == [f"{k} Chapter of the handbook" for k in range(1, 4)]
    assert reading.pages == 3
    assert " ".join(reading.text.split()).count("goes on to a second line.") == 3
    assert [piece.page for piece in cut(reading)] == [1, 2, 3]
    assert [one.page for one in reading.page_reads] == [1, 2, 3]
    for node in reading.nodes[1:]:
        assert node.boxes, node
        assert all(0 <= box.left < box.right <= 595 and 0 <= box.top < box.bottom <= 842 for box in node.boxes)
        assert 0 < node.confidence <= 1


@pytest.mark.parametrize("extractor", BOTH)
@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        pytest.param(pdf([[Line("secret")]], password="hunter2"), Limits(), errors.EncryptedFile, id="locked"),
        pytest.param(b"%PDF-1.4\n" + b"rubbish " * 500 + b"\n%%EOF\n", Limits(), errors.UnreadableFile, id="rubbish"),
        pytest.param(pdf([[], []]), Limits(), errors.EmptyFile, id="empty"),
        pytest.param(pdf([[Line("a")], [Line("b")]]), Limits(pages_max=1), errors.FileTooLarge, id="too-many-pages"),
        pytest.param(pdf([[Line("words " * 9)]]), Limits(text_max=9), errors.FileTooLarge, id="too-much-text"),
    ],
)
def test_each_refuses_alike(
    extractor: Extractor, data: bytes, limits: Limits, error: type[errors.BastideError]
) -> None:
    with pytest.raises(error) as refused:
        read("a.pdf", data, limits, extractors=(extractor,))
    assert refused.value.message.endswith(".")


class Double:
    """An extractor that does as it was told."""

    name, version, media_types = "double", "7", frozenset({media.PDF})

    def __init__(self, does: Draft | errors.BastideError) -> None:
        self.does = does
        self.asked = 0

    def extract(self, data: bytes, limits: Limits) -> Draft:
        """Gives or raises."""
        self.asked += 1
        if isinstance(self.does, Draft):
            return self.does
        raise self.does


def test_where_one_dies_the_next_is_asked_and_that_is_told() -> None:
    dead, alive = Double(ReaderFailed("The reader died.")), Double(Draft([Block("paragraph", "words")]))
    draft = extract(b"", Limits(), (dead, alive))
    assert [block.text for block in draft.blocks] == ["words"]
    assert draft.problems == ["read by double 7: The reader died."]


@pytest.mark.parametrize(
    "refusal", [errors.EncryptedFile("Locked."), errors.BombFile("A bomb."), errors.UnreadableFile("Cut off.")]
)
def test_what_is_so_for_all_is_asked_once(refusal: errors.BastideError) -> None:
    first, second = Double(refusal), Double(Draft([]))
    with pytest.raises(type(refusal)):
        extract(b"", Limits(), (first, second))
    assert (first.asked, second.asked) == (1, 0)


def test_where_all_die_the_first_one_is_heard() -> None:
    with pytest.raises(ReaderFailed, match="First"):
        extract(b"", Limits(), (Double(ReaderFailed("First.")), Double(ReaderFailed("Second."))))


def test_our_own_reader_comes_first() -> None:
    names = [extractor.name for extractor in extractors_for(media.PDF)]
    assert names == (["bastide", "xberg"] if XbergExtractor.installed() else ["bastide"])
    assert [extractor.name for extractor in extractors_for(media.PLAIN)] == ["bastide"]


# -- processes of their own -------------------------------------------------------------------------


def _program(folder: Path, code: str) -> Path:
    path = folder / "program.py"
    path.write_text(code)
    return path


def _said(program: Path) -> bytes:
    with confined(program, [], b"", 0.1 if "sleep" in program.read_text() else 5) as said:
        return said.read()


def test_a_program_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(errors.BombFile, match="too long"):
        _said(_program(tmp_path, "import time\ntime.sleep(60)"))


def test_a_program_that_crashes_ends_alone_and_what_it_said_is_kept(tmp_path: Path) -> None:
    code = "import os, sys\nsys.stdout.write('so far')\nsys.stdout.flush()\nos.abort()"
    assert _said(_program(tmp_path, code)) == b"so far"


def test_a_program_knows_nothing_of_us(tmp_path: Path) -> None:
    code = "import os, sys\nprint(len(os.environ), [name for name in sys.modules if 'bastide' in name])"
    said = _said(_program(tmp_path, code)).decode()
    assert said.strip() in {"0 []", "1 []"}, "LC_CTYPE may be set by the interpreter itself"
    assert sys.flags.isolated == 0


def test_a_program_that_nobody_hears_out_is_ended_and_leaves_no_thread(tmp_path: Path) -> None:
    endless = _program(tmp_path, "while True:\n    print('and so on')")
    before = set(threading.enumerate())  # of this process, whose other threads come and go, too
    with pytest.raises(LookupError), confined(endless, [], bytes(9_000_000), 60) as said:
        assert said.readline() == b"and so on\n"
        ours = [one for one in threading.enumerate() if one not in before and one.daemon]
        raise LookupError
    assert ours
    feeding, timers = [
        [one for one in ours if name in f"{one.name} {type(one).__name__}"] for name in ("_feed", "Timer")
    ]
    for one in timers:
        one.join(30)  # it was told, and half of its time is not over
    assert not [one for one in feeding + timers if one.is_alive()]


def test_what_is_cut_off_is_no_line(tmp_path: Path) -> None:
    with confined(_program(tmp_path, "print('one')\nprint('tw', end='')"), [], b"", 5) as said:
        assert list(lines(said)) == [b"one\n"]


def test_who_is_killed_by_somebody_else_has_not_used_up_its_time(tmp_path: Path) -> None:
    """As where the machine lacks memory: what was said until then stands."""
    program = tmp_path / "program.py"
    program.write_text("import os\nos.write(1, b'one\\n')\nos.kill(os.getpid(), 9)\n", encoding="utf-8")
    with confined(program, [], b"", 60.0) as said:
        assert list(lines(said)) == [b"one\n"]


def test_a_page_that_ends_the_process_is_left_out_and_the_rest_goes_on() -> None:
    told = {"width": 595.0, "height": 842.0, "turn": 0, "rules": [], "images": []}
    begun: list[int] = []

    def dies_on_page_two(data: bytes, limits: Limits, first: int) -> Iterator[dict[str, Any]]:
        begun.append(first)
        yield {"pages": 4, "title": "", "outline": []}
        for page in range(first, 5):
            if page == 2:
                return
            line = [f"Words of page {page}.", [[0, 720, 1500, 0]], 700.0, 711.0, 11.0, False, False, True]
            yield {**told, "page": page, "lines": [line]}
        yield {"end": True}

    about, sheets, broken = pages_of(b"", Limits(), dies_on_page_two)
    assert begun == [1, 3]
    assert (about["pages"], [sheet.page for sheet in sheets], broken) == (4, [1, 3, 4], [2])


def test_a_file_whose_every_page_ends_the_process_is_given_up() -> None:
    begun: list[int] = []

    def dies(data: bytes, limits: Limits, first: int) -> Iterator[dict[str, Any]]:
        begun.append(first)
        yield {"pages": 1_000, "title": "", "outline": []}

    with pytest.raises(ReaderFailed):
        pages_of(b"", Limits(), dies)
    assert len(begun) < 10
