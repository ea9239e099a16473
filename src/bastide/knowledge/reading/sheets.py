"""XLSX: each sheet a section, its filled areas as tables; numbers and dates as they are shown, formulas by their
last computed values. Sheets are read as a stream, so that a large one costs no more than its words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from bastide.errors import FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import Container
from bastide.knowledge.reading.drawing import R, words
from bastide.knowledge.reading.formats_of_numbers import BUILT_IN, plain, shown
from bastide.knowledge.reading.rows import Field, heads, row, spotless
from bastide.knowledge.reading.values import Limits

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/spreadsheetml/main}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_XDR = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=\"([A-Z0-9$:]{4,24})\"")
_MERGED_MAX = 200_000
_ROWS_MAX = 2_500_000
"""Rows that are looked at: two sheets as long as they can be."""
_GAP_MAX = 20
"""Empty cells between two filled ones that are kept, so that rows stand below each other."""
_CODES = re.compile(r"&(?:\"[^\"]*\"|K[0-9A-Fa-f]{6}|\d{1,3}|[A-Za-z])")


@dataclass(slots=True)
class _Book:
    """What all sheets share."""

    container: Container
    limits: Limits
    draft: Draft
    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    since_1904: bool = False
    tables: int = 0
    unknown: int = 0
    """Formulas without a computed value."""
    rows: int = 0
    filled: int = 0
    """Of them those with something in a cell: formats reach further down than what somebody wrote."""
    size: int = 0


def read_xlsx(data: bytes, limits: Limits) -> Draft:
    """The blocks of a workbook, sheet by sheet."""
    container = Container(data, limits)
    main = next((r.target for r in container.relations("") if r.kind == "officeDocument"), "xl/workbook.xml")
    if main not in container:
        raise UnreadableFile("The workbook is damaged: its main part is missing.")
    root = container.xml(main)
    space = _STRICT if str(root.tag).startswith(_STRICT) else _S
    book = _Book(container, limits, Draft([]))
    properties = root.find(f"{space}workbookPr")
    book.since_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
    related = {relation.id: relation for relation in container.relations(main)}
    targets = {relation.kind: relation.target for relation in related.values() if relation.target in container}
    if "sharedStrings" in targets:
        book.strings = _strings(container, targets["sharedStrings"], space, limits)
    if "styles" in targets:
        book.formats = _formats(container.xml(targets["styles"]), space)
    for sheet in root.iter(f"{space}sheet"):
        relation = related.get(sheet.get(f"{R}id") or sheet.get(f"{_STRICT_R}id") or "")
        if relation is None or relation.target not in container or relation.kind != "worksheet":
            continue
        name = sheet.get("name") or "Sheet"
        if sheet.get("state") in {"hidden", "veryHidden"}:
            book.draft.problems.append(f"the sheet {name} is hidden in the workbook")
        _Sheet(book, relation.target, space).read(name)
    if book.unknown:
        book.draft.problems.append(
            f"{book.unknown} formulas have no computed value; they are shown as they are written"
        )
    if "docProps/core.xml" in container:
        book.draft.title = container.xml("docProps/core.xml").findtext(_TITLE) or ""
    return book.draft


_STRICT_R = "{http://purl.oclc.org/ooxml/officeDocument/relationships}"


class _Sheet:
    def __init__(self, book: _Book, part: str, space: str) -> None:
        self._book = book
        self._part = part
        self._space = space
        self._area: list[list[Field]] = []
        self._spans: dict[tuple[int, int], int] = {}
        self._headers: set[int] = set()

    def read(self, name: str) -> None:
        """Adds the sheet's blocks below a heading with its name."""
        book = self._book
        heading = Block("heading", name, level=1)
        book.draft.blocks.append(heading)
        before = len(book.draft.blocks)
        self._spans = _merged(book.container.raw(self._part))
        self._headers = self._known_headers()
        last = 0
        hidden = False
        for element in book.container.stream(self._part, f"{self._space}row", f"{self._space}headerFooter"):
            if element.tag == f"{self._space}headerFooter":
                book.draft.marks += [_furniture(child.text or "") for child in element]
                continue
            number = _integer(element.get("r"), last + 1)
            if number != last + 1:
                self._flush()
            last = number
            hidden = hidden or element.get("hidden") in {"1", "true"}
            fields = list(self._fields(element, number))
            if any(field.text for field in fields):
                self._area.append(fields)
                book.filled += 1
                if book.filled > book.limits.nodes_max:
                    raise FileTooLarge(f"The workbook has more than {book.limits.nodes_max:,} rows.")
            else:
                self._flush()
        self._flush()
        self._drawings()
        if hidden:
            book.draft.problems.append(f"the sheet {name} has hidden rows; they were read too")
        if len(book.draft.blocks) == before:
            book.draft.blocks.remove(heading)

    def _fields(self, element: etree._Element, number: int) -> Iterator[Field]:
        book = self._book
        book.rows += 1
        if book.rows > _ROWS_MAX:
            raise FileTooLarge(
                f"The workbook has more than {_ROWS_MAX:,} rows, empty ones included.",
                next_step="Delete the empty rows behind the last one that is filled, save it, and send it again.",
            )
        following = 0
        filled = -1
        for cell in element.iterfind(f"{self._space}c"):
            place = _REFERENCE.fullmatch(cell.get("r") or "")
            column = _column(place[1]) if place is not None else following
            following = column + 1
            text = spotless(self._value(cell), book.draft.problems)
            if not text or column <= filled:
                continue
            book.size += len(text)
            if book.size > book.limits.text_max:
                raise FileTooLarge(f"The workbook holds more than {book.limits.text_max:,} characters of text.")
            if 0 < column - filled - 1 <= _GAP_MAX:
                yield from (Field("", between) for between in range(filled + 1, column))
            span = self._spans.get((number, column), 1)
            yield Field(text, column, span, header=number in self._headers)
            filled = column + span - 1

    def _value(self, cell: etree._Element) -> str:
        """What a cell shows, by its type."""
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _rich(cell.find(f"{self._space}is"), self._space)
        value = cell.findtext(f"{self._space}v")
        if not value:
            formula = cell.findtext(f"{self._space}f")
            self._book.unknown += bool(formula)
            return f"={formula}" if formula else ""
        if kind == "s":
            at = _integer(value, -1)
            return self._book.strings[at] if 0 <= at < len(self._book.strings) else ""
        if kind == "b":
            return "TRUE" if value.strip() == "1" else "FALSE"
        return self._number(value, cell) if kind == "n" else value

    def _number(self, value: str, cell: etree._Element) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        style = _integer(cell.get("s"), 0)
        code = self._book.formats[style] if 0 <= style < len(self._book.formats) else ""
        return shown(number, code, since_1904=self._book.since_1904) if code else plain(number)

    def _flush(self) -> None:
        """The rows since the last empty one: a table, or paragraphs where there is one column alone."""
        area, self._area = self._area, []
        if not area:
            return
        blocks = self._book.draft.blocks
        if all(sum(bool(field.text) for field in fields) == 1 for fields in area):
            blocks += [Block("paragraph", "".join(field.text for field in fields)) for fields in area]
            return
        while len(area) > 1 and sum(bool(field.text) for field in area[0]) == 1 and not any(f.header for f in area[0]):
            blocks.append(Block("paragraph", "".join(field.text for field in area.pop(0))))
        self._book.tables += 1
        named = any(field.header for fields in area for field in fields)
        if not named and heads([field.text for field in area[0]], area[1:]):
            area[0] = [Field(field.text, field.column, field.span, True) for field in area[0]]
        for fields in area:
            block = row(fields, self._book.tables, self._book.draft.problems)
            if block is not None:
                blocks.append(block)

    def _known_headers(self) -> set[int]:
        """The rows that the workbook itself calls the heads of tables."""
        found: set[int] = set()
        for relation in self._book.container.relations(self._part):
            if relation.kind == "table" and relation.target in self._book.container:
                table = self._book.container.xml(relation.target)
                place = _REFERENCE.match(table.get("ref") or "")
                if place is not None and table.get("headerRowCount", "1") != "0":
                    found.add(int(place[2]))
            elif relation.kind == "comments":
                self._book.draft.problems.append("comments on cells were left out")
        return found

    def _drawings(self) -> None:
        """Text boxes, and what is written about pictures."""
        container = self._book.container
        for relation in container.relations(self._part):
            if relation.kind != "drawing" or relation.target not in container:
                continue
            for element in container.xml(relation.target).iter(f"{_XDR}sp", f"{_XDR}pic"):
                if element.tag == f"{_XDR}sp":
                    self._book.draft.blocks.append(Block("paragraph", words(element)))
                else:
                    own = element.find(f"./*/{_XDR}cNvPr")
                    told = own.get("descr") if own is not None else ""
                    if told:
                        self._book.draft.blocks.append(Block("figure", told))


