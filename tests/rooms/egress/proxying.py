"""A real proxy on loopback: it takes CONNECT, joins two connections byte for byte, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from bastide.settings import ProxySettings

Kind = TypeVar("Kind", bound="ConnectProxy")


@dataclass
class ConnectProxy:
    """`hosts` is what it can resolve: a name and its port on loopback. `answer` is said in the place of its own."""

    hosts: Mapping[str, int] = field(default_factory=dict)
    credentials: str | None = None
    answer: bytes | None = None
    before: bytes = b""  # said before the answer
    cuts: bool = False  # says yes, and closes
    stalls: bool = False  # takes the request, and says nothing
    port: int = 0
    heads: list[str] = field(default_factory=list)
    met: int = 0  # connections to it
    joined: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    listening: asyncio.Server | None = None

    @property
    def asked(self) -> list[str]:
        """The targets of the requests, in their order."""
        return [head.split(" ")[1] for head in self.heads]

    def settings(self, credentials: str | None = None, **more: object) -> ProxySettings:
        """As a house would be told of it."""
        return ProxySettings("127.0.0.1", self.port, credentials=credentials, **more)  # type: ignore[arg-type]

    async def open(self, tls: ssl.SSLContext | None) -> None:
        """Begin to listen, at a free port."""
        self.listening = await asyncio.start_server(self.take, "127.0.0.1", 0, ssl=tls)
        self.port = self.listening.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and let go of everybody."""
        if self.listening is not None:
            self.listening.close()
        for task in tuple(self.tasks):
            task.cancel()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its request to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.met += 1
        try:
            await self._carried(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        if self.stalls:
            await reader.read()
            return
        said = self.answer or self._judged(head)
        writer.write(self.before + said)
        await writer.drain()
        if not said.startswith(b"HTTP/1.1 200") or self.cuts:
            return
        host = head.split(" ")[1].rpartition(":")[0]
        await self.join(host, reader, writer)

    async def join(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Byte for byte with one that it can resolve, until either ends."""
        there, onward = await asyncio.open_connection("127.0.0.1", self.hosts[host])
        self.joined += 1
        try:
            await asyncio.gather(_poured(reader, onward), _poured(there, writer))
        finally:
            onward.close()

    def _judged(self, head: str) -> bytes:
        method, target, _ = head.split(" ", 2)
        basic = base64.b64encode((self.credentials or "").encode()).decode()
        if self.credentials is not None and f"Proxy-Authorization: Basic {basic}\r\n" not in head:
            return b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
        if method == "CONNECT" and target.rpartition(":")[0] not in self.hosts:
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        return b"HTTP/1.1 200 Connection established\r\n\r\n"


async def _poured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(
    hosts: Mapping[str, int] | None = None, *, tls: ssl.SSLContext | None = None, **more: object
) -> AsyncIterator[ConnectProxy]:
    """A proxy that runs while the block does."""
    async with running(ConnectProxy(dict(hosts or {}), **more), tls) as proxy:  # type: ignore[arg-type]
        yield proxy


@asynccontextmanager
async def running(proxy: Kind, tls: ssl.SSLContext | None) -> AsyncIterator[Kind]:
    """This proxy, which runs while the block does."""
    await proxy.open(tls)
    try:
        yield proxy
    finally:
        proxy.close()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)
