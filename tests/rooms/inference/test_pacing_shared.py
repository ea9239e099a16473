"""Shares: processes of one database never make more requests in a minute than the rate, whatever becomes of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.conftest import scope_of

from bastide.inference import Model, ModelSpec
from bastide.inference.pacing import Pace, Paces, Sharing
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id
from bastide.testing import ScriptedModel

from .test_gateway import Taken
from .test_told import Other, here, other

__all__ = ["here", "other"]

MODEL = Model("m", "openai", ("chat",), "record", "https://api.example/v1", "upstream")


class Clock:
    """A monotonic clock that can be set forward, together with the times of all shares."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forward = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._forward

    async def forward(self, seconds: float) -> None:
        """So much time passes."""
        async with self._store.as_owner(reason="the time passes") as owner:
            await owner.execute("alter table inference.pace_share no force row level security")
            passes = "update inference.pace_share set expires_at = expires_at - make_interval(secs => %s)"
            await owner.execute(passes, (seconds,))
            await owner.execute("alter table inference.pace_share force row level security")
        self._forward += seconds


@dataclass
class Process:
    """A process, as far as pacing sees it."""

    paces: Paces
    sharing: Sharing
    clock: Clock

    async def pace(self, scope: Scope, rate: int | None, key: str = "sk-1") -> Pace:
        """As the gateway has it before the first call."""
        pace = self.paces.of(scope, MODEL, key, rate)
        await self.paces.at_hand()
        return pace

    def burst(self, pace: Pace, most: int) -> int:
        """How many of so many requests go now."""
        return sum(pace.take(self.clock()) == 0 for _ in range(most))

    def die(self) -> None:
        """Killed: it says nothing any more."""
        self.sharing._leave()
        assert self.sharing._task is not None
        self.sharing._task.cancel()
        self.sharing._paces.clear()


Begin = Callable[..., Awaitable[Process]]


@pytest.fixture
def clock(store: Store) -> Clock:
    return Clock(store)


@pytest.fixture
async def process(store: Store, clock: Clock) -> AsyncIterator[Begin]:
    """Makes what another process would have."""
    async with AsyncExitStack() as stopped:

        async def begin(over: Store = store) -> Process:
            sharing = Sharing(over, new_id("prc"), clock)
            sharing.start()
            stopped.push_async_callback(sharing.stop)
            return Process(Paces(sharing), sharing, clock)

        yield begin


async def until_dry(*asking: tuple[Process, Pace]) -> list[int]:
    """How many requests of each go until none has gone for half a second."""
    done, quiet = [0] * len(asking), 0
    while quiet < 10:
        went = [one.burst(pace, 1000) for one, pace in asking]
        done = [sum(pair) for pair in zip(done, went, strict=True)]
        quiet = 0 if any(went) else quiet + 1
        await asyncio.sleep(0.05)
    return done


async def test_a_process_alone_has_half_at_hand_and_gets_all(process: Begin, ours: Scope) -> None:
    one = await process()
    pace = await one.pace(ours, 400)
    at_hand = one.burst(pace, 1000)
    assert at_hand == 200
    assert at_hand + sum(await until_dry((one, pace))) == 400
    assert 50 < pace.take(one.clock()) <= 60, "and then it is known how long to wait"


async def test_two_ask_no_more_than_one_and_each_gets_its_part(process: Begin, ours: Scope, neighbour: Scope) -> None:
    one, two = await process(), await process()
    asking = [(each, await each.pace(ours, 100)) for each in (one, two)]
    done = await until_dry(*asking)
    assert sum(done) == 100
    assert min(done) >= 40
    for scope, key in ((neighbour, "sk-1"), (ours, "sk-2")):
        other = await two.pace(scope, 100, key)
        assert two.burst(other, 1000) >= 50, "the neighbour and the other key have a rate of their own"


