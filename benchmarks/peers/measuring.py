"""How every engine is measured alike: jobs are numbered, a worker notes when each begins, the kernel tells CPU time.

Only the standard library is used here, because a peer's interpreter runs it as well.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

_MARK = struct.Struct("<Id")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Marks:
    """A file that gets one short line whenever a job begins; appended in one write, so that processes may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, number: int) -> None:
        """Job `number` begins now. The clock is the machine's, the same in every process."""
        os.write(self._descriptor, _MARK.pack(number, time.monotonic()))

    def count(self) -> int:
        """How many began."""
        return self.path.stat().st_size // _MARK.size

    def read(self) -> list[tuple[int, float]]:
        """Which job began when, in the order of their notes."""
        return [(number, at) for number, at in _MARK.iter_unpack(self.path.read_bytes())]

    def wait(self, count: int, timeout_s: float) -> None:
        """Until so many began. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while self.count() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.count()} of {count} jobs began in {timeout_s:.0f} s")
            time.sleep(0.01)


@dataclass(frozen=True)
class Load:
    """What is asked of an engine."""

    first: int  # the number of its first job
    jobs: int
    producers: int
    pause_s: float = 0.0  # between two dispatches of one producer

    def turns(self, producer: int) -> range:
        """The numbers that this producer dispatches."""
        return range(self.first + producer, self.first + self.jobs, self.producers)


def with_threads(dispatch: Callable[[int], object], load: Load) -> dict[int, float]:
    """Dispatch from threads; when each dispatch returned."""
    returned: dict[int, float] = {}

    def produce(producer: int) -> None:
        due = time.monotonic()
        for number in load.turns(producer):
            if load.pause_s:
                time.sleep(max(0.0, due - time.monotonic()))
                due += load.pause_s
            dispatch(number)
            returned[number] = time.monotonic()

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(load.producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return returned


async def with_tasks(dispatch: Callable[[int], Awaitable[object]], load: Load) -> dict[int, float]:
    """Dispatch from tasks of one loop; when each dispatch returned."""
    returned: dict[int, float] = {}

    async def produce(producer: int) -> None:
        due = time.monotonic()
        for number in load.turns(producer):
            if load.pause_s:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += load.pause_s
            await dispatch(number)
            returned[number] = time.monotonic()

    await asyncio.gather(*(produce(producer) for producer in range(load.producers)))
    return returned


def latencies_ms(returned: dict[int, float], begun: list[tuple[int, float]]) -> dict[str, float]:
    """From the return of dispatch to the handler's first line; who was quicker than the return counts as 0."""
    took = sorted(1e3 * max(0.0, at - returned[number]) for number, at in begun if number in returned)
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99)], "max": took[-1], "jobs": len(took)}


def cpu_s(*pids: int) -> float:
    """CPU time of these processes, of all below them, and of those below them that have ended (Linux)."""
    parents: dict[int, int] = {}
    spent: dict[int, tuple[float, float]] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal():
            continue
        try:
            fields = (place / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(place.name)] = int(fields[1])
        user, system, ended_user, ended_system = (int(field) * _TICK_S for field in fields[11:15])
        spent[int(place.name)] = (user + system, ended_user + ended_system)
    family = set(pids)
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sum(spent[pid]) for pid in family if pid in spent)


class Cost:
    """CPU time of some processes, and of this one, since it was made; in seconds."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._begun = self._now()

    def _now(self) -> dict[str, float]:
        others = {name: cpu_s(pid) for name, pid in self._pids.items()}
        return {**others, "producer": time.process_time(), "passed": time.monotonic()}

    def so_far(self) -> dict[str, float]:
        """Of each by its name, of `producer` (this process), and the time that `passed`."""
        return {name: after - self._begun[name] for name, after in self._now().items()}


@dataclass
class Plan:
    """How long each measurement takes."""

    jobs: int = 500
    light_s: float = 5.0
    light_per_s: float = 50.0
    idle_s: float = 5.0
    timeout_s: float = 300.0


Produce = Callable[[Load], Awaitable[dict[int, float]]]


async def measure(plan: Plan, marks: Marks, cost: Callable[[], Cost], produce: Produce) -> dict[str, object]:
    """Warm up, then: jobs end to end with 1 and 8 producers, latency at light load, CPU while nothing is to be done."""
    found: dict[str, object] = {}
    number = 0

    async def run(load: Load) -> tuple[dict[int, float], list[tuple[int, float]], float]:
        before = marks.count()
        begun = time.monotonic()
        returned = await produce(load)
        await asyncio.to_thread(marks.wait, before + load.jobs, plan.timeout_s)
        mine = marks.read()[before:]
        return returned, mine, mine[-1][1] - begun

    await run(Load(number, 50, 1))
    number += 50
    for producers in (1, 8):
        spending = cost()
        returned, begun, took = await run(Load(number, plan.jobs, producers))
        number += plan.jobs
        await asyncio.sleep(0.3)  # the last of them are noted as done
        spent = spending.so_far()
        found[f"{producers} producers" if producers > 1 else "1 producer"] = {
            "dispatched_per_s": plan.jobs / (max(returned.values()) - (begun[-1][1] - took)),
            "jobs_per_s": plan.jobs / took,
            "cpu_ms_per_job": {name: 1e3 * spent[name] / plan.jobs for name in spent if name != "passed"},
        }
    light = Load(number, int(plan.light_s * plan.light_per_s), 1, 1 / plan.light_per_s)
    returned, begun, _ = await run(light)
    found["latency_ms"] = latencies_ms(returned, begun)
    await asyncio.sleep(2)
    spending = cost()
    await asyncio.sleep(plan.idle_s)
    spent = spending.so_far()
    found["idle_percent"] = {
        name: 100 * spent[name] / spent["passed"] for name in spent if name not in {"passed", "producer"}
    }
    return found
