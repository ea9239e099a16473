"""A yes follows a look, how long it took is kept, and a rule may ask for training."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bastide.app import House
from bastide.errors import (
    BadOversight,
    Forbidden,
    NotYourDecision,
    ProposalChanged,
    UnknownJobType,
    UnknownOversight,
)
from bastide.store import Scope
from bastide.workflows import OversightRule
from bastide.workflows.decisions import Approval
from bastide.workflows.overseers import Competence
from tests.rooms.workflows.overseers import PostRoom, Team, opened, question, refused, team


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


async def _asked(room: PostRoom, us: Team, type: str = "post.approve") -> Approval:
    return await room.asked(us.bob, await room.put(us.ada, type))


def _trained(user: Scope, type: str = "post.approve", *, days: float = 30) -> Competence:
    return Competence(user.user or "", type, datetime.now(UTC) + timedelta(days=days), "two days in Riga")


async def test_who_has_not_opened_it_may_only_say_no(room: PostRoom, us: Team) -> None:
    asked = await _asked(room, us)
    for call in (
        room.approvals.approve(us.cyd, asked.id, digest=asked.digest),
        room.approvals.edit(us.cyd, asked.id, asked.arguments),
        room.approvals.take_over(us.cyd, asked.id, 1),
    ):
        assert (await refused(call, ProposalChanged, "not opened")).status == 409
    assert (await room.approvals.list(us.cyd)).items[0].id == asked.id  # a list opens nothing
    await refused(room.approvals.approve(us.cyd, asked.id, digest=asked.digest), ProposalChanged, "not opened")
    assert (await room.approvals.refuse(us.cyd, asked.id, "not now")).status == "refused"


async def test_how_long_it_was_open_is_kept_and_told_of_who_hurries(room: PostRoom, us: Team) -> None:
    quick, slow = await _asked(room, us), await _asked(room, us)
    await room.approvals.approve(us.bob, quick.id)
    await room.approvals.get(us.cyd, slow.id)
    await asyncio.sleep(1.2)
    await room.agree(us.cyd, slow.id)  # a second look does not begin the time anew
    no = await _asked(room, us)
    await room.approvals.refuse(us.dan, no.id)
    for job in (quick.job, slow.job, no.job):
        await room.end(us.ada, job)
    bob, cyd, dan = sorted(
        await room.overseers.habits(us.admin, hasty_s=1.0),
        key=lambda one: [us.bob.user, us.cyd.user, us.dan.user].index(one.who),
    )
    assert (bob.agreed, bob.hastily, bob.refused) == (1, 1, 0)
    assert (cyd.agreed, cyd.hastily) == (1, 0)
    assert cyd.looked_s is not None
    assert 1.2 <= cyd.looked_s < 60
    assert (dan.agreed, dan.refused, dan.looked_s) == (0, 1, None)
    assert [one.hastily for one in await room.overseers.habits(us.admin, hasty_s=1e6)][:2] == [1, 1]
    for _ in range(100):
        events = (await room.house.audit.events(us.admin, limit=100)).items
        said = [one for one in events if one.act == "approval.approved" and one.actor == us.cyd.user]
        if said and any(one.act == "overseer.habits" for one in events):
            break
        await asyncio.sleep(0.05)
    assert said[0].details is not None
    assert 1200 <= int(str(said[0].details["looked_ms"])) < 60_000


async def test_habits_are_for_who_manages_work_in_their_own_tenant(
    room: PostRoom, us: Team, house: House, platform: Scope
) -> None:
    asked = await _asked(room, us)
    await room.approvals.approve(us.bob, asked.id)
    them = await team(house, platform)
    assert await room.overseers.habits(them.admin) == ()
    for scope in (us.ada, us.bob):
        with pytest.raises(Forbidden, match="work:manage"):
            await room.overseers.habits(scope)
    for bad in ({"hasty_s": 0}, {"hasty_s": float("nan")}, {"days": 0}, {"days": 10**6}):
        await refused(room.overseers.habits(us.admin, **bad), BadOversight, "hasty_s")
    await room.end(us.ada, asked.job)


async def test_a_rule_may_ask_for_training(room: PostRoom, us: Team) -> None:
    rule = await room.approvals.set_rule(us.admin, OversightRule("post.approve", competence=True))
    assert rule.to_wire()["competence"] is True
    assert await room.approvals.rules(us.admin) == (rule,)
    asked = await _asked(room, us)
    for wrong in (None, _trained(us.bob, "post.none"), _trained(us.bob, days=-1)):
        if wrong:
            await room.overseers.record(us.admin, wrong)
        await refused(room.approvals.approve(us.bob, asked.id), NotYourDecision, "training")
    with pytest.raises(psycopg.Error, match=r"workflows\.not_your_decision"):
        async with room.house.store.under(us.bob) as db:
            say = (
                "insert into workflows.verdict (approval, who, verdict, digest) "
                "values (%(a)s, %(w)s, 'approved', %(d)s)"
            )
            await db.run(question(say), a=asked.id, w=us.bob.user, d=bytes.fromhex(asked.digest))
    kept = await room.overseers.record(us.admin, _trained(us.bob))
    assert (kept.user, kept.recorded_by, kept.holds, kept.evidence) == (
        us.bob.user,
        us.admin.key,
        True,
        "two days in Riga",
    )
    assert (await room.approvals.approve(us.bob, asked.id)).status == "approved"
    await room.end(us.ada, asked.job)
    assert len(room.of(asked.job)) == 1


async def test_the_rule_counts_as_it_was_when_the_person_was_asked(room: PostRoom, us: Team) -> None:
    await room.approvals.set_rule(us.admin, OversightRule("*", mode="none", competence=True))
    asked = await _asked(room, us)
    await room.approvals.drop_rule(us.admin, "*")
    await refused(room.approvals.approve(us.bob, asked.id), NotYourDecision, "training")
    await room.overseers.record(us.admin, _trained(us.bob, "*"))
    assert (await room.approvals.approve(us.bob, asked.id)).status == "approved"
    await room.end(us.ada, asked.job)


async def test_training_is_recorded_by_another_person_and_may_be_withdrawn(
    room: PostRoom, us: Team, house: House, platform: Scope
) -> None:
    await refused(room.overseers.record(us.fay, _trained(us.fay)), NotYourDecision, "their own")
    good = _trained(us.bob)
    await room.overseers.record(us.fay, replace(good, user="bob@example.org"))
    again = await room.overseers.record(us.fay, replace(good, evidence="three days in Riga"))
    assert [one.evidence for one in await room.overseers.competences(us.admin)] == ["three days in Riga"]
    assert again.recorded_by == us.fay.user
    them = await team(house, platform)
    assert await room.overseers.competences(them.admin) == ()
    await refused(room.overseers.record(them.admin, good), BadOversight, "no user")
    for bad, say in (
        (replace(good, user="nobody@example.org"), "no user"),
        (replace(good, until=good.until.replace(tzinfo=None)), "zone"),
        (replace(good, evidence=" "), "evidence"),
        (replace(good, evidence="x" * 2001), "evidence"),
    ):
        await refused(room.overseers.record(us.admin, bad), BadOversight, say)
    await refused(room.overseers.record(us.admin, replace(good, type="no.such")), UnknownJobType)
    for scope in (us.ada, us.bob):
        for call in (
            room.overseers.record(scope, good),
            room.overseers.withdraw(scope, us.bob.user or ""),
            room.overseers.competences(scope),
        ):
            with pytest.raises(Forbidden, match="work:manage"):
                await call
    await room.overseers.withdraw(us.admin, "bob@example.org", "post.approve")
    assert await room.overseers.competences(us.admin) == ()
    await refused(room.overseers.withdraw(us.admin, us.bob.user or "", "post.approve"), UnknownOversight)
    for _ in range(100):
        events = {one.act for one in (await room.house.audit.events(us.admin, limit=100)).items}
        if "overseer.untrained" in events:
            break
        await asyncio.sleep(0.05)
    assert {"overseer.trained", "overseer.untrained"} <= events
