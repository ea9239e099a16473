"""Cutting: chunks that keep to the structure, small enough for an embedder, exact to the character."""

import re
from dataclasses import dataclass

from bastide.knowledge.reading.sentences import sentences
from bastide.knowledge.reading.values import Box, Node, Piece, Reading

_WORD = re.compile(r"\S+")
_CHARS_PER_WORD = {"en": 8.6, "fr": 6.3, "es": 6.3, "it": 6.3, "pt": 6.3}
_CHARS_PER_FOREIGN_WORD = 5.3
"""A chunk may hold so many characters per allowed word. Measured on laws with the English vocabulary of MiniLM:
a word piece is 5.4 characters of English, 3.4 of French, 2.8 of German or Dutch; 120 words
and the nearest headings must stay below 256."""


@dataclass(slots=True)
class _Atom:
    """Text that stays together: a paragraph, a point, a row, or a stretch of sentences of a long one."""

    start: int
    end: int
    words: int
    node: int
    begins: bool
    """Whether a new paragraph of law, table or code begins here: a good place to cut."""


# A reading is cut in this order:
#   1. every node's own words (before its first child) become atoms; long ones are split at sentence ends
#   2. atoms of one section are packed: up to `max_words`, but a numbered paragraph of `min_words` stands alone
#   3. a tail too short to say anything joins the chunk before it
#   4. each pack is named by the innermost node that holds it, and by the headings above that
def cut(reading: Reading, *, max_words: int = 120, min_words: int = 25) -> tuple[Piece, ...]:
    """The chunks of `reading`, in order. Together they hold all words of its body, each once; headings stand in
    `Piece.section` instead (a section without a body is a chunk of its heading).

    No chunk crosses a heading. `max_words` = 120 keeps German and Dutch under the 256 word pieces of small
    embedding models. A last chunk may exceed it by a tenth.
    """
    if max_words < 8 or not 0 <= min_words <= max_words:
        raise ValueError("max_words must be at least 8, and min_words between 0 and max_words")
    return _Cutter(reading, max_words, min_words).pieces()


class _Cutter:
    def __init__(self, reading: Reading, max_words: int, min_words: int) -> None:
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
                self._sections[node], self._places(pack),
            )  # fmt: skip
            pieces.append(piece)
        return tuple(pieces)

    def _places(self, pack: list[_Atom]) -> tuple[Box, ...]:
        """One box a page around everything in a pack; of a part of a paragraph, that of the whole."""
        around: dict[int, Box] = {}
        for box in (box for ord in dict.fromkeys(atom.node for atom in pack) for box in self._nodes[ord].boxes):
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
        if words <= self._max and len(own) <= self._chars(node.ord):
            return [_Atom(start, start + len(own), words, node.ord, begins)]
        parts = self._split(own, node.ord)
        return [_Atom(start + a, start + b, len(own[a:b].split()), node.ord, begins and a == 0) for a, b in parts]

    def _split(self, text: str, node: int) -> list[tuple[int, int]]:
        """The sentences of a long paragraph, joined again while they fit; longer ones break at a blank."""
        chars = self._chars(node)
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
        words = 0
        for atom in atoms:
            chars = self._chars(atom.node)
            full = bool(packs) and (words + atom.words > self._max or atom.end - packs[-1][0].start > chars)
            if not packs or full or (atom.begins and words >= self._min and not self._same_kind(packs[-1][-1], atom)):
                packs.append([atom])
                words = atom.words
            else:
                packs[-1].append(atom)
                words += atom.words
        self._join_tail(packs)
        return packs

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
        fits = packs[-1][-1].end - packs[-2][0].start <= self._chars(packs[-1][0].node)
        if tail < self._min // 4 and not numbered and fits and tail + before <= self._max * 11 // 10:
            packs[-2].extend(packs.pop())

    # -- 4. names -------------------------------------------------------------------------------

    def _name(self, pack: list[_Atom]) -> tuple[int, tuple[str, ...]]:
        """The innermost node that holds all of `pack`, and its path; "2-3" where it spans numbered neighbours."""
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
