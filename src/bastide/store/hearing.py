"""Hearing: a process is told at once of what another has changed, on one connection for all of its rooms.

A room's triggers notify the channel `changed` with a topic and what it is about. What is told may be missed: while the
connection is lost, and before it is there. So whoever listens asks by himself every now and then, too, and is told of
nothing in particular whenever there is a connection again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol
from uuid import UUID

from bastide.errors import BastideError
from bastide.store.ending import ended, told_to_end
from bastide.store.identifiers import from_uuid
from bastide.store.presence import Presence
from bastide.telemetry import log

_CHANNEL: Final = "changed"
_RETRY_S: Final = 0.5

Told = Callable[[str], None]


class Listen(Protocol):
    """How a channel is listened to: payloads until the connection is lost; `begun` is called when there is one."""

    def __call__(self, channel: str, *, begun: Callable[[], None]) -> AsyncIterator[str]: ...


class Hearing:
    """Who wants to be told of what. Listens from the first who does until `stop`."""

    def __init__(self, listen: Listen, presence: Presence) -> None:
        self._listen = listen
        self._presence = presence
        self._told: dict[str, list[Told]] = {}
        self._task: asyncio.Task[None] | None = None

    def on(self, topic: str, told: Told) -> Callable[[], None]:
        """Have `told` called with what is said of this topic, "" where something may have been missed.

        Call what is returned to be told no more.
        """
        self._told.setdefault(topic, []).append(told)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return lambda: self._leave(topic, told)

    def of_tenants(self, topic: str, told: Told) -> Callable[[], None]:
        """The same where a tenant's id is what is said; nobody is told that something may have been missed."""

        def one(said: str) -> None:
            if said:
                told(from_uuid("ten", UUID(said)))

        return self.on(topic, one)

    async def stop(self) -> None:
        """Listen no more."""
        await ended(self._task)
        self._task = None

    def _leave(self, topic: str, told: Told) -> None:
        if told in self._told.get(topic, ()):
            self._told[topic].remove(told)

    async def _run(self) -> None:
        while True:
            try:
                async for said in self._listen(_CHANNEL, begun=self._begun):
                    topic, _, what = said.partition(" ")
                    self._tell(topic, what)
            except BastideError:
                pass  # the database is away: it is looked for
            except (Exception, asyncio.CancelledError):
                if told_to_end():
                    raise
                log.exception("what others change is listened to anew")
            self._presence.gone()  # what was remembered before this does not outlast another absence
            await asyncio.sleep(_RETRY_S)

    def _begun(self) -> None:
        for topic in self._told:
            self._tell(topic, "")

    def _tell(self, topic: str, what: str) -> None:
        for told in tuple(self._told.get(topic, ())):
            try:
                told(what)
            except Exception:  # others want to be told, too
                log.exception("a change of %s was heard and not taken in", topic)
