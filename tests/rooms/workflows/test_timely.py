"""Schedules and triggers with a worker: from the clock, a webhook and a job's end to the work that follows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastide.app import House
from bastide.store import Scope
from bastide.workflows import Job, JobRecord, JobType, JsonValue, Run
from bastide.workflows.webhooks import sign
from tests.rooms.workflows.clockwork import BACK, Note, a_quiet_house, a_tenant


async def write_down(run: Run[Note]) -> JsonValue:
    """Gives back what it was given."""
    return await run.step("write", lambda: _given(run))


async def _given(run: Run[Note]) -> JsonValue:
    return {"text": run.input.text, "integrity": run.label.integrity}


KIND = JobType("test.write", "Writes something down.", Note, write_down, permission="model:use")


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    """A house with a worker that knows this type."""
    async with a_quiet_house(KIND) as opened:
        yield opened


@pytest.fixture
async def here(house: House, ours: Scope) -> Scope:
    """A tenant that is there."""
    return await a_tenant(house, ours)


async def settled(house: House, scope: Scope, n: int) -> list[JobRecord]:
    """The tenant's jobs, oldest first, once `n` have ended and none is on its way."""
    deadline = time.monotonic() + 60
    while True:
        found = sorted((await house.workflows.jobs(scope)).items, key=lambda job: job.id)
        if len(found) >= n and all(job.ended for job in found):
            return [await house.workflows.job(scope, job.id) for job in found]
        assert time.monotonic() < deadline, f"{[(job.id, job.status, job.why) for job in found]}"
        await asyncio.sleep(0.05)


async def test_the_clock_has_it_done(house: House, here: Scope) -> None:
    made = await house.workflows.schedules.create(
        here, name="each minute", type=KIND.name, cron="* * * * *", input={"text": "tick"}
    )
    async with house.store.under(here) as db:
        row = await db.row(dict, BACK, id=made.id, next_at=made.created_at.replace(second=0, microsecond=0))
    assert row is not None
    (job, *_) = await settled(house, here, 1)
    assert (job.status, job.output, job.origin) == ("done", {"text": "tick", "integrity": "trusted"}, made.id)
    assert (await house.workflows.schedules.get(here, made.id)).last_job == job.id
    await house.workflows.schedules.delete(here, made.id)


async def test_a_webhook_and_the_end_of_a_job_have_it_done_and_a_circle_ends(house: House, here: Scope) -> None:
    triggers = house.workflows.triggers
    hook = await triggers.create(here, name="hook", on="webhook", type=KIND.name, input={"text": "got {body.word}"})
    echo = await triggers.create(
        here,
        name="echo",
        on="job.ended",
        type=KIND.name,
        filter={"type": KIND.name, "status": "done"},
        input={"text": "after {job}"},
    )
    assert hook.secret is not None
    body, at = json.dumps({"word": "rain"}).encode(), int(time.time())
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": sign(hook.secret, "msg_1", at, body),
    }
    first = await triggers.received(hook.trigger.id, headers, body)
    assert first is not None
    one, two = await settled(house, here, 2)
    assert (one.id, one.output) == (first.id, {"text": "got rain", "integrity": "untrusted"})
    assert two.output == {"text": f"after {one.id}", "integrity": "untrusted"}, "the label follows the chain"
    stopped = (await triggers.get(here, echo.trigger.id)).last_problem
    assert stopped is not None
    assert f"{hook.trigger.id} -> {one.id} -> {echo.trigger.id} -> {two.id} -> {echo.trigger.id}" in stopped.message
    await asyncio.sleep(1.5)  # a few turns later
    assert len((await house.workflows.jobs(here)).items) == 2


async def test_what_a_job_causes_by_itself_is_its_own_chain(house: House, here: Scope, neighbour: Scope) -> None:
    """A person's job, a trigger behind it, and nothing in the tenant next door."""
    await house.workflows.triggers.create(
        here, name="after", on="job.ended", type=KIND.name, filter={"status": ["done", "failed"]}, input={"text": "x"}
    )
    given: dict[str, Any] = {"text": "by hand"}
    job = await house.workflows.dispatch(here, Job(KIND.name, given))
    await house.workflows.dispatch(neighbour, Job(KIND.name, given))
    jobs = await settled(house, here, 2)
    assert [one.origin is None for one in jobs] == [True, False]
    assert jobs[0].id == job.id
    assert len(await settled(house, neighbour, 1)) == 1
