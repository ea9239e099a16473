"""Dates and amounts as Europeans write them, in seven languages. Pure; a first pass over digits keeps it fast.

A date is a stretch of days [first, after): "30 June 2031" is one day, "March 2024" a month, "2019" a year. The forms
are those of the CLDR date patterns for EN FR DE ES IT NL PL; a date in digits is day first, except in ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

_MONTHS = """
1: january jan januar jänner janvier janv enero ene gennaio gen januari styczeń stycznia stycz sty
2: february feb februar februari février févr fév febrero febbraio febb luty lutego lut
3: march mar märz mrz mars marzo maart mrt marzec marca
4: april apr avril avr abril abr aprile kwiecień kwietnia kwi
5: may mai mayo maggio mag mei maj maja
6: june jun juni juin junio giugno giu czerwiec czerwca cze
7: july jul juli juillet juil julio luglio lug lipiec lipca lip
8: august aug août agosto ago augustus sierpień sierpnia sie
9: september sept sep septembre septiembre settembre sett wrzesień września wrz
10: october oct oktober okt octobre octubre ottobre ott październik października paź
11: november nov novembre noviembre listopad listopada lis
12: december dec dezember dez décembre déc diciembre dic dicembre grudzień grudnia gru
"""
_MONTH = {
    name: int(number)
    for number, _, names in (line.partition(":") for line in _MONTHS.strip().splitlines())
    for name in names.split()
}
_NAMED = "|".join(sorted(map(re.escape, _MONTH), key=len, reverse=True))
_DATE = re.compile(
    rf"""(?<![\w./-])(?:
      (?P<iso>(?P<iy>1\d{{3}}|20\d\d)-(?P<im>0[1-9]|1[0-2])-(?P<id>0[1-9]|[12]\d|3[01]))(?![\w-])
    | (?P<day>0?[1-9]|[12]\d|3[01])(?:\.|st|nd|rd|th|er|º|°)?\ (?:of\ |de\ |del\ )?(?P<month>{_NAMED})\b\.?
      (?:,?\ (?:de\ |del\ )?(?P<year>1\d{{3}}|20\d\d)(?!\w))?
    | (?P<month2>{_NAMED})\.?\ (?P<day2>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,\ (?P<year2>1\d{{3}}|20\d\d)(?!\w)
    | (?<!\d\ )(?<!\d\.\ )(?P<month3>{_NAMED})\.?\ (?:de\ |del\ )?
      (?P<year3>1\d{{3}}|20\d\d)(?!\w)
    | (?P<d4>0?[1-9]|[12]\d|3[01])(?P<gap>[./-])\ ?
      (?P<m4>0?[1-9]|1[0-2])(?P=gap)\ ?(?P<y4>1\d{{3}}|20\d\d)(?![\w/]|\.\d)
    | (?P<from>1[5-9]\d\d|20\d\d)\ ?[-–]\ ?(?P<to>1[5-9]\d\d|20\d\d)(?![\w/-])
    | (?P<q>[1-4])\.?\ ?(?:quarter|Quartal|trimestre|kwartaal|kwartał)\ (?:of\ |de\ |del\ )?
      (?P<qy>1\d{{3}}|20\d\d)(?!\w)
    | (?P<quarter>Q[1-4])\ (?P<qy2>1\d{{3}}|20\d\d)(?!\w)
    | (?P<alone>1[5-9]\d\d|20\d\d)(?![\w/]|[.,]\d|-\d|\ ?(?:%|€|euro|EUR|km|kg|m²|Euro))
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_BEFORE = re.compile(r"([^\W\d_]+)\.? (?:de |del )?$")
_YEAR_CUE = re.compile(
    r"(?:\b(?:in|since|until|by|of|from|during|year|before|after|im|jahr|jahre|jahres|seit|bis|von|ab|vor|nach|en|depuis"
    r"|jusqu'en|de|année|an|avant|après|desde|hasta|año|antes|nel|dal|fino|al|del|anno|sinds|tot|jaar|van|voor|na|w|od|do"
    r"|roku|rok|lipca|przed|po)|[(,–-])\s*$",
    re.IGNORECASE,
)
_SINCE = re.compile(
    r"\b(?:since|from|as of|starting|effective|seit|ab|seit dem|ab dem|vom|depuis|à partir du|à compter du|dès|desde"
    r"|a partir|dal|a partire dal|sinds|vanaf|met ingang van|od|od dnia)(?:\s+(?:the|le|el|il|dem|dnia))?\s*$",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    r"\b(?:until|till|to|through|by|bis|bis zum|bis zu|jusqu['’]au|jusqu['’]en|au|hasta|hasta el|al|fino al|fino a|tot"
    r"|tot en met|do|do dnia)(?:\s+(?:the|le|el|il|dem|dnia))?\s*$",
    re.IGNORECASE,
)

_CURRENCY = {
    "€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "zł": "PLN", "złotych": "PLN", "złote": "PLN", "złoty": "PLN",
    "euro": "EUR", "euros": "EUR", "franken": "CHF", "francs": "CHF", "dollar": "USD", "dollars": "USD",
    "dólares": "USD",
    "dollari": "USD", "pounds": "GBP", "pfund": "GBP", "kč": "CZK", "ft": "HUF", "lei": "RON", "kronor": "SEK",
}  # fmt: skip
_CODES = "EUR|USD|GBP|CHF|PLN|SEK|DKK|NOK|CZK|HUF|RON|BGN|JPY|CNY"
_UNITS = "|".join(sorted(map(re.escape, _CURRENCY), key=len, reverse=True))
_SCALES = {
    "thousand": 3, "tausend": 3, "tsd": 3, "mille": 3, "mil": 3, "mila": 3, "duizend": 3, "tys": 3, "tysięcy": 3,
    "k": 3,
    "million": 6, "millions": 6, "millionen": 6, "mio": 6, "millón": 6, "millones": 6, "milione": 6, "milioni": 6,
    "miljoen": 6, "mln": 6, "milion": 6, "miliony": 6, "milionów": 6, "m": 6,
    "billion": 9, "milliarde": 9, "milliarden": 9, "mrd": 9, "milliard": 9, "milliards": 9, "miliardo": 9,
    "miliardi": 9,
    "miljard": 9, "mld": 9, "miliard": 9, "miliardów": 9, "bn": 9,
}  # fmt: skip
_SCALED = "|".join(sorted(map(re.escape, _SCALES), key=len, reverse=True))
_NUMBER = r"\d{1,3}(?:[.,\u00a0\u202f' ]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?![\d])"
_AMOUNT = re.compile(
    rf"(?<![\w.,])(?:(?P<before>€|\$|£|¥|(?:{_CODES})\b)\s?(?P<n1>{_NUMBER})(?:\s?(?P<s1>{_SCALED})\b\.?)?"
    rf"|(?P<n2>{_NUMBER})(?:,-{{1,2}})?(?:\s?(?P<s2>{_SCALED})\b\.?)?(?:\s(?:de|d['’]|di))?\s?"
    rf"(?P<after>(?:{_CODES})\b|(?:{_UNITS})(?!\w)))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dated:
    """`text[start:end]` names the days from `first` up to, not including, `after`; None is open."""

    start: int
    end: int
    first: date | None
    after: date | None
    precision: str
    """day, month, quarter, year or span; with `since` or `until` before it where one end is open."""


@dataclass(frozen=True, slots=True)
class Amount:
    """`text[start:end]` is a sum of money; `currency` as ISO 4217 writes it."""

    start: int
    end: int
    value: Decimal
    currency: str


def dates(text: str) -> list[Dated]:
    """The dates in a text, in order. What has the form of a date but is none (30 February) is left out."""
    return list(_opened(text, _found(text)))


def _found(text: str) -> Iterator[Dated]:
    done = 0
    for start in _starts(text):
        match = _DATE.match(text, start) if start >= done else None
        days = _days(match) if match is not None else None
        if match is None or days is None:
            continue
        done = match.end()
        if match["alone"] and not _YEAR_CUE.search(text, max(0, match.start() - 14), match.start()):
            continue
        if match["day"] and not match["year"]:
            continue
        yield Dated(match.start(), match.end(), *days)


def _starts(text: str) -> Iterator[int]:
    """Where a date may begin: at a number, or at the month or the Q before one."""
    for match in _DIGITS.finditer(text):
        at = match.start()
        word = _BEFORE.search(text, max(0, at - 20), at)
        if word is not None and word[1].lower() in _MONTH:
            yield word.start()
        if text[at - 1 : at] in {"Q", "q"}:
            yield at - 1
        yield at


def _days(match: re.Match[str]) -> tuple[date, date, str] | None:  # noqa: PLR0911 one form after the other
    try:
        if match["iso"]:
            return _day(int(match["iy"]), int(match["im"]), int(match["id"]))
        if match["day"]:
            return _day(int(match["year"] or 2000), _MONTH[match["month"].lower()], int(match["day"]))
        if match["day2"]:
            return _day(int(match["year2"]), _MONTH[match["month2"].lower()], int(match["day2"]))
        if match["d4"]:
            return _day(int(match["y4"]), int(match["m4"]), int(match["d4"]))
        if match["month3"]:
            return _months(int(match["year3"]), _MONTH[match["month3"].lower()], 1, "month")
        if match["q"] or match["quarter"]:
            number = int(match["q"] or match["quarter"][1])
            return _months(int(match["qy"] or match["qy2"]), 3 * number - 2, 3, "quarter")
        if match["from"]:
            first, last = int(match["from"]), int(match["to"])
            return (date(first, 1, 1), date(last + 1, 1, 1), "span") if first <= last else None
        return _months(int(match["alone"]), 1, 12, "year")
    except ValueError:
        return None


def _day(year: int, month: int, day: int) -> tuple[date, date, str]:
    first = date(year, month, day)
    return first, date.fromordinal(first.toordinal() + 1), "day"


def _months(year: int, month: int, count: int, precision: str) -> tuple[date, date, str]:
    last = month - 1 + count
    return date(year, month, 1), date(year + last // 12, last % 12 + 1, 1), precision


def _opened(text: str, found: Iterator[Dated]) -> Iterator[Dated]:
    """ "from A to B" is one stretch; "since A" and "until B" have one end."""
    held: Dated | None = None
    for one in found:
        until = _UNTIL.search(text, max(0, one.start - 24), one.start)
        if held is not None:
            if until and until.start() - held.end <= 3 and held.first and one.after and held.first < one.after:
                yield Dated(held.start, one.end, held.first, one.after, "span")
                held = None
                continue
            yield Dated(held.start, held.end, held.first, None, f"since {held.precision}")
            held = None
        if one.precision != "span" and _SINCE.search(text, max(0, one.start - 28), one.start):
            held = one
        elif one.precision != "span" and until and until[0].split()[0].lower() not in {"to", "by", "au", "al"}:
            yield Dated(one.start, one.end, None, one.after, f"until {one.precision}")
        else:
            yield one
    if held is not None:
        yield Dated(held.start, held.end, held.first, None, f"since {held.precision}")


def amounts(text: str) -> list[Amount]:
    """The sums of money in a text, in order."""
    found: list[Amount] = []
    if _DIGITS.search(text) is None:
        return found
    for match in _AMOUNT.finditer(text):
        unit = (match["before"] or match["after"]).lower()
        scale = _SCALES.get((match["s1"] or match["s2"] or "").lower(), 0)
        value = _value(match["n1"] or match["n2"], scaled=scale > 0) * (Decimal(10) ** scale)
        found.append(Amount(match.start(), match.end(), value, _CURRENCY.get(unit, unit.upper())))
    return found


def _value(number: str, *, scaled: bool) -> Decimal:
    """ "1.234,50", "1,234.50" and "1 234,50": the last mark with one or two digits behind it parts the cents.

    Before a word such as million a single mark with three digits parts a fraction, too: "1.250 million".
    """
    bare = re.sub(r"[\s\u00a0\u202f']", "", number)
    fraction = re.search(r"[.,](\d{1,2})$", bare)
    if fraction is None and scaled and len(re.findall(r"[.,]", bare)) == 1:
        fraction = re.search(r"[.,](\d+)$", bare)
    if fraction is None:
        return Decimal(re.sub(r"[.,]", "", bare))
    return Decimal(re.sub(r"[.,]", "", bare[: fraction.start()]) + "." + fraction[1])
