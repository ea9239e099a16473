"""Pictures, documents and sounds in the forms that the formats share: data URLs, base64, media types."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, urlsplit

from bastide.inference.wires.fields import refused
from bastide.inference.wires.values import File, Image

_ALSO: Final[Mapping[str, str]] = {"image/jpg": "image/jpeg"}  # what many say
IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})  # what all servers of pictures read
_SIGNS: Final = (  # what each begins with
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_RIFF: Final = (b"RIFF", b"WEBP")  # a WebP is one of several kinds of RIFF; sound is another
PICTURE: Final = (
    "A picture is a JPEG, PNG, GIF or WebP: its https address, `data:image/png;base64,...`, or with `media_type` and "
    "`data` where they stand apart."
)
"""What to do about a picture that is none."""
_DOCUMENT: Final = "A document is its https address, or in base64: `data:application/pdf;base64,...`."
_LETTERS: Final = f"{string.ascii_letters}{string.digits}+/".encode()
_PADDING_MAX: Final = 2
_TYPES: Final[Mapping[str, str]] = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "txt": "text/plain",
}


def image(url: str, at: str, detail: str = "") -> Image:
    """A picture by the address that stands for it, which may hold the picture itself. Raises BadChat."""
    detail = "" if detail == "auto" else detail
    if url.startswith("data:"):
        media_type, data = _opened(url, at, PICTURE)
        return checked(Image(data, media_type, detail=detail), at)
    return Image(url=_address(url, at, PICTURE), detail=detail)


def checked(picture: Image, at: str) -> Image:
    """A picture in base64, if it is one of a kind that models read. Raises BadChat."""
    if picture.media_type in _ALSO:
        picture = replace(picture, media_type=_ALSO[picture.media_type])
    if picture.media_type not in IMAGES:
        why = f"has the type {picture.media_type[:64]!r}; pictures are JPEG, PNG, GIF or WebP"
        raise refused(at, why, PICTURE)
    base64(picture.data, at, PICTURE)
    return picture


def sort_of(data: bytes) -> str:
    """The media type of a picture by its first bytes; "" of what is no picture that models read."""
    if (data[:4], data[8:12]) == _RIFF:
        return "image/webp"
    return next((media_type for sign, media_type in _SIGNS if data.startswith(sign)), "")


def file(data: str, name: str, at: str) -> File:
    """A document by its data URL (or its bare base64, which is taken for a PDF). Raises BadChat."""
    media_type, data = _opened(data, at, _DOCUMENT) if data.startswith("data:") else ("application/pdf", data)
    base64(data, at, _DOCUMENT)
    return File(data, media_type, name=name)


def address(url: str, at: str, name: str = "") -> File:
    """A document by its address. Raises BadChat."""
    return File(url=_address(url, at, _DOCUMENT), name=name)


def base64(data: str, at: str, next_step: str = "") -> str:
    """Base64, if it is that; `next_step` says how what it stands for is given. Raises BadChat."""
    letters = data.rstrip("=")
    whole = letters and len(data) % 4 == 0 and len(data) - len(letters) <= _PADDING_MAX
    # To decode it strictly would take twenty times as long: seven milliseconds a megabyte, for which all others wait.
    if whole and data.isascii() and not letters.encode().translate(None, _LETTERS):
        return data
    raise refused(at, "holds no base64 data", next_step)


def data_url(data: str, media_type: str) -> str:
    """The address that holds what it stands for."""
    return f"data:{media_type};base64,{data}"


def type_of(url: str) -> str:
    """The type that an address lets expect, "" where it does not."""
    return _TYPES.get(urlsplit(url).path.rpartition(".")[2].lower(), "")


def _opened(url: str, at: str, next_step: str) -> tuple[str, str]:
    head, comma, data = url[5:].partition(",")
    media_type, *marks = head.split(";")
    if not comma or "base64" not in marks:
        raise refused(at, "must be a data URL in base64", next_step)
    return media_type.lower(), unquote(data)


def _address(url: str, at: str, next_step: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"https", "http", "gs"} or not parts.netloc:
        raise refused(at, "must be an http(s) address or a data URL", next_step)
    return url
