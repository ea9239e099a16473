"""Whole pages with the real engine: what comes out, where it stands, and how far it is to be relied on.

A page costs seconds of computing, so most are marked slow; short forms are here, in test_preparing and test_engine.
"""

from __future__ import annotations

import numpy as np
import pytest

from bastide.knowledge.reading import ocr
from tests.rooms.knowledge.ocr.paper import TEXTS, error_rate, needs_engine, page_of, pages, picture

pytestmark = needs_engine


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "damage", "most"),
    [("de", "worn", 0.5), ("pl", "fold", 0.5), ("el", "worn", 2.5), ("fr", "fax", 1.2), ("es", "skew", 0.5)],
)
def test_a_damaged_page_is_read_in_its_own_language(language: str, damage: str, most: float) -> None:
    page = ocr.read_page(picture(page_of(TEXTS[language], damage), page=7))
    assert error_rate(TEXTS[language], page.text) <= most
    read = page.read
    assert (read.page, read.tier, read.band, read.language) == (7, "ocr", "accepted", language)
    assert read.engine.startswith("tesseract ")
    assert read.confidence is not None
    assert read.confidence >= 85
    assert read.coverage is not None
    assert read.coverage >= 0.95
    assert "confidence" in read.reason


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_on_its_head_or_side_is_turned_and_its_places_are_those_of_the_scan(degrees: int) -> None:
    """The box of a word in the turned scan holds the ink that the word has there."""
    upright = page_of(TEXTS["en"][:420]).image
    turned = upright.rotate(-degrees, expand=True)
    page = ocr.read_page(picture(turned))
    assert page.read.rotation == 360 - degrees
    assert page.read.band == "accepted"
    assert error_rate(TEXTS["en"][:420], page.text) <= 0.5
    straight = {word.text: word for line in ocr.read_page(picture(upright)).lines for word in line.words}
    width, height = upright.size
    for word in (word for line in page.lines for word in line.words if len(word.text) > 8):
        there, here = word.place, straight[word.text].place
        back = {
            90: (there.top, height - there.right, there.bottom, height - there.left),
            180: (width - there.right, height - there.bottom, width - there.left, height - there.top),
            270: (width - there.bottom, there.left, width - there.top, there.right),
        }[degrees]
        assert np.allclose(back, (here.left, here.top, here.right, here.bottom), atol=6)


def test_places_of_a_coarse_askew_scan_are_in_its_own_pixels() -> None:
    """The boxes of the words hold nearly all ink of the scan, though they are less than half of it.

    Of a line only the ends are looked at: the box of a line that lies askew also holds parts of its neighbours.
    """
    text = TEXTS["nl"][:250]
    scan = page_of(text, "worn")
    page = ocr.read_page(picture(scan))
    assert error_rate(text, page.text) <= 2
    boxes = np.zeros(scan.pixels.shape, bool)
    for place in (word.place for line in page.lines for word in line.words):
        assert 0 <= place.left < place.right <= scan.pixels.shape[1]
        assert 0 <= place.top < place.bottom <= scan.pixels.shape[0]
        boxes[int(place.top) : int(place.bottom) + 1, int(place.left) : int(place.right) + 1] = True
    ink = scan.pixels < 155
    assert boxes.mean() < 0.5
    assert ink[boxes].sum() >= 0.97 * ink.sum()
    assert not np.roll(ink, 10, axis=0)[boxes].sum() >= 0.9 * ink.sum(), "as it would be anywhere"
    for line in page.lines:
        first, last = line.words[0].place, line.words[-1].place
        assert (line.place.left, line.place.right) == pytest.approx((first.left, last.right), abs=2)
        assert line.place.top <= min(first.top, last.top) + 2
        assert line.place.bottom >= max(first.bottom, last.bottom) - 2


@pytest.mark.slow
def test_two_scripts_on_one_page_are_both_read() -> None:
    """Some of the Greek is taken for Latin letters with fair confidence, until the page is known to hold Greek."""
    mixed = TEXTS["fr"].split("\n\n")[0] + "\n\n" + TEXTS["el"].split("\n\n")[1]
    page = ocr.read_page(picture(page_of(mixed)))
    assert error_rate(mixed, page.text) <= 3
    assert page.read.band in {"accepted", "provisional"}


