"""Rules of oversight: whether what a tenant asks for can be kept."""

from __future__ import annotations

import math

from bastide.errors import BadOversight
from bastide.workflows.decisions import OversightRule, strictest
from bastide.workflows.registry import OVERSIGHT_RANK, Registry

_YEAR_S = 366 * 86_400.0
_PERSONS_MAX = 100


def check(rule: OversightRule, registry: Registry) -> None:
    """Refuse a rule that says nothing that can be done. Raises UnknownJobType or BadOversight, naming the field."""
    if rule.mode not in OVERSIGHT_RANK:
        raise BadOversight(f"There is no mode {rule.mode!r}; there are: {', '.join(OVERSIGHT_RANK)}.")
    if rule.fallback not in {"refuse", "cancel"}:
        raise BadOversight(f"The fallback is refuse or cancel, not {rule.fallback!r}.")
    if rule.type == "*" and rule.effect != "*":
        raise BadOversight("A rule for all types is for all their effects: leave the effect out.")
    if rule.type != "*":
        effects = registry.get(rule.type).effects
        if rule.effect != "*" and rule.effect not in effects:
            known = ", ".join(sorted(effects)) or "none"
            raise BadOversight(f"{rule.type} declares no effect {rule.effect[:80]!r}; it declares: {known}.")
    _check_times(rule)
    _check_persons(rule)


def _check_times(rule: OversightRule) -> None:
    for name, seconds in (("deadline_s", rule.deadline_s), ("stand_in_after_s", rule.stand_in_after_s)):
        if seconds is not None and not (math.isfinite(seconds) and 0 < seconds <= _YEAR_S):
            raise BadOversight(f"{name} is a positive number of seconds, at most a year, not {seconds}.")
    if rule.stand_in_after_s is not None and rule.stand_in_after_s >= rule.deadline_s:
        raise BadOversight("The stand-ins' turn must come before the deadline.")


def _check_persons(rule: OversightRule) -> None:
    if bool(rule.stand_ins) != (rule.stand_in_after_s is not None):
        raise BadOversight("Stand-ins, and the time after which it is their turn, are named together.")
    if rule.stand_ins and not rule.persons:
        raise BadOversight("Stand-ins stand in for named persons: name those too.")
    if max(len(rule.persons), len(rule.stand_ins)) > _PERSONS_MAX:
        raise BadOversight(f"A rule names at most {_PERSONS_MAX} persons.")


def refuse_unkeepable(rule: OversightRule, registry: Registry) -> None:
    """Refuse a rule by which two persons must agree and that names only one who could. Raises BadOversight."""
    modes = [rule.mode]
    if rule.type != "*":
        declared = registry.get(rule.type).effects
        modes += [one.oversight for name, one in declared.items() if rule.effect in {"*", name}]
    if strictest(*modes) == "two_persons" and rule.persons and len({*rule.persons, *rule.stand_ins}) < 2:
        raise BadOversight("Two persons must agree, and the rule names only one: name another, or a stand-in.")
