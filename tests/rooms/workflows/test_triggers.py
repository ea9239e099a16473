"""Triggers on the real database: in the transaction of what happens, as their maker, never in a circle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bastide import telemetry
from bastide.app import House
from bastide.errors import (
    BadTrigger,
    BastideError,
    Forbidden,
    JobInputWrong,
    JobTooLarge,
    TriggerSilent,
    UnknownJobType,
    UnknownTrigger,
    WebhookRefused,
)
from bastide.policy import Label
from bastide.store import Query, Scope, is_id, new_id
from bastide.workflows.chains import AT_WORK, Chain
from bastide.workflows.timely import NewTrigger
from bastide.workflows.webhooks import new_secret, sign
from tests.rooms.workflows.clockwork import Clockwork

INGESTED = {"document": "doc_1", "name": "lease.txt", "collection": "law", "version": 1, "class": "internal"}
SECRET_LABEL = Label(cls="confidential", subjects=frozenset({"subject:ada"}))


async def on_documents(clockwork: Clockwork, scope: Scope, **given: Any) -> NewTrigger:
    asked = {
        "name": "title new documents",
        "on": "document.ingested",
        "type": "note",
        "filter": {"collection": "law"},
        "input": {"text": "{document}", "count": "{version}"},
        **given,
    }
    return await clockwork.triggers.create(scope, **asked)


async def on_webhooks(clockwork: Clockwork, scope: Scope, **given: Any) -> NewTrigger:
    asked = {"name": "from the registry", "on": "webhook", "type": "note", "input": {"text": "{body.case}"}, **given}
    return await clockwork.triggers.create(scope, **asked)


async def happen(
    clockwork: Clockwork,
    scope: Scope,
    kind: str = "document.ingested",
    facts: Mapping[str, Any] = INGESTED,
    label: Label = SECRET_LABEL,
    chain: Chain = (),
) -> None:
    """A room's own transaction, in which this happens."""
    async with clockwork.store.under(scope) as db:
        await clockwork.triggers.happened(db, kind, facts, label=label, chain=chain)


async def ended(clockwork: Clockwork, scope: Scope, job: str, *, type: str = "note", status: str = "done") -> None:
    """The job has ended, as the room tells its triggers."""
    await happen(
        clockwork, scope, "job.ended", {"job": job, "type": type, "status": status, "parent": None, "user": None}
    )


async def send(
    clockwork: Clockwork, id: str, secret: str, body: object, *, message: str = "msg_1", at: float | None = None
) -> Any:
    """What another system sends."""
    packed = json.dumps(body).encode()
    timestamp = int(time.time() if at is None else at)
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message, timestamp, packed),
    }
    return await clockwork.triggers.received(id, headers, packed)


# -- making and keeping -----------------------------------------------------------------------------


async def test_a_trigger_is_made_shown_paused_resumed_and_deleted(clockwork: Clockwork, ours: Scope) -> None:
    made = await on_documents(clockwork, ours, priority=3)
    assert is_id(made.trigger.id, "trg")
    assert made.secret is None
    wire = made.to_wire()
    assert (wire["on"], wire["type"], wire["filter"], wire["priority"]) == (
        "document.ingested",
        "note",
        {"collection": "law"},
        3,
    )
    assert wire["input"] == {"text": "{document}", "count": "{version}"}
    assert "secret" not in wire
    for which in (made.trigger.id, "title new documents"):
        assert await clockwork.triggers.get(ours, which) == made.trigger
    assert (await clockwork.triggers.list(ours)).items == (made.trigger,)
    assert (await clockwork.triggers.pause(ours, made.trigger.id)).paused
    await happen(clockwork, ours)
    assert await clockwork.runs(ours) == []
    assert not (await clockwork.triggers.resume(ours, made.trigger.name)).paused
    await happen(clockwork, ours)
    assert len(await clockwork.runs(ours)) == 1
    await clockwork.triggers.delete(ours, made.trigger.id)
    await happen(clockwork, ours)
    assert len(await clockwork.runs(ours)) == 1
    with pytest.raises(UnknownTrigger):
        await clockwork.triggers.get(ours, made.trigger.id)
    assert await clockwork.acts(ours, 4) == [f"trigger.{act}" for act in ("create", "pause", "resume", "delete")]


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"on": "full.moon"}, BadTrigger),
        ({"on": "schedule"}, BadTrigger),
        ({"type": "no.such.type"}, UnknownJobType),
        ({"type": "inner"}, BadTrigger),
        ({"input": {"text": "{titel}"}}, BadTrigger),
        ({"input": {"text": "{"}}, BadTrigger),
        ({"input": {"text": "{name}", "colour": "red"}}, BadTrigger),
        ({"input": {"count": "{version}"}}, BadTrigger),
        ({"input": {"text": 5}}, JobInputWrong),
        ({"input": {}}, JobInputWrong),
        ({"input": {"text": "{name}" + "x" * 70_000}}, BadTrigger),
        ({"filter": {"titel": "x"}}, BadTrigger),
        ({"filter": {"name": {"like": "%"}}}, BadTrigger),
        ({"name": ""}, BadTrigger),
        ({"name": "a\tb"}, BadTrigger),
        ({"priority": -101}, BadTrigger),
        ({"on": "metric", "filter": {"metric": "no.such", "above": 1}}, BadTrigger),
        ({"on": "metric", "filter": {"metric": "jobs.queued"}}, BadTrigger),
        ({"on": "webhook", "input": {"text": "{headers.cookie}"}}, BadTrigger),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_cannot_be_understood_is_refused_when_it_is_made(
    clockwork: Clockwork, ours: Scope, wrong: dict[str, Any], refusal: type[BastideError]
) -> None:
    with pytest.raises(refusal) as caught:
        await on_documents(clockwork, ours, **wrong)
    assert caught.value.status == 422
    assert len(caught.value.message) < 400
    assert (await clockwork.triggers.list(ours)).items == ()


