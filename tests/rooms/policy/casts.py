"""Random casts for the policy tests: records, labels, policies and questions, from a seeded generator."""

import random
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from bastide.policy.attributes import ACCESS, OUTER_PLANES, PLAINTEXT, PLANES, ROLES, SCHEMES, TRANSFER_TOOLS
from bastide.policy.label import CLASSES, EVIDENCE, INTEGRITIES, KINDS, OBJECTIVES, PATHS, RISKS, Label
from bastide.policy.record import Attribute, Record
from bastide.policy.values import Endpoint, TenantPolicy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
URL = "https://api.example.eu/v1"
COUNTRIES = ("FR", "DE", "NO", "CH", "GB", "US", "CA", "CN")
REGIMES = ("CH", "GB", "US", "CA", "CN")


def some(rng: random.Random, words: Any, most: int) -> list[Any]:
    """Between one and `most` of `words`, without repetition."""
    words = list(words)
    return rng.sample(words, rng.randint(1, min(most, len(words))))


def a_label(rng: random.Random, *, strict: float = 0.4) -> Label:
    """A label that limits each dimension with the chance `strict`."""
    hit = lambda: rng.random() < strict  # noqa: E731
    return Label(
        cls=rng.choice(CLASSES) if hit() else "public",
        personal=rng.choice(KINDS) if hit() else "none",
        zone=frozenset(some(rng, COUNTRIES, 4) if rng.random() < 0.9 else []) if hit() else None,
        min_seal=tuple(sorted((name, rng.randint(1, 4)) for name in some(rng, OBJECTIVES, 2))) if hit() else (),
        min_ual=rng.randint(0, 4) if hit() else 0,
        min_evidence=rng.choice(EVIDENCE) if hit() else "none",
        tolerate=frozenset((rng.choice(REGIMES), rng.choice(PATHS)) for _ in range(rng.randint(0, 6)))
        if hit()
        else None,
        purposes=frozenset(some(rng, ("support", "research", "billing"), 2)) if hit() else None,
        air_gap=rng.random() < strict / 4,
        integrity=rng.choice(INTEGRITIES) if hit() else "trusted",
        risk=rng.choice(RISKS) if hit() else "minimal",
        subjects=frozenset(some(rng, "abc", 2)) if hit() else frozenset(),
        origin=frozenset(some(rng, "xyz", 2)) if hit() else frozenset(),
    )


def _edge(rng: random.Random) -> dict[str, Any]:
    edge: dict[str, Any] = {"role": rng.choice(ROLES), "entity": "E", "country": rng.choice(COUNTRIES)}
    if rng.random() < 0.5:
        edge["pct"] = rng.choice((5, 24, 25, 51, 100))
    if rng.random() < 0.3:
        edge |= {"veto": rng.random() < 0.3, "board_majority": rng.random() < 0.2}
    if rng.random() < 0.3:
        edge["plaintext_access"] = rng.choice(ACCESS)
    return edge


def values(rng: random.Random, *, good: float) -> dict[str, Any]:
    """A value for every attribute, each one the best there is with the chance `good`."""
    best = lambda fine, other: fine if rng.random() < good else other()  # noqa: E731
    place = lambda: some(rng, COUNTRIES, 2)  # noqa: E731
    flag = lambda: rng.random() < 0.5  # noqa: E731
    operator = {"role": "operator", "entity": "E", "country": best("FR", lambda: rng.choice(COUNTRIES))}
    return {
        **{f"plane_{name}": best(["FR"], place) for name in PLANES + OUTER_PLANES},
        "third_party": best(True, flag),
        "legal_chain": [operator, *best([], lambda: [_edge(rng) for _ in range(rng.randint(0, 3))])],
        "subprocessors": best([], lambda: [{"entity": "S", "country": rng.choice(COUNTRIES)}]),
        "eu_established": best(True, flag),
        "separation_evidence": best(True, flag),
        "dpa_signed": best(True, flag),
        "transfer_tool": best("SCC+TIA", lambda: rng.choice(TRANSFER_TOOLS)),
        "retention_days": best(0, lambda: rng.choice((0, 30))),
        "human_review": best(False, flag),
        "trains_on_data": best(False, flag),
        "high_risk_use_allowed": best(True, flag),
        "plaintext_access": best("operator", lambda: rng.choice(PLAINTEXT)),
        "own_egress": best(False, flag),
        "autonomy_days": best(400, lambda: rng.randint(0, 400)),
        "eu_citizen_staff": best(True, flag),
        "sbom": best(True, flag),
        "hw_origin_known": best(True, flag),
        "open_weights": best(True, flag),
        "open_source_stack": best(True, flag),
        "open_api": best(True, flag),
        "certs": [{"scheme": best("SecNumCloud-3.2", lambda: rng.choice(SCHEMES)), "scope": "all"}],
        "eu_cert": best("high", lambda: "substantial"),
        "pue": best(1.1, lambda: rng.choice((1.3, 1.8))),
        "renewable_pct": 100,
    }


def a_record(rng: random.Random) -> Record:
    """A record of an endpoint: mostly good and well shown, so that a yes is common enough to be lost."""
    good = rng.choice((1.0, 0.97, 0.9, 0.6))
    attributes = {}
    for name, value in values(rng, good=good).items():
        if rng.random() > good + 0.03:
            continue
        evidence = "measured" if rng.random() < good else rng.choice(EVIDENCE)
        expires = NOW + timedelta(days=rng.randint(-2, 30)) if rng.random() < 0.3 else None
        attributes[name] = Attribute(value, evidence, "a test", NOW - timedelta(days=9), expires)
    kind = "local" if rng.random() < 0.15 else "api"
    return Record("r", "R", kind, MappingProxyType(attributes), url=URL)


def an_endpoint(rng: random.Random, record: Record) -> Endpoint:
    """An endpoint of `record`, nearly always at the right address."""
    url = ("" if record.kind == "local" else URL) if rng.random() < 0.98 else "https://elsewhere.example/v1"
    return Endpoint("e", "r" if rng.random() < 0.99 else "?", "m", record.kind, url)


def a_policy(rng: random.Random) -> TenantPolicy:
    """A tenant's policy, often generous."""
    generous = frozenset((regime, path) for regime in REGIMES for path in PATHS)
    tolerate = generous if rng.random() < 0.6 else a_label(rng, strict=1).tolerate or frozenset()
    return TenantPolicy(
        enabled=frozenset({"r"}) if rng.random() < 0.97 else frozenset(),
        floor=rng.choice(EVIDENCE) if rng.random() < 0.5 else "self",
        tolerate=tolerate,
        zone=frozenset(some(rng, COUNTRIES, 5)) if rng.random() < 0.1 else None,
    )
