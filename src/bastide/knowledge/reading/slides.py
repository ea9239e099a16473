"""PPTX: each slide a section, its points, tables, pictures' descriptions and charts, and the speaker's notes.

Read straight from the XML (ECMA-376 part 1, chapter 19). What stands on a layout or master beside its placeholders
shows on every slide: classification marks stand there, so these words become marks.
"""

from lxml import etree

from bastide.errors import FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import Container, Relation
from bastide.knowledge.reading.drawing import A, R, is_code, paragraph, paragraphs, table_rows, words
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.values import Limits

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_TITLES = {"title", "ctrTitle"}
_MARKING = {"ftr", "hdr"}
_FURNITURE = {"sldNum", "dt", "sldImg"} | _MARKING
_POINTS_MAX = 200
"""Values of one chart; one with more is told by its title alone."""
_DEEPEST = 30


def read_pptx(data: bytes, limits: Limits) -> Draft:
    """The blocks of a presentation; its pages are its slides."""
    container = Container(data, limits)
    main = next((r.target for r in container.relations("") if r.kind == "officeDocument"), "ppt/presentation.xml")
    if main not in container:
        raise UnreadableFile("The presentation is damaged: its main part is missing.")
    related = {relation.id: relation for relation in container.relations(main)}
    listed = container.xml(main).iterfind(f"{_P}sldIdLst/{_P}sldId")
    parts = [related[key].target for slide in listed if (key := slide.get(f"{R}id", "")) in related]
    if len(parts) > limits.pages_max:
        raise FileTooLarge(f"The presentation has {len(parts):,} slides; the limit is {limits.pages_max:,}.")
    draft = Draft([], pages=len(parts))
    seen: set[str] = set()
    tables = 0
    for page, part in enumerate(parts, 1):
        if part in container:
            tables = _Slide(container, part, page, draft, tables, seen).read()
        else:
            draft.problems.append(f"slide {page} is missing in the file")
    if "docProps/core.xml" in container:
        draft.title = container.xml("docProps/core.xml").findtext(_TITLE) or ""
    if any(name.startswith("ppt/comments/") for name in container):
        draft.problems.append("comments on the slides were left out")
    return draft


