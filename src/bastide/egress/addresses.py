"""Which addresses may be connected to: rules over resolved IP addresses, and the resolving itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from bastide.errors import AddressRefused, AirGapClosed, NameUnknown

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# Never reached, whoever asks: link-local with the clouds' metadata servers, and IPv4 broadcast.
_NEVER = tuple(
    ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "255.255.255.255/32", "0.0.0.0/8")
)
TRIED_MAX = 4
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a connection may go.

    A `local` one reaches loopback and the `listed` networks, any other one reaches public addresses;
    with the `air_gap` closed, only those public addresses that are listed.
    """

    local: bool
    air_gap: bool = False
    listed: tuple[IPv4Network | IPv6Network, ...] = ()

    def near(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the address is this machine or in a listed network."""
        return address.is_loopback or any(address in network for network in self.listed)


def check_addresses(host: str, addresses: Sequence[str], reach: Reach) -> tuple[str, ...]:
    """The addresses, all allowed; raises AddressRefused or AirGapClosed if a single one is not.

    One bad address among good ones refuses them all: a name that mixes them is how DNS rebinding works.
    """
    if not addresses:
        raise NameUnknown(f"{host} has no address.", host=host)
    for raw in addresses:
        _check(host, ip_address(raw.partition("%")[0]), reach)
    return tuple(dict.fromkeys(addresses))


async def reachable(
    host: str, port: int, reach: Reach, resolver: Resolver, *, timeout_s: float | None
) -> tuple[str, ...]:
    """The addresses at which a connection to `host` may be tried, in the resolver's order; four at most.

    Raises NameUnknown, AddressRefused or AirGapClosed. Beyond a closed air gap a name is not even resolved.
    """
    try:
        async with asyncio.timeout(timeout_s):
            found = await _found(host, port, reach, resolver)
    except TimeoutError as late:
        raise NameUnknown(f"Resolving {host} took too long.", host=host) from late
    return check_addresses(host, found, reach)[:TRIED_MAX]


async def _found(host: str, port: int, reach: Reach, resolver: Resolver) -> Sequence[str]:
    spelled = literal(host)
    if spelled is not None:
        return (spelled,)
    if reach.air_gap and not is_localhost(host):
        if not reach.local:
            raise AirGapClosed(f"{host} is a name beyond the air gap; it was not even resolved.", host=host)
        check_name_servers(host, name_servers(), reach)
    return tuple(await resolver(host, port))


def literal(host: str) -> str | None:
    """The address that `host` itself spells, or None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def is_localhost(host: str) -> bool:
    """Whether the name always means this machine (RFC 6761, section 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, asked once of the system's resolver; localhost asks nobody."""
    if is_localhost(host):
        return ("127.0.0.1", "::1")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise NameUnknown(f"The host name {host} cannot be resolved.", host=host) from problem
    return tuple(str(entry[4][0]) for entry in found)


def name_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The name servers that the system's resolver would ask: with the air gap closed they count as egress."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(word[1].partition("%")[0] for word in words if len(word) > 1 and word[0] == "nameserver")


def check_name_servers(host: str, servers: Sequence[str], reach: Reach) -> None:
    """Raises AirGapClosed when resolving `host` would ask a name server beyond the air gap."""
    for server in servers:
        spelled = literal(server)
        if spelled is None or not reach.near(ip_address(spelled)):
            raise AirGapClosed(f"Resolving {host} would ask a name server beyond the air gap.", host=host)


def check_ever(host: str, address: IPv4Address | IPv6Address) -> None:
    """Raises AddressRefused for an address that is never reached, whoever asks."""
    inner = _unwrapped(address)
    if inner.is_multicast or inner.is_unspecified or any(inner in network for network in _NEVER):
        raise AddressRefused(f"{host} leads to {address}, which no connection may reach.", host=host)


def _check(host: str, address: IPv4Address | IPv6Address, reach: Reach) -> None:
    check_ever(host, address)
    inner = _unwrapped(address)
    if reach.local:
        if reach.near(inner):
            return
        if reach.air_gap:
            raise AirGapClosed(f"{host} leads to {address}, which is beyond the air gap.", host=host)
        raise AddressRefused(f"{host} leads to {address}, which is neither loopback nor listed.", host=host)
    if not inner.is_global or inner.is_reserved:
        raise AddressRefused(f"{host} is an outside endpoint but leads to the inside address {address}.", host=host)
    if reach.air_gap and not any(inner in network for network in reach.listed):
        raise AirGapClosed(f"{host} leads to {address}, which is beyond the air gap.", host=host)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 form (mapped, compatible, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address.teredo is not None:
        return address.teredo[1]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
