"""Pots: the slices of budgets that this process holds, as counters in memory.

A slice holds until a moment of the monotonic clock that comes before the one at which the database gives it to others,
so that a clock that is set, or a process that was stopped for a while, spends nothing that is not its own any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bastide.errors import BudgetSpent
from bastide.inference.accounts.values import Budget

LEASE_S: Final = 30.0
_OWN_S: Final = 24.0  # of them, how long this process counts on it
_LOOK_S: Final = 1.0  # a pot that was found empty is looked at again after so long
_SHARE_WITHOUT: Final = 20  # without the database, a process lets one part in so many of a budget be spent
_NEVER: Final = float("-inf")


Reserved = tuple[float, int, int]
"""What a call reserved of a pot: euros, tokens, and of which time the slice was."""

Slice = tuple[float, int, float, int, bool, bool]
"""What the database lends: euros, tokens, spent of both, whether others hold some, whether ours was still ours."""


@dataclass(slots=True)
class Pot:
    """What this process holds of one budget, for one of those it is for, in one period.

    What is lent to it is what is left and what running calls have reserved. Left is less than nothing when calls used
    more than was thought; the next slice makes up for it, or the settlement that tells of it.
    """

    budget: Budget
    whose: str
    starts: float  # seconds since 1970, as `until`
    until: float
    eur: float = 0.0  # left
    tokens: int = 0
    reserved_eur: float = 0.0
    reserved_tokens: int = 0
    spent_eur: float = 0.0  # as the database said last
    spent_tokens: int = 0
    lent: bool = False  # others hold some of it
    own_until: float = _NEVER  # by the monotonic clock, as what follows
    dry_until: float = _NEVER  # there was no more to be had
    used_at: float = _NEVER
    back_eur: float = 0.0  # to be given back
    back_tokens: int = 0
    without_eur: float = 0.0  # spent while the database was away, of what nobody lent
    without_tokens: int = 0
    _time: int = 0

    def has(self, now: float, *, eur: float, tokens: int, priced: bool) -> bool:
        """Whether a call may begin on what is held: all that it may need, or the last of it when no more is to be had.

        Of a call that costs nothing no money is asked.
        """
        if now >= self.own_until:
            return False
        dry = now < self.dry_until
        if self.budget.eur is not None and priced and (self.eur <= 0 or (self.eur < eur and not dry)):
            return False
        return self.budget.tokens is None or (self.tokens > 0 and (self.tokens >= tokens or dry))

    def take(self, now: float, *, eur: float, tokens: int) -> Reserved:
        """What a call reserves: what it may need, as far as it is held."""
        self.used_at = now
        took_eur, took_tokens = min(eur, max(self.eur, 0.0)), min(tokens, max(self.tokens, 0))
        self.eur -= took_eur
        self.tokens -= took_tokens
        self.reserved_eur += took_eur
        self.reserved_tokens += took_tokens
        return took_eur, took_tokens, self._time

    def put(self, reserved: Reserved, eur: float, tokens: int) -> None:
        """A call has used so much: what it had reserved beyond that comes back, unless the slice is lost meanwhile."""
        took_eur, took_tokens, of_time = reserved
        if of_time != self._time:
            took_eur, took_tokens = 0.0, 0
        self.reserved_eur -= took_eur
        self.reserved_tokens -= took_tokens
        self.eur += took_eur - eur
        self.tokens += took_tokens - tokens

    def lacks(self, *, eur: float, tokens: int) -> tuple[float, int]:
        """How much more is to be leased for such a call, in euros and tokens; below nothing where none is."""
        by_eur = -1.0 if self.budget.eur is None or self.eur >= eur > 0 else max(eur - self.eur, 1e-9)
        by_tokens = -1 if self.budget.tokens is None or self.tokens >= tokens > 0 else max(tokens - self.tokens, 1)
        return by_eur, by_tokens

    def lend(self, now: float, asked: tuple[float, int], row: Slice) -> None:
        """The database's answer to what was `asked` at `now`."""
        eur, tokens, self.spent_eur, self.spent_tokens, self.lent, kept = row
        if not kept:
            self.lose()
        self.eur += eur
        self.tokens += tokens
        self.own_until = now + _OWN_S
        self.without_eur, self.without_tokens = 0.0, 0
        short = eur < asked[0] or tokens < asked[1]
        self.dry_until = time.monotonic() + _LOOK_S if short else _NEVER

    def keep(self, now: float, *, kept: bool) -> None:
        """Its time was prolonged at `now`, or it had run out."""
        if kept:
            self.own_until = now + _OWN_S
        else:
            self.lose()

    def lose(self) -> None:
        """Nothing is held any more, nor reserved. What was used beyond it is told by a settlement."""
        self.eur, self.tokens, self.own_until = 0.0, 0, _NEVER
        self.reserved_eur, self.reserved_tokens = 0.0, 0
        self.back_eur, self.back_tokens = 0.0, 0
        self._time += 1

    def give_back(self) -> None:
        """Nothing of what is left is spent any more; the keeper tells the database."""
        self.back_eur += max(self.eur, 0.0)
        self.back_tokens += max(self.tokens, 0)
        self.eur, self.tokens = min(self.eur, 0.0), min(self.tokens, 0)

    def beyond(self) -> tuple[float, int]:
        """What was used beyond all that was lent: the settlement that tells of it makes up for it."""
        return max(0.0, -self.eur - self.reserved_eur), max(0, -self.tokens - self.reserved_tokens)

    def low(self) -> bool:
        """Whether more should be asked for before it is all taken."""
        by_eur = self.budget.eur is not None and self.eur < self.budget.eur / 64
        return by_eur or (self.budget.tokens is not None and self.tokens < self.budget.tokens // 64)

    def without(self, *, eur: float, tokens: int, priced: bool) -> bool:
        """Whether the call may begin on nothing, because nobody can be asked. Counts it if so."""
        if self._known_spent(priced=priced):
            return False
        of_eur, of_tokens = self.budget.eur, self.budget.tokens
        if of_eur is not None and priced and self.without_eur >= of_eur / _SHARE_WITHOUT:
            return False
        if of_tokens is not None and self.without_tokens >= of_tokens / _SHARE_WITHOUT:
            return False
        self.without_eur += eur
        self.without_tokens += tokens
        return True

    def _known_spent(self, *, priced: bool) -> bool:
        of_eur, of_tokens = self.budget.eur, self.budget.tokens
        return (of_eur is not None and priced and self.spent_eur >= of_eur) or (
            of_tokens is not None and self.spent_tokens >= of_tokens
        )

    def refusal(self, *, away: bool = False) -> BudgetSpent:
        """Which budget it is, what was used of it, when it renews, whom to ask."""
        budget = self.budget
        whom = "the tenant" if budget.scope == "tenant" else f"{budget.scope} {self.whose}"
        renews = None if self.until == float("inf") else datetime.fromtimestamp(self.until, UTC).isoformat()
        facts: dict[str, object] = {
            "budget": budget.id,
            "scope": budget.scope,
            "subject": self.whose,
            "period": budget.period,
            "renews_at": renews,
        }
        if budget.eur is not None:
            facts |= {"used_eur": round(self.spent_eur, 6), "limit_eur": budget.eur}
        if budget.tokens is not None:
            facts |= {"used_tokens": self.spent_tokens, "limit_tokens": budget.tokens}
        if budget.contact:
            facts["contact"] = budget.contact
        ask = budget.contact or "an administrator of the tenant"
        step = f"Ask {ask} for more" + (f", or wait until {renews}." if renews else ".")
        if self._known_spent(priced=True):
            message = f"The budget of {whom} for this {budget.period} is spent."
            if budget.period == "total":
                message = f"The budget of {whom} is spent."
        else:
            facts["retry_after_s"] = 2
            message = f"What is left of the budget of {whom} is held by calls that still run or have just ended."
            if away:
                message = f"The budget of {whom} cannot be looked up while the database is away."
            step = f"Try again in a few seconds. {step}"
        return BudgetSpent(message, next_step=step, **facts)
