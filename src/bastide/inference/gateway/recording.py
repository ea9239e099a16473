"""What a call leaves behind: one receipt for each endpoint that was sent something."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bastide.audit import CallFacts, Entry, Journal, Promise
from bastide.egress import TlsEvidence
from bastide.inference.calls import assurance, rejected
from bastide.inference.values import UNUSED, Usage
from bastide.policy import Decision
from bastide.store import Scope

_REJECTED_MAX: Final = 32  # of the endpoints that were refused, as many stand in a receipt


@dataclass(frozen=True, slots=True)
class Said:
    """A decision as receipts tell it; `subjects` are the persons whom the content is about."""

    of: Decision
    decision: Mapping[str, Any]
    label: Mapping[str, Any]
    endpoint: Mapping[str, Any]
    assurance: str
    subjects: tuple[str, ...]


class Recording:
    """Opens an entry of the journal for an attempt and closes it with what came of it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._said: dict[int, Said] = {}
        self._shown: dict[int, tuple[TlsEvidence, Mapping[str, Any]]] = {}

    def begin(self, scope: Scope, promise: Promise | None = None) -> Entry:
        """An entry; its id exists at once. `promise` tells what is known of a call that goes on.

        Raises JournalUnwritable.
        """
        return self._journal.begin(scope, promise)

    def close_cached(
        self, entry: Entry, decision: Decision, *, model: str, place: Mapping[str, Any], started: float
    ) -> None:
        """An answer was given again: `place` names the endpoint and the receipt of the first."""
        facts = msgspec.structs.replace(self.facts(decision, model, UNUSED, started=started), endpoint=place)
        entry.close(facts, outcome="cached", resource=model, subjects=self.said(decision).subjects)

    def facts(
        self,
        decision: Decision,
        model: str,
        usage: Usage,
        *,
        started: float,
        tls: TlsEvidence | None = None,
        pseudonymised: tuple[str, ...] = (),
        refused: tuple[Decision, ...] = (),
        unusable: str = "",
    ) -> CallFacts:
        """What is known of a call now; `pseudonymised` are the kinds of what was sent under pseudonyms, `refused` the
        verdicts on endpoints that it did not go to, `unusable` the error that what came instead of an answer is."""
        said = self.said(decision, refused)
        told = said.decision if not pseudonymised else {**said.decision, "pseudonymised": list(pseudonymised)}
        if unusable:
            told = {**told, "unusable": unusable}
        return CallFacts(
            act="inference",
            decision=told,
            label=said.label,
            endpoint=said.endpoint,
            model=model,
            tokens_in=usage.input,
            tokens_out=usage.output,
            estimated=usage.estimated,
            tls=None if tls is None else self._evidence(tls),
            started=started,
            ended=time.time(),
            assurance=said.assurance,
        )

    def said(self, decision: Decision, refused: tuple[Decision, ...] = ()) -> Said:
        """What a decision says in all receipts that rest on it: made once, one and the same objects each time."""
        known = self._said.get(id(decision))
        if known is None:
            if len(self._said) > 4096:
                self._said.clear()
            place = decision.endpoint
            known = self._said[id(decision)] = Said(
                decision,
                {**decision.to_wire(), "rejected": rejected(refused[:_REJECTED_MAX])},
                decision.label.to_wire(),
                {"id": place.id, "record": decision.record_hash, "record_id": place.record_id},
                assurance(decision),
                tuple(sorted(decision.label.subjects)),
            )
        return known

    def _evidence(self, tls: TlsEvidence) -> Mapping[str, Any]:
        known = self._shown.get(id(tls))
        if known is not None:
            return known[1]
        if len(self._shown) > 4096:
            self._shown.clear()
        made = tls.to_wire()
        self._shown[id(tls)] = (tls, made)
        return made
