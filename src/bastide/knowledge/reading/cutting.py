"""Cutting: chunks that keep to the structure, small enough for an embedder, exact to the character."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from bastide.knowledge.reading.sentences import sentences
from bastide.knowledge.reading.values import Box, Node, Piece, Reading

_WORD = re.compile(r"\S+")
_MARKS = 2
"""Tokens that an embedder adds to every text: its two end marks."""
_HEAD_MAX = 160
"""Characters of a table's head that a chunk within the table names."""
_PAGES_FEW = 2
"""A paragraph on more pages is placed by those that a chunk of it stands on: one over all pages of a book exists."""
_PAGE = attrgetter("page")
_CHARS_PER_WORD = {"en": 8.6, "fr": 6.3, "es": 6.3, "it": 6.3, "pt": 6.3}
_CHARS_PER_FOREIGN_WORD = 5.3
"""A chunk may hold so many characters per allowed word. Measured on laws with the English vocabulary of MiniLM:
a word piece is 5.4 characters of English, 3.4 of French, 2.8 of German or Dutch; 120 words
and the nearest headings must stay below 256."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How long texts are for an embedder."""

    most: int
    """Tokens of a text that it reads; what lies behind is not seen."""
    count: Callable[[Sequence[str]], list[int]]
    """The tokens of each text, its two end marks included."""


@dataclass(slots=True)
class _Atom:
    """Text that stays together: a paragraph, a point, a row, or a stretch of sentences of a long one."""

    start: int
    end: int
    words: int
    node: int
    begins: bool
    """Whether a new paragraph of law, table or code begins here: a good place to cut."""
    tokens: int = 0
    """0 where nobody counts them."""


# A reading is cut in this order:
#   1. every node's own words (before its first child) become atoms; long ones are split at sentence ends
#   2. atoms of one section are packed: up to `max_words`, but a numbered paragraph of `min_words` stands alone, and a
#      table that fits into one chunk is not cut
#   3. a tail too short to say anything joins the chunk before it
#   4. each pack is named by the innermost node that holds it, and by the headings above that
def cut(
    reading: Reading, *, max_words: int = 120, min_words: int = 25, gauge: Gauge | None = None
) -> tuple[Piece, ...]:
    """The chunks of `reading`, in order. Together they hold all words of its body, each once; headings stand in
    `Piece.section` instead (a section without a body is a chunk of its heading).

    No chunk crosses a heading. With a `gauge`, a chunk and its nearest headings have no more tokens than it allows;
    without one, `max_words` = 120 and a bound on characters keep German and Dutch under the 256 word pieces of small
    embedding models. A last chunk may exceed `max_words` by a tenth. A chunk that begins within a table names the
    table's head as the last part of its section.
    """
    if max_words < 8 or not 0 <= min_words <= max_words:
        raise ValueError("max_words must be at least 8, and min_words between 0 and max_words")
    return _Cutter(reading, max_words, min_words, gauge).pieces()


