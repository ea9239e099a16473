"""A tenant's book: its budgets, rates and departments as this process knows them, and the slices it holds of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
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

Names = tuple[str, ...]

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
    _of_models: bool = False  # whether anything is for a model
    _purses: dict[tuple[object, ...], Purse] = field(default_factory=dict)

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
        self._of_models = "model" in {*(one.scope for one in said.budgets), *(one.scope for one in said.rates)}
        self._purses.clear()
        self.near = sum(one.share >= WARN_AT for one in said.budgets)
        self.read_at = read_at

    def purse(self, scope: Scope, model: str, of: Names | None = None) -> Purse:
        """What bounds this caller's calls of this model: all that is for him, and what is for the models `of` these
        names: without them, of its own."""
        key = (scope.app, scope.user, scope.key, model, of)
        known = self._purses.get(key)
        if known is None or time.time() >= known.until:
            known = self._purses[key] = self._found(scope, model, (model,) if of is None else of)
        return known

    def own(self, model: str) -> Purse:
        """What is for this model itself, whoever calls it and by whatever name: usage is told elsewhere."""
        known = self._purses.get((model,))
        if known is None or time.time() >= known.until:
            known = self._purses[(model,)] = self._bound({"model": (model,)}, "", "", "", model, counts=False)
        return known

    def _found(self, scope: Scope, model: str, of: Names) -> Purse:
        app, user = scope.app or "", scope.user or ""
        department = self._departments.get(("app", app)) or self._departments.get(("user", user)) or ""
        who = {
            "tenant": ("-",),
            "department": (department,),
            "app": (app,),
            "user": (user,),
            "key": (scope.key or "",),
            "model": of,
        }
        return self._bound(who, app, user, department, model)

    def _bound(
        self, who: Mapping[str, Names], app: str, user: str, department: str, model: str, *, counts: bool = True
    ) -> Purse:
        if len(self._purses) >= _PURSES_MAX:
            self._purses.clear()
        pots = [self._pot(one, whose) for one in self._said.budgets for whose in _meant(one, who)]
        hard = tuple(pot for pot in pots if pot.budget.hard)
        gates = tuple(self._gate(one, whose) for one in self._said.rates for whose in _meant(one, who))
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
            of_models=self._of_models,
            counts=counts,
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


def _meant(one: Budget | Rate, who: Mapping[str, Names]) -> Names:
    """For whom of these it is."""
    names = who.get(one.scope, ())
    return names if one.scope == "tenant" else tuple(name for name in names if name and one.subject in {name, EACH})
