"""Lines: the fast way out, for the calls that are counted in microseconds.

A `Line` leads to the one origin of a permit. `send` writes a request on a kept connection and tells a `Listener`
what comes back, in the event loop, without a task, a queue or a copy for each call. What `wire` promises holds here,
too: a checked address or the proxy, the peer's evidence, pins, no redirects, no compression, no retries, bounds on size
and time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bastide.egress.addresses import Reach, Resolver
from bastide.egress.connection import Connection, Exchange, Listener, Patience
from bastide.egress.evidence import check_pins, shown_by, tls_reason
from bastide.egress.head import request_head
from bastide.egress.outgoing import Outgoing
from bastide.egress.tunnel import Connect, Tunnel, Way, way_to
from bastide.egress.values import Permit
from bastide.errors import BastideError, PinMismatch, TlsRefused, TooSlow, Unreachable

_SWEEP_S: Final = 0.25  # how often deadlines are looked at: a limit is kept to within this
_KEPT_S: Final = 15.0  # a connection that nobody used for so long is closed
_OPEN_MAX: Final = 1024  # connections to one origin at a time; further calls wait for their turn

Place = tuple[str, str, int, bool, tuple[str, ...]]
"""Scheme, host, port, whether it is our own, pins: connections are shared only where all are equal."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all lines stand on: how far they may reach, who resolves names, what TLS accepts, whose proxy is used."""

    resolver: Resolver
    context: ssl.SSLContext
    reach: Callable[[bool], Reach]
    connect: Connect | None = None
    tunnel: Tunnel | None = None


