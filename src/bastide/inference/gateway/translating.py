"""An answer in another format than its client's, translated as it comes.

Every format has a place for what was used: where the server does not tell it, the client is told the estimate that the
call is counted by, and never that it took nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Final

import msgspec

from bastide.errors import BastideError, UpstreamGarbage
from bastide.inference.gateway.asking import Asking, encode
from bastide.inference.gateway.values import EVENTS, JSON, streams
from bastide.inference.gateway.watching import whole_answer
from bastide.inference.values import Usage
from bastide.inference.wires import FORMATS, Counted, Cut, Ended, Event, Grew, StreamReader, told

_BYTES_A_TOKEN: Final = 4


class Translated:
    """Asks in the server's format and answers in the client's: whole, or event by event.

    `model` is what the client is told: the name by which the tenant calls it.
    """

    __slots__ = (
        "_asking",
        "_echo",
        "_guess",
        "_model",
        "_parts",
        "_reader",
        "_seen",
        "_size",
        "_whole",
        "_wire",
        "_writer",
        "begun",
        "fault",
        "media_type",
    )

    def __init__(self, asking: Asking, wire: str, model: str) -> None:
        self._asking, self._wire, self._model = asking, wire, model
        self._reader: StreamReader | None = FORMATS[wire].reader() if asking.stream else None
        form = FORMATS[asking.wire]
        self._echo = {name: asking.body[name] for name in form.echoed if asking.body.get(name) is not None}
        self._writer = form.writer(model=model, id=_made(), usage=asking.usage_wanted, echo=self._echo)
        self._seen: Counted | None = None
        self._guess: Counted | None = None  # what the client was told where the server told nothing
        self.fault: BastideError | None = None  # what the stream is broken by
        self._whole = bytearray()
        self._size = self._parts = 0
        self.begun = False
        self.media_type = EVENTS if asking.stream else JSON

    def request(self, asking: Asking, upstream: str) -> dict[str, Any]:
        """The body in the server's format. Raises BadChat for what it cannot say."""
        asked = FORMATS[asking.wire].read(asking.body)
        return FORMATS[self._wire].write(asked, model=upstream, stream=asking.stream)

    def begins(self, content_type: str) -> Translated:
        """A server that does not stream although it was asked to gives one whole answer."""
        if not streams(content_type):
            self._reader = None
        return self

    def feed(self, piece: bytes) -> bytes:
        """The events that these bytes tell, in the client's format."""
        self._size += len(piece)
        if self._reader is None:
            self._whole += piece
            return b""
        return self._written(self._reader.feed(piece))

    def end(self) -> bytes:
        """What is left of a stream, or all of a whole answer. Raises UpstreamGarbage or UpstreamFailed."""
        if self._reader is not None:
            return self._written(self._reader.end())
        raw = bytes(self._whole)
        whole_answer(self._wire, raw)
        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise UpstreamGarbage("The answer is not a JSON object.") from fault
        replied = FORMATS[self._wire].read_reply(found)
        self._seen = replied.usage
        if replied.usage is None:
            replied = replace(replied, usage=self._guessed())
        if self._asking.stream:
            return self._written(told(replied))
        body = FORMATS[self._asking.wire].write_reply(replied, model=self._model, id=_made())
        return msgspec.json.encode({**body, **self._echo})

    def usage(self, sent: bytes) -> Usage:
        """As the server counted, else one token a piece of a stream, or four bytes of a whole answer each."""
        told = self._guess or self._seen
        if told is not None:
            return Usage(told.input, told.output, estimated=told is self._guess)
        return Usage(len(sent) // _BYTES_A_TOKEN, self._got, estimated=True)

    @property
    def _got(self) -> int:
        return self._parts if self._reader is not None else self._size // _BYTES_A_TOKEN

    def _guessed(self) -> Counted:
        self._guess = Counted(len(encode(self._asking.body)) // _BYTES_A_TOKEN, self._got)
        return self._guess

    def _written(self, events: list[Event]) -> bytes:
        out = []
        for event in events:
            if isinstance(event, Cut):
                self.fault = event.fault
                break
            if isinstance(event, Counted):
                self._seen = event
            elif type(event) is Grew:
                self._parts += 1
            elif type(event) is Ended and self._seen is None:
                out.append(self._writer.write(self._guessed()))
            out.append(self._writer.write(event))
        return b"".join(out)


def _made() -> str:
    """An answer's id: the server's own may mean something else in the client's format."""
    return secrets.token_hex(12)
