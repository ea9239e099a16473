"""What OpenAPI says is what the API does: every answer fits its shape, every route is described, with examples."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from bastide.api.shapes import ground, identity, knowledge, law, models
from tests.doors.conftest import Company, bearer


@pytest.fixture(scope="module")
async def schema(web: httpx2.AsyncClient) -> dict[str, Any]:
    return dict((await web.get("/openapi.json")).json())


async def test_every_operation_is_described(schema: dict[str, Any]) -> None:
    seen: set[str] = set()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"].endswith((".", "?", "`")), where
            assert operation["operationId"] not in seen, where
            seen.add(operation["operationId"])
            if path.startswith(("/api/", "/v1/")):
                signed = path.startswith("/api/v1/hooks/")  # a webhook has a signature instead
                assert operation["security"] == ([] if signed else [{"key": []}]), where
                names = {parameter["name"] for parameter in operation["parameters"]}
                assert "X-Label" in names, where


async def test_every_body_has_an_example(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                body = content["schema"]
                if "$ref" in body:
                    body = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]
                assert "examples" in body or "example" in content, f"{method} {path} {kind}"


async def test_every_error_has_the_one_shape(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if not path.startswith(("/api/v1", "/v1")) or "403" not in operation["responses"]:
                continue
            reference = operation["responses"]["403"]["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith("ModelRefused" if path.startswith("/v1/") else "Refused"), f"{method} {path}"


def _fits(shape: type[BaseModel], reply: httpx2.Response) -> Any:
    assert reply.status_code in {200, 201}, reply.text
    shape.model_validate(reply.json())
    return reply.json()


async def test_answers_fit_their_shapes(web: httpx2.AsyncClient, us: Company) -> None:
    admin, member = bearer(us.keys["administrator"]), bearer(us.keys["member"])
    body = {"name": "shape.md", "text": "# Shape\n\nThe shape of the bell is round."}
    taken = _fits(knowledge.Ingested, await web.post("/api/v1/documents", json=body, headers=member))
    document = taken["documents"][0]["id"]
    _fits(knowledge.Document, await web.get(f"/api/v1/documents/{document}", headers=member))
    for path in ("documents", "collections", f"documents/{document}/chunks", f"documents/{document}/structure"):
        _fits(ground.Listed, await web.get(f"/api/v1/{path}", headers=member))
    _fits(knowledge.Found, await web.post("/api/v1/search", json={"query": "bell"}, headers=member))
    question = {"question": "What is the shape of the bell?"}
    answer = _fits(knowledge.Answer, await web.post("/api/v1/answer", json=question, headers=member))
    _fits(knowledge.Statistics, await web.get("/api/v1/knowledge/statistics", headers=member))
    _fits(law.Receipt, await web.get(f"/api/v1/receipts/{answer['receipt']}", headers=admin))
    for path in ("audit/events", "providers", "models", "tenants", "users", "apps", "keys", "roles"):
        _fits(ground.Listed, await web.get(f"/api/v1/{path}", headers=admin))
    _fits(law.Verified, await web.post("/api/v1/audit:verify", headers=admin))
    explain = {"label": {"class": "confidential", "personal": "personal"}, "capability": "chat", "model": None}
    explained = _fits(law.Explained, await web.post("/api/v1/decisions:explain", json=explain, headers=admin))
    assert all(one["rules"] for one in explained["denied"])
    _fits(law.PolicyText, await web.get("/api/v1/policies", headers=admin))
    _fits(models.ModelList, await web.get("/v1/models", headers=member))
    _fits(identity.KeyShown, await web.post("/api/v1/keys", json={"role": "auditor"}, headers=admin))
    checkpoint = await web.get("/api/v1/audit/checkpoint", headers=member)
    size = int(checkpoint.text.splitlines()[1])
    assert size > 0
    tile = await web.get(f"/api/v1/audit/tile/0/000.p/{min(size, 255)}", headers=member)
    assert len(tile.content) == 32 * min(size, 255)
    assert (await web.get("/api/v1/audit/key", headers=member)).text.startswith("bastide/")


async def test_a_policy_is_replaced_only_by_who_has_seen_it(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["administrator"])
    before = (await web.get("/api/v1/policies", headers=headers)).json()
    assert (await web.put("/api/v1/policies", json=before, headers=headers)).status_code == 200
    late = await web.put("/api/v1/policies", json=before, headers=headers)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "policy.changed")
    wrong = await web.put("/api/v1/policies", json={"enbled": []}, headers=headers)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "policy.bad_policy")
    assert (await web.put("/api/v1/policies", json=before, headers=bearer(us.keys["member"]))).status_code == 403
