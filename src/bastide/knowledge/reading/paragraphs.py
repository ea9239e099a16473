"""Paragraphs: lines that belong together, and what kind of text they are."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block, BlockKind
from bastide.knowledge.reading.printed import BOLD, MATHS, TYPED, Grid, Line, Sheet

_STOPS = ".:;!?”»…"
_GOES_ON = ("en", "of", "and", "or", "und", "oder", "et", "ou", "y", "o", "e", "i", "lub", "sau", "och", "og")
_BULLET = re.compile(r"[•▪◦‣∙■●○]\s")
_LEADERS = re.compile(r"(?:\.\s?){4,}\d{1,4}$|(?:\s\.){2,}\s*\d{1,4}$|…\s*\d{1,4}$")
_PROSE_WORD = re.compile(r"[^\W\d_]{4,}")
_NOTE_TEXT = re.compile(r"\d{1,3}\s?[^\W\d_“\"«(]|\d{1,3}\s?[“\"«(]")
_CAPTION = re.compile(
    r"(?i:fig(?:ure|\.)?|abb(?:ildung|\.)?|afbeelding|figuur|figura|rysunek|εικόνα)\s?\d+(?:[.:–—-]|\s)"
)


@dataclass(slots=True)
class Paragraph:
    """Lines that make one paragraph, one stretch of code, one formula, one note; or the place of a table."""

    kind: BlockKind = "paragraph"
    lines: list[Line] = field(default_factory=list)
    grid: Grid | None = None


def gather(sheets: list[Sheet], body: float, typed: bool) -> list[Paragraph]:
    """The paragraphs of ordered pages. `typed` = the whole document is typewritten, so that such type means nothing."""
    _find_notes(sheets, body)
    lines = [line for sheet in sheets for line in sheet.lines]
    return _Gatherer(_leading(lines, body), _edges(sheets), typed, body).paragraphs(lines)


def _find_notes(sheets: list[Sheet], body: float) -> None:
    """Notes: from a line in the lower part of a page that begins with a raised number, or from its small print with
    numbers, to the end of the page or to a table."""
    for sheet in sheets:
        lines = sheet.lines
        low = min((line.bottom for line in lines if line.size >= 0.93 * body and not line.note), default=0.0)
        begun = False
        for line in lines:
            raised = line.note and line.top < 0.6 * sheet.high and _NOTE_TEXT.match(line.text) is not None
            small = line.size <= 0.87 * body and line.top <= low + line.size and line.text[:1].isdigit()
            begun = (begun or raised or small) and line.grid is None and line.size <= 1.05 * body
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


def _edges(sheets: list[Sheet]) -> dict[int, float]:
    """The right edge of the text on each page: where nine tenths of its lines have ended."""
    edges: dict[int, float] = {}
    for lines in (sheet.lines for sheet in sheets):
        if lines:
            ends = sorted(line.right for line in lines)
            edges[lines[0].page] = ends[int(0.9 * (len(ends) - 1))]
    return edges


class _Gatherer:
    def __init__(self, leading: float, edges: dict[int, float], typed: bool, body: float) -> None:
        self._body = body
        self._leading = leading
        self._edges = edges
        self._typed = typed
        self._found: list[Paragraph] = []
        self._waiting: list[Paragraph] = []  # notes: they follow the paragraph that they interrupt
        self._current: Paragraph | None = None
        self._note: Paragraph | None = None

    def paragraphs(self, lines: list[Line]) -> list[Paragraph]:
        """All of them, in order."""
        for line in (part for whole in lines for part in _run_in(whole)):
            if line.note:
                if self._note is None or _begins_note(line):
                    self._note = Paragraph("footnote")
                    self._waiting.append(self._note)
                self._note.lines.append(line)
                continue
            self._note = None
            kind = self._kind(line)
            if self._current is None or self._current.kind != kind or line.grid or self._current.grid:
                self._open(kind, line)
            elif kind == "code":
                if not self._same_code(self._current.lines[-1], line):
                    self._open(kind, line)
            elif kind == "formula":
                if not 0 <= self._current.lines[-1].bottom - line.bottom < 3 * line.size:
                    self._open(kind, line)
            elif self._heading_goes_on(self._current.lines[-1], line):
                pass
            elif self._heads_page(self._current.lines[-1], line) or _starts(
                self._current.lines, line, self._leading, self._edges
            ):
                self._open(kind, line)
            if self._current is not None:
                self._current.lines.append(line)
        return self._found + self._waiting

    def _open(self, kind: BlockKind, line: Line) -> None:
        self._current = Paragraph(kind, grid=line.grid)
        self._found += self._waiting
        self._waiting = []
        self._found.append(self._current)

    def _kind(self, line: Line) -> BlockKind:
        if line.grid is not None or line.heads:
            return "paragraph"
        if not self._typed and line.share(TYPED) > 0.9 and line.size < 1.12 * self._body:
            return "code"
        named = line.words[0].look & (BOLD | MATHS) == BOLD and line.text[:1].isdigit()  # "4.2 ~Stack()"
        if (
            line.share(MATHS) > 0.4
            and not named
            and not _listed(line)
            and len(_PROSE_WORD.findall(line.text)) < 3
            and not line.hyphen
        ):
            return "formula"
        return "paragraph"

    def _heads_page(self, before: Line, line: Line) -> bool:
        """Whether a line in larger type begins a page: what stands large on the page before has ended there."""
        return before.page != line.page and line.size >= 1.12 * self._body

    def _heading_goes_on(self, before: Line, line: Line) -> bool:
        """Whether a heading in larger type, a chapter's for one, goes on in the next line."""
        alike = before.size == line.size >= 1.12 * self._body and before.bold() == line.bold()
        near = before.page == line.page and 0 < before.bottom - line.bottom < 1.4 * line.size
        return alike and near and before.heads and not line.heads and law.mark(line.text) is None

    def _same_code(self, before: Line, line: Line) -> bool:
        """Code goes on over small gaps and, from the foot of a page, on the next one."""
        if before.page != line.page:
            return abs(before.size - line.size) < 0.3
        return -0.5 * line.size < before.bottom - line.bottom < 3.2 * line.size


