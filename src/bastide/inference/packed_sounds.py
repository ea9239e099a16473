"""How long a compressed sound is, by what its container says: MP3, Ogg (Vorbis, Opus, Speex, FLAC) and MP4.

Nothing is decoded, and of whatever comes only so much is looked at: so many bytes, boxes, pages and frames. What a head
says is held against the size of the file: a length that no such sound can have is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

Between = tuple[float, float]
"""The least and the most bits that a second may have."""

_MP3_BITS: Final[Between] = (7_900.0, 450_000.0)
_OGG_BITS: Final[Between] = (400.0, 20_000_000.0)
_MP4_BITS: Final[Between] = (400.0, 500_000_000.0)  # there may be a film in it
_RATES: Final = range(1_000, 768_001)


def _fitting(seconds: float, size: int, bits: Between) -> float | None:
    """The length, if a sound of so many bytes can have it."""
    least, most = bits
    return seconds if size * 8 / most <= seconds <= size * 8 / least and seconds > 0 else None


# -- MP3 (ISO 11172-3, 13818-3; the heads of Xing, LAME and Fraunhofer) -------------------------------

_TAGS_MAX: Final = 16
_SEEK_BYTES: Final = 65_536  # in which the first frame begins
_SEEK_MAX: Final = 512
_FRAMES_MAX: Final = 8_000  # three minutes and a half: whoever has had one rate for so long keeps it
_MPEG_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS: Final = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By whether it is MPEG 1, and the layer as a frame has it: 3 is the first, 1 is the third."""

Frame = tuple[int, int, int, int]
"""Bytes, kbit/s, samples, samples a second."""


