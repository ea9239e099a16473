"""The bridge: MCP on standard input and output, for programs that start their servers themselves.

Both eras of the protocol are spoken by the library; what is asked is sent on to /mcp of the running house, so that
rights, labels and the log are those of any other call. Nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bastide import __version__

Post = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Sends one message to the house's /mcp and gives its answer. Raises what the line to the house raises."""


async def speak(post: Post) -> None:
    """Answer on standard output until standard input ends."""
    # The library costs half a second to load, and only this command needs it.
    from mcp.server.lowlevel.server import Server  # noqa: PLC0415
    from mcp.server.stdio import stdio_server  # noqa: PLC0415
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult  # noqa: PLC0415

    async def on(method: str, params: dict[str, Any]) -> Any:
        answer = await post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return answer["result"]

    async def on_list(context: Any, params: object) -> ListToolsResult:
        return ListToolsResult.model_validate(await on("tools/list", {}))

    async def on_call(context: Any, params: CallToolRequestParams) -> CallToolResult:
        said = {"name": params.name, "arguments": params.arguments or {}}
        return CallToolResult.model_validate(await on("tools/call", said))

    server: Server[Any] = Server(
        "bastide", version=__version__, title="Bastide", on_list_tools=on_list, on_call_tool=on_call
    )
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
