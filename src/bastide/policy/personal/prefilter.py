"""Whether some bytes may hold anything personal at all: asked of every body, and answered in about a microsecond.

Letters and digits are looked at by their class alone, with whatever may part a number taken out: then seven digits in a
row, or one of three shapes with letters, or an @, is what every number and address here must show. It errs towards
yes. What JSON hides by an escape, and digits of other scripts, count as a yes where they may be part of a number.
"""

from __future__ import annotations

import re
from typing import Final

_CLASSES: Final = bytes(
    48 if chr(code).isdigit() and code < 128 else 65 if chr(code).isalpha() and code < 128 else 32
    for code in range(256)
)
_AT: Final = ord("@")  # a number is looked for in bytes four times as fast as bytes are
_PARTING: Final = b" .-/()+\\_" + bytes(range(0x80, 0x100))
_SHAPE: Final = re.compile(rb"00(?:00000|0000A|AA00000|A00A00)")
_ESCAPED: Final = re.compile(rb"\\u(?:00[34][0-9a-f]|ff|d835|06[6f]|[0-9a-f]{4}[ \\.()+/-]{0,3}[0-9])", re.I)
_BLOB_BEGINS: Final = re.compile(rb';base64,|"(?:data|b64_json|file_data)" ?: ?"')
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_BLOB_MIN: Final = 400  # bytes
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_ROUNDS: Final = 4  # JSON in a string of JSON: the arguments of a tool, and what such a tool was given


def suspicious(data: bytes) -> bool:
    """Whether it is worth reading closely."""
    if _AT in data:
        return True
    if _SHAPE.search(data.translate(_CLASSES, _PARTING)):
        return True
    if data.find(b"\\u") >= 0 and _ESCAPED.search(data):
        return True
    return not data.isascii() and (b"\xef\xbc" in data or b"\xf0\x9d\x9f" in data or b"\xd9" in data or b"\xdb" in data)


def without_blobs(data: bytes) -> bytes:
    """A JSON body without the pictures, sounds and files that stand in it: letters that nobody reads."""
    kept, begin, place = [], 0, 0
    while (found := _BLOB_BEGINS.search(data, place)) is not None:
        place = found.end()
        end = data.find(b'"', place)
        if end - place >= _BLOB_MIN and _is_base64(data[place:end]):
            kept.append(data[begin:place])
            begin = place = end
    return b"".join([*kept, data[begin:]]) if kept else data


def _is_base64(blob: bytes) -> bool:
    """Whether it is nothing else, with slashes as they are or as PHP writes them."""
    left = blob.translate(None, _BASE64)
    return not left or len(left) == left.count(b"\\") == blob.count(b"\\/")


def readable(data: bytes) -> str:
    """The text of a JSON body as who reads its strings sees it, without escapes."""
    text = data.decode("utf-8", "replace")
    for _ in range(_ROUNDS):
        if "\\" not in text:
            break
        text = _unescaped(text)
    return text


def _unescaped(text: str) -> str:
    text = text.replace("\\\\", "\ue000").replace("\\n", "\n").replace("\\r", "\n").replace("\\t", "\t")
    if "\\u" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # two halves become one sign
    return text.replace("\\", "").replace("\ue000", "\\")
