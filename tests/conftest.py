"""Fixtures: a real house on a real PostgreSQL, two tenants, and nobody.

One embedded server and one database a test session (a worker of pytest-xdist has its own); tests
make tenants, which cost nothing, instead of databases.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bastide.app import House, open_house
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id

# Fixtures of a module that start a server: whoever uses one goes to the worker that has it already.
SERVERS = {
    "tests/doors/test_commands.py": "server",
    "tests/doors/test_commands_work.py": "server",
    "tests/doors/test_serving.py": "home",
    "tests/journeys/test_pages.py": "served",
}

ALL_PERMISSIONS = frozenset(
    {
        "tenant:manage",
        "key:manage",
        "knowledge:read",
        "knowledge:write",
        "knowledge:erase",
        "knowledge:manage",
        "work:read",
        "work:run",
        "work:manage",
        "work:approve",
        "model:use",
        "model:manage",
        "budget:manage",
        "policy:read",
        "policy:manage",
        "audit:read",
        "audit:verify",
        "rights:use",
    }
)


def scope_of(tenant: str, *, permissions: frozenset[str] = ALL_PERMISSIONS) -> Scope:
    """A scope without a key, for tests below `tenancy`."""
    return Scope(
        tenant=tenant,
        user=new_id("usr"),
        app=None,
        roles=frozenset({"administrator"}),
        permissions=permissions,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one server stay together, and what takes long begins first."""
    for item in items:
        place = item.path.relative_to(config.rootpath).as_posix()
        if SERVERS.get(place, "") in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """An empty home, removed at the end."""
    place = Path(tempfile.mkdtemp(prefix="bastide-test-"))
    yield place / "home"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(home: Path) -> Settings:
    """Settings of a house in `home`; the environment is left out."""
    return Settings.read(home, environment={})


@pytest.fixture(scope="session")
async def store(settings: Settings) -> AsyncIterator[Store]:
    """The store on its embedded PostgreSQL, all migrations applied."""
    opened = Store(settings.store)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def ours() -> Scope:
    """A new tenant, ours."""
    return scope_of(new_id("ten"))


@pytest.fixture
def neighbour() -> Scope:
    """Another new tenant."""
    return scope_of(new_id("ten"))


@pytest.fixture
def nobody(ours: Scope) -> Scope:
    """Our tenant, without a single permission."""
    return scope_of(ours.tenant, permissions=frozenset())


@pytest.fixture(scope="session")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, open on the same home and database as `store`."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened
