"""What a call asks of the gateway, and of whoever keeps the accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bastide.egress import Line, Patience
from bastide.errors import PinMismatch
from bastide.inference.accounts import Left, Purse
from bastide.inference.gateway.asking import Asking
from bastide.inference.gateway.caching import Cache
from bastide.inference.gateway.planning import Plans
from bastide.inference.gateway.recording import Recording
from bastide.inference.gateway.targets import Group, Target, View, Views
from bastide.inference.gateway.values import Sink
from bastide.inference.values import Usage
from bastide.policy import Decision, Endpoint, Label, Policy, Price
from bastide.store import Scope


class Admission(Protocol):
    """What budgets lent to one call: `purse` is what bounds such calls."""

    @property
    def purse(self) -> Purse: ...

    def left(self) -> dict[str, Left]:
        """What is left of the narrowest rate of requests and of tokens, by `requests` and `tokens`."""

    def settle(self, usage: Usage, *, cost_eur: float | None, outcome: str, endpoint: str) -> None:
        """What it used, once."""

    def hand_on(self) -> None:
        """The call is made, and settled, by another part of the house."""

    def unasked(self) -> None:
        """Nobody was asked after all: nothing of it counts."""


class Accounts(Protocol):
    """Who says whether a call may be paid for."""

    def admit(
        self,
        scope: Scope,
        model: str,
        *,
        tokens: int,
        price: Price | None,
        of: tuple[str, ...] | None = None,
        own: bool = False,
    ) -> Admission | None:
        """Lend what a call may take; None where it is not at hand. `of` whose names budgets of models bind it, or which
        of them alone (`own`). Raises RateLimited or BudgetSpent."""

    async def admitted(
        self,
        scope: Scope,
        model: str,
        *,
        tokens: int,
        price: Price | None,
        of: tuple[str, ...] | None = None,
        own: bool = False,
    ) -> Admission:
        """The same, waiting for what is not at hand."""

    def priced(self, price_of: Callable[[Endpoint], Price]) -> Callable[[Endpoint], Price]:
        """The same prices in euros."""

    def at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's budgets are known."""

    async def fetch(self, scope: Scope) -> None:
        """Have them at hand. Raises DatabaseUnavailable."""


class Behind(Protocol):
    """What a call asks of the gateway."""

    accounts: Accounts
    policy: Policy
    recording: Recording
    cache: Cache
    views: Views
    plans: Plans

    def law_at_hand(self, scope: Scope) -> bool: ...
    def found_in(self, caller: Label, body: bytes) -> str: ...
    def open_line(self, decision: Decision) -> Line: ...
    def pin(self, target: Target) -> str: ...
    def patience(self, stream: bool) -> Patience: ...
    def contradicted(self, target: Target, fault: PinMismatch) -> None: ...
    def tally(self, place: str, outcome: str) -> None: ...
    async def fetch(self, scope: Scope) -> View: ...
    async def refuse(self, scope: Scope, group: Group, label: Label, capability: str, data: bytes) -> None: ...
    async def answer_here(
        self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink, request_id: str
    ) -> None: ...
