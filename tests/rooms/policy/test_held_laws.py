"""Laws as a process holds them while others change them: what was read before a change never stands after it."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from tests.conftest import scope_of

from bastide.errors import DatabaseUnavailable
from bastide.policy import TenantPolicy
from bastide.policy.decision import Governing, governing
from bastide.policy.laws import Laws
from bastide.store import Presence, Scope, new_id

OLD, NEW = governing(TenantPolicy()), governing(TenantPolicy(air_gap=True))


async def there() -> None:
    """The database is."""


@pytest.mark.parametrize("order", list(permutations(range(2))))
async def test_two_readings_may_end_in_any_order(order: tuple[int, ...]) -> None:
    """A call has begun to read when a change is heard of, and the law is read anew at once."""
    scope, asked = scope_of(new_id("ten")), list[asyncio.Future[Governing]]()

    def read(_: Scope) -> asyncio.Future[Governing]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    laws = Laws(read, Presence(there, there), fresh_s=3600.0, stale_s=3600.0)
    laws.set(scope, OLD)
    laws._laws[scope.tenant] = (float("-inf"), OLD)  # long ago
    call = asyncio.create_task(laws.of(scope))
    while len(asked) < 1:
        await asyncio.sleep(0)
    laws._scopes[scope.tenant] = scope
    laws.doubt(scope.tenant)
    while len(asked) < 2:
        await asyncio.sleep(0)
    for which in order:
        asked[which].set_result((OLD, NEW)[which])
        for _ in range(20):
            await asyncio.sleep(0)
    await call
    assert await laws.of(scope) is NEW
    assert laws.held(scope) is NEW
    await laws.stop()


async def test_one_call_waits_for_a_database_that_is_silent_and_the_others_go_by_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bastide.policy.laws._ANSWER_S", 0.01)
    monkeypatch.setattr("bastide.policy.laws._DOUBTS_S", 0.01)
    scope, asked = scope_of(new_id("ten")), list[asyncio.Future[Governing]]()

    def read(_: Scope) -> asyncio.Future[Governing]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    presence = Presence(there, there)
    laws = Laws(read, presence, fresh_s=0.0, stale_s=3600.0)
    laws.set(scope, OLD)
    for _ in range(5):
        assert await laws.of(scope) is OLD
    assert (len(asked), presence.silent, presence.away) == (1, True, False)
    assert laws.at_hand(scope)
    laws._doubts[scope.tenant] = 1  # it was changed elsewhere: only the database says how
    with pytest.raises(DatabaseUnavailable):
        await laws.of(scope)
    assert len(asked) == 2
    for one in asked:
        one.set_result(NEW)
    while presence.silent:
        await asyncio.sleep(0)
    assert laws.held(scope) is NEW
    call = asyncio.create_task(laws.of(scope))
    while len(asked) < 3:
        await asyncio.sleep(0)
    asked[2].set_result(NEW)
    assert await call is NEW
    await laws.stop()
