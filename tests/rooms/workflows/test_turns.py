"""Whose turn it is, and what a run waits for: order, limits, pauses, delays, parts, signals, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bastide.app import House
from bastide.errors import BadJob, Forbidden, JobEnded, UnknownJobType
from bastide.policy import Label
from bastide.store import Query, Scope, new_id
from bastide.workflows import Lane
from tests.conftest import ALL_PERMISSIONS, scope_of
from tests.rooms.workflows.workshop import QUICK, Workshop, opened

_OTHER_FENCE = Query("test", "other_fence", "update workflows.run set fence = %(fence)s where id = %(id)s")
_HANDED = Query("test", "handed", "select handed_at from workflows.run where id = any(%(ids)s)")
_OUTPUT = Query("test", "output", "select status, output from workflows.run where id = %(id)s")


@pytest.fixture(scope="module")
async def shop(house: House) -> AsyncIterator[Workshop]:
    """A worker at work."""
    async with opened(house) as workshop:
        yield workshop


def _operator(scope: Scope) -> Scope:
    return scope_of(scope.tenant, permissions=ALL_PERMISSIONS | {"platform:operate"})


# -- order and limits -------------------------------------------------------------------------------------------


async def test_priority_then_age_is_the_order_within_a_tenant(shop: Workshop, ours: Scope) -> None:
    await shop.workflows.set_lane(ours, Lane("fault.single", paused=True))
    given = [("a", 0), ("b", 5), ("c", -100), ("d", 5), ("e", 100), ("f", 0)]
    ids = [await shop.put(ours, "returns", type="single", text=text, priority=p) for text, p in given]
    await shop.workflows.set_lane(ours, Lane("fault.single", concurrency=1))
    for id in ids:
        await shop.end(ours, id)
    assert [text for id, text, _ in shop.begun if id in ids] == ["e", "b", "d", "a", "f", "c"]


@pytest.mark.parametrize(("type", "limit"), [("narrow", 2), ("single", 1), ("overall", 2)])
async def test_no_more_run_at_a_time_than_the_type_allows(shop: Workshop, type: str, limit: int) -> None:
    ours, other = scope_of(new_id("ten")), scope_of(new_id("ten"))
    ids = [await shop.put(ours, "naps", type=type, seconds=0.1) for _ in range(8)]
    theirs = [await shop.put(other, "naps", type=type, seconds=0.1) for _ in range(3)]
    for id in ids:
        assert (await shop.end(ours, id)).status == "done"
    for id in theirs:
        assert (await shop.end(other, id)).status == "done"
    assert shop.most[ours.tenant] <= limit, "sampled in the handlers"
    if type != "overall":
        assert shop.most[ours.tenant] == limit, "the limit is used"


async def test_a_tenant_can_narrow_one_type_and_all_its_work(shop: Workshop, ours: Scope) -> None:
    await shop.workflows.set_lane(ours, Lane("*", concurrency=3))
    ids = [await shop.put(ours, "naps", seconds=0.1) for _ in range(6)]
    ids += [await shop.put(ours, "naps", type="once", seconds=0.1) for _ in range(6)]
    for id in ids:
        await shop.end(ours, id)
    assert shop.most[ours.tenant] == 3


async def test_no_more_begin_in_a_while_than_the_rate_allows(shop: Workshop, ours: Scope) -> None:
    ids = [await shop.put(ours, "returns", type="rated") for _ in range(7)]
    for id in ids:
        await shop.end(ours, id)
    async with shop.house.store.under(ours) as db:
        handed = sorted([at for (at,) in await db.rows(tuple, _HANDED, ids=ids)])
    assert len(handed) == 7
    for first, fourth in zip(handed, handed[3:], strict=False):
        assert fourth - first >= timedelta(seconds=2), "four were begun within two seconds"


async def test_who_waits_for_a_rate_is_told_so(shop: Workshop, ours: Scope) -> None:
    ids = [await shop.put(ours, "returns", type="daily") for _ in range(4)]
    while len(waiting := {job.id for job in (await shop.workflows.jobs(ours, status="queued")).items}) > 1:
        await asyncio.sleep(0.02)
    assert waiting < set(ids)
    (last,) = waiting
    assert (
        "3 jobs of type fault.daily were begun in the last 86400 seconds" in (await shop.workflows.job(ours, last)).why
    )
    await shop.workflows.cancel(ours, last)


async def test_pause_and_resume_by_the_tenant(shop: Workshop, ours: Scope, neighbour: Scope) -> None:
    await shop.workflows.set_lane(ours, Lane("*", paused=True))
    id = await shop.put(ours, "returns")
    assert (await shop.did(neighbour, "returns")).status == "done", "a neighbour is not paused"
    await asyncio.sleep(0.5)
    job = await shop.workflows.job(ours, id)
    assert job.status == "queued"
    assert "paused" in job.why
    assert "--resume" in job.why
    await shop.workflows.set_lane(ours, Lane("*"))
    assert (await shop.end(ours, id)).status == "done"


async def test_pause_and_resume_by_the_platform(shop: Workshop, ours: Scope) -> None:
    with pytest.raises(Forbidden):
        await shop.workflows.pause(ours, "fault.new")
    with pytest.raises(UnknownJobType):
        await shop.workflows.pause(_operator(ours), "nothing")
    running = await shop.put(ours, "waits_for_gate", type="new")
    await shop.until(ours, running, "running")
    await shop.workflows.pause(_operator(ours), "fault.new")
    try:
        id = await shop.put(ours, "returns", type="new")
        shop.gate.set()
        assert (await shop.end(ours, running)).status == "done", "what runs goes on"
        await asyncio.sleep(0.5)
        job = await shop.workflows.job(ours, id)
        assert job.status == "queued"
        assert "operator has paused" in job.why
    finally:
        await shop.workflows.resume(_operator(ours), "fault.new")
        shop.gate.clear()
    assert (await shop.end(ours, id)).status == "done"


WRONG_LANES = [
    Lane("fault.act", concurrency=0),
    Lane("fault.act", concurrency=-1),
    Lane("fault.act", concurrency=10**9),
    Lane("fault.act", rate=1),
    Lane("fault.act", rate=1, rate_s=0.0),
    Lane("fault.act", rate=1, rate_s=float("nan")),
    Lane("fault.act", rate=-3, rate_s=1.0),
]


@pytest.mark.parametrize("lane", WRONG_LANES, ids=str)
async def test_a_lane_that_cannot_be_meant_is_refused(shop: Workshop, ours: Scope, lane: Lane) -> None:
    with pytest.raises(BadJob):
        await shop.workflows.set_lane(ours, lane)
    assert await shop.workflows.lanes(ours) == []


async def test_a_flood_of_one_tenant_does_not_keep_another_waiting(
    shop: Workshop, ours: Scope, neighbour: Scope
) -> None:
    flood = [await shop.put(ours, "naps", seconds=0.02) for _ in range(120)]
    few = [await shop.put(neighbour, "naps", seconds=0.02) for _ in range(6)]
    for id in flood:
        await shop.end(ours, id)
    order = [id for id, _, _ in shop.begun if id in {*flood, *few}]
    first = order.index(few[0])
    last = max(order.index(id) for id in few)
    assert last - first <= 4 * len(few) + 16, "of two tenants each gets at least half of its half"


# -- waiting ------------------------------------------------------------------------------------------------------


async def test_fifty_parts_of_which_one_fails(shop: Workshop, ours: Scope) -> None:
    job = await shop.end(ours, await shop.put(ours, "fans_out", number=50, text="17"), timeout_s=40)
    assert job.status == "done"
    assert isinstance(job.output, list)
    assert [one[1] for one in job.output] == [None if n == 17 else str(n) for n in range(50)], "in order"
    assert Counter(one[0] for one in job.output) == {"done": 49, "failed": 1}
    assert job.output[17][2] == "workflows.handler_failed"
    parts = (await shop.workflows.jobs(ours, parent=job.id, limit=100)).items
    assert len(parts) == 50
    assert job.progress.done == job.progress.total


async def test_no_parts_at_all(shop: Workshop, ours: Scope) -> None:
    assert (await shop.did(ours, "fans_out", number=0)).output == []


@pytest.mark.parametrize("early", [True, False])
async def test_a_signal_arrives_before_or_after_the_run_waits_for_it(shop: Workshop, ours: Scope, early: bool) -> None:
    if early:
        await shop.workflows.set_lane(ours, Lane("fault.act", paused=True))
    id = await shop.put(ours, "listens")
    if not early:
        job = await shop.until(ours, id, "waiting")
        assert "signal go" in job.why
    assert await shop.workflows.signal(ours, id, "stay", "not this") is True
    assert await shop.workflows.signal(ours, id, "go", {"page": 7}) is True
    if early:
        assert await shop.workflows.signal(ours, id, "go", "second") is False
        await shop.workflows.set_lane(ours, Lane("fault.act"))
    job = await shop.end(ours, id)
    assert job.output == [1, {"page": 7}], "the first of a name counts, and the step before it was not repeated"
    with pytest.raises(JobEnded):
        await shop.workflows.signal(ours, id, "go")


async def test_a_signal_that_does_not_come_in_time_is_nothing(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "listens", seconds=0.8)
    assert (job.status, job.output, job.attempt) == ("done", [1, None], 2)


async def test_a_signal_that_is_no_json_or_too_large_is_refused(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "listens")
    for payload in (float("nan"), object(), "x" * 2_000_000, "\ud800"):
        with pytest.raises(BadJob):
            await shop.workflows.signal(ours, id, "go", payload)  # type: ignore[arg-type]
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(BadJob):
            await shop.workflows.signal(ours, id, name)
    await shop.workflows.cancel(ours, id)


async def test_a_sleep_survives_a_restart_and_is_not_begun_anew(house: House, ours: Scope) -> None:
    async with opened(house, family="again") as first:
        id = await first.put(ours, "sleeps", seconds=2.5)
        job = await first.until(ours, id, "waiting")
        due = job.due_at
        assert "sleeps until" in job.why
    async with opened(house, family="again") as second:
        assert (await second.workflows.job(ours, id)).due_at == due
        ended = await second.end(ours, id)
        assert (ended.status, ended.output) == ("done", [1, "woken"])
        assert ended.ended_at is not None
        assert timedelta(0) <= ended.ended_at - due < timedelta(seconds=2)
        assert second.calls[f"{id}/before"] == 0, "the recorded step was repeated"


async def test_a_worker_that_closes_gives_back_what_it_cannot_finish(house: House, ours: Scope) -> None:
    async with opened(house, family="again") as first:
        id = await first.put(ours, "waits_for_gate")
        await first.until(ours, id, "running")
    async with opened(house, work=False, family="again") as looking:
        job = await looking.workflows.job(ours, id)
        assert job.status == "queued"
        assert job.problem is None
        assert "worker" in job.why
    async with opened(house, family="again") as second:
        second.gate.set()
        ended = await second.end(ours, id)
        assert (ended.status, ended.attempt) == ("done", 2)


async def test_a_repeated_step_name_counts(shop: Workshop, ours: Scope) -> None:
    job = await shop.did(ours, "repeats_name")
    assert job.output == [0, 1, 2]
    names = [
        moment.facts["name"] for moment in (await shop.workflows.trace(ours, job.id)).moments if moment.kind == "step"
    ]
    assert names == ["same", "same#2", "same#3"]


# -- what is told, and what is kept ---------------------------------------------------------------------------------


async def test_progress_never_goes_back(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "tells_progress")
    seen = [record.progress.done async for record in shop.workflows.watch(ours, [id])]
    assert seen == sorted(seen)
    assert seen[-1] == 10
    assert len(set(seen)) > 2, "it was told on the way"


async def test_revisions_grow_and_the_watch_ends_with_the_job(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "sleeps", seconds=0.3)
    records = [record async for record in shop.workflows.watch(ours, [id])]
    revisions = [record.revision for record in records]
    assert revisions == sorted(set(revisions))
    assert records[-1].status == "done"


async def test_labels_join_and_reach_the_parts(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "tightens", label=Label(cls="confidential"))
    job = await shop.end(ours, id)
    assert isinstance(job.output, list)
    assert job.output[0] == "restricted"
    assert (job.label.cls, job.label.subjects) == ("restricted", frozenset({"person:ada"}))
    part = await shop.workflows.job(ours, str(job.output[1]))
    assert part.label.cls == "restricted"
    assert "person:ada" in part.label.subjects
    named = await shop.did(ours, "returns", type="labelled", text="person:ben", label=Label(cls="internal"))
    assert (named.label.cls, named.label.subjects) == ("internal", frozenset({"person:ben"}))


async def test_what_is_kept_is_sealed(shop: Workshop, ours: Scope, caplog: pytest.LogCaptureFixture) -> None:
    marker = f"Zwiebelturm{new_id('job')}"
    id = await shop.put(ours, "secrets", text=marker, label=Label(subjects=frozenset({f"person:{marker}"})))
    await shop.until(ours, id, "waiting")
    await shop.workflows.signal(ours, id, "go", {"said": marker})
    failing = await shop.put(ours, "secrets", text=marker, number=1, type="once")
    await shop.workflows.signal(ours, failing, "go", marker)
    assert (await shop.end(ours, id)).output == {"given": marker}
    failed = await shop.end(ours, failing)
    assert failed.problem is not None
    assert marker in failed.problem.message, "who may see the job reads it"
    assert "ValueError at" in caplog.text
    assert marker not in caplog.text, "the log holds content"
    found, scanned = await _places_with(shop, marker)
    assert scanned > 10, "the rows were looked at"
    assert found == [("workflows.run", "label")] or found == [], f"in plain text in {found}"


async def _places_with(shop: Workshop, marker: str) -> tuple[list[tuple[str, str]], int]:
    """Which columns of which tables hold the marker in plain text, as the superuser sees them; how many rows are."""
    store, found, scanned = shop.house.store, set(), 0
    assert store._server is not None
    spelt = (marker, marker.encode().hex(), json.dumps(marker))
    url = store._superuser_url(store._server)
    async with await psycopg.AsyncConnection.connect(url, dbname="bastide") as admin:
        tables = await admin.execute(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema in ('workflows', 'procrastinate', 'audit') and table_type = 'BASE TABLE'"
        )
        for (table,) in await tables.fetchall():
            rows = await (await admin.execute(f"select to_jsonb(whole) from {table} as whole")).fetchall()
            scanned += len(rows)
            for (row,) in rows:
                for column, value in row.items():
                    if any(form in json.dumps(value, ensure_ascii=False) for form in spelt):
                        found.add((table, column))
    return sorted(found), scanned


async def test_the_queue_holds_ids_only_and_only_until_they_are_taken(shop: Workshop, ours: Scope) -> None:
    ids = [await shop.put(ours, "waits_for_gate", text="Zwiebelturm") for _ in range(QUICK.concurrency + 4)]
    store = shop.house.store
    assert store._server is not None
    async with await psycopg.AsyncConnection.connect(
        store._superuser_url(store._server), dbname="bastide", autocommit=True
    ) as admin:

        async def rows() -> list[dict[str, str]]:
            found = await admin.execute(
                "select args from procrastinate.procrastinate_jobs where args->>'run' = any(%s)", (ids,)
            )
            return [args for (args,) in await found.fetchall()]

        for id in ids[: QUICK.concurrency]:
            await shop.until(ours, id, "running")
        for id in ids[QUICK.concurrency :]:
            await shop.until(ours, id, "handed")
        waiting = await rows()
        assert {args["run"] for args in waiting} == set(ids[QUICK.concurrency :])
        assert {key for args in waiting for key in args} == {"tenant", "run"}
        shop.gate.set()
        for id in ids:
            assert (await shop.end(ours, id)).status == "done"
        shop.gate.clear()
        assert await rows() == []
        history = await (await admin.execute("select count(*) from procrastinate.procrastinate_events")).fetchone()
    assert history == (0,), "the queue keeps no history of its own"


async def test_a_full_house_takes_several_at_a_time_and_forgets_none(shop: Workshop, ours: Scope) -> None:
    ids = [await shop.put(ours, "naps", seconds=0.02) for _ in range(6 * QUICK.concurrency)]
    for id in ids:
        assert (await shop.end(ours, id)).status == "done"
    assert all(shop.calls[id] == 1 for id in ids)


async def test_what_is_no_longer_ours_is_not_finished_and_not_in_the_log(shop: Workshop, ours: Scope) -> None:
    id = await shop.put(ours, "waits_for_gate")
    await shop.until(ours, id, "running")
    async with shop.house.store.as_operator(reason="test: another takes it over") as db:
        assert await db.run(_OTHER_FENCE, id=id, fence=uuid.uuid4()) == 1
    shop.gate.set()
    while shop.at_work[ours.tenant]:
        await asyncio.sleep(0.005)
    shop.gate.clear()
    await asyncio.sleep(0.2)
    async with shop.house.store.under(ours) as db:
        status, output = await db.row(tuple, _OUTPUT, id=id) or ("", b"")
    assert status != "done"
    assert output is None
    events = await shop.house.audit.events(ours)
    assert "job.done" not in [event.act for event in events.items if event.resource == id]
    await shop.workflows.cancel(ours, id)


async def test_a_deep_page_shows_each_job_once(shop: Workshop, ours: Scope) -> None:
    await shop.workflows.set_lane(ours, Lane("*", paused=True))
    ids = [await shop.put(ours, "returns") for _ in range(23)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await shop.workflows.jobs(ours, limit=5, cursor=cursor)
        seen += [job.id for job in page.items]
        if page.cursor is None:
            break
        cursor = page.cursor
    assert seen == sorted(ids, reverse=True)
    with pytest.raises(BadJob):
        await shop.workflows.jobs(ours, status="sleeping")


async def test_the_health_counts_what_waits(shop: Workshop, ours: Scope) -> None:
    before = await shop.workflows.health()
    await shop.workflows.set_lane(ours, Lane("*", paused=True))
    for _ in range(3):
        await shop.put(ours, "returns")
    await shop.put(ours, "returns", due_at=datetime.now(UTC) + timedelta(hours=1))
    after = await shop.workflows.health()
    assert after.queued >= before.queued + 3
    assert after.waiting >= before.waiting + 1
    assert after.workers >= 1
    assert after.capacity >= 8
