"""Long texts in pieces that a model can read at once, cut at the ends of sentences."""

from __future__ import annotations

from dataclasses import dataclass

from bastide.inference.local.sentence_ends import sentence_spans

PIECE_CHARACTERS_MAX = 8000
"""About 2,000 to 2,700 tokens: what the smallest models in use can read beside an instruction and an answer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: `text` is `whole[start:end]`."""

    text: str
    start: int
    end: int


def pieces(text: str, characters_max: int = PIECE_CHARACTERS_MAX) -> list[Piece]:
    """The whole text in order, nothing lost, each piece at most so long; cut inside a sentence only if it must be."""
    if len(text) <= characters_max:
        return [Piece(text, 0, len(text))]
    found: list[Piece] = []
    start = at = 0
    for _, end in [*sentence_spans(text), (0, len(text))]:
        if end - start > characters_max:
            if at > start:
                found.append(Piece(text[start:at], start, at))
                start = at
            while end - start > characters_max:
                cut = _cut(text, start, start + characters_max)
                found.append(Piece(text[start:cut], start, cut))
                start = cut
        at = max(at, end)
    if start < len(text):
        found.append(Piece(text[start:], start, len(text)))
    return found


def sentences(text: str) -> list[Piece]:
    """The sentences of the text, in order, without the blanks between them."""
    return [Piece(text[start:end], start, end) for start, end in sentence_spans(text)]


def _cut(text: str, start: int, stop: int) -> int:
    """Where to cut a sentence that is too long: after its last blank, else anywhere."""
    blank = max(text.rfind(sign, start + 1, stop) for sign in (" ", "\n", "\t"))
    return blank + 1 if blank > start + (stop - start) // 2 else stop
