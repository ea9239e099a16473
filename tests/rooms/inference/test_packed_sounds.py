"""How long compressed sounds are: real ones of LAME, libsndfile and FFmpeg, hand-made heads, and whatever else comes.

Each file in `sounds` is a second and a half of a tone; an MP3 has its encoder's delay beside it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.inference.metering import asked
from bastide.inference.sounds import seconds_of

SOUNDS = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "sounds").iterdir())}
EXACT = {
    "aac.m4a": 1.5,
    "opus.ogg": 1.5,
    "vorbis.ogg": 1.5,
    "even.mp3": 1.656,
    "changing.mp3": 1.656,
    "told.mp3": 1.656,
}
FRAME = b"\xff\xfb\x90\xc4"  # MPEG 1, layer III, 128 kbit/s, 44,100 Hz, one channel: 417 bytes, 1,152 samples
STEP = 1152 / 44_100


def frame(said: bytes = b"", at: int = 21) -> bytes:
    return FRAME + (bytes(at - 4) + said).ljust(413, b"\0")


def xing(frames: int, name: bytes = b"Xing") -> bytes:
    return frame(name + (1).to_bytes(4, "big") + frames.to_bytes(4, "big"))


def vbri(frames: int) -> bytes:
    return frame(b"VBRI" + struct.pack(">HHHII", 1, 0, 0, 0, frames), at=36)


def id3(data: bytes, *, foot: bool = False) -> bytes:
    size = bytes(len(data) >> 7 * n & 0x7F for n in (3, 2, 1, 0))
    return b"ID3\4\0" + (b"\x10" if foot else b"\0") + size + data + (b"3DI" + bytes(7) if foot else b"")


def page(packet: bytes, sample: int = 0, *, begins: bool = False, stream: int = 1) -> bytes:
    lengths = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    flags = b"\2" if begins else b"\0"
    head = b"OggS\0" + flags + struct.pack("<qIII", sample, stream, 0, 0)
    return head + bytes([len(lengths)]) + lengths + packet


def opus(skipped: int) -> bytes:
    return b"OpusHead\1\1" + struct.pack("<HIh", skipped, 16_000, 0) + b"\0"


def box(name: bytes, content: bytes, *, large: bool = False) -> bytes:
    if large:
        return (1).to_bytes(4, "big") + name + (16 + len(content)).to_bytes(8, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + name + content


def film(head: bytes, *more: bytes, large: bool = False) -> bytes:
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", bytes(9_000), large=large) + box(b"moov", head + b"".join(more))


def mvhd(length: int, scale: int, *, later: bool = False) -> bytes:
    said = struct.pack(">IQQIQ", 1 << 24, 0, 0, scale, length) if later else struct.pack(">5I", 0, 0, 0, scale, length)
    return box(b"mvhd", said + bytes(80))


@pytest.mark.parametrize("name", EXACT)
def test_real_files_are_as_long_as_they_are(name: str) -> None:
    assert seconds_of(SOUNDS[name]) == pytest.approx(EXACT[name], abs=0.001)
    found = asked("transcription", {}, [SOUNDS[name]])
    assert (found.units.seconds, found.estimated) == (pytest.approx(EXACT[name], abs=0.001), False)


def test_every_real_file_is_named() -> None:
    assert SOUNDS.keys() == EXACT.keys()


def test_an_mp3_is_as_long_as_its_frames() -> None:
    ten = frame() * 10
    assert seconds_of(ten) == pytest.approx(10 * STEP)
    assert seconds_of(frame() * 20_000) == pytest.approx(20_000 * STEP, rel=1e-3), "at its one rate, if it is long"
    assert seconds_of(id3(bytes(700)) + id3(b"", foot=True) + ten + b"TAG" + bytes(125)) == pytest.approx(10 * STEP)
    assert seconds_of(ten[:-100]) == pytest.approx(9 * STEP), "a frame that was cut off is none"
    for told in (xing(300), xing(300, b"Info"), vbri(300)):
        assert seconds_of(told + frame() * 299) == pytest.approx(300 * STEP)
        assert seconds_of(told + ten) is None, "so short a file holds no 300 frames"
    assert seconds_of(xing(1) + frame() * 5_000) is None, "nor is a long one a frame"
    faster = b"\xff\xfb\xa0\xc4" + bytes(518)  # 160 kbit/s
    assert seconds_of((frame() + faster) * 5_000) is None, "of changing rates no more is guessed"
    assert seconds_of(frame() * 5 + bytes(90_000)) is None, "what follows is no frames"


def test_an_ogg_is_as_long_as_its_last_page_says() -> None:
    head = page(opus(312), begins=True)
    body = page(bytes(4_000), 48_000 + 312)
    assert seconds_of(head + body + page(bytes(4_000), 96_000 + 312)) == pytest.approx(2.0)
    other = page(b"\x80theora", begins=True, stream=7)
    assert seconds_of(other + head + body + page(bytes(90), 10**9, stream=7)) == pytest.approx(1.0), "its own pages"
    assert seconds_of(head + body + page(b"", -1)) == pytest.approx(1.0), "a page on which no packet ends has no number"
    speex = b"Speex   ".ljust(36, b"\0") + struct.pack("<I", 16_000)
    assert seconds_of(page(speex, begins=True) + page(bytes(4_000), 32_000)) == pytest.approx(2.0)
    flac = b"\x7fFLAC\1\0\0\1fLaC" + bytes(14) + (44_100 << 4).to_bytes(3, "big") + bytes(20)
    assert seconds_of(page(flac, begins=True) + page(bytes(9_000), 88_200)) == pytest.approx(2.0)
    following = page(opus(0), begins=True, stream=2) + page(bytes(60_000), 1, stream=2) * 5
    assert seconds_of(head + body + following) is None, "another stream follows"
    assert seconds_of(head + page(bytes(90), 10**15)) is None, "no such sound has so few bytes"
    assert seconds_of(other + page(bytes(90), 10**6, stream=7)) is None, "no sound at all"


@pytest.mark.parametrize("later", [False, True])
def test_an_mp4_is_as_long_as_the_head_of_its_film_says(later: bool) -> None:
    assert seconds_of(film(mvhd(2_500, 1_000, later=later), large=later)) == pytest.approx(2.5)
    endless = (1 << 64) - 1 if later else (1 << 32) - 1
    for wrong in (mvhd(2_500, 0, later=later), mvhd(endless, 1_000, later=later), mvhd(0, 1_000, later=later), b""):
        assert seconds_of(film(wrong)) is None
    whole = box(b"mehd", struct.pack(">IQ", 1 << 24, 3_000) if later else struct.pack(">II", 0, 3_000))
    assert seconds_of(film(mvhd(0, 1_000), box(b"mvex", whole))) == pytest.approx(3.0), "in fragments"
    assert seconds_of(film(mvhd(2_500, 1_000), box(b"mvex", whole))) == pytest.approx(2.5)
    assert seconds_of(film(mvhd(10**9, 1, later=later))) is None, "no such sound has so few bytes"


class Watched(bytes):
    """Bytes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        self.looks += 1
        return super().__getitem__(key)

    def find(self, *said: Any) -> int:
        self.looks += 1
        return super().find(*said)

    def rfind(self, sub: Any, start: SupportsIndex | None = None, end: SupportsIndex | None = None) -> int:
        self.looks += 1
        return super().rfind(sub, start, end)


