"""Triggers: jobs that are dispatched by what happens, in the transaction in which it happens.

Rooms tell what happened by `happened`; another system tells it by a signed webhook; metrics are looked at in turns.
The job is dispatched as the person who made the trigger, with the label of the event joined to theirs. A trigger that
cannot fire says why in `last_problem` and in the audit log; the act that it follows is never undone by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, cast

from bastide.audit import Audit
from bastide.errors import (
    BadTrigger,
    BastideError,
    DatabaseUnavailable,
    Forbidden,
    TriggerSilent,
    Unauthorised,
    Unavailable,
    UnknownTrigger,
    WebhookRefused,
)
from bastide.policy import Label
from bastide.store import Db, Scope, Store, from_uuid, is_id, new_id, queries
from bastide.telemetry import log
from bastide.tenancy import Tenancy
from bastide.workflows import templates, webhooks
from bastide.workflows.blotting import Named
from bastide.workflows.dispatching import Chain, Dispatching
from bastide.workflows.firing import REASONS, Firing, Rule, about
from bastide.workflows.keeping import Maker, kept_of, opened_problem, speaks
from bastide.workflows.metrics import Measure, Metrics, Threshold
from bastide.workflows.registry import JobType, Registry
from bastide.workflows.standing import Questions, StandingOrders
from bastide.workflows.timely import EVENTS, Metric, NewTrigger, NewWebhookSecret, Trigger
from bastide.workflows.values import Dispatched, JsonValue, Problem

_Q = queries("bastide.workflows")
_ADD, _TRIGGERS = _Q["add_trigger"], _Q["triggers"]
_BLOT, _PROBLEMS, _FORGET_FIRING = _Q["blot_trigger"], _Q["firing_problems"], _Q["forget_firing"]
_RENEW, _TENANT_OF, _WEBHOOK = _Q["renew_secret"], _Q["webhook_tenant"], _Q["webhook"]
_METRICS_DUE, _METRIC_DUE, _LOOK_AGAIN, _PRUNE = (
    _Q["metrics_due"],
    _Q["metric_due"],
    _Q["look_again"],
    _Q["prune_firings"],
)

_AT_A_TURN = 200
_TURNS_TO_PRUNE = 3600


class Triggers(StandingOrders[Trigger]):
    """Makes, keeps and fires triggers."""

    kind, asks = "trigger", Questions(_TRIGGERS, _Q["pause_trigger"], _Q["resume_trigger"], _Q["delete_trigger"])
    unknown, wrong = UnknownTrigger, BadTrigger

    def __init__(
        self, store: Store, audit: Audit, tenancy: Tenancy, dispatching: Dispatching, registry: Registry
    ) -> None:
        super().__init__(store, audit, tenancy, dispatching, registry)
        self._metrics = Metrics(store)
        self._firing = Firing(audit, tenancy, dispatching, registry)
        self._turns = 0

    async def create(
        self,
        scope: Scope,
        *,
        name: str,
        on: str,
        type: str,
        input: Mapping[str, JsonValue] | None = None,
        filter: Mapping[str, JsonValue] | None = None,
        priority: int = 0,
    ) -> NewTrigger:
        """A trigger on one of EVENTS that dispatches as the caller, who needs the right to this type of job.

        `filter` holds fields of the event with the value, or one of the values, that they must have; for a metric
        `metric`, `above` or `below`, and `hysteresis`. `input` may hold placeholders, see `templates`. A webhook's
        secret is shown here and never again. Raises BadTrigger, AlreadyThere, JobInputWrong, Forbidden.
        """
        kind = self._admitted(scope, name, type, priority)
        filter, input = filter or {}, input or {}
        self._check(kind, on, filter, input)
        id, secret = new_id("trg"), webhooks.new_secret() if on == "webhook" else None
        rule = Rule(filter, input)
        async with self._making(scope) as db:
            await db.run(
                _ADD,
                id=id,
                name=name,
                event=on,
                type=kind.name,
                rule=await rule.sealed(db, id),
                priority=priority,
                secret=await db.seal(secret.encode(), about=about(id, "secret")) if secret else None,
                **kept_of(scope),
            )
            await self._audit.record(db, "trigger.create", resource=id, details={"on": on, "type": kind.name})
            made = await self._one(db, id)
        self._firing.forget()
        return NewTrigger(made, secret)

    async def resume(self, scope: Scope, which: str) -> Trigger:
        """It fires again; what happened meanwhile is left out. Raises UnknownTrigger."""
        resumed = await super().resume(scope, which)
        self._firing.forget()
        return resumed

    async def renew_secret(self, scope: Scope, which: str) -> NewWebhookSecret:
        """Another secret for a webhook, shown this once; the old one is good for another 24 hours.

        Raises UnknownTrigger, BadTrigger for a trigger that is no webhook.
        """
        scope.need("work:manage")
        secret = webhooks.new_secret()
        async with self._store.under(scope) as db:
            found = await self._one(db, which)
            sealed = await db.seal(secret.encode(), about=about(found.id, "secret"))
            until = await db.value(_RENEW, id=found.id, secret=sealed)
            if until is None:
                raise BadTrigger(f"{found.name} is no webhook, so it has no secret.", field="on")
            await self._audit.record(db, "trigger.renew_secret", resource=found.id)
        return NewWebhookSecret(found, secret, until)

    # -- firing -------------------------------------------------------------------------------------

    async def happened(
        self, db: Db, kind: str, facts: Mapping[str, JsonValue], *, label: Label, chain: Chain = ()
    ) -> None:
        """Tell the triggers of the transaction's tenant, in that transaction; `label` is that of the facts.

        Costs one question, and none for two seconds after the answer was "no trigger". `chain` is what led here; a
        job at work needs not say it. A trigger that cannot fire does not disturb the act.
        """
        await self._firing.happened(db, kind, facts, label=label, chain=chain)

    async def received(self, id: str, headers: Mapping[str, str], body: bytes) -> Dispatched | None:
        """A webhook came for this trigger; the job, or None when the trigger's filter is for others.

        The same `webhook-id` gives the same job. Raises WebhookRefused whenever the sender is not known to hold the
        secret, TriggerSilent, JobTooLarge, and to a sender who holds it what keeps the job from being dispatched.
        """
        webhooks.refuse_large(body)
        tenant = await self._tenant_of_webhook(id)
        system = await self._tenancy.system_scope(tenant)
        async with self._store.under(system) as db:
            row = await db.row(dict, _WEBHOOK, id=id)
            sealed = [row[name] for name in ("secret", "old_secret") if row[name] is not None] if row else []
            known = [(await db.unseal(one, about=about(id, "secret"))).decode() for one in sealed]
        if row is None:
            raise WebhookRefused
        came = webhooks.verified(headers, body, known, now_s=row["now_s"])
        if row["paused"]:
            raise TriggerSilent
        try:
            scope = await Maker.of(row).scope(self._tenancy, tenant, Label(integrity="untrusted"))
            await self._dispatching.ready(scope)
            async with self._store.under(scope) as db:
                made = await self._firing.fire(db, row, came.facts(), scope=scope, key=f"{id}:{came.id}")
        except REASONS as fault:
            async with self._store.under(system) as db:
                await self._firing.note_refused(db, id, fault)
            if isinstance(fault, Forbidden | Unauthorised):
                raise TriggerSilent from fault
            raise
        return made

    async def _tenant_of_webhook(self, id: str) -> str:
        if is_id(id, "trg"):
            async with self._store.as_anybody() as db:
                found = await db.value(_TENANT_OF, id=id)
            if found is not None:
                return from_uuid("ten", found)
        raise WebhookRefused

    # -- metrics ------------------------------------------------------------------------------------

    def metric(self, name: str, about: str, measure: Measure) -> None:
        """Make a number known that triggers can watch: `measure(scope)` gives it for the scope's tenant.

        Raises ValueError when the name is taken.
        """
        self._metrics.add(name, about, measure)

    def metrics(self) -> tuple[Metric, ...]:
        """What triggers can watch, by name."""
        return tuple(self._metrics)

    async def turn(self) -> int:
        """Look at the metrics that are due, each at most every ten seconds; how many jobs were dispatched.

        Harmless however many come here at once.
        """
        self._turns += 1
        async with self._store.as_operator(reason="metrics that are due") as db:
            due = await db.rows(tuple, _METRICS_DUE, limit=_AT_A_TURN)
            if self._turns % _TURNS_TO_PRUNE == 1:
                await db.run(_PRUNE)
        fired = 0
        for tenant, id in due:
            try:
                fired += await self._look(from_uuid("ten", tenant), id)
            except DatabaseUnavailable:
                raise
            except Unavailable as fault:
                log.info("the trigger %s waits for its next turn: %s", id, fault)
        return fired

    async def _look(self, tenant: str, id: str) -> bool:
        system = await self._tenancy.system_scope(tenant)
        async with self._store.under(system) as db:
            row = await db.row(dict, _METRIC_DUE, id=id)
        if row is None:
            return False
        before: bool | None = row["crossed"]
        crossed = before
        try:
            scope = await Maker.of(row).scope(self._tenancy, tenant)
            await self._dispatching.ready(scope)
            async with self._store.under(scope) as db:
                threshold = Threshold.read((await Rule.of(db, row)).filter)
            value = await self._metrics.measure(scope, threshold.metric)
            crossed = threshold.crossed(value, before)
            facts: dict[str, JsonValue] = {"metric": threshold.metric, "value": value, "crossed": threshold.side}
            async with self._store.under(scope) as db:
                first = await db.value(_LOOK_AGAIN, id=id, crossed=crossed, before=before) is not None
                if not first or not crossed or before is not False:
                    return False
                return await self._firing.fire(db, row, facts, scope=scope, sift=False) is not None
        except Unavailable:
            raise
        except Exception as fault:  # a measure may fail in its own way; it must not come again each second
            if not isinstance(fault, BastideError):
                log.exception("the trigger %s could not look at its metric", id)
            async with self._store.under(system) as db:
                if await db.value(_LOOK_AGAIN, id=id, crossed=crossed, before=before) is not None:
                    await self._firing.note_refused(db, id, fault)
            return False

    # -- reading ------------------------------------------------------------------------------------

    def _check(self, kind: JobType, on: str, filter: Mapping[str, JsonValue], input: Mapping[str, JsonValue]) -> None:
        if on not in EVENTS:
            raise BadTrigger(f"There is no event {on[:80]!r}; there are: {', '.join(EVENTS)}.", field="on")
        if on == "metric":
            self._metrics.check(Threshold.read(filter).metric)
        else:
            templates.check_filter(filter, EVENTS[on])
        if templates.check_input(input, EVENTS[on]):
            _check_fields(kind, input)
        else:
            self._registry.check_input(kind, input)

    async def _opened(self, db: Db, row: Mapping[str, Any]) -> Trigger:
        id, rule = row["id"], await Rule.of(db, row)
        return Trigger(
            id=id,
            name=row["name"],
            on=row["event"],
            type=row["type"],
            filter=rule.filter,
            input=rule.input,
            priority=row["priority"],
            paused=row["paused"],
            user=row["user_id"],
            created_at=row["created_at"],
            last_at=row["last_at"],
            last_job=row["last_job"],
            last_problem=await opened_problem(db, row["problem_code"], row["problem"], about=about(id, "problem")),
        )

    # -- erasure ------------------------------------------------------------------------------------

    async def _held(self, db: Db, row: Mapping[str, Any]) -> JsonValue:
        rule = await Rule.of(db, row)
        return {"filter": rule.filter, "input": rule.input}

    async def _rewrite(self, db: Db, id: str, held: JsonValue, problem: Problem) -> None:
        rule = Rule(**cast("dict[str, Mapping[str, JsonValue]]", held))
        await db.run(_BLOT, id=id, rule=await rule.sealed(db, id))
        await self._firing.note(db, id, problem)

    async def _forget_problems(self, db: Db, named: Named) -> None:
        for id, n, problem in await db.rows(tuple, _PROBLEMS):
            if await speaks(db, problem, named, about=about(id, "problem")):
                await db.run(_FORGET_FIRING, trigger=id, n=n)


def _check_fields(kind: JobType, input: Mapping[str, JsonValue]) -> None:
    """What can be said of an input before its placeholders are filled: which fields it has."""
    known = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind.input)}
    if extra := sorted(set(input) - set(known)):
        raise BadTrigger(f"{kind.name} takes no {extra[0][:80]!r}; it takes: {', '.join(known)}.", field="input")
    if missing := [name for name, needed in known.items() if needed and name not in input]:
        raise BadTrigger(f"{kind.name} needs {missing[0]}.", field="input")
