"""The tree: one text, and the nodes that say what stands where in it."""

import re
from dataclasses import dataclass

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.values import Kind, Node

_JOINTS = {"list_item": "\n", "table_row": "\n"}
_INTEGER = re.compile(r"\d+")
_CLOSING = re.compile(r"[”’»“\"]\s?[;.,]?\s*$")


@dataclass(slots=True)
class _Growing:
    """A node whose end is not known yet; `made_of` is its block, the first row of a table."""

    ord: int
    parent: int | None
    kind: Kind
    level: int
    title: str
    start: int
    made_of: Block | None
    end: int = 0

    def grown(self, pages: int | None) -> Node:
        """The node as it is."""
        block = self.made_of
        if block is None:
            return Node(
                self.ord, self.parent, self.kind, self.level, self.title, self.start, self.end, 1 if pages else None
            )
        return Node(
            self.ord,
            self.parent,
            self.kind,
            self.level,
            self.title,
            self.start,
            self.end,
            block.page,
            boxes=block.boxes if self.kind != "table" else (),
            cells=block.cells if self.kind == "table_row" else (),
            source=block.source,
            confidence=block.confidence,
        )


@dataclass(slots=True)
class _Open:
    """An open section, item or table, with what decides when it closes."""

    node: _Growing
    key: tuple[int, int] = (0, 0)
    style: str = ""
    depth: int = 0
    number: str = ""
    table: int = 0
    member: bool = False


@dataclass(slots=True)
class Tree:
    """What grew: the nodes in reading order, the text, and where its pages begin."""

    nodes: tuple[Node, ...]
    text: str
    page_starts: tuple[tuple[int, int], ...]


def grow(draft: Draft, title: str) -> Tree:
    """The tree of an arranged draft; `nodes[0]` is the document and spans the whole text."""
    return _Grower(title, draft.pages).grow(draft.blocks)


