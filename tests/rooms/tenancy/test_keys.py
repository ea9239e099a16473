"""The models that a key may name, and its secret: changed while it is used, and never beyond the rights of who does."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.tenancy.conftest import Founded

from bastide.errors import (
    BadKeyTerm,
    BadModelList,
    BeyondOwnRights,
    DisabledKey,
    ExpiredKey,
    UnknownIdentity,
    UnknownKey,
)
from bastide.store import Scope
from bastide.tenancy import ROLES

RIGHTS = ("model:use",)


async def test_a_key_keeps_its_list_and_a_change_holds_here_and_elsewhere(founded: Founded, ours: Scope) -> None:
    tenancy, elsewhere = founded.tenancy, founded.elsewhere
    made = await tenancy.create_key(ours, role="member", models=["lane", "local/*", "lane"])
    assert made.about.models == ("lane", "local/*")
    assert (await tenancy.get_key(ours, made.about.id)) == made.about
    assert made.about in (await tenancy.list_keys(ours)).items
    for process in (tenancy, elsewhere):
        scope = await process.authenticate(made.key)
        assert [scope.may_name(name) for name in ("lane", "local/x", "lanes", "local", "")] == [True, True] + 3 * [
            False
        ]
    user = await tenancy.create_user(ours, email="ana@example.org")
    assert (await tenancy.authenticate(made.key, user=user.id)).models == ("lane", "local/*"), (
        "narrowed, it still holds"
    )
    assert (await tenancy.bind_key(ours, made.about.id, ["other"])).models == ("other",)
    assert (await tenancy.authenticate(made.key)).models == ("other",), "at once in this process"
    changed = time.monotonic()
    while (await elsewhere.authenticate(made.key)).models != ("other",):  # remembered for two seconds, not longer
        assert time.monotonic() - changed < 60
    assert (await tenancy.bind_key(ours, made.about.id, None)).models is None
    assert (await tenancy.authenticate(made.key)).may_name("anything")


async def test_late_work_names_what_its_key_may_name_now(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    made = await tenancy.create_key(ours, role="member", models=["lane"])

    async def late() -> Scope:
        who = {"user": None, "app": None, "key": made.about.id, "permissions": RIGHTS, "label": None}
        return await tenancy.scope_of_work(ours.tenant, **who)

    assert (await late()).models == ("lane",)
    assert await late() == await late()
    await tenancy.bind_key(ours, made.about.id, ["other"])
    assert (await late()).models == ("other",)


@pytest.mark.parametrize(
    "models",
    [
        [],
        [""],
        ["*a"],
        ["a*b"],
        ["a**"],
        ["auto"],
        ["a b"],
        ["x" * 129],
        ["\0"],
        ["lane", "ü"],
        [f"m{n}" for n in range(101)],
    ],
    ids=lambda models: str(models)[:20],
)
async def test_a_list_that_means_nothing_is_refused(founded: Founded, ours: Scope, models: list[str]) -> None:
    made = await founded.tenancy.create_key(ours, role="member")
    with pytest.raises(BadModelList):
        await founded.tenancy.create_key(ours, role="member", models=models)
    with pytest.raises(BadModelList):
        await founded.tenancy.bind_key(ours, made.about.id, models)


async def test_who_has_a_list_gives_no_key_without_one(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    maker = await tenancy.authenticate((await tenancy.create_key(ours, role="administrator", models=["a*"])).key)
    free = await tenancy.create_key(ours, role="member", models=["abc"])
    for models in (None, ["*"], ["b"], ["abc", "b*"]):
        with pytest.raises(BeyondOwnRights):
            await tenancy.create_key(maker, role="member", models=models)
        with pytest.raises(BeyondOwnRights):
            await tenancy.bind_key(maker, free.about.id, models)
        with pytest.raises(BeyondOwnRights):
            await tenancy.bind_key(maker, maker.key or "", models)
    assert (await tenancy.create_key(maker, role="member", models=["abc", "ab*"])).about.models == ("ab*", "abc")


async def test_a_rotated_key_stays_what_it_is(founded: Founded, ours: Scope) -> None:
    tenancy, elsewhere = founded.tenancy, founded.elsewhere
    app = await tenancy.create_app(ours, name="letters")
    rights = ["model:use", "work:read"]
    made = await tenancy.create_key(
        ours, role="member", app=app.id, permissions=rights, gateway=False, expires_days=9, models=["lane"]
    )
    before = await tenancy.authenticate(made.key)
    assert await elsewhere.authenticate(made.key) == before
    again = await tenancy.rotate_key(ours, made.about.id, keep_hours=1)
    assert replace(again.about, former_until=None, used_at=None) == made.about
    assert await tenancy.authenticate(again.key) == before
    assert await tenancy.authenticate(made.key) == before, "for an hour"
    third = await tenancy.rotate_key(ours, made.about.id, expires_days=30)
    assert third.about.expires_at is not None
    assert made.about.expires_at is not None
    assert third.about.expires_at > made.about.expires_at
    with pytest.raises(UnknownKey):
        await tenancy.authenticate(made.key)
    with pytest.raises(ExpiredKey):
        await tenancy.authenticate(again.key)
    assert await tenancy.authenticate(third.key) == before
    changed = time.monotonic()
    while True:  # remembered for two seconds, not longer
        try:
            await elsewhere.authenticate(made.key)
        except UnknownKey:
            break
        assert time.monotonic() - changed < 60
    await tenancy.bind_key(ours, made.about.id, ["other"])
    assert (await tenancy.authenticate(third.key)).models == ("other",)
    await tenancy.disable_key(ours, made.about.id)
    with pytest.raises(DisabledKey):
        await tenancy.authenticate(third.key)
    with pytest.raises(UnknownIdentity):
        await tenancy.rotate_key(ours, made.about.id)


async def test_nobody_gains_the_secret_of_a_key_that_may_more(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    strong = await tenancy.create_key(ours, role="administrator")
    free = await tenancy.create_key(ours, role="member")
    weak = await tenancy.create_key(ours, role="administrator", permissions=["key:manage", *ROLES["member"]])
    listed = await tenancy.create_key(ours, role="administrator", models=["a*"])
    for maker, key in ((weak, strong), (listed, free), (listed, strong)):
        with pytest.raises(BeyondOwnRights):
            await tenancy.rotate_key(await tenancy.authenticate(maker.key), key.about.id)
    assert (await tenancy.rotate_key(await tenancy.authenticate(weak.key), free.about.id)).about.id == free.about.id
    for wrong in ({"keep_hours": -1}, {"keep_hours": 721}, {"keep_hours": float("nan")}, {"expires_days": 0}):
        with pytest.raises(BadKeyTerm):
            await tenancy.rotate_key(ours, free.about.id, **wrong)


NAMES = st.text("ab/", min_size=1, max_size=3).filter(lambda name: name[0] != "/")
LISTS = st.lists(st.one_of(NAMES, NAMES.map(lambda name: f"{name}*"), st.just("*")), min_size=1, max_size=3)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(own=LISTS, given_on=LISTS, name=st.text("ab/", max_size=5))
async def test_no_list_goes_beyond_its_makers(
    founded: Founded, ours: Scope, own: list[str], given_on: list[str], name: str
) -> None:
    maker = replace(ours, models=tuple(own))
    try:
        made = await founded.tenancy.create_key(maker, role="worker", models=given_on)
    except BeyondOwnRights:
        return
    assert maker.may_name(name) or not replace(ours, models=made.about.models).may_name(name)
