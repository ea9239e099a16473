"""Formats of numbers: what a spreadsheet shows for a value, by its format code (ECMA-376 part 1, 18.8.30).

Months and separators are written the English way: the file does not say where it will be opened.
"""

import math
import re
from datetime import datetime, timedelta
from functools import lru_cache

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 14: "yyyy-mm-dd",
    15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss",
    22: "yyyy-mm-dd h:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}  # fmt: skip
"""The codes that files name by number alone; 14 and 22 are shown the ISO way, because they follow the reader's
country, which is not known."""
_PART = re.compile(
    r"(?P<literal>\"[^\"]*\"|\\.|_.|\*.)|\[(?P<bracket>[^\]]*)\]|(?P<half>AM/PM|A/P)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)"
    r"|(?P<number>[0#?][0#?,]*(?:\.[0#?]+)?,*|\.[0#?]+)|(?P<power>E[+-][0#?]+)|(?P<general>General)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CURRENCY = re.compile(r"\$([^-]*)")
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 — a spreadsheet's days have no time zone
_DAYS_1904 = 1462
_DAYS_MAX = 2_958_465
_Token = tuple[str, str]


def shown(value: float, code: str, *, since_1904: bool = False) -> str:
    """`value` as its format code shows it; plainly where the code is not understood."""
    sections = _sections(code)
    negative = value < 0
    if len(sections) > 1 and negative:
        tokens, value = sections[1], abs(value)
    elif len(sections) > 2 and value == 0:
        tokens = sections[2]
    else:
        tokens = sections[0]
    kinds = {kind for kind, _ in tokens}
    if "date" in kinds or "elapsed" in kinds:
        return _date(value, tokens, since_1904) or plain(value)
    if not kinds & {"number", "power"}:
        literal = "".join(text for kind, text in tokens if kind == "literal").strip()
        return literal if literal and len(sections) > 1 and not kinds & {"general", "text"} else plain(value)
    return _number(value, tokens)


def plain(value: float) -> str:
    """A number as it was typed: 15 digits, which is all that a spreadsheet keeps."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.15g}"


@lru_cache(maxsize=2_000)
def _sections(code: str) -> list[list[_Token]]:
    """The parts of a code between semicolons, each as tokens."""
    sections: list[list[_Token]] = [[]]
    for found in _PART.finditer(code[:500]):
        kind, text = found.lastgroup or "other", found[0]
        if kind == "literal":
            sections[-1].append(("literal", _literal(text)))
        elif kind == "bracket":
            inner = found["bracket"]
            if inner.startswith("$"):
                currency = _CURRENCY.match(inner)
                sections[-1].append(("literal", currency[1] if currency else ""))
            elif _ELAPSED.fullmatch(inner):
                sections[-1].append(("elapsed", inner.lower()))
        elif kind == "other":
            if text == ";":
                sections.append([])
            else:
                sections[-1].append(("text" if text == "@" else "percent" if text == "%" else "literal", text))
        else:
            sections[-1].append((kind, text))
    return sections


def _literal(text: str) -> str:
    if text[0] == '"':
        return text[1:-1]
    return text[1] if text[0] == "\\" else " " if text[0] == "_" else ""


def _number(value: float, tokens: list[_Token]) -> str:
    pattern = next((text for kind, text in tokens if kind == "number"), "0")
    power = any(kind == "power" for kind, _ in tokens)
    if sum(kind == "number" for kind, _ in tokens) > 1 and not power:
        return plain(value)  # fractions, and numbers parted by signs such as telephone numbers
    thousands = len(pattern) - len(pattern.rstrip(","))
    whole, _, fraction = pattern.rstrip(",").partition(".")
    scaled = value * 100 ** sum(kind == "percent" for kind, _ in tokens)
    scaled /= 1000**thousands
    if not math.isfinite(scaled) or abs(scaled) > 1e15:
        return plain(value)
    decimals = len(fraction)
    if power:
        digits = f"{scaled:.{decimals}E}"
    else:
        digits = f"{_rounded(scaled, decimals):,.{decimals}f}"
        digits = digits if "," in whole else digits.replace(",", "")
        optional = len(fraction) - len(fraction.rstrip("#"))
        for _ in range(optional):
            digits = digits.removesuffix("0")
        digits = digits.removesuffix(".")
        least = whole.replace(",", "").count("0")
        sign, body = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
        ahead, point, behind = body.partition(".")
        digits = sign + ahead.rjust(least, "0") + point + behind
    out, done = [], False
    for kind, text in tokens:
        if kind == "number" and not done:
            out.append(digits)
            done = True
        elif kind in {"literal", "percent"}:
            out.append(text)
    return _signed("".join(out).strip())


def _signed(text: str) -> str:
    """The sign stands before the currency."""
    at = text.find("-")
    return f"-{text[:at]}{text[at + 1 :]}" if at > 0 and not text[:at].strip(" €$£¥") else text


def _rounded(value: float, decimals: int) -> float:
    """Half away from zero, as spreadsheets round."""
    factor = 10.0**decimals
    scaled = abs(value) * factor
    rounded = math.floor(scaled + 0.5 + 1e-9) / factor if scaled < 1e15 else abs(value)
    return math.copysign(rounded, value) if rounded else 0.0


def _date(value: float, tokens: list[_Token], since_1904: bool) -> str:
    """A day and a time, or a span of hours; "" where the value is no day."""
    days = value + (_DAYS_1904 if since_1904 else 0)
    if not 0 <= days <= _DAYS_MAX:
        return ""
    if 0 < days < 60 and not since_1904:
        days += 1  # the calendar of 1900 has a 29 February that never was
    moment = _EPOCH + timedelta(days=math.floor(days), milliseconds=round(days % 1 * 86_400_000))
    half = any(kind == "half" for kind, _ in tokens)
    dated = [text.lower() for kind, text in tokens if kind in {"date", "elapsed"}]
    out: list[str] = []
    at = -1
    for kind, text in tokens:
        if kind == "elapsed":
            at += 1
            seconds = round(value * 86_400)
            out.append(str(seconds // {"h": 3600, "m": 60, "s": 1}[text[0]]))
        elif kind == "date":
            at += 1
            beside = (dated[at - 1] if at else ""), (dated[at + 1] if at + 1 < len(dated) else "")
            out.append(_moment(moment, text.lower(), half, beside[0][:1] == "h" or beside[1][:1] == "s"))
        elif kind == "half":
            out.append(moment.strftime("%p"))
        elif kind == "literal":
            out.append(text)
    return "".join(out).strip()


def _moment(moment: datetime, text: str, half: bool, minutes: bool) -> str:
    letter, length = text[0], len(text)
    if letter == "y":
        return f"{moment.year % 100:02}" if length <= 2 else f"{moment.year:04}"
    if letter == "m" and not (minutes and length <= 2):
        month = _MONTHS[moment.month - 1]
        return (str(moment.month), f"{moment.month:02}", month[:3], month, month[:1])[min(length, 5) - 1]
    if letter == "d" and length > 2:
        return _DAYS[moment.weekday()][: 3 if length == 3 else None]
    if letter == "s":
        whole, _, parts = text.partition(".")
        fraction = f".{moment.microsecond:06}"[: len(parts) + 1] if parts else ""
        return str(moment.second).rjust(len(whole), "0") + fraction
    hour = (moment.hour % 12 or 12) if half else moment.hour
    number = {"d": moment.day, "h": hour, "m": moment.minute}[letter]
    return str(number).rjust(min(length, 2), "0")


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
