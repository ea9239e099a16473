"""Shapes: the connected patches of ink on a page, found with numpy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.reading.ocr.values import Gray

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Connected patches, one entry each: edges in pixels (right and bottom are past the last one) and ink."""

    left: Whole
    top: Whole
    right: Whole
    bottom: Whole
    ink: Whole
    runs: NDArray[np.int64]
    """(n, 4): row, first column, column past the last, shape; what the patches are made of."""

    def paint(self, chosen: Mask, shape: tuple[int, ...]) -> Mask:
        """A mask of the chosen patches only."""
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        kept = self.runs[chosen[self.runs[:, 3]]]
        steps[kept[:, 0], kept[:, 1]] += 1
        np.add.at(steps, (kept[:, 0], kept[:, 2]), -1)
        return np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1].astype(bool)


def threshold(pixels: Gray) -> int:
    """The shade that parts ink from paper best: Otsu, IEEE Trans. SMC 9 (1979) 62-66."""
    counts = np.bincount(pixels.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    sums = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return int(np.argmax(np.nan_to_num(between)))


def shapes(mask: Mask) -> Shapes:
    """The patches of a mask; pixels that touch at a corner belong together.

    Runs of ink in neighbouring rows are joined where they touch, and the joints followed until nothing changes.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    if not len(rows):
        none = np.zeros(0, np.int64)
        return Shapes(none, none, none, none, none, np.zeros((0, 4), np.int64))
    stride = width + 2
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts, side="left")
    past = np.searchsorted(rows * stride + starts, below + ends, side="right")
    touching = np.maximum(past - first, 0)
    one = np.repeat(np.arange(len(rows)), touching)
    offset = np.arange(len(one)) - np.repeat(np.cumsum(touching) - touching, touching)
    other = np.repeat(first, touching) + offset
    label = _joined(len(rows), one, other)
    _, label = np.unique(label, return_inverse=True)
    count = int(label.max()) + 1
    left = np.full(count, width, np.int64)
    right, bottom = np.zeros(count, np.int64), np.zeros(count, np.int64)
    top = np.full(count, height, np.int64)
    np.minimum.at(left, label, starts)
    np.maximum.at(right, label, ends)
    np.minimum.at(top, label, rows)
    np.maximum.at(bottom, label, rows + 1)
    ink = np.bincount(label, weights=ends - starts, minlength=count).astype(np.int64)
    return Shapes(left, top, right, bottom, ink, np.stack([rows, starts, ends, label], axis=1))


def _joined(count: int, one: Whole, other: Whole) -> Whole:
    """The least number that each of `count` things is joined with, over any number of joints."""
    label = np.arange(count)
    while True:
        before = label.copy()
        least = np.minimum(label[one], label[other])
        np.minimum.at(label, label[one], least)
        np.minimum.at(label, label[other], least)
        np.minimum.at(label, one, least)
        np.minimum.at(label, other, least)
        label = label[label]
        if np.array_equal(before, label):
            return label
