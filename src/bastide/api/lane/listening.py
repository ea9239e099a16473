"""Listening: sockets that hold an address, and the address as others on this machine say it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bastide.errors import AddressUnusable, PortTaken
from bastide.settings import ServerSettings


async def bound(settings: ServerSettings, *, reuse: bool = False) -> list[Any]:
    """Sockets that hold the address but do not listen yet, so that nobody waits for a house that is still opening.

    With `reuse` others may hold it too, if they say the same. Raises PortTaken or AddressUnusable.
    """
    loop = asyncio.get_running_loop()
    try:
        held = await loop.create_server(
            asyncio.Protocol, settings.host, settings.port, start_serving=False, reuse_port=reuse
        )
    except OSError as fault:
        place = f"{settings.host}, port {settings.port}"
        if fault.errno == errno.EADDRINUSE:
            raise PortTaken(f"Another program already listens at {place}.", port=settings.port) from fault
        raise AddressUnusable(f"The house cannot listen at {place}: {fault.strerror or fault}.") from fault
    sockets = [socket.dup() for socket in held.sockets]
    held.close()
    return sockets if settings.port else sockets[:1]


@asynccontextmanager
async def bound_together(settings: ServerSettings, home: Path) -> AsyncGenerator[list[Any]]:
    """Sockets at an address that other processes of this home hold as well, while the block runs; nobody else may.

    The system would let any program of the same user join. So the first of us looks whether anybody listens there,
    under a lock in the home that all of us hold together from then on. Raises PortTaken or AddressUnusable.
    """
    if not settings.port:
        yield await bound(settings)
        return
    with (home / f"gateway-{settings.port}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # one of us is there, or is just looking
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_SH)
        else:
            for one in await bound(settings):
                one.close()
        sockets = await bound(settings, reuse=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield sockets


def address_of(host: str, port: int) -> str:
    """The address that a command on this machine uses."""
    if host in {"0.0.0.0", "", "*"}:  # noqa: S104 compared, not bound
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
