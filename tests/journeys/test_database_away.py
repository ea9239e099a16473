"""The database goes away under running calls: they go on, nothing is let in that should not be, no receipt is lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from psycopg.conninfo import make_conninfo

from bastide.api.doors import create
from bastide.app import House, open_house
from bastide.errors import BastideError, DatabaseUnavailable, DisabledKey
from bastide.inference import ModelSpec
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope
from bastide.store.cluster import is_server_of
from bastide.store.embedded import EmbeddedPostgres
from bastide.store.provision import provision_embedded
from bastide.tenancy import Tenancy
from bastide.testing import Says, ScriptedModel
from tests.journeys.processes import Process, free_port

LISTED = Query("test", "listed", "select id from audit.event where act = 'inference'")
ASKED = {"model": "ours", "messages": [{"role": "user", "content": "When does the lease end?"}]}


@dataclass
class Ground:
    """A PostgreSQL that is not the house's own: it can be stopped, and stays so."""

    server: EmbeddedPostgres
    home: Path
    url: str

    async def stop(self) -> None:
        await self.server.release(wait_s=30)

    def freeze(self) -> list[int]:
        """Stop all its processes where they are; which."""
        data = str(self.home.parent / "pg" / "postgres" / "data")
        found = [int(name) for name in os.listdir("/proc") if name.isdigit() and is_server_of(int(name), data)]
        for process in found:
            os.kill(process, signal.SIGSTOP)
        return found

    def thaw(self, frozen: list[int]) -> None:
        for process in frozen:
            os.kill(process, signal.SIGCONT)

    async def start(self, house: House) -> None:
        await self.server.ensure()
        assert await house.store.presence.returned(within_s=60)


@dataclass
class Taken:
    """A sink that keeps what comes."""

    status: int = 0
    receipt: str = ""
    body: bytes = b""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.receipt = dict(headers).get(b"x-bastide-receipt", b"").decode()
        self.begun.set()

    def on_piece(self, piece: bytes) -> None:
        self.body += piece

    def on_end(self) -> None:
        self.ended.set()


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="bst"))
    server = EmbeddedPostgres(folder / "pg", grace_s=0.0)
    found = await server.ensure()
    superuser = make_conninfo(
        host=found.host, port=found.port, user=found.superuser, password=found.superuser_password, dbname="postgres"
    )
    yield Ground(server, folder / "home", await provision_embedded(superuser, folder / "pg"))
    await server.release(wait_s=30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def house(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("bastide.audit.collecting._LEFT_S", 0.3)
    monkeypatch.setenv("BASTIDE_DATABASE_URL", ground.url)
    async with open_house(Settings.read(ground.home), sequence=True) as opened:
        yield opened


async def ask(house: House, scope: Scope, label: Label, **more: Any) -> Taken:
    taken = Taken()
    body = json.dumps({**ASKED, **more}).encode()
    house.inference.gateway.begin(scope, label, "chat", body, taken, request_id="req_test")
    async with asyncio.timeout(60):
        await taken.ended.wait()
    return taken


async def listed(house: House, scope: Scope, expected: set[str]) -> list[str]:
    """The calls in the log, once all that are expected are."""
    async with asyncio.timeout(40):
        while True:
            async with house.store.under(scope) as db:
                found = [row[0] for row in await db.rows(tuple, LISTED)]
            if expected <= set(found):
                return found
            await asyncio.sleep(0.05)


@pytest.mark.early
async def test_calls_outlive_the_database_and_their_receipts_arrive(ground: Ground, house: House) -> None:
    """BerriAI/litellm #38121, #30328, tensorzero/tensorzero #3643: without the database calls fail, keys are 401, and
    the gateway says that it is ready."""
    first = await house.tenancy.first_start()
    assert first is not None
    scope = await house.tenancy.authenticate(first.key)
    elsewhere = Tenancy(house.store, house.audit)  # another process of the house
    member, taken_back, unmet = [await elsewhere.create_key(scope, role="member") for _ in range(3)]
    for one in (member, taken_back):
        await house.tenancy.authenticate(one.key)
    label = Label()
    async with ScriptedModel(Says("In June.")) as server:
        await house.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True))
        taken = [await ask(house, scope, label)]
        await elsewhere.disable_key(scope, taken_back.about.id)
        await asyncio.sleep(1.0)  # as long as it takes to hear of it
        await house.tenancy.authenticate(member.key)
        await ground.stop()
        begun = time.monotonic()
        late = asyncio.create_task(refused(house, unmet.key))
        while time.monotonic() - begun < 4:  # past all that is remembered while the database is there
            acting = await house.tenancy.authenticate(member.key)
            taken.append(await ask(house, acting, label, stream=len(taken) % 2 == 0))
            await asyncio.sleep(0.05)
        slowest = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await house.audit.receipt(scope, taken[-1].receipt)
        assert time.monotonic() - slowest < 15, "it is said at once; others wait twenty seconds for its return"
        assert isinstance(await refused(house, taken_back.key), DatabaseUnavailable | DisabledKey)
        stranger = await late
        assert (stranger.status, bool(stranger.next_step)) == (503, True)
        assert await ready(house) == 503, "and it says so"
        refusal = await ask(house, acting, Label(min_ual=4))
        assert refusal.status in {409, 503}, "R12"
        chats = len(server.chats)
        await ground.start(house)
        async with asyncio.timeout(60):
            while await ready(house) != 200:
                await asyncio.sleep(0.1)
        assert {one.status for one in taken} == {200}
        assert len(taken) == chats > 10, "what is refused is not sent, whatever is away"
        found = await listed(house, scope, {one.receipt for one in taken})
    assert len(found) == len(set(found)) == len(taken)
    for one in taken[:: len(taken) // 5]:
        assert await house.audit.matches(scope, one.receipt, output=one.body)
    checked = await house.audit.verify()
    assert checked.valid, checked.problems
    await elsewhere.disable_key(scope, member.about.id)
    await asyncio.sleep(0.5)
    assert isinstance(await refused(house, member.key), DisabledKey), "and what changes now holds again"


async def test_a_database_that_does_not_answer_holds_up_the_first_call_only(ground: Ground, house: House) -> None:
    first = await house.tenancy.first_start()
    assert first is not None
    scope = await house.tenancy.authenticate(first.key)
    async with ScriptedModel(Says("In June.")) as server:
        await house.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True))
        await ask(house, scope, Label())
        frozen = ground.freeze()
        try:
            async with asyncio.timeout(60):  # each would wait ten seconds for its key, its policy and its models
                for _ in range(30):
                    await asyncio.sleep(0.2)  # past all that is remembered while the database answers
                    acting = await house.tenancy.authenticate(first.key)
                    assert (await ask(house, acting, Label())).status == 200
        finally:
            ground.thaw(frozen)
        assert await house.store.presence.returned(within_s=60)
        async with asyncio.timeout(60):
            while house.store.presence.silent:
                await asyncio.sleep(0.01)
        await house.tenancy.authenticate((await house.tenancy.create_key(scope, role="member")).key)


