"""Two tenants through every route of the API: with a neighbour's id nothing is found, and nothing foreign is said.

The table of routes is read off the OpenAPI description, so a new route is tested before anybody thinks of it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from bastide.api.doors import create
from bastide.app import House
from tests.doors.conftest import Company, bearer

MARK = f"heliotrope{secrets.token_hex(6)}"
NAME = "Helio" + "".join(secrets.choice("abcdefghij") for _ in range(8))
PLACE = secrets.token_hex(32)  # what a watched folder is known by
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
# What every tenant is shown alike: facts about providers, roles, models built in, and the log's hashes.
SHARED = {
    "/api/v1/providers",
    "/api/v1/providers/{id}",
    "/api/v1/roles",
    "/api/v1/job-types",
    "/api/v1/job-types/{name}",
    "/api/v1/audit/checkpoint",
    "/api/v1/audit/key",
    "/api/v1/audit/tile/{level}/{n}",
}


@dataclass(frozen=True)
class Things:
    """One of everything, all belonging to the neighbour and marked."""

    ids: dict[str, str]
    texts: tuple[str, ...]


@pytest.fixture(scope="module")
async def things(web: httpx2.AsyncClient, doors: httpx2.AsyncClient, them: Company) -> Things:
    headers = bearer(them.keys["administrator"])

    async def made(path: str, body: dict[str, Any], by: httpx2.AsyncClient = web) -> Any:
        reply = await by.post(path, json=body, headers=headers)
        assert reply.status_code in {200, 201, 202}, reply.text
        return reply.json()

    text = f"# {MARK}\n\nThe {MARK} is kept in the cellar of the neighbour. Dr Clara {NAME} works for the {NAME} Ltd."
    taken = await made(
        "/api/v1/documents", {"name": f"{MARK}.md", "text": text, "collection": MARK, "subjects": [MARK]}
    )
    file = {"path": f"{MARK}.md", "document": taken["documents"][0]["id"], "bytes": 1, "modified": 1}
    assert (await web.put(f"/api/v1/watched/{PLACE}", json=file, headers=headers)).status_code == 200
    named = (await web.get("/api/v1/graph/entities", params={"query": NAME}, headers=headers)).json()["entities"]
    assert named, "the graph knows who is named"
    user = await made("/api/v1/users", {"email": f"{MARK}@example.org", "name": MARK})
    app = await made("/api/v1/apps", {"name": MARK})
    key = await made("/api/v1/keys", {"role": "member"})
    url = "http://127.0.0.1:9/v1"
    model = await made(
        "/api/v1/models", {"name": MARK, "url": url, "local": True, "model": "m", "capabilities": ["chat"]}
    )
    budget = await made(
        "/api/v1/budgets", {"scope": "app", "subject": f"app_{MARK}", "tokens": 10**9, "contact": f"{MARK}@example.org"}
    )
    await made("/api/v1/kept-answers", {"model": MARK})
    rate = await made("/api/v1/rates", {"scope": "app", "subject": f"app_{MARK}", "requests": 10**6})
    route = await made("/api/v1/routes", {"name": f"{MARK}-route", "members": [MARK]})
    answer = await made("/api/v1/answer", {"question": f"Where is the {MARK} kept?", "model": "local/extractive"})
    assert MARK in answer["answer"]
    job = await made("/api/v1/jobs", {"type": "door.letter", "input": {"to": MARK}, "key": MARK}, doors)
    timely = {"name": MARK, "type": "door.echo", "input": {"text": MARK}}
    schedule = await made("/api/v1/schedules", {**timely, "cron": "0 0 1 1 *"}, doors)
    trigger = await made("/api/v1/triggers", {**timely, "on": "webhook"}, doors)
    target = await made("/api/v1/projections", {"name": MARK.lower(), "kind": "qdrant", "url": "http://127.0.0.1:9"})
    while not (asked := (await doors.get("/api/v1/approvals", headers=headers)).json()["approvals"]):
        await asyncio.sleep(0.05)
    line = f'{{"custom_id":"{MARK}","method":"POST","url":"/v1/embeddings","body":{{"model":"{MARK}","input":"x"}}}}'
    sent = {"file": (f"{MARK}.jsonl", line.encode())}
    handed = await web.post("/v1/files", files=sent, data={"purpose": "batch"}, headers=headers)
    assert handed.status_code == 200, handed.text
    wanted = {"input_file_id": handed.json()["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = await made("/v1/batches", {**wanted, "metadata": {"mark": MARK}})
    ids = {
        "files": handed.json()["id"],
        "batches": batch["id"],
        "documents": taken["documents"][0]["id"],
        "collections": MARK,
        "users": user["id"],
        "apps": app["id"],
        "keys": key["id"],
        "models": model["name"],
        "routes": route["name"],
        "budgets": budget["id"],
        "kept-answers": MARK,
        "rates": rate["id"],
        "receipts": answer["receipt"],
        "tenants": them.id,
        "jobs": job["id"],
        "approvals": asked[0]["id"],
        "schedules": schedule["id"],
        "triggers": trigger["id"],
        "projections": target["projection"]["name"],
        "hooks": trigger["id"],
        "graph": named[0]["id"],
        "watched": PLACE,
    }
    said = (MARK, NAME, them.id, them.name, trigger["secret"], *ids.values(), *them.keys.values())
    return Things(ids | {"intakes": job["id"], "job-types": "summarise"}, said)


def routes(house: House) -> list[tuple[str, str]]:
    """Every (method, path) that the API describes."""
    schema = create(house)._inner._inner.openapi()  # type: ignore[attr-defined]  # the application behind the doors
    return [
        (method.upper(), path)
        for path, operations in schema["paths"].items()
        for method in operations
        if path not in OPEN
    ]


def filled(path: str, things: Things) -> str:
    """The path with the neighbour's ids in it."""
    kind = path.removeprefix("/api/v1/").removeprefix("/v1/").split("/")[0].split(":")[0]
    path = path.replace("{level}", "0").replace("{n}", "0").replace("{page}", "1")
    return re.sub(r"\{(id|name)(:path)?\}", things.ids.get(kind, "local/onnx"), path)


BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/search": {"query": MARK},
    "/api/v1/answer": {"question": f"Where is the {MARK} kept?"},
    "/api/v1/documents/{id}": {"label": {"class": "secret"}},
    "/api/v1/decisions:explain": {"label": {"class": "secret"}, "model": MARK},
    "/v1/chat/completions": {"model": MARK, "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/embeddings": {"model": MARK, "input": "Hello"},
    "/v1/completions": {"model": MARK, "prompt": "Hello"},
    "/v1/responses": {"model": MARK, "input": "Hello"},
    "/v1/messages": {"model": MARK, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/audio/speech": {"model": MARK, "input": "Hello"},
    "/v1/images/generations": {"model": MARK, "prompt": "Hello"},
    "/v1/batches": {"input_file_id": f"file_{MARK}", "endpoint": "/v1/embeddings"},
    "/v1/rerank": {"model": MARK, "query": "Hello", "documents": ["Hello"]},
    "/api/v1/keys": {"role": "member", "user": f"{MARK}@example.org"},
    "/api/v1/keys/{id}": {"models": ["lane"]},
    "/api/v1/keys/{id}:rotate": {"keep_hours": 1},
    "/api/v1/documents": {"name": "mine.md", "text": "Nothing of yours."},
    "/api/v1/collections": {"name": "ours"},
    "/api/v1/policies": {"version": 0},
    "/api/v1/policies:test": {"text": "{}"},
    "/api/v1/decisions:replay": {"text": "{}"},
    "/api/v1/models": {"name": "ours", "url": "http://127.0.0.1:9/v1", "local": True, "model": "m"},
    "/api/v1/embedders:off": {"model": "ours"},
    "/api/v1/kept-answers": {"model": "ours"},
    "/api/v1/usage:erase": {"user": "ours"},
    "/api/v1/budgets": {"scope": "app", "subject": "app_ours", "tokens": 1000},
    "/api/v1/rates": {"scope": "app", "subject": "app_ours", "requests": 1000},
    "/api/v1/departments": {"kind": "app", "subject": "app_ours", "name": "ours"},
    "/api/v1/models:sync": {"model": MARK},
    "/api/v1/routes": {"name": "our-route", "members": ["local/extractive"]},
    "/api/v1/intakes": {"collection": "ours"},
    "/api/v1/jobs": {"type": "summarise", "input": {"text": "Ours."}, "key": "ours", "delay_s": 86400},
    "/api/v1/jobs/{id}:signal": {"name": "go"},
    "/api/v1/lanes": {"type": "*"},
    "/api/v1/work:pause": {"type": "summarise"},
    "/api/v1/work:resume": {"type": "summarise"},
    "/api/v1/approvals/{id}:approve": {"digest": "0" * 64},
    "/api/v1/approvals/{id}:edit": {"digest": "0" * 64, "arguments": {"to": "us"}},
    "/api/v1/approvals/{id}:take-over": {"digest": "0" * 64, "result": None},
    "/api/v1/oversight-rules": {"type": "*", "mode": "none"},
    "/api/v1/schedules": {"name": "ours", "type": "summarise", "input": {"text": "Ours."}, "cron": "0 0 1 1 *"},
    "/api/v1/schedules:preview": {"cron": "0 0 1 1 *"},
    "/api/v1/triggers": {"name": "ours", "type": "summarise", "input": {"text": "Ours."}, "on": "webhook"},
    "/api/v1/hooks/{id}": {"bell": "rings"},
    "/api/v1/competences": {"user": "x", "type": "*", "until": "2099-01-01T00:00:00Z", "evidence": "none"},
    "/api/v1/collections/{name}/members": {"members": {}},
    "/api/v1/collections/{name}/retention": {"days": 1},
    "/api/v1/documents:move": {"documents": ["doc_06ar2k8m1v6t7c9d0e1f2g3h4j"], "collection": "ours"},
    "/api/v1/documents/{id}:rename": {"name": "ours.md"},
    "/api/v1/documents/{id}:preview-label": {"label": {"class": "secret"}},
    "/api/v1/documents/{id}:hold": {"reason": "ours"},
    "/api/v1/documents/{id}:release": {"reason": "ours"},
    "/api/v1/watched/{id}": {"path": "ours.md", "document": None, "bytes": 1, "modified": 1},
    "/api/v1/watched/{id}:forget": {"paths": ["ours.md"]},
    "/api/v1/graph/types": {"kind": "relation", "name": f"knows_{secrets.token_hex(4)}", "about": "One knows another."},
    "/api/v1/graph/paths": {"from_id": "ent_00", "to_id": "ent_01"},
    "/api/v1/graph/subgraph": {"seeds": ["ent_00"]},
    "/api/v1/graph/resolve": {"name": NAME},
    "/api/v1/graph/merge": {"entities": ["ent_00", "ent_01"], "reason": "ours"},
    "/api/v1/graph/split": {"entity": "ent_00", "mentions": ["men_00"], "reason": "ours"},
    "/api/v1/projections": {"name": "ours", "kind": "qdrant", "url": "http://127.0.0.1:9"},
    "/api/v1/graph/undo": {"decision": "dec_06ar2k8m1v6t7c9d0e1f2g3h4j"},
}
PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("DELETE", "/api/v1/oversight-rules"): {"type": "door.letter"},
    ("DELETE", "/api/v1/competences"): {"user": "x", "type": "*"},
    ("DELETE", "/api/v1/graph/types"): {"kind": "relation", "name": "knows"},
    ("GET", "/api/v1/documents/{id}/diff"): {"older": 1, "newer": 2},
    ("GET", "/api/v1/graph/references"): {"id": "doc_06ar2k8m1v6t7c9d0e1f2g3h4j"},
}
OUR_OWN = "/api/v1/watched/{id}"
"""A folder is known by a hash that the caller makes up: the same one is another folder in every tenant."""


