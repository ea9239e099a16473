"""Invention, doubts and text layers: laws and cases that need no engine."""

from __future__ import annotations

import random
import textwrap
from dataclasses import replace

import pytest
from benchmarks.scans.texts import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.reading import PageRead, ocr
from bastide.knowledge.reading.ocr.invention import Extent, Verdict, alike, in_order, judged
from bastide.knowledge.reading.ocr.rereading import READS_MAX, is_value, reread, valid_iban
from bastide.knowledge.reading.ocr.scripts import scripts_in

_PLACE = ocr.Place(0, 0, 10, 10)
_STEP = 20
"""Pixels of a character, on a page of 40 characters a line."""
_words = st.lists(st.sampled_from("abcde"), max_size=12)


def _line(text: str, confidence: float = 95.0) -> ocr.Line:
    return ocr.Line(tuple(ocr.Word(word, _PLACE, confidence) for word in text.split()), _PLACE)


def _slow(wanted: list[str], told: list[str]) -> int:
    if not wanted or not told:
        return 0
    if wanted[-1] == told[-1]:
        return _slow(wanted[:-1], told[:-1]) + 1
    return max(_slow(wanted[:-1], told), _slow(wanted, told[:-1]))


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_order_is_counted_as_the_slow_way_counts_it(wanted: list[str], told: list[str]) -> None:
    assert in_order(wanted, told) == _slow(wanted, told)


@given(_words, _words, _words)
def test_what_is_added_between_takes_nothing_away(wanted: list[str], before: list[str], after: list[str]) -> None:
    assert in_order(wanted, before + wanted + after) == len(wanted)


def _page_of(text: str, confidence: float = 95.0, spoil: float = 0.0) -> tuple[list[ocr.Line], Extent]:
    """`text` in lines of 90 characters, read with this confidence and this share of its letters wrong."""
    dice = random.Random(1)
    lines: list[ocr.Line] = []
    for number, row in enumerate(textwrap.wrap(" ".join(text.split()), 90)):
        place = ocr.Place(0, 60 * number, _STEP * len(row), 60 * number + 42)
        read = "".join(dice.choice("xqz") if one.isalpha() and dice.random() < spoil else one for one in row)
        lines.append(ocr.Line(tuple(ocr.Word(word, place, confidence) for word in read.split()), place))
    return lines, Extent(tuple(line.place for line in lines), whole=True)


