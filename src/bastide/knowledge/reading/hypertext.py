"""HTML and XHTML: what a reader would see, in order; never scripts, styles or what is hidden.

The parser is libxml2's for HTML: it knows no external entities, and is given no network.
"""

import re
from dataclasses import dataclass, field

from lxml import etree

from bastide.errors import FileTooLarge, UnreadableFile
from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import FORMLESS, Block, Draft
from bastide.knowledge.reading.decoding import decode
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.seen import Sight
from bastide.knowledge.reading.values import Limits

_UNSEEN_TAGS = (
    "script style template noscript head svg iframe object embed applet canvas audio video select datalist "
    "noframes noembed map"
)
_BREAKING_TAGS = (
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section summary table tbody "
    "td tfoot th thead tr ul caption option"
)
_UNSEEN = frozenset(_UNSEEN_TAGS.split())
_BREAKING = frozenset(_BREAKING_TAGS.split())
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_CHARSET = re.compile(
    rb"""<(?:meta[^>]{0,200}?charset\s*=|\?xml[^>]{0,100}?encoding\s*=)\s*["']?([\w.:-]{2,30})""", re.I
)
_BLANKS = re.compile(r"[ \t\n\u00a0]+")
_SPAN_MAX = 1_000
_EPUB_TYPE = "epub:type"  # the parser for HTML keeps the prefix
_NOTE_TYPES = frozenset({"footnote", "endnote", "rearnote", "doc-footnote", "doc-endnote"})
_NOTE_CLASSES = frozenset({"footnote", "oj-note", "MsoFootnoteText"})
_NOTE_TAGS = frozenset({"p", "div", "li", "aside"})
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
# EUR-Lex: the classes of the Official Journal say what a paragraph is (its older pages lack the "oj-").
_OJ_TITLES = frozenset({"ti-art", "ti-section-1", "ti-grseq-1", "ti-annex", "doc-ti"})


def read_html(data: bytes, limits: Limits) -> Draft:
    """The blocks of a page."""
    draft = Draft([])
    declared = _CHARSET.search(data[:4096])
    text = decode(data, draft.problems, declared[1].decode("ascii", "replace") if declared else "")
    text = _XML_DECLARATION.sub("", text, count=1)
    root = _parse(text.encode(), limits)
    draft.blocks = _Walk(limits, draft.problems).through(root)
    draft.title = _title(root, draft.blocks)
    return draft


def html_blocks(data: bytes, limits: Limits, problems: list[str]) -> list[Block]:
    """The blocks of a piece of HTML that stands in another format; unreadable ones count as empty."""
    try:
        return _Walk(limits, problems).through(_parse(data, limits))
    except UnreadableFile:
        problems.append("a piece of embedded HTML could not be read")
        return []


def _parse(data: bytes, limits: Limits) -> etree._Element:
    if data.count(b"<") > 2 * limits.nodes_max:
        raise FileTooLarge(f"The page has more than {limits.nodes_max:,} elements.")
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableFile("The page holds no HTML that can be read.") from error
    # libxml2 stops in silence at its own depth (2,048); a page that is cut there must not look complete.
    if any(entry.level_name == "FATAL" for entry in parser.error_log):
        raise _too_deep(limits)
    if root is None:
        raise UnreadableFile("The page holds no HTML that can be read.")
    return root


def _too_deep(limits: Limits) -> FileTooLarge:
    return FileTooLarge(
        f"The page's elements are nested deeper than {limits.depth_max:,}.",
        next_step="Save the page as plain text, or print it to PDF, and send that.",
    )


def _title(root: etree._Element, blocks: list[Block]) -> str:
    official = root.xpath("//*[contains(concat(' ', @class, ' '), 'doc-ti ')][1]")
    for element in official if isinstance(official, list) else []:
        if isinstance(element, etree._Element):
            return _BLANKS.sub(" ", "".join(map(str, element.itertext()))).strip()
    first = next((block for block in blocks if block.kind == "heading" and block.level == 1), None)
    found = root.find(".//title")
    title = _BLANKS.sub(" ", "".join(map(str, found.itertext()))).strip() if found is not None else ""
    if title and not title.endswith((".xml", ".html")):
        return title
    return first.text if first is not None else title