class _Cutter:
    def __init__(self, reading: Reading, max_words: int, min_words: int, gauge: Gauge | None) -> None:
        self._reading = reading
        self._nodes = reading.nodes
        self._text = reading.text
        self._max = max_words
        self._min = min_words
        self._paths: list[tuple[str, ...]] = []
        self._languages: list[str] = []
        self._sections: list[int] = []
        for node in self._nodes:
            above = self._paths[node.parent] if node.parent is not None else ()
            told = node.kind == "document" or (node.parent == 0 and node.title == reading.title)
            self._paths.append((*above, node.title) if node.title and not told else above)
            inherited = self._languages[node.parent] if node.parent is not None else reading.language
            self._languages.append(node.language or inherited)
            self._sections.append(
                node.ord if node.kind in {"section", "document"} else self._sections[node.parent or 0]
            )

        self._by_page: dict[int, list[Box]] = {}
        self._gauge = gauge
        self._tokens = self._counted()
        self._heads, self._sizes = self._tables()

    def _counted(self) -> list[int]:
        """The tokens of each node's own words; of a section, of its title."""
        if self._gauge is None:
            return [0] * len(self._nodes)
        last = len(self._nodes) - 1
        own: list[str] = []
        for node in self._nodes:
            end = min(node.end, self._nodes[node.ord + 1].start) if node.ord < last else node.end
            own.append(node.title if node.kind == "section" else self._text[node.start : max(end, node.start)])
        return [max(0, count - _MARKS) for count in self._gauge.count(own)]

    def _tables(self) -> tuple[dict[int, Node], dict[int, tuple[int, int]]]:
        """Of each table: the row that names its columns, if one does; and its (words, tokens)."""
        heads: dict[int, Node] = {}
        sizes: dict[int, tuple[int, int]] = {}
        for node in self._nodes:
            if node.kind == "table_row" and node.parent is not None:
                words, tokens = sizes.get(node.parent, (0, 0))
                more = len(self._text[node.start : node.end].split())
                if not words and any(cell.header for cell in node.cells):
                    heads[node.parent] = node
                sizes[node.parent] = words + more, tokens + self._tokens[node.ord]
        return heads, sizes

    def _room(self, node: int) -> int:
        """How many tokens a chunk in this place may have, beside its nearest headings."""
        if self._gauge is None:
            return 0
        titles: list[int] = []
        section: int | None = self._sections[node]
        while section is not None and len(titles) < 2:
            titles.append(self._tokens[section] if self._nodes[section].kind == "section" else 0)
            section = self._nodes[section].parent
        return self._gauge.most - _MARKS - min(sum(titles) + 2, self._gauge.most // 3)

    def _fits(self, words: int, chars: int, tokens: int, node: int) -> bool:
        """Whether a chunk may be so large."""
        if self._gauge is not None:
            return words <= self._max and tokens <= self._room(node)
        return words <= self._max and chars <= self._chars(node)

    def _chars(self, node: int) -> int:
        return int(self._max * _CHARS_PER_WORD.get(self._languages[node], _CHARS_PER_FOREIGN_WORD))

    def pieces(self) -> tuple[Piece, ...]:
        pieces: list[Piece] = []
        pages = iter(self._reading.page_starts)
        page: int | None = None
        following = next(pages, None)
        for pack in self._packs():
            start, end = pack[0].start, pack[-1].end
            while following is not None and following[0] <= start:
                page = following[1] or None
                following = next(pages, None)
            node, path = self._name(pack)
            words = sum(atom.words for atom in pack)
            piece = Piece(
                len(pieces), node, path, page, start, end, self._text[start:end], self._languages[node], words,
                self._sections[node], self._places(pack, page, self._page_at(end - 1)),
            )  # fmt: skip
            pieces.append(piece)
        return tuple(pieces)

    def _page_at(self, offset: int) -> int | None:
        """The page that a place in the text stands on."""
        at = bisect_right(self._reading.page_starts, offset, key=itemgetter(0))
        return self._reading.page_starts[at - 1][1] or None if at else None

    def _places(self, pack: list[_Atom], first: int | None, last: int | None) -> tuple[Box, ...]:
        """One box a page around everything in a pack; of a part of a paragraph, that of the whole on its pages."""
        around: dict[int, Box] = {}
        for ord in dict.fromkeys(atom.node for atom in pack):
            boxes: Sequence[Box] = self._nodes[ord].boxes
            if len(boxes) > _PAGES_FEW and first is not None and last is not None:
                if ord not in self._by_page:
                    self._by_page[ord] = sorted(boxes, key=_PAGE)
                boxes = self._by_page[ord]
                boxes = boxes[bisect_left(boxes, first, key=_PAGE) : bisect_right(boxes, last, key=_PAGE)]
            for box in boxes:
                other = around.get(box.page)
                around[box.page] = box if other is None else other.around(box)
        return tuple(around.values())

    # -- 1. atoms -------------------------------------------------------------------------------

    def _packs(self) -> list[list[_Atom]]:
        packs: list[list[_Atom]] = []
        group: list[_Atom] = []
        bare: Node | None = None  # the section just opened, while nothing stands in it yet
        holder = 0  # the section of the group
        last = len(self._nodes) - 1
        for node in self._nodes:
            end = min(node.end, self._nodes[node.ord + 1].start) if node.ord < last else node.end
            if node.kind == "section":
                packs.extend(self._pack(group))
                group = []
                if bare is not None and node.parent != bare.ord:
                    packs.append(self._heading(bare))
                bare = node
            elif node.kind not in {"document", "table"}:
                section = self._sections[node.ord]
                if section != holder:  # a section may end without another heading
                    packs.extend(self._pack(group))
                    group, holder = [], section
                group.extend(self._atoms(node, end))
                bare = None
        packs.extend(self._pack(group))
        if bare is not None:
            packs.append(self._heading(bare))
        return packs

    def _heading(self, section: Node) -> list[_Atom]:
        words = len(self._text[section.start : section.end].split())
        return [_Atom(section.start, section.end, words, section.ord, True)]

    def _atoms(self, node: Node, end: int) -> list[_Atom]:
        start = node.start
        own = self._text[start:end].rstrip()
        words = len(own.split())
        if not words:
            return []
        begins = node.kind in {"code", "table_row", "quote"} or (node.kind == "paragraph" and bool(node.title))
        if self._fits(words, len(own), self._tokens[node.ord], node.ord):
            return [_Atom(start, start + len(own), words, node.ord, begins, self._tokens[node.ord])]
        parts = self._split(own, node.ord)
        counts = self._count([own[a:b] for a, b in parts])
        while self._gauge is not None and max(counts) > self._room(node.ord) and len(parts) < len(own) // 8:
            room = self._room(node.ord)  # some stretches have more tokens than the whole has on average
            parts = [
                half
                for (a, b), count in zip(parts, counts, strict=True)
                for half in ([(a, b)] if count <= room else self._break(own, a, b, (b - a + 1) // 2))
            ]
            counts = self._count([own[a:b] for a, b in parts])
        return [
            _Atom(start + a, start + b, len(own[a:b].split()), node.ord, begins and a == 0, tokens)
            for (a, b), tokens in zip(parts, counts, strict=True)
        ]

    def _count(self, texts: list[str]) -> list[int]:
        if self._gauge is None:
            return [0] * len(texts)
        return [max(0, count - _MARKS) for count in self._gauge.count(texts)]

    def _split(self, text: str, node: int) -> list[tuple[int, int]]:
        """The sentences of a long paragraph, joined again while they fit; longer ones break at a blank."""
        chars = self._chars(node)
        if self._gauge is not None and self._tokens[node]:  # as many characters as its tokens allow, and a little less
            chars = max(40, int(0.85 * self._room(node) * len(text) / self._tokens[node]))
        small: list[tuple[int, int]] = []
        for start, end in sentences(text, self._languages[node]):
            small.extend(self._break(text, start, end, chars))
        parts: list[tuple[int, int]] = []
        words = 0
        whole = len(text.split())
        # even parts read better than a long one and a stub
        target = whole / max(1, -(-whole // self._max), -(-len(text) // chars))
        for start, end in small:
            count = len(text[start:end].split())
            fits = parts and words + count <= self._max and end - parts[-1][0] <= chars
            if parts and fits and words + count / 2 <= target:
                parts[-1] = (parts[-1][0], end)
                words += count
            else:
                parts.append((start, end))
                words = count
        return parts

    def _break(self, text: str, start: int, end: int, chars: int) -> list[tuple[int, int]]:
        """One sentence, or its parts where it is too long: at a line end, else a blank, else anywhere."""
        parts: list[tuple[int, int]] = []
        while start < end:
            stop = self._reach(text, start, end, chars)
            if stop < end:
                window = text[start:stop]
                half = len(window) // 2
                breaks = (window.rfind(mark, half) + len(mark.rstrip()) for mark in ("\n", "; ", ": ", ", ", " "))
                at = next((at for at in breaks if at > half), 0)
                stop = start + at if at > 0 else stop
            trimmed = len(text[start:stop].rstrip())
            if trimmed:
                parts.append((start, start + trimmed))
            start = stop
            while start < end and text[start].isspace():
                start += 1
        return parts

    def _reach(self, text: str, start: int, end: int, chars: int) -> int:
        """How far `max_words` words, or their share of characters, go from `start`."""
        end = min(end, start + chars)
        for count, word in enumerate(_WORD.finditer(text, start, end)):
            if count >= self._max:
                return word.start()
        return end

    # -- 2 and 3. packs -------------------------------------------------------------------------

    def _pack(self, atoms: list[_Atom]) -> list[list[_Atom]]:
        packs: list[list[_Atom]] = []
        words = tokens = 0
        for atom in atoms:
            start = packs[-1][0].start if packs else atom.start
            full = not self._fits(words + atom.words, atom.end - start, tokens + atom.tokens, atom.node)
            full = full or self._table_wants_its_own(atom, words, tokens)
            if not packs or full or (atom.begins and words >= self._min and not self._same_kind(packs[-1][-1], atom)):
                packs.append([atom])
                words, tokens = atom.words, atom.tokens
            else:
                packs[-1].append(atom)
                words, tokens = words + atom.words, tokens + atom.tokens
        self._join_tail(packs)
        return packs

    def _table_wants_its_own(self, atom: _Atom, words: int, tokens: int) -> bool:
        """Whether a table begins here that fits into a chunk, but not into the rest of this one."""
        node = self._nodes[atom.node]
        table = node.parent
        if node.kind != "table_row" or table is None or node.ord != table + 1:
            return False
        more_words, more_tokens = self._sizes[table]
        chars = self._nodes[table].end - self._nodes[table].start
        alone = self._fits(more_words, chars, more_tokens, node.ord)
        return alone and not self._fits(words + more_words, chars, tokens + more_tokens, node.ord)

    def _same_kind(self, before: _Atom, atom: _Atom) -> bool:
        """Rows of one table, and lines of one code, belong together however long they grow."""
        kinds = self._nodes[before.node].kind, self._nodes[atom.node].kind
        return kinds[0] == kinds[1] and kinds[0] in {"table_row", "quote"}

    def _join_tail(self, packs: list[list[_Atom]]) -> None:
        if len(packs) < 2:
            return
        tail = sum(atom.words for atom in packs[-1])
        before = sum(atom.words for atom in packs[-2])
        numbered = self._nodes[packs[-1][0].node].title
        chars = packs[-1][-1].end - packs[-2][0].start
        tokens = sum(atom.tokens for pack in packs[-2:] for atom in pack)
        fits = self._fits(0, chars, tokens, packs[-1][0].node)
        if tail < self._min // 4 and not numbered and fits and tail + before <= self._max * 11 // 10:
            packs[-2].extend(packs.pop())

    # -- 4. names -------------------------------------------------------------------------------

    def _name(self, pack: list[_Atom]) -> tuple[int, tuple[str, ...]]:
        """The innermost node that holds all of `pack`, and its path; "2-3" where it spans numbered neighbours."""
        node, path = self._place(pack)
        row = self._nodes[pack[0].node]
        head = self._heads.get(row.parent or 0) if row.kind == "table_row" else None
        if head is None or head.ord == row.ord:
            return node, path
        named = self._text[head.start : head.end]
        return node, (*path, named if len(named) <= _HEAD_MAX else f"{named[: _HEAD_MAX - 1].rstrip()}…")

    def _place(self, pack: list[_Atom]) -> tuple[int, tuple[str, ...]]:
        first, last = pack[0].node, pack[-1].node
        if first == last:
            return first, self._paths[first]
        above = self._ancestors(last)
        lower = first
        holder: int | None = first
        while holder is not None and holder not in above:
            lower, holder = holder, self._nodes[holder].parent
        holder = holder or 0
        if holder == first:
            return holder, self._paths[holder]
        upper = above[above.index(holder) - 1] if above.index(holder) else last
        a, b = self._nodes[lower].title, self._nodes[upper].title
        path = self._paths[holder]
        if a and b and self._nodes[lower].kind != "section":
            path = (*path, f"{a}-{b}")
        return holder, path

    def _ancestors(self, ord: int) -> list[int]:
        """The node and all that hold it, from the inside out."""
        chain = [ord]
        parent = self._nodes[ord].parent
        while parent is not None:
            chain.append(parent)
            parent = self._nodes[parent].parent
        return chain
