"""Running heads and feet: lines that come back at the edges of pages are marks, not text."""

import re
from collections import Counter, defaultdict

from bastide.knowledge.reading.marking import marked
from bastide.knowledge.reading.printed import Line, Sheet
from bastide.knowledge.reading.tables import in_columns

_BAND = 0.115
"""Share of the page's height, at its top and at its bottom, where running heads stand."""
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\W*(?:\w{1,8}\.?\s)?\d{1,5}(?:\s?(?:/|of|von|van|de|sur|av|z|di)\s?\d{1,5})?\W*|[ivxlc]{1,7}", re.I
)
_ROMAN = re.compile(r"[ivxl]{1,7}")
_AT_ENDS = re.compile(r"^\d{1,5}(?=\s|$)|(?<=\s)\d{1,5}$")
_SHARED_LEAST = 8
"""Characters at one end that two running heads have in common, at least."""
_NEAR_PAGES = 2


def take_marks(sheets: list[Sheet], body: float) -> list[str]:
    """Takes the running heads and page numbers off the pages; returns each kind of them once.

    A classification marking is one wherever it stands by itself at an edge, on however few pages.
    """
    seen: Counter[str] = Counter()
    edges: list[list[Line]] = []
    for sheet in sheets:
        low, high = sheet.high * _BAND, sheet.high * (1 - _BAND)
        edge = [line for line in sheet.lines if line.upright and (line.top < low or line.bottom > high)]
        tabled = in_columns(_edge_and_next(sheet.lines, low, high)) if edge else set()
        edge = [line for line in edge if id(line) not in tabled or _classifies(line)]
        # "2 Scope" in large type is a heading, however many pages begin with a number and a word
        edge = [line for line in edge if line.size < 1.12 * body or not _DIGITS.search(line.text) or marked(line.text)]
        edges.append(edge)
        seen.update({_kind(line) for line in edge})
    enough = max(2 if len(sheets) <= 4 else 3, round(0.3 * len(sheets)))
    counted = _page_offset(edges)
    heads = _running(sheets, edges)
    marks: dict[str, str] = {}
    for sheet, edge in zip(sheets, edges, strict=True):
        gone = {
            id(line)
            for line in edge
            if seen[_kind(line)] >= enough
            or counted in _offsets(line)
            or _classifies(line)
            or id(line) in heads
            or _ROMAN.fullmatch(line.text)
        }
        for line in edge:
            if id(line) in gone:
                marks.setdefault(_kind(line), line.text)
        sheet.lines = [line for line in sheet.lines if id(line) not in gone]
    return [text for text in marks.values() if not _PAGE_NUMBER.fullmatch(text) or marked(text)]


def _running(sheets: list[Sheet], edges: list[list[Line]]) -> set[int]:
    """The `id` of lines at a height at which words come back from page to page, as the names of chapters do."""
    slots: dict[tuple[int, bool], list[tuple[int, Line]]] = defaultdict(list)
    for at, edge in enumerate(edges):
        for line in edge:
            slots[round(line.bottom / 4), line.bottom > sheets[at].high / 2].append((at, line))
    found: set[int] = set()
    for placed in slots.values():
        pages: dict[int, list[str]] = defaultdict(list)
        for at, line in placed:
            pages[at].append(_kind(line))
        if len(pages) < max(4, 0.2 * len(sheets)):
            continue
        back = {
            id(line)
            for at, line in placed
            if any(
                _shares(_kind(line), other)
                for near in range(at - _NEAR_PAGES, at + _NEAR_PAGES + 1)
                if near != at
                for other in pages.get(near, ())
            )
        }
        if len(back) >= 0.6 * len(placed):
            found |= back | {id(line) for at, line in placed if _apart(line, sheets[at])}
    return found


def _shares(one: str, other: str) -> bool:
    """Whether two lines begin or end with the same words."""
    least = max(_SHARED_LEAST, min(len(one), len(other)) // 3)
    same = one == other and any(map(str.isalpha, one))
    return same or (
        len(one) >= least <= len(other) and (one[:least] == other[:least] or one[-least:] == other[-least:])
    )


def _apart(line: Line, sheet: Sheet) -> bool:
    """Whether nothing stands close to an edge line on the side of the text."""
    low = line.bottom > sheet.high / 2
    gaps = [line.bottom - one.bottom if low else one.bottom - line.bottom for one in sheet.lines if one is not line]
    return min((gap for gap in gaps if gap > 0.4 * line.size), default=99.0) > 1.6 * line.size


def _edge_and_next(lines: list[Line], low: float, high: float) -> list[Line]:
    """The lines at the edges of a page, and as much again of what follows them."""
    far = 0.5 * low
    return [line for line in lines if line.top < low + far or line.bottom > high - far]


def _classifies(line: Line) -> bool:
    """Whether a line is a classification marking and hardly anything else."""
    return len(line.words) <= 8 and marked(line.text) not in {"", "internal"}


def _page_offset(edges: list[list[Line]]) -> tuple[int, int] | None:
    """(printed page number minus place in the file, height), where at least half of the pages agree on it."""
    votes = Counter(offset for edge in edges for offset in {o for line in edge for o in _offsets(line)})
    offset, times = votes.most_common(1)[0] if votes else ((0, 0), 0)
    return offset if times >= 3 and times * 2 >= len(edges) else None


def _offsets(line: Line) -> set[tuple[int, int]]:
    """What a number at the start or the end of a line would make of it as a page number."""
    return {(int(number) - line.page, round(line.bottom / 4)) for number in _AT_ENDS.findall(line.text)}


def _kind(line: Line) -> str:
    return _DIGITS.sub("#", " ".join(line.text.split())).casefold()
