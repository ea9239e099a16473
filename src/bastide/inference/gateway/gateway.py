"""The gateway: every call of a model that comes over a wire, behind one law, at the speed of the wire."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from bastide import telemetry
from bastide.audit import Journal
from bastide.egress import Egress, Line, Patience
from bastide.errors import BastideError, PinMismatch
from bastide.inference.calls import Calls, pin_of
from bastide.inference.gateway.asking import Asking, read
from bastide.inference.gateway.behind import Accounts
from bastide.inference.gateway.by_file import ByFile
from bastide.inference.gateway.caching import Cache
from bastide.inference.gateway.call import Running
from bastide.inference.gateway.counting import tokens_likely
from bastide.inference.gateway.planning import Plans
from bastide.inference.gateway.recording import Recording
from bastide.inference.gateway.targets import Group, Read, Target, View, Views
from bastide.inference.gateway.values import CAPABILITIES, Sink
from bastide.inference.looking import RAISED
from bastide.inference.pacing import limits_of
from bastide.inference.registry import Known
from bastide.inference.values import Embedded
from bastide.policy import Decision, Label, Policy, personal_kind, personal_kinds_in
from bastide.settings import InferenceSettings
from bastide.store import Presence, Scope

_FRESH_S: Final = 2.0
_STREAM_TIMES: Final = 10  # a stream may take this many times as long as a whole answer: it shows that it lives
_TALLY_S: Final = 1.0
_LABELS_MAX: Final = 4096


class Here(Protocol):
    """How models of this process answer."""

    async def __call__(
        self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink, request_id: str
    ) -> None: ...
    async def embed(self, scope: Scope, texts: list[str], *, label: Label) -> Embedded: ...


class Gateway:
    """Takes calls as bytes and gives answers as bytes. One a process, used in one event loop."""

    def __init__(
        self,
        policy: Policy,
        egress: Egress,
        calls: Calls,
        journal: Journal,
        accounts: Accounts,
        settings: InferenceSettings,
        presence: Presence,
        read: Read,
        here: Here,
    ) -> None:
        """`read` gives a tenant's models and routes; `here` answers for models of this process."""
        self.policy = policy
        self.accounts = accounts
        self.recording = Recording(journal)
        self.cache = Cache(self.recording, here.embed)
        self.views = Views(
            read,
            calls.price,
            lambda model: limits_of(policy, model),
            calls.paces,
            presence=presence,
            fresh_s=_FRESH_S,
            stale_s=settings.stale_s,
        )
        self.by_file = ByFile(policy, egress, calls, self.recording, self.found_in)
        self.plans = Plans(policy, self.views.known, self._joined, self.found_in)
        self._here = here
        self._egress = egress
        self._calls = calls
        whole = settings.timeout_s
        self._patience = Patience(first_s=whole, idle_s=whole, total_s=whole)
        self._patience_of_streams = Patience(first_s=whole, idle_s=whole, total_s=whole * _STREAM_TIMES)
        self._labels: dict[tuple[int, int, str], tuple[Label, Label | None, Label]] = {}
        self._refreshing: dict[str, asyncio.Task[object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tallies: dict[tuple[str, str], int] = {}
        self._teller: asyncio.TimerHandle | None = None

    def begin(
        self, scope: Scope, label: Label, wire: str, body: bytes, sink: Sink, *, request_id: str, betas: bytes = b""
    ) -> Running:
        """Begin a call of `wire` (chat, responses, messages, completions, embeddings); its answer goes to `sink`.

        `betas` are the features that a client of Anthropic's names beside its body. The sink may be told before this
        returns. Nothing is raised: a refusal is an answer.
        """
        call = Running(self, scope, label, wire, body, sink, request_id, betas)
        call.start()
        return call

    async def count(self, scope: Scope, wire: str, body: bytes) -> int:
        """How many tokens a request of `wire` is likely to have; nobody is asked.

        Raises BadChat, UnknownModel, WrongCapability.
        """
        scope.need("model:use")
        asking = read(wire, body)
        (await self.fetch(scope)).group_for(scope, CAPABILITIES[wire], asking.model)
        return tokens_likely(asking.body)

    def forget(self, tenant: str) -> None:
        """The models or routes of a tenant have changed."""
        self.views.forget(tenant)

    async def stop(self) -> None:
        """End what runs behind the calls."""
        if self._teller is not None:
            self._teller.cancel()
            self._tell()
        await self.views.stop()
        for task in (*self._refreshing.values(), *self._tasks):
            task.cancel()
        await asyncio.gather(*self._refreshing.values(), *self._tasks, return_exceptions=True)

    # -- what calls ask -----------------------------------------------------------------------------

    def law_at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's policy and budgets can be asked; what is not fresh is read anew behind the caller."""
        if not self.accounts.at_hand(scope):
            return False
        if self.policy.ready(scope):
            return True
        if not self.policy.at_hand(scope):
            return False
        if scope.tenant not in self._refreshing:
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._refresh(scope))
            self._refreshing[scope.tenant] = task
            task.add_done_callback(lambda _: self._refreshing.pop(scope.tenant, None))
        return True

    async def _refresh(self, scope: Scope) -> None:
        try:
            await self.policy.refresh(scope)
        except BastideError as fault:
            telemetry.log.warning("a tenant's policy could not be read: %s", fault.code)

    async def fetch(self, scope: Scope) -> View:
        """Whatever a call needs that was not at hand."""
        view = self.views.at_hand(scope) or await self.views.read(scope)
        await self.policy.refresh(scope)
        await self.accounts.fetch(scope)
        return view

    def _joined(self, caller: Label, declared: Label | None, kind: str) -> Label:
        """The label of a request: of its caller, of its parts, and of what was found in it."""
        place = (id(caller), id(declared), kind)
        known = self._labels.get(place)
        if known is not None and known[0] is caller and known[1] is declared:
            return known[2]
        joined = caller if declared is None else caller.join(declared)
        if kind:
            joined = joined.join(Label(personal=kind))
        if len(self._labels) >= _LABELS_MAX:
            self._labels.clear()
        self._labels[place] = (caller, declared, joined)
        return joined

    def found_in(self, caller: Label, body: bytes) -> str:
        """The kind of personal data that a body holds; "" where none is found, or what is would add nothing."""
        if caller.personal not in RAISED:
            return ""
        kind = personal_kind(body)
        return "" if kind == "none" else kind

    def open_line(self, decision: Decision) -> Line:
        """The line that a decision is worth."""
        return self._egress.line(self._calls.permit(decision, self._egress))

    def pin(self, target: Target) -> str:
        """The upstream that a router must stay with for this target, as its record says; "" for any other server."""
        return pin_of(self.policy, target.model)

    def patience(self, stream: bool) -> Patience:
        """How long an answer may take."""
        return self._patience_of_streams if stream else self._patience

    async def refuse(self, scope: Scope, group: Group, label: Label, capability: str, data: bytes) -> None:
        """Raises NoPermittedModel, recorded, with the nearest alternative and what was found in the request."""

        async def others() -> list[Known]:
            everyone = (await self.fetch(scope)).group_for(scope, capability, None)
            return [Known(one.model, one.key) for one in everyone.targets if scope.may_name(one.model.name)]

        candidates = [Known(one.model, one.key) for one in group.targets]
        try:
            await self._calls.choose(scope, candidates, label, capability=capability, others=others)
        except BastideError as fault:
            if "personal" in label.kinds and (found := await asyncio.to_thread(personal_kinds_in, data)):
                fault.message += f" Personal data was found in the request ({', '.join(found)})."
                fault.facts["found"] = list(found)
            raise
        raise AssertionError("what the table refuses is refused")

    def contradicted(self, target: Target, fault: PinMismatch) -> None:
        """An endpoint is not the one that its record describes (R15)."""
        task = asyncio.get_running_loop().create_task(self.policy.contradict(target.endpoint.record_id, fault.message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answer_here(
        self, scope: Scope, label: Label, asking: Asking, target: Target, sink: Sink, request_id: str
    ) -> None:
        """Let a model of this process answer."""
        await self._here(scope, label, asking, target, sink, request_id)

    def tally(self, place: str, outcome: str) -> None:
        """Count a call; what was counted is told once a second."""
        key = (place, outcome)
        self._tallies[key] = self._tallies.get(key, 0) + 1
        if self._teller is None:
            self._teller = asyncio.get_running_loop().call_later(_TALLY_S, self._tell)

    def _tell(self) -> None:
        self._teller = None
        tallies, self._tallies = self._tallies, {}
        for (place, outcome), times in tallies.items():
            telemetry.count("model_calls", times, place=place, outcome=outcome)
