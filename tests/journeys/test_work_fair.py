"""Fair turns among tenants: the law on the order in which jobs began, first on made-up orders, then on real ones."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.peers.measuring import Marks
from hypothesis import given
from hypothesis import strategies as st

from bastide.app import open_house
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope, new_id
from bastide.workflows import Job
from tests.conftest import scope_of
from tests.journeys.fair_share import amounts, shares
from tests.journeys.work_types import registering

AT_ONCE = 250  # jobs dispatched in one transaction


@given(st.lists(st.integers(1, 60), min_size=2, max_size=12))
def test_strict_turns_keep_the_law(many: list[int]) -> None:
    order, left = [], dict(enumerate(many))
    while any(left.values()):
        for tenant in left:
            if left[tenant]:
                left[tenant] -= 1
                order.append(str(tenant))
    for share in shares(order):
        assert share.first < share.fair_first
        assert share.worst >= 0.7, "a window may cut a turn in two"


def test_first_come_first_served_breaks_the_law() -> None:
    found = {share.tenant: share for share in shares(["big"] * 500 + ["small"] * 20)}
    assert found["small"].worst == 0
    assert found["small"].first == 500 > 2 * found["small"].fair_first


def test_amounts_are_very_unequal_and_complete() -> None:
    many = amounts(100, 100_000)
    assert (len(many), sum(many), many[0]) == (100, 100_000, max(many))
    assert many[0] >= 50_000
    assert min(many) >= 1


async def _dispatched(folder: Path, many: list[int]) -> list[str]:
    """Which tenant each numbered job is of; all are queued, and nobody works."""
    scopes: list[Scope] = [scope_of(new_id("ten")) for _ in many]
    of: list[str] = []
    async with open_house(
        Settings.read(folder / "home", environment={}), sequence=False, register=registering(folder)
    ) as house:
        for scope, jobs in zip(scopes, many, strict=True):
            for start in range(0, jobs, AT_ONCE):
                async with house.store.under(scope) as db:
                    for _ in range(start, min(jobs, start + AT_ONCE)):
                        job = Job("crash.noop", {"number": len(of)}, label=Label())
                        await house.workflows.dispatch(scope, job, db=db)
                        of.append(scope.tenant)
    return of


def worked(folder: Path, many: list[int], *, patience_s: float) -> tuple[list[str], list[float], float]:
    """Dispatch all, then start one worker with eight places: the order of tenants, when each began, and from when."""
    of = asyncio.run(_dispatched(folder, many))
    marks = Marks(folder / "marks")
    begun = time.monotonic()
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.journeys.work_types", "--home", str(folder / "home"), "--role", "worker"]
        + ["--marks", str(folder / "marks"), "--concurrency", "8"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=open(folder / "worker.log", "w"),  # noqa: SIM115
    )
    try:
        marks.wait(len(of), patience_s)
    finally:
        worker.terminate()
        worker.wait(30)
    found = marks.read()
    assert sorted(number for number, _ in found) == list(range(len(of))), "each began once"
    return [of[number] for number, _ in found], [at for _, at in found], begun


def _lawful(order: list[str]) -> None:
    for share in shares(order):
        assert share.first <= 2 * share.fair_first, share
        assert share.worst >= 0.5, share


def test_no_tenant_waits_more_than_twice_its_fair_share(tmp_path: Path) -> None:
    order, _, _ = worked(tmp_path, amounts(12, 600), patience_s=90)
    _lawful(order)


@pytest.mark.slow
def test_a_hundred_thousand_jobs_of_a_hundred_tenants(tmp_path: Path) -> None:
    order, _, _ = worked(tmp_path, amounts(100, 100_000), patience_s=3600)
    _lawful(order)