async def test_who_comes_later_is_given_what_is_not_used(process: Begin, ours: Scope) -> None:
    one, two = await process(), await process()
    pace = await one.pace(ours, 16)
    assert one.burst(pace, 6) == 6
    assert pace.share is not None
    assert pace.share.requests == 16, "of a small rate nothing is kept back"
    began = time.monotonic()
    late = await two.pace(ours, 16)
    assert time.monotonic() - began < 30, "whoever holds it was told; its lease runs for more than a minute"
    assert 1 <= two.burst(late, 100) <= 10
    assert sum(await until_dry((one, pace), (two, late))) <= 9


async def test_a_rate_that_is_changed_or_gone_is_shared_as_it_is_now(process: Begin, ours: Scope) -> None:
    one, two = await process(), await process()
    asking = [(each, await each.pace(ours, 100)) for each in (one, two)]
    for each in (one, two):
        await each.pace(ours, 40)
    assert sum(await until_dry(*asking)) == 40
    free = await one.pace(ours, None)
    assert one.burst(free, 1000) == 1000
    asked = one.sharing._woken
    await asyncio.sleep(0.3)
    assert not asked.is_set()
    assert one.sharing._task is not None
    assert not one.sharing._task.done()
    assert two.burst(asking[1][1], 100) == 0


async def test_a_process_that_stops_leaves_what_it_has_not_used(process: Begin, ours: Scope) -> None:
    one, two = await process(), await process()
    assert one.burst(await one.pace(ours, 100), 30) == 30
    await one.sharing.stop()
    pace = await two.pace(ours, 100)
    assert sum(await until_dry((two, pace))) == 70


async def test_the_share_of_one_that_was_killed_is_free_a_minute_after_its_time(
    process: Begin, clock: Clock, ours: Scope
) -> None:
    one, two = await process(), await process()
    pace = await one.pace(ours, 100)
    assert one.burst(pace, 30) == 30
    one.die()
    late = await two.pace(ours, 100)
    assert sum(await until_dry((two, late))) == 50, "the other half was held by the one that died"
    await clock.forward(16 + 61)
    async with asyncio.timeout(60):  # in the first seconds of a server nobody is taken for dead
        while two.burst(late, 1000) == 0 or late.share is None or late.share.requests < 100:
            await asyncio.sleep(0.05)
    assert late.share.requests == 100


async def test_a_process_that_was_stopped_for_a_while_counts_on_nothing_but_a_twentieth(
    process: Begin, clock: Clock, ours: Scope
) -> None:
    one = await process()
    pace = await one.pace(ours, 100)
    one.die()
    await clock.forward(13)
    assert one.burst(pace, 100) == 5


async def test_without_the_database_what_is_held_is_used_on_and_no_more(
    process: Begin, settings: Settings, clock: Clock, ours: Scope
) -> None:
    own = Store(settings.store)
    await own.start()
    one, cut = await process(), await process(own)
    asking = [(each, await each.pace(ours, 100)) for each in (one, cut)]
    await until_dry(*asking)
    await clock.forward(61)
    pace = asking[1][1]
    assert pace.share is not None
    held = pace.share.requests
    await own.stop()
    pace.share.ask_at = 0.0
    cut.sharing.wake(pace)
    async with asyncio.timeout(60):
        while pace.share.own_until != float("inf"):
            await asyncio.sleep(0.02)
    assert sum(await until_dry((cut, pace))) == held


async def test_two_houses_on_one_database_ask_a_server_no_more_often_than_it_allows(
    here: Other, other: Other, ours: Scope, neighbour: Scope
) -> None:
    async def called(house: Other, scope: Scope = ours) -> int:
        taken = Taken()
        body = b'{"model": "ours", "messages": [{"role": "user", "content": "When?"}]}'
        house.inference.gateway.begin(scope, Label(), "chat", body, taken, request_id="req_test")
        async with asyncio.timeout(60):
            await taken.ended.wait()
        return taken.status

    async with ScriptedModel("Here.") as server:
        for scope in (ours, neighbour):
            spec = ModelSpec("ours", url=server.url, local=True, upstream="scripted", requests_per_minute=20)
            await here.inference.add_model(scope, spec)
        began = time.monotonic()
        found = await asyncio.gather(*(called(house) for _ in range(15) for house in (here, other)))
        async with asyncio.timeout(60):  # what one of them has left over goes to the other
            while found.count(200) < 20:
                found += [await called(house) for house in (here, other)]
                await asyncio.sleep(0.05)
        found += [await called(house) for _ in range(5) for house in (here, other)]
        assert set(found) == {200, 429}
        grown = (time.monotonic() - began) / 3.0  # a call more every three seconds
        assert 20 <= found.count(200) == len(server.chats) <= 20 + grown
        assert await called(other, neighbour) == 200, "the neighbour's rate is his own"


