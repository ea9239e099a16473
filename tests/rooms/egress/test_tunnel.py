"""The way out through a proxy, for both clients, against a real proxy and real TLS servers on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from bastide.egress import Egress, Patience, TlsEvidence
from bastide.egress.tunnel import Answer
from bastide.errors import (
    AddressRefused,
    BadSetting,
    BastideError,
    NameUnknown,
    PermitRefused,
    PinMismatch,
    ProxyGarbled,
    ProxyRefused,
    ProxyUnauthorised,
    ProxyUnreachable,
    TlsRefused,
    Unreachable,
)
from bastide.settings import EgressSettings, ProxySettings, Settings

from .conftest import Authority, always, http, serving
from .proxying import ConnectProxy, proxying
from .socksing import socks
from .test_egress import get, local, names, outside
from .test_lines import SURE, asked

HOST = "api.example.com"
SECRET = "Käse@2031"
_SAID = (
    *(b"HTTP/1.1 %d Said\r\n" % status for status in (100, 101, 200, 302, 401, 403, 407, 500, 999)),
    *(b"HTTP/1.", b"HTTP/2 200\r\n", b"Server: x\r\n", b"\r\n", b"\r\n\r\n", b"X: " + b"a" * 20_000),
)


@dataclass(frozen=True)
class Got:
    """What came of one exchange, whichever client made it."""

    status: int
    body: bytes
    tls: TlsEvidence | None


async def by_client(egress: Egress, decision: Any, patience: Patience = SURE) -> Got:
    """Over the client that takes whole replies."""
    reply = await get(egress, decision)
    return Got(reply.status, reply.body, reply.tls)


async def by_line(egress: Egress, decision: Any, patience: Patience = SURE) -> Got:
    """Over the fast way."""
    heard = await asked(egress, decision, patience)
    if heard.fault is not None:
        raise heard.fault
    return Got(heard.status, heard.body, heard.evidence)


Asks = Callable[..., Awaitable[Got]]
Begins = Callable[..., AbstractAsyncContextManager[ConnectProxy]]
both = pytest.mark.parametrize("ask", [by_client, by_line])
of_each_kind = pytest.mark.parametrize("begin", [proxying, socks])


async def nobody_knows(host: str, port: int) -> Any:
    """The resolver of a closed network."""
    raise NameUnknown(f"The host name {host} cannot be resolved.")


def behind(
    proxy: ConnectProxy,
    authority: Authority | None = None,
    *,
    resolver: Any = nobody_knows,
    connect_s: float = 30.0,
    **more: Any,
) -> Egress:
    """A way out through this proxy."""
    settings = EgressSettings(
        ca_file=authority.ca_file if authority else None, proxy=proxy.settings(**more), connect_timeout_s=connect_s
    )
    return Egress(settings, resolver=resolver)


# -- through it -------------------------------------------------------------------------------------


@both
async def test_an_outside_host_is_reached_through_the_proxy_by_its_name(ask: Asks, authority: Authority) -> None:
    """Nothing here can resolve the name, and the certificate is of an authority of our own."""
    async with (
        serving(always(http("200 OK", b"{}")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        got = await ask(egress, outside())
        for _ in range(4):
            assert (await ask(egress, outside())).status == 200
        await egress.stop()
    assert (got.status, got.body) == (200, b"{}")
    assert proxy.asked == [f"{HOST}:443"], "the connection is kept"
    assert "authorization" not in proxy.heads[0].lower()
    assert got.tls is not None
    assert (got.tls.ip, got.tls.port, got.tls.proxy) == ("", 443, f"127.0.0.1:{proxy.port}")
    assert got.tls.issuer == "CN=Test authority"
    assert len(got.tls.spki_sha256) == 64
    assert got.tls.to_wire()["proxy"] == f"127.0.0.1:{proxy.port}"


@both
@of_each_kind
async def test_many_at_once_and_large_bodies_come_whole(ask: Asks, begin: Begins, authority: Authority) -> None:
    body = bytes(range(256)) * 4096
    async with (
        serving(always(http("200 OK", body)), tls=authority.server_context(HOST)) as server,
        begin({HOST: server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        many = await asyncio.gather(*(ask(egress, outside()) for _ in range(12)))
        await egress.stop()
    assert all(one.body == body for one in many)
    assert 1 <= proxy.joined <= 12


@both
async def test_the_proxy_is_told_who_we_are_and_nobody_else_is(
    ask: Asks, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(always(http("200 OK", b"{}")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}, credentials=f"bastide:{SECRET}") as proxy,
    ):
        right = behind(proxy, authority, credentials=f"bastide:{SECRET}")
        got = await ask(right, outside())
        assert got.status == 200
        assert await right.ask_proxy() == f"127.0.0.1:{proxy.port}"
        faults = []
        for given in (None, "bastide:wrong-word"):
            wrong = behind(proxy, authority, credentials=given)
            for refused in (ask(wrong, outside()), wrong.ask_proxy()):
                with pytest.raises(ProxyUnauthorised) as fault:
                    await refused
                faults.append(fault.value)
            await wrong.stop()
        await right.stop()
    assert b"proxy-authorization" not in b"".join(server.seen).lower()
    told = [caplog.text, repr(right), repr(proxy.settings(credentials=f"bastide:{SECRET}")), repr(got.tls)]
    told += [str(one.to_wire()) + repr(one) for one in faults]
    encoded = next(line for line in proxy.heads[0].splitlines() if "Basic" in line).rpartition(" ")[2]
    for word in (SECRET, "wrong-word", encoded):
        assert not [text for text in told if word in text]
    assert all("BASTIDE_PROXY" in one.next_step for one in faults)


@both
async def test_a_proxy_that_is_itself_under_tls(ask: Asks, authority: Authority) -> None:
    async with (
        serving(always(http("200 OK", b"{}")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}, tls=authority.server_context("127.0.0.1")) as proxy,
    ):
        egress = behind(proxy, authority, tls=True)
        got = await ask(egress, outside())
        assert await egress.ask_proxy() is not None
        await egress.stop()
        strange = behind(proxy, None, tls=True)  # nobody told this house about the authority
        with pytest.raises(ProxyUnreachable, match="certificate is not accepted"):
            await ask(strange, outside())
        with pytest.raises(ProxyUnreachable, match="certificate is not accepted"):
            await strange.ask_proxy()
    assert got.tls is not None
    assert got.tls.proxy


def test_it_is_the_same_in_the_loop_that_serves(authority: Authority) -> None:
    """A worker runs in another event loop than these tests, with TLS of its own."""

    async def all_of_it() -> None:
        for tls in (None, authority.server_context("127.0.0.1")):
            async with (
                serving(always(http("200 OK", b"x" * 300_000)), tls=authority.server_context(HOST)) as server,
                proxying({HOST: server.port}, tls=tls) as proxy,
            ):
                for ask in (by_client, by_line):
                    egress = behind(proxy, authority, tls=tls is not None)
                    assert len((await ask(egress, outside())).body) == 300_000
                    assert (await ask(egress, outside())).status == 200
                    await egress.stop()
                strange = behind(proxy, None, tls=False) if tls is None else behind(proxy, authority)
                with pytest.raises(TlsRefused if tls is None else ProxyUnreachable):
                    await by_line(strange, outside())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_it())


# -- the law ----------------------------------------------------------------------------------------


@both
@of_each_kind
async def test_who_answers_behind_the_proxy_must_be_whom_the_permit_names(
    ask: Asks, begin: Begins, authority: Authority
) -> None:
    """A proxy that joins us with somebody else gets not one byte of the request."""
    async with (
        serving(always(http("200 OK")), tls=authority.server_context("api.other.example")) as other,
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        begin({HOST: other.port, "late.example": server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        with pytest.raises(TlsRefused, match=HOST):
            await ask(egress, outside())
        with pytest.raises(TlsRefused, match="late\\.example"):
            await ask(egress, outside("late.example"))
        unaware = behind(proxy)
        with pytest.raises(TlsRefused) as refused:
            await ask(unaware, outside("late.example"))
        assert "BASTIDE_CA_FILE" in refused.value.next_step
        await egress.stop()
    assert other.seen == server.seen == []


async def test_a_pin_holds_behind_a_proxy(authority: Authority) -> None:
    async with (
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        async with egress.open(egress.permit(outside(), pins=["0" * 64])) as client:
            with pytest.raises(PinMismatch):
                await client.request("POST", "/", json={"secret": 1})
        await egress.stop()
    assert server.seen == []


@both
@of_each_kind
@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (HOST, ("10.0.0.7",)),
        (HOST, ("9.9.9.9", "127.0.0.1")),
        (HOST, ("169.254.169.254",)),
        ("10.0.0.7", None),
        ("169.254.169.254", None),
        ("[::1]", None),
        ("localhost", None),
        ("vault.internal", None),
        ("printer.local", None),
        ("intranet", None),
    ],
)
async def test_what_may_not_be_reached_is_not_asked_for_either(
    ask: Asks, begin: Begins, host: str, addresses: tuple[str, ...] | None, authority: Authority
) -> None:
    async with begin({host.strip("[]"): 1}) as proxy:
        egress = behind(proxy, authority, resolver=names(*addresses) if addresses else nobody_knows)
        with pytest.raises(AddressRefused):
            await ask(egress, outside(host))
        await egress.stop()
    assert proxy.met == 0


@both
async def test_a_name_that_resolves_to_the_outside_is_still_left_to_the_proxy(ask: Asks, authority: Authority) -> None:
    async with (
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}) as proxy,
    ):
        egress = behind(proxy, authority, resolver=names("9.9.9.9"))
        got = await ask(egress, outside())
        await egress.stop()
    assert (proxy.asked, got.tls and got.tls.ip) == ([f"{HOST}:443"], "")


async def test_name_servers_that_never_answer_hold_up_one_connection_only(authority: Authority) -> None:
    looked: list[str] = []

    async def silent(host: str, port: int) -> Any:
        looked.append(host)
        await asyncio.Event().wait()

    async with (
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}) as proxy,
    ):
        for ask in (by_client, by_line):
            egress = behind(proxy, authority, resolver=silent)
            assert (await ask(egress, outside())).status == 200
            many = await asyncio.gather(*(by_line(egress, outside()) for _ in range(3)))
            assert [one.status for one in many] == [200] * 3
            await egress.stop()
    assert looked == [HOST, HOST], "once for each of the two houses"
    assert proxy.joined > 2


async def test_a_permit_is_needed_and_opens_one_host_only(authority: Authority) -> None:
    async with proxying({HOST: 1}) as proxy:
        ours, theirs = behind(proxy, authority), behind(proxy, authority)
        stolen = theirs.permit(outside())
        with pytest.raises(PermitRefused):
            ours.line(stolen)
        with pytest.raises(PermitRefused):
            async with ours.open(replace(ours.permit(outside()), host="elsewhere.example")):
                pass
        with pytest.raises(PermitRefused):
            ours.permit(replace(outside(), allowed=False))
        with pytest.raises(PermitRefused):
            ours.permit(outside(scheme="http"))
    assert proxy.heads == []


@both
async def test_our_own_machines_are_reached_directly(ask: Asks) -> None:
    async with serving(always(http("200 OK"))) as server, proxying({"127.0.0.1": server.port}) as proxy:
        egress = behind(proxy, resolver=names("127.0.0.1"))
        for host in ("127.0.0.1", "localhost", "gpu.example"):
            got = await ask(egress, local(server.port, host=host))
            assert got.tls is not None
            assert (got.tls.ip, got.tls.proxy) == ("127.0.0.1", "")
            assert "proxy" not in got.tls.to_wire()
        await egress.stop()
    assert proxy.heads == []


@pytest.mark.parametrize(
    ("direct", "host", "addresses", "through"),
    [
        ({"direct_names": (HOST,)}, HOST, ("9.9.9.9",), False),
        ({"direct_names": (".example.com",)}, HOST, ("9.9.9.9",), False),
        ({"direct_names": ("example.com",)}, HOST, ("9.9.9.9",), True),
        ({"direct_names": (".example.com",)}, "badexample.com", ("9.9.9.9",), True),
        ({"direct_networks": ("9.9.0.0/16",)}, HOST, ("9.9.9.9", "9.9.1.1"), False),
        ({"direct_networks": ("9.9.0.0/16",)}, HOST, ("9.9.9.9", "8.8.8.8"), True),
        ({"direct_networks": ("9.9.0.0/16",)}, HOST, None, True),
        ({"direct_networks": ("9.9.0.0/16",)}, "9.9.9.9", None, False),
    ],
)
@both
async def test_what_is_left_out_goes_directly(
    ask: Asks, direct: Any, host: str, addresses: Any, through: bool, authority: Authority
) -> None:
    """And is checked as ever: nothing listens at the address, so that going there is a fault of that host."""
    told = Settings.read(
        Path("/nowhere"),
        environment={
            "BASTIDE_PROXY": "http://127.0.0.1:1",
            "BASTIDE_NO_PROXY": ",".join([*direct.get("direct_names", ()), *direct.get("direct_networks", ())]),
        },
    )
    tried: list[str] = []

    async def connect(protocol: Any, address: str, port: int, **more: Any) -> Any:
        tried.append(address)
        raise ConnectionRefusedError

    class Dial:
        async def connect_tcp(self, address: str, port: int, **more: Any) -> Any:
            tried.append(address)
            raise ConnectionRefusedError

    resolver = names(*addresses) if addresses else nobody_knows
    egress = Egress(told.egress, resolver=resolver, connect=connect, dial=Dial())  # type: ignore[arg-type]
    with pytest.raises((ProxyUnreachable, Unreachable, OSError)):
        await ask(egress, outside(host))
    await egress.stop()
    assert tried[0] == ("127.0.0.1" if through else (addresses or (host,))[0])


# -- what fails -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("answer", "fault", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", ProxyRefused, "answers 403"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", ProxyRefused, "answers 302"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ProxyRefused, "answers 101"),
        (b"HTTP/1.0 503 Busy\r\n\r\n", Unreachable, "does not reach api.example.com: it answers 503"),
        (b"HTTP/1.1 407 Who?\r\n\r\n", ProxyUnauthorised, "name and a password"),
        (b"HTTP/1.0 401 Unauthorized\r\n\r\n", ProxyUnauthorised, "name and a password"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProxyGarbled, "not answer in HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x28", ProxyGarbled, "not answer in HTTP"),
        (b"HTTP/1.1 yes\r\n\r\n", ProxyGarbled, "not answer in HTTP"),
        (b"HTTP/2 200\r\n\r\n", ProxyGarbled, "not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nand more", ProxyGarbled, "goes on speaking"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000, ProxyGarbled, "has no end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", ProxyGarbled, "has no end"),
        (b"HTTP/1.1 200", ProxyUnreachable, "does not answer"),
        (b"\r\n", ProxyGarbled, "not answer in HTTP"),
    ],
)
async def test_a_proxy_that_does_not_say_yes_is_a_clear_fault(
    ask: Asks, answer: bytes, fault: type[BastideError], said: str
) -> None:
    async with proxying(answer=answer) as proxy:
        egress = behind(proxy)
        with pytest.raises(fault, match=said) as told:
            await ask(egress, outside())
        await egress.stop()
    assert type(told.value) is fault
    assert f"127.0.0.1:{proxy.port}" in told.value.message
    assert told.value.status == 502


@given(st.lists(st.one_of(st.sampled_from(_SAID), st.binary(max_size=9)), max_size=4).map(b"".join), st.data())
def test_law_however_an_answer_is_cut_it_means_the_same(said: bytes, data: st.DataObject) -> None:
    """And whatever is said, it is a yes, nothing yet, or an error of ours."""
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=6).map(sorted))
    pieces = [said[a:b] for a, b in pairwise([0, *cuts, len(said)])]
    whole, cut = _meant([said]), _meant(pieces)
    assert whole in {None, 200, ProxyGarbled, ProxyRefused, ProxyUnauthorised, Unreachable}
    assert whole == cut or (whole is ProxyGarbled and cut == 200), "what follows a yes is refused by whoever reads on"


def _meant(pieces: list[bytes]) -> int | type[BastideError] | None:
    answer = Answer("proxy.example:3128", HOST)
    try:
        for piece in pieces:
            answer.feed(piece)
            if answer.status is not None:
                break
    except BastideError as fault:
        return type(fault)
    return answer.status


@both
async def test_what_a_proxy_says_in_passing_is_passed_over(ask: Asks, authority: Authority) -> None:
    async with (
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        proxying({HOST: server.port}) as proxy,
    ):
        proxy.before = b"HTTP/1.1 100 Continue\r\n\r\n" * 2000
        egress = behind(proxy, authority)
        assert (await ask(egress, outside())).status == 200
        await egress.stop()


@both
@of_each_kind
async def test_a_proxy_that_is_away_stalls_or_closes(ask: Asks, begin: Begins) -> None:
    async with begin({HOST: 1}) as proxy:
        pass
    gone = behind(proxy)
    with pytest.raises(ProxyUnreachable, match="does not answer"):
        await ask(gone, outside())
    with pytest.raises(ProxyUnreachable):
        await gone.ask_proxy()
    async with begin({HOST: 1}, stalls=True) as proxy:
        egress = behind(proxy, connect_s=0.3)
        with pytest.raises(ProxyUnreachable, match="does not answer"):
            await ask(egress, outside(), replace(SURE, connect_s=0.3))
        with pytest.raises(ProxyUnreachable):
            await egress.ask_proxy()
    async with begin({HOST: 1}, cuts=True) as proxy:
        egress = behind(proxy)
        with pytest.raises((Unreachable, TlsRefused), match=HOST) as fault:  # it had said yes: the host is missing
            await ask(egress, outside())
        assert not isinstance(fault.value, ProxyUnreachable)
    nameless = Egress(EgressSettings(proxy=ProxySettings("proxy.example", 3128)), resolver=nobody_knows)
    with pytest.raises(ProxyUnreachable, match=r"proxy\.example:3128 cannot be resolved"):
        await ask(nameless, outside())
    never = Egress(EgressSettings(proxy=ProxySettings("169.254.169.254", 3128)), resolver=nobody_knows)
    with pytest.raises(AddressRefused):
        await ask(never, outside())


async def test_without_a_proxy_nobody_is_asked() -> None:
    assert await Egress(EgressSettings()).ask_proxy() is None


# -- settings ---------------------------------------------------------------------------------------


def read(**environment: str) -> EgressSettings:
    return Settings.read(Path("/nowhere"), environment=environment).egress


def test_a_proxy_is_set_by_its_address() -> None:
    assert read().proxy is None
    assert read(HTTPS_PROXY="http://p:1", https_proxy="http://p:1", ALL_PROXY="http://p:1").proxy is None
    found = read(
        BASTIDE_PROXY="http://us%65r:p%40ss%3Aw%2F@Proxy.Example:3128/",
        BASTIDE_NO_PROXY=" api.one.example , .two.example,*.three.example, 10.0.0.0/8 , 192.0.2.7, 2001:db8::/32, ",
    ).proxy
    assert found is not None
    assert (found.host, found.port, found.tls, found.credentials) == ("proxy.example", 3128, False, "user:p@ss:w/")
    assert found.direct_names == ("api.one.example", ".two.example", ".three.example")
    assert [str(one) for one in found.direct_networks] == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    six = read(BASTIDE_PROXY="https://[2001:db8::1]:443").proxy
    assert six is not None
    assert (six.host, six.port, six.tls, six.credentials, six.place) == (
        "2001:db8::1",
        443,
        True,
        None,
        "[2001:db8::1]:443",
    )


def test_a_proxy_is_set_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    file.write_text("http://user:secret@proxy.example:3128\n", encoding="utf-8")
    found = read(BASTIDE_PROXY_FILE=str(file)).proxy
    assert found is not None
    assert found.credentials == "user:secret"
    for wrong in (
        {"BASTIDE_PROXY_FILE": str(tmp_path / "nothing")},
        {"BASTIDE_PROXY_FILE": str(file), "BASTIDE_PROXY": "http://proxy.example:3128"},
    ):
        with pytest.raises(BadSetting, match="BASTIDE_PROXY_FILE"):
            read(**wrong)
    file.write_text("", encoding="utf-8")
    with pytest.raises(BadSetting, match="BASTIDE_PROXY"):
        read(BASTIDE_PROXY_FILE=str(file))


@pytest.mark.parametrize(
    "address",
    [
        "proxy.example:3128",
        "http://proxy.example",
        "http://proxy.example:0",
        "http://user:hunter2@:3128",
        "http://user:hunter2@proxy.example:99999",
        "http://user:hunter/2@proxy.example:3128",
        "http://user:hunter2@proxy.example:3128/path",
        "http://user:hunter2@proxy.example:3128?x",
        "http://user:hunter 2@proxy.example:3128",
        "http://user:hunter2%0d%0aX:y@proxy.example:3128",
        "http://us%3Aer:hunter2@proxy.example:3128",
        "http://user:hunter2@pro xy.example:3128",
        "http://user:hunter2@[::zz]:3128",
        "socks5://user:hunter2@proxy.example:1080",
        "http://user:hunter2@proxy.example:\n3128",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(BadSetting, match="BASTIDE_PROXY") as refused:
        read(BASTIDE_PROXY=address)
    told = f"{refused.value} {refused.value.to_wire()} {refused.value.__cause__!r}"
    assert "hunter" not in told
    assert "user:" not in told.replace("user:password", "")


@pytest.mark.parametrize(
    "left_out", ["*", "host:443", "10.0.0.0/33", "10.0.0.256", "10.0.0.1/8", "a b", "https://x", "."]
)
def test_what_cannot_be_left_out_is_refused(left_out: str) -> None:
    with pytest.raises(BadSetting, match="BASTIDE_NO_PROXY"):
        read(BASTIDE_PROXY="http://p.example:1", BASTIDE_NO_PROXY=left_out)


def test_a_proxy_is_a_way_through_the_air_gap_and_refused() -> None:
    with pytest.raises(BadSetting, match="air gap"):
        read(BASTIDE_PROXY="http://127.0.0.1:3128", BASTIDE_AIR_GAP="yes")
    with pytest.raises(BadSetting, match="air gap"):
        Settings.read(Path("/nowhere"), environment={"BASTIDE_PROXY": "http://127.0.0.1:3128"}, air_gap=True)
    with pytest.raises(BadSetting, match="air gap"):
        EgressSettings(air_gap=True, proxy=ProxySettings("127.0.0.1", 3128))