def _frame(head: bytes) -> Frame | None:
    """What the four bytes at the head of a frame say."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, index, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or not layer or not 0 < index < 15 or rate == 3:
        return None
    first = version == 3
    kbits, hertz = _KBITS[first, layer][index - 1], _MPEG_RATES[version][rate]
    samples = 384 if layer == 3 else 1152 if first or layer == 2 else 576
    padding = head[2] >> 1 & 1
    slot = 4 if layer == 3 else 1
    size = (samples // 8 * kbits * 1000 // hertz // slot + padding) * slot
    return (size, kbits, samples, hertz) if size >= 4 else None


def of_mp3(data: bytes) -> float | None:
    """By the number of frames that its head tells, or by counting them, or by its one rate."""
    at = first = _after_tags(data)
    end = len(data) - (128 if data[-128:-125] == b"TAG" else 0)
    for _ in range(_SEEK_MAX):
        at = data.find(b"\xff", at, first + _SEEK_BYTES)
        if at < 0:
            return None
        frame = _frame(data[at : at + 4])
        if frame is not None and _goes_on(data, at + frame[0], end, frame[3]):
            told = _told(data, at, frame)
            return _fitting(told, end - at, _MP3_BITS) if told else _counted(data, at, end)
        at += 1
    return None


def _after_tags(data: bytes) -> int:
    at = 0
    for _ in range(_TAGS_MAX):
        if data[at : at + 3] != b"ID3" or len(data) < at + 10:
            break
        size = data[at + 6 : at + 10]
        foot = 10 if data[at + 5] & 0x10 else 0
        at += 10 + foot + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    return at


def _goes_on(data: bytes, at: int, end: int, hertz: int) -> bool:
    """Whether the next frame stands where this one ends, or nothing more does."""
    following = _frame(data[at : at + 4])
    return at == end or (following is not None and following[3] == hertz)


def _told(data: bytes, at: int, frame: Frame) -> float:
    """The seconds that the first frame tells where it is a head of Xing's or Fraunhofer's kind; else 0."""
    size, _, samples, hertz = frame
    first, alone = data[at + 1] >> 3 & 3 == 3, data[at + 3] >> 6 == 3
    side = (17 if alone else 32) if first else (9 if alone else 17)
    xing, vbri = data[at + 4 + side : at + size][:12], data[at + 36 : at + size][:18]
    frames = 0
    if xing[:4] in {b"Xing", b"Info"} and len(xing) == 12 and xing[7] & 1:
        frames = int.from_bytes(xing[8:12], "big")
    elif vbri[:4] == b"VBRI" and len(vbri) == 18:
        frames = int.from_bytes(vbri[14:18], "big")
    return frames * samples / hertz


def _counted(data: bytes, start: int, end: int) -> float | None:
    """Frame by frame to the end; what goes on at one rate is as long as its bytes are at that."""
    at, seconds, rates = start, 0.0, set[int]()
    for _ in range(_FRAMES_MAX):
        frame = _frame(data[at : at + 4])
        if frame is None or at + frame[0] > end:
            break
        at += frame[0]
        rates.add(frame[1])
        seconds += frame[2] / frame[3]
    else:
        return seconds * (end - start) / (at - start) if len(rates) == 1 else None
    there = end - at < (end - start) / 50 + 2_000  # what follows the frames is a tag, or one that was cut off
    return seconds if there and seconds else None


# -- Ogg (RFC 3533, 7845; Vorbis I) -----------------------------------------------------------------

_PAGE_MAX: Final = 65_307
_TAIL_BYTES: Final = 4 * _PAGE_MAX
_PAGES_MAX: Final = 64


def of_ogg(data: bytes) -> float | None:
    """By the number of the last sample, which the last page of the stream has."""
    for at in _pages_from_the_start(data):
        rate, skipped = _rate_of(data[at + 27 + data[at + 26] :][:64])
        if rate in _RATES:
            last = _last_sample(data, data[at + 14 : at + 18])
            return None if last is None else _fitting((last - skipped) / rate, len(data), _OGG_BITS)
    return None


def _pages_from_the_start(data: bytes) -> Iterator[int]:
    """Where the pages begin by which streams do."""
    at = 0
    for _ in range(_PAGES_MAX):
        if data[at : at + 4] != b"OggS" or len(data) < at + 27 or not data[at + 5] & 2:
            return
        yield at
        lengths = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(lengths) + sum(lengths)


def _rate_of(packet: bytes) -> tuple[int, int]:
    """Samples a second, and how many at the beginning are none; (0, 0) of what is no sound."""
    if packet[:8] == b"OpusHead" and len(packet) >= 12:
        return 48_000, int.from_bytes(packet[10:12], "little")
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        return int.from_bytes(packet[12:16], "little"), 0
    if packet[:8] == b"Speex   " and len(packet) >= 40:
        return int.from_bytes(packet[36:40], "little"), 0
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 30:
        return int.from_bytes(packet[27:30], "big") >> 4, 0
    return 0, 0


def _last_sample(data: bytes, stream: bytes) -> int | None:
    """As the last page of this stream numbers it; None where none is near the end, as where another follows."""
    end = len(data)
    for _ in range(_PAGES_MAX):
        at = data.rfind(b"OggS", max(len(data) - _TAIL_BYTES, 0), end)
        if at < 0:
            return None
        number = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
        if data[at + 4 : at + 5] == b"\0" and data[at + 14 : at + 18] == stream and number >= 0:
            return number
        end = at
    return None


# -- MP4 (ISO 14496-12) -----------------------------------------------------------------------------

_BOXES_MAX: Final = 1_024


def of_mp4(data: bytes) -> float | None:
    """By the head of the film, or, where it comes in fragments, by what it says of all of them."""
    film = _box(data, 0, len(data), b"moov")
    head = film and _box(data, *film, b"mvhd")
    if not film or not head:
        return None
    told = _duration(data[head[0] : head[1]][:32])
    more = _box(data, *film, b"mvex")
    whole = more and _box(data, *more, b"mehd")
    if whole and told is not None and not told[0]:
        said = data[whole[0] : whole[1]][:12]
        told = int.from_bytes(said[4:12] if said[:1] == b"\1" else said[4:8], "big"), told[1]
    return _fitting(told[0] / told[1], len(data), _MP4_BITS) if told is not None and told[0] else None


def _duration(head: bytes) -> tuple[int, int] | None:
    """In units, of which a second has so many."""
    later = head[:1] == b"\1"
    if len(head) < (32 if later else 20):
        return None
    scale, length = struct.unpack_from(">IQ", head, 20) if later else struct.unpack_from(">II", head, 12)
    endless = length == (1 << 64) - 1 if later else length == (1 << 32) - 1
    return (int(length), int(scale)) if scale and not endless else None


def _box(data: bytes, at: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    """From where to where the content of the first box of this name goes."""
    for _ in range(_BOXES_MAX):
        head = data[at : min(at + 16, end)]
        if len(head) < 8:
            return None
        size, content = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at  # 0: to the end
        if size < content:
            return None
        if head[4:8] == wanted:
            return at + content, min(at + size, end)
        at += size
    return None
