"""The pages of a PDF, found by a process of their own: run as a script, never imported.

PDFium is native code, and three kilobytes of nested forms can keep it busy for hours in all the memory there is. So it
works here, with limits on time and memory and nothing of ours; what comes out is JSON, a line a page. Input: the PDF.
Arguments: pages_max, text_max, seconds, bytes of memory, folder of pypdfium2, first page.
Output: {"pages", "title", "outline": [[title, level, page], ...]} or {"error", ...}; a page {"page", "width", "height",
"turn", "lines", "unmapped", "rules", "images"} or {"page", "broken": true}; {"end"}. A line is [text, words, bottom,
top, size, hyphen, note, upright]; a word is [start, left, right, look], where look counts 1 for bold, 2 for typewriter,
4 for mathematics, 8 for italic, 16 for what is not shown. Lengths in points from the lower left corner of the page as
turned by `turn` degrees, so that most of its text stands upright.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import re
import sys
from collections import Counter
from typing import Any

_SEGMENT = re.compile(r"[^\r\n\ufffe]+\ufffe?")
_WORD = re.compile(r"[^ \u00a0\ufffe\x00-\x1f]+")
_NOTE = re.compile(r"(?<=[^\W\d])(?:[.,;:)”’\"»]?)(\d{1,3})(?![\w.,]\d|\w)")
_LEADING_NOTE = re.compile(r"\s*(\d{1,3})\s?(?=\S)")
_SOFT_HYPHEN = "\ufffe"
_BOLD, _TYPED, _MATHS, _ITALIC, _UNSEEN = 1, 2, 4, 8, 16
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|cmbx|cmb\d|sfbx|sfrb|medi(?:$|ital)|-bd|,bd|semib")
_TYPED_NAME = re.compile(rb"mono|courier|consol|typewriter|cmtt|cmsltt|sftt|ectt|menlo|inconsolata|nimbusmon|-tt|lmtt")
_MATHS_NAME = re.compile(rb"cmmi|cmsy|cmex|msam|msbm|math|stix|eufm|rsfs|symbol")
_ITALIC_NAME = re.compile(rb"ital|obliq|cmti|cmsl|sfti|slant")
_FIXED_PITCH, _FORCE_BOLD = 1, 1 << 18
_PAGE_CHARS_MAX, _OUTLINE_MAX = 1_000_000, 10_000
_OBJECTS_MAX, _RULES_MAX, _DEPTH_MAX = 20_000, 4_000, 3
_AS_IT_IS: tuple[float, ...] = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_THIN = 2.5  # a path that is no thicker, in points, is a rule
_SECONDS_PER_PAGE = 0.2


class TooMuch(Exception):
    """Over a limit; the message says which."""


def _confine(seconds: int, memory: int, most: int) -> None:
    """Limits of this process; where the system knows none, the parent's patience is the only one.

    The time may be set anew up to `most`, once it is known how many pages there are.
    """
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return
    limits = ((resource.RLIMIT_AS, memory, memory), (resource.RLIMIT_CPU, seconds, most))
    for what, soft, hard in (*limits, (resource.RLIMIT_FSIZE, 0, 0), (resource.RLIMIT_CORE, 0, 0)):
        _, bound = resource.getrlimit(what)
        highest = hard if bound == resource.RLIM_INFINITY else min(hard, bound)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (min(soft, highest), highest))


def _allow(seconds: float) -> None:
    """Sets the time that may be used, up to what `_confine` allowed at most."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  # absent on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (min(math.ceil(seconds), hard), hard))