class Line:
    """The way to one permitted origin, for as long as its permit lasts."""

    __slots__ = ("_pool", "_still_allowed", "permit")

    def __init__(self, permit: Permit, pool: Pool, still_allowed: Callable[[], None]) -> None:
        self.permit = permit
        self._pool = pool
        self._still_allowed = still_allowed

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request but for its length, to be made once and sent often. Raises RequestRefused."""
        return request_head(self.permit, method, path, headers)

    def send(self, head: bytes, body: bytes, listener: Listener, patience: Patience) -> Exchange:
        """Send a request; `listener` is told of its answer or its fault, never before this returns.

        Raises PermitRefused when the permit has run out.
        """
        self._still_allowed()
        exchange = Exchange(head, body, listener, patience, self._pool.now())
        self._pool.give(exchange)
        return exchange


class Pool:
    """The connections to one place: the one used last is used next, so that few are kept warm."""

    def __init__(self, place: Place, ground: Ground, outgoing: Outgoing, loop: asyncio.AbstractEventLoop) -> None:
        self._scheme, self._host, self._port, local, pins = place
        self._pins = frozenset(pins)
        self._reach = ground.reach(local)
        self._ground = ground
        self._outgoing = outgoing
        self._loop = loop
        self.now = loop.time
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiting: deque[Exchange] = deque()
        self._dialling: set[asyncio.Task[None]] = set()

    def give(self, exchange: Exchange) -> None:
        """Find the exchange a connection: a warm one now, else a new one as soon as it stands."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.carry(exchange)
                return
        self._waiting.append(exchange)
        if len(self._open) + len(self._dialling) < _OPEN_MAX:
            task = self._loop.create_task(self._dial(exchange.patience.connect_s))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    @property
    def idle(self) -> bool:
        """Whether nothing is open, dialled or waited for."""
        return not self._open and not self._dialling and not self._waiting

    def sweep(self, now: float) -> None:
        """Give up what has waited too long, and connections that nobody uses."""
        while self._waiting and (self._waiting[0].over or self._waiting[0].connect_by <= now):
            self._waiting.popleft().fail(TooSlow("No connection got free in time.", host=self._host))
        for connection in [one for one in self._open if one.late(now)]:
            connection.give_up(now)
        for connection in self._idle:
            if connection.idle_since + _KEPT_S <= now:
                connection.close()
        self._idle = [one for one in self._idle if one.usable]

    def close(self) -> None:
        """Close every connection; what runs is told."""
        for task in self._dialling:
            task.cancel()
        for connection in tuple(self._open):
            connection.close()
        while self._waiting:
            self._waiting.popleft().fail(Unreachable("The house is closing.", host=self._host))

    # -- connections --------------------------------------------------------------------------------

    def freed(self, connection: Connection) -> None:
        """An exchange has ended whole, and its connection may carry another."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.over:
                connection.carry(waiting)
                return
        connection.idle_since = self.now()
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone; whoever still waits gets a new one."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and len(self._open) + len(self._dialling) < min(_OPEN_MAX, len(self._waiting)):
            task = self._loop.create_task(self._dial(self._waiting[0].patience.connect_s))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    async def _dial(self, timeout_s: float) -> None:
        try:
            connection = await self._connected(timeout_s)
        except BastideError as fault:
            self._refuse(fault)
        except asyncio.CancelledError:
            self._refuse(Unreachable("The house is closing.", host=self._host))
            raise
        else:
            self._open.add(connection)
            self.freed(connection)

    def _refuse(self, fault: BastideError) -> None:
        """One who waits is told; the others have dials of their own."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.over:
                waiting.fail(fault)
                return

    async def _connected(self, timeout_s: float) -> Connection:
        ends, ground = self.now() + timeout_s, self._ground
        way = await way_to(self._host, self._port, self._reach, ground.resolver, ground.tunnel, timeout_s=timeout_s)
        for left, address in zip(range(len(way.addresses), 0, -1), way.addresses, strict=True):
            try:
                async with asyncio.timeout(max(0.05, (ends - self.now()) / left)):
                    return await self._connect(way, address)
            except (OSError, TimeoutError):
                continue
        raise way.refused()

    async def _connect(self, way: Way, address: str) -> Connection:
        secure = self._ground.context if self._scheme == "https" else None
        try:
            transport, connection = await self._opened(way, address, secure)
        except ssl.SSLError as problem:
            raise TlsRefused(f"{self._host}: {tls_reason(problem)}.", host=self._host) from problem
        assert isinstance(connection, Connection), "`_made` makes nothing else"
        evidence = way.reached(address)
        if secure:
            evidence = shown_by(transport.get_extra_info("ssl_object"), evidence)
            try:
                check_pins(evidence, self._pins, self._host)
            except PinMismatch:  # before a single byte of the request
                connection.close()
                raise
        connection.evidence = evidence
        return connection

    async def _opened(
        self, way: Way, address: str, secure: ssl.SSLContext | None
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        connect = self._ground.connect or self._loop.create_connection
        if way.tunnel is not None:
            assert secure is not None, "what is not our own is reached by https only"
            return await way.tunnel.opened(way, address, connect, self._made, secure)
        name = self._host if secure else None
        return await connect(self._made, address, self._port, ssl=secure, server_hostname=name)

    def _made(self) -> Connection:
        return Connection(self, self._host, self._outgoing)


class Lines:
    """The pools of a process, and the one timer that looks after all of them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._outgoing = Outgoing()
        self._pools: dict[Place, Pool] = {}
        self._timer: asyncio.TimerHandle | None = None

    def line(self, permit: Permit, still_allowed: Callable[[], None]) -> Line:
        """The line of a permit; lines to one place share their connections."""
        place = (permit.scheme, permit.host, permit.port, permit.local, permit.pins)
        pool = self._pools.get(place)
        if pool is None:
            loop = asyncio.get_running_loop()
            pool = self._pools[place] = Pool(place, self._ground, self._outgoing, loop)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        return Line(permit, pool, still_allowed)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for pool in tuple(self._pools.values()):
            pool.sweep(now)
        self._timer = loop.call_later(_SWEEP_S, self._sweep)

    def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