async def _ask(
    web: httpx2.AsyncClient, method: str, path: str, things: Things, headers: dict[str, str]
) -> httpx2.Response:
    body = BODIES.get(path) if method in {"POST", "PUT", "PATCH"} else None
    if method == "POST" and body is None and "{" not in path and not path.endswith(":verify"):
        body = {"name": f"isolation-{secrets.token_hex(4)}", "email": f"{secrets.token_hex(4)}@example.org"}
        body = {k: v for k, v in body.items() if k == "name" or path.endswith("users")}
    parameters = PARAMETERS.get((method, path))
    return await web.request(method, filled(path, things), params=parameters, json=body, headers=headers)


async def test_without_a_key_and_with_nobodys(
    house: House, web: httpx2.AsyncClient, us: Company, things: Things
) -> None:
    for method, path in routes(house):
        reply = await _ask(web, method, path, things, {})
        assert reply.status_code == 401, f"{method} {path}: {reply.status_code}"
        reply = await _ask(web, method, path, things, bearer(us.keys["nobody"]))
        about_himself = path in {"/api/v1/me", "/api/v1/roles", "/api/v1/tenants", "/api/v1/tenants/{id}"}
        hashes = path.startswith("/api/v1/audit/") and path != "/api/v1/audit/events"
        own_only = path == "/api/v1/receipts/{id}"
        if path == "/api/v1/hooks/{id}":
            assert reply.status_code == 401, "a key is no signature"
        elif not (about_himself or hashes or own_only):
            assert reply.status_code == 403, f"{method} {path}: {reply.status_code} {reply.text[:200]}"
        _says_nothing_foreign(reply, things, f"{method} {path}")


def _says_nothing_foreign(reply: httpx2.Response, things: Things, where: str) -> None:
    asked = str(reply.request.url) + reply.request.content.decode(errors="replace")
    for text in things.texts:
        if text in asked:
            continue  # an error may name what was asked for
        assert text not in reply.text, f"{where} says {text}"


