"""The lines of a PDF's page and their words: imported by `pdf_pages` only, in its own process, never by the house."""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import struct
import unicodedata

TYPE_CHECKING = False  # importing `typing` takes half as long as reading a page
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SEGMENT = re.compile(r"[^\r\n\ufffe]+\ufffe?")
_WORD = re.compile(r"[^ \u00a0\ufffe\x00-\x1f]+")
_NOTE = re.compile(r"(?<=[^\W\d])(?:[.,;:)”’\"»]?)(\d{1,3})(?![\w.,]\d|\w)")
_LEADING_NOTE = re.compile(r"\s*(\d{1,3})\s?(?=\S)")
_SOFT_HYPHEN = "\ufffe"
_COMBINING = dict(
    zip("´`ˆ¨¸˜ˇ˘˚˙˝¯", "\u0301\u0300\u0302\u0308\u0327\u0303\u030c\u0306\u030a\u0307\u030b\u0304", strict=True)
)
_ACCENTED = re.compile(f"[{''.join(_COMBINING)}]([^\\W\\d_])")
_ALONE = re.compile(f"(?<=\\S) ([{''.join(_COMBINING)}])(?= |$)")
_CAPITAL = re.compile("[A-Z]")
_DOTLESS = {"ı": "i", "ȷ": "j"}
_BOLD, _TYPED, _MATHS, _ITALIC, _UNSEEN = 1, 2, 4, 8, 16
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|cmbx|cmb\d|sfbx|sfrb|medi(?:$|ital)|-bd|,bd|semib")
_TYPED_NAME = re.compile(rb"mono|courier|consol|typewriter|cmtt|cmsltt|sftt|ectt|menlo|inconsolata|nimbusmon|-tt|lmtt")
_MATHS_NAME = re.compile(rb"cmmi|cmsy|cmex|msam|msbm|math|stix|eufm|rsfs|symbol")
_ITALIC_NAME = re.compile(rb"ital|obliq|cmti|cmsl|sfti|slant")
_FIXED_PITCH, _FORCE_BOLD = 1, 1 << 18
_FARTHEST = 10**9

Box = tuple[float, float, float, float]
"""(left, bottom, right, top) in the page's own space."""


def lines_of(raw: Any, textpage: int, text: str) -> list[PrintedLine]:
    """The lines of a page whose text this is."""
    glyphs = _Glyphs(raw, textpage)
    return [line for line in (_line(match, glyphs) for match in _SEGMENT.finditer(text)) if line is not None]


class PrintedLine:
    """One line."""

    def __init__(self, text: str, size: float) -> None:
        self.text = text
        self.size = size
        self.words: list[tuple[int, Box, int]] = []
        self.hyphen = self.note = False
        self.angle = 0

    def told(self, page: Any) -> list[Any]:
        """The line as the parent reads it."""
        lefts, bottoms, rights, tops = zip(*(box for _, box, _ in self.words), strict=True)
        _, bottom, _, top = page.seen(min(lefts), min(bottoms), max(rights), max(tops))
        upright = self.angle == page.angle
        return [self.text, self._along(page), bottom, top, self.size, self.hyphen, self.note, upright]

    def _along(self, page: Any) -> list[tuple[int, int, int, int]]:
        """(start, left, right, look) of its words, in tenths of points along the lines of the page's text."""
        left = page.left
        if page.angle == 0:
            with contextlib.suppress(OverflowError, ValueError):  # no number
                return [
                    (start, round((box[0] - left) * 10), round((box[2] - left) * 10), look)
                    for start, box, look in self.words
                ]
        seen = ((start, page.seen(*box), look) for start, box, look in self.words)
        return [(start, _tenths(box[0]), _tenths(box[2]), look) for start, box, look in seen]

    def edit(self, edits: list[tuple[int, int, str]]) -> None:
        """Puts other text in some places, told as (start, end, text) from the left."""
        for start, end, text in reversed(edits):
            self.text = f"{self.text[:start]}{text}{self.text[end:]}"
            longer = len(text) - (end - start)
            kept = self.words if text else [word for word in self.words if not start <= word[0] < end]
            self.words = [(at + longer if at >= end else at, box, look) for at, box, look in kept]


