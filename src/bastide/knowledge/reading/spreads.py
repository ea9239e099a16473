"""Spreads: tables as blocks, one a row; a table that goes on over the end of a page is one table."""

from dataclasses import replace

from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.printed import Grid, GridCell, Sheet
from bastide.knowledge.reading.rows import JOINT, Field, row
from bastide.knowledge.reading.values import Box

_OFF = 8.0
"""Points by which the columns of two pages may differ."""


class Spreads:
    """Turns grids into rows and remembers the last table, while it may still go on."""

    def __init__(self, sheets: dict[int, Sheet]) -> None:
        self._sheets = sheets
        self._table = 0
        self._last: tuple[Grid, int] | None = None
        self._names: Block | None = None

    def interrupted(self, block: Block) -> None:
        """Text stands between the last table and whatever comes: only a note lets it go on."""
        if block.kind != "footnote":
            self._last = None

    def rows(self, grid: Grid, page: int) -> list[Block]:
        """The rows of a table; without its head, where that only repeats what stood on the page before."""
        rows = grid.rows
        goes_on = self._goes_on(grid, page)
        if not goes_on:
            self._table += 1
            self._names = None
        elif self._names is not None and _said(rows[0]) == self._names.text:
            sheet = self._sheets[page]
            self._names.boxes += (_around(sheet, rows[0]),)
            rows = rows[1:]
        made = (
            self._row(one, grid, page, header=grid.headed and not goes_on and not at) for at, one in enumerate(rows)
        )
        blocks = [block for block in made if block is not None]
        if not goes_on and blocks:
            self._names = blocks[0]  # a head that nothing marks shows by coming back
        self._last = grid, page
        return blocks

    def _goes_on(self, grid: Grid, page: int) -> bool:
        if self._last is None:
            return False
        before, its_page = self._last
        if page != its_page + 1 or len(before.columns) != len(grid.columns):
            return False
        edges = zip((*before.columns, before.box[2]), (*grid.columns, grid.box[2]), strict=True)
        off = [abs(a - b) for a, b in edges]
        same_head = _said(grid.rows[0]) == _said(before.rows[0])
        # columns without lines begin where their words begin, and those differ from page to page
        return same_head or (
            all(one <= _OFF for one in off) if grid.ruled else all(one <= 2 * _OFF for one in off[:-1])
        )

    def _row(self, cells: list[GridCell], grid: Grid, page: int, *, header: bool) -> Block | None:
        sheet = self._sheets[page]
        block = row((Field(cell.text, cell.column, cell.span, header) for cell in cells), self._table, [], page)
        if block is not None:
            boxed = zip(block.cells, cells, strict=True)
            block.cells = tuple(replace(placed, box=sheet.box(*cell.box)) for placed, cell in boxed)
            block.boxes = (_around(sheet, cells),)
            block.source = sheet.source or ("rules" if grid.ruled else "alignment")
            block.confidence = grid.confidence
        return block


def _said(row: list[GridCell]) -> str:
    return JOINT.join(" ".join(cell.text.split()) for cell in row)


def _around(sheet: Sheet, row: list[GridCell]) -> Box:
    return sheet.box(
        min(cell.box[0] for cell in row),
        min(cell.box[1] for cell in row),
        max(cell.box[2] for cell in row),
        max(cell.box[3] for cell in row),
    )
