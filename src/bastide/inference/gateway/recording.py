"""What a call leaves behind: one receipt for each endpoint that was sent something."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from bastide.audit import CallFacts, Entry, Journal
from bastide.egress import TlsEvidence
from bastide.inference.calls import assurance
from bastide.inference.values import Usage
from bastide.policy import Decision
from bastide.store import Scope


class Recording:
    """Opens an entry of the journal for an attempt and closes it with what came of it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._said: dict[int, tuple[Decision, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]] = {}
        self._shown: dict[int, tuple[TlsEvidence, Mapping[str, Any]]] = {}

    def begin(self, scope: Scope, decision: Decision, model: str, *, pseudonymised: tuple[str, ...] = ()) -> Entry:
        """An entry; its id exists at once. Raises JournalUnwritable."""
        usage = Usage(estimated=True)
        return self._journal.begin(scope, partial(self._facts, decision, model, usage, None, None, pseudonymised))

    def close(
        self,
        entry: Entry,
        decision: Decision,
        *,
        model: str,
        usage: Usage,
        tls: TlsEvidence | None,
        started: float,
        outcome: str,
        pseudonymised: tuple[str, ...] = (),
    ) -> None:
        """The attempt is over; `pseudonymised` are the kinds of what was sent under pseudonyms."""
        entry.close(
            self._facts(decision, model, usage, tls, started, pseudonymised),
            outcome=outcome,
            resource=model,
            subjects=sorted(decision.label.subjects) if decision.label.subjects else (),
        )

    def close_cached(
        self, entry: Entry, decision: Decision, *, model: str, place: Mapping[str, Any], started: float
    ) -> None:
        """An answer was given again: `place` names the endpoint and the receipt of the first."""
        facts = msgspec.structs.replace(self._facts(decision, model, Usage(), None, started, ()), endpoint=place)
        subjects = sorted(decision.label.subjects) if decision.label.subjects else ()
        entry.close(facts, outcome="cached", resource=model, subjects=subjects)

    def _facts(
        self,
        decision: Decision,
        model: str,
        usage: Usage,
        tls: TlsEvidence | None,
        started: float | None,
        pseudonymised: tuple[str, ...],
    ) -> CallFacts:
        told, label, endpoint = self._wires(decision)
        if pseudonymised:
            told = {**told, "pseudonymised": list(pseudonymised)}
        now = time.time()
        return CallFacts(
            act="inference",
            decision=told,
            label=label,
            endpoint=endpoint,
            model=model,
            tokens_in=usage.input,
            tokens_out=usage.output,
            estimated=usage.estimated,
            tls=None if tls is None else self._evidence(tls),
            started=now if started is None else started,
            ended=now,
            assurance=assurance(decision),
        )

    # A decision holds for many calls: its long form is made once, and is one and the same object each time.
    def _wires(self, decision: Decision) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
        known = self._said.get(id(decision))
        if known is not None:
            return known[1], known[2], known[3]
        if len(self._said) > 4096:
            self._said.clear()
        place = decision.endpoint
        endpoint = {"id": place.id, "record": decision.record_hash, "record_id": place.record_id}
        made = (decision.to_wire(), decision.label.to_wire(), endpoint)
        self._said[id(decision)] = (decision, *made)
        return made

    def _evidence(self, tls: TlsEvidence) -> Mapping[str, Any]:
        known = self._shown.get(id(tls))
        if known is not None:
            return known[1]
        if len(self._shown) > 4096:
            self._shown.clear()
        made = tls.to_wire()
        self._shown[id(tls)] = (tls, made)
        return made
