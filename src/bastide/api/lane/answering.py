"""The answer of one request on its connection: with its length where all of it is there, in chunks where it streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bastide.inference import Running

SAFETY: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers that every answer has."""

_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    422: b"Unprocessable Content",
    431: b"Request Header Fields Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}
_EVENTS: Final = (b"content-type", b"text/event-stream")
_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in _REASONS.items()}


class Answering:
    """A sink that writes HTTP. It tells `done` when the answer is out."""

    __slots__ = ("_done", "_fixed", "_head", "_pieces", "_streams", "_write", "running", "status", "stays")

    def __init__(self, write: Callable[[bytes], None], done: Callable[[], None], fixed: bytes, *, stays: bool) -> None:
        """`fixed` are the header lines that every answer has."""
        self._write = write
        self._done = done
        self._fixed = fixed
        self.stays = stays
        self._head = b""
        self._pieces: list[bytes] = []
        self._streams = False
        self.status = 0
        self.running: Running | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer begins."""
        self.status = status
        line = _LINES.get(status) or b"HTTP/1.1 %d Other\r\n" % status
        self._streams = _EVENTS in headers
        self._head = b"".join([line, *[b"%b: %b\r\n" % header for header in headers], self._fixed])
        if not self.stays:
            self._head += b"connection: close\r\n"

    def on_piece(self, piece: bytes) -> None:
        """Some of its body."""
        if not self._streams:
            self._pieces.append(piece)
        elif self._head:
            head, self._head = self._head, b""
            self._write(b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(piece), piece))
        elif piece:
            self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def on_end(self) -> None:
        """All of it."""
        if not self._streams:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._write(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body))
        elif self._head:
            self._write(b"%btransfer-encoding: chunked\r\n\r\n0\r\n\r\n" % self._head)
        else:
            self._write(b"0\r\n\r\n")
        self._done()
        self.running = None
