"""Rules of oversight: dropped by who steers work, in their own tenant, and written to the log."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bastide.app import House
from bastide.errors import Forbidden, UnknownOversight
from bastide.store import Scope
from bastide.workflows import OversightRule


async def test_a_rule_is_dropped_once_and_only_ones_own(house: House, ours: Scope, neighbour: Scope) -> None:
    rules = house.workflows.approvals
    kept = await rules.set_rule(ours, OversightRule("knowledge.erase", mode="informed"))
    await rules.set_rule(ours, OversightRule("knowledge.erase", effect="erase", mode="approve"))
    theirs = await rules.set_rule(neighbour, OversightRule("knowledge.erase", effect="erase", mode="approve"))
    with pytest.raises(Forbidden, match="work:manage"):
        await rules.drop_rule(replace(ours, permissions=ours.permissions - {"work:manage"}), "knowledge.erase", "erase")
    await rules.drop_rule(ours, "knowledge.erase", "erase")
    assert await rules.rules(ours) == (kept,)
    assert await rules.rules(neighbour) == (theirs,), "a neighbour's rule of the same name stays"
    for type, effect in (("knowledge.erase", "erase"), ("knowledge.erase", "other"), ("' or true --", "*")):
        with pytest.raises(UnknownOversight):
            await rules.drop_rule(ours, type, effect)
    for _ in range(100):
        events = (await house.audit.events(ours, limit=100)).items
        if dropped := [one for one in events if one.act == "oversight.delete"]:
            break
        await asyncio.sleep(0.05)
    assert [one.resource for one in dropped] == ["knowledge.erase"]
    assert not [one for one in (await house.audit.events(neighbour)).items if one.act == "oversight.delete"]
