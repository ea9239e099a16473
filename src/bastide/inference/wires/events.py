"""An answer told event by event, whatever the format; and the way between a whole answer and its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from bastide.errors import BastideError
from bastide.inference.wires.values import Call, Choice, Counted, Logprob, Reasoning, Refused, Replied, Stop, Text

Told = Text | Reasoning | Call | Refused


@dataclass(frozen=True, slots=True)
class Began:
    """There is an answer."""

    id: str = ""
    model: str = ""
    created: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A part begins, as empty as it is; `place` counts the parts of a choice."""

    choice: int
    place: int
    part: Told


@dataclass(frozen=True, slots=True)
class Grew:
    """Some more of a part: of its text, or of its arguments."""

    choice: int
    place: int
    text: str
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """The seal of a reasoning."""

    choice: int
    place: int
    seal: str
    maker: str
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A part is whole."""

    choice: int
    place: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """A choice is whole."""

    choice: int
    stop: Stop
    sequence: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole."""


@dataclass(frozen=True, slots=True)
class Cut:
    """There will be no more, and what there is is not whole."""

    fault: BastideError


Event = Began | Opened | Grew | Sealed | Closed | Stopped | Counted | Ended | Cut


class StreamReader(Protocol):
    """Events out of the bytes of a stream, which may be cut anywhere."""

    def feed(self, piece: bytes) -> list[Event]: ...
    def end(self) -> list[Event]:
        """What is left; a stream that did not say its end gives a Cut."""


class StreamWriter(Protocol):
    """The bytes of a stream out of events."""

    def write(self, event: Event) -> bytes: ...


class Gathering:
    """An answer put together from its events."""

    def __init__(self) -> None:
        self.began = Began()
        self.usage: Counted | None = None
        self.fault: BastideError | None = None
        self.ended = False
        self._parts: dict[tuple[int, int], tuple[Told, list[str]]] = {}
        self._logprobs: dict[int, list[Logprob]] = {}
        self._stops: dict[int, Stopped] = {}

    def take(self, event: Event) -> None:
        """One more event."""
        match event:
            case Grew():
                self._parts[event.choice, event.place][1].append(event.text)
                if event.logprobs:
                    self._logprobs.setdefault(event.choice, []).extend(event.logprobs)
            case Opened():
                self._parts[event.choice, event.place] = (event.part, [])
            case Sealed():
                part, pieces = self._parts[event.choice, event.place]
                assert isinstance(part, Reasoning), "only reasonings are sealed"
                self._parts[event.choice, event.place] = (_sealed(part, event), pieces)
            case Stopped():
                self._stops[event.choice] = event
            case Counted():
                self.usage = event if self.usage is None else joined(self.usage, event)
            case Began():
                self.began = event
            case Ended():
                self.ended = True
            case Cut():
                self.fault = event.fault
            case Closed():
                pass

    def kind(self, choice: int, place: int) -> Told:
        """A part as it began."""
        return self._parts[choice, place][0]

    def part(self, choice: int, place: int) -> Told:
        """A part as far as it was told."""
        part, pieces = self._parts[choice, place]
        if isinstance(part, Call):
            return replace(part, arguments=part.arguments + "".join(pieces))
        return replace(part, text=part.text + "".join(pieces))

    def parts(self, choice: int) -> tuple[Told, ...]:
        """The parts of a choice in their order."""
        return tuple(self.part(*key) for key in sorted(self._parts) if key[0] == choice)

    def replied(self) -> Replied:
        """The answer as far as it was told."""
        numbers = sorted({key[0] for key in self._parts} | set(self._stops))
        began = self.began
        return Replied(tuple(map(self._choice, numbers)), began.model, began.id, began.created, self.usage)

    def _choice(self, number: int) -> Choice:
        stopped = self._stops.get(number, Stopped(number, "end"))
        return Choice(self.parts(number), stopped.stop, stopped.sequence, tuple(self._logprobs.get(number, ())))


def gathered(events: Iterable[Event]) -> Replied:
    """The answer that these events tell."""
    gathering = Gathering()
    for event in events:
        gathering.take(event)
    return gathering.replied()


def told(replied: Replied) -> list[Event]:
    """A whole answer as the events that tell it."""
    events: list[Event] = [Began(replied.id, replied.model, replied.created)]
    for number, choice in enumerate(replied.choices):
        logprobs = choice.logprobs
        for place, part in enumerate(choice.parts):
            text = part.arguments if isinstance(part, Call) else part.text
            events.append(Opened(number, place, _empty(part)))
            if text or (logprobs and isinstance(part, Text)):
                events.append(Grew(number, place, text, logprobs if isinstance(part, Text) else ()))
                logprobs = () if isinstance(part, Text) else logprobs
            if isinstance(part, Reasoning) and part.seal and part.text:
                events.append(Sealed(number, place, part.seal, part.maker))
            events.append(Closed(number, place))
        events.append(Stopped(number, choice.stop, choice.sequence))
    if replied.usage is not None:
        events.append(replied.usage)
    return [*events, Ended()]


def _sealed(part: Reasoning, event: Sealed) -> Reasoning:
    return replace(part, seal=event.seal, maker=event.maker, redacted=event.redacted)


def _empty(part: Told) -> Told:
    """A part as it begins: a seal comes after the text that it seals."""
    if isinstance(part, Call):
        return replace(part, arguments="")
    if isinstance(part, Reasoning) and part.text:
        return replace(part, text="", seal="", maker="")
    return replace(part, text="")


def joined(before: Counted, after: Counted) -> Counted:
    """Two tellings of one count: the larger of each number."""
    return Counted(
        max(before.input, after.input),
        max(before.output, after.output),
        _more(before.cached, after.cached),
        _more(before.written, after.written),
        _more(before.thought, after.thought),
    )


def _more(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
