"""PDF: its pages, found by a process apart, become paragraphs, headings and tables (`layout`)."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, ReaderFailed, Refusal, UnreadableFile
from bastide.knowledge.reading import ocr
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.confining import LIBRARY, PAGES, confined, lines
from bastide.knowledge.reading.drawn import dots
from bastide.knowledge.reading.headings import Outline
from bastide.knowledge.reading.languages import common_words
from bastide.knowledge.reading.layout import lay_out
from bastide.knowledge.reading.printed import UNSEEN, Line, Sheet, Word
from bastide.knowledge.reading.scanned import ranges, recognised, told
from bastide.knowledge.reading.values import Limits, PageRead

_END_MARK_WITHIN = 4096
_SCAN_DPI = 300
_DRAWN_BEFORE = np.zeros((0, 0), np.uint8)
"""A page whose first reading is kept is not drawn again."""
_LEGIBLE = 0.5
"""Points a letter takes along its line, below which nobody reads it; a font's own size may say anything."""
_MEANINGLESS = re.compile("[\ufffd\ue000-\uf8ff]")
_UNMAPPED, _LOST = 0.1, 0.5
"""Shares of letters without a meaning from which a page is looked into, and from which it may be left out."""
_COMMON = 4
"""Common words of one language, below which some lines of eight pages are no text."""
_LOOKED_AT = 250
_ENGINE = f"pdfium {version('pypdfium2')}"
_HARMS = "it is damaged, or made to do harm"
_HARMFUL = f"The PDF makes its reader fail: {_HARMS}."
_CRASHES_MAX = 3
"""Pages that may end the process of one file; it is begun anew behind each."""


Ask = Callable[[bytes, Limits, int], Iterator[dict[str, Any]]]
"""What is said of a file, page by page, from a page on."""


def read_pdf(data: bytes, limits: Limits) -> Draft:
    """The paragraphs, headings and tables of a PDF; running headers and footers become marks.

    A page without a text layer, or with one that is not to be trusted, is drawn and recognised, where text recognition
    is installed. How each page was read is told.
    """
    if b"%%EOF" not in data[-_END_MARK_WITHIN:]:
        raise UnreadableFile("The PDF ends before its end mark: it was cut off.")
    about, sheets, broken = pages_of(data, limits)
    if not sheets:
        raise ReaderFailed(f"None of the PDF's pages ({about['pages']:,}) can be read: {_HARMS}.")
    draft = Draft([], title=about["title"], pages=about["pages"])
    if broken:
        draft.problems.append(f"pages that could not be read: {ranges(broken)}")
    mapless = _mapless(sheets)
    unseen = sum(_take_unseen(sheet) for sheet in sheets if sheet.page not in mapless)
    if unseen:
        draft.problems.append(f"{unseen} hidden lines were left out; they can carry hidden instructions")
    sheets, draft.page_reads = _with_scans(data, sheets, mapless, limits, draft.problems)
    _take_mapless(sheets, mapless, draft)
    silent = [sheet.page for sheet in sheets if not sheet.lines and sheet.source != "ocr"]
    if silent and len(silent) < len(sheets):
        draft.problems.append(f"pages without text (blank or pictures): {ranges(silent)}")
    draft.blocks, draft.marks = lay_out(sheets, [Outline(*entry) for entry in about["outline"]])
    return draft


