"""Tables of digital PDFs, ours and xberg's: `python -m benchmarks.tables [--seed N] [--keep FOLDER] [--missed]`.

A table is found where one table of the reading has nine tenths of its cells, each with exactly its words, in rows as
they were; so a table over a page's end must come out as one. Precision is the share of the given tables that are such a
find. Cells: of those that were written, how many stand in their row; of those that were read, how many are right. With
which seeds the rules were looked at is said in decision 9; another seed is held out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bastide.knowledge.reading import media, read
from bastide.knowledge.reading.documents import READERS
from bastide.knowledge.reading.extractors import Extractor, OwnReader
from bastide.knowledge.reading.xberg_reading import XbergExtractor
from benchmarks.gates import at_least
from benchmarks.pages.__main__ import _tables as given_in
from benchmarks.tables.printing import PROGRAMS
from benchmarks.tables.truth import RULED, Manuscript, manuscripts

Rows = list[list[str]]


@dataclass(slots=True)
class Count:
    """What was found of some tables."""

    tables: int = 0
    found: int = 0
    cells: int = 0
    right: int = 0

    def add(self, cells: int, right: int, *, found: bool) -> None:
        """One more table."""
        self.tables += 1
        self.found += found
        self.cells += cells
        self.right += right


@dataclass(slots=True)
class Sums:
    """Of one extractor."""

    by: dict[tuple[str, ...], Count] = field(default_factory=dict)
    given: int = 0
    given_cells: int = 0


def main() -> None:
    """Prints a table for each extractor, then the gates."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seed", type=int, default=2026)
    asked.add_argument("--keep", type=Path, help="where the printed files stay")
    asked.add_argument("--missed", action="store_true", help="say which were not found")
    asked.add_argument("--programs", default=",".join(PROGRAMS))
    wanted = asked.parse_args()
    extractors: list[Extractor] = [OwnReader(media.PDF, READERS[media.PDF])]
    extractors += [XbergExtractor()] if XbergExtractor.installed() else []
    sums = {extractor.name: Sums() for extractor in extractors}
    with tempfile.TemporaryDirectory() as folder:
        for made in manuscripts(wanted.seed):
            for program in wanted.programs.split(","):
                place = (wanted.keep or Path(folder)) / f"{program}-{made.language}-{wanted.seed}.pdf"
                PROGRAMS[program](made, place)
                for extractor in extractors:
                    _measure(place, program, made, extractor, sums[extractor.name], missed=wanted.missed)
    for name, one in sums.items():
        _say(name, one)


def _measure(place: Path, program: str, made: Manuscript, extractor: Extractor, sums: Sums, *, missed: bool) -> None:
    given = [
        rows for rows in map(_filled, given_in(read(place.name, place.read_bytes(), extractors=(extractor,)))) if rows
    ]
    sums.given += len(given)
    sums.given_cells += sum(map(len, (row for rows in given for row in rows)))
    right_of = _matched([table.texts for table in made.tables], given)
    for number, table in enumerate(made.tables):
        cells, right = sum(map(len, table.texts)), right_of[number]
        found = right >= 0.9 * cells
        kind = "ruled" if table.style in RULED else "unruled"
        for key in ((), (table.style,), ("in shape", table.shape), ("by", program), (made.language,)):
            sums.by.setdefault((kind, *key), Count()).add(cells, right, found=found)
        if missed and not found:
            print(f"  {place.name} {number + 1}: {table.style}, {table.shape}: {right} of {cells} cells")


def _matched(written: list[Rows], given: list[Rows]) -> list[int]:
    """How many cells are right of each table, the best pair first; a given table stands for one."""
    right_of = [0] * len(written)
    pairs = [(_right(rows, other), at, to) for at, rows in enumerate(written) for to, other in enumerate(given)]
    left, free = set(range(len(written))), set(range(len(given)))
    for right, at, to in sorted(pairs, key=lambda pair: (-pair[0] / sum(map(len, written[pair[1]])), *pair[1:])):
        if right and at in left and to in free:
            right_of[at] = right
            left.remove(at)
            free.remove(to)
    return right_of


def _filled(rows: Rows) -> Rows:
    return [filled for row in rows if (filled := [text for text in row if text])]


def _right(written: Rows, read_: Rows) -> int:
    """How many cells of what was written stand in a row as they did, no row of the reading taken twice."""
    free = list(read_)
    right = 0
    for row in written:
        best = max(free, key=lambda other: _alike(row, other), default=None)
        if best is not None and (same := _alike(row, best)):
            right += same
            free.remove(best)
    return right


def _alike(row: list[str], other: list[str]) -> int:
    return (Counter(row) & Counter(other)).total()


def _say(name: str, sums: Sums) -> None:
    print(f"\n{name}: {'':24} found        cells")
    for key, count in sorted(sums.by.items()):
        line = f"  {' '.join(key):28} {count.found:4} of {count.tables:<4}  {count.right / max(count.cells, 1):.3f}"
        print(line)
    found = sum(count.found for key, count in sums.by.items() if len(key) == 1)
    right = sum(count.right for key, count in sums.by.items() if len(key) == 1)
    print(f"  precision: tables {found / max(sums.given, 1):.3f} ({found} of {sums.given} given), ", end="")
    print(f"cells {right / max(sums.given_cells, 1):.3f}")
    for kind, gate in (("ruled", 0.9), ("unruled", 0.6)):
        count = sums.by[(kind,)]
        at_least(f"{name} {kind} tables found", count.found / max(count.tables, 1), gate)


if __name__ == "__main__":
    main()
