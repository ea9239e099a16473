"""Where something stands in a text, however it is written there.

A text is compared by its shadow: folded, without accents, soft hyphens and signs that nobody sees, any blanks as
one, any quotation mark and dash as one. Each sign of the shadow knows its place in the text, so what is found is
always given as it stands: `text[start:end]`.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Span = tuple[int, int]

_ALIKE: Mapping[str, str] = {
    **dict.fromkeys("‘’‚‛′`´ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "ł": "l",
    "đ": "d",
    "ø": "o",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
    "…": "...",
}


def fold(text: str) -> str:
    """The shadow of a text alone, without blanks at its ends."""
    return Shadow(text).signs.strip()


class Shadow:
    """A text as it is compared: `signs`, each from the place `places[i]` of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        signs: list[str] = []
        places: list[int] = []
        for place, sign in enumerate(text):
            for plain in _plain(sign):
                if plain == " " and signs and signs[-1] == " ":
                    continue
                signs.append(plain)
                places.append(place)
        self.signs = "".join(signs)
        self.places = places

    def find(self, wanted: str) -> list[Span]:
        """Every place where `wanted` stands as whole words, in order; none overlaps another."""
        needle = fold(wanted)
        if not needle:
            return []
        found: list[Span] = []
        at = self.signs.find(needle)
        while at >= 0:
            end = at + len(needle)
            if self._whole(at, end):
                found.append(self._span(at, end))
                at = self.signs.find(needle, end)
            else:
                at = self.signs.find(needle, at + 1)
        return found

    def holds(self, wanted: str) -> bool:
        """Whether it stands there at all."""
        return bool(self.find(wanted))

    def _whole(self, at: int, end: int) -> bool:
        before = self.signs[at - 1 : at] if at else ""
        after = self.signs[end : end + 1]
        cuts_before = bool(before) and _of_a_word(before) and _of_a_word(self.signs[at])
        cuts_after = bool(after) and _of_a_word(after) and _of_a_word(self.signs[end - 1])
        return not cuts_before and not cuts_after

    def _span(self, at: int, end: int) -> Span:
        """The place in the text, with the unseen signs and accents that hang on its last letter."""
        start, stop = self.places[at], self.places[end - 1] + 1
        while stop < len(self.text) and not _plain(self.text[stop]):
            stop += 1
        return start, stop


@dataclass(frozen=True, slots=True)
class Found:
    """Something that stands in the text: `text[start:end]`, of this kind; `normal` is its machine form."""

    start: int
    end: int
    kind: str
    text: str
    normal: str = ""

    def to_wire(self) -> dict[str, str | int]:
        """As an output shows it."""
        said: dict[str, str | int] = {"text": self.text, "kind": self.kind, "start": self.start, "end": self.end}
        return {**said, "normal": self.normal} if self.normal else said


def without_overlaps(found: Iterable[Found]) -> list[Found]:
    """The found things in order of place; of two that overlap the longer stays, then the earlier."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda each: (each.start, each.start - each.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end - one.start > kept[-1].end - kept[-1].start:
            kept[-1] = one
    return kept


def apart(found: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """Those of `found` that overlap none of `others`; both in order of place, without overlaps of their own."""
    ends = [one.end for one in others]
    kept: list[Found] = []
    for one in found:
        after = bisect_right(ends, one.start)
        if after == len(others) or others[after].start >= one.end:
            kept.append(one)
    return kept


def unaccented(text: str) -> str:
    """The text with the letters of the Latin alphabet bare, sign for sign, so that every place stays what it is."""
    return text.translate(_BARE)


_BARE = {
    code: bare[0]
    for code in range(0xC0, 0x250)
    if len(bare := "".join(s for s in unicodedata.normalize("NFKD", chr(code)) if not unicodedata.combining(s))) == 1
}
_BARE |= {ord(sign): plain for sign, plain in _ALIKE.items() if len(plain) == 1 and sign.isalpha()}


def _plain(sign: str) -> str:
    """What a sign is compared as; nothing for what nobody sees."""
    if sign.isascii():
        return " " if sign.isspace() else sign.lower()
    if sign.isspace():
        return " "
    if unicodedata.category(sign) in {"Cf", "Mn", "Me"}:
        return ""
    alike = _ALIKE.get(sign.lower())
    if alike is not None:
        return alike
    bare = unicodedata.normalize("NFKD", sign.casefold())
    return "".join(_ALIKE.get(each, each) for each in bare if not unicodedata.combining(each))


def _of_a_word(sign: str) -> bool:
    return sign.isalnum()
