"""What calls of sound and pictures are counted in: told by the server, exact by the file, or guessed and marked."""

from __future__ import annotations

import io
import json
import struct
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.inference.accounts import cost_eur
from bastide.inference.accounts.admission import costs, guessed_eur
from bastide.inference.metering import Asked, Meter, asked
from bastide.inference.sounds import seconds_of
from bastide.inference.values import Units, Usage
from bastide.policy import Price

JSON, EVENTS = "application/json; charset=utf-8", "text/event-stream"


def wav(seconds: float, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    """Silence, as the standard library writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(channels)
        made.setsampwidth(width)
        made.setframerate(rate)
        made.writeframes(bytes(round(seconds * rate) * channels * width))
    return file.getvalue()


def flac(samples: int, rate: int) -> bytes:
    """The head of a FLAC of two channels and 16 bits, and some frames."""
    packed = rate << 44 | 1 << 41 | 15 << 36 | samples
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info + bytes(100)


# -- how long a sound is ----------------------------------------------------------------------------


@given(
    frames=st.integers(1, 20_000),
    rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    channels=st.integers(1, 2),
    width=st.sampled_from([1, 2, 3, 4]),
)
def test_a_wav_is_as_long_as_its_samples(frames: int, rate: int, channels: int, width: int) -> None:
    assert seconds_of(wav(frames / rate, rate, channels, width)) == pytest.approx(frames / rate)


@given(st.data())
def test_a_wav_that_was_cut_off_is_as_long_as_what_is_there_or_unknown(data: st.DataObject) -> None:
    whole = wav(1.0)
    cut = data.draw(st.integers(0, len(whole)))
    assert seconds_of(whole[:cut]) == (None if cut <= 44 else pytest.approx((cut - 44) / 32_000))


@given(st.binary(max_size=200), st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt ", b"fLaC"]))
def test_whatever_comes_is_a_length_or_unknown(rest: bytes, head: bytes) -> None:
    found = seconds_of(head + rest)
    assert found is None or 0 <= found < 1e9


def test_a_head_that_lies_is_not_believed() -> None:
    whole = wav(2.0)
    faster = whole[:28] + (10**9).to_bytes(4, "little") + whole[32:]  # so many bytes a second would make it short
    assert seconds_of(faster) is None
    endless = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]  # as a program writes it that does not know the end
    assert seconds_of(endless) == pytest.approx(2.0)
    unsaid = whole[:40] + bytes(4) + whole[44:]
    assert seconds_of(unsaid) is None
    packed = whole[:20] + (2).to_bytes(2, "little") + whole[22:]  # ADPCM: its bytes are no samples
    assert seconds_of(packed) is None
    noted = whole[:12] + b"LIST" + (3).to_bytes(4, "little") + b"abc\0" + whole[12:]
    assert seconds_of(noted) == pytest.approx(2.0), "chunks before the samples are passed over, padded to even"
    assert seconds_of(flac(441_000, 44_100)) == pytest.approx(10.0)
    assert seconds_of(flac(0, 44_100)) is None, "a FLAC may leave it out"


# -- what is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "pictures"),
    [
        (None, 1),
        (1, 1),
        (4, 4),
        (["3"], 3),
        (["x"], 1),
        ([], 1),
        (0, 1),
        (-2, 1),
        (True, 1),
        (10**12, 128),
        (["9" * 99], 128),
    ],
)
def test_how_many_pictures_are_asked_for(n: Any, pictures: int) -> None:
    found = asked("images", {"prompt": "x", "n": n}, [])
    assert (found.units, found.estimated) == (Units(pictures=pictures), True)


def test_what_else_is_asked() -> None:
    assert asked("speech", {"input": "Grüße"}, []).usage == Usage(units=Units(characters=5))
    exact = asked("transcription", {}, [wav(3.0)])
    assert (exact.units.seconds, exact.estimated) == (pytest.approx(3.0), False)
    guessed = asked("transcription", {}, [b"\xff\xfb" + bytes(15_998)])
    assert (guessed.units.seconds, guessed.estimated) == (2.0, True), "8,000 bytes a second, and said to be a guess"


def used(wanted: Asked, media_type: str, answer: bytes, *, size: int = 7, by_unit: bool = False) -> Usage:
    """As its meter says, of an answer that comes in pieces of this size."""
    meter = Meter(wanted, media_type)
    for start in range(0, len(answer), size):
        meter.feed(answer[start : start + size])
    return meter.used(answer, by_unit=by_unit)


# -- what is told -----------------------------------------------------------------------------------

TOKENS = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}


def stream(*told: dict[str, Any]) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in told)


GUESSED = asked("transcription", {}, [bytes(80_000)])  # ten seconds
EXACT = asked("transcription", {}, [wav(3.0)])
FOUR = asked("images", {"n": 4}, [])
SPOKEN = asked("speech", {"input": "Good morning."}, [])
LATE = [{"type": "transcript.text.delta", "delta": "x"}, {"type": "transcript.text.done", "usage": TOKENS}]
PARTS = [{"type": "image_edit.partial_image", "b64_json": "UE5H"}, {"type": "image_edit.completed", "usage": TOKENS}]


@pytest.mark.parametrize(
    ("wanted", "media_type", "answer", "expected"),
    [
        (GUESSED, JSON, {"text": "x", "usage": {"type": "duration", "seconds": 9}}, Usage(units=Units(seconds=9))),
        (GUESSED, JSON, {"text": "x", "usage": {"type": "duration", "duration": 9}}, Usage(units=Units(seconds=9))),
        (EXACT, JSON, {"text": "x", "duration": 8.47}, Usage(units=Units(seconds=8.47))),
        (EXACT, JSON, {"text": "x", "duration": "8.47"}, Usage(units=Units(seconds=8.47))),
        (EXACT, JSON, {"text": "x"}, Usage(units=Units(seconds=3))),
        (EXACT, JSON, {"text": "x", "usage": TOKENS}, Usage(14, 45, False, Units(seconds=3))),
        (GUESSED, JSON, {"text": "x", "usage": TOKENS}, Usage(14, 45, False, Units())),
        (GUESSED, EVENTS, stream(*LATE), Usage(14, 45, False, Units())),
        (GUESSED, EVENTS, stream(*LATE, *LATE), Usage(14, 45, False, Units())),  # of all so far, each time
        (GUESSED, JSON, {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, Usage(3, 4, False, Units())),
        (GUESSED, JSON, {"usage": {"input_tokens": 0, "output_tokens": 0}}, Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, JSON, {"text": "x"}, Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, "text/plain", b'{"duration": 1}', Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, JSON, {"duration": -1}, Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, JSON, {"duration": "long", "usage": 3}, Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, JSON, {"duration": "inf", "usage": []}, Usage(0, 0, True, Units(seconds=10))),
        (GUESSED, JSON, {"duration": True}, Usage(0, 0, True, Units(seconds=10))),
        (FOUR, JSON, {"data": [{"b64_json": "UE5H"}] * 3}, Usage(units=Units(pictures=3))),
        (FOUR, JSON, {"data": []}, Usage(units=Units())),
        (FOUR, JSON, {"data": [{"url": "x"}], "usage": TOKENS}, Usage(14, 45, False, Units(pictures=1))),
        (FOUR, EVENTS, stream(*PARTS), Usage(14, 45, False, Units(pictures=1))),
        (FOUR, EVENTS, stream(*PARTS, PARTS[1]), Usage(28, 90, False, Units(pictures=2))),
        (FOUR, EVENTS, stream(*PARTS)[:-2], Usage(14, 45, False, Units(pictures=1))),  # its last line is missing
        (FOUR, EVENTS, b"data: " + bytes(9_000_000) + b"\n\n", Usage(0, 0, True, Units(pictures=4))),
        (FOUR, JSON, {"images": ["x"]}, Usage(0, 0, True, Units(pictures=4))),
        (FOUR, JSON, {"data": "x"}, Usage(0, 0, True, Units(pictures=4))),
        (FOUR, JSON, b"{", Usage(0, 0, True, Units(pictures=4))),
        (FOUR, JSON, b"[" * 100_000, Usage(0, 0, True, Units(pictures=4))),
        (FOUR, "image/png", b"\x89PNG" * 1000, Usage(0, 0, True, Units(pictures=4))),
        (SPOKEN, "audio/mpeg", bytes(100_000), Usage(units=Units(characters=13))),
        (SPOKEN, JSON, {"usage": {"input_tokens": -1, "output_tokens": 2}}, Usage(units=Units(characters=13))),
        (
            SPOKEN,
            EVENTS,
            stream({"type": "speech.audio.delta", "audio": "AA"}, {"type": "speech.audio.done", "usage": TOKENS}),
            Usage(14, 45, False, Units(characters=13)),
        ),
    ],
)  # fmt: skip
def test_what_an_answer_tells(wanted: Any, media_type: str, answer: Any, expected: Usage) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    assert used(wanted, media_type, body, size=max(7, len(body) // 50)) == expected


def test_a_length_is_guessed_beside_tokens_only_where_it_is_paid() -> None:
    body = json.dumps({"text": "x", "usage": TOKENS}).encode()
    assert used(GUESSED, JSON, body, by_unit=True) == Usage(14, 45, True, Units(seconds=10))


@given(
    st.binary(max_size=400), st.sampled_from([JSON, EVENTS, "audio/wav", ""]), st.sampled_from([GUESSED, FOUR, SPOKEN])
)
def test_no_answer_makes_bytes_into_tokens(answer: bytes, media_type: str, wanted: Any) -> None:
    found = used(wanted, media_type, answer)
    assert (found.input, found.output) == (0, 0)
    assert found.units is not None


# -- what it costs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "usage", "eur"),
    [
        (Price(picture=0.04), Usage(units=Units(pictures=3)), 0.12),
        (Price(minute=0.006), Usage(units=Units(seconds=90)), 0.009),
        (Price(characters=15), Usage(units=Units(characters=2000)), 0.03),
        (Price(5, 40), Usage(100, 1000, False, Units(pictures=1)), 0.0405),
        (Price(5, 40, picture=0.04), Usage(100, 1000, False, Units(pictures=1)), 0.0405),
        (Price(5, 40, picture=0.04), Usage(units=Units(pictures=1)), 0.04),
        (Price(picture=0.04), Usage(100, 1000, False, Units(pictures=1)), 0.04),
        (Price(5, 40), Usage(units=Units(pictures=1)), None),  # a token's price says nothing of a picture
        (Price(0, 0), Usage(units=Units(pictures=1)), None),
        (Price(picture=0.04), Usage(units=Units(seconds=1)), None),
        (Price(picture=0.04), Usage(units=Units()), 0.0),
        (Price(minute=0.006), Usage(10, 10, False, Units()), None),
        (Price(picture=0.04), Usage(10, 10), None),
        (Price(), Usage(units=Units(pictures=1)), None),
    ],
)
def test_what_a_call_has_cost(price: Price, usage: Usage, eur: float | None) -> None:
    assert cost_eur(price, usage) == (None if eur is None else pytest.approx(eur))


def test_what_may_cost_something_before_it_is_made() -> None:
    pictures = Units(pictures=2)
    assert guessed_eur(Price(picture=0.04), 1, pictures) == pytest.approx(0.08)
    assert guessed_eur(Price(5, 40, picture=0.001), 1000, pictures) == pytest.approx(0.04), "the dearer way"
    assert guessed_eur(Price(), 1000, pictures) == 0.0
    unknown = (None, Price(), Price(0, 0), Price(minute=0.006), Price(minute=0.0))
    assert all(costs(one, pictures) for one in (*unknown, Price(picture=0.04), Price(0, 0, picture=0.04)))
    assert not costs(Price(picture=0.0), pictures)
    assert not costs(Price(0.0, 0.0, picture=0.0), pictures)
    assert costs(Price(picture=0.04), Units()), "what it comes to is not known yet"


def test_a_price_is_turned_into_another_currency_whole_and_told_where_there_is_one() -> None:
    price = Price(1, 2, "USD", "list", None, picture=0.04).times(0.5)
    assert (price.input, price.output, price.picture, price.minute) == (0.5, 1, 0.02, None)
    assert price.to_wire()["per_picture"] == 0.02
    assert "per_minute" not in price.to_wire()
    assert Price().to_wire() == {}
    assert Price(characters=15).to_wire()["per_characters"] == 15
    listed = Price(0, 0, "USD").beside(Price(9, 9, "USD", picture=0.04))
    assert (listed.input, listed.picture) == (0, 0.04), "a list of tokens takes nothing from what a record says"
