"""The pages of a PDF, found by a process of their own: run as a script, never imported.

PDFium is native code, and three kilobytes of nested forms can keep it busy for hours in all the memory there is. So it
works here, with limits on time and memory, no environment and nothing of ours; what comes out is JSON, a line a page.

Input: the PDF. Arguments: "read", pages_max, text_max, seconds, bytes of memory, folder of pypdfium2, first page; or
"draw", page (from 1), dots per inch, seconds, bytes of memory, folder of pypdfium2, 1 for shades of gray.
Output of "read": {"pages", "title", "outline": [[title, level, page], ...]} or {"error", ...}; then for each page
{"page", "width", "height", "turn", "lines", "rules", "images"} or {"page", "broken": true}.
Output of "draw": {"width", "height", "depth"} or {"error"}, a line end, then the picture: 8 bits a sample, row by row.
A line is [text, words, bottom, top, size, hyphen, note, upright]; a word is [start, left, right, look], where look
counts 1 for bold, 2 for typewriter, 4 for mathematics, 8 for italic. Lengths in points from the lower left corner of the
page turned so that most of its text stands upright; `turn` says by how many degrees, clockwise.
"""

from __future__ import annotations

import ctypes
import json
import math
import re
import sys
from collections import Counter
from typing import Any

_SEGMENT = re.compile(r"[^\r\n\ufffe]+\ufffe?")
_WORD = re.compile(r"[^ \u00a0\ufffe\x00-\x1f]+")
_NOTE = re.compile(r"(?<=[^\W\d])(?:[.,;:)”’\"»]?)(\d{1,3})(?![\w.,]\d|\w)")
_LEADING_NOTE = re.compile(r"\s*(\d{1,3})\s?(?=\S)")
_SOFT_HYPHEN = "\ufffe"
_BOLD, _TYPED, _MATHS, _ITALIC = 1, 2, 4, 8
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|cmbx|cmb\d|sfbx|sfrb|medi(?:$|ital)|-bd|,bd|semib")
_TYPED_NAME = re.compile(rb"mono|courier|consol|typewriter|cmtt|cmsltt|sftt|ectt|menlo|inconsolata|nimbusmon|-tt|lmtt")
_MATHS_NAME = re.compile(rb"cmmi|cmsy|cmex|msam|msbm|math|stix|eufm|rsfs|symbol")
_ITALIC_NAME = re.compile(rb"ital|obliq|cmti|cmsl|sfti|slant")
_FIXED_PITCH, _FORCE_BOLD = 1, 1 << 18
_PAGE_CHARS_MAX = 1_000_000
_OUTLINE_MAX = 10_000
_OBJECTS_MAX = 20_000
_RULES_MAX = 4_000
_THIN = 2.5
"""A path that is no thicker, in points, is a rule."""
_SECONDS_PER_PAGE = 0.2
_DOTS_MAX = 60_000_000


class TooMuch(Exception):
    """Over a limit; the message says which."""


def _confine(seconds: int, memory: int, more: int = 0) -> None:
    """Limits of this process; where the system knows none, the parent's patience is the only one."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return
    for what, soft, most in (
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, seconds, seconds + more),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            soft, most = min(soft, hard), min(most, hard)
        try:
            resource.setrlimit(what, (soft, most))
        except (ValueError, OSError):
            continue


def _allow(seconds: float) -> None:
    """Sets the time that may be used, up to what `_confine` allowed at most."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(math.ceil(seconds), hard) if hard > 0 else math.ceil(seconds), hard))


