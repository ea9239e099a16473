"""Numbers that carry their own proof: account, card and identity numbers, each by the rule of who issues it.

Every rule takes the number as it may be written, with blanks and points; those that hold a day of birth want a day
that exists. The rules are arithmetic: that such a number was ever given to anybody, none of them can know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

# How long an IBAN is, by country (the registry of ISO 13616 that SWIFT keeps; Europe and its neighbours).
IBAN_LENGTHS: Final = {
    "AD": 24, "AL": 28, "AT": 20, "BA": 20, "BE": 16, "BG": 22, "BY": 28, "CH": 21, "CY": 28, "CZ": 24, "DE": 22,
    "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "RS": 22, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29, "VA": 22, "XK": 20,
}  # fmt: skip
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_FISCALE_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def compact(number: str) -> str:
    """Letters and digits alone, upper case."""
    return re.sub(r"[\W_]", "", number).upper()


def iban(number: str) -> bool:
    """ISO 13616: the length of its country, and the remainder 1 by 97."""
    found = compact(number)
    if not found.isascii() or IBAN_LENGTHS.get(found[:2]) != len(found) or not found[2:4].isdigit():
        return False
    return int("".join(str(int(sign, 36)) for sign in found[4:] + found[:4])) % 97 == 1


def card(number: str) -> bool:
    """A payment card of 13 to 19 digits by the rule of Luhn."""
    found = compact(number)
    return bool(re.fullmatch(r"[0-9]{13,19}", found)) and len(set(found)) > 1 and luhn(found)


def luhn(digits: str) -> bool:
    """The rule of Luhn: every second digit from the right doubled, the sum a multiple of ten."""
    odd = sum(map(int, digits[::-2]))
    return (odd + sum(int(sign) * 2 - 9 * (sign > "4") for sign in digits[-2::-2])) % 10 == 0


def day(year: int, month: str | int, of_month: str | int) -> bool:
    """Whether there is such a day."""
    try:
        date(year, int(month), int(of_month))
    except ValueError:
        return False
    return True


def dni(number: str) -> bool:
    """Spain's DNI and NIE: the letter is the number's remainder by 23."""
    found = compact(number)
    if not re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", found):
        return False
    return _DNI_LETTERS[int(found[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == found[-1]


def codice_fiscale(number: str) -> bool:
    """Italy's codice fiscale: the last letter is the sum of the weights of the others by 26."""
    found = compact(number)
    if not re.fullmatch(r"[A-Z]{6}[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]", found):
        return False
    total = sum(
        _FISCALE_ODD[sign] if at % 2 == 0 else int(sign) if sign.isdigit() else ord(sign) - ord("A")
        for at, sign in enumerate(found[:15])
    )
    return chr(ord("A") + total % 26) == found[15]


