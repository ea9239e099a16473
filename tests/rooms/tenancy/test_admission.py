"""From a key and three headers to a scope: what narrows, what is refused, and how soon a change is felt."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.tenancy.conftest import Founded

from bastide import telemetry
from bastide.errors import (
    DisabledKey,
    ExpiredKey,
    ForeignApp,
    ForeignCompany,
    ForeignUser,
    MalformedHeader,
    MissingHeader,
    Refusal,
    Unauthorised,
    UnknownKey,
)
from bastide.store import Query, Scope, new_id, to_uuid
from bastide.tenancy import PERMISSIONS, ROLES


@pytest.mark.parametrize("bearer", [None, ""])
async def test_without_a_key_nobody_is_known(founded: Founded, bearer: str | None) -> None:
    with pytest.raises(Unauthorised) as caught:
        await founded.tenancy.authenticate(bearer)
    assert (caught.value.code, caught.value.status) == ("tenancy.no_key", 401)


@pytest.mark.parametrize(
    "bearer",
    [
        "x",
        "bst_",
        "bst_" + "0" * 64,
        "bst_" + "0" * 65,
        "bst_\0",
        "bst_' or true --",
        "bst_" + "ü" * 40,
        "\ud800",
        "b" * 10**6,
    ],
    ids=str.__len__,
)
async def test_an_unknown_key_is_unknown(founded: Founded, bearer: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        await founded.tenancy.authenticate(bearer)
    assert caught.value.code == "tenancy.unknown_key"
    assert bearer not in str(caught.value.to_wire()) or len(bearer) < 5


async def test_the_key_itself_is_nowhere(founded: Founded, ours: Scope) -> None:
    key = await founded.tenancy.create_key(ours, role="member")
    rows = Query("test", "rows", "select k::text from tenancy.key k")
    async with founded.store.under(ours) as db:
        text = str(await db.rows(tuple, rows))
    assert key.key not in text
    assert key.key.removeprefix("bst_") not in text
    assert key.key.encode().hex() not in text


async def test_a_key_makes_its_scope(founded: Founded, ours: Scope) -> None:
    for role, rights in ROLES.items():
        key = await founded.tenancy.create_key(ours, role=role)
        scope = await founded.tenancy.authenticate(key.key)
        assert scope.tenant == ours.tenant
        assert (scope.user, scope.app, scope.key) == (None, None, key.about.id)
        assert scope.roles == {role}
        assert scope.permissions == rights - {"platform:operate"}


# -- headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["company", "user", "app"])
@pytest.mark.parametrize(
    "form", ["", " ", "x", "ten_", "null", "TEN_" + "0" * 26, "ten_" + "u" * 26, "ten_\0", "key_" + "0" * 26]
)
async def test_a_malformed_header_is_refused(founded: Founded, ours: Scope, header: str, form: str) -> None:
    key = await founded.tenancy.create_key(ours, role="member")
    with pytest.raises(MalformedHeader) as caught:
        await founded.tenancy.authenticate(key.key, **{header: form})
    assert (caught.value.status, caught.value.facts["header"]) == (400, f"X-{header.capitalize()}-ID")


async def test_foreign_headers_are_refused_alike_whether_they_exist_or_not(
    founded: Founded, ours: Scope, neighbour: Scope
) -> None:
    tenancy = founded.tenancy
    key = await tenancy.create_key(ours, role="member")
    theirs = await tenancy.create_user(neighbour, email="ana@example.org")
    program = await tenancy.create_app(neighbour, name="letters")
    for header, foreign, absent, error in (
        ("company", neighbour.tenant, new_id("ten"), ForeignCompany),
        ("user", theirs.id, new_id("usr"), ForeignUser),
        ("app", program.id, new_id("app"), ForeignApp),
    ):
        told = set()
        for value in (foreign, absent):
            with pytest.raises(error) as caught:
                await tenancy.authenticate(key.key, **{header: value})
            assert caught.value.status == 403
            told.add(str(caught.value.to_wire()))
        assert len(told) == 1


async def test_headers_narrow_to_the_user_and_the_app(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    user = await tenancy.create_user(ours, email="ana@example.org", roles=["auditor"])
    app = await tenancy.create_app(ours, name="letters")
    key = await tenancy.create_key(ours, role="administrator")
    scope = await tenancy.authenticate(key.key, company=ours.tenant, user=user.id, app=app.id)
    assert (scope.user, scope.app, scope.roles) == (user.id, app.id, {"auditor"})
    assert scope.permissions == ROLES["auditor"]
    member = await tenancy.create_key(ours, role="member")
    assert (await tenancy.authenticate(member.key, user=user.id)).permissions == {"policy:read"}


async def test_a_bound_key_serves_only_its_user_and_app(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    ana, ben = [await tenancy.create_user(ours, email=f"{name}@example.org") for name in ("ana", "ben")]
    letters, lists = [await tenancy.create_app(ours, name=name) for name in ("letters", "lists")]
    key = await tenancy.create_key(ours, role="member", user=ana.id, app=letters.id)
    for given_user in (None, ana.id):
        scope = await tenancy.authenticate(key.key, user=given_user, app=letters.id)
        assert (scope.user, scope.app) == (ana.id, letters.id)
    with pytest.raises(ForeignUser):
        await tenancy.authenticate(key.key, user=ben.id)
    with pytest.raises(ForeignApp):
        await tenancy.authenticate(key.key, app=lists.id)


async def test_a_gateway_must_name_all_three(founded: Founded, ours: Scope) -> None:
    tenancy = founded.tenancy
    user = await tenancy.create_user(ours, email="ana@example.org")
    app = await tenancy.create_app(ours, name="letters")
    key = await tenancy.create_key(ours, role="member", gateway=True)
    headers = {"company": ours.tenant, "user": user.id, "app": app.id}
    assert (await tenancy.authenticate(key.key, **headers)).user == user.id
    for left_out in headers:
        with pytest.raises(MissingHeader):
            await tenancy.authenticate(key.key, **{name: value for name, value in headers.items() if name != left_out})
    with pytest.raises(MissingHeader):
        await tenancy.authenticate(key.key)


# -- how soon ---------------------------------------------------------------------------------------


async def test_an_expired_key_is_refused(founded: Founded, ours: Scope) -> None:
    key = await founded.tenancy.create_key(ours, role="member", expires_days=1)
    assert key.about.expires_at is not None
    assert await founded.tenancy.authenticate(key.key)
    past = Query("test", "past", "update tenancy.key set expires_at = now() - interval '1 second' where id = %(id)s")
    async with founded.store.under(ours) as db:
        await db.run(past, id=key.about.id)
    with pytest.raises(ExpiredKey):
        await founded.elsewhere.authenticate(key.key)
    await asyncio.sleep(2.1)
    with pytest.raises(ExpiredKey):
        await founded.tenancy.authenticate(key.key)


async def test_what_is_disabled_stops_at_once_here_and_soon_elsewhere(founded: Founded) -> None:
    tenancy, elsewhere = founded.tenancy, founded.elsewhere
    ours = await founded.tenant()
    user = await tenancy.create_user(ours, email="ana@example.org")
    app = await tenancy.create_app(ours, name="letters")
    keys = {
        "key": await tenancy.create_key(ours, role="member"),
        "user": await tenancy.create_key(ours, role="member", user=user.id),
        "app": await tenancy.create_key(ours, role="member", app=app.id),
        "tenant": await tenancy.create_key(ours, role="member"),
    }
    free = await tenancy.create_key(founded.platform, tenant=ours.tenant, role="administrator")
    for each in keys.values():
        await tenancy.authenticate(each.key)
        await elsewhere.authenticate(each.key)
    assert (await tenancy.authenticate(free.key, user=user.id, app=app.id)).user == user.id
    await tenancy.disable_key(ours, keys["key"].about.id)
    await tenancy.disable_user(ours, user.id)
    await tenancy.disable_app(ours, app.id)
    with pytest.raises(ForeignUser):
        await tenancy.authenticate(free.key, user=user.id)
    with pytest.raises(ForeignApp):
        await tenancy.authenticate(free.key, app=app.id)
    await tenancy.disable_tenant(founded.platform, ours.tenant)
    changed = time.monotonic()
    for each in [*keys.values(), free]:
        with pytest.raises(DisabledKey):
            await tenancy.authenticate(each.key)
    await asyncio.sleep(max(0, 2.05 - (time.monotonic() - changed)))
    for each in keys.values():
        with pytest.raises(DisabledKey):
            await elsewhere.authenticate(each.key)


async def test_the_home_cannot_lock_itself_out(founded: Founded) -> None:
    with pytest.raises(Refusal):
        await founded.tenancy.disable_tenant(founded.platform, founded.platform.tenant)


async def test_a_change_during_a_look_up_is_not_missed(founded: Founded, ours: Scope) -> None:
    for _ in range(10):
        key = await founded.tenancy.create_key(ours, role="member")
        await asyncio.gather(
            *(founded.tenancy.authenticate(key.key) for _ in range(4)),
            founded.tenancy.disable_key(ours, key.about.id),
            return_exceptions=True,
        )
        with pytest.raises(DisabledKey):
            await founded.tenancy.authenticate(key.key)


async def test_last_use_is_kept(founded: Founded, ours: Scope) -> None:
    key = await founded.tenancy.create_key(ours, role="member")
    assert key.about.used_at is None
    await founded.tenancy.authenticate(key.key)
    assert (await founded.tenancy.get_key(ours, key.about.id)).used_at is not None


async def test_refusals_are_counted_without_the_key(founded: Founded) -> None:
    bearer = "bst_" + "7" * 64
    with pytest.raises(UnknownKey):
        await founded.tenancy.authenticate(bearer)
    page = telemetry.render()
    assert 'bastide_tenancy_refusals_total{reason="unknown_key"}' in page
    assert "7" * 12 not in page  # four of them may stand in a duration


async def test_one_hash_gives_one_row_and_nothing_else_is_lent(founded: Founded, ours: Scope) -> None:
    await founded.tenancy.create_key(ours, role="member")
    ask = Query("test", "ask", "select * from tenancy.authenticate(%(hash)s)")
    for guess in (b"", b"%", None, b"\0" * 32):
        async with founded.store.as_anybody() as db:
            assert await db.rows(tuple, ask, hash=guess) == []
    for table in ("tenant", "member", "app", "key"):
        async with founded.store.as_anybody() as db:
            assert await db.rows(tuple, Query("test", "all", f"select * from tenancy.{table}")) == []


# -- the law ----------------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
async def test_no_scope_goes_beyond_its_key(founded: Founded, data: st.DataObject) -> None:
    """Whatever the key and whatever the headers: never another tenant, never a permission outside the key's."""
    tenancy = founded.tenancy
    people = _people.get(id(founded)) or await _prepare(founded)
    scope, neighbour, users, apps = people
    role = data.draw(st.sampled_from(sorted(ROLES)))
    held = sorted(ROLES[role] - {"platform:operate"})
    listed = data.draw(st.none() | st.lists(st.sampled_from(held), unique=True))
    user = data.draw(st.none() | st.sampled_from(users))
    app = data.draw(st.none() | st.sampled_from(apps))
    gateway = data.draw(st.booleans())
    key = await tenancy.create_key(scope, role=role, permissions=listed, user=user, app=app, gateway=gateway)
    company = data.draw(st.sampled_from([None, scope.tenant, neighbour.tenant, "home", new_id("ten")]))
    as_user = data.draw(st.none() | st.sampled_from([*users, new_id("usr"), neighbour.user or "x"]))
    as_app = data.draw(st.none() | st.sampled_from([*apps, new_id("app")]))
    try:
        made = await tenancy.authenticate(key.key, company=company, user=as_user, app=as_app)
    except Refusal as refusal:
        if refusal.status in {400, 401, 403}:
            return
        raise
    assert made.tenant == scope.tenant
    assert company in {None, scope.tenant}
    assert made.permissions <= frozenset(held if listed is None else listed)
    assert made.permissions <= frozenset(PERMISSIONS) - {"platform:operate"}
    assert made.user == (user or as_user)
    assert made.app == (app or as_app)
    assert not gateway or None not in (company, as_user, as_app)
    if made.user is not None:
        roles = (await tenancy.get_user(scope, made.user)).roles
        assert made.permissions <= frozenset().union(*(ROLES[each] for each in roles))
    who = Query("test", "who", "select store.tenant()")
    async with founded.store.under(made) as db:
        assert await db.value(who) == to_uuid(scope.tenant)


_people: dict[int, tuple[Scope, Scope, list[str], list[str]]] = {}


async def _prepare(founded: Founded) -> tuple[Scope, Scope, list[str], list[str]]:
    scope, neighbour = await founded.tenant(), await founded.tenant()
    users = []
    for number, roles in enumerate((["member"], ["auditor"], ["dpo", "worker"], ["administrator"])):
        made = await founded.tenancy.create_user(scope, email=f"user{number}@example.org", roles=roles)
        users.append(made.id)
    apps = [(await founded.tenancy.create_app(scope, name=name)).id for name in ("letters", "lists")]
    _people[id(founded)] = (scope, neighbour, users, apps)
    return _people[id(founded)]
