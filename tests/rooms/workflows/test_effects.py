"""Effects happen with their oversight or not at all, with one key, and not once more after a stop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from bastide.app import House
from bastide.errors import ApprovalMissing, ApprovalRefused, Superseded
from bastide.store import Db, Scope, new_id
from bastide.workflows import JsonValue, Run
from bastide.workflows.decisions import digest_of
from bastide.workflows.effects import Agreed, Effects
from bastide.workflows.overseeing import forget
from tests.rooms.workflows.overseers import Letter, PostRoom, Team, opened, question, team

EFFECTS = question(
    "select name, status, attempt, key, approval from workflows.effect where run = %(run)s order by name"
)
BEGIN = question(
    "insert into workflows.effect (run, name, key, status, fence, approval, digest) "
    "values (%(run)s, %(name)s, %(key)s, %(status)s, %(fence)s, %(approval)s, %(digest)s)"
)


@pytest.fixture(scope="module")
async def platform(house: House) -> Scope:
    """The administrator of the home tenant."""
    made = await house.tenancy.first_start() or await house.tenancy.renew_admin_key()
    return await house.tenancy.authenticate(made.key)


@pytest.fixture(scope="module")
async def room(house: House) -> AsyncIterator[PostRoom]:
    """A post room at work."""
    async with opened(house) as room:
        yield room


@pytest.fixture
async def us(house: House, platform: Scope) -> Team:
    """A new tenant with persons."""
    return await team(house, platform)


async def _effects(room: PostRoom, scope: Scope, job: str) -> list[tuple[Any, ...]]:
    async with room.house.store.under(scope) as db:
        return await db.rows(tuple, EFFECTS, run=job)


# -- once, with one key -------------------------------------------------------------------------------------


async def test_effects_without_oversight_happen_once_each_with_keys_of_their_own(room: PostRoom, ours: Scope) -> None:
    job = await room.put(ours, "post.none", n=3)
    assert (await room.end(ours, job)).status == "done"
    assert [one.arguments["n"] for one in room.of(job)] == [0, 1, 2]
    assert len({one.key for one in room.of(job)}) == 3
    rows = await _effects(room, ours, job)
    assert [(name, status, attempt) for name, status, attempt, *_ in rows] == [
        ("send", "done", 1),
        ("send#2", "done", 1),
        ("send#3", "done", 1),
    ]
    assert {str(row[3]) for row in rows} == {one.key for one in room.of(job)}


async def test_an_effect_that_failed_is_tried_again_with_the_same_key(room: PostRoom, ours: Scope) -> None:
    job = await room.put(ours, "post.none", how="fail")
    assert (await room.end(ours, job)).status == "done"
    assert len(room.of(job)) == 3
    assert len({one.key for one in room.of(job)}) == 1
    assert [row[:3] for row in await _effects(room, ours, job)] == [("send", "done", 3)]


async def test_an_effect_that_hangs_is_ended_and_tried_again_with_the_same_key(room: PostRoom, ours: Scope) -> None:
    job = await room.put(ours, "post.none", how="hang")
    assert (await room.end(ours, job)).status == "done"
    assert len(room.of(job)) == 2
    assert len({one.key for one in room.of(job)}) == 1


async def test_a_worker_that_loses_its_run_between_gate_and_record(room: PostRoom, ours: Scope) -> None:
    """Its successor does it again with the same key, and what the first still says is not recorded."""
    late, calls = asyncio.Event(), []

    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            calls.append((run.attempt, key))
            if run.attempt == 1:
                await late.wait()
            return f"attempt {run.attempt}"

        try:
            return await run.effect("send", {"n": 1}, send)
        except Superseded:
            calls.append((run.attempt, "superseded"))
            raise

    room.act = act
    job = await room.put(ours, "post.none", how="act")
    while not calls:
        await asyncio.sleep(0.01)
    async with room.house.store.as_operator(reason="its worker is thought dead") as db:
        lost = question("update workflows.run set status = 'queued', fence = null, worker = null where id = %(id)s")
        assert await db.run(lost, id=job) == 1
    ended = await room.end(ours, job)
    late.set()
    assert ended.output == "attempt 2"
    for _ in range(100):
        if len(calls) == 3:
            break
        await asyncio.sleep(0.02)
    assert calls == [(1, calls[0][1]), (2, calls[0][1]), (1, "superseded")]
    assert (await room.workflows.job(ours, job)).output == "attempt 2"
    assert [row[:3] for row in await _effects(room, ours, job)] == [("send", "done", 2)]


async def test_a_result_that_is_not_json_fails_the_job_and_does_not_repeat_the_effect(
    room: PostRoom, ours: Scope
) -> None:
    job = await room.put(ours, "post.none", how="bytes")
    ended = await room.end(ours, job)
    assert ended.problem is not None
    assert (ended.status, ended.problem.code) == ("failed", "workflows.bad_step_result")
    assert len(room.of(job)) == 1
    assert [row[:3] for row in await _effects(room, ours, job)] == [("send", "done", 1)]


@pytest.mark.parametrize(
    ("how", "code"), [("not JSON", "workflows.bad_step_result"), ("undeclared", "workflows.undeclared_effect")]
)
@pytest.mark.parametrize("type", ["post.none", "post.approve"])
async def test_what_cannot_be_proposed_does_not_begin(
    room: PostRoom, ours: Scope, type: str, how: str, code: str
) -> None:
    job = await room.put(ours, type, how=how)
    ended = await room.end(ours, job)
    assert ended.problem is not None
    assert (ended.status, ended.problem.code, ended.attempt) == ("failed", code, 1)
    assert room.of(job) == []
    assert await _effects(room, ours, job) == []


async def test_an_undeclared_name_of_the_tenant_is_nobody_elses(room: PostRoom, ours: Scope, neighbour: Scope) -> None:
    job = await room.put(ours, "post.informed")
    await room.end(ours, job)
    assert len(await _effects(room, ours, job)) == 1
    assert await _effects(room, neighbour, job) == []
    assert (await room.approvals.list(neighbour, status=None)).items == ()


# -- oversight ----------------------------------------------------------------------------------------------


async def test_persons_are_informed_before_the_effect_begins(room: PostRoom, us: Team) -> None:
    seen: list[Any] = []

    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            seen.append((await room.approvals.list(us.bob, status="informed")).items)
            return "sent"

        return await run.effect("send", {"n": 1}, send, shown="look")

    room.act = act
    job = await room.put(us.ada, "post.informed", how="act")
    assert (await room.end(us.ada, job)).output == "sent"
    ((notice,),) = seen
    assert (notice.job, notice.mode, notice.status) == (job, "informed", "informed")
    assert (await room.approvals.get(us.cyd, notice.id)).shown == "look"
    read = await room.approvals.see(us.bob, notice.id)
    assert (read.status, [one.who for one in read.verdicts]) == ("seen", [us.bob.user])
    assert (await room.approvals.list(us.bob, status="informed")).items == ()


async def test_a_job_may_ask_for_more_oversight_than_its_type(room: PostRoom, us: Team) -> None:
    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            return arguments

        effects = run._effects
        return await effects.perform(run, "send", {"n": 1}, send, shown="", oversight="two_persons")  # type: ignore[call-arg]

    room.act = act
    job = await room.put(us.ada, "post.none", how="act")
    asked = await room.asked(us.bob, job)
    assert asked.mode == "two_persons"
    await room.approvals.approve(us.bob, asked.id)
    await room.agree(us.cyd, asked.id)
    assert (await room.end(us.ada, job)).output == {"n": 1}


async def test_a_job_that_proposes_something_else_after_the_yes_must_ask_again(room: PostRoom, us: Team) -> None:
    job = await room.put(us.ada, "post.approve", how="changes")
    first = await room.asked(us.bob, job)
    await room.approvals.approve(us.bob, first.id)
    second = await room.asked(us.bob, job, but=first.id)
    assert (first.arguments, second.arguments) == ({"to": "ada@example.org", "n": 1}, {"to": "ada@example.org", "n": 2})
    assert room.of(job) == []
    await room.approvals.stop(us.bob, second.id)


async def test_a_handler_may_catch_a_no_and_do_something_else(room: PostRoom, us: Team) -> None:
    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            return "sent"

        try:
            return await run.effect("send", {"n": 1}, send)
        except ApprovalRefused as no:
            await run.sleep("think", 0.05)
            return no.message

    room.act = act
    job = await room.put(us.ada, "post.approve", how="act")
    asked = await room.asked(us.bob, job)
    await room.approvals.refuse(us.bob, asked.id, "write a letter")
    ended = await room.end(us.ada, job)
    assert ended.status == "done"
    assert "write a letter" in str(ended.output)


# -- going around -------------------------------------------------------------------------------------------


async def test_a_worker_without_the_approval_cannot_begin_the_effect_by_any_statement(room: PostRoom, us: Team) -> None:
    store, said = room.house.store, {}
    zeros = b"\0" * 32

    async def attempts(run: Run[Letter]) -> JsonValue:
        digest = digest_of("send", {"n": 1}, "")
        apr = new_id("apr")
        row = {"run": run.id, "key": uuid.uuid4(), "fence": run.claim.fence, "approval": None, "digest": digest}
        ask = (
            "insert into workflows.approval (id, run, effect, mode, digest, proposal, type, status, agreed, label, "
            "dispatcher, persons, stand_ins, deadline, fallback) values (%(id)s, %(run)s, 'send', 'informed', "
            "%(digest)s, 'x', 'post.none', 'approved', %(digest)s, '{}', 'usr_x', '{}', '{}', "
            "now() + interval '9 years', 'refuse')"
        )
        yes = (
            "insert into workflows.verdict (approval, who, verdict, digest) "
            "values (%(a)s, %(who)s, 'approved', %(digest)s)"
        )
        mine = {"a": apr, "digest": digest}
        swap = "update workflows.approval set agreed = digest, digest = %(z)s where id = %(a)s"
        tries: dict[str, tuple[str, dict[str, Any]]] = {
            "begin": (BEGIN.sql, {**row, "name": "send", "status": "begun"}),
            "end": (BEGIN.sql, {**row, "name": "send", "status": "done"}),
            "burn": (BEGIN.sql, {**row, "name": "burn", "status": "begun"}),
            "fence": (BEGIN.sql, {**row, "name": "send", "status": "begun", "fence": uuid.uuid4()}),
            "ask": (ask, {"id": apr, "run": run.id, "digest": digest}),
            "asked for itself": (BEGIN.sql, {**row, "name": "send", "status": "begun", "approval": apr}),
            "yes by itself": (yes, {**mine, "who": us.ada.user}),
            "yes for bob": (yes, {**mine, "who": us.bob.user}),
            "yes for a key": (yes, {**mine, "who": us.robot.key}),
            "another digest": (swap, {"z": zeros, "a": apr}),
            "settle": ("update workflows.approval set status = 'approved' where id = %(a)s", {"a": apr}),
            "after settling": (BEGIN.sql, {**row, "name": "send", "status": "begun", "approval": apr}),
            "other deciders": ("update workflows.approval set dispatcher = 'usr_x' where id = %(a)s", {"a": apr}),
            "delete": ("delete from workflows.approval where id = %(a)s", {"a": apr}),
            "declare": ("update workflows.declared set mode = 'none'", {}),
        }
        for name, (sql, values) in tries.items():
            try:
                async with store.under(run.scope) as db:
                    said[name] = str(await db.run(question(sql), **values))
            except psycopg.Error as fault:
                said[name] = str(fault).split("\n")[0]
        return None

    room.act = attempts
    job = await room.put(us.ada, "post.approve", how="act")
    assert (await room.end(us.ada, job)).status == "done"
    expected = {
        "begin": "workflows.approval_missing",
        "end": "workflows.approval_missing",
        "burn": "workflows.undeclared_effect",
        "fence": "workflows.superseded",
        "ask": "1",  # it may ask, and persons are asked: see below
        "asked for itself": "workflows.approval_missing",
        "yes by itself": "workflows.not_your_decision",
        "yes for bob": "workflows.not_your_decision",
        "yes for a key": "workflows.not_your_decision",
        "another digest": "workflows.proposal_changed",
        "settle": "workflows.approval_missing",
        "after settling": "workflows.approval_missing",
        "other deciders": "permission denied",
        "delete": "permission denied",
        "declare": "permission denied",
    }
    assert {name: told for name, told in said.items() if not told.startswith(expected[name])} == {}
    assert said.keys() == expected.keys()
    assert await _effects(room, us.ada, job) == []
    async with store.under(us.bob) as db:
        asked = await db.rows(tuple, question("select mode, type, dispatcher from workflows.approval"))
    assert asked == [("approve", "post.approve", us.ada.user)]


async def test_a_worker_whose_own_gate_is_broken_meets_the_databases(room: PostRoom, us: Team) -> None:
    class Careless(Effects):
        """Begins without asking anybody."""

        async def _gate(self, db: Db, run: Run[Any], wanted: Any, needed: Any) -> Any:
            digest = digest_of(wanted.key, wanted.arguments, wanted.shown)
            return await self._begin(db, run, wanted, Agreed(wanted.arguments, digest, None))

    called, told = [], []

    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            called.append(key)
            return None

        try:
            return await Careless(room.house.store, room.house.audit).perform(run, "send", {"n": 1}, send)
        except ApprovalMissing as fault:
            told.append((fault.code, fault.status, fault.facts["effect"]))
            raise

    room.act = act
    for type in ("post.informed", "post.approve", "post.two_persons"):
        job = await room.put(us.ada, type, how="act")
        ended = await room.end(us.ada, job)
        assert ended.problem is not None
        assert (ended.status, ended.problem.code) == ("failed", "workflows.approval_missing")
        assert await _effects(room, us.ada, job) == []
    assert called == []
    assert told == [("workflows.approval_missing", 409, "send")] * 3


async def test_verdicts_and_effects_are_not_changed_afterwards(room: PostRoom, us: Team) -> None:
    job = await room.put(us.ada, "post.approve")
    asked = await room.asked(us.bob, job)
    await room.approvals.approve(us.bob, asked.id, reason="seen")
    await room.end(us.ada, job)
    for sql in (
        "update workflows.verdict set who = 'usr_x' where approval = %(a)s",
        "delete from workflows.verdict where approval = %(a)s",
        "delete from workflows.effect where approval = %(a)s",
        "update workflows.effect set key = gen_random_uuid() where approval = %(a)s",
        "update workflows.effect set status = 'begun' where approval = %(a)s",
        "update workflows.verdict set reason = 'x' where approval = %(a)s",
    ):
        with pytest.raises(psycopg.Error, match=r"permission denied|workflows\."):
            async with room.house.store.under(us.admin) as db:
                await db.run(question(sql), a=asked.id)


async def test_an_erasure_takes_what_was_proposed_and_said_and_no_running_job(room: PostRoom, us: Team) -> None:
    job = await room.put(us.ada, "post.approve", to="person@example.org")
    asked = await room.asked(us.bob, job)
    with pytest.raises(psycopg.Error, match=r"workflows\."):
        async with room.house.store.under(us.admin) as db:
            await forget(db, [job])
    await room.approvals.edit(us.bob, asked.id, {"to": "right@example.org", "n": 0}, reason="about a person")
    await room.end(us.ada, job)
    async with room.house.store.under(us.admin) as db:
        await forget(db, [job])
    left = await room.approvals.get(us.bob, asked.id)
    assert (left.status, left.arguments, left.edited) == ("approved", None, False)
    assert left.digest == "00" * 32
    assert [(one.who, one.reason, one.digest) for one in left.verdicts] == [(us.bob.user, "", "00" * 32)]
    assert "deleted" in left.shown


# -- stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.02, 0.2, 0.31, 0.45, 0.62])
async def test_after_a_stop_is_acknowledged_not_one_further_effect(room: PostRoom, us: Team, after_s: float) -> None:
    job = await room.put(us.ada, "post.none", n=10, how="wait")
    while not room.calls.get(job):
        await asyncio.sleep(0.005)
    await asyncio.sleep(after_s)
    record = await room.workflows.cancel(us.bob, job, reason="stop")
    sent = len(room.of(job))
    assert record.status == "cancelled"
    assert sent < 10
    await asyncio.sleep(0.8)
    assert len(room.of(job)) == sent
    statuses = [status for _, status, *_ in await _effects(room, us.ada, job)]
    # What had left the house could say how it ended; what was let through in that moment has not begun.
    assert statuses in (["done"] * sent, [*["done"] * sent, "failed"])


async def test_a_stop_by_the_notice_of_a_running_job(room: PostRoom, us: Team) -> None:
    job = await room.put(us.ada, "post.informed", n=10, how="wait")
    notice = await room.asked(us.bob, job, status="informed")
    await room.approvals.stop(us.bob, notice.id, "enough")
    sent = len(room.of(job))
    assert (await room.workflows.job(us.ada, job)).status == "cancelled"
    await asyncio.sleep(0.6)
    assert len(room.of(job)) == sent < 10


async def test_in_flight_names_what_has_begun_and_not_ended(room: PostRoom, us: Team) -> None:
    names: list[list[str]] = []

    async def act(run: Run[Letter]) -> JsonValue:
        async def send(arguments: JsonValue, key: str) -> JsonValue:
            async with room.house.store.under(run.scope) as db:
                names.append(await run._effects.in_flight(db, run.id))  # type: ignore[attr-defined]
            return None

        await run.effect("send", {"n": 1}, send)
        await run.effect("send", {"n": 2}, send)
        async with room.house.store.under(run.scope) as db:
            names.append(await run._effects.in_flight(db, run.id))  # type: ignore[attr-defined]
        return None

    room.act = act
    await room.end(us.ada, await room.put(us.ada, "post.none", how="act"))
    assert names == [["send"], ["send#2"], []]


async def test_a_yes_and_a_stop_at_once_come_one_after_the_other(room: PostRoom, us: Team) -> None:
    for _ in range(5):
        job = await room.put(us.ada, "post.approve")
        asked = await room.asked(us.bob, job)
        await asyncio.gather(
            room.approvals.approve(us.bob, asked.id),
            room.workflows.cancel(us.cyd, job),
            return_exceptions=True,
        )
        ended = await room.end(us.ada, job)
        sent = len(room.of(job))
        assert (ended.status == "done") <= (sent == 1)
        await asyncio.sleep(0.05)
        assert len(room.of(job)) == sent
