"""A journal on a log of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.rooms.audit.conftest import Logged, started

from bastide.audit import Journal
from bastide.settings import AuditSettings

from .journals import straight


@pytest.fixture(scope="session")
async def logged() -> AsyncIterator[Logged]:
    """A log of its own: others of this room count what stands in theirs."""
    place = Path(tempfile.mkdtemp(prefix="bastide-journal-"))
    async with started(place / "home") as one:
        yield one
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
async def journal(logged: Logged, tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal of a folder of its own, on this room's database."""
    one = Journal(logged.store, AuditSettings(home=tmp_path))
    yield one
    await one.stop()


@pytest.fixture(params=["through the outbox", "straight"])
def either(request: pytest.FixtureRequest, logged: Logged, journal: Journal) -> Journal:
    """The same journal, carried either way."""
    if request.param == "straight":
        journal._enter = straight(logged)
    return journal
