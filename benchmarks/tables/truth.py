"""The tables, before any program prints them: what stands in which cell, and how it is to look. `seed` decides all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.scans.texts import TEXTS

RULED = ("grid",)
UNRULED = ("lines", "booktabs", "shade", "bare")
"""lines: one under each row. booktabs: above, under the head, below. shade: a gray head. bare: nothing at all."""

SHAPES = ("plain", "wrapped", "merged", "long", "beside")
"""wrapped: a cell of several lines. merged: a head over two columns, and a cell over two rows. long: over a page's end.
beside: text to the right of it."""

LANGUAGES = ("de", "fr", "el", "pl")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, where it begins."""

    text: str
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class Table:
    """A table: `style` and `shape`, and its rows, each with the cells that begin in it; `heads` rows are its head."""

    style: str
    shape: str
    rows: list[list[Cell]]
    columns: int
    heads: int = 1

    @property
    def texts(self) -> list[list[str]]:
        """The words of the cells, row by row."""
        return [[cell.text for cell in row if cell.text] for row in self.rows]


@dataclass(slots=True)
class Part:
    """What stands one under the other: a heading, a paragraph, a table with the text beside it."""

    heading: str = ""
    text: str = ""
    table: Table | None = None
    beside: str = ""


@dataclass(slots=True)
class Manuscript:
    """A document before it is printed."""

    language: str
    parts: list[Part] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """In order."""
        return [part.table for part in self.parts if part.table is not None]


class _Writer:
    """Words of a language, by chance."""

    def __init__(self, language: str, chance: random.Random) -> None:
        self.chance = chance
        self._words = [word.strip("«»„“”(),.;:’'") for word in TEXTS[language].split()]
        self._words = [word for word in self._words if word.isalpha() and len(word) > 1]

    def words(self, least: int, most: int) -> str:
        return " ".join(self.chance.choice(self._words) for _ in range(self.chance.randint(least, most)))

    def sentence(self, least: int, most: int) -> str:
        text = self.words(least, most)
        return f"{text[0].upper()}{text[1:]}."

    def cell(self, kind: str) -> str:
        if kind == "number":
            return f"{self.chance.randint(100, 99999) / 100:.2f}".replace(".", ",")
        if kind == "date":
            return f"{self.chance.randint(1, 28):02d}.{self.chance.randint(1, 12):02d}.2026"
        return self.words(1, 2) if kind == "words" else f"{self.chance.choice('ABCDE')}-{self.chance.randint(100, 999)}"


def manuscripts(seed: int) -> Iterator[Manuscript]:
    """One a language, each with every style in every shape."""
    for at, language in enumerate(LANGUAGES):
        chance = random.Random(seed * 100 + at)
        writer = _Writer(language, chance)
        made = Manuscript(language)
        asked = [(style, shape) for style in (*RULED, *RULED, *UNRULED) for shape in SHAPES]
        chance.shuffle(asked)
        for style, shape in asked:
            made.parts.append(Part(heading=writer.words(2, 4).capitalize()))
            made.parts += [Part(text=writer.sentence(30, 80)) for _ in range(chance.randint(1, 2))]
            table = _table(writer, style, shape)
            beside = writer.sentence(40, 60) if shape == "beside" else ""
            made.parts += [Part(table=table, beside=beside), Part(text=writer.sentence(30, 50))]
        yield made


def _table(writer: _Writer, style: str, shape: str) -> Table:
    chance = writer.chance
    columns = chance.randint(2, 3) if shape == "beside" else chance.randint(3, 5)
    kinds = ["words", *(chance.choice(("number", "number", "date", "words", "code")) for _ in range(columns - 1))]
    count = {"long": chance.randint(45, 110), "beside": chance.randint(4, 6)}.get(shape, chance.randint(3, 9))
    rows = [[Cell(writer.cell(kind)) for kind in kinds] for _ in range(count)]
    head = [Cell(writer.words(1, 1).capitalize()) for _ in range(columns)]
    if shape == "wrapped":
        for row in rows:
            row[-1] = Cell(writer.words(9, 16))
    if shape != "merged":
        return Table(style, shape, [head, *rows], columns)
    upper = [Cell(""), *(Cell("") for _ in range(columns - 3)), Cell(writer.words(1, 2).capitalize(), columns=2)]
    at = chance.randrange(0, count - 1)
    rows[at][0] = Cell(rows[at][0].text, rows=2)
    rows[at + 1] = rows[at + 1][1:]
    return Table(style, shape, [upper, head, *rows], columns, heads=2)
