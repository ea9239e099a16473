"""Catalogues: what an endpoint offers is asked for with a permit, kept with its time, and what went is not chosen."""

from __future__ import annotations

from typing import Any

import pytest
from tests.rooms.egress.conftest import Authority

from bastide.errors import (
    BadModel,
    Forbidden,
    NoPermittedModel,
    UnknownModel,
    UnknownRecord,
    Unreachable,
    UpstreamGarbage,
)
from bastide.inference import ChatRequest, Message, ModelRoute, ModelSpec
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import ScriptedModel

from .conftest import Rooms
from .test_gateway import ASKED, add, call
from .test_inference import remote
from .test_routes import recorded

OVH, HOST = "ovhcloud/ai-endpoints/gra", "oai.endpoints.kepler.ai.cloud.ovh.net"
PUBLIC = Label(cls="public", personal="none")


def row(name: str, sent: float, got: float, **more: Any) -> dict[str, Any]:
    """An entry of the list as OVHcloud writes it: prices are in US dollars for one token."""
    pricing = {"prompt": f"{sent / 1e6:.12f}", "completion": f"{got / 1e6:.12f}"}
    return {"id": name, "object": "model", "context_length": 131000, "pricing": pricing, **more}


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


async def _ovh(rooms: Rooms, scope: Scope, *names: str) -> None:
    for name in names:
        spec = ModelSpec(name, kind="ovhcloud", provider=OVH, key="sk-ovh", upstream=name)
        await rooms.inference.add_model(scope, spec)


async def test_what_came_what_went_and_whose_price_has_changed(
    rooms: Rooms, scope: Scope, neighbour: Scope, authority: Authority
) -> None:
    """BerriAI/litellm: a shipped list of OVHcloud models of which half are gone, and that lacks the new ones."""
    catalogue = rooms.inference.catalogue
    async with remote(rooms, authority, HOST) as server:
        server.listed = [row("small", 0.05, 0.18), row("large", 0.71, 4.25, max_completion_tokens=32000)]
        await _ovh(rooms, scope, "small", "large")
        first = await catalogue.sync(scope, provider=OVH)
        assert (first.record, first.offered, first.came, first.went) == (OVH, 2, ("large", "small"), ())
        assert server.asked[-1].path == "/v1/models"
        assert server.asked[-1].body is None, "nothing of ours goes there but the key"
        large, small = await catalogue.offers(scope)
        assert (large.context_tokens, large.output_tokens_max) == (131000, 32000)
        assert (small.input_price, small.output_price, small.currency) == (0.05, 0.18, "USD")
        assert small.seen_at == small.first_seen_at
        assert await catalogue.sync(scope, model="small") == type(first)(OVH, first.url, 2, (), (), (), ())

        server.listed = [row("small", 0.06, 0.18), row("new", 0.1, 0.1)]
        second = await catalogue.sync(scope, model="small")
        assert (second.came, second.went, second.affected) == (("new",), ("large",), ("large",))
        (changed,) = second.repriced
        assert (changed.name, changed.before, changed.now) == ("small", (0.05, 0.18, "USD"), (0.06, 0.18, "USD"))
        models = {one.name: one for one in await rooms.inference.models(scope)}
        assert models["large"].problem.startswith("Its server lists it no more")
        assert (models["small"].problem, models["small"].context_tokens) == ("", 131000)
        assert [one.name for one in await catalogue.offers(scope, OVH) if one.gone_at] == ["large"]

        server.listed.append(row("large", 0.71, 4.25))
        back = await catalogue.sync(scope, model="large")
        assert (back.came, back.went) == (("large",), ())
        assert not any(one.problem for one in await rooms.inference.models(scope))
    theirs = Scope(neighbour.tenant, None, None, frozenset(), frozenset({"model:use", "model:manage"}))
    assert await catalogue.offers(theirs) == []
    with pytest.raises(UnknownModel):
        await catalogue.sync(theirs, model="small")
    assert len(await recorded(rooms, scope, 4, "model.sync")) == 4