def _wrong(text: str) -> dict[str, str]:
    parts = text.strip().split("\n\n")
    words = text.split()
    random.Random(2).shuffle(words)
    return {
        "shuffled": "\n\n".join(reversed(parts)),
        "the same words": " ".join(words),
        "summary": "The council agreed to four payments.",
        "cut": text[: len(text) * 7 // 10],
        "dreamt": f"{text[: len(text) // 2]} {' '.join(words[: len(words) // 2])}",
        "endless": text + parts[0] * 8,
        "nothing": " \n",
    }


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_the_truth_is_proven_by_words_that_were_certain_and_by_many_that_were_not(language: str) -> None:
    for confidence, spoil in ((95.0, 0.0), (55.0, 0.12)):
        lines, extent = _page_of(TEXTS[language], confidence, spoil)
        assert judged(lines, TEXTS[language], extent) == Verdict(proven=True)


@pytest.mark.parametrize("language", sorted(TEXTS))
@pytest.mark.parametrize(("confidence", "spoil"), [(95.0, 0.0), (55.0, 0.12)])
def test_what_is_not_the_truth_is_refused_however_few_words_were_sure(
    language: str, confidence: float, spoil: float
) -> None:
    lines, extent = _page_of(TEXTS[language], confidence, spoil)
    other = TEXTS["fr" if language == "de" else "de"]
    for name, text in {**_wrong(TEXTS[language]), "another": other}.items():
        assert judged(lines, text, extent).refused, name


def test_one_certain_word_may_be_wrong_and_a_torn_page_is_put_together() -> None:
    """The engine takes the torn halves of a page for two columns, and reads one below the other."""
    lines, extent = _page_of(TEXTS["it"])
    spoilt = replace(lines[2], words=(replace(lines[2].words[0], text="qqqqq"), *lines[2].words[1:]))
    assert judged([*lines[:2], spoilt, *lines[3:]], TEXTS["it"], extent).proven
    left = [replace(line, words=line.words[:7]) for line in lines]
    right = [
        replace(line, words=line.words[7:], place=replace(line.place, left=600.0)) for line in lines if line.words[7:]
    ]
    assert judged([*left, *right], TEXTS["it"], extent).proven


def test_where_next_to_nothing_was_read_an_answer_is_open_and_must_fit_the_ink() -> None:
    place = ocr.Place(0, 0, 900, 40)
    blurred = [_line("xx yy zz", 30.0)]
    assert judged(blurred, "The rent of the flat is 1,250 euros a month.", Extent((place,))) == Verdict()
    assert "do not fit" in judged(blurred, TEXTS["en"], Extent((place,))).refused
    assert "too few" in judged(blurred, "No", Extent((replace(place, right=6000.0),))).refused


@given(st.lists(st.sampled_from(["lease", "ends", "in", "June", "1,250.00", "x"]), max_size=30), st.floats(0, 100))
def test_a_verdict_is_never_both_proven_and_refused(told: list[str], confidence: float) -> None:
    lines, extent = _page_of(TEXTS["en"][:200], confidence)
    verdict = judged(lines, " ".join(told), extent)
    assert not (verdict.refused and verdict.proven)


@given(st.text(max_size=40))
def test_a_reading_is_like_itself(text: str) -> None:
    assert alike(text, f" {text}\n") == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "1,250.00",
        "€1.250,00",
        "14.03.2029",
        "2029-03-14",
        "RB-2029-00417",
        "RB2029",
        "12%",
        "(1250,00)",
        "DE89370400440532013000",
        "12:30",
    ],
)
def test_values_are_known(text: str) -> None:
    assert is_value(text)


@pytest.mark.parametrize("text", ["euros", "a", "4", "the", "März", "§", "", "..."])
def test_words_are_no_values(text: str) -> None:
    assert not is_value(text)


def test_a_sure_value_is_not_read_again_and_an_unsure_one_is() -> None:
    asked: list[str] = []

    def again(word: ocr.Word) -> str:
        asked.append(word.text)
        return {"1,250.00": "1,250.00,", "14.03.2029": "14.08.2029"}.get(word.text, "")

    sure, unsure = _line("pay 1,111.00 now"), _line("pay 1,250.00 by 14.03.2029 please", 60.0)
    lines, doubts = reread([sure, unsure], again)
    assert asked == ["1,250.00", "14.03.2029"]
    assert [doubt.told for doubt in doubts] == ["14.03.2029 (second reading: 14.08.2029)"]
    assert [word.text for line in lines for word in line.words if word.doubtful] == ["14.03.2029"]
    assert [line.text for line in lines] == [sure.text, unsure.text]


def test_beyond_the_reads_of_one_page_every_unsure_value_is_a_doubt() -> None:
    amounts = [f"{n},00" for n in range(100, 100 + READS_MAX + 3)]
    _, doubts = reread([_line(" ".join(amounts), 50.0)], lambda word: word.text)
    assert len(doubts) == 3
    assert all("not read a second time" in doubt.told for doubt in doubts)


