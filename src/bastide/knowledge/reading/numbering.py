"""Numbering: what Word prints before the paragraphs of a list, which stands nowhere in their text."""

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEVELS = 9


@dataclass(frozen=True, slots=True)
class _Level:
    form: str
    text: str
    start: int


class Numbering:
    """The counters of all lists of one document; `label` moves them on."""

    def __init__(self, root: etree._Element | None) -> None:
        self._levels: dict[str, list[_Level]] = {}
        self._counters: dict[str, list[int | None]] = {}
        if root is None:
            return
        kinds = {
            kind.get(f"{W}abstractNumId", ""): _levels(kind.iterchildren(f"{W}lvl"))
            for kind in root.iter(f"{W}abstractNum")
        }
        for number in root.iterchildren(f"{W}num"):
            kind = number.find(f"{W}abstractNumId")
            levels = dict(kinds.get(kind.get(f"{W}val", "") if kind is not None else "", {}))
            for override in number.iterchildren(f"{W}lvlOverride"):
                at = _integer(override.get(f"{W}ilvl"), 0)
                levels.update(_levels(override.iterchildren(f"{W}lvl")))
                start = override.find(f"{W}startOverride")
                if start is not None and at in levels:
                    levels[at] = _Level(levels[at].form, levels[at].text, _integer(start.get(f"{W}val"), 1))
            plain = _Level("bullet", "", 1)
            self._levels[number.get(f"{W}numId", "")] = [levels.get(at, plain) for at in range(_LEVELS)]

    def label(self, number: str, level: int) -> str | None:
        """The label of the next paragraph of list `number` at `level` (0 = outermost): "2.1", "(a)", "•"; None if the
        list is unknown."""
        levels = self._levels.get(number)
        if levels is None or not 0 <= level < _LEVELS:
            return None
        counters = self._counters.setdefault(number, [None] * _LEVELS)
        before = counters[level]
        counters[level] = levels[level].start if before is None else before + 1
        counters[level + 1 :] = [None] * (_LEVELS - level - 1)
        if levels[level].form == "bullet":
            return "•"
        text = levels[level].text
        for at in range(level + 1):
            counted = counters[at]
            value = levels[at].start if counted is None else counted
            text = text.replace(f"%{at + 1}", _written(value, levels[at].form))
        return text.strip()


def _levels(found: Iterable[etree._Element]) -> dict[int, _Level]:
    levels: dict[int, _Level] = {}
    for level in found:
        form, text, start = (level.find(f"{W}{name}") for name in ("numFmt", "lvlText", "start"))
        levels[_integer(level.get(f"{W}ilvl"), 0)] = _Level(
            form.get(f"{W}val", "decimal") if form is not None else "decimal",
            text.get(f"{W}val", "") if text is not None else "",
            _integer(start.get(f"{W}val"), 1) if start is not None else 1,
        )
    return levels


def _integer(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 9 else otherwise


def _written(value: int, form: str) -> str:
    if form in {"lowerLetter", "upperLetter"}:
        letter = chr(ord("a") + (value - 1) % 26) * min((value - 1) // 26 + 1, 9)
        return letter.upper() if form == "upperLetter" else letter
    if form in {"lowerRoman", "upperRoman"} and value < 4000:
        roman = _roman(value)
        return roman.upper() if form == "upperRoman" else roman
    return "" if form == "none" else f"{value:02d}" if form == "decimalZero" else str(value)


def _roman(value: int) -> str:
    written = ""
    pairs = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"),
             (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
    for worth, letters in pairs:
        while value >= worth:
            written += letters
            value -= worth
    return written
