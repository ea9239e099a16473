"""The WebSocket `/ws`: the operations of HTTP as messages, and what one follows as it changes.

    -> {"id": 1, "op": "jobs.dispatch", "type": "summarise", "input": {...}}     <- {"id": 1, "ok": {...}}
    -> {"id": 2, "op": "subscribe", "jobs": ["job_..."], "approvals": true}      <- {"id": 2, "ok": {...}}
    <- {"event": "job", "job": {...}}     <- {"event": "approval", "approval": {...}}
    <- {"id": 3, "error": {"code", "message", "next", "request_id"}}

A message names an operation of the same table as the routes, with the same fields; the thing that an address
names is in a field of its kind (`job`, `approval`). Replies carry the message's id and may overtake each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, cast

from pydantic import Field, ValidationError
from starlette.websockets import WebSocket

from bastide import telemetry
from bastide.api.closing import unless
from bastide.api.following import Following
from bastide.api.gate import Receive, Send, Wires
from bastide.api.lane import parse
from bastide.api.operations import Ask, Operation
from bastide.api.outbox import Outbox
from bastide.api.refusals import fields_wrong
from bastide.api.shapes.ground import Asked
from bastide.api.values import Caller, Rooms
from bastide.errors import BadRequest, BastideError, Broken, FieldsWrong, NoSuchOperation, TooMany

_SOCKETS_MAX = 500  # of one tenant, in this process
_UNREAD_S = 30.0  # who does not read for so long is let go
_READ = "Connect again, and read what comes while you send."
_AT_ONCE = 8  # messages of one socket that are worked on at a time


class Subscription(Asked):
    """What is followed, or no longer."""

    jobs: list[str] = Field(default_factory=list, max_length=1000, description="Ids of jobs.")
    types: list[str] = Field(default_factory=list, max_length=100, description="All jobs of these types, or of any: *.")
    approvals: bool = False


class Talk:
    """The ASGI application behind the entrance: one conversation a socket."""

    def __init__(self, rooms: Rooms, table: Mapping[str, Operation]) -> None:
        self._rooms = rooms
        self._table = table
        self._open: Counter[str] = Counter()  # by tenant

    async def __call__(self, scope: Wires, receive: Receive, send: Send) -> None:
        """Talk until the other side closes, or this is cancelled. Raises TooMany, and BadRequest for bytes."""
        socket, caller = WebSocket(scope, receive, send), cast(Caller, scope["state"]["caller"])
        with self._counted(caller.scope.tenant):
            await socket.accept()
            await _Conversation(socket, caller, self._rooms, self._table).run()

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        if self._open[tenant] >= _SOCKETS_MAX:
            raise TooMany(f"{_SOCKETS_MAX} sockets of this tenant are open.", next_step="Close some, or share one.")
        self._open[tenant] += 1
        telemetry.gauge("sockets_open", self._open.total())
        try:
            yield
        finally:
            self._open[tenant] -= 1
            self._open += Counter()  # what is at nought goes
            telemetry.gauge("sockets_open", self._open.total())


class _Conversation:
    def __init__(self, socket: WebSocket, caller: Caller, rooms: Rooms, table: Mapping[str, Operation]) -> None:
        self._socket, self._caller, self._rooms, self._table = socket, caller, rooms, table
        self._outbox = Outbox()
        self._following = Following(rooms, caller, self._outbox)
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._working: set[asyncio.Task[None]] = set()
        self._heard = 0

    async def run(self) -> None:
        try:
            await unless(self._hear(), self._say())
        finally:
            self._following.stop()
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _say(self) -> NoReturn:
        while True:
            text = await self._outbox.next()
            try:
                async with asyncio.timeout(_UNREAD_S):
                    await self._socket.send_text(text)
            except TimeoutError as stalled:
                raise BadRequest(f"Nothing was read for {_UNREAD_S:g} seconds.", next_step=_READ) from stalled

    async def _hear(self) -> None:
        async for text in self._texts():
            self._heard += 1
            await self._free.acquire()
            task = asyncio.create_task(self._answer(text, f"{self._caller.request_id[:100]}.{self._heard}"))
            self._working.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.release()

    async def _texts(self) -> AsyncIterator[str]:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                raise BadRequest("A message of bytes came.", next_step="Send JSON as text.")
            yield text

    async def _answer(self, text: str, request_id: str) -> None:
        """One message, and its reply whatever happens."""
        number: object = None
        try:
            message = _read(text)
            number = _number(message)
            reply: dict[str, Any] = {"id": number, "ok": await self._done(message, request_id)}
        except BastideError as fault:
            reply = {"id": number, "error": fault.to_wire(request_id)}
        except Exception:
            telemetry.log.exception("message %s failed", request_id)
            reply = {"id": number, "error": Broken().to_wire(request_id)}
        await self._outbox.reply(reply)

    async def _done(self, message: dict[str, Any], request_id: str) -> Mapping[str, Any]:
        name = message.pop("op", None)
        if name in ("subscribe", "unsubscribe"):
            telemetry.count("socket_messages", op=name)
            wanted = _validated(Subscription, message)
            return await (self._following.add(wanted) if name == "subscribe" else self._following.drop(wanted))
        one = self._table.get(name) if isinstance(name, str) else None
        telemetry.count("socket_messages", op=one.name if one else "unknown")
        if one is None:
            raise NoSuchOperation
        named = message.pop(one.of, None) if one.of else ""
        if not isinstance(named, str) or (one.of and not named):
            problem = {"field": one.of, "problem": "a text is needed"}
            raise FieldsWrong(f"{one.of}: a text is needed.", fields=[problem])
        caller = Caller(self._caller.scope, self._caller.label, request_id)
        return await one.run(Ask(caller, self._rooms, _validated(one.given, message), named))


def _read(text: str) -> dict[str, Any]:
    message = parse(text.encode())
    if not isinstance(message, dict):
        raise BadRequest("A message is an object.", next_step='Send {"id": 1, "op": "jobs.list"}.')
    return message


def _number(message: dict[str, Any]) -> object:
    number = message.pop("id", None)
    if isinstance(number, bool) or not isinstance(number, str | int | None) or len(str(number)) > 100:
        raise BadRequest("A message's id is a number or a short text.")
    return number


def _validated(shape: type[Asked], message: dict[str, Any]) -> Any:
    try:
        return shape.model_validate(message)
    except ValidationError as fault:
        raise fields_wrong(fault) from fault
