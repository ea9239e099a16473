"""Writes the home that `test_upgrade.py` brings up to date, with the code of the version that it is to be of.

    git worktree add OLD COMMIT; cd OLD; PYTHONPATH=src python .../make.py FILE.zip

The file gets a backup, the secrets of this home, which nobody uses, and `known.json`: what a later version must find.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bastide.app import House, open_house
from bastide.inference import ModelRoute, ModelSpec
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope
from bastide.store.migrate import shipped
from bastide.testing import Says, ScriptedModel

TEXT = "# The lease\n\nThe lease of the mill ends on 30 June 2027. Dr Clara Weiss signed it."


class Taken:
    """A sink that keeps what comes."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.ended = 0, {}, b"", asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, dict(headers)

    def on_piece(self, piece: bytes) -> None:
        self.body += piece

    def on_end(self) -> None:
        self.ended.set()


def chat(name: str, model: str) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": name}]}
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


async def called(house: House, scope: Scope) -> str:
    """The receipt of a call over a wire."""
    taken, body = Taken(), json.dumps({"model": "writer", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    house.inference.gateway.begin(scope, Label(), "chat", body, taken, request_id="req_old")
    await asyncio.wait_for(taken.ended.wait(), 60)
    assert taken.status == 200, taken.body
    return taken.headers[b"x-bastide-receipt"].decode()


async def filled(house: House, model: ScriptedModel) -> dict[str, Any]:
    """Two tenants with one of each of what later migrations touch; what is to be found again."""
    first = await house.tenancy.first_start()
    assert first is not None
    operator = await house.tenancy.authenticate(first.key)
    known: dict[str, Any] = {"admin": first.key, "tenants": {}}
    for name in ("acme", "neighbour"):
        tenant = await house.tenancy.create_tenant(operator, name)
        key = await house.tenancy.create_key(operator, tenant=tenant.id, role="administrator")
        scope = await house.tenancy.authenticate(key.key)
        spec = ModelSpec("lane", url=model.url, local=True, upstream="scripted", capabilities=("chat",))
        await house.inference.add_model(scope, spec)
        await house.inference.routes.add(scope, ModelRoute("writer", ("lane", "local/extractive")))
        await house.inference.accounts.set_rate(scope, of="tenant", requests=10)
        app = await house.tenancy.create_app(scope, name="crm")
        await house.inference.accounts.set_budget(scope, of="app", subject=app.id, tokens=1000, contact="x@example.org")
        receipts = [await called(house, scope) for _ in range(2)]
        document = (await house.knowledge.ingest(scope, "lease.md", TEXT.encode())).documents[0].id
        answer = await house.knowledge.answer(scope, "When does the lease end?", model="local/extractive")
        receipts.append(answer.receipt)
        lines = chat("one", "local/extractive") + chat("two", "nobody")
        file = await house.batches.files.add(scope, "calls.jsonl", lines, label=Label())
        batch = await house.batches.create(scope, input_file=file.id, endpoint="/v1/chat/completions", label=Label())
        await house.workflows.result(scope, batch.job, timeout_s=120)
        done = await house.batches.get(scope, batch.id)
        assert (done.status, done.answered, done.failed) == ("completed", 1, 1), done
        told = {"tenant": tenant.id, "key": key.key, "key_id": key.about.id, "document": document, "batch": batch.id}
        known["tenants"][name] = {**told, "app": app.id, "receipts": receipts}
    return known


async def left_behind(house: House, known: dict[str, Any]) -> None:
    """What nobody has put into the log yet when the version changes."""
    for tenant in known["tenants"].values():
        scope = await house.tenancy.authenticate(tenant["key"])
        tenant["late_app"] = (await house.tenancy.create_app(scope, name="late")).id
        tenant["receipts"].append(await called(house, scope))
        async with house.store.under(scope) as db:
            years = Query("test", "raw", "update inference.file set expires_at = now() + interval '100 years'")
            assert await db.run(years), "what is kept for days is kept for a hundred years"


async def main(file: Path) -> None:
    """Make it, close it, back it up."""
    work = Path(tempfile.mkdtemp(prefix="bastide-old-"))
    home, kept = work / "home", work / "kept"
    settings = Settings.read(home, environment={})
    async with ScriptedModel(Says("By the old house.")) as model:
        async with open_house(settings, sequence=True, work=True) as house:
            known = await filled(house, model)
            for tenant in known["tenants"].values():
                scope = await house.tenancy.authenticate(tenant["key"])
                for receipt in tenant["receipts"]:
                    assert (await house.audit.receipt(scope, receipt)).proof
        async with open_house(settings, sequence=False) as house:
            await left_behind(house, known)
        async with open_house(settings, sequence=False) as house:  # what lay in journals waits in the outbox by now
            async with house.store.as_operator(reason="what is to be there") as db:
                waiting = await db.value(Query("test", "raw", "select count(*) from audit.outbox"))
            assert waiting >= 2 * len(known["tenants"]), waiting
            await house.store.back_up(kept / "backup")
    known["migrations"] = {one.room: one.number for one in shipped()}
    known["log"] = (home / "log.vkey").read_text(encoding="utf-8")
    shutil.copytree(home / "secrets", kept / "secrets")
    (kept / "known.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    shutil.make_archive(str(file.with_suffix("")), "zip", kept)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve()))
