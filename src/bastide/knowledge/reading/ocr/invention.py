"""The guard against invention: a language model that reads a picture may also write what is not there.

What tesseract read is the witness, and the ink is another. An answer is held against them in this order:
    1. it says something, and no more than a page holds
    2. it is about as long as the ink is: so a text cut off and one made longer are found
    3. words that were certain come again in their order, nearly all of them
    4. words that were read unsurely come again in their order, near enough, about as often as their confidence says;
       and not in one part of the page alone
An answer that fails is refused. One that passes 3 or 4 with enough words is proven; any other is open: nothing speaks
against it, and too little for it. The figures were measured on ruined pages: `python -m benchmarks guard`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import ceil
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.reading.ocr.values import Line, Place

CERTAIN = 90.0
"""A word with this confidence is a certain witness."""
AGAIN = 0.95
"""Share of the certain words that must come again where there are many."""
MANY = 20
"""So many certain words prove an answer by themselves."""
TWO_AGREE = 0.97
"""Share of their characters in which two models must agree to bear each other out."""
_MISSES = 1
"""Certain words that may be missing however few there are: one in twenty of them is wrong."""
_EXPECTED_MIN = 6.0
"""Unsure words that should have been read rightly, by their confidence, below which they tell nothing."""
_EXPECTED_PROVES = 12.0
_REFUSED_BELOW = 0.75
_PROVEN_FROM = 0.90
"""Unsure words that come again, as a share of those expected: of a true text it was 1.05 and more, since near enough is
enough; of its own words shuffled 0.2 to 0.7."""
_PART_BELOW = 0.60
"""The same for each part of the page; of a true text it was 0.75 and more, of an untrue part 0.5 and less."""
_PART_TELLS = 4.0
_GUESSED, _GUESSED_BELOW = 0.40, 0.40
"""Where the mean confidence is less, the engine guessed, and its confidence says too much: of a true text came 0.53 to
1.25 again, so it is refused only below this, and no part of the page is looked at."""
_PART_EXPECTED, _PARTS_LEAST, _PARTS_MOST = 10.0, 3, 8
_NEARLY, _NEARLY_WORDS, _NEARLY_LINE_WORDS = 0.60, 15, 5
"""So many of the words that were read, however unsurely, and of so many, prove as much."""
_LONG_ENOUGH, _NOT_LONGER = 0.6, 1.8
"""Characters of the answer, as a share of those that the ink has room for."""
_GUESSED_NOT_LONGER = 8.0
"""The same where no line was read: much of the ink of such pages does not look like text."""
_LOOP_WORDS, _LOOP_NEW = 200, 0.2
"""Of so many words, four in a row are rarely the same four again."""
_MEASURED_LINES, _MEASURED_LONG_ENOUGH = 5, 0.78
"""The same where the type was measured on so many lines."""
_FULL = 0.85
"""The same for an answer that is proven: of a true text it was 0.94 to 1.0 where lines had been read."""
_LINE_LONG_ENOUGH, _LINE_NOT_LONGER = 0.4, 2.5
_NARROW = 2.0
"""Characters for each height of a line along its width, in common type."""
_WORD = re.compile(r"\w+")
_LENGTH_TELLS = 3
_WORDS_MAX = 4_000
_ALIKE_MAX = 1_500
"""Different words beyond which only equal ones are found: nobody waits for more."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The ink that an answer is about."""

    stretches: tuple[Place, ...]
    """Of text-like ink: parts of lines; or the one line that was shown."""
    whole: bool = False
    """Whether it is a whole page."""

    def rows(self) -> list[Place]:
        """The stretches joined to the lines of the page, from above."""
        out: list[Place] = []
        for place in sorted(self.stretches, key=lambda place: place.top + place.bottom):
            last = out[-1] if out else None
            if last is not None and (place.top + place.bottom) / 2 < last.bottom:
                out[-1] = Place(
                    min(last.left, place.left),
                    min(last.top, place.top),
                    max(last.right, place.right),
                    max(last.bottom, place.bottom),
                )
            else:
                out.append(place)
        return out

    def room(self, lines: Sequence[Line]) -> float:
        """Characters that the ink has room for, as wide as those that were read, where any were."""
        width = sum(place.right - place.left for place in self.stretches)
        return width * _density(lines, self.stretches)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard says."""

    refused: str = ""
    """Why; "" where it is not."""
    proven: bool = False


def judged(lines: Sequence[Line], text: str, extent: Extent) -> Verdict:
    """`text`, said to stand in the picture of these lines."""
    if not text.strip():
        return Verdict("it found no text")
    told = words(text)
    orders = [_wanted(lines), _wanted(_by_rows(lines))]
    wanted = orders[0]
    if len(told) > _WORDS_MAX or len(wanted) > _WORDS_MAX:
        return Verdict(f"it says more than {_WORDS_MAX:,} words")
    room = extent.room(lines)
    refused = _unfitting(text, extent, room, len(_long(lines))) or _looping(told)
    if refused:
        return Verdict(refused)
    found, wanted = max(((_found(order, told), order) for order in orders), key=lambda tried: int(tried[0].sum()))
    certain = np.array([word.confidence >= CERTAIN for word in wanted], bool)
    sure, again = int(certain.sum()), int(found[certain].sum())
    if sure - again > max(_MISSES, ceil((1 - AGAIN) * sure)):
        return Verdict(f"only {again / sure:.0%} of the {sure} words that were certain come again in order")
    expected = np.array([word.confidence / 100 for word in wanted], float)
    refused = _against(found, expected)
    if refused:
        return Verdict(refused)
    total = float(expected.sum())
    guessed = total < _GUESSED * len(found)
    borne_out = not guessed and total >= _EXPECTED_PROVES and float(found.sum()) >= _PROVEN_FROM * total
    enough = _NEARLY_WORDS if extent.whole else _NEARLY_LINE_WORDS
    nearly = len(found) >= enough and float(found.sum()) >= _NEARLY * len(found)
    full = not extent.whole or len(text) >= _FULL * room
    return Verdict(proven=full and (sure >= MANY or borne_out or nearly))


def _unfitting(text: str, extent: Extent, room: float, measured: int) -> str:
    """Why so much text is not what the ink says; "" where it may be. `measured` lines tell how wide the type is."""
    least, most = (_LONG_ENOUGH, _NOT_LONGER) if extent.whole else (_LINE_LONG_ENOUGH, _LINE_NOT_LONGER)
    if extent.whole and measured >= _MEASURED_LINES:
        least = _MEASURED_LONG_ENOUGH
    elif extent.whole and not measured:
        most = _GUESSED_NOT_LONGER
    if len(text) > 20 + most * room:
        return f"its {len(text):,} characters do not fit into the picture: there is room for {room:,.0f}"
    if len(text) + 20 < least * room:
        return f"its {len(text):,} characters are too few: there is ink for {room:,.0f}"
    return ""


def _looping(told: Sequence[str]) -> str:
    """Why an answer that says the same again and again is refused; "" where it does not."""
    fours = [tuple(told[at : at + 4]) for at in range(len(told) - 3)]
    if len(fours) < _LOOP_WORDS or len(set(fours)) >= _LOOP_NEW * len(fours):
        return ""
    return f"its {len(told):,} words say the same again and again"


def _against(found: NDArray[np.bool_], expected: NDArray[np.float64]) -> str:
    """Why the unsure words speak against the answer; "" where they do not."""
    total = float(expected.sum())
    if total < _EXPECTED_MIN:
        return ""
    guessed = total < _GUESSED * len(found)
    if float(found.sum()) < (_GUESSED_BELOW if guessed else _REFUSED_BELOW) * total:
        return f"only {found.sum()} of the {total:.0f} words that should have been read rightly come again in order"
    if guessed:
        return ""
    count = max(_PARTS_LEAST, min(_PARTS_MOST, int(total / _PART_EXPECTED)))
    for number, part in enumerate(np.array_split(np.arange(len(found)), count), 1):
        inside = float(expected[part].sum())
        if inside >= _PART_TELLS and float(found[part].sum()) < _PART_BELOW * inside:
            return f"part {number} of {count} of what was read does not come again in it"
    return ""


def alike(one: str, two: str) -> float:
    """The share of their characters in which two readings agree, 0 to 1; blanks and marks mean nothing."""
    first, second = ("".join(words(text)) for text in (one, two))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


@dataclass(frozen=True, slots=True)
class _Wanted:
    text: str
    confidence: float


def _wanted(lines: Sequence[Line]) -> list[_Wanted]:
    """The witnesses in their order; words that a line end parts are none, nor are those too short to tell."""
    out: list[_Wanted] = []
    parted = False
    for line in lines:
        for number, word in enumerate(line.words):
            last = number == len(line.words) - 1
            hyphen = last and word.text.endswith(("-", "¬", "‐"))
            if not hyphen and not (number == 0 and parted) and word.confidence >= 0:
                out += [_Wanted(part, word.confidence) for part in words(word.text) if len(part) >= _LENGTH_TELLS]
            if last:
                parted = hyphen
    return out


def _by_rows(lines: Sequence[Line]) -> list[Line]:
    """The lines as they stand below each other: the engine takes the torn halves of a page for two columns."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.place.top + line.place.bottom):
        last = rows[-1][-1].place if rows else None
        if last is not None and (line.place.top + line.place.bottom) / 2 < last.bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.place.left)]


