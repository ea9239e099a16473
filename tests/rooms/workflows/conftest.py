"""What tests of schedules, triggers and sight share: a house in which nothing happens by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bastide.app import House
from bastide.store import Scope
from tests.rooms.workflows.clockwork import Clockwork, a_quiet_house, a_tenant


@pytest.fixture(scope="package")
async def quiet() -> AsyncIterator[House]:
    """A house without a worker, whose feeder does not come first."""
    async with a_quiet_house() as opened:
        yield opened


@pytest.fixture
def clockwork(quiet: House) -> Clockwork:
    """A process with schedules and triggers, that fires when the test says so."""
    return Clockwork(quiet)


@pytest.fixture
async def founded(quiet: House, ours: Scope) -> Scope:
    """A tenant that is there, with persons who can be disabled."""
    return await a_tenant(quiet, ours)
