"""Which addresses may be reached: the rules, their corners, and what holds for every address."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.egress import Reach, check_addresses
from bastide.egress.addresses import check_name_servers, name_servers, resolve
from bastide.errors import AddressRefused, AirGapClosed, BastideError, NameUnknown

OUTSIDE = Reach(local=False)
OURS = Reach(local=True, listed=(ip_network("10.20.0.0/16"), ip_network("fd12::/64")))
GAP_OURS = Reach(local=True, air_gap=True, listed=OURS.listed)
GAP_OUTSIDE = Reach(local=False, air_gap=True, listed=(ip_network("9.9.9.9/32"),))

NEVER = [
    "169.254.169.254",
    "fe80::1",
    "::ffff:169.254.169.254",
    "fd00:ec2::254",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
    "::",
    "255.255.255.255",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
INSIDE = ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"]
INSIDE += ["240.0.0.1", "192.0.2.1", "2001:db8::1", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "198.18.0.1"]


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize(
    "reach", [OUTSIDE, OURS, GAP_OURS, GAP_OUTSIDE, Reach(True, listed=(ip_network("0.0.0.0/0"),))]
)
def test_some_addresses_are_never_reached(address: str, reach: Reach) -> None:
    with pytest.raises(BastideError) as refused:
        check_addresses("h", [address], reach)
    assert refused.value.code == "egress.address_refused"


@pytest.mark.parametrize("address", INSIDE)
def test_an_outside_endpoint_never_reaches_inside(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_addresses("api.example.com", [address], OUTSIDE)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "1.1.1.1"])
def test_an_outside_endpoint_reaches_public_addresses(address: str) -> None:
    assert check_addresses("h", [address], OUTSIDE) == (address,)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "10.20.3.4", "fd12::5", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("reach", [OURS, GAP_OURS])
def test_a_local_endpoint_reaches_loopback_and_listed_networks(address: str, reach: Reach) -> None:
    assert check_addresses("h", [address], reach) == (address,)


def test_a_local_endpoint_reaches_nothing_else() -> None:
    for address in ["10.21.0.1", "9.9.9.9", "fd13::1"]:
        with pytest.raises(AddressRefused):
            check_addresses("h", [address], OURS)
        with pytest.raises(AirGapClosed):
            check_addresses("h", [address], GAP_OURS)


def test_behind_the_air_gap_a_public_address_must_be_listed() -> None:
    assert check_addresses("h", ["9.9.9.9"], GAP_OUTSIDE) == ("9.9.9.9",)
    with pytest.raises(AirGapClosed):
        check_addresses("h", ["1.1.1.1"], GAP_OUTSIDE)


def test_one_bad_address_among_good_ones_refuses_all() -> None:
    with pytest.raises(AddressRefused):
        check_addresses("h", ["9.9.9.9", "127.0.0.1"], OUTSIDE)


def test_no_address_is_an_unknown_name() -> None:
    with pytest.raises(NameUnknown):
        check_addresses("h", [], OUTSIDE)


@given(st.ip_addresses())
def test_law_no_outside_connection_to_an_inside_address(address: object) -> None:
    """Whatever the reach, an allowed outside address is public, and closing the air gap only takes away."""
    text = str(address)
    try:
        check_addresses("h", [text], OUTSIDE)
        outside = True
    except BastideError:
        outside = False
    if outside:
        inside = getattr(ip_address(text), "sixtofour", None)  # newer Pythons: none is global by itself
        assert (inside or ip_address(text)).is_global
        assert not ip_address(text).is_multicast
    for open_reach, gap_reach in [(OURS, GAP_OURS), (OUTSIDE, GAP_OUTSIDE)]:
        try:
            check_addresses("h", [text], gap_reach)
        except BastideError:
            continue
        assert check_addresses("h", [text], open_reach)


@given(st.ip_addresses(v=4))
def test_law_an_ipv6_disguise_changes_nothing(address: IPv4Address) -> None:
    def verdict(text: str) -> bool:
        try:
            check_addresses("h", [text], OUTSIDE)
        except BastideError:
            return False
        return True

    plain = verdict(str(address))
    assert verdict(f"::ffff:{address}") == plain
    assert verdict(str(ip_address(int(ip_address("64:ff9b::")) + int(address)))) == plain


async def test_localhost_asks_nobody() -> None:
    assert await resolve("localhost", 1) == ("127.0.0.1", "::1")
    assert await resolve("model.localhost", 1) == ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 80 + ".invalid", "bad..name"])
async def test_a_name_that_nobody_knows(host: str) -> None:
    with pytest.raises(NameUnknown) as fault:
        await resolve(host, 443)
    assert fault.value.next_step


def test_name_servers_count_as_egress_behind_the_air_gap(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nnameserver 127.0.0.53\nnameserver 10.20.0.2\noptions edns0\nnameserver\n")
    check_name_servers("h", name_servers(file), GAP_OURS)
    file.write_text("nameserver 9.9.9.9\n")
    with pytest.raises(AirGapClosed):
        check_name_servers("h", name_servers(file), GAP_OURS)
    assert name_servers(tmp_path / "missing") == ()
