"""Asking a gateway: as fast as it goes, at a fixed rate, and in many slow streams at once."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvloop

from benchmarks.gateway.standing import Standing

_LOOKS = 5
_PACE_MS = 10

T = TypeVar("T")


@dataclass(frozen=True)
class Driven:
    """What a run has shown."""

    a_second: float
    cpu_us: float
    beside_us: float


def as_fast_as_it_goes(standing: Standing, folder: Path, seconds: int, *, stream: bool, connections: int) -> Driven:
    """wrk with one thread on the first core; the best of it is what counts, CPU per answer most of all."""
    lines = [
        'wrk.method = "POST"',
        f"wrk.body = [==[{standing.body(**({'stream': True} if stream else {})).decode()}]==]",
    ]
    for name, value in {"content-type": "application/json", **standing.headers}.items():
        lines.append(f"wrk.headers[{name!r}] = [==[{value}]==]")
    script = folder / "ask.lua"
    script.write_text("\n".join(lines))
    address = f"http://127.0.0.1:{standing.port}{standing.path}"
    command = ["taskset", "-c", "0", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s"]
    before, beside = standing.cpu_s(), standing.beside_s()
    told = subprocess.run([*command, str(script), address], capture_output=True, text=True, check=True).stdout
    time.sleep(0.5)
    burnt = standing.cpu_s() - before
    standing.settle()
    beside = standing.beside_s() - beside
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    assert refused is None, f"{standing.name} refuses: {told}"
    count = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])  # type: ignore[index]
    return Driven(rate, burnt / count * 1e6, beside / count * 1e6)


# -- a client of our own, for what wrk does not tell ------------------------------------------------


class _Client(asyncio.Protocol):
    """One connection that tells when its answer is whole; of a stream, how old each piece was."""

    def __init__(self, *, looks: bool = True) -> None:
        self._looks = looks
        self.ages: list[int] = []
        self._whole: asyncio.Future[None] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> None:
        """Send, and wait for all of the answer."""
        self._whole = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._transport.write(request)  # type: ignore[attr-defined]
        await self._whole

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._looks:
            self.ages += [now - int(at) for at in re.findall(rb'"content": ?"(\d{12,})"', data)]
        self._buffer = (self._buffer + data)[-4096:]
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        ended = self._buffer.endswith(b"0\r\n\r\n") or (length is not None and len(body) >= int(length[1]))
        if ended and self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(exc or ConnectionResetError())


def _request(standing: Standing, **more: object) -> bytes:
    body = standing.body(**more)
    head = [
        f"POST {standing.path} HTTP/1.1",
        "host: h",
        f"content-length: {len(body)}",
        "content-type: application/json",
    ]
    head += [f"{name}: {value}" for name, value in standing.headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _open(standing: Standing, *, looks: bool = True) -> _Client:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(looks=looks), "127.0.0.1", standing.port)
    return client


@dataclass(frozen=True)
class Rated:
    """How long answers took, in ms from the time that their requests were due, and what each cost."""

    p50_ms: float
    p99_ms: float
    cpu_us: float


def at_a_rate(standing: Standing, rate: int, seconds: float) -> Rated:
    """Requests at fixed times, whatever became of the earlier ones."""

    async def run() -> Rated:
        request, took = _request(standing), []
        idle = [await _open(standing) for _ in range(32)]
        for client in idle:
            await client.ask(request)
        burnt = standing.cpu_s()
        began = time.perf_counter() + 0.1

        async def one(due: float) -> None:
            client = idle.pop() if idle else await _open(standing)
            await client.ask(request)
            took.append(time.perf_counter() - due)
            idle.append(client)

        tasks = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            while (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left if left > 0.002 else 0)
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
        cost = (standing.cpu_s() - burnt) / len(took) * 1e6
        return Rated(float(np.percentile(took, 50) * 1000), float(np.percentile(took, 99) * 1000), cost)

    return _on_its_own(run)


@dataclass(frozen=True)
class Streamed:
    """How old pieces were when they came, in ms, what each cost, and how much memory a stream took."""

    p50_ms: float
    p99_ms: float
    cpu_us: float
    kilobytes: float


def in_streams(standing: Standing, streams: int, *, rounds: int = 3) -> Streamed:
    """Streams of 100 pieces, one every 10 ms, side by side, and anew when they end.

    Each has a clock of its own, as streams have that were not asked for in the same instant: pieces come one by one
    and not in bursts of as many as there are streams. Only every fifth client looks at the ages, so that the looking
    does not make them old.
    """

    async def run() -> Streamed:
        request = _request(standing, stream=True, pace=_PACE_MS)
        clients = [await _open(standing, looks=n % _LOOKS == 0) for n in range(streams)]
        before, _ = standing.memory_mb()

        async def stream(client: _Client, after_s: float) -> None:
            await asyncio.sleep(after_s)
            for _ in range(rounds):
                await client.ask(request)

        apart = _PACE_MS / 1000 * (1 + 1 / streams)
        burnt = standing.cpu_s()
        asked = [asyncio.create_task(stream(client, n * apart)) for n, client in enumerate(clients)]
        await asyncio.sleep(streams * apart + 0.5)
        grown = standing.memory_mb()[0] - before
        await asyncio.gather(*asked)
        ages = [age / 1e6 for client in clients for age in client.ages]
        assert len(ages) >= 90 * rounds * streams // _LOOKS, f"{len(ages)} pieces of {streams} streams"
        return Streamed(
            float(np.percentile(ages, 50)),
            float(np.percentile(ages, 99)),
            (standing.cpu_s() - burnt) / (100 * rounds * streams) * 1e6,
            grown * 1024 / streams,
        )

    return _on_its_own(run)


def _on_its_own(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
