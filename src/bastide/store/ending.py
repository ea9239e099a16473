"""Tasks that go on for ever: they end when they are told to, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from bastide.errors import BastideError
from bastide.telemetry import log

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


async def for_ever(name: str, turn: Callable[[], Awaitable[object]], *, pause_s: float = 1.0) -> NoReturn:
    """Take turns until somebody cancels the task. After one that fails, which is logged, the next waits `pause_s`."""
    told = ""
    while True:
        try:
            await turn()
            told = ""
        except (Exception, asyncio.CancelledError) as fault:
            if told_to_end():
                raise
            if repr(fault) != told:
                told = repr(fault)
                if isinstance(fault, BastideError):
                    log.warning("%s: %s", name, fault)
                else:
                    log.exception("%s failed; it goes on", name)
            await asyncio.sleep(pause_s)


def told_to_end() -> bool:
    """Whether somebody cancels the task that asks.

    A cancellation that comes out of a call though nobody does is that call's fault, and no reason to end: whoever goes
    on for ever looks here before obeying one.
    """
    us = asyncio.current_task()
    return us is not None and us.cancelling() > 0