_ASKS: Final = """
import asyncio, sys, time
from pathlib import Path
from tests.rooms.inference.test_pacing_shared import MODEL
from tests.conftest import scope_of
from bastide.inference.pacing import Paces, Sharing
from bastide.settings import Settings
from bastide.store import Store, new_id

async def main():
    store = Store(Settings.read(Path(sys.argv[1]), environment={}).store)
    await store.start()
    sharing = Sharing(store, new_id("prc"))
    sharing.start()
    paces, done = Paces(sharing), 0
    pace = paces.of(scope_of(sys.argv[2]), MODEL, "sk-1", 200)
    await paces.at_hand()
    for _ in range(60):
        done += sum(pace.take(time.monotonic()) == 0 for _ in range(1000))
        print(done, flush=True)
        await asyncio.sleep(0.05)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_two_real_processes_ask_no_more_than_one_and_one_is_killed(
    process: Begin, settings: Settings, clock: Clock, ours: Scope
) -> None:
    words = [sys.executable, "-c", _ASKS, str(settings.store.home), ours.tenant]
    both = [await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE) for _ in range(2)]
    done = [0, 0]
    for number, one in enumerate(both):
        assert one.stdout is not None
        for _ in range(60):
            done[number] = int(await asyncio.wait_for(one.stdout.readline(), 60))
    assert sum(done) == 200
    both[0].kill()  # it says no more, but what it held counts on
    late = await process()
    pace = await late.pace(ours, 200)
    assert late.burst(pace, 1000) == 0
    both[1].kill()
    await clock.forward(16 + 61)
    async with asyncio.timeout(60):
        while late.burst(pace, 1000) == 0 or pace.share is None or pace.share.requests < 200:
            await asyncio.sleep(0.05)
    for one in both:
        await one.wait()


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["burst", "burst", "burst", "pass", "join", "stop", "kill"]),
        st.integers(0, 3),
        st.integers(1, 90),
    ),
    min_size=5,
    max_size=25,
)


@examples(max_examples=8, suppress_health_check=list(HealthCheck))
@given(rate=st.sampled_from([1, 3, 40, 400]), steps=STEPS)
async def test_law_no_minute_has_more_than_the_rate_whichever_process_asks(
    process: Begin, clock: Clock, rate: int, steps: list[Step]
) -> None:
    """Processes come, ask in bursts, stop and are killed; time passes."""
    scope, went = scope_of(new_id("ten")), list[float]()
    running: list[tuple[Process, Pace]] = []
    began = 0
    for act, which, number in steps:
        if act == "pass":
            await clock.forward(number)
        elif act == "join" or not running:
            began, one = began + 1, await process()
            running.append((one, await one.pace(scope, rate)))
        elif act == "burst":
            one, pace = running[which % len(running)]
            went += [now for now in [clock()] * (number * rate // 60 + 1) if pace.take(now) == 0]
        else:
            one, _ = running.pop(which % len(running))
            if act == "stop":
                await one.sharing.stop()
            else:
                one.die()
        await asyncio.sleep(0.02)
    for one, _ in running:
        await one.sharing.stop()
    lapsed = any(act == "pass" and number >= 12 for act, _, number in steps)
    twentieths = max(1, rate // 20) * began if lapsed else 0
    for first in went:
        asked = sum(first <= other < first + 60 for other in went)
        assert asked <= rate + twentieths
