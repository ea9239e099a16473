"""Programs: definitions as sections, lines as code, the language by the comments; and pictures by their headers."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, ImageDraw, ImageFont

from bastide import errors
from bastide.knowledge.reading import Limits, ocr, read
from tests.rooms.knowledge.reading.office import mail, png, zip_of
from tests.rooms.knowledge.reading.test_formats import kinds, outline
from tests.rooms.knowledge.reading.test_laws import well_built

PYTHON = '''"""Dieses Modul rechnet die Miete aus, und zwar für jeden Monat des Jahres."""

import os

RENT = 300  # die Miete, die jeden Monat zu zahlen ist


class Lease:
    """Ein Mietvertrag, wie er zwischen zwei Parteien geschlossen wird."""

    def rent(self, months: int) -> int:
        return months * RENT


async def main() -> None:
    print("# not a comment", Lease().rent(12))
'''


def test_python() -> None:
    reading = read("lease.py", PYTHON.encode())
    assert reading.media_type == "text/x-python"
    assert outline(reading) == ["class Lease", "  def rent(self, months: int) -> int", "async def main() -> None"]
    assert {kind for kind, _ in kinds(reading)} == {"code"}
    assert reading.language == "de"
    assert [line for line in PYTHON.split() if line not in reading.text.split()] == []


PROGRAMS = {
    "a.js": (
        "// counts\nexport function count(x) {\n  return x;\n}\nclass Box {\n  open() {}\n}\n",
        ["export function count(x)", "class Box"],
    ),
    "a.rs": (
        "pub struct Box { n: u8 }\nimpl Box {\n    pub fn open(&self) -> u8 { self.n }\n}\n",
        ["pub struct Box { n: u8 }", "impl Box", "  pub fn open(&self) -> u8 { self.n }"],
    ),
    "a.go": ("package main\n\nfunc (b *Box) Open() int {\n\treturn 1\n}\n", ["func (b *Box) Open() int"]),
    "a.c": ("#include <x.h>\nint open_box(struct box *b)\n{\n    return b->n;\n}\n", ["int open_box(struct box *b)"]),
    "a.sql": (
        "-- the tables\nCREATE TABLE box (n int);\n\nCREATE OR REPLACE FUNCTION f() RETURNS int AS $$ $$;\n",
        ["CREATE TABLE box (n int);", "CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ $$;"],
    ),
    "a.sh": ("#!/bin/sh\nopen_box() {\n  echo 1\n}\n", ["open_box()"]),
    "a.toml": ("[box]\nn = 1\n\n[[lid]]\nn = 2\n", ["[box]", "[[lid]]"]),
    "Makefile": ("all: box\n\techo done\n", ["all: box"]),
    "a.css": ("/* the look */\np { color: red }\n", []),
    "a.yaml": ("box:\n  n: 1 # one\n", []),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_definitions_of_many_languages(name: str) -> None:
    source, expected = PROGRAMS[name]
    reading = read(name, source.encode())
    assert reading.media_type.startswith("text/x-")
    assert outline(reading) == expected
    well_built(reading)
    assert "".join(reading.text.split()) == "".join(source.split())


def test_by_what_the_first_line_runs() -> None:
    assert read("tool", b"#!/usr/bin/env python3\nprint(1)\n").media_type == "text/x-python"
    assert read("tool", b"just words").media_type == "text/plain"
    assert read("a.py", b"<!doctype html><p>I am a page.</p>").media_type == "text/html"


def test_programs_that_are_long_broken_or_none() -> None:
    long = "\n".join(f"x{n} = {n}" for n in range(500))
    assert sum(kind == "code" for kind, _ in kinds(read("a.py", long.encode()))) == 9
    wide = read("a.js", b"var x='" + b"a" * 300_000 + b"';")
    assert len(wide.text) > 300_000
    with pytest.raises(errors.FileTooLarge):
        read("a.py", long.encode(), Limits(text_max=100))
    with pytest.raises(errors.UnsupportedType):
        read("a.py", bytes(range(1, 9)) * 200)
    assert "é" in read("a.py", "# café".encode("cp1252")).text
    deep = "".join(" " * (n * 4) + f"def f{n}():\n" for n in range(40))
    assert outline(read("a.py", deep.encode()))[-1].strip() == "def f2()"


def jpeg(width: int, height: int) -> bytes:
    """The header of a JPEG, with a segment before the size."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + bytes(14) + b"\xff\xc0" + frame + b"\xff\xd9"


