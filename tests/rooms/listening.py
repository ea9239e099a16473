"""Waiting until a process hears what others change."""

from __future__ import annotations

import asyncio

from bastide.store import Store


async def heard(store: Store) -> None:
    """Until this process listens."""
    listening = asyncio.Event()
    leave = store.hearing.on("test", lambda _: listening.set())
    async with asyncio.timeout(60):
        while not listening.is_set():
            async with store.as_owner(reason="see who listens") as owner:
                await owner.execute("select pg_notify('changed', 'test')")
            await asyncio.sleep(0.02)
    leave()
