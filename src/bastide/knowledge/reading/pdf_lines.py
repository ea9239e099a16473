"""The lines of a PDF, found by a process of their own: run as a script, never imported.

PDFium is native code, and three kilobytes of nested forms can keep it busy for hours in all the memory there is. So it
works here, with limits on time and memory, no environment and nothing of ours; what comes out is JSON.

Input: the PDF. Arguments: pages_max, text_max, seconds, bytes of memory, folder of pypdfium2.
Output: {"title", "pages": [[height, [line, ...]] or null], "outline": [[title, level, page], ...]} or {"error", ...}.
A line is [text, left, right, bottom, top, size, bold, hyphen, note, upright]; lengths in points, pages from 1.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

_SEGMENT = re.compile(r"[^\r\n\ufffe]+\ufffe?")
_NOTE = re.compile(r"(?<=[^\W\d])(?:[.,;:)”’\"»]?)(\d{1,3})(?![\w.,]\d|\w)")
_LEADING_NOTE = re.compile(r"\s*(\d{1,3})\s?(?=\S)")
_SOFT_HYPHEN = "\ufffe"
_BOLD = 600
_FORCE_BOLD = 1 << 18
_PAGE_CHARS_MAX = 1_000_000
_OUTLINE_MAX = 10_000

Line = tuple[str, float, float, float, float, float, bool, bool, bool, bool]


class TooMuch(Exception):
    """Over a limit; the message says which."""


def _confine(seconds: int, memory: int) -> None:
    """Limits of this process; where the system knows none, the parent's patience is the only one."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (bound, bound))
        except (ValueError, OSError):
            continue


def found_in(data: bytes, pages_max: int, text_max: int) -> dict[str, Any]:
    """Everything there is to say about the PDF `data`, in plain values."""
    from pypdfium2 import PdfDocument, PdfiumError, raw  # noqa: PLC0415  # only once the process is confined

    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        locked = getattr(error, "err_code", None) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
        return {"error": "locked" if locked else "damaged"}
    count = len(document)
    if count > pages_max:
        return {"error": "too_large", "what": f"The PDF has {count:,} pages; the limit is {pages_max:,}."}
    pages: list[tuple[float, list[Line]] | None] = []
    size = 0
    for number in range(1, count + 1):
        try:
            page = document[number - 1]
        except PdfiumError:
            pages.append(None)
            continue
        lines = _lines(raw, page, number, text_max - size)
        size += sum(len(line[0]) for line in lines)
        pages.append((page.get_height() if page.get_rotation() % 180 == 0 else page.get_width(), lines))
        page.close()
    title = document.get_metadata_dict(skip_empty=True).get("Title", "")
    return {"title": title, "pages": pages, "outline": _outline(document, PdfiumError)}


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


def _lines(raw: Any, page: Any, number: int, text_left: int) -> list[Line]:
    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        if count > _PAGE_CHARS_MAX or count > text_left + 1000:
            raise TooMuch(f"Page {number} of the PDF holds {count:,} characters.")
        text = textpage.get_text_range() if count > 0 else ""
        if len(text) != count:
            text = "".join(_letter(raw.FPDFText_GetUnicode(textpage.raw, i)) for i in range(count))
        glyphs = _Glyphs(raw, textpage.raw)
        upright = page.get_rotation() == 0
        lines = (_line(match, text, glyphs, upright) for match in _SEGMENT.finditer(text))
        return [line for line in lines if line is not None]
    finally:
        textpage.close()


def _letter(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


class _Glyphs:
    """Asks PDFium about single characters; the buffers are made once."""

    def __init__(self, raw: Any, textpage: object) -> None:
        self._raw = raw
        self._page = textpage
        self._rect = raw.FS_RECTF()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(256)

    def box(self, index: int) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in points, of the full height of the font."""
        self._raw.FPDFText_GetLooseCharBox(self._page, index, self._rect)
        return self._rect.left, self._rect.bottom, self._rect.right, self._rect.top

    def size(self, index: int) -> float:
        """The height of the font, in half points."""
        _, bottom, _, top = self.box(index)
        return round((top - bottom) * 2) / 2

    def bold(self, index: int) -> bool:
        """Whether the font says so by its name, its flags or its weight."""
        length = self._raw.FPDFText_GetFontInfo(self._page, index, self._name, 256, self._flags)
        name = self._name.raw[: min(max(length - 1, 0), 255)].lower()
        if b"bold" in name or b"black" in name or b"heavy" in name or self._flags.value & _FORCE_BOLD:
            return True
        return bool(self._raw.FPDFText_GetFontWeight(self._page, index) >= _BOLD)


def _line(match: re.Match[str], text: str, glyphs: _Glyphs, upright: bool) -> Line | None:
    body = match[0].rstrip(" \ufffe\u00a0")
    lead = len(body) - len(body.lstrip(" \u00a0"))
    words = body[lead:]
    if not words:
        return None
    first, last = match.start() + lead, match.start() + len(body) - 1
    left, bottom, _, top = glyphs.box(first)
    _, last_bottom, right, _ = glyphs.box(last)
    middle = (first + last) // 2
    while middle < last and text[middle].isspace():
        middle += 1
    size = glyphs.size(middle)
    note = False
    leading = _LEADING_NOTE.match(words)
    if leading is not None and leading.end() < len(words):
        behind = glyphs.size(first + leading.end())
        if glyphs.size(first) < 0.8 * behind:  # a raised number begins the line: this is a note
            note, bottom, size = True, last_bottom, behind
    if _NOTE.search(words) is not None:
        words = _mark_notes(words, first, size, glyphs)
    bold = glyphs.bold(middle) and glyphs.bold(first)
    return words, left, right, bottom, top, size or 1.0, bold, match[0].endswith(_SOFT_HYPHEN), note, upright


def _mark_notes(words: str, first: int, size: float, glyphs: _Glyphs) -> str:
    """A raised number after a word refers to a note: "Raad5" becomes "Raad (5)", so that the word stays a word."""

    def marked(found: re.Match[str]) -> str:
        if glyphs.size(first + found.start(1)) >= 0.8 * size:
            return found[0]
        return f"{found[0][: found.start(1) - found.start()]} ({found[1]})"

    return _NOTE.sub(marked, words)


def main() -> None:
    """Reads standard input, writes standard output."""
    pages_max, text_max, seconds, memory = map(int, sys.argv[1:5])
    sys.path.append(sys.argv[5])
    _confine(seconds, memory)
    try:
        answer = found_in(sys.stdin.buffer.read(), pages_max, text_max)
    except TooMuch as over:
        answer = {"error": "too_large", "what": str(over)}
    except MemoryError:
        answer = {"error": "memory"}
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii"))


if __name__ == "__main__":
    main()
