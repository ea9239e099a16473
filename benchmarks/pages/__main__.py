"""Extraction of digital PDFs, ours and xberg's: `python -m benchmarks.pages [--seed N] [FILE.pdf ...]`.

Headings against the outline, which is taken out of the file before it is read; tables against what was written (found =
nine tenths of its cells stand together in rows); pages per second of computing, the processes that read included.
"""

from __future__ import annotations

import argparse
import io
import re
import resource
import tempfile
from collections import defaultdict
from pathlib import Path

import pypdfium2

from bastide.knowledge.reading import Reading, media, read
from bastide.knowledge.reading.documents import READERS
from bastide.knowledge.reading.extractors import Extractor, OwnReader
from bastide.knowledge.reading.headings import bare
from bastide.knowledge.reading.xberg_reading import XbergExtractor
from benchmarks.pages.corpus import RULED, Table, make

Entry = tuple[str, int]
_NUMBER = re.compile(r"(?:[a-z]?\d{1,8}|[^\W\d]{4,9}(?:[a-z]|\d{1,3}))")
"""What may stand before a heading's words, once its stops are gone: "1.2.2", "A.13", "Chapter 6"."""
_SECTION = re.compile(r"(\d{1,3}(?:\.\d{1,3})*)\.?\s+\S")


def main() -> None:
    """Prints one line a file and extractor."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seed", type=int, default=2026)
    asked.add_argument("files", nargs="*", type=Path)
    given = asked.parse_args()
    extractors: list[Extractor] = [OwnReader(media.PDF, READERS[media.PDF])]
    extractors += [XbergExtractor()] if XbergExtractor.installed() else []
    with tempfile.TemporaryDirectory() as folder:
        made = {one.path: one.tables for one in make(Path(folder), given.seed)}
        for path in (*made, *given.files):
            for extractor in extractors:
                _measure(path, made.get(path, []), extractor)


def _measure(path: Path, tables: list[tuple[str, Table]], extractor: Extractor) -> None:
    data = path.read_bytes()
    wanted, hidden = _outline(data), _without_outline(data)
    begun = _computed()
    reading = read(path.name, hidden, extractors=(extractor,))
    took = _computed() - begun
    found = [(node.title, node.page or 0) for node in reading.nodes if node.kind == "section"]
    recall, precision, counted = _headings(found, wanted)
    line = f"{path.name:18} {extractor.name:8} {reading.pages:5} pages {(reading.pages or 0) / took:6.1f}/s"
    line += f"  headings recall {recall:.3f} precision {precision:.3f}, numbered ones right {counted:.3f}"
    if tables:
        given = _tables(reading)
        for name, styles in (("ruled", RULED), ("unruled", {style for style, _ in tables} - RULED)):
            kind = [table for style, table in tables if style in styles]
            if kind:
                line += f"  {name} {sum(_is_found(table, given) for table in kind)}/{len(kind)}"
        line += f", {len(given)} more given"
    print(line, flush=True)


def _computed() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _outline(data: bytes) -> list[Entry]:
    document = pypdfium2.PdfDocument(data)
    found = ((" ".join(item.get_title().split()), item.get_dest()) for item in document.get_toc())
    return [(title, (place.get_index() or 0) + 1) for title, place in found if title and place is not None]


def _without_outline(data: bytes) -> bytes:
    bare_copy = pypdfium2.PdfDocument.new()
    bare_copy.import_pages(pypdfium2.PdfDocument(data))
    out = io.BytesIO()
    bare_copy.save(out)
    return out.getvalue()


def _headings(found: list[Entry], wanted: list[Entry]) -> tuple[float, float, float]:
    """(recall, precision, precision where the next number of a sequence is right even if no outline has it).

    A heading may have its number before it and stand a page off. Many outlines are less deep than what is numbered.
    """
    on_page: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for at, (title, page) in enumerate(found):
        on_page[page].append((bare(title), at))
    right: set[int] = set()
    for title, page in wanted:
        words = bare(title)
        for near in (page, page + 1, page - 1):
            hit = next((one for one in on_page[near] if _says(one[0], words)), None)
            if hit is not None:
                on_page[near].remove(hit)
                right.add(hit[1])
                break
    numbers = {number[1] for title, _ in found if (number := _SECTION.match(title))}
    more = sum(_next(title, numbers) for at, (title, _) in enumerate(found) if at not in right)
    all_ = max(len(found), 1)
    return len(right) / max(len(wanted), 1), len(right) / all_, (len(right) + more) / all_


def _next(title: str, numbers: set[str]) -> bool:
    """Whether a title bears the number that follows another's: "2.3" that of "2.2", "2.3.1" that of "2.3"."""
    number = _SECTION.match(title)
    over, _, last = number[1].rpartition(".") if number is not None else ("", "", "")
    return bool(over) and (over if last == "1" else f"{over}.{int(last) - 1}") in numbers


def _says(found: str, wanted: str) -> bool:
    if found == wanted or (len(wanted) > 20 and found.startswith(wanted)):
        return True
    before = found.removesuffix(wanted)
    return before != found and (_NUMBER.fullmatch(before) is not None or (len(wanted) > 3 and len(before) <= 14))


def _tables(reading: Reading) -> list[Table]:
    found: list[Table] = []
    for node in reading.nodes:
        if node.kind == "table":
            found.append([])
        elif node.kind == "table_row":
            row = reading.text[node.start : node.end]
            found[-1].append([" ".join(row[cell.start : cell.end].split()) for cell in node.cells])
    return found


def _is_found(table: Table, given: list[Table]) -> bool:
    cells = sum(map(len, table))
    for one in given:
        right = sum(
            max((sum(a == b for a, b in zip(row, other, strict=False)) for other in one), default=0) for row in table
        )
        if right >= 0.9 * cells:
            given.remove(one)
            return True
    return False


if __name__ == "__main__":
    main()
