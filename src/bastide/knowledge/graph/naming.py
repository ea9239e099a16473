"""Naming: the plain form of a name, and the key that stands for it. Pure.

Two spellings have one key when they differ in case, in dots, hyphens and apostrophes, in a title before a person, in
how a legal form is written, or when they are a place in two languages (`places.toml`). "Acme GmbH" and "Acme AG" are
two. Terms are compared by their stems, so that one in the plural meets one in the singular.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from bastide.knowledge.reading import terms

WORDS: Final[dict[str, Any]] = tomllib.loads(
    (files("bastide.knowledge.graph") / "words.toml").read_text(encoding="utf-8")
)
_PLACES: Final[dict[str, str]] = tomllib.loads(
    (files("bastide.knowledge.graph") / "places.toml").read_text(encoding="utf-8")
)

THIS = 0
"""The key of the document that a row hangs on."""

_JOINED = re.compile(r"[\s\-‐‑–'’.,/&+]+")
_POSSESSIVE = re.compile(r"['’]s?$")
_ARTICLE = re.compile(r"^(?:the|der|die|das|des|dem|den|le|la|les|el|los|las|il|lo|gli|het|de|l['’])\s*(?=\w)", re.I)


def _forms() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.split(r"[\n;]", WORDS["legal_forms"]):
        plain, _, spellings = line.partition(":")
        for spelling in spellings.split(","):
            if spelling.strip():
                found.setdefault(squeezed(spelling), plain.strip())
    return found


@lru_cache(maxsize=65_536)
def squeezed(text: str) -> str:
    """Lower case without blanks, dots and hyphens: "S. r. l." is "srl"."""
    return _JOINED.sub("", text).casefold()


def _places() -> dict[str, str]:
    found: dict[str, str] = {}
    for block in _PLACES.values():
        for line in block.strip().splitlines():
            names = [name.strip() for name in line.split(",")]
            for name in names:
                found.setdefault(name.casefold(), names[0])
    return found


LEGAL_FORMS: Final[dict[str, str]] = _forms()
"""A legal form as `squeezed` writes it -> the spelling that stands for it."""

PLACES: Final[dict[str, str]] = _places()
"""A place in any of the languages, in lower case -> the name that stands for it."""

TITLES: Final[frozenset[str]] = frozenset(WORDS["titles"].split())


@lru_cache(maxsize=65_536)
def plain(name: str, type: str = "", language: str = "") -> str:
    """The form by which a name is known: what two spellings of it have in common."""
    text = _POSSESSIVE.sub("", " ".join(unicodedata.normalize("NFKC", name).split()))
    known = PLACES.get(text.casefold())
    if known is not None:
        return known.casefold()
    if type == "concept":
        return " ".join(stem(word, language) for word in re.findall(r"\w+", text)) or text.casefold()
    words = text.split(" ")
    while len(words) > 1 and words[0].rstrip(".") in TITLES:
        words = words[1:]
    form, kept = _legal(words)
    low = _JOINED.sub(" ", _ARTICLE.sub("", " ".join(words[:kept]))).casefold().strip()
    return f"{low} {form}".strip() or text.casefold()


def _legal(words: list[str]) -> tuple[str, int]:
    """The legal form at the end, and how many words stand before it."""
    for count in (4, 3, 2, 1):
        if len(words) > count and (form := LEGAL_FORMS.get(squeezed(" ".join(words[-count:])))):
            return form, len(words) - count
    return "", len(words)


def legal_form(name: str) -> tuple[str, str]:
    """What a name is without its legal form, and that form; "" where it has none."""
    words = name.split()
    form, kept = _legal(words)
    return " ".join(words[:kept]).rstrip(" ,"), form


@lru_cache(maxsize=65_536)
def stem(word: str, language: str) -> str:
    """What the forms of a word have in common; the word itself where the language has no stemmer."""
    return next(iter(terms(word, language)), word.casefold())


@lru_cache(maxsize=65_536)
def key_of(form: str) -> int:
    """The key of a plain form: 64 bits, signed, of BLAKE2b; never `THIS`."""
    digest = hashlib.blake2b(form.encode("utf-8", "replace"), digest_size=8, person=b"bastide.entity").digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def id_of(key: int) -> str:
    """The id that people see."""
    return f"ent_{key & (1 << 64) - 1:016x}"


def key_in(identifier: object) -> int | None:
    """The key in an id; None where it has not the form of one."""
    if not isinstance(identifier, str) or not re.fullmatch(r"ent_[0-9a-f]{16}", identifier):
        return None
    number = int(identifier[4:], 16)
    return number - (1 << 64) if number >> 63 else number
