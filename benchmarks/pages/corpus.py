"""A corpus of PDFs whose headings and tables are known, made by three programs that set type in their own ways.

Needs `typst`, `weasyprint` and `reportlab` (pip), which the project itself does not. `seed` decides everything.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

Table = list[list[str]]

_WORDS = """the service contract data processor supplier shall ensure that every record is kept in the register for a
period of five years after the end of the calendar year unless another law asks for more where the controller has
agreed""".split()  # noqa: SIM905  # words read better as words
_NAMES = ("Item", "Price", "Quantity", "Total", "Country", "Rate", "Date", "Owner", "Status", "Region")
_HEADINGS = 24
RULED, UNRULED = frozenset({"grid", "wrapped"}), frozenset({"bare", "named", "booktabs", "lines", "shade"})


@dataclass(slots=True)
class Made:
    """One document: its file, and its tables in order as (style, cells, the names of the columns first)."""

    path: Path
    tables: list[tuple[str, Table]] = field(default_factory=list)


class _Writer:
    """Words, headings and tables by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def words(self, least: int, most: int) -> str:
        return " ".join(self.chance.choice(_WORDS) for _ in range(self.chance.randint(least, most)))

    def sentence(self, least: int, most: int) -> str:
        return f"{self.words(least, most).capitalize()}."

    def table(self, style: str) -> Table:
        columns = self.chance.randint(2, 5)
        kinds = ["words", *(self.chance.choice(("number", "number", "date", "words")) for _ in range(columns - 1))]
        rows = [[self._cell(kind) for kind in kinds] for _ in range(self.chance.randint(3, 9))]
        if style == "wrapped":
            for row in rows:
                row[-1] = self.words(8, 16)
        return [self.chance.sample(_NAMES, columns), *rows]

    def _cell(self, kind: str) -> str:
        if kind == "number":
            return f"{self.chance.randint(1, 9999) / 100:.2f}"
        if kind == "date":
            return f"{self.chance.randint(1, 28):02d}.{self.chance.randint(1, 12):02d}.2026"
        return self.words(1, 3)


def make(folder: Path, seed: int) -> list[Made]:
    """Writes the corpus into `folder`."""
    typst = (
        ("typst-ruled", ("grid", "wrapped"), "Libertinus Serif"),
        ("typst-bare", ("bare", "named", "booktabs"), "New Computer Modern"),
    )
    made = [_typst(folder / f"{name}.pdf", styles, font, seed + at) for at, (name, styles, font) in enumerate(typst)]
    made += [
        _weasyprint(folder / f"html-{at}.pdf", styles, seed + 2 + at)
        for at, styles in enumerate((("grid", "wrapped"), ("bare", "lines")))
    ]
    made += [
        _reportlab(folder / f"flow-{at}.pdf", styles, seed + 4 + at)
        for at, styles in enumerate((("grid",), ("bare", "shade")))
    ]
    return made


def _typst(path: Path, styles: tuple[str, ...], font: str, seed: int) -> Made:
    import typst  # noqa: PLC0415  # installed for this benchmark only

    writer, made = _Writer(seed), Made(path)
    source = (
        '#set heading(numbering: "1.1")\n#set page(numbering: "1", header: [CONFIDENTIEL – Acme SA])\n'
        f'#set text(font: "{font}", size: 10.5pt)\n#set par(justify: true)\n#outline()\n'
    )
    for at in range(_HEADINGS):
        level = writer.chance.choice((1, 2, 2, 3)) if at else 1
        source += f"{'=' * level} {writer.words(1, 5).capitalize()}\n\n"
        source += "".join(f"{writer.sentence(25, 90)}\n\n" for _ in range(writer.chance.randint(1, 3)))
        if writer.chance.random() < 0.3:
            source += "".join(f"- {writer.sentence(4, 14)}\n" for _ in range(4)) + "\n"
        if writer.chance.random() < 0.2:
            source += "```\nfor x in range(3):\n    print(x)\n```\n\n$ E = m c^2 + sum_(i=1)^n x_i $\n\n"
        if writer.chance.random() < 0.6:
            style = writer.chance.choice(styles)
            table = writer.table(style)
            made.tables.append((style, table))
            source += f"{_typst_table(table, style)}\n\n{writer.sentence(30, 30)}\n\n"
    text = path.with_suffix(".typ")
    text.write_text(source)
    typst.compile(str(text), output=str(path))
    text.unlink()
    return made


