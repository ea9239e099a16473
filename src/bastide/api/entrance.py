"""The entrance of a WebSocket: who asks is known before a word is answered, and asked again every few seconds.

The key comes in the header `Authorization` of the handshake. A browser cannot send one, so it says it in its
first message, `{"authorization": "Bearer bst_..."}`, within five seconds; it is never part of an address,
because addresses are written down on the way. A key that is disabled meanwhile closes the socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import NoReturn

from starlette.datastructures import Headers

from bastide.api.closing import unless
from bastide.api.gate import Door, Message, Receive, Send, Wires
from bastide.api.lane import parse
from bastide.api.values import Caller
from bastide.errors import BadRequest, Forbidden, NoSuchRoute, TooMany, Unauthorised, Unavailable

SOCKET = "/ws"
"""The one address of the WebSocket."""

_FIRST_WORD_S = 5.0
_AGAIN_S = 4.0  # and a key that was disabled elsewhere is refused there within two seconds
_STRANGERS_MAX = 200  # sockets that have not said their key yet
_SAID = frozenset({"authorization", "x-company-id", "x-user-id", "x-app-id", "x-label"})
_HOW = 'Send {"authorization": "Bearer bst_..."} as the first message, or the key in the header Authorization.'

LetIn = Callable[[Headers, str], Awaitable[Caller]]


class Entrance:
    """An ASGI application around the one that talks; the caller it let in is in `scope["state"]["caller"]`."""

    def __init__(self, inner: Door, let_in: LetIn) -> None:
        self._inner = inner
        self._let_in = let_in
        self._strangers = 0

    async def __call__(self, scope: Wires, receive: Receive, send: Send) -> None:
        """Let in who has a key; raises Unauthorised, Forbidden or BadRequest for everybody else."""
        headers, opened = Headers(scope=scope), False
        if "authorization" not in headers and scope["path"] == SOCKET:
            headers, opened = await self._ask(headers, receive, send), True
        request_id = scope["state"]["request_id"]
        caller = await self._let_in(headers, request_id)
        if scope["path"] != SOCKET:
            raise NoSuchRoute
        scope["state"]["caller"] = caller
        visit = _Visit(receive, send) if opened else None
        talk = self._inner(scope, visit.receive if visit else receive, visit.send if visit else send)
        await unless(talk, self._ask_again(caller, headers))

    async def _ask(self, headers: Headers, receive: Receive, send: Send) -> Headers:
        """The headers of the handshake and what the first message adds to them."""
        if self._strangers >= _STRANGERS_MAX:
            raise TooMany("Too many sockets are open that have not said their key yet.")
        self._strangers += 1
        try:
            await receive()
            await send({"type": "websocket.accept"})
            async with asyncio.timeout(_FIRST_WORD_S):
                message = await receive()
        except TimeoutError as late:
            raise Unauthorised(f"No key came within {_FIRST_WORD_S:g} seconds.", next_step=_HOW) from late
        finally:
            self._strangers -= 1
        if message["type"] != "websocket.receive":
            raise Unauthorised("The socket was closed before it said its key.", next_step=_HOW)
        said = _first_word(message.get("text") or "")
        return Headers(raw=[*headers.raw, *((name.encode(), value.encode()) for name, value in said.items())])

    async def _ask_again(self, caller: Caller, headers: Headers) -> NoReturn:
        while True:
            await asyncio.sleep(_AGAIN_S)
            await still_welcome(lambda: self._let_in(headers, caller.request_id), caller)


async def still_welcome(again: Callable[[], Awaitable[Caller]], caller: Caller) -> None:
    """Raises what a new request would raise now, and Forbidden when the key's rights are others than before.

    While the database does not answer, nothing is known, and nothing is concluded.
    """
    try:
        now = await again()
    except Unavailable:
        return
    if now.scope != caller.scope:
        raise Forbidden("What this key may do has changed.", next_step="Connect again.")


def _first_word(text: str) -> dict[str, str]:
    """The headers that a first message spells. Raises Unauthorised or BadRequest."""
    try:
        said = parse(text.encode())
    except BadRequest as fault:
        raise Unauthorised("The first message is not JSON, so it names no key.", next_step=_HOW) from fault
    if not isinstance(said, dict) or not isinstance(said.get("authorization"), str):
        raise Unauthorised("The first message names no key.", next_step=_HOW)
    if set(said) - _SAID:
        raise BadRequest(f"The first message may hold {', '.join(sorted(_SAID))} and nothing else.")
    label = said.get("x-label")
    if isinstance(label, dict):
        said["x-label"] = json.dumps(label)
    if not all(isinstance(value, str) for value in said.values()):
        raise BadRequest("The fields of the first message are texts.")
    return said


class _Visit:
    """The rest of a socket that is open already: the handshake is played once more for who comes next."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._announced = False

    async def receive(self) -> Message:
        """First that somebody connects, then what arrives."""
        if not self._announced:
            self._announced = True
            return {"type": "websocket.connect"}
        return await self._receive()

    async def send(self, message: Message) -> None:
        """All but the acceptance, which has been sent."""
        if message["type"] != "websocket.accept":
            await self._send(message)