def _mapless(sheets: list[Sheet]) -> dict[int, str]:
    """The pages whose letters may say nothing, and why: fonts that do not tell which letters they show.

    Many old fonts tell nothing and use the usual codes all the same: then the words of these pages together are words.
    """
    found = [sheet for sheet in sheets if sheet.unmapped >= _UNMAPPED and sheet.lines]
    some = "\n".join(sheet.text[:_LOOKED_AT] for sheet in found[:: max(1, len(found) // 8)])
    if ocr.trustworthy(some) is None and max(common_words(some).values(), default=0) >= _COMMON:
        return {}
    return {sheet.page: f"its fonts do not say which letters {sheet.unmapped:.0%} of its text are" for sheet in found}


def _take_mapless(sheets: list[Sheet], mapless: dict[int, str], draft: Draft) -> None:
    """Takes off what no text recognition helped with, and no reader would take for text: nobody wrote that."""
    gone: list[int] = []
    for at, sheet in enumerate(sheets):
        doubtful = sheet.page in mapless and sheet.source != "ocr" and sheet.unmapped >= _LOST
        if doubtful and ocr.trustworthy(sheet.text) is not None:
            sheet.lines = []
            draft.page_reads[at] = replace(
                draft.page_reads[at], tier="none", band="rejected", reason=mapless[sheet.page]
            )
            gone.append(sheet.page)
    if gone:
        told = "pages left out, because their fonts do not say which letters they show"
        draft.problems.append(f"{told}: {ranges(gone)}")


def _take_unseen(sheet: Sheet) -> int:
    """Takes off a page what no reader of it sees: text that is not shown, is off the page, or is too small to read.

    Returns how many lines that were. Below a picture that fills the page, text that is not shown is a text layer.
    """
    seen: list[Line] = []
    layer = sheet.pictured()
    for line in sheet.lines:
        shown = layer or not line.looks(UNSEEN)
        inside = line.right > 0 and line.left < sheet.wide and line.top > 0 and line.bottom < sheet.high
        if shown and inside and line.right - line.left >= _LEGIBLE * len(line.text):
            seen.append(line)
    taken = len(sheet.lines) - len(seen)
    sheet.lines = seen
    return taken


# A page is read by its picture where its text layer is missing or not to be trusted. Below a picture that fills the
# page the layer is somebody else's recognition: one such page in ten is recognised to compare, and where one of them
# differs, all are.
def _with_scans(
    data: bytes, sheets: list[Sheet], mapless: dict[int, str], limits: Limits, problems: list[str]
) -> tuple[list[Sheet], list[PageRead]]:
    """The pages, those that had to be recognised among them, and how each was read."""
    why = {sheet.page: reason for sheet in sheets if (reason := _unreadable(sheet)) is not None} | mapless
    layered = {sheet.page: sheet for sheet in sheets if sheet.page not in why and sheet.lines and sheet.pictured()}
    reads = {sheet.page: _page_read(sheet, why.get(sheet.page, "")) for sheet in sheets}
    if not (why or layered) or not ocr.available().ready:
        return sheets, list(reads.values())
    found: dict[int, tuple[Sheet, ocr.PageText]] = {}

    def recognise(pages: list[int]) -> None:
        left = max(0, limits.scans_max - len(found))
        if len(pages) > left:
            problems.append(f"{len(pages) - left:,} pages were not recognised; the limit is {limits.scans_max:,}")
        for sheet, page in recognised(_drawn(data, pages[:left], limits, problems), limits):
            found[sheet.page] = sheet, page
            limits.tell(len(sheets) + len(found), len(sheets) + len(why.keys() | layered.keys()))

    recognise([*why, *(page for page in layered if ocr.sampled(page))])
    compared = (ocr.agreement(layered[page].text, found[page][1]) for page in layered if page in found)
    differs = next((reason for reason in compared if reason is not None), None)
    if differs is not None:
        recognise([page for page in layered if page not in found])
        why |= dict.fromkeys(layered, differs)
    for page, (_, text) in list(found.items()):
        worse = text.read.band == "rejected" and reads[page].tier == "text"  # a doubtful layer is better than none
        if page not in why or worse:
            del found[page]
            continue
        reads[page] = replace(text.read, reason="; ".join(filter(None, (why[page], text.read.reason))))
    problems += told([reads[page] for page in found])
    return [found[sheet.page][0] if sheet.page in found else sheet for sheet in sheets], list(reads.values())


def _drawn(data: bytes, pages: list[int], limits: Limits, problems: list[str]) -> Iterator[ocr.Picture]:
    """The pages as pictures; one that cannot be drawn is told, and the rest goes on."""
    key = ocr.file_key(data)
    for page in pages:
        if limits.upper is not None and (key, page) in limits.upper.kept:
            yield ocr.Picture(_DRAWN_BEFORE, _SCAN_DPI, page, key)
            continue
        try:
            yield ocr.Picture(dots(data, page, _SCAN_DPI, limits, gray=True), _SCAN_DPI, page, key)
        except Refusal as no:
            problems.append(f"page {page} could not be drawn: {no.message}")


def _unreadable(sheet: Sheet) -> str | None:
    """Why a page has to be looked at as a picture; None where its text layer tells what it says."""
    if not sheet.lines:
        return "the page has no text layer" if sheet.images else None
    text, scan = sheet.text, sheet.pictured()
    if not scan and _MEANINGLESS.search(text) is None:
        return None  # a page of figures or of few words is none the worse for it
    reason = ocr.trustworthy(text, scan)
    return reason if scan or (reason and "mean nothing" in reason) else None


def _ask(data: bytes, limits: Limits, first: int) -> Iterator[dict[str, Any]]:
    """What `pdf_pages` says, run without our environment, our modules or our patience for ever."""
    figures = (limits.pages_max, limits.text_max, limits.seconds_max, limits.memory_max)
    places = _Places()
    with confined(PAGES, [*map(str, figures), LIBRARY, str(first)], data, limits.seconds_max) as said:
        for line in lines(said):
            told = json.loads(line, parse_float=places.__getitem__)
            if isinstance(told, dict):
                yield told


class _Places(dict[str | int, float]):
    """Numbers by how they are written, or how many tenths they are: some thousands for words by the million."""

    def __missing__(self, told: str | int) -> float:
        self[told] = value = float(told) if isinstance(told, str) else told / 10
        return value


def pages_of(data: bytes, limits: Limits, ask: Ask = _ask) -> tuple[dict[str, Any], list[Sheet], list[int]]:
    """What the file says of itself, its pages, and the numbers of those that cannot be read.

    A page that ends the process that reads it is one of those, as long as there are few: it is begun anew behind it.
    """
    about: dict[str, Any] = {}
    sheets: list[Sheet] = []
    broken: list[int] = []
    places = _Places()
    first = 1
    for crash in range(_CRASHES_MAX + 1):
        ended = False
        refused: Exception | None = None
        for said in ask(data, limits, first):
            if "error" in said:  # its last word
                refused = _refusal(said)
            elif "pages" in said:
                about = said
            elif "broken" in said:
                broken.append(said["page"])
            elif "end" in said:
                ended = True
            else:
                sheets.append(_sheet(said, places))
                limits.tell(len(sheets), about.get("pages", 0))
        if refused is not None:
            raise refused
        if ended:
            return about, sheets, broken
        reached = max([sheet.page for sheet in sheets] + broken, default=0)
        if not about or crash == _CRASHES_MAX:
            break
        broken.append(reached + 1)  # the page that ended the process; the rest goes on
        first = reached + 2
        if first > about["pages"]:
            return about, sheets, broken
    raise ReaderFailed(_HARMFUL)


def _refusal(answer: dict[str, Any]) -> Exception:
    if answer["error"] == "locked":
        return EncryptedFile("The PDF is protected by a password.")
    if answer["error"] == "too_large":
        return FileTooLarge(str(answer["what"]))
    if answer["error"] == "memory":
        return BombFile("Reading the PDF would take more memory than a document may have.")
    return UnreadableFile("The PDF is damaged: it cannot be opened.")


def _sheet(told: dict[str, Any], at: _Places) -> Sheet:
    page = told["page"]
    lines: list[Line] = []
    for text, words, bottom, top, size, hyphen, note, upright in told["lines"]:
        placed = [Word(start, at[left], at[right], look) for start, left, right, look in words]
        lines.append(Line(text, placed, bottom, top, size, hyphen, note, upright, page))
    rules, images = ([tuple(box) for box in told[name]] for name in ("rules", "images"))
    shape = told["width"], told["height"], told["turn"]
    return Sheet(page, *shape, _joined(lines), rules, images, unmapped=told.get("unmapped", 0.0))


def _page_read(sheet: Sheet, why: str) -> PageRead:
    size = sheet.page, sheet.width, sheet.height
    if not sheet.lines:
        return PageRead(*size, "none", _ENGINE, reason=why or "the page has no text and no picture")
    reason = f"the file's own text, though {why}" if why else "the file's own text"
    return PageRead(
        *size, "text", _ENGINE, rotation=sheet.turn, reason=reason, band="provisional" if why else "accepted"
    )


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
            shift = len(before.text) + len(joint)
            before.text += joint + line.text
            before.words += [word._replace(start=word.start + shift) for word in line.words]
            before.right, before.hyphen, before.look = line.right, line.hyphen, before.look | line.look
            before.top, before.bottom = max(before.top, line.top), min(before.bottom, line.bottom)
        else:
            joined.append(line)
    return joined
