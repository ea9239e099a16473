"""Overseers: who was trained to decide, and how they decide. (Regulation (EU) 2024/1689, Articles 4, 14(4)(b), 26(2).)

A yes within seconds of opening, again and again, is how automation bias looks from outside; `habits` shows it, and a
record of training is what a rule of oversight can ask for (`OversightRule.competence`). Both speak of persons at work:
only who manages the work of the tenant sees them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from bastide.audit import Audit
from bastide.errors import BadOversight, NotYourDecision, UnknownIdentity, UnknownOversight
from bastide.store import Scope, Store, queries, to_uuid
from bastide.tenancy import Tenancy
from bastide.workflows.overseeing import decider
from bastide.workflows.registry import Registry

_Q = queries("bastide.workflows")
_SET, _LIST, _ONE, _DELETE = _Q["set_competence"], _Q["competences"], _Q["competence"], _Q["delete_competence"]
_HABITS = _Q["habits"]

_MANAGE = "work:manage"
_EVIDENCE_MAX = 2000
_DAYS_MAX = 3660

HASTY_S = 10.0
"""A yes sooner after opening than this is counted as hasty, when nothing else is asked."""


@dataclass(frozen=True, slots=True)
class Competence:
    """That a person was trained to oversee a job type (`*`: all), until when, and what shows it."""

    user: str
    type: str
    until: datetime
    evidence: str  # what the training was, and who gave it
    recorded_by: str = ""  # a user, else a key
    recorded_at: datetime | None = None
    holds: bool = True  # whether it has not run out

    def to_wire(self) -> dict[str, object]:
        """The record as the wire shows it."""
        return {
            "user": self.user,
            "type": self.type,
            "until": self.until.isoformat(),
            "evidence": self.evidence,
            "recorded_by": self.recorded_by or None,
            "recorded_at": self.recorded_at.isoformat() if self.recorded_at else None,
            "holds": self.holds,
        }


@dataclass(frozen=True, slots=True)
class Habit:
    """How one overseer decided."""

    who: str  # a user, else a key
    agreed: int  # yes, with or without an edit, and taken over
    hastily: int  # of these: sooner after opening than was asked about
    edited: int
    refused: int  # and stopped
    looked_s: float | None  # the median from opening to yes; None without a yes that was timed

    def to_wire(self) -> dict[str, object]:
        """The habit as the wire shows it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Overseers:
    """Training, and habits."""

    def __init__(self, store: Store, audit: Audit, tenancy: Tenancy, registry: Registry) -> None:
        self._store = store
        self._audit = audit
        self._tenancy = tenancy
        self._registry = registry

    async def record(self, scope: Scope, competence: Competence) -> Competence:
        """Record that somebody was trained, in place of an earlier record for the same type. Audited.

        The person is named by id or e-mail; nobody records their own. Raises UnknownJobType, BadOversight,
        NotYourDecision.
        """
        scope.need(_MANAGE)
        _check(competence)
        if competence.type != "*":
            self._registry.get(competence.type)
        user, by = await self._known(scope, competence.user), decider(scope) or ""
        if user == by:
            raise NotYourDecision("Nobody records their own training.", next_step="Let another manager record it.")
        details = {"user": user, "type": competence.type, "until": competence.until.astimezone(UTC).isoformat()}
        async with self._store.under(scope) as db:
            sealed = await db.seal(competence.evidence.encode(), about=_about(user, competence.type))
            await self._audit.record(db, "overseer.trained", resource=user, details=dict(details))
        async with self._store.as_operator(reason=f"{by} records a training") as db:
            values = {"user": user, "type": competence.type, "until": competence.until, "evidence": sealed, "by": by}
            await db.run(_SET, tenant=to_uuid(scope.tenant), **values)
        (kept,) = [one for one in await self.competences(scope) if (one.user, one.type) == (user, competence.type)]
        return kept

    async def withdraw(self, scope: Scope, user: str, type: str = "*") -> None:
        """The record holds no longer; what was decided under it stays. Audited.

        Raises UnknownOversight, BadOversight.
        """
        scope.need(_MANAGE)
        user = await self._known(scope, user)
        async with self._store.under(scope) as db:
            if await db.value(_ONE, user=user, type=type) is None:
                raise UnknownOversight(f"No training of {user} for {type[:80]!r} is recorded.")
            await self._audit.record(db, "overseer.untrained", resource=user, details={"type": type})
        async with self._store.as_operator(reason=f"{decider(scope)} withdraws a training") as db:
            await db.run(_DELETE, tenant=to_uuid(scope.tenant), user=user, type=type)

    async def competences(self, scope: Scope) -> tuple[Competence, ...]:
        """Who was trained for what, also where it has run out."""
        scope.need(_MANAGE)
        async with self._store.under(scope) as db:
            rows = await db.rows(tuple, _LIST)
            return tuple(
                [
                    Competence(user, type, until, (await db.unseal(sealed, about=_about(user, type))).decode(), *rest)
                    for user, type, until, sealed, *rest in rows
                ]
            )

    async def habits(self, scope: Scope, *, hasty_s: float = HASTY_S, days: int = 30) -> tuple[Habit, ...]:
        """How each overseer decided in the last `days`, the hastiest first. That it was looked at is recorded.

        A yes counts as hasty when it came less than `hasty_s` after this person first opened what they said it to.
        Raises BadOversight.
        """
        scope.need(_MANAGE)
        if not (math.isfinite(hasty_s) and hasty_s > 0 and 0 < days <= _DAYS_MAX):
            raise BadOversight(f"hasty_s is a positive number of seconds, and days 1 to {_DAYS_MAX}.")
        async with self._store.under(scope) as db:
            found = await db.rows(Habit, _HABITS, hasty_s=hasty_s, days=days)
            await self._audit.record(db, "overseer.habits", details={"days": days})
        return tuple(found)

    async def _known(self, scope: Scope, user: str) -> str:
        house = await self._tenancy.system_scope(scope.tenant)
        try:
            return (await self._tenancy.get_user(house, user)).id
        except UnknownIdentity as fault:
            raise BadOversight(f"There is no user {user[:80]!r} in this tenant.") from fault


def _check(competence: Competence) -> None:
    if competence.until.tzinfo is None:
        raise BadOversight("until is a time with its zone.")
    if not competence.evidence.strip() or len(competence.evidence) > _EVIDENCE_MAX:
        raise BadOversight(f"evidence says what the training was, in at most {_EVIDENCE_MAX} characters.")


def _about(user: str, type: str) -> str:
    return f"workflows.competence|{user}|{type}"
