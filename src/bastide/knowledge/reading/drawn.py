"""Drawn pages: a page of a PDF as a picture, for the viewer and for text recognition."""

import json
import struct
import zlib
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bastide.errors import BadOption, EncryptedFile, FileTooLarge, UnknownPage, UnreadableFile
from bastide.knowledge.reading.confining import LIBRARY, PICTURE, confined, lines
from bastide.knowledge.reading.values import Limits

DPI_MIN, DPI_MAX = 24, 600
_SECONDS_MAX = 30
_BYTES_MAX = 400_000_000


def draw_page(data: bytes, page: int, dpi: int, limits: Limits) -> bytes:
    """Page `page` (from 1) as PNG, drawn in a process of its own.

    Raises BadOption for a resolution outside 24 to 600 dots per inch, UnknownPage for a document without such a page;
    UnreadableFile, EncryptedFile, FileTooLarge and BombFile as `read`.
    """
    if not DPI_MIN <= dpi <= DPI_MAX:
        raise BadOption(f"A page is drawn with {DPI_MIN} to {DPI_MAX} dots per inch.", option="dpi")
    if b"%PDF-" not in data[:1024]:
        raise UnknownPage("This document has no pages that could be shown as pictures.")
    return png(dots(data, page, dpi, limits))


def dots(data: bytes, page: int, dpi: int, limits: Limits, *, gray: bool = False) -> NDArray[np.uint8]:
    """The dots of a page, `(height, width, 3)` in red, green, blue, or `(height, width)` in shades of gray."""
    seconds = min(_SECONDS_MAX, limits.seconds_max)
    task = [str(page), str(dpi), str(seconds), str(limits.memory_max), LIBRARY, str(int(gray))]
    told: dict[str, Any] = {}
    body = bytearray()
    read = 0
    with confined(PICTURE, task, data, seconds) as said:
        for line in islice(lines(said), 1):
            told = json.loads(line)
        size = told.get("height", 0) * told.get("width", 0) * told.get("depth", 0)
        if 0 < size <= _BYTES_MAX:
            body = bytearray(size)
            read = said.readinto(body)
    if "error" in told:
        raise _refusal(told)
    if not read or read != len(body):
        raise UnreadableFile("The page makes its reader fail: it is damaged, or made to do harm.")
    high, wide, depth = told["height"], told["width"], told["depth"]
    found = np.frombuffer(body, np.uint8)
    return found.reshape(high, wide) if depth == 1 else found.reshape(high, wide, depth)[:, :, :3]


def _refusal(told: dict[str, object]) -> Exception:
    if told["error"] == "no_page":
        return UnknownPage(f"The document has {told['pages']} pages.")
    if told["error"] == "locked":
        return EncryptedFile("The PDF is protected by a password.")
    if told["error"] == "too_large":
        return FileTooLarge(str(told["what"]))
    return UnreadableFile("The PDF is damaged: the page cannot be drawn.")


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as PNG (RFC 2083): 8 bits a sample, gray or red, green, blue."""
    high, wide = picture.shape[:2]
    colour = 0 if picture.ndim == 2 else 2
    rows = np.zeros((high, 1 + wide * (3 if colour else 1)), dtype=np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = picture.reshape(high, -1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts:
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out
