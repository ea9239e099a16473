"""Layout: from the lines on pages to paragraphs, headings, notes and marks.

A page is worked through in this order:
  1. lines that come back at the top or bottom of many pages are marks, not text
  2. the rest is put into reading order, where the file's own order makes no sense
  3. lines join into paragraphs; those of notes wait until the paragraph above them has ended
  4. headings: the outline where there is one, else size and weight; the words of laws are read later (`arranging`)
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block

_BAND = 0.115
"""Share of the page's height, at its top and at its bottom, where running heads stand."""
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\W*(?:\w{1,8}\.?\s)?\d{1,5}(?:\s?(?:/|of|von|van|de|sur|av|z|di)\s?\d{1,5})?\W*|[ivxlc]{1,7}", re.I
)
_AT_ENDS = re.compile(r"^\d{1,5}(?=\s|$)|(?<=\s)\d{1,5}$")
_STOPS = ".:;!?”»…"
_GOES_ON = ("en", "of", "and", "or", "und", "oder", "et", "ou", "y", "o", "e", "i", "lub", "sau", "och", "og")


@dataclass(slots=True)
class Line:
    """One printed line; lengths in points, from the lower left corner of the page."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float
    bold: bool
    hyphen: bool
    """Whether a hyphen at its end parts a word."""
    note: bool
    """Whether it belongs to a note; at first, whether a raised number begins it."""
    upright: bool
    page: int = 0
    heads: bool = False
    """Whether its words make it a heading."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One entry of the table of contents that the file carries."""

    title: str
    level: int
    page: int


@dataclass(slots=True)
class _Paragraph:
    lines: list[Line] = field(default_factory=list)
    note: bool = False


def lay_out(pages: list[list[Line]], heights: list[float], outline: list[Outline]) -> tuple[list[Block], list[str]]:
    """(blocks in reading order, marks) of the lines of a document's pages."""
    sizes: Counter[float] = Counter()
    for line in (line for page in pages for line in page):
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 1.0
    marks = _take_marks(pages, heights, body)
    lines = [line for page in pages for line in _in_order(page)]
    named = {(entry.page, _bare(entry.title)) for entry in outline}
    for line in lines:
        line.heads = law.heading(line.text) is not None or (line.page, _bare(line.text)) in named
    _find_notes(pages, body)
    known = _vocabulary(lines)
    paragraphs = _paragraphs(lines, _leading(lines, body), _edges(pages))
    blocks = [_block(paragraph, known) for paragraph in paragraphs]
    _find_headings(paragraphs, blocks, outline, body)
    return blocks, marks


# -- 1. marks -------------------------------------------------------------------------------------


def _take_marks(pages: list[list[Line]], heights: list[float], body: float) -> list[str]:
    """Takes the running heads and page numbers off the pages; returns each kind of them once."""
    if len(pages) < 2:
        return []
    seen: Counter[str] = Counter()
    edges: list[list[Line]] = []
    for lines, height in zip(pages, heights, strict=True):
        low, high = height * _BAND, height * (1 - _BAND)
        edge = [line for line in lines if line.upright and (line.top < low or line.bottom > high)]
        # "2 Scope" in large type is a heading, however many pages begin with a number and a word
        edge = [line for line in edge if line.size < 1.12 * body or not _DIGITS.search(line.text)]
        edges.append(edge)
        seen.update({_kind(line) for line in edge})
    enough = max(2 if len(pages) <= 4 else 3, round(0.3 * len(pages)))
    counted = _page_offset(edges)
    marks: dict[str, str] = {}
    for lines, edge in zip(pages, edges, strict=True):
        gone = {id(line) for line in edge if seen[_kind(line)] >= enough or counted in _offsets(line)}
        for line in edge:
            if id(line) in gone:
                marks.setdefault(_kind(line), line.text)
        lines[:] = [line for line in lines if id(line) not in gone]
    return [text for text in marks.values() if not _PAGE_NUMBER.fullmatch(text)]


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


