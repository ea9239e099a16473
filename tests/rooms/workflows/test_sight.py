"""Sight: a list of jobs says of each why it waits, and asks no more for a hundred of them than for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastide.app import House
from bastide.store import Db, Json, Query, Scope, new_id, queries
from bastide.workflows import Job, Lane
from bastide.workflows.sight import Sight

ADD_WORKER = queries("bastide.workflows")["add_worker"]
DROP_WORKERS = Query("test", "drop_workers", "delete from workflows.worker")
TEXT = {"text": "The mill of the town has two wheels."}


@pytest.fixture
async def worker(quiet: House) -> AsyncIterator[None]:
    """As if a worker were there, that takes four at a time and does titles only."""
    async with quiet.store.as_operator(reason="test") as db:
        known = Json({"title": [1, 1]})
        await db.run(ADD_WORKER, id=1, host="here", pid=1, concurrency=4, types=known)
    yield
    async with quiet.store.as_operator(reason="test") as db:
        await db.run(DROP_WORKERS)


async def listed(quiet: House, scope: Scope) -> dict[str, str]:
    """Why each job waits, by the job, as a list says it."""
    return {one.id: one.why for one in (await quiet.workflows.jobs(scope)).items}


async def test_without_a_worker_a_list_says_so(quiet: House, ours: Scope, neighbour: Scope) -> None:
    id = (await quiet.workflows.dispatch(ours, Job("title", TEXT))).id
    assert await listed(quiet, ours) == {id: "No worker is running. Start one: `bastide serve --role worker`."}
    assert await listed(quiet, neighbour) == {}


async def test_a_list_says_of_each_job_why_it_waits(quiet: House, ours: Scope, worker: None) -> None:
    waits, other = [(await quiet.workflows.dispatch(ours, Job(name, TEXT))).id for name in ("title", "summarise")]
    whys = await listed(quiet, ours)
    assert whys[waits] == "It waits for its turn; the workers take 4 at a time, in turns among tenants."
    assert whys[other].startswith("None of the 1 running workers knows summarise")
    alone = await quiet.workflows.job(ours, waits)
    assert alone.why.startswith("0 jobs of its type are before it; the workers take 4"), "one alone is told more"
    await quiet.workflows.set_lane(ours, Lane("title", paused=True))
    assert "is paused" in (await listed(quiet, ours))[waits]
    await quiet.workflows.cancel(ours, waits)
    assert (await listed(quiet, ours))[waits] == ""


class Counting:
    """The database, with what it is asked."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self.asked: list[str] = []

    async def rows(self, shape: type[Any], query: Query, **values: Any) -> list[Any]:
        self.asked.append(query.name)
        return await self._db.rows(shape, query, **values)


@pytest.mark.parametrize("many", [1, 500])
async def test_a_long_list_costs_no_more_questions(quiet: House, ours: Scope, worker: None, many: int) -> None:
    rows = [{"id": new_id("job"), "type": "title", "version": 1, "status": "queued"} for _ in range(many)]
    sight = Sight(quiet.workflows._registry, quiet.settings.work)
    async with quiet.store.under(ours) as db:
        counting = Counting(db)
        whys = await sight.whys(counting, rows)  # type: ignore[arg-type]  # a double of the database
    assert len(whys) == many
    assert len(set(whys)) == 1
    assert sorted(counting.asked) == ["at_work_of", "lanes", "pauses", "workers"]
