"""The gatehouse: the rooms that a call of a model needs, opened in order; and a process that has no others.

open_gatehouse   the rooms, for as long as a block runs; `app` builds the rest of the house upon them
keep             the role `gateway`: calls of models are answered, everything else is passed on to the home's server
stopping         what a signal does, to whoever serves
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bastide.api import Behind, Callers, CallRooms, Lane, Porter, address_of, bound_together
from bastide.audit import Audit
from bastide.egress import Egress
from bastide.inference import Inference
from bastide.policy import Policy
from bastide.settings import Settings
from bastide.store import Store
from bastide.tenancy import Tenancy

STOPPING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_GRACE_S: Final = 10.0  # running calls may take so long to finish once we are asked to stop
_LOOK_S: Final = 0.05


@asynccontextmanager
async def open_gatehouse(settings: Settings, *, sequence: bool = False) -> AsyncGenerator[CallRooms]:
    """The rooms, open while the block runs; `sequence` lets them append to the audit log.

    A room that does not open closes those that did, and raises.
    """
    store = Store(settings.store)
    audit = Audit(store, settings.audit)
    tenancy = Tenancy(store, audit, settings.tenancy)
    policy = Policy(store, audit, settings.policy)
    egress = Egress(settings.egress)
    inference = Inference(store, audit, policy, egress, settings.inference)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(store.stop)
        await store.start()
        opened.push_async_callback(audit.stop)
        await audit.start(sequence=sequence)
        opened.push_async_callback(tenancy.listening.stop)
        tenancy.listening.start()
        for room in (policy, egress, inference):
            opened.push_async_callback(room.stop)
            await room.start()
        opened.callback(store.leave)
        yield CallRooms(settings, store, audit, tenancy, policy, egress, inference)


async def keep(settings: Settings, *, find: Callable[[], str | None], on_ready: Callable[[str], object]) -> None:
    """Answer calls of models until SIGTERM or SIGINT; then finish what runs, at most ten seconds, and close.

    Several of these may share a port. `find` says where the server is that answers everything else; `on_ready` is told
    our own address. Raises PortTaken or AddressUnusable, and what the rooms raise.
    """
    lean = replace(settings, inference=replace(settings.inference, reranker_folder=None))  # no wire here asks for it
    async with (
        bound_together(settings.server, settings.home) as sockets,
        stopping() as asked,
        open_gatehouse(lean) as rooms,
    ):
        if not asked.is_set():
            await _answer(rooms, sockets, asked, find, on_ready)


async def _answer(
    rooms: CallRooms,
    sockets: list[Any],
    asked: Stopping,
    find: Callable[[], str | None],
    on_ready: Callable[[str], object],
) -> None:
    loop = asyncio.get_running_loop()
    connections: set[Any] = set()
    behind = Behind(rooms.inference.gateway, Callers(rooms.tenancy, rooms.policy))
    porter = partial(Porter, rooms, connections, find)
    servers = [
        await loop.create_server(lambda: Lane(behind, connections, porter), sock=one, backlog=2048) for one in sockets
    ]
    on_ready(address_of(rooms.settings.server.host, sockets[0].getsockname()[1]))
    settle_down()
    await asked.wait()
    asked.obey = lambda _: None  # a second signal hurries us, and does not break off the closing
    for server in servers:
        server.close()
    for connection in tuple(connections):
        connection.shutdown()
    ends = loop.time() + _GRACE_S
    while connections and loop.time() < ends and not asked.hurried:  # noqa: ASYNC110 they leave one by one
        await asyncio.sleep(_LOOK_S)
    for connection in tuple(connections):
        connection.abort()


def settle_down() -> None:
    """What is loaded by now stays: the collector of circles need not look at it again, nor look often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Stopping:
    """What a signal does: the first asks, the second hurries. `obey` is told of each once it is set."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._task = asyncio.current_task()
        self.hurried = False
        self.obey: Callable[[Stopping], object] | None = None

    def is_set(self) -> bool:
        """Whether anybody has asked."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._asked.wait()

    def ask(self) -> None:
        """Stop, once what runs has finished; asked again, stop now."""
        self.hurried = self._asked.is_set()
        self._asked.set()
        if self.obey:
            self.obey(self)
        elif self.hurried and self._task:
            self._task.cancel()


@asynccontextmanager
async def stopping(stop: asyncio.Event | None = None) -> AsyncGenerator[Stopping]:
    """Whether SIGTERM, SIGINT or `stop` has asked to stop, while the block runs."""
    asked, loop = Stopping(), asyncio.get_running_loop()
    for number in STOPPING_SIGNALS:
        loop.add_signal_handler(number, asked.ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)  # the program held them back until now
    watcher = loop.create_task(_heed(stop, asked)) if stop else None
    try:
        yield asked
    finally:
        if watcher:
            watcher.cancel()
        for number in STOPPING_SIGNALS:
            loop.remove_signal_handler(number)


async def _heed(stop: asyncio.Event, asked: Stopping) -> None:
    await stop.wait()
    asked.ask()
