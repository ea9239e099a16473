"""Calls of sound and pictures are reserved and paid in their own units, at what a record says that they cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.rooms.egress.conftest import Authority

from bastide.errors import BudgetSpent, UpstreamFailed
from bastide.inference import ModelSpec, Sent, Used
from bastide.policy import Label
from bastide.store import Scope
from bastide.testing import Answer, Asked, Fails, Raw, Tells

from .conftest import Rooms
from .test_inference import receipt, remote
from .test_metering import wav

HOST = "api.studio.example"
PUBLIC = Label(cls="public", personal="none")
ANY = ("images", "speech", "transcription")
SOUND = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nConnection: close\r\nContent-Length: 6\r\n\r\nID3abc"
USAGE = {"type": "tokens", "input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}


def works(asked: Asked) -> Answer:
    """What a studio answers: two pictures, a text, a sound."""
    if asked.path.endswith("/speech"):
        return Raw(SOUND)
    if asked.path.endswith("/transcriptions"):
        return Tells({"text": "Good morning."})
    return Tells({"created": 1, "data": [{"b64_json": "UE5H"}] * 2})


async def add(rooms: Rooms, scope: Scope, *names: str) -> None:
    for name in names:
        spec = ModelSpec(name, provider="test/studio", upstream=name, capabilities=ANY)
        await rooms.inference.add_model(scope, spec)


async def ask(rooms: Rooms, scope: Scope, model: str, capability: str = "images", **fields: Any) -> str:
    """One call to its end; its receipt."""
    sound = [Sent("a.wav", "audio/wav", wav(30.0))] if capability == "transcription" else []
    answer = await rooms.inference.media.call(scope, capability, fields, label=PUBLIC, model=model, files=sound)
    async for _ in answer.pieces:
        pass
    return answer.receipt


async def used(rooms: Rooms, scope: Scope) -> dict[str, Used]:
    return {one.name: one for one in await rooms.inference.accounts.usage(scope)}


async def test_each_is_paid_by_its_unit(rooms: Rooms, ours: Scope, authority: Authority) -> None:
    async with remote(rooms, authority, HOST, works):
        await add(rooms, ours, "painter", "listener", "speaker", "nobody-knows")
        painted = await ask(rooms, ours, "painter", prompt="A town", n=2)
        heard = await ask(rooms, ours, "listener", "transcription")
        await ask(rooms, ours, "speaker", "speech", input="x" * 1000, voice="one")
        await ask(rooms, ours, "nobody-knows", prompt="A town")
    found = await used(rooms, ours)
    assert found["painter"].pictures == 2
    assert found["painter"].eur == pytest.approx(0.08)
    assert found["listener"].seconds == pytest.approx(30)
    assert found["listener"].eur == pytest.approx(0.003)
    assert found["speaker"].characters == 1000
    assert found["speaker"].eur == pytest.approx(0.015)
    assert (found["nobody-knows"].pictures, found["nobody-knows"].unpriced, found["nobody-knows"].eur) == (2, 1, 0.0)
    assert {(one.tokens_in, one.tokens_out, one.estimated) for one in found.values()} == {(0, 0, 0)}
    assert sum(one.unpriced for one in found.values()) == 1
    assert (await receipt(rooms, ours, painted))["usage"] == {"pictures": 2, "estimated": False}
    assert (await receipt(rooms, ours, heard))["usage"] == {"seconds": 30.0, "estimated": False}


async def test_tokens_that_the_server_counts_are_paid_as_tokens(
    rooms: Rooms, ours: Scope, authority: Authority
) -> None:
    async with remote(rooms, authority, HOST, Tells({"data": [{"b64_json": "UE5H"}], "usage": USAGE})):
        await add(rooms, ours, "by-token")
        await ask(rooms, ours, "by-token", prompt="A town")
    one = (await used(rooms, ours))["by-token"]
    assert (one.tokens_in, one.tokens_out, one.pictures, one.estimated, one.unpriced) == (1000, 500, 1, 0, 0)
    assert one.eur == pytest.approx((1000 * 5 + 500 * 40) / 1e6)


async def test_a_length_is_guessed_where_only_a_minute_has_a_price(
    rooms: Rooms, ours: Scope, authority: Authority
) -> None:
    async with remote(rooms, authority, HOST, Tells({"text": "Good morning.", "usage": USAGE})):
        await add(rooms, ours, "listener", "by-token")
        for model in ("listener", "by-token"):
            file = Sent("a.mp3", "audio/mpeg", b"ID3" + bytes(79_997))
            answer = await rooms.inference.media.call(
                ours, "transcription", {}, label=PUBLIC, model=model, files=[file]
            )
            assert b"".join([piece async for piece in answer.pieces])
    found = await used(rooms, ours)
    by_minute, by_token = found["listener"], found["by-token"]
    assert (by_minute.seconds, by_minute.estimated, by_minute.unpriced) == (10.0, 1, 0)
    assert by_minute.eur == pytest.approx(0.001)
    assert (by_token.seconds, by_token.estimated, by_token.unpriced) == (0.0, 0, 0)
    assert by_token.eur == pytest.approx(0.025)
    assert {one.tokens_out for one in found.values()} == {500}


async def test_money_is_reserved_before_and_settled_after(rooms: Rooms, ours: Scope, authority: Authority) -> None:
    """A budget for five pictures lets no sixth be made, and no more at once than it has room for."""
    await rooms.inference.accounts.set_budget(ours, of="tenant", eur=0.20)
    async with remote(rooms, authority, HOST, works) as server:
        await add(rooms, ours, "painter", "given-away")
        running = await rooms.inference.media.call(
            ours, "images", {"prompt": "x", "n": 5}, label=PUBLIC, model="painter"
        )
        with pytest.raises(BudgetSpent) as held:  # all of it is reserved for five pictures
            await ask(rooms, ours, "painter", prompt="x")
        assert held.value.facts["retry_after_s"] == 2
        async for _ in running.pieces:  # two came: the money for three comes back
            pass
        await ask(rooms, ours, "painter", prompt="x", n=2)
        await ask(rooms, ours, "painter", prompt="x", n=1)  # two again: one more than was thought
        made = len([one for one in server.asked if one.method == "POST"])
        with pytest.raises(BudgetSpent) as spent:
            await ask(rooms, ours, "painter", prompt="x")
        assert len([one for one in server.asked if one.method == "POST"]) == made == 3, "nothing is sent"
        await ask(rooms, ours, "given-away", prompt="x")  # what is known to cost nothing still answers
    (budget,) = await rooms.inference.accounts.budgets(ours)
    assert budget.spent_eur == pytest.approx(0.24)
    assert budget.spent_tokens == 0
    assert spent.value.facts["limit_eur"] == 0.20


async def test_what_an_endpoint_lists_of_tokens_takes_nothing_from_what_its_record_says_of_units(
    rooms: Rooms, ours: Scope, authority: Authority
) -> None:
    async with remote(rooms, authority, HOST, works) as server:
        free = {"prompt": "0", "completion": "0", "image": "0", "request": "0", "currency": "EUR"}
        server.listed = [{"id": name, "pricing": free} for name in ("painter", "nobody-knows")]
        await add(rooms, ours, "painter", "nobody-knows")
        await rooms.inference.catalogue.sync(ours, provider="test/studio")
        await ask(rooms, ours, "painter", prompt="A town")
        await ask(rooms, ours, "nobody-knows", prompt="A town")
    found = await used(rooms, ours)
    assert (found["painter"].eur, found["painter"].unpriced) == (pytest.approx(0.08), 0)
    assert (found["nobody-knows"].eur, found["nobody-knows"].unpriced) == (0.0, 1), "unknown, and not nothing"


async def test_a_budget_of_tokens_counts_no_bytes(rooms: Rooms, ours: Scope, authority: Authority) -> None:
    await rooms.inference.accounts.set_budget(ours, of="tenant", tokens=100)
    await rooms.inference.accounts.set_rate(ours, of="tenant", tokens=10)  # of which a sixteenth is no token
    async with remote(rooms, authority, HOST, works):
        await add(rooms, ours, "listener")
        for _ in range(3):  # a megabyte each
            await ask(rooms, ours, "listener", "transcription")
    (budget,) = await rooms.inference.accounts.budgets(ours)
    assert budget.spent_tokens == 0
    await rooms.inference.accounts.set_budget(ours, of="tenant", tokens=0)
    with pytest.raises(BudgetSpent):
        await ask(rooms, ours, "listener", "transcription")


async def test_what_fails_costs_nothing_and_who_leaves_has_asked(
    rooms: Rooms, ours: Scope, authority: Authority
) -> None:
    async with remote(rooms, authority, HOST, Fails(500)):
        await add(rooms, ours, "painter")
        with pytest.raises(UpstreamFailed):
            await ask(rooms, ours, "painter", prompt="x", n=3)
    one = (await used(rooms, ours))["painter"]
    assert (one.calls, one.pictures, one.eur, one.unpriced, one.estimated) == (1, 0, 0.0, 0, 0)
    half = SOUND.replace(b"audio/mpeg", b"application/json").replace(b": 6\r", b": 600\r")
    async with remote(rooms, authority, HOST, Raw(half, pause_s=30)):
        answer = await rooms.inference.media.call(
            ours, "images", {"prompt": "x", "n": 3}, label=PUBLIC, model="painter"
        )
        async with asyncio.timeout(60):
            assert await anext(answer.pieces) == b"ID3abc"
        await answer.pieces.aclose()
    one = (await used(rooms, ours))["painter"]
    assert (one.calls, one.pictures, one.estimated) == (2, 3, 1)
    assert one.eur == pytest.approx(0.12)
    told = await receipt(rooms, ours, answer.receipt)
    assert (told["outcome"], told["usage"]) == ("aborted", {"pictures": 3, "estimated": True})
