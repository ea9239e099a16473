"""Kept answers: given again to who asks the same under the same law and label, decided and recorded anew; else not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import scope_of

from bastide.errors import BadBudget, Forbidden, UnknownBudget
from bastide.inference import ModelSpec
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Says, ScriptedModel

from .conftest import Rooms
from .test_gateway import ASKED, Taken, call

SURE = {**ASKED, "model": "ours", "temperature": 0}


@pytest.fixture
def chief() -> Scope:
    return scope_of(new_id("ten"))


async def ask(rooms: Rooms, scope: Scope, label: Label | None = None, **more: Any) -> Taken:
    taken = await call(rooms, scope, {**SURE, **more}, label=label or Label())
    assert taken.status == 200, taken.body
    return taken


async def prepare(rooms: Rooms, scope: Scope, server: ScriptedModel, **more: Any) -> None:
    await rooms.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True))
    await rooms.inference.accounts.keep_answers(scope, "ours", **more)


async def test_the_same_question_is_answered_again_with_a_receipt_that_names_the_first(
    rooms: Rooms, chief: Scope
) -> None:
    async with ScriptedModel(Says("In June."), Says("Never.")) as server:
        await prepare(rooms, chief, server)
        first = await ask(rooms, chief)
        again = await ask(rooms, chief)
        assert (again.body, len(server.chats)) == (first.body, 1)
        receipt = await rooms.audit.receipt(chief, again.headers["x-bastide-receipt"])
        original = first.headers["x-bastide-receipt"]
        assert receipt.id != original == again.headers["x-bastide-cached"]
        assert (receipt.body["outcome"], receipt.body["endpoint"]["cached"]) == ("cached", original)
        assert receipt.body["tokens"] == {"input": 0, "output": 0}
        assert receipt.body["decision"]["allowed"] is True
        assert await rooms.audit.matches(chief, receipt.id, output=again.body)
        assert "x-bastide-cached" not in first.headers
        (used,) = await rooms.inference.accounts.usage(chief)
        assert (used.calls, used.tokens_out) == (2, 2), "it is counted, and took nothing"


async def test_a_stream_is_kept_when_it_is_whole_and_given_again_as_a_stream(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("It ends in June.", cut_after=2), Says("It ends in June.")) as server:
        await prepare(rooms, chief, server)
        await ask(rooms, chief, stream=True)  # broken off in the middle: nothing is kept of it
        first = await ask(rooms, chief, stream=True)
        again = await ask(rooms, chief, stream=True)
    assert len(server.chats) == 2
    assert (first.text, again.text, again.headers["content-type"]) == (
        "It ends in June.",
        "It ends in June.",
        "text/event-stream",
    )


async def test_nothing_is_given_to_another_tenant_label_question_or_law(
    rooms: Rooms, chief: Scope, neighbour: Scope
) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await prepare(rooms, chief, server)
        await prepare(rooms, neighbour, server)
        await ask(rooms, chief)
        await ask(rooms, neighbour)
        await ask(rooms, chief, Label(cls="confidential"))
        await ask(rooms, chief, Label(personal="personal", subjects=frozenset({"usr_a"})))
        await ask(rooms, chief, seed=7)
        assert len(server.chats) == 5, "each was asked by itself"
        law = await rooms.policy.settings(chief)
        await rooms.policy.set_policy(chief, replace(law, min_ual=0, floor="contract"))  # the same, said anew
        await ask(rooms, chief)
        assert len(server.chats) == 6, "another law is another question"
        await ask(rooms, chief)
        assert len(server.chats) == 6


async def test_without_a_wish_or_left_to_chance_nothing_is_kept(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await rooms.inference.add_model(chief, ModelSpec("ours", url=server.url, local=True))
        await ask(rooms, chief)
        await ask(rooms, chief)
        assert len(server.chats) == 2
        await rooms.inference.accounts.keep_answers(chief, "*")
        await ask(rooms, chief, temperature=0.7)
        await ask(rooms, chief, temperature=0.7)
        assert len(server.chats) == 4
        await rooms.inference.accounts.keep_answers(chief, "*", forced=True)
        await ask(rooms, chief, temperature=0.7)
        await ask(rooms, chief, temperature=0.7)
        assert len(server.chats) == 5
        await rooms.inference.accounts.drop_answers(chief, "*")
        await ask(rooms, chief, temperature=0.7)
        assert len(server.chats) == 6


async def test_after_an_erasure_and_after_its_time_nothing_is_given(rooms: Rooms, chief: Scope) -> None:
    cache = rooms.inference.gateway.cache
    async with ScriptedModel(Says("In June.")) as server:
        await prepare(rooms, chief, server)
        await ask(rooms, chief)
        await rooms.inference.accounts.erase_person(chief, "usr_a")
        assert not [one for one in cache._answers.values() if one.tenant == chief.tenant]
        await ask(rooms, chief)
        assert len(server.chats) == 2
        await rooms.inference.accounts.keep_answers(chief, "ours", ttl_s=1)
        await ask(rooms, chief)
        await asyncio.sleep(1.05)
        await ask(rooms, chief)
        assert len(server.chats) == 4


async def test_an_endpoint_that_may_not_answer_any_more_gives_nothing(rooms: Rooms, chief: Scope) -> None:
    """The law changes so that the place is out: what it once answered is out as well."""
    async with ScriptedModel(Says("In June.")) as server:
        await prepare(rooms, chief, server)
        await ask(rooms, chief)
        law = await rooms.policy.settings(chief)
        await rooms.policy.set_policy(chief, replace(law, enabled=law.enabled - {"local/runtime"}))
        refused = await call(rooms, chief, SURE)
        assert (refused.status, refused.json["error"]["code"]) == (409, "inference.no_permitted_model")
        back = await rooms.policy.settings(chief)
        await rooms.policy.set_policy(chief, replace(back, enabled=back.enabled | {"local/runtime"}))
        await ask(rooms, chief)
        assert len(server.chats) == 2, "that law is another one, too"


async def test_who_may_have_answers_kept(rooms: Rooms, chief: Scope, nobody: Scope) -> None:
    accounts = rooms.inference.accounts
    with pytest.raises(Forbidden):
        await accounts.keep_answers(nobody, "ours")
    with pytest.raises(UnknownBudget):
        await accounts.drop_answers(chief, "ours")
    with pytest.raises(BadBudget):
        await accounts.keep_answers(chief, "ours", ttl_s=0)
    await accounts.keep_answers(chief, "ours")
    assert [one.model for one in await accounts.kept_answers(chief)] == ["ours"]


async def test_a_question_much_like_an_earlier_one_gets_its_answer_where_all_else_is_the_same(
    rooms: Rooms, chief: Scope, neighbour: Scope
) -> None:
    def saying(content: str, system: str = "Be brief.") -> dict[str, Any]:
        return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": content}]}

    question = saying("When does the lease of the house in Lyon end?")
    alike = saying("When does the lease of the house in Lyon end exactly?")
    async with ScriptedModel(Says("In June.")) as server:
        for scope in (chief, neighbour):
            await prepare(rooms, scope, server, likeness=0.8)
            spec = ModelSpec("near", url=server.url, local=True, capabilities=("embeddings",), upstream="scripted")
            await rooms.inference.add_model(scope, spec)
        first = await ask(rooms, chief, **question)
        again = await ask(rooms, chief, **alike)
        assert len(server.chats) == 1
        assert again.headers["x-bastide-cached"] == first.headers["x-bastide-receipt"]
        await ask(rooms, chief, **saying("Who mows the lawn on Sundays?"))
        await ask(rooms, chief, **{**alike, **saying(alike["messages"][1]["content"], "Be long.")})
        await ask(rooms, chief, Label(cls="confidential"), **alike)
        await ask(rooms, neighbour, **alike)
        assert len(server.chats) == 5, "each of these is a question of its own"
        await rooms.inference.accounts.keep_answers(chief, "ours")
        await ask(rooms, chief, **question)
        await ask(rooms, chief, **alike)
        assert len(server.chats) == 7, "only the very same, where nothing else was asked for"


async def test_what_answers_take_beside_their_words_counts(rooms: Rooms, chief: Scope) -> None:
    async with ScriptedModel(Says("In June.")) as server:
        await prepare(rooms, chief, server, likeness=0.99)
        cache = rooms.inference.gateway.cache
        before, cache._bytes_max = cache._bytes_max, 12_000
        try:
            for n in range(8):
                await ask(rooms, chief, messages=[{"role": "user", "content": f"{'why ' * n}?"}])
            kept = [one for one in cache._answers.values() if one.tenant == chief.tenant]
            assert 0 < len(kept) <= 6, "each takes two kilobytes and more"
            assert all(one.vector is not None for one in kept)
        finally:
            cache._bytes_max = before
