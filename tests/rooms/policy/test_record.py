"""Provider records: those that ship, and what the loader refuses."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bastide.errors import BadRecord, BadSetting
from bastide.policy.attributes import ATTRIBUTES
from bastide.policy.local import local_records
from bastide.policy.record import Record, load_records, overlay
from bastide.policy.views import view

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RECORDS = load_records()

GOOD = """
id: example/api/eu
url: https://api.example.eu/v1
attributes:
  plane_inference: {value: [NO, SE], evidence: self, source: a page, checked_at: 2026-11-20, expires_at: 2027-05-20}
"""


def load(folder: Path, text: str, name: str = "example.yaml") -> dict[str, Record]:
    (folder / name).write_text(text, encoding="utf-8")
    return load_records([folder])


MAKERS = "anthropic google infomaniak ionos mistral nebius openai openrouter ovhcloud scaleway stackit t-systems"


@pytest.mark.parametrize("maker", MAKERS.split())
def test_there_is_a_record_for(maker: str) -> None:
    assert any(record.id.startswith(maker + "/") for record in RECORDS.values())


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.id)
def test_a_shipped_record_is_sourced_dated_and_expires(record: Record) -> None:
    assert record.url.startswith("https://")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", record.hash)
    for name, fact in record.attributes.items():
        assert len(fact.source) > 10, name
        assert fact.expires_at is not None, name
        assert timedelta(0) < fact.expires_at - fact.checked_at <= timedelta(days=366), name
        assert fact.evidence == "self", f"{name}: nothing that ships rests on a contract of somebody else"
    for entry in record.models:
        assert entry.price.expires_at is not None


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.id)
def test_a_shipped_record_says_nothing_of_a_contract_or_a_level(record: Record) -> None:
    assert "dpa_signed" not in record.attributes
    assert not [name for name in record.attributes if "seal" in name or "ual" in name]


def test_no_level_can_be_stored() -> None:
    assert not [name for name in ATTRIBUTES if "seal" in name or name.startswith("ual") or "score" in name]


def test_an_expired_fact_and_an_expired_price_are_unknown() -> None:
    ovh = RECORDS["ovhcloud/ai-endpoints/gra"]
    assert ovh.price("gpt-oss-120b", NOW).input == 0.09
    later = NOW + timedelta(days=400)
    assert ovh.price("gpt-oss-120b", later).input is None
    fact = ovh.attributes["plane_inference"]
    assert fact.expires_at is not None
    assert fact.holds("self", fact.expires_at - timedelta(microseconds=1))
    assert not fact.holds("self", fact.expires_at)
    assert not fact.holds("contract", NOW)
    assert not replace(fact, evidence="none").holds("none", NOW)


def test_norway_is_a_country(tmp_path: Path) -> None:
    record = load(tmp_path, GOOD)["example/api/eu"]
    assert record.attributes["plane_inference"].value == ["NO", "SE"]


def test_a_later_folder_adds_replaces_and_takes_away_single_attributes(tmp_path: Path) -> None:
    own = """
id: ovhcloud/ai-endpoints/gra
attributes:
  dpa_signed: {value: true, evidence: contract, source: our contract 17, checked_at: 2026-11-01, expires_at: 2027-11-01}
  trains_on_data: {value: null, evidence: none, source: we doubt it, checked_at: 2026-11-01, expires_at: 2027-11-01}
