"""XML of any kind: an element that holds others is a section, one that holds words is told with its name."""

import re
from collections.abc import Iterator

from lxml import etree

from bastide.errors import FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import parse_xml
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.values import Limits

_NAMING = ("title", "name", "heading", "head", "label", "id")
_COLUMNS_MAX = 50
_ABC = re.compile(r"[^\W\d_]")


def read_xml(data: bytes, limits: Limits) -> Draft:
    """The blocks of an XML file of any kind: an element that holds others is a section, one that holds text is
    told with its name; text that runs through several elements is one paragraph.
    """
    draft = Draft([])
    root = parse_xml(data, "file")
    _Elements(draft, limits).through(root)
    if not draft.blocks:
        raise UnreadableFile("The XML file holds no text.")
    return draft


class _Elements:
    def __init__(self, draft: Draft, limits: Limits) -> None:
        self._draft = draft
        self._limits = limits
        self._tables = 0

    def through(self, root: etree._Element) -> None:
        """One pass in order, without recursion: a file may be nested deeper than Python counts."""
        stack: list[tuple[etree._Element, int]] = [(root, 0)]
        while stack:
            element, depth = stack.pop()
            if depth > self._limits.depth_max:
                raise FileTooLarge(
                    f"The file's elements are nested deeper than {self._limits.depth_max:,}.",
                    next_step="Send the part that matters as text or as a table.",
                )
            children = [child for child in element if isinstance(child.tag, str)]
            if not children or _mixed(element):
                self._leaf(element, depth)
                continue
            used = self._open(element, children, depth) if depth else None
            self._attributes(element)
            rest = [child for child in children if child is not used]
            if (names := _alike(rest)) is not None:
                self._table(rest, names)
            else:
                stack.extend((child, depth + 1) for child in reversed(rest))

    def _open(self, element: etree._Element, children: list[etree._Element], depth: int) -> etree._Element | None:
        """The heading of an element: what it calls itself, else its name. Returns the child that was used up."""
        named = next((c for c in children[:3] if _local(c).lower() in _NAMING and not len(c)), None)
        title = _words(named) if named is not None else ""
        if not title or len(title) > 200:
            named, title = None, _local(element)
        level = min(depth, 9)
        self._add(Block("heading", title, level=level))
        return named

    def _leaf(self, element: etree._Element, depth: int) -> None:
        words = _words(element)
        told = [f"{name}: {value}" for name, value in _attributes(element) if _ABC.search(value)]
        label = "" if len(element) or _local(element).lower() in {"p", "para", "text", "title"} else _local(element)
        if words:
            self._add(Block("paragraph", f"{label}: {words}" if label else words))
        if told and not (words and len(told) > 3):
            self._add(Block("paragraph", f"{_local(element)} — {', '.join(told)}"))

    def _attributes(self, element: etree._Element) -> None:
        for name, value in _attributes(element):
            if _ABC.search(value) and "://" not in value[:12]:
                self._add(Block("paragraph", f"{name}: {value}"))

    def _table(self, rows: list[etree._Element], names: list[str]) -> None:
        self._tables += 1
        block = row([Field(name, header=True) for name in names], self._tables, self._draft.problems)
        for fields in (None, *rows):
            if fields is not None:
                values = {_local(child): _words(child) for child in _children(fields)}
                block = row([Field(values.get(name, "")) for name in names], self._tables, self._draft.problems)
            if block is not None:
                self._add(block)

    def _add(self, block: Block) -> None:
        self._draft.blocks.append(block)
        if len(self._draft.blocks) > self._limits.nodes_max:
            raise FileTooLarge(f"The file holds more than {self._limits.nodes_max:,} elements with text.")


def _children(element: etree._Element) -> Iterator[etree._Element]:
    return (child for child in element if isinstance(child.tag, str))


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _attributes(element: etree._Element) -> list[tuple[str, str]]:
    """(name without its namespace, value) of each attribute."""
    return [(str(name).rpartition("}")[2], str(value)) for name, value in element.attrib.items()]


def _words(element: etree._Element) -> str:
    return " ".join("".join(map(str, element.itertext())).split())


def _mixed(element: etree._Element) -> bool:
    """Whether text runs between the children: then they mark words, they do not part them."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _alike(rows: list[etree._Element]) -> list[str] | None:
    """The names of what stands in sibling elements, where these are records of one kind; else None."""
    if len(rows) < 2 or len({row.tag for row in rows}) > 1:
        return None
    names: dict[str, int] = {}
    for record in rows:
        fields = [_local(child) for child in _children(record)]
        flat = all(not len(child) and len(child.text or "") <= 300 for child in _children(record))
        if len(fields) < 2 or len(set(fields)) < len(fields) or not flat or _mixed(record) or record.attrib:
            return None
        for name in fields:
            names[name] = names.get(name, 0) + 1
    alike = len(names) <= _COLUMNS_MAX and sum(names.values()) * 2 >= len(names) * len(rows)
    return list(names) if alike else None
