"""A real SOCKS 5 server on loopback, written from RFC 1928 and RFC 1929: it resolves names and joins connections."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bastide.settings import ProxySettings

from .proxying import ConnectProxy, running


@dataclass
class SocksProxy(ConnectProxy):
    """`hosts` is what it can resolve; `reply` says no in the place of its own; `bound` is where it says to lead from.

    `answer` is said in the place of its choice of a method, and nothing more.
    """

    reply: int | None = None
    bound: bytes = b"\1" + bytes(6)
    after: bytes = b""  # said behind the yes, without being asked
    targets: list[tuple[int, str, int]] = field(default_factory=list)  # kind of address, address, port
    openings: list[bytes] = field(default_factory=list)
    known: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The targets, as `host:port`."""
        return [f"{host}:{port}" for _, host, port in self.targets]

    def settings(self, credentials: str | None = None, **more: object) -> ProxySettings:
        """As a house would be told of it."""
        return super().settings(credentials, socks=True, **more)

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        assert version == 5
        methods = await reader.readexactly(count)
        self.openings.append(methods)
        if self.stalls:
            await reader.read()
            return
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        if not await self._admitted(methods, reader, writer):
            return
        version, command, reserved, kind = await reader.readexactly(4)
        assert (version, command, reserved) == (5, 1, 0)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly({1: 4, 4: 16}[kind])))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.targets.append((kind, host, port))
        reply = self.reply if self.reply is not None else 0 if host in self.hosts else 4
        said = bytes([5, reply, 0]) + self.bound + self.after
        for place in range(len(said)):  # byte by byte: it comes as it likes
            writer.write(said[place : place + 1])
            await asyncio.sleep(0)
        await writer.drain()
        if reply or self.cuts:
            return
        await self.join(host, reader, writer)

    async def _admitted(self, methods: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        wanted = 0 if self.credentials is None else 2
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods or not wanted:
            return wanted in methods
        version, length = await reader.readexactly(2)
        name = await reader.readexactly(length)
        word = await reader.readexactly((await reader.readexactly(1))[0])
        assert version == 1
        self.known.append((name, word))
        right = b":".join((name, word)).decode() == self.credentials
        writer.write(bytes([1, 0 if right else 1]))
        await writer.drain()
        return right


@asynccontextmanager
async def socks(
    hosts: Mapping[str, int] | None = None, *, tls: ssl.SSLContext | None = None, **more: object
) -> AsyncIterator[SocksProxy]:
    """A proxy that runs while the block does."""
    async with running(SocksProxy(dict(hosts or {}), **more), tls) as proxy:  # type: ignore[arg-type]
        yield proxy
