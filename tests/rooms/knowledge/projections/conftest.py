"""One target of each kind, and a house whose worker feeds it when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bastide.app import House
from bastide.knowledge import NewProjection, Projection
from bastide.store import Scope
from tests.rooms.knowledge.projections.doubles import BACKENDS, Place

Aim = Callable[..., Awaitable[Projection]]


@pytest.fixture(scope="session")
async def quiet(house: House) -> House:
    """The house, whose worker does not look for what waits by itself."""
    await house.projections.stop()
    return house


@pytest.fixture(params=sorted(BACKENDS))
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """An empty target of each kind."""
    async with Place(BACKENDS[request.param]()) as opened:
        yield opened


@pytest.fixture
def aim(quiet: House, place: Place) -> Aim:
    """Adds the target for a tenant, and waits until it is filled."""

    async def aim(scope: Scope, name: str = "copy", **given: object) -> Projection:
        backend = place.backend
        new = {"kind": backend.kind, "url": place.url, "key": backend.key, "options": backend.options, **given}
        _, job = await quiet.projections.add(scope, NewProjection(name, **new))  # type: ignore[arg-type]
        done = await quiet.workflows.result(scope, job.id, timeout_s=60)
        assert done.status == "done", (done.why, done.problem)
        return await quiet.projections.get(scope, name)

    return aim
