"""Budgets hold over processes, survive the loss of the database, and are spent by what was really used."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.conftest import scope_of

from bastide.errors import BadBudget, BudgetSpent, Contended, DatabaseUnavailable, Forbidden, UnknownBudget
from bastide.inference import Usage
from bastide.inference.accounts import Accounts, Admission, Budget, Keeping
from bastide.inference.values import Units
from bastide.policy import Endpoint, Price
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id

from .conftest import Process, member_of

DEAR = Price(10.0, 30.0, "EUR")
FREE = Price(0.0, 0.0, "EUR")


async def call(accounts: Accounts, scope: Scope, tokens: int, *, price: Price = FREE, used: int | None = None) -> None:
    """One call, made and settled."""
    admission = await accounts.admitted(scope, "m", tokens=tokens, price=price)
    settle(admission, tokens if used is None else used, price=price)


def settle(admission: Admission, tokens: int, *, price: Price = FREE) -> None:
    admission.settle(Usage(tokens), cost_eur=tokens * (price.input or 0.0) / 1e6, outcome="done", endpoint="test/place")


async def spent(keeping: Keeping, scope: Scope) -> Budget:
    """The one budget of the tenant, as the database has it."""
    (one,) = await keeping.budgets(scope)
    return one


async def test_a_budget_stops_at_its_limit_and_says_whom_to_ask(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    """maximhq/bifrost #5770: a budget stops calls before it is spent."""
    made = await keeping.set_budget(ours, of="tenant", tokens=1000, contact="finance@example.org")
    for _ in range(10):
        await call(accounts, ours, 100)
    with pytest.raises(BudgetSpent) as refused:
        await call(accounts, ours, 100)
    facts = refused.value.facts
    assert (facts["budget"], facts["limit_tokens"], facts["contact"]) == (made.id, 1000, "finance@example.org")
    assert "finance@example.org" in refused.value.next_step
    assert datetime.fromisoformat(str(facts["renews_at"])) > datetime.now(UTC)
    shown = await spent(keeping, ours)
    assert (shown.spent_tokens, shown.share) == (1000, 1.0)
    with pytest.raises(BudgetSpent) as again:  # now it is known to be spent, and the refusal says so
        await asyncio.sleep(1.1)
        await call(accounts, ours, 1)
    assert again.value.facts["used_tokens"] == 1000
    await keeping.set_budget(ours, of="tenant", tokens=2000)
    await call(accounts, ours, 100)


async def test_zero_is_a_stop_and_money_stops_only_what_costs(
    keeping: Keeping, accounts: Accounts, ours: Scope, neighbour: Scope
) -> None:
    await keeping.set_budget(ours, of="tenant", eur=0.0, period="total")
    with pytest.raises(BudgetSpent) as refused:
        await call(accounts, ours, 10, price=DEAR)
    assert refused.value.facts["renews_at"] is None
    with pytest.raises(BudgetSpent):
        await call(accounts, ours, 10, price=Price())  # a price that nobody knows may be any
    await call(accounts, ours, 10, price=FREE)
    await call(accounts, neighbour, 10, price=DEAR)


async def test_what_was_not_used_comes_back_and_what_failed_costs_nothing(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=1000)
    admission = await accounts.admitted(ours, "m", tokens=1000, price=FREE)
    with pytest.raises(BudgetSpent) as held:
        await call(accounts, ours, 1)
    assert held.value.facts["retry_after_s"] == 2, "what runs may give something back"
    admission.settle(Usage(), cost_eur=0.0, outcome="failed", endpoint="test/place")
    admission.settle(Usage(900), cost_eur=0.0, outcome="done", endpoint="test/place")  # twice is nothing
    await call(accounts, ours, 1000)
    assert (await spent(keeping, ours)).spent_tokens == 1000


