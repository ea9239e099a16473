"""Rules R01 to R18: may these bytes go there? All of them must hold, and nothing said means no.

Each rule is a pure function of one `Ask`. It returns HOLDS, or the reason why it does not hold; a rule that
raises has not held. None of them has a way round: what a person may change is the label (by a declassification),
the tenant's policy or the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bastide.policy.facts import Facts
from bastide.policy.label import CLASS_RANK, Label
from bastide.policy.places import LOCAL
from bastide.policy.values import Endpoint, RuleVerdict, TenantPolicy

HOLDS = ""
RULES_VERSION = "2026-11-20"

_CALLS = """
chat completion responses embeddings rerank vision ocr transcription speech images moderation batch files fine-tuning
answer tool web connector telemetry download licence timestamp storage compute
"""
CALLS = frozenset(_CALLS.split())
"""Every kind of act that sends bytes somewhere. There is no other kind, and none that is not decided (R18)."""

REACHING_CALLS = frozenset({"tool", "web", "connector"})
ATTEMPTS = frozenset({"direct", "fallback", "retry", "hedge", "cache", "batch", "speculative", "resume"})

_RESTRICTED = CLASS_RANK["restricted"]
_OWN_PLACES = frozenset({LOCAL})


@dataclass(slots=True)
class Ask:
    """One question: these bytes (label), there (facts, endpoint), for this act, under this tenant's policy."""

    label: Label
    facts: Facts
    endpoint: Endpoint
    capability: str
    purpose: str
    tenant: TenantPolicy
    here: bool  # the address is on this machine, or in a network of our own
    address: str  # why the address is not the one that the record describes; HOLDS if it is
    quarantine: str  # what a probe has found against the record; HOLDS if nothing
    unavailable: str  # what is missing to decide at all; HOLDS if nothing
    attempt: str = "direct"
    original: str = ""


def r01_air_gap(ask: Ask) -> str:
    """With the air gap closed, bytes stay on this machine or in networks of our own."""
    if not ask.label.air_gap or (ask.here and ask.facts.own):
        return HOLDS
    return "The air gap is closed, and this endpoint is not our own."


def r02_enabled(ask: Ask) -> str:
    """An endpoint is used only if an administrator of the tenant has enabled its record."""
    if ask.facts.record.id in ask.tenant.enabled:
        return HOLDS
    return f"The tenant has not enabled {ask.facts.record.id or ask.endpoint.id}."


def r03_planes_known(ask: Ask) -> str:
    """It is known where every plane is, by evidence of at least the floor; for restricted bytes the outer ones too."""
    unknown = ask.facts.unknown_planes
    if ask.label.rank >= _RESTRICTED:
        unknown = unknown + ask.facts.unknown_outer
    if not unknown:
        return HOLDS
    return f"Unknown at evidence {ask.facts.floor} or better: where {', '.join(unknown)} happens."


def r04_zone(ask: Ask) -> str:
    """Every plane lies inside the zone. What never leaves this machine is inside every zone, the empty one too."""
    zone = ask.label.zone
    if zone is None:
        return HOLDS
    places = ask.facts.places
    if ask.label.rank >= _RESTRICTED:
        places = places | ask.facts.outer_places
    if (places and places <= zone | _OWN_PLACES) or (not places and not ask.facts.unknown_planes):
        return HOLDS
    outside = sorted(places - zone - _OWN_PLACES)
    allowed = ", ".join(sorted(zone)) or "nowhere else than here"
    return f"In {', '.join(outside) or 'unknown places'}; the zone is {allowed}."


def r05_processor_contract(ask: Ask) -> str:
    """Personal data goes to another party only under a contract of GDPR Article 28 that is in force."""
    if ask.facts.processor_contract or ask.label.personal == "none":
        return HOLDS
    return "No evidence for a contract under GDPR Article 28."


