"""The command line's way to its own server: loopback only, or the application in this very process."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from bastide.egress.addresses import Reach, is_localhost, literal, resolve
from bastide.egress.client import Client, Limits
from bastide.egress.wire import CheckedBackend, CheckedTransport
from bastide.errors import AddressRefused

_LIMITS = Limits(connect_s=5.0, idle_s=900.0, total_s=3600.0, reply_bytes_max=4 * 1024**3)


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
