"""Calls of models from a network that lets nothing out but through its proxy: the whole way, receipts included."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.rooms.egress.conftest import Authority
from tests.rooms.egress.proxying import ConnectProxy, proxying
from tests.rooms.egress.socksing import socks

from bastide.audit import verify_file
from bastide.egress import Egress
from bastide.errors import NameUnknown
from bastide.inference import Inference, ModelRoute, ModelSpec
from bastide.policy import Policy
from bastide.settings import EgressSettings, InferenceSettings, PolicySettings, Settings
from bastide.store import Scope, new_id
from bastide.testing import Says, ScriptedModel

from .conftest import GOOD, Rooms, record
from .test_gateway import ASKED, add, call
from .test_inference import CONFIDENTIAL, KEY, question

HOST, PASSWORD = "api.good.example", "Only-2-know"


@dataclass(frozen=True)
class Closed:
    """A house in such a network, its proxy, and the provider's server outside."""

    rooms: Rooms
    proxy: ConnectProxy
    server: ScriptedModel


async def nobody_knows(host: str, port: int) -> Sequence[str]:
    """The resolver of a closed network."""
    raise NameUnknown(f"The host name {host} cannot be resolved.")


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


@pytest.fixture
def kind() -> Callable[..., AbstractAsyncContextManager[ConnectProxy]]:
    """The proxy of the network: one that takes CONNECT, unless a test says otherwise."""
    return proxying


@pytest.fixture
async def closed(
    rooms: Rooms,
    authority: Authority,
    tmp_path: Path,
    kind: Callable[..., AbstractAsyncContextManager[ConnectProxy]],
) -> AsyncIterator[Closed]:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "good.yaml").write_text(record("test/good", HOST, GOOD))
    policy = Policy(rooms.store, rooms.audit, PolicySettings(home=tmp_path))
    async with (
        ScriptedModel(Says("It ends in June."), tls=authority.server_context(HOST)) as server,
        kind({HOST: server.port}, credentials=f"bastide:{PASSWORD}") as proxy,
    ):
        settings = EgressSettings(
            ca_file=authority.ca_file, proxy=proxy.settings(credentials=f"bastide:{PASSWORD}"), connect_timeout_s=5.0
        )
        egress = Egress(settings, resolver=nobody_knows)
        inference = Inference(rooms.store, rooms.audit, policy, egress, InferenceSettings(home=tmp_path, timeout_s=30))
        for room in (policy, egress, inference):
            await room.start()
        yield Closed(replace(rooms, policy=policy, egress=egress, inference=inference), proxy, server)
        for room in (inference, egress, policy):
            await room.stop()


@pytest.mark.parametrize("kind", [proxying, socks])
async def test_a_provider_behind_the_proxy_answers_and_its_receipts_verify(
    closed: Closed, scope: Scope, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rooms, proxy = closed.rooms, closed.proxy
    await rooms.inference.add_model(scope, ModelSpec("good", provider="test/good", key=KEY))
    whole = await call(rooms, scope, {**ASKED, "model": "good"})
    streamed = await call(rooms, scope, {**ASKED, "model": "good", "stream": True})
    told = await rooms.inference.chat(scope, question(model="good"), label=CONFIDENTIAL)
    assert whole.json["choices"][0]["message"]["content"] == streamed.text == told.text == "It ends in June."
    assert streamed.events[-1] == "[DONE]"
    assert len(closed.server.chats) == 3
    assert set(proxy.asked) == {f"{HOST}:443"}
    wires = []
    for identity in (whole.headers["x-bastide-receipt"], streamed.headers["x-bastide-receipt"], told.receipt):
        wire = (await rooms.audit.receipt(scope, identity)).to_wire()
        file = tmp_path / "receipt.json"
        file.write_text(json.dumps(wire))
        assert verify_file(file, settings.home / "log.vkey").valid
        assert wire["tls"]["proxy"] == proxy.settings().place
        assert (wire["tls"]["ip"], wire["tls"]["port"]) == ("", 443)
        assert len(wire["tls"]["spki_sha256"]) == 64
        assert wire["assurance"] == "contractual"
        assert not verify_file(_without_proxy(file, wire), settings.home / "log.vkey").valid
        wires.append(json.dumps(wire))
    assert PASSWORD not in caplog.text + "".join(wires)
    assert PASSWORD not in "".join(map(repr, closed.server.asked))


def _without_proxy(file: Path, wire: dict[str, object]) -> Path:
    tls = wire["tls"]
    assert isinstance(tls, dict)
    file.write_text(json.dumps({**wire, "tls": {name: value for name, value in tls.items() if name != "proxy"}}))
    return file


async def test_a_neighbour_reaches_nobody_through_it(closed: Closed, scope: Scope) -> None:
    await closed.rooms.inference.add_model(scope, ModelSpec("good", provider="test/good", key=KEY))
    before = len(closed.proxy.heads)
    theirs = Scope(new_id("ten"), None, None, frozenset(), scope.permissions, key=new_id("key"))
    assert (await call(closed.rooms, theirs, {**ASKED, "model": "good"})).status == 404
    assert len(closed.proxy.heads) == before
    assert not closed.server.chats


async def test_what_the_proxy_says_instead_of_yes_is_told_and_another_target_answers(
    closed: Closed, scope: Scope
) -> None:
    async with ScriptedModel("From here.") as ours:
        await _routed(closed, scope, ours)
        before = len(closed.proxy.heads)
        closed.proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        both = await call(closed.rooms, scope, {**ASKED, "model": "writer", "stream": True})
        assert (both.status, both.text) == (200, "From here.")
        assert len(closed.proxy.heads) == before + 1, "the first of the route was asked for"
        for answer, code in (
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "egress.proxy_refused"),
            (b"HTTP/1.1 407 Who?\r\n\r\n", "egress.proxy_unauthorised"),
            (b"HTTP/1.1 503 Busy\r\n\r\n", "egress.unreachable"),
            (b"220 mail.example ESMTP\r\n", "egress.proxy_garbled"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000, "egress.proxy_garbled"),
        ):
            closed.proxy.answer = answer
            alone = await call(closed.rooms, scope, {**ASKED, "model": "good"})
            assert (alone.status, alone.json["error"]["code"]) == (502, code)
            assert "proxy" in str(alone.json["error"]).lower()
            assert PASSWORD not in str(alone.json)
    assert not closed.server.chats


@pytest.mark.parametrize("how", ["cuts", "away", pytest.param("stalls", marks=pytest.mark.slow)])
async def test_where_the_proxy_is_silent_another_target_answers(closed: Closed, scope: Scope, how: str) -> None:
    async with ScriptedModel("From here.") as ours:
        await _routed(closed, scope, ours)
        if how == "away":
            closed.proxy.close()
        else:
            setattr(closed.proxy, how, True)
        both = await call(closed.rooms, scope, {**ASKED, "model": "writer"})
    assert both.json["choices"][0]["message"]["content"] == "From here."
    assert not closed.server.chats


async def _routed(closed: Closed, scope: Scope, ours: ScriptedModel) -> None:
    """A provider outside, and our own model where that fails; no call is connected yet."""
    await closed.rooms.inference.add_model(scope, ModelSpec("good", provider="test/good", key=KEY, upstream="scripted"))
    await add(closed.rooms, scope, ours)
    await closed.rooms.inference.routes.add(scope, ModelRoute("writer", ("good", "ours")))
