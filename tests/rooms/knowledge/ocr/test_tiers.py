"""The tiers above: who is asked, what is shown, and what is believed.

A `Reader` sits where a vision model would: the cascade calls it as it would call one, and cannot tell the difference.
In the short forms a double sits where tesseract would, too; the slow ones have damaged pages and tesseract itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bastide.errors import Forbidden
from bastide.knowledge.reading import Told, Upper, Wanted, ocr
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
_GARBLED_REST = tuple(text.replace("e", "c").replace("h ", "b ").replace("tt", "ll") for text in _REST)


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
    engine = double(tmp_path, _sure(*[(text, 30) for text in _GARBLED_REST[3:]]))
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
    lie = "Dear Sir or Madam, everything is paid and nothing is left to do. " * 8
    inventing, honest = Reader(lie), Reader(_WHOLE, name="reader 2")
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
    line = "eine Zeile aus dem Absatz, so lang wie jede andere Zeile auf dieser Seite des Briefes ist"
    reader = Reader(line)
    page = ocr.read_page(half, ocr.Hints(vision=reader))
    assert page.read.tier == "vision"
    assert len(reader.asked) > 1
    assert all(shown.height < half.height / 3 for shown, _ in reader.asked)
    assert "Der Gemeinderat hat den Antrag in seiner Sitzung vom 14." in page.text
    answered = [one for one in page.lines if one.text == line]
    assert answered
    assert all(330 < one.place.top < 690 for one in answered)


def _with_a_value(first: str) -> str:
    """Eight certain lines, the last of them with an amount of which the engine is not sure."""
    lines = [(text, 95) for text in (_SURE + _REST)[:7]]
    deed = reading(*lines, ("The sum is due", 95))
    row = f"5\\t1\\t1\\t1\\t8\\t5\\t700\\t480\\t130\\t22\\t60\\t{first}"
    return deed.replace("'.encode()", f"\\n{row}'.encode()")


@pytest.mark.parametrize(
    ("said", "text", "doubts"),
    [
        ("1,250.00", "1,250.00", ()),
        ("7,777.00", "1,250.00", ("7,777.00",)),
        ("", "1,250.00", ("nothing",)),
    ],
)
def test_a_doubtful_amount_is_what_two_of_three_readers_say(
    tmp_path: Path, said: str, text: str, doubts: tuple[str, ...]
) -> None:
    """The second reading of tesseract, of the amount alone, gives the whole page here, and so agrees with nothing."""
    engine = double(tmp_path, _with_a_value("1,250.00"))
    alone = ocr.read_page(strokes(), ocr.Hints(engine=engine))
    assert (alone.read.band, len(alone.read.doubts)) == ("accepted", 1)
    reader = Reader(said)
    page = ocr.read_page(strokes(), ocr.Hints(vision=reader, engine=engine))
    assert (page.read.tier, page.read.band, page.read.receipts) == ("ocr", "accepted", ("receipt of reader 1",))
    assert page.lines[7].words[-1].text == text
    assert page.lines[7].words[-1].doubtful == bool(doubts)
    assert len(page.read.doubts) == len(doubts)
    assert all(told in doubt for told, doubt in zip(doubts, page.read.doubts, strict=True))
    assert "character by character" in reader.asked[0][1]


def test_an_amount_that_only_a_model_has_read_is_a_doubt(tmp_path: Path) -> None:
    """Two lines that failed are shown; where the model reads an amount, the engine had read none."""
    engine = double(tmp_path, _sure(*[(text, 30) for text in _GARBLED_REST[3:]]))
    page = ocr.read_page(strokes(), ocr.Hints(vision=Reader(_REST[3], f"{_REST[4]} 1.250,00"), engine=engine))
    assert (page.read.tier, page.lines[7].text) == ("vision", f"{_REST[4]} 1.250,00")
    assert page.read.doubts == ("1.250,00 (read by one reader only)",)


def test_what_nothing_confirms_is_provisional_until_a_second_model_reads_the_same(tmp_path: Path) -> None:
    engine = double(tmp_path, reading(("xx yy", 20)))
    first, same_again = Reader(_WHOLE), Reader(_WHOLE.replace("owner", "0wner"), name="reader 2")
    other = Reader("\n".join(reversed(_WHOLE.split("\n"))), name="reader 3")
    alone = ocr.read_page(strokes(), ocr.Hints(vision=first, engine=engine))
    assert (alone.read.tier, alone.read.band) == ("vision", "provisional")
    assert "too little was certain to check reader 1" in alone.read.reason
    agreed = ocr.read_page(strokes(), ocr.Hints(vision=first, special=same_again, engine=engine))
    assert (agreed.read.band, agreed.text) == ("accepted", _WHOLE)
    assert agreed.read.receipts == ("receipt of reader 1", "receipt of reader 2")
    apart = ocr.read_page(strokes(), ocr.Hints(vision=first, special=other, engine=engine))
    assert (apart.read.tier, apart.read.band) == ("vision", "provisional")


def test_an_answer_that_comes_later_is_waited_for_without_a_second_reading(tmp_path: Path) -> None:
    """The engine's double is gone when the answer is there: what it read is kept."""
    engine = double(tmp_path, reading(*[(text, 95) for text in _SURE]))
    upper = Upper()
    hints = replace(ocr.hints_with(upper), engine=engine)
    shown = replace(strokes(page=3), key="file")
    before = ocr.read_page(shown, hints)
    assert (before.read.tier, before.read.band) == ("ocr", "rejected")
    (wanted,) = upper.wanted.values()
    assert (wanted.page, wanted.speciality, wanted.pixels.shape) == (3, "", (600, 900))
    upper.tell(wanted.key, Told(_WHOLE, "model 7", "rcp_1"))
    Path(engine.program).unlink()
    after = ocr.read_page(ocr.Picture(np.zeros((0, 0), np.uint8), 300.0, 3, "file"), hints)
    assert (after.read.tier, after.read.band, after.text) == ("vision", "accepted", _WHOLE)
    assert (after.read.engine, after.read.receipts) == ("model 7", ("rcp_1",))
    assert upper.wanted == {}


def test_of_one_file_no_more_is_shown_than_may_be() -> None:
    upper = Upper(asks_max=2)
    picture = np.zeros((2, 2), np.uint8)
    wanted = [Wanted(str(n), 1, "", "read", picture) for n in range(3)]
    assert [upper.ask(one) for one in wanted[:2]] == [None, None]
    refused = upper.ask(wanted[2])
    assert refused is not None
    assert "no more than 2 pictures" in refused.refused
    assert upper.ask(wanted[0]) is None, "what is wanted already costs nothing"
    large = Upper(dots_max=3).ask(wanted[0])
    assert large is not None
