"""Preparing: one file's bytes become everything that will be written about it. Pure and CPU-bound; run in a thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bastide.knowledge.ranking import term_key
from bastide.knowledge.reading import Limits, Piece, Reading, cut, read, terms
from bastide.knowledge.references import FIELD, named_by

_TITLE_CHARACTERS_MAX = 160
_LENGTH_MAX = 65_535
_TIMES_MAX = 32_767
_FIRST_OF_A_PLACE = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it will be written. `postings`: term -> [(ord of the chunk, times * 65536 + length)]."""

    reading: Reading
    pieces: tuple[Piece, ...]
    lengths: tuple[int, ...]
    postings: dict[int, list[tuple[int, int]]]

    def texts_to_embed(self) -> list[str]:
        """What the embedder reads of each chunk: its nearest headings, then its text."""
        return [f"{heading(self.reading.title, piece.section)}\n{piece.text}".strip() for piece in self.pieces]


def prepare(name: str, data: bytes, limits: Limits) -> Prepared:
    """Read, cut and count. Raises the refusals of `reading` for a file that cannot be taken in."""
    reading = read(name, data, limits=limits)
    pieces = tuple(cut(reading))
    lengths: list[int] = []
    postings: dict[int, list[tuple[int, int]]] = {}
    places: set[str] = set()
    for piece in pieces:
        language = piece.language or reading.language
        counted = terms(piece.text, language) + terms(headings(reading.title, piece.section), language)
        length = min(sum(counted.values()), _LENGTH_MAX)
        lengths.append(length)
        keys = _keys(counted, language)
        for place in named_by(piece.section):  # its first chunk is the place above all
            keys[term_key(FIELD, place)] = 1 if place in places else _FIRST_OF_A_PLACE
            places.add(place)
        for key, times in keys.items():
            postings.setdefault(key, []).append((piece.ord, min(times, _TIMES_MAX) << 16 | length))
    return Prepared(reading, pieces, tuple(lengths), postings)


def _keys(counted: Counter[str], language: str) -> dict[int, int]:
    return {term_key(language, stem): times for stem, times in counted.items()}


def headings(title: str, section: Iterable[str]) -> str:
    """The words above a chunk: the document's title and the path of its headings."""
    path = list(section)
    start = title[:_TITLE_CHARACTERS_MAX]
    return "\n".join([start, *path] if start and start not in path else path)


def heading(title: str, section: Iterable[str]) -> str:
    """The nearest headings with a word in them, at most two; the title where there are none."""
    named = [part for part in section if any(map(str.isalpha, part))]
    return " · ".join(named[-2:]) or title[:_TITLE_CHARACTERS_MAX]
