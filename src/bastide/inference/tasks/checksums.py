"""Numbers that carry their own proof: account, card and identity numbers, each by the rule of who issues it."""

from __future__ import annotations

import re
from typing import Final

# How long an IBAN is, by country (the registry of ISO 13616 that SWIFT keeps; Europe and its neighbours).
_IBAN_LENGTHS: Final = {
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
    if not found.isascii() or _IBAN_LENGTHS.get(found[:2]) != len(found) or not found[2:4].isdigit():
        return False
    return int("".join(str(int(sign, 36)) for sign in found[4:] + found[:4])) % 97 == 1


def card(number: str) -> bool:
    """A payment card of 13 to 19 digits by the rule of Luhn."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit if at % 2 == 0 else digit * 2 - 9 * (digit > 4) for at, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


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
    total = sum(int(sign) * weight for sign, weight in zip(found, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=False))
    return (10 - total % 10) % 10 == int(found[10])


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
    product = 10
    for sign in found[:10]:
        total = (int(sign) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(found[10])


def bsn(number: str) -> bool:
    """The Netherlands' BSN: nine digits that pass the test of eleven."""
    found = compact(number)
    if not re.fullmatch(r"\d{9}", found) or found == "0" * 9:
        return False
    return (sum(int(sign) * (9 - at) for at, sign in enumerate(found[:8])) - int(found[8])) % 11 == 0


def national_id(number: str) -> bool:
    """An identity number of one of these countries, by its own checksum; the Dutch one is too short to be told."""
    return any(rule(number) for rule in (dni, codice_fiscale, pesel, nir, steuer_id))
