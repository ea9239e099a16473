"""An attempt: one target that is asked, and its receipt, whether it answers or not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, Protocol

from bastide.audit import CallFacts, Entry
from bastide.egress import Exchange, TlsEvidence
from bastide.errors import BastideError, BrokenReply, StreamBroken
from bastide.inference.gateway.asking import Asking, encode
from bastide.inference.gateway.behind import Admission, Behind
from bastide.inference.gateway.betas import with_betas
from bastide.inference.gateway.holding import asks_to_wait
from bastide.inference.gateway.opening import only_opens
from bastide.inference.gateway.pseudonyms import Hidden
from bastide.inference.gateway.refusing import of_ours
from bastide.inference.gateway.relaying import Relay, relay_for
from bastide.inference.gateway.targets import Target, Way
from bastide.inference.gateway.turning_back import TurnedBack
from bastide.inference.gateway.values import Headers, Sink
from bastide.inference.upstream_faults import fault_of
from bastide.inference.values import UNUSED, Usage
from bastide.policy import Decision
from bastide.store import Scope

_EXPECTED: Final = Usage(estimated=True)  # of a call that runs
_FAULT_BYTES_MAX: Final = 64 * 1024


class Caller(Protocol):
    """The call that an attempt is of."""

    gateway: Behind
    scope: Scope
    sink: Sink
    asking: Asking
    data: bytes
    betas: bytes
    hidden: Hidden | None
    refused: tuple[Decision, ...]
    left: list[tuple[Target, Decision]]  # who may be asked instead

    def won(self, attempt: Attempt) -> bool: ...
    def lost(self, attempt: Attempt, fault: BastideError) -> None: ...
    def used(self, target: Target, usage: Usage) -> None: ...
    def ended(self) -> None: ...
    def broke_off(self, fault: BastideError) -> None: ...


class Attempt:
    """One target that is asked. It listens to its line, and its receipt says what came of it."""

    __slots__ = (
        "_body",
        "_call",
        "_hidden",
        "_opening",
        "_relay",
        "_started",
        "_status",
        "_unusable",
        "_upstream_headers",
        "_way",
        "decision",
        "entry",
        "exchange",
        "over",
        "share",
        "target",
        "tls",
    )

    def __init__(self, call: Caller, target: Target, way: Way, share: Admission | None) -> None:
        """`share` is what the target's own budgets lent, where the call has another name."""
        self._call = call
        self.target = target
        self.share = share
        self.decision = way.decision
        self._way = way
        self._hidden = call.hidden if call.hidden is not None and call.hidden.wanted_by(target) else None
        self.over = False
        self.tls: TlsEvidence | None = None
        self.exchange: Exchange | None = None
        self.entry: Entry = call.gateway.recording.begin(call.scope, self.promised)
        self._started = self.entry.started
        self._status = 0
        self._unusable = ""  # why what came with status 200 is no answer
        self._body = b""  # of an answer that is none
        self._opening = b""  # of a stream: what was kept back because it says nothing yet

    def promised(self) -> CallFacts:
        """What is known of it while it runs."""
        recording, model = self._call.gateway.recording, self.target.model.name
        said = recording.said(self.decision, self._call.refused)
        return recording.facts(said, model, _EXPECTED, started=self._started, pseudonymised=self._kinds)

    @property
    def _kinds(self) -> tuple[str, ...]:
        """The kinds of what is sent under pseudonyms."""
        return () if self._hidden is None else self._hidden.kinds

    def send(self) -> None:
        """Ask."""
        call, target, way = self._call, self.target, self._way
        asking: Asking = call.asking
        self._relay: Relay = relay_for(asking, way.wire, target.model.name)
        if self._hidden is not None:
            self._relay = TurnedBack(self._relay, asking, self._hidden)
        adapter = target.adapter
        assert adapter is not None, "asked over a wire"
        body = adapter.prepared(self._relay.request(asking, target.model.upstream), way.wire, way.pin)
        data = encode(body)
        self.entry.input(call.data)
        head = way.head
        if call.betas and way.wire == "messages" == asking.wire:
            head = with_betas(head, call.betas)
        self.exchange = way.line.send(head, data, self, way.patience)

    # -- what the line tells ------------------------------------------------------------------------

    def on_head(self, status: int, headers: Mapping[str, str], evidence: TlsEvidence) -> None:
        """An answer begins."""
        self.tls = evidence
        self._status = status
        self._upstream_headers = headers
        if status == 200:
            self.target.took(time.time() - self._started)
            if self._call.won(self):
                self._relay = self._relay.begins(headers.get("content-type", ""))

    def on_piece(self, piece: bytes) -> None:
        """Some of it."""
        if self.over:
            return
        if self._status != 200:
            if len(self._body) < _FAULT_BYTES_MAX:
                self._body += piece
            return
        try:
            out = self._relay.feed(piece)
        except Exception as fault:
            self._broken(of_ours(fault))
            return
        if out:
            self._pass_on(out)
        if self._relay.fault is not None:
            self._broken(self._relay.fault)

    def on_end(self) -> None:
        """All of it."""
        if self.over:
            return
        if self._status != 200:
            self._no_answer(fault_of(self._status, self._upstream_headers, self._body, self.target.key))
            return
        try:
            out = self._relay.end()
        except Exception as fault:
            self._broken(of_ours(fault))
            return
        if out:
            self._pass_on(out)
        if self._relay.fault is not None:
            self._broken(self._relay.fault)
            return
        if self._opening:
            self._begin(self._opening)
        self._close("done")
        self._call.ended()

    def on_fault(self, fault: BastideError) -> None:
        """There is no answer, or no more of it."""
        if self.over:
            return
        if self._relay.begun:
            self._broken(fault if not isinstance(fault, BrokenReply) else StreamBroken())
        else:
            self._no_answer(fault)

    # -- what becomes of it -------------------------------------------------------------------------

    def _pass_on(self, out: bytes) -> None:
        if self._relay.begun:
            self.entry.output(out)
            self._call.sink.on_piece(out)
        elif self._call.asking.stream and self._call.left:
            self._opening += out
            if not only_opens(self._call.asking.wire, self._opening):
                self._begin(self._opening)
        else:
            self._begin(self._opening + out)

    def _begin(self, out: bytes) -> None:
        """From here on no other target can answer."""
        self._relay.begun, self._opening = True, b""
        headers: Headers = [self._relay.media_type, (b"x-bastide-receipt", self.entry.id.encode())]
        self._call.sink.on_head(200, headers)
        self.entry.output(out)
        self._call.sink.on_piece(out)

    def _no_answer(self, fault: BastideError) -> None:
        self.target.failed(time.monotonic())
        fault.facts.setdefault("model", self.target.model.name)
        asks_to_wait(self.target, fault)
        self._close("failed")
        self._call.lost(self, fault)

    def _broken(self, fault: BastideError) -> None:
        if self.exchange is not None:
            self.exchange.cancel()
        if not self._relay.begun:
            self._unusable = fault.code
            self._no_answer(fault)
            return
        self.target.failed(time.monotonic())
        fault.facts.setdefault("model", self.target.model.name)
        self._close("failed")
        self._call.broke_off(fault)

    def give_up(self, outcome: str) -> None:
        """Nobody wants this answer any more."""
        if self.over:
            return
        if self.exchange is not None:
            self.exchange.cancel()
        self._close(outcome)

    def _close(self, outcome: str) -> None:
        self.over = True
        given = self._status == 200 and not self._unusable
        usage = self._relay.usage(self._call.data) if given else UNUSED
        self._call.used(self.target, usage)
        if self.share is not None:
            place, cost = self.target.endpoint.id, self.target.cost(usage)
            self.share.settle(usage, cost_eur=cost, outcome=outcome, endpoint=place)
        decision, model, gateway = self.decision, self.target.model.name, self._call.gateway
        said = gateway.recording.said(decision, self._call.refused)
        facts = gateway.recording.facts(
            said,
            model,
            usage,
            started=self._started,
            tls=self.tls,
            pseudonymised=self._kinds,
            unusable=self._unusable,
        )
        self.entry.close(facts, outcome=outcome, resource=model, subjects=said.subjects)
        gateway.tally(decision.endpoint.kind, outcome)
