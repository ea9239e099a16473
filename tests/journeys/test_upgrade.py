"""A home of an older version, brought up to date as its operator would: nothing that stood in it is lost or loosened.

`old_home/home.zip` was written by the code before migrations 0012 to 0015 of `inference`, 0003 of `audit` and 0004 of
`tenancy`: see `old_home/make.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bastide.app import House, open_house
from bastide.audit import verify_file
from bastide.errors import UnknownBatch, UnknownReceipt
from bastide.inference import ModelSpec
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Scope, Store, restore
from bastide.store.backup import run_donor
from bastide.store.migrate import shipped
from bastide.testing import Says, ScriptedModel
from tests.rooms.inference.test_batches import chat, ended, jsonl, lines_of
from tests.rooms.inference.test_gateway import Taken

KEPT = Path(__file__).parent / "old_home" / "home.zip"
CALL = {"model": "writer", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Upgraded:
    """The house, and what its older version knew."""

    house: House
    home: Path
    known: dict[str, Any]

    async def scope(self, tenant: str) -> Scope:
        """The administrator of a tenant, by the key that it has had all along."""
        return await self.house.tenancy.authenticate(self.known["tenants"][tenant]["key"])


@pytest.fixture(scope="module")
async def upgraded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upgraded]:
    place = tmp_path_factory.mktemp("upgrade")
    with zipfile.ZipFile(KEPT) as kept:
        kept.extractall(place)
    known = json.loads((place / "known.json").read_text(encoding="utf-8"))
    (place / "home").mkdir()
    (place / "secrets").rename(place / "home" / "secrets")
    settings = Settings.read(place / "home", environment={})
    await restore(settings.store, place / "backup")
    async with open_house(settings, sequence=True, work=True) as house:
        yield Upgraded(house, place / "home", known)


async def called(house: House, scope: Scope) -> Taken:
    taken = Taken()
    house.inference.gateway.begin(scope, Label(), "chat", json.dumps(CALL).encode(), taken, request_id="req_new")
    async with asyncio.timeout(60):
        await taken.ended.wait()
    return taken


def test_the_home_is_older_than_this_version(upgraded: Upgraded) -> None:
    before = upgraded.known["migrations"]
    fresh = {(one.room, one.number) for one in shipped() if one.number > before.get(one.room, 0)}
    assert {("inference", n) for n in (12, 13, 14, 15)} | {("audit", 3), ("tenancy", 4)} <= fresh


async def test_its_database_is_as_one_that_was_made_by_this_version(upgraded: Upgraded, house: House) -> None:
    async def schema(of: Store) -> Counter[str]:
        server, embedded = of._server, of._embedded
        assert server is not None
        assert embedded is not None
        told = await run_donor(
            embedded.donor(),
            "pg_dump",
            "--schema-only",
            "--restrict-key=same",
            "--exclude-table=knowledge.embedding_[0-9a-f]*",  # of tenants with many vectors, each its own
            f"--host={server.host}",
            f"--port={server.port}",
            f"--username={server.superuser}",
            "--no-password",
            "bastide",
            password=server.superuser_password,
        )
        return Counter(told.splitlines())

    mine, fresh = await schema(upgraded.house.store), await schema(house.store)
    assert mine - fresh == fresh - mine == Counter()


async def test_who_there_was_is_let_in_and_finds_what_was_there(upgraded: Upgraded) -> None:
    house = upgraded.house
    for name in ("acme", "neighbour"):
        known, scope = upgraded.known["tenants"][name], await upgraded.scope(name)
        assert (scope.tenant, scope.key, scope.models) == (known["tenant"], known["key_id"], None)
        (model,) = [one for one in await house.inference.models(scope) if not one.built_in]
        assert model.name == "lane"
        (route,) = await house.inference.routes.list(scope)
        assert (route.name, route.members) == ("writer", ("lane", "local/extractive"))
        (rate,) = await house.inference.accounts.rates(scope)
        assert (rate.requests, rate.tokens) == (10, None)
        (budget,) = await house.inference.accounts.budgets(scope)
        assert (budget.subject, budget.tokens) == (known["app"], 1000)
        found = await house.knowledge.search(scope, "When does the lease of the mill end?")
        assert {one.document_id for one in found.passages} == {known["document"]}
        (batch,) = (await house.batches.list(scope)).items
        assert (batch.id, batch.status, batch.answered, batch.failed) == (known["batch"], "completed", 1, 1)
        (error,) = await lines_of(house, scope, batch.error_file)
        assert error["custom_id"] == "two"
        (answer,) = await lines_of(house, scope, batch.output_file)
        assert answer["custom_id"] == "one"
    ours, theirs = await upgraded.scope("acme"), upgraded.known["tenants"]["neighbour"]
    with pytest.raises(UnknownBatch):
        await house.batches.get(ours, theirs["batch"])
    with pytest.raises(UnknownReceipt):
        await house.audit.receipt(ours, theirs["receipts"][0])


async def test_its_receipts_verify_and_what_waited_is_in_the_log(upgraded: Upgraded, tmp_path: Path) -> None:
    house, vkey = upgraded.house, tmp_path / "log.vkey"
    vkey.write_text(upgraded.known["log"], encoding="utf-8")
    for name in ("acme", "neighbour"):
        scope = await upgraded.scope(name)
        known = upgraded.known["tenants"][name]
        for id in known["receipts"]:
            receipt = await house.audit.receipt(scope, id)
            assert receipt.body["model"] in {"lane", "local/extractive"}
            file = tmp_path / f"{id}.json"
            file.write_text(json.dumps(receipt.to_wire()), encoding="utf-8")
            told = await asyncio.to_thread(verify_file, file, vkey)
            assert (told.valid, told.problems) == (True, ())
        events = [one for one in (await house.audit.events(scope, limit=500)).items if one.act == "app.create"]
        assert [one.resource for one in events] == [known["late_app"], known["app"]], "each once, in their order"
    whole = await house.audit.verify()
    assert (whole.valid, whole.problems) == (True, ())


async def test_work_goes_on_and_rates_hold(upgraded: Upgraded) -> None:
    house, scope = upgraded.house, await upgraded.scope("acme")
    async with ScriptedModel(Says("By the new house.")) as server:
        await house.inference.remove_model(scope, "lane")
        await house.inference.add_model(
            scope, ModelSpec("lane", url=server.url, local=True, upstream="scripted", capabilities=("chat",))
        )
        began = time.monotonic()
        answers = await asyncio.gather(*(called(house, scope) for _ in range(40)))
        minutes = (time.monotonic() - began) / 60
        times = Counter(one.status for one in answers)
        assert times.keys() == {200, 429}
        assert times[200] <= 11 + 10 * minutes
        done = next(one for one in answers if one.status == 200)
        assert done.json["choices"][0]["message"]["content"] == "By the new house."
        assert (await house.audit.receipt(scope, done.headers["x-bastide-receipt"])).proof
    batch = await house.batches.create(
        scope,
        input_file=(
            await house.batches.files.add(
                scope, "more.jsonl", jsonl(chat("three", "x", model="local/extractive")), label=Label()
            )
        ).id,
        endpoint="/v1/chat/completions",
        label=Label(),
    )
    assert (await ended(house, scope, batch)).answered == 1
    bound = await house.tenancy.create_key(scope, role="member", models=["local/*"])
    listed = await house.inference.nameable(await house.tenancy.authenticate(bound.key))
    assert "lane" not in {one.name for one in listed}
    assert (await house.audit.verify()).valid