class _Grower:
    def __init__(self, title: str, pages: int | None) -> None:
        self._pages = pages
        root = _Growing(0, None, "document", 0, title, 0, None)
        self._nodes = [root]
        self._sections = [_Open(root, key=(-1, 0))]
        self._items: list[_Open] = []
        self._suspended: list[list[_Open]] = []  # what stays open around a quoted article
        self._parts: list[str] = []
        self._length = 0
        self._page_starts: list[tuple[int, int]] = []

    def grow(self, blocks: list[Block]) -> Tree:
        previous: Block | None = None
        for block in blocks:
            self._place(block)
            start = self._write(block, previous)
            self._note_pages(block, start)
            self._open_node(block, start)
            self._end_quote(block)
            previous = block
        self._close_sections(0)
        nodes = tuple(node.grown(self._pages) for node in self._nodes)
        return Tree(nodes, "".join(self._parts), tuple(self._page_starts))

    # -- where a block belongs ------------------------------------------------------------------

    def _place(self, block: Block) -> None:
        """Closes everything that this block does not stand in."""
        if block.kind == "heading":
            if self._suspended and block.rank == law.ARTICLE and not self._follows(block):
                block.rank = law.QUOTED
            if block.rank == law.QUOTED and self._quotes_article():
                return
            keep = len(self._sections)
            while keep > 1 and not _holds(self._sections[keep - 1].key, (block.level, block.rank)):
                keep -= 1
            self._close_sections(keep)
        elif block.kind == "table_row":
            if not self._items or self._items[-1].table != block.table:  # a new table: behind lists, but inside points
                self._close_items(sum(item.depth == 0 and not item.table for item in self._items))
        elif block.number or block.style or block.kind == "list_item":
            self._settle_letter(block)
            self._close_items(self._depth_of(block))
        elif law.closes_act(block.text):  # of its own file, where the document holds several
            self._close_sections(max((i + 1 for i, open_ in enumerate(self._sections) if open_.member), default=1))
        elif law.opens_enactment(block.text):
            self._close_sections(len(self._sections) - (self._sections[-1].key[1] == law.PREAMBLE))
        else:
            # In an article, a paragraph without a number continues the numbered one above it.
            article = self._sections[-1].key[1] in {law.ARTICLE, law.QUOTED, law.PREAMBLE}
            outermost = self._items[0] if self._items else None
            keep = article and outermost is not None and outermost.style in {"1.", "(1)"} and not outermost.depth
            inside = sum(0 < item.depth <= block.level for item in self._items)
            self._close_items(max(1 if keep else 0, self._quoted() + 1, inside))

    def _quotes_article(self) -> bool:
        """Makes room for an article that an amending article quotes; False if there is none that could."""
        top = self._sections[-1]
        if top.key[1] == law.QUOTED and self._suspended:  # the next one of the same quotation
            self._close_items(0)
            self._close(self._sections.pop())
            return True
        if top.key[1] != law.ARTICLE:
            return False
        self._suspended.append(self._items)  # the point that quotes it goes on behind it
        self._items = []
        return True

    def _follows(self, block: Block) -> bool:
        """Whether an article is the next one of the amending act itself, though a quotation was never closed."""
        outer = next((open_ for open_ in reversed(self._sections) if open_.key[1] == law.ARTICLE), None)
        number, before = _INTEGER.search(block.text), _INTEGER.search(outer.node.title) if outer else None
        return number is None or before is None or int(number[0]) == int(before[0]) + 1

    def _settle_letter(self, block: Block) -> None:
        """Decides whether (i), (v), (x) are letters or Roman numbers: by what they follow."""
        if block.number not in {"i", "v", "x"}:
            return
        roman = block.style.replace("a", "i")
        last = {item.style: item.number for item in self._items}
        previous = last.get(block.style)
        if roman in last or previous is None or ord(previous[-1]) + 1 != ord(block.number):
            block.style = roman

    def _depth_of(self, block: Block) -> int:
        """How many of the open items this one stands in."""
        if block.level:
            return next((i for i, item in enumerate(self._items) if item.depth >= block.level), len(self._items))
        quoted = self._quoted()
        for i, item in enumerate(self._items):
            same = item.style == block.style or (i == quoted and item.style == f"“{block.style}")
            if same and not item.depth and i >= quoted:
                return i
        return len(self._items) if not self._items or self._items[-1].node.kind != "table" else len(self._items) - 1

    def _quoted(self) -> int:
        """The place of the innermost open item that begins a quotation; -1 if none is open."""
        return max((i for i, item in enumerate(self._items) if item.style.startswith("“")), default=-1)

    def _end_quote(self, block: Block) -> None:
        """A closing quotation mark at the end of a block ends the quoted points, or the quoted article."""
        if block.kind == "heading" or _CLOSING.search(block.text) is None:
            return
        quoted = self._quoted()
        if quoted >= 0:
            self._close_items(quoted)
        elif self._suspended:
            self._close_items(0)
            self._close(self._sections.pop())
            self._items = self._suspended.pop()

    # -- writing --------------------------------------------------------------------------------

    def _write(self, block: Block, previous: Block | None) -> int:
        if previous is not None:
            same = previous.kind == block.kind and (block.kind != "table_row" or previous.table == block.table)
            joint = _JOINTS.get(block.kind, "\n\n") if same else "\n\n"
            self._parts.append(joint)
            self._length += len(joint)
        start = self._length
        self._parts.append(block.text)
        self._length += len(block.text)
        return start

    def _note_pages(self, block: Block, start: int) -> None:
        if block.member and self._page_starts and self._page_starts[-1][1]:
            self._page_starts.append((start, 0))  # the pages of each file are counted for themselves
        if block.page is None:
            return
        for offset, page in ((0, block.page), *block.breaks):
            if not self._page_starts or page > self._page_starts[-1][1]:
                self._page_starts.append((start + offset, page))

    def _open_node(self, block: Block, start: int) -> None:
        if block.kind == "heading":
            self._add_section(block, start)
        elif block.kind == "table_row":
            if not self._items or self._items[-1].node.kind != "table":
                table = self._add("table", 0, "", start, block)
                self._items.append(_Open(table, table=block.table))
            self._leaf("table_row", block, start)
        elif block.number or block.style or block.kind == "list_item":
            nested = bool(self._items) or block.kind == "list_item"
            level = len(self._items) + 1
            kind: Kind = "list_item" if nested or not block.number else "paragraph"
            node = self._add(kind, level if kind == "list_item" else 0, block.number, start, block)
            self._items.append(_Open(node, style=block.style, depth=block.level, number=block.number))
        else:
            self._leaf(block.kind, block, start)

    def _add_section(self, block: Block, start: int) -> None:
        around = self._suspended[-1] if self._suspended and block.rank == law.QUOTED else []
        parent = (around or self._sections)[-1].node.ord
        title = block.title or block.text
        node = _Growing(len(self._nodes), parent, "section", len(self._sections), title, start, block)
        self._nodes.append(node)
        self._sections.append(_Open(node, key=(block.level, block.rank), member=block.member))

    def _leaf(self, kind: Kind, block: Block, start: int) -> None:
        node = self._add(kind, 0, "", start, block)
        node.end = self._length

    def _add(self, kind: Kind, level: int, title: str, start: int, block: Block) -> _Growing:
        holder = self._items[-1] if self._items else self._sections[-1]
        node = _Growing(len(self._nodes), holder.node.ord, kind, level, title, start, block)
        self._nodes.append(node)
        return node

    def _close_sections(self, keep: int) -> None:
        self._close_items(0)
        while len(self._sections) > keep:
            gone = self._sections.pop()
            self._close(gone)
            if gone.key[1] == law.QUOTED and self._suspended:
                self._items = self._suspended.pop()
                self._close_items(0)

    def _close_items(self, keep: int) -> None:
        while len(self._items) > keep:
            self._close(self._items.pop())

    def _close(self, gone: _Open) -> None:
        gone.node.end = self._length


def _holds(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    """Whether a section (level, legal rank) can hold another: by level; on one level by rank, if both have one."""
    if outer[0] != inner[0]:
        return outer[0] < inner[0]
    return 0 < outer[1] < inner[1]
