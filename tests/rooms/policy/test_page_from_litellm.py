"""The facts on the page for who comes from LiteLLM: they are enough for what the page says, and for no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bastide.policy import Endpoint, Label
from bastide.policy.decision import Snapshot, governing
from bastide.policy.record import load_records
from bastide.policy.rules import HOLDS
from bastide.policy.values import TenantPolicy

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "from-litellm.md"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("label", "before", "after"),
    [
        (Label(), False, True),
        (Label(cls="internal", personal="personal"), False, True),
        (Label(cls="confidential", personal="personal"), False, True),
        (Label(cls="restricted"), False, False),
        (Label(personal="special"), False, False),
    ],
)
def test_the_facts_of_the_page(tmp_path: Path, label: Label, before: bool, after: bool) -> None:
    found = re.search(r"```yaml\n# providers/(\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    verdicts = []
    for folders in ([], [tmp_path]):
        records = load_records(folders)
        record = records["scaleway/generative-apis/fr-par"]
        law = governing(TenantPolicy(enabled=frozenset({record.id})), air_gap=False)
        endpoint = Endpoint(f"{record.id}/small", record.id, "small", url=record.url)
        act = {"capability": "chat", "purpose": "", "attempt": "direct", "original": ""}
        verdicts.append(Snapshot(records).decide(label, endpoint, law, NOW, quarantine=HOLDS, **act).allowed)
        (tmp_path / found[1]).write_text(found[2], encoding="utf-8")
    assert verdicts == [before, after]
