"""Views: computed from facts, never stored, never a verdict."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from bastide.policy.local import local_records
from bastide.policy.record import load_records
from bastide.policy.views import WEIGHTS, Reading, exposures, score, secnumcloud, view

from .test_rules import CHAIN, edge, record

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SHIPPED = load_records()


def paths(**changes: Any) -> object:
    return exposures(Reading(record(**changes), "contract", NOW))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, set()),
        ({"legal_chain": edge("parent")}, {("US", "via-parent")}),
        ({"legal_chain": edge("subsidiary", "CA")}, {("CA", "via-subsidiary")}),
        ({"legal_chain": edge("subsidiary", "NO")}, set()),
        ({"legal_chain": edge("support", "IN")}, {("IN", "via-subprocessor")}),
        ({"legal_chain": edge("subprocessor", plaintext_access="none")}, set()),
        ({"legal_chain": edge("investor", pct=24, veto=False, board_majority=False)}, set()),
        ({"legal_chain": edge("investor", pct=24)}, {("US", "minority")}),
        ({"legal_chain": edge("investor", pct=10, veto=True, board_majority=False)}, {("US", "minority")}),
        ({"legal_chain": edge("investor", pct=51)}, {("US", "via-parent")}),
        ({"legal_chain": edge("investor", pct=30, board_majority=True)}, {("US", "via-parent")}),
        ({"legal_chain": [{"role": "operator", "entity": "E", "country": "US"}]}, {("US", "direct")}),
        ({"subprocessors": [{"entity": "S", "country": "US"}]}, {("US", "via-subprocessor")}),
        ({"legal_chain": [CHAIN[0] | {"role": "parent"}]}, None),
        ({"legal_chain": None}, None),
        ({"subprocessors": None}, None),
        ({"legal_chain": None, "third_party": False}, set()),
    ],
)
def test_exposures_go_up_and_down_the_chain(changes: dict[str, Any], found: set[tuple[str, str]] | None) -> None:
    assert paths(**changes) == found


def test_several_paths_of_one_regime_all_count() -> None:
    chain = [*edge("parent"), {"role": "subsidiary", "entity": "Y", "country": "US"}]
    assert paths(legal_chain=chain) == {("US", "via-parent"), ("US", "via-subsidiary")}


def test_the_ontario_order_is_seen_in_the_record_of_ovhcloud() -> None:
    chain = SHIPPED["ovhcloud/ai-endpoints/gra"].attributes["legal_chain"].value
    seen = exposures(Reading(record(legal_chain=chain), "contract", NOW))
    assert seen == {("CA", "via-subsidiary"), ("US", "via-subsidiary")}


def test_the_seal_estimate_follows_the_facts() -> None:
    full = {
        "plaintext_access": "customer-only",
        "autonomy_days": 400,
        "hw_origin_known": True,
        "open_weights": True,
        "open_source_stack": True,
        "certs": [{"scheme": "SecNumCloud-3.2", "scope": "all"}],
        "pue": 1.1,
        "renewable_pct": 100,
    }
    best = view(record(**full), "contract", NOW)
    assert best.seal == dict(zip(WEIGHTS, (4, 4, 4, 4, 3, 4, 4, 4), strict=True)), "SOV-5 cannot reach 4"
    assert best.seal_min == 3
    assert best.score == 95.0
    assert best.unknown == ()
    parent = view(record(**full, legal_chain=edge("parent")), "contract", NOW)
    assert (parent.seal["SOV-1"], parent.seal["SOV-2"]) == (1, 1)
    abroad = view(record(**full, plane_support=["US"]), "contract", NOW)
    assert (abroad.seal["SOV-3"], abroad.seal["SOV-4"]) == (1, 3)


def test_what_is_unknown_gives_nothing_and_is_named() -> None:
    blank = view(replace(record(), attributes=MappingProxyType({})), "self", NOW)
    assert blank.seal_min == 0
    assert blank.score == 0.0
    assert blank.unknown == tuple(WEIGHTS)
    assert (blank.ual, blank.ual_missing) == (0, "established in the EU")
    assert all(check.ok is None for check in blank.secnumcloud_19_6)


def test_the_floor_decides_what_counts() -> None:
    ovh = SHIPPED["ovhcloud/ai-endpoints/gra"]
    assert view(ovh, "self", NOW).seal["SOV-6"] == 3
    assert view(ovh, "contract", NOW).seal["SOV-6"] == 0


def test_a_certificate_runs_out_on_its_day() -> None:
    certs = [{"scheme": "ISO27001", "scope": "all", "valid_to": "2026-12-01"}]
    held = view(record(certs=certs), "contract", NOW)
    assert held.seal["SOV-7"] == 2
    assert held.expires_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert view(record(certs=certs), "contract", NOW + timedelta(days=10)).seal["SOV-7"] == 0


def test_the_weights_are_those_of_the_framework() -> None:
    assert sum(WEIGHTS.values()) == 100
    assert score(dict.fromkeys(WEIGHTS, 4)) == 100.0


@pytest.mark.parametrize(
    ("changes", "level", "missing"),
    [
        ({}, 2, "only citizens of the EU reach content"),
        ({"eu_citizen_staff": True, "eu_cert": "high"}, 4, ""),
        ({"eu_citizen_staff": True}, 3, "European certificate, high"),
        ({"eu_cert": None}, 1, "European certificate, at least substantial"),
        ({"legal_chain": edge("parent")}, 1, "no control from outside, or shown to be separated"),
        ({"legal_chain": edge("parent"), "separation_evidence": True}, 2, "no control from outside at all"),
        ({"plane_backup": ["CH"]}, 0, "every plane inside the EU"),
        ({"legal_chain": None}, 0, "exposures known"),
    ],
)
def test_the_ual_estimate_names_the_first_criterion_not_shown(
    changes: dict[str, Any], level: int, missing: str
) -> None:
    seen = view(record(**changes), "contract", NOW)
    assert (seen.ual, seen.ual_missing) == (level, missing)


def quiet(country: str, pct: float) -> dict[str, Any]:
    return {"role": "investor", "entity": "I", "country": country, "pct": pct, "veto": False, "board_majority": False}


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({"autonomy_days": 30}, "yyyyy"),
        ({}, "yyyy?"),
        ({"alternatives": 2}, "yyyyy"),
        ({"alternatives": 1}, "yyyyn"),
        ({"legal_chain": [*CHAIN, quiet("US", 24), quiet("GB", 15)]}, "yyyy?"),
        ({"legal_chain": [*CHAIN, quiet("US", 24), quiet("GB", 16)]}, "ynyy?"),
        ({"legal_chain": [*CHAIN, quiet("US", 25)]}, "ynyy?"),
        ({"legal_chain": [*CHAIN, quiet("US", 5) | {"veto": True}]}, "yyny?"),
        ({"legal_chain": edge("investor")}, "y??y?"),
        ({"legal_chain": [CHAIN[0] | {"country": "CH"}]}, "nyyy?"),
        ({"subprocessors": [{"entity": "S", "country": "US"}]}, "yyyn?"),
        ({"subprocessors": [{"entity": "S", "country": "US", "plaintext_access": "none"}]}, "yyyy?"),
        ({"subprocessors": None}, "yyy??"),
    ],
)
def test_secnumcloud_19_6_is_arithmetic(changes: dict[str, Any], verdicts: str) -> None:
    checks = secnumcloud(Reading(record(**changes), "contract", NOW))
    assert "".join({True: "y", False: "n", None: "?"}[check.ok] for check in checks) == verdicts


def test_this_machine_is_estimated_like_any_other() -> None:
    onnx = view(local_records(None, NOW)[0], "measured", NOW)
    assert [onnx.seal[name] for name in ("SOV-1", "SOV-2", "SOV-3", "SOV-4", "SOV-6")] == [4, 4, 4, 4, 4]
    assert onnx.unknown == ("SOV-7", "SOV-8")
    assert onnx.to_wire()["kind"] == "estimate"
