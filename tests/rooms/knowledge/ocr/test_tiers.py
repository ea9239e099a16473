"""The tiers above: who is asked, what is shown, and what is believed. The models are doubles; tesseract is real.

A `Reader` sits where a vision model would: the cascade calls it as it would call one, and cannot tell the difference.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bastide.errors import Forbidden
from bastide.knowledge.reading import ocr
from tests.rooms.knowledge.ocr.paper import TEXTS, Reader, needs_engine, page_of, pages, picture

pytestmark = [needs_engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def ruined() -> ocr.Picture:
    """A page of which tesseract makes nothing that can be used."""
    return picture(page_of(TEXTS["fr"], "ruined"), page=4)


@pytest.fixture(scope="module")
def half() -> ocr.Picture:
    """A page whose second paragraph is smudged, so that its lines fail while the others are certain."""
    page = pages.typeset(TEXTS["de"])
    smudged = page.crop((0, 380, page.width, 640)).resize((page.width // 8, 32)).resize((page.width, 260))
    page.paste(smudged, (0, 380))
    return picture(page)


def test_a_good_page_is_shown_to_nobody() -> None:
    reader = Reader("anything")
    page = ocr.read_page(picture(page_of(TEXTS["it"], "copy")), ocr.Hints(vision=reader, special=reader))
    assert page.read.tier == "ocr"
    assert reader.asked == []


def test_a_ruined_page_is_read_by_the_model_as_a_whole(ruined: ocr.Picture) -> None:
    reader = Reader(TEXTS["fr"])
    page = ocr.read_page(ruined, ocr.Hints(vision=reader))
    assert page.read.tier == "vision"
    assert page.read.engine == "reader 1"
    assert page.read.band == "provisional", "nothing was certain, so nothing of the answer could be checked"
    assert page.text.split() == TEXTS["fr"].split()
    shown, task = reader.asked[0]
    assert shown.page == 4
    assert shown.width >= 2000, "the prepared page, large enough to read"
    assert "Do not correct, translate, complete or explain" in task


def test_a_model_that_the_policy_does_not_allow_leaves_its_reason(ruined: ocr.Picture) -> None:
    refusing = Reader(Forbidden("No vision model may see documents labelled internal."))
    page = ocr.read_page(ruined, ocr.Hints(vision=refusing))
    assert (page.read.tier, page.read.band) == ("ocr", "rejected")
    assert "No vision model may see documents labelled internal." in page.read.reason


def test_a_model_that_finds_nothing_is_not_believed(ruined: ocr.Picture) -> None:
    page = ocr.read_page(ruined, ocr.Hints(vision=Reader("  ")))
    assert page.read.tier == "ocr"
    assert "found no text" in page.read.reason


def test_a_model_that_never_ends_is_not_believed(ruined: ocr.Picture) -> None:
    page = ocr.read_page(ruined, ocr.Hints(vision=Reader("and so on " * 5000)))
    assert page.read.tier == "ocr"
    assert page.read.band == "rejected"


def test_lines_that_failed_are_shown_one_by_one_and_the_rest_stays(half: ocr.Picture) -> None:
    alone = ocr.read_page(half)
    assert alone.read.band != "accepted"
    reader = Reader("eine Zeile aus dem Absatz")
    page = ocr.read_page(half, ocr.Hints(vision=reader))
    assert page.read.tier == "vision"
    assert len(reader.asked) > 1
    assert all(shown.height < half.height / 3 for shown, _ in reader.asked)
    assert "Der Gemeinderat hat den Antrag in seiner Sitzung vom 14. März 2029" in page.text
    assert "eine Zeile aus dem Absatz" in page.text
    answered = [line for line in page.lines if line.text == "eine Zeile aus dem Absatz"]
    assert all(330 < line.place.top < 690 for line in answered)


def test_an_invention_is_refused_and_the_special_model_asked(half: ocr.Picture) -> None:
    """What is said of a whole page must hold the words that were certain."""
    spoilt = half.pixels.copy()
    spoilt[640:] = np.asarray(Image.fromarray(spoilt[640:]).reduce(9).resize((half.width, half.height - 640)))
    inventing, honest = Reader("Sehr geehrte Damen und Herren, alles ist bezahlt."), Reader(TEXTS["de"])
    page = ocr.read_page(ocr.Picture(spoilt, 300.0), ocr.Hints(vision=inventing, special=honest))
    assert page.read.band != "rejected"
    if page.read.tier == "special":
        assert "come again in order" in page.read.reason
        assert "alles ist bezahlt" not in page.text
    assert inventing.asked


def test_a_table_goes_to_the_special_model_first() -> None:
    page = pages.typeset("\n\n".join(TEXTS["en"].split("\n\n")[:2]))
    page = page.resize((page.width // 9, page.height // 9)).resize(page.size)
    pixels = np.asarray(page).copy()
    for top in range(100, 1700, 200):
        pixels[top : top + 5, 200:2280] = 0
    vision, special = Reader("one"), Reader("two")
    found = ocr.read_page(ocr.Picture(pixels, 300.0), ocr.Hints(vision=vision, special=special))
    assert special.asked
    assert "table" in special.asked[0][1]
    assert not vision.asked or found.read.tier != "special"
