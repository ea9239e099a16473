"""DOCX: paragraphs, headings by style, lists with their printed numbers, tables, notes; no hidden or deleted text.

Read straight from the XML (ECMA-376 part 1, chapter 17), because tracked changes, text boxes, content controls
and numbers all count for what a reader sees.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from bastide.errors import UnreadableFile
from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import Container
from bastide.knowledge.reading.drawing import typewritten
from bastide.knowledge.reading.numbering import Numbering, W
from bastide.knowledge.reading.rows import Field, heads, row
from bastide.knowledge.reading.values import Limits

_RELATIONS = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_CHOICE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Choice"
_ALTERNATE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_P, _TBL, _TR, _TC, _R, _T = (f"{W}{name}" for name in ("p", "tbl", "tr", "tc", "r", "t"))
_GONE = frozenset(
    f"{W}{name}"
    for name in ("del", "moveFrom", "rPr", "pPr", "instrText", "delText", "sectPr", "tblPr", "trPr", "tcPr")
)
_HEADING_NAME = re.compile(r"heading (\d)")
_LOOSE = re.compile(r"[ \t\u00a0]+")
_SIGNS = {f"{W}tab": " ", f"{W}ptab": " ", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_NOTES = {f"{W}footnoteReference": "footnotes", f"{W}endnoteReference": "endnotes"}


@dataclass(slots=True)
class _Style:
    name: str = ""
    based_on: str = ""
    level: int | None = None
    list: tuple[str, int] | None = None
    hidden: bool = False


def read_docx(data: bytes, limits: Limits) -> Draft:
    """The blocks of a Word document; its headers and footers become marks."""
    container = Container(data, limits)
    main = _main_part(container)
    body = container.xml(main).find(f"{W}body")
    if body is None:
        raise UnreadableFile("The document is damaged: it has no body.")
    folder = main.rpartition("/")[0]
    draft = Draft([])
    walk = _Walk(container, folder, draft)
    walk.through(body)
    walk.tell()
    draft.marks = list(_marks(container, folder))
    if not draft.title and "docProps/core.xml" in container:
        draft.title = container.xml("docProps/core.xml").findtext(_TITLE) or ""
    if f"{folder}/comments.xml" in container:
        draft.problems.append("comments in the margin were left out")
    return draft


def _main_part(container: Container) -> str:
    if "_rels/.rels" in container:
        for relation in container.xml("_rels/.rels").iter(_RELATIONS):
            target = (relation.get("Target") or "").lstrip("/")
            if (relation.get("Type") or "").endswith("/officeDocument") and target in container:
                return target
    if "word/document.xml" in container:
        return "word/document.xml"
    raise UnreadableFile("The document is damaged: its main part is missing.")


def _marks(container: Container, folder: str) -> Iterator[str]:
    relations = f"{folder}/_rels/document.xml.rels"
    if relations not in container:
        return
    for relation in container.xml(relations).iter(_RELATIONS):
        kind = (relation.get("Type") or "").rpartition("/")[2]
        target = f"{folder}/{(relation.get('Target') or '').lstrip('/')}"
        if kind in {"header", "footer"} and target in container:
            for paragraph in container.xml(target).iter(_P):
                text = _LOOSE.sub(" ", "".join(t.text or "" for t in paragraph.iter(_T))).strip()
                if text and not text.isdecimal():
                    yield text


class _Walk:
    def __init__(self, container: Container, folder: str, draft: Draft) -> None:
        self._draft = draft
        self._styles = _styles(container, f"{folder}/styles.xml")
        part = f"{folder}/numbering.xml"
        self._numbering = Numbering(container.xml(part) if part in container else None)
        self._notes = {kind: _notes(container, f"{folder}/{kind}.xml") for kind in ("footnotes", "endnotes")}
        self._pending: list[tuple[str, etree._Element]] = []
        self._boxes: list[etree._Element] = []
        self._figures: list[str] = []
        self._tables = 0
        self._hidden = 0

    def through(self, body: etree._Element) -> None:
        for element in _flat(body):
            if element.tag == _P:
                self._paragraph(element)
            else:
                self._table(element)

    def tell(self) -> None:
        """Says how many runs of hidden text were left out."""
        if self._hidden:
            self._draft.problems.append(
                f"{self._hidden} hidden passages were left out; they can carry hidden instructions"
            )

    # -- paragraphs -----------------------------------------------------------------------------

    def _paragraph(self, element: etree._Element) -> None:
        style, level, listed = self._properties(element)
        code = level is None and (_is_code(style.name) or _typed(element))
        text = self._text(element, code=code)
        boxes, self._boxes = self._boxes, []
        if text and not style.name.startswith("toc "):
            if element.find(f".//{_M}oMathPara") is not None and element.find(f"{W}r") is None:
                self._draft.blocks.append(Block("formula", text))
            elif code:
                self._code(text)
            else:
                self._add(text, style, level, listed)
        self._add_figures()
        self._add_notes()
        for box in boxes:
            self.through(box)

    def _add(self, text: str, style: _Style, level: int | None, listed: tuple[str, int] | None) -> None:
        label = self._numbering.label(*listed) if listed is not None else None
        blocks = self._draft.blocks
        if style.name in {"title"} and not any(block.level == 0 and block.kind == "heading" for block in blocks):
            self._draft.title = self._draft.title or " ".join(text.split())
            blocks.append(Block("heading", " ".join(text.split()), level=0))
        elif level is not None:
            words = " ".join(text.split())
            blocks.append(Block("heading", f"{label} {words}" if label and label != "•" else words, level=level))
        elif label is not None and listed is not None:
            self._item(text, label, listed[1] + 1)
        elif style.name.startswith(("list bullet", "list number")):
            blocks.append(Block("list_item", text, level=_digit(style.name)))
        elif style.name in {"quote", "intense quote", "block text"}:
            blocks.append(Block("quote", text))
        else:
            blocks.append(Block("paragraph", text))

    def _item(self, text: str, label: str, depth: int) -> None:
        found = law.mark(f"{label} ")
        if label == "•" or found is None:
            words = text if label in {"•", ""} else f"{label} {text}"
            kind = law.heading(words) if label != "•" else None
            block = Block("paragraph", words) if kind is not None else Block("list_item", words, level=depth)
        else:
            block = Block("list_item", f"{label} {text}", level=depth, number=found.number, style=found.style)
        self._draft.blocks.append(block)

    def _properties(self, element: etree._Element) -> tuple[_Style, int | None, tuple[str, int] | None]:
        """(style, heading level, (list, level)) of a paragraph: its own, else its style's, else those of its base."""
        own = element.find(f"{W}pPr")
        style = _Style()
        level: int | None = None
        listed: tuple[str, int] | None = None
        if own is not None:
            named = own.find(f"{W}pStyle")
            style = self._styles.get(named.get(f"{W}val", "") if named is not None else "", style)
            level = _outline_level(own)
            listed = _list_of(own)
        base, steps = style, 0
        while steps < 20:
            level = base.level if level is None else level
            listed = base.list if listed is None else listed
            if not base.based_on or base.based_on not in self._styles:
                break
            base, steps = self._styles[base.based_on], steps + 1
        if listed is not None and listed[0] in {"", "0"}:
            listed = None
        return style, level if level is not None and 1 <= level <= 9 else None, listed

    # -- text -----------------------------------------------------------------------------------

    def _code(self, text: str) -> None:
        """Lines of code stand as paragraphs of their own, one below the other."""
        last = self._draft.blocks[-1] if self._draft.blocks else None
        if last is not None and last.kind == "code":
            last.text = f"{last.text}\n{text}"
        else:
            self._draft.blocks.append(Block("code", text))

    def _text(self, element: etree._Element, *, code: bool = False) -> str:
        """The words of a paragraph; of code with the blanks that set its lines in."""
        parts: list[str] = []
        self._gather(element, parts)
        if code:
            return "".join(parts).strip("\n").rstrip()
        lines = "".join(parts).split("\n")
        return "\n".join(filter(None, (_LOOSE.sub(" ", line).strip() for line in lines)))

    def _gather(self, element: etree._Element, parts: list[str], depth: int = 0) -> None:
        for child in element:
            tag = child.tag
            if tag in _GONE or depth > 60:
                continue
            if tag in {_T, f"{_M}t"}:
                parts.append(child.text or "")
            elif tag == _R and self._vanishes(child):
                self._hidden += bool("".join(t.text or "" for t in child.iter(_T)).strip())
            elif tag in _SIGNS:
                parts.append(_SIGNS[str(tag)])
            elif tag in _NOTES:
                self._refer(child, _NOTES[str(tag)], parts)
            elif tag == f"{W}txbxContent":
                self._boxes.append(child)
            elif tag == f"{_WP}docPr":
                self._figures += filter(None, [(child.get("descr") or "").strip()])
            elif tag == _ALTERNATE:
                choice = child.find(_CHOICE)
                self._gather(choice if choice is not None else child, parts, depth + 1)
            elif len(child):
                self._gather(child, parts, depth + 1)

    def _vanishes(self, run: etree._Element) -> bool:
        properties = run.find(f"{W}rPr")
        if properties is None:
            return False
        for name in ("vanish", "webHidden"):
            found = properties.find(f"{W}{name}")
            if found is not None and found.get(f"{W}val", "1") not in {"0", "false", "off"}:
                return True
        style = properties.find(f"{W}rStyle")
        return style is not None and self._styles.get(style.get(f"{W}val", ""), _Style()).hidden

    def _refer(self, reference: etree._Element, kind: str, parts: list[str]) -> None:
        number = reference.get(f"{W}id", "")
        note = self._notes[kind].get(number)
        if note is not None:
            parts.append(f" ({number})")
            self._pending.append((number, note))

    def _add_figures(self) -> None:
        figures, self._figures = self._figures, []
        self._draft.blocks += [Block("figure", told) for told in figures]

    def _add_notes(self) -> None:
        pending, self._pending = self._pending, []
        for number, note in pending:
            text = " ".join(filter(None, (self._text(paragraph) for paragraph in note.iter(_P))))
            if text:
                self._draft.blocks.append(Block("footnote", f"{number} {text}"))
        self._pending = []

    # -- tables ---------------------------------------------------------------------------------

    def _table(self, table: etree._Element) -> None:
        rows = [list(_flat(line, _TC)) for line in _flat(table, _TR)]
        if all(len(cells) <= 1 for cells in rows):  # a frame around text, not a table
            for cell in (cell for cells in rows for cell in cells):
                self.through(cell)
            return
        self._tables += 1
        number = self._tables
        elements = list(_flat(table, _TR))
        look = table.find(f"{W}tblPr/{W}tblLook")
        headed = look is not None and look.get(f"{W}firstRow") in {"1", "true"}
        for at, cells in enumerate(rows):
            named = elements[at].find(f"{W}trPr/{W}tblHeader") is not None
            if headed and not at and not named:
                words = [" ".join("".join(t.text or "" for t in cell.iter(_T)).split()) for cell in cells]
                named = heads(words, rows[1:])
            block = row(self._fields(elements[at], cells, named), number, self._draft.problems)
            if block is not None:
                self._draft.blocks.append(block)
        self._boxes = []
        self._add_figures()
        self._add_notes()

    def _fields(self, element: etree._Element, cells: list[etree._Element], header: bool) -> Iterator[Field]:
        """The cells of a row; one that goes on from the row above is empty here (ECMA-376 part 1, 17.4.84)."""
        before = element.find(f"{W}trPr")
        column = _whole(_value(before, "gridBefore"), 0) if before is not None else 0
        for cell in cells:
            own = cell.find(f"{W}tcPr")
            span = _whole(_value(own, "gridSpan"), 1) if own is not None else 1
            merged = own.find(f"{W}vMerge") if own is not None else None
            covered = merged is not None and merged.get(f"{W}val", "continue") == "continue"
            text = "" if covered else " ".join(filter(None, (self._text(p) for p in cell.iter(_P))))
            yield Field(text, column, span, header)
            column += span


