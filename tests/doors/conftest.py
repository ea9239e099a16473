"""A served house: the application on a real port, two tenants with keys for each role, and clients."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx2
import pytest

from bastide.api import bound
from bastide.api.doors import Server, create
from bastide.app import House
from bastide.settings import ServerSettings
from bastide.testing import Says, ScriptedModel
from tests.doors.working import Working, client, working

ROLES = ("administrator", "member", "overseer", "auditor", "dpo", "worker")


@dataclass(frozen=True)
class Company:
    """A tenant with one key a role, and one key that may do nothing."""

    id: str
    name: str
    keys: dict[str, str] = field(repr=False)


@pytest.fixture(scope="session")
async def platform_key(house: House) -> str:
    """The key of the platform's administrator."""
    made = await house.tenancy.first_start() or await house.tenancy.renew_admin_key()
    return made.key


@pytest.fixture(scope="session")
async def served(house: House) -> AsyncIterator[str]:
    """The address of the application on a free port of loopback."""
    started = asyncio.Event()
    sockets = await bound(ServerSettings(port=0))
    server = Server(create(house), started.set)
    task = asyncio.create_task(server._serve(sockets))
    await started.wait()
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@pytest.fixture(scope="session")
async def web(served: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a key."""
    async with httpx2.AsyncClient(base_url=served, timeout=60, trust_env=False) as client:
        yield client


async def company(house: House, platform_key: str, stem: str) -> Company:
    """A new tenant."""
    operator = await house.tenancy.authenticate(platform_key)
    tenant = await house.tenancy.create_tenant(operator, f"{stem}-{secrets.token_hex(4)}")
    keys = {role: (await house.tenancy.create_key(operator, tenant=tenant.id, role=role)).key for role in ROLES}
    claire = await house.tenancy.create_user(
        operator, email="overseer@example.org", roles=["overseer"], tenant=tenant.id
    )  # a yes is said by a person
    bound = await house.tenancy.create_key(operator, tenant=tenant.id, role="overseer", user=claire.id)
    keys["overseer"] = bound.key
    keys["nobody"] = (await house.tenancy.create_key(operator, tenant=tenant.id, role="member", permissions=[])).key
    return Company(tenant.id, tenant.name, keys)


@pytest.fixture(scope="session")
async def us(house: House, platform_key: str) -> Company:
    """Our tenant."""
    return await company(house, platform_key, "ours")


@pytest.fixture(scope="session")
async def them(house: House, platform_key: str) -> Company:
    """The neighbour."""
    return await company(house, platform_key, "theirs")


As = Callable[..., dict[str, str]]


def bearer(key: str, **headers: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}


@pytest.fixture(scope="session")
async def at_work(house: House) -> AsyncIterator[Working]:
    """The same house with job types for tests, a worker, and doors of its own."""
    async with working(house) as opened:
        yield opened


@pytest.fixture(scope="session")
async def doors(at_work: Working) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the house at work, without a key."""
    async with client(at_work.url) as opened:
        yield opened


@pytest.fixture
async def model(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[ScriptedModel]:
    """A model `lane` of ours that says three words."""
    async with ScriptedModel(Says("One two three.")) as made:
        body = {"name": "lane", "url": made.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        added = await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
        assert added.status_code == 201, added.text
        yield made
        await web.delete("/api/v1/models/lane", headers=bearer(us.keys["administrator"]))
