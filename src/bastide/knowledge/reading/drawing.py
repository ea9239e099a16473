"""Drawings: the paragraphs and tables that slides, charts and sheets share (ECMA-376 part 1, chapter 21)."""

import re
from collections.abc import Iterator

from lxml import etree

from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.rows import Field, row

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_BLANKS = re.compile(r"[ \t\u00a0]+")


_TYPEWRITER = re.compile(r"courier|consolas|mono\b|menlo|lucida console|typewriter|fira code", re.IGNORECASE)


def typewritten(font: str) -> bool:
    """Whether a font gives every letter the same width, as code is set."""
    return _TYPEWRITER.search(font) is not None


def is_code(element: etree._Element) -> bool:
    """Whether all words of an `a:p` are set in such a font."""
    fonts = [run.find(f"{A}rPr/{A}latin") for run in element.iterfind(f"{A}r")]
    return bool(fonts) and all(font is not None and typewritten(font.get("typeface", "")) for font in fonts)


def paragraph(element: etree._Element, *, code: bool = False) -> str:
    """The words of an `a:p`; its line breaks stay, fields such as slide numbers do not. Of code with all its blanks."""
    parts: list[str] = []
    for child in element:
        if child.tag == f"{A}r":
            parts.append(child.findtext(f"{A}t") or "")
        elif child.tag == f"{A}br":
            parts.append("\n")
        elif (isinstance(child.tag, str) and child.tag.endswith("}oMathPara")) or "}AlternateContent" in str(child.tag):
            parts += [math.text or "" for math in child.iter() if str(math.tag).endswith("/math}t")]
        elif child.tag == f"{A}fld" and child.get("type") != "slidenum":
            parts.append(child.findtext(f"{A}t") or "")
    lines = "".join(parts).replace("\x0b", "\n").split("\n")
    if code:
        return "\n".join(line.rstrip() for line in lines)
    return "\n".join(filter(None, (_BLANKS.sub(" ", line).strip() for line in lines)))


def paragraphs(body: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    """(element, words) of the paragraphs of a text body that hold any."""
    for element in body.iter(f"{A}p"):
        text = paragraph(element)
        if text:
            yield element, text


def words(body: etree._Element) -> str:
    """All words of a text body on one line."""
    return " ".join(" ".join(text.split()) for _, text in paragraphs(body))


def table_rows(table: etree._Element, number: int, problems: list[str], page: int | None) -> Iterator[Block]:
    """The rows of an `a:tbl`; a cell that spans several columns or rows is told once."""
    properties = table.find(f"{A}tblPr")
    header = properties is not None and properties.get("firstRow") in {"1", "true"}
    for at, element in enumerate(table.iterfind(f"{A}tr")):
        fields: list[Field] = []
        for column, cell in enumerate(element.iterfind(f"{A}tc")):
            if cell.get("hMerge") in {"1", "true"}:
                continue
            covered = cell.get("vMerge") in {"1", "true"}
            fields.append(
                Field("" if covered else words(cell), column, _count(cell.get("gridSpan")), header and not at)
            )
        block = row(fields, number, problems, page)
        if block is not None:
            yield block


def _count(written: str | None) -> int:
    return int(written) if written is not None and written.isdecimal() and 0 < len(written) < 4 and int(written) else 1
