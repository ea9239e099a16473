"""`bastide call`: any operation of the house by its name, with its fields as JSON."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.giving import a_field, an_object, put_together
from bastide.cli.printing import sheet, table
from bastide.cli.registering import errand
from bastide.errors import BrokenReply, FieldsWrong, ServerSaid

if TYPE_CHECKING:
    from bastide.cli.desk import Desk
    from bastide.cli.line import Line

Name = Annotated[
    str | None, typer.Argument(metavar="OPERATION", help="Such as graph.paths; without one they are listed.")
]
Given = Annotated[
    list[Any] | None,
    typer.Argument(
        metavar="FIELD=VALUE...", parser=a_field, help="Its fields: text, @FILE for a file's text, or FIELD:=JSON."
    ),
]
Fields = Annotated[Any, typer.Option("--input", metavar="JSON", parser=an_object, help="Its fields, as one object.")]
About = Annotated[bool, typer.Option("--about", help="Say what it does and which fields it takes.")]

_STREAMS = "application/json, text/event-stream"


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    errand(root, "call", example="bastide call graph.resolve name=EDPB")(call)


async def call(
    desk: "Desk", operation: Name = None, given: Given = None, input: Fields = None, about: About = False
) -> None:
    """Call any operation of the house, or list those that this home's key may use.

    They are the tools that programs see by MCP, under the same names.
    """
    async with desk.server() as line:
        if operation is None or about:
            _show(desk, (await _ask(line, "tools/list", {}))["tools"], operation)
            return
        arguments = put_together(input, fields=given)
        done = await _ask(line, "tools/call", {"name": _tool(operation), "arguments": arguments})
    said = done["structuredContent"]
    if done.get("isError"):
        error = said["error"]
        if error["code"] == FieldsWrong.code:
            error = {**error, "next": f"`bastide call {operation} --about` lists its fields."}
        raise ServerSaid(error, 400)
    desk.say(said, lambda: sheet(said))


def _tool(operation: str) -> str:
    return operation.replace(".", "_").replace("-", "_")


def _show(desk: "Desk", tools: list[dict[str, Any]], operation: str | None) -> None:
    if operation is None:
        rows = [(one["name"], one["_meta"]["bastide/effect"], one["title"]) for one in tools]
        desk.say({"operations": tools}, lambda: table(rows, ("operation", "effect", "about")))
        return
    one = next((one for one in tools if one["name"] == _tool(operation)), None)
    if one is None:
        said = {"code": "request.no_such_operation", "message": f"This key may use no operation {operation!r}."}
        raise ServerSaid({**said, "next": "List them with `bastide call`."}, 404)
    desk.say(one, lambda: f"{one['description']}\n\n{_fields(one['inputSchema'])}")


def _fields(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        (name, "needed" if name in needed else "", shape.get("description") or shape.get("type") or "")
        for name, shape in schema["properties"].items()
    ]
    return table(rows, ("field", "", "what it is")) if rows else "It takes no fields."


async def _ask(line: "Line", method: str, params: dict[str, Any]) -> dict[str, Any]:
    reply = await line.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, accept=_STREAMS)
    if not isinstance(reply, dict) or "result" not in reply:
        raise BrokenReply("The server's answer is not one of MCP.")
    result: dict[str, Any] = reply["result"]
    return result
