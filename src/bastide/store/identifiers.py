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
_RANDOM = 10  # bytes of an id
_AT_ONCE = 256  # ids that the operating system is asked for at a time: it costs more to ask than to answer
_random: list[bytes] = []  # `pop` is one step for all threads
os.register_at_fork(after_in_child=_random.clear)


def new_id(kind: str) -> str:
    """A new id such as `doc_06ar2k...`; ids of one process made a millisecond apart sort by time."""
    try:
        random = _random.pop()
    except IndexError:
        random, *more = _pieces(os.urandom(_RANDOM * _AT_ONCE))
        _random.extend(more)
    return id_of(kind, time.time_ns() // 1_000_000, random)


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + _RANDOM] for at in range(0, len(data), _RANDOM)]


def id_of(kind: str, t: int, random: bytes) -> str:
    """The id of a moment, in milliseconds since 1970, and ten random bytes."""
    # Ten letters hold two bits of nothing and the time; sixteen hold the version, the variant and what is random.
    number = int.from_bytes(random) & ~(0xF << 76 | 0b11 << 62) | 0x7 << 76 | 0b10 << 62
    high, low = number >> 40, number & 0xFF_FFFF_FFFF
    pairs = _PAIRS
    return (
        f"{kind}_{_moment(t)}{pairs[high >> 30]}{pairs[high >> 20 & 1023]}{pairs[high >> 10 & 1023]}"
        f"{pairs[high & 1023]}{pairs[low >> 30]}{pairs[low >> 20 & 1023]}{pairs[low >> 10 & 1023]}{pairs[low & 1023]}"
    )


@lru_cache(maxsize=64)
def _moment(t: int) -> str:
    return "".join(_PAIRS[t >> shift & 1023] for shift in (40, 30, 20, 10, 0))


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
