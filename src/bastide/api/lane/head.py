"""The head of a request: is it one for the fast lane, and what does it say.

The lane takes only what leaves no room for two opinions: `POST` to the exact address of a wire, HTTP/1.1, one
`Content-Length` of plain digits and no other way of saying where the body ends. Whatever else a head may say, even
if it is right, is for the server behind, which gets the bytes as they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import httptools

from bastide.inference import betas_named

HEAD_BYTES_MAX: Final = 32 * 1024
_HEADERS_MAX: Final = 100

WIRES: Final[Mapping[bytes, str]] = {
    b"/v1/chat/completions": "chat",
    b"/v1/responses": "responses",
    b"/v1/messages": "messages",
    b"/v1/messages?beta=true": "messages",  # so Anthropic's clients ask for what is new
    b"/v1/completions": "completions",
    b"/v1/embeddings": "embeddings",
}
_BEGINNINGS: Final = tuple(b"POST %b HTTP/1.1\r\n" % path for path in WIRES)
_LONGEST: Final = max(map(len, _BEGINNINGS))
NAMES: Final = ("authorization", "x-api-key", "x-company-id", "x-user-id", "x-app-id", "x-label")
"""The headers that say who asks."""

_ELSEWHERE: Final = frozenset({"transfer-encoding", "expect", "upgrade", "te", "trailer", "content-encoding"})
_ONCE: Final = frozenset({"content-length", "host", "anthropic-beta", *NAMES})
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,12})\r\n")
_KEPT_MAX: Final = 1024  # heads
_KEPT_BYTES_MAX: Final = 4096  # of a head that is kept
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Elsewhere(Exception):
    """This request is not for the lane."""


def may_be_ours(data: bytes) -> bool | None:
    """Whether the bytes begin a request for the lane; None while too few have come to tell."""
    if data.startswith(_BEGINNINGS):
        return True
    if len(data) < _LONGEST and any(beginning.startswith(data) for beginning in _BEGINNINGS):
        return None
    return False


class Head:
    """A head that was read. Header names are in lower case, values as Latin-1.

    `said` are the values of `NAMES`, `betas` the features that are named for Anthropic's servers, `request_id` is what
    the client calls the request, "" if that is no name.
    """

    __slots__ = ("betas", "headers", "length", "request_id", "said", "stays", "url", "wire")

    def __init__(self, data: bytes) -> None:
        """`data` is a whole head, its blank line included. Raises Elsewhere."""
        self.headers: dict[str, str] = {}
        self.url = b""
        self.stays = True
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            raise Elsewhere from fault
        headers = self.headers
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or "host" not in headers:
            raise Elsewhere
        self.length = int(length)
        self.wire = WIRES[self.url]
        self.said = tuple([headers.get(name) for name in NAMES])
        self.betas = betas_named(headers["anthropic-beta"]) if "anthropic-beta" in headers else b""
        given = headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else ""

    def on_url(self, url: bytes) -> None:
        """The address, exactly."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. What must come once and comes twice, or is not for the lane, ends it here."""
        key = name.decode("latin-1").lower()
        if key in _ELSEWHERE or (key in _ONCE and key in self.headers) or len(self.headers) >= _HEADERS_MAX:
            raise Elsewhere
        self.headers[key] = said = value.decode("latin-1")
        if key == "connection" and "close" in [one.strip().lower() for one in said.split(",")]:
            self.stays = False


class Heads:
    """Reads heads. A client says the same again and again, but for the length: that is read, the rest is known."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, bytes], Head] = {}

    def read(self, data: bytes) -> tuple[Head, int]:
        """A whole head, and the length of its body. Raises Elsewhere."""
        found = _LENGTH.search(data)
        if found is None:
            head = Head(data)
            return head, head.length
        start, end = found.span(1)
        place = (data[:start], data[end:])
        known = self._kept.get(place)
        if known is None:
            known = Head(data)
            if len(data) <= _KEPT_BYTES_MAX:
                if len(self._kept) >= _KEPT_MAX:
                    self._kept.clear()
                self._kept[place] = known
        return known, int(found[1])
