"""A table of decisions never says anything that `decide` would not say now."""

import random
from dataclasses import replace

import pytest

from bastide.policy import Endpoint, Label, Policy, TenantPolicy
from bastide.store import Scope

from .casts import a_label
from .conftest import Clock
from .test_policy import ONNX, OVH

ENDPOINTS = (ONNX, OVH, Endpoint("nowhere", "no/record", "m", "api", "https://nowhere.example/v1"))


def said(policy: Policy, scope: Scope, label: Label, clock: Clock, **act: str) -> list[tuple[str, bool, list[str]]]:
    ruled = policy.table(scope, ENDPOINTS, capability="chat", **act).ruled(label, clock().timestamp())
    found = {one.endpoint.id: one for one in (*ruled.allowed, *ruled.refused)}
    assert [one.endpoint.id for one in ruled.allowed] == [e.id for e in ENDPOINTS if found[e.id].allowed]
    return [(e.id, found[e.id].allowed, [rule.id for rule in found[e.id].failed]) for e in ENDPOINTS]


def decided(policy: Policy, scope: Scope, label: Label, **act: str) -> list[tuple[str, bool, list[str]]]:
    found = [policy.decide(scope, label, endpoint, capability="chat", **act) for endpoint in ENDPOINTS]
    return [(one.endpoint.id, one.allowed, [rule.id for rule in one.failed]) for one in found]


async def test_it_says_what_decide_says_whatever_happens_in_between(policy: Policy, ours: Scope, clock: Clock) -> None:
    rng = random.Random(20261129)
    labels = [a_label(rng, strict=0.2) for _ in range(12)]
    policies = [TenantPolicy(), TenantPolicy(enabled=frozenset({"local/onnx", OVH.record_id}), floor="self")]
    operator = replace(ours, permissions=ours.permissions | {"platform:operate"})
    yes = 0
    for turn in range(200):
        event = rng.randrange(6)
        if event == 0:
            present = await policy.settings(ours)
            await policy.set_policy(ours, replace(rng.choice(policies), version=present.version))
        elif event == 1:
            await policy.contradict(OVH.record_id, "another key")
        elif event == 2:
            await policy.release(operator, OVH.record_id)
        elif event == 3 and turn % 20 == 3:
            clock.turn(days=rng.randint(1, 200))
        await policy.refresh(ours)
        label = rng.choice(labels)
        found = said(policy, ours, label, clock)
        assert found == decided(policy, ours, label)
        yes += sum(allowed for _, allowed, _ in found)
    await policy.release(operator, OVH.record_id)  # it would bind every test after this one
    assert yes > 50, "a table that only refuses shows nothing"


async def test_a_verdict_is_not_used_past_its_time(policy: Policy, ours: Scope, clock: Clock) -> None:
    await policy.refresh(ours)
    label = Label()
    first = policy.table(ours, ENDPOINTS, capability="chat").ruled(label, clock().timestamp())
    again = policy.table(ours, ENDPOINTS, capability="chat").ruled(label, clock().timestamp())
    assert again is first
    clock.turn(seconds=31)
    later = policy.table(ours, ENDPOINTS, capability="chat").ruled(label, clock().timestamp())
    assert later is not first
    assert later.allowed[0].decided_at == clock()


async def test_a_clock_that_is_set_back_makes_no_verdict_live_longer(policy: Policy, ours: Scope, clock: Clock) -> None:
    await policy.refresh(ours)
    label = Label()
    first = policy.table(ours, ENDPOINTS, capability="chat").ruled(label, clock().timestamp())
    clock.turn(hours=-1)
    later = policy.table(ours, ENDPOINTS, capability="chat").ruled(label, clock().timestamp())
    assert later is not first
    assert max(one.expires_at for one in later.verdicts) < min(one.expires_at for one in first.verdicts)


async def test_a_neighbour_has_a_table_of_its_own(policy: Policy, ours: Scope, neighbour: Scope, clock: Clock) -> None:
    await policy.set_policy(ours, TenantPolicy(enabled=frozenset()))
    await policy.refresh(neighbour)
    assert not any(allowed for _, allowed, _ in said(policy, ours, Label(), clock))
    assert [allowed for _, allowed, _ in said(policy, neighbour, Label(), clock)] == [True, False, False]


async def test_the_label_of_a_key_counts_and_a_fallback_names_what_it_stands_for(
    policy: Policy, ours: Scope, clock: Clock
) -> None:
    await policy.refresh(ours)
    bound = replace(ours, label='{"integrity": "untrusted", "purposes": ["support"]}')
    assert not any(allowed for _, allowed, _ in said(policy, bound, Label(), clock))
    assert not any(allowed for _, allowed, _ in said(policy, ours, Label(), clock, attempt="fallback"))
    assert any(allowed for _, allowed, _ in said(policy, ours, Label(), clock, attempt="fallback", original="ovh"))


@pytest.mark.parametrize("seconds", [0, 901])
async def test_without_a_policy_at_hand_everything_is_refused(
    policy: Policy, ours: Scope, clock: Clock, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seconds:
        await policy.refresh(ours)
        real = __import__("time").monotonic
        monkeypatch.setattr("bastide.policy.laws.time.monotonic", lambda: real() + seconds)
    assert not policy.ready(ours)
    assert {rules[0] for _, _, rules in said(policy, ours, Label(), clock)} <= {"R02", "R16"}
    assert not any(allowed for _, allowed, _ in said(policy, ours, Label(), clock))
