"""A connection of a line, and the exchange that it carries: HTTP/1.1, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import httptools

from bastide.egress.head import REDIRECTS
from bastide.egress.outgoing import Outgoing
from bastide.egress.values import TlsEvidence
from bastide.errors import BastideError, BrokenReply, RedirectRefused, ReplyTooLarge, TooSlow

_HEAD_BYTES_MAX: Final = 64 * 1024
_PLAIN: Final = frozenset({"", "identity"})
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take, in seconds: to connect, to its first byte, between two pieces, in all."""

    connect_s: float = 10.0
    first_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 900.0
    body_bytes_max: int = 64 * 1024 * 1024


class Listener(Protocol):
    """Who is told what comes back. Called in the event loop: a head, pieces, and one end or fault."""

    def on_head(self, status: int, headers: Mapping[str, str], evidence: TlsEvidence) -> None:
        """The answer begins; header names are in lower case."""

    def on_piece(self, piece: bytes) -> None:
        """Some more of its body."""

    def on_end(self) -> None:
        """The answer is whole."""

    def on_fault(self, fault: BastideError) -> None:
        """There is no answer, or no more of it."""


class Exchange:
    """One request and its answer. `unanswered` while not a single byte of an answer has come."""

    __slots__ = (
        "body",
        "connect_by",
        "connection",
        "first_by",
        "head",
        "listener",
        "over",
        "patience",
        "reused",
        "total_by",
        "unanswered",
    )

    def __init__(self, head: bytes, body: bytes, listener: Listener, patience: Patience, now: float) -> None:
        """Its time runs from `now` on."""
        self.head = head
        self.body = body
        self.listener = listener
        self.patience = patience
        self.over = False
        self.unanswered = True
        self.reused = False
        self.connection: Connection | None = None  # on which it goes out
        self.connect_by = now + patience.connect_s
        self.first_by = now + patience.first_s
        self.total_by = now + patience.total_s

    def cancel(self) -> None:
        """Nobody wants the answer any more: the connection is closed, and nothing more is told."""
        self.over = True
        if self.connection is not None:
            self.connection.close()

    def pause(self) -> None:
        """Read no further until `resume`: whoever takes the answer is slower than the server."""
        if self.connection is not None:
            self.connection.hold(True)

    def resume(self) -> None:
        """Read on."""
        if self.connection is not None:
            self.connection.hold(False)

    def fail(self, fault: BastideError) -> None:
        """Tell the listener, once."""
        if not self.over:
            self.over = True
            self.listener.on_fault(fault)