def _say(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n")


def _opened(data: bytes) -> Any:
    """The document, or an answer that says why there is none."""
    from pypdfium2 import PdfDocument, PdfiumError, raw  # noqa: PLC0415  # only once the process is confined

    try:
        return PdfDocument(data)
    except PdfiumError as error:
        locked = getattr(error, "err_code", None) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
        return {"error": "locked" if locked else "damaged"}


def read(data: bytes, pages_max: int, text_max: int, seconds: int, first: int) -> None:
    """Says everything there is to say about the PDF `data`, page by page."""
    from pypdfium2 import PdfiumError, raw  # noqa: PLC0415  # only once the process is confined

    document = _opened(data)
    if isinstance(document, dict):
        return _say(document)
    count = len(document)
    if count > pages_max:
        return _say({"error": "too_large", "what": f"The PDF has {count:,} pages; the limit is {pages_max:,}."})
    _allow(seconds + _SECONDS_PER_PAGE * count)
    title = document.get_metadata_dict(skip_empty=True).get("Title", "")
    _say({"pages": count, "title": title, "outline": _outline(document, PdfiumError)})
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
    try:
        for item in document.get_toc(max_depth=8):
            target = item.get_dest()
            page = target.get_index() if target is not None else None
            title = " ".join(item.get_title().split())
            if title and page is not None:
                entries.append((title, item.level + 1, page + 1))
            if len(entries) >= _OUTLINE_MAX:
                break
    except (refused, ValueError):
        return []
    return entries


# -- one page -------------------------------------------------------------------------------------


class _Page:
    """What stands on one page."""

    def __init__(self, raw: Any, page: Any, number: int) -> None:
        self._raw = raw
        self._page = page
        self._number = number
        self._left, self._bottom, self._right, self._top = page.get_bbox()
        self._angle = 0

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
            glyphs = _Glyphs(self._raw, textpage.raw)
            lines = [line for line in (_line(match, glyphs) for match in _SEGMENT.finditer(text)) if line is not None]
        finally:
            textpage.close()
        votes: Counter[int] = Counter()
        for line in lines:
            votes[line.angle] += len(line.text)
        self._angle = votes.most_common(1)[0][0] if votes else self._page.get_rotation()
        wide, high = self._right - self._left, self._top - self._bottom
        turned = self._page.get_rotation() % 180 != 0
        rules, images = self._drawn()
        return {
            "page": self._number,
            "width": round(high if turned else wide, 1),
            "height": round(wide if turned else high, 1),
            "turn": (self._angle - self._page.get_rotation()) % 360,
            "lines": [line.told(self._seen, self._angle) for line in lines],
            "rules": rules,
            "images": images,
        }

    def _seen(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """A box of the page's own space in the space in which most text stands upright."""
        if self._angle == 90:
            box = bottom - self._bottom, self._right - right, top - self._bottom, self._right - left
        elif self._angle == 180:
            box = self._right - right, self._top - top, self._right - left, self._top - bottom
        elif self._angle == 270:
            box = self._top - top, left - self._left, self._top - bottom, right - self._left
        else:
            box = left - self._left, bottom - self._bottom, right - self._left, top - self._bottom
        return round(box[0], 1), round(box[1], 1), round(box[2], 1), round(box[3], 1)

    # -- rules and pictures -----------------------------------------------------------------------

    def _drawn(self) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        raw, page = self._raw, self._page.raw
        rules: list[tuple[float, ...]] = []
        images: list[tuple[float, ...]] = []
        count = raw.FPDFPage_CountObjects(page)
        for at in range(min(count, _OBJECTS_MAX)):
            thing = raw.FPDFPage_GetObject(page, at)
            kind = raw.FPDFPageObj_GetType(thing)
            if kind == raw.FPDF_PAGEOBJ_PATH:
                self._path(thing, (1, 0, 0, 1, 0, 0), rules)
            elif kind == raw.FPDF_PAGEOBJ_IMAGE:
                images.append(self._seen(*self._bounds(thing)))
            elif kind == raw.FPDF_PAGEOBJ_FORM:
                self._form(thing, (1, 0, 0, 1, 0, 0), rules, images, 0)
            if len(rules) > _RULES_MAX:  # a drawing, not a table
                return [], images
        return rules, images

    def _form(self, form: Any, outer: tuple[float, ...], rules: list[Any], images: list[Any], depth: int) -> None:
        raw = self._raw
        own = _times(self._matrix(form), outer)
        count = raw.FPDFFormObj_CountObjects(form)
        for at in range(max(0, min(count, 2000))):
            thing = raw.FPDFFormObj_GetObject(form, at)
            kind = raw.FPDFPageObj_GetType(thing)
            if kind == raw.FPDF_PAGEOBJ_PATH:
                self._path(thing, own, rules)
            elif kind == raw.FPDF_PAGEOBJ_IMAGE:
                images.append(self._seen(*_moved(self._bounds(thing), own)))
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < 2:
                self._form(thing, own, rules, images, depth + 1)
            if len(rules) > _RULES_MAX:
                return

    def _bounds(self, thing: Any) -> tuple[float, float, float, float]:
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        self._raw.FPDFPageObj_GetBounds(thing, left, bottom, right, top)
        return left.value, bottom.value, right.value, top.value

    def _matrix(self, thing: Any) -> tuple[float, ...]:
        matrix = self._raw.FS_MATRIX()
        if not self._raw.FPDFPageObj_GetMatrix(thing, matrix):
            return 1, 0, 0, 1, 0, 0
        return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f

    def _path(self, path: Any, outer: tuple[float, ...], rules: list[Any]) -> None:
        """The rules that a path draws: itself if it is thin, else its upright and level strokes."""
        box = _moved(self._bounds(path), outer)
        wide, high = box[2] - box[0], box[3] - box[1]
        if wide <= _THIN or high <= _THIN:
            if max(wide, high) > 2 * _THIN:
                rules.append(self._seen(*box))
            return
        raw = self._raw
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(path, fill, stroke)
        count = raw.FPDFPath_CountSegments(path)
        if not 2 <= count <= 500:
            return
        if fill.value and count > 5:
            return
        if self._white(path, bool(fill.value), bool(stroke.value)):
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

    def _white(self, path: Any, fill: bool, stroke: bool) -> bool:
        """Whether the path shows nothing on white paper."""
        colour = [ctypes.c_uint() for _ in range(4)]
        if stroke or not fill:
            return False
        self._raw.FPDFPageObj_GetFillColor(path, *colour)
        return all(part.value > 250 for part in colour[:3]) or colour[3].value == 0

    def _stroke(self, start: tuple[float, float], end: tuple[float, float], rules: list[Any]) -> None:
        (a, b), (c, d) = start, end
        if (abs(a - c) <= 0.5) != (abs(b - d) <= 0.5) and abs(a - c) + abs(b - d) > 2 * _THIN:
            rules.append(self._seen(min(a, c), min(b, d), max(a, c), max(b, d)))


def _times(inner: tuple[float, ...], outer: tuple[float, ...]) -> tuple[float, ...]:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _moved(box: tuple[float, ...], by: tuple[float, ...]) -> tuple[float, float, float, float]:
    if by == (1, 0, 0, 1, 0, 0):
        return box[0], box[1], box[2], box[3]
    corners = [
        (by[0] * x + by[2] * y + by[4], by[1] * x + by[3] * y + by[5])
        for x in (box[0], box[2])
        for y in (box[1], box[3])
    ]
    return (
        min(c[0] for c in corners),
        min(c[1] for c in corners),
        max(c[0] for c in corners),
        max(c[1] for c in corners),
    )


def _letter(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


# -- lines ----------------------------------------------------------------------------------------


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
        size = self._raw.FPDFText_GetFontSize(self._page, index)
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
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = self._judged(key[0].lower(), key[1], index)
        return look

    def _judged(self, name: bytes, flags: int, index: int) -> int:
        name = name.partition(b"+")[2] or name
        weight = self._raw.FPDFText_GetFontWeight(self._page, index)
        look = _BOLD if _BOLD_NAME.search(name) or flags & _FORCE_BOLD or weight >= 600 else 0
        look |= _TYPED if _TYPED_NAME.search(name) or flags & _FIXED_PITCH else 0
        look |= _MATHS if _MATHS_NAME.search(name) else 0
        return look | (_ITALIC if _ITALIC_NAME.search(name) else 0)


class _Line:
    __slots__ = ("angle", "bottom", "hyphen", "note", "size", "text", "top", "words")

    def __init__(self, text: str, size: float) -> None:
        self.text = text
        self.size = size
        self.words: list[tuple[int, tuple[float, float, float, float], int]] = []
        self.hyphen = self.note = False
        self.angle = 0

    def told(self, seen: Any, angle: int) -> list[Any]:
        """The line as the parent reads it."""
        words: list[tuple[int, float, float, int]] = []
        bottoms: list[float] = []
        tops: list[float] = []
        for start, box, look in self.words:
            left, bottom, right, top = seen(*box)
            words.append((start, left, right, look))
            bottoms.append(bottom)
            tops.append(top)
        return [self.text, words, min(bottoms), max(tops), self.size, self.hyphen, self.note, self.angle == angle]


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
    line.angle = glyphs.angle(first + middle.start())
    for word in found:
        start, last = glyphs.box(first + word.start()), glyphs.box(first + word.end() - 1)
        box = min(start[0], last[0]), min(start[1], last[1]), max(start[2], last[2]), max(start[3], last[3])
        line.words.append((word.start(), box, glyphs.look(first + word.start())))
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


# -- pictures -------------------------------------------------------------------------------------


def draw(data: bytes, number: int, dpi: int, gray: bool) -> None:
    """Says how large the picture of one page is, then its dots, row by row from the top, without padding."""
    document = _opened(data)
    if isinstance(document, dict):
        return _say(document)
    if not 1 <= number <= len(document):
        return _say({"error": "no_page", "pages": len(document)})
    page = document[number - 1]
    wide, high = (math.ceil(length * dpi / 72) for length in page.get_size())
    if wide * high > _DOTS_MAX:
        return _say({"error": "too_large", "what": f"Page {number} would have {wide:,} x {high:,} dots."})
    return _show(page.render(scale=dpi / 72, grayscale=gray, rev_byteorder=not gray))


def _show(bitmap: Any) -> None:
    wide, high, stride, depth = bitmap.width, bitmap.height, bitmap.stride, bitmap.n_channels
    rows = bytes(bitmap.buffer)
    _say({"width": wide, "height": high, "depth": depth})
    for row in range(high):
        sys.stdout.buffer.write(rows[row * stride : row * stride + wide * depth])


def main() -> None:
    """Reads standard input, writes standard output."""
    task, *rest = sys.argv[1:]
    if task == "draw":
        number, dpi, seconds, memory = map(int, rest[:4])
        sys.path.append(rest[4])
        _confine(seconds, memory)
    else:
        pages_max, text_max, seconds, memory = map(int, rest[:4])
        sys.path.append(rest[4])
        _confine(seconds, memory, math.ceil(_SECONDS_PER_PAGE * pages_max))
    try:
        if task == "draw":
            draw(sys.stdin.buffer.read(), number, dpi, rest[5] == "1")
        else:
            read(sys.stdin.buffer.read(), pages_max, text_max, seconds, int(rest[5]))
    except MemoryError:
        _say({"error": "memory"})


if __name__ == "__main__":
    main()
