"""An intake that nobody closes closes by itself, once no file has come for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bastide.app import House, open_house
from bastide.errors import IntakeClosed
from bastide.settings import KnowledgeSettings, Settings
from bastide.store import Scope

IDLE_S = 6.0


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house of its own, where an intake waits for six seconds instead of an hour: no other worker may take it."""
    settings = Settings.read(tmp_path_factory.mktemp("idle") / "home", environment={})
    hurried = replace(settings, knowledge=KnowledgeSettings(intake_idle_s=IDLE_S))
    async with open_house(hurried, sequence=True, work=True) as opened:
        yield opened


async def test_an_intake_that_is_forgotten_sums_up(house: House, ours: Scope) -> None:
    opened = await house.knowledge.intake(ours)
    await house.knowledge.stage(ours, "gate.md", b"# Gate\n\nThe east gate opens at eight.", job=opened.id)
    record = await house.workflows.result(ours, opened.id, timeout_s=60)
    assert record.status == "done", record.problem
    assert isinstance(record.output, dict)
    assert (record.output["ingested"], record.output["files"]) == (1, 1)
    assert record.ended_at is not None
    assert (record.ended_at - record.created_at).total_seconds() >= IDLE_S
    with pytest.raises(IntakeClosed):
        await house.knowledge.stage(ours, "late.md", b"Too late.", job=opened.id)


async def test_an_intake_stays_open_while_files_come(house: House, ours: Scope) -> None:
    opened = await house.knowledge.intake(ours)
    for number in range(4):
        record = await house.workflows.result(ours, opened.id, timeout_s=IDLE_S / 3)
        assert not record.ended
        await house.knowledge.stage(ours, f"note-{number}.md", f"Note {number}.".encode(), job=opened.id)
    record = await house.workflows.result(ours, opened.id, timeout_s=60)
    assert isinstance(record.output, dict)
    assert record.output["ingested"] == 4
