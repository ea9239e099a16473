"""What is told by more than digits: addresses of mail, IBANs, numbers with letters in them, phones, IP addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from bastide.policy.personal import checksums
from bastide.policy.personal.found import Found
from bastide.policy.personal.numbers import AFTER, BEFORE, Said, words

_LOCAL: Final = re.compile(r"(?<![\w.+%'-])[\w+%-][\w.+%'-]{0,63}\Z")
_DOMAIN: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,60})(?![\w-])", re.I
)
_IBAN: Final = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?=[ .-]?[A-Z0-9])", re.I)
_MORE: Final = re.compile(r"[ .-]?([A-Za-z0-9])")

# Forms with letters in them, each with its rule; a third of them need a word before them.
_LETTERED: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool], re.Pattern[str] | None, str], ...]] = (
    (
        "nir",
        re.compile(r"(?<!\w)[12][ .]?\d{2}[ .]?\d{2}[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .-]?\d{2}(?!\w)", re.I),
        checksums.nir,
        None,
        "checksum",
    ),
    (
        "codice_fiscale",
        re.compile(r"(?<!\w)[A-Z]{6}[\dL-NP-V]{2}[A-Z][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z](?!\w)", re.I),
        checksums.codice_fiscale,
        None,
        "checksum",
    ),
    (
        "dni",
        re.compile(r"(?<![\w-])(?:[XYZ][ -]?\d{7}|\d{8}|\d{2}\.\d{3}\.\d{3})[ -]?[A-Z](?!\w)", re.I),
        checksums.dni,
        None,
        "checksum",
    ),
    ("pps", re.compile(r"(?<![\w-])\d{7}[A-W][A-IW]?(?![\w-])", re.I), checksums.pps, None, "checksum"),
    ("hetu", re.compile(r"(?<!\w)\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y](?!\w)", re.I), checksums.hetu, None, "checksum"),
    (
        "kvnr",
        re.compile(r"(?<!\w)[A-Z]\d{9}(?!\w)", re.I),
        checksums.kvnr,
        words(r"kvnr|kv-nummer|krankenversicher\w*|versicherten\w*|versichertennr|egk"),
        "context",
    ),
    (
        "nino",
        re.compile(
            r"(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]( ?)\d{2}\1\d{2}\1\d{2}\1[A-D](?!\w)"
        ),
        lambda found: True,
        None,
        "form",
    ),
    (
        "passport",
        re.compile(r"(?<!\w)(?=[A-Z0-9]{0,4}\d)[A-Z0-9]{7,9}(?!\w)"),
        lambda found: sum(sign.isdigit() for sign in found) >= 5,
        words(r"passport|passeport|reisepass|pasaporte|passaporto|paspoort|paszport\w*|pass(?:nummer|-?nr)"),
        "context",
    ),
)

LETTERED: Final = frozenset(one[0] for one in _LETTERED)
"""The kinds of identity numbers that hold a letter."""
_INTERNATIONAL: Final = re.compile(r"(?<![\w+])(?:\+ ?|(?<!\d[ .-])00)[1-9](?:[ ./()-]{0,3}\d){6,13}(?!\w)(?![.,]\d)")
_NATIONAL: Final = re.compile(r"(?<![\w+])(?<!\w[.,/+-])(?<!\d )\(?0\d(?:[ ./()-]{0,2}\d){5,10}(?!\w)(?![.,/-]\w)")
_OF_ITSELF: Final = re.compile(
    r"0[1-9](?:([ .-])\d\d)(?:\1\d\d){3}"  # France: pairs
    r"|\(0\d{1,4}\)[ -]?\d[\d -]{4,11}"  # the area in brackets
    r"|0[1-9]\d{1,3}/ ?\d[\d -]{3,9}"  # the area before a stroke
    r"|0[1-9]\d{1,3}[ -]\d{2,4}[ -]?\d{2,5}(?:[ -]?\d{1,4})?"  # the area, then the rest
    r"|01[567]\d ?\d{7,8}|07\d{9}|0[67][ -]?\d{8}"  # mobiles of Germany, the United Kingdom, France, the Netherlands
)
_WITHOUT_ZERO: Final = re.compile(r"(?<![\w+.,])(?<!\w[/-])[1-9](?:[ ./()-]{0,2}\d){7,10}(?!\w)(?![.,/-]\w)")
_CALLED: Final = words(
    r"tel|tel[eé]fonos?|t[eé]l[eé]phone|telefoon\w*|telefon\w*|phone|mobile?|mobiel|handy|m[oó]vil|cell(?:ulare)?|"
    r"kom(?:[oó]rk[aiąe])?|portable|gsm|fax|whatsapp|ruf(?:nummer)?|call(?: me)?|"
    r"appelez|llame|bel|dzwoni[ćc]"
)
_NO_PHONE: Final = words(
    r"invoices?|orders?|ref(?:erence)?|article|item|serial|version|seri(?:en)?\w*|isbn|ean|rechnung\w*|bestell\w*|artikel\w*|facture|"
    r"commande|r[eé]f[eé]rence|pedido|factura|fattura|ordine|bestelling|factuur|faktur\w*|zam[oó]wieni\w*|"
    r"tracking|ticket|case|dossier|contract|vertrag\w*|n[°º]"
)
_DATE: Final = re.compile(
    r"\(?\d{1,2}([./-]) ?\d{1,2}\1 ?(?:\d{4}|\d{2})(?![\d./-])|\d{4}([./-])\d{1,2}\2\d{1,2}(?!\d)"
)
_IP: Final = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\.?\w)")


def find_emails(text: str) -> Iterator[Found]:
    """The addresses of mail: from each @ backwards and forwards."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 256)
        local = _LOCAL.search(text, max(0, at - 65), at) if domain else None
        if local and domain and ".." not in local[0] and not local[0].endswith("."):
            start = local.start() + len(local[0]) - len(local[0].lstrip("'.-"))
            yield Found("email", start, domain.end(), text[start : domain.end()].lower(), "form")
        at = text.find("@", at + 1)


