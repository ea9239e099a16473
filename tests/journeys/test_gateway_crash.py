"""kill -9 and SIGSTOP at random moments while calls are answered: each answer has its receipt, and counts once."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bastide.store.cluster import is_server_of
from bastide.testing import Fails, Says, ScriptedModel
from tests.journeys.processes import answer_of, call, postmaster, run
from tests.journeys.typist import Forked

TOKENS = 7  # of each answer, as its server says
BUDGET = 4_000
CALLERS = 8
DISTURBANCES = ("kill gateway", "kill house", "kill database", "freeze gateway", "freeze house", "freeze database")
UNKEPT_S = 1.0  # what was answered in the last tenth of a second may have no receipt; a busy disk takes longer
UNWRITTEN_S = 1.5  # what was used in the last half of a second may not be counted


@dataclass(frozen=True)
class Answered:
    """An answer that a caller has got."""

    receipt: str
    tenant: str
    by: int
    at: float


@dataclass
class Ground:
    """A house of three processes, and what is done to it."""

    home: Path
    house: Forked
    gateways: Sequence[Forked]
    keys: dict[str, str]
    answered: list[Answered] = field(default_factory=list)
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    kills: list[tuple[int, float]] = field(default_factory=list)

    @property
    def doors(self) -> list[Forked]:
        return [self.house, *self.gateways]

    async def calls(self, number: int, until: asyncio.Event) -> None:
        """One caller: asks one process after the other, streamed or not, by the model's name or a route's."""
        dice = random.Random(number)
        async with httpx2.AsyncClient(timeout=60) as client:
            while not until.is_set():
                tenant, door = dice.choice(list(self.keys)), dice.choice(self.doors)
                body = {"model": dice.choice(["one", "way"]), "max_tokens": 20, "stream": dice.random() < 0.3}
                body["messages"] = [{"role": "user", "content": "When does the lease end?"}]
                head = {"Authorization": f"Bearer {self.keys[tenant]}"}
                try:
                    address = f"http://127.0.0.1:{door.port}/v1/chat/completions"
                    reply = await client.post(address, json=body, headers=head)
                except httpx2.TransportError:
                    self.refused[(0, "")] += 1
                    await asyncio.sleep(0.05)
                    continue
                if reply.status_code == 200:
                    receipt = reply.headers["x-bastide-receipt"]
                    self.answered.append(Answered(receipt, tenant, door.port, time.monotonic()))
                else:
                    self.refused[(reply.status_code, reply.json()["error"]["code"])] += 1
                    await asyncio.sleep(0.02)

    async def disturb(self, what: str, dice: random.Random) -> None:
        await asyncio.sleep(dice.uniform(0.3, 2.0))
        process = self.house if what.endswith("house") else dice.choice(self.gateways)
        if what == "kill database":
            with suppress(OSError, ValueError, IndexError):
                os.kill(postmaster(self.home), signal.SIGKILL)
        elif what.startswith("kill"):
            self.kills.append((process.port, time.monotonic()))
            await asyncio.to_thread(process.kill)
            process.again()
            await asyncio.to_thread(process.wait_ready)
        else:
            frozen = self._servers() if what.endswith("database") else [process.process.pid]
            await _freeze(frozen, dice.uniform(0.5, 6.0))

    def _servers(self) -> list[int]:
        data = str(self.home / "postgres" / "data")
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and is_server_of(int(name), data)]

    def excused(self, one: Answered, within_s: float) -> bool:
        return any(port == one.by and 0 <= at - one.at <= within_s for port, at in self.kills)

    def listed(self, tenant: str) -> Counter[str]:
        """The receipts in the log, with how often each is there."""
        found, cursor = Counter[str](), ""
        while True:
            path = f"/api/v1/audit/events?limit=500{cursor}"
            status, page = call(self.house.port, "GET", path, key=self.keys[tenant])
            assert status == 200, page
            found.update(one["id"] for one in page["events"] if one["act"] == "inference")
            if not page.get("next"):
                return found
            cursor = f"&cursor={page['next']}"

    def used(self, tenant: str) -> dict[str, Any]:
        status, usage = call(self.house.port, "GET", "/api/v1/usage?by=outcome", key=self.keys[tenant])
        assert status == 200, usage
        return {one["name"]: one for one in usage["usage"]}


async def _freeze(processes: Sequence[int], seconds: float) -> None:
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        if number == signal.SIGSTOP:
            await asyncio.sleep(seconds)


def _prepared(home: Path, url: str) -> dict[str, str]:
    """A house with two tenants, who have the same models; one has a budget."""
    first, keys = Forked(home, "up", "--no-examples").wait_ready(), {}
    for tenant in ("acme", "thrifty"):
        run("tenant", "create", tenant, home=home)
        keys[tenant] = answer_of("key", "create", "--tenant", tenant, "--role", "administrator", home=home)["key"]
        for name in ("one", "two"):
            model = {"name": name, "url": url, "model": "m", "local": True, "capabilities": ["chat"]}
            status, said = call(first.port, "POST", "/api/v1/models", key=keys[tenant], body=model)
            assert status == 201, said
        run("route", "add", "way", "one", "two", "--tenant", tenant, home=home)
    run("budget", "set", "tenant", "--tokens", str(BUDGET), "--period", "total", "--tenant", "thrifty", home=home)
    assert first.stop() == 0
    return keys


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("seed", [1, 2])
async def test_what_is_answered_has_its_receipt_and_counts_once_whatever_dies_or_hangs(
    tmp_path: Path, seed: int
) -> None:
    home, dice, asked = tmp_path / "home", random.Random(seed), itertools.count(1)
    async with ScriptedModel(lambda _: Fails(500) if next(asked) % 20 == 0 else Says("In June.")) as server:
        keys = await asyncio.to_thread(_prepared, home, server.url)
        doors = [Forked(home, "serve", "--role", role) for role in ("all", "gateway", "gateway")]
        ground = Ground(home, doors[0], doors[1:], keys)
        try:
            for one in doors:
                await asyncio.to_thread(one.wait_ready)
            over = asyncio.Event()
            callers = [asyncio.create_task(ground.calls(number, over)) for number in range(CALLERS)]
            for what in dice.choices(DISTURBANCES, k=15):
                await ground.disturb(what, dice)
            over.set()
            await asyncio.gather(*callers)
            for one in doors:
                await asyncio.to_thread(one.wait_ready)
            await asyncio.to_thread(_nothing_is_lost, ground)
        finally:
            codes = [await asyncio.to_thread(one.stop) for one in reversed(doors)]
        assert codes == [0, 0, 0]
    verdict = answer_of("audit", "verify", home=home)
    assert verdict["valid"] is True, verdict


def _nothing_is_lost(ground: Ground) -> None:
    assert len(ground.answered) > 100, ground.refused
    unlawful = {code for status, code in ground.refused if status >= 500} - {"inference.upstream_failed"}
    assert unlawful <= {"store.database_unavailable", "egress.broken_reply"}, ground.refused
    until = time.monotonic() + 60
    while True:
        logged = {tenant: ground.listed(tenant) for tenant in ground.keys}
        lost = [one for one in ground.answered if one.receipt not in logged[one.tenant]]
        if all(ground.excused(one, UNKEPT_S) for one in lost):
            break
        assert time.monotonic() < until, (lost[:5], ground.kills)
        time.sleep(0.5)
    for tenant, found in logged.items():
        assert not [id for id, times in found.items() if times > 1]
        mine = [one for one in ground.answered if one.tenant == tenant]
        done = ground.used(tenant)["done"]
        unwritten = sum(ground.excused(one, UNWRITTEN_S) for one in mine)
        assert len(mine) - unwritten <= done["calls"] <= found.total(), (tenant, ground.kills)
        assert done["tokens_in"] + done["tokens_out"] == TOKENS * done["calls"]
        if tenant == "thrifty":
            assert TOKENS * len(mine) <= BUDGET * 1.2, (
                "a twentieth of it for each of three processes while none can be asked"
            )
