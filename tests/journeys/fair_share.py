"""The law of fair turns, stated on the order in which jobs began.

While a tenant has work waiting it gets at least half of its fair share: of the jobs that begin in a window, one part
in as many as there are tenants with work waiting then. So nobody waits more than twice as long as in strict turns.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.measuring import Marks

from bastide.app import open_house
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope, new_id
from bastide.workflows import Job
from tests.conftest import scope_of
from tests.journeys.typist import begun
from tests.journeys.work_types import registering

AT_ONCE = 250  # jobs dispatched in one transaction
ROUNDS = 4  # a window is as long as so many strict turns: shorter ones only show how eight workers interleave


@dataclass(frozen=True)
class Share:
    """How one tenant fared."""

    tenant: str
    jobs: int
    first: int  # how many of others began before its first
    fair_first: int  # in strict turns at most so many
    worst: float  # the smallest part of its fair share that it got in a window; 1 is strict turns
    windows: int  # in which it had work waiting


def amounts(tenants: int, jobs: int) -> list[int]:
    """Very unequal amounts: the first has half of all, the others ever fewer, each at least one."""
    weights = [1 / rank for rank in range(1, tenants)]
    rest = [max(1, int(jobs / 2 * weight / sum(weights))) for weight in weights]
    return [jobs - sum(rest), *rest]


def shares(order: Sequence[str]) -> list[Share]:
    """How each tenant fared; all had all their work waiting before the first began."""
    last = {tenant: place for place, tenant in enumerate(order)}
    first: dict[str, int] = {}
    for place, tenant in enumerate(order):
        first.setdefault(tenant, place)
    ends = Counter(last.values())
    waiting, left = [], len(last)
    for place in range(len(order)):  # how many tenants have work waiting when this one begins
        waiting.append(left)
        left -= ends[place]
    worst: dict[str, float] = dict.fromkeys(last, float("inf"))
    windows: Counter[str] = Counter()
    begin = 0
    while begin < len(order):
        end = min(len(order), begin + ROUNDS * waiting[begin])
        fair = sum(1 / waiting[place] for place in range(begin, end))
        got = Counter(order[begin:end])
        for tenant, place in last.items():
            if place >= end:  # it had work waiting to the end of the window
                worst[tenant] = min(worst[tenant], got[tenant] / fair)
                windows[tenant] += 1
        begin = end
    many = Counter(order)
    return [
        Share(tenant, many[tenant], first[tenant], len(last), worst[tenant], windows[tenant])
        for tenant in sorted(many, key=lambda tenant: -many[tenant])
    ]


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
    words = ["--home", str(folder / "home"), "--role", "worker", "--marks", str(folder / "marks"), "--concurrency", "8"]
    began = time.monotonic()
    with open(folder / "worker.log", "w") as log:
        worker = begun(words, module="tests.journeys.work_types", said=log)
    try:
        marks.wait(len(of), patience_s)
    finally:
        worker.terminate()
        worker.wait(30)
    found = marks.read()
    assert sorted(number for number, _ in found) == list(range(len(of))), "each began once"
    return [of[number] for number, _ in found], [at for _, at in found], began
