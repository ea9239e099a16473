"""Tasks that are to end do, also where they missed being told; those that go on for ever do, whatever breaks."""

from __future__ import annotations

import asyncio

import pytest

from bastide.errors import DatabaseUnavailable
from bastide.store import Presence, ended, for_ever


async def test_a_task_that_missed_being_told_is_told_again() -> None:
    told = 0

    async def deaf() -> None:
        nonlocal told
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                told += 1
                if told > 1:
                    raise

    async def broken() -> None:
        raise ValueError("nobody waited for it")

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(broken()), None]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await ended(*tasks)
    assert told == 2
    await ended(None)


async def test_what_goes_on_for_ever_does_whatever_breaks_and_ends_when_it_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults: list[BaseException] = [ValueError("a"), ValueError("a"), DatabaseUnavailable(), asyncio.CancelledError()]
    gone_on = asyncio.Event()

    async def turn() -> None:
        if faults:
            raise faults.pop(0)
        gone_on.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(for_ever("a duty", turn, pause_s=0.0))
    async with asyncio.timeout(60):
        await gone_on.wait()
        await ended(task)
    assert task.cancelled()
    said = [line.getMessage() for line in caplog.records if line.getMessage().startswith("a duty")]
    assert said == ["a duty failed; it goes on", f"a duty: {DatabaseUnavailable()}", "a duty failed; it goes on"]


@pytest.mark.parametrize("fault", [ValueError("a word"), asyncio.CancelledError(), OSError(), DatabaseUnavailable()])
async def test_a_database_is_looked_for_whatever_breaks_on_the_way(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.store.presence._LOOK_EVERY_S", 0.0)
    faults = [fault, fault]

    async def look() -> None:
        if faults:
            raise faults.pop()

    async def reopen() -> None:
        pass

    presence = Presence(look, reopen)
    presence.gone()
    assert await presence.returned(within_s=60)
    assert not faults
