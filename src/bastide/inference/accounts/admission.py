"""An admission: what budgets and rates lent to one call, and what it used of that, told once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from bastide.inference.accounts.gates import KINDS, Gate
from bastide.inference.accounts.pots import Pot, Reserved
from bastide.inference.accounts.settling import Ledger
from bastide.inference.accounts.values import Keeps, Left
from bastide.inference.values import Units, Usage
from bastide.policy import Price

_UNKNOWN: Final = Price()


@dataclass(frozen=True, slots=True)
class Purse:
    """What bounds one caller's calls of one model, found once: pots that stop, pots that only count, gates."""

    app: str
    user: str
    department: str
    model: str
    hard: tuple[Pot, ...]
    soft: tuple[Pot, ...]
    gates: tuple[Gate, ...]
    keeps: Keeps | None  # whether answers of the model are kept
    until: float  # seconds since 1970: when the first period of a pot ends
    bounded: bool  # whether anything may refuse a call
    of_models: bool  # whether anything at all is for a model: whoever answers under another name has a purse of its own
    counts: bool  # whether usage goes by it


class Admission:
    """What a call may take. `settle` it when it is over; `hand_on` when it is made, and settled, elsewhere."""

    __slots__ = ("_ledger", "_over", "_price", "_taken", "_tokens", "purse")

    def __init__(
        self, ledger: Ledger, purse: Purse, price: Price | None, tokens: int, taken: tuple[Reserved, ...] = ()
    ) -> None:
        """`taken` stands beside the purse's hard pots: what was reserved of each."""
        self._ledger = ledger
        self.purse = purse
        self._price = price or _UNKNOWN
        self._tokens = tokens
        self._taken = taken
        self._over = False
        ledger.running += 1

    def left(self) -> dict[str, Left]:
        """What is left of the narrowest rate of requests and of tokens, by `requests` and `tokens`."""
        found: dict[str, Left] = {}
        now = time.monotonic()
        for gate in self.purse.gates:
            for kind, left in zip(KINDS, gate.left(now), strict=True):
                if left is not None and (kind not in found or left[1] < found[kind][1]):
                    found[kind] = left
        return found

    def settle(self, usage: Usage, *, cost_eur: float | None, outcome: str, endpoint: str) -> None:
        """What the call used and cost, once; a second time is nothing. Without a known price it is None."""
        if self._over:
            return
        self._over = True
        self._ledger.running -= 1
        purse, tokens = self.purse, usage.input + usage.output
        eur = 0.0 if cost_eur is None else cost_eur
        if purse.bounded:
            for pot, reserved in zip(purse.hard, self._taken, strict=False):
                pot.put(reserved, eur, tokens)
            for gate in purse.gates:
                gate.put(self._tokens, tokens)
        if purse.counts:
            self._ledger.note(purse, usage, eur=cost_eur, outcome=outcome, endpoint=endpoint, now=time.time())
        if tokens or eur:
            for pot in (*purse.hard, *purse.soft):
                self._ledger.draw(pot, eur, tokens)

    def hand_on(self) -> None:
        """The call is made by a part of the house that keeps its own account of it: what was lent comes back."""
        if self._over:
            return
        self._over = True
        self._ledger.running -= 1
        for pot, reserved in zip(self.purse.hard, self._taken, strict=False):
            pot.put(reserved, 0.0, 0)
        for gate in self.purse.gates:
            gate.put(self._tokens, 0)

    def unasked(self) -> None:
        """Nobody was asked after all: what was lent comes back, and no rate counts a request, settled or not."""
        self.hand_on()
        for gate in self.purse.gates:
            gate.requests += 1


def guessed_eur(price: Price | None, tokens: int, units: Units | None = None) -> float:
    """What a call of so many tokens may cost, before it is made: as if all of them were of the dearer kind.

    One of sound or pictures is paid by tokens or by units: it may be the dearer of them.
    """
    if price is not None and units is not None:
        return max(guessed_eur(price, tokens), units_eur(price, units) or 0.0)
    if price is None or price.input is None or price.output is None:
        return 0.0
    return tokens * max(price.input, price.output) / 1e6


def costs(price: Price | None, units: Units | None = None) -> bool:
    """Whether a call may cost something: it does unless its price is known to be nothing."""
    if price is not None and units is not None:
        paid = (price.input, price.output, price.picture, price.minute, price.characters)
        return any(paid) or all(one is None for one in paid) or units_eur(price, units) is None
    return price is None or price.input is None or price.output is None or price.input > 0 or price.output > 0


def units_eur(price: Price, units: Units) -> float | None:
    """What these cost; None where the price of one of them is not known."""
    return price.of_units((units.pictures, units.seconds, units.characters))


def cost_eur(price: Price, usage: Usage) -> float | None:
    """What a call has cost; None where that is not known."""
    units = usage.units
    counted = None if units is None else (units.pictures, units.seconds, units.characters)
    return price.cost(usage.input, usage.output, counted)
