"""Tenants, users, apps and keys: made, listed, disabled; never seen by a neighbour; always recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.rooms.tenancy.conftest import Founded

from bastide.errors import (
    BadIdentityName,
    BadKeyTerm,
    BadRole,
    BeyondOwnRights,
    Forbidden,
    NameTaken,
    Refusal,
    UnknownIdentity,
    UnknownTenant,
)
from bastide.store import Query, Scope, new_id, to_uuid
from bastide.tenancy import PERMISSIONS, ROLES, Tenancy

TABLES = ("tenant", "member", "app", "key")
Operation = Callable[[Tenancy, Scope, str], Awaitable[object]]


async def test_six_first_starts_make_one_home_and_one_key(founded: Founded) -> None:
    assert sum(key is not None for key in founded.first_keys) == 1
    assert await founded.elsewhere.first_start() is None
    tenants = (await founded.tenancy.list_tenants(founded.platform, limit=500)).items
    assert [each.name for each in tenants if each.home] == ["home"]
    assert founded.platform.permissions == frozenset(PERMISSIONS)


async def test_a_tenant_and_what_is_in_it(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    user = await tenancy.create_user(ours, email=" Ana@Example.ORG ", name="Ana  Díaz", roles=["member", "dpo"])
    app = await tenancy.create_app(ours, name="letters")
    key = await tenancy.create_key(ours, role="member", user=user.email, app=app.name, expires_days=1)
    assert (user.email, user.name, user.roles) == ("ana@example.org", "Ana Díaz", ["dpo", "member"])
    assert await tenancy.get_user(ours, "ANA@example.org") == user == await tenancy.get_user(ours, user.id)
    assert await tenancy.get_app(ours, app.id) == app
    assert (key.about.user, key.about.app, key.about.tenant) == (user.id, app.id, ours.tenant)
    assert await tenancy.get_key(ours, key.about.id) == key.about
    assert (await tenancy.list_users(ours)).items == (user,)
    assert (await tenancy.list_apps(ours)).items == (app,)
    assert key.key not in repr(key)
    assert key.to_wire()["key"] == key.key
    assert key.key.startswith("bst_")
    assert len(key.key) >= 4 + 43, "at least 256 bits in base 64"


async def test_lists_are_paged_to_the_end(founded: Founded, ours: Scope) -> None:
    made = [await founded.tenancy.create_app(ours, name=f"app {number}") for number in range(7)]
    seen, cursor = [], None
    while True:
        page = await founded.tenancy.list_apps(ours, cursor=cursor, limit=3)
        seen += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == made


# -- isolation --------------------------------------------------------------------------------------


async def test_two_tenants_with_the_same_names_see_no_trace(founded: Founded, ours: Scope, neighbour: Scope) -> None:
    tenancy = founded.tenancy
    for scope in (ours, neighbour):
        user = await tenancy.create_user(scope, email="ana@example.org", name="Ana")
        app = await tenancy.create_app(scope, name="letters")
        assert (await tenancy.list_users(scope)).items == (user,)
        assert (await tenancy.list_apps(scope)).items == (app,)


FOREIGN: dict[str, tuple[type[Refusal], Operation]] = {
    "get_user": (UnknownIdentity, lambda t, s, id_: t.get_user(s, id_)),
    "disable_user": (UnknownIdentity, lambda t, s, id_: t.disable_user(s, id_)),
    "get_app": (UnknownIdentity, lambda t, s, id_: t.get_app(s, id_)),
    "disable_app": (UnknownIdentity, lambda t, s, id_: t.disable_app(s, id_)),
    "get_key": (UnknownIdentity, lambda t, s, id_: t.get_key(s, id_)),
    "disable_key": (UnknownIdentity, lambda t, s, id_: t.disable_key(s, id_)),
    "bind_key": (UnknownIdentity, lambda t, s, id_: t.bind_key(s, id_, ["lane"])),
    "rotate_key": (UnknownIdentity, lambda t, s, id_: t.rotate_key(s, id_)),
    "create_key, user": (UnknownIdentity, lambda t, s, id_: t.create_key(s, role="member", user=id_)),
    "create_key, app": (UnknownIdentity, lambda t, s, id_: t.create_key(s, role="member", app=id_)),
    "get_tenant": (UnknownTenant, lambda t, s, id_: t.get_tenant(s, id_)),
    "list_users of": (UnknownTenant, lambda t, s, id_: t.list_users(s, tenant=id_)),
    "list_apps of": (UnknownTenant, lambda t, s, id_: t.list_apps(s, tenant=id_)),
    "list_keys of": (UnknownTenant, lambda t, s, id_: t.list_keys(s, tenant=id_)),
    "create_user in": (UnknownTenant, lambda t, s, id_: t.create_user(s, email="a@b.c", tenant=id_)),
    "create_app in": (UnknownTenant, lambda t, s, id_: t.create_app(s, name="x", tenant=id_)),
    "create_key in": (UnknownTenant, lambda t, s, id_: t.create_key(s, role="member", tenant=id_)),
}


@pytest.mark.parametrize("operation", FOREIGN)
async def test_foreign_and_absent_are_told_alike(
    founded: Founded, ours: Scope, neighbour: Scope, operation: str
) -> None:
    tenancy = founded.tenancy
    error, act = FOREIGN[operation]
    user = await tenancy.create_user(ours, email="ana@example.org")
    app = await tenancy.create_app(ours, name="letters")
    key = await tenancy.create_key(ours, role="member")
    if error is UnknownTenant:
        ids = [ours.tenant, (await tenancy.get_tenant(ours, ours.tenant)).name, new_id("ten")]
    else:
        ids = [user.id, app.id, key.about.id, "ana@example.org", "letters", new_id("usr")]
    told = set()
    for each in [*ids, "", "\0", "\ud800", "' or true --", "x" * 100_000]:
        with pytest.raises(error) as caught:
            await act(tenancy, neighbour, each)
        told.add((caught.value.code, caught.value.message, caught.value.next_step, tuple(caught.value.facts.items())))
    assert len(told) == 1
    assert not (await tenancy.get_user(ours, user.id)).disabled_at
    assert not (await tenancy.get_key(ours, key.about.id)).disabled_at


NEEDS: dict[str, tuple[str, Operation]] = {
    "create_tenant": ("platform:operate", lambda t, s, id_: t.create_tenant(s, id_)),
    "disable_tenant": ("platform:operate", lambda t, s, id_: t.disable_tenant(s, s.tenant)),
    "create_user": ("tenant:manage", lambda t, s, id_: t.create_user(s, email="a@b.c")),
    "list_users": ("tenant:manage", lambda t, s, id_: t.list_users(s)),
    "get_user": ("tenant:manage", lambda t, s, id_: t.get_user(s, id_)),
    "disable_user": ("tenant:manage", lambda t, s, id_: t.disable_user(s, id_)),
    "create_app": ("tenant:manage", lambda t, s, id_: t.create_app(s, name="x")),
    "list_apps": ("tenant:manage", lambda t, s, id_: t.list_apps(s)),
    "get_app": ("tenant:manage", lambda t, s, id_: t.get_app(s, id_)),
    "disable_app": ("tenant:manage", lambda t, s, id_: t.disable_app(s, id_)),
    "create_key": ("key:manage", lambda t, s, id_: t.create_key(s, role="member")),
    "list_keys": ("key:manage", lambda t, s, id_: t.list_keys(s)),
    "get_key": ("key:manage", lambda t, s, id_: t.get_key(s, id_)),
    "disable_key": ("key:manage", lambda t, s, id_: t.disable_key(s, id_)),
    "bind_key": ("key:manage", lambda t, s, id_: t.bind_key(s, id_, ["lane"])),
    "rotate_key": ("key:manage", lambda t, s, id_: t.rotate_key(s, id_)),
}


@pytest.mark.parametrize("operation", NEEDS)
async def test_each_operation_needs_its_permission(founded: Founded, ours: Scope, operation: str) -> None:
    needed, act = NEEDS[operation]
    for rights in (frozenset(), ROLES["worker"], ROLES["member"], ours.permissions - {needed}):
        with pytest.raises(Forbidden) as caught:
            await act(founded.tenancy, replace(ours, permissions=rights), new_id("usr"))
        assert caught.value.facts["needs"] == needed


@pytest.mark.parametrize("table", TABLES)
async def test_raw_sql_sees_no_foreign_row(founded: Founded, ours: Scope, neighbour: Scope, table: str) -> None:
    for scope in (ours, neighbour):
        await founded.tenancy.create_user(scope, email="ana@example.org")
        await founded.tenancy.create_app(scope, name="letters")
    owners = Query("test", "owners", f"select distinct tenant_id from tenancy.{table}")
    async with founded.store.under(ours) as db:
        assert await db.rows(tuple, owners) == [(to_uuid(ours.tenant),)]
    async with founded.store.as_anybody() as db:
        assert await db.rows(tuple, owners) == []


async def test_a_tenant_cannot_make_itself_the_home(founded: Founded, ours: Scope) -> None:
    for change in ("update tenancy.tenant set home = true", "delete from tenancy.tenant"):
        with pytest.raises(Exception, match="permission denied"):
            async with founded.store.under(ours) as db:
                await db.run(Query("test", "change", change))


# -- rights -----------------------------------------------------------------------------------------


async def test_nobody_gives_more_than_he_has(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    narrow = await tenancy.create_key(ours, role="administrator", permissions=["key:manage", "knowledge:read"])
    scope = await tenancy.authenticate(narrow.key)
    with pytest.raises(BeyondOwnRights) as caught:
        await tenancy.create_key(scope, role="member")
    assert caught.value.facts["beyond"] == ["knowledge:write", "model:use", "policy:read", "work:read", "work:run"]
    given = await tenancy.create_key(scope, role="member", permissions=["knowledge:read"])
    assert (await tenancy.authenticate(given.key)).permissions == {"knowledge:read"}


async def test_the_platform_is_not_gained_by_making_a_key(founded: Founded) -> None:
    """An administrator of the home tenant whose key leaves the platform out stays without it."""
    tenancy = founded.tenancy
    rights = sorted(frozenset(PERMISSIONS) - {"platform:operate"})
    key = await tenancy.create_key(founded.platform, role="administrator", permissions=rights)
    scope = await tenancy.authenticate(key.key)
    assert "platform:operate" not in scope.permissions
    with pytest.raises(BeyondOwnRights):
        await tenancy.create_key(scope, role="administrator")
    with pytest.raises(BeyondOwnRights):
        await tenancy.create_user(scope, email="climber@example.org", roles=["administrator"])


async def test_no_tenant_but_home_has_the_platform(founded: Founded, ours: Scope) -> None:
    assert "platform:operate" not in ours.permissions
    with pytest.raises(BadRole, match="platform:operate"):
        await founded.tenancy.create_key(ours, role="administrator", permissions=["platform:operate"])


@pytest.mark.parametrize(
    "options",
    [
        {"role": "king"},
        {"role": ""},
        {"role": "member", "permissions": ["audit:read"]},
        {"role": "member", "permissions": ["knowledge:everything"]},
        {"role": "member", "expires_days": 0},
        {"role": "member", "expires_days": -1},
        {"role": "member", "expires_days": float("nan")},
        {"role": "member", "expires_days": 4_000},
    ],
)
async def test_a_key_is_refused_with_its_reason(founded: Founded, ours: Scope, options: dict[str, object]) -> None:
    with pytest.raises(BadKeyTerm if "expires_days" in options else BadRole):
        await founded.tenancy.create_key(ours, **options)  # type: ignore[arg-type]


async def test_the_platform_administers_any_tenant(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    name = (await tenancy.get_tenant(founded.platform, ours.tenant)).name
    user = await tenancy.create_user(founded.platform, email="ana@example.org", tenant=name)
    assert (await tenancy.list_users(ours)).items == (user,)
    assert user.id not in {each.id for each in (await tenancy.list_users(founded.platform, limit=500)).items}


# -- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "   ", "\0", "a\0b", "x" * 201, "x" * 10_000, "\u202eevil", "zero\u200bwidth", "\ud800", new_id("ten")],
    ids=["empty", "blank", "NUL", "NUL inside", "201", "10,000", "turned", "hidden", "half a pair", "an id"],
)
async def test_a_name_that_cannot_be_shown_is_refused(founded: Founded, ours: Scope, name: str) -> None:
    with pytest.raises(BadIdentityName):
        await founded.tenancy.create_tenant(founded.platform, name)
    with pytest.raises(BadIdentityName):
        await founded.tenancy.create_app(ours, name=name)


@pytest.mark.parametrize("email", ["", "ana", "ana@", "@x", "a b@x", "a@x\0", "a@" + "x" * 300, "a@b@c", "a@\u202e"])
async def test_a_wrong_address_is_refused(founded: Founded, ours: Scope, email: str) -> None:
    with pytest.raises(BadIdentityName):
        await founded.tenancy.create_user(ours, email=email)


@pytest.mark.parametrize("name", ["Stadtwerke Köln", "Δήμος Αθηναίων", "Gmina Łódź", "عربي", "🏰 Bastide", "a" * 200])
async def test_names_of_any_script(founded: Founded, name: str) -> None:
    made = await founded.tenancy.create_tenant(founded.platform, name)
    assert await founded.tenancy.get_tenant(founded.platform, name) == made
    with pytest.raises(NameTaken):
        await founded.tenancy.create_tenant(founded.platform, name)


async def test_what_looks_the_same_is_the_same(founded: Founded, ours: Scope) -> None:
    made = await founded.tenancy.create_app(ours, name="caf\u00e9  one")
    with pytest.raises(NameTaken):
        await founded.tenancy.create_app(ours, name="cafe\u0301 one")
    assert await founded.tenancy.get_app(ours, "cafe\u0301 one") == made


async def test_one_of_many_gets_the_name(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    name = f"wanted {new_id('x')}"
    attempts: dict[str, list[Awaitable[object]]] = {
        "tenant": [tenancy.create_tenant(founded.platform, name) for _ in range(6)],
        "app": [tenancy.create_app(ours, name=name) for _ in range(6)],
        "user": [tenancy.create_user(ours, email="one@example.org") for _ in range(6)],
    }
    for each in attempts.values():
        outcomes = await asyncio.gather(*each, return_exceptions=True)
        assert sum(isinstance(outcome, NameTaken) for outcome in outcomes) == 5
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


# -- the record -------------------------------------------------------------------------------------


async def test_every_change_is_recorded_with_it(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    user = await tenancy.create_user(ours, email="ana@example.org")
    app = await tenancy.create_app(ours, name="letters")
    key = await tenancy.create_key(ours, role="member")
    await tenancy.bind_key(ours, key.about.id, ["lane"])
    again = await tenancy.rotate_key(ours, key.about.id, keep_hours=1)
    await tenancy.disable_key(ours, key.about.id)
    await tenancy.disable_app(ours, app.id)
    await tenancy.disable_user(ours, user.id)
    for _ in range(100):
        events = (await founded.audit.events(ours, limit=50)).items
        if len(events) >= 9:
            break
        await asyncio.sleep(0.05)
    found = [(each.act, each.resource) for each in events if each.resource != ours.key]
    assert sorted(found) == sorted(
        [
            ("user.create", user.id),
            ("app.create", app.id),
            ("key.create", key.about.id),
            ("key.bind", key.about.id),
            ("key.rotate", key.about.id),
            ("key.disable", key.about.id),
            ("app.disable", app.id),
            ("user.disable", user.id),
        ]
    )
    assert all(secret not in str(each) for each in events for secret in (key.key, again.key))


async def test_a_refused_change_leaves_no_record(founded: Founded, ours: Scope) -> None:
    await founded.tenancy.create_app(ours, name="letters")
    waiting = Query("test", "waiting", "select count(*) from tenancy.app")
    with pytest.raises(NameTaken):
        await founded.tenancy.create_app(ours, name="letters")
    async with founded.store.under(ours) as db:
        assert await db.value(waiting) == 1
    await asyncio.sleep(1.2)
    acts = [each.act for each in (await founded.audit.events(ours, limit=50)).items]
    assert acts.count("app.create") == 1
