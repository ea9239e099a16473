"""Defining: "'controller' means ...", and "European Data Protection Board (EDPB)". Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTED = r"[\"“„«‚‘'’\u201f]\s?(?P<term>[^\"“”„«»‚‘’']{2,80}?)\s?[\"”“»’‘']"
_QUOTE = re.compile("[\"“„«‚‘'’\u201f]")  # no term is defined without
_MEANS = re.compile(
    rf"{_QUOTED}\s*[:,]?\s*(?:\([^)]{{1,60}}\)\s*)?(?P<verb>means?\b|shall mean\b|refers? to\b|is defined as\b"
    r"|bezeichnet\b"
    r"|bedeutet\b|ist\b|sind\b|im Sinne\b|désigne\b|s['’]entend\b|signifie\b|:|significa\b|se entenderá\b"
    r"|se entiende por\b"
    r"|designa\b|si intende\b|indica\b|wordt verstaan\b|betekent\b|oznacza(?:ją)?\b|należy rozumieć\b|:)",
    re.IGNORECASE,
)
_UNDERSTOOD = re.compile(
    rf"(?:on entend par|se entenderá por|se entiende por|si intende per|per .{{0,3}}si intende|wordt verstaan onder"
    rf"|onder .{{0,3}}verstaan|rozumie się przez|przez)\s?:?\s*{_QUOTED}",
    re.IGNORECASE,
)
_HEREAFTER = re.compile(
    r"\(\s*(?:hereinafter|hereafter|the|im Folgenden|nachfolgend|nachstehend|ci-après|en adelante|in appresso"
    r"|di seguito"
    r"|hierna|zwan\w+ dalej|dalej)?:?\s*(?:called|referred to as|genannt|dénommée?|denominad[oa]|denominat[oa]"
    r"|te noemen)?"
    r"[\s,:]*(?:the|der|die|das|le|la|l['’]|el|il|de|het)?\s?[\"“„«‘'](?P<term>[^\"“”„«»‘’']{2,50})[\"”“»’‘']\s*\)",
    re.IGNORECASE,
)
_ACRONYM = re.compile(
    r"\(\s*(?:the\s|der\s|die\s|das\s|la\s|le\s)?[\"“„«‘']?(?P<short>[A-ZÄÖÜŁŚ][\w.&-]{1,11})[\"”“»’']?\s*\)"
)
_UNIONS = frozenset({"EU", "EC", "EEC", "EG", "EWG", "UE", "CE", "CEE", "WE", "EWR", "GASP"})  # as "(EU)" in acts
_WORD = re.compile(r"[^\W_]+")
_CLOSED = re.compile(r"[.;:!?()]|\n\s*\n")  # a name may go over the end of a line
_SPOKEN = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Defined:
    """`text[start:end]` is a term that the passage says the meaning of."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """`text[start:end]` is the full name that `text[short_start:short_end]` stands for."""

    start: int
    end: int
    short_start: int
    short_end: int


def defined(text: str) -> list[Defined]:
    """The terms that a passage defines, in order; a quotation that is only said to be something is none."""
    found: dict[int, Defined] = {}
    if _QUOTE.search(text) is None:
        return []
    for pattern in (_MEANS, _UNDERSTOOD):
        for match in pattern.finditer(text):
            term = match["term"]
            if _SPOKEN.search(term) and len(term.split()) <= 8:
                found.setdefault(match.start("term"), Defined(*match.span("term")))
    return [found[at] for at in sorted(found)]


def hereafter(text: str) -> list[tuple[int, int, int]]:
    """(where the bracket opens, start, end) of each short name that a contract agrees on: (the "Lessor")."""
    return [(match.start(), *match.span("term")) for match in _HEREAFTER.finditer(text)]


def shortened(text: str) -> list[Shortened]:
    """The acronyms that a passage explains: a bracket whose letters begin the words before it.

    After Schwartz and Hearst, "A simple algorithm for identifying abbreviation definitions in biomedical text" (2003):
    the letters are sought from the right, each anywhere in a word, the first one at the beginning of a word.
    """
    if "(" not in text:
        return []
    found: list[Shortened] = []
    for match in _ACRONYM.finditer(text):
        short = match["short"]
        letters = [letter for letter in short if letter.isalnum()]
        if not 2 <= len(letters) <= 10 or sum(map(str.isupper, letters)) < 2 or short in _UNIONS:
            continue
        before = text[max(0, match.start() - 160) : match.start()]
        before = _CLOSED.split(before)[-1].rstrip()
        at = _first_letter(letters, before)
        if at is None:
            continue
        end = match.start()
        while end and text[end - 1].isspace():
            end -= 1
        begin = end - len(before) + at
        if _is_name(text[begin:end], len(letters)):
            found.append(Shortened(begin, end, *match.span("short")))
    return found


def _first_letter(letters: list[str], before: str) -> int | None:
    """Where in `before` the full name begins; None where the letters do not stand in it in their order."""
    place = len(before) - 1
    for number, letter in enumerate(reversed(letters)):
        first = number == len(letters) - 1
        while place >= 0:
            here = before[place].casefold() == letter.casefold()
            if here and not (first and place > 0 and before[place - 1].isalnum()):
                break
            place -= 1
        if place < 0:
            return None
        place -= 1
    return place + 1


def _is_name(full: str, letters: int) -> bool:
    words = _WORD.findall(full)
    return 2 <= len(words) <= min(letters + 5, 2 * letters + 2) and any(word[0].isupper() for word in words)