def pesel(number: str) -> bool:
    """Poland's PESEL: weights 1, 3, 7, 9 and a check digit."""
    found = compact(number)
    if not re.fullmatch(r"\d{11}", found) or found == "0" * 11:
        return False
    century, month = divmod(int(found[2:4]), 20)  # 01-12 for 1900, 21-32 for 2000, 81-92 for 1800
    if not day((1900, 2000, 2100, 2200, 1800)[century] + int(found[:2]), month, found[4:6]):
        return False
    return (10 - _weighed(found, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(found[10])


def nir(number: str) -> bool:
    """France's NIR: 13 signs and a key of two digits, 97 less the remainder by 97; Corsica writes 2A and 2B."""
    found = compact(number)
    if not re.fullmatch(r"[12]\d{4}(?:\d{2}|2A|2B)\d{8}", found):
        return False
    body = int(found[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - body % 97 == int(found[13:])


def steuer_id(number: str) -> bool:
    """Germany's tax identification number: ISO 7064 (11,10), one digit twice or thrice among the first ten."""
    found = compact(number)
    if not re.fullmatch(r"[1-9]\d{10}", found):
        return False
    if max(found[:10].count(digit) for digit in set(found[:10])) not in (2, 3):
        return False
    return _iso_7064(found)


def bsn(number: str) -> bool:
    """The Netherlands' BSN: nine digits that pass the test of eleven."""
    found = compact(number)
    if not re.fullmatch(r"\d{9}", found) or found == "0" * 9:
        return False
    return (_weighed(found, range(9, 1, -1)) - int(found[8])) % 11 == 0


def siren(number: str) -> bool:
    """France's SIREN (9 digits) and SIRET (14): the rule of Luhn. They name an enterprise, not a person."""
    found = compact(number)
    return bool(re.fullmatch(r"\d{9}|\d{14}", found)) and len(set(found)) > 1 and luhn(found)


def belgian(number: str) -> bool:
    """Belgium's national number: a day of birth, and 97 less the remainder by 97; with a 2 before it since 2000."""
    found = compact(number)
    if not re.fullmatch(r"\d{11}", found):
        return False
    month = int(found[2:4]) % 20  # a bis number adds 20 or 40 to the month
    for century, before in ((1900, ""), (2000, "2")):
        if 97 - int(before + found[:9]) % 97 == int(found[9:]):
            return month == 0 or day(century + int(found[:2]), month, int(found[4:6]) or 1)
    return False


def nif(number: str) -> bool:
    """Portugal's NIF: weights 9 to 2, by 11."""
    found = compact(number)
    if not re.fullmatch(r"[1235689]\d{8}", found):
        return False
    left = _weighed(found, range(9, 1, -1)) % 11
    return (0 if left < 2 else 11 - left) == int(found[8])


def afm(number: str) -> bool:
    """Greece's AFM: weights of powers of two, by 11, by 10."""
    found = compact(number)
    if not re.fullmatch(r"\d{9}", found) or found == "0" * 9:
        return False
    return _weighed(found, (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == int(found[8])


def amka(number: str) -> bool:
    """Greece's AMKA: a day of birth and the rule of Luhn."""
    found = compact(number)
    return bool(re.fullmatch(r"\d{11}", found)) and _day_first(found) and luhn(found)


def personnummer(number: str) -> bool:
    """Sweden's personnummer, with or without its century: a day of birth (60 more for who is only there), Luhn."""
    found = compact(number)
    if not re.fullmatch(r"(?:1[89]|20)?\d{10}", found):
        return False
    short = found[-10:]
    century = int(found[:2]) * 100 if len(found) == 12 else 2000
    of_month = int(short[4:6])
    return day(century + int(short[:2]), short[2:4], of_month - 60 if of_month > 60 else of_month) and luhn(short)


def hetu(number: str) -> bool:
    """Finland's henkilötunnus: a day of birth, the sign of its century, and the remainder by 31 as a sign."""
    found = re.fullmatch(r"(\d{6})[-+A-FU-Y](\d{3})([0-9A-FHJ-NPR-Y])", number.upper())
    if found is None or not _day_first(found[1]):
        return False
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(found[1] + found[2]) % 31] == found[3]


def cpr(number: str) -> bool:
    """Denmark's CPR: a day of birth and four digits; since 2007 there is nothing to check in them."""
    found = compact(number)
    return bool(re.fullmatch(r"\d{10}", found)) and _day_first(found)


def svnr(number: str) -> bool:
    """Austria's insurance number: a day of birth, and a fourth digit that is the weighed sum by 11."""
    found = compact(number)
    if not re.fullmatch(r"[1-9]\d{9}", found) or not (1 <= int(found[4:6]) <= 31 and 1 <= int(found[6:8]) <= 15):
        return False
    return _weighed(found, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(found[3])


def pps(number: str) -> bool:
    """Ireland's PPS number: seven digits, and the remainder by 23 as a letter; a second letter counts nine."""
    found = compact(number)
    if not re.fullmatch(r"\d{7}[A-W][A-IW]?", found):
        return False
    more = 0 if len(found) == 8 or found[8] == "W" else ord(found[8]) - ord("A") + 1
    return "WABCDEFGHIJKLMNOPQRSTUV"[(_weighed(found, range(8, 1, -1)) + more * 9) % 23] == found[7]


def cnp(number: str) -> bool:
    """Romania's CNP: sex and century, a day of birth, a county, and the weighed sum by 11."""
    found = compact(number)
    if not re.fullmatch(r"[1-8]\d{12}", found):
        return False
    century = {"1": 1900, "2": 1900, "3": 1800, "4": 1800}.get(found[0], 2000)
    if not day(century + int(found[1:3]), found[3:5], found[5:7]) or not 1 <= int(found[7:9]) <= 52:
        return False
    left = _weighed(found, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if left == 10 else left) == int(found[12])


def egn(number: str) -> bool:
    """Bulgaria's EGN: a day of birth whose month tells the century, and the weighed sum by 11."""
    found = compact(number)
    if not re.fullmatch(r"\d{10}", found):
        return False
    century, month = divmod(int(found[2:4]), 20)
    if century > 2 or not day((1900, 1800, 2000)[century] + int(found[:2]), month, found[4:6]):
        return False
    return _weighed(found, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10 == int(found[9])


def rodne_cislo(number: str) -> bool:
    """The Czech and Slovak birth number: a day (50 more in the month for women), the whole a multiple of 11."""
    found = compact(number)
    if not re.fullmatch(r"\d{9,10}", found):
        return False
    month = int(found[2:4]) % 50
    if not day(2000, month - 20 if month > 20 else month, found[4:6]):
        return False
    if len(found) == 9:  # until 1953 there was no check digit
        return int(found[:2]) <= 53 and found[6:] != "000"
    return int(found) % 11 == 0 or (int(found[:9]) % 11 == 10 and found[9] == "0")


def oib(number: str) -> bool:
    """Croatia's OIB: ISO 7064 (11,10)."""
    found = compact(number)
    return bool(re.fullmatch(r"\d{11}", found)) and found != "0" * 11 and _iso_7064(found)


def baltic(number: str) -> bool:
    """The personal codes of Estonia and Lithuania: sex and century, a day of birth, two rows of weights by 11."""
    found = compact(number)
    if not re.fullmatch(r"[1-6]\d{10}", found):
        return False
    if not day(1800 + (int(found[0]) - 1) // 2 * 100 + int(found[1:3]), found[3:5], found[5:7]):
        return False
    left = _weighed(found, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if left == 10:
        left = _weighed(found, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return left == int(found[10])


def norwegian(number: str) -> bool:
    """Norway's number: a day of birth (40 more for who is only there) and two check digits."""
    found = compact(number)
    if not re.fullmatch(r"\d{11}", found):
        return False
    of_month = int(found[:2])
    if not day(2000, found[2:4], of_month - 40 if of_month > 40 else of_month):
        return False
    first, second = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
    return _weighed(found, first) % 11 == 0 and _weighed(found, second) % 11 == 0


def ahv(number: str) -> bool:
    """Switzerland's AHV number: 756, and the check digit of an EAN."""
    found = compact(number)
    return bool(re.fullmatch(r"756\d{10}", found)) and _weighed(found, (1, 3) * 6 + (1,)) % 10 == 0


def nhs(number: str) -> bool:
    """The United Kingdom's NHS number: weights 10 to 2, by 11."""
    found = compact(number)
    return bool(re.fullmatch(r"[1-9]\d{9}", found)) and -_weighed(found, range(10, 1, -1)) % 11 == int(found[9])


def kvnr(number: str) -> bool:
    """Germany's health insurance number: a letter that counts as two digits, and weights 1 and 2."""
    found = compact(number)
    if not re.fullmatch(r"[A-Z]\d{9}", found):
        return False
    digits = f"{ord(found[0]) - 64:02}{found[1:9]}"
    products = [int(sign) * (1 + at % 2) for at, sign in enumerate(digits)]
    return sum(one // 10 + one % 10 for one in products) % 10 == int(found[9])


def _weighed(digits: str, weights: Iterable[int]) -> int:
    """The sum of the first digits, each times its weight."""
    return sum(int(sign) * weight for sign, weight in zip(digits, weights, strict=False))


def _iso_7064(digits: str) -> bool:
    """ISO 7064 (11,10): the last of the digits is the check of those before."""
    product = 10
    for sign in digits[:-1]:
        product = ((int(sign) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def _day_first(digits: str) -> bool:
    """Whether DDMMYY stands there; of the century nothing is known, so a leap day is believed in."""
    return day(2000, digits[2:4], digits[:2])
