"""What is found without a model: names and ties in seven languages, dates, sums, citations, definitions, terms."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.knowledge.graph import Extracted, extracted
from bastide.knowledge.graph.citing import act_in, cited
from bastide.knowledge.graph.dates import amounts, dates
from bastide.knowledge.graph.defining import defined, shortened
from bastide.knowledge.graph.naming import THIS, id_of, key_in, key_of, plain
from bastide.knowledge.reading import Limits, cut, read

TRUTH: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "truth.toml").read_text(encoding="utf-8"))
TYPES = ("person", "organisation", "place", "event")


def found_in(text: str) -> Extracted:
    """What a text gives."""
    reading = read("text.md", text.encode(), Limits())
    return extracted(reading, tuple(cut(reading)))


def ties_of(found: Extracted) -> set[tuple[str, str, str]]:
    """(from, type, to) of the ties that a cue told."""
    names = {one.key: one.name for one in found.names} | {THIS: "this"}
    return {(names[one.a], one.type, names[one.b]) for one in found.ties if one.type != "related_to"}


# The texts were written before the figures were seen; at first sight they were names P 0.93 to 1, R 0.87 to 1, ties
# P 1, R 0.75 to 1. What was missing was mended in general (a title in small letters, `plc`, an elided article).
@pytest.mark.parametrize("language", sorted(TRUTH))
def test_names_and_ties_of_a_language(language: str) -> None:
    truth = TRUTH[language]
    found = found_in(truth["text"])
    names = {(one.type, one.name) for one in found.names if one.type in TYPES}
    wanted = {(type, name) for type in TYPES for name in truth.get(type, ())}
    right = names & wanted
    assert len(right) / len(names) >= 0.9, names - wanted
    assert len(right) / len(wanted) >= 0.95, wanted - names
    ties, stated = ties_of(found), {(a, type, b) for a, type, b in truth["ties"]}
    assert ties <= stated, ties - stated
    assert len(ties & stated) / len(stated) >= 0.9, stated - ties


@pytest.mark.parametrize(
    ("text", "first", "after", "precision"),
    [
        ("on 30 June 2031", "2031-06-30", "2031-07-01", "day"),
        ("on the 3rd of May 2021", "2021-05-03", "2021-05-04", "day"),
        ("on March 5, 2024", "2024-03-05", "2024-03-06", "day"),
        ("am 3. März 2024", "2024-03-03", "2024-03-04", "day"),
        ("am 03.04.2024", "2024-04-03", "2024-04-04", "day"),
        ("le 1er janvier 2020", "2020-01-01", "2020-01-02", "day"),
        ("le 4 août 1994", "1994-08-04", "1994-08-05", "day"),
        ("el 5 de mayo de 2020", "2020-05-05", "2020-05-06", "day"),
        ("il 1° gennaio 2022", "2022-01-01", "2022-01-02", "day"),
        ("op 31 december 1999", "1999-12-31", "2000-01-01", "day"),
        ("dnia 3 maja 2020 r.", "2020-05-03", "2020-05-04", "day"),
        ("2024-02-29", "2024-02-29", "2024-03-01", "day"),
        ("in December 2023", "2023-12-01", "2024-01-01", "month"),
        ("im 4. Quartal 2023", "2023-10-01", "2024-01-01", "quarter"),
        ("in Q1 2024", "2024-01-01", "2024-04-01", "quarter"),
        ("in 2019", "2019-01-01", "2020-01-01", "year"),
        ("the years 2014-2018", "2014-01-01", "2019-01-01", "span"),
        ("from 1 May 2020 to 3 June 2021", "2020-05-01", "2021-06-04", "span"),
        ("vom 1. Mai 2020 bis zum 3. Juni 2021", "2020-05-01", "2021-06-04", "span"),
        ("since 2019", "2019-01-01", None, "since year"),
        ("seit dem 1. April 2010", "2010-04-01", None, "since day"),
        ("depuis mars 2015", "2015-03-01", None, "since month"),
        ("until 31 May 2020", None, "2020-06-01", "until day"),
    ],
)
def test_a_date(text: str, first: str | None, after: str | None, precision: str) -> None:
    (one,) = dates(f"It was {text} as they say")
    assert (one.first, one.after, one.precision) == (
        date.fromisoformat(first) if first else None,
        date.fromisoformat(after) if after else None,
        precision,
    )


@pytest.mark.parametrize(
    "text",
    [
        "on 30 February 2021",
        "2023-02-29",
        "call 0171 2024 3333",
        "IBAN DE89 3704 0044 0532 0130 00",
        "version 1.2.2024.7",
        "2019 euros",
        "Regulation 2016/679",
        "room 2019b",
        "3 May",
        "31.12.20245",
    ],
)
def test_no_date(text: str) -> None:
    assert dates(text) == []


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("EUR 1,234.50", "1234.50", "EUR"),
        ("1.234,50 Euro", "1234.50", "EUR"),
        ("€ 20", "20", "EUR"),
        ("1 200 zł", "1200", "PLN"),
        ("$3.5 million", "3500000", "USD"),
        ("2,5 Mio. Euro", "2500000", "EUR"),
        ("3 millions d'euros", "3000000", "EUR"),
        ("CHF 10'000", "10000", "CHF"),
        ("£12", "12", "GBP"),
        ("5 mld zł", "5000000000", "PLN"),
    ],
)
def test_a_sum(text: str, value: str, currency: str) -> None:
    (one,) = amounts(f"They paid {text} at once.")
    assert (one.value, one.currency) == (Decimal(value), currency)


@pytest.mark.parametrize(
    ("text", "place", "detail", "act"),
    [
        ("see Article 17(1)", "article 17", "(1)", ""),
        ("nach § 823 Abs. 1 BGB", "article 823", "Abs. 1", "act bgb"),
        ("art. 5, alinéa 2", "article 5", ", alinéa 2", ""),
        ("Article 5(1)(f) of Regulation (EU) 2016/679", "article 5", "(1)(f)", "act 2016/679"),
        ("Art. 6 Abs. 1 Buchst. f DSGVO", "article 6", "Abs. 1 Buchst. f", "act 2016/679"),
        ("under Directive 95/46/EC", "", "", "act 95/46"),
        ("der Richtlinie (EU) 2016/680", "", "", "act 2016/680"),
        ("la loi n° 94-665", "", "", "act 94-665"),
        ("artikel 73 van de AI-verordening", "article 73", "", "act 2024/1689"),
        ("l'article L. 231-1", "article l231-1", "", ""),
        ("artículo 12 del Reglamento (UE) 2016/679", "article 12", "", "act 2016/679"),
    ],
)
def test_a_citation(text: str, place: str, detail: str, act: str) -> None:
    (one,) = cited(f"It says so {text} and there.")
    assert (one.place, one.detail.strip(", "), one.act) == (place, detail.strip(", "), act)


@pytest.mark.parametrize(
    ("text", "places", "act"),
    [
        ("Articles 12 to 14 of Regulation (EU) 2016/679", (12, 13, 14), "act 2016/679"),
        ("§§ 3-5 BGB", (3, 4, 5), "act bgb"),
        ("§§ 3 bis 5 EGovG", (3, 4, 5), "act egovg"),
        ("les articles 12 à 14 du règlement (UE) 2016/679", (12, 13, 14), "act 2016/679"),
        ("los artículos 12 a 14", (12, 13, 14), ""),
        ("gli articoli da 12 a 14", (12, 13, 14), ""),
        ("de artikelen 12 tot en met 14", (12, 13, 14), ""),
        ("art. 12-14", (12, 13, 14), ""),
        ("artykuły od 12 do 14", (12, 13, 14), ""),
        ("§ 5 Abs. 2 Satz 1 Nr. 3 EGovG", (5,), "act egovg"),
        ("§ 5 dieses Gesetzes", (5,), ""),
        ("l'article 12 bis", (12,), ""),
        ("Articles 14 to 12", (14,), ""),
        ("Articles 1 to 9999", (1,), ""),
    ],
)
def test_a_range_is_each_of_its_places(text: str, places: tuple[int, ...], act: str) -> None:
    found = cited(f"It says so in {text}, and there.")
    assert [one.place for one in found] == [f"article {number}" for number in places]
    assert {one.act for one in found} == {act}
    assert len({(one.start, one.end) for one in found}) == 1


def test_a_german_act_that_cites_itself_by_its_short_name_cites_this_document() -> None:
    text = (
        "# Gesetz über die elektronische Verwaltung (E-Government-Gesetz - EGovG)\n\n"
        "Der Zugang nach § 2 Abs. 1 EGovG und § 3 dieses Gesetzes bleibt offen, § 126a BGB gilt."
    )
    found = found_in(text)
    assert [(one.place, one.act is None) for one in found.citations] == [
        ("article 2", True),
        ("article 3", True),
        ("article 126a", False),
    ]


@pytest.mark.parametrize("text", ["Data Protection\nBoard (EDPB)", "Data Protection Board\n(EDPB)"])
def test_a_name_may_go_over_the_end_of_a_line(text: str) -> None:
    (one,) = shortened(f"The European {text} met.")
    assert " ".join(f"The European {text} met."[one.start : one.end].split()) == "European Data Protection Board"
    assert shortened("European Data\n\nProtection Board (EDPB)") == []


@pytest.mark.parametrize(
    "text",
    ["IBAN DE89 3704 0044 0532 0130 00", "tel. 030/1234567", "the ratio 16/9", "Part 4", "an article of clothing"],
)
def test_no_citation(text: str) -> None:
    assert cited(text) == []


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("‘controller’ means the natural person", "controller"),
        ("„Verantwortlicher“ bezeichnet die Person", "Verantwortlicher"),
        ("« responsable du traitement » désigne la personne", "responsable du traitement"),
        ("«responsable del tratamiento»: la persona", "responsable del tratamiento"),
        ("«titolare del trattamento» indica la persona", "titolare del trattamento"),
        ("„administrator” oznacza osobę", "administrator"),
        ('"Premises" shall mean the ground floor', "Premises"),
    ],
)
def test_a_definition(text: str, term: str) -> None:
    (one,) = defined(text)
    assert text[one.start : one.end].strip() == term


def test_an_acronym_is_explained_by_the_words_before_it() -> None:
    text = (
        "The European Data Protection Board (EDPB) and the chair (CEO) met, under a Regulation (EU) 2016/679 (the act)."
    )
    (one,) = shortened(text)
    assert (text[one.start : one.end], text[one.short_start : one.short_end]) == (
        "European Data Protection Board",
        "EDPB",
    )
    for wrong in ("He left (EDPB).", "data protection (DP)", "A Board (XY)", "(AB)"):
        assert shortened(wrong) == []


def test_acts_are_tied_by_what_is_done_to_them() -> None:
    found = found_in(
        "# Regulation (EU) 2031/77\n\nHaving regard to Directive 2001/1/EC. This act is an act amending Regulation "
        "(EU) 2020/5. Directive 95/46/EC is repealed. See Decision 2009/10/EC."
    )
    assert ties_of(found) == {
        ("this", "based_on", "Directive 2001/1/EC"),
        ("this", "amends", "Regulation (EU) 2020/5"),
        ("this", "repeals", "Directive 95/46/EC"),
        ("this", "refers_to", "Decision 2009/10/EC"),
    }
    (own,) = [one for one in found.names if one.self]
    assert own.key == key_of("act 2031/77")
    assert act_in("Some memo about nothing") == ""


def test_terms_meet_in_singular_and_plural() -> None:
    found = found_in("A personal data breach is reported. Personal data breaches are rare. The data subject is told.")
    assert [one.times for one in found.names if one.name == "personal data breach"] == [2]
    german = found_in("Der Auftragsverarbeiter handelt. Die Verarbeitung des Auftragsverarbeiters endet.")
    assert [one.times for one in german.names if one.name == "Auftragsverarbeiter"] == [2]


def test_every_span_is_in_its_passage() -> None:
    for truth in TRUTH.values():
        reading = read("text.md", truth["text"].encode(), Limits())
        pieces = {piece.ord: piece for piece in cut(reading)}
        found = extracted(reading, tuple(pieces.values()))
        for one in (*found.names, *found.ties, *found.facts, *found.citations):
            assert pieces[one.chunk].start <= one.start < one.end <= pieces[one.chunk].end
        for name in found.names:
            assert plain(" ".join(reading.text[name.start : name.end].split()), "name")


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("AbcÉß .,;:()[]§0123456789/-'’„“«»\nIVX€&@\u202e\u0301"), max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    reading = read("text.md", f"Text.\n\n{text}".encode(), Limits())
    found = extracted(reading, tuple(cut(reading)))
    assert all(one.start < one.end for one in found.names)


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_id_holds_its_key(key: int) -> None:
    assert key_in(id_of(key)) == key
