"""Programs that print a manuscript, each in its own way: typst, weasyprint, reportlab, fpdf2 (pip; for this only)."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.scans.pages import font_file
from benchmarks.tables.truth import Cell, Manuscript, Part, Table

_FONT = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"
_SIZE = 9.5

# -- typst ------------------------------------------------------------------------------------------


def typst(made: Manuscript, place: Path) -> None:
    """Serif, justified, head rows that come back."""
    import typst as program  # noqa: PLC0415  # installed for this benchmark only

    source = f'#set page(margin: 2.2cm, numbering: "1")\n#set text(font: "DejaVu Serif", size: {_SIZE}pt)\n'
    source += "#set par(justify: true)\n#show table.cell: set par(justify: false)\n\n"
    for part in made.parts:
        source += f"== {part.heading}\n\n" if part.heading else ""
        source += f"{part.text}\n\n" if part.text else ""
        if part.table is not None:
            table = _in_typst(part.table)
            both = f"#grid(columns: (1fr, 1fr), gutter: 14pt, {table}, [{part.beside}])\n\n"
            source += both if part.beside else f"#{table}\n\n"
    text = place.with_suffix(".typ")
    text.write_text(source)
    program.compile(str(text), output=str(place))
    text.unlink()


def _in_typst(table: Table) -> str:
    wide = f"({'auto, ' * (table.columns - 1)}1fr)" if table.shape == "wrapped" else str(table.columns)
    stroke = {"grid": "0.5pt", "lines": "(x: none, y: 0.4pt)"}.get(table.style, "none")
    fill = ", fill: (_, y) => if y < " + f"{table.heads}" + " { luma(220) }" if table.style == "shade" else ""
    rows = [[_cell_in_typst(cell, bold=at < table.heads) for cell in row] for at, row in enumerate(table.rows)]
    head = ", ".join(cell for row in rows[: table.heads] for cell in row)
    body = ", ".join(cell for row in rows[table.heads :] for cell in row)
    line = "table.hline(stroke: 0.6pt), " if table.style == "booktabs" else ""
    inner = f"{line}table.header({head}), {line}{body}{', ' + line.rstrip(', ') if line else ''}"
    return f"table(columns: {wide}, stroke: {stroke}{fill}, {inner})"


def _cell_in_typst(cell: Cell, *, bold: bool) -> str:
    text = f"[*{cell.text}*]" if bold and cell.text else f"[{cell.text}]"
    if cell.columns == cell.rows == 1:
        return text
    return f"table.cell(colspan: {cell.columns}, rowspan: {cell.rows}){text}"


# -- weasyprint -------------------------------------------------------------------------------------

_CSS = f"""@page {{ size: A4; margin: 2cm; @bottom-center {{ content: counter(page); font-size: 8pt }} }}
body {{ font: {_SIZE}pt 'DejaVu Sans' }} h2 {{ font-size: 13pt }}
table {{ border-collapse: collapse; margin: 6pt 0 }}
td, th {{ padding: 3px 9px; text-align: left; vertical-align: top }}
.grid td, .grid th {{ border: 1px solid #333 }} .lines td, .lines th {{ border-bottom: 1px solid #888 }}
.booktabs {{ border-top: 1.2px solid black; border-bottom: 1.2px solid black }}
.booktabs thead {{ border-bottom: 1px solid black }} .shade thead {{ background: #ddd }}
.left {{ float: left; margin-right: 14pt }} .after {{ clear: both }}"""


def weasyprint(made: Manuscript, place: Path) -> None:
    """HTML and CSS: sans serif, a table beside text floats."""
    import weasyprint as program  # noqa: PLC0415  # installed for this benchmark only

    body = "".join(map(_in_html, made.parts))
    program.HTML(string=f"<html lang={made.language}><style>{_CSS}</style><body>{body}</body></html>").write_pdf(place)


def _in_html(part: Part) -> str:
    if part.table is None:
        return f"<h2>{part.heading}</h2>" if part.heading else f"<p class=after>{escape(part.text)}</p>"
    rows = [
        "".join(f"<td colspan={cell.columns} rowspan={cell.rows}>{escape(cell.text)}</td>" for cell in row)
        for row in part.table.rows
    ]
    head = "".join(f"<tr>{row.replace('td', 'th')}</tr>" for row in rows[: part.table.heads])
    body = "".join(f"<tr>{row}</tr>" for row in rows[part.table.heads :])
    left = " left" if part.beside else ""
    table = f"<table class='{part.table.style}{left}'><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f"{table}<p>{escape(part.beside)}</p>" if part.beside else table


# -- reportlab --------------------------------------------------------------------------------------


def reportlab(made: Manuscript, place: Path) -> None:
    """Flowing parts; a head row comes back on the next page."""
    from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415  # installed for this benchmark only
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer  # noqa: PLC0415
    from reportlab.platypus import Table as Drawn  # noqa: PLC0415

    for name, file in zip(("Text", "Bold"), _FONT, strict=True):
        pdfmetrics.registerFont(TTFont(name, str(font_file(file))))
    text = ParagraphStyle("text", fontName="Text", fontSize=_SIZE, leading=13, spaceAfter=6)
    heading = ParagraphStyle("heading", fontName="Bold", fontSize=13, leading=17, spaceBefore=8, spaceAfter=4)
    parts: list[Any] = []
    for part in made.parts:
        if part.table is None:
            parts.append(Paragraph(part.heading or part.text, heading if part.heading else text))
            continue
        drawn = _in_reportlab(part.table, text)
        if part.beside:
            drawn = Drawn(
                [[drawn, Paragraph(part.beside, text)]],
                colWidths=[250, 220],
                style=[("VALIGN", (0, 0), (-1, -1), "TOP")],
            )
        parts += [Spacer(1, 6), drawn, Spacer(1, 8)]
    SimpleDocTemplate(str(place)).build(parts)


def _in_reportlab(table: Table, text: Any) -> Any:
    from reportlab.lib import colors  # noqa: PLC0415
    from reportlab.platypus import Paragraph  # noqa: PLC0415
    from reportlab.platypus import Table as Drawn  # noqa: PLC0415

    style: list[Any] = [("FONT", (0, 0), (-1, -1), "Text", _SIZE), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    style.append(("FONT", (0, 0), (-1, table.heads - 1), "Bold", _SIZE))
    rows, spans = _laid_out(table)
    style += [("SPAN", (left, top), (left + cell.columns - 1, top + cell.rows - 1)) for left, top, cell in spans]
    style += {
        "grid": [("GRID", (0, 0), (-1, -1), 0.5, colors.black)],
        "lines": [("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.gray)],
        "booktabs": [
            ("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
            ("LINEBELOW", (0, table.heads - 1), (-1, table.heads - 1), 0.5, colors.black),
            ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black),
        ],
        "shade": [("BACKGROUND", (0, 0), (-1, table.heads - 1), colors.lightgrey)],
    }.get(table.style, [])
    widths = None
    if table.shape == "wrapped":
        widths = [*([None] * (table.columns - 1)), 180]
        rows = [[*row[:-1], Paragraph(row[-1], text) if at >= table.heads else row[-1]] for at, row in enumerate(rows)]
    return Drawn(rows, colWidths=widths, style=style, repeatRows=table.heads, hAlign="LEFT")


def _laid_out(table: Table) -> tuple[list[list[Any]], list[tuple[int, int, Cell]]]:
    """Every field of the table, the covered ones empty; and the cells that cover several, by their first field."""
    fields: list[list[Any]] = [["" for _ in range(table.columns)] for _ in table.rows]
    spans: list[tuple[int, int, Cell]] = []
    covered: set[tuple[int, int]] = set()
    for top, row in enumerate(table.rows):
        left = 0
        for cell in row:
            while (top, left) in covered:
                left += 1
            fields[top][left] = cell.text
            if cell.columns * cell.rows > 1:
                spans.append((left, top, cell))
            covered |= {(top + down, left + right) for down in range(cell.rows) for right in range(cell.columns)}
            left += cell.columns
    return fields, spans


# -- fpdf2 ------------------------------------------------------------------------------------------


def fpdf2(made: Manuscript, place: Path) -> None:
    """Cell by cell; nothing stands beside a table here, so that text follows it."""
    from fpdf import FPDF  # noqa: PLC0415  # installed for this benchmark only

    page = FPDF()
    page.set_margin(20)
    for style, file in zip(("", "B"), _FONT, strict=True):
        page.add_font("Text", style, str(font_file(file)))
    page.add_page()
    for part in made.parts:
        page.set_font("Text", "B" if part.heading else "", 13 if part.heading else _SIZE)
        if part.table is None:
            page.multi_cell(0, 5, part.heading or part.text, new_x="LMARGIN", new_y="NEXT")
        else:
            _in_fpdf(page, part.table)
            if part.beside:
                page.multi_cell(0, 5, part.beside, new_x="LMARGIN", new_y="NEXT")
        page.ln(3)
    page.output(str(place))


def _in_fpdf(page: Any, table: Table) -> None:
    from fpdf.fonts import FontFace  # noqa: PLC0415

    lines = {"grid": "ALL", "lines": "HORIZONTAL_LINES", "booktabs": "SINGLE_TOP_LINE"}.get(table.style, "NONE")
    head = FontFace(emphasis="BOLD", fill_color=(215, 215, 215) if table.style == "shade" else None)
    options: dict[str, Any] = {"num_heading_rows": table.heads, "headings_style": head, "text_align": "LEFT"}
    if table.shape == "wrapped":
        options["col_widths"] = (*([2] * (table.columns - 1)), 5)
    with page.table(borders_layout=lines, line_height=5, **options) as drawn:
        for cells in table.rows:
            row = drawn.row()
            for cell in cells:
                row.cell(cell.text, colspan=cell.columns, rowspan=cell.rows)


PROGRAMS: dict[str, Callable[[Manuscript, Path], None]] = {
    "typst": typst,
    "weasyprint": weasyprint,
    "reportlab": reportlab,
    "fpdf2": fpdf2,
}
