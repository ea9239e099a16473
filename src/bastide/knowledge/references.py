"""References: "Article 17" in a question means the place of that name, not every sentence that mentions it. Pure.

A heading such as "Article 17 Right to erasure", "§ 38 Datenschutzbeauftragte", "Artikel 73 Melding" or "Article
L231-1" names a place; it is indexed as one term beside the words of its chunks, and a question that names the
place looks for that term.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FIELD = "§"  # stands where the language of a term stands

_NUMBER = r"(?P<number>(?:[LRDA]\s?\.?\s?\*?\s?)?\d{1,5}[a-z]?(?:[-.]\d{1,4})*)(?![\w/])"
_ARTICLE = "§+|articles?|artikels?|articolo|art[ií]culos?|artigo|articolul|άρθρο|artyku[lł]|art\\.?"
_NAMED = re.compile(rf"(?<!\w)(?:(?P<article>{_ARTICLE})|(?P<other>section|rule))\s*{_NUMBER}", re.IGNORECASE)


def named_by(headings: Iterable[str]) -> set[str]:
    """The places that these headings name, such as "article 17"; a heading names one where it begins with it."""
    found = (_NAMED.match(heading.strip()) for heading in headings)
    return {_place(match) for match in found if match is not None}


def named_in(question: str) -> set[str]:
    """The places that a question names."""
    return {_place(match) for match in _NAMED.finditer(question)}


def _place(match: re.Match[str]) -> str:
    number = match["number"]
    bare = re.sub(r"[\s.*]", "", number) if number[0].isalpha() else number.rstrip(".")
    return f"{(match['other'] or 'article').casefold()} {bare.casefold()}"
