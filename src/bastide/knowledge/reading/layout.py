"""Layout: from the lines on pages to paragraphs, headings, tables, notes and marks.

A page is worked through in this order:
  1. lines that come back at the top or bottom of many pages are marks, not text (`running`)
  2. tables are taken off the page (`tables`); a line in their place keeps it
  3. the rest is put into reading order, where the file's own order makes no sense
  4. lines join into paragraphs, code and formulas; notes wait until the paragraph above them has ended (`paragraphs`)
  5. headings: the outline where there is one, else size and weight (`headings`); the words of laws are read later
     (`arranging`)
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.headings import Outline, find_headings, named_lines
from bastide.knowledge.reading.paragraphs import Paragraph, blocks_of, gather
from bastide.knowledge.reading.printed import TYPED, Line, Sheet
from bastide.knowledge.reading.running import take_marks
from bastide.knowledge.reading.spreads import Spreads
from bastide.knowledge.reading.tables import take_tables

_PROSE_LEAST = 0.4
"""Share of the characters that are not in typewriter type, below which that type is what the document is set in."""
_DOTS = frozenset("•▪◦‣∙■●○–-*")


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
    marks = take_marks(sheets, body.size)
    for sheet in sheets:
        take_tables(sheet, typed=body.typed)
        sheet.lines = _in_order(sheet.lines)
    lines = [line for sheet in sheets for line in sheet.lines]
    named_lines(lines, outline, body.size)
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
    """Typewriter type is no text beside prose: a manual may print more code than words."""
    sizes: Counter[float] = Counter()
    prose: Counter[float] = Counter()
    for line in (line for sheet in sheets for line in sheet.lines):
        sizes[line.size] += len(line.text)
        prose[line.size] += round(len(line.text) * (1 - line.share(TYPED)))
    if not sizes:
        return Body(1.0, False)
    typed = prose.total() < _PROSE_LEAST * sizes.total()
    return Body((sizes if typed else prose).most_common(1)[0][0], typed)


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
