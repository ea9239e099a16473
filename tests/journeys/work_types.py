"""A house whose job types fail on purpose: what the crash journeys and the figures run as real processes.

    python -m tests.journeys.work_types --home HOME --role worker|api|sequencer|all [--port PORT] [--version 2]
                                        [--stale-s 2] [--concurrency 8] [--marks FILE] [--jumping-clock]

What a job does outside its own record lies beside the home: `calls` gets one line a call (kind, job, attempt, pid, and
a key if there is one), `accepted/` one file a key, as a receiver that honours idempotency keys would have it. What it
does inside the database is a row of `crash.effect`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.peers.measuring import Marks

from bastide.app import House, Served, serve
from bastide.errors import BastideError
from bastide.settings import Settings, WorkSettings
from bastide.store import Db, Query, Store
from bastide.workflows import Effect, JobType, JsonValue, Limits, Retry, Run

TABLE = """
create schema if not exists crash; grant usage on schema crash to bastide_app, bastide_operator;
create table crash.effect (tenant_id uuid not null default store.tenant(), n bigint generated always as identity,
    run text not null, step text not null, attempt integer not null, pid integer not null, primary key (tenant_id, n));
call store.protect('crash.effect');
grant select on crash.effect to bastide_operator;
create policy operator_reads on crash.effect for select to bastide_operator using (true);
"""
_BOOK = Query(
    "crash",
    "book",
    "insert into crash.effect (run, step, attempt, pid) values (%(run)s, %(step)s, %(attempt)s, %(pid)s)",
)
MANY = 10**6


@dataclass(frozen=True)
class Numbered:
    """The input of every type here."""

    number: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outside:
    """The world outside: what it was told, and what it accepted."""

    folder: Path

    def call(self, kind: str, run: Run[Numbered], key: str = "-") -> None:
        """One line, appended in one write, so that a kill leaves a whole line or none."""
        line = f"{kind} {run.id} {run.attempt} {os.getpid()} {key}\n"
        descriptor = os.open(self.folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def calls(self, kind: str) -> list[tuple[str, int, int, str]]:
        """(job, attempt, pid, key) of each call of a kind."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [line.split(" ", 4) for line in lines if line.startswith(f"{kind} ")]
        return [(job, int(attempt), int(pid), key) for _, job, attempt, pid, key in found]

    def size(self) -> int:
        """It grows with each call."""
        path = self.folder / "calls"
        return path.stat().st_size if path.exists() else 0

    def accepted(self) -> int:
        """How many keys were accepted."""
        place = self.folder / "accepted"
        return len(list(place.iterdir())) if place.exists() else 0

    def accept(self, key: str) -> bool:
        """Whether this key is new."""
        place = self.folder / "accepted"
        place.mkdir(exist_ok=True)
        try:
            os.close(os.open(place / key.replace("/", "~"), os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True


async def _book(run: Run[Numbered], step: str, db: Db) -> JsonValue:
    await db.run(_BOOK, run=run.id, step=step, attempt=run.attempt, pid=os.getpid())
    return step


def types_of(outside: Outside, *, version: int, marks: Marks | None = None) -> list[JobType]:
    """The types. `version` is of `crash.versioned` alone."""

    async def five(run: Run[Numbered]) -> JsonValue:
        """Five steps: computed, written, sent, written, computed."""

        async def compute(kind: str) -> JsonValue:
            outside.call(kind, run)
            await asyncio.sleep(0.005 * (run.input.number % 7))
            return run.input.number

        async def send(arguments: JsonValue, key: str) -> JsonValue:
            outside.call("send", run, key)
            return outside.accept(key)

        await run.step("look", partial(compute, "look"))
        await run.write("book", partial(_book, run, "book"))
        await run.effect("send", {"number": run.input.number}, send, shown=f"Send {run.input.number}.")
        await run.write("book", partial(_book, run, "book#2"))
        return await run.step("close", partial(compute, "close"))

    async def slow(run: Run[Numbered]) -> JsonValue:
        """A step that sleeps; what it would write is fenced."""

        async def sleep() -> JsonValue:
            outside.call("slow", run)
            await asyncio.sleep(run.input.seconds)
            outside.call("slept", run)
            return {"attempt": run.attempt, "pid": os.getpid()}

        slept = await run.step("slow", sleep)
        await run.write("book", partial(_book, run, "book"))
        return slept

    async def hang(run: Run[Numbered]) -> JsonValue:
        async def for_ever() -> JsonValue:
            outside.call("hang", run)
            await asyncio.Event().wait()
            return None

        return await run.step("hang", for_ever)

    async def kill(run: Run[Numbered]) -> JsonValue:
        async def die() -> JsonValue:
            outside.call("die", run)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return await run.step("die", die)

    async def nap(run: Run[Numbered]) -> JsonValue:
        await run.sleep("nap", run.input.seconds)
        return run.attempt

    async def noop(run: Run[Numbered]) -> JsonValue:
        """One step that does nothing: the price of the machinery."""
        if marks:
            marks.note(run.input.number)

        async def one() -> JsonValue:
            return run.input.number

        return await run.step("one", one)

    async def versioned(run: Run[Numbered]) -> JsonValue:
        return version

    free = Limits(per_tenant=MANY)
    crashes = Retry(attempts=50, first_s=0.1, factor=1.5, most_s=2.0)  # the database itself is killed in these journeys
    send = {"send": Effect("Sends the number away.")}
    kind = partial(JobType, input=Numbered, permission="work:run")
    return [
        kind("crash.five", "Five steps.", run=five, limits=free, retry=crashes, effects=send),
        kind("crash.slow", "A slow step.", run=slow, limits=free, retry=crashes),
        kind("crash.hang", "A step that hangs.", run=hang, limits=Limits(step_s=1.0), retry=Retry(2, 0.1)),
        kind("crash.kill", "A step that kills its process.", run=kill),
        kind("crash.nap", "Lets go of its worker for a while.", run=nap, limits=free, retry=crashes),
        kind("crash.noop", "A step that does nothing.", run=noop, limits=free),
        kind("crash.versioned", "Says its version.", run=versioned, version=version, compatible_from=version),
    ]


async def prepare(settings: Settings) -> None:
    """The table that steps write into."""
    store = Store(settings.store)
    await store.start()
    async with store.as_owner(reason="a journey's own table") as owner:
        await owner.execute(TABLE)
    await store.stop()


def registering(folder: Path, *, version: int = 1, marks: Marks | None = None) -> Callable[[House], None]:
    """What `open_house` and `serve` take to know these types."""

    def register(house: House) -> None:
        for kind in types_of(Outside(folder), version=version, marks=marks):
            house.workflows.register(kind)

    return register


def quick(settings: Settings, *, stale_s: float = 2.0, concurrency: int = 8) -> Settings:
    """The same settings, with a worker that is given up sooner than in real life."""
    work = WorkSettings(concurrency=concurrency, heartbeat_s=stale_s / 4, stale_s=stale_s, poll_s=0.5, grace_s=3.0)
    return replace(settings, work=work)


def jump() -> None:
    """From now on this process's clock jumps an hour ahead and back, twice a second."""
    real = time.time
    time.time = lambda: real() + 3600 * (int(time.monotonic() * 2) % 2)


def main() -> int:
    """Play a role until a signal."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--home", type=Path, required=True)
    ask.add_argument("--role", choices=["api", "worker", "sequencer", "all"], required=True)
    ask.add_argument("--port", type=int)
    ask.add_argument("--version", type=int, default=1)
    ask.add_argument("--stale-s", type=float, default=2.0)
    ask.add_argument("--concurrency", type=int, default=8)
    ask.add_argument("--marks", type=Path)
    ask.add_argument("--jumping-clock", action="store_true")
    given = ask.parse_args()
    if given.jumping_clock:
        jump()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    settings = Settings.read(given.home, port=given.port)
    if given.stale_s:
        settings = quick(settings, stale_s=given.stale_s, concurrency=given.concurrency)
    marks = Marks(given.marks) if given.marks else None
    register = registering(given.home.parent, version=given.version, marks=marks)

    def ready(served: Served) -> None:
        print("ready", flush=True)

    try:
        asyncio.run(serve(settings, role=given.role, on_ready=ready, register=register))
    except BastideError as refused:
        print(f"{refused.code}: {refused.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
