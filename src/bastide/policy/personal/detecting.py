"""Reading a text closely: where digits stand close together, and around each @.

Only what stands near enough to six digits in close order is looked at with the precise patterns, so that the time goes
by the digits of a text and not by its length. Every pattern is bounded and parts its signs in one way only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from bastide.policy.personal.forms import LETTERED, find_emails, find_forms
from bastide.policy.personal.found import ORGANISATIONS, Found, without_overlaps
from bastide.policy.personal.numbers import AFTER, BEFORE, NUMBERS, Said, find_numbers
from bastide.policy.personal.prefilter import readable, suspicious, without_blobs

IDENTITIES: Final = frozenset({one.kind for one in NUMBERS} - {"card"} - ORGANISATIONS) | LETTERED
"""The kinds that are numbers of a person's identity, health insurance or taxes."""
_CLOSE: Final = re.compile(r"\d(?:[^\d\n]{0,3}\d){5,}")
_LARGE: Final = 16 * 1024  # bytes, from which on a body may well be a picture for the most part
_CLOSELY_MAX: Final = 64 * 1024  # signs that `kinds` reads closely; it takes a table of more numbers for personal
_AT_MAX: Final = 10_000  # likewise
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_PLAIN: Final = {
    **dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "),
    **dict.fromkeys(map(ord, "‐‑‒–—―−－"), "-"),
    **{code: chr(code - 0xFEE0) for code in (*range(0xFF0B, 0xFF3B), *range(0xFF41, 0xFF5B))},
}  # fmt: skip


def find(text: str) -> tuple[Found, ...]:
    """What identifies a person in a text, in order of place, without overlaps."""
    plain, places = _plain(text)
    said = Said(plain)
    found = without_overlaps(
        [*find_emails(plain), *(one for span in _spans(plain) for one in _closely(plain, said, *span))]
    )
    if places is None:
        return tuple(found)
    return tuple(Found(one.kind, places[one.start], places[one.end - 1] + 1, one.normal, one.sure) for one in found)


def kinds(data: bytes) -> str:
    """What the label of a JSON body must at least say: "personal" or "none". It reads no further than it has to."""
    if len(data) > _LARGE:
        data = without_blobs(data)
    if not suspicious(data):
        return "none"
    plain, _ = _plain(readable(without_blobs(data)))
    if next(find_emails(plain), None) is not None or plain.count("@") > _AT_MAX:
        return "personal"
    closely, said = 0, Said(plain)
    for start, end in _spans(plain):
        closely += end - start
        if closely > _CLOSELY_MAX or any(one.personal for one in without_overlaps(_closely(plain, said, start, end))):
            return "personal"
    return "none"


def kinds_in(data: bytes) -> tuple[str, ...]:
    """The kinds of what is found in a JSON body and makes it personal, by name: for who is told why."""
    data = without_blobs(data)
    return tuple(sorted({one.kind for one in find(readable(data)) if one.personal})) if suspicious(data) else ()


def _closely(text: str, said: Said, start: int, end: int) -> Iterator[Found]:
    yield from find_numbers(text, said, start, end)
    yield from find_forms(text, said, start, end)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where to read closely: six digits in close order, with room around them for words and letters."""
    begin = end = -1
    for match in _CLOSE.finditer(text):
        start, stop = max(0, match.start() - BEFORE), min(len(text), match.end() + AFTER)
        if end >= 0 and start > end:
            yield begin, end
            begin = -1
        begin = start if begin < 0 else begin
        end = stop
    if end >= 0:
        yield begin, end


def _plain(text: str) -> tuple[str, list[int] | None]:
    """The text with plain digits, blanks and dashes; with the place of each sign where unseen ones were taken out."""
    if text.isascii():
        return text, None
    text = text.translate(_PLAIN)
    if any(sign.isdecimal() and sign > "9" for sign in set(text)):
        text = "".join(str(unicodedata.decimal(sign)) if sign > "9" and sign.isdecimal() else sign for sign in text)
    if _UNSEEN.search(text) is None:
        return text, None
    places = [at for at, sign in enumerate(text) if not _UNSEEN.match(sign)]
    return "".join([text[at] for at in places]), places
