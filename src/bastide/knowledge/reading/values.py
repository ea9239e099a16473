"""What reading gives back: frozen values, all offsets in characters of `Reading.text`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bastide.knowledge.reading.upper import Upper

Kind = Literal[
    "document",
    "section",
    "paragraph",
    "list_item",
    "table",
    "table_row",
    "code",
    "quote",
    "formula",
    "footnote",
    "figure",
    "notes",
]
"""`notes` are a speaker's; a `figure` is what is known of a picture: its alternative text, or what was read in it."""

Band = Literal["accepted", "provisional", "rejected"]
"""Whether what was read of a page is relied on, searched but flagged, or not used."""


@dataclass(frozen=True, slots=True)
class Box:
    """A place on a page: points (1/72 inch) from the upper left corner of the page as it is shown."""

    page: int
    left: float
    top: float
    right: float
    bottom: float

    def around(self, other: "Box") -> "Box":
        """The smallest box on this page that holds both."""
        return Box(
            self.page,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table's row; `start` and `end` are offsets in the row's text."""

    column: int
    """From 0; a cell that spans several counts by its first."""
    start: int
    end: int
    span: int = 1
    """How many columns it spans."""
    header: bool = False
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class PageRead:
    """How one page was read: the page's provenance."""

    page: int
    width: float
    height: float
    """In points."""
    tier: str
    """text (the file's own text layer), ocr, vision, special, none."""
    engine: str = ""
    """Name and version of what read it: "pdfium 151", "tesseract 5.3.0"."""
    language: str = ""
    band: Band = "accepted"
    confidence: float | None = None
    """Mean confidence of the words, 0 to 100, as the engine gives it."""
    coverage: float | None = None
    """Share of the ink in text-like shapes that lies within a recognised word, 0 to 1."""
    rotation: int = 0
    """By how many degrees the picture was turned before it was read."""
    reason: str = ""
    """Why this tier and this band, in plain words."""
    doubts: tuple[str, ...] = ()
    """Amounts, dates and identifiers on which two readers did not agree."""
    receipts: tuple[str, ...] = ()
    """Of the calls of models whose answers stand on it."""


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
    members_max: int = 2_000
    """Files in one archive or message, those within its files included."""
    nesting_max: int = 5
    """How deep archives and messages may stand in each other."""
    pixels_max: int = 200_000_000
    """Of one picture."""
    scans_max: int = 2_000
    """Pages of one document that are read by text recognition: some three seconds of computing each."""
    ratio_max: int = 200
    """Unpacked bytes per packed byte of one part of a zip container."""
    seconds_max: int = 120
    """Of computing, for the lines of one PDF, or for a file that is read apart."""
    memory_max: int = 2_000_000_000
    """Bytes of address space, for the lines of one PDF; a file that is read apart may take twice as much."""
    upper: Upper | None = None
    """What vision models were asked and said; None where nobody would ask them."""
    heard: Callable[[int, int], None] | None = field(default=None, compare=False)
    """Is told, in the reader's thread, how many pages were read, and of how many; these may become more."""

    def tell(self, done: int, total: int) -> None:
        """Says how far the reading is."""
        if self.heard is not None:
            self.heard(done, total)


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
    boxes: tuple[Box, ...] = ()
    """Where it stands, one box a page; of a section that of its heading. Empty where the format has no places."""
    cells: tuple[Cell, ...] = ()
    """Of a table row."""
    source: str = "markup"
    """What says that it is what it is: markup, outline, font, rules, words, alignment, ocr."""
    confidence: float = 1.0
    """How sure that is, 0 to 1."""


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
    """(offset, page) wherever a page begins, in order; empty where the format has no pages. Page 0 = none: where
    an attachment begins."""
    page_reads: tuple[PageRead, ...] = ()
    """How each page was read; empty where the format has no pages."""


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
    parent: int = 0
    """The section that it stands in, by its `ord`; 0 = the document itself."""
    boxes: tuple[Box, ...] = ()
    """Where it stands, one box a page; empty where the format has no places."""
