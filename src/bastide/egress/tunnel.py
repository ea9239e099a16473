"""The tunnel: the way out through the organisation's own proxy (HTTP CONNECT, RFC 9110, section 9.3.6; or SOCKS 5).

A permit still names who is reached, and whoever answers must show a certificate for that name, under TLS that begins
behind the proxy: the proxy carries bytes. It is asked by name, because proxies decide by names, and so it is the proxy
that resolves it. Where this machine can resolve the name, too, every address is checked as if we went there ourselves.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeVar, cast

import httpcore2

from bastide.egress.addresses import TRIED_MAX, Reach, Resolver, check_ever, literal, reachable
from bastide.egress.evidence import tls_reason
from bastide.egress.socks import Conversation, opening
from bastide.egress.values import TlsEvidence
from bastide.errors import (
    AddressRefused,
    BastideError,
    NameUnknown,
    ProxyGarbled,
    ProxyRefused,
    ProxyUnauthorised,
    ProxyUnreachable,
    Unreachable,
)
from bastide.settings import ProxySettings

_HEAD_BYTES_MAX: Final = 16 * 1024
_RESOLVE_S: Final = 1.0  # a closed network often has name servers that never answer for names outside
_UNKNOWN_S: Final = 60.0  # a name that this machine could not resolve is not looked up again for so long
_UNKNOWN_MAX: Final = 1024
_INSIDE: Final = (".internal", ".local", ".localhost", ".home.arpa")  # what the proxy may know, and nobody outside has
_NOBODY: Final = "is-the-proxy-there.invalid"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r\n")
_HOST: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9a-fA-F:.]{2,45}")

Connect = Callable[..., Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]]
"""How a connection is opened: as `loop.create_connection` does."""

Made = TypeVar("Made", bound=asyncio.Protocol)


@dataclass(slots=True)
class Way:
    """Where a connection to a host is opened: at these addresses, then through the tunnel if it has one."""

    host: str
    addresses: tuple[str, ...]
    port: int
    tunnel: Tunnel | None = None
    stands: bool = False  # the proxy has said yes: what fails from then on is not its fault

    @property
    def door(self) -> int:
        """The port at these addresses."""
        return self.port if self.tunnel is None else self.tunnel.port

    def reached(self, address: str) -> TlsEvidence:
        """Who is at the other end of a connection to `address`, as far as the connection itself knows."""
        if self.tunnel is None:
            return TlsEvidence(ip=address, port=self.port)
        return TlsEvidence(ip="", port=self.port, proxy=self.tunnel.place)

    def refused(self) -> BastideError:
        """What to tell when no address gave a connection."""
        if self.tunnel is None:
            return Unreachable(f"{self.host} does not accept the connection.", host=self.host)
        if self.stands:
            said = f"{self.host} does not answer, or breaks off, behind the proxy {self.tunnel.place}."
            return Unreachable(said, host=self.host)
        return self.tunnel.silent()


async def way_to(
    host: str, port: int, reach: Reach, resolver: Resolver, tunnel: Tunnel | None, *, timeout_s: float | None
) -> Way:
    """The way to a host. What is our own is reached directly, and so is what the setting leaves out.

    Raises NameUnknown, AddressRefused, AirGapClosed or ProxyUnreachable.
    """
    if tunnel is None or reach.local or tunnel.leaves_out(host):
        return Way(host, await reachable(host, port, reach, resolver, timeout_s=timeout_s), port)
    addresses = await tunnel.looked_up(host, port, reach)
    if addresses and tunnel.leaves_out_all(addresses):
        return Way(host, addresses, port)
    return Way(host, await tunnel.addresses(timeout_s), port, tunnel)


class Tunnel:
    """The proxy of this house, as a way to anybody outside."""

    def __init__(self, settings: ProxySettings, context: ssl.SSLContext, resolver: Resolver) -> None:
        """`context` is what the proxy must satisfy where it is spoken to under TLS."""
        self.place, self.port = settings.place, settings.port
        self._settings = settings
        self._context = context if settings.tls else None
        self._resolver = resolver
        self._unknown: dict[str, float] = {}
        told = settings.credentials
        basic = base64.b64encode(told.encode()).decode() if told is not None else ""
        self._known_by = f"Proxy-Authorization: Basic {basic}\r\n" if basic else ""

    # -- who is asked -------------------------------------------------------------------------------

    def leaves_out(self, host: str) -> bool:
        """Whether this host is reached directly, going by what it is called."""
        spelled = literal(host)
        if spelled is not None:
            return self.leaves_out_all((spelled,))
        return any(
            host.endswith(name) if name.startswith(".") else host == name for name in self._settings.direct_names
        )

    def leaves_out_all(self, addresses: tuple[str, ...]) -> bool:
        """Whether hosts at these addresses are reached directly."""
        networks = self._settings.direct_networks
        return bool(networks) and all(
            any(ip_address(one.partition("%")[0]) in network for network in networks) for one in addresses
        )

    async def looked_up(self, host: str, port: int, reach: Reach) -> tuple[str, ...]:
        """The host's addresses, all of them allowed; none where only the proxy can know them."""
        now = time.monotonic()
        if self._unknown.get(host, 0.0) <= now:
            try:
                return await reachable(host, port, reach, self._resolver, timeout_s=_RESOLVE_S)
            except NameUnknown:
                if len(self._unknown) >= _UNKNOWN_MAX:
                    self._unknown.clear()
                self._unknown[host] = now + _UNKNOWN_S
        if "." not in host or host.endswith(_INSIDE):
            raise AddressRefused(
                f"{host} is a name for the inside of a network, and its address is not known.", host=host
            )
        return ()

    async def addresses(self, timeout_s: float | None) -> tuple[str, ...]:
        """Where the proxy is. It stands wherever the organisation has put it, but for what is never reached."""
        host = self._settings.host
        spelled = literal(host)
        try:
            async with asyncio.timeout(timeout_s):
                found = (spelled,) if spelled is not None else tuple(await self._resolver(host, self.port))
        except (NameUnknown, TimeoutError) as problem:
            raise ProxyUnreachable(f"The name of the proxy {self.place} cannot be resolved.") from problem
        for one in found:
            check_ever(host, ip_address(one.partition("%")[0]))
        return tuple(dict.fromkeys(found))[:TRIED_MAX]

    def silent(self) -> ProxyUnreachable:
        """What to tell when it does not answer."""
        return ProxyUnreachable(f"The proxy {self.place} does not answer.")

    # -- for lines ----------------------------------------------------------------------------------

    async def opened(
        self, way: Way, address: str, connect: Connect, made: Callable[[], Made], context: ssl.SSLContext
    ) -> tuple[asyncio.Transport, Made]:
        """A connection to the host behind the proxy at `address`, under TLS.

        Raises OSError and ssl.SSLError as a direct connection does, and what the proxy says.
        """
        asking = _Asking(*self._talk(way.host, way.port, meant=way.host))
        transport = await self._connected(connect, address, asking)
        try:
            await asking.stands
            way.stands = True
            connection = made()
            secure = await asyncio.get_running_loop().start_tls(
                transport, connection, context, server_hostname=way.host
            )
        except BaseException:
            transport.abort()
            raise
        assert secure is not None, "a transport that is open"
        connection.connection_made(secure)
        return secure, connection

    async def examine(self, timeout_s: float) -> int:
        """Ask the proxy for a host that nobody can have (RFC 6761, section 6.4); gives the status of its answer.

        A wrong password is refused before that. Raises ProxyUnreachable, ProxyUnauthorised or ProxyGarbled.
        """
        connect = asyncio.get_running_loop().create_connection
        ends = time.monotonic() + timeout_s
        addresses = await self.addresses(timeout_s)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            asking = _Asking(*self._talk(_NOBODY, 443, meant=""))
            try:
                async with asyncio.timeout(max(0.05, (ends - time.monotonic()) / left)):
                    transport = await self._connected(connect, address, asking)
                    try:
                        return await asking.stands
                    finally:
                        transport.abort()
            except (OSError, TimeoutError):
                continue
        raise self.silent()

    async def _connected(self, connect: Connect, address: str, asking: _Asking) -> asyncio.Transport:
        name = self._settings.host if self._context else None
        try:
            transport, _ = await connect(lambda: asking, address, self.port, ssl=self._context, server_hostname=name)
        except ssl.SSLError as problem:
            raise ProxyUnreachable(f"The proxy {self.place}: {tls_reason(problem)}.") from problem
        return cast(asyncio.Transport, transport)

    # -- for clients --------------------------------------------------------------------------------

    async def over(
        self, way: Way, stream: httpcore2.AsyncNetworkStream, *, timeout_s: float
    ) -> httpcore2.AsyncNetworkStream:
        """The same over a connection of the HTTP library's that stands with the proxy. Raises as that library does."""
        ends = time.monotonic() + timeout_s
        try:
            stream = await self._secured(stream, timeout_s)
            said, answer = self._talk(way.host, way.port, meant=way.host)
            while answer.status is None:
                if said:
                    await stream.write(said, max(0.05, ends - time.monotonic()))
                piece = await stream.read(4096, max(0.05, ends - time.monotonic()))
                if not piece:
                    raise httpcore2.ConnectError
                said = answer.feed(piece)
        except (httpcore2.TimeoutException, httpcore2.NetworkError) as problem:
            await stream.aclose()
            raise httpcore2.ConnectError from problem
        except BaseException:
            await stream.aclose()
            raise
        way.stands = True
        return stream

    async def _secured(self, stream: httpcore2.AsyncNetworkStream, timeout_s: float) -> httpcore2.AsyncNetworkStream:
        if self._context is None:
            return stream
        try:
            return await stream.start_tls(self._context, self._settings.host, timeout_s)
        except httpcore2.ConnectError as problem:
            raise ProxyUnreachable(f"The proxy {self.place}: {tls_reason(problem.__cause__)}.") from problem

    def _talk(self, host: str, port: int, *, meant: str) -> tuple[bytes, Answer | Conversation]:
        """What is said first to be joined with a host, and whoever hears the answer. Raises NameUnknown."""
        if not _HOST.fullmatch(host):
            raise NameUnknown("This is no name of a host that a proxy could be asked for.", host=host)
        if self._settings.socks:
            told = self._settings.credentials
            return opening(told), Conversation(self.place, (host, port), told, meant=meant)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        said = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{self._known_by}User-Agent: bastide\r\n\r\n"
        return said.encode(), Answer(self.place, meant)


