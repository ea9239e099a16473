"""Markdown: CommonMark with tables; inline marks are taken off, the words stay."""

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.hypertext import html_blocks
from bastide.knowledge.reading.plain import plain_blocks
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.values import Limits

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_MARKED = re.compile(r"[*_`\[\]<>\\&!~]|  \n")
_DEFINITION = re.compile(r"\n:[ \t]+")
_BLANKS = re.compile(r"[ \t\u00a0]+")
_PICTURE = re.compile(r"!\[[^\]]*\](?:\([^()]*\)|\[[^\]]*\])")
_DEEPEST = 40
_INLINE_MAX = 20_000
"""Characters of one paragraph whose inline marks are looked at; beyond it they stay as they are."""


class _Words(MarkdownIt):
    """Markdown of which only the words are wanted: where a link leads is neither checked nor rewritten."""

    def validateLink(self, url: str) -> bool:  # the parser's own name
        return True

    def normalizeLink(self, url: str) -> str:
        return url


@cache
def _parser() -> MarkdownIt:
    # Indented text is no code here: statutes indent the points of their lists.
    return _Words("commonmark", {"maxNesting": _DEEPEST}).enable("table").disable(["code"])


def read_markdown(data: bytes, limits: Limits) -> Draft:
    """The blocks of a Markdown text; its front matter stays, as code, so that nothing is lost."""
    draft = Draft([])
    text = hold(decode(data, draft.problems), limits)
    front = _FRONT.match(text)
    if front is not None:
        titled = _FRONT_TITLE.search(front[1])
        draft.title = titled[1].strip("\"'") if titled else ""
        if front[1].strip():
            draft.blocks.append(Block("code", front[1].strip("\n")))
        text = text[front.end() :]
    text = _FOOTNOTE.sub(r"\1\\[^\2]:", text)  # else the parser takes it for the address of a link, and drops it
    tokens = _block_tokens(text)
    if max((token.level for token in tokens), default=0) >= _DEEPEST - 2:
        # the parser leaves out in silence what is nested deeper
        draft.problems.append(f"nested deeper than {_DEEPEST} levels; read as plain text")
        draft.blocks += plain_blocks(text)
        return draft
    _Walk(draft, limits).through(tokens)
    return draft


def _block_tokens(text: str) -> list[Token]:
    """The block structure alone: inline text is parsed only where it holds a mark."""
    parser = _parser()
    tokens: list[Token] = []
    parser.block.parse(text, parser, {}, tokens)
    return tokens


class _Walk:
    """One pass over the tokens, keeping count of lists, quotes and tables."""

    def __init__(self, draft: Draft, limits: Limits) -> None:
        self._draft = draft
        self._limits = limits
        self._lists: list[int] = []  # next number of each open list; -1 = bullets
        self._first_of_item = False
        self._quotes = 0
        self._tables = 0
        self._row: list[Field] | None = None
        self._header = False

    def through(self, tokens: list[Token]) -> None:
        for at, token in enumerate(tokens):
            kind = token.type
            if kind == "inline":
                self._inline(token, tokens[at - 1])
            elif kind in {"fence", "code_block"}:
                self._add(Block("code", token.content.rstrip("\n")))
            elif kind == "html_block":
                for block in html_blocks(token.content.encode(), self._limits, self._draft.problems):
                    self._add(block)
            elif kind in {"blockquote_open", "blockquote_close"}:
                self._quotes += token.nesting
            elif "list" in kind:
                self._list(kind, token)
            elif kind in {"table_open", "tr_open", "tr_close"}:
                self._row_of(kind)

    def _list(self, kind: str, token: Token) -> None:
        if kind in {"ordered_list_open", "bullet_list_open"}:
            self._lists.append(int(token.attrs.get("start", 1)) if kind[0] == "o" else -1)
        elif kind == "list_item_open":
            self._first_of_item = True
        elif kind == "list_item_close":
            self._lists[-1] += self._lists[-1] >= 0
        else:
            self._lists.pop()

    def _row_of(self, kind: str) -> None:
        if kind == "table_open":
            self._tables += 1
            self._header = True
        elif kind == "tr_open":
            self._row = []
        else:
            block = row(self._row or [], self._tables, self._draft.problems)
            if block is not None:
                self._add(block)
            self._row, self._header = None, False

    def _inline(self, token: Token, opener: Token) -> None:
        formula = _FORMULA.fullmatch(token.content.strip())
        if formula is not None and self._row is None:
            self._add(Block("formula", (formula[1] or formula[2]).strip()))
            return
        text = _bare(token.content)
        if self._row is not None:
            self._row.append(Field(text, header=self._header))
        elif opener.type == "paragraph_open" and (note := _NOTE.match(text)) is not None:
            for part in re.split(r"\n(?=\[\^)", text):
                note = _NOTE.match(part)
                self._add(Block("footnote", f"{note[1]} {part[note.end() :]}" if note is not None else part))
        elif opener.type == "paragraph_open" and _PICTURE.fullmatch(token.content.strip()) is not None:
            self._add(Block("figure", text))
        elif opener.type == "heading_open":
            self._add(Block("heading", " ".join(text.split()), level=int(opener.tag[1])))
        elif self._lists and self._first_of_item:
            self._first_of_item = False
            number = str(self._lists[-1]) if self._lists[-1] >= 0 else ""
            marked = f"{number}. {text}" if number else text
            self._add(Block("list_item", marked, level=len(self._lists), number=number, style="1." if number else ""))
        elif self._quotes:
            self._add(Block("quote", text))
        else:
            for part in _split_points(text):
                self._add(Block("paragraph", part, level=len(self._lists)))

    def _add(self, block: Block) -> None:
        if block.text.strip():
            self._draft.blocks.append(block)


_FOOTNOTE = re.compile(r"^( {0,3})\[\^([^\]\n]{1,60})\]:", re.MULTILINE)
_NOTE = re.compile(r"\[\^([^\]\n]{1,60})\]:\s*")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", re.DOTALL)
_POINT = re.compile(r"\n(?=(?:\d{1,3}°|[a-z]\)|\(\d{1,3}[a-z]?\)|\([a-z]\)|[IVX]{1,5}\.)\s)")


def _split_points(text: str) -> list[str]:
    """A paragraph whose lines are the points of a statute ("1° ...") is as many blocks."""
    return _POINT.split(text)


def _bare(text: str) -> str:
    """The words of an inline text, without its marks."""
    text = _DEFINITION.sub(": ", text)
    if _MARKED.search(text) is not None and len(text) <= _INLINE_MAX:
        parsed = _parser().parseInline(text)
        text = "".join(_words(parsed[0].children or []))
    return "\n".join(_BLANKS.sub(" ", line.strip()) for line in text.split("\n")).strip()


def _words(tokens: list[Token]) -> list[str]:
    words: list[str] = []
    hidden = False
    for token in tokens:
        if token.type == "html_inline":
            tag = token.content.lower()
            if tag.startswith(("<script", "<style")):
                hidden = True
            elif tag.startswith(("</script", "</style")):
                hidden = False
            elif tag.startswith("<br"):
                words.append("\n")
        elif hidden:
            continue
        elif token.type in {"softbreak", "hardbreak"}:
            words.append("\n")
        elif token.type == "image":
            words.extend(_words(token.children or []))
        elif token.type in {"text", "code_inline", "text_special"}:
            words.append(token.content)
    return words
