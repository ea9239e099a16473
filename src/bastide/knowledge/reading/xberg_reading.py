"""The library xberg as an extractor: an extra, run in a process of its own, never imported here."""

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, ReaderFailed, UnreadableFile
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import Block, BlockKind, Draft
from bastide.knowledge.reading.confining import XBERG, confined
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.values import Box, Limits, PageRead

_KINDS: dict[str, BlockKind] = {
    "title": "heading", "heading": "heading", "paragraph": "paragraph", "list_item": "list_item", "code": "code",
    "quote": "quote", "formula": "formula", "footnote": "footnote",
}  # fmt: skip
_MEMORY_TIMES = 4
"""Its engine reserves far more address space than it uses."""
_HARMFUL = "The file makes its reader fail: it is damaged, or made to do harm."


class XbergExtractor:
    """Structure by xberg (MIT): headings by type size, tables without boxes, no running heads."""

    name = "xberg"

    def __init__(self) -> None:
        spec = find_spec("xberg")
        self._folder = str(Path(spec.origin).parents[1]) if spec is not None and spec.origin else ""

    @classmethod
    def installed(cls) -> bool:
        """Whether the library is here."""
        return find_spec("xberg") is not None

    @property
    def version(self) -> str:
        """The library's version; "" where it is not installed."""
        try:
            return version("xberg")
        except PackageNotFoundError:
            return ""

    @property
    def media_types(self) -> frozenset[str]:
        """What it is asked for here."""
        return frozenset({media.PDF, media.DOCX, media.HTML})

    def extract(self, data: bytes, limits: Limits) -> Draft:
        """What the file says; see `Extractor`."""
        kind = media.media_type("", data)
        figures = (limits.seconds_max, limits.memory_max * _MEMORY_TIMES)
        with confined(XBERG, [kind, *map(str, figures), self._folder], data, limits.seconds_max) as said:
            answer = said.read()
        try:
            told = json.loads(answer)
        except ValueError as error:
            raise ReaderFailed(_HARMFUL) from error
        if "error" in told:
            raise _refusal(told["error"])
        pages = len(told["sizes"])
        if pages > limits.pages_max:
            raise FileTooLarge(f"The PDF has {pages:,} pages; the limit is {limits.pages_max:,}.")
        draft = _draft(told)
        if kind == media.PDF:
            reason = "the file's own text"
            draft.page_reads = [
                PageRead(page, wide, high, "text", f"xberg {self.version}", reason=reason)
                for page, (wide, high) in enumerate(told["sizes"], 1)
            ]
        return draft


def _refusal(error: str) -> Exception:
    if error == "locked":
        return EncryptedFile("The file is protected by a password.")
    if error == "memory":
        return BombFile("Reading the file would take more memory than a document may have.")
    return UnreadableFile("The file is damaged: it cannot be opened.")


def _draft(told: dict[str, Any]) -> Draft:
    sizes = told["sizes"]
    draft = Draft([], title=told["title"], pages=len(sizes) or None)
    table = 0
    page: int | None = None
    for kind, text, level, on_page, edges, rows in told["nodes"]:
        page = (on_page or page or 1) if sizes else None
        boxes = _boxes(edges, page, sizes)
        if rows is not None:
            table += 1
            for cells in rows:
                made = row([Field(cell) for cell in cells], table, draft.problems, page)
                if made is not None:
                    made.source, made.confidence, made.boxes = "xberg", 0.7, boxes
                    draft.blocks.append(made)
        elif kind in _KINDS and text.strip():
            made = Block(_KINDS[kind], text.strip(), page=page, boxes=boxes, source="xberg", confidence=0.7)
            made.level = (level or 1) if made.kind == "heading" else 0
            draft.blocks.append(made)
    return draft


def _boxes(edges: list[float] | None, page: int | None, sizes: list[list[float]]) -> tuple[Box, ...]:
    if not edges or page is None or not 1 <= page <= len(sizes):
        return ()
    high = sizes[page - 1][1]
    return (Box(page, edges[0], round(high - edges[3], 1), edges[2], round(high - edges[1], 1)),)