async def test_it_takes_the_right_to_steer_and_the_right_to_the_job(clockwork: Clockwork, ours: Scope) -> None:
    for lost in ("work:manage", "work:run", "audit:verify"):
        with pytest.raises(Forbidden) as caught:
            await on_documents(clockwork, replace(ours, permissions=ours.permissions - {lost}), type="guarded")
        assert caught.value.facts == {"needs": lost}
    made = await on_documents(clockwork, ours)
    less = replace(ours, permissions=frozenset({"work:read", "work:run", "work:approve"}))
    with pytest.raises(Forbidden):
        await clockwork.triggers.list(less)
    for verb in ("get", "delete", "pause", "resume", "renew_secret"):
        with pytest.raises(Forbidden):
            await getattr(clockwork.triggers, verb)(less, made.trigger.id)


async def test_a_neighbour_sees_steers_and_fires_nothing(clockwork: Clockwork, ours: Scope, neighbour: Scope) -> None:
    made = (await on_documents(clockwork, ours)).trigger
    assert (await clockwork.triggers.list(neighbour)).items == ()
    for verb in ("get", "delete", "pause", "resume", "renew_secret"):
        for which in (made.id, made.name, "", "\0", "' or true --"):
            with pytest.raises(UnknownTrigger):
                await getattr(clockwork.triggers, verb)(neighbour, which)
    await happen(clockwork, neighbour)
    assert await clockwork.runs(neighbour) == []
    assert await clockwork.runs(ours) == []


async def test_rules_and_secrets_lie_sealed(clockwork: Clockwork, ours: Scope) -> None:
    made = await on_webhooks(clockwork, ours, filter={"body.kind": "Quint"}, input={"text": "Quint {body.case}"})
    assert made.secret is not None
    async with clockwork.store.under(ours) as db:
        rows = await db.rows(tuple, Query("test", "text", "select t::text from workflows.trigger t"))
    assert len(rows) == 1
    for secret in ("Quint", made.secret.removeprefix("whsec_")):
        assert secret not in str(rows)
        assert secret.encode().hex() not in str(rows)
    assert made.secret not in str((await clockwork.triggers.get(ours, made.trigger.id)).to_wire())


# -- what happens -----------------------------------------------------------------------------------


async def test_what_happens_is_dispatched_as_the_maker_with_the_label_of_the_event(
    clockwork: Clockwork, ours: Scope
) -> None:
    made = (await on_documents(clockwork, replace(ours, label='{"integrity":"untrusted"}'), priority=4)).trigger
    somebody = replace(ours, user=new_id("usr"), permissions=frozenset({"knowledge:write"}))
    await happen(clockwork, somebody)
    (run,) = await clockwork.runs(ours)
    assert (run.type, run.origin, run.user, run.priority) == ("note", made.id, ours.user, 4)
    assert run.input == {"text": "doc_1", "count": 1}
    assert run.label == SECRET_LABEL.join(Label(integrity="untrusted"))
    shown = await clockwork.triggers.get(ours, made.id)
    assert (shown.last_job, shown.last_problem) == (run.id, None)
    assert shown.last_at is not None


