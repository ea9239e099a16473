"""Fixtures of the policy room: the room on the real store, and a clock that can be turned."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bastide.audit import Audit
from bastide.policy import Policy
from bastide.settings import PolicySettings, Settings
from bastide.store import Scope, Store


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@pytest.fixture
def scope_with() -> Callable[[str], Scope]:
    """A scope whose key carries this label."""
    return lambda label: Scope("ten_x", None, None, frozenset(), frozenset({"model:use", "policy:read"}), label)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy_settings(settings: Settings) -> PolicySettings:
    """Nothing is cached, so that two rooms on one database see each other at once."""
    return replace(settings.policy, fresh_s=0.0)


@pytest.fixture
async def policy(
    store: Store, settings: Settings, policy_settings: PolicySettings, clock: Clock
) -> AsyncIterator[Policy]:
    """The room, started on the session's database."""
    room = Policy(store, Audit(store, settings.audit), policy_settings, clock=clock)
    await room.start()
    yield room
    await room.stop()
