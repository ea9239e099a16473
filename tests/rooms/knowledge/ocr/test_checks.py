"""Invention, doubts and text layers: laws and cases that need no engine."""

from __future__ import annotations

import pytest
from benchmarks.scans.texts import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.reading import PageRead, ocr
from bastide.knowledge.reading.ocr.invention import in_order, invented
from bastide.knowledge.reading.ocr.rereading import READS_MAX, is_value, reread, valid_iban

_PLACE = ocr.Place(0, 0, 10, 10)
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


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_the_truth_is_never_an_invention(language: str) -> None:
    lines = [_line(part) for part in TEXTS[language].split("\n\n")]
    assert invented(lines, TEXTS[language], width=2000, height=40) is None


def test_a_rewording_a_shuffle_and_a_summary_are_inventions() -> None:
    lines = [_line(part) for part in TEXTS["en"].split("\n\n")]
    parts = TEXTS["en"].split("\n\n")
    told = {
        "shuffled": "\n\n".join([parts[2], parts[1], parts[0]]),
        "summary": "The council agreed to four payments.",
        "other": TEXTS["fr"],
        "cut": TEXTS["en"][: len(TEXTS["en"]) * 9 // 10],
    }
    for text in told.values():
        assert "come again in order" in (invented(lines, text, width=2000, height=40) or "")


def test_where_nothing_was_certain_the_answer_must_fit_into_the_picture() -> None:
    blurred = [_line("xx yy zz", 30.0)]
    assert invented(blurred, "The rent is 1,250 euros.", width=900, height=40) is None
    assert "do not fit" in (invented(blurred, TEXTS["en"], width=900, height=40) or "")


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
    assert doubts == ("14.03.2029 (second reading: 14.08.2029)",)
    assert [word.text for line in lines for word in line.words if word.doubtful] == ["14.03.2029"]
    assert [line.text for line in lines] == [sure.text, unsure.text]


def test_beyond_the_reads_of_one_page_every_unsure_value_is_a_doubt() -> None:
    amounts = [f"{n},00" for n in range(100, 100 + READS_MAX + 3)]
    _, doubts = reread([_line(" ".join(amounts), 50.0)], lambda word: word.text)
    assert len(doubts) == 3
    assert all("not read a second time" in doubt for doubt in doubts)


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
    assert doubts == (f"{wrong} (its check digits are wrong)",)
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
