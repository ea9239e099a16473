"""A budget or a rate of a model binds every call that it answers, by whatever name it was asked for."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import pytest
from tests.conftest import scope_of
from tests.rooms.egress.conftest import Authority

from bastide.errors import BudgetSpent
from bastide.inference import ChatRequest, Message, ModelRoute, ModelSpec
from bastide.inference.accounts import Budget
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Answer, Asked, Fails, Raw, Says, ScriptedModel, Tells

from .conftest import Rooms
from .test_gateway import ASKED, Taken, begin, call
from .test_inference import remote
from .test_routes import Hasty, recorded

LEAST = Label()
PICTURE = Tells({"created": 1, "data": [{"b64_json": "UE5H"}]})
SMALL = {**ASKED, "max_tokens": 10}
USED = 7  # tokens of a call: five words are asked, two are said
WIRES = {
    "chat": SMALL,
    "messages": SMALL,
    "responses": {"input": "When does the lease end?", "max_output_tokens": 10},
    "completions": {"prompt": "When does the lease end?", "max_tokens": 10},
}


@pytest.fixture
def chief() -> Scope:
    return scope_of(new_id("ten"))


async def prepare(rooms: Rooms, scope: Scope, *servers: ScriptedModel, **more: Any) -> None:
    """A route `writer` over models m0, m1, ..."""
    for n, server in enumerate(servers):
        spec = ModelSpec(f"m{n}", url=server.url, local=True, upstream="scripted", capabilities=("chat", "embeddings"))
        await rooms.inference.add_model(scope, spec)
    await rooms.inference.routes.add(scope, ModelRoute("writer", tuple(f"m{n}" for n in range(len(servers))), **more))


async def bound(rooms: Rooms, scope: Scope, model: str = "m0", **limits: Any) -> Budget:
    return await rooms.inference.accounts.set_budget(scope, of="model", subject=model, **limits)


async def ask(rooms: Rooms, scope: Scope, model: str | None = "writer", **more: Any) -> Taken:
    return await call(rooms, scope, {**SMALL, **({} if model is None else {"model": model}), **more})


async def spent(rooms: Rooms, scope: Scope) -> dict[str, tuple[float, int]]:
    """What is spent of each budget, by what it is for, once all is written."""
    await rooms.inference.accounts.usage(scope)
    found = await rooms.inference.accounts.budgets(scope)
    return {one.subject or one.scope: (round(one.spent_eur, 9), one.spent_tokens) for one in found}


@pytest.mark.parametrize("stream", [False, True])
async def test_where_one_is_spent_the_next_is_asked(rooms: Rooms, chief: Scope, *, stream: bool) -> None:
    async with ScriptedModel("In June.") as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        await bound(rooms, chief, tokens=2 * USED)
        taken = [await ask(rooms, chief, stream=stream) for _ in range(4)]
        assert [one.status for one in taken] == [200] * 4
        assert (len(first.chats), len(second.chats)) == (2, 2)
        assert (await ask(rooms, chief, "m0", stream=stream)).status == 402, "by its own name, too"
        assert (await ask(rooms, chief, None, stream=stream)).status == 200, "and without any"
        assert (await spent(rooms, chief))["m0"] == (0.0, 2 * USED)
        found = await recorded(rooms, chief, 5)
        assert [one.resource for one in found] == ["m0", "m0", "m1", "m1", "m1"], "who was not asked has no receipt"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("named", ["route", "nobody"])
async def test_where_all_are_spent_it_is_the_refusal_of_a_direct_call(
    rooms: Rooms, chief: Scope, wire: str, named: str
) -> None:
    async with ScriptedModel("No.") as first, ScriptedModel("No.") as second:
        await prepare(rooms, chief, first, second)
        await bound(rooms, chief, "m0", tokens=0, contact="Ms Peer")
        await bound(rooms, chief, "m1", tokens=0, contact="Ms Peer")
        keys: list[Any] = []
        only = Scope(chief.tenant, "usr_a", None, frozenset(), frozenset({"model:use"}), models=("m0", "m1", "writer"))
        for name in (None if named == "nobody" else "writer", "m0"):
            taken = await call(rooms, only, {**WIRES[wire], **({} if name is None else {"model": name})}, wire=wire)
            assert taken.status == 402
            error = taken.json["error"]
            assert (error["code"], error["contact"], error["subject"]) == ("inference.budget_spent", "Ms Peer", "m0")
            keys.append((set(error) - {"model"}, error["type"], taken.headers["x-should-retry"]))
        assert keys[0] == keys[1]
        assert not [one for one in (*first.asked, *second.asked) if one.method == "POST"]
        assert await rooms.inference.accounts.usage(chief) == [], "what was refused counts for nothing"


async def test_a_rate_of_a_member_binds_as_well(rooms: Rooms, chief: Scope) -> None:
    accounts = rooms.inference.accounts
    async with ScriptedModel("In June.") as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        await accounts.set_rate(chief, of="model", subject="m0", requests=2)
        await accounts.set_rate(chief, of="model", subject="m1", requests=1)
        taken = [await ask(rooms, chief) for _ in range(5)]
        assert [one.status for one in taken] == [200, 200, 200, 429, 429]
        assert (len(first.chats), len(second.chats)) == (2, 1)
        limited = taken[-1]
        assert limited.json["error"]["code"] == "inference.rate_limited"
        assert int(limited.headers["retry-after"]) >= 1
        assert limited.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_request_that_met_a_closed_connection_counts_once(rooms: Rooms, chief: Scope) -> None:
    async with Hasty("In June.") as server:
        await prepare(rooms, chief, server)
        await rooms.inference.accounts.set_rate(chief, of="model", subject="m0", requests=3)
        assert [(await ask(rooms, chief)).status for _ in range(4)] == [200, 200, 200, 429]
        assert server.closed_early == 2, "it was sent again to the same server"


async def test_what_was_spent_is_charged_to_who_answered_once_and_to_the_name_that_was_asked_for(
    rooms: Rooms, chief: Scope
) -> None:
    async with ScriptedModel("In June.") as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        for subject in ("m0", "m1", "writer"):
            await bound(rooms, chief, subject, tokens=1000)
        await bound(rooms, chief, "*", tokens=5000, period="day", hard=False)
        await rooms.inference.accounts.set_budget(chief, of="tenant", tokens=10_000)
        await rooms.inference.accounts.set_budget(chief, of="user", subject=str(chief.user), tokens=10_000)
        await ask(rooms, chief)
        await ask(rooms, chief, "m0")
        await ask(rooms, chief, "m1")
        found = await spent(rooms, chief)
    assert found == {
        "m0": (0.0, 2 * USED),
        "m1": (0.0, USED),
        "writer": (0.0, USED),
        "*": (0.0, 2 * USED),
        "tenant": (0.0, 3 * USED),
        str(chief.user): (0.0, 3 * USED),
    }
    used = {one.name: one.calls for one in await rooms.inference.accounts.usage(chief)}
    assert used == {"writer": 1, "m0": 1, "m1": 1}, "usage goes by the name that was asked for"


async def test_money_goes_by_the_price_of_who_answers(rooms: Rooms, chief: Scope, authority: Authority) -> None:
    """A free member is asked when the money for a dear one is spent, and never for money."""
    async with remote(rooms, authority, "api.studio.example", "In June.") as dear, ScriptedModel("In May.") as free:
        spec = ModelSpec("m0", provider="test/studio", upstream="by-token", capabilities=("chat",))
        await rooms.inference.add_model(chief, spec)
        await rooms.inference.add_model(chief, ModelSpec("m1", url=free.url, local=True, upstream="scripted"))
        await rooms.inference.routes.add(chief, ModelRoute("writer", ("m0", "m1")))
        await bound(rooms, chief, "m0", eur=0.0002)
        await bound(rooms, chief, "m1", eur=0.0)
        each = (5 * 5 + 2 * 40) / 1e6
        asked = 0
        while len(free.chats) == 0 and asked < 10:
            assert (await ask(rooms, chief)).status == 200
            asked += 1
        found = await spent(rooms, chief)
    assert len(dear.chats) == 2, "after the second one the money is spent"
    assert found == {"m0": (pytest.approx(2 * each), 2 * USED), "m1": (0.0, USED)}


async def test_fifty_at_once_spend_no_more_than_fifty_that_name_the_model(rooms: Rooms, chief: Scope) -> None:
    """What a call may need is reserved before it is asked: what is over goes to the next one."""
    async with ScriptedModel(Says("In June.", pause_s=0.02)) as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        await bound(rooms, chief, tokens=200)
        taken = await asyncio.gather(*(ask(rooms, chief) for _ in range(50)))
        assert {one.status for one in taken} == {200}
        assert len(first.chats) + len(second.chats) == 50
        assert 1 <= len(first.chats) <= 200 // USED
        assert (await spent(rooms, chief))["m0"][1] == USED * len(first.chats) <= 200


async def test_a_neighbour_has_models_and_budgets_of_the_same_names(
    rooms: Rooms, chief: Scope, neighbour: Scope
) -> None:
    async with ScriptedModel("In June.") as first, ScriptedModel("In May.") as second:
        for scope in (chief, neighbour):
            await prepare(rooms, scope, first, second)
        await bound(rooms, chief, tokens=0)
        await bound(rooms, neighbour, tokens=1000)
        await ask(rooms, chief)
        await ask(rooms, neighbour)
        assert (len(first.chats), len(second.chats)) == (1, 1)
        assert (await spent(rooms, chief))["m0"] == (0.0, 0)
        assert (await spent(rooms, neighbour))["m0"] == (0.0, USED)


async def test_what_fails_gives_back_what_it_reserved(rooms: Rooms, chief: Scope) -> None:
    answers: list[Answer] = [Fails(500), Says("In June.")]
    async with ScriptedModel(*answers) as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        await bound(rooms, chief, tokens=60)  # of which a call reserves most
        taken = await ask(rooms, chief)
        assert taken.json["choices"][0]["message"]["content"] == "In May."
        assert (await spent(rooms, chief))["m0"] == (0.0, 0)
        assert (await ask(rooms, chief, "m0")).status == 200, "all of it is there again"
        assert (await spent(rooms, chief))["m0"] == (0.0, USED)


async def test_a_hedge_is_paid_by_its_own_budget(rooms: Rooms, chief: Scope) -> None:
    late, soon = Says("In June.", pause_s=5.0), Says("In July.", pause_s=0.4)
    async with ScriptedModel(late, soon) as slow, ScriptedModel("In May.") as fast:
        await prepare(rooms, chief, slow, fast, hedge_ms=40)
        await bound(rooms, chief, "m0", tokens=1000)
        await bound(rooms, chief, "m1", tokens=1000)
        taken = await ask(rooms, chief)
        assert taken.json["choices"][0]["message"]["content"] == "In May."
        found = await spent(rooms, chief)
        assert (found["m0"], found["m1"]) == ((0.0, 0), (0.0, USED)), "who was told to stop had said nothing"
        await bound(rooms, chief, "m1", tokens=0)
        taken = await ask(rooms, chief)
        assert taken.json["choices"][0]["message"]["content"] == "In July.", "no hedge without money for it"
    assert (len(slow.chats), len(fast.chats)) == (2, 1)


async def test_a_fault_waits_for_the_hedge_that_is_just_being_paid(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel("In June.", Raw(b"", pause_s=0.4)) as broken, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, broken, second, hedge_ms=20)
        await bound(rooms, chief, "m1", tokens=1000)
        assert (await ask(rooms, chief, "m0")).status == 200  # from here on all is at hand, but for the slice
        book = rooms.inference._accounts._keeper.books[chief.tenant]
        async with book.lock, asyncio.timeout(60):
            taken, running = begin(rooms, chief, {**SMALL, "model": "writer"})
            while not (running.lending and running._attempts[0].over):
                assert not taken.begun.is_set()
                await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            await taken.ended.wait()
        assert taken.json["choices"][0]["message"]["content"] == "In May."
        assert (await spent(rooms, chief))["m1"] == (0.0, USED)


async def test_a_client_that_leaves_frees_what_was_reserved(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(*[Says("In June.", pause_s=5.0)] * 3, "In July.") as slow:
        await prepare(rooms, chief, slow)
        await bound(rooms, chief, tokens=60)
        for count in range(1, 4):
            taken, running = begin(rooms, chief, {**SMALL, "model": "writer"})
            async with asyncio.timeout(60):
                while len(slow.chats) < count and not taken.begun.is_set():
                    await asyncio.sleep(0.01)
            assert not taken.begun.is_set(), taken.body
            running.cancel()
        assert (await ask(rooms, chief)).status == 200


async def test_who_leaves_before_a_slice_was_asked_for_leaves_nothing_behind(
    rooms: Rooms, chief: Scope, recwarn: pytest.WarningsRecorder
) -> None:
    async with ScriptedModel("In June.") as server:
        await prepare(rooms, chief, server)
        await ask(rooms, chief, "m0")  # from here on all is at hand, but for the slice
        await bound(rooms, chief, tokens=1000)
        await ask(rooms, chief, "local/extractive")
        _, running = begin(rooms, chief, {**SMALL, "model": "writer"})
        async with asyncio.timeout(60):
            while not running.lending:  # at once, unless what was at hand is old by now
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        assert len(server.chats) == 1
        assert rooms.inference._accounts._keeper.books[chief.tenant].ledger.running == 0
        del running
        gc.collect()
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)], "it was waited for"


async def test_a_kept_answer_costs_nothing_and_needs_no_budget(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel("In June.") as first:
        await prepare(rooms, chief, first)
        await rooms.inference.accounts.keep_answers(chief, "writer")
        await bound(rooms, chief, tokens=USED)
        first_time, again = [await ask(rooms, chief, temperature=0) for _ in range(2)]
        assert "x-bastide-cached" in again.headers
        assert again.body == first_time.body
        assert (await ask(rooms, chief, temperature=0, seed=1)).status == 402
        assert (await spent(rooms, chief))["m0"] == (0.0, USED)


@pytest.mark.parametrize("seed", range(3))
async def test_law_whatever_happens_each_pays_for_what_it_said_and_nothing_stays_reserved(
    rooms: Rooms, chief: Scope, seed: int
) -> None:
    """Servers that fail, break off, are slow and hedged; clients that leave; budgets and rates that run out."""
    chance = random.Random(seed)

    def answer(_: Asked) -> Answer:
        return chance.choice([
            Says("In June."), Says("In June.", pause_s=0.03), Says("In June.", cut_after=1), Fails(500), Fails(429),
            Raw(b""),
        ])  # fmt: skip

    async def one(model: str | None) -> None:
        asked = {**SMALL, "stream": chance.random() < 0.5, **({} if model is None else {"model": model})}
        leaves = chance.random() < 0.2
        await asyncio.sleep(chance.random() / 2)
        taken, running = begin(rooms, chief, asked)
        if leaves:
            await asyncio.sleep(chance.random() / 20)
            running.cancel()
        else:
            async with asyncio.timeout(60):
                await taken.ended.wait()
            assert taken.status in {200, 402, 429, 502, 503}, taken.body

    servers = [ScriptedModel(answer) for _ in range(3)]
    for server in servers:
        await server.__aenter__()
    await prepare(rooms, chief, *servers, hedge_ms=15)
    names = ("m0", "m1", "m2", "writer")
    for name, tokens in zip(names, (150, 300, 10_000, 10_000), strict=True):
        await bound(rooms, chief, name, tokens=tokens)
    await rooms.inference.accounts.set_rate(chief, of="model", subject="m1", requests=20)
    await asyncio.gather(*(one(chance.choice(("writer", "writer", "m0", "m2", None))) for _ in range(60)))
    for server in servers:
        await server.__aexit__(None, None, None)
    found, known = await spent(rooms, chief), dict[str, Any]()
    book = rooms.inference._accounts._keeper.books[chief.tenant]
    async with asyncio.timeout(60):
        while book.ledger.running:
            await asyncio.sleep(0.01)  # a slice for a hedge that nobody needs any more
        while {name: found[name][1] for name in names[:3]} != (took := await on_record(rooms, chief, known)):
            await asyncio.sleep(0.1)  # receipts arrive behind the calls
    used = {one.name: one.tokens_in + one.tokens_out for one in await rooms.inference.accounts.usage(chief)}
    assert found["writer"][1] == used["writer"]
    assert sum(took.values()) == sum(used[name] for name in names if name in used), "each was counted once"
    assert {pot.reserved_tokens for pot in book.pots.values()} == {0}


async def on_record(rooms: Rooms, scope: Scope, known: dict[str, Any]) -> dict[str, int]:
    """The tokens of each model by the receipts that are on record; those that were read before are `known`."""
    cursor, took = None, dict.fromkeys(("m0", "m1", "m2"), 0)
    while True:
        page = await rooms.audit.events(scope, cursor=cursor, limit=100)
        for event in page.items:
            if event.act == "inference" and event.resource in took:
                receipt = known[event.id] = known.get(event.id) or (await rooms.audit.receipt(scope, event.id)).body
                took[event.resource] += receipt["tokens"]["input"] + receipt["tokens"]["output"]
        if (cursor := page.cursor) is None:
            return took


# -- what the house itself asks ---------------------------------------------------------------------


async def test_operations_of_the_house_keep_the_same_law(rooms: Rooms, chief: Scope) -> None:
    """They are counted under the model that answers: here it is the route whose budget would be passed over."""
    inference = rooms.inference
    async with ScriptedModel("In June.") as first, ScriptedModel("In May.") as second:
        await prepare(rooms, chief, first, second)
        await bound(rooms, chief, "m0", tokens=USED)
        await bound(rooms, chief, "writer", tokens=10_000)

        async def chat(model: str | None = "writer") -> str:
            asked = ChatRequest((Message("user", "When does the lease end?"),), model=model)
            return (await inference.chat(chief, asked, label=LEAST)).model

        assert [await chat() for _ in range(2)] == ["m0", "m1"]
        assert await chat(None) == "m1", "who names nobody, too"
        generator = await inference.generator(chief, LEAST)
        assert generator is not None
        assert generator.name == "m1"
        vectors = await inference.embed(chief, ["one", "two"], label=LEAST, model="writer")
        assert vectors.model == "m1"
        found = await spent(rooms, chief)
        assert found["m0"] == (0.0, USED)
        assert found["writer"][1] == 2 * USED + vectors.usage.input
        await bound(rooms, chief, "m1", tokens=0)
        with pytest.raises(BudgetSpent, match="model m0"):
            await chat()
        await bound(rooms, chief, "m1", tokens=10_000)
        await bound(rooms, chief, "writer", tokens=0)
        with pytest.raises(BudgetSpent, match="model writer"):
            await chat()


async def test_pictures_of_a_route_are_paid_by_who_makes_them(rooms: Rooms, chief: Scope, authority: Authority) -> None:
    async with remote(rooms, authority, "api.studio.example", lambda _: PICTURE):
        for name, upstream in (("m0", "painter"), ("m1", "given-away")):
            spec = ModelSpec(name, provider="test/studio", upstream=upstream, capabilities=("images",))
            await rooms.inference.add_model(chief, spec)
        await rooms.inference.routes.add(chief, ModelRoute("painters", ("m0", "m1")))
        await bound(rooms, chief, "m0", eur=0.04)
        await bound(rooms, chief, "painters", eur=1.0)
        for _ in range(2):
            answer = await rooms.inference.media.call(
                chief, "images", {"prompt": "A town"}, label=LEAST, model="painters"
            )
            assert [one async for one in answer.pieces]
        found = await spent(rooms, chief)
    assert found == {"m0": (0.04, 0), "painters": (0.04, 0)}
    used = {one.name: one.pictures for one in await rooms.inference.accounts.usage(chief)}
    assert used == {"m0": 1, "m1": 1}
