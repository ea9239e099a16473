"""A call to a model: decided before it, recorded after it, whatever came of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from msgspec import structs

from bastide import telemetry
from bastide.audit import Audit, CallFacts, Entry, JsonValue, ReceiptFacts
from bastide.egress import Egress, Permit, TlsEvidence
from bastide.errors import (
    BastideError,
    BudgetSpent,
    NoPermittedModel,
    PinMismatch,
    RateLimited,
    UnknownModel,
    UpstreamPaced,
)
from bastide.inference.accounts import Accounts, Admission, cost_eur
from bastide.inference.pacing import Paces, Sharing, limits_of
from bastide.inference.registry import Known
from bastide.inference.values import UNUSED, Model, Units, Usage
from bastide.policy import Decision, Endpoint, Label, Nearest, Policy, Price
from bastide.store import Scope, Store, new_id

_ANSWER_S = 10.0  # a database that is silent for longer is away
# Evidence words below a contract: what the provider merely says of itself.
_TURN_S = 15.0  # a decision outlives such a wait
_SELF_DECLARED = frozenset({"none", "self"})
_BYTES_A_TOKEN, _ANSWER_TOKENS = 4, 1024  # what a call is guessed to take before it is made
FREE = Price(0.0, 0.0, "EUR")
"""What a call of a model on our own machines costs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that was chosen, the decision that allows it, what was refused before it, and by which name."""

    known: Known
    decision: Decision
    rejected: tuple[Decision, ...] = ()
    named: str | None = None

    @property
    def model(self) -> Model:
        """The chosen model."""
        return self.known.model


@dataclass(slots=True)
class Call:
    """One call while it runs; what is set here goes into its receipt."""

    choice: Choice
    receipt: str
    input: bytes
    started: datetime
    admission: Admission
    output: bytes = b""
    usage: Usage = field(default_factory=Usage)
    tls: TlsEvidence | None = None
    entry: Entry | None = None
    """Of the journal, where the call does not wait for the log."""


class Calls:
    """Decides and records the calls of all tenants."""

    def __init__(self, store: Store, audit: Audit, policy: Policy, accounts: Accounts) -> None:
        self._accounts = accounts
        self._store = store
        self._audit = audit
        self._policy = policy
        self._recording: set[asyncio.Task[None]] = set()
        self._sharing = Sharing(store, new_id("prc"))
        self.paces = Paces(self._sharing)
        self._leave: Callable[[], None] = lambda: None

    def start(self, told: Callable[[str], None]) -> None:
        """Begin to share rates of endpoints with other processes; `told` hears which tenant's models they change."""
        self._sharing.start()
        self._leave = self._store.hearing.of_tenants("inference.models", told)

    async def stop(self) -> None:
        """Wait for the receipts of calls that were given up; give back what is held of rates."""
        await asyncio.gather(*self._recording, return_exceptions=True)
        self._leave()
        await self._sharing.stop()

    async def choose(
        self,
        scope: Scope,
        candidates: Sequence[Known],
        label: Label,
        *,
        capability: str,
        others: Callable[[], Awaitable[Sequence[Known]]],
        named: str | None = None,
    ) -> Choice:
        """The first candidate that may receive bytes with this label and whose own budgets and rates have room, or the
        first that may; `others` are asked for only in a refusal, `named` is the name that led to the candidates.

        Raises NoPermittedModel with the rules that refuse and the nearest alternative; the refusal is recorded.
        """
        choice, refused = await self._decided(scope, candidates, label, capability)
        if choice is not None:
            return choice if named is None else replace(choice, named=named)
        if not refused:
            raise UnknownModel(f"There is no model for {capability} here.")
        await self._record_refusal(scope, refused, capability)
        alternative = await self.permitted(scope, await others(), label, capability=capability)
        try:
            if alternative is not None:
                refused[0].permit(Nearest(alternative.endpoint_id, True))
            self._policy.choose(scope, label, [one.endpoint for one in refused], capability=capability)
        except NoPermittedModel as refusal:
            refusal.facts["rejected"] = rejected(refused)
            if alternative is not None:
                refusal.next_step = f"{alternative.name} may receive these bytes: name it as the model."
            raise
        raise AssertionError("a refused decision does not permit")

    async def permitted(
        self, scope: Scope, candidates: Sequence[Known], label: Label, *, capability: str
    ) -> Model | None:
        """The model that `choose` would choose, or None; nothing is recorded."""
        choice, _ = await self._decided(scope, candidates, label, capability)
        return choice.model if choice else None

    def permit(self, decision: Decision, egress: Egress) -> Permit:
        """The permit for the decision's endpoint, with the keys that its record pins."""
        pinned = self._policy.record(decision.endpoint.record_id).attributes.get("spki_sha256")
        return egress.permit(decision, pins=tuple(pinned.value) if pinned else ())

    def price(self, known: Known) -> Price:
        """What it costs, in euros where there is a rate: as its endpoint lists it, while that holds, else as its record
        says."""
        if known.model.local or known.model.built_in:
            return FREE
        listed = known.price
        if listed is not None and listed.expires_at is not None and listed.expires_at <= datetime.now(UTC):
            listed = None
        endpoint, recorded = endpoint_of(known.model), self._accounts.priced(self._policy.price)
        if listed is None:
            return recorded(endpoint)
        price = self._accounts.priced(lambda _: listed)(endpoint)  # of tokens: no list tells more
        return price.beside(recorded(endpoint)) if self._policy.price(endpoint).by_unit else price

    async def turn(self, scope: Scope, known: Known) -> None:
        """Wait until this model may be asked under its key. Raises UpstreamPaced where that is far off."""
        model = known.model
        if model.built_in:
            return
        pace = self.paces.of(scope, model, known.key, limits_of(self._policy, model).requests_per_minute)
        await self.paces.at_hand()
        while wait := pace.take(time.monotonic()):
            if wait > _TURN_S:
                raise UpstreamPaced(model=model.name, retry_after_s=math.ceil(wait))
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def made(
        self,
        scope: Scope,
        choice: Choice,
        sent: bytes,
        *,
        receipt: str | None = None,
        noted: bool = False,
        units: Units | None = None,
    ) -> AsyncGenerator[Call]:
        """The time of one call, from its turn on. When it ends, well, badly or given up, its receipt is written and its
        cost counted. `units` are those that one of sound or pictures asks for.

        With `noted` it goes by the journal: it is recorded a moment later, with those of others, and nobody waits.
        Raises RateLimited, BudgetSpent or UpstreamPaced before it, for a model that is not in this process.
        """
        await self.turn(scope, choice.known)
        admission = await self._admitted(scope, choice, sent, units)
        entry = self._audit.journal.begin(scope) if noted else None
        identity = entry.id if entry is not None else receipt or new_id("rcp")
        call = Call(choice, identity, sent, datetime.now(UTC), admission, entry=entry)
        try:
            yield call
        except (asyncio.CancelledError, GeneratorExit):
            await self._record(scope, call, "aborted")
            raise
        except PinMismatch as fault:  # the endpoint is not the one that its record describes (R15)
            await self._record(scope, call, "failed")
            await self._policy.contradict(choice.model.record, fault.message)
            raise
        except BaseException:
            await self._record(scope, call, "failed")
            raise
        await self._record(scope, call, "done")

    async def _admitted(self, scope: Scope, choice: Choice, sent: bytes, units: Units | None) -> Admission:
        model = choice.model
        if model.built_in:  # what this process does by itself costs nothing and is bounded by nothing
            return await self._accounts.counted(scope, model.name)
        price, of = self.price(choice.known), None  # a route that was named may have a budget, too
        if choice.named is not None and choice.named != model.name:
            of = (model.name, choice.named)
        if units is None:
            tokens = len(sent) // _BYTES_A_TOKEN + _ANSWER_TOKENS
            return await self._accounts.admitted(scope, model.name, tokens=tokens, price=price, of=of)
        tokens = _ANSWER_TOKENS if price.input else 1  # a server may count some; bytes of sound and pictures are none
        paid = None if model.local else units
        return await self._accounts.admitted(scope, model.name, tokens=tokens, price=price, units=paid, of=of)

    def _settle(self, call: Call, outcome: str) -> None:
        model = call.choice.model
        if outcome == "failed" and not call.output:  # without an answer it costs nothing
            call.usage = Usage(units=None if call.usage.units is None else Units())
        elif outcome == "aborted" and call.usage != UNUSED:  # nobody has counted it to its end
            call.usage = structs.replace(call.usage, estimated=True)
        usage = call.usage
        cost = 0.0 if model.local or model.built_in else cost_eur(self.price(call.choice.known), usage)
        call.admission.settle(usage, cost_eur=cost, outcome=outcome, endpoint=call.choice.decision.endpoint.id)

    async def _decided(
        self, scope: Scope, candidates: Sequence[Known], label: Label, capability: str
    ) -> tuple[Choice | None, list[Decision]]:
        await self._policy.refresh(scope)
        refused: list[Decision] = []
        first: Choice | None = None
        for known in candidates:
            decision = self._policy.decide(scope, label, endpoint_of(known.model), capability=capability)
            if not decision.allowed:
                refused.append(decision)
                continue
            choice = Choice(known, decision, tuple(refused))
            if len(candidates) == 1 or await self.spent(scope, known) is None:
                return choice, refused
            first = first or choice
        return first, refused

    async def spent(self, scope: Scope, known: Known) -> BudgetSpent | RateLimited | None:
        """Why the model's own budgets and rates let it answer nobody now, if they do not."""
        if known.model.built_in:
            return None
        return await self._accounts.refusal(scope, known.model.name, price=self.price(known))

    async def all_spent(self, scope: Scope, known: Sequence[Known], names: Sequence[str]) -> dict[str, BastideError]:
        """The same for those of them that have these names, by their names; who may answer is not in it."""
        found = {one.model.name: await self.spent(scope, one) for one in known if one.model.name in names}
        return {name: fault for name, fault in found.items() if fault is not None}

    async def _record_refusal(self, scope: Scope, refused: list[Decision], capability: str) -> None:
        rules: dict[str, JsonValue] = {one.endpoint.id: [verdict.id for verdict in one.failed] for one in refused}
        details: dict[str, JsonValue] = {"capability": capability, "rules": rules}

        async def record() -> None:
            async with self._store.under(scope) as db:
                await self._audit.record(db, "inference.refused", outcome="refused", details=details)

        await self._store.presence.promptly(record(), within_s=_ANSWER_S)
        telemetry.count("model_calls", place="none", outcome="refused")

    async def _record(self, scope: Scope, call: Call, outcome: str) -> None:
        """Count it; write the receipt even if the caller is cancelled meanwhile."""
        self._settle(call, outcome)
        if call.entry is not None:
            _note(call, call.entry, outcome)
            return
        task = asyncio.create_task(self._write(scope, call, outcome))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        await asyncio.shield(task)

    async def _write(self, scope: Scope, call: Call, outcome: str) -> None:
        decision, model = call.choice.decision, call.choice.model
        ended = datetime.now(UTC)
        endpoint = {"id": decision.endpoint.id, "record": decision.record_hash, "record_id": model.record}
        facts = ReceiptFacts(
            act="inference",
            decision={**decision.to_wire(), "rejected": rejected(call.choice.rejected)},
            label=cast(Mapping[str, JsonValue], decision.label.to_wire()),
            endpoint=endpoint,
            model=model.name,
            input=call.input,
            output=call.output,
            tokens_in=call.usage.input,
            tokens_out=call.usage.output,
            tls=call.tls.to_wire() if call.tls else None,
            started=call.started,
            ended=ended,
            assurance=assurance(decision),
            usage=_units_told(call.usage),
            estimated=call.usage.estimated,
        )
        async with self._store.under(scope) as db:
            await self._audit.record(
                db,
                "inference",
                resource=model.name,
                subjects=sorted(decision.label.subjects),
                outcome=outcome,
                receipt=facts,
                id=call.receipt,
            )
        telemetry.count("model_calls", place=decision.endpoint.kind, outcome=outcome)
        telemetry.observe("model_call", (ended - call.started).total_seconds(), place=decision.endpoint.kind)


