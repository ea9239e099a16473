"""Ending tasks that go on for ever, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

_TOLD_AGAIN_S = 1.0


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel these tasks and wait until they have ended, whatever came of them.

    A task is told again until it has: Python 3.11's `wait_for`, which the connection pool waits with, swallows a
    cancellation that arrives together with what was waited for, and the task would go on for ever.
    """
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_TOLD_AGAIN_S)
    for over in tasks:
        if over is not None and not over.cancelled():
            over.exception()  # it was seen


def told_to_end() -> bool:
    """Whether somebody cancels the task that asks.

    A cancellation that comes out of a call though nobody does is that call's fault, and no reason to end: whoever goes
    on for ever looks here before obeying one.
    """
    us = asyncio.current_task()
    return us is not None and us.cancelling() > 0
