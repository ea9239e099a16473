"""The room on the real database: settings, refresh, audit, quarantine, isolation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.rooms.listening import heard

from bastide.audit import Audit
from bastide.errors import (
    BadPolicy,
    BadRecord,
    DatabaseUnavailable,
    Forbidden,
    NoPermittedModel,
    PolicyChanged,
    UnknownRecord,
)
from bastide.policy import Decision, Endpoint, Label, Policy, TenantPolicy
from bastide.settings import PolicySettings, Settings
from bastide.store import Scope, Store, new_id

from .conftest import Clock

ONNX = Endpoint("local/minilm", "local/onnx", "minilm", "local")
OVH = Endpoint(
    "ovh", "ovhcloud/ai-endpoints/gra", "gpt-oss-120b", "api", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"
)


def decide(policy: Policy, scope: Scope, endpoint: Endpoint = ONNX, label: Label | None = None) -> Decision:
    return policy.decide(scope, label or Label(cls="secret", personal="special"), endpoint, capability="chat")


def failed(decision: Decision) -> set[str]:
    return {verdict.id for verdict in decision.failed}


async def test_a_fresh_tenant_starts_with_this_machine(policy: Policy, ours: Scope) -> None:
    assert failed(decide(policy, ours)) >= {"R16"}, "before the first refresh nothing is known"
    assert await policy.refresh(ours) == TenantPolicy()
    assert decide(policy, ours).allowed
    assert "R02" in failed(decide(policy, ours, OVH))


async def test_what_one_room_sets_another_reads(
    policy: Policy, store: Store, settings: Settings, policy_settings: PolicySettings, ours: Scope, neighbour: Scope
) -> None:
    other = Policy(store, Audit(store, settings.audit), policy_settings)
    await other.start()
    assert await other.settings(ours) == TenantPolicy()
    set_ = await policy.set_policy(ours, TenantPolicy(floor="self", zone=frozenset({"FR"})))
    assert set_.version == 1
    assert await other.settings(ours) == set_
    assert await other.settings(neighbour) == TenantPolicy()
    assert "R04" in failed(decide(other, ours, OVH)) or "R03" in failed(decide(other, ours, OVH))
    await other.stop()
    assert "R16" in failed(decide(other, ours)), "a closed room says no"


async def test_a_change_is_in_the_audit_log_with_before_and_after(
    policy: Policy, store: Store, settings: Settings, ours: Scope
) -> None:
    audit = Audit(store, settings.audit)
    await policy.enable(ours, OVH.record_id)
    await policy.disable(ours, "local/runtime")
    assert (await policy.settings(ours)).enabled == {"local/onnx", OVH.record_id}
    await audit.start()
    async with asyncio.timeout(60):  # another sequencer of this database may have what waits, and append it later
        while len(events := [one for one in (await audit.events(ours)).items if one.act == "policy.set"]) < 2:
            await asyncio.sleep(0.02)
    await audit.stop()
    assert len(events) == 2
    added = [
        event.details for event in events if event.details and OVH.record_id not in event.details["before"]["enabled"]
    ]  # type: ignore[index]
    assert len(added) == 1


async def test_two_changes_at_once_do_not_overwrite_each_other(policy: Policy, ours: Scope) -> None:
    first = await policy.set_policy(ours, TenantPolicy(floor="self"))
    with pytest.raises(PolicyChanged) as refusal:
        await policy.set_policy(ours, TenantPolicy(floor="audit"))
    assert refusal.value.facts["present"] == 1
    second = await policy.set_policy(ours, replace(first, floor="audit"))
    assert (second.version, second.floor) == (2, "audit")


async def test_an_unknown_record_cannot_be_enabled(policy: Policy, ours: Scope) -> None:
    with pytest.raises(UnknownRecord):
        await policy.enable(ours, "nobody/nothing")
    with pytest.raises(BadPolicy):
        await policy.set_policy(ours, TenantPolicy(enabled=frozenset({"nobody/nothing"})))
    assert await policy.settings(ours) == TenantPolicy()


async def test_every_operation_asks_for_its_permission(
    policy: Policy, ours: Scope, nobody: Scope, tmp_path: Path
) -> None:
    for operation in (
        policy.refresh(nobody),
        policy.settings(nobody),
        policy.label(nobody),
        policy.set_policy(nobody, TenantPolicy()),
        policy.enable(nobody, OVH.record_id),
        policy.disable(nobody, OVH.record_id),
        policy.record_by_hash(nobody, "sha256:0"),
        policy.policy_by_hash(nobody, "sha256:0"),
        policy.release(ours, OVH.record_id),
    ):
        with pytest.raises(Forbidden):
            await operation
    for refused in (
        lambda: decide(policy, nobody),
        lambda: policy.explain(nobody, Label()),
        lambda: policy.choose(nobody, Label(), [ONNX], capability="chat"),
        lambda: policy.test_file(nobody, tmp_path / "draft.yaml"),
    ):
        with pytest.raises(Forbidden):
            refused()


async def test_the_label_of_the_caller_only_tightens(policy: Policy, ours: Scope) -> None:
    await policy.refresh(ours)
    tight = replace(ours, label='{"air_gap": true, "class": "restricted"}')
    decision = decide(policy, tight, label=Label(cls="public"))
    assert (decision.label.cls, decision.label.air_gap) == ("restricted", True)
    assert (await policy.label(tight, {"class": "public"})).cls == "restricted"
    said_nothing = Label(cls="internal")  # the careful guess; personal data is looked for in calls
    assert await policy.label(ours) == await policy.label_of_call(ours) == said_nothing
    assert (await policy.label(ours, {"personal": "none"})).personal == "none"


async def test_the_bounds_of_the_tenant_are_joined_into_every_label(policy: Policy, ours: Scope) -> None:
    await policy.set_policy(ours, TenantPolicy(zone=frozenset({"FR"}), air_gap=True))
    label = decide(policy, ours, label=Label()).label
    assert (label.zone, label.air_gap, label.min_evidence) == ({"FR"}, True, "contract")


async def test_a_receipt_s_hashes_lead_back_to_policy_and_record(policy: Policy, ours: Scope, neighbour: Scope) -> None:
    present = await policy.set_policy(ours, TenantPolicy(floor="self"))
    decision = decide(policy, ours)
    assert await policy.policy_by_hash(ours, decision.policy_hash) == present
    assert await policy.policy_by_hash(neighbour, decision.policy_hash) is None
    record = await policy.record_by_hash(ours, decision.record_hash)
    assert record["id"] == "local/onnx"
    with pytest.raises(UnknownRecord):
        await policy.record_by_hash(ours, "sha256:0")


async def test_a_contradicted_record_is_used_by_nobody_until_a_person_has_looked(
    policy: Policy, store: Store, settings: Settings, policy_settings: PolicySettings, ours: Scope, neighbour: Scope
) -> None:
    other = Policy(store, Audit(store, settings.audit), policy_settings)
    await other.start()
    operator = replace(ours, permissions=ours.permissions | {"platform:operate"})
    await policy.contradict("local/runtime", "answers from another network")
    runtime = Endpoint("r", "local/runtime", "m", "local", "http://127.0.0.1:1")
    for room, scope in ((policy, ours), (other, neighbour)):
        await room.refresh(scope)
        decision = decide(room, scope, runtime)
        assert failed(decision) == {"R15"}
        assert "another network" in decision.why
    await policy.release(operator, "local/runtime")
    await other.refresh(neighbour)
    assert decide(other, neighbour, runtime).allowed
    assert decide(policy, ours, runtime).allowed
    with pytest.raises(UnknownRecord):
        await policy.contradict("nobody/nothing", "x")
    await other.stop()


async def test_choosing_takes_the_first_allowed_and_else_says_what_would_help(policy: Policy, ours: Scope) -> None:
    await policy.refresh(ours)
    assert policy.choose(ours, Label(), [OVH, ONNX], capability="chat").endpoint == ONNX
    with pytest.raises(NoPermittedModel) as refusal:
        policy.choose(ours, Label(), [OVH], capability="chat")
    assert refusal.value.facts["rules"][0] == "R02"
    assert "an administrator who enables its record" in refusal.value.next_step
    with pytest.raises(NoPermittedModel):
        policy.choose(ours, Label(), [], capability="chat")


async def test_explaining_covers_every_record(policy: Policy, ours: Scope) -> None:
    await policy.settings(ours)
    found = policy.explain(ours, Label(cls="confidential", personal="personal"))
    assert [one.endpoint.id for one in found.allowed] == ["local/onnx", "local/runtime"]
    named = {one.endpoint.record_id for one in (*found.allowed, *found.denied)}
    assert named == {record.id for record in policy.records()}
    assert policy.view("local/onnx").seal_min == 0
    with pytest.raises(UnknownRecord):
        policy.record("nobody/nothing")


async def test_evidence_that_runs_out_is_named_before_it_does(policy: Policy, clock: Clock) -> None:
    assert policy.expiring(within_days=30) == []
    soon = policy.expiring(within_days=400)
    assert [end for _, _, end in soon] == sorted(end for _, _, end in soon)
    assert {record for record, _, _ in soon} == {one.id for one in policy.records() if one.kind == "api"}
    clock.turn(days=400)
    assert len(policy.expiring(within_days=0)) >= len(soon) - 5


async def test_a_draft_is_tried_without_being_set(policy: Policy, ours: Scope, tmp_path: Path) -> None:
    (tmp_path / "draft.yaml").write_text("enabled: []\ncases: [{endpoint: local/onnx, allowed: false}]\n")
    trials = policy.test_file(ours, tmp_path / "draft.yaml")
    assert [trial.ok for trial in trials] == [True]
    assert await policy.settings(ours) == TenantPolicy()


@pytest.fixture
async def own_home(
    tmp_path: Path, store: Store, settings: Settings, policy_settings: PolicySettings
) -> AsyncIterator[tuple[Path, Policy]]:
    """A room whose home is elsewhere, not yet started."""
    (tmp_path / "providers").mkdir()
    room = Policy(store, Audit(store, settings.audit), replace(policy_settings, home=tmp_path, country="FR"))
    yield tmp_path / "providers", room
    await room.stop()


async def test_the_home_adds_and_overrides_records(own_home: tuple[Path, Policy], ours: Scope) -> None:
    folder, room = own_home
    fact = "evidence: contract, source: our contract 17, checked_at: 2026-11-01, expires_at: 2099-11-01"
    (folder / "ours.yaml").write_text(f"id: local/onnx\nattributes:\n  hw_origin_known: {{value: true, {fact}}}\n")
    await room.start()
    assert room.record("local/onnx").attributes["hw_origin_known"].evidence == "contract"
    assert room.record("local/onnx").kind == "local"
    assert room.view("local/onnx", floor="contract").seal["SOV-5"] == 3
    await room.refresh(ours)
    assert decide(room, ours, label=Label(zone=frozenset({"FR"}))).allowed
    assert failed(decide(room, ours, label=Label(zone=frozenset({"DE"})))) == {"R04"}


async def test_a_record_that_cannot_be_read_stops_the_start(own_home: tuple[Path, Policy]) -> None:
    folder, room = own_home
    (folder / "broken.yaml").write_text("id: a\nlevel: 4\n")
    with pytest.raises(BadRecord, match=r"broken\.yaml"):
        await room.start()


async def test_a_policy_outlives_the_database_as_long_as_settings_say_and_no_longer(
    settings: Settings, policy_settings: PolicySettings, store: Store, ours: Scope, clock: Clock
) -> None:
    away = Store(settings.store)
    room = Policy(away, Audit(away, settings.audit), policy_settings, clock=clock)
    strict = Policy(away, Audit(away, settings.audit), replace(policy_settings, stale_s=0.0), clock=clock)
    await away.start()
    await room.start()
    await strict.start()
    await heard(away)  # when it begins to listen, everything is in doubt once
    await room.refresh(ours)
    await strict.refresh(ours)
    await away.stop()
    assert await room.refresh(ours) == TenantPolicy()
    assert decide(room, ours).allowed
    with pytest.raises(DatabaseUnavailable):
        await strict.refresh(ours)
    assert "R16" in failed(decide(strict, ours))


async def test_decisions_of_two_tenants_do_not_mix(policy: Policy, ours: Scope) -> None:
    scopes = [replace(ours, tenant=new_id("ten")) for _ in "ab"]
    await policy.set_policy(scopes[0], TenantPolicy(enabled=frozenset()))
    await policy.refresh(scopes[1])
    assert not decide(policy, scopes[0]).allowed
    assert decide(policy, scopes[1]).allowed
