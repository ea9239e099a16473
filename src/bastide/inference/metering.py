"""Metering sound and pictures: what a call of them is counted in, before it is made and when it is over.

Pictures are counted as they come, sound by its seconds, what is spoken by its characters; tokens only where the server
has counted them. What nobody tells is what was asked for, or guessed, and then marked as estimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import msgspec

from bastide.errors import UpstreamGarbage
from bastide.inference.event_stream import Splitter
from bastide.inference.sounds import seconds_of
from bastide.inference.values import Units, Usage

_BYTES_A_SECOND: Final = 8_000  # of a sound whose head does not say how long it is: 64 kbit/s
_PICTURES_MAX: Final = 128
_SECONDS_MAX: Final = 10_000_000.0
_TOKENS_MAX: Final = 10**12


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for; `estimated` where only its answer tells how much it is."""

    capability: str
    units: Units
    estimated: bool = False

    @property
    def usage(self) -> Usage:
        """What is counted as long as no more is known."""
        return Usage(estimated=self.estimated, units=self.units)


class _Told(msgspec.Struct):
    """Of an answer, or of one event of it, what says how much it was."""

    type: Any = None
    data: msgspec.Raw = msgspec.Raw()
    usage: Any = None
    duration: Any = None


def asked(capability: str, fields: Mapping[str, Any], sounds: Sequence[bytes]) -> Asked:
    """What is asked of a model that does `transcription`, `speech` or `images`."""
    if capability == "speech":
        return Asked(capability, Units(characters=len(str(fields.get("input", "")))))
    if capability == "images":
        return Asked(capability, Units(pictures=_pictures(fields.get("n"))), estimated=True)
    lengths = [(seconds_of(one), len(one)) for one in sounds]
    seconds = sum(size / _BYTES_A_SECOND if exact is None else exact for exact, size in lengths)
    return Asked(capability, Units(seconds=seconds), estimated=any(exact is None for exact, _ in lengths))


def used(asked: Asked, media_type: str, answer: bytes, *, by_unit: bool = False) -> Usage:
    """What a call took whose answer is whole: as its server tells it, else what was asked for.

    Where the server counts tokens, a length that nobody tells is not guessed, unless it is paid `by_unit`.
    """
    tokens, pictures, seconds = None, None, None
    for told in _parts(media_type, answer):
        made = _made(told)
        pictures = pictures if made is None else (pictures or 0) + made
        usage = told.usage if isinstance(told.usage, dict) else {}
        counted = _tokens(usage)
        if counted is not None:
            tokens = counted if tokens is None else (tokens[0] + counted[0], tokens[1] + counted[1])
        for length in (usage.get("seconds"), usage.get("duration"), told.duration):
            seconds = _seconds(length) if seconds is None else seconds
    units, estimated = asked.units, asked.estimated
    if asked.capability == "images" and pictures is not None:
        units, estimated = Units(pictures=pictures), False
    elif asked.capability == "transcription" and seconds is not None:
        units, estimated = Units(seconds=seconds), False
    elif tokens is not None and estimated and not by_unit:
        units, estimated = Units(), False
    return Usage(*(tokens or (0, 0)), estimated, units)


def _parts(media_type: str, answer: bytes) -> Iterator[_Told]:
    """The answer, or each of its events, as far as they can be read. A sound tells nothing."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        splitter = Splitter()
        try:
            said = [*splitter.feed(answer), *splitter.end()]
        except UpstreamGarbage:
            return
    else:
        said = [answer] if kind.endswith("json") else []
    for one in said:
        try:
            yield _read(one)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue


_read: Final = msgspec.json.Decoder(_Told).decode


def _made(told: _Told) -> int | None:
    """How many pictures this tells of; None where it is not about pictures that are done."""
    if isinstance(told.type, str) and told.type.startswith("image_"):
        return 1 if told.type.endswith(".completed") else None
    try:
        return len(msgspec.json.decode(told.data, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _tokens(usage: Mapping[str, Any]) -> tuple[int, int] | None:
    sent, got = usage.get("input_tokens"), usage.get("output_tokens")
    if type(sent) is int and type(got) is int and 0 <= sent <= _TOKENS_MAX and 0 <= got <= _TOKENS_MAX:
        return sent, got
    return None


def _seconds(length: Any) -> float | None:
    """As a number or as a text that is one: both are told."""
    try:
        seconds = float(length) if isinstance(length, str | int | float) and not isinstance(length, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) and 0 <= seconds <= _SECONDS_MAX else None


def _pictures(n: Any) -> int:
    """How many are asked for: one where nothing is said, or nothing that makes sense."""
    said = n[0] if isinstance(n, list) and n else n
    try:
        number = int(said) if isinstance(said, str | int) and not isinstance(said, bool) else 1
    except ValueError:
        return 1
    return min(max(number, 1), _PICTURES_MAX)
