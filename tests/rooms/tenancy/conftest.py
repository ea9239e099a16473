"""A house of its own up to tenancy, so that its first start can be watched."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bastide.audit import Audit
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id
from bastide.tenancy import NewKey, Tenancy


@dataclass
class Founded:
    """Tenancy after its first start, and another process of the same house."""

    store: Store
    audit: Audit
    tenancy: Tenancy
    elsewhere: Tenancy  # same database, nothing remembered in common
    first_keys: list[NewKey | None]  # what six processes got that began at once
    platform: Scope  # the administrator of the home tenant

    async def tenant(self) -> Scope:
        """The administrator of a new tenant."""
        made = await self.tenancy.create_tenant(self.platform, f"tenant {new_id('x')}")
        return await self.administrator(made.id)

    async def administrator(self, tenant: str) -> Scope:
        """An administrator's scope, made as everybody else's is: by a key."""
        key = await self.tenancy.create_key(self.platform, tenant=tenant, role="administrator")
        return await self.tenancy.authenticate(key.key)


@pytest.fixture(scope="session")
async def founded() -> AsyncIterator[Founded]:
    """A house whose first start six processes began at the same time."""
    place = Path(tempfile.mkdtemp(prefix="bastide-tenancy-"))
    settings = Settings.read(place / "home", environment={})
    store = Store(settings.store)
    await store.start()
    audit = Audit(store, settings.audit)
    await audit.start()
    tenancies = [Tenancy(store, audit) for _ in range(6)]
    first_keys = await asyncio.gather(*(each.first_start() for each in tenancies))
    (first,) = [each for each in first_keys if each is not None]
    platform = await tenancies[0].authenticate(first.key)
    yield Founded(store, audit, tenancies[0], tenancies[1], first_keys, platform)
    await audit.stop()
    await store.stop()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
async def ours(founded: Founded) -> Scope:
    """The administrator of a new tenant, ours."""
    return await founded.tenant()


@pytest.fixture
async def neighbour(founded: Founded) -> Scope:
    """The administrator of another new tenant."""
    return await founded.tenant()