MAGIC = [b"", b"ID3\4\0\0\0\0\0\0", b"\xff\xfb\x90\xc4", b"OggS\0\2", b"\0\0\0\x08ftyp", *SOUNDS.values()]


def bounded(data: bytes) -> float | None:
    """Its length, found with few looks, each at few bytes or one search."""
    watched = Watched(data)
    found = seconds_of(watched)
    assert watched.looks < 20_000
    assert found is None or 0 < found <= len(data) * 8 / 400
    return found


@given(st.sampled_from(MAGIC), st.binary(max_size=600))
def test_whatever_follows_is_a_length_or_unknown(head: bytes, rest: bytes) -> None:
    bounded(head + rest)


@given(st.sampled_from(sorted(SOUNDS)), st.data())
def test_a_file_that_was_damaged_or_cut_off_is_a_length_or_unknown(name: str, data: st.DataObject) -> None:
    sound = bytearray(SOUNDS[name])
    for _ in range(data.draw(st.integers(0, 8))):
        sound[data.draw(st.integers(0, min(len(sound), 600) - 1))] = data.draw(st.integers(0, 255))
    bounded(bytes(sound[: data.draw(st.integers(0, len(sound)))]))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 4_000_000,
        b"\xff\xfb" * 2_000_000,
        frame() * 50_000,
        id3(b"") * 400_000,
        b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(1_000_000),
        b"OggS" * 1_000_000,
        page(b"", begins=True) * 100_000,
        page(opus(0), begins=True) + b"OggS" * 1_000_000,
        page(opus(0), begins=True) + page(bytes(9), 5, stream=9) * 100_000,
        box(b"ftyp", b"") * 500_000,
        box(b"ftyp", b"") + box(b"moov", box(b"free", b"") * 500_000),
        box(b"ftyp", b"") + b"\0\0\0\1moov" + b"\xff" * 8 + bytes(1_000_000),
        box(b"ftyp", b"") + bytes(4) + b"moov" + bytes(1_000_000),
    ],
    ids=range(13),
)
def test_a_file_that_is_made_to_take_long_does_not(data: bytes) -> None:
    bounded(data)
