"""A call while it runs: from its bytes to the last byte of its answer.

    1. the body is read, the label found        4. a budget admits it
    2. the tenant's targets are at hand         5. the best target is asked, and the next one where it fails
    3. policy says which of them may            6. its answer is passed on, and recorded whatever came of it

All of it runs in the event loop without waiting, except where something is not at hand: then a task fetches it, and
the call goes on from there. What a target was sent is on record, whether it answered or not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from bastide import telemetry
from bastide.errors import (
    BadChat,
    BastideError,
    BrokenReply,
    BudgetSpent,
    PermitRefused,
    PinMismatch,
    RateLimited,
    WrongCapability,
)
from bastide.inference.gateway.asking import read, tokens_guessed
from bastide.inference.gateway.attempt import Attempt
from bastide.inference.gateway.behind import Admission, Behind
from bastide.inference.gateway.caching import Answer, Copying
from bastide.inference.gateway.holding import another_may_answer, held_back, worth_telling
from bastide.inference.gateway.lending import lend
from bastide.inference.gateway.limits import Limited
from bastide.inference.gateway.planning import Plan
from bastide.inference.gateway.pseudonyms import Hidden
from bastide.inference.gateway.refusing import last_event, of_ours, refusal
from bastide.inference.gateway.targets import Target, View, Way
from bastide.inference.gateway.values import CAPABILITIES, Sink
from bastide.inference.values import UNUSED, Usage
from bastide.policy import Decision, Label, Price
from bastide.store import Scope

_AT_ONCE_S = 5.0  # a connection that breaks later had somebody at work on the request


class Running:
    """One call. `cancel`, `pause` and `resume` are for the door; the rest goes its own way to the sink."""

    __slots__ = (
        "_admission", "_attempts", "_copy", "_cost", "_fault", "_first", "_found", "_full", "_group", "_label",
        "_over", "_task", "_timer", "_usage", "_winner", "asking", "betas", "data", "gateway", "hidden", "left",
        "lending", "refused", "request_id", "scope", "sink", "wire",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Behind,
        scope: Scope,
        label: Label,
        wire: str,
        data: bytes,
        sink: Sink,
        request_id: str,
        betas: bytes,
    ) -> None:
        self.gateway = gateway
        self.scope = scope
        self.wire = wire
        self.sink = sink
        self.request_id = request_id
        self.betas = betas
        self._label = label
        self.data = data
        self.hidden: Hidden | None = None
        self.refused: tuple[Decision, ...] = ()
        self._over = self._full = self.lending = False
        self._attempts: list[Attempt] = []
        self._winner: Attempt | None = None
        self._first: Target | None = None  # whom all others stand for
        self._fault: BastideError | None = None  # why nobody has answered yet
        self._admission: Admission | None = None
        self._usage = UNUSED
        self._cost: float | None = 0.0
        self._copy: Copying | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- what the door asks -------------------------------------------------------------------------

    def cancel(self) -> None:
        """The client is gone: whatever runs is stopped, and what was seen of it is recorded and billed."""
        if self._task is not None:  # it may be a model of this process that answers, after all else is over
            self._task.cancel()
        if not self._over:
            self._over = True
            self._stop(outcome="aborted")

    def pause(self) -> None:
        """The client reads more slowly than the server writes, or does not even read what came before."""
        self._full = True
        if self._winner is not None and self._winner.exchange is not None:
            self._winner.exchange.pause()

    def resume(self) -> None:
        """The client reads on."""
        self._full = False
        if self._winner is not None and self._winner.exchange is not None:
            self._winner.exchange.resume()

    # -- beginning ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; a refusal goes to the sink like any answer."""
        try:
            self.scope.need("model:use")
            asking = self.asking = read(self.wire, self.data)
            found = self._found = self.gateway.found_in(self._label, self.data)
            plan = self.gateway.plans.at_hand(self.scope, self._label, asking, found)
            if plan is not None and self.gateway.accounts.at_hand(self.scope):
                self._go_by(plan)
                return
            view = self.gateway.views.at_hand(self.scope)
            if view is None or not self.gateway.law_at_hand(self.scope):
                self.behind(self._fetched())
            else:
                self._choose(view)
        except Exception as fault:  # whoever waits on a connection must be told something
            self._refuse(of_ours(fault))

    def behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on in a task, because something is not at hand; a fault there refuses the call."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._behind_is_done)

    def _behind_is_done(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, Exception):
            self._task = None  # its fault knows the call
            self._refuse(of_ours(fault))

    async def _fetched(self) -> None:
        view = await self.gateway.fetch(self.scope)
        if not self._over:
            self._choose(view)

    def _choose(self, view: View) -> None:
        self._go_by(self.gateway.plans.work_out(self.scope, self._label, self.asking, self._found, self.data, view))

    def _go_by(self, plan: Plan) -> None:
        """Ask the accounts, then a target."""
        self._group, self._label, self.left = plan.group, plan.label, plan.left()
        self.hidden, self.refused = plan.hidden, plan.refused
        if not self.left:
            self.behind(self.gateway.refuse(self.scope, plan.group, self._label, CAPABILITIES[self.wire], self.data))
            return
        model, price = self.asking.model or self.left[0][0].model.name, plan.price
        tokens, of = tokens_guessed(self.data, self.asking.body), None if self.asking.model else ()
        self._admission = self.gateway.accounts.admit(self.scope, model, tokens=tokens, price=price, of=of)
        if self._admission is None:
            self.behind(self._admitted(model, tokens, price, of))
        else:
            self._go(model)

    async def _admitted(self, model: str, tokens: int, price: Price, of: tuple[str, ...] | None) -> None:
        """A slice of a budget is leased first."""
        self._admission = await self.gateway.accounts.admitted(self.scope, model, tokens=tokens, price=price, of=of)
        if self._over:
            self._release("aborted")
        else:
            self._go(model)

    def _go(self, model: str) -> None:
        """A kept answer, or that of the best target."""
        cache, admission = self.gateway.cache, self._admission
        assert admission is not None, "admitted just now"
        purse = admission.purse
        if purse.gates:
            self.sink = Limited(self.sink, self.wire, admission)
        keeps = purse.keeps
        keys = None if keeps is None or self.betas else cache.keys(keeps, self, model, self._label, self.left[0][1])
        if keeps is None or keys is None:
            self._try_next()
        elif not self._given(cache.hit(keys.same, self.left, self._decided_for_keeping)):
            self.sink = self._copy = Copying(self.sink, keys, keeps)
            if keys.question:
                self.behind(self._alike(self._copy))
            else:
                self._try_next()

    async def _alike(self, copy: Copying) -> None:
        """The answer to a question that is much like this one, or that of the best target."""
        nearest = await self.gateway.cache.nearest(copy, self.scope, self._label)
        if not self._over and not self._given(self.gateway.cache.hit(nearest, self.left, self._decided_for_keeping)):
            self._try_next()

    def _given(self, found: tuple[Answer, Decision] | None) -> bool:
        if found is None:
            return False
        self._over = True
        self.gateway.cache.give(*found, self.scope, self.data, self.sink)
        if self._admission is not None:
            self._admission.settle(Usage(), cost_eur=0.0, outcome="cached", endpoint=found[0].endpoint)
        return True

    def _decided_for_keeping(self, target: Target) -> Decision | None:
        return self._decided_again(target, target, "cache")

    # -- asking a target ----------------------------------------------------------------------------

    def _try_next(self, *, hedge: bool = False) -> None:
        """Ask the best target that is left and can be asked now. Raises what no other target would change."""
        target, decision = self.left.pop(0)
        if self._first is None:
            self._first = target
        else:  # decided again, as what it is, for the endpoint that it stands for
            again = self._decided_again(target, self._first, "hedge" if hedge else "fallback")
            if again is None:
                self.next_or(self._fault or BrokenReply("No other model may receive these bytes."), hedge=hedge)
                return
            decision = again
        if target.adapter is None:
            if not hedge:
                self._here(target)
            return
        try:
            way = target.way(decision, self.wire, self.asking.stream, self.gateway)
        except (WrongCapability, PermitRefused) as no:
            self.next_or(no, hedge=hedge)
            return
        if self._admission.purse.of_models and target.model.name != self.asking.model:  # type: ignore[union-attr] # admitted
            lend(self, target, way, hedge=hedge)
            return
        held = held_back(target, self.asking, len(self.data))
        if held is not None:
            self.next_or(held, hedge=hedge)
        else:
            self.ask(target, way, None, hedge=hedge)

    def ask(self, target: Target, way: Way, share: Admission | None, *, hedge: bool) -> None:
        """Ask this target; `share` is what its own budgets lent where the call has another name."""
        attempt = Attempt(self, target, way, share)
        self._attempts.append(attempt)
        try:
            attempt.send()
        except BastideError as fault:
            if share is not None:
                share.unasked()
            attempt.give_up("failed")
            if not (self.left and isinstance(fault, BadChat | PermitRefused)):
                raise
            self._try_next(hedge=hedge)  # the format of this server has no word for it; another's may have
            return
        if self._group.hedge_s is not None and self.left and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._group.hedge_s, self._hedge)

    def _decided_again(self, target: Target, first: Target, attempt: str) -> Decision | None:
        place = self._group.targets.index(target)
        capability, original = CAPABILITIES[self.wire], first.endpoint.id
        table = self.gateway.policy.table(
            self.scope, self._group.endpoints, capability=capability, attempt=attempt, original=original
        )
        label = self.hidden.label if self.hidden and self.hidden.wanted_by(target) else self._label
        verdict = table.ruled(label, time.time()).verdicts[place]
        return verdict if verdict.allowed else None

    def _hedge(self) -> None:
        if self.answered or self.lending or not self.left:
            return
        try:
            self._try_next(hedge=True)
        except BastideError as fault:  # the first one is still out, and decides
            telemetry.log.debug("a hedge was not sent: %s", fault.code)

    def _here(self, target: Target) -> None:
        """A model of this process answers, by the way that such models have."""
        self._over = True
        if self._admission is not None:
            self._admission.hand_on()
        self._release("done")
        self._task = asyncio.get_running_loop().create_task(
            self.gateway.answer_here(self.scope, self._label, self.asking, target, self.sink, self.request_id)
        )

    @property
    def answered(self) -> bool:
        """Whether an answer has begun, or nobody waits for one any more."""
        return self._over or self._winner is not None

    # -- what attempts tell -------------------------------------------------------------------------

    def won(self, attempt: Attempt) -> bool:
        """This attempt has an answer; True if it is the first that has."""
        if self._over or self._winner is not None:
            return False
        self._winner = attempt
        if self._full and attempt.exchange is not None:
            attempt.exchange.pause()
        for other in self._attempts:
            if other is not attempt:
                other.give_up("aborted")
        return True

    def lost(self, attempt: Attempt, fault: BastideError) -> None:
        """This attempt has no answer: another is asked, or the client is told."""
        if self._over or (self._winner is not None and self._winner is not attempt):
            return
        self._winner = None  # what began as its answer was none, and nothing of it was passed on
        if isinstance(fault, PinMismatch):
            self.gateway.contradicted(attempt.target, fault)
        running = [one for one in self._attempts if one is not attempt and not one.over]
        if running or self.lending:  # a hedge of this one is still out
            self._fault = worth_telling(self._fault, fault)
            return
        exchange, at_once = attempt.exchange, time.time() - attempt.entry.started < _AT_ONCE_S
        if at_once and exchange and exchange.reused and exchange.unanswered and isinstance(fault, BrokenReply):
            self.left.insert(0, (attempt.target, attempt.decision))  # a kept connection had just been closed
            if attempt.share is not None:
                attempt.share.unasked()
        self.next_or(fault)

    def next_or(self, fault: BastideError, *, hedge: bool = False) -> None:
        elsewhere = another_may_answer(fault)
        self._fault = fault = worth_telling(self._fault, fault) if elsewhere else fault
        if self.left and elsewhere:
            try:
                self._try_next(hedge=hedge)
            except Exception as other:  # whoever waits on a connection must be told something
                self._refuse(of_ours(other))
        elif not self.lending and all(one.over for one in self._attempts):
            self._refuse(fault)

    def ended(self) -> None:
        """The answer is whole and was passed on."""
        self._over = True
        if self._copy is not None and (won := self._winner) is not None:
            self.gateway.cache.keep(self._copy, self.scope, won.decision, won.target.model.name, won.entry.id)
        self.sink.on_end()
        self._release("done")

    def broke_off(self, fault: BastideError) -> None:
        """The answer has begun and cannot go on: the client is told in its own format."""
        self._over = True
        self.sink.on_piece(last_event(self.wire, fault, self.request_id))
        self.sink.on_end()
        self._release("failed")

    # -- ending -------------------------------------------------------------------------------------

    def used(self, target: Target, usage: Usage) -> None:
        """What an attempt used counts against the budget; an attempt without an answer used nothing."""
        self._usage = usage if self._usage is UNUSED else self._usage.and_more(usage)
        cost = target.cost(usage)
        self._cost = None if self._cost is None or cost is None else self._cost + cost

    def _refuse(self, fault: BastideError) -> None:
        if self._over:
            return
        self._over = True
        status, headers, body = refusal(self.wire, fault, self.request_id)
        if self._attempts:
            headers.append((b"x-bastide-receipt", self._attempts[-1].entry.id.encode()))
        elif self._admission is not None and isinstance(fault, BudgetSpent | RateLimited):  # of all who may answer
            self._admission.unasked()
        self.sink.on_head(status, headers)
        self.sink.on_piece(body)
        self.sink.on_end()
        self._stop(outcome="failed")

    def _stop(self, outcome: str) -> None:
        for attempt in self._attempts:
            attempt.give_up(outcome)
        self._release(outcome)

    # What points in a circle is parted here: thousands of calls a second must not wait for the collector of circles.
    def _release(self, outcome: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._admission is not None:
            last = self._winner or (self._attempts[-1] if self._attempts else None)
            place = last.target.endpoint.id if last else ""
            self._admission.settle(self._usage, cost_eur=self._cost, outcome=outcome, endpoint=place)
        for attempt in self._attempts:
            attempt.exchange = None
        self._attempts.clear()
        self._winner = None
