"""What holds for every request: ids, envelopes, limits, safety headers, and no traceback for anybody."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import httpx2
import pytest

from bastide.api.doors import create
from bastide.app import House
from tests.doors.conftest import Company, bearer

REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")


def envelope(reply: httpx2.Response, status: int, code: str) -> dict[str, object]:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error["code"] == code, error
    assert error["message"].endswith((".", "?")), error
    assert error["next"], error
    assert error["request_id"] == reply.headers["x-request-id"]
    assert "Traceback" not in reply.text
    return dict(error)


async def test_open_addresses_need_no_key(web: httpx2.AsyncClient) -> None:
    assert (await web.get("/healthz")).json()["status"] == "alive"
    ready = await web.get("/readyz")
    assert ready.status_code == 200
    assert {part["name"] for part in ready.json()["parts"]} >= {"database", "audit", "models", "policy", "egress"}
    metrics = await web.get("/metrics")
    assert "bastide_http_requests_total" in metrics.text
    assert (await web.get("/openapi.json")).json()["openapi"].startswith("3.1")


@pytest.mark.parametrize("path", ["/api/v1/documents", "/api/v1/nothing", "/v1/models", "/", "/docs"])
async def test_everything_else_needs_one(web: httpx2.AsyncClient, path: str) -> None:
    reply = await web.get(path)
    envelope(reply, 401, "tenancy.no_key")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_a_request_id_is_echoed_or_made(web: httpx2.AsyncClient) -> None:
    assert (await web.get("/healthz", headers={"x-request-id": "my-id.1"})).headers["x-request-id"] == "my-id.1"
    for bad in ("a b", "x" * 200, "<script>", ""):
        made = (await web.get("/healthz", headers={"x-request-id": bad})).headers["x-request-id"]
        assert REQUEST_ID.fullmatch(made), made


async def test_safety_headers_and_no_cross_origin(web: httpx2.AsyncClient) -> None:
    reply = await web.get("/healthz", headers={"origin": "https://evil.example"})
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "access-control-allow-origin" not in reply.headers
    assert "server" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status", "code"),
    [
        ("GET", "/api/v1/nothing", None, None, 404, "request.no_such_route"),
        ("PUT", "/api/v1/search", b"{}", "application/json", 405, "request.method_not_allowed"),
        ("POST", "/api/v1/search", b"{", "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b"\xff\xfe{}", "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b"[" * 100_000, "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b'{"query":' * 90 + b"1" + b"}" * 90, "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b'{"query": NaN}', "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b'{"query": ' + b"9" * 5000 + b"}", "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b'{"query": "a\\u0000b"}', "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b'{"query": "\\ud800"}', "application/json", 400, "request.malformed"),
        ("POST", "/api/v1/search", b"{}", "application/json", 422, "request.fields_wrong"),
        ("POST", "/api/v1/search", b"[]", "application/json", 422, "request.fields_wrong"),
        ("POST", "/api/v1/search", b"", "application/json", 422, "request.fields_wrong"),
        ("POST", "/api/v1/search", b'{"query": "x", "limt": 3}', "application/json", 422, "request.fields_wrong"),
        ("POST", "/api/v1/search", b'{"query": 7}', "application/json", 422, "request.fields_wrong"),
        ("POST", "/api/v1/search", b'{"query": ""}', "application/json", 422, "knowledge.bad_query"),
        (
            "POST",
            "/api/v1/search",
            b'{"query": "x", "mode": "magic"}',
            "application/json",
            422,
            "request.fields_wrong",
        ),
        ("POST", "/api/v1/search", b"query=x", "application/x-www-form-urlencoded", 415, "request.unsupported_media"),
        ("POST", "/api/v1/search", b"hello", "text/plain", 415, "request.unsupported_media"),
        ("GET", "/api/v1/documents?limit=0", None, None, 422, "request.fields_wrong"),
        ("GET", "/api/v1/documents?cursor=%00", None, None, 400, "request.malformed"),
        ("GET", "/api/v1/documents/a%00b", None, None, 400, "request.malformed"),
        ("GET", "/api/v1/documents/nonsense", None, None, 404, "knowledge.unknown_document"),
        ("GET", "/api/v1/documents/..%2f..%2fetc%2fpasswd", None, None, 404, "request.no_such_route"),
        ("GET", "/api/v1/receipts/nonsense", None, None, 404, "audit.unknown_receipt"),
        ("GET", "/api/v1/audit/tile/0/abc", None, None, 404, "audit.unknown_tile"),
        ("GET", "/api/v1/providers/nonsense", None, None, 404, "policy.unknown_record"),
        ("DELETE", "/api/v1/models/nonsense", None, None, 404, "inference.unknown_model"),
        ("GET", "/api/v1/users/nobody@example.org", None, None, 404, "tenancy.unknown_identity"),
    ],
)
async def test_bad_input_is_one_clear_error(
    web: httpx2.AsyncClient,
    us: Company,
    method: str,
    path: str,
    content: bytes | None,
    kind: str | None,
    status: int,
    code: str,
) -> None:
    headers = bearer(us.keys["administrator"]) | ({"content-type": kind} if kind else {})
    envelope(await web.request(method, path, content=content, headers=headers), status, code)


async def test_errors_do_not_repeat_what_was_sent(web: httpx2.AsyncClient, us: Company) -> None:
    body = {"query": "x", "mode": "SECRET-WORD", "limit": "SECRET-WORD"}
    reply = await web.post("/api/v1/search", json=body, headers=bearer(us.keys["member"]))
    assert "SECRET-WORD" not in reply.text


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": "Basic abc"}, 401, "tenancy.no_key"),
        ({"authorization": "Bearer"}, 401, "tenancy.no_key"),
        ({"authorization": "Bearer nonsense"}, 401, "tenancy.unknown_key"),
        ({"authorization": "Bearer bst_" + "0" * 64}, 401, "tenancy.unknown_key"),
        ({"authorization": "Bearer bst_é"}, 401, "tenancy.unknown_key"),
    ],
)
async def test_bad_keys(web: httpx2.AsyncClient, headers: dict[str, str], status: int, code: str) -> None:
    sent = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    envelope(await web.get("/api/v1/me", headers=sent), status, code)


async def test_headers_can_only_narrow(web: httpx2.AsyncClient, us: Company, them: Company) -> None:
    key = us.keys["member"]
    assert (await web.get("/api/v1/me", headers=bearer(key, x_company_id=us.id))).json()["tenant"]["id"] == us.id
    foreign = await web.get("/api/v1/me", headers=bearer(key, x_company_id=them.id))
    envelope(foreign, 403, "tenancy.foreign_company")
    malformed = await web.get("/api/v1/me", headers=bearer(key, x_company_id="1 or 1=1"))
    envelope(malformed, 400, "tenancy.malformed_header")
    twice = [("authorization", f"Bearer {key}"), ("x-company-id", us.id), ("x-company-id", them.id)]
    envelope(await web.get("/api/v1/me", headers=twice), 400, "request.malformed")


async def test_a_label_can_only_tighten(web: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    tight = await web.get("/api/v1/me", headers=bearer(key, x_label='{"class": "secret"}'))
    assert tight.json()["label"]["class"] == "secret"
    for bad in ("nonsense", "[1]", '{"class": "topsecret"}', '{"clas": "secret"}'):
        envelope(await web.get("/api/v1/me", headers=bearer(key, x_label=bad)), 400, "policy.bad_label")


async def test_a_body_over_the_limit_is_cut(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"]) | {"content-type": "application/json"}
    announced = await web.post("/api/v1/search", content=b" " * (17 * 1024 * 1024), headers=headers)
    envelope(announced, 413, "request.body_too_large")

    async def endless() -> object:
        for _ in range(40):
            yield b" " * (1024 * 1024)

    unannounced = await web.post("/api/v1/search", content=endless(), headers=headers)  # type: ignore[arg-type]
    envelope(unannounced, 413, "request.body_too_large")


async def test_nobody_reads_a_body_without_a_key(web: httpx2.AsyncClient) -> None:
    reply = await web.post("/api/v1/search", content=b"{", headers={"content-type": "application/json"})
    envelope(reply, 401, "tenancy.no_key")


async def test_under_v1_errors_are_what_clients_expect(web: httpx2.AsyncClient, us: Company) -> None:
    reply = await web.post("/v1/chat/completions", json={"messages": []}, headers=bearer(us.keys["member"]))
    error = envelope(reply, 400, "inference.bad_chat")
    assert error["type"] == "invalid_request_error"
    assert error["param"] == "messages"
    assert reply.headers["x-should-retry"] == "false"
    envelope(await web.get("/v1/nothing", headers=bearer(us.keys["member"])), 404, "request.no_such_route")
    wrong = await web.get("/v1/messages", headers=bearer(us.keys["member"]))  # not for the gateway, and yet on its wire
    assert envelope(wrong, 405, "request.method_not_allowed")["type"] == "invalid_request_error"
    assert (wrong.json()["type"], wrong.json()["request_id"]) == ("error", wrong.headers["x-request-id"])


async def test_many_at_once(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    replies = await asyncio.gather(*(web.get("/api/v1/me", headers=headers) for _ in range(100)))
    assert {reply.status_code for reply in replies} == {200}


async def test_metrics_hold_no_tenant_and_no_content(web: httpx2.AsyncClient, us: Company, them: Company) -> None:
    await web.post("/api/v1/search", json={"query": "sesame-street"}, headers=bearer(us.keys["member"]))
    text = (await web.get("/metrics")).text
    assert 'route="/api/v1/search"' in text
    for secret in (us.id, them.id, us.name, "sesame", json.dumps(us.keys)[:20]):
        assert secret not in text


class _Broken:
    """A room that fails in a way nobody thought of, with something in its words that nobody may read."""

    async def statistics(self, scope: object) -> object:
        raise ValueError("hidden words")


async def test_what_nobody_thought_of_is_an_envelope_too(house: House, us: Company) -> None:
    application = create(replace(house, knowledge=_Broken()))  # type: ignore[arg-type]  # a double of a room
    transport = httpx2.ASGITransport(app=application)  # type: ignore[arg-type]  # its own type of ASGI scopes
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as inside:
        reply = await inside.get("/api/v1/knowledge/statistics", headers=bearer(us.keys["member"]))
    envelope(reply, 500, "request.broken")
    assert "hidden" not in reply.text
