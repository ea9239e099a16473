"""Picture files: every format becomes shades of gray as it is shown; bombs and damage are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bastide.errors import BombFile, UnreadableFile
from bastide.knowledge.reading import Limits, ocr


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _drawn() -> Image.Image:
    """Dark in its upper left quarter."""
    pixels = np.full((60, 90), 250, np.uint8)
    pixels[:30, :45] = 10
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *((form, "L") for form in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM")),
        *((form, "RGB") for form in ("PNG", "JPEG", "TIFF", "WEBP")),
        *((form, "1") for form in ("PNG", "TIFF", "PPM")),
    ],
)
def test_each_format_is_shown_in_gray(form: str, mode: str) -> None:
    (page,) = ocr.pictures(_saved(_drawn().convert(mode), form))
    assert (page.width, page.height, page.page) == (90, 60, 1)
    assert page.pixels[10, 10] < 40
    assert page.pixels[50, 80] > 220


def test_every_page_of_a_tiff_comes_with_its_resolution() -> None:
    first = _drawn()
    data = _saved(first, "TIFF", save_all=True, append_images=[first.resize((30, 20)), first], dpi=(200, 200))
    found = ocr.pictures(data)
    assert [(page.page, page.width, page.dpi) for page in found] == [(1, 90, 200.0), (2, 30, 200.0), (3, 90, 200.0)]


def test_what_is_transparent_is_paper() -> None:
    clear = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    (page,) = ocr.pictures(_saved(clear, "PNG"))
    assert (page.pixels == 255).all()


def test_a_photograph_is_shown_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    (page,) = ocr.pictures(_saved(_drawn(), "JPEG", exif=exif.tobytes()))
    assert (page.width, page.height) == (60, 90)
    assert page.pixels[10, 50] < 40


def test_sixteen_bits_a_pixel_keep_their_contrast() -> None:
    deep = np.full((20, 20), 60_000, np.uint16)
    deep[:10] = 2_000
    (page,) = ocr.pictures(_saved(Image.fromarray(deep), "PNG"))
    assert page.pixels[2, 2] < 20
    assert page.pixels[15, 15] > 235


def _claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def part(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", body) + part(b"IEND", b"")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BombFile, match="more than 200,000,000 pixels"):
        ocr.pictures(_claims(60_000, 60_000))


def test_pages_count_together() -> None:
    page = _drawn()
    data = _saved(page, "TIFF", save_all=True, append_images=[page] * 9)
    with pytest.raises(BombFile):
        ocr.pictures(data, Limits(pixels_max=90 * 60 * 9))
    with pytest.raises(BombFile, match="10 pages"):
        ocr.pictures(data, Limits(pages_max=9))


def test_too_little_memory_is_a_bomb_too() -> None:
    with pytest.raises((BombFile, UnreadableFile)):
        ocr.pictures(_claims(14_000, 14_000), Limits(memory_max=150_000_000))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF"])
def test_a_picture_cut_off_is_refused(form: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8))
    data = _saved(noise, form)
    with pytest.raises(UnreadableFile):
        ocr.pictures(data[: len(data) // 3])


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"%PDF-1.4 no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableFile):
        ocr.pictures(data)
