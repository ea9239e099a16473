"""Inflecting: whether two names are one in two cases of Polish: "Anna Kowalska" and "Anny Kowalskiej". Pure.

Word by word the two have one stem, and endings of one declension. It is a reason to propose a merge, never to make one:
"Roman" and "Romana" may be two people.
"""

from __future__ import annotations

STEM_MIN = 3
"""A shorter stem says nothing."""

# Endings of one declension each: nominative, genitive, dative, accusative, instrumental, locative.
DECLENSIONS = (
    frozenset({"a", "y", "i", "ie", "ę", "ą"}),  # Anna, Warszawa, spółka
    frozenset({"", "a", "owi", "em", "iem", "ie", "u"}),  # Jan, Kraków, urząd
    frozenset({"o", "a", "u", "em", "ie"}),  # ministerstwo, Gniezno
    frozenset({"i", "iego", "iemu", "im"}),  # Kowalski
    frozenset({"y", "ego", "emu", "ym"}),  # Konieczny, główny
    frozenset({"a", "iej", "ą"}),  # Kowalska
    frozenset({"a", "ej", "ą"}),  # Konieczna
)
_OPEN = str.maketrans("ó", "o")  # Kraków, Krakowa


def inflected(one: str, two: str) -> bool:
    """Whether two names, in lower case, are not the same but may be one name in two cases."""
    words, others = one.split(), two.split()
    if one == two or len(words) != len(others):
        return False
    return all(word == other or _declined(word, other) for word, other in zip(words, others, strict=True))


def stems(name: str) -> list[str]:
    """By what the other cases of a name, in lower case, are looked for: the shortest stem of each longer word."""
    found = []
    for word in name.split():
        ends = [len(word) - len(end) for of in DECLENSIONS for end in of if end and word.endswith(end)]
        if ends and min(ends) > STEM_MIN:
            found.append(word[: min(ends)])
    return found


def _declined(word: str, other: str) -> bool:
    word, other = word.translate(_OPEN), other.translate(_OPEN)
    same = 0
    while same < min(len(word), len(other)) and word[same] == other[same]:
        same += 1
    ends = ({word[stem:], other[stem:]} for stem in range(same, STEM_MIN - 1, -1))
    return any(pair <= of for pair in ends for of in DECLENSIONS)
