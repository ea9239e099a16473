"""MCP: the operations as tools, seen by the real client, over HTTP and over standard input."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from bastide.api.application import OPERATIONS
from bastide.api.tools import tool_name
from bastide.tenancy import PERMISSIONS, ROLES

from .conftest import Company, bearer


@asynccontextmanager
async def session(served: str, key: str) -> AsyncIterator[ClientSession]:
    """The real client, with one key."""
    async with (
        httpx2.AsyncClient(headers=bearer(key), timeout=60, trust_env=False) as client,
        streamable_http_client(f"{served}/mcp", http_client=client) as (incoming, outgoing, *_),
        ClientSession(incoming, outgoing) as opened,
    ):
        await opened.initialize()
        yield opened


def said(result: Any) -> dict[str, Any]:
    """What a tool gave, which is the same as text and as structure."""
    structure: dict[str, Any] = result.structured_content
    assert json.loads(result.content[0].text) == structure
    return structure


async def test_a_document_is_taken_in_found_and_asked(served: str, us: Company) -> None:
    async with session(served, us.keys["member"]) as mcp:
        text = "# Quinces\n\nThe quinces of the priory are picked in late October.\n"
        taken = said(await mcp.call_tool("documents_add", {"name": "quinces.md", "text": text}))
        document = taken["documents"][0]["id"]
        found = said(await mcp.call_tool("search", {"query": "When are the quinces picked?", "limit": 3}))
        assert found["passages"][0]["document_id"] == document
        answer = said(await mcp.call_tool("answer", {"question": "When are the quinces of the priory picked?"}))
        assert "October" in answer["answer"]
        assert answer["receipt"].startswith("rcp_")
        shown = said(await mcp.call_tool("documents_get", {"document": document}))
        assert shown["name"] == "quinces.md"


async def test_a_caller_sees_the_tools_that_its_key_may_use(served: str, us: Company) -> None:
    async def seen(role: str) -> dict[str, Any]:
        async with session(served, us.keys[role]) as mcp:
            return {tool.name: tool for tool in (await mcp.list_tools()).tools}

    everything, member, nobody = await seen("administrator"), await seen("member"), await seen("nobody")
    assert nobody.keys() < member.keys() < everything.keys()
    assert {"search", "answer", "documents_add"} <= member.keys()
    assert "documents_delete" in everything.keys() - member.keys()
    assert not [name for name, tool in nobody.items() if (tool.meta or {})["bastide/permission"]]


async def test_each_tool_says_its_schema_effect_and_role(served: str, us: Company) -> None:
    async with session(served, us.keys["administrator"]) as mcp:
        tools = (await mcp.list_tools()).tools
    for tool in tools:
        assert re.fullmatch(r"[a-z_]{1,64}", tool.name)
        assert len(tool.description or "") > 40
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert (tool.meta or {})["bastide/effect"] in {"reads", "writes", "destroys"}
        needs = (tool.meta or {})["bastide/permission"]
        if needs:
            assert needs in PERMISSIONS
            assert (tool.meta or {})["bastide/roles"] == sorted(role for role, may in ROLES.items() if needs in may)
    delete = next(tool for tool in tools if tool.name == "documents_delete")
    assert delete.annotations is not None
    assert (delete.annotations.read_only_hint, delete.annotations.destructive_hint) == (False, True)


async def test_what_a_tool_says_it_needs_is_what_its_room_asks_for(served: str, us: Company) -> None:
    """A key without any permission is told which one is missing: the one that the tool names."""
    found: dict[str, str] = {}
    async with session(served, us.keys["nobody"]) as mcp:
        for one in OPERATIONS:
            example: dict[str, Any] = one.given.model_json_schema().get("examples", [{}])[0]
            refused = await mcp.call_tool(tool_name(one), {**example, **({one.of: "x"} if one.of else {})})
            found[one.name] = said(refused)["error"]["message"]
    assert len(found) == len(OPERATIONS) > 50
    wrong = {one.name: found[one.name] for one in OPERATIONS if f"permission {one.needs}," not in found[one.name]}
    assert not wrong


async def test_what_goes_wrong_says_what_to_do(served: str, us: Company) -> None:
    async with session(served, us.keys["member"]) as mcp:
        for name, arguments, code in (
            ("documents_get", {"document": "doc_06ar2k8m1v6t7c9d0e1f2g3h4j"}, "knowledge.unknown_document"),
            ("documents_get", {}, "request.fields_wrong"),
            ("search", {"query": " "}, "knowledge.bad_query"),
            ("search", {"query": "x", "colour": "red"}, "request.fields_wrong"),
            ("fly", {}, "request.no_such_operation"),
        ):
            result = await mcp.call_tool(name, arguments)
            assert result.is_error, name
            error = said(result)["error"]
            assert (error["code"], bool(error["next"])) == (code, True)


async def test_a_neighbour_s_document_is_not_there(served: str, us: Company, them: Company) -> None:
    async with session(served, us.keys["member"]) as mcp:
        text = {"name": "secret-pear.md", "text": "The secret pear ripens on the north wall."}
        document = said(await mcp.call_tool("documents_add", text))["documents"][0]["id"]
    async with session(served, them.keys["administrator"]) as mcp:
        assert (await mcp.call_tool("documents_get", {"document": document})).is_error
        found = said(await mcp.call_tool("search", {"query": "secret pear north wall"}))
        assert document not in {one["document_id"] for one in found["passages"]}


async def test_without_a_key_there_is_no_tool(web: httpx2.AsyncClient) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    reply = await web.post("/mcp", json=message, headers={"accept": "application/json, text/event-stream"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "tenancy.no_key")


async def test_broken_messages_break_nothing(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"]) | {"accept": "application/json, text/event-stream"}
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "method": "x", "id": 1}',
    ):
        reply = await web.post("/mcp", content=body, headers=headers | {"content-type": "application/json"})
        assert reply.status_code < 500, body
    assert (await web.get("/mcp", headers=headers)).status_code in {400, 405, 406}
