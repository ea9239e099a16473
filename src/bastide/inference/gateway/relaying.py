"""From the answer of a target to the answer of the client: passed on as it is, gathered whole, or translated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from bastide.errors import BastideError
from bastide.inference.gateway.asking import Asking, encode
from bastide.inference.gateway.translating import Translated
from bastide.inference.gateway.values import EVENTS, JSON, streams
from bastide.inference.gateway.watching import Watched, whole_answer
from bastide.inference.values import Usage
from bastide.inference.wires import FORMATS, Counted, told

_BYTES_A_TOKEN: Final = 4


class Relay(Protocol):
    """One answer on its way. `begun` once the client was told that there is one."""

    begun: bool
    media_type: tuple[bytes, bytes]

    @property
    def fault(self) -> BastideError | None:
        """What is wrong with the answer after what has been given of it."""

    def request(self, asking: Asking, upstream: str) -> dict[str, Any]:
        """The body for a server that knows the model as `upstream`."""

    def begins(self, content_type: str) -> Relay:
        """The server answers with this type of content: who takes it."""

    def feed(self, piece: bytes) -> bytes:
        """What may go on to the client."""

    def end(self) -> bytes:
        """The rest. Raises what is wrong with an answer that is not whole."""

    def usage(self, sent: bytes) -> Usage:
        """What was used: as the server counted, else an estimate that says so."""


def relay_for(asking: Asking, wire: str, model: str) -> Relay:
    """How an answer in `wire` becomes one in the wire of the request."""
    if wire != asking.wire:
        return Translated(asking, wire, model)
    return Passed(asking) if asking.stream else Gathered(asking.wire)


def named(asking: Asking, upstream: str) -> dict[str, Any]:
    """The body as it came, with the model called as its server calls it."""
    body = {**asking.body, "model": upstream}
    if asking.stream and asking.wire in {"chat", "completions"}:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body


class Gathered:
    """A whole answer, kept until it is known to be one."""

    __slots__ = ("_body", "_usage", "_wire", "begun", "fault", "media_type")

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._body: bytes | bytearray = b""
        self._usage: Usage | None = None
        self.begun = False
        self.fault: BastideError | None = None  # a whole answer is right or none
        self.media_type = JSON

    request = staticmethod(named)

    def begins(self, content_type: str) -> Relay:
        """Whatever it calls itself, it is read as what was asked for."""
        return self

    def feed(self, piece: bytes) -> bytes:
        """Nothing goes on yet."""
        if not self._body:
            self._body = piece  # mostly all of it
        else:
            if type(self._body) is not bytearray:
                self._body = bytearray(self._body)
            self._body += piece
        return b""

    def end(self) -> bytes:
        """The answer. Raises UpstreamGarbage or UpstreamFailed."""
        body = bytes(self._body)
        self._usage = whole_answer(self._wire, body)
        return body

    def usage(self, sent: bytes) -> Usage:
        """As counted, else four bytes a token."""
        return self._usage or Usage(len(sent) // _BYTES_A_TOKEN, len(self._body) // _BYTES_A_TOKEN, estimated=True)


class Passed(Watched):
    """A stream, passed on event by event."""

    __slots__ = ("_asking", "begun", "media_type")

    request = staticmethod(named)

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking.wire, usage_wanted=asking.usage_wanted)
        self._asking = asking
        self.begun = False
        self.media_type = EVENTS

    def begins(self, content_type: str) -> Relay:
        """A server that does not stream although it was asked to gives one whole answer."""
        return self if streams(content_type) else _Events(self._asking)

    def usage(self, sent: bytes) -> Usage:
        """As counted, else one token an event."""
        return self.counted or Usage(len(sent) // _BYTES_A_TOKEN, self.events, estimated=True)


class _Events(Gathered):
    """A whole answer of a server that did not stream: the client, which asked for a stream, gets it as one."""

    __slots__ = ("_asking",)

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking.wire)
        self._asking = asking
        self.media_type = EVENTS

    def end(self) -> bytes:
        """The answer in events."""
        return _as_events(self._asking, super().end())


def _as_events(asking: Asking, body: bytes) -> bytes:
    """A whole answer as the stream that would have told it."""
    form = FORMATS[asking.wire]
    replied = form.read_reply(msgspec.json.decode(body))
    if replied.usage is None:  # its stream has a place for it: the estimate that is counted, and never nothing
        guess = Counted(len(encode(asking.body)) // _BYTES_A_TOKEN, len(body) // _BYTES_A_TOKEN)
        replied = replace(replied, usage=guess)
    writer = form.writer(model=replied.model, id=replied.id, usage=asking.usage_wanted, echo={})
    return b"".join([writer.write(event) for event in told(replied)])
