"""Watching: each change of some jobs, as it comes. One question a tenant and a moment, however many jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from bastide.workflows.values import JobRecord, Progress

_FAST_S, _SLOW_S = 0.05, 1.0  # between two looks: soon after a change, and while nothing changes

Look = Callable[[Sequence[str] | None], Awaitable[list[JobRecord]]]


async def changes(look: Look, ids: Sequence[str] | None, for_s: float | None) -> AsyncGenerator[JobRecord]:
    """The jobs as they are, then each again when it has changed; ends when all named have ended, or after `for_s`.

    Without `ids` it goes on with whatever `look` shows.
    """
    seen: dict[str, tuple[int, Progress]] = {}  # a parent's progress grows while its own row stays as it is
    until = None if for_s is None else time.monotonic() + for_s
    changed_at = time.monotonic()
    while True:
        found = await look(ids)
        for record in found:
            if seen.get(record.id) != (record.revision, record.progress):
                seen[record.id] = (record.revision, record.progress)
                changed_at = time.monotonic()
                yield record
        if ids is not None and all(record.ended for record in found):
            return
        now = time.monotonic()
        if until is not None and now >= until:
            return
        pause = min(_SLOW_S, _FAST_S + (now - changed_at) / 20)
        await asyncio.sleep(pause if until is None else min(pause, until - now))
