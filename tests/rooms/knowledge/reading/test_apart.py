"""Read apart: the same as here, and what a file does to its reader is told of that file while all else goes on."""

from __future__ import annotations

import io
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bastide import errors
from bastide.knowledge.reading import Limits, Upper, read, read_apart
from bastide.knowledge.reading.apart import SMALL, _Values
from bastide.knowledge.reading.standing import stand
from tests.rooms.knowledge.reading.made import Line, pdf
from tests.rooms.knowledge.reading.office import zip_of
from tests.rooms.knowledge.reading.test_mutations import MAKERS

WORDS = "The council of the borough has met, and it has agreed to the request of the owner. "
LONG = ("# Minutes\n\n" + (WORDS * 5 + "\n\n") * 200).encode()
COSTLY = b"a\n\n" * 300_000
"""It takes more than ten seconds of computing, wherever it is read."""


@pytest.mark.parametrize("name", MAKERS)
def test_every_format_is_read_apart_as_it_is_here(name: str) -> None:
    data = MAKERS[name]()
    try:
        here = read(name, data)
    except errors.Refusal as refused:
        with pytest.raises(type(refused)) as apart:
            read_apart(name, data, small=0)
        assert apart.value.to_wire() == refused.to_wire()
        return
    assert read_apart(name, data, small=0) == here


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "getpid"),
        ("bastide.knowledge.reading.apart", "os.getpid"),
        ("bastide.knowledge.reading.apart", "subprocess.Popen"),
        ("bastide.knowledge.reading.apart", "_begun"),
        ("bastide.knowledge.reading.apart", "_Standing"),
        ("bastide.knowledge.reading.apart", "Path"),
        ("bastide.errors", "BastideError.__subclasses__"),
        ("builtins", "eval"),
        ("numpy.testing", "suppress_warnings"),
        ("bastide.knowledge.reading_elsewhere", "Reading"),
    ],
)
def test_a_reader_that_was_taken_over_gets_nothing_done_by_what_it_says(module: str, name: str) -> None:
    said = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(one)]) + one.encode() for one in (module, name)) + b"\x93."
    with pytest.raises((pickle.UnpicklingError, ImportError)):
        _Values(io.BytesIO(said)).load()


def test_a_file_that_takes_too_long_is_refused_and_others_are_read_meanwhile() -> None:
    assert len(LONG) > SMALL
    with ThreadPoolExecutor(1) as other:
        costly = other.submit(read_apart, "a.md", COSTLY, Limits(seconds_max=1, nodes_max=10**7))
        assert read_apart("b.md", LONG) == read("b.md", LONG)
        with pytest.raises(errors.BombFile, match="more than 1 seconds of computing") as refused:
            costly.result()
    assert refused.value.next_step


def test_a_file_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(errors.FileTooLarge, match="bytes of memory"):
        read_apart("a.md", COSTLY, Limits(memory_max=50_000_000, nodes_max=10**7))
    assert read_apart("b.md", LONG).title == "Minutes"


def _begun_by(parent: int) -> Iterator[int]:
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        yield from map(int, _told(children).split())


def _standing() -> set[int]:
    return {one for one in _begun_by(os.getpid()) if b"reading.standing" in _told(Path(f"/proc/{one}/cmdline"))}


def _told(file: Path) -> bytes:
    """What the kernel says of a process or thread: nothing once it is gone."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _readers() -> set[int]:
    return {reader for one in _standing() for reader in _begun_by(one)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are found in /proc")
def test_a_reader_that_dies_is_told_of_its_file_and_one_who_stands_by_is_begun_anew() -> None:
    with ThreadPoolExecutor(1) as other:
        before = _readers()  # one may be about to end
        dying = other.submit(read_apart, "a.md", COSTLY, Limits(nodes_max=10**7))
        while not (readers := _readers() - before):
            assert not dying.done()
        os.kill(readers.pop(), signal.SIGKILL)
        with pytest.raises(errors.ReaderFailed, match="makes its reader fail"):
            dying.result()
    read_apart("b.md", LONG)
    before = _standing()
    assert before
    for one in before:
        os.kill(one, signal.SIGKILL)
    assert read_apart("b.md", LONG).title == "Minutes"
    assert len(_standing() - before) == 1


def test_how_far_it_is_and_what_models_are_asked_comes_back() -> None:
    heard: list[tuple[int, int]] = []
    data = zip_of({"p.pdf": pdf([[Line(f"{WORDS} {page}")] for page in (1, 2, 3)])})
    upper = Upper(asks_max=3)
    upper.closed = "nobody is asked today"
    reading = read_apart("a.zip", data, Limits(upper=upper, heard=lambda *told: heard.append(told)), small=0)
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert reading.text.count("The council") == 3
    assert (upper.asks_max, upper.closed, upper.wanted) == (3, "nobody is asked today", {})


@pytest.mark.parametrize(
    "sheet", ["@a", "@media ", "/* ", "a", ".a,", "overflow:hidden;", "color:rgba(", "{", "}", ".a{height:0;"]
)
def test_styles_that_lead_nowhere_are_left_behind_at_once(sheet: str) -> None:
    """A megabyte in a sheet and half of one in an element: the patterns before took from a minute to an hour."""
    styled = f"<style>{sheet * (500_000 // len(sheet))}</style><p style='{sheet * (500_000 // len(sheet))}'>Words</p>"
    page = f"<html><head></head><body>{styled}<p>The words.</p></body></html>"
    assert read_apart("a.html", page.encode(), Limits(seconds_max=30)).text.endswith("The words.")


def test_who_stands_by_and_is_not_asked_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bastide.knowledge.reading.standing._IDLE_S", 0.2)
    coming, asked = os.pipe()
    with open(coming, "rb") as tasks:
        assert stand(tasks, io.BytesIO()) == 0
    os.close(asked)
