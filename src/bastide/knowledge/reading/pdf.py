"""PDF: its pages, found by a process apart, become paragraphs, headings and tables (`layout`)."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.confining import LIBRARY, confined
from bastide.knowledge.reading.headings import Outline
from bastide.knowledge.reading.layout import lay_out
from bastide.knowledge.reading.printed import Line, Sheet, Word
from bastide.knowledge.reading.values import Limits, PageRead

_END_MARK_WITHIN = 4096
_ENGINE = f"pdfium {version('pypdfium2')}"
_HARMFUL = "The PDF makes its reader fail: it is damaged, or made to do harm."
_CRASHES_MAX = 3
"""Pages that may end the process of one file; it is begun anew behind each."""


def read_pdf(data: bytes, limits: Limits) -> Draft:
    """The paragraphs, headings and tables of a PDF; running headers and footers become marks."""
    if b"%%EOF" not in data[-_END_MARK_WITHIN:]:
        raise UnreadableFile("The PDF ends before its end mark: it was cut off.")
    about, sheets, broken = _sheets(data, limits)
    draft = Draft([], title=about["title"], pages=about["pages"])
    if not sheets:
        raise UnreadableFile(_HARMFUL)
    silent = [sheet.page for sheet in sheets if not sheet.lines]
    if broken:
        draft.problems.append(f"pages that could not be read: {_ranges(broken)}")
    if silent and len(silent) < len(sheets):
        draft.problems.append(f"pages without text (blank or pictures): {_ranges(silent)}")
    draft.page_reads = [_page_read(sheet) for sheet in sheets]
    draft.blocks, draft.marks = lay_out(sheets, [Outline(*entry) for entry in about["outline"]])
    return draft


def _sheets(data: bytes, limits: Limits) -> tuple[dict[str, Any], list[Sheet], list[int]]:
    """What the file says of itself, its pages, and the numbers of those that cannot be read."""
    about: dict[str, Any] = {}
    sheets: list[Sheet] = []
    broken: list[int] = []
    first = 1
    for crash in range(_CRASHES_MAX + 1):
        ended = False
        for told in _ask(data, limits, first):
            if "error" in told:
                raise _refusal(told)
            if "pages" in told:
                about = told
            elif "broken" in told:
                broken.append(told["page"])
            elif "end" in told:
                ended = True
            else:
                sheets.append(_sheet(told))
        if ended:
            return about, sheets, broken
        reached = max([sheet.page for sheet in sheets] + broken, default=0)
        if not about or crash == _CRASHES_MAX:
            break
        broken.append(reached + 1)  # the page that ended the process; the rest goes on
        first = reached + 2
        if first > about["pages"]:
            return about, sheets, broken
    raise UnreadableFile(_HARMFUL)


def _ask(data: bytes, limits: Limits, first: int) -> Iterator[dict[str, Any]]:
    """What `pdf_pages` says, run without our environment, our modules or our patience for ever."""
    figures = (limits.pages_max, limits.text_max, limits.seconds_max, limits.memory_max)
    done = confined(["read", *map(str, figures), LIBRARY, str(first)], data, limits.seconds_max)
    for line in done.stdout.splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # cut off in the middle of a page
            return
        if isinstance(told, dict):
            yield told


def _refusal(answer: dict[str, Any]) -> Exception:
    if answer["error"] == "locked":
        return EncryptedFile("The PDF is protected by a password.")
    if answer["error"] == "too_large":
        return FileTooLarge(str(answer["what"]))
    if answer["error"] == "memory":
        return BombFile("Reading the PDF would take more memory than a document may have.")
    return UnreadableFile("The PDF is damaged: it cannot be opened.")


def _sheet(told: dict[str, Any]) -> Sheet:
    page = told["page"]
    lines = [
        Line(text, [Word(*word) for word in words], bottom, top, size, hyphen, note, upright, page)
        for text, words, bottom, top, size, hyphen, note, upright in told["lines"]
    ]
    rules, images = ([tuple(box) for box in told[name]] for name in ("rules", "images"))
    return Sheet(page, told["width"], told["height"], told["turn"], _joined(lines), rules, images)


def _page_read(sheet: Sheet) -> PageRead:
    if not sheet.lines:
        why = "the page is a picture" if sheet.pictured() else "the page has no text"
        return PageRead(sheet.page, sheet.width, sheet.height, "none", _ENGINE, reason=why)
    return PageRead(
        sheet.page, sheet.width, sheet.height, "text", _ENGINE, rotation=sheet.turn, reason="the file's own text"
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
            before.right, before.hyphen = line.right, line.hyphen
            before.top, before.bottom = max(before.top, line.top), min(before.bottom, line.bottom)
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
