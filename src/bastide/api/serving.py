"""Serving: sockets that hold an address, and the server behind them. Signals are the caller's."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn

from bastide.api.gate import Gate
from bastide.errors import AddressUnusable, PortTaken
from bastide.settings import ServerSettings

_MESSAGE_BYTES_MAX: Final = 1024 * 1024  # of one message of a WebSocket
_GRACE_S: Final = 10  # running requests may take so long to finish once we are asked to stop


class Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours."""

    def __init__(self, application: Gate, when_started: Callable[[], object]) -> None:
        self._when_started = when_started
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                http=cast(Any, application.protocol or "httptools"),  # whatever makes a protocol will do
                ws="wsproto",  # which cannot open a connection; compressed messages could grow without bound
                ws_max_size=_MESSAGE_BYTES_MAX,
                ws_per_message_deflate=False,
            )
        )
        self._application = application

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing is captured here: whoever serves listens for signals."""
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._when_started()

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Let streams and WebSockets say goodbye, then stop."""
        await self._application.close()
        await super().shutdown(sockets)


async def bound(settings: ServerSettings) -> list[Any]:
    """Sockets that hold the address but do not listen yet, so that nobody waits for a house that is still opening."""
    loop = asyncio.get_running_loop()
    try:
        held = await loop.create_server(asyncio.Protocol, settings.host, settings.port, start_serving=False)
    except OSError as fault:
        place = f"{settings.host}, port {settings.port}"
        if fault.errno == errno.EADDRINUSE:
            raise PortTaken(f"Another program already listens at {place}.", port=settings.port) from fault
        raise AddressUnusable(f"The house cannot listen at {place}: {fault.strerror or fault}.") from fault
    sockets = [socket.dup() for socket in held.sockets]
    held.close()
    return sockets if settings.port else sockets[:1]


def address_of(host: str, port: int) -> str:
    """The address that a command on this machine uses."""
    if host in {"0.0.0.0", "", "*"}:  # noqa: S104 compared, not bound
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