async def test_the_filter_decides(clockwork: Clockwork, ours: Scope) -> None:
    await on_documents(clockwork, ours, filter={"collection": ["law", "leases"], "class": "internal"})
    for collection in ("law", "leases", "Law", "other", None):
        await happen(clockwork, ours, facts={**INGESTED, "collection": collection, "document": f"in {collection}"})
    await happen(clockwork, ours, facts={**INGESTED, "class": "secret"})
    await happen(clockwork, ours, kind="document.deleted", facts=INGESTED)
    assert [run.input["text"] for run in await clockwork.runs(ours)] == ["in law", "in leases"]


async def test_the_job_and_the_act_are_one_transaction(clockwork: Clockwork, ours: Scope) -> None:
    await on_documents(clockwork, ours)
    with pytest.raises(ZeroDivisionError):
        async with clockwork.store.under(ours) as db:
            await clockwork.triggers.happened(db, "document.ingested", INGESTED, label=SECRET_LABEL)
            raise ZeroDivisionError
    assert await clockwork.runs(ours) == []


async def test_several_triggers_follow_one_act(clockwork: Clockwork, ours: Scope) -> None:
    made = [(await on_documents(clockwork, ours, name=f"number {n}")).trigger.id for n in range(3)]
    await happen(clockwork, ours)
    assert [run.origin for run in await clockwork.runs(ours)] == made


async def test_many_acts_at_once_do_not_wait_for_one_another(clockwork: Clockwork, ours: Scope) -> None:
    await on_documents(clockwork, ours, name="one")
    await on_documents(clockwork, ours, name="other")
    async with clockwork.store.under(ours) as open_one:
        await clockwork.triggers.happened(open_one, "document.ingested", INGESTED, label=SECRET_LABEL)
        await asyncio.wait_for(asyncio.gather(*(happen(clockwork, ours) for _ in range(6))), 60)
    assert len(await clockwork.runs(ours)) == 14


