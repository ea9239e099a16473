"""MCP at /mcp: the operations of the house as tools, for programs that speak the Model Context Protocol.

Every row of the tables is a tool with the same fields, so nothing is described twice. A caller sees the tools that its
key may use, and no other. The transport is streamable HTTP without sessions: each message stands alone, under the key
that it came with, and any process of the house can answer it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError
from starlette.requests import Request

from bastide import __version__, telemetry
from bastide.api.gate import Receive, Send, Wires
from bastide.api.operations import Ask, Nothing, Operation
from bastide.api.refusals import fields_wrong
from bastide.api.values import Caller, Rooms
from bastide.errors import BastideError, Broken, FieldsWrong, NoSuchOperation
from bastide.tenancy import ROLES

if TYPE_CHECKING:  # the library costs half a second to load: whoever never asks for a tool never pays for it
    from mcp.server.lowlevel.server import Server
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult

Wire = dict[str, Any]
PATH = "/mcp"
_ABOUT = (
    "Documents in, answers with their sources out, durable work under human oversight. Passages and answers carry "
    "labels: what they allow is decided by the house, not by the caller. Cite document_id, page and section."
)
_EFFECTS = {
    "reads": "Changes nothing.",
    "writes": "Changes what is kept here.",
    "destroys": "Destroys: nothing brings it back.",
}


class Tools:
    """An ASGI application at one address, behind the doorkeeper."""

    def __init__(self, rooms: Rooms, table: Iterable[Operation]) -> None:
        self._rooms = rooms
        self._table: Mapping[str, Operation] = {tool_name(one): one for one in table}
        self._tools = {name: _tool(name, one) for name, one in self._table.items()}

    @cached_property
    def _server(self) -> Server[Any]:
        from mcp.server.lowlevel.server import Server  # noqa: PLC0415

        return Server(
            "bastide",
            version=__version__,
            title="Bastide",
            instructions=_ABOUT,
            get_tool_input_schema=lambda name: self._tools[name]["inputSchema"] if name in self._tools else None,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def __call__(self, scope: Wires, receive: Receive, send: Send) -> None:
        """One message of the protocol and its answer."""
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415

        manager = StreamableHTTPSessionManager(self._server, stateless=True, json_response=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    async def _list(self, context: Any, params: object) -> ListToolsResult:
        from mcp_types import ListToolsResult  # noqa: PLC0415

        caller = _caller(context)
        allowed = [
            self._tools[name]
            for name, one in self._table.items()
            if not one.needs or one.needs in caller.scope.permissions
        ]
        return ListToolsResult.model_validate({"tools": allowed})

    async def _call(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        caller = _caller(context)
        one = self._table.get(params.name)
        telemetry.count("tool_calls", tool=params.name if one else "unknown")
        try:
            if one is None:
                raise NoSuchOperation(
                    f"There is no tool {params.name[:100]!r}.",
                    next_step="tools/list names them, or `bastide call` alone.",
                )
            return _said(await one.run(_ask(one, caller, self._rooms, dict(params.arguments or {}))))
        except BastideError as fault:
            return _said({"error": fault.to_wire(caller.request_id)}, failed=True)
        except Exception:
            telemetry.log.exception("tool %s of request %s failed", params.name, caller.request_id)
            return _said({"error": Broken().to_wire(caller.request_id)}, failed=True)


def tool_name(one: Operation) -> str:
    """The operation's name as every client takes it: letters, digits, underscores."""
    return one.name.replace(".", "_").replace("-", "_")


def _caller(context: Any) -> Caller:
    return cast(Caller, cast(Request, context.request).state.caller)


def _ask(one: Operation, caller: Caller, rooms: Rooms, arguments: dict[str, Any]) -> Ask[Any]:
    named = arguments.pop(one.of, None) if one.of else ""
    if not isinstance(named, str) or (one.of and not named):
        raise FieldsWrong(f"{one.of}: a text is needed.", fields=[{"field": one.of, "problem": "a text is needed"}])
    try:
        return Ask(caller, rooms, one.given.model_validate(arguments), named)
    except ValidationError as fault:
        raise fields_wrong(fault) from fault


def _said(wire: Mapping[str, Any], *, failed: bool = False) -> CallToolResult:
    from mcp_types import CallToolResult, TextContent  # noqa: PLC0415

    text = json.dumps(wire, ensure_ascii=False)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=dict(wire), is_error=failed)


def _tool(name: str, one: Operation) -> Wire:
    roles = sorted(role for role, may in ROLES.items() if one.needs in may)
    asks = f"Needs {one.needs} (roles: {', '.join(roles)})." if one.needs else "Any key may ask."
    return {
        "name": name,
        "title": one.about,
        "description": "\n".join([f"{one.about}. {one.run.__doc__ or ''}".strip(), f"{_EFFECTS[one.does]} {asks}"]),
        "inputSchema": _schema(one),
        "annotations": {
            "title": one.about,
            "readOnlyHint": one.does == "reads",
            "destructiveHint": one.does == "destroys",
            "idempotentHint": one.does == "reads" or one.method in {"PUT", "DELETE"},
            "openWorldHint": False,
        },
        "_meta": {"bastide/permission": one.needs or None, "bastide/roles": roles, "bastide/effect": one.does},
    }


def _schema(one: Operation) -> Wire:
    """The fields of a message, and the thing that the address of HTTP names."""
    schema: Wire = {"type": "object", "properties": {}, "additionalProperties": False}
    if one.given is not Nothing:
        schema |= one.given.model_json_schema()
    schema.pop("title", None)
    if one.of:
        named = {"type": "string", "description": f"Which {one.of}: its id, or its name."}
        schema["properties"] = {one.of: named, **schema["properties"]}
        schema["required"] = [one.of, *schema.get("required", [])]
    return schema
