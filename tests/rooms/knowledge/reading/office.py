"""Files of many formats made for the tests, with the libraries that people make them with, or by hand."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from email.message import EmailMessage

import docx
import openpyxl
import pptx
from odf import opendocument, style, table, teletype, text
from odf.draw import Frame, Page, TextBox
from odf.presentation import Notes
from odf.style import MasterPage, PageLayout
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

HEADINGS = (
    (1, "Rental handbook"),
    (2, "Before moving in"),
    (3, "Deposit and keys"),
    (2, "Loyer, Miete, ενοίκιο"),
    (2, "Checking the meter"),
    (3, "Reading it by program"),
)
TABLE = (
    ("Country", "Word", "Rent"),
    ("France", "le loyer — payé d’avance", "1 200,50 €"),
    ("Deutschland", "die Miete für Räume", "980 €"),
    ("Ελλάδα", "το ενοίκιο της κατοικίας", "450 €"),
)
CODE = "def meter(old, new):\n    return new - old"
POINTS = ("Read the lease slowly.", "Count the keys.", "Take photographs of each room.")
STEPS = ("Open the box.", "Write the number down.")
PROSE = "The tenant pays on the third working day of each month, and keeps the receipt in a safe place."


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    """What `save` writes."""
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def contract_docx() -> bytes:
    document = docx.Document()
    for at, (level, title) in enumerate(HEADINGS):
        document.add_heading(title, level)
        document.add_paragraph(PROSE)
        if at == 2:
            for point in POINTS:
                document.add_paragraph(point, style="List Bullet")
        elif at == 3:
            rows = document.add_table(rows=len(TABLE), cols=3)
            for row, cells in zip(rows.rows, TABLE, strict=True):
                for cell, words in zip(row.cells, cells, strict=True):
                    cell.text = words
        elif at == 4:
            for step in STEPS:
                document.add_paragraph(step, style="List Number")
        elif at == 5:
            document.styles.add_style("Code", 1)
            document.add_paragraph(CODE, style="Code")
    return saved(document.save)


def contract_odt() -> bytes:
    document = opendocument.OpenDocumentText()
    document.styles.addElement(style.Style(name="Preformatted_20_Text", family="paragraph"))
    for at, (level, title) in enumerate(HEADINGS):
        document.text.addElement(text.H(outlinelevel=level, text=title))
        document.text.addElement(text.P(text=PROSE))
        if at in {2, 4}:
            points = text.List()
            for point in POINTS if at == 2 else STEPS:
                item = text.ListItem()
                item.addElement(text.P(text=point))
                points.addElement(item)
            document.text.addElement(points)
        elif at == 3:
            document.text.addElement(odf_table(TABLE))
        elif at == 5:
            for line in CODE.split("\n"):
                typed = text.P(stylename="Preformatted_20_Text")
                teletype.addTextToElement(typed, line)
                document.text.addElement(typed)
    return saved(document.save)


def odf_table(rows: Sequence[Sequence[str]], name: str = "Table") -> table.Table:
    """A table, its first row marked as its head."""
    made = table.Table(name=name)
    head = table.TableHeaderRows()
    made.addElement(head)
    for at, cells in enumerate(rows):
        row = table.TableRow()
        for words in cells:
            cell = table.TableCell()
            cell.addElement(text.P(text=words))
            row.addElement(cell)
        (made if at else head).addElement(row)
    return made


def contract_html() -> str:
    parts = ["<!doctype html><html><head><title>Handbook</title><style>p{x:y}</style></head><body>"]
    for at, (level, title) in enumerate(HEADINGS):
        parts.append(f"<h{level}>{title}</h{level}><p>{PROSE}</p><script>alert('{title}')</script>")
        if at == 2:
            parts.append("<ul>" + "".join(f"<li>{point}</li>" for point in POINTS) + "</ul>")
        elif at == 3:
            rows = "".join(f"<tr>{''.join(f'<{tag}>{w}</{tag}>' for w in cells)}</tr>" for tag, cells in _tagged())
            parts.append(f"<table>{rows}</table>")
        elif at == 4:
            parts.append("<ol>" + "".join(f"<li>{step}</li>" for step in STEPS) + "</ol>")
        elif at == 5:
            parts.append(f"<pre><code>{CODE}</code></pre>")
    return "".join([*parts, "</body></html>"])


def _tagged() -> list[tuple[str, tuple[str, ...]]]:
    return [("td" if at else "th", cells) for at, cells in enumerate(TABLE)]


def contract_markdown() -> str:
    parts = []
    for at, (level, title) in enumerate(HEADINGS):
        parts += [f"{'#' * level} {title}", PROSE]
        if at == 2:
            parts.append("\n".join(f"- {point}" for point in POINTS))
        elif at == 3:
            lines = [f"| {' | '.join(cells)} |" for cells in TABLE]
            parts.append("\n".join([lines[0], "|---|---|---|", *lines[1:]]))
        elif at == 4:
            parts.append("\n".join(f"{n}. {step}" for n, step in enumerate(STEPS, 1)))
        elif at == 5:
            parts.append(f"```python\n{CODE}\n```")
    return "\n\n".join(parts)


def contract_epub() -> bytes:
    """One chapter a heading of level 1 or 2."""
    page = contract_html().replace("<!doctype html><html>", '<html xmlns="http://www.w3.org/1999/xhtml">')
    first, rest = page.split("<h2>Loyer", 1)
    head = page[: page.index("<h1>")]
    return epub([("one.xhtml", f"{first}</body></html>"), ("two.xhtml", f"{head}<h2>Loyer{rest}")], title="Handbook")


def epub(
    chapters: Sequence[tuple[str, str]], *, title: str, contents: Sequence[tuple[str, str]] = (), **more: bytes
) -> bytes:
    """A book; `contents` = (address, title); `more` are further parts, "__" for "/" and "_dot_" for "."."""
    nav = "".join(f'<li><a href="{address}">{words}</a></li>' for address, words in contents)
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, (name, _) in enumerate(chapters)
    )
    refs = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata><manifest>{items}'
        '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/></manifest>'
        f"<spine>{refs}</spine></package>"
    )
    container = (
        '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>"
    )
    parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OPS/book.opf": package}
    parts |= {
        "OPS/nav.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol>{nav}</ol></nav></body></html>'
    }
    parts |= {f"OPS/{name}": page for name, page in chapters}
    files: dict[str, bytes] = {name: words.encode() for name, words in parts.items()}
    files |= {name.replace("__", "/").replace("_dot_", "."): data for name, data in more.items()}
    return zip_of(files)


def contract_pptx() -> bytes:
    """Each heading a slide."""
    show = pptx.Presentation()
    for at, (_, title) in enumerate(HEADINGS):
        slide = show.slides.add_slide(show.slide_layouts[1] if at in {2, 4} else show.slide_layouts[5])
        slide.shapes.title.text = title
        if at in {2, 4}:
            slide.placeholders[1].text = "\n".join(POINTS if at == 2 else STEPS)
        elif at == 3:
            rows = slide.shapes.add_table(4, 3, Inches(1), Inches(2), Inches(8), Inches(2)).table
            for row, cells in zip(rows.rows, TABLE, strict=True):
                for cell, words in zip(row.cells, cells, strict=True):
                    cell.text = words
        elif at == 5:
            box = slide.shapes.add_textbox(Inches(1), Inches(2), Inches(8), Inches(2))
            box.text_frame.text = CODE
            for line in box.text_frame.paragraphs:
                line.runs[0].font.name = "Consolas"
        slide.notes_slide.notes_text_frame.text = f"Say slowly: {title}."
    return saved(show.save)


def chart_pptx() -> bytes:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    chart = CategoryChartData()
    chart.categories = ["2024", "2025"]
    chart.add_series("North", (12.5, 14))
    chart.add_series("South", (3, 4))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(1), Inches(5), Inches(4), chart)
    return saved(show.save)


def contract_xlsx() -> bytes:
    """Each heading a sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for at, (_, title) in enumerate(HEADINGS):
        sheet = book.create_sheet(title)
        if at == 3:
            for cells in TABLE:
                sheet.append(cells)
        else:
            for line in {2: POINTS, 4: STEPS, 5: (CODE,)}.get(at, (PROSE,)):
                sheet.append([line])
    return saved(book.save)