async def test_each_has_one_of_his_own_and_departments_share_theirs(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    a, b, app = member_of(ours, user="usr_a"), member_of(ours, user="usr_b"), member_of(ours, user=None, app="app_x")
    await keeping.set_budget(ours, of="user", subject="*", tokens=100, period="day")
    await call(accounts, a, 100)
    with pytest.raises(BudgetSpent, match="user usr_a"):
        await call(accounts, a, 1)
    await call(accounts, b, 100)
    await keeping.set_department(ours, kind="app", subject="app_x", name="Legal")
    await keeping.set_department(ours, kind="user", subject="usr_c", name="Legal")
    await keeping.set_budget(ours, of="department", subject="Legal", tokens=50)
    await call(accounts, app, 50)
    with pytest.raises(BudgetSpent, match="department Legal"):
        await call(accounts, member_of(ours, user="usr_c"), 1)


async def test_a_budget_that_warns_stops_nothing(keeping: Keeping, accounts: Accounts, ours: Scope) -> None:
    await keeping.set_budget(ours, of="model", subject="m", tokens=100, hard=False)
    await call(accounts, ours, 90)
    assert (await spent(keeping, ours)).share == 0.9
    accounts.forget(ours.tenant)
    await call(accounts, ours, 90)
    assert accounts.near() == 1
    assert (await spent(keeping, ours)).spent_tokens == 180


async def test_over_processes_who_comes_by_a_route_takes_from_the_budget_of_the_model(
    process: Process, keeping: Keeping, ours: Scope
) -> None:
    await keeping.set_budget(ours, of="model", subject="m", tokens=500)
    await keeping.set_budget(ours, of="model", subject="way", tokens=10_000)

    async def caller(accounts: Accounts, number: int) -> None:
        for _ in range(20 if number % 2 else 2):
            way = await accounts.admitted(ours, "way" if number % 2 else "m", tokens=10, price=FREE)
            try:
                own = await accounts.admitted(ours, "m", tokens=10, price=FREE, own=True) if number % 2 else None
            except BudgetSpent:
                way.unasked()
                raise
            await asyncio.sleep(0)
            for one in (way, own):
                if one is not None:
                    settle(one, 10)

    everyone = [caller(accounts, n) for accounts in [await process() for _ in range(3)] for n in range(4)]
    done = await asyncio.gather(*everyone, return_exceptions=True)
    assert any(isinstance(one, BudgetSpent) for one in done)
    async with asyncio.timeout(60):
        while True:
            found = {one.subject: one.spent_tokens for one in await keeping.budgets(ours)}
            used = {one.name: one.tokens_in for one in await keeping.usage(ours)}
            if used.keys() == {"m", "way"} and found["m"] == sum(used.values()) and 0 < found["way"] == used["way"]:
                break
            await asyncio.sleep(0.05)
    assert 250 < found["m"] <= 500


@examples(max_examples=6, suppress_health_check=list(HealthCheck))
@given(limit=st.integers(0, 3000), size=st.integers(1, 400), seed=st.integers(0, 2**32))
async def test_over_processes_no_more_is_spent_than_the_limit_and_a_running_call_each(
    process: Process, keeping: Keeping, limit: int, size: int, seed: int
) -> None:
    """Three processes with four callers each spend as fast as they can; what a call uses differs from its guess."""
    scope, chance = scope_of(new_id("ten")), random.Random(seed)
    await keeping.set_budget(scope, of="tenant", tokens=limit)
    uses = [[chance.randint(1, 2 * size) for _ in range(12)] for _ in range(12)]

    async def caller(accounts: Accounts, number: int) -> int:
        total = 0
        for used in uses[number]:
            try:
                await call(accounts, scope, size, used=used)
            except BudgetSpent:
                return total
            total += used
        return total

    processes = [await process() for _ in range(3)]
    totals = await asyncio.gather(*(caller(processes[number % 3], number) for number in range(12)))
    for one in processes:
        await one.stop()
    shown = await spent(keeping, scope)
    assert shown.spent_tokens == sum(totals), "what was used is what is written"
    assert sum(totals) <= limit + 12 * 2 * size, "no more than a running call each beyond the limit"
    if limit == 0:
        assert sum(totals) == 0
    asked = sum(map(sum, uses))
    assert sum(totals) >= min(limit, asked) - 12 * 2 * size, "and it is not refused long before"


async def test_a_crashed_process_holds_its_slice_until_it_expires(
    process: Process, keeping: Keeping, accounts: Accounts, store: Store, ours: Scope
) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=80)
    crashed = await process()
    crashed._keeper._task.cancel()  # type: ignore[union-attr]  # from here on it is as good as dead
    lost = await crashed.admitted(ours, "m", tokens=50, price=FREE)
    assert lost is not None
    await call(accounts, ours, 30)
    with pytest.raises(BudgetSpent, match="still run"):
        await call(accounts, ours, 30)
    async with store.as_owner(reason="the time passes") as owner:
        await owner.execute("alter table inference.lease no force row level security")
        await owner.execute("update inference.lease set expires_at = now() - interval '1 s'")
        await owner.execute("alter table inference.lease force row level security")
    await asyncio.sleep(1.1)  # a pot that was empty is looked at again after a second
    await call(accounts, ours, 50)
    assert (await spent(keeping, ours)).spent_tokens == 80


