"""The graph on the real rooms; tests make tenants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from bastide.knowledge.graph import Graph
from bastide.store import Scope
from tests.rooms.knowledge.conftest import Rooms

Take = Callable[..., Awaitable[str]]


@pytest.fixture
def graph(rooms: Rooms) -> Graph:
    """The class under test."""
    return Graph(rooms.store, rooms.audit)


@pytest.fixture
def take(rooms: Rooms) -> Take:
    """Takes a text in, without vectors; its document's id."""

    async def take(scope: Scope, name: str, text: str, **given: object) -> str:
        done = await rooms.knowledge.ingest(scope, name, text.encode(), vectors=False, **given)  # type: ignore[arg-type]
        (document,) = done.documents
        assert document.status in {"ready", "unchanged"}, document
        assert document.id is not None
        return document.id

    return take
