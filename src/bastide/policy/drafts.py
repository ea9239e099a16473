"""Drafts: a tenant's policy as people write it, read strictly, and tried out before it is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bastide.errors import BadLabel, BadPolicy
from bastide.policy.decision import Snapshot, governing
from bastide.policy.explaining import endpoints_of
from bastide.policy.label import Label
from bastide.policy.reading import read_sheet
from bastide.policy.values import Endpoint, TenantPolicy, Trial

_BOUNDS = {"floor": "min_evidence", "tolerate": "tolerate", "zone": "zone", "min_seal": "min_seal"}
_BOUNDS |= {"min_ual": "min_ual", "air_gap": "air_gap"}
_FIELDS = ("enabled", "default", *_BOUNDS, "version")
_CASE_FIELDS = ("label", "endpoint", "capability", "purpose", "allowed")

_USUAL_LABELS: tuple[dict[str, Any], ...] = (
    {"class": "public", "personal": "none"},
    {},
    {"class": "confidential", "personal": "personal"},
    {"class": "confidential", "personal": "special"},
    {"class": "secret", "personal": "none"},
)


def read_policy(wire: Mapping[str, Any], known: Callable[[str], bool] = lambda record: True) -> TenantPolicy:
    """The tenant's policy that `wire` means; what it leaves out is as for a fresh tenant.

    Raises BadPolicy for a field, a value or a record (by `known`) that there is not.
    """
    if not isinstance(wire, Mapping):
        raise BadPolicy("A policy is an object.")
    if unknown := [str(name) for name in wire if name not in _FIELDS]:
        raise BadPolicy(f"A policy has no field {unknown[0]!r}; it has: {', '.join(_FIELDS)}.", field=unknown[0])
    fresh = TenantPolicy()
    try:
        bounds = Label.from_wire({_BOUNDS[name]: wire[name] for name in _BOUNDS if name in wire}, fresh.bounds)
        default = Label.from_wire(wire.get("default", {}), fresh.default)
    except BadLabel as fault:
        raise BadPolicy(fault.message) from fault
    return TenantPolicy(
        enabled=_enabled(wire.get("enabled", sorted(fresh.enabled)), known),
        default=default,
        floor=bounds.min_evidence,
        tolerate=bounds.tolerate or frozenset(),
        zone=bounds.zone,
        min_seal=bounds.min_seal,
        min_ual=bounds.min_ual,
        air_gap=bounds.air_gap,
        version=_version(wire.get("version", 0)),
    )


def _enabled(value: object, known: Callable[[str], bool]) -> frozenset[str]:
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in value):
        raise BadPolicy("`enabled` is a list of provider records.", field="enabled")
    for name in sorted(value):
        if not known(name):
            raise BadPolicy(f"There is no provider record {name!r}.", field="enabled")
    return frozenset(value)


def _version(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadPolicy("`version` is the number of the policy that this one replaces.", field="version")
    return value


def draft_in(path: Path, known: Callable[[str], bool]) -> TenantPolicy:
    """The policy in a draft, without its cases. Raises BadPolicy."""
    sheet = read_sheet(path, BadPolicy)
    sheet.pop("cases", None)
    return read_policy(sheet, known)


def try_file(path: Path, snapshot: Snapshot, now: datetime, *, air_gap: bool = False) -> list[Trial]:
    """What the draft in `path` would decide, for its own `cases` or for five usual labels x every endpoint.

    Raises BadPolicy for a draft that cannot be read.
    """
    sheet = read_sheet(path, BadPolicy)
    cases = sheet.pop("cases", None)
    policy = read_policy(sheet, snapshot.records.__contains__)
    law = governing(policy, air_gap=air_gap)
    endpoints = {endpoint.id: endpoint for endpoint in endpoints_of(snapshot)}
    if cases is None:
        cases = [{"label": label, "endpoint": name} for label in _USUAL_LABELS for name in endpoints]
    if not isinstance(cases, list):
        raise BadPolicy("`cases` is a list of {label, endpoint, capability, purpose, allowed}.", field="cases")
    trials = []
    for number, case in enumerate(cases, 1):
        label, endpoint, options, expected = _case(case, number, policy, snapshot, endpoints)
        decision = snapshot.decide(label, endpoint, law, now, **options)
        failed = tuple(verdict.id for verdict in decision.failed)
        trials.append(Trial(label.to_wire(), endpoint.id, decision.allowed, failed, expected))
    return trials


def _case(
    case: object, number: int, policy: TenantPolicy, snapshot: Snapshot, endpoints: Mapping[str, Endpoint]
) -> tuple[Label, Endpoint, dict[str, Any], bool | None]:
    if not isinstance(case, Mapping) or set(case) - set(_CASE_FIELDS):
        raise BadPolicy(f"Case {number} may hold {', '.join(_CASE_FIELDS)}.", field="cases")
    name = case.get("endpoint")
    record = snapshot.records.get(str(name))
    if name in endpoints:
        endpoint = endpoints[str(name)]
    elif record is not None:
        endpoint = Endpoint(record.id, record.id, (record.covers or ("",))[0], record.kind, record.url)
    else:
        raise BadPolicy(f"Case {number}: there is no endpoint {name!r}.", field="cases")
    try:
        label = Label.from_wire(case.get("label", {}), policy.default)
    except BadLabel as fault:
        raise BadPolicy(f"Case {number}: {fault.message}", field="cases") from fault
    options = {"capability": str(case.get("capability", "chat")), "purpose": str(case.get("purpose", ""))}
    expected = case.get("allowed")
    if expected is not None and not isinstance(expected, bool):
        raise BadPolicy(f"Case {number}: `allowed` is true or false.", field="cases")
    return label, endpoint, options, expected
