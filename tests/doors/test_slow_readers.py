"""Who sends without reading what is answered: it costs the house little, and costs others nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import pytest

from bastide.api.lane.callers import Callers
from bastide.api.lane.lane import Behind, Lane
from bastide.app import House
from bastide.testing import Says, ScriptedModel
from tests.doors.calls import ASKED, request
from tests.doors.conftest import Company, bearer


class Reluctant:
    """A transport whose client is in our hand: what it sends, and whether it takes anything."""

    def __init__(self) -> None:
        self.written = b""
        self.left = 0  # of what was written and nobody has taken
        self.reads = True
        self.more = asyncio.Event()
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Something for the client."""
        self.written += data
        self.more.set()

    def pause_reading(self) -> None:
        """Nothing more is wanted of it."""
        self.reads = False

    def resume_reading(self) -> None:
        """It may go on."""
        self.reads = True
        self.more.set()

    def is_closing(self) -> bool:
        """It stands."""
        return False

    def get_write_buffer_size(self) -> int:
        """What waits for it."""
        return self.left

    def close(self) -> None:
        """It is over."""

    def abort(self) -> None:
        """It is over at once."""
        self.aborted = True

    @property
    def answers(self) -> int:
        """How many have begun."""
        return self.written.count(b"HTTP/1.1 ")

    async def until(self, said: bytes, times: int = 1) -> None:
        """Wait until so much of it was written."""
        async with asyncio.timeout(60):
            while self.written.count(said) < times:
                self.more.clear()
                await self.more.wait()


@pytest.fixture
async def behind(house: House) -> Behind:
    """What lanes of ours share."""
    return Behind(house.inference.gateway, Callers(house.tenancy, house.policy))


def opened(behind: Behind) -> tuple[Lane, Reluctant]:
    """A connection, and its other end."""

    def elsewhere() -> asyncio.Protocol:
        raise AssertionError("it is for the lane")

    lane, client = Lane(behind, set(), elsewhere), Reluctant()
    lane.connection_made(cast(Any, client))
    return lane, client


async def asked(behind: Behind, us: Company, body: Any = ASKED) -> None:
    """A whole call over another connection."""
    lane, client = opened(behind)
    lane.data_received(request(us, body))
    await client.until(b"HTTP/1.1 200 ")
    lane.connection_lost(None)


@pytest.fixture
async def long(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[ScriptedModel]:
    """A model that goes on for a million bytes and more."""
    async with ScriptedModel(Says(" ".join(f"word{n}" * 40 for n in range(3_000)))) as made:
        body = {"name": "torrent", "url": made.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        assert (await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))).is_success
        yield made
        await web.delete("/api/v1/models/torrent", headers=bearer(us.keys["administrator"]))


async def test_nothing_more_is_asked_for_whoever_has_not_read_the_last_answer(
    behind: Behind, us: Company, model: ScriptedModel
) -> None:
    lane, client = opened(behind)
    lane.data_received(request(us))
    await client.until(b"HTTP/1.1 200 ")
    lane.pause_writing()
    lane.data_received(request(us) + request(us))
    for _ in range(3):
        await asked(behind, us)
    assert (len(model.chats), client.answers) == (4, 1)
    lane.resume_writing()
    await client.until(b"HTTP/1.1 200 ", 3)
    assert len(model.chats) == 6
    lane.connection_lost(None)


@pytest.mark.parametrize("known", [False, True])
async def test_a_client_that_is_behind_before_the_first_word_holds_the_model_back(
    behind: Behind, us: Company, model: ScriptedModel, long: ScriptedModel, known: bool
) -> None:
    if known:  # else its key is looked up first
        await asked(behind, us)
    lane, client = opened(behind)
    lane.data_received(request(us, {**ASKED, "model": "torrent", "stream": True}))
    lane.pause_writing()
    await client.until(b"data: ")
    for _ in range(300):
        await asked(behind, us)
    assert len(client.written) < 512 * 1024
    lane.resume_writing()
    await client.until(b"data: [DONE]")
    lane.connection_lost(None)


async def test_a_connection_is_closed_for_whoever_says_so_also_after_a_call_of_nothing(
    behind: Behind, us: Company, model: ScriptedModel
) -> None:
    for body in (b"", ASKED):
        lane, client = opened(behind)
        lane.data_received(request(us, body, "Connection: close"))
        await client.until(b"\r\nconnection: close\r\n")
        lane.connection_lost(None)


async def test_what_is_sent_ahead_is_taken_as_it_is_answered(behind: Behind, us: Company) -> None:
    lane, client = opened(behind)
    one, at_once, sent = request(us, b"{}", key="bst_" + "0" * 64), 500, 0
    while client.answers < 1000:
        async with asyncio.timeout(60):
            while not client.reads and client.answers < 1000:
                client.more.clear()
                await client.more.wait()
        lane.data_received(one * at_once)
        sent += at_once
        assert (sent - client.answers) * len(one) < 64 * 1024 + 2 * at_once * len(one)
        await asyncio.sleep(0)
    lane.connection_lost(None)


async def test_who_takes_nothing_at_all_is_let_go(behind: Behind) -> None:
    lane, client = opened(behind)
    assert not lane.unread(0.0)
    lane.pause_writing()
    client.left = 90_000
    assert not lane.unread(1.0)
    client.left = 80_000
    assert not lane.unread(119.0)
    assert not lane.unread(200.0), "it has taken something since"
    assert lane.unread(240.0)
    lane.resume_writing()
    assert not lane.unread(900.0)
    lane.connection_lost(None)