def _is_code(style: str) -> bool:
    return "code" in style or style in {"html preformatted", "macro text", "plain text"}


def _typed(paragraph: etree._Element) -> bool:
    """Whether all words of a paragraph are set in the type of a typewriter."""
    runs = [run for run in paragraph.iter(_R) if run.find(_T) is not None]
    fonts = [run.find(f"{W}rPr/{W}rFonts") for run in runs]
    return bool(runs) and all(font is not None and typewritten(font.get(f"{W}ascii", "")) for font in fonts)


def _whole(written: str, otherwise: int) -> int:
    return (
        int(written) if written.isascii() and written.isdecimal() and len(written) < 4 and int(written) else otherwise
    )


def _flat(parent: etree._Element, *wanted: str) -> Iterator[etree._Element]:
    """The children that count, through the wrappers of content controls, insertions and custom XML."""
    tags = wanted or (_P, _TBL)
    stack = list(reversed(parent))
    while stack:
        element = stack.pop()
        if element.tag in tags:
            yield element
        elif element.tag == _ALTERNATE:
            choice = element.find(_CHOICE)
            stack.extend(reversed(choice if choice is not None else element))
        elif element.tag not in _GONE and element.tag not in {_P, _TBL}:
            stack.extend(reversed(element))


def _styles(container: Container, part: str) -> dict[str, _Style]:
    styles: dict[str, _Style] = {}
    if part not in container:
        return styles
    for element in container.xml(part).iter(f"{W}style"):
        name = _value(element, "name").lower()
        style = _Style(name, _value(element, "basedOn"))
        properties = element.find(f"{W}pPr")
        named = _HEADING_NAME.fullmatch(name)
        if named is not None:
            style.level = int(named[1])
        if properties is not None:
            style.level = style.level or _outline_level(properties)
            style.list = _list_of(properties)
        runs = element.find(f"{W}rPr")
        style.hidden = runs is not None and runs.find(f"{W}vanish") is not None
        styles[element.get(f"{W}styleId", "")] = style
    return styles


def _notes(container: Container, part: str) -> dict[str, etree._Element]:
    if part not in container:
        return {}
    return {note.get(f"{W}id", ""): note for note in container.xml(part) if note.get(f"{W}type", "normal") == "normal"}


def _value(element: etree._Element, name: str) -> str:
    found = element.find(f"{W}{name}")
    return found.get(f"{W}val", "") if found is not None else ""


def _outline_level(properties: etree._Element) -> int | None:
    """Word counts from 0, and writes 9 for body text."""
    level = _value(properties, "outlineLvl")
    return int(level) + 1 if level.isdecimal() and int(level) < 9 else None


def _list_of(properties: etree._Element) -> tuple[str, int] | None:
    found = properties.find(f"{W}numPr")
    if found is None:
        return None
    level = _value(found, "ilvl")
    return _value(found, "numId"), int(level) if level.isdecimal() and len(level) < 3 else 0


def _digit(name: str) -> int:
    return int(name[-1]) if name[-1].isdecimal() else 1
