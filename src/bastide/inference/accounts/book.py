"""A tenant's book: its budgets, rates and departments as this process knows them, and the slices it holds of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from bastide.inference.accounts.admission import Purse
from bastide.inference.accounts.gates import Gate
from bastide.inference.accounts.leasing import Said
from bastide.inference.accounts.pots import Pot
from bastide.inference.accounts.settling import Ledger
from bastide.inference.accounts.values import EACH, WARN_AT, Budget, Keeps, Rate, period_at
from bastide.store import Scope

_PURSES_MAX: Final = 8192
_WHOLE_LONG_AGO: Final = float("-inf")


@dataclass(slots=True)
class Book:
    """What bounds the calls of one tenant. `scope` is that of whoever called last: his tenant's rows are read by it."""

    scope: Scope
    ledger: Ledger
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of whatever the database is asked for
    read_at: float = _WHOLE_LONG_AGO
    forgotten_at: float = _WHOLE_LONG_AGO
    near: int = 0  # budgets of which four fifths are spent
    pots: dict[tuple[str, str, float], Pot] = field(default_factory=dict)
    gates: dict[tuple[str, str], Gate] = field(default_factory=dict)
    _said: Said = field(default_factory=Said)
    _keeps: dict[str, Keeps] = field(default_factory=dict)
    _departments: dict[tuple[str, str], str] = field(default_factory=dict)
    _purses: dict[tuple[str | None, str | None, str | None, str], Purse] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Whether nothing is held, running or to be written."""
        return not (self.pots or self.gates or self.ledger.running or self.ledger.waiting)

    def learn(self, said: Said, read_at: float) -> None:
        """What the database says now. What is held of a budget that is gone or was changed is held no more."""
        budgets = {one.id: one for one in said.budgets}
        for place, pot in list(self.pots.items()):
            now = budgets.get(pot.budget.id)
            if now is None:
                del self.pots[place]
            elif (now.eur, now.tokens, now.hard) != (pot.budget.eur, pot.budget.tokens, pot.budget.hard):
                pot.give_back()
                pot.dry_until = _WHOLE_LONG_AGO
                pot.budget = now
            else:
                pot.budget = now
        kept = {one.id: one for one in said.rates}
        for key, gate in list(self.gates.items()):
            rate = kept.get(gate.rate.id)
            if rate is None or (rate.requests, rate.tokens) != (gate.rate.requests, gate.rate.tokens):
                del self.gates[key]
            else:
                gate.sharers = said.holders
        self._said = said
        self._keeps = {one.model: one for one in said.keeps}
        self._departments = {(one.kind, one.subject): one.name for one in said.departments}
        self._purses.clear()
        self.near = sum(one.share >= WARN_AT for one in said.budgets)
        self.read_at = read_at

    def purse(self, scope: Scope, model: str) -> Purse:
        """What bounds this caller's calls of this model."""
        key = (scope.app, scope.user, scope.key, model)
        known = self._purses.get(key)
        if known is None or time.time() >= known.until:
            if len(self._purses) >= _PURSES_MAX:
                self._purses.clear()
            known = self._purses[key] = self._found(scope, model)
        return known

    def _found(self, scope: Scope, model: str) -> Purse:
        app, user = scope.app or "", scope.user or ""
        department = self._departments.get(("app", app)) or self._departments.get(("user", user)) or ""
        who = {
            "tenant": "-",
            "department": department,
            "app": app,
            "user": user,
            "key": scope.key or "",
            "model": model,
        }
        pots = [self._pot(one, who[one.scope]) for one in self._said.budgets if _meant(one, who[one.scope])]
        hard = tuple(pot for pot in pots if pot.budget.hard)
        gates = tuple(self._gate(one, who[one.scope]) for one in self._said.rates if _meant(one, who[one.scope]))
        return Purse(
            app=app,
            user=user,
            department=department,
            model=model,
            hard=hard,
            soft=tuple(pot for pot in pots if not pot.budget.hard),
            gates=gates,
            keeps=self._keeps.get(model) or self._keeps.get(EACH),
            until=min((pot.until for pot in pots), default=float("inf")),
            bounded=bool(hard or gates),
        )

    def _pot(self, budget: Budget, whose: str) -> Pot:
        starts, until = period_at(budget.period, datetime.now(UTC))
        key = (budget.id, whose, starts.timestamp())
        pot = self.pots.get(key)
        if pot is None:
            ends = float("inf") if until is None else until.timestamp()
            fresh = replace(budget, spent_eur=0.0, spent_tokens=0) if budget.subject == EACH else budget
            pot = self.pots[key] = Pot(budget, whose, key[2], ends, used_at=time.monotonic())
            pot.spent_eur, pot.spent_tokens = fresh.spent_eur, fresh.spent_tokens
        return pot

    def _gate(self, rate: Rate, whose: str) -> Gate:
        key = (rate.id, whose)
        gate = self.gates.get(key)
        if gate is None:
            gate = self.gates[key] = Gate(rate, whose, used_at=time.monotonic(), sharers=self._said.holders)
        return gate

    def forget_person(self, user: str) -> None:
        """Nothing that names this user is held any more; what he used is written before."""
        self.pots = {key: pot for key, pot in self.pots.items() if pot.whose != user}
        self.gates = {key: gate for key, gate in self.gates.items() if gate.whose != user}
        self._purses.clear()

    def put_away(self, before: float) -> None:
        """Forget pots and gates that nobody has used since `before`: the next call makes them anew."""
        pots = [key for key, pot in self.pots.items() if pot.used_at < before and pot.own_until < before]
        gates = [key for key, gate in self.gates.items() if gate.used_at < before]
        for place in pots:
            del self.pots[place]
        for key in gates:
            del self.gates[key]
        if pots or gates:
            self._purses.clear()


def _meant(one: Budget | Rate, who: str) -> bool:
    return one.scope == "tenant" or (bool(who) and one.subject in {who, EACH})
