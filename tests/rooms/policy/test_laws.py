"""The two laws of a decision, over 100,000 random cases each way round.

Knowing less never turns a no into a yes, and a stricter label never does either.
"""

import random
from dataclasses import replace
from datetime import timedelta

from bastide.policy.decision import Snapshot, governing
from bastide.policy.label import EVIDENCE, EVIDENCE_RANK
from bastide.policy.record import Record

from .casts import NOW, REGIMES, a_label, a_policy, a_record, an_endpoint

CASES = 100_000


def knowing_less(rng: random.Random, record: Record) -> Record:
    """The record with one thing less known: taken away, shown more weakly, expired, or reached by another law."""
    attributes = dict(record.attributes)
    if not attributes:
        return record
    name = rng.choice(sorted(attributes))
    fact = attributes[name]
    match rng.randrange(4):
        case 0:
            del attributes[name]
        case 1:
            weaker = EVIDENCE[: EVIDENCE_RANK[fact.evidence]] or ("none",)
            attributes[name] = replace(fact, evidence=rng.choice(weaker))
        case 2:
            attributes[name] = replace(fact, expires_at=NOW - timedelta(seconds=rng.choice((0, 1, 86400))))
        case _:
            for chain in ("legal_chain", "subprocessors"):
                if chain in attributes:
                    role = {"role": rng.choice(("parent", "ubo", "subsidiary", "support", "investor"))}
                    edge = {"entity": "W", "country": rng.choice(REGIMES), **(role if chain == "legal_chain" else {})}
                    wider = [*attributes[chain].value, edge]
                    attributes[chain] = replace(attributes[chain], value=wider)
    return replace(record, attributes=attributes)


def test_knowing_less_never_turns_a_no_into_a_yes() -> None:
    rng, cases, yes, lost = random.Random(20261120), 0, 0, 0
    while cases < CASES:
        record, policy = a_record(rng), a_policy(rng)
        law = governing(policy)
        asked = [(a_label(rng, strict=strict), an_endpoint(rng, record)) for strict in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)]
        snapshot = Snapshot({"r": record})
        before = [snapshot.decide(*ask, law, NOW, capability="chat", purpose="support") for ask in asked]
        for _ in range(6):
            less = Snapshot({"r": knowing_less(rng, record)})
            for ask, first in zip(asked, before, strict=True):
                after = less.decide(*ask, law, NOW, capability="chat", purpose="support")
                cases += 1
                yes += first.allowed
                lost += first.allowed and not after.allowed
                assert first.allowed or not after.allowed, (first.why, less.records["r"].to_wire(), ask, policy)
    assert yes > CASES // 20, f"the generator must produce enough yes to lose: {yes}"
    assert lost > CASES // 100, f"and lose enough of them: {lost}"


def test_a_stricter_label_never_turns_a_no_into_a_yes() -> None:
    rng, cases, yes, lost = random.Random(7), 0, 0, 0
    while cases < CASES:
        record, policy = a_record(rng), a_policy(rng)
        endpoint, label = an_endpoint(rng, record), a_label(rng, strict=rng.choice((0.02, 0.1, 0.4)))
        snapshot, law = Snapshot({"r": record}), governing(policy)
        act = {"capability": rng.choice(("chat", "embeddings", "tool")), "purpose": "support"}
        before = snapshot.decide(label, endpoint, law, NOW, **act)
        for _ in range(10):
            stricter = label.join(a_label(rng, strict=0.15))
            after = snapshot.decide(stricter, endpoint, law, NOW, **act)
            cases += 1
            yes += before.allowed
            lost += before.allowed and not after.allowed
            assert before.allowed or not after.allowed, (before.why, label, stricter)
    assert yes > CASES // 20
    assert lost > CASES // 100


def test_time_only_takes_away() -> None:
    """Later, with the same record, a no stays a no: facts expire, and none comes back by itself."""
    rng = random.Random(3)
    for _ in range(3000):
        record, policy = a_record(rng), a_policy(rng)
        endpoint, label = an_endpoint(rng, record), a_label(rng, strict=0.05)
        snapshot, law = Snapshot({"r": record}), governing(policy)
        seen = True
        for hours in (0, 30, 24 * 8, 24 * 31):
            decision = snapshot.decide(label, endpoint, law, NOW + timedelta(hours=hours), capability="chat")
            assert seen or not decision.allowed
            seen = decision.allowed