async def test_a_model_that_went_is_not_chosen_by_itself(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Old.", names=("old", "new")) as server:
        await add(rooms, scope, server, "old", upstream="old", rank=1)
        await add(rooms, scope, server, "new", upstream="new", rank=2)
        await rooms.inference.routes.add(scope, ModelRoute("either", ("old", "new")))
        await rooms.inference.catalogue.sync(scope, model="old")
        server.listed = [{"id": "new"}]
        await rooms.inference.catalogue.sync(scope, model="old")
        for model in (None, "either"):
            assert (await call(rooms, scope, {**ASKED, "model": model})).status == 200
            said = ChatRequest((Message("user", "When?"),), model=model)
            assert (await rooms.inference.chat(scope, said, label=Label())).model == "new"
        assert {one.body["model"] for one in server.chats} == {"new"}
        assert (await call(rooms, scope, {**ASKED, "model": "old"})).status == 200, (
            "who names it gets it, or its refusal"
        )
        assert server.chats[-1].body["model"] == "old"


async def test_listed_prices_order_a_route_and_make_the_cost(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    """maximhq/bifrost #4305: prices that can only be had from the maker of the gateway."""
    async with remote(rooms, authority, HOST) as server:
        server.listed = [row("dear", 9, 9), row("cheap", 1, 2), row("unpriced", 0, 0, pricing=None)]
        await _ovh(rooms, scope, "unpriced", "dear", "cheap")
        await rooms.inference.catalogue.sync(scope, provider=OVH)
        await rooms.inference.routes.add(scope, ModelRoute("thrifty", ("unpriced", "dear", "cheap"), "price"))
        for _ in range(2):
            assert (await call(rooms, scope, {**ASKED, "model": "thrifty"}, label=PUBLIC)).status == 200
        assert [one.body["model"] for one in server.chats] == ["cheap", "cheap"]
        server.listed[1] = row("cheap", 20, 20)
        await rooms.inference.catalogue.sync(scope, provider=OVH)
        assert (await call(rooms, scope, {**ASKED, "model": "thrifty"}, label=PUBLIC)).status == 200
        assert server.chats[-1].body["model"] == "dear"
        view = await rooms.inference.gateway.fetch(scope)
        (target,) = view.group("chat", "dear").targets
        assert (target.price.input, target.price.currency) == (9, "USD")
        assert HOST in target.price.source
        assert target.price.expires_at is not None


async def test_an_entry_that_makes_no_sense_costs_the_list_nothing_else(
    rooms: Rooms, scope: Scope, authority: Authority
) -> None:
    odd: list[Any] = [{"id": name} for name in ("models/", "", "a\0b", "a\nb", "x" * 300, 7, None, ["small"])]
    odd += [row("large", 1, 1, aliases=["models/", "big\0", "large-latest", "", None, 5])]
    async with remote(rooms, authority, HOST) as server:
        server.listed = [*odd, row("small", 0.05, 0.18)]
        await _ovh(rooms, scope, "small")
        synced = await rooms.inference.catalogue.sync(scope, provider=OVH)
    assert synced.came == ("large", "large-latest", "small")


async def test_a_list_that_cannot_be_had_changes_nothing(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    catalogue = rooms.inference.catalogue
    async with remote(rooms, authority, HOST) as server:
        server.listed = [row("small", 0.05, 0.18)]
        await _ovh(rooms, scope, "small")
        await catalogue.sync(scope, provider=OVH)
        before = await catalogue.offers(scope)
        server.listed = []
        with pytest.raises(UpstreamGarbage):
            await catalogue.sync(scope, provider=OVH)
    with pytest.raises(Unreachable):
        await catalogue.sync(scope, provider=OVH)
    assert await catalogue.offers(scope) == before
    with pytest.raises(BadModel):
        await catalogue.sync(scope)
    with pytest.raises(BadModel):
        await catalogue.sync(scope, model="small", provider=OVH)
    with pytest.raises(UnknownRecord):
        await catalogue.sync(scope, provider="nobody/knows")
    reader = Scope(scope.tenant, None, None, frozenset(), frozenset({"model:use"}))
    with pytest.raises(Forbidden):
        await catalogue.sync(reader, provider=OVH)


async def test_policy_decides_before_an_endpoint_is_asked(rooms: Rooms, scope: Scope) -> None:
    asked = len(rooms.world.asked)
    with pytest.raises(NoPermittedModel):
        await rooms.inference.catalogue.sync(scope, provider=OVH)  # not enabled for this tenant
    await rooms.inference.add_model(scope, ModelSpec("dark", provider="test/unknown"))
    with pytest.raises(NoPermittedModel):
        await rooms.inference.catalogue.sync(scope, model="dark")
    assert len(rooms.world.asked) == asked
