"""Past calls held against a draft: real receipts in the real log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bastide.audit import Audit, ReceiptFacts
from bastide.errors import BadPolicy, Forbidden
from bastide.policy import Label, Policy, Price, TenantPolicy
from bastide.policy.decision import Snapshot, governing
from bastide.policy.record import ModelEntry
from bastide.policy.replaying import Replaying
from bastide.store import Scope, Store

from .test_policy import OVH
from .test_rules import record

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOCAL = {"id": "local/runtime/tiny", "record": "sha256:x", "record_id": "local/runtime"}
THERE = {"id": OVH.id, "record": "sha256:y", "record_id": OVH.record_id}


async def called(
    store: Store, audit: Audit, scope: Scope, endpoint: Mapping[str, str], label: Label, model: str, times: int = 1
) -> None:
    for _ in range(times):
        facts = ReceiptFacts(
            act="inference",
            decision={"allowed": True, "model": model, "capability": "chat", "purpose": "", "rules": []},
            label=label.to_wire(),  # type: ignore[arg-type]
            endpoint=endpoint,
            model=model,
            input=b"in",
            output=b"out",
            tokens_in=1000,
            tokens_out=100,
            tls=None,
            started=NOW,
            ended=NOW,
            assurance="contractual",
        )
        async with store.under(scope) as db:
            await audit.record(db, "inference", resource=model, receipt=facts)


@pytest.fixture
def auditor(ours: Scope) -> Scope:
    return replace(ours, permissions=ours.permissions | {"policy:read", "audit:read"})


def draft(folder: Path, text: str) -> Path:
    place = folder / "draft.yaml"
    place.write_text(text)
    return place


async def test_a_draft_is_held_against_what_was_called(
    store: Store, policy: Policy, auditor: Scope, tmp_path: Path, settings: Any
) -> None:
    audit = Audit(store, settings.audit)
    await audit.start(sequence=True)
    try:
        await called(store, audit, auditor, LOCAL, Label(), "tiny", times=3)
        await called(store, audit, auditor, THERE, Label(), OVH.model, times=2)
        while (await audit.health()).waiting:  # another sequencer of this home may be at it
            await asyncio.sleep(0.02)
    finally:
        await audit.stop()
    both = draft(tmp_path, f"enabled: [local/onnx, local/runtime, {OVH.record_id}]\nfloor: self\n")
    wide = await policy.replay_file(auditor, both)
    assert (wide.calls, wide.unreadable) == (5, 0)
    narrow = await policy.replay_file(auditor, draft(tmp_path, "enabled: [local/onnx, local/runtime]\n"))
    assert (narrow.calls, narrow.refused) == (5, 2)
    change = next(iter(narrow.changes.values()))
    assert (change.endpoint, change.calls, change.tokens) == (OVH.id, 2, 2200)
    assert "R02" in change.rules
    assert change.alternative.startswith("local/")
    assert narrow.homeless == 0
    none = await policy.replay_file(auditor, draft(tmp_path, "enabled: []\n"))
    assert (none.refused, none.homeless) == (5, 5)
    assert (await policy.replay_file(auditor, both, calls=2)).calls == 2
    wire = none.to_wire()
    assert wire["without_alternative"] == 5


def test_sound_and_pictures_are_priced_by_their_units_where_they_have_a_price() -> None:
    own = Price(5.0, 40.0, "EUR", "a list")
    prices = {
        "painter": replace(own, input=None, output=None, picture=0.04),
        "listener": replace(own, input=None, output=None, minute=0.006),
        "speaker": replace(own, input=None, output=None, characters=15.0),
        "by-token": replace(own, picture=0.04),
        "unknown": Price(),
    }
    models = tuple(ModelEntry(name, price) for name, price in prices.items())
    snapshot = Snapshot({"studio": replace(record(), id="studio", models=models)})
    replaying = Replaying(snapshot, governing(TenantPolicy(enabled=frozenset({"studio"}))), NOW)

    def receipt(model: str, tokens: tuple[int, int] = (0, 0), **usage: Any) -> dict[str, Any]:
        return {
            "label": Label().to_wire(),
            "decision": {"model": model, "capability": "images"},
            "endpoint": {"id": f"studio/{model}", "record_id": "studio"},
            "tokens": {"input": tokens[0], "output": tokens[1]},
            **({"usage": usage} if usage else {}),
        }

    took = [
        (receipt("painter", pictures=2, estimated=False), 0.08),
        (receipt("listener", seconds=90.0, estimated=True), 0.009),
        (receipt("speaker", characters=2000, estimated=False), 0.03),
        (receipt("by-token", (1000, 500), pictures=1, estimated=False), 0.025),  # as its server counted
        (receipt("by-token", pictures=1, estimated=False), 0.04),
        (receipt("by-token", (1000, 500)), 0.025),
        (receipt("painter", (1000, 500)), None),  # what a picture costs says nothing of a token
        (receipt("unknown", pictures=1, estimated=False), None),
    ]
    replaying.add([one for one, _ in took], NOW)
    found = replaying.found
    assert (found.calls, found.unreadable, found.refused, found.unpriced) == (8, 0, 0, 2)
    assert found.cost_before == pytest.approx(sum(eur for _, eur in took if eur is not None))
    assert found.cost_after == found.cost_before
    replaying.add([receipt("painter", pictures="many")], NOW)
    assert found.unreadable == 1


async def test_a_neighbour_replays_his_own_calls_and_a_member_none(
    policy: Policy, ours: Scope, neighbour: Scope, tmp_path: Path
) -> None:
    place = draft(tmp_path, "enabled: []\n")
    theirs = replace(neighbour, permissions=neighbour.permissions | {"policy:read", "audit:read"})
    assert (await policy.replay_file(theirs, place)).calls == 0
    with pytest.raises(Forbidden):
        await policy.replay_file(replace(ours, permissions=frozenset({"policy:read"})), place)
    with pytest.raises(BadPolicy):
        await policy.replay_file(theirs, draft(tmp_path, "enabled: [no/such]\n"))
