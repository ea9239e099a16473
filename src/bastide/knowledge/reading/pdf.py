"""PDF: the lines of its pages, with place, size and weight; `layout` makes paragraphs and headings of them.

PDFium is not safe for threads: one document is read at a time in a process.
"""

import ctypes
import re
import threading

import pypdfium2 as pdfium
from pypdfium2 import raw

from bastide.errors import EncryptedFile, FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.layout import Line, Outline, lay_out
from bastide.knowledge.reading.values import Limits

_SEGMENT = re.compile(r"[^\r\n\ufffe]+\ufffe?")
_NOTE = re.compile(r"(?<=[^\W\d])(?:[.,;:)”’\"»]?)(\d{1,3})(?![\w.,]\d|\w)")
_LEADING_NOTE = re.compile(r"\s*(\d{1,3})\s?(?=\S)")
_SOFT_HYPHEN = "\ufffe"
_BOLD = 600
_FORCE_BOLD = 1 << 18
_END_MARK_WITHIN = 4096
_lock = threading.Lock()


def read_pdf(data: bytes, limits: Limits) -> Draft:
    """The paragraphs and headings of a PDF with a text layer; running headers and footers become marks."""
    if b"%%EOF" not in data[-_END_MARK_WITHIN:]:
        raise UnreadableFile("The PDF ends before its end mark: it was cut off.")
    with _lock:
        document = _open(data)
        try:
            return _read(document, limits)
        except pdfium.PdfiumError as error:
            raise UnreadableFile("The PDF is damaged: a page cannot be read.") from error
        finally:
            document.close()


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == raw.FPDF_ERR_PASSWORD:
            raise EncryptedFile("The PDF is protected by a password.") from error
        if code == raw.FPDF_ERR_SECURITY:
            raise EncryptedFile("The PDF is locked in a way that cannot be opened here.") from error
        raise UnreadableFile("The PDF is damaged: it cannot be opened.") from error


def _read(document: pdfium.PdfDocument, limits: Limits) -> Draft:
    pages = len(document)
    if pages > limits.pages_max:
        raise FileTooLarge(f"The PDF has {pages:,} pages; the limit is {limits.pages_max:,}.")
    draft = Draft([], pages=pages, title=document.get_metadata_dict(skip_empty=True).get("Title", ""))
    lines: list[list[Line]] = []
    heights: list[float] = []
    size = 0
    broken: list[int] = []
    for number in range(1, pages + 1):
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            broken.append(number)
            lines.append([])
            heights.append(1.0)
            continue
        found = _lines(page, number)
        size += sum(len(line.text) for line in found)
        if size > limits.text_max:
            raise FileTooLarge(f"The PDF holds more than {limits.text_max:,} characters of text.")
        lines.append(found)
        heights.append(page.get_height() if page.get_rotation() % 180 == 0 else page.get_width())
        page.close()
    if broken:
        draft.problems.append(f"pages that could not be read: {_ranges(broken)}")
    silent = [number for number, found in enumerate(lines, 1) if not found and number not in broken]
    if silent and len(silent) < pages:
        draft.problems.append(f"pages without text (blank or pictures): {_ranges(silent)}")
    draft.blocks, draft.marks = lay_out(lines, heights, _outline(document, limits))
    return draft


def _outline(document: pdfium.PdfDocument, limits: Limits) -> list[Outline]:
    entries: list[Outline] = []
    try:
        for item in document.get_toc(max_depth=8):
            target = item.get_dest()
            page = target.get_index() if target is not None else None
            title = " ".join(item.get_title().split())
            if title and page is not None:
                entries.append(Outline(title, item.level + 1, page + 1))
            if len(entries) >= 10_000:
                break
    except (pdfium.PdfiumError, ValueError):
        return []
    return entries