class Owner(Protocol):
    """To whom a connection belongs."""

    def now(self) -> float:
        """The loop's time."""

    def freed(self, connection: Connection) -> None:
        """Its exchange has ended whole: it may carry another."""

    def lost(self, connection: Connection) -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """One connection. It parses what arrives and hands each read on as one piece."""

    def __init__(self, pool: Owner, host: str, outgoing: Outgoing) -> None:
        self._pool = pool
        self._host = host
        self._outgoing = outgoing
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._pieces: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._ended = self._headed = self._keep = self._by_close = self._held = False
        self._heard = 0.0
        self.evidence = TlsEvidence("", 0)
        self.idle_since = 0.0
        self.usable = False
        self._used = False

    # -- what the pool asks -------------------------------------------------------------------------

    def carry(self, exchange: Exchange) -> None:
        """Send the request of `exchange` and give it the answer."""
        assert self._transport is not None, "a connection is handed out once it stands"
        exchange.reused, self._used = self._used, True
        exchange.connection = self
        self._exchange = exchange
        self._ended = self._headed = self._by_close = False
        self._head_bytes = self._body_bytes = 0
        self._outgoing.write(self._transport, b"%b%d\r\n\r\n%b" % (exchange.head, len(exchange.body), exchange.body))

    def late(self, now: float) -> bool:
        """Whether the exchange has overrun one of its limits. A held connection waits for us, not for the server."""
        exchange = self._exchange
        if exchange is None:
            return False
        if exchange.total_by <= now:
            return True
        if not self._headed:
            return exchange.first_by <= now
        return not self._held and self._heard + exchange.patience.idle_s <= now

    def give_up(self, now: float) -> None:
        """End an exchange that is late."""
        exchange = self._exchange
        if exchange is not None:
            whole = exchange.total_by <= now
            said = "was not complete" if whole else "stalled" if self._headed else "did not begin"
            self._fail(TooSlow(f"The answer of {self._host} {said} within the time limit.", host=self._host))

    def hold(self, held: bool) -> None:
        """Stop reading, or read on."""
        if held is self._held or self._transport is None or self._transport.is_closing():
            return
        self._held = held
        if held:
            self._transport.pause_reading()
        else:
            self._heard = self._pool.now()
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once; an exchange that runs is told unless it was cancelled."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # -- what the transport tells -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer."""
        exchange = self._exchange
        if exchange is None:  # nobody asked: whatever this is, it would be taken for the next answer
            self.close()
            return
        exchange.unanswered = False
        self._heard = self._pool.now()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            cause = problem.__context__  # what one of our own callbacks raised
            if not isinstance(cause, BastideError):
                cause = BrokenReply(f"The answer of {self._host} is not HTTP.", host=self._host)
            self._fail(cause)
            return
        if self._exchange is not exchange:
            return
        if not self._headed:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._fail(self._endless())
                return
        self._hand_over(exchange)

    def _hand_over(self, exchange: Exchange) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._body_bytes += len(piece)
            if self._body_bytes > exchange.patience.body_bytes_max:
                limit = exchange.patience.body_bytes_max
                self._fail(ReplyTooLarge(f"The answer is larger than {limit} bytes.", host=self._host))
                return
            if not exchange.over:
                exchange.listener.on_piece(piece)
        if self._ended:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = exchange.connection = None
        keep = self._keep and self.usable and not exchange.over and not self._by_close
        over, exchange.over = exchange.over, True
        if keep:
            if self._held:
                self.hold(False)
            self._pool.freed(self)
        else:
            self.close()
        if not over:
            exchange.listener.on_end()

    def eof_received(self) -> bool:
        """The server says no more: what had no stated length ends here."""
        exchange = self._exchange
        if exchange is not None and self._headed and self._by_close and not self._ended:
            self._ended = True
            self._finish(exchange)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.usable = False
        exchange, self._exchange = self._exchange, None
        self._pool.lost(self)
        if exchange is not None:
            exchange.fail(BrokenReply(f"The answer of {self._host} broke off.", host=self._host))

    # -- what the parser tells ----------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Those behind the body tell nothing that anybody has asked for."""
        if not self._headed:
            self._names.append(name)
            self._values.append(value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        headers = self._said()
        status = self._parser.get_status_code()
        if status < 200:
            return
        exchange = self._exchange
        if exchange is None or self._headed:
            raise BrokenReply(f"{self._host} answers more than it was asked.", host=self._host)
        self._headed, self._keep = True, self._parser.should_keep_alive()
        self._by_close = not ("content-length" in headers or "transfer-encoding" in headers or status in _BODILESS)
        if status in REDIRECTS:
            raise RedirectRefused("The server redirects, and redirects are not followed.", host=self._host)
        if "content-encoding" in headers and headers["content-encoding"].strip().lower() not in _PLAIN:
            raise BrokenReply("The answer is compressed although plain bytes were asked for.", host=self._host)
        if not exchange.over:
            exchange.listener.on_head(status, headers, self.evidence)

    def _said(self) -> dict[str, str]:
        """What the headers say; the last one of a name counts. All are turned into text in one go: there are many."""
        names, values = b"\n".join(self._names), b"\n".join(self._values)
        self._names.clear()
        self._values.clear()
        if len(names) + len(values) > _HEAD_BYTES_MAX:
            raise self._endless()
        try:
            named = zip(names.decode("latin-1").lower().split("\n"), values.decode("latin-1").split("\n"), strict=True)
            return dict(named)
        except ValueError:  # a line break inside a value
            raise BrokenReply(f"The answer of {self._host} is not HTTP.", host=self._host) from None

    def on_body(self, body: bytes) -> None:
        """Some of the body, gathered until the whole read is parsed."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The message is whole; an interim one (1xx) is only said in passing."""
        if self._headed:
            self._ended = True

    def _endless(self) -> BrokenReply:
        return BrokenReply(f"The head of the answer of {self._host} has no end.", host=self._host)

    def _fail(self, fault: BastideError) -> None:
        exchange, self._exchange = self._exchange, None
        self.close()
        if exchange is not None:
            exchange.fail(fault)
