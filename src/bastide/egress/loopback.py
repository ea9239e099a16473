"""The way to our own server: loopback only, or the application in this very process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpcore2
import httpx2

from bastide.egress.addresses import Reach, is_localhost, literal, resolve
from bastide.egress.client import Client, Limits
from bastide.egress.wire import CheckedBackend, CheckedTransport
from bastide.errors import AddressRefused, Unreachable

_CONNECT_S = 5.0
_LIMITS = Limits(connect_s=5.0, idle_s=900.0, total_s=3600.0, reply_bytes_max=4 * 1024**3)


Spoken = TypeVar("Spoken", bound=asyncio.Protocol)


async def local_connection(server: str, protocol: Callable[[], Spoken]) -> Spoken:
    """A connection to our own server at this http address, as bare bytes.

    Raises AddressRefused for any host but loopback, Unreachable when nobody answers there.
    """
    parts = urlsplit(_loopback_origin(server))
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, made = await asyncio.get_running_loop().create_connection(
                protocol, parts.hostname or "", parts.port or 80
            )
    except (OSError, TimeoutError) as fault:
        raise Unreachable(f"{server} does not accept a connection.") from fault
    return made


@asynccontextmanager
async def local_client(server: str | Callable[..., Any]) -> AsyncGenerator[Client]:
    """A client of our own server: its http address on loopback, or its ASGI application.

    Raises AddressRefused for any other host. No permit is needed because nothing leaves the machine.
    """
    if isinstance(server, str):
        origin = _loopback_origin(server)
        backend = CheckedBackend(Reach(local=True), resolve, httpcore2.AnyIOBackend())
        transport: httpx2.AsyncBaseTransport = CheckedTransport(
            backend, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connections_max=64
        )
    else:
        origin = "http://127.0.0.1"
        transport = httpx2.ASGITransport(app=server)
    try:
        yield Client(transport, origin, _LIMITS, lambda: None)
    finally:
        await transport.aclose()


def _loopback_origin(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    spelled = literal(host)
    if parts.scheme != "http" or not (is_localhost(host) or spelled == "::1" or (spelled or "").startswith("127.")):
        raise AddressRefused(f"{host or url} is not this machine: only a server on loopback is spoken to.")
    return f"http://{parts.netloc.rpartition('@')[2]}"
