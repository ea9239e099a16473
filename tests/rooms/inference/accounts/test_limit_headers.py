"""What is left of a rate stands in the head of each answer, in the words of its wire, where there is a rate."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import scope_of
from tests.rooms.inference.conftest import Rooms
from tests.rooms.inference.test_gateway import ASKED, Taken, call

from bastide.inference import ModelSpec
from bastide.inference.gateway.limits import duration
from bastide.store import Scope, new_id
from bastide.testing import Says, ScriptedModel

from .test_usage import caller

MESSAGE = {"max_tokens": 16, "messages": [{"role": "user", "content": "When?"}]}


@pytest.fixture
def chief() -> Scope:
    return scope_of(new_id("ten"))


def limits_in(taken: Taken) -> dict[str, str]:
    return {name: value for name, value in taken.headers.items() if "ratelimit" in name}


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "0ms"), (0.12, "120ms"), (6, "6s"), (59.6, "1m0s"), (90, "1m30s")])
def test_a_duration_is_said_as_openai_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said.encode()


async def test_openais_clients_read_what_is_left(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        free = await call(rooms, caller(chief), {**ASKED, "model": "ours"})
        assert limits_in(free) == {}, "nothing is said where nothing bounds"
        await rooms.inference.accounts.set_rate(chief, of="tenant", requests=600)
        await rooms.inference.accounts.set_rate(chief, of="user", subject="*", requests=60, tokens=90_000)
        seen = []
        for body in ({"model": "ours"}, {"model": "ours", "stream": True}, {"model": "ours", "temperature": 0}):
            seen.append(limits_in(await call(rooms, caller(chief), {**ASKED, **body})))
        other = limits_in(await call(rooms, caller(chief, None, "app_x"), {**ASKED, "model": "ours"}))
    names = {
        f"x-ratelimit-{name}-{kind}" for name in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
    }
    for said in seen:
        assert set(said) == names
        assert (said["x-ratelimit-limit-requests"], said["x-ratelimit-limit-tokens"]) == ("60", "90000"), (
            "the narrowest"
        )
        assert re.fullmatch(r"(\d+m)?\d+m?s", said["x-ratelimit-reset-requests"])
        assert 80_000 < int(said["x-ratelimit-remaining-tokens"]) < 90_000
    left = [int(said["x-ratelimit-remaining-requests"]) for said in seen]
    assert left == [59, 58, 57] or left == [59, 58, 58], "a second brings another"
    assert other["x-ratelimit-limit-requests"] == "600", "who is bounded less is told of that"
    assert "x-ratelimit-limit-tokens" not in other


async def test_anthropics_clients_read_when_all_is_there_again(rooms: Rooms, chief: Scope) -> None:
    await rooms.inference.accounts.set_rate(chief, of="tenant", requests=2)
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        answered = await call(rooms, caller(chief), {**MESSAGE, "model": "ours"}, wire="messages")
        await call(rooms, caller(chief), {**MESSAGE, "model": "ours"}, wire="messages")
        refused = await call(rooms, caller(chief), {**MESSAGE, "model": "ours"}, wire="messages")
    assert answered.status == 200
    assert limits_in(answered)["anthropic-ratelimit-requests-limit"] == "2"
    assert limits_in(answered)["anthropic-ratelimit-requests-remaining"] == "1"
    whole = datetime.fromisoformat(limits_in(answered)["anthropic-ratelimit-requests-reset"])
    assert timedelta(seconds=20) < whole - datetime.now(UTC) < timedelta(seconds=31)
    assert (refused.status, refused.json["error"]["type"]) == (429, "rate_limit_error")
    assert int(refused.headers["retry-after"]) >= 1
    assert limits_in(refused)["anthropic-ratelimit-requests-remaining"] == "0"
    assert refused.json["error"]["limits"]["requests"]["limit"] == 2


async def test_a_kept_answer_and_one_of_this_process_say_it_too(rooms: Rooms, chief: Scope) -> None:
    await rooms.inference.accounts.set_rate(chief, of="tenant", requests=60)
    await rooms.inference.accounts.keep_answers(chief, "*", ttl_s=60)
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        asked = {**ASKED, "model": "ours", "temperature": 0}
        fresh, kept = [await call(rooms, caller(chief), asked) for _ in range(2)]
        here = await call(rooms, caller(chief), {**ASKED, "model": "local/extractive"})
    assert "x-bastide-cached" in kept.headers
    assert kept.body == fresh.body
    assert [len(limits_in(one)) for one in (fresh, kept, here)] == [3, 3, 3]
