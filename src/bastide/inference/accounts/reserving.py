"""Reserving: what work may cost that is handed over today and answered in hours, whatever process lives by then.

What it may take is a slice of each budget like that of a process, with the piece of work as its holder: nobody else is
lent it. What it used is settled in the transaction that keeps the answers; what is left is given back at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bastide.errors import BudgetSpent
from bastide.inference.accounts.accounts import Accounts
from bastide.inference.accounts.admission import Purse, costs, guessed_eur
from bastide.inference.accounts.pots import Pot
from bastide.inference.accounts.settling import Ledger
from bastide.inference.values import Usage
from bastide.policy import Price
from bastide.store import Db, Json, Scope, new_id, queries

_Q: Final = queries("bastide.inference")
_LEND, _KEEP, _LEAVE, _SETTLE = _Q["lend"], _Q["keep_lease"], _Q["leave_leases"], _Q["settle"]
_HALVE = _Q["halve_leases"]

Place = tuple[str, str, float]
"""A budget, whose it is, and when its period began."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays for a piece of work, and from which pots; it outlives the process that found them."""

    app: str
    user: str
    department: str
    model: str
    pots: tuple[Place, ...]

    @classmethod
    def of(cls, purse: Purse) -> Account:
        """That of a purse."""
        pots = tuple((one.budget.id, one.whose, one.starts) for one in (*purse.hard, *purse.soft))
        return cls(purse.app, purse.user, purse.department, purse.model, pots)

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> Account:
        """As `kept` gave it."""
        pots = tuple((budget, whose, float(starts)) for budget, whose, starts in kept["pots"])
        return cls(kept["app"], kept["user"], kept["department"], kept["model"], pots)

    def kept(self) -> dict[str, Any]:
        """As the database keeps it."""
        names = ("app", "user", "department", "model")
        return {**{name: getattr(self, name) for name in names}, "pots": [list(one) for one in self.pots]}


@dataclass(frozen=True, slots=True)
class Took:
    """What one call of a piece of work has used."""

    usage: Usage
    eur: float | None
    outcome: str


class Reserving:
    """Reserves, settles and releases what pieces of work may take."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def purse(self, scope: Scope, model: str, of: tuple[str, ...] | None = None) -> Purse:
        """What bounds this caller's work with this model, asked for `of` these names. Raises DatabaseUnavailable."""
        return await self._accounts.purse(scope, model, of)

    async def reserve(
        self, db: Db, purse: Purse, holder: str, tokens: Sequence[int], price: Price, *, seconds: float
    ) -> tuple[int, BudgetSpent | None]:
        """Reserve for calls of so many tokens each, in their order, for at most so many seconds.

        How many of them the budgets have room for, and of a budget that has none for more, the refusal.
        """
        room, refusal = len(tokens), None
        lent: list[tuple[Pot, float, int]] = []
        for pot in sorted(purse.hard, key=_place):
            got = await self._lend(db, pot, holder, tokens, price, seconds=seconds)
            lent.append((pot, *got))
            fits = _fitting(pot, tokens, price, *got)
            if fits < room:
                room, refusal = fits, pot.refusal()
        spent = sum(tokens[:room])
        for pot, eur, some in lent:  # a slice is never exactly what was asked: the rest goes back at once
            over = {"eur": max(0.0, eur - guessed_eur(price, spent)), "tokens": max(0, some - spent)}
            await db.run(_KEEP, **_keys(pot), holder=holder, seconds=seconds, **over)
        return room, refusal

    @staticmethod
    async def _lend(
        db: Db, pot: Pot, holder: str, tokens: Sequence[int], price: Price, *, seconds: float
    ) -> tuple[float, int]:
        needs = sum(tokens)
        of_eur = guessed_eur(price, needs) if pot.budget.eur is not None and costs(price) else -1.0
        of_tokens = needs if pot.budget.tokens is not None else -1
        row = await db.row(tuple, _LEND, **_keys(pot), holder=holder, eur=of_eur, tokens=of_tokens, seconds=seconds)
        return (0.0, 0) if row is None else (row[0], row[1])

    @staticmethod
    async def settle(
        db: Db, account: Account, holder: str, took: Iterable[Took], *, endpoint: str, currency: str
    ) -> None:
        """Count what calls have used, in this transaction; it comes off what `holder` has reserved."""
        ledger = Ledger({endpoint: currency} if currency not in {"", "EUR"} else {})
        tokens, eur, now = 0, 0.0, time.time()
        for one in took:
            ledger.note(account, one.usage, eur=one.eur, outcome=one.outcome, endpoint=endpoint, now=now)
            tokens += one.usage.input + one.usage.output
            eur += one.eur or 0.0
        drawn = [
            {"budget": budget, "whose": whose, "starts": starts, "eur": eur, "tokens": tokens}
            for budget, whose, starts in account.pots
            if tokens or eur
        ]
        for settlement in ledger.close():
            await db.value(_SETTLE, id=new_id("stl"), holder=holder, used=Json(settlement.used), drawn=Json(drawn))

    @staticmethod
    async def halve(db: Db, holder: str, other: str) -> None:
        """Half of what is reserved for one is reserved for another."""
        await db.run(_HALVE, holder=holder, other=other)

    @staticmethod
    async def release(db: Db, holder: str) -> None:
        """Give back what is still reserved."""
        await db.run(_LEAVE, holder=holder)


def _fitting(pot: Pot, tokens: Sequence[int], price: Price, eur: float, some: int) -> int:
    """How many of the calls what was lent of this pot is enough for."""
    priced = pot.budget.eur is not None and costs(price)
    if priced and eur <= 0:
        return 0
    if pot.budget.tokens is not None and some <= 0:
        return 0
    total = 0
    for n, one in enumerate(tokens):
        total += one
        if priced and guessed_eur(price, total) > eur + 1e-9:
            return n
        if pot.budget.tokens is not None and total > some:
            return n
    return len(tokens)


def _place(pot: Pot) -> Place:
    return pot.budget.id, pot.whose, pot.starts


def _keys(pot: Pot) -> dict[str, object]:
    return dict(zip(("budget", "whose", "starts"), _place(pot), strict=True))
