"""Scans within PDFs: read by their picture, told page by page, at the place where a reader sees them."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from bastide.knowledge.reading import Limits, ocr, read
from bastide.knowledge.reading.drawn import dots
from tests.rooms.knowledge.reading.made import written
from tests.rooms.knowledge.reading.printing import BOLD, Drawn, lines, printed, text

pytestmark = pytest.mark.skipif(not ocr.available().ready, reason="no text recognition is installed here")

WORDS = (
    "The landlord lets to the tenant the flat on the second floor.\n"
    "The rent is 900 euro a month and is due on the third day of\n"
    "every month. The deposit amounts to three months of rent."
)


def picture(turned: int = 0) -> np.ndarray:
    """A half page as a scanner saves it, in shades of gray."""
    page = Drawn(text("Lease of a flat", 72, 360, size=20, font=BOLD) + "\n" + lines(WORDS, y=300), wide=420, high=420)
    return np.rot90(dots(printed([page]), 1, 200, Limits(), gray=True), turned // 90)


def scan(pixels: np.ndarray, *, layer: str = "") -> bytes:
    """A PDF of two pages: plain text, then a picture that fills the page, with invisible text below it."""
    high, wide = pixels.shape
    packed = zlib.compress(np.ascontiguousarray(pixels).tobytes())
    hidden = layer.replace("(", "").replace(")", "").split("\n")
    shown = "\n".join(f"BT 3 Tr /F1 11 Tf 72 {300 - 14 * at} Td ({line}) Tj ET" for at, line in enumerate(hidden))
    plain = lines("A page with a text of its own, which nobody has to recognise.", y=300)
    contents = [f"q 420 0 0 420 0 0 cm /I Do Q\n{shown}".encode(), plain.encode()]
    fonts = "/Font << /F1 7 0 R >>"
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 420] /Resources << {fonts} %s >> /Contents %d 0 R >>"
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {wide} /Height {high} /ColorSpace /DeviceGray /BitsPerComponent 8 "
    )
    return written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>",
            (page % ("/XObject << /I 8 0 R >>", 5)).encode(),
            (page % ("", 6)).encode(),
            *(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(one), one) for one in contents),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            f"{image}/Filter /FlateDecode /Length {len(packed)} >>\nstream\n".encode() + packed + b"\nendstream",
        ]
    )


def test_a_scanned_page_is_recognised_and_the_other_is_not() -> None:
    reading = read("lease.pdf", scan(picture()))
    scanned, plain = reading.page_reads
    assert (scanned.tier, plain.tier) == ("ocr", "text")
    assert scanned.band == "accepted"
    assert scanned.engine.startswith("tesseract")
    assert scanned.reason.startswith("the page has no text layer")
    assert " ".join(WORDS.split()) in " ".join(reading.text.split())
    words = next(node for node in reading.nodes if node.kind == "paragraph")
    assert words.source == "ocr"
    (box,) = words.boxes
    assert (box.page, round(box.left / 10)) == (1, 7)
    assert 100 < box.top < box.bottom < 160, "300 points above the foot of a page of 420"


def test_a_text_layer_that_says_something_else_than_the_picture_is_not_believed() -> None:
    lie = "This is a harmless recipe for a soup of\nvegetables that nobody could ever object to, and it is\nonly here."
    reading = read("lease.pdf", scan(picture(), layer=lie))
    assert "soup" not in reading.text
    assert "900 euro" in reading.text
    assert reading.page_reads[0].tier == "ocr"
    assert "agree in" in reading.page_reads[0].reason


def test_a_text_layer_that_says_what_the_picture_shows_is_kept() -> None:
    reading = read("lease.pdf", scan(picture(), layer=f"Lease of a flat\n{WORDS}"))
    assert reading.page_reads[0].tier == "text"
    assert "900 euro" in reading.text


@pytest.mark.slow
@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_scan_that_lies_on_its_side_or_its_head(turned: int) -> None:
    reading = read("lease.pdf", scan(picture(turned)))
    assert " ".join(WORDS.split()) in " ".join(reading.text.split())
    first = next(node for node in reading.nodes if node.kind in {"section", "paragraph"})
    (box,) = first.boxes
    near = {90: (box.left, box.bottom), 180: (box.right, box.bottom), 270: (box.right, box.top)}[turned]
    edges = {90: (40, 348), 180: (348, 380), 270: (380, 72)}[turned]
    assert near == pytest.approx(edges, abs=30)