"""
    ours, shipped = load(tmp_path, own)["ovhcloud/ai-endpoints/gra"], RECORDS["ovhcloud/ai-endpoints/gra"]
    assert ours.attributes["dpa_signed"].value is True
    assert "trains_on_data" not in ours.attributes
    assert ours.attributes["plane_inference"] == shipped.attributes["plane_inference"]
    assert ours.url == shipped.url
    assert ours.models == shipped.models
    assert ours.hash != shipped.hash


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    first = load(tmp_path, GOOD)["example/api/eu"]
    assert load(tmp_path, "# a remark\n" + GOOD)["example/api/eu"].hash == first.hash
    assert load(tmp_path, GOOD.replace("SE", "FI"))["example/api/eu"].hash != first.hash


FACT = "{value: true, evidence: self, source: a page, checked_at: 2026-11-20, expires_at: 2027-05-20}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "mapping"),
        ("- a", "mapping"),
        ("id: [", "line"),
        ("id: a\nid: b", "twice"),
        ("title: x", "id"),
        ("id: a b", "id"),
        ("id: ../a", "id"),
        ("id: a\nkind: cloud", "kind"),
        ("id: a\nurl: ftp://x", "url"),
        ("id: a\ncovers: all", "covers"),
        ("id: a\nlevel: 3", "level"),
        ("id: a\nattributes: []", "attributes"),
        (f"id: a\nattributes: {{seal: {FACT}}}", "seal"),
        (f"id: a\nattributes: {{plane_inference: {FACT}}}", "plane_inference"),
        ("id: a\nattributes: {sbom: true}", "sbom"),
        ("id: a\nattributes: {sbom: {evidence: self}}", "sbom"),
        (f"id: a\nattributes: {{sbom: {FACT.replace('self', 'hearsay')}}}", "evidence"),
        (f"id: a\nattributes: {{sbom: {FACT.replace('a page', '')}}}", "source"),
        (f"id: a\nattributes: {{sbom: {FACT.replace('2026-11-20', 'yesterday')}}}", "checked_at"),
        (f"id: a\nattributes: {{sbom: {FACT.replace(', expires_at: 2027-05-20', '')}}}", "expires_at"),
        (f"id: a\nattributes: {{sbom: {FACT.replace('true', '1')}}}", "sbom"),
        (f"id: a\nattributes: {{sbom: {FACT.replace('}', ', by: me}')}}}", "by"),
        (f"id: a\nattributes: {{plane_storage: {FACT.replace('true', '[]')}}}", "plane_storage"),
        (f"id: a\nattributes: {{plane_storage: {FACT.replace('true', '[none, FR]')}}}", "none"),
        (f"id: a\nattributes: {{plane_storage: {FACT.replace('true', '[UK]')}}}", "UK"),
        (f"id: a\nattributes: {{legal_chain: {FACT.replace('true', '[{role: friend}]')}}}", "legal_chain"),
        (f"id: a\nattributes: {{legal_chain: {FACT.replace('true', '[{role: operator, entity: E}]')}}}", "country"),
        (f"id: a\nattributes: {{pue: {FACT.replace('true', '-1')}}}", "pue"),
        (f"id: a\nattributes: {{pue: {FACT.replace('true', '.inf')}}}", "pue"),
        ("id: a\nmodels: {list: [m]}", "list"),
        (f"id: a\nmodels: {{list: {{m: {{price: 1}}}}, {FACT[14:]}", "models"),
        ("id: a\nx: !!python/object/apply:os.system [ls]", ""),
        ("id: a\x00", ""),
    ],
)
def test_what_is_not_understood_is_refused_with_file_and_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadRecord) as refusal:
        load(tmp_path, text)
    assert "example.yaml" in refusal.value.message
    assert named in refusal.value.message
    assert refusal.value.code == "policy.bad_record"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRecord, match=r"example\.yaml"):
        load_records([tmp_path])


def test_the_local_records_are_measured_and_stay_here() -> None:
    for record in local_records(None, NOW):
        assert record.kind == "local"
        assert {fact.evidence for fact in record.attributes.values()} == {"measured"}
        assert record.attributes["plane_inference"].value == ["local"]
        assert record.attributes["third_party"].value is False


def test_a_declared_country_is_where_the_planes_are() -> None:
    onnx, runtime = local_records("DE", NOW)
    assert onnx.attributes["plane_storage"].value == runtime.attributes["plane_storage"].value == ["DE"]
    with pytest.raises(BadSetting):
        local_records("Germany", NOW)


def test_a_file_says_what_the_house_cannot_measure_of_itself(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text(
        "id: local/onnx\nattributes:\n"
        "  certs: {value: [{scheme: ISO27001, scope: our data centre}], evidence: cert, source: certificate 4, "
        "checked_at: 2026-11-01, expires_at: 2027-11-01}\n"
    )
    onnx = local_records(None, NOW)[0]
    assert view(onnx, "cert", NOW).seal["SOV-7"] == 0
    assert view(overlay(onnx, [tmp_path]), "cert", NOW).seal["SOV-7"] == 2
