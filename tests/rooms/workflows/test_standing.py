"""Standing orders: what holds of schedules and of triggers alike, and how an erasure reaches what they hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import AlreadyThere, Forbidden, UnknownSchedule, UnknownTrigger
from bastide.policy import Label
from bastide.store import Query, Scope, new_id
from bastide.workflows.blotting import BLOT, Named
from bastide.workflows.standing import StandingOrders
from bastide.workflows.timely import Schedule, Trigger
from bastide.workflows.values import Problem
from tests.rooms.workflows.clockwork import Clockwork

KINDS = ("schedule", "trigger")
UNKNOWN = {"schedule": UnknownSchedule, "trigger": UnknownTrigger}
INGESTED = {"document": "doc_1", "name": "lease.txt", "collection": "law", "version": 1, "class": "internal"}
SEALED = {
    "schedule": Query("test", "sealed", "select problem_code, problem from workflows.schedule"),
    "trigger": Query("test", "sealed", "select problem_code, problem from workflows.firing where problem_code > ''"),
}

Make = Callable[..., Awaitable[Any]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of which kind the orders are."""
    return str(request.param)


@pytest.fixture
def orders(clockwork: Clockwork, kind: str) -> StandingOrders[Any]:
    """All of that kind."""
    return {"schedule": clockwork.schedules, "trigger": clockwork.triggers}[kind]


@pytest.fixture
def make(clockwork: Clockwork, kind: str) -> Make:
    """Makes one."""

    async def made(scope: Scope, name: str = "the hours", **given: Any) -> Schedule | Trigger:
        asked = {"name": name, "type": "note", "input": {"text": "hello"}, **given}
        if kind == "schedule":
            return await clockwork.schedules.create(scope, cron="0 * * * *", **asked)
        return (await clockwork.triggers.create(scope, on="document.ingested", **asked)).trigger

    return made


# -- keeping ----------------------------------------------------------------------------------------


async def test_a_name_is_taken_once(make: Make, kind: str, ours: Scope, neighbour: Scope) -> None:
    await make(ours)
    with pytest.raises(AlreadyThere, match=kind):
        await make(ours)
    await make(neighbour)


async def test_lists_are_paged(orders: StandingOrders[Any], make: Make, ours: Scope, neighbour: Scope) -> None:
    made = [(await make(ours, f"number {n}")).id for n in range(5)]
    first = await orders.list(ours, limit=2)
    assert first.cursor is not None
    rest = await orders.list(ours, cursor=first.cursor, limit=10)
    assert [one.id for one in first.items + rest.items] == made
    assert rest.cursor is None
    assert (await orders.list(neighbour)).items == ()


async def test_keeping_takes_the_right_to_steer(orders: StandingOrders[Any], make: Make, ours: Scope) -> None:
    made = await make(ours)
    less = replace(ours, permissions=frozenset({"work:read", "work:run", "work:approve"}))
    with pytest.raises(Forbidden):
        await orders.list(less)
    for verb in ("get", "delete", "pause", "resume"):
        with pytest.raises(Forbidden):
            await getattr(orders, verb)(less, made.id)


async def test_a_neighbour_sees_and_steers_nothing(
    orders: StandingOrders[Any], make: Make, kind: str, ours: Scope, neighbour: Scope
) -> None:
    made = await make(ours)
    for verb in ("get", "delete", "pause", "resume"):
        for which in (made.id, made.name, "", "x\0y", "' or true --"):
            with pytest.raises(UNKNOWN[kind]):
                await getattr(orders, verb)(neighbour, which)
    assert await orders.get(ours, made.id) == made


# -- erasure: documents -----------------------------------------------------------------------------


async def test_the_id_of_a_deleted_document_is_blotted_out(
    clockwork: Clockwork, orders: StandingOrders[Any], make: Make, kind: str, ours: Scope, neighbour: Scope
) -> None:
    gone, stays = new_id("doc"), new_id("doc")
    given = {"text": f"Compare {gone} with {stays}", "tags": [gone, stays], "facts": {gone: 1}}
    made, other = await make(ours, input=given), await make(ours, "other", input={"text": stays})
    theirs = await make(neighbour, input=given)
    async with clockwork.store.under(ours) as db:
        assert await orders.blot(db, [gone, new_id("doc")]) == 1
    shown = await orders.get(ours, made.id)
    assert shown.input == {"text": f"Compare {BLOT} with {stays}", "tags": [BLOT, stays], "facts": {BLOT: 1}}
    assert shown.paused
    assert shown.last_problem is not None
    assert shown.last_problem.code == "workflows.names_erased"
    assert (await orders.get(ours, other.id)) == other
    assert (await orders.get(neighbour, theirs.id)) == theirs
    assert await clockwork.acts(ours, 3) == [f"{kind}.create", f"{kind}.create", f"{kind}.pause"]


