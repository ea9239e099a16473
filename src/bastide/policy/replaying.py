"""Replaying: what a draft policy would have decided of the calls that are on record, and what they would have cost.

The receipts say which label went to which endpoint, and how much it was: tokens, pictures, seconds, characters. A label
on record has the bounds of the policy of its day joined in: a draft that is looser than that shows no call that was
refused then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bastide.audit import JsonValue
from bastide.errors import BadLabel
from bastide.policy.decision import Governing, Snapshot
from bastide.policy.explaining import endpoints_of, explain
from bastide.policy.label import Label
from bastide.policy.record import Price, Units
from bastide.policy.values import Decision, Endpoint


@dataclass(slots=True)
class Change:
    """Calls to one endpoint that the draft would have refused for the same rules; where they could have gone."""

    endpoint: str
    rules: tuple[str, ...]
    why: str
    alternative: str
    calls: int = 0
    tokens: int = 0

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "endpoint": self.endpoint,
            "rules": list(self.rules),
            "why": self.why,
            "alternative": self.alternative or None,
            "calls": self.calls,
            "tokens": self.tokens,
        }


@dataclass(slots=True)
class Replay:
    """What was found. `cost_before` and `cost_after` are in the prices' own currency, as known today."""

    calls: int = 0
    refused: int = 0
    homeless: int = 0  # of the refused, those that no endpoint could have taken
    unreadable: int = 0
    unpriced: int = 0
    cost_before: float = 0.0
    cost_after: float = 0.0
    since: datetime | None = None
    changes: dict[tuple[str, tuple[str, ...]], Change] = field(default_factory=dict)

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        changes = sorted(self.changes.values(), key=lambda one: -one.calls)
        return {
            "calls": self.calls,
            "since": self.since.isoformat() if self.since else None,
            "allowed": self.calls - self.refused,
            "refused": self.refused,
            "without_alternative": self.homeless,
            "changes": [one.to_wire() for one in changes],
            "cost": {"before": self.cost_before, "after": self.cost_after, "calls_without_price": self.unpriced},
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True, slots=True)
class _Took:
    """What a call took."""

    sent: int
    got: int
    units: Units | None


class Replaying:
    """Decides receipts anew under a draft."""

    def __init__(self, snapshot: Snapshot, law: Governing, now: datetime) -> None:
        self.found = Replay()
        self._snapshot = snapshot
        self._law = law
        self._now = now
        usable = [one for one in endpoints_of(snapshot) if one.record_id in law.policy.enabled]
        self._usable = usable
        self._elsewhere: dict[tuple[Label, str, str], Endpoint | None] = {}

    def add(self, receipts: Iterable[Mapping[str, JsonValue]], when: datetime) -> None:
        """Take in receipts of one moment."""
        for receipt in receipts:
            try:
                label, endpoint, act = _read(receipt, self._snapshot)
                took = _took(receipt)
            except (BadLabel, KeyError, TypeError, ValueError):
                self.found.unreadable += 1
                continue
            self.found.calls += 1
            self.found.since = when
            self._one(label, endpoint, act, took)

    def _one(self, label: Label, endpoint: Endpoint, act: dict[str, str], took: _Took) -> None:
        found, decision = self.found, self._decide(act)(label, endpoint)
        before = self._cost(endpoint, took)
        after = before
        if not decision.allowed:
            other = self._other(label, act)
            after = self._cost(other, took) if other else 0.0
            found.refused += 1
            found.homeless += other is None
            rules = tuple(verdict.id for verdict in decision.failed)
            change = found.changes.setdefault(
                (endpoint.id, rules), Change(endpoint.id, rules, decision.why, other.id if other else "")
            )
            change.calls += 1
            change.tokens += took.sent + took.got
        if before is None or after is None:
            found.unpriced += 1
        else:
            found.cost_before += before
            found.cost_after += after

    def _decide(self, act: Mapping[str, str]) -> Callable[[Label, Endpoint], Decision]:
        return lambda label, endpoint: self._snapshot.decide(label, endpoint, self._law, self._now, **act)

    def _other(self, label: Label, act: dict[str, str]) -> Endpoint | None:
        place = (label, act["capability"], act["purpose"])
        if place not in self._elsewhere:
            decide = self._decide(act)
            ranked = explain(
                self._snapshot,
                label,
                self._usable,
                capability=act["capability"],
                now=self._now,
                decide=lambda endpoint: decide(label, endpoint),
            ).allowed
            self._elsewhere[place] = ranked[0].endpoint if ranked else None
        return self._elsewhere[place]

    def _cost(self, endpoint: Endpoint, took: _Took) -> float | None:
        record = self._snapshot.records.get(endpoint.record_id)
        if record is None or record.kind == "local":
            return 0.0 if record else None
        price: Price = record.price(endpoint.model, self._now)
        return price.cost(took.sent, took.got, took.units)


def _read(receipt: Mapping[str, Any], snapshot: Snapshot) -> tuple[Label, Endpoint, dict[str, str]]:
    """What a receipt says. Raises KeyError, TypeError or BadLabel for one that says less."""
    decision, place = receipt["decision"], receipt["endpoint"]
    record = snapshot.records.get(str(place.get("record_id", "")))
    identity = str(place["id"])
    record_id = record.id if record else str(place.get("record_id") or identity)
    kind, url = (record.kind, "" if record.kind == "local" else record.url) if record else ("api", "")
    endpoint = Endpoint(identity, record_id, str(decision.get("model", "")), kind, url)
    act = {"capability": str(decision.get("capability", "chat")), "purpose": str(decision.get("purpose", ""))}
    return Label.from_wire(receipt["label"]), endpoint, act


def _took(receipt: Mapping[str, Any]) -> _Took:
    """What the call took. Raises KeyError, TypeError or ValueError for a receipt that does not tell it."""
    tokens, told = receipt["tokens"], receipt.get("usage")
    units = None
    if isinstance(told, Mapping):
        units = int(told.get("pictures", 0)), float(told.get("seconds", 0)), int(told.get("characters", 0))
    return _Took(int(tokens["input"]), int(tokens["output"]), units)
