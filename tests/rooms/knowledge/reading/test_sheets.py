"""Sheets: tables and their heads, numbers and dates as shown, merged and empty cells, and workbooks made to hurt."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from odf import opendocument, table, text
from openpyxl.comments import Comment
from openpyxl.worksheet.table import Table

from bastide import errors
from bastide.knowledge.reading import Limits, Reading, read, sheets
from bastide.knowledge.reading.formats_of_numbers import BUILT_IN, plain, shown
from tests.rooms.knowledge.reading.office import contract_xlsx, saved
from tests.rooms.knowledge.reading.test_formats import kinds, outline
from tests.rooms.knowledge.reading.test_slides import rewritten

SHEET = "xl/worksheets/sheet1.xml"


def words(reading: Reading) -> list[list[str]]:
    """The words of every cell, row by row."""
    rows = [node for node in reading.nodes if node.kind == "table_row"]
    return [[reading.text[row.start + c.start : row.start + c.end] for c in row.cells] for row in rows]


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        (1234.5, "#,##0.00", "1,234.50"), (1234.5, "0", "1235"), (0.125, "0%", "13%"), (0.125, "0.0%", "12.5%"),
        (-1234.5, "#,##0.00;(#,##0.00)", "(1,234.50)"), (1200.5, '#,##0.00 "€"', "1,200.50 €"),
        (1200.5, "[$€-407] #,##0.00", "€ 1,200.50"), (-3, '"€"0.00', "-€3.00"), (7, "000", "007"),
        (12345, "0.00E+00", "1.23E+04"), (1500000, '0.0,,"M"', "1.5M"), (0, '0;-0;"none"', "none"),
        (46346, "yyyy-mm-dd", "2026-11-20"), (46346, "dd/mm/yyyy", "20/11/2026"),
        (46346, "d mmmm yyyy", "20 November 2026"),
        (46346.75, "yyyy-mm-dd hh:mm", "2026-11-20 18:00"), (0.5, "h:mm AM/PM", "12:00 PM"), (1.5, "[h]:mm", "36:00"),
        (0.75, "hh:mm:ss", "18:00:00"), (46346, "dddd", "Friday"), (1, "d/m/yyyy", "1/1/1900"),
        (60, "d/m/yyyy", "28/2/1900"), (5, "General", "5"), (5.10, "", "5.1"), (3, '"yes";"no"', "yes"),
        (-1, "yyyy", "-1"), (0.3333, "# ?/?", "0.3333"),
    ],
)  # fmt: skip
def test_numbers_as_they_are_shown(value: float, code: str, expected: str) -> None:
    assert shown(value, code) == expected


@given(
    st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=30) | st.sampled_from(sorted(BUILT_IN.values()))
)
def test_every_number_is_shown_somehow_under_every_code(value: float, code: str) -> None:
    assert isinstance(shown(value, code), str)
    assert plain(value)


@given(st.integers(-(10**14), 10**14))
def test_whole_numbers_are_told_as_they_were_typed(value: int) -> None:
    assert plain(float(value)) == str(value)
    assert shown(float(value), "0") == str(value)


def test_dates_money_and_truth_as_shown() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Payments"
    sheet.append(["Day", "Sum", "Share", "Paid", "At"])
    sheet.append([date(2026, 11, 20), 1200.5, 0.25, True, time(9, 30)])
    sheet["A2"].number_format, sheet["B2"].number_format, sheet["C2"].number_format = "dd.mm.yyyy", '#,##0.00 "€"', "0%"
    sheet.append([datetime(2026, 11, 21, 8, 5), -3, 0.5, False, "late"])  # noqa: DTZ001 — a sheet has no time zone
    reading = read("a.xlsx", saved(book.save))
    assert outline(reading) == ["Payments"]
    assert words(reading) == [
        ["Day", "Sum", "Share", "Paid", "At"],
        ["20.11.2026", "1,200.50 €", "25%", "TRUE", "9:30:00"],
        ["2026-11-21 8:05:00", "-3", "0.5", "FALSE", "late"],
    ]
    assert [cell.header for cell in reading.nodes[3].cells] == [True] * 5


def test_formulas_are_told_by_their_values_and_by_themselves_where_there_is_none() -> None:
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([2, "=A2*21"])
    data = saved(book.save)
    reading = read("a.xlsx", data)
    assert words(reading)[1] == ["2", "=A2*21"]
    assert reading.problems == ("1 formulas have no computed value; they are shown as they are written",)
    computed = rewritten(data, SHEET, b"<f>A2*21</f><v></v>", b"<f>A2*21</f><v>42</v>")
    assert words(read("a.xlsx", computed))[1] == ["2", "42"]


def test_shared_and_rich_strings_and_days_since_1904() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"date_1904": True}) as book:
        sheet = book.add_worksheet("Days")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["Word", "Day"])
        sheet.write_rich_string(1, 0, "half ", book.add_format({"bold": True}), "bold")
        sheet.write_datetime(1, 1, datetime(2026, 11, 20), day)  # noqa: DTZ001
    assert words(read("a.xlsx", out.getvalue())) == [["Word", "Day"], ["half bold", "2026-11-20"]]


def test_merged_and_missing_cells_keep_their_columns() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Name", "First", "Second"])
    sheet["A2"], sheet["C2"] = "Anna", 3
    sheet["A3"], sheet["C3"] = "both columns", 4
    sheet.merge_cells("A3:B3")
    sheet["AZ4"] = "far away"
    sheet["A4"] = "here"
    reading = read("a.xlsx", saved(book.save))
    assert words(reading)[1:] == [["Anna", "", "3"], ["both columns", "4"], ["here", "far away"]]
    rows = [node for node in reading.nodes if node.kind == "table_row"]
    assert [[(cell.column, cell.span) for cell in row.cells] for row in rows[2:]] == [
        [(0, 2), (2, 1)],
        [(0, 1), (51, 1)],
    ]


def test_empty_rows_part_tables_and_lone_lines_are_paragraphs() -> None:
    book = openpyxl.Workbook()
    for line in (
        ["Report of the year"],
        ["Item", "Sum"],
        ["Roof", 3],
        [],
        ["Only notes here."],
        [],
        ["x", 1],
        ["y", 2],
    ):
        book.active.append(line)
    reading = read("a.xlsx", saved(book.save))
    assert [kind for kind, _ in kinds(reading)] == ["paragraph", *["table_row"] * 2, "paragraph", *["table_row"] * 2]
    assert sum(node.kind == "table" for node in reading.nodes) == 2
    assert not any(cell.header for node in reading.nodes[-2:] for cell in node.cells)


def test_tables_of_the_workbook_say_where_their_heads_are() -> None:
    book = openpyxl.Workbook()
    for line in (["2024", "2025"], ["1", "2"]):
        book.active.append(line)
    book.active.add_table(Table(displayName="T", ref="A1:B2"))
    reading = read("a.xlsx", saved(book.save))
    assert [[cell.header for cell in node.cells] for node in reading.nodes if node.cells] == [[True] * 2, [False] * 2]


def test_marks_hidden_sheets_and_comments() -> None:
    book = openpyxl.Workbook()
    book.active.append(["seen", "words"])
    book.active["A1"].comment = Comment("never shown", "me")
    book.active.oddHeader.center.text = "VERTRAULICH && geheim"
    book.active.oddHeader.center.size = 14
    hidden = book.create_sheet("Old")
    hidden.append(["kept", "too"])
    hidden.sheet_state = "hidden"
    reading = read("a.xlsx", saved(book.save))
    assert reading.marks == ("VERTRAULICH & geheim",)
    assert "never shown" not in reading.text
    assert set(reading.problems) == {"the sheet Old is hidden in the workbook", "comments on cells were left out"}
    assert "kept | too" in reading.text


def test_two_thousand_rows_and_limits() -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Large")
    for number in range(2_000):
        sheet.append([number, f"line {number}", number * 1.5])
    data = saved(book.save)
    reading = read("a.xlsx", data)
    assert len(words(reading)) == 2_000
    assert words(reading)[1_999] == ["1999", "line 1999", "2998.5"]
    with pytest.raises(errors.FileTooLarge, match="1,000 rows"):
        read("a.xlsx", data, Limits(nodes_max=1_000))
    with pytest.raises(errors.FileTooLarge, match="characters"):
        read("a.xlsx", data, Limits(text_max=5_000))


def test_rows_that_only_have_a_format_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody coloured a column down to its end; two rows are filled."""
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Name", "Value"])
    book.active.append(["first", 7])
    book.active["A1048576"] = "the last row"
    empty = "".join(f'<row r="{number}"><c r="A{number}" s="0"/></row>' for number in range(3, 5000)).encode()
    last = b'<row r="1048576"'
    data = rewritten(saved(book.save), SHEET, last, empty + last)
    assert read("a.xlsx", data, Limits(nodes_max=10)).text == "Sheet\n\nName | Value\nfirst | 7\n\nthe last row"
    monkeypatch.setattr(sheets, "_ROWS_MAX", 4_000)
    with pytest.raises(errors.FileTooLarge, match="empty ones included") as refused:
        read("a.xlsx", data)
    assert "Delete the empty rows" in refused.value.next_step


