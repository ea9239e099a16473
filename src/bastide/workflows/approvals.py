"""Approvals: persons see what a job is about to do, and decide. (Regulation (EU) 2024/1689, Article 14.)

Each decision is one transaction: the job's row is held, the rules are asked, the verdict is written with its audit
event, and the job goes on. A decision, a deadline and a stop meet at that row, so one of them is first. A yes is
said by a person who has opened what it is said to; how long ago is recorded with it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

from bastide.audit import Audit
from bastide.errors import (
    AlreadyDecided,
    BadOversight,
    BastideError,
    EditedWrongly,
    JobEnded,
    NotYourDecision,
    UnknownApproval,
    UnknownIdentity,
    UnknownOversight,
)
from bastide.store import Db, Page, Scope, Store, from_uuid, is_id, queries, to_uuid
from bastide.telemetry import count, gauge, log
from bastide.tenancy import Tenancy
from bastide.workflows.decisions import (
    Approval,
    OversightRule,
    Saying,
    Standing,
    said_already,
    why_not_yours,
)
from bastide.workflows.ending import note, wake
from bastide.workflows.overseeing import (
    Row,
    decider,
    opened,
    shown_as,
    take,
    verdicts_of,
)
from bastide.workflows.oversight import check, refuse_unkeepable
from bastide.workflows.registry import Limits, Registry
from bastide.workflows.values import ENDED, JsonValue
from bastide.workflows.weighing import looked, refuse_changed, refuse_forged, refuse_settled, said_of

_Q = queries("bastide.workflows")
_APPROVAL, _APPROVALS, _LOCK = _Q["approval"], _Q["approvals"], _Q["lock_run"]
_DUE, _PENDING, _CLOSE, _CALL = _Q["approvals_due"], _Q["approvals_pending"], _Q["close_approval"], _Q["call_stand_ins"]
_SET_RULE, _RULES, _DELETE_RULE = _Q["set_oversight"], _Q["oversight_rules"], _Q["delete_oversight"]
_RULE, _OPENED = _Q["oversight_rule"], _Q["note_opening"]

_DECIDE = "work:approve"
_LIMIT_MAX = 500
_REASON_MAX = 2000

Cancels = Callable[..., Awaitable[object]]
"""`await cancels(scope, job, reason=, wait_s=)`: the job and its parts are stopped."""


class Approvals:
    """What waits for a person, and what persons decide."""

    def __init__(self, store: Store, audit: Audit, tenancy: Tenancy, registry: Registry, cancels: Cancels) -> None:
        self._store = store
        self._audit = audit
        self._tenancy = tenancy
        self._registry = registry
        self._cancels = cancels

    # -- seeing -------------------------------------------------------------------------------------

    async def list(
        self,
        scope: Scope,
        *,
        status: str | None = "pending",
        job: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Approval]:
        """What waits for a person (or `informed`: notices; or any other status, None for all), newest first.

        Without what is proposed: that is seen by `get`, which is recorded. Raises BadOversight for an unknown status.
        """
        scope.need(_DECIDE)
        if status is not None and status not in get_args(Standing):
            raise BadOversight(f"There is no status {status[:40]!r}; there are: {', '.join(get_args(Standing))}.")
        limit = max(1, min(limit, _LIMIT_MAX))
        async with self._store.under(scope) as db:
            rows = await db.rows(Row, _APPROVALS, status=status, run=job, after=cursor, limit=limit + 1)
            said = await verdicts_of(db, [row.id for row in rows[:limit]])
        items = tuple(shown_as(row, said[row.id], decider(scope)) for row in rows[:limit])
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def get(self, scope: Scope, id: str) -> Approval:
        """One approval with all that is proposed; that this person saw it, when, and its digest, is recorded.

        Raises UnknownApproval, ProposalChanged when what is kept is not what was asked about.
        """
        scope.need(_DECIDE)
        async with self._store.under(scope) as db:
            row = await _row(db, id)
            found = await opened(db, row, decider(scope))
            refuse_forged(row, found)
            await db.run(_OPENED, id=id, who=decider(scope), digest=bytes(row.agreed))
            details: dict[str, JsonValue] = {"job": row.run, "effect": row.effect, "digest": found.digest}
            await self._audit.record(db, "approval.see", resource=id, details=details)
        return found

    # -- deciding -----------------------------------------------------------------------------------

    async def approve(self, scope: Scope, id: str, *, digest: str | None = None, reason: str = "") -> Approval:
        """Agree to what is proposed, which this person has opened by `get`. `digest` is that of what they saw.

        Raises UnknownApproval, NotYourDecision, AlreadyDecided, ProposalChanged.
        """
        return await self._decide(scope, id, "approved", reason, digest=digest)

    async def refuse(self, scope: Scope, id: str, reason: str = "", *, digest: str | None = None) -> Approval:
        """Say no: the effect does not happen, and the job is told the reason. Raises as `approve` does."""
        return await self._decide(scope, id, "refused", reason, digest=digest)

    async def edit(
        self, scope: Scope, id: str, arguments: JsonValue, *, digest: str | None = None, reason: str = ""
    ) -> Approval:
        """Agree to other arguments than those proposed; of two persons, the second then decides about these.

        Raises EditedWrongly when they have not the same keys and kinds of value, and what `approve` raises.
        """
        return await self._decide(scope, id, "edited", reason, digest=digest, value=arguments)

    async def take_over(
        self, scope: Scope, id: str, result: JsonValue, reason: str = "", *, digest: str | None = None
    ) -> Approval:
        """A person has done it, or does: the job goes on with their result, and the effect itself is never run.

        Raises as `approve` does.
        """
        return await self._decide(scope, id, "taken_over", reason, digest=digest, value=result)

    async def stop(self, scope: Scope, id: str, reason: str = "") -> Approval:
        """Stop the whole job. When this returns and the job is cancelled, it has not one effect more.

        Raises UnknownApproval, AlreadyDecided when the job has ended.
        """
        return await self._decide(scope, id, "stopped", reason)

    async def see(self, scope: Scope, id: str, reason: str = "") -> Approval:
        """Say that a notice was seen. Raises UnknownApproval, AlreadyDecided for what is no notice or was seen."""
        return await self._decide(scope, id, "seen", reason)

    # In this order, so that each refusal is about the approval as it is:
    #   1. the job's row is held, then the approval is read     4. what was seen is proposed; for a yes, opened too
    #   2. it still waits, and its deadline is ahead            5. the verdict, its event, and the job goes on
    #   3. this person may say this, and has not yet            6. a stop then stops the job
    async def _decide(
        self, scope: Scope, id: str, saying: Saying, reason: str, *, digest: str | None = None, value: JsonValue = None
    ) -> Approval:
        scope.need(_DECIDE)
        if len(reason) > _REASON_MAX:
            raise BadOversight(f"A reason has at most {_REASON_MAX} characters.")
        who = decider(scope)
        async with self._store.under(scope) as db:
            run = await db.row(tuple, _LOCK, id=(await _row(db, id)).run)
            row = await _row(db, id)
            verdicts = (await verdicts_of(db, [id]))[id]
            refuse_settled(row, saying, job_over=run is None or run[0] in ENDED or run[0] == "stopping")
            if why := why_not_yours(row.asking, who, saying):
                raise NotYourDecision(why)
            assert who is not None
            if said_already(verdicts, who, saying, bytes(row.agreed).hex()):
                raise AlreadyDecided("You have agreed to this already; another person must agree too.")
            refuse_changed(row, saying, digest)
            looked_s = await looked(db, row, who, saying)
            self._refuse_large(row, saying, value)
            said = await said_of(db, row, saying, reason, value)
            standing = await take(db, row, verdicts, who, said)
            await self._audit.record(
                db,
                f"approval.{saying}",
                resource=id,
                outcome=standing,
                details={
                    "job": row.run,
                    "effect": row.effect,
                    "digest": (said.digest or bytes(row.agreed)).hex(),
                    "reason": reason,
                    "looked_ms": None if looked_s is None else round(looked_s * 1000),
                },
            )
            if standing in {"approved", "refused", "taken_over"}:
                await wake(db, row.run, row.waits_for)
            found = await opened(db, await _row(db, id), who)
        count("approvals_decided", verdict=saying)
        if saying == "stopped":
            await self._stop(scope, row.run, reason or "stopped by a person who oversees it", wait_s=10.0)
        return found

    def _refuse_large(self, row: Row, saying: Saying, value: JsonValue) -> None:
        """What a person gives is held to the limits of the type, here where they can still mend it."""
        kinds = [kind for kind in self._registry if kind.name == row.type]
        limits = kinds[0].limits if kinds else Limits()
        most = limits.output_bytes_max if saying == "taken_over" else limits.input_bytes_max
        try:
            given = len(json.dumps(value, default=str))
        except (TypeError, ValueError, RecursionError) as fault:
            raise EditedWrongly(f"This is not JSON: {fault}.") from fault
        if given > most:
            raise EditedWrongly(f"This has {given} bytes; {row.type} takes {most} at most.", limit_bytes=most)

    async def _stop(self, scope: Scope, run: str, reason: str, *, wait_s: float) -> None:
        try:
            await self._cancels(scope, run, reason=reason, wait_s=wait_s)
        except JobEnded:
            log.debug("%s had ended before it was stopped", run)

    # -- rules --------------------------------------------------------------------------------------

    async def rules(self, scope: Scope) -> tuple[OversightRule, ...]:
        """What this tenant asks beyond what the types declare. For who steers work, or oversees it."""
        if _DECIDE not in scope.permissions:
            scope.need("work:manage")
        async with self._store.under(scope) as db:
            rows = await db.rows(dict, _RULES)
        return tuple(_rule(row) for row in rows)

    async def set_rule(self, scope: Scope, rule: OversightRule) -> OversightRule:
        """Ask for oversight of a type's effects (`*`: of all). Persons are named by id or e-mail. Audited.

        A rule makes oversight stricter, never looser than the type declares. Raises UnknownJobType, BadOversight.
        """
        scope.need("work:manage")
        check(rule, self._registry)
        persons, stand_ins = await self._named(scope, rule.persons), await self._named(scope, rule.stand_ins)
        ready = replace(rule, persons=persons, stand_ins=stand_ins)
        refuse_unkeepable(ready, self._registry)
        values = {**_fields(ready), "persons": [*persons], "stand_ins": [*stand_ins]}
        # The event comes first: there must be no rule, and no loosening of one, that the log does not know.
        async with self._store.under(scope) as db:
            await self._audit.record(db, "oversight.set", resource=ready.type, details=_plain(ready.to_wire()))
        async with self._store.as_operator(reason=f"{decider(scope)} sets a rule of oversight") as db:
            await db.run(_SET_RULE, tenant=to_uuid(scope.tenant), **values)
        return ready

    async def drop_rule(self, scope: Scope, type: str, effect: str = "*") -> None:
        """From now on only what the type declares, and other rules, count. Audited. Raises UnknownOversight."""
        scope.need("work:manage")
        async with self._store.under(scope) as db:
            if await db.value(_RULE, type=type, effect=effect) is None:
                raise UnknownOversight(f"There is no rule for {type[:80]!r} and {effect[:80]!r}.")
            await self._audit.record(db, "oversight.delete", resource=type, details={"effect": effect})
        async with self._store.as_operator(reason=f"{decider(scope)} drops a rule of oversight") as db:
            await db.run(_DELETE_RULE, tenant=to_uuid(scope.tenant), type=type, effect=effect)

    async def _named(self, scope: Scope, persons: Iterable[str]) -> tuple[str, ...]:
        house = await self._tenancy.system_scope(scope.tenant)
        found: dict[str, None] = {}
        for person in persons:
            try:
                user = await self._tenancy.get_user(house, person)
            except UnknownIdentity as fault:
                raise BadOversight(f"There is no user {person[:80]!r} in this tenant.") from fault
            if user.disabled_at is not None:
                raise BadOversight(f"The user {user.email} is disabled and cannot decide.")
            found[user.id] = None
        return tuple(found)

    # -- time ---------------------------------------------------------------------------------------

    async def turn(self) -> int:
        """Deadlines, stand-ins' turns, and what was left over; how many. May run twice at once."""
        async with self._store.as_operator(reason="approvals that are due") as db:
            due = await db.rows(tuple, _DUE)
            gauge("approvals_pending", float(await db.value(_PENDING)))
        for tenant, id, run, what in due:
            scope = await self._tenancy.system_scope(from_uuid("ten", tenant))
            try:
                await self._due(scope, id, run, what)
            except BastideError as fault:  # one tenant's trouble is not another's
                log.warning("the approval %s: %s", id, fault)
        return len(due)

    async def _due(self, scope: Scope, id: str, run: str, what: str) -> None:
        stop = what == "stop"
        if not stop:
            async with self._store.under(scope) as db:
                await db.row(tuple, _LOCK, id=run)
                if what == "withdraw":
                    await db.value(_CLOSE, id=id, status="withdrawn")
                elif what == "stand_in":
                    await self._call_stand_ins(db, id)
                else:
                    stop = await self._expire(db, id)
        if stop:
            await self._stop(scope, run, "stopped by a person, or nobody decided in time", wait_s=0.0)

    async def _call_stand_ins(self, db: Db, id: str) -> None:
        run = await db.value(_CALL, id=id)
        if run is not None:
            await note(db, run, "approval", {"approval": id, "status": "stand-ins called"})
            await self._audit.record(db, "approval.stand_ins", resource=id, details={"job": run})

    async def _expire(self, db: Db, id: str) -> bool:
        """Nothing said means no; True when the whole job is to be stopped."""
        row = await db.row(Row, _APPROVAL, id=id)
        if row is None or not row.late or await db.value(_CLOSE, id=id, status="expired") is None:
            return False
        details: dict[str, JsonValue] = {"job": row.run, "effect": row.effect, "digest": bytes(row.agreed).hex()}
        await self._audit.record(db, "approval.expired", resource=id, outcome=row.fallback, details=details)
        await note(db, row.run, "approval", {"approval": id, "status": "expired"})
        count("approvals_decided", verdict="expired")
        if row.fallback == "cancel":
            return True
        await wake(db, row.run, row.waits_for)
        return False


async def _row(db: Db, id: str) -> Row:
    row = await db.row(Row, _APPROVAL, id=id) if is_id(id, "apr") else None
    if row is None:
        raise UnknownApproval
    return row


def _rule(row: Mapping[str, Any]) -> OversightRule:
    return OversightRule(**{**row, "persons": tuple(row["persons"]), "stand_ins": tuple(row["stand_ins"])})


def _fields(rule: OversightRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in OversightRule.__dataclass_fields__}


def _plain(wire: Mapping[str, Any]) -> dict[str, JsonValue]:
    return dict(wire)