# -- 2. order -------------------------------------------------------------------------------------


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


# -- 3. paragraphs --------------------------------------------------------------------------------


def _find_notes(pages: list[list[Line]], body: float) -> None:
    """Notes: from a line that begins with a raised number, or the small print at the foot of a page, to its end."""
    for lines in pages:
        low = min((line.bottom for line in lines if line.size >= 0.93 * body and not line.note), default=0.0)
        begun = False
        for line in lines:
            small = line.size <= 0.87 * body and line.top <= low + line.size and line.text[:1].isdigit()
            begun = begun or (line.note or small)
            line.note = begun


def _leading(lines: list[Line], body: float) -> float:
    """The usual distance between two lines of the body, in points."""
    steps: Counter[float] = Counter()
    for before, line in pairwise(lines):
        step = before.bottom - line.bottom
        if before.page == line.page and line.size == body and 0.5 * body < step < 3 * body:
            steps[round(step * 2) / 2] += 1
    return min(
        (step for step, times in steps.most_common(3) if times * 2 >= steps.most_common(1)[0][1]), default=1.2 * body
    )


def _edges(pages: list[list[Line]]) -> dict[int, float]:
    """The right edge of the text on each page: where nine tenths of its lines have ended."""
    edges: dict[int, float] = {}
    for lines in pages:
        if lines:
            ends = sorted(line.right for line in lines)
            edges[lines[0].page] = ends[int(0.9 * (len(ends) - 1))]
    return edges


def _paragraphs(lines: list[Line], leading: float, edges: dict[int, float]) -> list[_Paragraph]:
    paragraphs: list[_Paragraph] = []
    current: _Paragraph | None = None
    waiting: list[_Paragraph] = []  # notes: they follow the paragraph that they interrupt
    note: _Paragraph | None = None
    for line in lines:
        if line.note:
            if note is None or _begins_note(line):
                note = _Paragraph(note=True)
                waiting.append(note)
            note.lines.append(line)
            continue
        note = None
        if current is None or _starts(current.lines, line, leading, edges):
            current = _Paragraph()
            paragraphs += waiting
            waiting = []
            paragraphs.append(current)
        current.lines.append(line)
    return paragraphs + waiting


def _begins_note(line: Line) -> bool:
    number = re.match(r"\d{1,3}\s?(?=[^\W\d_(“\"])", line.text)
    return number is not None


def _starts(above: list[Line], line: Line, leading: float, edges: dict[int, float]) -> bool:
    """Whether `line` begins a new paragraph below the lines of the current one."""
    before = above[-1]
    if before.hyphen:
        return False
    if abs(line.size - before.size) > 0.08 * before.size or line.bold != before.bold:
        return True
    if line.heads or before.heads:
        return True
    ended = before.text.rstrip()[-1] in _STOPS
    return _parted(above, line, ended, leading, edges)


def _parted(above: list[Line], line: Line, ended: bool, leading: float, edges: dict[int, float]) -> bool:
    """Whether a number, a gap, the end of a page or a short line parts `line` from those above it."""
    before = above[-1]
    if law.mark(line.text) is not None and (ended or _hangs(above, line)):
        return True
    below = before.bottom - line.bottom
    if before.page != line.page or below < 0:
        far = edges.get(before.page, 0.0)
        return ended or (line.text[0].isupper() and before.right < 0.75 * far)
    if below > max(1.45 * leading, 1.6 * line.size):
        return True
    short = before.right - before.left < 0.85 * (edges.get(before.page, 0.0) - before.left)
    return ended and (short or (len(above) > 1 and line.left > before.left + 0.8 * line.size))


def _hangs(above: list[Line], line: Line) -> bool:
    before = above[-1]
    last = before.text.rstrip().rsplit(maxsplit=1)[-1].rstrip(",")
    return before.text.rstrip()[-1] == "," or last in _GOES_ON or abs(line.left - before.left) > 3


