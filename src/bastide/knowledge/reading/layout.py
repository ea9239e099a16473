"""Layout: from the lines on pages to paragraphs, headings, tables, notes and marks.

A page is worked through in this order:
  1. lines that come back at the top or bottom of many pages are marks, not text
  2. tables are taken off the page (`tables`); a line in their place keeps it
  3. the rest is put into reading order, where the file's own order makes no sense
  4. lines join into paragraphs, code and formulas; notes wait until the paragraph above them has ended (`paragraphs`)
  5. headings: the outline where there is one, else size and weight (`headings`); the words of laws are read later
     (`arranging`)
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.headings import Outline, find_headings, named_lines
from bastide.knowledge.reading.marking import marked
from bastide.knowledge.reading.paragraphs import Paragraph, blocks_of, gather
from bastide.knowledge.reading.printed import TYPED, Line, Sheet
from bastide.knowledge.reading.spreads import Spreads
from bastide.knowledge.reading.tables import in_columns, take_tables

_BAND = 0.115
"""Share of the page's height, at its top and at its bottom, where running heads stand."""
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\W*(?:\w{1,8}\.?\s)?\d{1,5}(?:\s?(?:/|of|von|van|de|sur|av|z|di)\s?\d{1,5})?\W*|[ivxlc]{1,7}", re.I
)
_DOTS = frozenset("•▪◦‣∙■●○–-*")
_AT_ENDS = re.compile(r"^\d{1,5}(?=\s|$)|(?<=\s)\d{1,5}$")


@dataclass(frozen=True, slots=True)
class Body:
    """What most of the text is set in."""

    size: float
    typed: bool


def lay_out(sheets: list[Sheet], outline: list[Outline]) -> tuple[list[Block], list[str]]:
    """(blocks in reading order, marks) of the pages of a document."""
    for sheet in sheets:
        sheet.lines = _with_dots(sheet.lines)
    body = _body(sheets)
    marks = _take_marks(sheets, body.size)
    for sheet in sheets:
        take_tables(sheet, typed=body.typed)
        sheet.lines = _in_order(sheet.lines)
    lines = [line for sheet in sheets for line in sheet.lines]
    named_lines(lines, outline)
    paragraphs = gather(sheets, body.size, body.typed)
    by_page = {sheet.page: sheet for sheet in sheets}
    spreads = Spreads(by_page)
    blocks: list[Block] = []
    texts: list[tuple[Paragraph, Block]] = []
    made = blocks_of([one for one in paragraphs if one.grid is None], lines, by_page)
    for paragraph in paragraphs:
        if paragraph.grid is not None:
            blocks += spreads.rows(paragraph.grid, paragraph.lines[0].page)
            continue
        block = next(made)
        spreads.interrupted(block)
        texts.append((paragraph, block))
        blocks.append(block)
    find_headings(texts, outline, body.size)
    return blocks, marks


def _with_dots(lines: list[Line]) -> list[Line]:
    """The dots of lists that the file draws apart from their points, put before them."""
    dots = [line for line in lines if line.text in _DOTS]
    if not dots:
        return lines
    gone: set[int] = set()
    for dot in dots:
        point = min(
            (
                line
                for line in lines
                if abs(line.bottom - dot.bottom) < 0.6 * line.size
                and 0 <= line.left - dot.right < 4 * line.size
                and line.text not in _DOTS
            ),
            key=lambda line: line.left,
            default=None,
        )
        if point is not None:
            gone.add(id(dot))
            point.text = f"{dot.text} {point.text}"
            shift = len(dot.text) + 1
            point.words = [dot.words[0], *(word._replace(start=word.start + shift) for word in point.words)]
            point.left = dot.left
    return [line for line in lines if id(line) not in gone]


def _body(sheets: list[Sheet]) -> Body:
    sizes: Counter[float] = Counter()
    typed = 0.0
    for line in (line for sheet in sheets for line in sheet.lines):
        sizes[line.size] += len(line.text)
        typed += len(line.text) * line.share(TYPED)
    if not sizes:
        return Body(1.0, False)
    return Body(sizes.most_common(1)[0][0], typed > 0.6 * sizes.total())


# -- 1. marks -------------------------------------------------------------------------------------


