"""Printing for the tests: PDFs drawn operator by operator, with rules, turned text and scripts of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.rooms.knowledge.reading.made import written

FONTS = ("Helvetica", "Helvetica-Bold", "Courier", "CMMI10")
PLAIN, BOLD, TYPED, MATHS = range(1, 5)
SCRIPT = 5
"""A font whose codes are Unicode's own: for scripts that have no place in Latin 1."""


@dataclass(frozen=True)
class Drawn:
    """One page: its operators, and how it is to be shown."""

    content: str
    rotate: int = 0
    wide: int = 595
    high: int = 842


def text(words: str, x: float, y: float, *, size: float = 11, font: int = PLAIN, matrix: str = "1 0 0 1") -> str:
    """One line of text; `matrix` turns it ("-1 0 0 -1" is upside down)."""
    if font == SCRIPT:
        shown = f"<{words.encode('utf-16-be').hex()}>"
    else:
        plain = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        shown = f"({plain})"
    return f"BT /F{font} {size:g} Tf {matrix} {x:g} {y:g} Tm {shown} Tj ET"


def lines(
    words: str, x: float = 72, y: float = 700, *, size: float = 11, leading: float = 14, font: int = PLAIN
) -> str:
    """Several lines, one below the other."""
    return "\n".join(text(line, x, y - at * leading, size=size, font=font) for at, line in enumerate(words.split("\n")))


def rule(x: float, y: float, to_x: float, to_y: float) -> str:
    """A thin line."""
    return f"0.5 w {x:g} {y:g} m {to_x:g} {to_y:g} l S"


def table(
    rows: Sequence[Sequence[str]], x: float, y: float, widths: Sequence[float], *, ruled: bool, high: float = 18
) -> str:
    """A table whose upper left corner is at (x, y), its first row in bold, with or without lines."""
    parts: list[str] = []
    lefts = [x]
    for width in widths:
        lefts.append(lefts[-1] + width)
    for at, row in enumerate(rows):
        for left, cell in zip(lefts, row, strict=False):
            parts.append(text(cell, left + 4, y - at * high - 13, font=BOLD if at == 0 else PLAIN))
    if ruled:
        low = y - len(rows) * high
        parts += [rule(lefts[0], y - at * high, lefts[-1], y - at * high) for at in range(len(rows) + 1)]
        parts += [rule(left, y, left, low) for left in lefts]
    return "\n".join(parts)


def printed(pages: Sequence[Drawn]) -> bytes:
    """The PDF of these pages."""
    objects: list[bytes] = [b"", b""]

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    fonts = [add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} >>".encode()) for name in FONTS]
    fonts.append(_script(add))
    named = " ".join(f"/F{at} {number} 0 R" for at, number in enumerate(fonts, 1))
    numbers = []
    for page in pages:
        content = page.content.encode("latin-1")
        stream = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        shown = f"/MediaBox [0 0 {page.wide} {page.high}] /Rotate {page.rotate} /Contents {stream} 0 R"
        numbers.append(add(f"<< /Type /Page /Parent 2 0 R {shown} /Resources << /Font << {named} >> >> >>".encode()))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(numbers)} >>".encode()
    return written(objects)


def _script(add: Callable[[bytes], int]) -> int:
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /U def /CMapType 2 def\n"
        b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
        b"2 beginbfrange <0020> <04FF> <0020> <0500> <06FF> <0500> endbfrange\n"
        b"endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    unicode_of = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(cmap), cmap))
    descriptor = add(
        b"<< /Type /FontDescriptor /FontName /Script /Flags 4 /FontBBox [0 -200 1000 800] /ItalicAngle 0 /Ascent 800 "
        b"/Descent -200 /CapHeight 700 /StemV 80 >>"
    )
    system = "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
    descendant = add(
        f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Script {system} /FontDescriptor {descriptor} 0 R "
        "/DW 500 >>".encode()
    )
    parts = f"/Encoding /Identity-H /DescendantFonts [{descendant} 0 R] /ToUnicode {unicode_of} 0 R"
    return add(f"<< /Type /Font /Subtype /Type0 /BaseFont /Script {parts} >>".encode())
