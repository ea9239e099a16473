"""The doorkeeper: every address but five asks for a key, before a byte of the body is read.

Four tell nothing about any tenant; the fifth takes signed webhooks, whose signature its own room checks. The key
names tenant, user and app; `X-Company-ID`, `X-User-ID` and `X-App-ID` can only narrow that, and `X-Label` can only
tighten the label. What is missing, malformed or foreign is refused, never assumed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers

from bastide.api.closing import Closing
from bastide.api.entrance import Entrance
from bastide.api.gate import Door, Receive, Send, Wires
from bastide.api.lane import let_in
from bastide.api.values import Caller, Rooms
from bastide.errors import BadRequest
from bastide.store import is_id

OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
"""The addresses that ask for no key. They tell nothing about any tenant."""

HOOKS = "/api/v1/hooks/"
"""Below it a trigger's id, and nothing else: a webhook has a signature instead of a key."""

_NARROWING = ("x-company-id", "x-user-id", "x-app-id", "x-label", "authorization", "x-api-key")


class Doorkeeper:
    """An ASGI application around the next one; the caller it let in is in `scope["state"]["caller"]`.

    WebSockets go to `talk` instead, through an entrance of their own.
    """

    def __init__(self, inner: Door, rooms: Rooms, talk: Door) -> None:
        self._inner = inner
        self._rooms = rooms
        self._entrance = Entrance(talk, self.let_in)

    async def __call__(self, scope: Wires, receive: Receive, send: Send) -> None:
        """Let in who has a key; raises Unauthorised, Forbidden or BadRequest for everybody else."""
        if scope["type"] == "websocket":
            await self._entrance(scope, receive, send)
            return
        if scope["type"] == "http" and not _is_open(scope):
            headers, request_id = Headers(scope=scope), scope["state"]["request_id"]
            scope["state"]["caller"] = await self.let_in(headers, request_id)
            scope["state"]["again"] = lambda: self.let_in(headers, request_id)
        await self._inner(scope, receive, send)

    async def let_in(self, headers: Headers, request_id: str) -> Caller:
        """Who asks, as these headers say it. Raises Unauthorised, Forbidden or BadRequest."""
        for name in _NARROWING:
            if len(headers.getlist(name)) > 1:
                raise BadRequest(f"The header {name} came more than once.", next_step="Send it once.")
        scope, label = await let_in(self._rooms.tenancy, self._rooms.policy, headers)
        return Caller(scope, label, request_id)


def _is_open(scope: Wires) -> bool:
    path: str = scope["path"]
    hook = path.startswith(HOOKS) and is_id(path.removeprefix(HOOKS), "trg") and scope["method"] == "POST"
    return path in OPEN or hook


async def _let_in(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


async def _behind(request: Request) -> Rooms:
    return cast(Rooms, request.app.state.rooms)


async def _ask_again(request: Request) -> Callable[[], Awaitable[Caller]]:
    return cast("Callable[[], Awaitable[Caller]]", request.state.again)


async def _closing(request: Request) -> Closing:
    return cast(Closing, request.app.state.closing)


Asking = Annotated[Caller, Depends(_let_in)]
"""Who asks: the parameter of every route behind the doorkeeper."""

Behind = Annotated[Rooms, Depends(_behind)]
"""The rooms that a route asks."""

AskingAgain = Annotated[Callable[[], Awaitable[Caller]], Depends(_ask_again)]
"""Asks the doorkeeper once more, for what goes on long after it was let in; raises when the key is refused now."""

Ending = Annotated[Closing, Depends(_closing)]
"""Says when what goes on for ever has to end."""
