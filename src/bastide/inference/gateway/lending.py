"""Lending: budgets and rates of a model bind whoever came to it by another name: they are asked before the model is.

What is at hand lends at once; what must be leased is waited for in a task, while attempts that are out go on. One that
has nothing left is passed over like a server that is paced, and told of only where no other answers.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from bastide.errors import BastideError, BudgetSpent, RateLimited
from bastide.inference.gateway.asking import Asking, tokens_guessed
from bastide.inference.gateway.behind import Admission, Behind
from bastide.inference.gateway.holding import held_back
from bastide.inference.gateway.refusing import of_ours
from bastide.inference.gateway.targets import Target, Way
from bastide.policy import Decision
from bastide.store import Scope


class Asker(Protocol):
    """The call that asks."""

    gateway: Behind
    scope: Scope
    asking: Asking
    data: bytes
    left: list[tuple[Target, Decision]]
    lending: bool  # while something is leased for it

    @property
    def answered(self) -> bool: ...
    def ask(self, target: Target, way: Way, share: Admission | None, *, hedge: bool) -> None: ...
    def next_or(self, fault: BastideError, *, hedge: bool) -> None: ...
    def behind(self, work: Coroutine[Any, Any, None]) -> None: ...


def lend(call: Asker, target: Target, way: Way, *, hedge: bool) -> None:
    """Ask a target whose own budgets lend what the attempt may take, else the next one."""
    tokens = tokens_guessed(call.data, call.asking.body)
    try:
        share = call.gateway.accounts.admit(call.scope, target.model.name, tokens=tokens, price=target.price, own=True)
    except (BudgetSpent, RateLimited) as spent:
        _spent(call, target, spent, hedge=hedge)
        return
    if share is None:
        call.lending = True
        call.behind(_leased(call, target, way, tokens, hedge=hedge))
    else:
        _lent(call, target, way, share, hedge=hedge)


async def _leased(call: Asker, target: Target, way: Way, tokens: int, *, hedge: bool) -> None:
    try:
        share = await call.gateway.accounts.admitted(
            call.scope, target.model.name, tokens=tokens, price=target.price, own=True
        )
    except BastideError as fault:
        call.lending = False
        if not call.answered:
            _spent(call, target, fault, hedge=hedge)
        return
    call.lending = False
    if call.answered:
        share.unasked()
        call.left.insert(0, (target, way.decision))  # what has begun may yet turn out to be no answer
        return
    try:
        _lent(call, target, way, share, hedge=hedge)
    except Exception as fault:  # a hedge that cannot be sent leaves the first alone
        call.next_or(of_ours(fault), hedge=hedge)


def _lent(call: Asker, target: Target, way: Way, share: Admission, *, hedge: bool) -> None:
    held = held_back(target, call.asking, len(call.data))
    if held is None:
        call.ask(target, way, share, hedge=hedge)
    else:
        share.unasked()
        call.next_or(held, hedge=hedge)


def _spent(call: Asker, target: Target, fault: BastideError, *, hedge: bool) -> None:
    fault.facts.setdefault("model", target.model.name)
    call.next_or(fault, hedge=hedge)
