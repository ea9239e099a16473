"""The tiers above: who is asked, what is shown, and what is believed.

A `Reader` sits where a vision model would: the cascade calls it as it would call one, and cannot tell the difference.
In the short forms a double sits where tesseract would, too; the slow ones have damaged pages and tesseract itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bastide.errors import Forbidden
from bastide.knowledge.reading import ocr
from tests.rooms.knowledge.ocr.paper import (
    TEXTS,
    Reader,
    double,
    needs_engine,
    page_of,
    pages,
    picture,
    reading,
    strokes,
)

_SURE = (
    "The council of the borough has considered the request of the owner",
    "who asked to pay the rent of the workshop in four parts this year",
    "and the treasurer told the members what the rules of the house allow",
)
_REST = (
    "After a short discussion the members agreed to it with nine votes",
    "The first part is due within thirty days after this letter is received",
    "and the others follow every three months until the whole is paid",
    "Whoever pays late owes interest and the rest may be asked for at once",
    "An objection may be made in writing until the end of the month",
)
_WHOLE = "\n".join(_SURE + _REST)
_GARBLED = "Aftcr a shorl discnssion thc mernbers agrced lo it wilh ninc volcs"


def _sure(*garbled: tuple[str, int]) -> str:
    """What the engine's double reads: eight lines, the last of them these."""
    return reading(*[(text, 95) for text in (_SURE + _REST)[: 8 - len(garbled)]], *garbled)


def test_a_sure_page_is_shown_to_nobody(tmp_path: Path) -> None:
    reader = Reader("anything")
    engine = double(tmp_path, _sure())
    page = ocr.read_page(strokes(), ocr.Hints(vision=reader, special=reader, engine=engine))
    assert (page.read.tier, page.read.band) == ("ocr", "accepted")
    assert page.text == _WHOLE
    assert reader.asked == []


def test_the_line_that_failed_is_shown_alone_and_replaced(tmp_path: Path) -> None:
    """Also on a page that would be used without it: it is provisional, not rejected."""
    engine = double(tmp_path, _sure((_GARBLED, 30), (_GARBLED, 30)))
    alone = ocr.read_page(strokes(), ocr.Hints(engine=engine))
    assert (alone.read.tier, alone.read.band) == ("ocr", "provisional")
    reader = Reader(*_REST[3:])
    page = ocr.read_page(strokes(), ocr.Hints(vision=reader, engine=engine))
    assert (page.read.tier, page.read.engine, page.read.band) == ("vision", "reader 1", "accepted")
    assert page.text == _WHOLE
    assert [shown.height for shown, _ in reader.asked] == [42, 42], "a line of 22 pixels with its margins"
    assert (page.lines[6].place.top, page.lines[7].place.top) == (420, 480)


def test_a_policy_that_refuses_leaves_the_page_as_it_was_and_its_reason(tmp_path: Path) -> None:
    engine = double(tmp_path, _sure(*[(_GARBLED, 20)] * 4))
    alone = ocr.read_page(strokes(), ocr.Hints(engine=engine))
    refusing = Reader(Forbidden("No vision model may see documents labelled internal."))
    page = ocr.read_page(strokes(), ocr.Hints(vision=refusing, engine=engine))
    assert len(refusing.asked) == 1, "who was refused once does not ask for each line"
    assert page.lines == alone.lines
    assert (page.read.tier, page.read.band) == ("ocr", "rejected")
    assert "vision: No vision model may see documents labelled internal." in page.read.reason


def test_a_line_with_more_text_than_fits_is_an_invention(tmp_path: Path) -> None:
    engine = double(tmp_path, _sure((_GARBLED, 30), (_GARBLED, 30)))
    page = ocr.read_page(strokes(), ocr.Hints(vision=Reader(_WHOLE * 3, _REST[4]), engine=engine))
    assert page.lines[6].text == _GARBLED
    assert page.lines[7].text == _REST[4]
    assert "do not fit into the picture" in page.read.reason
    assert "1 of 2 lines stay unread" in page.read.reason
    assert page.read.band == "provisional"


