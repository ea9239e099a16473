"""Pictures: how large one is, by its header alone, before anything decodes it; its words are the matter of `ocr`."""

import struct
from collections.abc import Iterator
from dataclasses import replace

from bastide.errors import BombFile, EmptyFile, UnreadableFile, UnsupportedType
from bastide.knowledge.reading import ocr
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.scanned import read_pictures
from bastide.knowledge.reading.values import Limits

_FRAMES_MAX = 2_000
_NO_SIZE = UnreadableFile("The picture is damaged or cut off: its header does not say how large it is.")


def read_picture(data: bytes, limits: Limits) -> Draft:
    """The words in a picture, one page a frame; of a photograph without words that there are none."""
    within_limits(data, limits)
    found = ocr.available()
    if not found.ready:
        raise UnsupportedType(
            f"This is a picture, and it cannot be read here: {', '.join(found.missing)} is not installed.",
            next_step=found.next,
        )
    key = ocr.file_key(data)
    draft = read_pictures((replace(picture, key=key) for picture in ocr.pictures(data, limits)), limits)
    if not draft.blocks:
        reasons = ", ".join(dict.fromkeys(read.reason for read in draft.page_reads if read.reason))
        raise EmptyFile(
            f"No text was recognised in this picture: {reasons or 'there is none'}.",
            next_step="If there is writing on it, scan it again: straight, at 300 dpi, dark on white.",
        )
    return draft


def within_limits(data: bytes, limits: Limits) -> int:
    """How many frames a picture has. Raises BombFile where they hold more pixels than the limit."""
    try:
        sizes = list(_sizes(data))
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise _NO_SIZE from error
    if not sizes or not all(width and height for width, height in sizes):
        raise _NO_SIZE
    if len(sizes) > min(_FRAMES_MAX, limits.pages_max):
        raise BombFile(f"The picture has more than {min(_FRAMES_MAX, limits.pages_max):,} pages.")
    for width, height in sizes:
        if width * height > limits.pixels_max:
            raise BombFile(f"The picture has {width:,} x {height:,} pixels; the limit is {limits.pixels_max:,}.")
    return len(sizes)


def _sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) of every frame, as the header has them."""
    if data.startswith(b"\x89PNG"):
        yield struct.unpack(">II", data[16:24])
    elif data.startswith(b"GIF8"):
        yield struct.unpack("<HH", data[6:10])
    elif data.startswith(b"BM"):
        width, height = struct.unpack("<ii", data[18:26])
        yield abs(width), abs(height)
    elif data.startswith(b"\xff\xd8"):
        yield _jpeg(data)
    elif data.startswith(b"RIFF"):
        yield _webp(data)
    else:
        yield from _tiff(data)


def _jpeg(data: bytes) -> tuple[int, int]:
    """The size in the start of frame (ISO/IEC 10918-1, B.2.2), behind segments that are passed over."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            raise ValueError(at)
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD9 or marker == 0x01:  # filling, or a marker without a body
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise ValueError(at)


def _webp(data: bytes) -> tuple[int, int]:
    """RFC 9649: the size of the canvas, or of the one picture."""
    kind = data[12:16]
    if len(data) < 30:
        raise ValueError(len(data))
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> Iterator[tuple[int, int]]:
    """One size a directory (TIFF 6.0, section 2); a chain that comes back to itself is cut off by the frame limit."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack(f"{order}I", data[4:8])[0]
    seen: set[int] = set()
    while at and at not in seen and len(seen) <= _FRAMES_MAX:
        seen.add(at)
        count = struct.unpack(f"{order}H", data[at : at + 2])[0]
        tags: dict[int, int] = {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind = struct.unpack(f"{order}HH", data[entry : entry + 4])
            if tag in {256, 257}:
                form, size = ("H", 2) if kind == 3 else ("I", 4)
                tags[tag] = struct.unpack(f"{order}{form}", data[entry + 8 : entry + 8 + size])[0]
        yield tags[256], tags[257]
        at = struct.unpack(f"{order}I", data[at + 2 + 12 * count : at + 6 + 12 * count])[0]
