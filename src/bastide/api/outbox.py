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
REPLIES_CHARACTERS_MAX = 8 * 1024 * 1024  # one reply may be larger, and then waits alone
STATES_MAX = 500
STATES_CHARACTERS_MAX = 4 * 1024 * 1024
STATE_CHARACTERS_MAX = 64 * 1024


class Outbox:
    """Filled by those who answer and those who follow, emptied by one who sends."""

    def __init__(self) -> None:
        self._replies: deque[str] = deque()
        self._replies_size = 0
        self._states: dict[str, str] = {}
        self._states_size = 0
        self._left_out = 0
        self._something = asyncio.Event()
        self._room = asyncio.Condition()

    async def reply(self, wire: Mapping[str, Any]) -> None:
        """An answer; waits while too many wait."""
        text = json.dumps(wire, ensure_ascii=False)
        async with self._room:
            await self._room.wait_for(lambda: self._fits(text))
            self._replies.append(text)
            self._replies_size += len(text)
        self._something.set()

    def _fits(self, text: str) -> bool:
        few = len(self._replies) < REPLIES_MAX and self._replies_size + len(text) <= REPLIES_CHARACTERS_MAX
        return few or not self._replies

    def state(self, of: str, wire: Mapping[str, Any]) -> None:
        """The state of a thing as it is now, in place of one that was not sent yet."""
        text = json.dumps(wire, ensure_ascii=False)
        if len(text) > STATE_CHARACTERS_MAX:
            text = json.dumps(_shortened(wire), ensure_ascii=False)
        self._take(of)
        while self._states and (
            len(self._states) >= STATES_MAX or self._states_size + len(text) > STATES_CHARACTERS_MAX
        ):
            self._take(next(iter(self._states)))
            self._left_out += 1
        self._states[of] = text
        self._states_size += len(text)
        self._something.set()

    def _take(self, of: str) -> str:
        text = self._states.pop(of, "")
        self._states_size -= len(text)
        return text

    async def next(self) -> str:
        """What is sent next: replies before states, the oldest first."""
        while True:
            if self._replies:
                async with self._room:
                    text = self._replies.popleft()
                    self._replies_size -= len(text)
                    self._room.notify_all()
                return text
            if self._left_out:
                number, self._left_out = self._left_out, 0
                step = "List what you follow again: changes came faster than they were read."
                return json.dumps({"event": "left_out", "changes": number, "next": step})
            if self._states:
                return self._take(next(iter(self._states)))
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
