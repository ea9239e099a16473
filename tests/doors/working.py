"""A house at work behind real doors: job types that wait, fail and act on the outside, one worker, one server."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import httpx2
import uvicorn

from bastide.api.doors import create
from bastide.api.gate import Gate
from bastide.app import House
from bastide.settings import WorkSettings
from bastide.workflows import Effect, Job, JobType, JsonValue, Retry, Run, Workflows

QUICK = WorkSettings(concurrency=8, heartbeat_s=0.5, stale_s=3.0, poll_s=0.3, grace_s=1.0)


@dataclass(frozen=True)
class Text:
    """What to do it with."""

    text: str = "hello"
    seconds: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Letter:
    """To whom, and what."""

    to: str
    text: str = ""


@dataclass
class Outside:
    """What reached the world outside: (to, key) of each letter."""

    letters: list[tuple[str, str]] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)


async def _echo(run: Run[Text]) -> JsonValue:
    """The text, after some steps."""

    async def wait() -> JsonValue:
        await asyncio.sleep(run.input.seconds)
        return run.input.text

    for turn in range(run.input.times):
        await run.progress(turn, run.input.times, note=f"turn {turn}")
        await run.step("wait", wait)
    return {"text": run.input.text}


async def _listen(run: Run[Text]) -> JsonValue:
    """Whatever the signal `go` brings."""
    return {"heard": await run.signal("go")}


async def _fail(run: Run[Text]) -> JsonValue:
    raise ValueError("a stone in the mill")


async def _parts(run: Run[Text]) -> JsonValue:
    parts = [Job("door.echo", {"seconds": run.input.seconds}) for _ in range(run.input.times)]
    return [one.status for one in await run.fan_out("parts", parts)]


def types(outside: Outside) -> list[JobType]:
    """The job types."""

    async def send(run: Run[Letter]) -> JsonValue:
        async def post(arguments: JsonValue, key: str) -> JsonValue:
            assert isinstance(arguments, dict)
            outside.letters.append((str(arguments["to"]), key))
            return {"sent": True}

        outside.begun[run.id] += 1
        letter = {"to": run.input.to, "text": run.input.text}
        return await run.effect("post", letter, post, shown=f"A letter to {run.input.to}")

    kind = partial(JobType, about="For tests of the doors.", input=Text, permission="work:run")
    posts = {"post": Effect("sends a letter", "approve")}
    return [
        kind("door.echo", run=_echo),
        kind("door.listen", run=_listen),
        kind("door.fail", run=_fail, retry=Retry(attempts=1)),
        kind("door.parts", run=_parts),
        kind("door.letter", run=send, input=Letter, effects=posts),
    ]


@dataclass(frozen=True)
class Working:
    """The house with its worker, and where it answers."""

    house: House
    workflows: Workflows
    outside: Outside
    url: str
    application: Gate

    async def close(self) -> None:
        """What the house does first when it is asked to stop."""
        await self.application.close()


@asynccontextmanager
async def working(house: House, *, work: bool = True) -> AsyncIterator[Working]:
    """The house at work on a free port of loopback."""
    workflows, outside = Workflows(house.store, house.audit, house.tenancy, house.policy, QUICK), Outside()
    for kind in types(outside):
        workflows.register(kind)
    await workflows.start(work=work)
    application = create(replace(house, workflows=workflows))
    config = uvicorn.Config(
        application, port=0, log_config=None, lifespan="off", ws="wsproto", timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Working(house, workflows, outside, f"http://127.0.0.1:{port}", application)
    finally:
        await application.close()
        server.should_exit = True
        await task
        await workflows.stop()


def client(url: str) -> httpx2.AsyncClient:
    """An ordinary client without a key."""
    return httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False)


def tcp(url: str) -> socket.socket:
    """A bare connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)
