"""Programs: each definition a section, its lines as code; the language is told by the comments alone."""

import re
from collections.abc import Callable

from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.languages_of_code import Language
from bastide.knowledge.reading.values import Limits

_LINES_MAX = 60
"""Lines of one block of code; a longer one is parted at its empty lines, or else anywhere."""
_DEEPEST = 3
_TAB = 4
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")


def reader_of_code(language: Language) -> Callable[[bytes, Limits], Draft]:
    """The reader of programs in one language."""

    def read_code(data: bytes, limits: Limits) -> Draft:
        draft = Draft([])
        text = hold(decode(data, draft.problems), limits)
        draft.prose = _comments(text, language)
        _sections(text.split("\n"), language, draft.blocks)
        return draft

    return read_code


def _sections(lines: list[str], language: Language, blocks: list[Block]) -> None:
    """A definition's first line is its heading; what stands deeper within it is a section of its own."""
    run: list[str] = []
    indents: list[int] = []
    for line in lines:
        found = language.defines.match(line) if language.defines is not None and len(line) < 400 else None
        if found is None:
            run.append(line)
            continue
        indent = len(found["indent"].expandtabs(_TAB))
        while indents and indents[-1] >= indent:
            indents.pop()
        if len(indents) >= _DEEPEST or (indent and not indents):  # deeper ones are told by their lines
            run.append(line)
            continue
        _code(run, blocks)
        run = []
        indents.append(indent)
        name = found.groupdict().get("name") or ""
        blocks.append(Block("heading", line.strip(), level=len(indents), title=name and line.strip().rstrip("{: ")))
    _code(run, blocks)


def _code(lines: list[str], blocks: list[Block]) -> None:
    start = 0
    while start < len(lines):
        end = min(start + _LINES_MAX, len(lines))
        if end < len(lines):
            empty = next((at for at in range(end, start + _LINES_MAX // 2, -1) if not lines[at].strip()), end)
            end = empty
        part = "\n".join(lines[start:end]).strip("\n")
        if part.strip():
            blocks.append(Block("code", part))
        start = end


def _comments(text: str, language: Language) -> str:
    """The words of the comments; a mark within a string is no comment, one over several lines may hide one."""
    said: list[str] = []
    opens, closes = language.block
    within = False
    for line in text.split("\n"):
        rest = line
        if within:
            before, closed, rest = line.partition(closes)
            said.append(before)
            within = not closed
            if within:
                continue
        bare = _STRING.sub("", rest) if opens != '"""' else rest
        block = bare.find(opens) if opens else -1
        single = bare.find(language.line) if language.line else -1
        if single >= 0 and (block < 0 or single < block):
            said.append(bare[single + len(language.line) :])
        elif block >= 0:
            inside, closed, _ = bare[block + len(opens) :].partition(closes)
            said.append(inside)
            within = not closed
    return "\n".join(words for words in (line.strip(" \t*#/!-=") for line in said) if words)
