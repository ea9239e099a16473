"""The guard against invention: a language model that reads a picture may also write what is not there.

What tesseract read with certainty is the witness: at least 95 % of those words must come again, in the same order.
Where there are no such words, the picture's size is: so much text must fit into it.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from bastide.knowledge.reading.ocr.values import Line

CERTAIN = 90.0
"""A word with this confidence is a witness."""
AGAIN = 0.95
"""Share of the witnesses that must come again."""
_WORD = re.compile(r"\w+")
_FITS = 6.0
"""Characters for each height of a line along its width: twice what a narrow font has."""
_WORDS_MAX = 4_000


def invented(lines: Sequence[Line], text: str, *, width: float, height: float) -> str | None:
    """Why `text`, said to stand in the picture of these lines, is refused; None where it is taken.

    `width` is that of the picture in pixels, `height` that of one of its lines.
    """
    if not text.strip():
        return "it found no text"
    witnesses = words(" ".join(word.text for line in lines for word in line.words if word.confidence >= CERTAIN))
    told = words(text)
    if len(told) > _WORDS_MAX or len(witnesses) > _WORDS_MAX:
        return f"it says more than {_WORDS_MAX:,} words"
    if witnesses:
        share = in_order(witnesses, told) / len(witnesses)
        if share < AGAIN:
            return f"only {share:.0%} of the {len(witnesses)} words that were certain come again in order"
    rows = max(1, len(lines))
    if len(text) > 40 + _FITS * rows * width / max(1.0, height):
        return f"its {len(text):,} characters do not fit into the picture"
    return None


def words(text: str) -> list[str]:
    """Words for comparing: one form of each letter, small, without marks between them."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def in_order(wanted: Sequence[str], told: Sequence[str]) -> int:
    """How many of `wanted` stand in `told` in the same order: the longest common subsequence."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(told))}
    row = np.array([numbers[word] for word in told], np.int64)
    best = np.zeros(len(row) + 1, np.int64)
    for word in wanted:
        longer = np.concatenate([[0], best[:-1] + (row == numbers.get(word, -1))])
        best = np.maximum.accumulate(np.maximum(best, longer))
    return int(best[-1])