def find_forms(text: str, said: Said, start: int, end: int) -> Iterator[Found]:
    """Everything else of this file that stands in text[start:end]."""
    yield from _ibans(text, start, end)
    for kind, pattern, rule, named_by, sure in _LETTERED:
        for match in pattern.finditer(text, start, end):
            number = match[0].upper() if kind == "hetu" else checksums.compact(match[0])
            near = f"{text[max(0, match.start() - BEFORE) : match.start()]}\n{text[match.end() : match.end() + AFTER]}"
            if rule(number) and (named_by is None or named_by.search(near) or said(named_by)):
                yield Found(kind, match.start(), match.end(), number, sure)
    yield from _phones(text, start, end)
    for match in _IP.finditer(text, start, end):
        yield Found("ip", match.start(), match.end(), match[0], "weak")


def _ibans(text: str, start: int, end: int) -> Iterator[Found]:
    """A country, and as many signs as its accounts have, with at most one sign between two of them."""
    for match in _IBAN.finditer(text, start, end):
        length = checksums.IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        signs, at = match[0], match.end()
        while len(signs) < length and (more := _MORE.match(text, at)):
            signs += more[1]
            at = more.end()
        alone = at >= len(text) or not text[at].isalnum()
        if len(signs) == length and alone and checksums.iban(signs):
            yield Found("iban", match.start(), at, signs.upper(), "checksum")


def _phones(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _INTERNATIONAL.finditer(text, start, end):
        said = match[0]
        digits = re.sub(r"\D", "", said.replace("(0)", ""))
        if not 8 <= len(digits) <= 15 + 2 * said.startswith("00"):
            continue
        sure = "form" if said[0] == "+" or re.search(r"[ ./()-]", said) else ""
        before = text[max(0, match.start() - BEFORE) : match.start()]
        if _CALLED.search(f"{before[-32:]}\n{text[match.end() : match.end() + AFTER]}"):
            sure = "context"
        elif not sure or _NO_PHONE.search(before[-24:]):
            sure = "weak"
        yield Found("phone", match.start(), match.end(), "+" * (said[0] == "+") + digits, sure)
    for pattern in (_NATIONAL, _WITHOUT_ZERO):
        for match in pattern.finditer(text, start, end):
            digits = re.sub(r"\D", "", match[0])
            if _DATE.match(match[0]) or not 7 <= len(digits) <= 12:
                continue
            before = text[max(0, match.start() - BEFORE) : match.start()]
            if _CALLED.search(f"{before[-32:]}\n{text[match.end() : match.end() + AFTER]}"):
                sure = "context"
            elif pattern is _WITHOUT_ZERO:
                continue
            else:
                told = len(digits) >= 9 and _OF_ITSELF.fullmatch(match[0]) and not _NO_PHONE.search(before[-24:])
                sure = "form" if told else "weak"
            yield Found("phone", match.start(), match.end(), digits, sure)
