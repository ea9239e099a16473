"""The pages of a PDF, found by a process of their own: run as a script, never imported.

PDFium is native code, and three kilobytes of nested forms can keep it busy for hours in all the memory there is. So it
works here, with limits on time and memory and nothing of ours; what comes out is JSON, a line a page. Input: the PDF.
Arguments: pages_max, text_max, seconds, bytes of memory, folder of pypdfium2, first page.
Output: {"pages", "title", "outline": [[title, level, page], ...]} or {"error", ...}; a page {"page", "width", "height",
"turn", "lines", "unmapped", "rules", "images"} or {"page", "broken": true}; {"end"}. A line is [text, words, bottom,
top, size, hyphen, note, upright]; a word is [start, left, right, look], where look counts 1 for bold, 2 for typewriter,
4 for mathematics, 8 for italic, 16 for what is not shown. Lengths in points, of words in tenths of points, from the
lower left corner of the page as turned by `turn` degrees, so that most of its text stands upright.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
from collections import Counter

TYPE_CHECKING = False  # importing `typing` takes half as long as reading a page
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
    from pdf_lines import lines_of  # type: ignore[import-not-found]  # noqa: PLC0415
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
            found = _Page(raw, page, number).found(lines_of, text_max - size)
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
        self.left, self._bottom, self._right, self._top = page.get_bbox()
        self.angle = 0

    def found(self, lines_of: Callable[..., list[Any]], text_left: int) -> dict[str, Any]:
        """The page as it is told to the parent."""
        textpage = self._page.get_textpage()
        try:
            count = textpage.count_chars()
            if count > _PAGE_CHARS_MAX or count > text_left + 1000:
                raise TooMuch(f"Page {self._number} of the PDF holds {count:,} characters.")
            text = textpage.get_text_range() if count > 0 else ""
            if len(text) != count:
                text = "".join(_letter(self._raw.FPDFText_GetUnicode(textpage.raw, i)) for i in range(count))
            lines, unmapped = lines_of(self._raw, textpage.raw, text), round(textpage.unmapped(), 2)
        finally:
            textpage.close()
        votes: Counter[int] = Counter()
        for line in lines:
            votes[line.angle] += len(line.text)
        self.angle = votes.most_common(1)[0][0] if votes else self._page.get_rotation()
        wide, high = self._right - self.left, self._top - self._bottom
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
            box = self._top - top, left - self.left, self._top - bottom, right - self.left
        else:
            box = left - self.left, bottom - self._bottom, right - self.left, top - self._bottom
        return round(box[0], 1), round(box[1], 1), round(box[2], 1), round(box[3], 1)

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
