"""What a provider's own batches are to the law: another record, another act, another price, and no way round them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.rooms.egress.conftest import Authority

from bastide.errors import BadModel, NoPermittedModel
from bastide.inference import ModelSpec
from bastide.inference.gateway import Destined, Refused
from bastide.policy import Label
from bastide.store import Scope, new_id

from .batch_provider import BatchProvider
from .conftest import Rooms

HOST = "api.batch.example"
PLAIN = Label(cls="public", personal="none")


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


def spec(**more: Any) -> ModelSpec:
    given: dict[str, Any] = {"name": "nightly", "kind": "openai-batch", "key": "sk-1", "upstream": "scripted"}
    return ModelSpec(**{**given, "provider": "test/batch", **more})


def body(text: str = "x", **more: Any) -> bytes:
    return json.dumps({"model": "nightly", "messages": [{"role": "user", "content": text}], **more}).encode()


async def destined(rooms: Rooms, scope: Scope, label: Label, data: bytes) -> Any:
    view = await rooms.inference.gateway.fetch(scope)
    return rooms.inference.gateway.by_file.destined(scope, label, "chat", data, view)


async def test_a_record_that_keeps_nothing_does_not_describe_a_file_store(rooms: Rooms, scope: Scope) -> None:
    with pytest.raises(BadModel, match="nothing is kept"):
        await rooms.inference.add_model(scope, spec(provider="test/good"))
    with pytest.raises(BadModel, match="pseudonyms"):
        await rooms.inference.add_model(scope, spec(pseudonymise=True))
    with pytest.raises(BadModel, match="cannot be asked for chat"):
        await rooms.inference.add_model(scope, spec(capabilities=("chat",)))
    made = await rooms.inference.add_model(scope, spec())
    assert made.capabilities == ("batch.chat",)
    shipped = rooms.policy.record("ovhcloud/ai-endpoints/gra/batch")
    assert shipped.attributes["retention_days"].value > 0


async def test_what_nobody_may_keep_goes_to_calls_and_not_to_batches(
    rooms: Rooms, scope: Scope, neighbour: Scope
) -> None:
    """R08, by what lies there: the same provider's calls keep nothing, its batches do."""
    await rooms.inference.add_model(scope, spec())
    special = Label(cls="internal", personal="special")
    assert isinstance(await destined(rooms, scope, PLAIN, body()), Destined)
    refused = await destined(rooms, scope, special, body())
    assert isinstance(refused, Refused)
    view = await rooms.inference.gateway.fetch(scope)
    with pytest.raises(NoPermittedModel) as told:
        await rooms.inference.gateway.by_file.refuse(scope, view, "chat", refused)
    assert "R08" in json.dumps(told.value.facts["rejected"])
    assert await destined(rooms, neighbour, PLAIN, body()) is None, "of another tenant nobody hears"


async def test_what_is_found_in_a_line_is_its_label(rooms: Rooms, scope: Scope) -> None:
    await rooms.inference.add_model(scope, spec())
    found = await destined(rooms, scope, PLAIN, body("Write to clara.weiss@example.org"))
    assert (found.label.personal, found.wire) == ("personal", "chat")
    part = [{"type": "text", "text": "x", "x_label": {"class": "confidential"}}]
    assert (await destined(rooms, scope, PLAIN, body(part))).label.cls == "confidential"
    line = rooms.inference.gateway.by_file.line(found.target.model, "chat", "chat", 7, body(part))
    assert b"x_label" not in line
    assert json.loads(line)["custom_id"] == "7"
    for other in (body(model="auto"), body(model="nowhere"), b"{", b"[]"):
        assert await destined(rooms, scope, PLAIN, other) is None, "told by the call itself"


async def test_the_air_gap_closes_before_any_byte(rooms: Rooms, scope: Scope) -> None:
    model = await rooms.inference.add_model(scope, spec())
    closed = Label(cls="public", personal="none", air_gap=True)
    rooms.world.asked.clear()
    assert isinstance(await destined(rooms, scope, closed, body()), Refused)
    gapped = Scope(scope.tenant, None, None, frozenset(), scope.permissions, label='{"air_gap": true}', key=scope.key)
    with pytest.raises(NoPermittedModel, match="air gap"):
        async with rooms.inference.gateway.by_file.reach(gapped, model, "sk-1") as client:
            await client.look("batch-1")
    assert rooms.world.asked == [], "not even a name was looked up"


async def test_all_of_it_goes_by_a_permit_to_the_recorded_host(
    rooms: Rooms, scope: Scope, authority: Authority
) -> None:
    async with BatchProvider(tls=authority.server_context(HOST)) as provider:
        rooms.world.place(HOST, provider.port)
        model = await rooms.inference.add_model(scope, spec())
        async with rooms.inference.gateway.by_file.reach(scope, model, "sk-1") as client:

            class Line:
                length = 3

                async def __aiter__(self) -> Any:
                    yield b"{}\n"

            id = await client.upload("a.jsonl", Line())
            assert client.tls is not None, "who answered is known"
            assert await client.find_file("a.jsonl") == id
            assert [line async for line in client.lines(id)] == [b"{}"]
            await client.delete(id)
            await client.delete(id)
        assert b'name="expires_after[seconds]"' in provider.heard, "what we could not delete goes by itself"
        assert provider.keys == {"Bearer sk-1"}


async def test_the_price_is_that_of_its_own_record(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    """What the endpoint lists are prices of calls, and of no account for batches."""
    async with BatchProvider(tls=authority.server_context(HOST)) as provider:
        rooms.world.place(HOST, provider.port)
        await rooms.inference.add_model(scope, spec())
        provider.offers = [{"id": "scripted", "pricing": {"prompt": "0.00000009", "completion": "0.00000047"}}]
        synced = await rooms.inference.catalogue.sync(scope, model="nightly")
        assert synced.came == ("scripted",)
        view = await rooms.inference.gateway.fetch(scope)
        (target,) = view.group("batch.chat", "nightly").targets
    assert target.price.input is None, "its record says nothing of it"
    calls, batches = (rooms.policy.record(f"ovhcloud/ai-endpoints/gra{more}") for more in ("", "/batch"))
    now = datetime.now(UTC)
    for name, halved in {name: batches.price(name, now) for name in ("gpt-oss-120b", "Qwen3.5-9B")}.items():
        whole = calls.price(name, now)
        assert (halved.input, halved.output) == (whole.input and whole.input / 2, whole.output and whole.output / 2)