class _Glyphs:
    """Asks PDFium about single characters; the buffers are made once."""

    def __init__(self, raw: Any, textpage: int) -> None:
        self._raw = raw
        self._page = textpage
        self._sides = bytearray(16)
        self._rect = raw.FS_RECTF.from_buffer(self._sides)
        self._matrix = raw.FS_MATRIX()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(256)
        self._looks: dict[tuple[bytes, int], int] = {}
        self._look_of: dict[int, int] = {}

    def words(self, first: int, spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, Box, int]]:
        """(start, box, look) of each word; its box is of the full height of its font, in points."""
        page, rect, sides, unpack = self._page, self._rect, self._sides, struct.Struct("4f").unpack
        box_of, thing_of, look_of = self._raw.FPDFText_GetLooseCharBox, self._raw.FPDFText_GetTextObject, self._look_of
        for start, end in spans:
            at = first + start
            box_of(page, at, rect)
            left, top, right, bottom = unpack(sides)
            if end - start > 1:
                box_of(page, first + end - 1, rect)
                begins, highest, ends, lowest = unpack(sides)
                left = begins if begins < left else left
                right = ends if ends > right else right
                bottom = lowest if lowest < bottom else bottom
                top = highest if highest > top else top
            thing = thing_of(page, at)  # what is drawn at once is of one font
            look = look_of.get(thing)
            if look is None:
                look = self.look(at)
                if thing:
                    look_of[thing] = look
            yield start, (left, bottom, right, top), look

    def box(self, index: int) -> Box:
        """The box of one character."""
        self._raw.FPDFText_GetLooseCharBox(self._page, index, self._rect)
        return self._rect.left, self._rect.bottom, self._rect.right, self._rect.top

    def size(self, index: int) -> float:
        """The size of the font as it is shown, in tenths of points."""
        size = float(self._raw.FPDFText_GetFontSize(self._page, index))
        if self._raw.FPDFText_GetMatrix(self._page, index, self._matrix):
            size *= math.hypot(self._matrix.c, self._matrix.d)
        return round(abs(size), 1)

    def angle(self, index: int) -> int:
        """By how many degrees the text is turned, counter-clockwise, to the next quarter."""
        if not self._raw.FPDFText_GetMatrix(self._page, index, self._matrix):
            return 0
        across, up = self._matrix.a, self._matrix.b
        return 0 if up == 0 <= across else round(math.degrees(math.atan2(up, across)) / 90) % 4 * 90

    def look(self, index: int) -> int:
        """What the font is: bold, typewriter, mathematics, italic; by its name and flags."""
        length = self._raw.FPDFText_GetFontInfo(self._page, index, self._name, 256, self._flags)
        key = self._name.raw[: min(max(length - 1, 0), 255)], self._flags.value
        if key not in self._looks:
            self._looks[key] = self._judged(key[0].lower(), key[1], index)
        return self._looks[key]

    def unseen(self, index: int) -> int:
        """_UNSEEN for text that is drawn without being shown (mode 3 of ISO 32000-1, 9.3.6), else 0."""
        mode = self._raw.FPDFTextObj_GetTextRenderMode(self._raw.FPDFText_GetTextObject(self._page, index))
        return _UNSEEN if mode == self._raw.FPDF_TEXTRENDERMODE_INVISIBLE else 0

    def _judged(self, name: bytes, flags: int, index: int) -> int:
        name = name.partition(b"+")[2] or name
        weight = self._raw.FPDFText_GetFontWeight(self._page, index)
        look = _BOLD if _BOLD_NAME.search(name) or flags & _FORCE_BOLD or weight >= 600 else 0
        look |= _TYPED if _TYPED_NAME.search(name) or (flags & _FIXED_PITCH and self._one_width(index)) else 0
        return look | (_MATHS if _MATHS_NAME.search(name) else 0) | (_ITALIC if _ITALIC_NAME.search(name) else 0)

    def _one_width(self, index: int) -> bool:
        """Whether the font's letters are of one width, as it says: some programs say so of every font."""
        font = self._raw.FPDFTextObj_GetFont(self._raw.FPDFText_GetTextObject(self._page, index))
        wide = [ctypes.c_float() for _ in "ilmWo"]
        for letter, one in zip("ilmWo", wide, strict=True):
            self._raw.FPDFFont_GetGlyphWidth(font, ord(letter), 100.0, one)
        return len({round(one.value) for one in wide} - {0}) < 2  # a font without these letters is believed


