"""Fair turns among tenants: the law on the order in which jobs began, first on made-up orders, then on real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.journeys.fair_share import amounts, shares, worked


@given(st.lists(st.integers(1, 60), min_size=2, max_size=12))
def test_strict_turns_keep_the_law(many: list[int]) -> None:
    order, left = [], dict(enumerate(many))
    while any(left.values()):
        for tenant, some in list(left.items()):
            if some:
                left[tenant] -= 1
                order.append(str(tenant))
    for share in shares(order):
        assert share.first < share.fair_first
        assert share.worst >= 0.7, "a window may cut a turn in two"


def test_first_come_first_served_breaks_the_law() -> None:
    found = {share.tenant: share for share in shares(["big"] * 500 + ["small"] * 20)}
    assert found["small"].worst == 0
    assert found["small"].first == 500 > 2 * found["small"].fair_first


def test_amounts_are_very_unequal_and_complete() -> None:
    many = amounts(100, 100_000)
    assert (len(many), sum(many), many[0]) == (100, 100_000, max(many))
    assert many[0] >= 50_000
    assert min(many) >= 1


def _lawful(order: list[str]) -> None:
    for share in shares(order):
        assert share.first <= 2 * share.fair_first, share
        assert share.worst >= 0.5, share


def test_no_tenant_waits_more_than_twice_its_fair_share(tmp_path: Path) -> None:
    order, _, _ = worked(tmp_path, amounts(12, 600), patience_s=90)
    _lawful(order)


@pytest.mark.slow
def test_a_hundred_thousand_jobs_of_a_hundred_tenants(tmp_path: Path) -> None:
    order, _, _ = worked(tmp_path, amounts(100, 100_000), patience_s=3600)
    _lawful(order)
