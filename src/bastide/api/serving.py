"""Serving: the server behind sockets that are held already. Signals are the caller's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import uvicorn

from bastide.api.bounded import Bounded
from bastide.api.gate import Gate
from bastide.api.lane import Behind, Lane

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
                http=cast(Any, application.protocol or Bounded),  # whatever makes a protocol will do
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


def before(shared: Behind) -> Callable[..., Lane]:
    """What the server makes a connection's protocol with: the lane, which hands on to uvicorn's own what is not its."""

    def made(config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Lane:
        behind = partial(Bounded, config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        return Lane(shared, server_state.connections, behind)

    return made