def _line(match: re.Match[str], glyphs: _Glyphs) -> PrintedLine | None:
    body = match[0].rstrip(" \ufffe\u00a0")
    lead = len(body) - len(body.lstrip(" \u00a0"))
    text = body[lead:]
    first = match.start() + lead
    spans = [word.span() for word in _WORD.finditer(text)]
    if not spans:
        return None
    middle = max(spans[len(spans) // 3 : len(spans) // 3 + 3], key=lambda span: span[1] - span[0])[0]
    line = PrintedLine(text, glyphs.size(first + middle) or 1.0)
    line.hyphen = match[0].endswith(_SOFT_HYPHEN)
    line.angle, unseen = glyphs.angle(first + middle), glyphs.unseen(first + middle)
    line.words = list(glyphs.words(first, iter(spans)))
    if unseen:
        line.words = [(start, box, look | unseen) for start, box, look in line.words]
    leading = _LEADING_NOTE.match(text)
    if leading is not None and leading.end() < len(text):
        behind = glyphs.size(first + leading.end())
        line.note = glyphs.size(first) < 0.8 * behind  # a raised number begins the line
        line.size = behind if line.note else line.size
    edits = [*_notes(line, first, glyphs), *_accents(line, first, glyphs), *_raised(line, first, glyphs)]
    if edits:
        line.edit(sorted(edits))
    return line


def _notes(line: PrintedLine, first: int, glyphs: _Glyphs) -> Iterator[tuple[int, int, str]]:
    """A raised number after a word refers to a note: "Raad5" becomes "Raad (5)", so that the word stays a word."""
    for found in _NOTE.finditer(line.text):
        start, end = found.span(1)
        if glyphs.size(first + start) < 0.8 * line.size:
            yield start, end, f" ({found[1]})"


def _accents(line: PrintedLine, first: int, glyphs: _Glyphs) -> Iterator[tuple[int, int, str]]:
    """An accent drawn over a letter is one letter with it: old fonts have none, and tell "G´en´erateur"."""
    for found in _ACCENTED.finditer(line.text):
        start = found.start()
        letter = _DOTLESS.get(found[1], found[1])
        whole = unicodedata.normalize("NFC", letter + _COMBINING[found[0][0]])
        if len(whole) == 1 and _over(glyphs.box(first + start), glyphs.box(first + start + 1)):
            yield start, start + 2, whole


def _raised(line: PrintedLine, first: int, glyphs: _Glyphs) -> Iterator[tuple[int, int, str]]:
    """Over a capital an accent is drawn higher up, and PDFium tells it by itself: "Electronique ´"."""
    for found in _ALONE.finditer(line.text):
        place = glyphs.box(first + found.start(1))
        for letter in _CAPITAL.finditer(line.text):
            at = letter.start()
            whole = unicodedata.normalize("NFC", letter[0] + _COMBINING[found[1]])
            if len(whole) == 1 and _over(place, glyphs.box(first + at)):
                yield from ((*found.span(), ""), (at, at + 1, whole))
                break


def _over(one: Box, other: Box) -> bool:
    """Whether two characters stand in the same place."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    narrow = min(one[2] - one[0], other[2] - other[0]), min(one[3] - one[1], other[3] - other[1])
    return across > 0.5 * narrow[0] > 0 and up > 0.5 * narrow[1] > 0


def _tenths(length: float) -> int:
    """What lies beyond all pages lies at their end."""
    return 0 if math.isnan(length) else round(max(-_FARTHEST, min(_FARTHEST, length)) * 10)
