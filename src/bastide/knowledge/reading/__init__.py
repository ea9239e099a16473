"""Reading: bytes in; text, structure, chunks and terms out.

Pure: no database, no network, no state but caches. `read` finds out what the bytes are and builds the
tree, and `read_apart` does so in a process of its own, unless the file is small; `cut` makes chunks that
respect it; `terms`, `sentences` and `detect_language` know words.
Work is CPU-bound and synchronous: call it in a thread.
"""

from bastide.knowledge.reading.apart import read_apart
from bastide.knowledge.reading.cutting import Gauge, cut
from bastide.knowledge.reading.documents import read
from bastide.knowledge.reading.drawn import draw_page, png
from bastide.knowledge.reading.languages import detect_language
from bastide.knowledge.reading.marking import class_of
from bastide.knowledge.reading.sentences import sentences
from bastide.knowledge.reading.terms import folded, folded_words, is_of_word, stems_of, terms
from bastide.knowledge.reading.upper import Told, Upper, Wanted
from bastide.knowledge.reading.values import Box, Cell, Kind, Limits, Node, PageRead, Piece, Reading

__all__ = [
    "Box",
    "Cell",
    "Gauge",
    "Kind",
    "Limits",
    "Node",
    "PageRead",
    "Piece",
    "Reading",
    "Told",
    "Upper",
    "Wanted",
    "class_of",
    "cut",
    "detect_language",
    "draw_page",
    "folded",
    "folded_words",
    "is_of_word",
    "png",
    "read",
    "read_apart",
    "sentences",
    "stems_of",
    "terms",
]