def words(text: str) -> list[str]:
    """Words for comparing: one form of each letter, small, without marks between them."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def in_order(wanted: Sequence[str], told: Sequence[str]) -> int:
    """How many of `wanted` stand in `told` in the same order: the longest common subsequence."""
    same = np.array([[one == other for other in told] for one in wanted], bool).reshape(len(wanted), len(told))
    return int(_chain(same).sum())


def _found(wanted: Sequence[_Wanted], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the witnesses come again in order. An unsure one comes again where a word is near enough to it."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(told))}
    row = np.array([numbers[word] for word in told], np.int64)
    fuzzy = len(numbers) <= _ALIKE_MAX and len(wanted) <= _ALIKE_MAX
    like: dict[tuple[str, bool], NDArray[np.bool_]] = {}
    same = np.zeros((len(wanted), len(told)), bool)
    bare = {word: _bare(word) for word in numbers}
    for at, one in enumerate(wanted):
        sure = one.confidence >= CERTAIN
        key = one.text, sure
        if key not in like:
            text = _bare(one.text)
            near = [number for word, number in numbers.items() if _near(text, bare[word], sure, fuzzy)]
            like[key] = np.isin(row, np.array(near, np.int64))
        same[at] = like[key]
    return _chain(same)


def _chain(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows belong to the longest common subsequence, where `same[row, column]` says what is equal."""
    height, width = same.shape
    best = np.zeros((height + 1, width + 1), np.int32)
    for at in range(height):
        longer = np.concatenate([[0], best[at, :-1] + same[at]])
        best[at + 1] = np.maximum.accumulate(np.maximum(best[at], longer))
    used = np.zeros(height, bool)
    column = width
    for at in range(height, 0, -1):
        if best[at, column] == best[at - 1, column]:
            continue
        used[at - 1] = True
        column = int(np.searchsorted(best[at, : column + 1], best[at, column])) - 1
    return used


