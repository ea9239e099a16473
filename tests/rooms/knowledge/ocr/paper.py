"""Pages to read, how wrong a reading is, and engines that misbehave."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.reading import error_rate
from benchmarks.scans import pages
from benchmarks.scans.texts import TEXTS
from PIL import Image

from bastide.errors import BastideError
from bastide.knowledge.reading import ocr

__all__ = [
    "TEXTS",
    "Reader",
    "double",
    "error_rate",
    "needs_engine",
    "needs_fonts",
    "page_of",
    "pages",
    "picture",
    "reading",
    "strokes",
]

_READY = ocr.available()
_FONTS = pages.font_file(pages.SERIF) is not None
needs_fonts = pytest.mark.skipif(
    not _FONTS, reason="the Liberation fonts are not installed: nothing to print pages with"
)
needs_engine = pytest.mark.skipif(
    not (_READY.ready and _FONTS and not _READY.missing),
    reason=f"no complete tesseract here ({', '.join(_READY.missing) or 'fonts'} missing): {_READY.next}",
)


def page_of(text: str, damage: str = "clean", *, seed: int = 0, points: float = 11.0) -> pages.Scan:
    """`text`, printed and damaged, on no more paper than it needs."""
    page = pages.typeset(text, points=points)
    below = 255 - np.asarray(page).min(axis=1)
    height = int(np.flatnonzero(below)[-1]) + 120
    return pages.scan(page.crop((0, 0, page.width, height)), damage, seed)


def picture(scan: pages.Scan | Image.Image, dpi: float = 300.0, page: int = 1) -> ocr.Picture:
    """As the cascade takes it."""
    if isinstance(scan, pages.Scan):
        return ocr.Picture(scan.pixels, scan.dpi, page)
    return ocr.Picture(pages.Scan(scan, dpi).pixels, dpi, page)


class Reader:
    """A vision model's seat, taken by somebody who says what the test tells them; keeps what was asked."""

    def __init__(self, *answers: str | BastideError, name: str = "reader 1") -> None:
        self.answers = list(answers)
        self.name = name
        self.asked: list[tuple[ocr.Picture, str]] = []

    def __call__(self, shown: ocr.Picture, task: ocr.Task) -> ocr.Seen:
        """The next answer; the last one again and again."""
        self.asked.append((shown, task.text))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BastideError):
            raise answer
        return ocr.Seen(answer, self.name, f"receipt of {self.name}")


_DOUBLE = """#!{python}
import sys, time
if "--version" in sys.argv:
    print("tesseract 5.9.9")
elif "--list-langs" in sys.argv:
    print("List of available languages:\\n{languages}\\nosd")
else:
    sys.stdin.buffer.read()
    {deed}
"""


def double(folder: Path, deed: str, languages: str = "eng fra", **limits: int) -> ocr.Tesseract:
    """A program that says of itself what tesseract says, and then does this when it is given a page."""
    program = folder / "tesseract"
    program.write_text(
        _DOUBLE.format(python=sys.executable, deed=deed, languages="\\n".join(languages.split())), encoding="utf-8"
    )
    program.chmod(0o755)
    return ocr.Tesseract(str(program), **limits)


def strokes(page: int = 3) -> ocr.Picture:
    """Eight lines of ink that look like letters, 60 pixels apart; no font needed."""
    pixels = np.full((600, 900), 255, np.uint8)
    for top in range(60, 540, 60):
        for left in range(60, 820, 28):
            pixels[top : top + 22, left : left + 4] = 0
            pixels[top : top + 4, left : left + 14] = 0
    return ocr.Picture(pixels, 300.0, page)


def reading(*lines: tuple[str, int]) -> str:
    """The deed of a double that reads `strokes`: the text of each line from above and its confidence, 0 to 100."""
    rows = []
    for number, (text, confidence) in enumerate(lines):
        words = text.split()
        width = 770 // len(words)
        for at, word in enumerate(words):
            place = f"{60 + at * width}\t{60 + 60 * number}\t{width}\t22"
            rows.append(f"5\t1\t1\t1\t{number + 1}\t{at + 1}\t{place}\t{confidence}\t{word}")
    table = "\n".join(rows)
    return f"sys.stdout.buffer.write({table!r}.encode())"
