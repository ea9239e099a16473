"""The room's class: permits from decisions, clients from permits."""

from __future__ import annotations

import hmac
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpcore2
import httpx2

from bastide import telemetry
from bastide.egress.addresses import Reach, Resolver, resolve
from bastide.egress.client import Client, Limits
from bastide.egress.lines import Ground, Line, Lines
from bastide.egress.tunnel import Connect, Tunnel
from bastide.egress.values import Permit
from bastide.egress.wire import CheckedBackend, CheckedTransport
from bastide.errors import BadSetting, PermitRefused
from bastide.settings import EgressSettings

if TYPE_CHECKING:  # the command line uses this room without loading the rooms below it
    from bastide.policy import Decision

_PORTS: Final = {"http": 80, "https": 443}


class Egress:
    """The only way out. One per process, used in one event loop."""

    def __init__(
        self,
        settings: EgressSettings,
        *,
        resolver: Resolver = resolve,
        dial: httpcore2.AsyncNetworkBackend | None = None,
        connect: Connect | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """`resolver`, `dial` and, for lines, `connect` are the seams to the network below; tests give doubles there."""
        self._settings = settings
        self._clock = clock or _utc
        self._now: Callable[[], float] = time.time if clock is None else lambda: clock().timestamp()
        self._secret = secrets.token_bytes(32)
        self._context = _tls_context(settings)
        self._resolver = resolver
        self._dial = dial or httpcore2.AnyIOBackend()
        self._transports: dict[tuple[bool, tuple[str, ...]], CheckedTransport] = {}
        self._tunnel = Tunnel(settings.proxy, self._context, resolver) if settings.proxy is not None else None
        self._lines = Lines(Ground(resolver, self._context, self._reach, connect, self._tunnel))

    async def start(self) -> None:
        """Nothing is opened before the first request."""

    async def stop(self) -> None:
        """Close every connection that is still kept."""
        self._lines.close()
        while self._transports:
            _, transport = self._transports.popitem()
            await transport.aclose()

    async def ask_proxy(self) -> str | None:
        """Host and port of the organisation's proxy, which has just answered; None where there is none.

        Raises ProxyUnreachable, ProxyUnauthorised or ProxyGarbled.
        """
        if self._tunnel is None:
            return None
        await self._tunnel.examine(self._settings.connect_timeout_s / 2)
        return self._tunnel.place

    def permit(self, decision: Decision, *, pins: Sequence[str] = ()) -> Permit:
        """The permit that an allowed, unexpired decision is worth; raises PermitRefused otherwise.

        An outside endpoint needs https; plain http is for endpoints that are declared local. With `pins`, the
        server must show a certificate whose key has one of these SHA-256 hashes (lower hex).
        """
        endpoint = decision.endpoint
        if not decision.allowed:
            raise PermitRefused("The decision for this endpoint is no.", endpoint=endpoint.id)
        if decision.expires_at <= self._clock():
            raise PermitRefused("The decision for this endpoint has expired.", endpoint=endpoint.id)
        local = endpoint.kind == "local"
        scheme, host, port = _origin(endpoint.url, endpoint.id)
        if scheme == "http" and not local:
            raise PermitRefused("An outside endpoint is reached by https only.", endpoint=endpoint.id)
        permit = Permit(
            scheme=scheme,
            host=host,
            port=port,
            endpoint=endpoint.id,
            local=local,
            decision_hash=decision.digest,
            expires_at=decision.expires_at,
            pins=tuple(sorted(pins)),
        )
        telemetry.count("egress_permits", kind=endpoint.kind)
        return replace(permit, seal=self._seal(permit))

    @asynccontextmanager
    async def open(
        self, permit: Permit, *, total_s: float | None = None, reply_bytes_max: int | None = None
    ) -> AsyncGenerator[Client]:
        """A client that reaches the permit's origin and nothing else, for as long as the permit lasts.

        Connecting happens at the first request. An exchange takes `total_s` seconds at most, and gives at most
        `reply_bytes_max` bytes.
        """
        self._still_allowed(permit)
        limits = Limits(
            connect_s=self._settings.connect_timeout_s,
            idle_s=self._settings.idle_timeout_s,
            total_s=total_s or self._settings.total_timeout_s,
            reply_bytes_max=reply_bytes_max or self._settings.reply_bytes_max,
        )
        yield Client(self._transport(permit), permit.origin, limits, lambda: self._still_allowed(permit))

    def line(self, permit: Permit) -> Line:
        """The fast way to the permit's origin, for as long as the permit lasts: see `lines`."""
        self._still_allowed(permit)
        until, now = permit.expires_at.timestamp(), self._now

        def in_time() -> None:  # asked for each call
            if until <= now():
                raise _expired(permit)

        return self._lines.line(permit, in_time)

    def _reach(self, local: bool) -> Reach:
        return Reach(local, self._settings.air_gap, self._settings.allowed_networks)

    def _transport(self, permit: Permit) -> CheckedTransport:
        """The pool for such permits: a connection made under other conditions is never reused."""
        conditions = (permit.local, permit.pins)
        if conditions not in self._transports:
            reach, pins = self._reach(permit.local), frozenset(permit.pins)
            backend = CheckedBackend(reach, self._resolver, self._dial, pins, self._tunnel)
            self._transports[conditions] = CheckedTransport(backend, self._context, connections_max=512)
        return self._transports[conditions]

    def _still_allowed(self, permit: Permit) -> None:
        if not hmac.compare_digest(permit.seal, self._seal(permit)):
            raise PermitRefused("This permit was not made here.", endpoint=permit.endpoint)
        self._in_time(permit)

    def _in_time(self, permit: Permit) -> None:
        if permit.expires_at <= self._clock():
            raise _expired(permit)

    def _seal(self, permit: Permit) -> bytes:
        return hmac.digest(self._secret, permit.sealed_facts(), "sha256")


def _utc() -> datetime:
    return datetime.now(UTC)


def _expired(permit: Permit) -> PermitRefused:
    return PermitRefused("This permit has expired.", endpoint=permit.endpoint)


def _origin(url: str, endpoint: str) -> tuple[str, str, int]:
    """Scheme, host and port of an endpoint's address, in the one spelling that is connected to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as fault:
        raise PermitRefused("The endpoint's address cannot be read.", endpoint=endpoint) from fault
    if parts.scheme not in _PORTS or not host or not host.isascii() or "%" in host:
        raise PermitRefused("The endpoint's address must be http(s)://host with a plain host name.", endpoint=endpoint)
    if parts.username is not None or parts.password is not None:
        raise PermitRefused("An endpoint's address holds no user name or password.", endpoint=endpoint)
    return parts.scheme, host.rstrip("."), port


def _tls_context(settings: EgressSettings) -> ssl.SSLContext:
    context = httpx2.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as fault:
            raise BadSetting("BASTIDE_CA_FILE names no file of PEM certificates.") from fault
    return context