@dataclass(slots=True)
class _Table:
    """An open table that holds data; tables that only lay out a page are walked through."""

    id: int
    depth: int
    fields: list[Field] = field(default_factory=list)
    covered: dict[int, int] = field(default_factory=dict)
    """How many further rows a cell from above covers, by column."""

    def add(self, cell: etree._Element, text: str) -> int:
        """Adds a cell behind those that stand there and those that reach down from above; how many these are."""
        before = len(self.fields)
        column = self.fields[-1].column + self.fields[-1].span if self.fields else 0  # type: ignore[operator]
        while self.covered.get(column, 0) > 0:
            self.fields.append(Field("", column))
            column += 1
        span = _spans(cell, "colspan")
        self.fields.append(Field(text, column, span, cell.tag == "th"))
        if (down := _spans(cell, "rowspan")) > 1:
            for below in range(column, column + span):
                self.covered[below] = down
        return len(self.fields) - before - 1

    def end_row(self) -> list[Field]:
        """The cells of a row that is complete."""
        fields, self.fields = self.fields, []
        self.covered = {column: left - 1 for column, left in self.covered.items() if left > 1}
        return fields


class _Walk:
    """One pass over the elements, gathering inline text until a block ends."""

    def __init__(self, limits: Limits, problems: list[str]) -> None:
        self._limits = limits
        self._problems = problems
        self._sight = Sight()
        self._figures: list[str] = []
        self._note: etree._Element | None = None
        self._blocks: list[Block] = []
        self._text: list[str] = []
        self._lists: list[int] = []
        self._item = False
        self._number = ""
        self._quotes = 0
        self._tables = 0
        self._covered = 0
        self._table: _Table | None = None
        self._cell = False
        self._pre = 0
        self._kind = ""

    def through(self, root: etree._Element) -> list[Block]:
        depth = 0
        skipped: etree._Element | None = None
        self._sight = Sight.of(root)
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                depth += 1
                if depth > self._limits.depth_max:
                    raise _too_deep(self._limits)
                if tag in _UNSEEN or not tag or self._sight.hides(element):
                    walk.skip_subtree()
                    skipped = element
                    continue
                self._open(tag, element, depth)
                if element.text:
                    self._text.append(element.text)
            else:
                depth -= 1
                if element is skipped:
                    skipped = None
                else:
                    self._close(tag, element, depth)
                    self._sight.leave(element)
                    if element is self._note:
                        self._flush()
                        self._note = None
                if element.tail and depth:
                    self._text.append(element.tail)
        self._flush()
        self._sight.tell(self._problems)
        return self._blocks

    # -- elements -------------------------------------------------------------------------------

    def _open(self, tag: str, element: etree._Element, depth: int) -> None:
        if tag == "br":
            self._text.append("\n\x0b")
            return
        if tag == "img":
            told = _BLANKS.sub(" ", element.get("alt") or "").strip()
            if told:
                self._figures.append(told)
            return
        if self._note is None and _is_note(element):
            self._flush()
            self._note = element
        if tag not in _BREAKING:
            return
        if self._table is not None and self._cell:
            self._text.append(" ")
            return
        if tag == "table":
            self._flush()
            if self._table is None and not _lays_out(element):
                self._tables += 1
                self._table = _Table(self._tables, depth)
            return
        self._flush()
        if self._table is not None and tag in {"td", "th"}:
            self._cell = True
            return
        self._begin(tag, element)

    def _begin(self, tag: str, element: etree._Element) -> None:
        if tag in _HEADINGS:
            self._kind = tag
        elif tag in {"ol", "ul", "menu", "dir"}:
            start = element.get("start", "1")
            self._lists.append((int(start) if start.isdecimal() else 1) if tag == "ol" else -1)
        elif tag == "li":
            self._item = True
            self._number = str(self._lists[-1]) if self._lists and self._lists[-1] >= 0 else ""
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._pre += 1
        elif tag == "p":
            self._kind = _official(element)

    def _close(self, tag: str, element: etree._Element, depth: int) -> None:
        if tag not in _BREAKING:
            return
        table = self._table
        if table is not None:
            self._close_in_table(tag, element, depth, table)
            return
        self._flush()
        if tag in _HEADINGS or tag == "p":
            self._kind = ""
        elif tag in {"ol", "ul", "menu", "dir"} and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._item = False
            if self._lists and self._lists[-1] >= 0:
                self._lists[-1] += 1
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag == "pre":
            self._pre -= 1

    def _close_in_table(self, tag: str, element: etree._Element, depth: int, table: _Table) -> None:
        if tag == "table" and depth < table.depth:
            self._table = None
            self._cell = False
            self._flush()
        elif tag in {"td", "th"}:
            words = _BLANKS.sub(" ", "".join(self._text).replace("\x0b", "")).strip()
            self._covered += table.add(element, " ".join(filter(None, (words, *self._figures))))
            if self._covered > self._limits.nodes_max:
                raise FileTooLarge(f"Cells of its tables reach over more than {self._limits.nodes_max:,} others.")
            self._text.clear()
            self._figures.clear()
            self._cell = False
        elif tag == "tr":
            block = row(table.end_row(), table.id, self._problems)
            if block is not None:
                self._blocks.append(block)
        elif self._cell:
            self._text.append(" ")
        else:
            self._flush()

    # -- text -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flush_text()
        figures, self._figures = self._figures, []
        self._blocks += [Block("figure", told) for told in figures]

    def _flush_text(self) -> None:
        if not self._text:
            return
        raw = "".join(self._text)
        self._text.clear()
        if not raw or raw.isspace():
            return
        if self._pre:
            self._blocks.append(Block("code", raw.replace("\x0b", "").strip("\n")))
            return
        lines = raw.split("\n\x0b")
        text = "\n".join(filter(None, (_BLANKS.sub(" ", line).strip() for line in lines)))
        if text:
            self._add(text)

    def _add(self, text: str) -> None:
        kind = self._kind
        if self._note is not None:
            self._blocks.append(Block("footnote", text))
        elif kind in _HEADINGS:
            self._blocks.append(Block("heading", _BLANKS.sub(" ", text), level=_HEADINGS[kind]))
        elif kind == "title":
            self._blocks.append(_official_heading(text))
        elif self._item:
            self._item = False
            number, self._number = self._number, ""
            marked = f"{number}. {text}" if number else text
            style = "1." if number else ""
            self._blocks.append(Block("list_item", marked, level=max(len(self._lists), 1), number=number, style=style))
        elif self._quotes:
            self._blocks.append(Block("quote", text))
        else:
            self._blocks.append(Block("paragraph", text, level=len(self._lists)))


