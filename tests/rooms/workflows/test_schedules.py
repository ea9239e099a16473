"""Schedules on the real database: each moment once, by the right person, and never a thousand at a time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bastide.app import House
from bastide.errors import (
    BadSchedule,
    BastideError,
    Forbidden,
    JobInputWrong,
    UnknownJobType,
    UnknownSchedule,
)
from bastide.store import Query, Scope, is_id
from bastide.workflows import Dispatched, Job
from bastide.workflows.dispatching import Dispatching
from bastide.workflows.schedules import Schedules
from bastide.workflows.timely import Schedule
from tests.rooms.workflows.clockwork import AHEAD, Clockwork

DAY = timedelta(days=1)


async def hourly(clockwork: Clockwork, scope: Scope, **given: Any) -> Schedule:
    asked = {"name": "the hours", "type": "note", "input": {"text": "hello"}, "cron": "0 * * * *", **given}
    return await clockwork.schedules.create(scope, **asked)


# -- making and keeping -----------------------------------------------------------------------------


async def test_a_schedule_is_made_shown_paused_resumed_and_deleted(clockwork: Clockwork, ours: Scope) -> None:
    made = await clockwork.schedules.create(
        ours,
        name="morning report",
        type="note",
        input={"text": "Good morning.", "count": 3},
        cron="0 6 * * MON-FRI",
        timezone="Europe/Paris",
        priority=7,
    )
    assert is_id(made.id, "sch")
    assert made.next_at is not None
    assert made.next_at > await clockwork.now(ours)
    wire = made.to_wire()
    assert wire["input"] == {"text": "Good morning.", "count": 3}
    assert (wire["cron"], wire["timezone"], wire["priority"], wire["paused"]) == (
        "0 6 * * mon-fri",
        "Europe/Paris",
        7,
        False,
    )
    assert await clockwork.schedules.get(ours, "morning report") == made == await clockwork.schedules.get(ours, made.id)
    assert (await clockwork.schedules.list(ours)).items == (made,)

    paused = await clockwork.schedules.pause(ours, made.id)
    assert (paused.paused, paused.next_at) == (True, None)
    assert (await clockwork.schedules.pause(ours, made.id)).paused
    resumed = await clockwork.schedules.resume(ours, "morning report")
    assert resumed == made
    await clockwork.schedules.delete(ours, made.id)
    assert (await clockwork.schedules.list(ours)).items == ()
    with pytest.raises(UnknownSchedule):
        await clockwork.schedules.get(ours, made.id)
    assert await clockwork.acts(ours, 4) == [f"schedule.{act}" for act in ("create", "pause", "resume", "delete")]


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"cron": "0 0 30 2 *"}, BadSchedule),
        ({"cron": "0 0 0 * * *"}, BadSchedule),
        ({"cron": "often"}, BadSchedule),
        ({"timezone": "Europe/Atlantis"}, BadSchedule),
        ({"timezone": "../../etc/passwd"}, BadSchedule),
        ({"type": "no.such.type"}, UnknownJobType),
        ({"type": "inner"}, BadSchedule),
        ({"input": {}}, JobInputWrong),
        ({"input": {"text": 5}}, JobInputWrong),
        ({"input": {"text": "x", "more": 1}}, JobInputWrong),
        ({"input": {"text": float("nan")}}, JobInputWrong),
        ({"name": ""}, BadSchedule),
        ({"name": "a\nb"}, BadSchedule),
        ({"name": "x" * 300}, BadSchedule),
        ({"priority": 1000}, BadSchedule),
    ],
    ids=str,
)
async def test_what_cannot_be_understood_is_refused_when_it_is_made(
    clockwork: Clockwork, ours: Scope, wrong: dict[str, Any], refusal: type[BastideError]
) -> None:
    with pytest.raises(refusal) as caught:
        await hourly(clockwork, ours, **wrong)
    assert caught.value.status == 422
    assert caught.value.next_step
    assert (await clockwork.schedules.list(ours)).items == ()


async def test_it_takes_the_right_to_steer_and_the_right_to_the_job(clockwork: Clockwork, ours: Scope) -> None:
    for lost in ("work:manage", "work:run", "audit:verify"):
        less = replace(ours, permissions=ours.permissions - {lost})
        with pytest.raises(Forbidden) as caught:
            await hourly(clockwork, less, type="guarded")
        assert caught.value.facts == {"needs": lost}
    made = await hourly(clockwork, ours)
    for refused in (
        clockwork.schedules.list,
        *(
            lambda scope, verb=verb: getattr(clockwork.schedules, verb)(scope, made.id)
            for verb in ("get", "delete", "pause", "resume")
        ),
    ):
        with pytest.raises(Forbidden):
            await refused(replace(ours, permissions=frozenset({"work:read", "work:run"})))


async def test_a_neighbour_sees_and_steers_nothing(clockwork: Clockwork, ours: Scope, neighbour: Scope) -> None:
    made = await hourly(clockwork, ours, cron="* * * * *")
    assert (await clockwork.schedules.list(neighbour)).items == ()
    for verb in ("get", "delete", "pause", "resume"):
        for which in (made.id, made.name, "", "x\0y", "' or true --"):
            with pytest.raises(UnknownSchedule):
                await getattr(clockwork.schedules, verb)(neighbour, which)
    await clockwork.set_next(ours, made.id, await clockwork.minute(ours))
    await clockwork.schedules.turn()
    assert len(await clockwork.runs(ours)) == 1
    assert await clockwork.runs(neighbour) == []


async def test_the_input_lies_sealed(clockwork: Clockwork, ours: Scope) -> None:
    await hourly(clockwork, ours, input={"text": "The lease of Mrs. Quint ends in June."})
    async with clockwork.store.under(ours) as db:
        rows = await db.rows(tuple, Query("test", "text", "select s::text from workflows.schedule s"))
    assert len(rows) == 1
    for form in ("Quint", b"Quint".hex()):
        assert form not in str(rows)


def test_a_preview_says_when(quiet: House) -> None:
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    shown = Schedules.preview("30 2 * * *", "Europe/Paris", 2, after=after)
    assert [moment.isoformat() for moment in shown] == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert len(Schedules.preview("* * * * *", n=10**9)) == 100
    assert Schedules.preview("* * * * *")[0] > datetime.now(UTC)
    with pytest.raises(BadSchedule):
        Schedules.preview("0 0 30 2 *")


# -- firing -----------------------------------------------------------------------------------------


async def test_what_is_due_is_dispatched_as_its_maker(clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours, input={"text": "hello", "tags": ["a"]}, priority=5, cron="* * * * *")
    await clockwork.schedules.turn()
    assert await clockwork.runs(ours) == [], "it is not due yet"
    due = await clockwork.minute(ours)
    await clockwork.set_next(ours, made.id, due)
    assert await clockwork.schedules.turn() >= 1
    (run,) = await clockwork.runs(ours)
    assert (run.type, run.origin, run.user, run.priority) == ("note", made.id, ours.user, 5)
    assert run.input == {"text": "hello", "tags": ["a"]}
    fired = await clockwork.schedules.get(ours, made.id)
    assert (fired.last_job, fired.last_at, fired.last_problem) == (run.id, due, None)
    assert fired.next_at is not None
    assert fired.next_at > due


async def test_processes_that_look_at_once_fire_once(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    others = [clockwork, Clockwork(quiet), Clockwork(quiet)]
    due = await clockwork.minute(ours)
    made = [await hourly(clockwork, ours, name=f"number {n}", cron="* * * * *") for n in range(6)]
    for one in made:
        await clockwork.set_next(ours, one.id, due)
    await asyncio.gather(*(each.schedules.turn() for each in others * 2))
    runs = await clockwork.runs(ours)
    assert sorted(run.origin or "" for run in runs) == sorted(one.id for one in made)


class Dying(Dispatching):
    """A process that dies between the job and the end of its transaction."""

    async def put(self, db: Any, scope: Scope, job: Job, **given: Any) -> Dispatched:
        await super().put(db, scope, job, **given)
        raise asyncio.CancelledError


async def test_a_process_that_dies_in_between_has_done_nothing(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours, cron="* * * * *")
    due = await clockwork.minute(ours)
    await clockwork.set_next(ours, made.id, due)
    with pytest.raises(asyncio.CancelledError):
        await Clockwork(quiet, dispatching=Dying).schedules.turn()
    assert await clockwork.runs(ours) == []
    assert (await clockwork.schedules.get(ours, made.id)).next_at == due
    await clockwork.schedules.turn()
    await clockwork.schedules.turn()
    assert len(await clockwork.runs(ours)) == 1


async def test_a_clock_that_is_put_back_does_not_fire_twice(clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours, cron="* * * * *")
    due = await clockwork.minute(ours)
    for _ in range(3):
        await clockwork.set_next(ours, made.id, due)
        await clockwork.schedules.turn()
        due = (await clockwork.schedules.get(ours, made.id)).last_at or due
    runs = await clockwork.runs(ours)
    assert len(runs) == len({run.key for run in runs}) <= 2  # a minute may have passed


async def test_a_clock_that_was_far_ahead_does_not_silence_a_schedule(clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours)
    async with clockwork.store.under(ours) as db:
        await db.run(AHEAD, id=made.id)
    await clockwork.schedules.turn()
    healed = await clockwork.schedules.get(ours, made.id)
    assert healed.next_at == made.next_at or healed.next_at == made.next_at + timedelta(hours=1)
    assert await clockwork.runs(ours) == []


async def test_a_house_that_was_down_for_days_leaves_out_what_was_missed(clockwork: Clockwork, ours: Scope) -> None:
    now = await clockwork.now(ours)
    made = await hourly(clockwork, ours, cron=f"{(now - timedelta(minutes=20)).minute} * * * *")
    await clockwork.set_next(ours, made.id, now - 5 * DAY)
    await clockwork.schedules.turn()
    assert await clockwork.runs(ours) == []
    after = await clockwork.schedules.get(ours, made.id)
    assert after.last_problem is not None
    assert after.last_problem.code == "workflows.schedule_missed"
    assert after.next_at is not None
    assert now < after.next_at <= now + timedelta(hours=1)


async def test_with_catch_up_the_last_that_was_missed_is_made_good(clockwork: Clockwork, ours: Scope) -> None:
    now = await clockwork.now(ours)
    meant = (now - timedelta(minutes=20)).replace(second=0, microsecond=0)
    made = await hourly(clockwork, ours, cron=f"{meant.minute} * * * *", catch_up=True)
    await clockwork.set_next(ours, made.id, meant - 500 * DAY)
    for _ in range(3):
        await clockwork.schedules.turn()
    (run,) = await clockwork.runs(ours)
    assert run.key == f"{made.id}@{meant.astimezone(UTC).isoformat()}"
    assert (await clockwork.schedules.get(ours, made.id)).last_at == meant


async def test_a_schedule_every_minute_does_not_flood(clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours, cron="* * * * *", catch_up=True)
    await clockwork.set_next(ours, made.id, await clockwork.now(ours) - 900 * DAY)
    await clockwork.schedules.turn()
    assert len(await clockwork.runs(ours)) == 1


async def test_paused_means_paused_and_resumed_means_from_now_on(clockwork: Clockwork, ours: Scope) -> None:
    made = await hourly(clockwork, ours, cron="* * * * *", catch_up=True)
    await clockwork.schedules.pause(ours, made.id)
    await clockwork.set_next(ours, made.id, await clockwork.now(ours) - DAY)
    await clockwork.schedules.turn()
    resumed = await clockwork.schedules.resume(ours, made.id)
    assert resumed.next_at is not None
    assert resumed.next_at > await clockwork.now(ours) - timedelta(seconds=5)
    assert await clockwork.runs(ours) == []


async def test_who_was_disabled_since_fires_nothing(quiet: House, clockwork: Clockwork, founded: Scope) -> None:
    person = await quiet.tenancy.create_user(founded, email="ada@example.org", roles=["member"])
    theirs = replace(founded, user=person.id)
    made = await hourly(clockwork, theirs, cron="* * * * *")
    await quiet.tenancy.disable_user(founded, person.id)
    await clockwork.set_next(founded, made.id, await clockwork.minute(founded))
    await clockwork.schedules.turn()
    assert await clockwork.runs(founded) == []
    shown = await clockwork.schedules.get(founded, made.id)
    assert shown.last_problem is not None
    assert shown.last_problem.code == "tenancy.disabled_key"
    assert shown.next_at is not None
    assert shown.next_at > await clockwork.now(founded)
    await clockwork.set_next(founded, made.id, await clockwork.minute(founded))
    await clockwork.schedules.turn()
    await clockwork.schedules.delete(founded, made.id)
    acts = await clockwork.acts(founded, 3)
    assert acts == ["schedule.create", "schedule.refused", "schedule.delete"], "the log says it once"


async def test_a_right_that_was_taken_away_is_missed(quiet: House, clockwork: Clockwork, founded: Scope) -> None:
    person = await quiet.tenancy.create_user(founded, email="bob@example.org", roles=["member"])
    made = await hourly(clockwork, replace(founded, user=person.id), type="guarded", cron="* * * * *")
    await clockwork.set_next(founded, made.id, await clockwork.minute(founded))
    await clockwork.schedules.turn()
    assert await clockwork.runs(founded) == []
    problem = (await clockwork.schedules.get(founded, made.id)).last_problem
    assert problem is not None
    assert problem.code == "tenancy.forbidden"


async def test_a_broken_schedule_harms_no_other(clockwork: Clockwork, ours: Scope, neighbour: Scope) -> None:
    bad = await hourly(clockwork, ours, name="bad", cron="* * * * *")
    unreadable = await hourly(clockwork, ours, name="unreadable", cron="* * * * *")
    gone = await hourly(clockwork, ours, name="gone", cron="* * * * *")
    good = await hourly(clockwork, neighbour, name="good", cron="* * * * *")
    now = await clockwork.minute(ours)
    for scope, one in ((ours, bad), (ours, unreadable), (ours, gone), (neighbour, good)):
        await clockwork.set_next(scope, one.id, now)
    async with clockwork.store.under(ours) as db:
        await db.run(Query("test", "spoil", "update workflows.schedule set input = 'spoilt' where name = 'bad'"))
        await db.run(
            Query("test", "zone", "update workflows.schedule set timezone = 'Mars/Base' where name = 'unreadable'")
        )
        await db.run(Query("test", "type", "update workflows.schedule set type = 'was.here' where name = 'gone'"))
    await clockwork.schedules.turn()
    assert (await clockwork.schedules.get(ours, gone.id)).next_at == now, "another process may know its type"
    await clockwork.set_next(ours, gone.id, now - timedelta(minutes=6))
    await clockwork.schedules.turn()
    assert [run.origin for run in await clockwork.runs(neighbour)] == [good.id]
    assert await clockwork.runs(ours) == []
    problems = {}
    for one in (bad, unreadable, gone):
        async with clockwork.store.under(ours) as db:
            problems[one.name] = await db.row(
                tuple,
                Query(
                    "test",
                    "problem",
                    "select problem_code, paused, next_at > now() from workflows.schedule where id = %(id)s",
                ),
                id=one.id,
            )
    assert problems["bad"] == ("store.blob_damaged", False, True)
    assert problems["unreadable"][:2] == ("workflows.bad_schedule", True)
    assert problems["gone"] == ("workflows.unknown_type", False, True)


async def test_half_a_year_of_hours_is_reckoned_at_once(clockwork: Clockwork, ours: Scope) -> None:
    """Fifty schedules that have missed a quarter of a million minutes each: one turn, one job each."""
    made = [await hourly(clockwork, ours, name=f"number {n}", cron="* * * * *") for n in range(50)]
    async with clockwork.store.under(ours) as db:
        await db.run(Query("test", "all", "update workflows.schedule set next_at = now() - interval '180 days'"))
    began = time.thread_time()
    await clockwork.schedules.turn()
    took = time.thread_time() - began
    assert {run.origin for run in await clockwork.runs(ours)} == {one.id for one in made}
    assert took < 20, f"{took:.2f} s"
