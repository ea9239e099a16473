"""What is found in a text by its form: always where it stands, with its checksum, in seven languages."""

from __future__ import annotations

import string
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.inference.tasks.entities import by_form
from bastide.inference.tasks.names import NAME_KINDS, find_names
from bastide.inference.tasks.occurrences import Shadow, apart, fold, unaccented, without_overlaps
from bastide.inference.tasks.patterns import KINDS_FOUND, find, number_in
from bastide.inference.tasks.pieces import pieces
from bastide.inference.tasks.words import first_words, invented_numbers, key_phrases

TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from(" .,;:\n-§@+€äöüßéłŁØ’\u00ad\u200b" + string.ascii_letters + string.digits)),
    max_size=400,
)


def normals(text: str, kind: str) -> list[str]:
    """The machine forms of what is found of a kind."""
    return [one.normal for one in find(text, [kind])]


# -- dates, amounts, addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("on 3 May 2027", "2027-05-03"),
        ("on May 3rd, 2027", "2027-05-03"),
        ("am 3. März 2027", "2027-03-03"),
        ("am 03.05.2027", "2027-05-03"),
        ("le 1er août 2026", "2026-08-01"),
        ("op 3 mei 2027", "2027-05-03"),
        ("el 3 de mayo de 2027", "2027-05-03"),
        ("il 3 maggio 2027", "2027-05-03"),
        ("dnia 3 września 2027", "2027-09-03"),
        ("on 2027-05-03", "2027-05-03"),
        ("by 12/31/2027", "2027-12-31"),
        ("on 3 May", "--05-03"),
        ("on 29 February 2028", "2028-02-29"),
    ],
)
def test_a_date_is_read_in_the_way_of_its_language(said: str, meant: str) -> None:
    assert normals(f"It ends {said}, or later.", "date") == [meant]


@pytest.mark.parametrize("said", ["30 February 2027", "29 February 2027", "2027-13-01", "45.05.2027", "1.2.3.4"])
def test_a_day_that_does_not_exist_is_no_date(said: str) -> None:
    assert normals(f"It ends on {said}.", "date") in ([], ["--02-29"])


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1.234,50 EUR", "1234.50 EUR"),
        ("1,234.50 euros", "1234.50 EUR"),
        ("€ 12", "12 EUR"),
        ("2.4 million euros", "2400000 EUR"),
        ("2,4 Millionen Euro", "2400000 EUR"),
        ("3 mld zł", "3000000000 PLN"),
        ("$1,000", "1000 USD"),
        ("CHF 12'500.00", "12500 CHF"),
        ("12 500,00 €", "12500 EUR"),
        ("0,99 €", "0.99 EUR"),
    ],
)
def test_an_amount_is_read_whichever_of_point_and_comma_parts_it(said: str, meant: str) -> None:
    assert normals(f"It costs {said} a year.", "amount") == [meant]


def test_addresses_of_mail_and_web_end_where_their_sentence_does() -> None:
    text = "Write to Ada.Lovelace+x@mail.example.org, or see https://example.org/a?b=c#d. (www.example.com/x)"
    assert [one.text for one in find(text, ["email", "url"])] == [
        "Ada.Lovelace+x@mail.example.org",
        "https://example.org/a?b=c#d",
        "www.example.com/x",
    ]


@pytest.mark.parametrize(
    "said",
    ["+49 40 1234567", "030/1234567", "+33 6 12 34 56 78", "0049 (0)40 123 45 67", "(030) 901820", "+48 601-234-567"],
)
def test_a_phone_is_found(said: str) -> None:
    assert [one.text for one in find(f"Call {said} today.", ["phone"])] == [said]


@pytest.mark.parametrize("said", ["2027-05-03", "1.234,50", "12", "03.05.2027"])
def test_what_is_no_phone_is_not_found(said: str) -> None:
    assert find(f"Call {said} today.", ["phone"]) == []


@pytest.mark.parametrize(
    ("said", "meant"), [("1.234", 1234), ("0.125", 0.125), ("1,5", 1.5), ("1.234.567,8", 1234567.8)]
)
def test_a_figure_is_read_as_it_is_meant(said: str, meant: float) -> None:
    assert number_in(said) == meant


# -- accounts ------------------------------------------------------------------------------------------


def test_an_account_is_found_only_if_it_is_one() -> None:
    good, bad = "DE89 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"
    assert normals(f"Pay to {good} today or to {bad} never.", "iban") == ["DE89370400440532013000"]


@given(st.integers(0, 10**18 - 1))
def test_any_german_account_with_its_check_digits_is_found(number: int) -> None:
    body = f"{number:018}"
    digits = 98 - int(f"{body}131400") % 97
    said = f"DE{digits:02}{body}"
    assert normals(f"Konto: {said}, danke.", "iban") == [said]