def tiff(*sizes: tuple[int, int]) -> bytes:
    """The directories of a TIFF."""
    out = b"II*\x00" + struct.pack("<I", 8)
    for number, (width, height) in enumerate(sizes, 1):
        following = 8 + 30 * number if number < len(sizes) else 0
        out += struct.pack("<HHHIIHHIII", 2, 256, 4, 1, width, 257, 4, 1, height, following)
    return out


def webp(width: int, height: int) -> bytes:
    """The header of a WebP."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size


BOMBS = {
    "a.png": png(60_000, 60_000),
    "a.jpg": jpeg(60_000, 60_000),
    "a.tif": tiff((100, 100), (60_000, 60_000)),
    "a.webp": webp(60_000, 60_000),
    "a.gif": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + bytes(20),
    "a.bmp": b"BM" + bytes(12) + struct.pack("<I", 40) + struct.pack("<ii", 60_000, -60_000) + bytes(30),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(name: str) -> None:
    with pytest.raises(errors.BombFile, match="60,000 x 60,000"):
        read(name, BOMBS[name])
    told = read("a.eml", mail(files=[(name, BOMBS[name])])).problems
    assert told[0].startswith(f"{name}: The picture has 60,000")


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n", jpeg(9, 9)[:20], tiff((9, 9))[:12], webp(9, 9)[:20], tiff()], ids=range(5)
)
def test_a_picture_without_a_size_is_refused(data: bytes) -> None:
    with pytest.raises(errors.UnreadableFile):
        read("a.png", data)


def test_a_chain_of_directories_that_never_ends() -> None:
    data = bytearray(tiff((9, 9), (9, 9)))
    data[-4:] = struct.pack("<I", 8)
    with pytest.raises(errors.Refusal) as refused:
        read("a.tif", bytes(data))
    assert refused.value.code.startswith("knowledge.")


def scan(words: str, form: str) -> bytes:
    """A page with words on it."""
    page = Image.new("L", (1240, 500), 255)
    font = ImageFont.load_default(44)
    ImageDraw.Draw(page).multiline_text((80, 80), words, 0, font, spacing=24)
    out = io.BytesIO()
    page.save(out, form, dpi=(150, 150))
    return out.getvalue()


@pytest.mark.skipif(not ocr.available().ready, reason="no text recognition here")
def test_the_words_of_a_picture_and_of_one_in_a_message() -> None:
    words = "The tenant pays the rent on the\nthird working day of each month."
    reading = read("page.png", scan(words, "PNG"))
    assert " ".join(reading.text.split()) == " ".join(words.split())
    assert reading.page_reads[0].tier == "ocr"
    assert reading.nodes[1].source == "ocr" or reading.nodes[1].boxes
    within = read("a.eml", mail(files=[("page.jpg", scan(words, "JPEG"))]))
    assert "third working day" in within.text
    assert within.page_reads == ()
    assert within.pages is None


@pytest.mark.skipif(not ocr.available().ready, reason="no text recognition here")
def test_a_picture_without_words_says_so() -> None:
    with pytest.raises(errors.EmptyFile, match="No text was recognised"):
        read("white.png", png(400, 300))
    with pytest.raises(errors.UnreadableFile):
        read("cut.png", scan("Some words.", "PNG")[:600])


def test_pictures_that_cannot_be_read_do_not_stop_the_rest() -> None:
    reading = read("a.zip", zip_of({"a.png": png(60_000, 60_000), "b.txt": b"Words."}))
    assert reading.text == "b.txt\n\nWords."
    assert len(reading.problems) == 1
