"""Rulings: tables whose lines are drawn.

The drawn lines of a page are joined, lines that touch form a lattice, and each word of the page belongs to the field of
the lattice that its middle lies in. Where a line between two fields is missing they are one cell.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from bastide.knowledge.reading.printed import BOLD, Grid, GridCell, Line, Sheet

Placed = tuple[Line, int]
"""A word: its line, and which of its words."""

_NEAR = 3.0
"""Points by which lines may miss each other and still touch."""
_PAIRS_MAX = 200_000
_FILLED_MIN = 0.3


@dataclass(slots=True)
class Stroke:
    """A level line at height `at`, or an upright one at `at` from the left, from `start` to `end`."""

    at: float
    start: float
    end: float


def strokes(sheet: Sheet) -> tuple[list[Stroke], list[Stroke]]:
    """(level, upright) lines of a page, joined where they go on."""
    level = [Stroke((b + t) / 2, left, right) for left, b, right, t in sheet.rules if t - b <= right - left]
    upright = [Stroke((left + r) / 2, bottom, top) for left, bottom, r, top in sheet.rules if top - bottom > r - left]
    return _joined(level), _joined(upright)


def _joined(found: list[Stroke]) -> list[Stroke]:
    joined: list[Stroke] = []
    for _, row in _clusters(found):
        for stroke in sorted(row, key=lambda one: one.start):
            last = joined[-1] if joined else None
            if last is not None and abs(last.at - stroke.at) <= _NEAR / 2 and stroke.start <= last.end + _NEAR:
                last.end = max(last.end, stroke.end)
            else:
                joined.append(Stroke(stroke.at, stroke.start, stroke.end))
    return joined


def _clusters(found: Iterable[Stroke]) -> list[tuple[float, list[Stroke]]]:
    """Strokes at about one place, with that place."""
    clusters: list[tuple[float, list[Stroke]]] = []
    for stroke in sorted(found, key=lambda one: one.at):
        if clusters and stroke.at - clusters[-1][1][-1].at <= _NEAR / 2:
            clusters[-1][1].append(stroke)
        else:
            clusters.append((stroke.at, [stroke]))
    return [(sum(one.at for one in row) / len(row), row) for _, row in clusters]


def ruled(sheet: Sheet, level: list[Stroke], upright: list[Stroke]) -> list[tuple[Grid, list[Placed]]]:
    """The ruled tables of a page, each with the words that stand in it."""
    if not upright or not level or len(level) * len(upright) > _PAIRS_MAX:
        return []
    found = []
    for rows, columns in _lattices(level, upright):
        grid = _Lattice(rows, columns).grid(sheet)
        if grid is not None:
            found.append(grid)
    return found


def _lattices(level: list[Stroke], upright: list[Stroke]) -> list[tuple[list[Stroke], list[Stroke]]]:
    """Groups of lines that touch, each with at least two of either kind."""
    group = list(range(len(level) + len(upright)))

    def of(one: int) -> int:
        while group[one] != one:
            group[one] = group[group[one]]
            one = group[one]
        return one

    for i, row in enumerate(level):
        for j, column in enumerate(upright, len(level)):
            beside = row.start - _NEAR <= column.at <= row.end + _NEAR
            if beside and column.start - _NEAR <= row.at <= column.end + _NEAR:
                group[of(j)] = of(i)
    members: dict[int, tuple[list[Stroke], list[Stroke]]] = {}
    for i, stroke in enumerate((*level, *upright)):
        members.setdefault(of(i), ([], []))[i >= len(level)].append(stroke)
    return [both for both in members.values() if len(both[0]) >= 2 and both[1]]


class _Lattice:
    """The fields between lines that touch each other."""

    def __init__(self, level: list[Stroke], upright: list[Stroke]) -> None:
        self._level, self._upright = level, upright
        self._ys = [place for place, _ in _clusters(level)]
        self._xs = [place for place, _ in _clusters(upright)]
        left, right = min(one.start for one in level), max(one.end for one in level)
        bottom, top = min(one.start for one in upright), max(one.end for one in upright)
        self._xs = _widened(self._xs, left, right)
        self._ys = _widened(self._ys, bottom, top)

    def grid(self, sheet: Sheet) -> tuple[Grid, list[Placed]] | None:
        """The table of the words that stand in the fields; None where this is a frame or a drawing."""
        rows, columns = len(self._ys) - 1, len(self._xs) - 1
        if rows < 1 or columns < 2:
            return None
        fields: dict[tuple[int, int], list[Placed]] = {}
        taken: list[Placed] = []
        for line in sheet.lines:
            for at, word in enumerate(line.words if line.grid is None else ()):
                field = self._field(line, word.left, word.right)
                if field is not None:
                    taken.append((line, at))
                    fields.setdefault(self._whole(*field), []).append((line, at))
        cells = [row for at in range(rows) for row in _rows_in(self._cells(at, fields))]
        cells = [row for row in cells if any(cell.text for cell in row)]
        several = sum(sum(bool(cell.text) for cell in row) >= 2 for row in cells)
        filled = sum(bool(cell.text) for row in cells for cell in row)
        if len(cells) < 2 or several < max(1, len(cells) // 3) or filled < _FILLED_MIN * sum(map(len, cells)):
            return None
        box = self._xs[0], self._ys[0], self._xs[-1], self._ys[-1]
        first = [word for word in taken if (word[0].bottom + word[0].top) / 2 > cells[0][0].box[1]]
        headed = is_bold(first) or names_columns(cells)
        return Grid(cells, self._xs[:-1], box, headed, True, 0.95), taken

    def _field(self, line: Line, left: float, right: float) -> tuple[int, int] | None:
        """(row from the top, column) of a word, None outside."""
        column = bisect_right(self._xs, (left + right) / 2) - 1
        row = bisect_right(self._ys, (line.bottom + line.top) / 2) - 1
        if not (0 <= column < len(self._xs) - 1 and 0 <= row < len(self._ys) - 1):
            return None
        return len(self._ys) - 2 - row, column

    def _whole(self, row: int, column: int) -> tuple[int, int]:
        """The first field of the cell that a field belongs to."""
        while column > 0 and not self._parts_columns(row, column):
            column -= 1
        while row > 0 and not self._parts_rows(row, column):
            row -= 1
        return row, column

    def _parts_columns(self, row: int, column: int) -> bool:
        """Whether a line stands to the left of a field."""
        low, high = self._ys[-2 - row], self._ys[-1 - row]
        middle = (low + high) / 2
        edge = self._xs[column]
        return any(abs(one.at - edge) <= _NEAR and one.start <= middle <= one.end for one in self._upright)

    def _parts_rows(self, row: int, column: int) -> bool:
        """Whether a line lies above a field."""
        middle = (self._xs[column] + self._xs[column + 1]) / 2
        edge = self._ys[-1 - row]
        return any(abs(one.at - edge) <= _NEAR and one.start <= middle <= one.end for one in self._level)

    def _cells(self, row: int, fields: dict[tuple[int, int], list[Placed]]) -> list[tuple[GridCell, list[Placed]]]:
        cells: list[tuple[GridCell, list[Placed]]] = []
        column, columns = 0, len(self._xs) - 1
        while column < columns:
            span = 1
            while column + span < columns and not self._parts_columns(row, column + span):
                span += 1
            box = self._xs[column], self._ys[-2 - row], self._xs[column + span], self._ys[-1 - row]
            cells.append((GridCell("", column, span, box), fields.get((row, column), [])))
            column += span
        return cells


def _rows_in(cells: list[tuple[GridCell, list[Placed]]]) -> list[list[GridCell]]:
    """The rows that one row of fields holds: several, where the lines between them are left out."""
    lines = [baselines(words) for _, words in cells]
    counted = [len(found) for found in lines if found]
    starts = next((found for found in lines if found), [])
    several = len(starts) >= 3 and len(counted) >= 2 and all(abs(count - len(starts)) <= 1 for count in counted)
    edges = starts if several else starts[:1]
    rows: list[list[GridCell]] = []
    for at, edge in enumerate(edges):
        high = edge + 2 if at else float("inf")
        low = edges[at + 1] + 2 if at + 1 < len(edges) else float("-inf")
        row = []
        for cell, words in cells:
            held = [word for word in words if low < word[0].bottom <= high]
            left, bottom, right, top = cell.box
            if several:
                bottom = max(bottom, min((word[0].bottom for word in held), default=bottom))
                top = min(top, max((word[0].top for word in held), default=top))
            row.append(GridCell(text_of(held), cell.column, cell.span, (left, bottom, right, top)))
        rows.append(row)
    return rows


def baselines(words: Iterable[Placed]) -> list[float]:
    """The heights at which the lines of some words stand, from the top."""
    found: list[float] = []
    for bottom in sorted({line.bottom for line, _ in words}, reverse=True):
        if not found or found[-1] - bottom > 4:
            found.append(bottom)
    return found


def text_of(words: list[Placed]) -> str:
    """Words as a reader reads them: line by line, from the left (or as the file has them, within one line)."""
    rows: list[tuple[float, list[Placed]]] = []
    for placed in sorted(words, key=lambda one: -one[0].bottom):
        if rows and rows[-1][0] - placed[0].bottom <= 0.4 * placed[0].size:
            rows[-1][1].append(placed)
        else:
            rows.append((placed[0].bottom, [placed]))
    parts: list[str] = []
    for _, row in rows:
        order: dict[int, float] = {}
        for line, at in row:  # the words of one line stay in its own order: it may run from the right
            order[id(line)] = min(order.get(id(line), line.words[at].left), line.words[at].left)
        row.sort(key=lambda one: (order[id(one[0])], one[1]))
        line_text = " ".join(line.word_text(at) for line, at in row)
        hyphen = parts and row[0][1] == 0 and any(one.hyphen for one, _ in words) and parts[-1][-1:].isalpha()
        if hyphen and _broken(words, row[0][0]):
            parts[-1] += line_text
        else:
            parts.append(line_text)
    return " ".join(parts)


def _broken(words: list[Placed], line: Line) -> bool:
    """Whether the line above `line` ends within a word."""
    above = [one for one, at in words if one.bottom > line.bottom + 1 and at == len(one.words) - 1]
    return bool(above) and min(above, key=lambda one: one.bottom).hyphen


def is_bold(words: Iterable[Placed]) -> bool:
    """Whether all of these words are bold, and there are some."""
    looks = [line.words[at].look for line, at in words]
    return bool(looks) and all(look & BOLD for look in looks)


_FIGURE = re.compile(r"[^\w]*\d[\d.,\s'%€$£:/-]*\W*\w{0,3}")


def names_columns(rows: list[list[GridCell]]) -> bool:
    """Whether the first row names the columns: words only, where another row has figures."""
    first = [cell.text for cell in rows[0] if cell.text]
    if len(first) < 2 or any(_FIGURE.fullmatch(text) for text in first):
        return False
    return any(_FIGURE.fullmatch(cell.text) for row in rows[1:] for cell in row)


def _widened(places: list[float], low: float, high: float) -> list[float]:
    """The places, with the ends of the crossing lines where no line closes the table on that side."""
    if not places or low < places[0] - 2 * _NEAR:
        places = [low, *places]
    if high > places[-1] + 2 * _NEAR:
        places = [*places, high]
    return places
