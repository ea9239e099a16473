"""Human oversight: what waits for a person, what persons say, and which oversight effects need."""

from __future__ import annotations

from functools import partial
from typing import Any

from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import page, whole
from bastide.api.shapes import oversight as shapes
from bastide.api.shapes.ground import Listed
from bastide.workflows import Competence, OversightRule

Wire = dict[str, Any]

_decides = partial(Operation, needs="work:approve")
_manages = partial(Operation, needs="work:manage")


async def list_approvals(ask: Ask[shapes.WhichApprovals]) -> Wire:
    """Newest first, without what is proposed: to see that is asked for by the approval's id, and recorded."""
    given = ask.given
    found = await ask.rooms.workflows.approvals.list(
        ask.caller.scope, status=given.status, cursor=given.cursor, limit=given.limit
    )
    return page("approvals", found)


async def show_approval(ask: Ask[Nothing]) -> Wire:
    """What exactly is proposed, for which job, until when. Who saw it, and when, is in the audit log."""
    return (await ask.rooms.workflows.approvals.get(ask.caller.scope, ask.id)).to_wire()


async def approve(ask: Ask[shapes.Approve]) -> Wire:
    """Say yes to what was seen, which `digest` names; refused with 409 when something else is proposed now."""
    approvals, given = ask.rooms.workflows.approvals, ask.given
    return (await approvals.approve(ask.caller.scope, ask.id, digest=given.digest, reason=given.reason)).to_wire()


async def refuse(ask: Ask[shapes.Refuse]) -> Wire:
    """Say no: the effect does not happen, and the job is told why."""
    approvals, given = ask.rooms.workflows.approvals, ask.given
    return (await approvals.refuse(ask.caller.scope, ask.id, given.reason, digest=given.digest)).to_wire()


async def edit(ask: Ask[shapes.Edit]) -> Wire:
    """Put other arguments of the same shape in place of those proposed, and say yes to them."""
    approvals, given = ask.rooms.workflows.approvals, ask.given
    done = await approvals.edit(ask.caller.scope, ask.id, given.arguments, digest=given.digest, reason=given.reason)
    return done.to_wire()


async def take_over(ask: Ask[shapes.TakeOver]) -> Wire:
    """Say that a person did it instead, and what came of it: the job goes on with that result."""
    approvals, given = ask.rooms.workflows.approvals, ask.given
    done = await approvals.take_over(ask.caller.scope, ask.id, given.result, given.reason, digest=given.digest)
    return done.to_wire()


async def stop(ask: Ask[shapes.Stop]) -> Wire:
    """Stop the whole job that asks. Once this has answered, it has not one effect more."""
    return (await ask.rooms.workflows.approvals.stop(ask.caller.scope, ask.id, ask.given.reason)).to_wire()


async def see(ask: Ask[shapes.See]) -> Wire:
    """Acknowledge a notice: somebody has seen what was done."""
    return (await ask.rooms.workflows.approvals.see(ask.caller.scope, ask.id, ask.given.reason)).to_wire()


async def list_rules(ask: Ask[Nothing]) -> Wire:
    """What this tenant asks for beyond what the job types declare."""
    return whole("rules", [rule.to_wire() for rule in await ask.rooms.workflows.approvals.rules(ask.caller.scope)])


async def set_rule(ask: Ask[shapes.Rule]) -> Wire:
    """Set the rule for a type and an effect, in place of the one before."""
    given = ask.given
    rule = OversightRule(
        given.type,
        given.effect,
        given.mode,
        persons=tuple(given.persons),
        stand_ins=tuple(given.stand_ins),
        stand_in_after_s=given.stand_in_after_s,
        deadline_s=given.deadline_s,
        fallback=given.fallback,
        competence=given.competence,
    )
    return (await ask.rooms.workflows.approvals.set_rule(ask.caller.scope, rule)).to_wire()


async def drop_rule(ask: Ask[shapes.WhichRule]) -> Wire:
    """Leave it to what the type declares; effects that wait already keep waiting."""
    given = ask.given
    await ask.rooms.workflows.approvals.drop_rule(ask.caller.scope, given.type, given.effect)
    return {"type": given.type, "effect": given.effect, "removed": True}


