"""What calls used is counted once, by who made them, over the wires and inside the house; a person can be taken out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import scope_of
from tests.rooms.inference.conftest import Rooms
from tests.rooms.inference.test_gateway import ASKED, Taken, call

from bastide.errors import BadBudget, Forbidden
from bastide.inference import ChatRequest, Message, ModelSpec, Usage, Used
from bastide.inference.values import Units
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Fails, Raw, Says, ScriptedModel

LEAST = Label()


@pytest.fixture
def chief() -> Scope:
    return scope_of(new_id("ten"))


def caller(chief: Scope, user: str | None = "usr_a", app: str | None = None) -> Scope:
    return Scope(chief.tenant, user, app, frozenset({"member"}), frozenset({"model:use"}), key="key_a")


async def used(rooms: Rooms, scope: Scope, by: str = "model") -> dict[str, Used]:
    return {one.name: one for one in await rooms.inference.accounts.usage(scope, by=by)}


async def test_calls_of_wires_and_of_the_house_are_counted_once(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        await call(rooms, caller(chief), {**ASKED, "model": "ours"})
        await call(rooms, caller(chief), {**ASKED, "model": "ours", "stream": True})
        asked = ChatRequest((Message("user", "When?"),), model="ours")
        await rooms.inference.chat(caller(chief, None, "app_x"), asked, label=LEAST)
        await call(rooms, caller(chief, "usr_b"), {**ASKED, "model": "local/extractive"})
    found = await used(rooms, chief)
    assert {name: one.calls for name, one in found.items()} == {"ours": 3, "local/extractive": 1}
    assert (found["ours"].tokens_in, found["ours"].tokens_out, found["ours"].eur) == (11, 6, 0.0)
    assert {name: one.calls for name, one in (await used(rooms, chief, "user")).items()} == {
        "": 1,
        "usr_a": 2,
        "usr_b": 1,
    }
    assert set(await used(rooms, chief, "day")) == {datetime.now(UTC).strftime("%Y-%m-%d")}
    assert {name: one.calls for name, one in (await used(rooms, caller(chief))).items()} == {"ours": 2}
    assert (await used(rooms, caller(chief, None, "app_x")))["ours"].calls == 1
    with pytest.raises(Forbidden):
        await used(rooms, caller(chief, None, None))


async def test_a_spent_budget_is_a_402_in_the_words_of_the_wire(rooms: Rooms, chief: Scope) -> None:
    await rooms.inference.accounts.set_budget(chief, of="tenant", tokens=0, contact="Ms Peer")
    async with ScriptedModel(Says("No.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        taken: Taken = await call(rooms, caller(chief), {**ASKED, "model": "ours"})
        assert (taken.status, taken.json["error"]["code"]) == (402, "inference.budget_spent")
        assert taken.json["error"]["type"] == "insufficient_quota"
        assert taken.headers["x-should-retry"] == "false"
        assert server.chats == []
        await rooms.inference.accounts.set_rate(chief, of="tenant", requests=1)
        await rooms.inference.accounts.set_budget(chief, of="tenant", tokens=100_000)
        assert (await call(rooms, caller(chief), {**ASKED, "model": "ours"})).status == 200
        limited = await call(rooms, caller(chief), {**ASKED, "model": "ours"})
    assert (limited.status, limited.json["error"]["code"]) == (429, "inference.rate_limited")
    assert int(limited.headers["retry-after"]) >= 1


async def test_a_call_without_an_answer_costs_nothing(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Fails(500)) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True, upstream="scripted"))
        assert (await call(rooms, caller(chief), {**ASKED, "model": "ours"})).status == 502
    (failed,) = (await used(rooms, chief, "outcome")).values()
    assert (failed.name, failed.calls, failed.tokens_in, failed.tokens_out) == ("failed", 1, 0, 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("garbage", [b"<html>" + b"x" * 4000, b'{"choices": []}', b'{"error": "no"}'])
async def test_an_answer_that_is_none_is_not_billed_and_its_receipt_says_so(
    rooms: Rooms, chief: Scope, garbage: bytes, *, stream: bool
) -> None:
    await rooms.inference.accounts.set_budget(chief, of="tenant", tokens=10_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(garbage)
    async with ScriptedModel(Raw(head + garbage)) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True, upstream="scripted"))
        taken = await call(rooms, caller(chief), {**ASKED, "model": "ours", "stream": stream})
    assert taken.status == 502
    (failed,) = (await used(rooms, chief, "outcome")).values()
    assert (failed.name, failed.calls, failed.tokens_in, failed.tokens_out, failed.estimated) == ("failed", 1, 0, 0, 0)
    (budget,) = await rooms.inference.accounts.budgets(chief)
    assert budget.spent_tokens == 0
    receipt = await rooms.audit.receipt(chief, taken.headers["x-bastide-receipt"])
    assert receipt.body["outcome"] == "failed"
    assert receipt.body["tokens"] == {"input": 0, "output": 0}
    decision = receipt.body["decision"]
    assert isinstance(decision, dict)
    assert decision["unusable"] == taken.json["error"]["code"]


async def test_what_was_estimated_is_marked(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("In June.", usage=False)) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        await call(rooms, caller(chief), {**ASKED, "model": "ours"})
    assert (await used(rooms, chief))["ours"].estimated == 1


async def test_a_person_is_taken_out_and_the_sum_stays(rooms: Rooms, chief: Scope, neighbour: Scope) -> None:
    accounts, gone = rooms.inference.accounts, new_id("usr")
    await accounts.set_budget(chief, of="user", subject=gone, tokens=1000)
    await accounts.set_budget(chief, of="user", subject="*", tokens=100_000)
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        await asyncio.gather(
            *(call(rooms, caller(chief, user), {**ASKED, "model": "ours"}) for user in (gone, "usr_b"))
        )
    admission = await accounts._accounts.admitted(caller(chief, gone), "ours", tokens=1, price=None)
    units = Units(pictures=3, seconds=1.5, characters=9)
    admission.settle(Usage(units=units), cost_eur=0.0, outcome="done", endpoint="test/studio")
    await accounts.erase_person(neighbour, gone)
    assert set(await used(rooms, chief, "user")) == {gone, "usr_b"}
    await accounts.erase_person(chief, gone)
    assert {name: one.calls for name, one in (await used(rooms, chief, "user")).items()} == {"": 2, "usr_b": 1}
    sums = (await used(rooms, chief, "user"))[""]
    assert (sums.pictures, sums.seconds, sums.characters) == (3, 1.5, 9)
    admission = await accounts._accounts.admitted(caller(chief, gone), "ours", tokens=1, price=None)
    admission.settle(Usage(units=units), cost_eur=0.0, outcome="done", endpoint="test/studio")
    await accounts.erase_person(chief, gone)  # what a running call used is counted again, and added to the sums
    sums = (await used(rooms, chief, "user"))[""]
    assert (sums.pictures, sums.seconds, sums.characters) == (6, 3.0, 18)
    assert [one.subject for one in await accounts.budgets(chief)] == ["*"]
    async with rooms.store.as_owner(reason="look for what names a person") as owner:
        for table in ("pot", "lease", "bucket"):
            await owner.execute(f"alter table inference.{table} no force row level security")
            rows = await owner.execute(f"select count(*) from inference.{table} where whose = %s", (gone,))
            assert (await rows.fetchone()) == (0,), table
            await owner.execute(f"alter table inference.{table} force row level security")
    with pytest.raises(Forbidden):
        await accounts.erase_person(caller(chief), gone)


async def test_usage_is_read_by_words_and_times_that_mean_something(rooms: Rooms, chief: Scope) -> None:
    with pytest.raises(BadBudget):
        await rooms.inference.accounts.usage(chief, by="shoe")
    with pytest.raises(BadBudget, match="zone"):
        await rooms.inference.accounts.usage(chief, since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    long_ago = datetime.now(UTC) - timedelta(days=400)
    assert await rooms.inference.accounts.usage(chief, since=long_ago, until=long_ago + timedelta(days=1)) == []
