"""A page made ready: what becomes of its pixels, and that each place in it is found again in the scan."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bastide.knowledge.reading import ocr
from bastide.knowledge.reading.ocr.preprocessing import Prepared, prepare, skew, straighten, turn
from tests.rooms.knowledge.ocr.paper import strokes


def _box(pixels: np.ndarray) -> ocr.Place:
    """Around all ink."""
    rows, columns = (np.flatnonzero((pixels < 128).any(axis=axis)) for axis in (1, 0))
    return ocr.Place(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def _blocked() -> np.ndarray:
    """White, with one block that is neither in the middle nor square."""
    pixels = np.full((700, 900), 255, np.uint8)
    pixels[420:520, 90:330] = 0
    return pixels


def _near(one: ocr.Place, other: ocr.Place, within: float) -> bool:
    edges = ((place.left, place.top, place.right, place.bottom) for place in (one, other))
    return bool(np.allclose(*edges, atol=within))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 450])
@pytest.mark.parametrize("dpi", [300.0, 150.0, 400.0])
def test_a_place_on_a_turned_and_enlarged_page_is_found_in_the_scan(degrees: int, dpi: float) -> None:
    scan = _blocked()
    page = turn(prepare(ocr.Picture(scan, dpi)), degrees)
    tall, wide = (round(side * 300 / dpi) for side in scan.shape)
    assert page.pixels.shape == ((wide, tall) if degrees % 180 else (tall, wide))
    assert page.turned == degrees % 360
    assert _near(page.place(_box(page.pixels)), _box(scan), 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turning_is_clockwise_and_four_quarters_are_none(degrees: int) -> None:
    page = Prepared(_blocked(), np.eye(3))
    turned = turn(page, degrees)
    assert np.array_equal(turned.pixels, np.asarray(Image.fromarray(page.pixels).rotate(-degrees, expand=True)))
    back = turn(turned, 360 - degrees)
    assert np.array_equal(back.pixels, page.pixels)
    assert np.allclose(back.back, np.eye(3))


@pytest.mark.parametrize("degrees", [-2.5, -0.7, 1.2, 2.8])
def test_a_page_that_lies_askew_is_laid_straight_and_its_places_lead_back(degrees: float) -> None:
    """`degrees` to the left; the lines of the scan then rise to the right."""
    askew = np.asarray(Image.fromarray(strokes().pixels).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255))
    page = straighten(Prepared(askew, np.eye(3)))
    assert page.skew == pytest.approx(-degrees, abs=0.2)
    assert abs(skew(page.pixels)) <= 0.2
    height, width = askew.shape
    to = np.radians(-degrees)
    for x, y in ((60, 60), (820, 480), (440, 270)):
        there = page.place(ocr.Place(x, y, x, y))
        right, down = x - width / 2, y - height / 2
        wanted = right * np.cos(to) - down * np.sin(to) + width / 2, right * np.sin(to) + down * np.cos(to) + height / 2
        assert (there.left, there.top) == pytest.approx(wanted, abs=3)


@pytest.mark.parametrize("ground", ["dark", "gray", "shaded"])
def test_any_ground_becomes_white_and_its_ink_black(ground: str) -> None:
    pixels = strokes().pixels.astype(float)
    made = {
        "dark": 255 - pixels,
        "gray": 100 + pixels * 0.4,
        "shaded": pixels * np.linspace(0.45, 1.0, pixels.shape[1])[None, :],
    }[ground]
    page = prepare(ocr.Picture(made.astype(np.uint8), 300.0))
    assert np.median(page.pixels) >= 245
    assert np.mean((page.pixels < 128) == (pixels < 128)) >= 0.99


@pytest.mark.parametrize(("shrink", "told"), [(2, 0.0), (1, 72.0), (2, 9000.0)])
def test_where_the_resolution_is_not_told_truly_the_letters_tell_it(shrink: int, told: float) -> None:
    page = prepare(ocr.Picture(np.asarray(Image.fromarray(strokes().pixels).reduce(shrink)), told))
    assert page.pixels.shape[1] == pytest.approx(900, rel=0.15)