# -- who decides ------------------------------------------------------------------------------------


async def habits(ask: Ask[shapes.WhichHabits]) -> Wire:
    """How each overseer decided lately, the hastiest first; that it was looked at is recorded.

    A yes within seconds of opening, again and again, is how automation bias looks from outside.
    """
    found = await ask.rooms.workflows.overseers.habits(ask.caller.scope, **ask.given.model_dump())
    return whole("habits", [one.to_wire() for one in found])


async def competences(ask: Ask[Nothing]) -> Wire:
    """Who was trained to oversee what, also where it has run out."""
    found = await ask.rooms.workflows.overseers.competences(ask.caller.scope)
    return whole("competences", [one.to_wire() for one in found])


async def record_competence(ask: Ask[shapes.Training]) -> Wire:
    """Record that somebody was trained for a job type; nobody records their own."""
    kept = await ask.rooms.workflows.overseers.record(ask.caller.scope, Competence(**ask.given.model_dump()))
    return kept.to_wire()


async def withdraw_competence(ask: Ask[shapes.WhichTraining]) -> Wire:
    """The record holds no longer; what was decided under it stays."""
    given = ask.given
    await ask.rooms.workflows.overseers.withdraw(ask.caller.scope, given.user, given.type)
    return {"user": given.user, "type": given.type, "removed": True}


_ONE = "/api/v1/approvals/{id}"
_RULES = "/api/v1/oversight-rules"
_TRAINED = "/api/v1/competences"
_SAID: Wire = {"answer": shapes.Approval, "of": "approval"}
TABLE = (
    _decides(
        "approvals.list",
        "GET",
        "/api/v1/approvals",
        "List what waits for a person",
        list_approvals,
        shapes.WhichApprovals,
        Listed,
    ),
    _decides("approvals.get", "GET", _ONE, "Show what is proposed", show_approval, **_SAID),
    _decides("approvals.approve", "POST", f"{_ONE}:approve", "Approve an effect", approve, shapes.Approve, **_SAID),
    _decides("approvals.refuse", "POST", f"{_ONE}:refuse", "Refuse an effect", refuse, shapes.Refuse, **_SAID),
    _decides("approvals.edit", "POST", f"{_ONE}:edit", "Edit an effect and approve it", edit, shapes.Edit, **_SAID),
    _decides(
        "approvals.take-over", "POST", f"{_ONE}:take-over", "Take an effect over", take_over, shapes.TakeOver, **_SAID
    ),
    _decides("approvals.stop", "POST", f"{_ONE}:stop", "Stop the job that asks", stop, shapes.Stop, **_SAID),
    _decides("approvals.see", "POST", f"{_ONE}:see", "Acknowledge a notice", see, shapes.See, **_SAID),
    _manages("oversight-rules.list", "GET", _RULES, "List the rules of oversight", list_rules, answer=Listed),
    _manages("oversight-rules.set", "PUT", _RULES, "Set a rule of oversight", set_rule, shapes.Rule, shapes.RuleSaid),
    _manages(
        "oversight-rules.drop",
        "DELETE",
        _RULES,
        "Drop a rule of oversight",
        drop_rule,
        shapes.WhichRule,
        shapes.RuleGone,
    ),
    _manages(
        "overseers.habits",
        "GET",
        "/api/v1/overseers/habits",
        "How overseers decide",
        habits,
        shapes.WhichHabits,
        Listed,
    ),
    _manages("competences.list", "GET", _TRAINED, "Who was trained to oversee", competences, answer=Listed),
    _manages(
        "competences.record", "PUT", _TRAINED, "Record a training", record_competence, shapes.Training, shapes.Trained
    ),
    _manages(
        "competences.withdraw",
        "DELETE",
        _TRAINED,
        "Withdraw a record of training",
        withdraw_competence,
        shapes.WhichTraining,
        shapes.TrainingGone,
    ),
)

router = routes(TABLE, tag="oversight")
