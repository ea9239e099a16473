"""Headings of laid-out pages: by the outline that the file carries, else by how they look (`looks`)."""

from dataclasses import dataclass

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.looks import by_looks
from bastide.knowledge.reading.paragraphs import Paragraph
from bastide.knowledge.reading.printed import BOLD, Line

_CHARACTERS_MAX = 200
_LARGER = 1.12
"""Type that is so much larger than the text stands out."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One entry of the table of contents that the file carries."""

    title: str
    level: int
    page: int


def named_lines(lines: list[Line], outline: list[Outline], body: float) -> None:
    """Marks the lines that are headings by their own words or by the outline: no paragraph runs across them."""
    named = {(entry.page, bare(entry.title)) for entry in outline}
    pages = {entry.page for entry in outline}
    lawful = [line for line in lines if law.heading(line.text) is not None]
    printed = sum(line.size >= _LARGER * body and len(line.text) <= _CHARACTERS_MAX for line in lines)
    set_in_type = printed >= max(5, sum(not _stands_out(line, body) for line in lawful))
    believed = {id(line) for line in lawful if not set_in_type or _stands_out(line, body)}
    for line in lines:
        line.heads = id(line) in believed or (line.page in pages and (line.page, bare(line.text)) in named)


def _stands_out(line: Line, body: float) -> bool:
    return line.size >= _LARGER * body or line.looks(BOLD) or line.text.isupper()


def find_headings(texts: list[tuple[Paragraph, Block]], outline: list[Outline], body: float) -> None:
    """Makes headings of the blocks that are some."""
    blocks = [block for _, block in texts]
    if len(outline) >= 2 and _by_outline(blocks, outline) * 2 >= len(outline):
        return
    named = (law.heading(block.text) for block in blocks if len(block.text) < 120)
    if (
        sum(found is not None and found.rank == law.ARTICLE for found in named) >= 3
    ):  # a law: its own words say more than its type
        return
    by_looks(texts, body)


def _by_outline(blocks: list[Block], outline: list[Outline]) -> int:
    """Marks the paragraphs that the outline names; returns how many entries were found."""
    on_page: dict[int, list[Block]] = {}
    for block in blocks:
        on_page.setdefault(block.page or 0, []).append(block)
    found = 0
    for entry in outline:
        wanted = bare(entry.title)
        for page in (entry.page, entry.page + 1):
            hit = next((b for b in on_page.get(page, []) if b.kind == "paragraph" and _names(b, wanted)), None)
            if hit is not None:
                hit.kind, hit.level, hit.style = "heading", entry.level, ""
                hit.source, hit.confidence = "outline", 1.0
                found += 1
                break
    return found


def _names(block: Block, wanted: str) -> bool:
    if len(block.text) > 300:
        return False
    written = bare(block.text)
    return written == wanted or (len(wanted) > 3 and written.endswith(wanted) and len(written) - len(wanted) <= 12)


def bare(text: str) -> str:
    """The letters and digits of a text, in small letters."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