class Answer:
    """What a proxy says, read as it comes; `status` once it is said. Without a `host` any answer will do."""

    def __init__(self, place: str, host: str) -> None:
        self.status: int | None = None
        self._place = place
        self._host = host
        self._said = b""

    def feed(self, data: bytes) -> bytes:
        """Some more of it; there is nothing to be said to it.

        Raises ProxyRefused, ProxyUnauthorised, ProxyGarbled, or Unreachable for the host behind.
        """
        self._said += data
        while self.status is None and self._said:
            if not b"HTTP/1.".startswith(self._said[:7]):
                raise self._garbled("does not answer in HTTP")
            head, whole, behind = self._said.partition(b"\r\n\r\n")
            if len(head) > _HEAD_BYTES_MAX:
                raise self._garbled("gives an answer that has no end")
            if not whole:
                return b""
            found = _STATUS.match(head + b"\r\n")
            if found is None:
                raise self._garbled("does not answer in HTTP")
            self._said, status = behind, int(found[1])
            if status >= 200 or status == 101:  # others are said in passing
                self._judge(status)
                self.status = status
        return b""

    def _judge(self, status: int) -> None:
        if status in {401, 407}:  # tinyproxy says 401 of a wrong password
            said = f"The proxy {self._place} asks for a name and a password, or does not accept those it was given."
            raise ProxyUnauthorised(said)
        if not self._host:
            return
        if 200 <= status < 300:
            if self._said:
                raise self._garbled("goes on speaking after its yes")
        elif status >= 500:
            raise Unreachable(
                f"The proxy {self._place} does not reach {self._host}: it answers {status}.",
                next_step="Ask whoever runs the proxy whether it can resolve and reach this host and port.",
                host=self._host,
            )
        else:
            said = f"The proxy {self._place} does not let {self._host} through: it answers {status}."
            raise ProxyRefused(said, host=self._host)

    def _garbled(self, said: str) -> ProxyGarbled:
        return ProxyGarbled(f"What answers at {self._place} {said}.")


class _Asking(asyncio.Protocol):
    """Asks a proxy, and waits for its answer."""

    def __init__(self, request: bytes, answer: Answer | Conversation) -> None:
        self.stands: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._request = request
        self._answer = answer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.stands.done():  # nobody behind the proxy has been asked anything yet
            if self._transport is not None:
                self._transport.abort()
            return
        try:
            more = self._answer.feed(data)
        except BastideError as fault:
            self.stands.set_exception(fault)
            return
        if more and self._transport is not None:
            self._transport.write(more)
        if self._answer.status is not None:
            self.stands.set_result(self._answer.status)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.stands.done():
            self.stands.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError())