def _bare(word: str) -> str:
    """A word without its accents: grain looks like them."""
    return "".join(one for one in unicodedata.normalize("NFD", word) if not unicodedata.combining(one))


def _near(one: str, other: str, sure: bool, fuzzy: bool) -> bool:
    """Whether an engine may have read `other`, or a part of it, as `one`; a number is never another number."""
    if one == other:
        return True
    if not fuzzy or (any(map(str.isdigit, one)) and any(map(str.isdigit, other))):
        return False
    if one in other:
        return 2 * len(one) >= len(other) or len(one) > _LENGTH_TELLS
    length = min(len(one), len(other))
    most = (length >= 6) + (length >= 12) if sure else (length >= 4) + (length >= 7) + (length >= 11)
    return most > 0 and abs(len(one) - len(other)) <= most and _within(one, other, most)


def _within(one: str, other: str, most: int) -> bool:
    """Whether the edit distance is at most `most`, a small number."""
    at = 0
    while at < min(len(one), len(other)) and one[at] == other[at]:
        at += 1
    one, other = one[at:], other[at:]
    if not one or not other:
        return len(one) + len(other) <= most
    if not most:
        return False
    return (
        _within(one[1:], other[1:], most - 1) or _within(one[1:], other, most - 1) or _within(one, other[1:], most - 1)
    )


def _density(lines: Sequence[Line], stretches: Sequence[Place]) -> float:
    """Characters for each pixel of a line."""
    long = _long(lines)
    if long:
        return median(len(line.text) / (line.place.right - line.place.left) for line in long)
    heights = [place.bottom - place.top for place in stretches]
    return _NARROW / max(1.0, median(heights)) if heights else 0.0


def _long(lines: Sequence[Line]) -> list[Line]:
    """The lines that tell how wide the type is."""
    return [line for line in lines if len(line.text) >= 20 and line.place.right > line.place.left]