def _run_in(line: Line) -> list[Line]:
    """A line that begins with a heading in bold, set off by a wide gap from the text behind it: as two lines."""
    bold = next((at for at, word in enumerate(line.words) if not word.look & BOLD), 0)
    if not 0 < bold <= 8 or line.grid is not None or not line.upright or not line.text[0].isalpha():
        return [line]
    gaps = [b.left - a.right for a, b in pairwise(line.words)]
    others = sorted(gap for at, gap in enumerate(gaps) if at != bold - 1)
    wide = gaps[bold - 1]
    if wide < 0.75 * line.size or wide > 2.5 * line.size or (others and wide < 1.7 * others[len(others) // 2]):
        return [line]
    start = line.words[bold].start
    head = Line(line.text[:start].rstrip(), line.words[:bold], line.bottom, line.top, line.size, page=line.page)
    head.heads = True
    words = [word._replace(start=word.start - start) for word in line.words[bold:]]
    return [head, Line(line.text[start:], words, line.bottom, line.top, line.size, line.hyphen, page=line.page)]


def _begins_note(line: Line) -> bool:
    number = re.match(r"\d{1,3}\s?(?=[^\W\d_(“\"])", line.text)
    return number is not None


def _starts(above: list[Line], line: Line, leading: float, edges: dict[int, float]) -> bool:
    """Whether `line` begins a new paragraph below the lines of the current one."""
    before = above[-1]
    if before.hyphen:
        return False
    if abs(line.size - before.size) > 0.08 * before.size:
        return True
    heavier = line.looks(BOLD) != before.looks(BOLD) and line.bold() != before.bold()
    if heavier and not _bold_on(before, line, edges):
        return True
    if _BULLET.match(line.text) and line.left <= before.left + 0.5 * line.size:
        return True
    if line.heads or before.heads or _listed(before):
        return True
    ended = before.text.rstrip()[-1] in _STOPS
    return _parted(above, line, ended, leading, edges)


def _listed(line: Line) -> bool:
    """Whether leaders lead to a page number at its end, as in a table of contents."""
    return line.text[-1].isdecimal() and _LEADERS.search(line.text) is not None


def _bold_on(before: Line, line: Line, edges: dict[int, float]) -> bool:
    """Whether words set in bold run on from the end of a full line into the next."""
    full = before.right - before.left >= 0.85 * (edges.get(before.page, 0.0) - before.left)
    return full and before.page == line.page and bool(before.words[-1].look & line.words[0].look & BOLD)


def _parted(above: list[Line], line: Line, ended: bool, leading: float, edges: dict[int, float]) -> bool:
    """Whether a number, a gap, the end of a page or a short line parts `line` from those above it."""
    before = above[-1]
    mark = law.mark(line.text)
    if mark is not None and (ended or _hangs(above, line) or _next_mark(above[0], line, mark)):
        return True
    below = before.bottom - line.bottom
    if before.page != line.page or below < 0:
        far = edges.get(before.page, 0.0)
        return ended or (line.text[0].isupper() and before.right < 0.75 * far)
    if below > max(1.45 * leading, 1.6 * line.size):
        return True
    short = before.right - before.left < 0.85 * (edges.get(before.page, 0.0) - before.left)
    return ended and (short or (len(above) > 1 and line.left > before.left + 0.8 * line.size))


def _next_mark(first: Line, line: Line, mark: law.Mark) -> bool:
    """Whether `line` begins with the number that follows that of the paragraph above it, at the same place."""
    before = law.mark(first.text)
    if before is None or before.style != mark.style or abs(first.left - line.left) > 6:
        return False
    if before.number.isdecimal() and mark.number.isdecimal():
        return int(mark.number) == int(before.number) + 1
    return len(before.number) == len(mark.number) == 1 and ord(mark.number) == ord(before.number) + 1


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


def blocks_of(paragraphs: list[Paragraph], lines: list[Line], sheets: dict[int, Sheet]) -> Iterator[Block]:
    """One block for each paragraph."""
    known = _vocabulary(lines)
    for paragraph in paragraphs:
        block = _code(paragraph) if paragraph.kind == "code" else _block(paragraph, known)
        pages = dict.fromkeys(line.page for line in paragraph.lines)
        block.boxes = tuple(
            sheets[page].box_of(line for line in paragraph.lines if line.page == page) for page in pages
        )
        block.source = sheets[paragraph.lines[0].page].source or ("font" if paragraph.kind != "paragraph" else "layout")
        yield block


def _code(paragraph: Paragraph) -> Block:
    """Code keeps its lines and how far they are set in."""
    lines = paragraph.lines
    em = 0.6 * lines[0].size
    left = {line.page: min(one.left for one in lines if one.page == line.page) for line in lines}
    text = ""
    breaks: list[tuple[int, int]] = []
    before: Line | None = None
    for line in lines:
        joint = "\n"
        if before is not None and before.page == line.page:
            step = before.bottom - line.bottom
            if abs(step) < 0.4 * line.size:  # pieces of one line
                joint = " " * max(1, round((line.left - before.right) / em))
            elif step > 1.7 * line.size:
                joint = "\n\n"
        indent = " " * min(round((line.left - left[line.page]) / em), 80) if joint[0] == "\n" else ""
        text += (joint if text else "") + indent
        if before is not None and before.page != line.page:
            breaks.append((len(text), line.page))
        text += line.text
        before = line
    return Block("code", text, page=lines[0].page, breaks=tuple(breaks), confidence=0.9)


def _block(paragraph: Paragraph, known: set[str]) -> Block:
    parts: list[str] = []  # joined by blanks; words parted at a line end stand in one of them
    length = -1
    breaks: list[tuple[int, int]] = []
    page = paragraph.lines[0].page
    hyphen = False
    for line in paragraph.lines:
        words = line.text.strip()
        last = parts[-1] if parts else ""
        parted = last.endswith(("-", "‐")) and last[-2:-1].isalpha() and words[:1].islower()
        if last and words and (hyphen or parted):
            parts[-1] = _rejoined(last.rstrip("-‐"), words, known)
            length += len(parts[-1]) - len(last)
        elif words:
            parts.append(words)
            length += len(words) + 1
        if line.page != page:
            page = line.page
            breaks.append((max(length - len(words), 0), page))
        hyphen = line.hyphen
    text = " ".join(parts)
    kind: BlockKind = "figure" if paragraph.kind == "paragraph" and _CAPTION.match(text) else paragraph.kind
    sure = {"footnote": 0.9, "formula": 0.8, "figure": 0.8}.get(kind, 1.0)
    return Block(kind, text, page=paragraph.lines[0].page, breaks=tuple(breaks), confidence=sure)


def _rejoined(text: str, words: str, known: set[str]) -> str:
    """A word split at a line end: with its hyphen where the document writes it so, or where it joins capitals."""
    head = text.rsplit(maxsplit=1)[-1].lstrip(".,;:(“\"'") if text else ""
    tail = words.split(maxsplit=1)[0].rstrip(".,;:)”\"'")
    whole, parted = (head + tail).casefold(), f"{head}-{tail}".casefold()
    keep = parted in known or (whole not in known and (head.isupper() or not tail[:1].islower()))
    return f"{text}-{words}" if keep else f"{text}{words}"
