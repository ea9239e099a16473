"""Preprocessing: a scan is made even, large enough, upright and straight before anything reads it.

In this order, because each step needs the one before:
    1. the paper is made evenly white     3. it is turned upright, where the engine says that it is not
    2. the page is brought to 300 dpi     4. it is laid straight, up to 3 degrees     5. grain is blurred
The engine reads a raw scan of 126 dpi that lies 1.2 degrees askew with 36 to 100 % of the characters wrong; after this,
with 0 to 2 %.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.reading.ocr.shapes import shapes, threshold
from bastide.knowledge.reading.ocr.values import Gray, Picture, Place

try:
    from PIL import Image, ImageFilter
except ImportError:  # an extra: `available` tells
    Image = ImageFilter = None  # type: ignore[assignment]

DPI = 300
_DPI_BELIEVED = (50.0, 1300.0)
_SCALE_MAX = 5.0
_PIXELS_MAX = 40_000_000
"""Of a page that is read: A2 at 300 dpi has 35 million."""
_LETTER = 24.0
"""Height in pixels that small letters without strokes should have, about, at 300 dpi."""
_LETTER_BELIEVED = (11.0, 62.0)
_SKEW_MAX, _SKEW_STEP, _SKEW_FINE, _SKEW_SEEN = 3.0, 0.25, 0.05, 0.1
_GRAIN_SEEN = 6.0
_DARK_GROUND = 90
"""Where most of a page is darker than this, its letters are light."""
_WHITE_AT_LEAST = 24.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A page ready to be read."""

    pixels: Gray
    back: Matrix
    """(3, 3): a point (x, y, 1) in `pixels` to the picture that was handed in."""
    turned: int = 0
    """Degrees clockwise."""
    skew: float = 0.0
    """Degrees."""

    def place(self, place: Place) -> Place:
        """Where a box of `pixels` stands in the picture that was handed in."""
        corners = np.array(
            [
                [place.left, place.top, 1],
                [place.right, place.top, 1],
                [place.left, place.bottom, 1],
                [place.right, place.bottom, 1],
            ],
            np.float64,
        )
        there = corners @ self.back.T
        left, top = there[:, :2].min(axis=0)
        right, bottom = there[:, :2].max(axis=0)
        return Place(round(float(left), 1), round(float(top), 1), round(float(right), 1), round(float(bottom), 1))


def ready() -> bool:
    """Whether the library is there that this needs."""
    return Image is not None


def prepare(picture: Picture) -> Prepared:
    """Steps 1 and 2: evenly white, 300 dpi."""
    given = picture.pixels
    even = _evened(255 - given if float(np.median(given)) < _DARK_GROUND else given)
    scale = _scale(even, picture.dpi)
    if abs(scale - 1) < 0.03:
        return Prepared(even, np.eye(3))
    height, width = even.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    large = np.asarray(Image.fromarray(even).resize(size, Image.Resampling.BICUBIC))
    return Prepared(large, np.diag([width / size[0], height / size[1], 1.0]))