# -- laws -----------------------------------------------------------------------------------------------


@given(TEXTS)
def test_what_is_found_stands_there_in_order_and_overlaps_nothing(text: str) -> None:
    found = by_form(text, [*NAME_KINDS, *KINDS_FOUND, "number"])
    assert all(text[one.start : one.end] == one.text and one.text for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@given(TEXTS, st.integers(10, 120))
def test_pieces_are_the_whole_text_and_none_is_too_long(text: str, most: int) -> None:
    found = pieces(text, most)
    assert "".join(piece.text for piece in found) == text
    assert all(len(piece.text) <= most and text[piece.start : piece.end] == piece.text for piece in found)


@given(TEXTS, st.data())
def test_a_part_of_a_text_is_found_however_it_is_written(text: str, data: st.DataObject) -> None:
    words = [word for word in text.split() if word.strip(string.punctuation + "§€’\u00ad\u200b").isalnum()]
    if not words:
        return
    word = data.draw(st.sampled_from(words))
    assert all(fold(text[start:end]) == fold(word) for start, end in Shadow(text).find(word))
    assert Shadow(text).holds(word)
    assert Shadow(text.upper()).holds(word) or "ß" in word  # one letter becomes two


@given(TEXTS)
def test_bare_letters_keep_every_place(text: str) -> None:
    assert len(unaccented(text)) == len(text)


@given(TEXTS)
def test_first_words_are_the_beginning_of_the_text(text: str) -> None:
    assert text.strip().startswith(first_words(text, 3))


@given(TEXTS)
def test_no_number_of_a_text_is_invented(text: str) -> None:
    assert invented_numbers(text, text) == []
    assert invented_numbers("In 98765432101234 years.", text) == ["98765432101234"]


def test_two_things_that_overlap_are_one() -> None:
    found = find("12345678Z", ["national_id", "number"])
    assert len(found) == 1
    assert apart(found, found) == []
    assert without_overlaps([*found, *found]) == found


# -- names ----------------------------------------------------------------------------------------------


def names(text: str) -> set[tuple[str, str]]:
    """Names with their kinds."""
    return {(one.text, one.kind) for one in find_names(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yesterday Anna Nowak met Jan de Vries in Hamburg.", "person Anna Nowak|person Jan de Vries|place Hamburg"),
        ("Frau Müller dankt der Nordwind GmbH in Bonn.", "person Müller|organisation Nordwind GmbH|place Bonn"),
        ("Mme Lefèvre remercie la Banque Postale à Lyon.", "person Lefèvre|organisation Banque Postale|place Lyon"),
        ("De heer Jansen werkt bij Zonnig B.V. in Utrecht.", "person Jansen|organisation Zonnig B.V.|place Utrecht"),
        ("El señor García vive en Madrid.", "person García|place Madrid"),
        ("La signora Rossi lavora per Luce S.p.A. a Torino.", "person Rossi|organisation Luce S.p.A.|place Torino"),
        ("Pan Kowalski pracuje w Wiatr Sp. z o.o. w Gdańsk.", "person Kowalski|place Gdańsk"),
        ("He lives at Lindenstraße 12 in 20095 Hamburg.", "address Lindenstraße 12|address 20095 Hamburg"),
        ("Elle habite 12 rue de la Paix.", "address 12 rue de la Paix"),
    ],
)
def test_names_are_told_by_how_they_are_written(text: str, expected: str) -> None:
    found = {f"{kind} {said}" for said, kind in names(text)}
    assert found >= set(expected.split("|")), found


def test_a_german_noun_is_no_name() -> None:
    assert names("Der Vertrag endet mit der Kündigung durch den Mieter. Die Miete ist im Voraus zu zahlen.") == set()


def test_a_surname_alone_is_the_person_again() -> None:
    assert [one.text for one in find_names("Anna Nowak came. Then nobody spoke, and Nowak left.")] == [
        "Anna Nowak",
        "Nowak",
    ]


def test_phrases_are_what_a_text_repeats() -> None:
    text = "The swimming pool closes. The swimming pool is old, and repairs of the swimming pool cost money."
    assert key_phrases(text, 2)[0][0] == "swimming pool"


# -- no text is too odd ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bit", ["1", "111 ", "A-", "Aa ", "a@", "00 ", "rue de la ", "DE89 ", "+49 ", "\n", "a'", "[:|", "((0)"]
)
def test_a_text_made_to_be_slow_is_not(bit: str) -> None:
    text = (bit * 20_000)[:20_000]
    began = time.thread_time()
    by_form(text, [*NAME_KINDS, *KINDS_FOUND, "number"])
    assert time.thread_time() - began < 8.0  # about 0.5 s on an idle core; exponential would be for ever
