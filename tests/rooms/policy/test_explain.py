"""Explaining and trying out: the ranking, the reasons, the nearest yes, and drafts of a policy."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bastide.errors import BadPolicy
from bastide.policy.decision import Governing, Snapshot, governing
from bastide.policy.drafts import read_policy, try_file
from bastide.policy.explaining import endpoints_of, explain
from bastide.policy.label import Label
from bastide.policy.local import local_records
from bastide.policy.record import ModelEntry, Price, Record, load_records
from bastide.policy.values import Explanation, TenantPolicy

from .casts import NOW
from .test_rules import record

HOUSE = {one.id: one for one in local_records(None, NOW)}


def cloud(name: str, *prices: float | None, **changes: object) -> Record:
    models = tuple(ModelEntry(f"m{n}", Price(price, price, "EUR", "a list")) for n, price in enumerate(prices))
    return replace(record(**changes), id=name, models=models)


CLOUDS = {
    "dear": cloud("dear", 9.0),
    "mixed": cloud("mixed", 1.0, None),
    "doubtful": cloud("doubtful", 0.5, trains_on_data=None, dpa_signed=None),
}
EVERYTHING = Snapshot(HOUSE | CLOUDS)
LAW = governing(TenantPolicy(enabled=frozenset(EVERYTHING.records) - {"local/runtime"}))


def explained(label: Label, *, law: Governing = LAW, capability: str = "chat") -> Explanation:
    decide = partial(EVERYTHING.decide, label, law=law, now=NOW, capability=capability)
    endpoints = endpoints_of(EVERYTHING)
    return explain(EVERYTHING, label, endpoints, capability=capability, now=NOW, decide=lambda e: decide(endpoint=e))


def test_the_allowed_are_ranked_by_price_and_an_unknown_price_is_last() -> None:
    found = explained(Label(personal="personal"))
    assert [one.endpoint.id for one in found.allowed] == ["local/onnx", "mixed/m0", "dear/m0", "mixed/m1"]
    assert [one.rank for one in found.allowed] == [1, 2, 3, 4]
    assert found.nearest is not None
    assert found.nearest.to_wire()["endpoint"] == "local/onnx"


def test_the_price_of_an_allowed_endpoint_is_that_of_its_record() -> None:
    prices = {one.endpoint.id: one.price.to_wire() for one in explained(Label(personal="personal")).allowed}
    listed = {entry.name: entry.price for entry in EVERYTHING.records["dear"].models}
    assert prices["dear/m0"] == listed["m0"].to_wire()
    assert (prices["dear/m0"]["currency"], prices["dear/m0"]["source"]) == ("EUR", "a list")
    assert prices["mixed/m1"] == {}, "what is not known is not said"
    assert (prices["local/onnx"]["input"], prices["local/onnx"]["output"]) == (0.0, 0.0), (
        "our own costs nothing a token"
    )


def test_the_denied_say_which_rules_and_why() -> None:
    denied = {one.endpoint.id: one for one in explained(Label(personal="personal")).denied}
    assert denied["doubtful/m0"].rules == ("R05", "R09")
    assert "Article 28" in denied["doubtful/m0"].why
    assert denied["local/runtime"].rules == ("R02",)


def test_with_nothing_allowed_the_nearest_is_the_one_that_needs_least() -> None:
    law = governing(TenantPolicy(enabled=frozenset({"dear", "doubtful"})))
    found = explained(Label(min_seal=(("SOV-7", 4),)), law=law)
    assert found.allowed == ()
    assert found.nearest is not None
    assert not found.nearest.allowed
    assert (found.nearest.endpoint, found.nearest.rules) == ("dear/m0", ("R11",))
    assert found.nearest.needs == ("evidence that lifts the named objectives",)
    assert "The nearest is dear/m0" in found.nearest.text


def test_what_a_record_does_not_offer_is_no_question_of_law() -> None:
    snapshot = Snapshot({"r": record(capabilities=["chat"])})
    decide = partial(snapshot.decide, Label(), law=governing(TenantPolicy(enabled=frozenset({"r"}))), now=NOW)
    for capability, allowed in (("chat", 1), ("embeddings", 0)):
        found = explain(
            snapshot,
            Label(),
            endpoints_of(snapshot),
            capability=capability,
            now=NOW,
            decide=lambda e, c=capability: decide(endpoint=e, capability=c),  # type: ignore[misc]
        )
        assert len(found.allowed) == allowed
        assert allowed or found.denied[0].rules == ("capability",)
        assert allowed or found.nearest is None


def test_the_wire_is_that_of_the_surface() -> None:
    wire = explained(Label()).to_wire()
    assert {"allowed", "denied", "nearest"} <= set(wire)
    allowed, denied = wire["allowed"], wire["denied"]
    assert isinstance(allowed, list)
    assert isinstance(denied, list)
    assert {"endpoint", "rank", "price", "seal_min"} <= set(allowed[0])
    assert {"endpoint", "rules", "why"} <= set(denied[0])


def test_no_word_of_an_explanation_is_a_verdict() -> None:
    words = str(explained(Label(cls="secret", personal="special")).to_wire()).lower()
    assert not [word for word in ("compliant", "sovereign", "certified") if word in words]


# -- drafts -----------------------------------------------------------------------------------------

DRAFT = """
enabled: [local/onnx, ovhcloud/ai-endpoints/gra]
floor: self
zone: [EU]
tolerate: {CA: [via-subsidiary]}
cases:
  - {label: {class: secret}, endpoint: local/onnx, allowed: true}
  - {label: {class: public, personal: none}, endpoint: ovhcloud/ai-endpoints/gra/gpt-oss-120b, allowed: true}
  - {endpoint: openai/api/global, capability: embeddings}
