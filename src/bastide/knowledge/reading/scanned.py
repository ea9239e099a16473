"""Scanned pages: what text recognition read in pictures of pages becomes lines on sheets, as any page's."""

from collections.abc import Iterable, Iterator
from statistics import median

from bastide.knowledge.reading import ocr
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.layout import lay_out
from bastide.knowledge.reading.printed import Line, Sheet, Word
from bastide.knowledge.reading.values import Limits, PageRead

_POINTS = 72
_DPI = 300.0
_EDGE = 2
_ALIKE = 0.3
"""Share by which the heights of lines differ though their type is the same: with and without tall letters."""


def read_pictures(pictures: Iterable[ocr.Picture], limits: Limits) -> Draft:
    """The words of pictures, one a page, laid out as pages; pages that are rejected are told and left out."""
    sheets: list[Sheet] = []
    draft = Draft([])
    for sheet, page in recognised(pictures, limits):
        sheets.append(sheet)
        draft.page_reads.append(page.read)
    draft.pages = len(sheets)
    draft.problems += told(draft.page_reads)
    draft.blocks, draft.marks = lay_out(sheets, [])
    return draft


def recognised(pictures: Iterable[ocr.Picture], limits: Limits) -> Iterator[tuple[Sheet, ocr.PageText]]:
    """Each page with its lines, and what was read of it; the lines of a rejected page are not used.

    What vision models are to be asked is noted in `limits.upper`; the edges of every page too, used or not.
    """
    resolution: dict[int, float] = {}

    def seen() -> Iterator[ocr.Picture]:
        for picture in pictures:
            resolution[picture.page] = picture.dpi or _DPI
            yield picture

    for page in ocr.read_pages(seen(), ocr.hints_with(limits.upper)):
        read = page.read
        if limits.upper is not None:
            limits.upper.edges += [line.text for line in (*page.lines[:_EDGE], *page.lines[-_EDGE:])]
        scale = _POINTS / resolution.pop(read.page)
        sheet = Sheet(read.page, read.width, read.height, read.rotation % 360 // 90 * 90, source="ocr")
        sheet.lines = _lines(page, sheet, scale) if read.band != "rejected" else []
        yield sheet, page


def _lines(page: ocr.PageText, sheet: Sheet, scale: float) -> list[Line]:
    lines: list[Line] = []
    for found in page.lines:
        text = ""
        words: list[Word] = []
        for word in found.words:
            if not word.text.strip("| "):  # the lines of tables look like letters
                continue
            start = len(text) + bool(text)
            text = f"{text} {word.text}" if text else word.text
            left, _, right, _ = _upright(sheet, word.place, scale)
            words.append(Word(start, left, right))
        if words:
            _, bottom, _, top = _upright(sheet, found.place, scale)
            lines.append(Line(text, words, bottom, top, round(top - bottom, 1) or 1.0, page=sheet.page))
            lines[-1].hyphen = len(text) > 1 and text[-1] in "-¬" and text[-2].isalpha()
            if lines[-1].hyphen:
                lines[-1].text = text[:-1]
    usual = median(line.size for line in lines) if lines else 1.0
    for line in lines:
        if abs(line.size - usual) <= _ALIKE * usual:
            line.size = round(usual, 1)
    return lines


def _upright(sheet: Sheet, place: ocr.Place, scale: float) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a place in the picture on the page as it stands upright."""
    left, top, right, bottom = (edge * scale for edge in (place.left, place.top, place.right, place.bottom))
    if sheet.turn == 90:
        return sheet.height - bottom, sheet.width - right, sheet.height - top, sheet.width - left
    if sheet.turn == 180:
        return sheet.width - right, top, sheet.width - left, bottom
    if sheet.turn == 270:
        return top, left, bottom, right
    return left, sheet.height - bottom, right, sheet.height - top


def told(reads: Iterable[PageRead]) -> list[str]:
    """What a reader of the document should know of its recognised pages."""
    rejected = [read for read in reads if read.band == "rejected"]
    unsure = [read for read in reads if read.band == "provisional"]
    doubts = sum(len(read.doubts) for read in reads if read.band != "rejected")
    found: list[str] = []
    if rejected:
        pages = ranges([read.page for read in rejected])
        found.append(f"pages whose picture could not be read reliably: {pages} ({rejected[0].reason})")
    if unsure:
        found.append(f"pages that were recognised with doubts: {ranges([read.page for read in unsure])}")
    if doubts:
        found.append(f"amounts, dates and numbers on which two readings did not agree: {doubts}")
    return found


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] -> "1-3, 7"; the first ten stretches."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in stretches[:10]]
    return ", ".join(shown) + (" and more" if len(stretches) > 10 else "")
