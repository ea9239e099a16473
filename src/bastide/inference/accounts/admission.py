"""An admission: what budgets and rates lent to one call, and what it used of that, told once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from bastide.inference.accounts.gates import KINDS, Gate
from bastide.inference.accounts.pots import Pot, Reserved
from bastide.inference.accounts.settling import Ledger
from bastide.inference.accounts.values import Keeps, Left
from bastide.inference.values import Usage
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


class Admission:
    """What a call may take. `settle` it when it is over; `hand_on` when it is made, and settled, elsewhere."""

    __slots__ = ("_ledger", "_over", "_price", "_purse", "_taken", "_tokens", "bounded", "keeps")

    def __init__(
        self, ledger: Ledger, purse: Purse, price: Price | None, tokens: int, taken: tuple[Reserved, ...] = ()
    ) -> None:
        """`taken` stands beside the purse's hard pots: what was reserved of each.

        `keeps`: whether and how long the answer is kept; `bounded`: whether a rate bounds such calls.
        """
        self._ledger = ledger
        self._purse = purse
        self._price = price or _UNKNOWN
        self._tokens = tokens
        self._taken = taken
        self._over = False
        self.keeps = purse.keeps
        self.bounded = bool(purse.gates)
        ledger.running += 1

    def left(self) -> dict[str, Left]:
        """What is left of the narrowest rate of requests and of tokens, by `requests` and `tokens`."""
        found: dict[str, Left] = {}
        now = time.monotonic()
        for gate in self._purse.gates:
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
        purse, tokens = self._purse, usage.input + usage.output
        eur = 0.0 if cost_eur is None else cost_eur
        if purse.bounded:
            for pot, reserved in zip(purse.hard, self._taken, strict=False):
                pot.put(reserved, eur, tokens)
            for gate in purse.gates:
                gate.put(self._tokens, tokens)
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
        for pot, reserved in zip(self._purse.hard, self._taken, strict=False):
            pot.put(reserved, 0.0, 0)
        for gate in self._purse.gates:
            gate.put(self._tokens, 0)


def guessed_eur(price: Price | None, tokens: int) -> float:
    """What a call of so many tokens may cost, before it is made: as if all of them were of the dearer kind."""
    if price is None or price.input is None or price.output is None:
        return 0.0
    return tokens * max(price.input, price.output) / 1e6


def costs(price: Price | None) -> bool:
    """Whether a call may cost something: it does unless its price is known to be nothing."""
    return price is None or price.input is None or price.output is None or price.input > 0 or price.output > 0