def r06_transfer(ask: Ask) -> str:
    """Personal data leaves the EEA only to adequate countries or under a tool of GDPR Chapter V that is valid today."""
    facts = ask.facts
    if ask.label.personal == "none":
        return HOLDS
    if facts.unknown_planes:
        return "Whether personal data would leave the EEA is unknown."
    if not facts.far or facts.transfer_tool in ("SCC+TIA", "BCR"):
        return HOLDS
    if facts.transfer_tool == "DPF" and facts.far == {"US"}:
        return HOLDS
    return f"No valid tool of GDPR Chapter V for {', '.join(sorted(facts.far))}."


def r07_subprocessors(ask: Ask) -> str:
    """Personal data goes to another party only if its sub-processors are known."""
    if ask.facts.subprocessors_known or ask.label.personal == "none":
        return HOLDS
    return "The sub-processors are unknown."


def r08_keeps_nothing(ask: Ask) -> str:
    """Special and criminal data and secret bytes go only where nothing is kept and nobody reads along."""
    label = ask.label
    if ask.facts.keeps_nothing or (label.cls != "secret" and label.kinds.isdisjoint(("special", "criminal"))):
        return HOLDS
    return "No evidence that nothing is kept and that nobody reads along."


def r09_trains_nothing(ask: Ask) -> str:
    """It must be shown that content is not used to train."""
    return HOLDS if ask.facts.trains_nothing else "No evidence that content is not used to train."


def r10_exposures(ask: Ask) -> str:
    """Every outside law that reaches the bytes is tolerated on that path, or not even the operator can read them."""
    facts = ask.facts
    if facts.sealed:
        return HOLDS
    if facts.exposures is None:
        return "Which laws from outside the EEA reach the bytes is unknown."
    tolerated = ask.label.tolerate or frozenset()
    if facts.exposures <= tolerated:
        return HOLDS
    open_paths = ", ".join(f"{regime} ({path})" for regime, path in sorted(facts.exposures - tolerated))
    return f"Exposed to {open_paths}, which is not tolerated."


def r11_seal(ask: Ask) -> str:
    """The estimated SEAL is at least what the label asks, objective by objective."""
    seal = ask.facts.seal
    low = [f"{name} is {seal[name]}, asked {level}" for name, level in ask.label.min_seal if seal[name] < level]
    return f"Estimated SEAL too low: {'; '.join(low)}." if low else HOLDS


def r12_ual(ask: Ask) -> str:
    """The estimated Union assurance level is at least what the label asks."""
    if ask.facts.ual >= ask.label.min_ual:
        return HOLDS
    return f"Estimated UAL {ask.facts.ual}, asked {ask.label.min_ual}; first not shown: {ask.facts.ual_missing}."


def r13_purpose(ask: Ask) -> str:
    """The act serves a purpose that the bytes may be used for, and the terms allow its class under the AI Act."""
    allowed = ask.label.purposes
    if allowed is not None and ask.purpose not in allowed:
        return f"Purpose {ask.purpose or 'unsaid'}; these bytes may serve: {', '.join(sorted(allowed)) or 'none'}."
    if ask.label.risk == "prohibited":
        return "A prohibited practice under the AI Act."
    if ask.label.risk == "high" and not ask.facts.high_risk_allowed:
        return "No evidence that the terms allow a high-risk use under the AI Act."
    return HOLDS


def r14_integrity(ask: Ask) -> str:
    """Bytes from an untrusted origin do not reach what can reach out: neither a tool nor an endpoint that may do so."""
    if ask.label.integrity == "trusted":
        return HOLDS
    if ask.capability in REACHING_CALLS:
        return "Bytes from an untrusted origin may not steer an act that reaches out."
    return HOLDS if ask.facts.stays_put else "No evidence that this endpoint does not reach out by itself."


def r15_no_contradiction(ask: Ask) -> str:
    """The endpoint is the one that the record describes, and no probe has found otherwise."""
    return ask.address or ask.quarantine


def r16_able_to_decide(ask: Ask) -> str:
    """The tenant's policy, the record and its evidence are at hand; without one of them the answer is no."""
    return ask.unavailable


