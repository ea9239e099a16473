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
from bastide.policy import Label, Policy
from bastide.store import Scope, Store

from .test_policy import OVH

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
