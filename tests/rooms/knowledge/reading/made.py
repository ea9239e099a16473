"""Files made for the tests, byte by byte: PDFs with and without a password, and what goes wrong with them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bastide.errors import BastideError
from bastide.knowledge.reading import Piece, Reading, cut, read

EXAMPLES = Path(__file__).parents[4] / "examples"
GDPR, AI_ACT, BDSG, EGOVG, CRPA, OMNIBUS = (
    "gdpr-en.txt",
    "ai-act-nl.html",
    "bdsg-de.md",
    "egovg-de.md",
    "relations-public-administration-fr.md",
    "pe-30-2026-nl.pdf",
)


@cache
def example(name: str) -> Reading:
    """An example document, read once a session."""
    return read(name, (EXAMPLES / name).read_bytes())


@cache
def pieces(name: str) -> tuple[Piece, ...]:
    """The chunks of an example document."""
    return cut(example(name))


def tried(name: str, data: bytes) -> Reading | None:
    """What reading gives, or None where it refuses with one of the room's own errors; others are raised."""
    try:
        return read(name, data)
    except BastideError as refused:
        if not refused.code.startswith("knowledge."):
            raise
        return None


def holding(name: str, *words: str) -> list[Piece]:
    """The chunks of an example that hold all of `words`."""
    return [piece for piece in pieces(name) if all(word in " ".join(piece.text.split()) for word in words)]


@dataclass(frozen=True)
class Line:
    """One line of text on a made page; points from the lower left corner."""

    text: str
    x: float = 72
    y: float = 700
    size: float = 11
    bold: bool = False


def paragraph(text: str, *, x: float = 72, y: float = 700, size: float = 11, leading: float = 14) -> list[Line]:
    """The lines of `text`, split at its line ends, one below the other."""
    return [Line(line, x, y - i * leading, size) for i, line in enumerate(text.split("\n"))]


def pdf(
    pages: Sequence[Sequence[Line]], *, outline: Sequence[tuple[str, int]] = (), password: str = "", title: str = ""
) -> bytes:
    """A PDF of `pages`; `outline` = (title, page counted from 0); `password` locks it (RC4, 40 bits)."""
    objects: list[bytes] = [b"", b""]  # catalogue and pages, filled in below

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    fonts = [
        add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode())
        for name in ("Helvetica", "Helvetica-Bold")
    ]
    numbers: list[int] = []
    for lines in pages:
        content = b"\n".join(_shown(line) for line in lines)
        stream = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        resources = f"/Resources << /Font << /F1 {fonts[0]} 0 R /F2 {fonts[1]} 0 R >> >>"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {resources} /Contents {stream} 0 R >>"
        numbers.append(add(page.encode()))
    extra = ""
    if outline:
        root = len(objects) + 1
        add(b"")
        first = len(objects) + 1
        for i, (heading, page_at) in enumerate(outline):
            beside = f"/Next {first + i + 1} 0 R " if i + 1 < len(outline) else ""
            beside += f"/Prev {first + i - 1} 0 R " if i else ""
            add(f"<< /Title ({heading}) /Parent {root} 0 R {beside}/Dest [{numbers[page_at]} 0 R /Fit] >>".encode())
        objects[root - 1] = (
            f"<< /Type /Outlines /First {first} 0 R /Last {len(objects)} 0 R /Count {len(outline)} >>".encode()
        )
        extra = f" /Outlines {root} 0 R"
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R{extra} >>".encode()
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(numbers)} >>".encode()
    trailer = f"/Info {add(f'<< /Title ({title}) >>'.encode())} 0 R" if title else ""
    if password:
        trailer += f" /Encrypt {add(_lock(password))} 0 R /ID [<{b'0123456789abcdef'.hex()}> <00>]"
    return written(objects, trailer)


def _shown(line: Line) -> bytes:
    text = line.text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"BT /F%d %g Tf %g %g Td (%s) Tj ET" % (2 if line.bold else 1, line.size, line.x, line.y, text)


def written(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A PDF file of these objects, the first of which is its catalogue."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places: list[int] = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def _lock(password: str) -> bytes:
    """The encryption dictionary of the standard security handler, revision 2 (ISO 32000-1, 7.6.3)."""
    padded = (password.encode() + _PAD)[:32]
    owner = _rc4(hashlib.md5(padded, usedforsecurity=False).digest()[:5], padded)
    permissions = (0xFFFFFFFC).to_bytes(4, "little")
    key = hashlib.md5(padded + owner + permissions + b"0123456789abcdef", usedforsecurity=False).digest()[:5]
    user = _rc4(key, _PAD)
    return f"<< /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{user.hex()}> /P -4 >>".encode()


def _rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def zipped(**parts: bytes) -> bytes:
    """A zip file; "__" in a name stands for "/", "_dot_" for "."."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as container:
        for name, data in parts.items():
            container.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def bare_docx(body: str) -> bytes:
    """The smallest DOCX around the inner XML of its body (prefix `w`)."""
    document = f'<?xml version="1.0"?><w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>'
    return zipped(word__document_dot_xml=document.encode())