def r17_every_attempt(ask: Ask) -> str:
    """Fallback, retry, cache, batch and the like are decided like a first call, and name the endpoint they stand for.

    A cached answer is decided for the endpoint that produced it, with the joined label of entry and reader. That
    callers ask at all is a property of the house: egress opens nothing without a decision.
    """
    if ask.attempt not in ATTEMPTS:
        return f"Unknown kind of attempt: {ask.attempt}."
    if ask.attempt == "direct" or ask.original:
        return HOLDS
    return f"A {ask.attempt} must name the endpoint that it stands for."


def r18_every_call(ask: Ask) -> str:
    """The same rules hold for every act that sends bytes: embeddings, tools, telemetry, downloads and all others."""
    return HOLDS if ask.capability in CALLS else f"Unknown kind of act: {ask.capability or 'unsaid'}."


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its number, what it found when it holds, and what would have to change when it does not."""

    test: Callable[[Ask], str]
    passed: RuleVerdict
    remedy: str


def _rule(test: Callable[[Ask], str], found: str, remedy: str) -> Rule:
    return Rule(test, RuleVerdict(test.__name__[:3].upper(), True, found), remedy)


RULES: tuple[Rule, ...] = (
    _rule(r01_air_gap, "No air gap, or an endpoint of our own.", "a runtime on this machine, or an open air gap"),
    _rule(r02_enabled, "Enabled by the tenant.", "an administrator who enables its record"),
    _rule(r03_planes_known, "Every plane is known.", "evidence of where the named planes are"),
    _rule(r04_zone, "Every plane is inside the zone.", "a wider zone, or a region inside it"),
    _rule(r05_processor_contract, "No personal data, or a processor contract.", "a contract under GDPR Article 28"),
    _rule(r06_transfer, "No personal data leaves the EEA unguarded.", "a valid tool of GDPR Chapter V"),
    _rule(r07_subprocessors, "No personal data, or known sub-processors.", "its list of sub-processors"),
    _rule(r08_keeps_nothing, "Nothing is kept, or nothing forbids it.", "evidence of zero retention, no human review"),
    _rule(r09_trains_nothing, "Content is not used to train.", "evidence that content is not used to train"),
    _rule(r10_exposures, "No exposure that is not tolerated.", "its legal chain, or a tolerance for the named paths"),
    _rule(r11_seal, "The estimated SEAL suffices.", "evidence that lifts the named objectives"),
    _rule(r12_ual, "The estimated UAL suffices.", "evidence of the named criterion"),
    _rule(r13_purpose, "Purpose and risk class fit.", "a purpose that these bytes may serve, or terms that allow it"),
    _rule(r14_integrity, "Nothing untrusted can reach out.", "trusted input, or an endpoint shown not to reach out"),
    _rule(r15_no_contradiction, "The endpoint is as recorded.", "a check of the record, then release from quarantine"),
    _rule(r16_able_to_decide, "Policy, record and evidence are at hand.", "a policy and a record that can be read"),
    _rule(r17_every_attempt, "Decided like a first call.", "the name of the endpoint that it stands for"),
    _rule(r18_every_call, "A known kind of act.", "one of the kinds of act that policy knows"),
)

REMEDIES = {rule.passed.id: rule.remedy for rule in RULES}


ALL_PASSED = tuple(rule.passed for rule in RULES)
_TESTS = tuple(rule.test for rule in RULES)
_ALL_HOLD = [HOLDS] * len(RULES)


def judge(ask: Ask) -> tuple[RuleVerdict, ...]:
    """What every rule says of `ask`, in order; `ALL_PASSED` itself if, and only if, all of them hold."""
    try:
        found = [test(ask) for test in _TESTS]
    except Exception:  # told apart below, rule by rule
        found = [_tried(test, ask) for test in _TESTS]
    if found == _ALL_HOLD:
        return ALL_PASSED
    return tuple(
        rule.passed if why == HOLDS else RuleVerdict(rule.passed.id, False, str(why))
        for rule, why in zip(RULES, found, strict=True)
    )


def _tried(test: Callable[[Ask], str], ask: Ask) -> str:
    try:
        return test(ask)
    except Exception as fault:  # a rule that cannot be evaluated has not held
        return f"The rule could not be evaluated ({type(fault).__name__})."
