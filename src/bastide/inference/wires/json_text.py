"""JSON as text: arguments of calls, ids that are made where a server gave none."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()


def arguments(value: Any) -> str:
    """An object as the text of a call's arguments."""
    return _ENCODER.encode(value).decode()


def object_in(text: str) -> dict[str, Any] | None:
    """The object that a text is; None where it is none. No text is the empty object."""
    if not text.strip():
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return found if type(found) is dict else None


def call_id(reply: str, choice: int, place: int) -> str:
    """An id for a call whose server gave none: the same one whenever the same answer is read."""
    digest = hashlib.blake2s(f"{reply}/{choice}/{place}".encode(), digest_size=12).hexdigest()
    return f"call_{digest}"


def own_id(prefix: str, given: str) -> str:
    """An answer's id as clients of a format expect it."""
    return given if given.startswith(prefix) else f"{prefix}{given.rpartition('-')[2].rpartition('_')[2] or 'none'}"
