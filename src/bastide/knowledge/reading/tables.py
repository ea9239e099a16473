"""Tables of a page: ruled ones by their lines (`rulings`), others by text that stands in columns.

Where columns are told by alignment alone, much else looks like a table: two columns of prose, a table of contents, a
list with its numbers set apart. Each has a test of its own here.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bastide.knowledge.reading import law
from bastide.knowledge.reading.printed import MATHS, TYPED, Grid, GridCell, Line, Sheet, Word
from bastide.knowledge.reading.rulings import Placed, Stroke, is_bold, names_columns, ruled, strokes, text_of
from bastide.knowledge.reading.sides import sides

_GAP = 0.75
"""Width of a gap between two columns, in sizes of the type; between words it is a quarter to a half."""
_GAP_SURE = 1.1
"""Width of a gap that no justified line of prose has."""
_APART = 2.6
"""Distance between two rows of one table, in sizes of the type."""
_OTHER_TYPE = 1.15
"""How much larger or smaller a row is set that belongs to no table with the row above it: a heading below another."""
_LEADERS = re.compile(r"(?:\.\s?){4,}|…\s*\d*$")
_PAGE = re.compile(r"\d{1,4}|[ivxlc]{1,6}")
_ROWS_MAX = 2_000


def take_tables(sheet: Sheet, *, typed: bool = False) -> None:
    """Takes the tables off the lines of `sheet`: in the place of each stands one line with its `grid`.

    `typed` = the whole document is typewritten, so that columns in such type may be a table.
    """
    if len(sheet.lines) < 2:
        return
    level, upright = strokes(sheet)
    for grid, words in ruled(sheet, level, upright):
        _replace(sheet, grid, words)
    for grid, words in _aligned(sheet, level, typed):
        _replace(sheet, grid, words)


def in_columns(lines: list[Line]) -> set[int]:
    """The `id` of each line that stands in columns with the row next to it, as the rows of a table do."""
    found: set[int] = set()
    for above, row in pairwise(_rows([line for line in lines if line.upright])):
        if not _near(above, row):
            continue
        if len(above.segments) < 2 or len(row.segments) < 2:
            continue
        level = sum(
            any(abs(a.left - b.left) < 3 or abs(a.right - b.right) < 3 for b in row.segments) for a in above.segments
        )
        if level >= 2:
            found |= {id(line) for one in (above, row) for segment in one.segments for line, _ in segment.words}
    return found


def _replace(sheet: Sheet, grid: Grid, words: list[Placed]) -> None:
    """Puts a line with the grid where the first of its words stood; what is left of lines stays."""
    gone: dict[int, set[int]] = {}
    for line, at in words:
        gone.setdefault(id(line), set()).add(at)
    kept: list[Line] = []
    left, bottom, right, top = grid.box
    place = Line("", [Word(0, left, right)], bottom, top, words[0][0].size, page=sheet.page, grid=grid)
    for line in sheet.lines:
        if id(line) not in gone:
            kept.append(line)
            continue
        if place not in kept[-1:] and not any(one is place for one in kept):
            kept.append(place)
        rest = [at for at in range(len(line.words)) if at not in gone[id(line)]]
        if rest:
            kept.append(_part(line, rest))
    sheet.lines = kept


def _part(line: Line, places: list[int]) -> Line:
    """Some words of a line, as a line."""
    text = ""
    words: list[Word] = []
    for at in places:
        words.append(line.words[at]._replace(start=len(text) + bool(text)))
        text = f"{text} {line.word_text(at)}" if text else line.word_text(at)
    return Line(text, words, line.bottom, line.top, line.size, False, line.note, line.upright, line.page)


# -- columns of text ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Segment:
    """Words of one row without a wide gap between them."""

    left: float
    right: float
    words: list[Placed]

    @property
    def text(self) -> str:
        return text_of(self.words)


@dataclass(slots=True)
class _Row:
    """Everything at one height."""

    bottom: float
    top: float
    size: float
    segments: list[_Segment]
    prose: bool = False
    """Whether it may as well be a line of justified prose."""

    @property
    def tabular(self) -> bool:
        """Whether it stands in columns."""
        return len(self.segments) >= 2 and not self.prose


def _aligned(sheet: Sheet, level: list[Stroke], typed: bool) -> list[tuple[Grid, list[Placed]]]:
    lines = [line for line in sheet.lines if line.upright and line.grid is None]
    if not typed:
        lines = [line for line in lines if line.share(TYPED) < 0.9]
    found: list[tuple[Grid, list[Placed]]] = []
    for run in (run for side in sides(lines) for run in _runs(_rows(side))):
        table = _Columns(run, _between(level, run)).grid()
        if table is not None:
            found.append((table, [word for row in run for segment in row.segments for word in segment.words]))
    return found


def _rows(lines: list[Line]) -> list[_Row]:
    """The rows of a page from the top."""
    gathered: list[list[Line]] = []
    for line in sorted(lines, key=lambda one: -(one.bottom + one.top)):
        middle = (line.bottom + line.top) / 2
        if gathered and abs((gathered[-1][0].bottom + gathered[-1][0].top) / 2 - middle) < 0.4 * line.size:
            gathered[-1].append(line)
        else:
            gathered.append([line])
    wide = max((line.right for line in lines), default=0.0) - min((line.left for line in lines), default=0.0)
    rows = []
    for row in gathered[:_ROWS_MAX]:
        size = max(line.size for line in row)
        bottom, top = min(line.bottom for line in row), max(line.top for line in row)
        segments = _segments(row, _GAP * size)
        gaps = [b.left - a.right for a, b in pairwise(segments)]
        words = sum(len(line.words) for line in row)
        full = segments[-1].right - segments[0].left >= 0.75 * wide
        prose = full and words >= 7 and max(gaps, default=0.0) < _GAP_SURE * size and len(gaps) < 3
        rows.append(_Row(bottom, top, size, segments, prose))
    return rows


def _segments(row: list[Line], gap: float) -> list[_Segment]:
    words = [(line, at) for line in row for at in range(len(line.words))]
    if len(row) > 1 or row[0].words[0].left > row[0].words[-1].left:
        words.sort(key=lambda one: one[0].words[one[1]].left)
    segments: list[_Segment] = []
    for line, at in words:
        word = line.words[at]
        if segments and word.left - segments[-1].right < gap:
            segments[-1].right = max(segments[-1].right, word.right)
            segments[-1].words.append((line, at))
        else:
            segments.append(_Segment(word.left, word.right, [(line, at)]))
    return segments


def _near(above: _Row, row: _Row) -> bool:
    """Whether two rows can be of one table: they are set in type of one size, and close to each other."""
    less, more = sorted((above.size, row.size))
    return more <= _OTHER_TYPE * less and above.bottom - row.bottom <= _APART * more


def _runs(rows: list[_Row]) -> list[list[_Row]]:
    """Rows that follow each other and stand in columns, single cells that run on included."""
    runs: list[list[_Row]] = []
    run: list[_Row] = []
    for row in rows:
        if run and _near(run[-1], row) and (row.tabular or (len(row.segments) == 1 and _runs_on(run, row))):
            run.append(row)
            continue
        runs.append(run)
        run = [row] if row.tabular else []
    runs.append(run)
    for run in runs:
        while run and len(run[-1].segments) < 2 and not _under(run):
            run.pop()
    return [run for run in runs if len(run) >= 2]


def _runs_on(run: list[_Row], row: _Row) -> bool:
    """Whether a row of one segment stays within one column of the rows above."""
    only = row.segments[0]
    above = run[-1]
    if above.bottom - row.bottom > 1.7 * row.size:
        return False
    for other in run[-6:]:
        for at, segment in enumerate(other.segments):
            until = other.segments[at + 1].left if at + 1 < len(other.segments) else float("inf")
            if len(other.segments) >= 2 and abs(segment.left - only.left) < 2 and only.right < until and at > 0:
                return True
            if len(other.segments) >= 2 and at == 0 and abs(segment.left - only.left) < 2 and only.right < until - 6:
                return True
    return False


def _under(run: list[_Row]) -> bool:
    """Whether the last row, a single segment, goes on in a column that is not the first."""
    first = min(segment.left for row in run for segment in row.segments)
    return run[-1].segments[0].left > first + 10


def _between(level: list[Stroke], run: list[_Row]) -> list[float]:
    """Heights of the level lines among the rows, as long as most of the table is wide."""
    left = min(segment.left for row in run for segment in row.segments)
    right = max(segment.right for row in run for segment in row.segments)
    high, low = run[0].top + 1.5 * run[0].size, run[-1].bottom - 1.5 * run[-1].size
    heights = [
        stroke.at for stroke in level if low < stroke.at < high and stroke.start < left + 12 and stroke.end > right - 12
    ]
    return sorted(set(heights), reverse=True)


class _Columns:
    """Rows that may be a table."""

    def __init__(self, rows: list[_Row], lines: list[float]) -> None:
        self._rows = rows
        self._lines = lines
        self._several = [row for row in rows if len(row.segments) >= 2]
        self._edges = self._parted()

    def _parted(self) -> list[float]:
        """The places between two columns: where hardly any row has text."""
        ends: list[tuple[float, int]] = []
        for row in self._several:
            for segment in row.segments:
                ends += [(segment.left, 1), (segment.right, -1)]
        ends.sort()
        size = median(row.size for row in self._rows)
        most = len(self._several) // 8
        covered, since, edges = 0, None, []
        for place, change in ends:
            before, covered = covered, covered + change
            if before > most >= covered:
                since = place
            elif before <= most < covered and since is not None:
                if place - since >= 0.5 * size:
                    edges.append((since + place) / 2)
                since = None
        return edges

    def grid(self) -> Grid | None:
        """The table, or None where these rows are something else."""
        short = len(self._several) < 3 and len(self._lines) < 2
        if not self._edges or len(self._several) < 2:
            return None
        table = [self._cells(row) for row in self._rows]
        if len(self._several) < 0.5 * self._begun(table):
            return None
        if self._prose(table) or self._contents(table) or self._listed(table) or self._formulas():
            return None
        texts, groups = self._grouped(table)
        if len(texts) < 2 or sum(sum(bool(cell.text) for cell in row) >= 2 for row in texts) < max(2, len(texts) // 2):
            return None
        words = [word for row in groups[0] for segment in row.segments for word in segment.words]
        after = [word for row in groups[1] for segment in row.segments for word in segment.words]
        if short and not self._plain(texts, bold=is_bold(words) and not is_bold(after)):
            return None
        headed = (is_bold(words) and not is_bold(after)) or self._underlined(groups[0]) or names_columns(texts)
        everything = [segment for row in self._rows for segment in row.segments]
        left, right = min(one.left for one in everything), max(one.right for one in everything)
        box = left, min(row.bottom for row in self._rows), right, max(row.top for row in self._rows)
        starts = [left, *self._edges]
        return Grid(texts, starts, box, headed, len(self._lines) >= 2, 0.85 if self._lines else 0.7)

    def _begun(self, table: list[list[list[_Segment]]]) -> int:
        """How many rows begin one of the table: where there are three columns or lines, cells may be of many lines."""
        if len(self._edges) < 2 and len(self._lines) < 2:
            return len(table)
        return sum(bool(row[0]) or sum(map(bool, row)) >= 2 for row in table)

    def _plain(self, texts: list[list[GridCell]], *, bold: bool) -> bool:
        """Whether two rows without lines are a table all the same: a head and a row, with nothing missing."""
        full = all(cell.text and cell.span == 1 for row in texts for cell in row)
        return len(texts) == 2 and full and (bold or (len(texts[0]) >= 3 and names_columns(texts)))

    def _cells(self, row: _Row) -> list[list[_Segment]]:
        """The segments of a row by column."""
        cells: list[list[_Segment]] = [[] for _ in range(len(self._edges) + 1)]
        for segment in row.segments:
            middle = (segment.left + segment.right) / 2
            at = sum(edge < middle for edge in self._edges)
            first = sum(edge < segment.left + 1 for edge in self._edges)
            cells[first if first < at and segment.left < self._edges[first] else at].append(segment)
        return cells

    def _prose(self, table: list[list[list[_Segment]]]) -> bool:
        """Whether two columns or more are filled with running text, line by line."""
        full = 0
        for column in range(len(self._edges) + 1):
            found = [cell[0] for row in table if len(cell := row[column]) == 1]
            if not found:
                continue
            wide = max(one.right for one in found) - min(one.left for one in found)
            long = [one for one in found if one.right - one.left >= 0.85 * wide and len(one.words) >= 4]
            wordy = not self._lines and median(len(one.words) for one in found) >= 4
            full += (len(long) >= 0.55 * len(found) or wordy) and wide > 6 * self._rows[0].size
        return full >= 2

    def _contents(self, table: list[list[list[_Segment]]]) -> bool:
        """Whether this is a table of contents: titles with leaders or with page numbers that only grow."""
        led = sum(any(_LEADERS.search(one.text) for one in row.segments) for row in self._rows)
        if led * 2 >= len(self._rows):
            return True
        last = [row[-1][0].text for row in table if row[-1] and any(row[:-1])]
        if len(last) < 0.7 * len(table) or not all(_PAGE.fullmatch(text) for text in last):
            return False
        pages = [int(text) for text in last if text.isdecimal()]
        titled = sum(any(map(str.isalpha, row[0][0].text)) for row in table if row[0])
        grows = all(a <= b for a, b in pairwise(pages)) and len(pages) >= 3
        return grows and len(self._edges) == 1 and titled >= 0.7 * len(table)

    def _listed(self, table: list[list[list[_Segment]]]) -> bool:
        """Whether the first column holds only the numbers or dots of a list."""
        first = [row[0][0].text for row in table if row[0]]
        marks = sum((found := law.mark(f"{text} ")) is not None and found.length >= len(text) for text in first)
        return len(self._edges) == 1 and marks >= 0.8 * len(first)

    def _formulas(self) -> bool:
        lines = {id(line): line for row in self._rows for segment in row.segments for line, _ in segment.words}
        return sum(line.share(MATHS) > 0.3 for line in lines.values()) > 0.4 * len(lines)

    def _grouped(self, table: list[list[list[_Segment]]]) -> tuple[list[list[GridCell]], list[list[_Row]]]:
        """The rows of the table; lines that go on in a cell belong to the row above."""
        steps = [a.bottom - b.bottom for a, b in pairwise(self._rows)]
        full = [step for step, row in zip(steps, table[1:], strict=True) if row[0]]
        usual = median(full) if full else 0.0
        inside = [at for at in self._lines if self._rows[-1].top - 3 < at < self._rows[0].bottom + 3]
        parting = len(inside) >= max(2, 0.25 * (len(self._rows) - 1))
        between = [self._line_between(above, row) for above, row in pairwise(self._rows)]
        parted = median([step for step, line in zip(steps, between, strict=True) if line] or [0.0])
        groups: list[tuple[list[_Row], list[list[_Segment]]]] = []
        for at, (row, cells) in enumerate(zip(self._rows, table, strict=True)):
            if at and parting:
                beside = (
                    len(row.segments) >= 2 and steps[at - 1] >= 0.92 * parted
                )  # a cell of two rows: its line is short
                goes_on = not (between[at - 1] or beside)
            else:
                goes_on = bool(at) and not cells[0] and (steps[at - 1] < 0.92 * usual or len(row.segments) == 1)
                goes_on = goes_on and steps[at - 1] < 1.7 * row.size
            if goes_on and groups:
                groups[-1][0].append(row)
                for column, segments in enumerate(cells):
                    groups[-1][1][column].extend(segments)
            else:
                groups.append(([row], [list(segments) for segments in cells]))
        return [_cells_of(cells, rows, self._edges) for rows, cells in groups], [rows for rows, _ in groups]

    def _line_between(self, above: _Row, row: _Row) -> bool:
        return any(row.bottom < line < above.top for line in self._lines if line < above.bottom + 2)

    def _underlined(self, first: list[_Row]) -> bool:
        """Whether a line parts the first row from the others, and hardly any parts those."""
        low = first[-1].bottom
        after = self._rows[len(first)].top if len(self._rows) > len(first) else low
        inside = [at for at in self._lines if self._rows[-1].bottom + 3 < at < low + 3]
        return len(inside) in {1, 2} and any(after - 3 <= at <= low + 3 for at in inside) and len(self._rows) > 2


def _cells_of(cells: list[list[_Segment]], rows: list[_Row], edges: list[float]) -> list[GridCell]:
    found: list[GridCell] = []
    low, high = min(row.bottom for row in rows), max(row.top for row in rows)
    column = 0
    while column < len(cells):
        segments = cells[column]
        right = max((one.right for one in segments), default=0.0)
        span = 1
        while column + span < len(cells) and right > edges[column + span - 1] + 2 and not cells[column + span]:
            span += 1
        words = [word for one in segments for word in one.words]
        left = min((one.left for one in segments), default=edges[column - 1] if column else edges[0])
        found.append(GridCell(text_of(words), column, span, (left, low, max(right, left), high)))
        column += span
    return found
