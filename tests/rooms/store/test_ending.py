"""Tasks that are to end do, also where they missed being told."""

from __future__ import annotations

import asyncio

from bastide.store import ended


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
