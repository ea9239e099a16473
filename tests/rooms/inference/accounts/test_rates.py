"""Rates hold over processes, and are divided among those that there were while the database is away."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.conftest import scope_of

from bastide.errors import RateLimited
from bastide.inference import Usage
from bastide.inference.accounts import Accounts, Keeping
from bastide.inference.accounts.leasing import Said
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id

from .conftest import Process, member_of
from .test_budgets import FREE, call


async def _until_refused(accounts: Accounts, scope: Scope, tokens: int = 1, most: int = 500) -> int:
    for done in range(most):
        try:
            await call(accounts, scope, tokens)
        except RateLimited as refused:
            assert float(str(refused.facts["retry_after_s"])) > 0
            return done
    raise AssertionError("never refused")


async def test_processes_share_the_requests_of_a_minute(process: Process, keeping: Keeping, ours: Scope) -> None:
    await keeping.set_rate(ours, of="tenant", requests=64)
    processes = [await process() for _ in range(3)]
    began = asyncio.get_running_loop().time()
    done = await asyncio.gather(*(_until_refused(one, ours) for one in processes for _ in range(2)))
    passed = asyncio.get_running_loop().time() - began
    assert 64 - 3 * 4 <= sum(done) <= 64 + passed * 64 / 60 + 1


async def test_who_says_that_a_call_may_take_very_much_is_let_through_no_more_for_it(
    process: Process, keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    """`max_tokens` is whatever a client writes: what was drawn for it stayed with the process, five thousand minutes'
    worth, and nobody else got any."""
    await keeping.set_rate(ours, of="tenant", tokens=1000)
    began = time.monotonic()
    await call(accounts, ours, 5_000_000, used=10)
    done = 0
    with pytest.raises(RateLimited):
        for _ in range(100):
            await call(accounts, ours, 500)
            done += 500
    assert done <= 1500 + (time.monotonic() - began) * 1000 / 60
    with pytest.raises(RateLimited) as other:
        for _ in range(100):
            await call(await process(), ours, 500)
    assert float(str(other.value.facts["retry_after_s"])) <= 60


@pytest.mark.parametrize("late", ["before the next call", "after it"])
async def test_what_was_read_before_a_change_does_not_count_after_it(
    keeping: Keeping, accounts: Accounts, ours: Scope, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    read, old, go = accounts._leasing.read, asyncio.Event(), asyncio.Event()

    async def slowly(scope: Scope) -> Said:
        said = await read(scope)
        if not old.is_set():
            old.set()
            await go.wait()
        return said

    monkeypatch.setattr(accounts._leasing, "read", slowly)
    first = asyncio.create_task(accounts.fetch(ours))
    async with asyncio.timeout(60):
        await old.wait()
        await keeping.set_rate(ours, of="tenant", requests=1)
        if late == "before the next call":
            go.set()
            await first
        await call(accounts, ours, 1)
        go.set()
        await first
        with pytest.raises(RateLimited):
            await call(accounts, ours, 1)


@examples(max_examples=6, suppress_health_check=list(HealthCheck))
@given(rate=st.sampled_from([1, 16, 200, 640]), count=st.integers(1, 4), dies=st.integers(0, 60))
async def test_law_over_processes_a_rate_lets_through_a_burst_and_what_the_time_brings(
    process: Process, keeping: Keeping, rate: int, count: int, dies: int
) -> None:
    """Each asks as often as it can, and one dies after some calls: what it held is lost, nobody gets more for it."""
    ours = scope_of(new_id("ten"))
    await keeping.set_rate(ours, of="tenant", requests=rate)
    processes = [await process(patience_s=1.0) for _ in range(count)]
    dead = await process(patience_s=1.0)
    began = time.monotonic()
    done = 0
    for _ in range(min(dies, rate // 2)):
        await call(dead, ours, 1)
        done += 1
    dead._keeper._task.cancel()  # type: ignore[union-attr]
    done += sum(await asyncio.gather(*(_until_refused(one, ours, most=3000) for one in processes)))
    passed = time.monotonic() - began
    assert done <= rate + passed * rate / 60 + 1
    assert done >= rate - (count + 1) * (rate / 8 + 2)


@examples(max_examples=6, suppress_health_check=list(HealthCheck))
@given(rate=st.sampled_from([32, 64, 640]), count=st.integers(1, 4), before=st.integers(0, 200))
async def test_law_without_the_database_processes_have_a_rate_together(
    process: Process, keeping: Keeping, settings: Settings, rate: int, count: int, before: int
) -> None:
    """Some calls, then the database goes away, and each asks as often as it can."""
    ours = scope_of(new_id("ten"))
    await keeping.set_rate(ours, of="tenant", requests=rate)
    own = Store(settings.store)
    await own.start()
    processes = [await process(own, patience_s=1.0) for _ in range(count)]
    began, done = time.monotonic(), 0
    for one in processes:  # a process that comes later is heard of when the book is read again
        await one.fetch(ours)
    for one in processes:
        one.forget(ours.tenant)
        await one.fetch(ours)
    for _ in range(before):
        try:
            await call(processes[0], ours, 1)
        except RateLimited:
            break
        done += 1
    await own.stop()
    done += sum(await asyncio.gather(*(_until_refused(one, ours, most=2000) for one in processes)))
    passed = time.monotonic() - began
    # A burst and what the minute brings. Who asked nobody still has his part of a burst: one that the others may have
    # used before him. And each rounds up what is drawn and what is his.
    burst = rate + min(before, rate) * (count - 1) / count
    assert done <= burst + passed * rate / 60 + count * (rate / 16 + 1)
    assert done >= rate - count * (rate / 8 + 2)


async def test_a_rate_is_drawn_ahead_and_a_call_waits_for_nobody(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    await keeping.set_rate(ours, of="tenant", requests=6400)
    await call(accounts, ours, 1)
    waited = 0
    for _ in range(5):
        for _ in range(180):
            admission = accounts.admit(ours, "m", tokens=1, price=FREE)
            if admission is None:
                waited += 1
                admission = await accounts.admitted(ours, "m", tokens=1, price=FREE)
            admission.settle(Usage(1), cost_eur=0.0, outcome="done", endpoint="e")
        async with asyncio.timeout(60):
            while any(
                gate.low(time.monotonic()) for gate in accounts._keeper.books[ours.tenant].purse(ours, "m").gates
            ):
                await asyncio.sleep(0.02)
    assert waited == 0
    assert await _until_refused(accounts, ours, most=7000) >= 6400 - 900 - 400, "what was drawn ahead is not lost"


async def test_tokens_of_a_minute_are_those_that_were_used(keeping: Keeping, accounts: Accounts, ours: Scope) -> None:
    await keeping.set_rate(ours, of="user", subject="*", tokens=6000)
    a, b = member_of(ours, user="usr_a"), member_of(ours, user="usr_b")
    admission = await accounts.admitted(a, "m", tokens=6000, price=FREE)
    with pytest.raises(RateLimited, match="user usr_a"):
        await call(accounts, a, 3000)
    await call(accounts, b, 6000)
    admission.settle(Usage(10), cost_eur=0.0, outcome="done", endpoint="e")
    await call(accounts, a, 100)


async def test_a_call_larger_than_a_minute_goes_when_the_minute_is_whole(
    keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    await keeping.set_rate(ours, of="tenant", tokens=100)
    await call(accounts, ours, 1000)
    with pytest.raises(RateLimited) as refused:
        await call(accounts, ours, 1)
    assert float(str(refused.value.facts["retry_after_s"])) > 400


async def test_what_a_call_took_beyond_a_minute_bounds_the_others_too(
    process: Process, keeping: Keeping, accounts: Accounts, ours: Scope
) -> None:
    await keeping.set_rate(ours, of="tenant", tokens=100)
    await call(accounts, ours, 10, used=1000)
    (gate,) = accounts._keeper.books[ours.tenant].gates.values()
    async with asyncio.timeout(60):
        while gate.owed:
            await asyncio.sleep(0.02)
    with pytest.raises(RateLimited) as refused:
        await call(await process(), ours, 1)
    assert float(str(refused.value.facts["retry_after_s"])) > 300


async def test_a_rate_that_is_gone_bounds_nothing(keeping: Keeping, accounts: Accounts, ours: Scope) -> None:
    made = await keeping.set_rate(ours, of="tenant", requests=1)
    assert await _until_refused(accounts, ours) == 1
    await keeping.remove_rate(ours, made.id)
    for _ in range(20):
        await call(accounts, ours, 1)
    assert await keeping.rates(ours) == []
