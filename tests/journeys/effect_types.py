"""A house whose one job type sends a number away, and may be held where a kill hurts most.

    python -m tests.journeys.effect_types --home HOME --role worker|api [--port PORT]

`send` tells the world outside beside the home (see `work_types.Outside`): a line a call, a file an accepted key.
While the file `hold` is there, it stays inside the effect: with "before" ahead of what it does outside, with "after"
behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from bastide.app import House, Served, serve
from bastide.errors import BastideError
from bastide.settings import Settings
from bastide.workflows import Effect, JobType, JsonValue, Limits, Retry, Run
from tests.journeys.work_types import Outside, quick


@dataclass(frozen=True)
class Parcel:
    """What to send, how often, and where it stays."""

    number: int = 0
    times: int = 1
    stays: str = ""  # before, after, or nowhere
    pause_s: float = 0.0  # before each


def types_of(outside: Outside) -> list[JobType]:
    """Sent without being asked, and with an approval."""

    async def stay(run: Run[Parcel], where: str) -> None:
        while run.input.stays == where and (outside.folder / "hold").exists():
            await asyncio.sleep(0.01)

    async def send(run: Run[Parcel]) -> JsonValue:
        async def post(arguments: JsonValue, key: str) -> JsonValue:
            outside.call("gate", run, key)
            await stay(run, "before")
            outside.call("send", run, key)
            outside.accept(key)
            await stay(run, "after")
            return {"attempt": run.attempt, "key": key}

        given: list[JsonValue] = []
        for number in range(run.input.times):
            await asyncio.sleep(run.input.pause_s)
            given.append(await run.effect("send", {"number": run.input.number + number}, post, shown="a parcel"))
        return given

    retry = Retry(attempts=5, first_s=0.1)
    limits = Limits(step_s=60.0)
    about = "Sends a number away."
    return [
        JobType(
            name, about, Parcel, run=send, permission="work:run", limits=limits, retry=retry, effects={"send": effect}
        )
        for name, effect in (
            ("effect.free", Effect("Sends the number away.")),
            ("effect.asked", Effect("Sends the number away.", "approve")),
        )
    ]


def main() -> int:
    """Play a role until a signal."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--home", type=Path, required=True)
    ask.add_argument("--role", choices=["api", "worker"], required=True)
    ask.add_argument("--port", type=int)
    given = ask.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    settings = quick(Settings.read(given.home, port=given.port))

    def register(house: House) -> None:
        for kind in types_of(Outside(given.home.parent)):
            house.workflows.register(kind)

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
