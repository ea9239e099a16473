"""What is found in a text by its form: dates, amounts, addresses of mail and web, accounts, phones, references.

What identifies a person (mail, phones, accounts, cards, identity numbers) is found by `policy`: labels rest on it.
What is found stands in the text; `normal` is its machine form: dates as YYYY-MM-DD, amounts as `1234.50 EUR`, accounts
and phones without blanks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from bastide.inference.tasks.occurrences import Found, fold, unaccented, without_overlaps
from bastide.inference.tasks.tables import NAME_TABLE
from bastide.policy import IDENTITIES, find_personal

_MONTHS: Final[Mapping[str, int]] = {
    name: number for number, names in enumerate(NAME_TABLE["months"], 1) for name in names.split()
}
_MONTH = "|".join(sorted((re.escape(name) for name in _MONTHS), key=len, reverse=True))
_CURRENCIES: Final[Mapping[str, str]] = {
    sign: code for code, signs in NAME_TABLE["currencies"].items() for sign in signs
}
_CURRENCY = "|".join(sorted((re.escape(sign) for sign in _CURRENCIES), key=len, reverse=True))
_SCALES: Final[Mapping[str, float]] = {
    word: 10.0**power
    for power, words in (
        (3, NAME_TABLE["scales"]["thousand"]),
        (6, NAME_TABLE["scales"]["million"]),
        (9, NAME_TABLE["scales"]["billion"]),
    )
    for word in words.split()
}
_SCALE = "|".join(sorted((re.escape(word) for word in _SCALES), key=len, reverse=True))
_FIGURE = r"\d{1,3}(?:[.,'’  ]\d{3}){1,5}(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?"

_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\d-])")
_NUMBER_DATE = re.compile(r"(?<![\w./-])(\d{1,2})([./-])\s?(\d{1,2})\2\s?(\d{4}|\d{2})(?![\w/-])")
_DAY_MONTH = re.compile(
    rf"(?<!\w)(\d{{1,2}})(?:\.|er|e|o|°|st|nd|rd|th)?\s+(?:de\s+|of\s+)?({_MONTH})\b\.?,?"
    r"(?:\s+(?:de\s+|del\s+)?(\d{4}))?(?!\w)",
    re.I,
)
_MONTH_DAY = re.compile(rf"(?<!\w)({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})(?!\w)", re.I)
_AMOUNT_AFTER = re.compile(rf"(?<![\w.,])({_FIGURE})(?:\s?({_SCALE})\.?)?\s?({_CURRENCY})(?!\w)", re.I)
_AMOUNT_BEFORE = re.compile(rf"(?<!\w)({_CURRENCY})\s?({_FIGURE})(?:\s?({_SCALE})(?!\w))?(?!\d)", re.I)
_PERCENT = re.compile(
    rf"(?<![\w.,])({_FIGURE})\s?(?:%|percent|per cent|prozent|pour ?cent|por ciento|per ?cento|procent)(?!\w)", re.I
)
_URL = re.compile(r"(?<!\w)(?:https?://|www\.)[^\s<>\"'«»“”]{3,2000}", re.I)
_REFERENCE = re.compile(
    r"(?<!\w)(?:(?:art(?:icle|ikel|iculo|icolo|ykul)?s?\.?|§{1,2}|section|paragraph|ust\.)\s?\d+[a-z]?(?:[.(]\d+[a-z]?\)?)*"
    r"|(?:regulation|directive|verordnung|richtlinie|reglement|verordening|richtlijn|reglamento|directiva|"
    r"regolamento|direttiva|rozporzadzenie|dyrektywa)\s?\((?:EU|UE|EG|EC|CE|WE)\)\s?(?:n[ro°º.]*\s?)?\d+/\d+"
    r"|(?:ref(?:erence)?|az|aktenzeichen|dossier|case|file|order|invoice|contract|rechnung|facture|factura|fattura|faktura|"
    r"vertrag|contrat|bestellung|kenmerk|expediente|n(?:o|r|um|°|º)|nummer|number)\b\.?[ :#]{0,3}"
    r"(?:n(?:o|r|um|°|º)\.?[ :]{0,2})?(?=[\w/-]*\d)[A-Z0-9][\w]*(?:[/-][\w]+)*)",
    re.I,
)
_NUMBER = re.compile(rf"(?<![\w.,])-?(?:{_FIGURE})(?!\w)")
_TRAILING = ".,;:!?)]}'\"»”…"


def find(text: str, kinds: Sequence[str] | None = None) -> list[Found]:
    """Everything of these kinds, in order of place, without overlaps; every kind but bare numbers by default."""
    wanted = KINDS_FOUND if kinds is None else kinds
    found = _personal(text, wanted) if _PERSONAL.intersection(wanted) else []
    for kind in wanted:
        if kind not in _PERSONAL:
            found += _FINDERS[kind](text)
    return without_overlaps(found)


def month_of(word: str) -> int | None:
    """The number of a month by its name in one of seven languages."""
    return _MONTHS.get(fold(word))


def number_in(text: str) -> float | None:
    """The number that a figure means, whichever of point and comma parts its thousands; None for none."""
    figure = re.sub(r"['’  \s]", "", text)
    last = max(figure.rfind("."), figure.rfind(","))
    if last >= 0:
        whole, part = figure[:last], figure[last + 1 :]
        thousands = len(part) == 3 and re.fullmatch(r"-?[1-9]\d{0,2}(?:[.,]\d{3})*", whole) is not None
        same = figure.count(figure[last]) > 1
        figure = re.sub(r"[.,]", "", figure) if thousands or same else re.sub(r"[.,]", "", whole) + "." + part
    try:
        return float(figure)
    except ValueError:
        return None


def _matches(
    pattern: re.Pattern[str], kind: str, text: str, normal: Callable[[re.Match[str]], str | None]
) -> list[Found]:
    found: list[Found] = []
    for match in pattern.finditer(unaccented(text)):
        machine = normal(match)
        if machine is not None:
            found.append(Found(match.start(), match.end(), kind, text[match.start() : match.end()], machine))
    return found


def _dates(text: str) -> list[Found]:
    plain = (
        _matches(_ISO_DATE, "date", text, lambda m: _day(m[1], m[2], m[3])),
        _matches(_NUMBER_DATE, "date", text, lambda m: _day(m[4], m[3], m[1]) or _day(m[4], m[1], m[3])),
        _matches(_DAY_MONTH, "date", text, lambda m: _day(m[3], _MONTHS.get(fold(m[2])), m[1])),
        _matches(_MONTH_DAY, "date", text, lambda m: _day(m[3], _MONTHS.get(fold(m[1])), m[2])),
    )
    return [one for group in plain for one in group]


def _day(year: str | None, month: str | int | None, day: str) -> str | None:
    """YYYY-MM-DD, or --MM-DD where the year is not said; None where there is no such day."""
    number = 2000 if year is None else int(year) + (2000 if len(year) == 2 else 0)
    try:
        found = date(number, int(month or 0), int(day))
    except ValueError:
        return None
    return found.isoformat() if year is not None else f"-{found.isoformat()[4:]}"


def _amounts(text: str) -> list[Found]:
    after = _matches(_AMOUNT_AFTER, "amount", text, lambda m: _money(m[1], m[2], m[3]))
    return after + _matches(_AMOUNT_BEFORE, "amount", text, lambda m: _money(m[2], m[3], m[1]))


def _money(figure: str, scale: str | None, currency: str) -> str | None:
    value = number_in(figure)
    if value is None:
        return None
    value *= _SCALES.get(fold(scale or ""), 1.0)
    said = f"{value:.2f}".rstrip("0").rstrip(".") if value == round(value) else f"{value:.2f}"
    return f"{said} {_CURRENCIES[currency.lower()]}"


def _urls(text: str) -> list[Found]:
    found: list[Found] = []
    for match in _URL.finditer(text):
        said = match.group().rstrip(_TRAILING)
        if "." in said:
            found.append(Found(match.start(), match.start() + len(said), "url", said))
    return found


def _personal(text: str, wanted: Sequence[str]) -> list[Found]:
    """What identifies a person, the weak finds too: here it is better to find too much."""
    found: list[Found] = []
    for one in find_personal(text):
        kind = "national_id" if one.kind in IDENTITIES else one.kind
        if kind in wanted:
            found.append(Found(one.start, one.end, kind, text[one.start : one.end], one.normal))
    return found


def _plainly(pattern: re.Pattern[str], kind: str) -> Callable[[str], list[Found]]:
    return lambda text: _matches(pattern, kind, text, lambda match: "")


def _numbered(pattern: re.Pattern[str], kind: str, group: int) -> Callable[[str], list[Found]]:
    def normal(match: re.Match[str]) -> str | None:
        value = number_in(match[group])
        return None if value is None else f"{value:.6f}".rstrip("0").rstrip(".")

    return lambda text: _matches(pattern, kind, text, normal)


_FINDERS: Final[Mapping[str, Callable[[str], Iterable[Found]]]] = {
    "url": _urls,
    "date": _dates,
    "amount": _amounts,
    "percent": _numbered(_PERCENT, "percent", 1),
    "reference": _plainly(_REFERENCE, "reference"),
    "number": _numbered(_NUMBER, "number", 0),
}
_PERSONAL: Final = frozenset({"email", "phone", "iban", "card", "national_id", "ip"})
KINDS_FOUND: Final = (*sorted(_PERSONAL), *(kind for kind in _FINDERS if kind != "number"))
"""The kinds that `find` knows, without the bare numbers."""
