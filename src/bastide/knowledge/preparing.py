"""Preparing: one file's bytes become everything that will be written about it. Pure and CPU-bound; run in a thread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from bastide.knowledge.graph import Extracted, extracted
from bastide.knowledge.phrases import mentioned
from bastide.knowledge.ranking import term_key
from bastide.knowledge.reading import Gauge, Limits, Piece, Reading, cut, read_apart, terms
from bastide.knowledge.references import FIELD, named_by
from bastide.knowledge.weaving import pack

_TITLE_CHARACTERS_MAX = 160
_LENGTH_MAX = 65_535
_TIMES_MAX = 32_767
_FIRST_OF_A_PLACE = 3
_CALLED = 3  # the first chunks of a document, and of a section, are called as it is

_LINE_CHARACTERS_MAX, _LINE_WORDS_MAX = 120, 12
_WORDED = re.compile(r"[^\W\d_]{4}")  # a name that says something: "lease 2031", but not "doc-17"
_SUFFIX = re.compile(r"\.(?=[a-z0-9]*[a-z])[a-z0-9]{1,5}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it will be written. `postings`: term -> [(ord of the chunk, times * 65536 + length)]; `phrases`:
    of each chunk what it mentions, packed."""

    reading: Reading
    pieces: tuple[Piece, ...]
    lengths: tuple[int, ...]
    postings: dict[int, list[tuple[int, int]]]
    phrases: tuple[bytes, ...] = ()
    graph: Extracted = field(default_factory=Extracted)

    def texts_to_embed(self) -> list[str]:
        """What the embedder reads of each chunk: its nearest headings, then its text."""
        return [f"{heading(self.reading.title, piece.section)}\n{piece.text}".strip() for piece in self.pieces]


def prepare(name: str, data: bytes, limits: Limits, gauge: Gauge | None = None) -> Prepared:
    """Read, cut and count. Raises the refusals of `reading` for a file that cannot be taken in."""
    reading = read_apart(name, data, limits)
    if reading.title == PurePath(name).stem:  # it has no title of its own: "Dr. No" is no file of the type "No"
        line = _first_line(reading.text) if reading.media_type == "text/plain" else ""
        reading = replace(reading, title=line if line and not _WORDED.search(called(name)) else called(name))
    pieces = tuple(cut(reading, gauge=gauge))
    lengths: list[int] = []
    postings: dict[int, list[tuple[int, int]]] = {}
    places: set[str] = set()
    for piece in pieces:
        language = piece.language or reading.language
        counted = terms(piece.text, language)
        counted.update(terms(headings(reading.title, piece.section), language))
        length = min(sum(counted.values()), _LENGTH_MAX)
        lengths.append(length)
        keys = _keys(counted, language)
        for place in named_by(piece.section):  # its first chunk is the place above all
            keys[term_key(FIELD, place)] = 1 if place in places else _FIRST_OF_A_PLACE
            places.add(place)
        for key, times in keys.items():
            postings.setdefault(key, []).append((piece.ord, min(times, _TIMES_MAX) << 16 | length))
    return Prepared(
        reading, pieces, tuple(lengths), postings, _phrases(name, reading, pieces), extracted(reading, pieces)
    )


def called(name: str) -> str:
    """What a document without a title is called: its name, without the folder and the type of the file."""
    return _SUFFIX.sub("", PurePath(name).name) or name


def _first_line(text: str) -> str:
    """The first line where it stands above the rest as a title does; "" where it does not."""
    line, _, rest = text.lstrip().partition("\n")
    line = line.strip()
    short = 0 < len(line) <= _LINE_CHARACTERS_MAX and line.count(" ") < _LINE_WORDS_MAX
    return line if short and rest.strip() and line[-1] not in ".,;:!?" else ""


def _phrases(name: str, reading: Reading, pieces: tuple[Piece, ...]) -> tuple[bytes, ...]:
    """What each chunk mentions, and what it is called: by the document's title and name, and by its nearest heading.

    A name without a letter is a number in somebody's list: taken for a year, it tied papers to whatever happened then.
    """
    own = dict.fromkeys(
        one for one in (reading.title, called(name)) if one != called(name) or any(map(str.isalpha, one))
    )
    if reading.media_type == "text/plain" and (line := _first_line(reading.text)):
        own[line] = None
    heard: Counter[str] = Counter()
    found: list[bytes] = []
    for place, piece in enumerate(pieces):
        titles = list(own) if place < _CALLED else []
        nearest = next((part for part in reversed(piece.section) if any(map(str.isalpha, part))), "")
        if nearest and heard["\n".join(piece.section)] < _CALLED:
            heard["\n".join(piece.section)] += 1
            titles.append(nearest)
        found.append(pack(mentioned(piece.text, piece.language or reading.language, titles)))
    return tuple(found)


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
