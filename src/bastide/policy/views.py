"""Views: what can be computed from a record. Nothing here is stored, and everything here is an estimate.

Each view reads the record through a `Reading`: one evidence floor, one instant; an attribute that is missing,
expired or too weakly shown is unknown, and unknown is never better than any value. The sources are the EU Cloud
Sovereignty Framework 1.2.1 (SOV-1..8, SEAL-0..4, weights), the proposal for a Cloud and AI Development Act
COM(2026) 502 Annex II (UAL, as third parties read it) and SecNumCloud 3.2, 19.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bastide.policy.attributes import PLANES
from bastide.policy.label import OBJECTIVES, PATHS, Tolerance
from bastide.policy.places import EEA, EU, LOCAL, NOWHERE
from bastide.policy.reading import instant
from bastide.policy.record import Record

WEIGHTS = dict(zip(OBJECTIVES, (15, 10, 10, 15, 20, 15, 10, 5), strict=True))

# SEAL of control (SOV-1) and of law (SOV-2) by the worst path on which a regime outside the EEA reaches the bytes.
_CONTROL = {None: 4, "minority": 3, "via-subprocessor": 3, "via-subsidiary": 3, "via-parent": 1, "direct": 0}
_LAW = {None: 4, "minority": 3, "via-subprocessor": 2, "via-subsidiary": 2, "via-parent": 1, "direct": 0}
_SCHEME_LEVEL = {"SecNumCloud-3.2": 4, "EUCS-high": 4, "C5-type2": 3, "HDS-2": 3, "ISO27001": 2, "C5-type1": 2}


@dataclass(frozen=True, slots=True)
class Check:
    """One criterion of a view: met, not met, or unknown (None)."""

    id: str
    ok: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """What can be estimated of one record under one evidence floor. Never a verdict."""

    record: str
    floor: str
    exposures: Tolerance | None
    seal: dict[str, int]
    seal_min: int
    score: float
    unknown: tuple[str, ...]
    ual: int
    ual_missing: str
    secnumcloud_19_6: tuple[Check, ...]
    expires_at: datetime | None

    def to_wire(self) -> dict[str, Any]:
        """As the wire shows it."""
        exposures = None if self.exposures is None else [{"regime": r, "path": p} for r, p in sorted(self.exposures)]
        return {
            "kind": "estimate",
            "record": self.record,
            "evidence_floor": self.floor,
            "exposures": exposures,
            "seal": self.seal,
            "seal_min": self.seal_min,
            "score": self.score,
            "unknown": list(self.unknown),
            "ual": {"level": self.ual, "first_missing": self.ual_missing},
            "secnumcloud_19_6": [{"id": c.id, "ok": c.ok, "why": c.why} for c in self.secnumcloud_19_6],
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
        }


class Reading:
    """A record read at one instant under one evidence floor."""

    def __init__(self, record: Record, floor: str, now: datetime) -> None:
        self.record, self.floor, self.now = record, floor, now
        self._known = {name: fact.value for name, fact in record.attributes.items() if fact.holds(floor, now)}
        ends = [f.expires_at for name, f in record.attributes.items() if name in self._known and f.expires_at]
        self.until: datetime | None = min(ends, default=None)

    def __call__(self, name: str) -> Any:
        """The value of attribute `name`, or None if it is unknown."""
        return self._known.get(name)

    def ends(self, moment: datetime) -> None:
        """Note that something read here stops being true at `moment`."""
        self.until = moment if self.until is None else min(self.until, moment)

    def places(self, plane: str) -> frozenset[str] | None:
        """Where `plane` is; empty if it does not exist; None if unknown."""
        value = self(f"plane_{plane}")
        return None if value is None else frozenset(value) - {NOWHERE}


def view(record: Record, floor: str, now: datetime) -> View:
    """Every estimate for `record`, as shown at `now` with evidence of at least `floor`."""
    known = Reading(record, floor, now)
    exposed = exposures(known)
    levels = seal(known, exposed)
    level, missing = ual(known, exposed)
    return View(
        record=record.id,
        floor=floor,
        exposures=exposed,
        seal=levels,
        seal_min=min(levels.values()),
        score=score(levels),
        unknown=seal_unknown(known, exposed),
        ual=level,
        ual_missing=missing,
        secnumcloud_19_6=secnumcloud(known),
        expires_at=known.until,
    )


def exposures(known: Reading) -> Tolerance | None:
    """The (regime, path) pairs by which a law outside the EEA reaches the bytes; None if that cannot be known.

    The chain is walked up (parents, owners, investors) and down (subsidiaries, sub-processors, support): a court
    can order a subsidiary as well as a parent. A sub-processor counts unless it is shown to have no access to
    plaintext. A holding of at most 24 % without veto or majority on the board gives no path (SecNumCloud 19.6).
    """
    if known("third_party") is False:
        return frozenset()
    chain, others = known("legal_chain"), known("subprocessors")
    if chain is None or others is None or not any(edge["role"] == "operator" for edge in chain):
        return None
    edges = [*chain, *({"role": "subprocessor", **other} for other in others)]
    return frozenset((edge["country"], path) for edge in edges if edge["country"] not in EEA and (path := _path(edge)))


def _path(edge: dict[str, Any]) -> str | None:
    role = edge["role"]
    if role == "operator":
        return "direct"
    if role in ("parent", "ubo"):
        return "via-parent"
    if role == "subsidiary":
        return "via-subsidiary"
    if role in ("subprocessor", "support"):
        return None if edge.get("plaintext_access") == "none" else "via-subprocessor"
    if edge.get("board_majority") or edge.get("pct", 0) > 50:
        return "via-parent"
    quiet = edge.get("pct", 100) <= 24 and edge.get("veto") is False and edge.get("board_majority") is False
    return None if quiet else "minority"


def _inside(known: Reading, inner: frozenset[str]) -> bool | None:
    """True if every content plane is within `inner` or on this machine; None if one is unknown."""
    places = [known.places(plane) for plane in PLANES]
    if any(place is None for place in places):
        return None
    return all(place is not None and place <= inner | {LOCAL} for place in places)


def seal(known: Reading, exposed: Tolerance | None) -> dict[str, int]:
    """An estimate of the SEAL for each objective, 0 to 4; what is unknown gives 0.

    SOV-5 cannot reach 4 while accelerators are made outside the EU.
    """
    worst = max((path for _, path in exposed), key=PATHS.index, default=None) if exposed is not None else "direct"
    inside = _inside(known, EEA)
    quiet = known("retention_days") == 0 and known("trains_on_data") is False
    sealed = quiet and known("plaintext_access") == "customer-only"
    days, support = known("autonomy_days"), known.places("support")
    near = support is not None and support <= EU | {LOCAL}
    levels = (
        _CONTROL[worst],
        _LAW[worst],
        0 if inside is None else 1 if not inside else 4 if sealed else 3 if quiet else 2,
        0 if days is None else 4 if days >= 365 and near else 3 if days >= 180 else 2 if days >= 30 else 1,
        0 if known("sbom") is None else 1 if not known("sbom") else 3 if known("hw_origin_known") else 2,
        _technology(known),
        max((_SCHEME_LEVEL.get(scheme, 1) for scheme in valid_schemes(known)), default=0),
        _environment(known),
    )
    return dict(zip(OBJECTIVES, levels, strict=True))


def seal_unknown(known: Reading, exposed: Tolerance | None) -> tuple[str, ...]:
    """The objectives whose estimate rests on something unknown."""
    control = ("SOV-1", "SOV-2") if exposed is None else ()
    return control + tuple(name for name, needed in _NEEDED.items() if any(known(part) is None for part in needed))


def _technology(known: Reading) -> int:
    if known("open_api") is None:
        return 0
    if not known("open_api"):
        return 1
    if not known("open_weights"):
        return 2
    return 4 if known("open_source_stack") else 3


def _environment(known: Reading) -> int:
    if (pue := known("pue")) is None:
        return 0
    level = 3 if pue <= 1.2 else 2 if pue <= 1.4 else 1
    return 4 if level == 3 and known("renewable_pct") == 100 else level


def valid_schemes(known: Reading) -> list[str]:
    """The certificates that are known and have not run out."""
    valid = []
    for certificate in known("certs") or []:
        if "valid_to" in certificate:
            ends = instant(datetime.fromisoformat(certificate["valid_to"]))
            if ends <= known.now:
                continue
            known.ends(ends)
        valid.append(certificate["scheme"])
    return valid


# Which attributes an objective rests on, beside the exposures: if one is unknown, the estimate says so.
_NEEDED = {
    "SOV-3": tuple(f"plane_{plane}" for plane in PLANES),
    "SOV-4": ("autonomy_days",),
    "SOV-5": ("sbom",),
    "SOV-6": ("open_api",),
    "SOV-7": ("certs",),
    "SOV-8": ("pue",),
}


def score(levels: dict[str, int]) -> float:
    """The weighted score from 0 to 100; it ranks, and never replaces the minimum per objective."""
    return round(sum(WEIGHTS[name] * level / 4 for name, level in levels.items()), 1)


def ual(known: Reading, exposed: Tolerance | None) -> tuple[int, str]:
    """An estimate of the Union assurance level, 0 to 4, and the first criterion that is not shown."""
    paths = {path for _, path in exposed} if exposed is not None else {"direct"}
    controlled = paths & {"direct", "via-parent"}
    inside = _inside(known, EU)
    ladder = (
        (1, "established in the EU", bool(known("eu_established"))),
        (1, "every plane known", inside is not None),
        (1, "every plane inside the EU", bool(inside)),
        (1, "exposures known", exposed is not None),
        (2, "no control from outside, or shown to be separated", not controlled or bool(known("separation_evidence"))),
        (2, "content trains nothing", known("trains_on_data") is False),
        (2, "bill of materials", bool(known("sbom"))),
        (2, "European certificate, at least substantial", known("eu_cert") in ("substantial", "high")),
        (3, "no control from outside at all", not controlled),
        (3, "only citizens of the EU reach content", bool(known("eu_citizen_staff"))),
        (4, "no path from outside", exposed == frozenset()),
        (4, "European certificate, high", known("eu_cert") == "high"),
    )
    for level, criterion, met in ladder:
        if not met:
            return level - 1, criterion
    return 4, ""


def secnumcloud(known: Reading) -> tuple[Check, ...]:
    """The arithmetic of SecNumCloud 3.2, 19.6, on the legal chain."""
    chain, others = known("legal_chain"), known("subprocessors")
    if chain is None:
        return tuple(Check(f"19.6.{part}", None, "The legal chain is unknown.") for part in "abcd")
    seats = {edge["country"] for edge in chain if edge["role"] == "operator"}
    holders = [e for e in chain if e["role"] in ("parent", "ubo", "investor") and e["country"] not in EU]
    shares = [edge.get("pct") for edge in holders]
    known_shares = [share for share in shares if share is not None]
    all_known = len(known_shares) == len(shares)
    small = False if any(s > 24 for s in known_shares) or sum(known_shares) > 39 else True if all_known else None
    powers = [edge.get(power) for edge in holders for power in ("veto", "board_majority")]
    quiet = False if any(powers) else None if None in powers else True
    far = None if others is None else [o for o in others if o["country"] not in EU]
    blind = None if far is None else all(other.get("plaintext_access") == "none" for other in far)
    days, ways = known("autonomy_days"), known("alternatives")
    alone = None if days is None and ways is None else (days or 0) >= 30 or (ways or 0) >= 2
    return (
        Check("19.6.a", bool(seats) and seats <= EU if seats else None, "The seat is in the EU."),
        Check("19.6.b", small, "Holders outside the EU: at most 24 % each and 39 % together."),
        Check("19.6.c", quiet, "Holders outside the EU have no veto and no majority on the board."),
        Check("19.6.d", blind, "Sub-processors outside the EU have no technical way to content."),
        Check("19.6.e", alone, "Works on alone, or at least two alternatives exist."),
    )