async def ready(house: House) -> int:
    """What whoever watches over the house is told."""
    transport = httpx2.ASGITransport(app=create(house))  # type: ignore[arg-type]  # its own type of ASGI scopes
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
        return (await client.get("/readyz")).status_code


async def refused(house: House, key: str) -> BastideError:
    with pytest.raises(BastideError) as caught:
        await house.tenancy.authenticate(key)
    return caught.value


async def test_a_server_killed_in_the_middle_of_a_stream_while_the_database_is_away(
    ground: Ground, house: House
) -> None:
    first = await house.tenancy.first_start()
    assert first is not None
    scope = await house.tenancy.authenticate(first.key)
    port = free_port()
    async with ScriptedModel(Says("a long story " * 200, pause_s=0.05)) as server:
        await house.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True))
        serving = Process(ground.home, "serve", "--role", "api", port=port)
        await asyncio.to_thread(serving.wait_ready)
        streams = [await streamed(port, first.key) for _ in range(3)]
        await asyncio.sleep(0.5)
        await ground.stop()
        late = [await streamed(port, first.key) for _ in range(3)]
        await asyncio.sleep(0.5)
        serving.kill()
        await ground.start(house)
        given = {receipt for receipt, _ in (*streams, *late)}
        found = await listed(house, scope, given)
        assert sorted(found) == sorted(given)
        for receipt, writer in (*streams, *late):
            writer.close()
            assert (await house.audit.receipt(scope, receipt)).body["outcome"] == "interrupted"
    checked = await house.audit.verify()
    assert checked.valid, checked.problems


async def streamed(port: int, key: str) -> tuple[str, asyncio.StreamWriter]:
    """A stream that has begun: its receipt, and the line on which it goes on."""
    body = json.dumps({**ASKED, "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(60):
        said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        assert " 200 " in said.splitlines()[0], said
        await reader.readuntil(b"\n\n")
    fields = dict(line.lower().split(": ", 1) for line in said.splitlines()[1:] if ": " in line)
    return fields["x-bastide-receipt"], writer


async def test_a_house_closes_though_its_database_is_away(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bastide.store.store._REVIVE_S", 600.0)  # what each room would wait for its last words
    monkeypatch.setenv("BASTIDE_DATABASE_URL", ground.url)
    async with asyncio.timeout(120), open_house(Settings.read(ground.home), sequence=True, work=True):
        await ground.stop()
