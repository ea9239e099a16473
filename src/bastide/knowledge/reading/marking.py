"""Marking: the class that a document's own running heads and feet ask for. The words are data: `markings.toml`."""

import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files

_STRICTEST_FIRST = ("secret", "restricted", "confidential", "internal")
_WORDS: dict[str, list[str]] = tomllib.loads(
    files("bastide.knowledge.reading").joinpath("markings.toml").read_text(encoding="utf-8")
)
_APART = re.compile(r"[\s\u00a0]+")
_CLASS_OF = {words: name for name in reversed(_STRICTEST_FIRST) for words in _WORDS[name]}
_LONGEST_FIRST = sorted(_CLASS_OF, key=len, reverse=True)
_MARK = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(words).replace(chr(92) + ' ', ' ') for words in _LONGEST_FIRST)})(?!\w)"
)
_LONG = 200


def marked(text: str) -> str:
    """The class that a running head or foot asks for; "" where it asks for none.

    A marking stands in capitals, or is all there is but for numbers and signs: "Chapter 4: Secret sharing" is none.
    Where several stand there, the strictest holds.
    """
    line = _APART.sub(" ", text).strip()
    if len(line) > _LONG:
        return ""
    found = {_CLASS_OF[words] for words in _MARK.findall(line)}
    alone = " ".join(word for word in line.upper().split() if any(map(str.isalpha, word))).strip(" .!-–—*/|„”\"'()[]")
    if alone in _CLASS_OF:
        found.add(_CLASS_OF[alone])
    return next((name for name in _STRICTEST_FIRST if name in found), "")


def class_of(marks: Iterable[str]) -> str:
    """The strictest class that any of some marks asks for; "" where none does."""
    found = {marked(mark) for mark in marks}
    return next((name for name in _STRICTEST_FIRST if name in found), "")
