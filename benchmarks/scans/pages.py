"""Pages of text as a scanner gives them: set in a real font at 300 dpi, then made worse in named ways, always the same.

The result is what the scanner saved: gray, at its own resolution. `seed` decides the noise, nothing else does.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_FOLDERS = (Path("/usr/share/fonts/truetype"), Path("/usr/share/fonts"), Path("/Library/Fonts"))
SERIF, SANS, MONO = "LiberationSerif-Regular.ttf", "LiberationSans-Regular.ttf", "LiberationMono-Regular.ttf"
DPI = 300
PAPER = (2480, 1754)
"""Half an A4 page."""
_MARGIN = 236


@dataclass(frozen=True, slots=True)
class Scan:
    """A page as the scanner saved it: shades of gray, its true resolution."""

    image: Image.Image
    dpi: float

    @property
    def pixels(self) -> np.ndarray:
        """(height, width) uint8."""
        return np.asarray(self.image, dtype=np.uint8)


def font_file(name: str) -> Path | None:
    """Where the font is; None where it is not installed."""
    for folder in _FOLDERS:
        found = next(iter(sorted(folder.rglob(name))), None) if folder.is_dir() else None
        if found is not None:
            return found
    return None


def typeset(text: str, *, font: str = SERIF, points: float = 11.0, paper: tuple[int, int] = PAPER) -> Image.Image:
    """The paragraphs of `text` in black on white at 300 dpi, broken at the margins."""
    path = font_file(font)
    if path is None:
        raise FileNotFoundError(font)
    face = ImageFont.truetype(str(path), round(points * DPI / 72))
    page = Image.new("L", paper, 255)
    pen = ImageDraw.Draw(page)
    top, step = _MARGIN // 2, round(points * DPI / 72 * 1.25)
    for paragraph in text.split("\n\n"):
        for line in _broken(paragraph.split(), face, paper[0] - 2 * _MARGIN):
            pen.text((_MARGIN, top), line, font=face, fill=0)
            top += step
        top += step // 2
    return page


def _broken(words: list[str], face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in words:
        longer = f"{line} {word}".strip()
        if line and face.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def noisy(page: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian noise with this standard deviation, in shades of 255."""
    grain = rng.normal(0.0, strength, (page.height, page.width))
    return Image.fromarray(np.clip(np.asarray(page, np.float64) + grain, 0, 255).astype(np.uint8))


def speckled(page: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Salt and pepper on this share of the pixels."""
    pixels = np.asarray(page).copy()
    chance = rng.random(pixels.shape)
    pixels[chance < share / 2] = 0
    pixels[chance > 1 - share / 2] = 255
    return Image.fromarray(pixels)


def blurred(page: Image.Image, radius: float) -> Image.Image:
    """Out of focus, by this radius in pixels."""
    return page.filter(ImageFilter.GaussianBlur(radius))


def turned(page: Image.Image, degrees: float) -> Image.Image:
    """Laid on the glass askew; what comes into view is white."""
    return page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)


def scaled(page: Image.Image, dpi: float) -> Image.Image:
    """Scanned at this resolution instead of 300."""
    size = (round(page.width * dpi / DPI), round(page.height * dpi / DPI))
    return page.resize(size, Image.Resampling.BOX if dpi < DPI else Image.Resampling.BICUBIC)


def compressed(page: Image.Image, quality: int) -> Image.Image:
    """Saved as JPEG and opened again."""
    saved = io.BytesIO()
    page.save(saved, "JPEG", quality=quality)
    return Image.open(saved).convert("L")


def fax(page: Image.Image, level: int) -> Image.Image:
    """Black or white, nothing between."""
    return page.point(lambda shade: 255 if shade >= level else 0)


def faded(page: Image.Image, black: int, white: int) -> Image.Image:
    """Little toner on gray paper."""
    return page.point(lambda shade: round(black + shade * (white - black) / 255))


def shaded(page: Image.Image, dark: float) -> Image.Image:
    """The fold of a book: the paper grows darker towards the left, down to this share of its light."""
    light = np.clip(np.linspace(dark, 1.6, page.width), 0, 1)[None, :]
    return Image.fromarray((np.asarray(page, np.float64) * light).astype(np.uint8))


Degrading = Callable[[Image.Image, np.random.Generator], tuple[Image.Image, float]]

LIGHT: dict[str, Degrading] = {
    "clean": lambda page, rng: (page, DPI),
    "noise": lambda page, rng: (noisy(blurred(page, 0.7), 18, rng), DPI),
    "blur": lambda page, rng: (noisy(blurred(page, 2.0), 6, rng), DPI),
    "skew": lambda page, rng: (noisy(turned(page, -1.4), 8, rng), DPI),
    "jpeg": lambda page, rng: (compressed(scaled(page, 250), 35), 250),
}
MEDIUM: dict[str, Degrading] = {
    "copy": lambda page, rng: (compressed(noisy(blurred(scaled(page, 200), 0.8), 14, rng), 60), 200),
    "fax": lambda page, rng: (fax(noisy(scaled(page, 150), 10, rng), 150), 150),
    "fold": lambda page, rng: (noisy(shaded(scaled(turned(page, 0.6), 200), 0.45), 8, rng), 200),
    "faded": lambda page, rng: (noisy(faded(scaled(turned(page, -0.8), 200), 110, 225), 10, rng), 200),
    "worn": lambda page, rng: (compressed(noisy(blurred(scaled(turned(page, 1.2), 126), 0.5), 12, rng), 70), 126),
}
HEAVY: dict[str, Degrading] = {
    "dirty": lambda page, rng: (speckled(fax(scaled(turned(page, -1.5), 150), 140), 0.03, rng), 150),
    "coarse": lambda page, rng: (compressed(noisy(blurred(scaled(turned(page, -2.0), 100), 0.6), 16, rng), 50), 100),
    "ruined": lambda page, rng: (fax(noisy(blurred(scaled(turned(page, 2.0), 84), 0.6), 20, rng), 130), 84),
}


def scan(page: Image.Image, damage: str, seed: int = 0) -> Scan:
    """`page` as it comes out of a machine that does this to it."""
    made, dpi = (LIGHT | MEDIUM | HEAVY)[damage](page, np.random.default_rng(seed))
    return Scan(made, dpi)
