"""What is changed in one process binds the others at once; the times after which they would look are made long here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import psycopg
import pytest
from tests.rooms.listening import heard

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import DatabaseUnavailable, UnknownModel
from bastide.inference import Inference, ModelRoute, ModelSpec
from bastide.inference.adapters.offering import Offered
from bastide.policy import Endpoint, Label, Policy
from bastide.settings import EgressSettings, InferenceSettings, PolicySettings, Settings
from bastide.store import Scope, Store
from bastide.testing import ScriptedModel

RECORD = "test/good"
LONG_S = 600.0


@dataclass(frozen=True)
class Other:
    """Another process on the same home."""

    store: Store
    policy: Policy
    inference: Inference


@pytest.fixture(scope="module")
async def other(settings: Settings, store: Store) -> AsyncIterator[Other]:
    own = Store(settings.store)
    await own.start()
    audit = Audit(own, settings.audit)
    policy = Policy(own, audit, PolicySettings(home=settings.store.home, fresh_s=LONG_S))
    inference = Inference(own, audit, policy, Egress(EgressSettings()), InferenceSettings(home=settings.store.home))
    await policy.start()
    await inference.start()
    yield Other(own, policy, inference)
    await inference.stop()
    await policy.stop()
    await own.stop()


@pytest.fixture(scope="module")
async def here(settings: Settings, store: Store) -> AsyncIterator[Other]:
    audit = Audit(store, settings.audit)
    policy = Policy(store, audit, PolicySettings(home=settings.store.home))
    inference = Inference(store, audit, policy, Egress(EgressSettings()), InferenceSettings(home=settings.store.home))
    await policy.start()
    await inference.start()
    yield Other(store, policy, inference)
    await inference.stop()
    await policy.stop()


async def soon(seen: Callable[[], Awaitable[bool]]) -> None:
    """Within a minute, where it would otherwise take ten."""
    async with asyncio.timeout(60):
        while not await seen():
            await asyncio.sleep(0.01)


async def test_a_policy(here: Other, other: Other, ours: Scope, neighbour: Scope) -> None:
    await heard(other.store)
    before = await other.policy.refresh(ours)
    theirs = await other.policy.refresh(neighbour)
    changes = other.policy.changes
    await here.policy.set_policy(ours, before)
    await soon(lambda: _version(other, ours, before.version + 1))
    assert other.policy.changes > changes, "plans that rest on it are worked out anew"
    assert (await other.policy.refresh(neighbour)) is theirs, "the neighbour's is not even read"


async def _version(other: Other, scope: Scope, version: int) -> bool:
    return (await other.policy.refresh(scope)).version == version


async def test_a_policy_in_doubt_that_cannot_be_read_lets_nothing_begin(
    here: Other, settings: Settings, ours: Scope
) -> None:
    own = Store(settings.store)
    await own.start()
    policy = Policy(own, Audit(own, settings.audit), PolicySettings(home=settings.store.home, fresh_s=LONG_S))
    await policy.start()
    await heard(own)
    await policy.refresh(ours)
    await own.stop()
    own.presence.gone()
    assert policy.at_hand(ours), "without a change it outlives the database"
    policy._laws.doubt(ours.tenant)
    assert not policy.at_hand(ours)
    with pytest.raises(DatabaseUnavailable):
        await policy.refresh(ours)
    await policy.stop()
    await own.presence.stop()


async def test_the_quarantine(here: Other, other: Other, ours: Scope) -> None:
    await heard(other.store)
    await other.policy.refresh(ours)
    record = here.policy.records()[0].id
    await here.policy.contradict(record, "another key")

    async def seen() -> bool:
        await other.policy.refresh(ours)
        return other.policy._quarantine.found(record) == "another key"

    await soon(seen)
    operator = Scope(ours.tenant, None, None, frozenset(), ours.permissions | {"platform:operate"})
    await here.policy.release(operator, record)

    async def released() -> bool:
        await other.policy.refresh(ours)
        return other.policy._quarantine.found(record) != "another key"

    await soon(released)


async def test_the_quarantine_binds_who_has_just_set_a_policy_too(here: Other, other: Other, ours: Scope) -> None:
    """A law that is set here is read by nobody: what was heard before that must still be looked at."""
    await heard(other.store)
    record = here.policy.records()[0].id
    await here.policy.contradict(record, "another key")
    await heard(other.store)  # and so that, too
    await other.policy.enable(ours, record)
    await other.policy.refresh(ours)
    verdict = other.policy.decide(ours, Label(), Endpoint("there", record, "m", "api"), capability="chat")
    assert "R15" in {one.id for one in verdict.failed}
    operator = Scope(ours.tenant, None, None, frozenset(), ours.permissions | {"platform:operate"})
    await here.policy.release(operator, record)


async def test_models_and_routes(here: Other, other: Other, ours: Scope) -> None:
    await heard(other.store)
    views = other.inference.gateway.views
    async with ScriptedModel("Here.") as server:
        await here.inference.add_model(ours, ModelSpec("first", url=server.url, local=True))
        view = await views.read(ours)
        view.read_at += LONG_S
        await here.inference.add_model(ours, ModelSpec("second", url=server.url, local=True))

        async def seen() -> bool:
            now = views.at_hand(ours) or await views.read(ours)
            return len(now.group("chat", None).targets) == 3  # and the built-in one

        await soon(seen)
        assert views.known(ours.tenant) is not view, "plans that rest on the old one end"
        known = await views.read(ours)
        known.read_at += LONG_S
        await here.inference.remove_model(ours, "first")

        async def gone() -> bool:
            try:
                (views.at_hand(ours) or await views.read(ours)).group("chat", "first")
            except UnknownModel:
                return True
            return False

        await soon(gone)


async def test_budgets_and_rates(here: Other, other: Other, ours: Scope) -> None:
    await heard(other.store)
    accounts = other.inference._accounts
    await accounts.fetch(ours)
    accounts._keeper.books[ours.tenant].read_at += LONG_S
    await here.inference.accounts.set_rate(ours, of="tenant", requests=1)

    async def bound() -> bool:
        if not accounts.at_hand(ours):
            await accounts.fetch(ours)
        return bool(accounts._keeper.books[ours.tenant].purse(ours, "m").gates)

    await soon(bound)


async def _a_route(here: Other, scope: Scope) -> None:
    await here.inference.routes.add(scope, ModelRoute("way", ("local/extractive",)))


async def _no_route(here: Other, scope: Scope) -> None:
    await here.inference.routes.remove(scope, "way")


async def _a_price(here: Other, scope: Scope, price: float = 1.0) -> None:
    model = here.inference._local.models()[0]
    await here.inference.catalogue.kept(scope, model, [Offered("offered", input=price, output=2.0, currency="EUR")])


async def _another_price(here: Other, scope: Scope) -> None:
    await _a_price(here, scope, 3.0)


async def _a_department(here: Other, scope: Scope) -> None:
    await here.inference.accounts.set_department(scope, kind="app", subject="app_desk", name="Sales")


async def _no_department(here: Other, scope: Scope) -> None:
    await here.inference.accounts.set_department(scope, kind="app", subject="app_desk", name="")


async def _kept(here: Other, scope: Scope) -> None:
    await here.inference.accounts.keep_answers(scope, "*")


async def _dropped(here: Other, scope: Scope) -> None:
    await here.inference.accounts.drop_answers(scope, "*")


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        ("models", (_a_route, _no_route)),
        ("models", (_a_price, _another_price)),
        ("accounts", (_a_department, _no_department)),
        ("accounts", (_kept, _dropped)),
    ],
)
async def test_routes_prices_departments_and_kept_answers(
    here: Other, other: Other, ours: Scope, topic: str, changes: tuple[Callable[[Other, Scope], Awaitable[None]], ...]
) -> None:
    await heard(other.store)
    told: list[str] = []
    leave = other.store.hearing.of_tenants(f"inference.{topic}", told.append)
    for change in changes:
        told.clear()
        await change(here, ours)

        async def seen() -> bool:
            return ours.tenant in told

        await soon(seen)
        assert set(told) == {ours.tenant}, "it is told of whom"
    leave()


async def test_who_leaves_hears_no_more_and_a_lost_connection_is_told(store: Store, settings: Settings) -> None:
    own = Store(settings.store)
    await own.start()
    told: list[str] = []
    leave = own.hearing.on("topic", told.append)
    async with asyncio.timeout(60):
        while told != [""]:
            await asyncio.sleep(0.01)
    async with store.as_owner(reason="tell") as owner:
        await owner.execute("select pg_notify('changed', 'topic of this'), pg_notify('changed', 'other')")
        async with asyncio.timeout(60):
            while told != ["", "of this"]:
                await asyncio.sleep(0.01)
        assert own._server is not None, "the database of tests is embedded"
        async with await psycopg.AsyncConnection.connect(own._superuser_url(own._server), autocommit=True) as superuser:
            listening = "datname is not null and query = 'listen \"changed\"' and pid <> pg_backend_pid()"
            await superuser.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {listening}")
        async with asyncio.timeout(60):
            while told != ["", "of this", ""]:
                await asyncio.sleep(0.01)
        leave()
        await owner.execute("select pg_notify('changed', 'topic of this')")
        await asyncio.sleep(0.1)
    assert told == ["", "of this", ""]
    await own.stop()
