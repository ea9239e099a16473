"""Events of a stream as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
DONE: Final = b"data: [DONE]\n\n"


def plain(body: Mapping[str, Any]) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % _ENCODER.encode(body)


def named(body: Mapping[str, Any]) -> bytes:
    """An event that is called as its type says."""
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), _ENCODER.encode(body))
