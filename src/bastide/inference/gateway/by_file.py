"""By file: calls that a provider works through in a batch of its own. Who may have a line, and what came of it.

A line is decided like a call that is made now, for the act `batch` on the endpoint of a model that does `batch.chat` or
`batch.embeddings`. Such a model is named, by itself or in a route; nobody comes to it otherwise.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from bastide.egress import Egress
from bastide.errors import BadChat, BastideError, UnknownModel
from bastide.inference.adapters import ADAPTERS
from bastide.inference.batch_wire import BatchClient
from bastide.inference.calls import Calls, endpoint_of
from bastide.inference.gateway.asking import read, tokens_guessed
from bastide.inference.gateway.ranking import best_first
from bastide.inference.gateway.recording import Recording, Said
from bastide.inference.gateway.relaying import relay_for
from bastide.inference.gateway.targets import Group, Target, View
from bastide.inference.gateway.values import CAPABILITIES
from bastide.inference.openai_style import Place
from bastide.inference.registry import Known, unknown
from bastide.inference.values import Model, Usage
from bastide.policy import Decision, Label, Policy
from bastide.store import Scope

ACT: Final = "batch"
_UPLOAD_S: Final = 900.0
_READING_S: Final = 7200.0
_REPLY_BYTES_MAX: Final = 4 * 1024**3  # read line by line
_EMPTY: Final = Label(cls="public", personal="none")  # to ask how it goes says nothing of any line
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Destined:
    """A line that may go to a target's batches: by what name, under which label, how many bytes there, how many tokens
    at most."""

    target: Target
    named: str
    wire: str
    label: Label
    size: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that none of those may have whom it names."""

    group: Group
    label: Label


class ByFile:
    """What the work of batches asks of the gateway."""

    def __init__(
        self,
        policy: Policy,
        egress: Egress,
        calls: Calls,
        recording: Recording,
        found_in: Callable[[Label, bytes], str],
    ) -> None:
        """`found_in` finds the kind of personal data in a body."""
        self._policy = policy
        self._egress = egress
        self._calls = calls
        self._recording = recording
        self._found_in = found_in
        self._labels: dict[Label, Label] = {}

    # -- before it is handed over -------------------------------------------------------------------

    def destined(
        self, scope: Scope, caller: Label, wire: str, data: bytes, view: View, *, spent: Container[str] = ()
    ) -> Destined | Refused | None:
        """To whose batches a call goes; None if it is to be asked by itself, which also tells what is wrong with it.

        To one of the models whose own budgets are `spent` only where nobody else may answer.
        """
        try:
            asking = read(wire, data)
            if asking.model is None:
                return None
            group = view.group_for(scope, f"{ACT}.{CAPABILITIES[wire]}", asking.model)
        except BastideError:
            return None
        label = caller if asking.label is None else caller.join(asking.label)
        found = self._found_in(caller, data)
        label = self._one(label.join(Label(personal=found)) if found else label)
        verdicts = self._policy.table(scope, group.endpoints, capability=ACT).ruled(label, time.time()).verdicts
        last: Destined | None = None
        for target, _ in best_first(group, verdicts):
            spoken = ADAPTERS[target.model.kind].speaks(wire)
            try:
                size = len(self.line(target.model, wire, spoken, 0, data)) if spoken else 0
            except BadChat:  # its wire has no word for it
                continue
            if spoken:
                one = Destined(target, asking.model, spoken, label, size, tokens_guessed(data, asking.body))
                if target.model.name not in spent:
                    return one
                last = last or one
        return None if _asked_by_itself(view, wire, asking.model) else last or Refused(group, label)

    def _one(self, label: Label) -> Label:
        """The same object for labels that are the same: verdicts are found by it."""
        if len(self._labels) > 4096:
            self._labels.clear()
        return self._labels.setdefault(label, label)

    @staticmethod
    def line(model: Model, wire: str, spoken: str, n: int, data: bytes) -> bytes:
        """A line as it is handed in: called by its number, for what it is called here may say something of somebody.

        Raises BadChat for what the server's wire cannot say.
        """
        asking, adapter = read(wire, data), ADAPTERS[model.kind]
        body = adapter.prepared(relay_for(asking, spoken, model.name).request(asking, model.upstream), spoken)
        told = {"custom_id": str(n), "method": "POST", "url": url_of(model, spoken), "body": body}
        return _ENCODER.encode(told) + b"\n"

    async def decisions(self, scope: Scope, model: Model, labels: list[Label]) -> list[Decision]:
        """What the law says now of bytes with these labels at the model's batches."""
        await self._policy.refresh(scope)
        endpoint = endpoint_of(model)
        return [self._policy.decide(scope, label, endpoint, capability=ACT) for label in labels]

    @staticmethod
    def check_named(scope: Scope, wire: str, data: bytes) -> None:
        """Raises UnknownModel where the caller's key may not name the model of a line, or no longer."""
        name = read(wire, data).model
        if name is not None and not scope.may_name(name):
            raise unknown(name)

    async def refuse(self, scope: Scope, view: View, wire: str, refused: Refused) -> None:
        """Raises NoPermittedModel, recorded, with the model that may have such a call by itself, if there is one."""

        async def others() -> list[Known]:
            try:
                group = view.group_for(scope, CAPABILITIES[wire], None)
                return [Known(one.model, one.key) for one in group.targets if scope.may_name(one.model.name)]
            except UnknownModel:
                return []

        candidates = [Known(one.model, one.key) for one in refused.group.targets]
        await self._calls.choose(scope, candidates, refused.label, capability=ACT, others=others)

    def said(self, decision: Decision) -> Said:
        """What a receipt tells of a decision."""
        return self._recording.said(decision)

    # -- at the provider ----------------------------------------------------------------------------

    @asynccontextmanager
    async def reach(
        self, scope: Scope, model: Model, key: str | None, *, reading: bool = False
    ) -> AsyncGenerator[BatchClient]:
        """Its provider's files and batches; `reading` a large file line by line. To ask there is decided on like a call
        that says nothing.

        Raises NoPermittedModel, PermitRefused, and at the first request what egress raises.
        """
        (decision,) = await self.decisions(scope, model, [Label.of_scope(scope).join(_EMPTY)])
        decision.permit()
        permit = self._calls.permit(decision, self._egress)
        place = Place(urlsplit(model.url).path.rstrip("/"), key, ADAPTERS[model.kind], model=model.upstream)
        total_s, most = (_READING_S, _REPLY_BYTES_MAX) if reading else (_UPLOAD_S, None)
        async with self._egress.open(permit, total_s=total_s, reply_bytes_max=most) as client:
            yield BatchClient(client, place)

    @staticmethod
    def answer(model: str, wire: str, spoken: str, data: bytes, answer: bytes) -> tuple[bytes, Usage]:
        """A server's answer to a line in the format of its client, and what it used.

        Raises UpstreamGarbage or UpstreamFailed for what is none.
        """
        relay = relay_for(read(wire, data), spoken, model)
        fed = relay.feed(answer)
        whole = fed + relay.end()
        return whole, relay.usage(data)


def url_of(model: Model, spoken: str) -> str:
    """What the lines of a batch ask, as their provider writes it."""
    return "/v1" + ADAPTERS[model.kind].path(spoken, model.upstream, stream=False)


def _asked_by_itself(view: View, wire: str, name: str) -> bool:
    """Whether the name leads to anybody who answers a call by itself."""
    try:
        return bool(view.group(CAPABILITIES[wire], name).targets)
    except BastideError:
        return False