def turn(page: Prepared, degrees: int) -> Prepared:
    """Step 3: turned clockwise by 0, 90, 180 or 270 degrees."""
    if not degrees % 360:
        return page
    height, width = page.pixels.shape
    back = {
        90: [[0, 1, 0], [-1, 0, height], [0, 0, 1]],
        180: [[-1, 0, width], [0, -1, height], [0, 0, 1]],
        270: [[0, -1, width], [1, 0, 0], [0, 0, 1]],
    }[degrees % 360]
    pixels = np.ascontiguousarray(np.rot90(page.pixels, -(degrees // 90)))
    return Prepared(pixels, page.back @ np.array(back, np.float64), (page.turned + degrees) % 360, page.skew)


def straighten(page: Prepared) -> Prepared:
    """Steps 4 and 5: laid straight, then its grain blurred."""
    angle = skew(page.pixels)
    pixels, back = page.pixels, page.back
    if abs(angle) >= _SKEW_SEEN:
        height, width = pixels.shape
        to = np.radians(angle)
        cos, sin, x, y = np.cos(to), np.sin(to), width / 2, height / 2
        matrix = np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])
        askew = Image.fromarray(pixels)
        straight = askew.transform(
            (width, height),
            Image.Transform.AFFINE,
            tuple(matrix[:2].ravel()),
            Image.Resampling.BICUBIC,
            fillcolor=255,
        )
        pixels, back = np.asarray(straight), back @ matrix
    return Prepared(_smoothed(pixels), back, page.turned, angle)


def _evened(pixels: Gray) -> Gray:
    """The light of the paper, taken from the brighter part of each small field, divided out; ink made black."""
    height, width = pixels.shape
    step = max(8, min(height, width) // 60)
    rows, columns = -(-height // step), -(-width // step)
    padded = np.pad(pixels, ((0, rows * step - height), (0, columns * step - width)), mode="edge")
    fields = padded.reshape(rows, step, columns, step)[:, :: max(1, step // 8), :, :: max(1, step // 8)]
    light = np.percentile(fields.transpose(0, 2, 1, 3).reshape(rows, columns, -1), 80, axis=2).astype(np.uint8)
    paper = Image.fromarray(light).filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(2))
    spread = paper.resize((columns * step, rows * step), Image.Resampling.BICUBIC)
    white = np.maximum(np.asarray(spread)[:height, :width].astype(np.float32), _WHITE_AT_LEAST)
    even = pixels * (255.0 / white)
    dark = float(np.percentile(even[::3, ::3], 0.5))
    if dark < 200:
        even = (even - dark) * (255 / (255 - dark))
    clipped: Gray = np.clip(even, 0, 255).astype(np.uint8)
    return clipped


def _scale(pixels: Gray, dpi: float) -> float:
    """How many times larger the page must be; the letters are asked where the resolution is unknown or a lie."""
    believed = _DPI_BELIEVED[0] <= dpi <= _DPI_BELIEVED[1]
    scale = DPI / dpi if believed else 0.0
    letter = _letter(pixels)
    if letter and not (believed and _LETTER_BELIEVED[0] <= letter * scale <= _LETTER_BELIEVED[1]):
        scale = _LETTER / letter
    most = (_PIXELS_MAX / max(1, pixels.size)) ** 0.5
    return float(min(scale or 1.0, _SCALE_MAX, most))


def _letter(pixels: Gray) -> float:
    """The median height of what may be letters; 0 where there are too few to tell."""
    shrink = max(1, round((pixels.size / 6_000_000) ** 0.5))
    small = pixels[: pixels.shape[0] // shrink * shrink, : pixels.shape[1] // shrink * shrink]
    if shrink > 1:
        small = np.asarray(Image.fromarray(small).reduce(shrink))
    ink = small <= threshold(small)
    if ink.mean() > 0.4:
        return 0.0
    found = shapes(ink)
    tall, wide = found.bottom - found.top, found.right - found.left
    letters = tall[(tall >= 4) & (wide >= 2) & (tall <= small.shape[0] / 8) & (wide <= 6 * tall) & (tall <= 12 * wide)]
    return float(np.median(letters)) * shrink if len(letters) >= 20 else 0.0


def skew(pixels: Gray) -> float:
    """By how many degrees the lines fall to the right, from -3 to 3: where the rows of ink are told apart best."""
    small = np.asarray(Image.fromarray(pixels).reduce(max(1, round(pixels.shape[1] / 620))), np.float32)
    dark = 255 - small
    rows, columns = np.nonzero(dark > dark.mean() + dark.std())
    if len(rows) < 50:
        return 0.0
    columns = columns - columns.mean()

    def contrast(degrees: float) -> float:
        heights = rows - columns * np.tan(np.radians(degrees))
        profile = np.bincount((heights - heights.min()).astype(np.int64)).astype(np.float64)
        return float((np.diff(profile) ** 2).sum())

    coarse = np.arange(-_SKEW_MAX, _SKEW_MAX + _SKEW_STEP / 2, _SKEW_STEP)
    best = max(coarse, key=contrast)
    fine = np.arange(best - _SKEW_STEP, best + _SKEW_STEP + _SKEW_FINE / 2, _SKEW_FINE)
    return round(float(max(fine, key=contrast)), 2)


def grain(pixels: Gray) -> float:
    """The standard deviation of the noise, in shades: Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300-302, with
    the median in place of the mean, so that the edges of letters do not count."""
    part = pixels.astype(np.float32)
    rows = part[:-2] - 2 * part[1:-1] + part[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both[::2, ::2])) / 0.6745 / 6)


def _smoothed(pixels: Gray) -> Gray:
    """Grain is blurred a little where there is some; nothing is taken away, so no dot of a letter is lost."""
    page = Image.fromarray(pixels)
    if grain(pixels) > _GRAIN_SEEN:
        page = page.filter(ImageFilter.GaussianBlur(0.8))
    return np.asarray(page)