class _Slide:
    def __init__(self, container: Container, part: str, page: int, draft: Draft, tables: int, seen: set[str]) -> None:
        self._container = container
        self._draft = draft
        self._page = page
        self._part = part
        self._tables = tables
        self._seen = seen
        self._related: dict[str, Relation] = {relation.id: relation for relation in container.relations(part)}

    def read(self) -> int:
        """Adds the slide's blocks; returns how many tables there are now."""
        root = self._container.xml(self._part)
        tree = root.find(f"{_P}cSld/{_P}spTree")
        shapes = list(_shapes(tree)) if tree is not None else []
        title = next((shape for shape in shapes if _role(shape) in _TITLES and words(shape)), None)
        heading = words(title) if title is not None else f"Slide {self._page}"
        self._add(Block("heading", heading, level=1))
        if root.get("show") in {"0", "false"}:
            self._draft.problems.append(f"slide {self._page} is hidden in the show")
        for shape in shapes:
            if shape is not title:
                self._shape(shape)
        self._beside()
        return self._tables

    def _shape(self, shape: etree._Element) -> None:
        role = _role(shape)
        if role in _MARKING:
            self._draft.marks.append(words(shape))
        if role in _FURNITURE:
            return
        if shape.tag == f"{_P}sp":
            self._text(shape, role)
        elif shape.tag == f"{_P}pic":
            self._figure(shape)
        elif shape.tag == f"{_P}graphicFrame":
            self._frame(shape)

    def _text(self, shape: etree._Element, role: str) -> None:
        """A body's paragraphs are points; those of a subtitle or a free text box stand for themselves."""
        body = shape.find(f"{_P}txBody")
        if body is None:
            return
        for element, text in paragraphs(body):
            if is_code(element):
                self._code(paragraph(element, code=True))
                continue
            properties = element.find(f"{A}pPr")
            own = {str(child.tag).rpartition("}")[2] for child in properties} if properties is not None else set()
            level = properties.get("lvl", "0") if properties is not None else "0"
            depth = int(level) + 1 if level.isdecimal() and len(level) < 2 else 1
            bullet = bool(own & {"buChar", "buAutoNum", "buBlip"})
            if bullet or (role in {"body", "obj"} and "buNone" not in own):
                self._add(Block("list_item", text, level=depth))
            else:
                self._add(Block("paragraph", text))

    def _code(self, text: str) -> None:
        """Lines of code stand as paragraphs of their own, one below the other."""
        last = self._draft.blocks[-1]
        if last.kind == "code":
            last.text = f"{last.text}\n{text}"
        else:
            self._add(Block("code", text))

    def _figure(self, shape: etree._Element) -> None:
        told = _description(shape)
        if told:
            self._add(Block("figure", told))

    def _frame(self, frame: etree._Element) -> None:
        table = frame.find(f".//{A}tbl")
        if table is not None:
            self._tables += 1
            self._draft.blocks += table_rows(table, self._tables, self._draft.problems, self._page)
            return
        for element in frame.iter():
            name = str(element.tag).rpartition("}")[2]
            key = element.get(f"{R}id") if name == "chart" else element.get(f"{R}dm") if name == "relIds" else None
            if key is not None and key in self._related and self._related[key].target in self._container:
                root = self._container.xml(self._related[key].target)
                self._chart(root, frame) if name == "chart" else self._diagram(root)
                return
        self._figure(frame)

    def _diagram(self, root: etree._Element) -> None:
        for _, text in paragraphs(root):
            self._add(Block("list_item", text, level=1))

    def _chart(self, root: etree._Element, frame: etree._Element) -> None:
        """A chart as the table it was drawn from: its categories down, its series across."""
        title = root.find(f".//{_C}chart/{_C}title")
        told = words(title) if title is not None else _description(frame)
        if told:
            self._add(Block("figure", told))
        series = [_points(one) for one in root.iter(f"{_C}ser")]
        if not series or sum(len(values) for _, _, values in series) > _POINTS_MAX:
            return
        self._tables += 1
        names = [name for name, _, _ in series]
        categories = series[0][1]
        lines = [["", *names]] + [
            [categories.get(at, str(at + 1)), *(values.get(at, "") for _, _, values in series)]
            for at in sorted({at for _, _, values in series for at in values})
        ]
        for number, line in enumerate(lines):
            fields = [Field(text, header=not number) for text in line]
            block = row(fields, self._tables, self._draft.problems, self._page)
            if block is not None:
                self._draft.blocks.append(block)

    def _beside(self) -> None:
        """The speaker's notes, and what the slide's layout and master show on it."""
        for relation in self._related.values():
            if relation.target not in self._container:
                continue
            if relation.kind == "notesSlide":
                for shape in self._container.xml(relation.target).iter(f"{_P}sp"):
                    body = shape.find(f"{_P}txBody")
                    if _role(shape) == "body" and body is not None:
                        for _, text in paragraphs(body):
                            self._add(Block("notes", text))
            elif relation.kind == "slideLayout" and relation.target not in self._seen:
                self._mark(relation.target)
                masters = (r for r in self._container.relations(relation.target) if r.kind == "slideMaster")
                for master in masters:
                    if master.target in self._container and master.target not in self._seen:
                        self._mark(master.target)

    def _mark(self, part: str) -> None:
        self._seen.add(part)
        for shape in self._container.xml(part).iter(f"{_P}sp"):
            if shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph") is None:
                self._draft.marks.append(words(shape))

    def _add(self, block: Block) -> None:
        block.page = self._page
        self._draft.blocks.append(block)


def _shapes(tree: etree._Element, depth: int = 0) -> list[etree._Element]:
    """The shapes of a slide in reading order, those in groups too; hidden ones are not among them."""
    found: list[etree._Element] = []
    for child in tree:
        own = child.find("./*/" + f"{_P}cNvPr") if isinstance(child.tag, str) else None
        if own is not None and own.get("hidden") in {"1", "true"}:
            continue
        if child.tag == f"{_P}grpSp" and depth < _DEEPEST:
            found += _shapes(child, depth + 1)
        elif child.tag in {f"{_P}sp", f"{_P}pic", f"{_P}graphicFrame"}:
            found.append(child)
    return found


def _role(shape: etree._Element) -> str:
    """What the placeholder of a shape is for; "" for a shape of its own."""
    place = shape.find(f"./*/{_P}nvPr/{_P}ph")
    return "" if place is None else place.get("type", "obj")


def _description(shape: etree._Element) -> str:
    """The alternative text that somebody wrote."""
    own = shape.find(f"./*/{_P}cNvPr")
    return (own.get("descr") or "").strip() if own is not None else ""


def _points(series: etree._Element) -> tuple[str, dict[int, str], dict[int, str]]:
    """(name, categories by place, values by place) of one series, as the file keeps them."""
    name = " ".join(v.text or "" for v in series.iterfind(f"{_C}tx//{_C}v"))
    found = []
    for part in ("cat", "val"):
        values: dict[int, str] = {}
        for point in series.iterfind(f"{_C}{part}//{_C}pt"):
            place = point.get("idx", "")
            if place.isdecimal() and len(place) < 7:
                values[int(place)] = point.findtext(f"{_C}v") or ""
        found.append(values)
    return name, found[0], found[1]
