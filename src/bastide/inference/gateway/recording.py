"""What a call leaves behind: one receipt for each endpoint that was sent something."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
        self.begin: Callable[[Scope, Promise | None], Entry] = journal.begin
        """An entry, whose id exists at once: see `audit.Journal`. Raises JournalUnwritable."""
        self._said: dict[int, Said] = {}
        self._shown: dict[int, tuple[TlsEvidence, Mapping[str, Any]]] = {}

    def close_cached(
        self, entry: Entry, decision: Decision, *, model: str, place: Mapping[str, Any], started: float
    ) -> None:
        """An answer was given again: `place` names the endpoint and the receipt of the first."""
        said = self.said(decision)
        facts = msgspec.structs.replace(self.facts(said, model, UNUSED, started=started), endpoint=place)
        entry.close(facts, outcome="cached", resource=model, subjects=said.subjects)

    def facts(
        self,
        said: Said,
        model: str,
        usage: Usage,
        *,
        started: float,
        tls: TlsEvidence | None = None,
        pseudonymised: tuple[str, ...] = (),
        unusable: str = "",
    ) -> CallFacts:
        """What is known of a call now; `pseudonymised` are the kinds of what was sent under pseudonyms, `unusable` the
        error that what came instead of an answer is."""
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
        """What a decision says in all receipts that rest on it: made once, one and the same objects each time.

        `refused` are the verdicts on endpoints that the call did not go to.
        """
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
