"""Firing: from something that happened to the job that a trigger makes of it, or to the reason why there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bastide.audit import Audit
from bastide.errors import (
    BadJob,
    BadTrigger,
    BlobDamaged,
    Forbidden,
    JobInputWrong,
    JobLabelRefused,
    JobTooLarge,
    TriggerLoop,
    Unauthorised,
    UnknownJobType,
    UnknownJobVersion,
)
from bastide.policy import Label
from bastide.store import Db, Scope, queries
from bastide.telemetry import count
from bastide.tenancy import Tenancy
from bastide.workflows import templates
from bastide.workflows.chains import AT_WORK, refuse_loop
from bastide.workflows.dispatching import Chain, Dispatching
from bastide.workflows.ending import problem_from
from bastide.workflows.keeping import Maker, kept_problem
from bastide.workflows.registry import Registry
from bastide.workflows.values import Dispatched, Job, JsonValue, Problem

_Q = queries("bastide.workflows")
_ON, _CHAIN_OF, _NOTE = _Q["triggers_on"], _Q["chain_of"], _Q["note_firing"]

_RULE_BYTES_MAX = 64 * 1024
_NONE_KNOWN_S = 2.0  # how long a new trigger may be missed by another process that has just found none
_NONE_KNOWN_MAX = 10_000

REASONS = (
    BadJob,
    BadTrigger,
    BlobDamaged,
    Forbidden,
    JobInputWrong,
    JobLabelRefused,
    JobTooLarge,
    TriggerLoop,
    Unauthorised,
    UnknownJobType,
    UnknownJobVersion,
)
"""What keeps a trigger from firing. All are found before any statement fails, so a transaction may go on after them."""

_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # of a type's own label rule; never SQL


@dataclass(frozen=True, slots=True)
class Rule:
    """What a trigger asks of an event, and what it makes of it."""

    filter: Mapping[str, JsonValue]
    input: Mapping[str, JsonValue]

    @classmethod
    async def of(cls, db: Db, row: Mapping[str, Any]) -> Rule:
        """The rule in a row of ours."""
        return cls(**json.loads(await db.unseal(row["rule"], about=about(row["id"], "rule"))))

    async def sealed(self, db: Db, id: str) -> bytes:
        """The rule as it is kept. Raises BadTrigger for one that is too large or no JSON."""
        try:
            packed = json.dumps({"filter": dict(self.filter), "input": dict(self.input)}, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as fault:
            raise BadTrigger("The filter and the input are JSON.", field="input") from fault
        if len(packed) > _RULE_BYTES_MAX:
            raise BadTrigger(f"The filter and the input have {_RULE_BYTES_MAX} bytes at most.", field="input")
        return await db.seal(packed, about=about(id, "rule"))


class Firing:
    """Fires triggers, and keeps why one did not fire."""

    def __init__(self, audit: Audit, tenancy: Tenancy, dispatching: Dispatching, registry: Registry) -> None:
        self._audit = audit
        self._tenancy = tenancy
        self._dispatching = dispatching
        self._registry = registry
        self._none_until: dict[tuple[str, str], float] = {}
        self._changes = 0  # what was looked up before a change is not remembered after it

    def forget(self) -> None:
        """Ask the database again: there is a new trigger."""
        self._changes += 1
        self._none_until.clear()

    async def happened(self, db: Db, kind: str, facts: Mapping[str, JsonValue], *, label: Label, chain: Chain) -> None:
        """Fire what waits for this; see `Triggers.happened`."""
        assert db.scope is not None, "something happens within one tenant"
        place = (db.scope.tenant, kind)
        if self._none_until.get(place, 0.0) > time.monotonic():
            return
        changes = self._changes
        rows = await db.rows(dict, _ON, event=kind)
        if not rows:
            if changes == self._changes:
                self._remember_none(place)
            return
        chain = await _chain_of(db, facts) if kind == "job.ended" else chain or AT_WORK.get()
        for row in rows:
            try:
                await self.fire(db, row, facts, label=label, chain=chain)
            except (*REASONS, *_FAULTS) as fault:
                await self.note_refused(db, row["id"], fault)

    async def fire(
        self,
        db: Db,
        row: Mapping[str, Any],
        facts: Mapping[str, JsonValue],
        *,
        scope: Scope | None = None,
        label: Label | None = None,
        chain: Chain = (),
        key: str | None = None,
        sift: bool = True,
    ) -> Dispatched | None:
        """Dispatch the trigger's job in this transaction; None when its filter is for others.

        Without a `scope`, the maker's is found. Raises one of REASONS.
        """
        rule = await Rule.of(db, row)
        if sift and not templates.matches(rule.filter, facts):
            return None
        refuse_loop(chain, row["id"])
        if scope is None:
            assert db.scope is not None
            scope = await Maker.of(row).scope(self._tenancy, db.scope.tenant, label, db=db)
        self._dispatching.need(scope, self._registry.get(row["type"]))
        filled = templates.fill(rule.input, facts)
        assert isinstance(filled, Mapping)
        job = Job(row["type"], filled, label=label, priority=row["priority"], key=key)
        made = await self._dispatching.put(db, scope, job, origin=row["id"], chain=chain)
        if made.fresh:
            await db.at_commit(_NOTE, trigger=row["id"], job=made.id, code=None, problem=None)
            count("triggers_fired")
        return made

    async def note_refused(self, db: Db, id: str, fault: Exception) -> None:
        """Keep why the trigger did not fire, where its owner and the auditor find it."""
        problem = problem_from(fault)
        await self.note(db, id, problem)
        details: dict[str, JsonValue] = {"code": problem.code}
        if isinstance(fault, TriggerLoop):
            details["chain"] = str(fault.facts.get("chain", ""))
        await self._audit.record(db, "trigger.refused", resource=id, outcome="refused", details=details)
        count("triggers_refused", code=problem.code)

    @staticmethod
    async def note(db: Db, id: str, problem: Problem) -> None:
        """Keep this as the last that was to be said of the trigger."""
        code, sealed = await kept_problem(db, problem, about=about(id, "problem"))
        await db.at_commit(_NOTE, trigger=id, job=None, code=code, problem=sealed)

    def _remember_none(self, place: tuple[str, str]) -> None:
        if len(self._none_until) >= _NONE_KNOWN_MAX:
            self._none_until.clear()
        self._none_until[place] = time.monotonic() + _NONE_KNOWN_S


def about(id: str, part: str) -> str:
    """What a sealed part of a trigger is sealed for."""
    return f"workflows.trigger|{id}|{part}"


async def _chain_of(db: Db, facts: Mapping[str, JsonValue]) -> Chain:
    """What led to a job that has ended, the job itself included."""
    row = await db.row(tuple, _CHAIN_OF, id=facts.get("job"))
    if row is None:
        return ()
    chain, origin = row
    return [(link[0], link[1]) for link in chain] + ([(origin, str(facts["job"]))] if origin else [])
