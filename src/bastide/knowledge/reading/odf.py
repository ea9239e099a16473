"""ODT, ODS and ODP: text with headings and lists, sheets with their cells as shown, slides with the speaker's notes.

Read straight from the XML (OpenDocument 1.3, part 3). Deleted text, comments, and text that its style hides do not
become text; headers and footers become marks.
"""

from collections.abc import Iterator
from itertools import chain, repeat

from lxml import etree

from bastide.errors import EncryptedFile, FileTooLarge, UnreadableFile
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import Container
from bastide.knowledge.reading.rows import Field, heads, row
from bastide.knowledge.reading.values import Limits

_N = "urn:oasis:names:tc:opendocument:xmlns:"
_OFFICE, _TEXT, _TABLE, _DRAW, _STYLE, _PRES = (
    f"{{{_N}{name}:1.0}}" for name in ("office", "text", "table", "drawing", "style", "presentation")
)
_SVG = f"{{{_N}svg-compatible:1.0}}"
_MATH = "{http://www.w3.org/1998/Math/MathML}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_P, _H = f"{_TEXT}p", f"{_TEXT}h"
_GONE = frozenset(
    {
        f"{_TEXT}{name}"
        for name in ("tracked-changes", "table-of-content", "hidden-text", "page-number", "sequence-decls")
    }
    | {f"{_OFFICE}{name}" for name in ("annotation", "annotation-end", "forms", "scripts")}
    | {f"{_TEXT}{name}" for name in ("alphabetical-index", "illustration-index", "table-index", "ruby-text")}
)
_CODE = {"Preformatted_20_Text", "Source_20_Text"}
_REPEATED_MAX = 50
"""Cells that repeat a value; a row that repeats one more often does it by mistake or by design."""
_DEEPEST = 60


def read_odf(data: bytes, limits: Limits) -> Draft:
    """The blocks of an OpenDocument text, spreadsheet or presentation."""
    container = Container(data, limits)
    if "META-INF/manifest.xml" in container and b"encryption-data" in container.raw("META-INF/manifest.xml"):
        raise EncryptedFile("The document is protected by a password.")
    if "content.xml" not in container:
        raise UnreadableFile("The document is damaged: its main part is missing.")
    root = container.xml("content.xml")
    body = root.find(f"{_OFFICE}body")
    if body is None or not len(body):
        raise UnreadableFile("The document is damaged: it has no body.")
    draft = Draft([])
    styles = container.xml("styles.xml") if "styles.xml" in container else None
    hidden = _hidden_styles(root) | (_hidden_styles(styles) if styles is not None else set())
    walk = _Walk(draft, limits, hidden)
    content = body[0]
    if content.tag == f"{_OFFICE}presentation":
        walk.slides(content)
    elif content.tag == f"{_OFFICE}spreadsheet":
        walk.sheets(content)
    else:
        walk.flow(content)
    if styles is not None:
        draft.marks += _marks(styles, media.ODP if content.tag == f"{_OFFICE}presentation" else media.ODT)
    if walk.hidden:
        draft.problems.append(f"{walk.hidden} hidden passages were left out; they can carry hidden instructions")
    if "meta.xml" in container:
        draft.title = next((e.text or "" for e in container.xml("meta.xml").iter(_TITLE)), "") or draft.title
    return draft


