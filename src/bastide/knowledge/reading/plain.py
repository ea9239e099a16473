"""Plain text: paragraphs between blank lines; headings by what they say and how they stand."""

import re

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import FORMLESS, Block, Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.values import Limits

_UNDERLINE = re.compile(r"[ \t]*(={3,}|-{3,}|~{3,}|\*{3,})[ \t]*")
_RULE = re.compile(r"[ \t]*([=\-_*~#]\s?){3,}[ \t]*")
_DECIMAL = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+(?=[^\W\d_])")
_BLANKS = re.compile(r"[ \t\u00a0]+")


def read_plain(data: bytes, limits: Limits) -> Draft:
    """The paragraphs of a plain text."""
    draft = Draft([])
    text = hold(decode(data, draft.problems), limits)
    draft.blocks = plain_blocks(text)
    first = draft.blocks[0] if draft.blocks else None
    if first is not None and len(first.text) <= 200 and "\n" not in first.text and not first.text.endswith("."):
        draft.title = first.text
    return draft


def plain_blocks(text: str) -> list[Block]:
    """The blocks of a text: split at blank lines, and where a line begins with a heading or a number."""
    blocks: list[Block] = []
    lines: list[str] = []
    signed = False
    for raw in (*text.split("\n"), ""):
        line = raw.rstrip()
        if line.strip():
            lines.append(line)
        elif lines:
            _flush(lines, blocks, guess=bool(blocks) and not signed)
            signed = signed or law.closes_act(blocks[-1].text if blocks else "")
            lines = []
    return blocks


def _flush(lines: list[str], blocks: list[Block], *, guess: bool) -> None:
    """One stretch without blank lines becomes one block or, where headings and numbers stand in it, several.

    `guess` = a line alone may be a heading by its looks: not so for the title, nor for the names below a law.
    """
    if len(lines) == 2 and _UNDERLINE.fullmatch(lines[1]) and len(lines[0]) < 200:
        blocks.append(_heading_of(lines[0].strip(), 1 if "=" in lines[1] else 2))
        return
    run: list[str] = []
    for line in lines:
        stripped = line.strip()
        if _RULE.fullmatch(stripped):
            _paragraph(run, blocks)
            run = []
            continue
        if law.heading(stripped) is not None or (run and _begins(stripped)):
            _paragraph(run, blocks)
            run = []
        run.append(stripped)
        if len(run) == 1 and law.heading(stripped) is not None:
            _paragraph(run, blocks)
            run = []
    if guess and len(lines) == 1 and run and (level := _looks_like_heading(run[0])):
        blocks.append(_heading_of(run[0], level))
        return
    _paragraph(run, blocks)


def _begins(line: str) -> bool:
    """Whether a line inside a stretch begins a numbered paragraph or a point of a list."""
    found = law.mark(line)
    return found is not None and found.length < len(line)


def _looks_like_heading(line: str) -> int:
    """The level of a line that stands alone and reads as a heading ("2.1 Scope", "SCOPE"); 0 if it does not."""
    if len(line) > 100 or line[-1] in ".,;:!?" or line.count(" ") > 14:
        return 0
    numbered = _DECIMAL.match(line)
    if numbered is not None:
        rest = line[numbered.end() :]
        return FORMLESS + numbered[1].count(".") if rest[0].isupper() and rest.count(" ") < 10 else 0
    letters = [letter for letter in line if letter.isalpha()]
    return FORMLESS if len(letters) >= 6 and line == line.upper() and line != line.lower() and line[0] != "(" else 0


def _heading_of(text: str, level: int) -> Block:
    return Block("heading", text, level=level)


def _paragraph(lines: list[str], blocks: list[Block]) -> None:
    if lines:
        blocks.append(Block("paragraph", "\n".join(_BLANKS.sub(" ", line) for line in lines)))