async def test_a_filter_becomes_no_wider_by_an_erasure(clockwork: Clockwork, ours: Scope) -> None:
    gone = new_id("doc")
    made = await clockwork.triggers.create(
        ours, name="one", on="document.ingested", type="note", filter={"document": gone}, input={"text": "{document}"}
    )
    async with clockwork.store.under(ours) as db:
        await clockwork.triggers.blot(db, [gone])
    resumed = await clockwork.triggers.resume(ours, made.trigger.id)
    assert (resumed.filter, resumed.input) == ({"document": BLOT}, {"text": "{document}"})
    async with clockwork.store.under(ours) as db:
        await clockwork.triggers.happened(db, "document.ingested", INGESTED, label=Label())
    assert await clockwork.runs(ours) == []


# -- erasure: persons -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["input", "name", "label"])
async def test_what_names_an_erased_person_is_deleted(
    clockwork: Clockwork, orders: StandingOrders[Any], make: Make, kind: str, ours: Scope, neighbour: Scope, where: str
) -> None:
    scope = replace(ours, label='{"subjects": ["ada"]}') if where == "label" else ours
    given: dict[str, Any] = {"input": {"text": "hello", "facts": {"about": "ada"}}} if where == "input" else {}
    await make(scope, "a letter to ada" if where == "name" else "a letter", **given)
    other = await make(ours, "adamant", input={"text": "Canada, adamant"})
    theirs = await make(neighbour, "a letter to ada")
    async with clockwork.store.under(ours) as db:
        assert await orders.forget(db, "ada") == 1
    assert (await orders.list(ours)).items == (other,)
    assert (await orders.list(neighbour)).items == (theirs,)
    assert await clockwork.acts(ours, 3) == [f"{kind}.create", f"{kind}.create", f"{kind}.delete"]


async def test_what_was_said_of_an_erased_person_goes_and_its_code_stays(
    clockwork: Clockwork, orders: StandingOrders[Any], make: Make, kind: str, ours: Scope
) -> None:
    made = await make(ours)
    problem = Problem("test.not_agreed", "ada has not agreed.", "Ask ada.")
    async with clockwork.store.under(ours) as db:
        (row,) = await orders._all(db)
        await orders._rewrite(db, made.id, await orders._held(db, row), problem)
    before = await orders.get(ours, made.id)
    assert before.last_problem is not None
    assert "ada" in before.last_problem.message
    async with clockwork.store.under(ours) as db:
        assert await orders.forget(db, "eve") == 0
    assert await orders.get(ours, made.id) == before
    async with clockwork.store.under(ours) as db:
        assert await orders.forget(db, "ada") == 0
        ((code, words),) = await db.rows(tuple, SEALED[kind])
    assert (code, words) == (problem.code, None)
    after = await orders.get(ours, made.id)
    assert after.last_problem is not None
    assert after.last_problem.message == "What was said here has been erased."


async def test_one_that_does_not_open_keeps_no_erasure_from_the_others(
    clockwork: Clockwork, orders: StandingOrders[Any], make: Make, kind: str, ours: Scope
) -> None:
    await make(ours, "bad")
    column = {"schedule": "input", "trigger": "rule"}[kind]
    async with clockwork.store.under(ours) as db:
        await db.run(Query("test", "spoil", f"update workflows.{kind} set {column} = 'spoilt'"))
    await make(ours, "about ada")
    async with clockwork.store.under(ours) as db:
        assert await orders.forget(db, "ada") == 1
        assert await orders.blot(db, [new_id("doc")]) == 0


# -- names ------------------------------------------------------------------------------------------

WORDS = st.text(alphabet="ab: _-.", min_size=1, max_size=6)
IDS = st.text(alphabet="ab_", min_size=1, max_size=3)


@given(IDS, st.recursive(WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner), max_leaves=6))
def test_what_is_blotted_names_nothing_any_more(name: str, value: Any) -> None:
    named = Named([name])
    assert not named.found_in(named.blotted(value))
    if not named.found_in(value):
        assert named.blotted(value) == value


@pytest.mark.parametrize(
    "value", ["ada", "to ada.", "(ada)", ["x", "ada"], {"ada": 1}, {"to": [{"x": "ada"}]}], ids=str
)
def test_a_name_is_found_wherever_it_stands(value: Any) -> None:
    assert Named(["eve", "ada"]).found_in(value)


@pytest.mark.parametrize("value", ["", "Canada", "adam", "Ada", 5, None, True, [], {"x": ["adage"]}])
def test_a_part_of_a_word_is_no_name(value: Any) -> None:
    assert not Named(["ada"]).found_in(value)
    assert Named([]).found_in(value) is False
