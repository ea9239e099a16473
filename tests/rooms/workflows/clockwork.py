"""A clockwork: schedules and triggers that fire when a test says so, with job types that nobody has to do.

It stands in a house of its own: the feeder of the session's house would fire what is due before the test looks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bastide.app import House, open_house
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope, new_id
from bastide.workflows import Job, JobType, JsonValue, Run
from bastide.workflows.dispatching import Dispatching
from bastide.workflows.registry import Registry
from bastide.workflows.schedules import Schedules
from bastide.workflows.triggers import Triggers

RUNS = Query(
    "test",
    "runs",
    "select id, type, key, origin, chain, label, input, user_id, priority from workflows.run order by id",
)
BACK = Query(
    "test",
    "back",
    "update workflows.schedule set next_at = %(next_at)s where id = %(id)s returning next_at, now() as now",
)
AHEAD = Query(
    "test",
    "ahead",
    "update workflows.schedule set next_at = now() + interval '1 year', moved_at = now() + interval '1 year' "
    "where id = %(id)s",
)
TIME = Query("test", "time", "select now()")


@dataclass(frozen=True)
class Note:
    """Something to write down."""

    text: str
    count: int = 0
    tags: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


async def nothing(run: Run[Note]) -> JsonValue:
    """Nobody does these jobs here: what is looked at is that they were dispatched."""
    return None


def fails(given: Any, label: Label) -> Label:
    """A label rule with a mistake in it."""
    raise KeyError("class")


TYPES = (
    JobType("note", "Writes something down.", Note, nothing, permission="model:use"),
    JobType("guarded", "Needs a right that members have not.", Note, nothing, permission="audit:verify"),
    JobType("inner", "Dispatched by the house only.", Note, nothing, permission="model:use", internal=True),
    JobType("fickle", "Its label rule has a mistake.", Note, nothing, permission="model:use", label=fails),
)


@dataclass(frozen=True)
class Dispatch:
    """A job as it was dispatched."""

    id: str
    type: str
    key: str | None
    origin: str | None
    chain: list[list[str]]
    label: Label
    input: dict[str, Any]
    user: str | None
    priority: int


@asynccontextmanager
async def a_quiet_house(*kinds: JobType) -> AsyncIterator[House]:
    """A house on a database of its own, in which nobody works; with `kinds`, a worker does these."""
    place = Path(tempfile.mkdtemp(prefix="bastide-quiet-"))
    settings = Settings.read(place / "home", environment={})

    def register(house: House) -> None:
        for kind in kinds:
            house.workflows.register(kind)

    try:
        async with open_house(settings, sequence=True, work=bool(kinds), register=register) as opened:
            yield opened
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Clockwork:
    """One process with schedules and triggers."""

    def __init__(self, house: House, *, dispatching: type[Dispatching] = Dispatching) -> None:
        self.house = house
        self.store = house.store
        self.registry = Registry()
        for kind in TYPES:
            self.registry.add(kind)
        self.dispatching = dispatching(house.store, house.audit, house.policy, self.registry)
        rooms = (house.store, house.audit, house.tenancy, self.dispatching, self.registry)
        self.schedules, self.triggers = Schedules(*rooms), Triggers(*rooms)

    async def runs(self, scope: Scope) -> list[Dispatch]:
        """All jobs of the tenant, oldest first."""
        async with self.store.under(scope) as db:
            found = []
            for row in await db.rows(tuple, RUNS):
                id, type, key, origin, chain, label, sealed, user, priority = row
                given = json.loads(await db.unseal(sealed, about=f"workflows.run|{id}|input"))
                found.append(Dispatch(id, type, key, origin, chain, Label.from_wire(label), given, user, priority))
            return found

    async def put(self, scope: Scope, **given: Any) -> str:
        """A job of a person."""
        async with self.store.under(scope) as db:
            return (await self.dispatching.put(db, scope, Job("note", {"text": "x"}, **given))).id

    async def now(self, scope: Scope) -> datetime:
        """By the database's clock."""
        async with self.store.under(scope) as db:
            now: datetime = await db.value(TIME)
            return now

    async def minute(self, scope: Scope) -> datetime:
        """The minute that has just begun, by the database's clock: a moment at which `* * * * *` is due."""
        return (await self.now(scope)).replace(second=0, microsecond=0)

    async def set_next(self, scope: Scope, schedule: str, moment: datetime) -> None:
        """As if the schedule had waited for that moment."""
        async with self.store.under(scope) as db:
            assert await db.row(tuple, BACK, id=schedule, next_at=moment) is not None

    async def acts(self, scope: Scope, n: int) -> list[str]:
        """What the audit log says of schedules and triggers, oldest first, once the sequencer has put `n` there."""
        for _ in range(200):
            page = await self.house.audit.events(scope, limit=200)
            events = [event for event in page.items if event.act.startswith(("schedule.", "trigger."))]
            if len(events) >= n:
                break
            await asyncio.sleep(0.05)
        return [event.act for event in sorted(events, key=lambda event: event.index)]


async def a_tenant(house: House, like: Scope) -> Scope:
    """A tenant that tenancy knows, so that it can have persons; with the rights of `like`."""
    platform = replace(like, permissions=like.permissions | {"platform:operate"})
    made = await house.tenancy.create_tenant(platform, f"tenant {new_id('x')}")
    return replace(like, tenant=made.id)