def test_of_two_models_the_one_that_repeats_what_was_certain_is_believed(tmp_path: Path) -> None:
    """Less than half of the ink was read, so the whole page is shown."""
    engine = double(tmp_path, reading(*[(text, 95) for text in _SURE]))
    inventing, honest = Reader("Dear Sir or Madam, everything is paid."), Reader(_WHOLE)
    page = ocr.read_page(strokes(page=7), ocr.Hints(vision=inventing, special=honest, engine=engine))
    assert (inventing.asked[0][0].page, inventing.asked[0][0].height) == (7, 600)
    assert "Do not correct, translate, complete or explain" in inventing.asked[0][1]
    assert (page.read.tier, page.read.band, page.text) == ("special", "accepted", _WHOLE)
    assert "words that were certain come again in order" in page.read.reason
    only = ocr.read_page(strokes(), ocr.Hints(vision=inventing, engine=engine))
    assert (only.read.tier, only.read.band) == ("ocr", "rejected")
    assert "everything is paid" not in only.text


def test_a_page_of_rulings_goes_to_the_special_model_first(tmp_path: Path) -> None:
    ruled = strokes().pixels.copy()
    for top in range(39, 560, 120):
        ruled[top : top + 6, 40:860] = 0
    engine = double(tmp_path, reading(*[(text, 95) for text in _SURE]))
    vision, special = Reader("one"), Reader(_WHOLE)
    page = ocr.read_page(ocr.Picture(ruled, 300.0), ocr.Hints(vision=vision, special=special, engine=engine))
    assert page.read.tier == "special"
    assert "a tab" in special.asked[0][1]
    assert vision.asked == []


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


@pytest.mark.slow
@needs_engine
def test_a_good_page_is_shown_to_nobody() -> None:
    reader = Reader("anything")
    page = ocr.read_page(picture(page_of(TEXTS["it"], "copy")), ocr.Hints(vision=reader, special=reader))
    assert page.read.tier == "ocr"
    assert reader.asked == []


@pytest.mark.slow
@needs_engine
def test_a_model_that_the_policy_does_not_allow_leaves_its_reason(ruined: ocr.Picture) -> None:
    refusing = Reader(Forbidden("No vision model may see documents labelled internal."))
    page = ocr.read_page(ruined, ocr.Hints(vision=refusing))
    assert (page.read.tier, page.read.band) == ("ocr", "rejected")
    assert "No vision model may see documents labelled internal." in page.read.reason


@pytest.mark.slow
@needs_engine
def test_a_model_that_finds_nothing_is_not_believed(ruined: ocr.Picture) -> None:
    page = ocr.read_page(ruined, ocr.Hints(vision=Reader("  ")))
    assert page.read.tier == "ocr"
    assert "found no text" in page.read.reason


@pytest.mark.slow
@needs_engine
def test_a_model_that_never_ends_is_not_believed(ruined: ocr.Picture) -> None:
    page = ocr.read_page(ruined, ocr.Hints(vision=Reader("and so on " * 5000)))
    assert page.read.tier == "ocr"
    assert page.read.band == "rejected"


@pytest.mark.slow
@needs_engine
def test_lines_that_failed_are_shown_one_by_one_and_the_rest_stays(half: ocr.Picture) -> None:
    alone = ocr.read_page(half)
    assert alone.read.band != "accepted"
    reader = Reader("eine Zeile aus dem Absatz")
    page = ocr.read_page(half, ocr.Hints(vision=reader))
    assert page.read.tier == "vision"
    assert len(reader.asked) > 1
    assert all(shown.height < half.height / 3 for shown, _ in reader.asked)
    assert "Der Gemeinderat hat den Antrag in seiner Sitzung vom 14." in page.text
    assert "eine Zeile aus dem Absatz" in page.text
    answered = [line for line in page.lines if line.text == "eine Zeile aus dem Absatz"]
    assert all(330 < line.place.top < 690 for line in answered)


@pytest.mark.slow
@needs_engine
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
