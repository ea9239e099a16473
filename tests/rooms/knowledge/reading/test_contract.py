"""The contract of reading: one small handbook in every format, and what each extractor must find in it.

Six headings, a table of four rows with French, German and Greek words, two lists, code. An extractor is one more
line in EXTRACTORS; what it does not read it leaves out of its set of formats, and that is seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bastide.knowledge.reading import Node, Reading, read
from tests.rooms.knowledge.reading.office import (
    CODE,
    HEADINGS,
    POINTS,
    PROSE,
    STEPS,
    TABLE,
    contract_docx,
    contract_epub,
    contract_html,
    contract_markdown,
    contract_odp,
    contract_ods,
    contract_odt,
    contract_pptx,
    contract_xlsx,
    mail,
    zip_of,
)

Extract = Callable[[str, bytes], Reading]


@dataclass(frozen=True)
class Case:
    """One format, and which parts of the contract it has a way to say."""

    name: str
    make: Callable[[], bytes]
    parts: frozenset[str]
    levels: int = 3
    """How many levels of headings it knows."""
    above: tuple[str, ...] = ()
    """Headings that stand before those of the handbook."""


_ALL = frozenset({"lists", "code", "numbered", "prose"})
CASES = [
    Case("a.docx", contract_docx, _ALL),
    Case("a.odt", contract_odt, _ALL - {"numbered"}),
    Case("a.html", lambda: contract_html().encode(), _ALL),
    Case("a.md", lambda: contract_markdown().encode(), _ALL),
    Case("a.epub", contract_epub, _ALL),
    Case("a.pptx", contract_pptx, frozenset({"lists", "code", "notes"}), levels=1),
    Case("a.odp", contract_odp, frozenset({"lists", "notes"}), levels=1),
    Case("a.xlsx", contract_xlsx, frozenset(), levels=1),
    Case("a.ods", contract_ods, frozenset(), levels=1),
    Case("a.eml", lambda: mail(page=contract_html()), _ALL, above=("Your lease",)),
    Case("b.eml", lambda: mail(files=[("l.docx", contract_docx())]), _ALL, above=("Your lease", "l.docx")),
    Case("a.zip", lambda: zip_of({"one/l.odt": contract_odt()}), _ALL - {"numbered"}, above=("one/l.odt",)),
]
EXTRACTORS: dict[str, tuple[Extract, frozenset[str]]] = {
    "own": (read, frozenset(case.name for case in CASES)),
}
"""Name: what reads, and the cases that it claims to read."""
RUNS = [(extractor, case) for extractor, (_, names) in EXTRACTORS.items() for case in CASES if case.name in names]


@pytest.fixture(params=RUNS, ids=lambda run: f"{run[0]}-{run[1].name}", scope="module")
def run(request: pytest.FixtureRequest) -> tuple[Case, Reading]:
    extractor, case = request.param
    return case, EXTRACTORS[extractor][0](case.name, case.make())


def _said(reading: Reading, kind: str) -> list[str]:
    return [_own(reading, node) for node in reading.nodes if node.kind == kind]


def _own(reading: Reading, node: Node) -> str:
    following = node.ord + 1
    end = min(node.end, reading.nodes[following].start) if following < len(reading.nodes) else node.end
    return reading.text[node.start : end].rstrip()


def test_six_headings_in_order_and_at_their_levels(run: tuple[Case, Reading]) -> None:
    case, reading = run
    sections = [node for node in reading.nodes if node.kind == "section"]
    assert [node.title for node in sections] == [*case.above, *(title for _, title in HEADINGS)]
    deeper = len(case.above)
    expected = [min(level, case.levels) + deeper for level, _ in HEADINGS]
    assert [node.level for node in sections[deeper:]] == expected


def test_a_table_of_four_rows_with_its_cells(run: tuple[Case, Reading]) -> None:
    _, reading = run
    rows = [node for node in reading.nodes if node.kind == "table_row"]
    assert len(rows) == 4
    for row, words in zip(rows, TABLE, strict=True):
        line = reading.text[row.start : row.end]
        assert [cell.column for cell in row.cells] == [0, 1, 2]
        assert [line[cell.start : cell.end] for cell in row.cells] == [" ".join(word.split()) for word in words]
    assert [[cell.header for cell in row.cells] for row in rows] == [[True] * 3, *[[False] * 3] * 3]


def test_the_table_stands_in_its_section(run: tuple[Case, Reading]) -> None:
    _, reading = run
    table = next(node for node in reading.nodes if node.kind == "table")
    assert reading.nodes[table.parent or 0].title == HEADINGS[3][1]


def test_lists_code_and_notes(run: tuple[Case, Reading]) -> None:
    case, reading = run
    items = _said(reading, "list_item")
    if "lists" in case.parts:
        bare = [item.partition(". ")[2] if item[0].isdecimal() else item for item in items]
        assert bare == [*POINTS, *STEPS]
    if "numbered" in case.parts:
        assert items[-2:] == [f"{n}. {step}" for n, step in enumerate(STEPS, 1)]
    if "code" in case.parts:
        assert _said(reading, "code") == [CODE]
    if "notes" in case.parts:
        assert _said(reading, "notes") == [f"Say slowly: {title}." for _, title in HEADINGS]
    for words in (*POINTS, *STEPS):
        assert reading.text.count(words) == 1


def test_words_of_the_body_and_nothing_of_scripts(run: tuple[Case, Reading]) -> None:
    case, reading = run
    if "prose" in case.parts:
        assert reading.text.count(PROSE) == 6
    assert "alert(" not in reading.text
    assert "x:y" not in reading.text
    assert reading.language == "en"
