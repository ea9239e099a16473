"""Speaking over a permitted connection: whole replies and streams, bounded in size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2

from bastide import telemetry
from bastide.egress.head import REDIRECTS, check_line, checked_headers
from bastide.egress.values import Reply, TlsEvidence
from bastide.egress.wire import evidence_of
from bastide.errors import (
    BastideError,
    BrokenReply,
    RedirectRefused,
    ReplyTooLarge,
    RequestRefused,
    TooSlow,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange: seconds, and bytes of the reply's body."""

    connect_s: float
    idle_s: float
    total_s: float
    reply_bytes_max: int


class Body(Protocol):
    """A request's body that is sent piece by piece, once: it need not fit into memory."""

    @property
    def length(self) -> int:
        """How many bytes."""

    @property
    def pieces(self) -> AsyncIterable[bytes]:
        """The bytes."""


class Flow:
    """A reply whose body arrives in pieces; iterate it once. Header names are in lower case."""

    def __init__(self, response: httpx2.Response, limits: Limits, ends: float) -> None:
        """`ends` is the loop time after which the body is given up."""
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self.tls: TlsEvidence | None = evidence_of(response)
        self._response = response
        self._limits = limits
        self._ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces in their order. Raises BrokenReply, TooSlow or ReplyTooLarge."""
        stream = self._response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        pieces, size = aiter(stream), 0
        while True:
            try:
                async with asyncio.timeout_at(self._ends):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as late:
                raise TooSlow("The answer was not complete within the time limit.") from late
            size += len(piece)
            if size > self._limits.reply_bytes_max:
                raise ReplyTooLarge(f"The answer is larger than {self._limits.reply_bytes_max} bytes.")
            yield piece

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self])


class Client:
    """Requests to one origin. Got from `Egress.open` or `local_client`; no cookies, no retries, no redirects."""

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, origin: str, limits: Limits, still_allowed: Callable[[], None]
    ) -> None:
        """`still_allowed` is called before each request and raises when the permit has run out."""
        self._transport = transport
        self._origin = origin
        self._limits = limits
        self._still_allowed = still_allowed
        self.tls: TlsEvidence | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | Body | None = None,
        headers: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Reply:
        """One exchange with its whole reply, whatever its status. `path` includes the query.

        Raises Unreachable, TlsRefused, TooSlow, BrokenReply, RedirectRefused, ReplyTooLarge, AddressRefused.
        """
        async with self.stream(method, path, json=json, content=content, headers=headers, files=files) as flow:
            return Reply(status=flow.status, headers=flow.headers, body=await flow.read(), tls=flow.tls)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | Body | None = None,
        headers: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> AsyncGenerator[Flow]:
        """One exchange whose body is iterated while it arrives; leaving the block closes it."""
        request = self._request(method, path, json=json, content=content, headers=headers, files=files)
        self._still_allowed()
        ends = asyncio.get_running_loop().time() + self._limits.total_s
        try:
            response = await self._send(request, ends)
            try:
                self.tls = evidence_of(response)
                _check_head(response)
                yield Flow(response, self._limits, ends)
            finally:
                await response.aclose()
        except BastideError as fault:
            telemetry.count("egress_failures", code=fault.code)
            raise
        telemetry.count("egress_exchanges", status=f"{response.status_code // 100}xx")

    async def _send(self, request: httpx2.Request, ends: float) -> httpx2.Response:
        try:
            async with asyncio.timeout_at(ends):
                return await self._transport.handle_async_request(request)
        except TimeoutError as late:
            raise TooSlow("No answer came within the time limit.") from late

    def _request(
        self,
        method: str,
        path: str,
        *,
        json: Any,
        content: bytes | Body | None,
        headers: Mapping[str, str] | None,
        files: Mapping[str, tuple[str, bytes, str]] | None,
    ) -> httpx2.Request:
        check_line(method, path)
        sent = {"user-agent": "bastide", "accept-encoding": "identity", **checked_headers(headers or {})}
        if content is not None and not isinstance(content, bytes):
            sent["content-length"] = str(content.length)
        patience = {
            "connect": self._limits.connect_s,
            "read": self._limits.idle_s,
            "write": self._limits.idle_s,
            "pool": self._limits.connect_s,
        }
        try:
            return httpx2.Request(
                method,
                self._origin + path,
                headers=sent,
                json=json,
                content=content if content is None or isinstance(content, bytes) else content.pieces,
                files=files,
                extensions={"timeout": patience},
            )
        except (httpx2.InvalidURL, UnicodeError) as fault:
            raise RequestRefused("The request cannot be written as HTTP.") from fault


def _check_head(response: httpx2.Response) -> None:
    if response.status_code in REDIRECTS:
        target = _host_of(response.headers.get("location", ""))
        raise RedirectRefused(f"The server redirects to {target or 'another path'}, and redirects are not followed.")
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise BrokenReply("The answer is compressed although plain bytes were asked for.")


def _host_of(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""