@pytest.mark.parametrize(
    "account",
    ["DE89 3704 0044 0532 0130 00", "GR16 0110 1250 0000 0001 2300 695", "BE68539007547034", "NL91 ABNA 0417 1643 00"],
)
def test_check_digits_of_accounts_are_counted_however_sure_the_engine_is(account: str) -> None:
    assert valid_iban(account)
    _, doubts = reread([_line(f"pay to {account} BIC COBADEFF at once", 99.0)], lambda word: word.text)
    assert doubts == ()
    at = account.rindex("0")
    wrong = account[:at] + "8" + account[at + 1 :]
    lines, doubts = reread([_line(f"pay to {wrong} BIC COBADEFF at once", 99.0)], lambda word: word.text)
    assert [doubt.told for doubt in doubts] == [f"{wrong} (its check digits are wrong)"]
    assert " ".join(word.text for word in lines[0].words if word.doubtful) == wrong


@given(st.text(max_size=60), st.floats(0, 100))
def test_rereading_never_changes_a_text(text: str, confidence: float) -> None:
    line = _line(text, confidence)
    lines, _ = reread([line], lambda word: "")
    assert [word.text for word in lines[0].words] == text.split()


@pytest.mark.parametrize("language", sorted(TEXTS))
@pytest.mark.parametrize("image", [False, True])
def test_a_letter_in_any_language_is_a_text_layer(language: str, image: bool) -> None:
    assert ocr.trustworthy(TEXTS[language], image) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 characters"),
        ("Page 1 of 300                                                   ", "fewer than 32"),
        ("1.250,00 17.03.2029 5.550,10 44.17 901,33 12 13 14 15", "letters"),
        ("T h e c o u n c i l o f t h e b o r o u g h c o n s i d e r e d", "single letters"),
        ("\ue010\ue011\ue012 the council of the borough considered it", "mean nothing outside its font"),
        ("the council of the \ufffd\ufffd\ufffd borough considered it", "mean nothing outside its font"),
    ],
)
def test_a_bad_text_layer_says_why(text: str, reason: str) -> None:
    assert reason in (ocr.trustworthy(text) or "")


def test_foreign_garbage_under_a_picture_is_not_trusted() -> None:
    garbage = " ".join(["wqxz kjvb pfgh zzxq"] * 15)
    assert ocr.trustworthy(garbage) is None
    assert "no common words" in (ocr.trustworthy(garbage, full_page_image=True) or "")


def test_one_page_in_ten_is_compared() -> None:
    assert [page for page in range(1, 32) if ocr.sampled(page)] == [1, 11, 21, 31]


def _page(text: str, band: str = "accepted") -> ocr.PageText:
    lines = tuple(_line(part) for part in text.split("\n\n"))
    return ocr.PageText(lines, PageRead(1, 595, 842, "ocr", band=band))  # type: ignore[arg-type]


def test_a_layer_that_says_something_else_than_the_picture_is_told() -> None:
    page = _page(TEXTS["en"])
    assert ocr.agreement(TEXTS["en"], page) is None
    assert ocr.agreement(TEXTS["en"].replace("council", "counsel"), page) is None
    assert "agree in" in (ocr.agreement(TEXTS["en"][: len(TEXTS["en"]) // 2], page) or "")
    assert "agree in" in (ocr.agreement(TEXTS["de"], page) or "")
    assert ocr.agreement(TEXTS["de"], _page(TEXTS["en"], "rejected")) is None


def test_a_page_is_told_with_its_paragraphs() -> None:
    lines = tuple(ocr.Line(_line(text).words, _PLACE, block) for text, block in (("a b", 1), ("c d", 1), ("e", 2)))
    assert ocr.PageText(lines, PageRead(1, 1, 1, "ocr")).text == "a b\nc d\n\ne"


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("Größe, Café 12", {"Latin": 1.0}),
        ("ο δήμος ab", {"Greek": 0.75, "Latin": 0.25}),
        ("дом שלום", {"Hebrew": 4 / 7, "Cyrillic": 3 / 7}),
        ("سنة", {"Arabic": 1.0}),
        ("12.05.2026", {}),
    ],
)
def test_the_scripts_of_a_text_are_counted_by_its_letters(text: str, shares: dict[str, float]) -> None:
    assert scripts_in(text) == pytest.approx(shares)
    assert list(scripts_in(text)) == list(shares)