"""


def test_a_draft_is_tried_on_its_own_cases(tmp_path: Path) -> None:
    path = tmp_path / "draft.yaml"
    path.write_text(DRAFT)
    first, second, third = try_file(path, Snapshot(load_records() | HOUSE), NOW)
    assert (first.allowed, first.ok) == (True, True)
    assert (second.allowed, second.ok) == (False, False)
    assert "R03" in second.rules
    assert third.ok, "nothing was expected"
    assert third.label["personal"] == "personal", "the draft's default fills in"


def test_a_draft_without_cases_is_tried_on_usual_labels_and_every_endpoint(tmp_path: Path) -> None:
    path = tmp_path / "draft.yaml"
    path.write_text("enabled: [local/onnx]\n")
    snapshot = Snapshot(load_records() | HOUSE)
    trials = try_file(path, snapshot, NOW)
    assert len(trials) == 5 * len(endpoints_of(snapshot))
    assert {trial.endpoint for trial in trials if trial.allowed} == {"local/onnx"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("enable: [local/onnx]", "enable"),
        ("enabled: local/onnx", "enabled"),
        ("enabled: [nobody/nothing]", "nobody/nothing"),
        ("enabled: [1]", "enabled"),
        ("floor: good", "evidence"),
        ("zone: [Europe]", "zone"),
        ("tolerate: {FR: [direct]}", "tolerate"),
        ("default: {class: top}", "class"),
        ("default: 3", "object"),
        ("air_gap: maybe", "air_gap"),
        ("version: -1", "version"),
        ("cases: 3", "cases"),
        ("cases: [{endpoint: nobody}]", "nobody"),
        ("cases: [{endpoint: local/onnx, label: {class: top}}]", "Case 1"),
        ("cases: [{endpoint: local/onnx, allowed: perhaps}]", "allowed"),
        ("cases: [{point: local/onnx}]", "Case 1"),
        ("cases: [local/onnx]", "Case 1"),
    ],
)
def test_a_draft_that_is_not_understood_is_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "draft.yaml"
    path.write_text(text)
    with pytest.raises(BadPolicy) as refusal:
        try_file(path, Snapshot(HOUSE), NOW)
    assert named in refusal.value.message
    assert refusal.value.code == "policy.bad_policy"


def test_a_draft_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="cannot be read"):
        try_file(tmp_path / "nothing.yaml", Snapshot(HOUSE), NOW)


def test_a_policy_survives_the_wire() -> None:
    policy = TenantPolicy(
        enabled=frozenset({"local/onnx"}),
        default=Label(cls="confidential", personal="special"),
        floor="audit",
        tolerate=frozenset({("US", "minority"), ("CA", "direct")}),
        zone=frozenset({"FR"}),
        min_seal=(("SOV-2", 3),),
        min_ual=1,
        air_gap=True,
        version=4,
    )
    assert read_policy(policy.to_wire()) == policy
    assert read_policy(TenantPolicy().to_wire()) == TenantPolicy() == read_policy({})
