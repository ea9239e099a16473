"""Blocks: what every format is brought to before the tree grows from it."""

from dataclasses import dataclass, field
from typing import Literal

from bastide.knowledge.reading.values import Box, Cell, PageRead

FORMLESS = 10
"""Level of a heading that only its words betray; deeper than any level that a format can give."""

BlockKind = Literal[
    "heading", "paragraph", "list_item", "table_row", "code", "quote", "formula", "footnote", "figure", "notes"
]


@dataclass(slots=True)
class Block:
    """One stretch of text between two line breaks that mean something, in reading order."""

    kind: BlockKind
    text: str
    level: int = 0
    """Of a heading: 1 = outermost, FORMLESS = the format does not say. Of a list item, or a paragraph
    that goes on inside one: depth, 0 = unknown or none."""
    rank: int = 0
    """Of a heading: its legal rank (see `law`); 0 = none."""
    number: str = ""
    """Of a numbered paragraph or item: "1", "a", "iv"; without brackets and stops."""
    style: str = ""
    """How that number is written: "(1)", "1.", "a)"; the same style means the same depth."""
    table: int = 0
    """Which table a row belongs to; rows of one table follow each other."""
    page: int | None = None
    breaks: tuple[tuple[int, int], ...] = ()
    """(offset in text, page) where the text runs on to a further page."""
    title: str = ""
    """Of a heading: its words on one line, when they differ from `text`."""
    member: bool = False
    """Of a heading: it names a file within the document (an attachment); what follows stands in that file."""
    plain: bool = False
    """Of a paragraph: its type says that it is no heading, whatever its words."""
    boxes: tuple[Box, ...] = ()
    """Where it stands on its pages, one box a page; empty where the format has no places."""
    cells: tuple[Cell, ...] = ()
    """Of a table row: its cells, with offsets in `text`."""
    source: str = "markup"
    """What says that it is what it is: markup, outline, font, rules, words, alignment, ocr."""
    confidence: float = 1.0
    """How sure that is, 0 to 1."""


@dataclass(slots=True)
class Draft:
    """What one format's reader found."""

    blocks: list[Block]
    title: str = ""
    pages: int | None = None
    problems: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    page_reads: list[PageRead] = field(default_factory=list)
    prose: str | None = None
    """What the language is told by, where that is not the whole text: the comments of a program."""
