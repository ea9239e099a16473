"""Metering sound and pictures: what a call of them is counted in, before it is made and when it is over.

Pictures are counted as they come, sound by its seconds, what is spoken by its characters; tokens only where the server
has counted them. What nobody tells is what was asked for, or guessed, and then marked as estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_TOKENS: Final = (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens"))
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


class Meter:
    """Reads off an answer, while it passes, how much it was."""

    __slots__ = ("_asked", "_events", "_json", "_pictures", "_seconds", "_tokens")

    def __init__(self, asked: Asked, media_type: str) -> None:
        """`media_type` is that of the answer."""
        kind = media_type.partition(";")[0].strip().lower()
        self._asked = asked
        self._events = Splitter() if kind == "text/event-stream" else None
        self._json = kind.endswith("json")
        self._pictures: int | None = None
        self._seconds: float | None = None
        self._tokens: tuple[int, int] | None = None

    def feed(self, piece: bytes) -> None:
        """A piece has come: the events that are whole now are read."""
        if self._events is None:
            return
        try:
            for event in self._events.feed(piece):
                self._note(event)
        except UpstreamGarbage:  # it is passed on as it came; what it was is then as good as not told
            self._events = None

    def used(self, answer: bytes, *, by_unit: bool = False) -> Usage:
        """What the call took whose answer has come to its end: as its server tells it, else what was asked for.

        Where the server counts tokens, a length that nobody tells is not guessed, unless it is paid `by_unit`.
        """
        for said in self._events.end() if self._events is not None else [answer] if self._json else []:
            self._note(said)
        units, estimated = self._asked.units, self._asked.estimated
        if self._asked.capability == "images" and self._pictures is not None:
            units, estimated = Units(pictures=self._pictures), False
        elif self._asked.capability == "transcription" and self._seconds is not None:
            units, estimated = Units(seconds=self._seconds), False
        elif self._tokens is not None and estimated and not by_unit:
            units, estimated = Units(), False
        return Usage(*(self._tokens or (0, 0)), estimated, units)

    def _note(self, said: bytes) -> None:
        try:
            told = _read(said)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        usage = told.usage if isinstance(told.usage, dict) else {}
        made, tokens = _made(told), _tokens(usage)
        if tokens is not None:
            before = (0, 0) if made is None or self._tokens is None else self._tokens  # one picture's, or of all so far
            self._tokens = before[0] + tokens[0], before[1] + tokens[1]
        if made is not None:
            self._pictures = (self._pictures or 0) + made
        for length in (usage.get("seconds"), usage.get("duration"), told.duration):
            self._seconds = _seconds(length) if self._seconds is None else self._seconds


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
    """In and out, in the words of either of OpenAI's formats; a server that counts none has counted nothing."""
    for names in _TOKENS:
        sent, got = (usage.get(name) for name in names)
        if type(sent) is int and type(got) is int and 0 <= sent <= _TOKENS_MAX and 0 <= got <= _TOKENS_MAX:
            return (sent, got) if sent or got else None
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
