"""Listening: a process hears at once that another has changed an identity.

Who is remembered is asked for again every two seconds anyway. But a key that was disabled elsewhere a moment before the
database goes away must not be let in for as long as that lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bastide.store import Store, ended
from bastide.tenancy.admission import Admission

_TOPIC: Final = "tenancy"
_SETTLED_S: Final = 0.5


class Listening:
    """Forgets what is remembered whenever an identity has changed, wherever; and asks for it anew a moment later."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self._store = store
        self._admission = admission
        self._leave: Callable[[], None] = lambda: None
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen until `stop`."""
        self._leave = self._store.hearing.on(_TOPIC, self._told)

    async def stop(self) -> None:
        """Listen no more."""
        self._leave()
        await ended(self._renewing)
        self._renewing = None

    def _told(self, _: str) -> None:
        self._admission.forget()
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        await asyncio.sleep(_SETTLED_S)  # many changes may come together
        await self._admission.renew()
