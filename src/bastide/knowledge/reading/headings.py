"""Headings of laid-out pages: by the outline that the file carries, else by how they look.

A heading that only its type betrays stands alone, is short, and is larger or bolder than the text. Type that is used
for whole paragraphs, for entries of a table of contents or for words at the start of a paragraph is none.
"""

import re
from dataclasses import dataclass

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.paragraphs import Paragraph
from bastide.knowledge.reading.printed import BOLD, Line

_LEADERS = re.compile(r"(?:\.\s?){4,}|…\s*\d*$")
_NUMBERED = re.compile(
    r"(?:(\d{1,3}(?:\.\d{1,3}){0,5})\.?|([A-Z](?:\.\d{1,3}){1,4})\.?|([A-Z])\.?|([IVX]{1,6})\.)\s+\S"
)
_CHARACTERS_MAX = 200
_LEVELS_MAX = 6


@dataclass(frozen=True, slots=True)
class Outline:
    """One entry of the table of contents that the file carries."""

    title: str
    level: int
    page: int


def named_lines(lines: list[Line], outline: list[Outline]) -> None:
    """Marks the lines that are headings by their own words or by the outline: no paragraph runs across them."""
    named = {(entry.page, bare(entry.title)) for entry in outline}
    for line in lines:
        line.heads = law.heading(line.text) is not None or (line.page, bare(line.text)) in named


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
    _by_looks(texts, body)


def _by_looks(texts: list[tuple[Paragraph, Block]], body: float) -> None:
    looks = [_look(paragraph, block, body) for paragraph, block in texts]
    ranks = sorted({look for look in looks if look[0]}, reverse=True)[:_LEVELS_MAX]
    for (_, block), look in zip(texts, looks, strict=True):
        if look in ranks:
            block.kind, block.level, block.source = "heading", ranks.index(look) + 1, "font"
            block.confidence = 0.9 if look[0] >= 1.12 * body else 0.75


def _look(paragraph: Paragraph, block: Block, body: float) -> tuple[float, bool]:
    """(size, bold) of a paragraph that stands out as a heading does; (0, False) for others."""
    first = paragraph.lines[0]
    short = len(paragraph.lines) <= 3 and len(block.text) <= _CHARACTERS_MAX
    letters = sum(map(str.isalpha, block.text))  # a letter by itself parts the entries of an index
    if block.kind != "paragraph" or not short or letters < 2 or _points_on(block, paragraph.lines[-1]):
        return 0.0, False
    bold = all(line.looks(BOLD) for line in paragraph.lines)
    larger = first.size >= 1.12 * body
    stands_out = larger or (bold and first.size >= 0.98 * body and block.text[-1] not in ".,;")
    return (first.size, bold) if stands_out else (0.0, False)


def _points_on(block: Block, last: Line) -> bool:
    """Whether this is an entry of a table of contents: it ends with leaders, or with a number far to the right."""
    if _LEADERS.search(block.text):
        return True
    apart = len(last.words) > 1 and last.words[-1].left - last.words[-2].right > 1.5 * last.size
    return apart and last.word_text(len(last.words) - 1).isdecimal()


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
