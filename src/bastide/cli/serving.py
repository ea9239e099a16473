"""The program behind `bastide up` and `bastide serve`, and the server that a command starts for itself."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from bastide.app import ADMIN_KEY, Role, Served, serve
from bastide.cli.attending import attended
from bastide.cli.beginning import logs, settings_of, signals_held_back
from bastide.cli.running import Running, announce, claimed, prepare
from bastide.errors import AlreadyRunning, BastideError, StartFailed
from bastide.settings import Settings

Words = dict[str, Any]

_ASK = 'Ask it:             bastide ask "When must a personal data breach be notified?"'
_TAKE_IN = "Take files in:      bastide ingest FOLDER"
_NO_DOORS = {
    "sequencer": "The sequencer carries events into the log. Ctrl-C stops it.",
    "worker": "The worker takes {jobs} jobs at a time. Ctrl-C stops it; what runs is finished or given back.",
}


def run(words: Words) -> int:
    """Serve as the words say; the exit status."""
    logs(verbose=bool(words.get("verbose")))
    if words["command"] == "guest":
        return _guest(words)
    return attended(lambda: _serve(words), as_json=words["as_json"])


def _serve(words: Words) -> int:
    settings = settings_of(words)
    role: Role = words.get("role") or "all"
    quiet = words["as_json"]
    with ExitStack() as held:
        prepare(settings.home)
        held.enter_context(signals_held_back())
        written = _claim(held, settings.home, role)
        said = _silent if quiet else _progress

        def opened(served: Served) -> None:
            running = _running(served)
            if running and written:
                announce(settings.home, running)

        def ready(served: Served) -> None:
            _tell(_running(served), role, settings.work.concurrency, quiet=quiet, begin=_ASK if examples else _TAKE_IN)

        examples = words["command"] == "up" and not words.get("no_examples")
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(settings, role=role, on_open=opened, on_ready=ready, examples=examples, said=said))
        except asyncio.CancelledError:  # the second signal came before the house was open
            return 130
    return 0


def _claim(held: ExitStack, home: Path, role: str) -> bool:
    """Whether this process is the server of the home. Another `api` beside it may be; another `up` may not."""
    if role in {"sequencer", "worker"}:
        return False
    try:
        held.enter_context(claimed(home))
    except AlreadyRunning:
        if role == "all":
            raise
        return False
    return True


def _running(served: Served) -> Running | None:
    if served.url is None:
        return None
    settings = served.house.settings
    return Running(
        url=served.url,
        home=str(settings.home),
        admin_key_file=str(settings.home / ADMIN_KEY),
        tenant="home",
        database=served.house.store.kind,
        air_gap=settings.air_gap,
        pid=os.getpid(),
    )


def _tell(running: Running | None, role: str, jobs: int, *, quiet: bool, begin: str) -> None:
    if running is None:
        print(json.dumps({"role": role}) if quiet else _NO_DOORS[role].format(jobs=jobs), flush=True)
    elif quiet:
        print(running.to_json(), flush=True)
    else:
        gap = "\nThe air gap is closed: nothing but loopback is reached." if running.air_gap else ""
        print(
            f"Bastide answers at {running.url}\n"
            f"Home:               {running.home}\n"
            f"Administrator key:  {running.admin_key_file}{gap}\n"
            f"{begin}\n"
            "Ctrl-C stops it.",
            flush=True,
        )


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    pass


# -- for one command --------------------------------------------------------------------------------


def _guest(words: Words) -> int:
    """Serve on a free port until standard input ends; the first line of output says where, or what went wrong."""
    try:
        asyncio.run(_serve_guest(settings_of({**words, "host": "127.0.0.1", "port": 0})))
    except BastideError as fault:
        print(json.dumps({"error": fault.to_wire()}, default=str), flush=True)
        return 1
    except Exception as fault:
        logging.getLogger("bastide").exception("the house did not open")
        said = StartFailed(f"The house could not be opened: {type(fault).__name__}.")
        print(json.dumps({"error": said.to_wire()}), flush=True)
        return 1
    return 0


async def _serve_guest(settings: Settings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _at_end(stop))

    def ready(served: Served) -> None:
        print(json.dumps({"url": served.url}), flush=True)

    await serve(settings, role="all", on_ready=ready, stop=stop, ahead=False)


def _at_end(stop: asyncio.Event) -> Callable[[], None]:
    def look() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            stop.set()

    return look


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
