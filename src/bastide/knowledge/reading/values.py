"""What reading gives back: frozen values, all offsets in characters of `Reading.text`."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["document", "section", "paragraph", "list_item", "table", "table_row", "code", "quote"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may ask of us; beyond it the file is refused, never cut off in silence."""

    bytes_max: int = 100_000_000
    pages_max: int = 10_000
    text_max: int = 20_000_000
    """Characters of plain text."""
    nodes_max: int = 400_000
    depth_max: int = 2_000
    """How deep the elements of a HTML file may be nested."""
    unpacked_max: int = 400_000_000
    """Bytes that all parts of a zip container may unpack to."""
    ratio_max: int = 200
    """Unpacked bytes per packed byte of one part of a zip container."""
    seconds_max: int = 120
    """Of computing, for the lines of one PDF."""
    memory_max: int = 2_000_000_000
    """Bytes of address space, for the lines of one PDF."""


@dataclass(frozen=True, slots=True)
class Node:
    """One place in a document. `text[start:end]` is everything that stands in it, children included."""

    ord: int
    """Place in reading order; equals its index in `Reading.nodes`."""
    parent: int | None
    """The `ord` of the node it stands in; None for the document alone."""
    kind: Kind
    level: int
    """Depth of a section (1 = outermost), of a list item (1 = outermost); 0 elsewhere."""
    title: str
    """Heading of a section, number of a numbered paragraph ("1", "(1)" is given as "1"), else ""."""
    start: int
    end: int
    page: int | None = None
    """First page it stands on, counted from 1; None where the format has no pages."""
    language: str = ""
    """ISO 639-1, where it differs by section; "" = that of the document."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as text and structure. `nodes[0]` is the document; parents come before children."""

    media_type: str
    title: str
    language: str
    """ISO 639-1 code of the language of most of the text."""
    nodes: tuple[Node, ...]
    text: str
    """All body text. Never holds NUL or a lone surrogate."""
    pages: int | None
    problems: tuple[str, ...] = ()
    """What a reader should know: guessed encoding, cleaned characters, pages without text."""
    marks: tuple[str, ...] = ()
    """Repeated headers and footers (where classification marks stand), kept apart from the text."""
    page_starts: tuple[tuple[int, int], ...] = ()
    """(offset, page) wherever a page begins, in order; empty where the format has no pages."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk: a stretch of text that is searched and cited as one. `text == reading.text[start:end]`."""

    ord: int
    node: int
    """The innermost node that holds the whole piece."""
    section: tuple[str, ...]
    """Headings from the outside in, then the paragraph's number: ("CHAPTER IV ...", "Article 33 ...", "1" or "2-3")."""
    page: int | None
    start: int
    end: int
    text: str
    language: str
    words: int