@pytest.mark.slow
def test_a_page_that_changes_between_two_scripts_is_read_paragraph_by_paragraph() -> None:
    """Eight languages together were sure of letters that stand nowhere: 8 % were wrong on a page that was accepted."""
    german, greek = (TEXTS[language].split("\n\n") for language in ("de", "el"))
    mixed = "\n\n".join([german[0], greek[0], german[1]])
    page = ocr.read_page(picture(page_of(mixed)))
    assert error_rate(mixed, page.text) <= 1
    assert page.read.band == "accepted"


@pytest.mark.slow
def test_two_languages_on_one_page_are_both_read() -> None:
    mixed = TEXTS["de"].split("\n\n")[0] + "\n\n" + TEXTS["pl"].split("\n\n")[1]
    page = ocr.read_page(picture(page_of(mixed)))
    assert error_rate(mixed, page.text) <= 3


@pytest.mark.slow
def test_the_resolution_need_not_be_known_nor_told_truly() -> None:
    text = TEXTS["it"].split("\n\n")[0]
    scan = page_of(text, "copy")
    for told in (0.0, 72.0):
        page = ocr.read_page(ocr.Picture(scan.pixels, told))
        assert page.read.band == "accepted"
        assert error_rate(text, page.text) <= 1


def test_noise_is_no_text() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200), dtype=np.uint8)
    page = ocr.read_page(ocr.Picture(noise, 150.0))
    assert page.read.band == "rejected" or not page.lines


@pytest.mark.parametrize("shade", [255, 128, 0])
def test_an_even_page_is_blank(shade: int) -> None:
    page = ocr.read_page(ocr.Picture(np.full((1000, 700), shade, np.uint8), 100.0))
    assert (page.lines, page.read.tier, page.read.band) == ((), "none", "accepted")


@pytest.mark.parametrize("size", [(1, 1), (3, 4000), (4000, 2)])
def test_a_sliver_is_no_page(size: tuple[int, int]) -> None:
    page = ocr.read_page(ocr.Picture(np.zeros(size, np.uint8), 300.0))
    assert page.lines == ()


@pytest.mark.slow
def test_a_ruined_page_is_not_accepted() -> None:
    page = ocr.read_page(picture(page_of(TEXTS["pl"], "ruined")))
    assert page.read.band == "rejected"
    assert "below" in page.read.reason or "no word" in page.read.reason


@pytest.mark.slow
def test_one_line_of_words_is_enough() -> None:
    page = ocr.read_page(picture(page_of("The lease of the workshop in Ghent ends on 30 June 2031.")))
    assert "lease of the workshop in Ghent ends on 30 June 2031" in page.text


@pytest.mark.slow
def test_light_words_on_dark_ground_are_read() -> None:
    text = TEXTS["en"].split("\n\n")[1]
    page = ocr.read_page(ocr.Picture(255 - page_of(text).pixels, 300.0))
    assert page.read.band == "accepted"
    assert error_rate(text, page.text) <= 0.5


@pytest.mark.slow
def test_blurred_latin_that_looks_like_fraktur_is_read() -> None:
    """Tesseract's detection calls this page Fraktur, for which it has no file."""
    page = ocr.read_page(picture(pages.scan(pages.typeset(TEXTS["nl"]), "blur")))
    assert (page.read.language, page.read.band) == ("nl", "accepted")
    assert error_rate(TEXTS["nl"], page.text) <= 0.5


@pytest.mark.slow
def test_pages_come_in_order_and_later_ones_know_the_language() -> None:
    scans = [page_of(part, "copy") for part in TEXTS["fr"].split("\n\n")]
    made = (picture(scan, page=number) for number, scan in enumerate(scans, 1))
    found = list(ocr.read_pages(made))
    assert [page.read.page for page in found] == [1, 2, 3]
    assert {page.read.language for page in found} == {"fr"}
    text = "\n\n".join(page.text for page in found)
    assert error_rate(TEXTS["fr"], text) <= 1


def test_a_wrong_hint_does_no_harm() -> None:
    text = TEXTS["el"].split("\n\n")[1]
    page = ocr.read_page(picture(page_of(text)), ocr.Hints(languages=("pl", "xx")))
    assert (page.read.language, page.read.band) == ("el", "accepted")
    assert error_rate(text, page.text) <= 2.5
