"""The database goes away within a batch: what was answered stays, what was in flight is asked again, none is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from bastide.app import open_house
from bastide.inference import ModelSpec
from bastide.policy import Label
from bastide.settings import Settings
from bastide.testing import Asked, Says, ScriptedModel

from .test_database_away import Ground, ground

__all__ = ["ground"]

ENDPOINT = "/v1/chat/completions"
LINES = 48
IN_FLIGHT = 8


def line(name: str) -> dict[str, object]:
    body = {"model": "ours", "messages": [{"role": "user", "content": name}]}
    return {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}


@pytest.mark.early
async def test_a_database_that_goes_away_within_a_batch_loses_no_line_and_doubles_none(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASTIDE_DATABASE_URL", ground.url)
    asked: Counter[str] = Counter()
    names = [f"n{number}" for number in range(LINES)]

    def answer(one: Asked) -> Says:
        asked[str(one.body["messages"][0]["content"])] += 1
        return Says("Yes.", pause_s=0.1)

    async with (
        open_house(Settings.read(ground.home), sequence=True, work=True) as house,
        ScriptedModel(answer) as server,
    ):
        first = await house.tenancy.first_start()
        assert first is not None
        scope = await house.tenancy.authenticate(first.key)
        await house.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True, upstream="scripted"))
        data = b"".join(json.dumps(line(name)).encode() + b"\n" for name in names)
        file = await house.batches.files.add(scope, "calls.jsonl", data, label=Label())
        batch = await house.batches.create(scope, input_file=file.id, endpoint=ENDPOINT, label=Label())
        async with asyncio.timeout(60):
            while (await house.batches.get(scope, batch.id)).answered < LINES // 4:
                await asyncio.sleep(0.02)
        await ground.stop()
        at_loss = asked.total()
        await asyncio.sleep(1.0)
        assert asked.total() - at_loss <= IN_FLIGHT, "nothing is asked whose answer could not be kept"
        await ground.start(house)
        done = (await house.workflows.result(scope, batch.job, timeout_s=120)).output
        ended = await house.batches.get(scope, batch.id)
        _, pieces = await house.batches.files.content(scope, str(ended.output_file))
        answers = [json.loads(one) for one in b"".join([piece async for piece in pieces]).splitlines()]
    assert isinstance(done, dict)
    assert (done["status"], done["completed"], done["failed"]) == ("completed", LINES, 0)
    assert [one["custom_id"] for one in answers] == names, "none is lost, none stands there twice"
    assert set(asked) == set(names)
    assert asked.total() - LINES <= 2 * IN_FLIGHT, "only what was in flight was asked again"
