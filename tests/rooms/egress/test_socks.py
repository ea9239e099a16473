"""The way out through a SOCKS 5 proxy, for both clients, against a real one and real TLS servers on loopback.

What holds for proxies of each kind stands in `test_tunnel`.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from bastide.egress.socks import Conversation
from bastide.errors import (
    BadSetting,
    BastideError,
    ProxyGarbled,
    ProxyRefused,
    ProxyUnauthorised,
    ProxyUnreachable,
    TlsRefused,
    Unreachable,
)

from .conftest import Authority, always, http, serving
from .socksing import socks
from .test_egress import outside
from .test_tunnel import HOST, SECRET, Asks, behind, both, by_client, by_line, read

SIX = "2606:4700::1111"


@both
async def test_an_outside_host_is_reached_through_the_proxy_which_resolves_its_name(
    ask: Asks, authority: Authority
) -> None:
    body = bytes(range(256)) * 4096
    async with (
        serving(always(http("200 OK", body)), tls=authority.server_context(HOST)) as server,
        socks({HOST: server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        got = await ask(egress, outside())
        assert (await ask(egress, outside())).status == 200
        assert proxy.targets == [(3, HOST, 443)], "by its name, and the connection is kept"
        many = await asyncio.gather(*(ask(egress, outside()) for _ in range(8)))
        assert await egress.ask_proxy() == f"127.0.0.1:{proxy.port}"
        await egress.stop()
    assert {(one.status, one.body) for one in (got, *many)} == {(200, body)}
    assert set(proxy.openings) == {b"\0"}, "nobody is told of a name that there is none of"
    assert got.tls is not None
    assert (got.tls.ip, got.tls.proxy) == ("", f"127.0.0.1:{proxy.port}")
    assert got.tls.to_wire()["proxy"] == f"127.0.0.1:{proxy.port}"


@both
@pytest.mark.parametrize(("host", "kind"), [("9.9.9.9", 1), (SIX, 4)])
async def test_an_address_is_asked_for_as_one(ask: Asks, host: str, kind: int, authority: Authority) -> None:
    async with (
        serving(always(http("200 OK")), tls=authority.server_context(HOST)) as server,
        socks({host: server.port}) as proxy,
    ):
        egress = behind(proxy, authority)
        with pytest.raises(TlsRefused):  # its certificate is for a name
            await ask(egress, outside(f"[{host}]" if ":" in host else host))
        await egress.stop()
    assert proxy.targets == [(kind, host, 443)]
    assert server.seen == []


@both
async def test_the_proxy_is_told_who_we_are_and_nobody_else_is(
    ask: Asks, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(always(http("200 OK", b"{}")), tls=authority.server_context(HOST)) as server,
        socks({HOST: server.port}, credentials=f"bastide:{SECRET}") as proxy,
    ):
        right = behind(proxy, authority, credentials=f"bastide:{SECRET}")
        assert (await ask(right, outside())).status == 200
        assert await right.ask_proxy() == f"127.0.0.1:{proxy.port}"
        assert set(proxy.known) == {(b"bastide", SECRET.encode())}
        faults = []
        for given in (None, "bastide:wrong-word"):
            wrong = behind(proxy, authority, credentials=given)
            for refused in (ask(wrong, outside()), wrong.ask_proxy()):
                with pytest.raises(ProxyUnauthorised) as fault:
                    await refused
                faults.append(fault.value)
            await wrong.stop()
        await right.stop()
    told = [caplog.text, repr(right), *(str(one.to_wire()) + repr(one) for one in faults)]
    for word in (SECRET, "wrong-word"):
        assert not [text for text in told if word in text]


def test_it_is_the_same_in_the_loop_that_serves(authority: Authority) -> None:
    async def all_of_it() -> None:
        async with (
            serving(always(http("200 OK", b"x" * 300_000)), tls=authority.server_context(HOST)) as server,
            socks({HOST: server.port}, credentials="a:b") as proxy,
        ):
            for ask in (by_client, by_line):
                egress = behind(proxy, authority, credentials="a:b")
                assert len((await ask(egress, outside())).body) == 300_000
                await egress.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_it())


# -- what fails -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("reply", "fault", "said"),
    [
        (1, Unreachable, "does not reach api.example.com: it fails"),
        (2, ProxyRefused, "does not let api.example.com through: its rules"),
        (3, Unreachable, "network"),
        (4, Unreachable, "host cannot be reached"),
        (5, Unreachable, "refuses the connection"),
        (6, Unreachable, "time is up"),
        (7, ProxyRefused, "makes no connections"),
        (8, ProxyRefused, "no addresses of this kind"),
        (9, Unreachable, "no reason that is known"),
        (255, Unreachable, "255"),
    ],
)
async def test_each_no_of_the_proxy_is_a_clear_fault(
    ask: Asks, reply: int, fault: type[BastideError], said: str
) -> None:
    async with socks({HOST: 1}, reply=reply) as proxy:
        egress = behind(proxy)
        with pytest.raises(fault, match=said) as told:
            await ask(egress, outside())
        assert await egress.ask_proxy() == f"127.0.0.1:{proxy.port}", "it is there"
        await egress.stop()
    assert type(told.value) is fault
    assert f"127.0.0.1:{proxy.port}" in told.value.message
    assert told.value.status == 502


@both
@pytest.mark.parametrize(
    ("more", "fault", "said"),
    [
        ({"answer": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, ProxyGarbled, "not answer in SOCKS 5"),
        ({"answer": b"\4\x5a" + bytes(6)}, ProxyGarbled, "not answer in SOCKS 5"),
        ({"answer": b"\5\1"}, ProxyGarbled, "was not offered"),
        ({"answer": b"\5\2"}, ProxyUnauthorised, "name and a password"),
        ({"answer": b"\5\xff"}, ProxyUnauthorised, "name and a password"),
        ({"answer": b"\5"}, ProxyUnreachable, "does not answer"),
        ({"answer": b""}, ProxyUnreachable, "does not answer"),
        ({"answer": b"\5\0\6\0"}, ProxyGarbled, "not answer in SOCKS 5"),
        ({"answer": b"\5\0\5\0\0\2xxxxxxx"}, ProxyGarbled, "not answer in SOCKS 5"),
        ({"answer": b"\5\0\5\0\0\1\0\0\0\0\0\0and more"}, ProxyGarbled, "goes on speaking"),
    ],
)
async def test_what_is_no_such_proxy_is_a_clear_fault(
    ask: Asks, more: dict[str, Any], fault: type[BastideError], said: str
) -> None:
    async with socks({HOST: 1}, **more) as proxy:
        egress = behind(proxy)
        with pytest.raises(fault, match=said) as told:
            await ask(egress, outside())
        await egress.stop()
    assert type(told.value) is fault


@both
@pytest.mark.parametrize("bound", [b"\1" + bytes(6), b"\4" + bytes(18), b"\3\0\0\0", b"\3\xff" + b"a" * 257])
async def test_whatever_it_says_to_lead_from_is_heard_to_its_end(ask: Asks, bound: bytes, authority: Authority) -> None:
    async with (
        serving(always(http("200 OK", b"{}")), tls=authority.server_context(HOST)) as server,
        socks({HOST: server.port}, bound=bound) as proxy,
    ):
        egress = behind(proxy, authority)
        assert (await ask(egress, outside())).status == 200
        await egress.stop()


_SAID = (
    b"\5\0",
    b"\5\2",
    b"\5\xff",
    b"\1\0",
    b"\1\1",
    b"\5\0\0\1" + bytes(6),
    b"\5\0\0\3\2ab\0\0",
    b"\5\4",
    b"\4",
    b"x",
)


@given(
    st.lists(st.one_of(st.sampled_from(_SAID), st.binary(max_size=9)), max_size=5).map(b"".join),
    st.sampled_from([None, "name:word"]),
    st.data(),
)
def test_law_however_an_answer_is_cut_it_means_the_same(said: bytes, known: str | None, data: st.DataObject) -> None:
    """And whatever is said, it is a yes, nothing yet, or an error of ours."""
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=6).map(sorted))
    whole, cut = _meant([said], known), _meant([said[a:b] for a, b in pairwise([0, *cuts, len(said)])], known)
    assert whole in {None, 0, ProxyGarbled, ProxyRefused, ProxyUnauthorised, Unreachable}
    assert whole == cut or (whole is ProxyGarbled and cut == 0), "what follows a yes is refused by whoever reads on"


def _meant(pieces: list[bytes], known: str | None) -> int | type[BastideError] | None:
    conversation = Conversation("proxy.example:1080", (HOST, 443), known, meant=HOST)
    try:
        for piece in pieces:
            conversation.feed(piece)
            if conversation.status is not None:
                break
    except BastideError as fault:
        return type(fault)
    return conversation.status


# -- settings ---------------------------------------------------------------------------------------


def test_such_a_proxy_is_set_by_its_address() -> None:
    found = read(BASTIDE_PROXY="socks5h://us%65r:p%40ss%3Aw@Proxy.Example:1080").proxy
    assert found is not None
    assert (found.host, found.port, found.tls, found.socks) == ("proxy.example", 1080, False, True)
    assert found.credentials == "user:p@ss:w"
    plain = read(BASTIDE_PROXY="http://proxy.example:3128").proxy
    assert plain is not None
    assert not plain.socks


@pytest.mark.parametrize(
    "address",
    [
        "socks5://proxy.example:1080",
        "socks4a://proxy.example:1080",
        "socks5h://proxy.example",
        "socks5h://user@proxy.example:1080",
        "socks5h://:hunter2@proxy.example:1080",
        f"socks5h://user:{'hunter2' * 40}@proxy.example:1080",
        f"socks5h://{'ü' * 128}:hunter2@proxy.example:1080",
    ],
)
def test_an_address_of_no_such_proxy_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(BadSetting, match="BASTIDE_PROXY") as refused:
        read(BASTIDE_PROXY=address)
    assert "hunter" not in f"{refused.value} {refused.value.to_wire()} {refused.value.__cause__!r}"


def test_it_is_a_way_through_the_air_gap_and_refused() -> None:
    with pytest.raises(BadSetting, match="air gap"):
        read(BASTIDE_PROXY="socks5h://127.0.0.1:1080", BASTIDE_AIR_GAP="yes")
