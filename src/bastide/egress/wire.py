"""The connection itself: resolve once, check every address, connect to the checked one, keep the evidence."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2

from bastide.egress.addresses import Reach, Resolver
from bastide.egress.evidence import check_pins, shown_by, tls_reason
from bastide.egress.tunnel import Tunnel, way_to
from bastide.egress.values import TlsEvidence
from bastide.errors import (
    BrokenReply,
    PinMismatch,
    RequestRefused,
    TlsRefused,
    TooSlow,
    Unreachable,
)

_EVIDENCE = "bastide_evidence"


class CheckedTransport(httpx2.AsyncBaseTransport):
    """A pool of connections that all went through one `Reach`. Raises only errors of our own tree."""

    def __init__(
        self, backend: httpcore2.AsyncNetworkBackend, context: ssl.SSLContext, *, connections_max: int
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections_max,
            max_keepalive_connections=64,
            keepalive_expiry=15.0,
            retries=0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange; the reply's body is not read yet."""
        target = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        outgoing = httpcore2.Request(
            request.method, target, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with translated(request.url.host):
            reply = await self._pool.handle_async_request(outgoing)
        return httpx2.Response(
            reply.status,
            headers=reply.headers,
            stream=_Body(reply, request.url.host),
            extensions=reply.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections, but only to addresses that the reach allows."""

    def __init__(
        self,
        reach: Reach,
        resolver: Resolver,
        dial: httpcore2.AsyncNetworkBackend,
        pins: frozenset[str] = frozenset(),
        tunnel: Tunnel | None = None,
    ) -> None:
        """`pins` are the hashes of which the peer's key must have one; empty leaves it to the certificate."""
        self._reach = reach
        self._resolver = resolver
        self._dial = dial
        self._pins = pins
        self._tunnel = tunnel

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to one of the host's checked addresses, tried in the resolver's order."""
        ends = time.monotonic() + (timeout or 60.0)
        way = await way_to(host, port, self._reach, self._resolver, self._tunnel, timeout_s=timeout)
        for left, address in zip(range(len(way.addresses), 0, -1), way.addresses, strict=True):
            patience = max(0.05, (ends - time.monotonic()) / left)
            try:
                stream = await self._dial.connect_tcp(
                    address, way.door, timeout=patience, socket_options=socket_options
                )
                if way.tunnel is not None:
                    stream = await way.tunnel.over(way, stream, timeout_s=patience)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as fault:
                if left == 1:
                    raise way.refused() from fault
                continue
            return _Witnessed(stream, way.reached(address), host, self._pins)
        raise way.refused()

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Never: a permit names a host and a port."""
        raise RequestRefused("A socket file is no endpoint.")

    async def sleep(self, seconds: float) -> None:
        """Asked for between retries, of which there are none."""
        raise AssertionError("egress never retries")


class _Witnessed(httpcore2.AsyncNetworkStream):
    """A connection that knows who is at the other end."""

    def __init__(
        self,
        inner: httpcore2.AsyncNetworkStream,
        evidence: TlsEvidence,
        host: str,
        pins: frozenset[str] = frozenset(),
    ) -> None:
        self._inner = inner
        self._evidence = evidence
        self._host = host
        self._pins = pins

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except httpcore2.ConnectError as problem:
            raise TlsRefused(f"{self._host}: {tls_reason(problem.__cause__)}.", host=self._host) from problem
        evidence = shown_by(inner.get_extra_info("ssl_object"), self._evidence)
        try:
            check_pins(evidence, self._pins, self._host)
        except PinMismatch:  # before a single byte of the request
            await inner.aclose()
            raise
        return _Witnessed(inner, evidence, self._host)

    def get_extra_info(self, info: str) -> Any:
        return self._evidence if info == _EVIDENCE else self._inner.get_extra_info(info)


class _Body(httpx2.AsyncByteStream):
    """The body of a reply, its faults translated."""

    def __init__(self, reply: httpcore2.Response, host: str) -> None:
        self._reply = reply
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with translated(self._host):
            async for piece in self._reply.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with translated(self._host):
            await self._reply.aclose()


def evidence_of(response: httpx2.Response) -> TlsEvidence | None:
    """Who sent this response; None for a server inside this process."""
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info(_EVIDENCE) if stream is not None else None
    return found if isinstance(found, TlsEvidence) else None


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Faults of the HTTP library as errors of our own tree, without any content."""
    try:
        yield
    except (httpcore2.ConnectTimeout, httpcore2.ConnectError) as fault:
        raise Unreachable(f"{host} does not accept the connection.", host=host) from fault
    except httpcore2.PoolTimeout as fault:
        raise TooSlow("Too many connections are open; this one got no turn in time.", host=host) from fault
    except httpcore2.TimeoutException as fault:
        raise TooSlow(f"{host} did not answer in time.", host=host) from fault
    except httpcore2.LocalProtocolError as fault:
        raise RequestRefused("The request cannot be written as HTTP.", host=host) from fault
    except (httpcore2.ProtocolError, httpcore2.NetworkError) as fault:
        raise BrokenReply(f"The answer of {host} broke off or is not HTTP.", host=host) from fault