def _typst_table(table: Table, style: str) -> str:
    columns = len(table[0])
    wide = f"({'auto, ' * (columns - 1)}1fr)" if style == "wrapped" else str(columns)
    rows = [", ".join(f"[{cell}]" for cell in row) for row in table]
    if style in {"grid", "named", "wrapped"}:
        rows[0] = ", ".join(f"[*{cell}*]" for cell in table[0])
    if style == "booktabs":
        rows = ["table.hline()", rows[0], "table.hline()", *rows[1:], "table.hline()"]
    stroke = "0.5pt" if style in RULED else "none"
    return f"#table(columns: {wide}, stroke: {stroke}, {', '.join(rows)})"


_CSS = """@page { size: A4; margin: 2cm; @top-center { content: 'VS-NUR FÜR DEN DIENSTGEBRAUCH'; font-size: 8pt }
@bottom-center { content: counter(page); font-size: 8pt } } body { font: 10.5pt 'DejaVu Serif' }
td, th { padding: 3px 8px; text-align: left } table { border-collapse: collapse }
.grid td, .grid th, .wrapped td, .wrapped th { border: 1px solid black }
.lines td, .lines th { border-bottom: 1px solid #888 }"""


def _weasyprint(path: Path, styles: tuple[str, ...], seed: int) -> Made:
    import weasyprint  # noqa: PLC0415  # installed for this benchmark only

    writer, made = _Writer(seed), Made(path)
    body = ""
    for at in range(_HEADINGS):
        level = writer.chance.choice((1, 2, 2, 3)) if at else 1
        body += f"<h{level}>{writer.words(1, 5).capitalize()}</h{level}>"
        body += "".join(f"<p>{writer.sentence(25, 90)}</p>" for _ in range(writer.chance.randint(1, 3)))
        if writer.chance.random() < 0.3:
            body += f"<ul>{''.join(f'<li>{writer.sentence(4, 14)}</li>' for _ in range(4))}</ul>"
        if writer.chance.random() < 0.6:
            style = writer.chance.choice(styles)
            table = writer.table(style)
            made.tables.append((style, table))
            head = "".join(f"<th>{cell}</th>" for cell in table[0])
            rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in table[1:])
            body += f"<table class={style}><tr>{head}</tr>{rows}</table><p>{writer.sentence(30, 30)}</p>"
    weasyprint.HTML(string=f"<html><style>{_CSS}</style><body>{body}</body></html>").write_pdf(path)
    return made


def _reportlab(path: Path, styles: tuple[str, ...], seed: int) -> Made:
    from reportlab.lib import colors  # noqa: PLC0415  # installed for this benchmark only
    from reportlab.lib.styles import getSampleStyleSheet  # noqa: PLC0415
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table  # noqa: PLC0415

    class Document(SimpleDocTemplate):  # type: ignore[misc]  # the library has no types
        """Writes an outline entry for each heading."""

        def afterFlowable(self, flowable: object) -> None:  # the library's own name
            """Called behind each part."""
            level = getattr(flowable, "level", None)
            if level is not None:
                key = f"h{id(flowable)}"
                self.canv.bookmarkPage(key)
                self.canv.addOutlineEntry(flowable.words, key, level, 0)  # type: ignore[attr-defined]

    writer, made, sheet, parts, level = _Writer(seed), Made(path), getSampleStyleSheet(), [], -1
    for at in range(_HEADINGS):
        level = min(writer.chance.choice((0, 1, 1, 2)) if at else 0, level + 1)
        heading = Paragraph(writer.words(1, 5).capitalize(), sheet[f"Heading{level + 1}"])
        heading.level, heading.words = level, heading.text
        parts.append(heading)
        parts += [Paragraph(writer.sentence(25, 90), sheet["BodyText"]) for _ in range(writer.chance.randint(1, 3))]
        if writer.chance.random() < 0.6:
            style = writer.chance.choice(styles)
            table = writer.table(style)
            made.tables.append((style, table))
            drawn = Table(table)
            if style == "grid":
                drawn.setStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
            if style == "shade":
                drawn.setStyle([("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey)])
            parts += [Spacer(1, 6), drawn, Spacer(1, 6), Paragraph(writer.sentence(30, 30), sheet["BodyText"])]
    Document(str(path)).build(parts)
    return made
