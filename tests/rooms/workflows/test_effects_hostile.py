"""Who writes to the tables with the application's own role and a job's own name gets no effect past its oversight."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from bastide.app import House
from bastide.errors import AlreadyDecided, Forbidden, NotYourDecision, ProposalChanged
from bastide.store import Scope, new_id
from bastide.workflows import JsonValue, OversightRule, Run
from bastide.workflows.decisions import Approval, digest_of
from tests.rooms.workflows.overseers import Letter, PostRoom, Team, opened, question, refused, team

Tries = dict[str, tuple[str, dict[str, Any], str]]  # what, the statement, its values, what the database says
SAY = "insert into workflows.verdict (approval, who, verdict, digest) values (%(a)s, %(who)s, %(say)s, %(d)s)"
ASK = (
    "insert into workflows.approval (id, run, effect, mode, digest, proposal, type, status, agreed, label, persons, "
    "stand_ins, deadline, fallback) values (%(a)s, %(run)s, 'send', 'approve', %(d)s, %(proposal)s, '', 'pending', "
    "%(d)s, '{}', '{}', '{}', now(), 'refuse')"
)
RUN = (
    "insert into workflows.run (id, type, version, status, fence, user_id, permissions, label) "
    "values (%(id)s, 'post.none', 1, %(status)s, %(fence)s, %(user)s, '{work:approve}', '{}')"
)
TRIGGER = (
    "insert into workflows.trigger (id, name, event, type, rule, user_id, permissions, label) "
    "values (%(id)s, %(id)s, 'job.ended', 'post.none', 'x', %(user)s, '{work:approve}', '{}')"
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


async def _wrong(room: PostRoom, scope: Scope, tries: Tries) -> dict[str, str]:
    """What the database said otherwise than it should."""
    wrong = {}
    for name, (sql, values, expected) in tries.items():
        try:
            async with room.house.store.under(scope) as db:
                said = f"{await db.run(question(sql), **values)} rows"
        except psycopg.Error as fault:
            said = str(fault).split("\n")[0]
        if expected not in said:
            wrong[name] = said
    return wrong


async def _asked(room: PostRoom, us: Team, type: str = "post.approve") -> Approval:
    return await room.asked(us.bob, await room.put(us.ada, type))


async def test_a_job_changes_neither_what_it_is_nor_whose_nor_the_rules(room: PostRoom, us: Team) -> None:
    await room.approvals.set_rule(us.admin, OversightRule("post.none", mode="approve"))
    wrong: dict[str, str] = {}

    async def act(run: Run[Letter]) -> JsonValue:
        mine = {"id": run.id}
        update = "update workflows.run set {} where id = %(id)s".format
        fresh = {"id": new_id("job"), "status": "queued", "fence": None, "user": us.bob.user}
        tries: Tries = {
            "another type": (update("type = 'post.informed'"), mine, "workflows.superseded"),
            "another version": (update("version = 0"), mine, "workflows.superseded"),
            "another asker": (update("user_id = 'usr_x'"), mine, "workflows.superseded"),
            "more rights": (update("permissions = '{work:approve}'"), mine, "workflows.superseded"),
            "another fence": (update("fence = gen_random_uuid()"), mine, "workflows.superseded"),
            "without itself": ("delete from workflows.run where id = %(id)s", mine, "permission denied"),
            "another time line": ("delete from workflows.moment where run = %(id)s", mine, "permission denied"),
            "in bob's name": (RUN, fresh, "workflows.not_your_decision"),
            "as if begun": (
                RUN,
                {**fresh, "user": us.ada.user, "status": "running", "fence": uuid.uuid4()},
                "workflows.superseded",
            ),
            "bob's trigger": (
                TRIGGER,
                {"id": new_id("trg"), "user": us.bob.user},
                "workflows.not_your_decision",
            ),
            "a looser rule": ("update workflows.oversight set mode = 'none'", {}, "permission denied"),
            "no rule": ("delete from workflows.oversight", {}, "permission denied"),
            "a training": (
                "insert into workflows.competence (user_id, type, until, evidence, recorded_by) "
                "values ('usr_x', '*', now() + interval '1 year', 'x', 'usr_y')",
                {},
                "permission denied",
            ),
        }
        wrong.update(await _wrong(room, run.scope, tries))
        return "tried"

    room.act = act
    job = await room.put(us.ada, "post.none", how="act")
    assert (await room.end(us.ada, job)).output == "tried"
    assert wrong == {}
    (rule,) = await room.approvals.rules(us.admin)
    assert rule.mode == "approve"


async def test_what_a_person_is_asked_is_not_exchanged_under_their_eyes(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us)
    evil = digest_of("send", {"to": "eve@example.org", "n": 0}, "")
    update = "update workflows.approval set {} where id = %(a)s".format
    mine = {"a": asked.id, "d": evil}
    tries: Tries = {
        "agreed": (update("agreed = %(d)s"), mine, "workflows.proposal_changed"),
        "edited": (update("edited = 'x'"), mine, "workflows.proposal_changed"),
        "result": (update("result = 'x'"), mine, "workflows.proposal_changed"),
        "approved": (update("status = 'approved'"), mine, "workflows.approval_missing"),
        "taken over": (update("status = 'taken_over', result = 'x'"), mine, "workflows.proposal_changed"),
        "refused": (update("status = 'refused'"), mine, "workflows.approval_missing"),
        "expired": (update("status = 'expired'"), mine, "workflows.approval_missing"),
        "untrained": (update("competence = false"), mine, "permission denied"),
        "erased": (update("proposal = null"), mine, "workflows.proposal_changed"),
        "bob's look": (
            "insert into workflows.opening (approval, who, digest) values (%(a)s, %(bob)s, %(d)s)",
            {**mine, "bob": us.bob.user},
            "workflows.not_your_decision",
        ),
        "no look": ("delete from workflows.opening where approval = %(a)s", mine, "workflows.already_decided"),
    }
    assert await _wrong(room, us.ada, tries) == {}
    after = await room.agree(us.bob, asked.id, digest=asked.digest)
    assert (after.status, after.arguments) == ("approved", asked.arguments)
    await room.end(us.ada, asked.job)
    assert [one.arguments for one in room.of(asked.job)] == [asked.arguments]


@pytest.mark.parametrize("type", ["post.approve", "post.two_persons"])
async def test_nobodys_yes_is_written_in_a_keys_name_or_without_a_look(room: PostRoom, us: Team, type: str) -> None:
    asked = await _asked(room, us, type)
    digest = bytes.fromhex(asked.digest)
    for say in ("approved", "edited", "taken_over"):
        values = {"a": asked.id, "say": say, "d": digest}
        tries: Tries = {
            who: (SAY, {**values, "who": who}, "workflows.not_your_decision")
            for who in (us.robot.key or "", us.admin.key or "", "-", us.bob.user or "")
        }
        assert await _wrong(room, us.robot, tries) == {}
        unseen: Tries = {
            "not opened": (SAY, {**values, "who": us.cyd.user}, "workflows.proposal_changed"),
        }
        assert await _wrong(room, us.cyd, unseen) == {}
    other: Tries = {  # bob has opened it
        "another digest": (
            SAY,
            {"a": asked.id, "say": "approved", "d": b"\1" * 32, "who": us.bob.user},
            "workflows.proposal_changed",
        ),
    }
    assert await _wrong(room, us.bob, other) == {}
    assert (await room.approvals.get(us.bob, asked.id)).verdicts == ()
    await room.approvals.stop(us.bob, asked.id)


async def test_what_is_shown_is_what_the_digest_stands_for(room: PostRoom, us: Team) -> None:
    """A job asks about something bad under a digest, and shows something harmless."""
    forged = new_id("apr")

    async def act(run: Run[Letter]) -> JsonValue:
        bad = digest_of("send", {"to": "eve@example.org"}, "")
        async with run._store.under(run.scope) as db:
            harmless = json.dumps([{"to": "ada@example.org"}, "a letter to Ada"]).encode()
            sealed = await db.seal(harmless, about=f"workflows.approval|{forged}|proposal")
            await db.run(question(ASK), a=forged, run=run.id, d=bad, proposal=sealed)
        await run.sleep("wait", 60)
        return None

    room.act = act
    job = await room.put(us.ada, "post.approve", how="act")
    for _ in range(200):
        if (await room.workflows.job(us.ada, job)).status == "waiting":
            break
        await asyncio.sleep(0.02)
    for call in (
        room.approvals.get(us.bob, forged),
        room.approvals.approve(us.bob, forged),
        room.approvals.take_over(us.bob, forged, 1),
    ):
        await refused(call, ProposalChanged)
    assert (await room.approvals.stop(us.bob, forged)).status == "stopped", "a stop needs no look"
    assert room.of(job) == []


async def test_who_asked_for_a_job_does_not_undo_an_overseers_stop(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us)
    await room.approvals.stop(us.bob, asked.id, "nothing of this")
    with pytest.raises(Forbidden, match="work:approve"):
        await room.workflows.retry(us.ada, asked.job)
    again: Tries = {
        "queued": (
            "update workflows.run set status = 'queued' where id = %(id)s",
            {"id": asked.job},
            "workflows.not_your_decision",
        ),
        "running": (
            "update workflows.run set status = 'running', fence = gen_random_uuid() where id = %(id)s",
            {"id": asked.job},
            "workflows.superseded",
        ),
    }
    assert await _wrong(room, us.ada, again) == {}
    assert (await room.workflows.job(us.ada, asked.job)).status == "cancelled"
    own = await room.asked(us.bob, await room.put(us.fay, "post.approve"))
    await room.approvals.stop(us.bob, own.id)
    await refused(room.workflows.retry(us.fay, own.job), NotYourDecision, "overseer has stopped")
    await room.workflows.retry(us.fay, asked.job)  # fay oversees, and Ada asked for it
    second = await room.asked(us.bob, asked.job, but=asked.id)
    await room.agree(us.bob, second.id)
    assert (await room.end(us.ada, asked.job)).status == "done"
    assert len(room.of(asked.job)) == 1


async def test_the_same_person_twice_at_once_is_one_person(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us, "post.two_persons")
    both = await asyncio.gather(
        *(room.approvals.approve(us.bob, asked.id, digest=asked.digest) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, AlreadyDecided) for one in both) == 3
    found = await room.approvals.get(us.cyd, asked.id)
    assert (found.status, [one.who for one in found.verdicts]) == ("pending", [us.bob.user])
    assert room.of(asked.job) == []
    await room.approvals.stop(us.bob, asked.id)


async def test_two_edits_at_once_and_one_of_them_happens(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us)
    await room.approvals.get(us.cyd, asked.id)
    given: dict[str, JsonValue] = {"bob": {"to": "bob@example.org", "n": 1}, "cyd": {"to": "cyd@example.org", "n": 2}}
    both = await asyncio.gather(
        room.approvals.edit(us.bob, asked.id, given["bob"], digest=asked.digest),
        room.approvals.edit(us.cyd, asked.id, given["cyd"], digest=asked.digest),
        return_exceptions=True,
    )
    (said,) = [one for one in both if isinstance(one, Approval)]
    assert sum(isinstance(one, AlreadyDecided) for one in both) == 1
    await room.end(us.ada, asked.job)
    assert [one.arguments for one in room.of(asked.job)] == [said.arguments]
    assert said.arguments in given.values()


async def test_nothing_is_decided_after_the_job_has_ended(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us, "post.two_persons")
    await room.approvals.approve(us.bob, asked.id)
    await room.approvals.get(us.cyd, asked.id)
    await room.workflows.cancel(us.ada, asked.job)
    for call in (
        room.approvals.approve(us.cyd, asked.id, digest=asked.digest),
        room.approvals.edit(us.cyd, asked.id, asked.arguments),
        room.approvals.take_over(us.cyd, asked.id, 1),
        room.approvals.refuse(us.cyd, asked.id),
        room.approvals.stop(us.cyd, asked.id),
    ):
        await refused(call, AlreadyDecided)
    assert room.of(asked.job) == []
