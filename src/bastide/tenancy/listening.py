"""Listening: a process hears at once that another has changed an identity.

Who is remembered is asked for again every two seconds anyway. But a key that was disabled elsewhere a moment before the
database goes away must not be let in for as long as that lasts.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from bastide.errors import BastideError
from bastide.store import Store, ended
from bastide.tenancy.admission import Admission

_CHANNEL: Final = "tenancy_changed"
_RETRY_S: Final = 0.5
_SETTLED_S: Final = 0.5


class Listening:
    """Forgets what is remembered whenever an identity has changed, wherever; and asks for it anew a moment later."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self._store = store
        self._admission = admission
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Listen no more."""
        await ended(self._task)
        await ended(self._renewing)
        self._task = self._renewing = None

    async def _listen(self) -> None:
        while True:
            with suppress(BastideError):
                async for _ in self._store.listen(_CHANNEL):
                    self._admission.forget()
                    if self._renewing is None or self._renewing.done():
                        self._renewing = asyncio.get_running_loop().create_task(self._renew())
            self._store.presence.gone()  # what was remembered before this does not outlast another absence
            await asyncio.sleep(_RETRY_S)

    async def _renew(self) -> None:
        await asyncio.sleep(_SETTLED_S)  # many changes may come together
        await self._admission.renew()
