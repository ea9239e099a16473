"""What waits to be sent to one socket, within bounds however slowly it is read.

Replies keep their order, and who asks on while too many wait is not heard until some are gone. Of each thing
that is followed only the latest state waits; when too many things changed, the oldest are left out and the
receiver is told so.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

REPLIES_MAX = 32
STATES_MAX = 500
STATE_BYTES_MAX = 64 * 1024


class Outbox:
    """Filled by those who answer and those who follow, emptied by one who sends."""

    def __init__(self) -> None:
        self._replies: deque[str] = deque()
        self._states: dict[str, str] = {}
        self._left_out = 0
        self._something = asyncio.Event()
        self._room = asyncio.Semaphore(REPLIES_MAX)

    async def reply(self, wire: Mapping[str, Any]) -> None:
        """An answer; waits while too many wait."""
        await self._room.acquire()
        self._replies.append(json.dumps(wire, ensure_ascii=False))
        self._something.set()

    def state(self, of: str, wire: Mapping[str, Any]) -> None:
        """The state of a thing as it is now, in place of one that was not sent yet."""
        text = json.dumps(wire, ensure_ascii=False)
        if len(text) > STATE_BYTES_MAX:
            text = json.dumps(_shortened(wire), ensure_ascii=False)
        self._states.pop(of, None)
        while len(self._states) >= STATES_MAX:
            self._states.pop(next(iter(self._states)))
            self._left_out += 1
        self._states[of] = text
        self._something.set()

    async def next(self) -> str:
        """What is sent next: replies before states, the oldest first."""
        while True:
            if self._replies:
                self._room.release()
                return self._replies.popleft()
            if self._left_out:
                number, self._left_out = self._left_out, 0
                step = "List what you follow again: changes came faster than they were read."
                return json.dumps({"event": "left_out", "changes": number, "next": step})
            if self._states:
                return self._states.pop(next(iter(self._states)))
            self._something.clear()
            await self._something.wait()


def _shortened(wire: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the contents that make it large: they are fetched, not pushed."""
    short = dict(wire)
    for name, thing in wire.items():
        if isinstance(thing, dict):
            kept = {key: value for key, value in thing.items() if len(json.dumps(value)) <= 4096}
            short[name] = {**kept, "left_out": sorted(set(thing) - set(kept))}
    return short
