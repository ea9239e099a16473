"""Explaining: a label against many endpoints: who may, who may not, why, and what would have to change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from bastide.errors import BastideError
from bastide.policy.decision import Snapshot
from bastide.policy.label import Label
from bastide.policy.record import Price
from bastide.policy.rules import REMEDIES
from bastide.policy.values import Allowed, Decision, Denied, Endpoint, Explanation, Nearest
from bastide.policy.views import Reading

Decide = Callable[[Endpoint], Decision]
_OFFER = "capability"
_NOTHING: Final[Mapping[int, BastideError]] = MappingProxyType({})
_OWN = Price(0.0, 0.0, "EUR", "a machine of this house")


def endpoints_of(snapshot: Snapshot) -> list[Endpoint]:
    """One endpoint for each model that a record names, or for the record as a whole."""
    found = []
    for record in snapshot.records.values():
        names = record.covers or tuple(entry.name for entry in record.models) or ("",)
        for name in names:
            identity = f"{record.id}/{name}" if name else record.id
            found.append(Endpoint(identity, record.id, name, record.kind, record.url))
    return found


def explain(
    snapshot: Snapshot,
    label: Label,
    endpoints: Iterable[Endpoint],
    *,
    capability: str,
    now: datetime,
    decide: Decide,
    listed: bool = False,
    closed: Mapping[int, BastideError] = _NOTHING,
) -> Explanation:
    """Where bytes with `label` may go, cheapest first or as `listed`, where not, and the nearest way to a yes.

    `closed` says why those of the endpoints, by their place, could not be asked now although they may.
    """
    allowed: list[tuple[Decision, Endpoint]] = []
    denied: list[Denied] = []
    for place, endpoint in enumerate(endpoints):
        decision = decide(endpoint)
        if not decision.allowed:
            denied.append(Denied(endpoint, tuple(verdict.id for verdict in decision.failed), decision.why))
        elif not _offers(snapshot, endpoint, capability, now):
            denied.append(Denied(endpoint, (_OFFER,), f"Its record says that it does not offer {capability}."))
        elif (no := closed.get(place)) is not None:
            denied.append(Denied(endpoint, (no.code,), no.message, (no.next_step,)))
        else:
            allowed.append((decision, endpoint))
    ranked = _ranked(snapshot, allowed, now, listed=listed)
    return Explanation(label, capability, ranked, tuple(denied), nearest(ranked, denied))


def nearest(allowed: tuple[Allowed, ...], denied: Iterable[Denied]) -> Nearest | None:
    """The first allowed endpoint, else the one that the fewest rules refuse, with what it would need."""
    if allowed:
        return Nearest(allowed[0].endpoint.id, True, name=allowed[0].endpoint.name)
    able = [one for one in denied if _OFFER not in one.rules]
    if not able:
        return None
    best = min(able, key=lambda one: len(one.rules))
    remedies = best.remedies or tuple(REMEDIES[rule] for rule in best.rules)
    return Nearest(best.endpoint.id, False, best.rules, remedies, best.endpoint.name)


def _offers(snapshot: Snapshot, endpoint: Endpoint, capability: str, now: datetime) -> bool:
    """False only if the record says what it offers and this is not among it: an offer is no question of law."""
    record = snapshot.records[endpoint.record_id]
    offered = Reading(record, "none", now)("capabilities")
    return offered is None or capability in offered


def _ranked(
    snapshot: Snapshot, allowed: list[tuple[Decision, Endpoint]], now: datetime, *, listed: bool
) -> tuple[Allowed, ...]:
    """As `listed`, else by price, an unknown one last; our own machine costs nothing. Latency is not known here."""
    rows = []
    for decision, endpoint in allowed:
        facts = snapshot.facts(endpoint.record_id, decision.label.min_evidence, now)
        price = _OWN if facts.own else facts.record.price(endpoint.model, now)
        rows.append((price.blended, -min(facts.seal.values()), endpoint.id, endpoint, price, facts))
    if not listed:
        rows.sort(key=lambda row: row[:3])
    return tuple(
        Allowed(endpoint, rank, price, min(facts.seal.values()), facts.seal_unknown)
        for rank, (_, _, _, endpoint, price, facts) in enumerate(rows, 1)
    )