async def test_without_the_database_calls_go_on_and_nothing_is_lost_or_counted_twice(
    process: Process, keeping: Keeping, settings: Settings, ours: Scope, tmp_path: Path
) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=8000)
    own = Store(settings.store)
    await own.start()
    other = await process(own, patience_s=5.0)
    await call(other, ours, 100)
    await other.write(ours)
    await own.stop()  # away: at hand is a slice of a thousand, and beyond it a twentieth of eight thousand
    used = 100
    with pytest.raises(BudgetSpent, match="while the database is away"):
        for _ in range(100):
            await call(other, ours, 100)
            used += 100
    assert 100 + 900 + 400 <= used <= 100 + 1000 + 500
    await other.stop()
    files = list((tmp_path / "accounts").glob("stl_*.json"))
    assert len(files) >= 1
    assert (await spent(keeping, ours)).spent_tokens == 100
    again = await process()
    await again.write(ours)  # whoever comes next writes what was left
    assert (await spent(keeping, ours)).spent_tokens == used
    assert not list((tmp_path / "accounts").glob("stl_*.json"))
    one = again._keeper.books[ours.tenant].ledger
    assert not one.waiting


async def test_a_database_that_does_not_answer_holds_up_one_call_and_what_it_lends_late_is_had(
    process: Process, keeping: Keeping, ours: Scope, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=8000)
    accounts = await process(patience_s=0.05)
    leasing, asked, answers = accounts._keeper._leasing, 0, asyncio.Event()
    lend = leasing.lend

    async def hanging(*given: Any, **more: Any) -> None:
        nonlocal asked
        asked += 1
        try:
            await answers.wait()
        except asyncio.CancelledError:  # as the driver does: it cannot be told off before the server has answered
            await answers.wait()
            raise
        await lend(*given, **more)

    monkeypatch.setattr(leasing, "lend", hanging)
    async with asyncio.timeout(60):
        for _ in range(4):  # a twentieth may be spent meanwhile
            await call(accounts, ours, 100)
        with pytest.raises(BudgetSpent, match="while the database is away"):
            await call(accounts, ours, 100)
    assert asked == 1
    answers.set()
    async with asyncio.timeout(60):
        while store.presence.silent or accounts._keeper.away:
            await asyncio.sleep(0.01)
    await call(accounts, ours, 600)
    await accounts.stop()
    assert (await spent(keeping, ours)).spent_tokens == 1000


async def test_who_gave_way_to_another_process_asks_again_and_takes_nobody_for_away(
    accounts: Accounts, keeping: Keeping, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=8000)
    leasing, faults = accounts._keeper._leasing, [Contended(), Contended()]
    lend = leasing.lend

    async def contended(*given: Any, **more: Any) -> None:
        if faults:
            raise faults.pop()
        await lend(*given, **more)

    monkeypatch.setattr(leasing, "lend", contended)
    for _ in range(5):  # more than a twentieth
        await call(accounts, ours, 190)
        assert not accounts._keeper.away
    assert not faults


