"""Identifiers: a prefix that names the kind, and a UUIDv7 in 26 letters, so that ids sort by time.

The layout of UUIDv7 is RFC 9562, section 5.7; the alphabet is Crockford's base 32 in lower case.
"""

from __future__ import annotations

import os
import time
import uuid
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: position for position, letter in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 26
_TAIL = 16  # letters after the time: the version, the variant and what is random
_AT_ONCE = 256  # tails that are made at a time: it costs more to ask the operating system than to be answered
# What a byte at random becomes: five bits of it a letter, or as many as the version and the variant leave open.
_ANY = "".join(_ALPHABET[byte & 31] for byte in range(256)).encode()
_VERSION = "".join(_ALPHABET[0b01110 | byte & 1] for byte in range(256)).encode()
_VARIANT = "".join(_ALPHABET[0b01000 | byte & 0b10011] for byte in range(256)).encode()
_tails: list[str] = []  # `pop` is one step for all threads
os.register_at_fork(after_in_child=_tails.clear)


def new_id(kind: str, at: float | None = None) -> str:
    """A new id such as `doc_06ar2k...`; ids of one process made a millisecond apart sort by time.

    `at` is its moment in seconds since 1970 where that is known; else it is now.
    """
    try:
        tail = _tails.pop()
    except IndexError:
        tail, *more = _made()
        _tails.extend(more)
    return f"{kind}_{_moment(int((time.time() if at is None else at) * 1000))}{tail}"


def _made() -> list[str]:
    raw = os.urandom(_TAIL * _AT_ONCE)
    letters = bytearray(raw.translate(_ANY))
    letters[0::_TAIL] = raw[0::_TAIL].translate(_VERSION)
    letters[3::_TAIL] = raw[3::_TAIL].translate(_VARIANT)
    text = letters.decode()
    return [text[at : at + _TAIL] for at in range(0, len(text), _TAIL)]


@lru_cache(maxsize=64)
def _moment(t: int) -> str:
    return "".join([_PAIRS[t >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def made_at(identifier: str) -> float:
    """When an id was made, in seconds since 1970. Raises ValueError when it has not the form of one."""
    return (to_uuid(identifier).int >> 80) / 1000


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