def _say(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n")


def read(data: bytes, pages_max: int, text_max: int, seconds: int, first: int) -> None:
    """Says everything there is to say about the PDF `data`, page by page."""
    # Only once the process is confined.
    from pdfium import PdfDocument, PdfiumError, raw  # type: ignore[import-not-found]  # noqa: PLC0415

    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        locked = getattr(error, "err_code", None) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
        return _say({"error": "locked" if locked else "damaged"})
    count = len(document)
    if count > pages_max:
        return _say({"error": "too_large", "what": f"The PDF has {count:,} pages; the limit is {pages_max:,}."})
    _allow(seconds + _SECONDS_PER_PAGE * count)
    _say({"pages": count, "title": document.title(), "outline": _outline(document, PdfiumError)})
    size = 0
    for number in range(first, count + 1):
        sys.stdout.buffer.flush()  # what was found is found, if the next page ends this process
        try:
            page = document[number - 1]
        except PdfiumError:
            _say({"page": number, "broken": True})
            continue
        try:
            found = _Page(raw, page, number).found(text_max - size)
        except TooMuch as over:
            return _say({"error": "too_large", "what": str(over)})
        size += sum(len(line[0]) for line in found["lines"])
        _say(found)
        page.close()
    return _say({"end": True})


def _outline(document: Any, refused: type[Exception]) -> list[tuple[str, int, int]]:
    entries: list[tuple[str, int, int]] = []
    with contextlib.suppress(refused, ValueError):
        for written, level, page in document.outline(depth_max=8):
            title = " ".join(written.split())
            if title and page is not None and len(entries) < _OUTLINE_MAX:
                entries.append((title, level + 1, page + 1))
    return entries


class _Page:
    """What stands on one page."""

    def __init__(self, raw: Any, page: Any, number: int) -> None:
        self._raw = raw
        self._page = page
        self._number = number
        self._left, self._bottom, self._right, self._top = page.get_bbox()
        self.angle = 0

    def found(self, text_left: int) -> dict[str, Any]:
        """The page as it is told to the parent."""
        textpage = self._page.get_textpage()
        try:
            count = textpage.count_chars()
            if count > _PAGE_CHARS_MAX or count > text_left + 1000:
                raise TooMuch(f"Page {self._number} of the PDF holds {count:,} characters.")
            text = textpage.get_text_range() if count > 0 else ""
            if len(text) != count:
                text = "".join(_letter(self._raw.FPDFText_GetUnicode(textpage.raw, i)) for i in range(count))
            glyphs, unmapped = _Glyphs(self._raw, textpage.raw), round(textpage.unmapped(), 2)
            lines = [line for line in (_line(match, glyphs) for match in _SEGMENT.finditer(text)) if line is not None]
        finally:
            textpage.close()
        votes: Counter[int] = Counter()
        for line in lines:
            votes[line.angle] += len(line.text)
        self.angle = votes.most_common(1)[0][0] if votes else self._page.get_rotation()
        wide, high = self._right - self._left, self._top - self._bottom
        turned = self._page.get_rotation() % 180 != 0
        rules, images = self._drawn()
        return {
            "page": self._number,
            "width": round(high if turned else wide, 1),
            "height": round(wide if turned else high, 1),
            "turn": (self.angle - self._page.get_rotation()) % 360,
            "lines": [line.told(self) for line in lines],
            "unmapped": unmapped,
            "rules": rules,
            "images": images,
        }

    def seen(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """A box of the page's own space in the space in which most text stands upright."""
        if self.angle == 90:
            box = bottom - self._bottom, self._right - right, top - self._bottom, self._right - left
        elif self.angle == 180:
            box = self._right - right, self._top - top, self._right - left, self._top - bottom
        elif self.angle == 270:
            box = self._top - top, left - self._left, self._top - bottom, right - self._left
        else:
            box = left - self._left, bottom - self._bottom, right - self._left, top - self._bottom
        return round(box[0], 1), round(box[1], 1), round(box[2], 1), round(box[3], 1)

    def along(self, box: tuple[float, float, float, float]) -> tuple[float, float]:
        """Where a box of the page's own space begins and ends along the lines of its text."""
        if self.angle == 0:
            return round(box[0] - self._left, 1), round(box[2] - self._left, 1)
        return self.seen(*box)[0], self.seen(*box)[2]

    # -- rules and pictures -----------------------------------------------------------------------

    def _drawn(self) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        raw, page = self._raw, self._page.raw
        rules: list[tuple[float, ...]] = []
        images: list[tuple[float, ...]] = []
        count = min(raw.FPDFPage_CountObjects(page), _OBJECTS_MAX)
        waiting = [(raw.FPDFPage_GetObject(page, at), _AS_IT_IS, 0) for at in range(count)]
        while waiting and len(rules) <= _RULES_MAX:
            thing, outer, depth = waiting.pop()
            kind = raw.FPDFPageObj_GetType(thing)
            if kind == raw.FPDF_PAGEOBJ_PATH:
                self._path(thing, outer, rules)
            elif kind == raw.FPDF_PAGEOBJ_IMAGE:
                images.append(self.seen(*_moved(self._bounds(thing), outer)))
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEPTH_MAX:
                own = _times(self._matrix(thing), outer)
                count = max(0, min(raw.FPDFFormObj_CountObjects(thing), _OBJECTS_MAX - len(waiting)))
                waiting += [(raw.FPDFFormObj_GetObject(thing, at), own, depth + 1) for at in range(count)]
        return ([] if len(rules) > _RULES_MAX else rules), images  # more is a drawing, not a table

    def _bounds(self, thing: Any) -> tuple[float, float, float, float]:
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        self._raw.FPDFPageObj_GetBounds(thing, left, bottom, right, top)
        return left.value, bottom.value, right.value, top.value

    def _matrix(self, thing: Any) -> tuple[float, ...]:
        matrix = self._raw.FS_MATRIX()
        if not self._raw.FPDFPageObj_GetMatrix(thing, matrix):
            return _AS_IT_IS
        return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f

    def _path(self, path: Any, outer: tuple[float, ...], rules: list[Any]) -> None:
        """The rules that a path draws: itself if it is thin, else its upright and level strokes."""
        box = _moved(self._bounds(path), outer)
        wide, high = box[2] - box[0], box[3] - box[1]
        if wide <= _THIN or high <= _THIN:
            if max(wide, high) > 2 * _THIN:
                rules.append(self.seen(*box))
            return
        raw = self._raw
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(path, fill, stroke)
        count = raw.FPDFPath_CountSegments(path)
        filled = bool(fill.value)
        if not 2 <= count <= 500 or (filled and count > 5) or (filled and not stroke.value and self._white(path)):
            return
        own = _times(self._matrix(path), outer)
        x, y = ctypes.c_float(), ctypes.c_float()
        begun = last = (0.0, 0.0)
        for at in range(count):
            segment = raw.FPDFPath_GetPathSegment(path, at)
            raw.FPDFPathSegment_GetPoint(segment, x, y)
            point = own[0] * x.value + own[2] * y.value + own[4], own[1] * x.value + own[3] * y.value + own[5]
            kind = raw.FPDFPathSegment_GetType(segment)
            if kind == raw.FPDF_SEGMENT_MOVETO:
                begun = point
            elif kind == raw.FPDF_SEGMENT_LINETO:
                self._stroke(last, point, rules)
            last = point
            if raw.FPDFPathSegment_GetClose(segment):
                self._stroke(point, begun, rules)

    def _white(self, path: Any) -> bool:
        """Whether the path shows nothing on white paper."""
        colour = [ctypes.c_uint() for _ in range(4)]
        self._raw.FPDFPageObj_GetFillColor(path, *colour)
        return all(part.value > 250 for part in colour[:3]) or colour[3].value == 0

    def _stroke(self, start: tuple[float, float], end: tuple[float, float], rules: list[Any]) -> None:
        (a, b), (c, d) = start, end
        if (abs(a - c) <= 0.5) != (abs(b - d) <= 0.5) and abs(a - c) + abs(b - d) > 2 * _THIN:
            rules.append(self.seen(min(a, c), min(b, d), max(a, c), max(b, d)))


def _times(inner: tuple[float, ...], outer: tuple[float, ...]) -> tuple[float, ...]:
    (a, b, c, d, e, f), (p, q, r, s, t, u) = inner, outer
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _moved(box: tuple[float, ...], by: tuple[float, ...]) -> tuple[float, float, float, float]:
    if by == _AS_IT_IS:
        return box[0], box[1], box[2], box[3]
    a, b, c, d, e, f = by
    xs = [a * x + c * y + e for x in (box[0], box[2]) for y in (box[1], box[3])]
    ys = [b * x + d * y + f for x in (box[0], box[2]) for y in (box[1], box[3])]
    return min(xs), min(ys), max(xs), max(ys)


def _letter(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


class _Glyphs:
    """Asks PDFium about single characters; the buffers are made once."""

    def __init__(self, raw: Any, textpage: object) -> None:
        self._raw = raw
        self._page = textpage
        self._rect = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(256)
        self._looks: dict[tuple[bytes, int], int] = {}

    def box(self, index: int) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in points, of the full height of the font."""
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
        return round(math.degrees(math.atan2(self._matrix.b, self._matrix.a)) / 90) % 4 * 90

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


class _Line:
    def __init__(self, text: str, size: float) -> None:
        self.text = text
        self.size = size
        self.words: list[tuple[int, tuple[float, float, float, float], int]] = []
        self.hyphen = self.note = False
        self.angle = 0

    def told(self, page: _Page) -> list[Any]:
        """The line as the parent reads it."""
        boxes = [box for _, box, _ in self.words]
        lefts, bottoms, rights, tops = zip(*boxes, strict=True)
        _, bottom, _, top = page.seen(min(lefts), min(bottoms), max(rights), max(tops))
        words = [(start, *page.along(box), look) for start, box, look in self.words]
        return [self.text, words, bottom, top, self.size, self.hyphen, self.note, self.angle == page.angle]


def _line(match: re.Match[str], glyphs: _Glyphs) -> _Line | None:
    body = match[0].rstrip(" \ufffe\u00a0")
    lead = len(body) - len(body.lstrip(" \u00a0"))
    text = body[lead:]
    first = match.start() + lead
    found = list(_WORD.finditer(text))
    if not found:
        return None
    middle = max(found[len(found) // 3 : len(found) // 3 + 3], key=lambda word: len(word[0]))
    line = _Line(text, glyphs.size(first + middle.start()) or 1.0)
    line.hyphen = match[0].endswith(_SOFT_HYPHEN)
    line.angle, unseen = glyphs.angle(first + middle.start()), glyphs.unseen(first + middle.start())
    for word in found:
        box = glyphs.box(first + word.start())
        if len(word[0]) > 1:
            last = glyphs.box(first + word.end() - 1)
            box = min(box[0], last[0]), min(box[1], last[1]), max(box[2], last[2]), max(box[3], last[3])
        line.words.append((word.start(), box, glyphs.look(first + word.start()) | unseen))
    leading = _LEADING_NOTE.match(text)
    if leading is not None and leading.end() < len(text):
        behind = glyphs.size(first + leading.end())
        line.note = glyphs.size(first) < 0.8 * behind  # a raised number begins the line
        line.size = behind if line.note else line.size
    if _NOTE.search(text) is not None:
        _mark_notes(line, first, glyphs)
    return line


def _mark_notes(line: _Line, first: int, glyphs: _Glyphs) -> None:
    """A raised number after a word refers to a note: "Raad5" becomes "Raad (5)", so that the word stays a word."""
    for found in reversed(list(_NOTE.finditer(line.text))):
        start, end = found.span(1)
        if glyphs.size(first + start) >= 0.8 * line.size:
            continue
        line.text = f"{line.text[:start]} ({line.text[start:end]}){line.text[end:]}"
        line.words = [(at + 3 if at >= end else at, box, look) for at, box, look in line.words]


def main() -> None:
    """Reads standard input, writes standard output."""
    pages_max, text_max, seconds, memory = map(int, sys.argv[1:5])
    sys.dont_write_bytecode = True  # it could not
    sys.path += [sys.argv[5], os.path.dirname(__file__)]
    _confine(seconds, memory, seconds + math.ceil(_SECONDS_PER_PAGE * pages_max))
    try:
        read(sys.stdin.buffer.read(), pages_max, text_max, seconds, int(sys.argv[6]))
    except MemoryError:
        _say({"error": "memory"})


if __name__ == "__main__":
    main()
