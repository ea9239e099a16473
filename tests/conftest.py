"""Fixtures: a real house on a real PostgreSQL, two tenants, and nobody.

One embedded server and one database a test session (a worker of pytest-xdist has its own); tests
make tenants, which cost nothing, instead of databases.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from bastide.app import House, open_house
from bastide.settings import Settings
from bastide.store import Scope, Store, new_id

# A slow machine is no fault: what a property costs is the benchmarks' question.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

# Files whose tests share what is dear to set up once a session: they go to one worker.
TOGETHER = {
    "tests/rooms/knowledge/test_answer.py": "library",
    "tests/rooms/knowledge/test_search.py": "library",
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


class ByFile(LoadScopeScheduling):
    """Gives the tests of a file to one worker, so that what a file sets up is set up once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """The order of distribution; without workers nobody asks."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
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
