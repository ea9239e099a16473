"""The first reading: what tier 1 made of a page, with all that the tiers above need, and without the page itself.

A page is eight megabytes and takes seconds to read; what is kept of it here is small, so that a document may wait for
its vision models between two readings of it.
"""

from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from bastide.knowledge.reading.ocr.invention import Extent
from bastide.knowledge.reading.ocr.preprocessing import DPI, Prepared
from bastide.knowledge.reading.ocr.recognising import Recognised
from bastide.knowledge.reading.ocr.rereading import Doubt
from bastide.knowledge.reading.ocr.values import Gray, Line, Picture, Place
from bastide.knowledge.reading.values import PageRead

_WHOLE_BELOW = 0.5
"""Where less of the ink was read, the whole page is shown; else only the lines that failed."""
_CROPS_MAX = 12
_CROP_MARGIN = 10
_LINE_FAILED = 75.0
_LONGEST = 2_200
"""Pixels of a whole page's longer side: more is made smaller by every model that is known."""
_VALUES_MAX = 8
"""Doubtful values of one page that are shown."""
_VALUE_MARGIN = 16
_NOTHING: Gray = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One stretch of a page as a model is shown it."""

    line: int
    """Number of the line that failed; -1 for ink that no line covers, or the whole page."""
    place: Place
    picture: Picture
    extent: Extent


@dataclass(frozen=True, slots=True, eq=False)
class First:
    """What tier 1 made of a page; places in the pixels of the page as it was prepared."""

    read: PageRead
    """As it would be without the tiers above."""
    page: Prepared
    """Its pixels are gone."""
    lines: tuple[Line, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    special: str = ""
    """tables, handwriting or scripts, where the page calls for a model that knows these."""
    crops: tuple[Shown, ...] = ()
    """The lines that failed; empty on an accepted page, and where the whole page is shown."""
    whole: Shown | None = None
    values: tuple[tuple[Doubt, Picture], ...] = ()
    """The doubtful values, each with its place enlarged."""


def first(read: Recognised, provenance: PageRead, lines: tuple[Line, ...], doubts: tuple[Doubt, ...]) -> First:
    """What is kept; `lines` are those of `read`, with their doubtful words marked."""
    whole: Shown | None = None
    crops: tuple[Shown, ...] = ()
    if read.band != "accepted":
        if _needs_whole(read):
            whole = _whole(read, provenance.page)
        else:
            crops = tuple(_crop(read, line, place, provenance.page) for line, place in _failing(read))
    return First(
        provenance,
        replace(read.page, pixels=_NOTHING),
        lines,
        doubts,
        special_reason(read),
        crops,
        whole,
        tuple(
            (doubt, Picture(_enlarged(read.page, lines[doubt.line].words[doubt.word].place), float(DPI)))
            for doubt in [doubt for doubt in doubts if not doubt.settled][:_VALUES_MAX]
        ),
    )


def special_reason(read: Recognised) -> str:
    """What makes a page one for a specialised model; "" where nothing does."""
    if read.coverage.rulings >= 4:
        return "tables"
    if read.script and read.script != "Latin":
        return "scripts"
    unsure = read.lines and read.confidence < 50 and read.coverage.share > 0.8
    return "handwriting" if unsure else ""


def _needs_whole(read: Recognised) -> bool:
    return not read.lines or read.coverage.share < _WHOLE_BELOW or len(_failing(read)) > _CROPS_MAX


def _failing(read: Recognised) -> list[tuple[int, Place]]:
    """(number of the line, its place) of what was read badly; -1 for ink that no line covers."""
    bad = [
        (number, line.place)
        for number, line in enumerate(read.lines)
        if fmean(word.confidence for word in line.words) < _LINE_FAILED
    ]
    return bad + [(-1, place) for place in read.coverage.missed]


def _whole(read: Recognised, page: int) -> Shown:
    height, width = read.page.pixels.shape
    step = max(1.0, max(height, width) / _LONGEST)
    pixels = read.page.pixels if step == 1.0 else _shrunk(read.page.pixels, step)
    place = Place(0, 0, float(width), float(height))
    return Shown(-1, place, Picture(pixels, DPI / step, page), Extent(read.coverage.stretches, whole=True))


def _crop(read: Recognised, line: int, place: Place, page: int) -> Shown:
    pixels = _cut(read.page, place, _CROP_MARGIN)
    return Shown(line, place, Picture(pixels, float(DPI), page), Extent((place,)))


def _cut(page: Prepared, place: Place, margin: int) -> Gray:
    top, left = max(0, int(place.top) - margin), max(0, int(place.left) - margin)
    return page.pixels[top : int(place.bottom) + margin, left : int(place.right) + margin].copy()


def _enlarged(page: Prepared, place: Place) -> Gray:
    return _cut(page, place, _VALUE_MARGIN).repeat(2, axis=0).repeat(2, axis=1)


def _shrunk(pixels: Gray, step: float) -> Gray:
    """A page made smaller by this factor: each dot the mean of those that it stands for."""
    rows, columns = (np.arange(0, int(side / step) + 1) * step for side in pixels.shape)
    sums = np.pad(pixels.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    at, over = rows.astype(np.int64), columns.astype(np.int64)
    part = sums[np.ix_(at[1:], over[1:])] - sums[np.ix_(at[:-1], over[1:])]
    part += sums[np.ix_(at[:-1], over[:-1])] - sums[np.ix_(at[1:], over[:-1])]
    area = np.diff(at)[:, None] * np.diff(over)[None, :]
    shrunk: Gray = np.clip(part / area, 0, 255).astype(np.uint8)
    return shrunk