def contract_ods() -> bytes:
    document = opendocument.OpenDocumentSpreadsheet()
    for at, (_, title) in enumerate(HEADINGS):
        lines = TABLE if at == 3 else tuple((line,) for line in {2: POINTS, 4: STEPS, 5: (CODE,)}.get(at, (PROSE,)))
        sheet = odf_table(lines, title)
        document.spreadsheet.addElement(sheet)
    return saved(document.save)


def contract_odp() -> bytes:
    document = opendocument.OpenDocumentPresentation()
    layout = PageLayout(name="layout")
    document.automaticstyles.addElement(layout)
    document.masterstyles.addElement(MasterPage(name="master", pagelayoutname=layout))
    for at, (_, title) in enumerate(HEADINGS):
        page = Page(masterpagename="master", name=title)
        document.presentation.addElement(page)
        page.addElement(_boxed(text.P(text=title), "title"))
        if at == 3:
            frame = Frame(width="10cm", height="5cm", x="1cm", y="5cm")
            frame.addElement(odf_table(TABLE))
            page.addElement(frame)
        elif at in {2, 4}:
            points = text.List()
            for point in POINTS if at == 2 else STEPS:
                item = text.ListItem()
                item.addElement(text.P(text=point))
                points.addElement(item)
            page.addElement(_boxed(points, "outline"))
        else:
            page.addElement(_boxed(text.P(text=CODE if at == 5 else PROSE), "outline"))
        notes = Notes()
        notes.addElement(_boxed(text.P(text=f"Say slowly: {title}."), "notes"))
        page.addElement(notes)
    return saved(document.save)


