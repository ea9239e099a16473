"""Identifiers: a prefix that names the kind, and a UUIDv7 in 26 letters, so that ids sort by time.

The layout of UUIDv7 is RFC 9562, section 5.7; the alphabet is Crockford's base 32 in lower case.
"""

from __future__ import annotations

import os
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: position for position, letter in enumerate(_ALPHABET)}
_LENGTH = 26


def new_id(kind: str) -> str:
    """A new id such as `doc_06ar2k...`; ids of one process made a millisecond apart sort by time."""
    return f"{kind}_{_encode(_uuid7().int)}"


def is_id(text: str, kind: str) -> bool:
    """Whether `text` has the form of an id of this kind."""
    prefix, _, rest = text.partition("_")
    return prefix == kind and len(rest) == _LENGTH and rest[0] in "01234567" and all(c in _VALUES for c in rest)


def to_uuid(identifier: str) -> uuid.UUID:
    """The UUID inside an id. Raises ValueError when it has not the form of one."""
    _, _, rest = identifier.partition("_")
    if len(rest) != _LENGTH or any(letter not in _VALUES for letter in rest):
        raise ValueError(f"not an id: {identifier!r}")
    number = 0
    for letter in rest:
        number = number * 32 + _VALUES[letter]
    return uuid.UUID(int=number)


def from_uuid(kind: str, value: uuid.UUID) -> str:
    """The id of this kind that holds `value`."""
    return f"{kind}_{_encode(value.int)}"


def _encode(number: int) -> str:
    letters = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def _uuid7() -> uuid.UUID:
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    high, low = random >> 68, random & ((1 << 62) - 1)
    return uuid.UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low)
