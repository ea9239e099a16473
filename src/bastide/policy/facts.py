"""Facts: a record compiled for deciding, under one evidence floor and for one stretch of time.

Everything that does not depend on the label is worked out once; `until` is the instant at which the first of the
attributes used here expires, and from that instant on the facts must be compiled again, without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bastide.policy.attributes import OUTER_PLANES, PLANES
from bastide.policy.label import EVIDENCE_RANK, Tolerance
from bastide.policy.places import ADEQUATE, EEA, LOCAL, adequate
from bastide.policy.record import Record
from bastide.policy.views import Reading, exposures, seal, seal_unknown, ual

_HOUSE_PLACES = frozenset({LOCAL})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask of an endpoint. Every field is at its worst unless something shows otherwise."""

    record: Record
    floor: str
    compiled_at: datetime
    until: datetime | None
    own: bool  # nobody but this house receives the bytes
    planes: tuple[tuple[str, frozenset[str]], ...]
    places: frozenset[str]
    unknown_planes: tuple[str, ...]
    outer_places: frozenset[str]
    unknown_outer: tuple[str, ...]
    processor_contract: bool
    far: frozenset[str]  # places without adequate protection
    transfer_tool: str | None
    subprocessors_known: bool
    keeps_nothing: bool
    trains_nothing: bool
    exposures: Tolerance | None
    sealed: bool  # not even the operator can read the bytes
    seal: dict[str, int]
    seal_unknown: tuple[str, ...]
    ual: int
    ual_missing: str
    high_risk_allowed: bool
    stays_put: bool  # the endpoint does not reach out by itself

    def current(self, now: datetime) -> bool:
        """True if these facts may be used at `now`; a clock that was set back makes them unusable too."""
        return self.compiled_at <= now and (self.until is None or now < self.until)


def compile_facts(record: Record, floor: str, now: datetime) -> Facts:
    """The facts of `record` at `now`, as far as shown with evidence of at least `floor`."""
    known = Reading(record, floor, now)
    exposed = exposures(known)
    level, missing = ual(known, exposed)
    levels = seal(known, exposed)
    own = known("third_party") is False
    inner = [(name, known.places(name)) for name in PLANES]
    outer = [(name, known.places(name)) for name in OUTER_PLANES]
    planes = tuple((name, place) for name, place in (*inner, *outer) if place is not None)
    places = frozenset[str]().union(*(place for _, place in inner if place))
    for country in places & ADEQUATE.keys():
        if (ends := ADEQUATE[country]) is not None and now < ends:
            known.ends(ends)
    return Facts(
        record=record,
        floor=floor,
        compiled_at=now,
        until=known.until,
        own=own,
        planes=planes,
        places=places,
        unknown_planes=tuple(name for name, place in inner if place is None),
        outer_places=frozenset[str]().union(*(place for _, place in outer if place)),
        unknown_outer=tuple(name for name, place in outer if place is None),
        processor_contract=own or known("dpa_signed") is True,
        far=frozenset(place for place in places - EEA - _HOUSE_PLACES if not adequate(place, now)),
        transfer_tool=known("transfer_tool"),
        subprocessors_known=own or known("subprocessors") is not None,
        keeps_nothing=own or (known("retention_days") == 0 and known("human_review") is False),
        trains_nothing=own or known("trains_on_data") is False,
        exposures=exposed,
        sealed=own or _unreadable(record, known),
        seal=levels,
        seal_unknown=seal_unknown(known, exposed),
        ual=level,
        ual_missing=missing,
        high_risk_allowed=own or known("high_risk_use_allowed") is True,
        stays_put=own or known("own_egress") is False,
    )


def _unreadable(record: Record, known: Reading) -> bool:
    """True if not even the operator can read the bytes: inference needs plaintext, so a promise is not enough."""
    if known("plaintext_access") not in ("customer-only", "attested-enclave"):
        return False
    return EVIDENCE_RANK[record.attributes["plaintext_access"].evidence] >= EVIDENCE_RANK["audit"]