class _Walk:
    def __init__(self, draft: Draft, limits: Limits, hidden_styles: set[str]) -> None:
        self._draft = draft
        self._limits = limits
        self._hidden_styles = hidden_styles
        self._tables = 0
        self._repeated = 0
        self._notes: list[tuple[str, str]] = []
        self._boxes: list[etree._Element] = []
        self._page: int | None = None
        self.hidden = 0

    # -- text -----------------------------------------------------------------------------------

    def flow(self, parent: etree._Element, depth: int = 0) -> None:
        """Everything that stands in `parent`, in order."""
        if depth > _DEEPEST:
            raise FileTooLarge(f"The document's parts are nested deeper than {_DEEPEST}.")
        for element in parent:
            if not isinstance(element.tag, str) or element.tag in _GONE:
                continue
            if element.tag == _H:
                self._paragraph(element, "heading", _level(element.get(f"{_TEXT}outline-level")))
            elif element.tag == _P:
                self._paragraph(element, "paragraph", 0)
            elif element.tag == f"{_TEXT}list":
                self._list(element, 1, depth)
            elif element.tag == f"{_TABLE}table":
                self._table(element)
            elif element.tag.startswith(_DRAW):
                self._frame(element, depth)
            elif element.tag == f"{_TEXT}section" and element.get(f"{_TEXT}display") == "none":
                self.hidden += 1
            else:
                self.flow(element, depth + 1)

    def _list(self, element: etree._Element, level: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise FileTooLarge(f"The document's lists are nested deeper than {_DEEPEST}.")
        for item in element:
            if item.tag not in {f"{_TEXT}list-item", f"{_TEXT}list-header"}:
                continue
            first = True
            for child in item:
                if child.tag == f"{_TEXT}list":
                    self._list(child, level + 1, depth + 1)
                elif child.tag == _H:
                    self._paragraph(child, "heading", _level(child.get(f"{_TEXT}outline-level")))
                elif child.tag == _P:
                    self._paragraph(child, "list_item" if first else "paragraph", level)
                    first = False

    def _paragraph(self, element: etree._Element, kind: str, level: int) -> None:
        style = element.get(f"{_TEXT}style-name") or ""
        code = kind == "paragraph" and style in _CODE
        text = self.words(element, code=code)
        boxes, self._boxes = self._boxes, []
        if text and kind == "heading":
            self._add(Block("heading", " ".join(text.split()), level=level))
        elif text and kind == "list_item":
            self._add(Block("list_item", text, level=level))
        elif text and style == "Title":
            self._draft.title = self._draft.title or " ".join(text.split())
            self._add(Block("heading", " ".join(text.split()), level=0))
        elif text and code:
            self._code(text)
        elif text and style in {"Quotations"}:
            self._add(Block("quote", text))
        elif text:
            self._add(Block("paragraph", text, level=level))
        notes, self._notes = self._notes, []
        for number, note in notes:
            self._add(Block("footnote", f"{number} {note}".strip(), number=""))
        for box in boxes:
            self._frame(box, 1)

    def _code(self, text: str) -> None:
        """Lines of code stand as paragraphs of their own, one below the other."""
        last = self._draft.blocks[-1] if self._draft.blocks else None
        if last is not None and last.kind == "code":
            last.text = f"{last.text}\n{text}"
        else:
            self._add(Block("code", text))

    def words(self, element: etree._Element, *, code: bool = False) -> str:
        """The words of a paragraph; its notes and boxes are kept for behind it. Of code with all its blanks."""
        parts: list[str] = []
        if element.get(f"{_TEXT}style-name") in self._hidden_styles:
            self.hidden += bool("".join(map(str, element.itertext())).strip())
            return ""
        self._gather(element, parts, 0)
        if code:
            return "".join(parts).strip("\n").rstrip()
        return "\n".join(filter(None, (" ".join(line.split()) for line in "".join(parts).split("\n"))))

    def _gather(self, element: etree._Element, parts: list[str], depth: int) -> None:
        parts.append(element.text or "")
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if not tag or tag in _GONE or depth > _DEEPEST:
                pass
            elif tag == f"{_TEXT}line-break":
                parts.append("\n")
            elif tag in {f"{_TEXT}s", f"{_TEXT}tab"}:
                parts.append(" " * _count(child.get(f"{_TEXT}c"), 200))
            elif tag == f"{_TEXT}note":
                self._note(child, parts)
            elif tag.startswith(_DRAW):
                self._boxes.append(child)
            elif tag.startswith(f"{_TEXT}hidden") or child.get(f"{_TEXT}style-name") in self._hidden_styles:
                self.hidden += 1
            else:
                self._gather(child, parts, depth + 1)
            parts.append(child.tail or "")

    def _note(self, note: etree._Element, parts: list[str]) -> None:
        number = " ".join("".join(map(str, c.itertext())) for c in note.iterfind(f"{_TEXT}note-citation")).strip()
        held, self._notes = self._notes, []
        body = note.find(f"{_TEXT}note-body")
        text = " ".join(filter(None, (self.words(p) for p in body.iter(_P)))) if body is not None else ""
        self._notes = [*held, (number, " ".join(text.split()))]
        parts.append(f" ({number})")

    def _frame(self, element: etree._Element, depth: int) -> None:
        """A text box, a table or a picture; shapes hold text like boxes."""
        told = " — ".join(
            filter(None, ((element.findtext(f"{_SVG}{name}") or "").strip() for name in ("title", "desc")))
        )
        if told:
            self._add(Block("figure", told))
        formula = " ".join(" ".join(map(str, math.itertext())) for math in element.iter(f"{_MATH}math")).strip()
        if formula:
            self._add(Block("formula", " ".join(formula.split())))
        for child in element:
            if child.tag in {f"{_DRAW}text-box", f"{_DRAW}g"} or (
                isinstance(child.tag, str) and child.tag.startswith(_DRAW) and child.tag != f"{_DRAW}object"
            ):
                self.flow(child, depth + 1)
            elif child.tag in {_P, f"{_TEXT}list", f"{_TABLE}table"}:
                holder = etree.Element("holder")
                holder.append(child)
                self.flow(holder, depth + 1)

    # -- tables ---------------------------------------------------------------------------------

    def _table(self, table: etree._Element) -> None:
        self._tables += 1
        for fields in self._rows(table):
            block = row(fields, self._tables, self._draft.problems, self._page)
            if block is not None:
                self._add(block)

    def _rows(self, table: etree._Element) -> Iterator[list[Field]]:
        """The rows of a table as often as they are repeated; empty ones come once, as empty lists."""
        for element in table.iter(f"{_TABLE}table-row"):
            if next((a for a in element.iterancestors(f"{_TABLE}table")), None) is not table:
                continue
            header = any(a.tag == f"{_TABLE}table-header-rows" for a in element.iterancestors())
            fields = self._fields(element, header)
            repeated = _count(element.get(f"{_TABLE}number-rows-repeated"), self._limits.nodes_max)
            times = repeated if any(field.text for field in fields) else 1
            self._repeated += (times - 1) * len(fields)
            if self._repeated > self._limits.nodes_max:
                raise FileTooLarge(f"Rows that are repeated hold more than {self._limits.nodes_max:,} cells.")
            yield from repeat(fields, times)

    def _fields(self, element: etree._Element, header: bool) -> list[Field]:
        fields: list[Field] = []
        column = 0
        for cell in element:
            if cell.tag not in {f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"}:
                continue
            repeated = _count(cell.get(f"{_TABLE}number-columns-repeated"), 1 << 20)
            text = " ".join(" ".join(self.words(p).split()) for p in cell.iter(_P, _H))
            span = _count(cell.get(f"{_TABLE}number-columns-spanned"), 10_000)
            covered = cell.tag == f"{_TABLE}covered-table-cell"
            if not covered and (text or repeated <= _REPEATED_MAX):
                fields += [Field(text, column + at, span, header) for at in range(min(repeated, _REPEATED_MAX))]
            column += repeated
        while fields and not fields[-1].text:
            fields.pop()
        self._notes, self._boxes = [], []
        return fields

    def sheets(self, content: etree._Element) -> None:
        """Each sheet of a spreadsheet a section; an empty row ends a table."""
        for table in content.iterfind(f"{_TABLE}table"):
            heading = Block("heading", table.get(f"{_TABLE}name") or "Sheet", level=1)
            self._add(heading)
            area: list[list[Field]] = []
            for fields in chain(self._rows(table), [[]]):
                if fields:
                    area.append(fields)
                    if len(area) > self._limits.nodes_max:
                        raise FileTooLarge(f"The sheet has more than {self._limits.nodes_max:,} rows.")
                elif area:
                    self._area(area)
                    area = []
            if self._draft.blocks[-1] is heading:
                self._draft.blocks.pop()

    def _area(self, area: list[list[Field]]) -> None:
        if all(sum(bool(field.text) for field in fields) == 1 for fields in area):
            for fields in area:
                self._add(Block("paragraph", "".join(field.text for field in fields)))
            return
        self._tables += 1
        if heads([field.text for field in area[0]], area[1:]):
            area[0] = [Field(field.text, field.column, field.span, True) for field in area[0]]
        for fields in area:
            block = row(fields, self._tables, self._draft.problems)
            if block is not None:
                self._add(block)

    # -- slides ---------------------------------------------------------------------------------

    def slides(self, content: etree._Element) -> None:
        """Each slide a section and a page."""
        pages = content.findall(f"{_DRAW}page")
        if len(pages) > self._limits.pages_max:
            raise FileTooLarge(f"The presentation has {len(pages):,} slides; the limit is {self._limits.pages_max:,}.")
        self._draft.pages = len(pages)
        for number, page in enumerate(pages, 1):
            self._page = number
            frames = [e for e in page if isinstance(e.tag, str) and e.tag.startswith(_DRAW)]
            titles = (e for e in frames if e.get(f"{_PRES}class") == "title")
            title = next((e for e in titles if any(self.words(p) for p in e.iter(_P, _H))), None)
            said = " ".join(filter(None, (self.words(p) for p in title.iter(_P, _H)))) if title is not None else ""
            self._add(Block("heading", " ".join(said.split()) or f"Slide {number}", level=1))
            self._notes, self._boxes = [], []
            for frame in frames:
                if frame is not title:
                    self._frame(frame, 1)
            for note in page.iterfind(f"{_PRES}notes"):
                for frame in note.iterfind(f"{_DRAW}frame"):
                    if frame.get(f"{_PRES}class") == "notes":
                        for paragraph in frame.iter(_P):
                            self._add(Block("notes", self.words(paragraph)))

    def _add(self, block: Block) -> None:
        block.page = self._page
        self._draft.blocks.append(block)
        if len(self._draft.blocks) > self._limits.nodes_max:
            raise FileTooLarge(f"The document holds more than {self._limits.nodes_max:,} paragraphs and rows.")


def _hidden_styles(root: etree._Element) -> set[str]:
    """The names of styles whose text is not shown."""
    found = set()
    for style in root.iter(f"{_STYLE}style"):
        properties = style.find(f"{_STYLE}text-properties")
        if properties is not None and properties.get(f"{_TEXT}display") in {"none", "condition"}:
            found.add(style.get(f"{_STYLE}name") or "")
    return found - {""}


def _marks(styles: etree._Element, kind: str) -> Iterator[str]:
    """Headers and footers of the pages; of slides what stands on their masters beside the placeholders."""
    for master in styles.iter(f"{_STYLE}master-page"):
        for part in master:
            name = str(part.tag)
            furniture = name.startswith(_STYLE) and ("header" in name or "footer" in name)
            shape = kind == media.ODP and name.startswith(_DRAW) and not part.get(f"{_PRES}class")
            if furniture or shape:
                for paragraph in part.iter(_P):
                    text = " ".join("".join(map(str, paragraph.itertext())).split())
                    if text and not text.isdecimal():
                        yield text


def _level(written: str | None) -> int:
    return min(_count(written, 9), 9)


def _count(written: str | None, most: int) -> int:
    """A count as the file writes it: 1 where it writes none."""
    return min(int(written), most) if written is not None and written.isdecimal() and 0 < len(written) < 9 else 1
