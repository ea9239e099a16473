"""Decisions: what a fresh tenant may do, when evidence expires, and which address is meant."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from types import MappingProxyType

import pytest

from bastide.errors import NoPermittedModel
from bastide.policy.decision import Snapshot, governing
from bastide.policy.label import CLASSES, Label
from bastide.policy.local import local_records
from bastide.policy.record import load_records
from bastide.policy.values import Decision, Endpoint, Nearest, TenantPolicy

from .casts import NOW
from .test_rules import STRICT, URL, record

ONNX = Endpoint("local/minilm", "local/onnx", "minilm", "local")
RUNTIME = Endpoint("ollama", "local/runtime", "qwen", "local", "http://127.0.0.1:11434/v1")
REMOTE = Endpoint("e", "r", "m", "api", URL)
HOUSE = {one.id: one for one in local_records(None, NOW)}
FRESH = governing(TenantPolicy())


def decide(endpoint: Endpoint, label: Label, snapshot: Snapshot | None = None, **more: object) -> Decision:
    law = more.pop("law", FRESH)
    now = more.pop("now", NOW)
    return (snapshot or Snapshot(HOUSE)).decide(label, endpoint, law, now, capability="chat")  # type: ignore[arg-type]


@pytest.mark.parametrize("endpoint", [ONNX, RUNTIME])
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("personal", ["none", "personal", "special+criminal+minor"])
@pytest.mark.parametrize("air_gap", [False, True])
def test_a_fresh_tenant_uses_this_machine_for_everything(
    endpoint: Endpoint, cls: str, personal: str, air_gap: bool
) -> None:
    label = Label(cls=cls, personal=personal, air_gap=air_gap, integrity="untrusted", risk="high")
    for zone in (None, frozenset({"FR"}), frozenset[str]()):
        decision = decide(endpoint, replace(label, zone=zone))
        assert decision.allowed, decision.why


def test_a_fresh_tenant_uses_nothing_else() -> None:
    snapshot = Snapshot(load_records() | HOUSE | {"r": record()})
    for one in snapshot.records.values():
        decision = decide(Endpoint("e", one.id, "m", one.kind, one.url), Label(), snapshot)
        assert decision.allowed is (one.kind == "local")
        assert one.kind == "local" or "R02" in [verdict.id for verdict in decision.failed]


def test_no_shipped_record_passes_on_what_its_maker_says_of_itself() -> None:
    snapshot = Snapshot(load_records())
    law = governing(TenantPolicy(enabled=frozenset(snapshot.records)))
    for one in snapshot.records.values():
        assert not decide(Endpoint("e", one.id, "m", one.kind, one.url), Label(), snapshot, law=law).allowed


def test_a_tenant_may_also_close_this_machine() -> None:
    law = governing(TenantPolicy(enabled=frozenset({"local/onnx"})))
    assert decide(ONNX, Label(), law=law).allowed
    assert not decide(RUNTIME, Label(), law=law).allowed


def test_with_the_air_gap_closed_no_remote_is_allowed() -> None:
    snapshot, policy = Snapshot(HOUSE | {"r": record()}), TenantPolicy(enabled=frozenset({"r", "local/onnx"}))
    assert decide(REMOTE, Label(), snapshot, law=governing(policy)).allowed
    closed = decide(REMOTE, Label(), snapshot, law=governing(policy, air_gap=True))
    assert [verdict.id for verdict in closed.failed] == ["R01"]
    assert closed.label.air_gap
    assert decide(ONNX, Label(), snapshot, law=governing(policy, air_gap=True)).allowed


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("", True),
        ("http://localhost:8000/v1", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:11434", True),
        ("http://10.1.2.3:8000", False),
        ("http://vllm:8000/v1", False),
        ("https://api.openai.com/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://localhost@evil.example/v1", False),
        ("http://2130706433/", False),
        ("http://[::1", False),
        ("http://127.0.0.1:99999/", False),
    ],
)
def test_a_local_record_describes_only_our_own_addresses(url: str, ok: bool) -> None:
    decision = decide(replace(RUNTIME, url=url), Label(air_gap=True))
    assert decision.allowed is ok
    assert ok or "R15" in [verdict.id for verdict in decision.failed]


def test_an_endpoint_is_of_the_kind_that_its_record_says() -> None:
    law = governing(TenantPolicy(enabled=frozenset({"r", "local/runtime"})))
    snapshot = Snapshot(HOUSE | {"r": record()})
    for endpoint in (replace(REMOTE, kind="local"), replace(RUNTIME, kind="api")):
        assert [verdict.id for verdict in decide(endpoint, Label(), snapshot, law=law).failed] == ["R15"]


def test_a_listed_network_is_our_own() -> None:
    snapshot = Snapshot(HOUSE, (ip_network("10.0.0.0/8"),))
    assert decide(replace(RUNTIME, url="http://10.1.2.3:8000"), Label(air_gap=True), snapshot).allowed
    assert decide(replace(RUNTIME, url="http://vllm:8000"), Label(), snapshot).allowed, "egress checks where it leads"
    assert not decide(replace(RUNTIME, url="http://192.168.0.1"), Label(), snapshot).allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://api.elsewhere.example/v1",
        "http://api.example.eu/v1",
        "https://api.example.eu:8443/v1",
        "https://api.example.eu.evil.example/v1",
        "https://api.example.eu@evil.example/v1",
        "",
    ],
)
def test_a_record_describes_only_its_own_address(url: str) -> None:
    law = governing(TenantPolicy(enabled=frozenset({"r"})))
    decision = decide(replace(REMOTE, url=url), Label(), Snapshot({"r": record()}), law=law)
    assert [verdict.id for verdict in decision.failed] == ["R15"]
    assert decide(
        replace(REMOTE, url="https://API.example.eu:443/other"), Label(), Snapshot({"r": record()}), law=law
    ).allowed


def test_an_endpoint_without_a_record_is_refused() -> None:
    law = governing(TenantPolicy(enabled=frozenset({"", "nobody"})))
    for record_id in ("", "nobody"):
        decision = decide(Endpoint("e", record_id, "m", "local", ""), Label(), law=law)
        assert {"R03", "R09", "R10", "R15", "R16"} <= {verdict.id for verdict in decision.failed}


def test_a_model_that_the_record_does_not_name_is_refused() -> None:
    named = replace(record(), covers=("own-model",))
    law = governing(TenantPolicy(enabled=frozenset({"r"})))
    assert decide(replace(REMOTE, model="own-model"), Label(), Snapshot({"r": named}), law=law).allowed
    other = decide(replace(REMOTE, model="claude"), Label(), Snapshot({"r": named}), law=law)
    assert [verdict.id for verdict in other.failed] == ["R16"]


def test_without_a_policy_the_answer_is_no() -> None:
    decision = Snapshot(HOUSE).decide(Label(), ONNX, None, NOW, capability="chat")
    assert "R16" in [verdict.id for verdict in decision.failed]


def test_a_declared_country_holds_for_this_machine_too() -> None:
    house = Snapshot({one.id: one for one in local_records("DE", NOW)})
    assert decide(ONNX, Label(zone=frozenset({"DE", "FR"})), house).allowed
    assert decide(ONNX, Label(), house).allowed
    for zone in ({"FR"}, set[str]()):
        assert [verdict.id for verdict in decide(ONNX, Label(zone=frozenset(zone)), house).failed] == ["R04"]


def test_an_attribute_expires_at_its_instant_in_a_snapshot_already_compiled() -> None:
    end = NOW + timedelta(hours=2)
    facts = dict(record().attributes)
    facts["trains_on_data"] = replace(facts["trains_on_data"], expires_at=end)
    snapshot = Snapshot({"r": replace(record(), attributes=MappingProxyType(facts))}, ttl_s=30)
    law = governing(TenantPolicy(enabled=frozenset({"r"})))
    assert decide(REMOTE, STRICT_ENOUGH, snapshot, law=law).expires_at == NOW + timedelta(seconds=30)
    late = decide(REMOTE, STRICT_ENOUGH, snapshot, law=law, now=end - timedelta(seconds=1))
    assert late.allowed
    assert late.expires_at == end, "a permit does not outlive its evidence"
    assert [v.id for v in decide(REMOTE, STRICT_ENOUGH, snapshot, law=law, now=end).failed] == ["R09"]


STRICT_ENOUGH = replace(STRICT, risk="minimal", purposes=None, min_seal=(), min_ual=0)


def test_the_floor_of_the_label_and_of_the_tenant_both_count() -> None:
    snapshot, enabled = Snapshot({"r": record()}), frozenset({"r"})
    for floor, asked, ok in (("self", "none", True), ("self", "cert", False), ("cert", "none", False)):
        law = governing(TenantPolicy(enabled=enabled, floor=floor))
        assert decide(REMOTE, Label(min_evidence=asked), snapshot, law=law).allowed is ok


def test_a_decision_names_what_it_rests_on() -> None:
    decision = decide(ONNX, Label(subjects=frozenset({"x"})))
    assert decision.record_hash == HOUSE["local/onnx"].hash
    assert decision.policy_hash == FRESH.hash
    assert decision.digest.startswith("sha256:")
    assert decision.digest == replace(decision).digest
    assert decision.digest != replace(decision, purpose="other").digest
    wire = decision.to_wire()
    assert wire["allowed"] is True
    assert len(wire["rules"]) == 18


def test_two_policies_have_two_hashes_and_the_air_gap_is_part_of_them() -> None:
    one, other = TenantPolicy(), TenantPolicy(floor="self")
    hashes = {governing(one).hash, governing(other).hash, governing(one, air_gap=True).hash}
    assert len(hashes) == 3


def test_a_refusal_names_the_rules_and_the_way_out() -> None:
    decision = decide(Endpoint("e", "r", "m", "api", URL), Label(), Snapshot({"r": record(dpa_signed=None)}))
    with pytest.raises(NoPermittedModel) as refusal:
        decision.permit(Nearest("local/minilm", True))
    assert refusal.value.code == "inference.no_permitted_model"
    assert refusal.value.status == 409
    assert refusal.value.facts["rules"] == ["R02"]
    assert refusal.value.next_step == "local/minilm may receive these bytes."
    decide(ONNX, Label()).permit()
