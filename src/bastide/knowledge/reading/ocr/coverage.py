"""Ink coverage: how much of the ink that looks like lines of text lies within the words that were read.

Tesseract leaves out lines that it cannot cut into words and is sure of the rest, so its confidence says nothing about
what is missing. Ink does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bastide.knowledge.reading.ocr.shapes import Mask, shapes, threshold
from bastide.knowledge.reading.ocr.values import Gray, Place

_SHRINK = 3
"""The page of 300 dpi is looked at with 100."""
_LETTER_LOW, _LETTER_HIGH = 3, 38
"""Height of a letter, in pixels at 100 dpi: from a small one of 4 points to a capital of 36."""
_JOIN = 14
"""Gap within a line that is bridged: two blanks of 11 points."""
_LETTERS_MIN = 4
_MARGIN = 4
"""Pixels at 300 dpi by which a word's box is widened: its edges are rarely exact."""
_RULE = 90
"""A stroke longer than this at 100 dpi and thin is a ruling."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the ink of a page says."""

    share: float
    """Of the ink in text-like lines, what lies in words; 1 where there is no such ink."""
    ink: int
    """Of text-like lines, in pixels at 100 dpi; 0 on a blank page."""
    missed: tuple[Place, ...]
    """Stretches of text-like ink that are mostly outside all words, in pixels of the page that was read."""
    rulings: int
    """Long thin strokes: a table has several."""
    stretches: tuple[Place, ...] = ()
    """All stretches of text-like ink, in the same pixels."""


def coverage(pixels: Gray, words: Sequence[Place]) -> Coverage:
    """`pixels` at about 300 dpi, ink dark; `words` in the same pixels."""
    height, width = (side // _SHRINK * _SHRINK for side in pixels.shape)
    cells = pixels[:height, :width].reshape(height // _SHRINK, _SHRINK, width // _SHRINK, _SHRINK).mean(axis=(1, 3))
    level = threshold(pixels[::_SHRINK, ::_SHRINK])
    ink: Mask = cells <= level + (255 - level) * 0.25
    letters, rulings = _letters(ink)
    lines = shapes(_bridged(letters))
    tall, wide = lines.bottom - lines.top, lines.right - lines.left
    like_text = (tall <= 2 * _LETTER_HIGH) & (wide >= 2 * tall) & (wide >= 12)
    text = letters & lines.paint(like_text, ink.shape)
    read = _boxes(words, ink.shape)
    total = int(text.sum())
    if not total:
        return Coverage(1.0, 0, (), rulings)
    outside = text & ~read
    owner = _owners(lines.runs, text.shape)
    lost = np.bincount(owner[outside], minlength=len(tall) + 1)[1:]
    whole = np.bincount(owner[text], minlength=len(tall) + 1)[1:]
    inked = like_text & (whole >= 20)

    def places(chosen: Mask) -> tuple[Place, ...]:
        edges = (lines.left, lines.top, lines.right, lines.bottom)
        return tuple(Place(*(float(_SHRINK * int(edge[i])) for edge in edges)) for i in np.flatnonzero(chosen))

    missed = places(inked & (lost > 0.5 * whole))
    return Coverage(1 - int(outside.sum()) / total, total, missed, rulings, places(inked))


def _letters(ink: Mask) -> tuple[Mask, int]:
    """Ink of patches that may be letters or words run together, and the number of rulings."""
    found = shapes(ink)
    tall, wide = found.bottom - found.top, found.right - found.left
    area = np.maximum(tall * wide, 1)
    like = (tall >= _LETTER_LOW) & (tall <= _LETTER_HIGH) & (wide <= 12 * tall) & (found.ink >= 0.08 * area)
    rulings = int((((wide > _RULE) & (tall <= 6)) | ((tall > _RULE) & (wide <= 6))).sum())
    boxed = (wide > _RULE) & (tall > _RULE) & (found.ink < 0.08 * area)
    return found.paint(like, ink.shape), rulings + 4 * int(boxed.sum())


def _bridged(mask: Mask) -> Mask:
    """Every row of ink with its short gaps filled."""
    steps = np.zeros((mask.shape[0], mask.shape[1] + _JOIN + 1), np.int32)
    steps[:, : mask.shape[1]] += mask
    steps[:, _JOIN : _JOIN + mask.shape[1]] -= mask
    return np.cumsum(steps, axis=1)[:, : mask.shape[1]] > 0


def _boxes(words: Sequence[Place], shape: tuple[int, ...]) -> Mask:
    read = np.zeros(shape, bool)
    for word in words:
        top, bottom = (max(0, int(y) // _SHRINK) for y in (word.top - _MARGIN, word.bottom + _MARGIN))
        left, right = (max(0, int(x) // _SHRINK) for x in (word.left - _MARGIN, word.right + _MARGIN))
        read[top : bottom + 1, left : right + 1] = True
    return read


def _owners(
    runs: np.ndarray[tuple[int, ...], np.dtype[np.int64]], shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """For each pixel the number of its patch, counted from 1; 0 for none."""
    steps = np.zeros((shape[0], shape[1] + 1), np.int64)
    np.add.at(steps, (runs[:, 0], runs[:, 1]), runs[:, 3] + 1)
    np.add.at(steps, (runs[:, 0], runs[:, 2]), -(runs[:, 3] + 1))
    return np.cumsum(steps, axis=1)[:, :-1]