def _spans(cell: etree._Element, name: str) -> int:
    """How many columns or rows a cell spans; what says none, or nonsense, spans one (HTML, 4.9.11)."""
    written = (cell.get(name) or "").strip()
    return min(int(written), _SPAN_MAX) or 1 if written.isascii() and written.isdecimal() and len(written) < 6 else 1


def _is_note(element: etree._Element) -> bool:
    """Whether an element holds the text of a note, as books, statutes and wikis mark it."""
    kind = element.get(_EPUB_TYPE) or element.get("role") or ""
    if kind and _NOTE_TYPES & set(kind.split()):
        return True
    return element.tag in _NOTE_TAGS and bool(_NOTE_CLASSES & set((element.get("class") or "").split()))


def _official(element: etree._Element) -> str:
    """ "title" for the heading paragraphs of the Official Journal."""
    names = element.get("class")
    if not names:
        return ""
    return "title" if any(name.removeprefix("oj-") in _OJ_TITLES for name in names.split()) else ""


def _official_heading(text: str) -> Block:
    """Its own words say the rank; a title that says none (such as that of the act) stays a paragraph."""
    if law.heading(text, sure=True) is not None and len(text) < 200:
        return Block("heading", text, level=FORMLESS)
    return Block("paragraph", text)


def _lays_out(table: etree._Element) -> bool:
    """Whether a table only places things: points beside their numbers, frames, or blocks inside cells."""
    if table.find(".//th") is not None or table.find("caption") is not None:
        return False
    if table.get("role") == "presentation" or table.find(".//table") is not None:
        return True
    rows = 0
    marked = 0
    for line in table.iter("tr"):
        cells = ["".join(map(str, cell.itertext())).strip() for cell in line if cell.tag == "td"]
        while cells and not cells[0]:  # an empty first cell only sets the row in
            cells.pop(0)
        rows += 1
        marked += len(cells) <= 1 or (len(cells) == 2 and law.mark(f"{cells[0]} ") is not None)
        if rows >= 50:
            break
    return marked == rows