async def test_more_acts_at_once_than_connections(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    """An act that holds a connection never waits for a second one."""
    await on_documents(clockwork, ours)
    hook = await on_webhooks(clockwork, ours)
    secret, many = hook.secret or "", 2 * quiet.settings.store.pool_size_max
    await asyncio.wait_for(asyncio.gather(*(happen(clockwork, ours) for _ in range(many))), 60)
    sent = (send(clockwork, hook.trigger.id, secret, {"case": "x"}, message=f"msg_{n}") for n in range(many))
    await asyncio.wait_for(asyncio.gather(*sent), 60)
    assert len(await clockwork.runs(ours)) == 2 * many


async def test_an_act_that_nobody_waits_for_costs_one_question(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    await happen(clockwork, ours)
    await on_documents(Clockwork(quiet), ours)  # another process makes one
    await happen(clockwork, ours)
    assert await clockwork.runs(ours) == [], "what was not there a moment ago is not looked for"
    await asyncio.sleep(2.1)
    await happen(clockwork, ours)
    assert len(await clockwork.runs(ours)) == 1
    await clockwork.triggers.create(ours, name="here", on="document.deleted", type="note", input={"text": "gone"})
    await happen(clockwork, ours, "document.deleted")
    assert len(await clockwork.runs(ours)) == 2, "one that is made here is known at once"


async def test_a_fact_that_does_not_fit_is_told_and_the_act_stands(clockwork: Clockwork, ours: Scope) -> None:
    made = (await on_documents(clockwork, ours, input={"text": "{version}"})).trigger
    await happen(clockwork, ours)
    assert await clockwork.runs(ours) == []
    shown = await clockwork.triggers.get(ours, made.id)
    assert shown.last_problem is not None
    assert shown.last_problem.code == "workflows.bad_input"
    assert "text" in shown.last_problem.message
    assert (await clockwork.acts(ours, 2))[-1] == "trigger.refused"


async def test_who_was_disabled_since_fires_nothing(quiet: House, clockwork: Clockwork, founded: Scope) -> None:
    person = await quiet.tenancy.create_user(founded, email="ada@example.org", roles=["member"])
    made = (await on_documents(clockwork, replace(founded, user=person.id))).trigger
    await happen(clockwork, founded)
    assert len(await clockwork.runs(founded)) == 1
    await quiet.tenancy.disable_user(founded, person.id)
    await happen(clockwork, founded)
    assert len(await clockwork.runs(founded)) == 1
    shown = await clockwork.triggers.get(founded, made.id)
    assert shown.last_problem is not None
    assert shown.last_problem.code == "tenancy.disabled_key"
    assert shown.last_job is not None, "what it did before is still shown"


async def test_a_label_rule_that_fails_does_not_undo_the_act(clockwork: Clockwork, ours: Scope) -> None:
    made = (await on_documents(clockwork, ours, type="fickle")).trigger
    other = (await on_documents(clockwork, ours, name="other")).trigger
    await happen(clockwork, ours)
    assert [run.origin for run in await clockwork.runs(ours)] == [other.id]
    problem = (await clockwork.triggers.get(ours, made.id)).last_problem
    assert problem is not None
    assert "KeyError" in problem.message


async def test_old_firings_are_pruned_and_the_latest_stay(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    made = (await on_documents(clockwork, ours)).trigger
    old = Query(
        "test",
        "old",
        "insert into workflows.firing (trigger, job, at) select %(id)s, 'job_' || n, now() - interval '2 days' "
        "from generate_series(1, 70) n",
    )
    left = Query("test", "left", "select count(*) from workflows.firing where trigger = %(id)s")
    async with clockwork.store.under(ours) as db:
        await db.run(old, id=made.id)
    await Clockwork(quiet).triggers.turn()
    async with clockwork.store.under(ours) as db:
        assert await db.value(left, id=made.id) == 50
    assert (await clockwork.triggers.get(ours, made.id)).last_job == "job_70"


# -- loops ------------------------------------------------------------------------------------------


async def test_a_trigger_that_calls_itself_is_stopped(clockwork: Clockwork, ours: Scope) -> None:
    made = (
        await clockwork.triggers.create(
            ours, name="echo", on="job.ended", type="note", filter={"type": "note"}, input={"text": "after {job}"}
        )
    ).trigger
    first = await clockwork.put(ours)
    before = refusals()
    await ended(clockwork, ours, first)
    _, second = await clockwork.runs(ours)
    assert (second.input["text"], second.origin) == (f"after {first}", made.id)
    await ended(clockwork, ours, second.id)
    assert len(await clockwork.runs(ours)) == 2
    shown = await clockwork.triggers.get(ours, made.id)
    assert shown.last_problem is not None
    assert shown.last_problem.code == "workflows.trigger_loop"
    assert f"{made.id} -> {second.id} -> {made.id}" in shown.last_problem.message
    assert (await clockwork.acts(ours, 2))[-1] == "trigger.refused"
    events = await clockwork.house.audit.events(ours, limit=50)
    (refused,) = [event for event in events.items if event.act == "trigger.refused"]
    assert refused.details == {"code": "workflows.trigger_loop", "chain": f"{made.id} -> {second.id} -> {made.id}"}
    assert refusals() == before + 1


def refusals() -> float:
    """How many loops were counted so far."""
    lines = telemetry.render().splitlines()
    found = [line for line in lines if "triggers_refused_total" in line and "workflows.trigger_loop" in line]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


async def test_a_circle_of_two_is_stopped_with_its_chain(clockwork: Clockwork, ours: Scope) -> None:
    a = (
        await clockwork.triggers.create(
            ours, name="a", on="job.ended", type="guarded", filter={"type": "note"}, input={"text": "a"}
        )
    ).trigger.id
    b = (
        await clockwork.triggers.create(
            ours, name="b", on="job.ended", type="note", filter={"type": "guarded"}, input={"text": "b"}
        )
    ).trigger.id
    await ended(clockwork, ours, await clockwork.put(ours))
    one = (await clockwork.runs(ours))[-1]
    await ended(clockwork, ours, one.id, type="guarded")
    two = (await clockwork.runs(ours))[-1]
    assert (one.origin, two.origin, two.chain) == (a, b, [[a, one.id]])
    await ended(clockwork, ours, two.id)
    assert len(await clockwork.runs(ours)) == 3
    problem = (await clockwork.triggers.get(ours, a)).last_problem
    assert problem is not None
    assert f"{a} -> {one.id} -> {b} -> {two.id} -> {a}" in problem.message


async def test_what_a_job_does_while_it_is_at_work_belongs_to_its_chain(clockwork: Clockwork, ours: Scope) -> None:
    made = (await on_documents(clockwork, ours)).trigger.id
    await happen(clockwork, ours)
    (run,) = await clockwork.runs(ours)
    told = AT_WORK.set([(made, run.id)])  # as the worker does around a job's code
    try:
        await happen(clockwork, ours)
    finally:
        AT_WORK.reset(told)
    assert len(await clockwork.runs(ours)) == 1
    problem = (await clockwork.triggers.get(ours, made)).last_problem
    assert problem is not None
    assert f"{made} -> {run.id} -> {made}" in problem.message


async def test_a_long_chain_comes_to_an_end(clockwork: Clockwork, ours: Scope) -> None:
    made = (await on_documents(clockwork, ours)).trigger.id
    chain = [(new_id("trg"), new_id("job")) for _ in range(8)]
    await happen(clockwork, ours, chain=chain[:7])
    assert [tuple(link) for link in (await clockwork.runs(ours))[0].chain] == chain[:7]
    await happen(clockwork, ours, chain=chain)
    assert len(await clockwork.runs(ours)) == 1
    problem = (await clockwork.triggers.get(ours, made)).last_problem
    assert problem is not None
    assert problem.code == "workflows.trigger_loop"
    assert " -> ".join(part for link in chain for part in link) in problem.message


# -- webhooks ---------------------------------------------------------------------------------------


async def test_a_signed_webhook_becomes_a_job(clockwork: Clockwork, ours: Scope) -> None:
    made = await on_webhooks(
        clockwork,
        ours,
        filter={"body.kind": "opened"},
        input={"text": "case {body.case}", "count": "{body.nr}", "facts": "{body.more}"},
    )
    assert made.secret is not None
    assert made.to_wire()["secret"] == made.secret
    body = {"kind": "opened", "case": "C-17", "nr": 17, "more": {"a": [1]}}
    got = await send(clockwork, made.trigger.id, made.secret, body)
    assert got.fresh
    (run,) = await clockwork.runs(ours)
    assert (run.id, run.origin, run.user) == (got.id, made.trigger.id, ours.user)
    assert run.input == {"text": "case C-17", "count": 17, "facts": {"a": [1]}}
    usual = (await clockwork.house.policy.refresh(ours)).default
    assert run.label == usual.join(Label(integrity="untrusted"))
    assert await send(clockwork, made.trigger.id, made.secret, {**body, "kind": "closed"}, message="msg_2") is None
    assert len(await clockwork.runs(ours)) == 1


async def test_the_same_message_gives_the_same_job(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    made = await on_webhooks(clockwork, ours)
    assert made.secret is not None
    first = await send(clockwork, made.trigger.id, made.secret, {"case": "C-17"})
    again = await asyncio.gather(
        *(send(each, made.trigger.id, made.secret, {"case": "C-17"}) for each in [clockwork, Clockwork(quiet)] * 3)
    )
    assert {(one.id, one.fresh) for one in again} == {(first.id, False)}
    at_once = await asyncio.gather(
        *(send(clockwork, made.trigger.id, made.secret, {"case": "C-18"}, message="msg_2") for _ in range(5))
    )
    assert len({one.id for one in at_once}) == 1
    assert sum(one.fresh for one in at_once) == 1
    assert len(await clockwork.runs(ours)) == 2


async def test_nobody_learns_which_triggers_there_are(clockwork: Clockwork, ours: Scope, neighbour: Scope) -> None:
    made = await on_webhooks(clockwork, ours)
    theirs = await on_webhooks(clockwork, neighbour)
    other = (await on_documents(clockwork, ours)).trigger.id
    assert made.secret is not None
    assert theirs.secret is not None
    answers = []
    for id, secret, at in (
        (new_id("trg"), new_secret(), None),  # unknown
        (made.trigger.id, new_secret(), None),  # a wrong secret
        (made.trigger.id, theirs.secret, None),  # a neighbour's
        (made.trigger.id, made.secret, time.time() - 400),  # too old
        (made.trigger.id, made.secret, time.time() + 400),  # too early
        (other, made.secret, None),  # no webhook
        ("trg_' or true --", made.secret, None),
        ("", made.secret, None),
        ("job_" + made.trigger.id[4:], made.secret, None),
    ):
        with pytest.raises(WebhookRefused) as caught:
            await send(clockwork, id, secret, {"case": "x"}, at=at)
        answers.append(caught.value.to_wire())
    with pytest.raises(WebhookRefused) as caught:
        await clockwork.triggers.received(made.trigger.id, {}, b"{}")
    answers.append(caught.value.to_wire())
    assert all(answer == answers[0] for answer in answers)
    assert caught.value.status == 401
    assert await clockwork.runs(ours) == []
    with pytest.raises(JobTooLarge):
        await clockwork.triggers.received(new_id("trg"), {}, b"x" * (1024 * 1024 + 1))


async def test_a_renewed_secret_leaves_a_day_for_the_old_one(clockwork: Clockwork, ours: Scope) -> None:
    made = await on_webhooks(clockwork, ours)
    id = made.trigger.id
    assert made.secret is not None
    renewed = await clockwork.triggers.renew_secret(ours, id)
    assert renewed.to_wire()["secret"] == renewed.secret != made.secret
    for number, secret in enumerate((made.secret, renewed.secret)):
        assert (await send(clockwork, id, secret, {"case": "x"}, message=f"msg_{number}")).fresh
    async with clockwork.store.under(ours) as db:
        past = Query(
            "test", "past", "update workflows.trigger set old_until = now() - interval '1 s' where id = %(id)s"
        )
        await db.run(past, id=id)
    with pytest.raises(WebhookRefused):
        await send(clockwork, id, made.secret, {"case": "x"}, message="msg_3")
    assert (await send(clockwork, id, renewed.secret, {"case": "x"}, message="msg_3")).fresh
    with pytest.raises(BadTrigger):
        await clockwork.triggers.renew_secret(ours, (await on_documents(clockwork, ours)).trigger.id)


async def test_who_holds_the_secret_is_told_what_is_wrong(clockwork: Clockwork, ours: Scope) -> None:
    made = await on_webhooks(clockwork, ours)
    id = made.trigger.id
    assert made.secret is not None
    with pytest.raises(JobInputWrong) as caught:
        await send(clockwork, id, made.secret, {"other": 1})
    assert caught.value.facts == {"field": "body.case"}
    with pytest.raises(JobInputWrong):
        await send(clockwork, id, made.secret, ["case"])
    with pytest.raises(JobInputWrong):
        await send(clockwork, id, made.secret, {"case": 5})
    problem = (await clockwork.triggers.get(ours, id)).last_problem
    assert problem is not None
    assert problem.code == "workflows.bad_input"
    assert (await send(clockwork, id, made.secret, {"case": "mended"})).fresh, "a refused message may be sent again"


async def test_a_silent_trigger_says_so_to_who_holds_the_secret(
    quiet: House, clockwork: Clockwork, founded: Scope
) -> None:
    person = await quiet.tenancy.create_user(founded, email="eve@example.org", roles=["member"])
    made = await on_webhooks(clockwork, replace(founded, user=person.id))
    id = made.trigger.id
    assert made.secret is not None
    await clockwork.triggers.pause(founded, id)
    with pytest.raises(TriggerSilent):
        await send(clockwork, id, made.secret, {"case": "x"})
    with pytest.raises(WebhookRefused):
        await send(clockwork, id, new_secret(), {"case": "x"})
    await clockwork.triggers.resume(founded, id)
    await quiet.tenancy.disable_user(founded, person.id)
    with pytest.raises(TriggerSilent) as caught:
        await send(clockwork, id, made.secret, {"case": "x"})
    assert person.id not in str(caught.value.to_wire())
    problem = (await clockwork.triggers.get(founded, id)).last_problem
    assert problem is not None
    assert problem.code == "tenancy.disabled_key"
    assert await clockwork.runs(founded) == []


# -- metrics ----------------------------------------------------------------------------------------

DUE = Query("test", "due", "update workflows.trigger set look_at = now() where event = 'metric'")


class Gauge:
    """A number that a test turns."""

    def __init__(self) -> None:
        self.value = 0.0
        self.asked = 0

    async def __call__(self, scope: Scope) -> float:
        self.asked += 1
        return self.value


async def look(clockwork: Clockwork, scope: Scope) -> None:
    """The next look, ten seconds later."""
    async with clockwork.store.under(scope) as db:
        await db.run(DUE)
    await clockwork.triggers.turn()


async def test_a_metric_that_is_crossed_fires_once(clockwork: Clockwork, ours: Scope) -> None:
    gauge = Gauge()
    clockwork.triggers.metric("test.level", "a level", gauge)
    made = await clockwork.triggers.create(
        ours,
        name="high water",
        on="metric",
        type="note",
        filter={"metric": "test.level", "above": 10, "hysteresis": 2},
        input={"text": "{metric} is {crossed} at {value}"},
    )
    for value in (5, 11, 12, 9, 11, 7, 10, 10.5):
        gauge.value = value
        await look(clockwork, ours)
        await clockwork.triggers.turn()  # not due: it is not even looked at
    assert gauge.asked == 8
    assert [run.input["text"] for run in await clockwork.runs(ours)] == [
        "test.level is above at 11.0",
        "test.level is above at 10.5",
    ]
    shown = await clockwork.triggers.get(ours, made.trigger.id)
    assert shown.last_problem is None


async def test_two_processes_that_look_at_once_fire_once(quiet: House, clockwork: Clockwork, ours: Scope) -> None:
    gauge, processes = Gauge(), [clockwork, Clockwork(quiet), Clockwork(quiet)]
    for each in processes:
        each.triggers.metric("test.level", "a level", gauge)
    await clockwork.triggers.create(
        ours, name="high", on="metric", type="note", filter={"metric": "test.level", "above": 1}, input={"text": "x"}
    )
    await look(clockwork, ours)
    gauge.value = 2
    async with clockwork.store.under(ours) as db:
        await db.run(DUE)
    await asyncio.gather(*(each.triggers.turn() for each in processes * 2))
    assert len(await clockwork.runs(ours)) == 1


async def test_the_numbers_of_work_are_the_tenants_own(clockwork: Clockwork, ours: Scope, neighbour: Scope) -> None:
    names = [metric.name for metric in clockwork.triggers.metrics()]
    assert names == ["approvals.pending", "jobs.failed", "jobs.oldest_queued_s", "jobs.queued"]
    for scope in (ours, neighbour):
        await clockwork.triggers.create(
            scope,
            name="crowd",
            on="metric",
            type="note",
            filter={"metric": "jobs.queued", "above": 2},
            input={"text": "{value} wait"},
        )
    await look(clockwork, ours)
    for _ in range(3):
        await clockwork.put(ours)
    await look(clockwork, ours)
    await look(clockwork, neighbour)
    assert [run.input["text"] for run in await clockwork.runs(ours)][3:] == ["3.0 wait"]
    assert await clockwork.runs(neighbour) == []


@pytest.mark.parametrize("name", ["approvals.pending", "jobs.failed", "jobs.oldest_queued_s", "jobs.queued"])
async def test_a_quiet_tenant_measures_nothing(clockwork: Clockwork, ours: Scope, name: str) -> None:
    await clockwork.triggers.create(
        ours, name="low", on="metric", type="note", filter={"metric": name, "below": 1}, input={"text": "x"}
    )
    await look(clockwork, ours)
    shown = await clockwork.triggers.get(ours, "low")
    assert shown.last_problem is None
    assert await clockwork.runs(ours) == [], "it was below from the beginning: nothing was crossed"


async def test_a_measure_that_fails_is_told_and_looked_at_later(clockwork: Clockwork, ours: Scope) -> None:
    async def broken(scope: Scope) -> float:
        raise ZeroDivisionError("no such sensor")

    async def nowhere(scope: Scope) -> float:
        return float("nan")

    for name, measure in (("broken", broken), ("nowhere", nowhere)):
        clockwork.triggers.metric(f"test.{name}", "fails", measure)
        await clockwork.triggers.create(
            ours,
            name=name,
            on="metric",
            type="note",
            filter={"metric": f"test.{name}", "above": 1},
            input={"text": "x"},
        )
    await look(clockwork, ours)
    problems = {one.name: one.last_problem for one in (await clockwork.triggers.list(ours)).items}
    assert problems["broken"] is not None
    assert "no such sensor" in problems["broken"].message
    assert problems["nowhere"] is not None
    assert problems["nowhere"].code == "workflows.bad_trigger"
    assert await clockwork.runs(ours) == []
    with pytest.raises(ValueError, match="twice"):
        clockwork.triggers.metric("test.broken", "again", broken)
