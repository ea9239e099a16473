"""What a line of a batch costs: handed over to a provider's own batch, beside asked one by one in the same run.

    python -m benchmarks batches [--lines 5000]

An open house with row security, encryption and the audit log; the model's server is a process of its own and answers at
once. CPU is that of this process, which is also the worker, for each line; the database's is not in it. Memory is how
much the peak has grown since the file was handed in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

from tests.rooms.inference.batch_provider import BatchProvider

from bastide.app import House, open_house
from bastide.inference import ModelSpec
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope
from bastide.testing import ScriptedModel

CHATS = "/v1/chat/completions"
WORDS = "word " * 100
TURNS = 2


def serve(ready: int) -> None:
    """Both servers, in this process, until it is killed."""

    async def both() -> None:
        async with BatchProvider() as provider, ScriptedModel("You said so. " * 8) as model:
            os.write(ready, json.dumps([provider.url, model.url]).encode())
            os.close(ready)
            await asyncio.Event().wait()

    asyncio.run(both())


def own_cpu_s() -> float:
    """Seconds that this process has computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def measure(house: House, scope: Scope, model: str, lines: int) -> None:
    """One batch, told."""
    turn = {"model": model, "messages": [{"role": "user", "content": WORDS}]}
    made = ({"custom_id": f"n{n}", "method": "POST", "url": CHATS, "body": turn} for n in range(lines))
    data = b"".join(json.dumps(one).encode() + b"\n" for one in made)
    file = await house.batches.files.add(scope, "calls.jsonl", data, label=Label())
    before, began, memory = own_cpu_s(), time.monotonic(), peak_mb()
    batch = await house.batches.create(scope, input_file=file.id, endpoint=CHATS, label=Label())
    await house.workflows.result(scope, batch.job, timeout_s=3600)
    spent, wall = own_cpu_s() - before, time.monotonic() - began
    done = await house.batches.get(scope, batch.id)
    assert (done.status, done.answered) == ("completed", lines), done
    print(
        f"{model:12} {lines:6} lines: {spent / lines * 1e6:6.0f} us CPU a line, "
        f"{wall:6.1f} s, peak +{peak_mb() - memory} MB",
        flush=True,
    )


async def run(home: Path, urls: list[str], lines: int) -> None:
    """Both ways, in turns."""
    async with open_house(Settings.read(home, environment={}), sequence=True, work=True) as house:
        first = await house.tenancy.first_start()
        assert first is not None
        scope = await house.tenancy.authenticate(first.key)
        for name, kind, url in (("handed over", "ovhcloud-batch", urls[0]), ("one by one", "openai", urls[1])):
            spec = ModelSpec(name.replace(" ", "-"), url, kind=kind, local=True, upstream="scripted")
            await house.inference.add_model(scope, spec)
        for _ in range(TURNS):
            for model in ("handed-over", "one-by-one"):
                await measure(house, scope, model, lines)


def main() -> int:
    """0 when it could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--full", action="store_true", help="50,000 lines")
    asked = parser.parse_args()
    reading, ready = os.pipe()
    server = os.fork()
    if server == 0:
        os.close(reading)
        serve(ready)
    os.close(ready)
    folder = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    try:
        urls = json.loads(os.read(reading, 1000))
        asyncio.run(run(folder / "home", urls, 50_000 if asked.full else asked.lines))
    finally:
        os.kill(server, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