def _strings(container: Container, part: str, space: str, limits: Limits) -> list[str]:
    strings: list[str] = []
    size = 0
    for element in container.stream(part, f"{space}si"):
        text = _rich(element, space)
        size += len(text)
        if size > 4 * limits.text_max:
            raise FileTooLarge(f"The workbook holds more than {limits.text_max:,} characters of text.")
        strings.append(text)
    return strings


def _rich(element: etree._Element | None, space: str) -> str:
    """The words of a string, without the phonetic readings beside them."""
    if element is None:
        return ""
    own = [child.text or "" for child in element.iterfind(f"{space}t")]
    return "".join(own + [child.text or "" for child in element.iterfind(f"{space}r/{space}t")])


def _formats(root: etree._Element, space: str) -> list[str]:
    """The format code of every cell style; "" where numbers are shown plainly."""
    codes = dict(BUILT_IN)
    for element in root.iter(f"{space}numFmt"):
        number = _integer(element.get("numFmtId"), -1)
        if number > 0:
            codes[number] = element.get("formatCode") or ""
    return [codes.get(_integer(xf.get("numFmtId"), 0), "") for xf in root.iterfind(f"{space}cellXfs/{space}xf")]


def _merged(data: bytes) -> dict[tuple[int, int], int]:
    """How many columns the merged cells span, by their first (row, column)."""
    spans: dict[tuple[int, int], int] = {}
    for found in _MERGED.finditer(data):
        first, _, last = found[1].decode("ascii").partition(":")
        a, b = _REFERENCE.fullmatch(first), _REFERENCE.fullmatch(last)
        if a is not None and b is not None and (span := _column(b[1]) - _column(a[1]) + 1) > 1:
            spans[int(a[2]), _column(a[1])] = span
        if len(spans) > _MERGED_MAX:
            raise FileTooLarge(f"A sheet has more than {_MERGED_MAX:,} merged cells.")
    return spans


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _integer(written: str | None, otherwise: int) -> int:
    written = (written or "").strip()
    return int(written) if written.isascii() and written.isdecimal() and len(written) < 10 else otherwise


def _furniture(text: str) -> str:
    """A header or footer without its codes for fonts, fields and places."""
    return " ".join(_CODES.sub(" ", text.replace("&&", "\0")).replace("\0", "&").split())
