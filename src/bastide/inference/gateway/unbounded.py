"""Accounts that bound nothing: for a house in which nobody has set a budget."""

from __future__ import annotations

from bastide.inference.values import Usage
from bastide.policy import Price
from bastide.store import Scope


class Unbounded:
    """Admits every call."""

    def admit(self, scope: Scope, model: str, *, tokens: int, price: Price | None) -> Unbounded:
        """Itself: there is nothing to lend."""
        return self

    def settle(self, usage: Usage, *, cost_eur: float | None, outcome: str, endpoint: str) -> None:
        """Nothing is kept."""