async def test_a_tenant_that_comes_while_accounts_go_to_the_disk_ends_nothing(
    accounts: Accounts, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, them = accounts._keeper, scope_of(new_id("ten"))
    await call(accounts, ours, 10)
    spared, keep, write = asyncio.Event(), keeper._spool.keep, keeper._leasing.write
    loop = asyncio.get_running_loop()

    def slowly(tenant: str, settlements: Any) -> None:
        asyncio.run_coroutine_threadsafe(call(accounts, them, 10), loop).result(60)
        keep(tenant, settlements)
        loop.call_soon_threadsafe(spared.set)

    async def away(*_: Any) -> bool:
        raise DatabaseUnavailable

    monkeypatch.setattr(keeper._spool, "keep", slowly)
    monkeypatch.setattr(keeper._leasing, "write", away)
    async with asyncio.timeout(60):
        await spared.wait()
    monkeypatch.setattr(keeper._spool, "keep", keep)
    monkeypatch.setattr(keeper._leasing, "write", write)
    async with asyncio.timeout(60):
        while any(book.ledger.waiting for book in keeper.books.values()):
            await asyncio.sleep(0.01)
    assert not keeper.away


async def test_units_are_counted_and_a_settlement_of_an_older_version_has_none(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    for units in (Units(pictures=2), Units(seconds=0.1), Units(seconds=0.2), Units(characters=7)):
        admission = await accounts.admitted(ours, "m", tokens=1, price=FREE)
        admission.settle(Usage(units=units), cost_eur=0.0, outcome="done", endpoint="test/place")
    await call(accounts, ours, 100)
    (used,) = await keeping.usage(ours)
    counted = (used.calls, used.tokens_in, used.pictures, used.seconds, used.characters)
    assert counted == (5, 100, 2, 0.3, 7)
    await call(accounts, ours, 100)
    book = accounts._keeper.books[ours.tenant]
    (one,) = book.ledger.close()
    for row in one.used:
        for name in Units.__struct_fields__:
            del row[name]
    assert await accounts._leasing.write(ours, one)
    (used,) = await keeping.usage(ours)
    counted = (used.calls, used.tokens_in, used.pictures, used.seconds, used.characters)
    assert counted == (6, 200, 2, 0.3, 7)


async def test_a_settlement_counts_once(keeping: Keeping, accounts: Accounts, ours: Scope) -> None:
    await keeping.set_budget(ours, of="tenant", tokens=8000)
    await call(accounts, ours, 100)
    book = accounts._keeper.books[ours.tenant]
    (one,) = book.ledger.close()
    assert await accounts._leasing.write(ours, one)
    assert not await accounts._leasing.write(ours, one)
    assert (await spent(keeping, ours)).spent_tokens == 100


async def test_dollars_are_counted_by_the_rate_of_exchange_or_said_to_be_none(
    store: Store, tmp_path: Path, keeping: Keeping, ours: Scope
) -> None:
    place = Endpoint("test/place", "test")

    def price_of(endpoint: Endpoint) -> Price:
        return Price(1.0, 2.0, "USD")

    known = Accounts(store, tmp_path, rates_eur={"USD": 0.5}).priced(price_of)(place)
    assert (known.input, known.output, known.currency) == (0.5, 1.0, "EUR")
    drawn = Accounts(store, tmp_path, rates_eur={"USD": 0.5}).priced(lambda _: Price(currency="USD", picture=0.04))
    assert (drawn(place).picture, drawn(place).input, drawn(place).currency) == (0.02, None, "EUR")
    plain = Accounts(store, tmp_path)
    assert plain.priced(price_of)(place).input == 1.0
    await plain.start()
    await call(plain, ours, 1_000_000, price=Price(1.0, 2.0, "USD"))
    await plain.stop()
    (used,) = await keeping.usage(ours)
    assert (used.eur, used.unconverted) == (1.0, True)


async def test_budgets_are_kept_by_who_may_and_are_the_tenants_own(
    keeping: Keeping, ours: Scope, neighbour: Scope, nobody: Scope
) -> None:
    made = await keeping.set_budget(ours, of="app", subject="app_x", eur=5.0)
    with pytest.raises(UnknownBudget):
        await keeping.remove_budget(neighbour, made.id)
    assert await keeping.budgets(neighbour) == []
    for asked in (keeping.budgets(nobody), keeping.remove_budget(nobody, made.id), keeping.rates(nobody)):
        with pytest.raises(Forbidden):
            await asked
    same = await keeping.set_budget(ours, of="app", subject="app_x", eur=6.0)
    assert (same.id, same.eur) == (made.id, 6.0)
    await keeping.remove_budget(ours, made.id)
    assert await keeping.budgets(ours) == []


@pytest.mark.parametrize(
    "asked",
    [
        {"of": "planet", "tokens": 1},
        {"of": "tenant", "subject": "x", "tokens": 1},
        {"of": "app", "tokens": 1},
        {"of": "app", "subject": "app_a\x00b", "tokens": 1},
        {"of": "app", "subject": "crm", "tokens": 1},
        {"of": "user", "subject": "clerk@example.org", "tokens": 1},
        {"of": "key", "subject": "nightly", "tokens": 1},
        {"of": "tenant"},
        {"of": "tenant", "tokens": -1},
        {"of": "tenant", "eur": float("nan")},
        {"of": "tenant", "eur": 1e300},
        {"of": "tenant", "tokens": 1, "period": "week"},
        {"of": "tenant", "tokens": 1, "contact": "a\nb"},
    ],
)
async def test_a_budget_that_means_nothing_is_refused(keeping: Keeping, ours: Scope, asked: dict[str, object]) -> None:
    with pytest.raises(BadBudget):
        await keeping.set_budget(ours, **asked)  # type: ignore[arg-type]
