"""Rates hold over processes, and are the whole of each process while the database is away."""

from __future__ import annotations

import asyncio

import pytest

from bastide.errors import RateLimited
from bastide.inference import Usage
from bastide.inference.accounts import Accounts, Keeping
from bastide.store import Scope

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


async def test_a_rate_that_is_gone_bounds_nothing(keeping: Keeping, accounts: Accounts, ours: Scope) -> None:
    made = await keeping.set_rate(ours, of="tenant", requests=1)
    assert await _until_refused(accounts, ours) == 1
    await keeping.remove_rate(ours, made.id)
    for _ in range(20):
        await call(accounts, ours, 1)
    assert await keeping.rates(ours) == []
