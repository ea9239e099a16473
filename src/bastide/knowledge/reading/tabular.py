"""CSV and TSV: rows as rows of one table, with the delimiter that the file itself keeps to."""

import csv
import io

from bastide.errors import FileTooLarge
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.plain import plain_blocks
from bastide.knowledge.reading.rows import Field, heads, row
from bastide.knowledge.reading.values import Limits

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 60
_FIELD_MAX = 1_000_000
_COLUMNS_MAX = 20_000
csv.field_size_limit(_FIELD_MAX)  # the module's only switch; its own value is 131,072


def read_csv(data: bytes, limits: Limits) -> Draft:
    """The rows of a table whose cells are parted by one of `, ; | tab`."""
    return _read(data, limits, "")


def read_tsv(data: bytes, limits: Limits) -> Draft:
    """The rows of a table whose cells are parted by tabs."""
    return _read(data, limits, "\t")


def _read(data: bytes, limits: Limits, delimiter: str) -> Draft:
    draft = Draft([])
    text = hold(decode(data, draft.problems), limits)
    first, _, rest = text.partition("\n")
    if first[:4].lower() == "sep=" and len(first.strip()) == 5:  # how spreadsheets name the delimiter
        text, delimiter = rest, first.strip()[4]
    delimiter = delimiter or _delimiter(text)
    try:
        rows = _rows(text, delimiter, limits)
    except csv.Error:
        draft.problems.append("a quotation mark is never closed or a cell is too long; read as plain text")
        draft.blocks = plain_blocks(text)
        return draft
    filled = [cells for cells in rows if any(cell.strip() for cell in cells)]
    widths = {len(cells) for cells in filled}
    if len(widths) > 1:
        draft.problems.append(f"the rows have {min(widths)} to {max(widths)} cells")
    header = bool(filled) and heads(filled[0], filled[1:])
    for at, cells in enumerate(filled):
        block = row([Field(cell, header=header and at == 0) for cell in cells], 1, draft.problems)
        if block is not None:
            draft.blocks.append(block)
    return draft


def _rows(text: str, delimiter: str, limits: Limits) -> list[list[str]]:
    rows: list[list[str]] = []
    for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
        if len(cells) > _COLUMNS_MAX:
            raise FileTooLarge(f"A row has {len(cells):,} cells; the limit is {_COLUMNS_MAX:,}.")
        rows.append(cells)
        if len(rows) > limits.nodes_max:
            raise FileTooLarge(f"The table has more than {limits.nodes_max:,} rows.")
    return rows


def _delimiter(text: str) -> str:
    """The one that parts the first lines into most cells, the same number in most of them; "," if none does."""
    sample = "\n".join(text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES])
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            widths = [len(cells) for cells in csv.reader(io.StringIO(sample), delimiter=delimiter) if cells]
        except csv.Error:
            continue
        usual = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        score = widths.count(usual) / len(widths) * min(usual, 50) if usual > 1 else 0.0
        if score > most:
            best, most = delimiter, score
    return best