def _boxed(content: object, kind: str) -> Frame:
    frame = Frame(width="10cm", height="5cm", x="1cm", y="1cm")
    frame.setAttribute("class", kind)
    box = TextBox()
    box.addElement(content)
    frame.addElement(box)
    return frame


def mail(
    subject: str = "Your lease",
    plain: str = "Dear tenant,\n\nplease find the lease attached.",
    page: str = "",
    files: Sequence[tuple[str, bytes]] = (),
    **fields: str,
) -> bytes:
    """A message; `files` = (name, bytes)."""
    message = EmailMessage()
    message["Subject"], message["From"] = subject, "Jürgen Müller <jm@example.org>"
    message["To"], message["Date"] = "Tenant <t@example.org>", "Fri, 20 Nov 2026 10:00:00 +0100"
    message["Message-ID"] = "<1@example.org>"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(plain)
    if page:
        message.add_alternative(page, subtype="html")
    for name, data in files:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    """A TAR archive; mode "w:gz" packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            part = tarfile.TarInfo(name)
            part.size = len(data)
            archive.addfile(part, io.BytesIO(data))
    return out.getvalue()


def gzipped(data: bytes, name: str = "") -> bytes:
    """What gzip makes of `data`."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=out, mtime=0) as packed:
        packed.write(data)
    return out.getvalue()


def png(width: int, height: int) -> bytes:
    """A white picture of which only as much is there as its header needs, where it is large."""
    rows = b"".join(b"\0" + b"\xff" * width for _ in range(height)) if width * height < 10_000_000 else b""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def compound(streams: dict[tuple[str, ...], bytes]) -> bytes:
    """A compound file ([MS-CFB] version 3) with these streams by path; every stream stands in whole sectors."""
    size = 512
    tree: dict[tuple[str, ...], list[str]] = {(): []}
    for path in streams:
        for depth in range(1, len(path) + 1):
            siblings = tree.setdefault(path[: depth - 1], [])
            if path[depth - 1] not in siblings:
                siblings.append(path[depth - 1])
            if depth < len(path):
                tree.setdefault(path[:depth], [])
    order: list[tuple[str, ...]] = [()]
    for path in order:
        order += [(*path, name) for name in tree.get(path, [])]
    # Shorter streams would stand in a place of their own; words may end in zeros, pages in blanks.
    padded = {
        path: data.ljust(4096, b" " if path[-1].endswith("10130102") else b"\0") for path, data in streams.items()
    }
    sectors: list[bytes] = []
    chains: list[int] = []

    def store(data: bytes) -> int:
        first = len(sectors)
        count = max(1, -(-len(data) // size))
        for at in range(count):
            sectors.append(data[at * size : (at + 1) * size].ljust(size, b"\0"))
            chains.append(len(sectors) if at + 1 < count else 0xFFFFFFFE)
        return first

    starts = {path: store(data) for path, data in padded.items()}
    directory = b"".join(_entry(path, order, tree, starts, streams, padded) for path in order)
    start = store(directory)
    count = -(-(len(chains) + 4) // 128)
    table_at = len(chains)
    chains += [0xFFFFFFFD] * count
    fat = struct.pack(f"<{len(chains)}I", *chains).ljust(count * size, b"\xff")
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, count, start, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack(f"<{count}I", *range(table_at, table_at + count))
    return header.ljust(size, b"\xff") + b"".join(sectors) + fat


def _entry(path, order, tree, starts, streams, padded) -> bytes:  # type: ignore[no-untyped-def]
    """One entry of the directory: siblings hang in a chain to the right, which readers allow."""
    name = (path[-1] if path else "Root Entry").encode("utf-16-le") + b"\0\0"
    siblings = tree.get(path[:-1], []) if path else []
    at = siblings.index(path[-1]) if path else 0
    right = order.index((*path[:-1], siblings[at + 1])) if path and at + 1 < len(siblings) else 0xFFFFFFFF
    children = tree.get(path, [])
    child = order.index((*path, children[0])) if children else 0xFFFFFFFF
    kind = 5 if not path else 2 if path in streams else 1
    entry = name.ljust(64, b"\0") + struct.pack("<HBBIII", len(name), kind, 1, 0xFFFFFFFF, right, child) + bytes(36)
    entry += struct.pack("<IQ", starts.get(path, 0xFFFFFFFE if not path else 0), len(padded.get(path, b"")))
    return entry.ljust(128, b"\0")


def wide(words: str) -> bytes:
    """As Outlook writes words."""
    return words.encode("utf-16-le")