def test_workbooks_that_lie() -> None:
    data = contract_xlsx()
    for cut in (len(data) // 2, len(data) - 40):
        with pytest.raises(errors.UnreadableFile):
            read("a.xlsx", data[:cut])
    assert read("a.docx", data).media_type.endswith("spreadsheetml.sheet")
    bomb = rewritten(data, SHEET, b"</worksheet>", b" " * 60_000_000 + b"</worksheet>")
    with pytest.raises(errors.BombFile):
        read("a.xlsx", bomb)
    laughs = rewritten(data, "xl/workbook.xml", b"<workbook", b'<!DOCTYPE x [<!ENTITY a "b">]><workbook')
    with pytest.raises(errors.UnreadableFile, match="entities"):
        read("a.xlsx", laughs)
    shared = rewritten(data, SHEET, b't="inlineStr"', b't="s"')
    assert "tenant" in read("a.xlsx", shared).text  # what no list of strings holds is lost, the rest is there


def test_a_cell_that_claims_a_column_beyond_all() -> None:
    book = openpyxl.Workbook()
    book.active.append(["one", "two"])
    data = saved(book.save)
    part = zipfile.ZipFile(io.BytesIO(data)).read(SHEET)
    assert re.search(rb'r="B1"', part)
    reading = read("a.xlsx", rewritten(data, SHEET, b'r="B1"', b'r="ZZZZ99999999"'))
    assert words(reading) == [["one", "two"]]


def test_ods_repeats_and_spans() -> None:
    document = opendocument.OpenDocumentSpreadsheet()
    sheet = table.Table(name="Rooms")
    for cells in ((("Room", 1), ("Sum", 1)), (("Attic", 1), ("300", 1))):
        row = table.TableRow()
        for word, span in cells:
            cell = table.TableCell(numbercolumnsspanned=span)
            cell.addElement(text.P(text=word))
            row.addElement(cell)
        sheet.addElement(row)
    sheet.addElement(table.TableRow(numberrowsrepeated=1_000_000))
    repeated = table.TableRow(numberrowsrepeated=3)
    for word in ("again", "and"):
        cell = table.TableCell(numbercolumnsrepeated=2)
        cell.addElement(text.P(text=word))
        repeated.addElement(cell)
    sheet.addElement(repeated)
    document.spreadsheet.addElement(sheet)
    data = saved(document.save)
    reading = read("a.ods", data)
    assert words(reading) == [["Room", "Sum"], ["Attic", "300"], *[["again", "again", "and", "and"]] * 3]
    many = rewritten(data, "content.xml", b'number-rows-repeated="3"', b'number-rows-repeated="99999999"')
    with pytest.raises(errors.FileTooLarge):
        read("a.ods", many, Limits(nodes_max=5_000))


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods", "a.csv"])
def test_an_empty_workbook_is_empty(name: str, tmp_path: Path) -> None:
    data = {
        "a.xlsx": lambda: saved(openpyxl.Workbook().save),
        "a.ods": lambda: saved(opendocument.OpenDocumentSpreadsheet().save),
        "a.csv": lambda: b",,,\r\n,,,\r\n",
    }[name]()
    with pytest.raises(errors.Refusal) as refused:
        read(name, data)
    assert refused.value.code in {"knowledge.empty_file", "knowledge.unreadable_file"}