@pytest.mark.parametrize("role", ["administrator", "member", "overseer", "auditor", "dpo", "worker"])
async def test_every_route_with_the_neighbours_ids(
    house: House, web: httpx2.AsyncClient, us: Company, things: Things, role: str
) -> None:
    for method, path in routes(house):
        if (method, path) in {("POST", "/api/v1/models"), ("PUT", "/api/v1/policies")}:
            continue  # they change our own tenant for the other tests; they name nothing of the neighbour's
        reply = await _ask(web, method, path, things, bearer(us.keys[role]))
        where = f"{role}: {method} {path} -> {reply.status_code}"
        assert reply.status_code < 500, f"{where} {reply.text}"
        if "{" in path and path not in SHARED and not path.startswith(OUR_OWN):
            refusals = {401} if path == "/api/v1/hooks/{id}" else {403, 404, 422}
            assert reply.status_code in refusals, f"{where} {reply.text[:300]}"
        _says_nothing_foreign(reply, things, where)


async def test_the_neighbour_still_has_everything(web: httpx2.AsyncClient, them: Company, things: Things) -> None:
    headers = bearer(them.keys["administrator"])
    owned = (
        "documents",
        "users",
        "apps",
        "keys",
        "models",
        "receipts",
        "jobs",
        "approvals",
        "schedules",
        "triggers",
        "projections",
    )
    for kind in owned:
        reply = await web.get(f"/api/v1/{kind}/{things.ids[kind]}", headers=headers)
        assert reply.status_code == 200, f"{kind}: {reply.text}"
    job = (await web.get(f"/api/v1/jobs/{things.ids['jobs']}", headers=headers)).json()
    assert job["status"] == "waiting", "nobody else has stopped, signalled or decided anything of it"
    for path in (f"files/{things.ids['files']}", f"batches/{things.ids['batches']}"):
        assert (await web.get(f"/v1/{path}", headers=headers)).status_code == 200, path
    found = (await web.post("/api/v1/search", json={"query": MARK}, headers=headers)).json()
    assert found["passages"][0]["document_id"] == things.ids["documents"]


async def test_the_same_names_do_not_meet(web: httpx2.AsyncClient, us: Company, them: Company) -> None:
    name = f"same-{secrets.token_hex(4)}"
    for company in (us, them):
        headers = bearer(company.keys["administrator"])
        user = await web.post("/api/v1/users", json={"email": f"{name}@example.org", "name": name}, headers=headers)
        assert user.status_code == 201, user.text
        app = await web.post("/api/v1/apps", json={"name": name}, headers=headers)
        assert app.status_code == 201, app.text
        text = {"name": f"{name}.md", "text": f"The same {name} in both houses.", "collection": name}
        taken = await web.post("/api/v1/documents", json=text, headers=headers)
        assert taken.json()["ingested"] == 1, "what the neighbour has is not known here"


async def test_a_tenants_administrator_is_no_operator(web: httpx2.AsyncClient, us: Company, them: Company) -> None:
    headers = bearer(us.keys["administrator"])
    assert (await web.post("/api/v1/tenants", json={"name": "new"}, headers=headers)).status_code == 403
    listed = (await web.get("/api/v1/tenants", headers=headers)).json()["tenants"]
    assert [tenant["id"] for tenant in listed] == [us.id]
    for tenant in (them.id, them.name, "home"):
        reply = await web.post("/api/v1/keys", json={"tenant": tenant, "role": "member"}, headers=headers)
        assert reply.status_code in {403, 404}, reply.text
        assert (await web.get("/api/v1/users", params={"tenant": tenant}, headers=headers)).status_code in {403, 404}
    assert (await web.get("/api/v1/doctor", headers=headers)).status_code == 403
    beyond = await web.post("/api/v1/keys", json={"role": "administrator"}, headers=bearer(us.keys["member"]))
    assert beyond.status_code == 403


async def test_a_disabled_key_and_an_expired_one(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["administrator"])
    made = (await web.post("/api/v1/keys", json={"role": "member", "expires_days": 1}, headers=headers)).json()
    assert (await web.get("/api/v1/me", headers=bearer(made["key"]))).status_code == 200
    assert (await web.post(f"/api/v1/keys/{made['id']}:disable", headers=headers)).status_code == 200
    refused = await web.get("/api/v1/me", headers=bearer(made["key"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "tenancy.disabled_key")
    shown = (await web.get(f"/api/v1/keys/{made['id']}", headers=headers)).text
    assert made["key"] not in shown
    short = (await web.post("/api/v1/keys", json={"role": "member", "expires_days": 1e-9}, headers=headers)).json()
    expired = await web.get("/api/v1/me", headers=bearer(short["key"]))
    assert (expired.status_code, expired.json()["error"]["code"]) == (401, "tenancy.expired_key")
