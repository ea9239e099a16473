"""Persons decide about real runs: yes, no, otherwise, by themselves, stop; in time, in turn, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bastide.app import House
from bastide.errors import (
    AlreadyDecided,
    BadOversight,
    EditedWrongly,
    Forbidden,
    NotYourDecision,
    ProposalChanged,
    UnknownApproval,
    UnknownJobType,
    UnknownOversight,
)
from bastide.store import Scope, new_id
from bastide.telemetry import render
from bastide.workflows import OversightRule
from bastide.workflows.decisions import Approval, Verdict, fold
from tests.rooms.workflows.overseers import PostRoom, Team, opened, refused, team


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


async def _letter(room: PostRoom, us: Team, type: str = "post.approve", **given: object) -> Approval:
    job = await room.put(us.ada, type, **given)  # type: ignore[arg-type]
    return await room.asked(us.bob, job)


async def _due(room: PostRoom, scope: Scope, id: str, *statuses: str) -> Approval:
    for _ in range(300):
        found = await room.approvals.get(scope, id)
        if found.status in statuses:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


# -- what a person may say ----------------------------------------------------------------------------------


async def test_a_yes_lets_the_effect_happen_once(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, to="x@example.org")
    assert room.of(asked.job) == []
    assert (asked.status, asked.arguments, asked.shown) == (
        "pending",
        {"to": "x@example.org", "n": 0},
        "a letter to x@example.org",
    )
    assert asked.dispatched_by == us.ada.user
    assert asked.yours
    waiting = await room.workflows.job(us.ada, asked.job)
    assert waiting.waits_for == f"approval {asked.id}"
    assert asked.id in waiting.why
    said = await room.approvals.approve(us.bob, asked.id, digest=asked.digest, reason="the recipient is right")
    assert said.status == "approved"
    ended = await room.end(us.ada, asked.job)
    (sent,) = room.of(asked.job)
    assert (ended.status, ended.output) == ("done", {"sent": True, "key": sent.key})
    assert sent.arguments == {"to": "x@example.org", "n": 0}


async def test_a_no_is_told_and_not_tried_again(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await room.approvals.refuse(us.bob, asked.id, "the recipient is wrong")
    ended = await room.end(us.ada, asked.job)
    assert ended.status == "failed"
    assert ended.problem is not None
    assert ended.problem.code == "workflows.approval_refused"
    assert "the recipient is wrong" in ended.problem.message
    assert ended.attempt == 2  # until it asked, and to be told
    assert room.of(asked.job) == []


async def test_an_edit_is_what_happens(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, to="wrong@example.org")
    said = await room.approvals.edit(us.bob, asked.id, {"to": "right@example.org", "n": 0}, digest=asked.digest)
    assert said.status == "approved"
    assert said.edited
    assert said.digest != asked.digest
    await room.end(us.ada, asked.job)
    assert [one.arguments for one in room.of(asked.job)] == [{"to": "right@example.org", "n": 0}]


async def test_an_edit_of_another_shape_is_refused_and_says_where(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    cases = [
        ({"to": "x"}, "must have 'n'"),
        ({"to": "x", "n": "1"}, "N must be a number, not a text"),
        ({"to": "x", "n": 1, "cc": "eve"}, "must not have 'cc'"),
        ("everything", "must be an object, not a text"),
        ({"to": float("nan"), "n": 1}, "not JSON"),
        ({"to": "x" * 1024 * 1024, "n": 1}, "1048576 at most"),
    ]
    for arguments, say in cases:
        await refused(room.approvals.edit(us.bob, asked.id, arguments), EditedWrongly, say)  # type: ignore[arg-type]
    assert (await room.approvals.get(us.bob, asked.id)).status == "pending"
    await room.approvals.refuse(us.bob, asked.id)


async def test_who_takes_over_gives_the_result_and_the_effect_never_runs(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await refused(room.approvals.take_over(us.bob, asked.id, "x" * 9 * 1024 * 1024), EditedWrongly, "at most")
    result = {"sent": True, "by": "hand"}
    assert (await room.approvals.take_over(us.bob, asked.id, result, "I walked there")).status == "taken_over"
    ended = await room.end(us.ada, asked.job)
    assert (ended.status, ended.output) == ("done", result)
    assert room.of(asked.job) == []


async def test_a_stop_ends_the_job_and_nothing_happens_any_more(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, n=3)
    await room.approvals.stop(us.bob, asked.id, "nothing of this")
    record = await room.workflows.job(us.ada, asked.job)
    assert record.status == "cancelled"
    await refused(room.approvals.approve(us.cyd, asked.id), AlreadyDecided)
    await asyncio.sleep(0.5)
    assert room.of(asked.job) == []
    assert (await room.approvals.list(us.bob)).items == ()


async def test_each_of_several_effects_is_asked_for_by_itself(room: PostRoom, us: Team) -> None:
    first = await _letter(room, us, n=2)
    await room.approvals.approve(us.bob, first.id)
    second = await room.asked(us.bob, first.job, but=first.id)
    assert (second.id != first.id, second.effect) == (True, "send#2")
    assert len(room.of(first.job)) == 1
    await room.approvals.refuse(us.cyd, second.id, "one is enough")
    assert (await room.end(us.ada, first.job)).status == "failed"
    assert len(room.of(first.job)) == 1


async def test_a_job_tried_again_after_a_no_asks_again(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await room.approvals.refuse(us.bob, asked.id, "not today")
    await room.end(us.ada, asked.job)
    await room.workflows.retry(us.ada, asked.job)
    again = await room.asked(us.bob, asked.job)
    assert again.id != asked.id
    await room.approvals.approve(us.bob, again.id)
    assert (await room.end(us.ada, asked.job)).status == "done"
    assert len(room.of(asked.job)) == 1


# -- two persons --------------------------------------------------------------------------------------------


async def test_two_persons_must_both_say_yes(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, "post.two_persons")
    assert (await room.approvals.approve(us.bob, asked.id)).status == "pending"
    assert not (await room.approvals.get(us.bob, asked.id)).yours
    assert (await room.approvals.get(us.cyd, asked.id)).yours
    await refused(room.approvals.approve(us.bob, asked.id), AlreadyDecided, "another person")
    await asyncio.sleep(0.3)
    assert room.of(asked.job) == []
    assert (await room.agree(us.cyd, asked.id, digest=asked.digest)).status == "approved"
    await room.end(us.ada, asked.job)
    assert len(room.of(asked.job)) == 1


async def test_a_yes_to_what_was_proposed_before_is_no_yes_to_the_edit(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, "post.two_persons")
    await room.approvals.approve(us.bob, asked.id)
    await room.approvals.get(us.cyd, asked.id)
    edited = await room.approvals.edit(us.cyd, asked.id, {"to": "cyd@example.org", "n": 0})
    assert edited.status == "pending"
    await refused(room.approvals.approve(us.dan, asked.id), ProposalChanged)  # dan may have seen the old one
    await refused(room.approvals.approve(us.dan, asked.id, digest=asked.digest), ProposalChanged)
    assert (await room.approvals.get(us.dan, asked.id)).arguments == {"to": "cyd@example.org", "n": 0}
    # Bob may speak again, for this is another proposal; he has not opened it yet.
    await refused(room.approvals.approve(us.bob, asked.id, digest=edited.digest), ProposalChanged, "not opened")
    assert (await room.agree(us.bob, asked.id, digest=edited.digest)).status == "approved"
    await room.end(us.ada, asked.job)
    assert [one.arguments for one in room.of(asked.job)] == [{"to": "cyd@example.org", "n": 0}]


async def test_one_no_is_enough_and_may_follow_ones_own_yes(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us, "post.two_persons")
    await room.approvals.approve(us.bob, asked.id)
    assert (await room.approvals.refuse(us.bob, asked.id, "I have thought again")).status == "refused"
    await refused(room.approvals.approve(us.cyd, asked.id), AlreadyDecided)
    assert (await room.end(us.ada, asked.job)).status == "failed"


async def test_a_key_is_no_person(room: PostRoom, us: Team) -> None:
    for type in ("post.approve", "post.two_persons"):
        asked = await _letter(room, us, type)
        shown = await room.approvals.get(us.robot, asked.id)
        assert not shown.yours
        for call in (
            room.agree(us.robot, asked.id),
            room.approvals.edit(us.robot, asked.id, shown.arguments),
            room.approvals.take_over(us.robot, asked.id, 1),
        ):
            assert (await refused(call, NotYourDecision, "X-User-ID")).status == 403
        said = await room.approvals.refuse(us.robot, asked.id, "a program may say no")
        assert (said.status, said.verdicts[0].who) == ("refused", us.robot.key)
    stopped = await _letter(room, us)
    assert (await room.approvals.stop(us.robot, stopped.id, "and stop")).status == "stopped"


async def test_who_dispatched_does_not_agree_to_their_own(room: PostRoom, us: Team) -> None:
    for type in ("post.approve", "post.two_persons"):
        job = await room.put(us.fay, type)
        asked = await room.asked(us.fay, job)
        assert not asked.yours
        await refused(room.approvals.approve(us.fay, asked.id), NotYourDecision, "dispatched")
        await refused(room.approvals.take_over(us.fay, asked.id, 1), NotYourDecision, "dispatched")
        assert (await room.approvals.refuse(us.fay, asked.id, "I have changed my mind")).status == "refused"
    rule = OversightRule("post.approve", persons=(us.fay.user or "",))
    await room.approvals.set_rule(us.admin, rule)
    mine = await room.asked(us.fay, await room.put(us.fay, "post.approve"))
    assert (await room.approvals.approve(us.fay, mine.id)).status == "approved", "the tenant has named nobody else"


# -- who else ------------------------------------------------------------------------------------------------


async def test_only_the_named_persons_decide_and_stand_ins_in_their_turn(room: PostRoom, us: Team) -> None:
    rule = OversightRule(
        "post.approve", persons=(us.bob.user or "",), stand_ins=("cyd@example.org",), stand_in_after_s=1.0
    )
    kept = await room.approvals.set_rule(us.admin, rule)
    assert kept.stand_ins == (us.cyd.user,)
    asked = await _letter(room, us)
    await refused(room.approvals.approve(us.dan, asked.id), NotYourDecision, "names other persons")
    await refused(room.approvals.approve(us.cyd, asked.id), NotYourDecision, "not your turn yet")
    await asyncio.sleep(1.1)
    assert (await room.agree(us.cyd, asked.id)).verdicts[0].stand_in
    await room.end(us.ada, asked.job)
    assert len(room.of(asked.job)) == 1


async def test_the_stand_ins_are_called_once(room: PostRoom, us: Team) -> None:
    rule = OversightRule(
        "post.approve", persons=("bob@example.org",), stand_ins=("cyd@example.org",), stand_in_after_s=0.1
    )
    await room.approvals.set_rule(us.admin, rule)
    asked = await _letter(room, us)
    await asyncio.sleep(0.2)
    await asyncio.gather(*(room.approvals.turn() for _ in range(3)))
    await asyncio.sleep(0.5)
    events = (await room.house.audit.events(us.admin, limit=100)).items
    assert [one.act for one in events].count("approval.stand_ins") == 1
    await room.approvals.refuse(us.bob, asked.id)


async def test_members_and_neighbours_see_nothing(
    room: PostRoom, us: Team, house: House, platform: Scope, neighbour: Scope
) -> None:
    asked = await _letter(room, us)
    them = await team(house, platform)
    assert (await room.approvals.list(them.bob, status=None)).items == ()
    calls = [
        lambda scope: room.approvals.get(scope, asked.id),
        lambda scope: room.approvals.approve(scope, asked.id, digest=asked.digest),
        lambda scope: room.approvals.refuse(scope, asked.id),
        lambda scope: room.approvals.edit(scope, asked.id, asked.arguments),
        lambda scope: room.approvals.take_over(scope, asked.id, 1),
        lambda scope: room.approvals.stop(scope, asked.id),
        lambda scope: room.approvals.see(scope, asked.id),
    ]
    for call in calls:
        for stranger in (them.bob, them.admin, neighbour):
            await refused(call(stranger), UnknownApproval)
        with pytest.raises(Forbidden, match="work:approve"):
            await call(us.ada)
    with pytest.raises(Forbidden, match="work:approve"):
        await room.approvals.list(us.ada)
    for id in ("apr_nothing", "", "job_06ar2k8m1v6t7c9d0e1f2g3h4j", new_id("apr"), "' or true --"):
        await refused(room.approvals.get(us.bob, id), UnknownApproval)
    assert (await room.approvals.get(us.bob, asked.id)).status == "pending"
    await room.approvals.stop(us.bob, asked.id)


async def test_nothing_is_decided_twice(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    both = await asyncio.gather(
        room.approvals.approve(us.bob, asked.id), room.approvals.refuse(us.cyd, asked.id), return_exceptions=True
    )
    assert sum(isinstance(one, AlreadyDecided) for one in both) == 1
    standing = next(one.status for one in both if isinstance(one, Approval))
    await room.end(us.ada, asked.job)
    assert len(room.of(asked.job)) == (standing == "approved")
    for again in (
        room.approvals.approve(us.dan, asked.id),
        room.approvals.refuse(us.dan, asked.id),
        room.approvals.take_over(us.dan, asked.id, 1),
        room.approvals.stop(us.dan, asked.id),
    ):
        await refused(again, AlreadyDecided)


@pytest.mark.parametrize("digest", ["", "f" * 64, "not hexadecimal", "' or true --"])
async def test_what_was_not_seen_is_not_approved(room: PostRoom, us: Team, digest: str) -> None:
    asked = await _letter(room, us)
    fault = await refused(room.approvals.approve(us.bob, asked.id, digest=digest), ProposalChanged)
    assert fault.status == 409
    assert (await room.approvals.approve(us.bob, asked.id, digest=asked.digest.upper())).status == "approved"
    await room.end(us.ada, asked.job)


async def test_bad_lists_and_long_reasons_are_refused(room: PostRoom, us: Team) -> None:
    await refused(room.approvals.list(us.bob, status="nearly"), BadOversight, "pending")
    asked = await _letter(room, us)
    await refused(room.approvals.refuse(us.bob, asked.id, "x" * 2001), BadOversight, "2000")
    assert (await room.approvals.list(us.bob, limit=-5)).items[0].id == asked.id
    assert (await room.approvals.list(us.bob, cursor="apr_" + "0" * 26)).items == ()
    await room.approvals.stop(us.bob, asked.id)


async def test_a_list_comes_in_pages_without_what_is_proposed(room: PostRoom, us: Team) -> None:
    asked = [await _letter(room, us, to=f"{n}@example.org") for n in range(3)]
    page = await room.approvals.list(us.cyd, limit=2)
    rest = await room.approvals.list(us.cyd, limit=2, cursor=page.cursor)
    assert [one.id for one in (*page.items, *rest.items)] == [one.id for one in reversed(asked)]
    assert rest.cursor is None
    assert all(one.arguments is None and not one.shown and one.yours for one in page.items)
    for one in asked:
        await room.approvals.stop(us.cyd, one.id)


# -- time ----------------------------------------------------------------------------------------------------


async def test_nothing_said_in_time_means_no(room: PostRoom, us: Team) -> None:
    await room.approvals.set_rule(us.admin, OversightRule("post.approve", deadline_s=0.4))
    asked = await _letter(room, us)
    ended = await room.end(us.ada, asked.job)
    assert ended.status == "failed"
    assert ended.problem is not None
    assert "in time" in ended.problem.message
    assert (await room.approvals.get(us.bob, asked.id)).status == "expired"
    await refused(room.approvals.approve(us.bob, asked.id), AlreadyDecided)
    assert room.of(asked.job) == []


async def test_at_the_deadline_the_whole_job_may_be_cancelled(room: PostRoom, us: Team) -> None:
    await room.approvals.set_rule(us.admin, OversightRule("post.approve", deadline_s=0.4, fallback="cancel"))
    asked = await _letter(room, us)
    assert (await room.end(us.ada, asked.job)).status == "cancelled"
    assert (await room.approvals.get(us.bob, asked.id)).status == "expired"
    assert room.of(asked.job) == []


async def test_a_late_yes_is_refused_before_anybody_has_looked_at_the_clock(room: PostRoom, us: Team) -> None:
    async with opened(room.house, work=False) as idle:  # its turn is not called here
        await room.approvals.set_rule(us.admin, OversightRule("post.approve", deadline_s=0.3))
        asked = await _letter(room, us)
        await asyncio.sleep(0.35)
        await refused(idle.approvals.approve(us.bob, asked.id), AlreadyDecided)
    assert (await room.end(us.ada, asked.job)).status == "failed"


async def test_what_a_cancelled_job_asked_is_withdrawn(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await room.workflows.cancel(us.ada, asked.job)
    assert (await room.approvals.list(us.bob)).items == ()
    await refused(room.approvals.approve(us.bob, asked.id), AlreadyDecided, "has ended")
    assert (await _due(room, us.bob, asked.id, "withdrawn")).status == "withdrawn"


# -- rules ---------------------------------------------------------------------------------------------------


async def test_a_rule_makes_oversight_stricter_and_never_looser(room: PostRoom, us: Team) -> None:
    await room.approvals.set_rule(us.admin, OversightRule("post.none", effect="send", mode="approve"))
    asked = await _letter(room, us, "post.none")
    assert asked.mode == "approve"
    await room.approvals.set_rule(us.admin, OversightRule("*", mode="none"))
    strict = await _letter(room, us, "post.two_persons")
    assert strict.mode == "two_persons"
    assert [rule.type for rule in await room.approvals.rules(us.bob)] == ["*", "post.none"]
    await room.approvals.drop_rule(us.admin, "post.none", "send")
    assert (await room.end(us.ada, await room.put(us.ada, "post.none"))).status == "done"
    for one in (asked, strict):
        await room.approvals.stop(us.bob, one.id)


async def test_a_yes_given_before_the_rule_became_stricter_is_not_enough(room: PostRoom, us: Team) -> None:
    async with opened(room.house, work=False) as idle:
        await room.approvals.set_rule(us.admin, OversightRule("*", mode="two_persons"))
        first = await _letter(room, us, "post.none")
        assert first.mode == "two_persons"
        assert idle.sent == []
    await room.approvals.approve(us.bob, first.id)
    await asyncio.sleep(0.2)
    assert room.of(first.job) == []
    await room.approvals.stop(us.bob, first.id)


async def test_a_rule_that_cannot_be_kept_is_refused(room: PostRoom, us: Team) -> None:
    bob, good = "bob@example.org", OversightRule("post.approve")
    bad = [
        (replace(good, mode="perhaps"), "no mode"),  # type: ignore[arg-type]
        (replace(good, effect="burn"), "it declares: send"),
        (replace(good, type="*", effect="send"), "all their effects"),
        (replace(good, deadline_s=0), "deadline_s"),
        (replace(good, deadline_s=float("inf")), "deadline_s"),
        (replace(good, deadline_s=float("nan")), "deadline_s"),
        (replace(good, fallback="approve"), "refuse or cancel"),  # type: ignore[arg-type]
        (replace(good, persons=("nobody@example.org",)), "no user"),
        (replace(good, persons=(new_id("usr"),)), "no user"),
        (replace(good, stand_ins=(bob,)), "named together"),
        (replace(good, stand_ins=(bob,), stand_in_after_s=5), "named persons"),
        (replace(good, persons=(bob,), stand_ins=(bob,), stand_in_after_s=9e5, deadline_s=9), "before the deadline"),
        (replace(good, mode="two_persons", persons=(bob,)), "only one"),
        (OversightRule("post.two_persons", mode="none", persons=(bob, bob)), "only one"),
    ]
    for rule, say in bad:
        await refused(room.approvals.set_rule(us.admin, rule), BadOversight, say)
    await refused(room.approvals.set_rule(us.admin, replace(good, type="no.such")), UnknownJobType)
    await refused(room.approvals.drop_rule(us.admin, "post.approve"), UnknownOversight)
    for scope in (us.ada, us.bob):
        with pytest.raises(Forbidden, match="work:manage"):
            await room.approvals.set_rule(scope, good)
    assert await room.approvals.rules(us.admin) == ()


# -- evidence ------------------------------------------------------------------------------------------------


async def test_who_saw_what_and_decided_what_is_in_the_log(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await room.approvals.refuse(us.cyd, asked.id, "not to them")
    await room.end(us.ada, asked.job)
    for _ in range(100):
        events = {one.act: one for one in (await room.house.audit.events(us.admin, limit=100)).items}
        if "approval.refused" in events:
            break
        await asyncio.sleep(0.05)
    seen, said = events["approval.see"], events["approval.refused"]
    assert (seen.actor, seen.resource) == (us.bob.user, asked.id)
    assert (said.actor, said.resource, said.outcome) == (us.cyd.user, asked.id, "refused")
    assert seen.details is not None
    assert said.details is not None
    assert seen.details["digest"] == said.details["digest"] == asked.digest
    assert said.details["reason"] == "not to them"
    assert 'bastide_approvals_decided_total{verdict="refused"}' in render()


async def test_how_many_wait_is_told_to_the_operator(room: PostRoom, us: Team) -> None:
    asked = await _letter(room, us)
    await room.approvals.turn()
    line = next(line for line in render().splitlines() if line.startswith("bastide_approvals_pending "))
    assert float(line.split()[1]) >= 1
    await room.approvals.stop(us.bob, asked.id)


# -- the law -------------------------------------------------------------------------------------------------

acts = st.lists(
    st.tuples(st.sampled_from(["bob", "cyd", "dan", "fay", "robot"]), st.sampled_from(["approve", "refuse", "edit"])),
    max_size=5,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(acts=acts)
async def test_the_effect_runs_exactly_if_two_others_agreed_and_nobody_refused_first(
    room: PostRoom, us: Team, acts: list[tuple[str, str]]
) -> None:
    """Fay dispatches. What the run does is what the pure rules say of the verdicts of those who may decide."""
    job = await room.put(us.fay, "post.two_persons")
    asked = await room.asked(us.bob, job)
    verdicts: list[Verdict] = []
    digest, edits = asked.digest, 0
    for name, act in acts:
        who: Scope = getattr(us, name)
        await room.approvals.get(who, asked.id)
        decided = fold("two_persons", asked.digest, verdicts)[0] != "pending"
        may = not decided and (act == "refuse" or name in {"bob", "cyd", "dan"})
        try:
            if act == "approve":
                said = await room.approvals.approve(who, asked.id, digest=digest)
            elif act == "refuse":
                said = await room.approvals.refuse(who, asked.id)
            else:
                edits += 1
                said = await room.approvals.edit(who, asked.id, {"to": f"{edits}@example.org", "n": edits})
        except (AlreadyDecided, NotYourDecision, ProposalChanged):
            repeated = act == "approve" and any(v.who == who.user and v.digest == digest for v in verdicts)
            unseen = act == "edit" and digest != asked.digest
            assert not may or repeated or unseen, (name, act)
            continue
        assert may, (name, act)
        digest = said.digest
        verdicts.append(said.verdicts[-1])
    standing, agreed = fold("two_persons", asked.digest, verdicts)
    assert (await room.approvals.get(us.bob, asked.id)).status == standing
    if standing == "pending":
        await room.approvals.stop(us.bob, asked.id)
    await room.end(us.fay, job)
    assert len(room.of(job)) == (standing == "approved")
    yes = {v.who for v in verdicts if v.digest == agreed and v.verdict in {"approved", "edited"}}
    assert (standing == "approved") == (len(yes) >= 2 and all(v.verdict != "refused" for v in verdicts))
