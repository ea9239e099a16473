"""How long a sound is, where its container says so: WAV and FLAC here, and others as `packed_sounds` reads them."""

from __future__ import annotations

import struct
from typing import Final

from bastide.inference.packed_sounds import of_mp3, of_mp4, of_ogg

_EXACT: Final = frozenset({1, 3, 6, 7})  # PCM, floats, A-law, mu-law: a frame has the same bytes everywhere
_EXTENSIBLE: Final = 0xFFFE  # the format stands further on in the chunk
_RATES: Final = range(1_000, 768_001)
_CHUNKS_MAX: Final = 64
_FLAC_HEAD: Final = 42


def seconds_of(data: bytes) -> float | None:
    """The seconds of a sound; None where its head does not say, or says what cannot be."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _of_wav(data)
    if data[:4] == b"fLaC":
        return _of_flac(data)
    if data[:4] == b"OggS":
        return of_ogg(data)
    if data[4:8] == b"ftyp":
        return of_mp4(data)
    return of_mp3(data) if data[:3] == b"ID3" or data[:1] == b"\xff" else None


def _of_wav(data: bytes) -> float | None:
    """Bytes of samples by bytes a second; of what is announced, only what is there counts."""
    at, bytes_a_second = 12, 0
    for _ in range(_CHUNKS_MAX):
        head = data[at : at + 8]
        if len(head) < 8:
            return None
        name, size = struct.unpack("<4sI", head)
        at += 8
        if name == b"fmt ":
            bytes_a_second = _bytes_a_second(data[at : at + min(size, 40)])
        elif name == b"data":
            there = min(size, len(data) - at)  # 0: written by a program that did not know the end
            return there / bytes_a_second if there and bytes_a_second else None
        at += size + size % 2
    return None


def _bytes_a_second(chunk: bytes) -> int:
    """0 of a format whose length cannot be told by its bytes, or whose figures do not fit each other."""
    if len(chunk) < 16:
        return 0
    form, channels, rate, bytes_a_second, frame, bits = struct.unpack("<HHIIHH", chunk[:16])
    if form == _EXTENSIBLE and len(chunk) >= 26:
        form = int.from_bytes(chunk[24:26], "little")
    fits = frame == channels * ((bits + 7) // 8) and bytes_a_second == rate * frame
    return bytes_a_second if form in _EXACT and fits and frame and rate in _RATES else 0


def _of_flac(data: bytes) -> float | None:
    """By the head that each has: samples by samples a second (RFC 9639, 8.2)."""
    if len(data) < _FLAC_HEAD or data[4] & 0x7F or int.from_bytes(data[5:8], "big") != 34:
        return None
    packed = int.from_bytes(data[18:26], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    return samples / rate if samples and rate in _RATES else None
