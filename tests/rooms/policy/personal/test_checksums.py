"""Each number by the rule of who issues it: a good one holds, and one changed digit breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bastide.policy.personal import checksums as rules

# Published examples of the issuers or well-known ones; no number of a living person.
GOOD: list[tuple[Callable[[str], bool], str]] = [
    (rules.iban, "DE89 3704 0044 0532 0130 00"),
    (rules.iban, "FR14 2004 1010 0505 0001 3M02 606"),
    (rules.iban, "PL61 1090 1014 0000 0712 1981 2874"),
    (rules.iban, "NL91 ABNA 0417 1643 00"),
    (rules.iban, "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    (rules.iban, "NO93 8601 1117 947"),
    (rules.card, "4111 1111 1111 1111"),
    (rules.card, "3782 822463 10005"),
    (rules.dni, "12345678Z"),
    (rules.dni, "X1234567L"),
    (rules.codice_fiscale, "RSSMRA85T10A562S"),
    (rules.pesel, "44051401359"),
    (rules.nir, "2 55 08 14 168 025 38"),
    (rules.nir, "1 84 12 2A 452 089 03"),
    (rules.steuer_id, "86095742719"),
    (rules.bsn, "111222333"),
    (rules.siren, "732 829 320"),
    (rules.belgian, "85.07.30-033.28"),
    (rules.belgian, "17.07.30-033.84"),
    (rules.nif, "123456789"),
    (rules.afm, "094259216"),
    (rules.personnummer, "811218-9876"),
    (rules.personnummer, "19811218-9876"),
    (rules.hetu, "131052-308T"),
    (rules.svnr, "1237 010180"),
    (rules.pps, "1234567FA"),
    (rules.pps, "1234567T"),
    (rules.cnp, "1800101221144"),
    (rules.egn, "7523169263"),
    (rules.rodne_cislo, "736028/5163"),
    (rules.oib, "69435151530"),
    (rules.baltic, "37605030299"),
    (rules.baltic, "33309240064"),
    (rules.ahv, "756.9217.0769.85"),
    (rules.nhs, "943 476 5919"),
    (rules.kvnr, "A123456780"),
]


@pytest.mark.parametrize(("rule", "good"), GOOD, ids=lambda value: getattr(value, "__name__", value))
def test_a_checksum_holds_and_one_changed_sign_breaks_it(rule: Callable[[str], bool], good: str) -> None:
    assert rule(good)
    last = max(place for place, sign in enumerate(good) if sign.isdigit())
    for step in (1, 3):
        changed = good[:last] + str((int(good[last]) + step) % 10) + good[last + 1 :]
        assert not rule(changed)


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in GOOD}, key=lambda rule: rule.__name__))
@pytest.mark.parametrize("odd", ["", "0" * 9, "0" * 10, "0" * 11, "0" * 13, "x" * 16, "9" * 40, "ß½²", "١٢٣٤٥٦٧٨٩٠١"])
def test_what_is_no_number_is_none(rule: Callable[[str], bool], odd: str) -> None:
    assert not rule(odd)


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        (rules.cpr, "310299-1234"),
        (rules.amka, "31130012345"),
        (rules.pesel, "44053201354"),
        (rules.norwegian, "00000000000"),
    ],
)
def test_a_day_that_does_not_exist_makes_no_number(rule: Callable[[str], bool], number: str) -> None:
    assert not rule(number)