def _vocabulary(lines: list[Line]) -> set[str]:
    """All words of the document that stand within a line: they tell how a word split at a line end is written."""
    words: set[str] = set()
    for line in lines:
        inside = line.text.split()
        words.update(word.strip(".,;:()“”\"'").casefold() for word in (inside[:-1] if line.hyphen else inside))
    return words


def _block(paragraph: _Paragraph, known: set[str]) -> Block:
    text = ""
    breaks: list[tuple[int, int]] = []
    page = paragraph.lines[0].page
    hyphen = False
    for line in paragraph.lines:
        words = line.text.strip()
        if not text:
            text = words
        elif hyphen or (text[-1] in "-‐" and len(text) > 1 and text[-2].isalpha() and words[:1].islower()):
            text = _rejoined(text.rstrip("-‐"), words, known)
        else:
            text = f"{text} {words}"
        if line.page != page:
            page = line.page
            breaks.append((max(len(text) - len(words), 0), page))
        hyphen = line.hyphen
    style = "note" if paragraph.note else ""
    return Block("paragraph", text, page=paragraph.lines[0].page, breaks=tuple(breaks), style=style)


def _rejoined(text: str, words: str, known: set[str]) -> str:
    """A word split at a line end: with its hyphen where the document writes it so, or where it joins capitals."""
    head = text.rsplit(maxsplit=1)[-1].lstrip(".,;:(“\"'")
    tail = words.split(maxsplit=1)[0].rstrip(".,;:)”\"'")
    whole, parted = (head + tail).casefold(), f"{head}-{tail}".casefold()
    keep = parted in known or (whole not in known and (head.isupper() or not tail[:1].islower()))
    return f"{text}-{words}" if keep else f"{text}{words}"


# -- 4. headings ----------------------------------------------------------------------------------


def _find_headings(paragraphs: list[_Paragraph], blocks: list[Block], outline: list[Outline], body: float) -> None:
    if len(outline) >= 2 and _by_outline(blocks, outline) * 2 >= len(outline):
        return
    articles = sum(law.heading(block.text) is not None for block in blocks if len(block.text) < 120)
    if articles >= 3:  # a law: its own words say more than its type
        return
    looks: list[tuple[float, bool]] = []
    for paragraph, block in zip(paragraphs, blocks, strict=True):
        looks.append(_look(paragraph, block, body))
    ranks = sorted({look for look in looks if look[0]}, reverse=True)[:6]
    for block, look in zip(blocks, looks, strict=True):
        if look in ranks:
            block.kind, block.level = "heading", ranks.index(look) + 1


def _look(paragraph: _Paragraph, block: Block, body: float) -> tuple[float, bool]:
    """(size, bold) of a paragraph that stands out as a heading does; (0, False) for others."""
    first = paragraph.lines[0]
    if paragraph.note or len(paragraph.lines) > 3 or len(block.text) > 200 or not any(map(str.isalpha, block.text)):
        return 0.0, False
    larger = first.size >= 1.12 * body
    stands_out = larger or (first.bold and first.size >= 0.98 * body and block.text[-1] not in ".,;")
    return (first.size, first.bold) if stands_out else (0.0, False)


def _by_outline(blocks: list[Block], outline: list[Outline]) -> int:
    """Marks the paragraphs that the outline names; returns how many entries were found."""
    on_page: dict[int, list[Block]] = {}
    for block in blocks:
        on_page.setdefault(block.page or 0, []).append(block)
    found = 0
    for entry in outline:
        wanted = _bare(entry.title)
        for page in (entry.page, entry.page + 1):
            hit = next((b for b in on_page.get(page, []) if b.kind == "paragraph" and _names(b, wanted)), None)
            if hit is not None:
                hit.kind, hit.level, hit.style = "heading", entry.level, ""
                found += 1
                break
    return found


def _names(block: Block, wanted: str) -> bool:
    if len(block.text) > 300:
        return False
    bare = _bare(block.text)
    return bare == wanted or (len(wanted) > 3 and bare.endswith(wanted) and len(bare) - len(wanted) <= 12)


def _bare(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
