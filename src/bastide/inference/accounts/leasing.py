"""What accounts ask of the database, each in one short transaction under a scope of the tenant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bastide.inference.accounts.gates import Gate
from bastide.inference.accounts.pots import LEASE_S, Pot, Slice
from bastide.inference.accounts.settling import Settlement
from bastide.inference.accounts.values import Budget, Department, Keeps, Rate
from bastide.store import Json, Scope, Store, queries

_Q: Final = queries("bastide.inference")
_BUDGETS, _RATES, _DEPARTMENTS, _KEEPS = _Q["budgets"], _Q["rates"], _Q["departments"], _Q["keeps"]
_LEND, _KEEP, _LEAVE = _Q["lend"], _Q["keep_lease"], _Q["leave_leases"]
_HOLD_BOOK, _LEAVE_BOOK = _Q["hold_book"], _Q["leave_book"]
_DRAW, _GIVE_BACK = _Q["draw"], _Q["give_back"]
_SETTLE, _FORGET = _Q["settle"], _Q["forget_settled"]


@dataclass(frozen=True, slots=True)
class Held:
    """A pot whose slice is prolonged, less what is given back of it."""

    pot: Pot
    eur: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A tenant's book as the database has it; `holders` of rates are the processes that have it at hand."""

    budgets: Sequence[Budget] = ()
    rates: Sequence[Rate] = ()
    departments: Sequence[Department] = ()
    keeps: Sequence[Keeps] = ()
    holders: int = 1


class Leasing:
    """Leases of one process, which is known by `holder`."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store = store
        self._holder = holder
        self.hearing = store.hearing
        self.presence = store.presence

    async def read(self, scope: Scope) -> Said:
        """What the tenant's book says. Raises DatabaseUnavailable, as all of these do."""
        async with self._store.under(scope) as db:
            budgets, rates = await db.rows(Budget, _BUDGETS), await db.rows(Rate, _RATES)
            departments, keeps = await db.rows(Department, _DEPARTMENTS), await db.rows(Keeps, _KEEPS)
            holders = await db.value(_HOLD_BOOK, holder=self._holder) if rates else 1
        return Said(budgets, rates, departments, keeps, int(holders))

    async def lend(
        self,
        scope: Scope,
        pots: Sequence[Pot],
        gates: Sequence[Gate],
        *,
        eur: float,
        tokens: int,
        ahead: bool = False,
    ) -> None:
        """Slices of all of these, for calls that need so much; always in one order, so that nobody waits in a ring.

        `ahead` of any call that needs them: a rate that has nothing left refuses nobody for it.
        """
        asked_at = time.monotonic()
        lent: list[tuple[Pot, tuple[float, int], Slice | None]] = []
        drawn: list[tuple[Gate, float, tuple[int, int, float, float, float] | None]] = []
        async with self._store.under(scope) as db:
            for gate in sorted(gates, key=lambda one: (one.rate.id, one.whose)):
                place, owed = {"rate": gate.rate.id, "whose": gate.whose}, gate.owed
                if owed:
                    await db.run(_GIVE_BACK, **place, requests=0.0, tokens=-owed)
                row = await db.row(tuple, _DRAW, **place, tokens=gate.at_most(tokens))
                drawn.append((gate, owed, row))
            for pot in sorted(pots, key=lambda one: (one.budget.id, one.whose, one.starts)):
                asked = pot.lacks(eur=eur, tokens=tokens)
                values = {"eur": asked[0], "tokens": asked[1], "seconds": LEASE_S}
                lent.append((pot, asked, await db.row(tuple, _LEND, **self._place(pot), **values)))
        for gate, owed, got in drawn:  # only what was committed is held
            gate.paid(owed)
            if got is not None:
                gate.drawn(time.monotonic(), *got, ahead=ahead)
        for pot, asked, slice_ in lent:
            if slice_ is not None:
                pot.lend(asked_at, asked, slice_)

    async def write(self, scope: Scope, one: Settlement) -> bool:
        """Write a settlement; False if it was there."""
        found = await self._store.ask(
            scope,
            tuple,
            _SETTLE,
            again=True,
            id=one.id,
            holder=self._holder,
            used=Json(one.used),
            drawn=Json(one.drawn),
        )
        return bool(found and found[0][0])

    async def forget_settled(self, scope: Scope) -> None:
        """Forget the ids of settlements that nobody can still send."""
        async with self._store.under(scope) as db:
            await db.run(_FORGET)

    async def keep(self, scope: Scope, held: Sequence[Held], gates: Sequence[tuple[Gate, float, float]]) -> None:
        """Prolong slices; give back what is named beside them, and what was drawn of rates and not used."""
        asked_at, kept = time.monotonic(), []
        async with self._store.under(scope) as db:
            for gate, requests, tokens in gates:
                await db.run(_GIVE_BACK, rate=gate.rate.id, whose=gate.whose, requests=requests, tokens=tokens)
            for one in held:
                values = {"eur": one.eur, "tokens": one.tokens, "seconds": LEASE_S}
                kept.append((one.pot, await db.row(tuple, _KEEP, **self._place(one.pot), **values) is not None))
        for pot, still in kept:
            pot.keep(asked_at, kept=still)

    async def leave(self, scope: Scope) -> None:
        """Give back every slice of the tenant, and its book."""
        async with self._store.under(scope) as db:
            await db.run(_LEAVE, holder=self._holder)
            await db.run(_LEAVE_BOOK, holder=self._holder)

    def _place(self, pot: Pot) -> dict[str, object]:
        return {"budget": pot.budget.id, "whose": pot.whose, "starts": pot.starts, "holder": self._holder}
