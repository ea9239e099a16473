"""What the readers of all streams do: bytes into events of the format, those into events of ours, and a sure end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from bastide.errors import BastideError, StreamBroken, UpstreamGarbage
from bastide.inference.event_stream import Splitter
from bastide.inference.upstream_faults import told_in
from bastide.inference.wires.events import Closed, Cut, Event, Grew, Opened, Told
from bastide.inference.wires.values import Call, Logprob

_DECODER = msgspec.json.Decoder()


class Telling(Protocol):
    """What one format's events mean. Raises StreamBroken or UpstreamGarbage for what means nothing."""

    def heard(self, said: Mapping[str, Any]) -> list[Event]: ...
    def over(self) -> list[Event]:
        """The server has said all: what is still to be told. Raises StreamBroken if it has not said its end."""


class Reader:
    """Events out of the bytes of a stream. After a Cut there is nothing more."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._splitter = Splitter()
        self._cut = False

    def feed(self, piece: bytes) -> list[Event]:
        """What these bytes tell."""
        events: list[Event] = []
        if not self._cut:
            try:
                for data in self._splitter.feed(piece):
                    events += self._heard(data)
            except BastideError as fault:
                events.append(self._broken(fault))
        return events

    def end(self) -> list[Event]:
        """What is left; a stream that did not say its end gives a Cut."""
        events: list[Event] = []
        if not self._cut:
            try:
                for data in self._splitter.end():
                    events += self._heard(data)
                events += self._telling.over()
            except BastideError as fault:
                events.append(self._broken(fault))
        return events

    def _heard(self, data: bytes) -> list[Event]:
        if data.strip() == b"[DONE]":
            return []
        try:
            said = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise StreamBroken("A piece of the stream is not JSON.") from fault
        if type(said) is not dict:
            raise StreamBroken("A piece of the stream is not a JSON object.")
        if said.get("error") is not None or said.get("type") == "error":
            raise StreamBroken(f"The model's server broke off: {told_in(said)}")
        return self._telling.heard(said)

    def _broken(self, fault: BastideError) -> Cut:
        self._cut = True
        return Cut(StreamBroken(fault.message) if isinstance(fault, UpstreamGarbage) else fault)


class Track:
    """The parts of one choice while they are told by a format that does not say where one begins and ends."""

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self.called = False
        self.stopped = False
        self.next = 0
        self._open: dict[int, Told] = {}

    def grow(self, part: Told, text: str, logprobs: tuple[Logprob, ...] = ()) -> list[Event]:
        """More of a part of this kind, which begins where another kind was open."""
        events: list[Event] = []
        place = self.next - 1
        if type(self._open.get(place)) is not type(part):
            events, place = self.open(part)
        return [*events, Grew(self.choice, place, text, logprobs)]

    def open(self, part: Told, *, beside: bool = False) -> tuple[list[Event], int]:
        """A part begins; the open ones are whole, unless it stands `beside` them."""
        events: list[Event] = [] if beside else self.close()
        place, self.next = self.next, self.next + 1
        self._open[place] = part
        self.called = self.called or isinstance(part, Call)
        return [*events, Opened(self.choice, place, part)], place

    def shut(self, place: int) -> list[Event]:
        """This part is whole."""
        return [Closed(self.choice, place)] if self._open.pop(place, None) is not None else []

    def close(self) -> list[Event]:
        """All parts are whole."""
        events: list[Event] = [Closed(self.choice, place) for place in sorted(self._open)]
        self._open.clear()
        return events
