"""Printed pages: what stands on them, before anybody says what it means.

Lengths are points from the lower left corner of the page, turned so that most of its text stands upright; `box` gives
places as a reader sees the page.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import NamedTuple

from bastide.knowledge.reading.values import Box

BOLD, TYPED, MATHS, ITALIC, UNSEEN = 1, 2, 4, 8, 16
"""What the look of a word counts: these, added up."""


class Word(NamedTuple):
    """One word of a line; `start` is its place in the line's text."""

    start: int
    left: float
    right: float
    look: int = 0


@dataclass(slots=True)
class Line:
    """One printed line."""

    text: str
    words: list[Word]
    bottom: float
    top: float
    size: float
    hyphen: bool = False
    """Whether a hyphen at its end parts a word."""
    note: bool = False
    """Whether it belongs to a note; at first, whether a raised number begins it."""
    upright: bool = True
    page: int = 0
    heads: bool = False
    """Whether its words make it a heading."""
    grid: "Grid | None" = None
    """The table that stands in this place."""
    left: float = 0.0
    right: float = 0.0
    look: int = 0
    """The looks of all its words together."""

    def __post_init__(self) -> None:
        _, lefts, rights, looks = zip(*self.words, strict=True)
        self.left, self.right = min(lefts), max(rights)
        self.look = reduce(or_, set(looks))

    def looks(self, look: int) -> bool:
        """Whether all its words are bold, typed, ..."""
        return bool(self.look & look) and all(word.look & look for word in self.words)

    def bold(self) -> bool:
        """Whether it is bold, but for names in typewriter type."""
        return bool(self.words[0].look & BOLD) and all(word.look & (BOLD | TYPED) for word in self.words)

    def share(self, look: int) -> float:
        """The share of its characters in words of that look, 0 to 1."""
        if not self.look & look:
            return 0.0
        ends = [word.start for word in self.words[1:]] + [len(self.text)]
        letters = marked = 0
        for word, end in zip(self.words, ends, strict=True):
            letters += end - word.start
            marked += end - word.start if word.look & look else 0
        return marked / max(letters, 1)

    def word_text(self, at: int) -> str:
        """The text of its word number `at`."""
        end = self.words[at + 1].start if at + 1 < len(self.words) else len(self.text)
        return self.text[self.words[at].start : end].strip()


@dataclass(slots=True)
class GridCell:
    """One cell of a table as it stands on the page."""

    text: str
    column: int
    span: int = 1
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """(left, bottom, right, top)."""


@dataclass(slots=True)
class Grid:
    """A table as it stands on one page."""

    rows: list[list[GridCell]]
    columns: list[float]
    """The left edge of each column."""
    box: tuple[float, float, float, float]
    headed: bool
    """Whether its first row names the columns."""
    ruled: bool
    confidence: float


@dataclass(slots=True)
class Sheet:
    """One page."""

    page: int
    width: float
    height: float
    """As a reader sees it."""
    turn: int = 0
    """By how many degrees it was turned clockwise, so that its text stands upright."""
    lines: list[Line] = field(default_factory=list)
    rules: list[tuple[float, float, float, float]] = field(default_factory=list)
    """(left, bottom, right, top) of drawn lines, level or upright."""
    images: list[tuple[float, float, float, float]] = field(default_factory=list)
    source: str = ""
    """"ocr" where it was recognised."""
    unmapped: float = 0.0
    """Share of its letters that mean nothing outside their fonts."""

    @property
    def wide(self) -> float:
        """Its width as it stands upright."""
        return self.height if self.turn % 180 else self.width

    @property
    def high(self) -> float:
        """Its height as it stands upright."""
        return self.width if self.turn % 180 else self.height

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """A place on it, as a reader sees the page."""
        if self.turn == 90:
            edges = self.width - top, self.height - right, self.width - bottom, self.height - left
        elif self.turn == 180:
            edges = self.width - right, bottom, self.width - left, top
        elif self.turn == 270:
            edges = bottom, left, top, right
        else:
            edges = left, self.height - top, right, self.height - bottom
        return Box(self.page, *(round(edge, 1) for edge in edges))

    def box_of(self, lines: Iterable[Line]) -> Box:
        """The place of some lines of it."""
        held = list(lines)
        return self.box(
            min(line.left for line in held),
            min(line.bottom for line in held),
            max(line.right for line in held),
            max(line.top for line in held),
        )

    @property
    def text(self) -> str:
        """Its lines, one below the other."""
        return "\n".join(line.text for line in self.lines)

    def pictured(self) -> bool:
        """Whether one picture covers it, as in a scan."""
        area = self.wide * self.high
        return any((right - left) * (top - bottom) > 0.8 * area for left, bottom, right, top in self.images)