def _take_marks(sheets: list[Sheet], body: float) -> list[str]:
    """Takes the running heads and page numbers off the pages; returns each kind of them once.

    A classification marking is one wherever it stands by itself at an edge, on however few pages.
    """
    seen: Counter[str] = Counter()
    edges: list[list[Line]] = []
    for sheet in sheets:
        low, high = sheet.high * _BAND, sheet.high * (1 - _BAND)
        edge = [line for line in sheet.lines if line.upright and (line.top < low or line.bottom > high)]
        tabled = in_columns(_edge_and_next(sheet.lines, low, high)) if edge else set()
        edge = [line for line in edge if id(line) not in tabled or _classifies(line)]
        # "2 Scope" in large type is a heading, however many pages begin with a number and a word
        edge = [line for line in edge if line.size < 1.12 * body or not _DIGITS.search(line.text) or marked(line.text)]
        edges.append(edge)
        seen.update({_kind(line) for line in edge})
    enough = max(2 if len(sheets) <= 4 else 3, round(0.3 * len(sheets)))
    counted = _page_offset(edges)
    marks: dict[str, str] = {}
    for sheet, edge in zip(sheets, edges, strict=True):
        gone = {
            id(line) for line in edge if seen[_kind(line)] >= enough or counted in _offsets(line) or _classifies(line)
        }
        for line in edge:
            if id(line) in gone:
                marks.setdefault(_kind(line), line.text)
        sheet.lines = [line for line in sheet.lines if id(line) not in gone]
    return [text for text in marks.values() if not _PAGE_NUMBER.fullmatch(text) or marked(text)]


def _edge_and_next(lines: list[Line], low: float, high: float) -> list[Line]:
    """The lines at the edges of a page, and as much again of what follows them."""
    far = 0.5 * low
    return [line for line in lines if line.top < low + far or line.bottom > high - far]


def _classifies(line: Line) -> bool:
    """Whether a line is a classification marking and hardly anything else."""
    return len(line.words) <= 8 and marked(line.text) not in {"", "internal"}


def _page_offset(edges: list[list[Line]]) -> tuple[int, int] | None:
    """(printed page number minus place in the file, height), where at least half of the pages agree on it."""
    votes = Counter(offset for edge in edges for offset in {o for line in edge for o in _offsets(line)})
    offset, times = votes.most_common(1)[0] if votes else ((0, 0), 0)
    return offset if times >= 3 and times * 2 >= len(edges) else None


def _offsets(line: Line) -> set[tuple[int, int]]:
    """What a number at the start or the end of a line would make of it as a page number."""
    return {(int(number) - line.page, round(line.bottom / 4)) for number in _AT_ENDS.findall(line.text)}


def _kind(line: Line) -> str:
    return _DIGITS.sub("#", " ".join(line.text.split())).casefold()


# -- 3. order -------------------------------------------------------------------------------------


def _in_order(lines: list[Line]) -> list[Line]:
    """The order of the file, unless it jumps about: then columns from the left, each from the top."""
    if len(lines) < 3 or not all(line.upright for line in lines):
        return lines
    jumps = 0
    for before, line in pairwise(lines):
        beside = line.left > before.right or line.right < before.left  # up, but beside it: the next column
        jumps += line.bottom > before.bottom + 0.5 * before.size and not beside
    if jumps <= max(1, len(lines) // 12):
        return lines
    return _by_columns(lines)


def _by_columns(lines: list[Line]) -> list[Line]:
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    width = right - left
    best: tuple[int, float] | None = None
    for step in range(30, 71, 2):
        x = left + width * step / 100
        crossing = sum(line.left < x < line.right for line in lines)
        sides = sum(line.right <= x for line in lines), sum(line.left >= x for line in lines)
        if min(sides) >= 0.25 * len(lines) and crossing <= 0.2 * len(lines) and (best is None or crossing < best[0]):
            best = crossing, x
    if best is None:
        return sorted(lines, key=lambda line: (-round(line.bottom / max(line.size * 0.5, 1)), line.left))
    x = best[1]
    ordered: list[Line] = []
    zone: list[Line] = []
    for line in sorted(lines, key=lambda line: -line.bottom):
        if line.left < x < line.right:  # a line across both columns parts what is above it from what is below
            ordered += _zone(zone, x)
            ordered.append(line)
            zone = []
        else:
            zone.append(line)
    return ordered + _zone(zone, x)


def _zone(lines: list[Line], x: float) -> list[Line]:
    return [line for line in lines if line.right <= x] + [line for line in lines if line.right > x]
