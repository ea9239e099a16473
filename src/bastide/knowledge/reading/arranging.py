"""Arranging: finds the headings and numbers that the words betray, where the format is silent.

The rules are those of `law`; other documents pass through unchanged but for their numbered lists.
"""

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import FORMLESS, Block


def arrange(blocks: list[Block]) -> list[Block]:
    """The same text in the same order, with headings, their titles, and paragraph numbers marked."""
    arranged: list[Block] = []
    total = len(blocks)
    at = 0
    while at < total:
        block = blocks[at]
        at += 1
        if block.kind == "heading" and not block.member:
            at = _heading(block, blocks, at)
        elif block.kind in {"paragraph", "list_item", "quote"}:
            if _becomes_heading(block):
                at = _heading(block, blocks, at)
                block.title = block.title.rstrip(": ")
            elif not block.number:
                at = _numbered(block, blocks, at)
        arranged.append(block)
    return arranged


def _becomes_heading(block: Block) -> bool:
    text = block.text
    if block.kind != "paragraph" or block.plain or len(text) > 300:
        return False
    if law.opens_recitals(text):
        block.rank = law.PREAMBLE
    else:
        found = law.heading(text)
        if found is None:
            return False
        block.rank = found.rank
    block.kind, block.level = "heading", FORMLESS
    return True


def _heading(block: Block, blocks: list[Block], at: int) -> int:
    """Gives a heading its rank, and the title that stands on the next line; returns where to go on."""
    block.title = block.title or " ".join(block.text.split())
    found = law.heading(block.text, sure=True)
    if found is not None:
        block.rank = block.rank or found.rank
        if not found.titled and at < len(blocks) and _is_title(blocks[at]):
            following = blocks[at]
            block.text = f"{block.text}\n{following.text}"
            block.title = f"{block.title} {' '.join(following.text.split())}"
            at += 1
    return at


def _is_title(block: Block) -> bool:
    return block.kind == "paragraph" and block.table == 0 and not block.number and law.title_line(block.text)


def _numbered(block: Block, blocks: list[Block], at: int) -> int:
    """Gives a paragraph its number; a number alone on its line takes the text that follows it."""
    found = law.mark(block.text)
    if found is None:
        return at
    block.number, block.style = found.number, found.style
    if found.length >= len(block.text) and at < len(blocks):
        following = blocks[at]
        if following.kind in {"paragraph", "list_item"} and not following.number and law.mark(following.text) is None:
            lead = f"{block.text.rstrip()} "
            shift = len(lead)
            block.text = lead + following.text
            own = ((shift, following.page),) if following.page != block.page and following.page is not None else ()
            block.breaks = own + tuple((offset + shift, page) for offset, page in following.breaks)
            at += 1
    return at