def _note(call: Call, entry: Entry, outcome: str) -> None:
    decision, model = call.choice.decision, call.choice.model
    started, ended = call.started.timestamp(), time.time()
    entry.input(call.input)
    entry.output(call.output)
    facts = CallFacts(
        act="inference",
        decision={**decision.to_wire(), "rejected": rejected(call.choice.rejected)},
        label=cast(Mapping[str, JsonValue], decision.label.to_wire()),
        endpoint={"id": decision.endpoint.id, "record": decision.record_hash, "record_id": model.record},
        model=model.name,
        tokens_in=call.usage.input,
        tokens_out=call.usage.output,
        estimated=call.usage.estimated,
        tls=call.tls.to_wire() if call.tls else None,
        started=started,
        ended=ended,
        assurance=assurance(decision),
    )
    entry.close(facts, outcome=outcome, resource=model.name, subjects=sorted(decision.label.subjects))
    telemetry.count("model_calls", place=decision.endpoint.kind, outcome=outcome)
    telemetry.observe("model_call", ended - started, place=decision.endpoint.kind)


def _units_told(usage: Usage) -> dict[str, JsonValue] | None:
    """The units of a call as its receipt has them, and whether they are an estimate; none of another call."""
    if usage.units is None:
        return None
    told = {name: getattr(usage.units, name) for name in usage.units.__struct_fields__}
    return {**{name: number for name, number in told.items() if number}, "estimated": usage.estimated}


def endpoint_of(model: Model) -> Endpoint:
    """The place where a model answers, as policy decides on it."""
    return Endpoint(
        id=model.endpoint_id,
        record_id=model.record,
        model=model.upstream,
        kind="local" if model.local else "api",
        url=model.url,
    )


def pin_of(policy: Policy, model: Model) -> str:
    """The upstream behind a router that the model's record describes; read when it is needed, never kept beside it."""
    pinned = None if model.built_in else policy.record(model.record).attributes.get("pinned_upstream")
    return str(pinned.value) if pinned else ""


def assurance(decision: Decision) -> str:
    """How much the receipt can say of where the bytes were worked on: measured here, or promised to us."""
    if decision.endpoint.kind == "local":
        return "local-measured"
    return "self-declared" if decision.label.min_evidence in _SELF_DECLARED else "contractual"


def rejected(decisions: Sequence[Decision]) -> list[Mapping[str, Any]]:
    """The endpoints that were refused, as a receipt and an error show them."""
    return [
        {"endpoint": one.endpoint.id, "rules": [verdict.id for verdict in one.failed], "why": one.why}
        for one in decisions
    ]