def _lines(page: pdfium.PdfPage, number: int) -> list[Line]:
    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        text = textpage.get_text_range() if count > 0 else ""
        if len(text) != count:
            text = "".join(chr(raw.FPDFText_GetUnicode(textpage.raw, i) or 32) for i in range(count))
        reader = _Glyphs(textpage.raw)
        upright = page.get_rotation() == 0
        found = (_line(match, text, reader, number, upright) for match in _SEGMENT.finditer(text))
        return _joined([line for line in found if line is not None])
    finally:
        textpage.close()


class _Glyphs:
    """Asks PDFium about single characters; the buffers are made once."""

    def __init__(self, textpage: object) -> None:
        self._page = textpage
        self._rect = raw.FS_RECTF()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(256)

    def box(self, index: int) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in points, of the full height of the font."""
        raw.FPDFText_GetLooseCharBox(self._page, index, self._rect)
        return self._rect.left, self._rect.bottom, self._rect.right, self._rect.top

    def size(self, index: int) -> float:
        left, bottom, _, top = self.box(index)
        del left
        return round((top - bottom) * 2) / 2

    def bold(self, index: int) -> bool:
        length = raw.FPDFText_GetFontInfo(self._page, index, self._name, 256, self._flags)
        name = self._name.raw[: min(max(length - 1, 0), 255)].lower()
        if b"bold" in name or b"black" in name or b"heavy" in name or self._flags.value & _FORCE_BOLD:
            return True
        return bool(raw.FPDFText_GetFontWeight(self._page, index) >= _BOLD)


def _line(match: re.Match[str], text: str, glyphs: _Glyphs, page: int, upright: bool) -> Line | None:
    body = match[0].rstrip(" \ufffe\u00a0")
    lead = len(body) - len(body.lstrip(" \u00a0"))
    if not body[lead:]:
        return None
    first, last = match.start() + lead, match.start() + len(body) - 1
    left, bottom, _, top = glyphs.box(first)
    _, last_bottom, right, _ = glyphs.box(last)
    middle = (first + last) // 2
    while middle < last and text[middle].isspace():
        middle += 1
    size = glyphs.size(middle)
    words = body[lead:]
    note = False
    if _NOTE.search(words) is not None:
        words = _mark_notes(words, first, size, glyphs)
    leading = _LEADING_NOTE.match(words)
    if (
        leading is not None
        and leading.end() < len(words)
        and glyphs.size(first) < 0.8 * glyphs.size(first + leading.end())
    ):
        note = True
        bottom = last_bottom
        size = glyphs.size(first + leading.end())
    bold = glyphs.bold(middle) and glyphs.bold(first)
    return Line(
        text=words, page=page, left=left, right=right, bottom=bottom, top=top, size=size or 1.0, bold=bold,
        hyphen=match[0].endswith(_SOFT_HYPHEN), note=note, upright=upright,
    )  # fmt: skip


def _mark_notes(words: str, first: int, size: float, glyphs: _Glyphs) -> str:
    """A raised number after a word refers to a note: "Raad5" becomes "Raad (5)", so that the word stays a word."""

    def marked(found: re.Match[str]) -> str:
        if glyphs.size(first + found.start(1)) >= 0.8 * size:
            return found[0]
        return f"{found[0][: found.start(1) - found.start()]} ({found[1]})"

    return _NOTE.sub(marked, words)


def _joined(lines: list[Line]) -> list[Line]:
    """Stretches of one line that PDFium tells apart (after raised numbers, for one) are joined again."""
    joined: list[Line] = []
    for line in lines:
        before = joined[-1] if joined else None
        if before is None or before.hyphen or not before.upright:
            joined.append(line)
            continue
        gap = line.left - before.right
        level = abs(line.bottom - before.bottom) < 0.4 * before.size
        if level and -0.3 * before.size <= gap < 1.2 * before.size:
            joint = "" if gap < 0.12 * before.size or line.text[0] in ",.;:)”" else " "
            before.text += joint + line.text
            before.right, before.hyphen = line.right, line.hyphen
        else:
            joined.append(line)
    return joined


def _ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] -> "1-3, 7"; the first ten stretches."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in stretches[:10]]
    return ", ".join(shown) + (" and more" if len(stretches) > 10 else "")
