"""Rows: the cells of a table's row as one line of text, each with its place in that line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.decoding import clean
from bastide.knowledge.reading.values import Cell

JOINT = " | "
"""Stands between two cells."""
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"[-+(]?[\s\d.,'’%€$£]*\d[\s\d.,'’%€$£)]*")


@dataclass(frozen=True, slots=True)
class Field:
    """One cell before it has a place."""

    text: str
    column: int | None = None
    """From 0; None = behind the one before."""
    span: int = 1
    header: bool = False


def row(fields: Iterable[Field], table: int, problems: list[str], page: int | None = None) -> Block | None:
    """The row that `fields` make, or None where all are empty. Its text needs no further cleaning."""
    parts: list[str] = []
    cells: list[tuple[Field, int, int, int]] = []
    length = column = 0
    for field in fields:
        text = spotless(field.text, problems)
        column = column if field.column is None else field.column
        length += len(JOINT) if parts else 0
        cells.append((field, column, length, length + len(text)))
        parts.append(text)
        length += len(text)
        column += field.span
    line = JOINT.join(parts)
    if not line.strip(" |"):
        return None
    shift = len(line) - len(line.lstrip())  # an empty first or last cell leaves a blank that is not kept
    line = line.strip()
    placed = tuple(
        Cell(column, _within(start - shift, line), _within(end - shift, line), field.span, field.header)
        for field, column, start, end in cells
    )
    return Block("table_row", line, table=table, page=page, cells=placed)


def _within(offset: int, line: str) -> int:
    return min(max(offset, 0), len(line))


def spotless(text: str, problems: list[str]) -> str:
    """`text` on one line, cleaned until cleaning finds nothing more."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = clean(text, problems)
    while (again := clean(text, problems)) != text:  # what is removed may bring an accent to its letter
        text = again
    return _BLANKS.sub(" ", text).strip()


def heads(first: list[str], below: Iterable[object]) -> bool:
    """Whether `first` names the columns of the rows `below`: words in every cell, no two alike, and no number."""
    names = [name.strip() for name in first]
    if len(names) < 2 or not all(names) or len({name.casefold() for name in names}) < len(names):
        return False
    return not any(_NUMBER.fullmatch(name) or len(name) > 100 for name in names) and any(True for _ in below)
