"""What goes wrong with a job: a clear error, the run in a known state, nothing lost, the worker still at work."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bastide.app import House
from bastide.errors import (
    BadJob,
    Forbidden,
    JobEnded,
    JobInputWrong,
    JobLabelRefused,
    JobNotFailed,
    JobTooLarge,
    UnknownJob,
    UnknownJobType,
    UnknownJobVersion,
)
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.workflows import Job, Lane
from tests.conftest import scope_of
from tests.rooms.workflows.workshop import UNUSABLE, Workshop, opened


@pytest.fixture(scope="module")
async def shop(house: House) -> AsyncIterator[Workshop]:
    """A worker at work."""
    async with opened(house) as workshop:
        yield workshop


@pytest.fixture(autouse=True)
async def still_at_work(shop: Workshop) -> AsyncIterator[None]:
    """Whatever a job did, the next job of somebody else is done."""
    shop.gate.clear()
    yield
    shop.gate.set()
    assert (await shop.did(scope_of(new_id("ten")), "returns", text="fine")).output == "fine"


# -- refused at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["nothing", "", "fault.act ", "Fault.act", "x" * 10_000, "'; drop table workflows.run"]
)
async def test_an_unknown_type_is_refused(shop: Workshop, ours: Scope, name: str) -> None:
    with pytest.raises(UnknownJobType) as refused:
        await shop.put_job(ours, Job(name, {}))
    assert len(refused.value.message) < 200
    assert (await shop.workflows.jobs(ours)).items == ()


@pytest.mark.parametrize("version", [1, 4, -1, 0, 10**12])
async def test_an_unknown_version_is_refused(shop: Workshop, ours: Scope, version: int) -> None:
    with pytest.raises(UnknownJobVersion, match="version 3"):
        await shop.put_job(ours, Job("fault.new", {"do": "returns"}, version=version))
    assert (await shop.put_job(ours, Job("fault.new", {"do": "returns"}, version=2))).fresh


async def test_fifty_megabytes_are_refused_with_the_limit(shop: Workshop, ours: Scope) -> None:
    with pytest.raises(JobTooLarge, match="1048576") as refused:
        await shop.put(ours, "returns", text="x" * 50_000_000)
    assert refused.value.status == 413
    assert "document" in (refused.value.next_step or "")


WRONG: list[object] = [
    {},
    {"do": 1},
    {"do": "returns", "more": 1},
    {"do": "returns", "number": "many"},
    {"do": "returns", "seconds": float("nan")},
    {"do": "returns", "text": object()},
    {"do": "returns", "text": "\ud800"},
    {"do": None},
    ["do"],
]


@pytest.mark.parametrize("given", WRONG, ids=range(len(WRONG)))
async def test_an_input_of_another_shape_is_refused(shop: Workshop, ours: Scope, given: object) -> None:
    with pytest.raises(JobInputWrong):
        await shop.put_job(ours, Job("fault.act", given))  # type: ignore[arg-type]
    assert (await shop.workflows.jobs(ours)).items == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 101},
        {"key": ""},
        {"key": "k" * 201},
        {"key": "a\x00b"},
        {"dedup": "\n"},
        {"due_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"deadline": datetime(9999, 1, 1, tzinfo=UTC)},
        {"budget_tokens": -1},
        {"budget_eur": float("nan")},
    ],
    ids=str,
)
async def test_a_job_that_cannot_be_meant_is_refused(shop: Workshop, ours: Scope, wrong: dict[str, object]) -> None:
    with pytest.raises(BadJob):
        await shop.put_job(ours, Job("fault.act", {"do": "returns"}, **wrong))  # type: ignore[arg-type]


async def test_a_label_that_is_too_strict_is_refused(shop: Workshop, ours: Scope) -> None:
    with pytest.raises(JobLabelRefused, match="internal"):
        await shop.put_job(ours, Job("fault.public", {"do": "returns"}, label=Label(cls="restricted")))


async def test_without_the_right_nothing_is_dispatched_or_seen(shop: Workshop, ours: Scope, nobody: Scope) -> None:
    id = await shop.put(ours, "returns")
    with pytest.raises(Forbidden):
        await shop.put(nobody, "returns")
    for asked in (shop.workflows.job, shop.workflows.trace, shop.workflows.cancel, shop.workflows.retry):
        with pytest.raises(Forbidden):
            await asked(nobody, id)


# -- a step that goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [*UNUSABLE, "cycle"])
async def test_a_step_that_gives_no_json_fails_at_once(shop: Workshop, ours: Scope, what: str) -> None:
    job = await shop.did(ours, "gives_unusable", text=what)
    assert (job.status, job.attempt) == ("failed", 1), "another attempt would give the same"
    assert job.problem is not None
    assert job.problem.code == "workflows.bad_step_result"
    assert job.problem.next


@pytest.mark.parametrize("what", ["object", "nan", "bytes", "surrogate"])
async def test_a_handler_that_returns_no_json_fails_at_once(shop: Workshop, ours: Scope, what: str) -> None:
    job = await shop.did(ours, "returns_unusable", text=what)
    assert (job.status, job.problem and job.problem.code) == ("failed", "workflows.bad_step_result")


async def test_a_result_of_twenty_megabytes_is_refused_clearly(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "gives_much", number=20_000_000)
    assert job.status == "failed"
    assert job.problem is not None
    assert "20000002 bytes" in job.problem.message
    assert "document" in job.problem.next
    fits = await shop.did(ours, "gives_much", number=7_000_000)
    assert (fits.status, len(str(fits.output))) == ("done", 7_000_000)


async def test_a_step_that_hangs_is_interrupted_tried_again_and_given_up(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "hangs")
    assert (job.status, job.attempt) == ("failed", 3)
    assert job.problem is not None
    assert job.problem.code == "workflows.step_too_slow"
    assert "hang" in job.problem.message
    assert "0.7 s" in job.problem.message


async def test_a_handler_that_hangs_between_steps_is_interrupted_too(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "hangs_outside", type="brief", deadline=datetime.now(UTC) + timedelta(seconds=6))
    assert job.status == "failed"
    assert job.problem is not None
    assert job.problem.code in {"workflows.step_too_slow", "workflows.deadline_passed"}


async def test_a_clean_up_that_raises_leaves_a_known_state(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "raises_in_clean_up", type="once")
    assert job.status == "failed"
    assert job.problem is not None
    assert job.problem.code in {"workflows.handler_failed", "workflows.step_too_slow"}
    assert shop.at_work[ours.tenant] == 0


async def test_a_clean_up_that_raises_while_it_is_stopped_is_cancelled_all_the_same(
    shop: Workshop, ours: Scope
) -> None:
    id = await shop.put(ours, "raises_in_clean_up", type="once")
    await shop.until(ours, id, "running")
    assert (await shop.workflows.cancel(ours, id)).status == "cancelled"


async def test_a_handler_that_swallows_its_cancellation_records_nothing_more(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "swallows_cancel", seconds=600.0)
    await shop.until(ours, id, "running")
    begun = time.monotonic()
    assert (await shop.workflows.cancel(ours, id)).status == "cancelled"
    assert time.monotonic() - begun < 120
    trace = await shop.workflows.trace(ours, id)
    assert "step" not in {moment.kind for moment in trace.moments}, "a step was recorded after the stop"
    assert shop.attempts[id] == ["Superseded"]


async def test_a_handler_that_never_awaits_delays_the_others_and_loses_nothing(shop: Workshop, ours: Scope) -> None:
    blocking = await shop.put(ours, "blocks", seconds=1.5)
    others = [await shop.put(ours, "returns", text=str(number)) for number in range(5)]
    assert [(await shop.end(ours, id)).output for id in others] == [str(number) for number in range(5)]
    job = await shop.end(ours, blocking)
    assert (job.status, job.attempt) == ("done", 1), "a worker that was busy is not dead"


@pytest.mark.parametrize(
    ("text", "attempts", "code"),
    [
        ("refusal", 1, "request.malformed"),
        ("unavailable", 3, "bastide.unavailable"),
        ("bug", 3, "workflows.handler_failed"),
        ("exit", 3, "workflows.handler_failed"),
    ],
)
async def test_what_may_pass_is_tried_again_and_what_is_refused_is_not(
    shop: Workshop, ours: Scope, text: str, attempts: int, code: str
) -> None:
    job = await shop.did(ours, "raises", text=text)
    assert (job.status, job.attempt) == ("failed", attempts)
    assert job.problem is not None
    assert job.problem.message
    assert shop.calls[f"{job.id}/before"] == 1, "a recorded step was repeated"
    assert job.problem.code == code


# -- the clock ------------------------------------------------------------------------------------------------


async def test_a_deadline_that_passes_while_it_waits_ends_the_job(shop: Workshop, ours: Scope) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.0)
    job = await shop.did(ours, "listens", deadline=soon)
    assert (job.status, job.problem and job.problem.code) == ("failed", "workflows.deadline_passed")


async def test_a_deadline_that_passes_in_a_step_interrupts_it(shop: Workshop, ours: Scope) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.6)
    begun = time.monotonic()
    job = await shop.did(ours, "naps", seconds=600.0, deadline=soon)
    assert (job.status, job.problem and job.problem.code) == ("failed", "workflows.deadline_passed")
    assert time.monotonic() - begun < 120


async def test_a_deadline_in_the_past_ends_the_job_before_it_began(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "returns", deadline=datetime.now(UTC) - timedelta(days=1))
    assert (job.status, job.problem and job.problem.code) == ("failed", "workflows.deadline_passed")
    assert shop.calls[job.id] == 0


async def test_a_delayed_job_says_when_it_is_due_and_begins_then(shop: Workshop, ours: Scope) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1.0)
    id = await shop.put(ours, "returns", due_at=due)
    job = await shop.workflows.job(ours, id)
    assert job.status == "delayed"
    assert "not due before" in job.why
    ended = await shop.end(ours, id)
    assert ended.started_at is not None
    assert timedelta(0) <= ended.started_at - due < timedelta(seconds=2)


async def test_a_job_that_was_due_long_ago_begins_now(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "returns", due_at=datetime(2001, 1, 1, tzinfo=UTC))
    assert job.status == "done"


# -- stopping ---------------------------------------------------------------------------------------------------


async def test_each_state_can_be_cancelled_and_only_once(shop: Workshop, ours: Scope) -> None:
    await shop.workflows.set_lane(ours, _paused("fault.narrow"))
    ids = {
        "queued": await shop.put(ours, "returns", type="narrow"),
        "delayed": await shop.put(ours, "returns", due_at=datetime.now(UTC) + timedelta(hours=1)),
        "waiting": await shop.put(ours, "listens"),
        "running": await shop.put(ours, "waits_for_gate"),
    }
    for status, id in ids.items():
        await shop.until(ours, id, status)
        job = await shop.workflows.cancel(ours, id, reason="not needed")
        assert job.status == "cancelled", status
        assert job.ended_at is not None
        with pytest.raises(JobEnded, match="cancelled"):
            await shop.workflows.cancel(ours, id)
    shop.gate.set()
    await asyncio.sleep(0.5)
    for status, id in ids.items():
        trace = await shop.workflows.trace(ours, id)
        assert trace.job.status == "cancelled", status
        assert "after" not in {moment.facts.get("name") for moment in trace.moments}
    assert shop.calls[ids["queued"]] == shop.calls[ids["delayed"]] == 0


async def test_ten_who_cancel_at_once_stop_it_once(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "waits_for_gate")
    await shop.until(ours, id, "running")
    found = await asyncio.gather(*(shop.workflows.cancel(ours, id) for _ in range(10)), return_exceptions=True)
    assert all(isinstance(one, JobEnded) or getattr(one, "status", "") == "cancelled" for one in found), found
    assert sum(moment.kind == "ended" for moment in (await shop.workflows.trace(ours, id)).moments) == 1


async def test_cancelling_a_parent_stops_its_parts(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "fans_out_hanging", number=3)
    await shop.until(ours, id, "waiting")
    parts = (await shop.workflows.jobs(ours, parent=id)).items
    assert len(parts) == 3
    for part in parts:
        await shop.until(ours, part.id, "running")
    assert (await shop.workflows.cancel(ours, id)).status == "cancelled"
    for part in parts:
        assert (await shop.until(ours, part.id, "cancelled", "stopping")).status in {"cancelled", "stopping"}
        await shop.until(ours, part.id, "cancelled")


async def test_the_clean_up_of_a_stopped_step_runs(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "hangs_outside")
    await shop.until(ours, id, "running")
    assert shop.at_work[ours.tenant] == 1
    await shop.workflows.cancel(ours, id)
    assert shop.at_work[ours.tenant] == 0


# -- trying again -------------------------------------------------------------------------------------------------


async def test_a_failed_job_tried_again_keeps_its_steps(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "mends", number=4)
    assert (job.status, job.attempt) == ("failed", 3), "a dead letter after its attempts"
    retried = await shop.workflows.retry(ours, job.id)
    assert retried.status in {"queued", "handed", "running", "done"}
    assert retried.problem is None
    job = await shop.end(ours, job.id)
    assert (job.status, job.output) == ("done", [1, 1])
    assert (shop.calls[f"{job.id}/first"], shop.calls[f"{job.id}/second"]) == (1, 1)


async def test_a_mended_input_begins_from_nothing(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "raises", text="bug", type="once")
    with pytest.raises(JobInputWrong):
        await shop.workflows.retry(ours, job.id, input={"do": 1})
    await shop.workflows.retry(ours, job.id, input={"do": "returns", "text": "mended"})
    assert (await shop.end(ours, job.id)).output == "mended"


async def test_a_done_or_running_job_cannot_be_tried_again(shop: Workshop, ours: Scope) -> None:
    done = await shop.did(ours, "returns")
    running = await shop.put(ours, "waits_for_gate")
    await shop.until(ours, running, "running")
    for id in (done.id, running):
        with pytest.raises(JobNotFailed):
            await shop.workflows.retry(ours, id)
    shop.gate.set()
    assert (await shop.end(ours, running)).attempt == 1


async def test_a_cancelled_job_can_be_tried_again(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "waits_for_gate")
    await shop.until(ours, id, "running")
    await shop.workflows.cancel(ours, id)
    shop.gate.set()
    await shop.workflows.retry(ours, id)
    assert (await shop.end(ours, id)).output == "after"


# -- the same job twice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["key", "dedup"])
async def test_twenty_who_dispatch_the_same_at_once_get_one_job(shop: Workshop, ours: Scope, field: str) -> None:
    await shop.workflows.set_lane(ours, Lane("*", paused=True))  # none begins before all have asked
    job = Job("fault.act", {"do": "returns"}, **{field: "lease-7"})  # type: ignore[arg-type]
    made = await asyncio.gather(*(shop.put_job(ours, job) for _ in range(20)))
    assert len({one.id for one in made}) == 1
    assert Counter(one.fresh for one in made) == {True: 1, False: 19}
    await shop.workflows.set_lane(ours, Lane("*"))
    await shop.end(ours, made[0].id)
    again = await shop.put_job(ours, job)
    assert (again.id == made[0].id) == (field == "key"), "a key is for ever; dedup ends when the job begins"
    assert shop.calls[made[0].id] == 1


async def test_a_key_is_ones_own(shop: Workshop, ours: Scope, neighbour: Scope) -> None:
    mine = await shop.put_job(ours, Job("fault.act", {"do": "returns"}, key="k"))
    other_type = await shop.put_job(ours, Job("fault.once", {"do": "returns"}, key="k"))
    theirs = await shop.put_job(neighbour, Job("fault.act", {"do": "returns"}, key="k"))
    assert len({mine.id, other_type.id, theirs.id}) == 3
    assert mine.fresh
    assert other_type.fresh
    assert theirs.fresh


async def test_a_job_in_a_transaction_that_fails_was_never_there(shop: Workshop, ours: Scope) -> None:
    class Changed(Exception):
        pass

    with pytest.raises(Changed):
        async with shop.house.store.under(ours) as db:
            made = await shop.workflows.dispatch(ours, Job("fault.act", {"do": "returns"}, label=Label()), db=db)
            raise Changed
    with pytest.raises(UnknownJob):
        await shop.workflows.job(ours, made.id)
    async with shop.house.store.under(ours) as db:
        made = await shop.workflows.dispatch(ours, Job("fault.act", {"do": "returns"}, label=Label()), db=db)
    assert (await shop.end(ours, made.id)).status == "done"


# -- the budget -----------------------------------------------------------------------------------------------------


async def test_an_exhausted_budget_ends_the_job_and_says_so(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "spends", number=10, budget_tokens=250)
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.problem is not None
    assert job.problem.code == "workflows.budget_exhausted"
    assert job.spent.tokens_in + job.spent.tokens_out == 300
    within = await shop.did(ours, "spends", number=2, budget_tokens=200, budget_eur=1.0)
    assert (within.status, within.spent.tokens_in, within.spent.tokens_out) == ("done", 120, 80)
    assert within.spent.eur == pytest.approx(0.02)


# -- the neighbour ---------------------------------------------------------------------------------------------------


async def test_a_neighbour_sees_and_moves_nothing(shop: Workshop, ours: Scope, neighbour: Scope) -> None:
    done = (await shop.did(ours, "returns", text="ours")).id
    failed = (await shop.did(ours, "raises", text="bug", type="once")).id
    waiting = await shop.put(ours, "listens")
    await shop.until(ours, waiting, "waiting")
    work = shop.workflows
    for id in (done, failed, waiting, new_id("job"), "job_nonsense", "", "'"):
        for asked in (work.job, work.trace, work.cancel, work.retry):
            with pytest.raises(UnknownJob):
                await asked(neighbour, id)
        with pytest.raises(UnknownJob):
            await work.signal(neighbour, id, "go")
        with pytest.raises(UnknownJob):
            await anext(work.watch(neighbour, [id]))
        with pytest.raises(UnknownJob):
            await shop.put_job(neighbour, Job("fault.act", {"do": "returns"}, parent=id))
        assert (await work.jobs(neighbour, parent=id)).items == ()
    assert (await work.jobs(neighbour)).items == ()
    assert (await work.jobs(neighbour, cursor=new_id("job"))).items == ()
    assert await work.lanes(neighbour) == []
    assert (await work.job(ours, waiting)).status == "waiting", "a neighbour has moved it"


async def test_a_member_sees_ones_own_jobs_only(shop: Workshop, ours: Scope) -> None:
    few = frozenset({"work:read", "work:run", "model:use"})
    ada, ben = scope_of(ours.tenant, permissions=few), scope_of(ours.tenant, permissions=few)
    id = await shop.put(ada, "returns")
    assert [job.id for job in (await shop.workflows.jobs(ada)).items] == [id]
    assert (await shop.workflows.jobs(ben)).items == ()
    with pytest.raises(UnknownJob):
        await shop.workflows.job(ben, id)
    assert id in {job.id for job in (await shop.workflows.jobs(ours)).items}


def _paused(type: str) -> Lane:
    return Lane(type, paused=True)
