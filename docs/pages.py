"""Writes the reference pages that are read off the code: errors, operations, commands.

python docs/pages.py             `make docs`; house tests hold that the pages name everything
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.main import get_command

from bastide.api.doors import create
from bastide.cli import tree
from bastide.egress import local_client
from bastide.errors import BastideError
from bastide.settings import Settings

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- written by docs/pages.py; `make docs` renews it -->"


def _tree(kind: type[BastideError] = BastideError) -> Iterator[type[BastideError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def errors() -> str:
    """Every error: code, status, meaning, next step."""
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "Every refusal has a stable code, an HTTP status and a next step. On the wire:",
        '`{"error": {"code": ..., "message": ..., "next": ..., "request_id": ...}}`.',
        "",
        "| code | status | what it means | what to do |",
        "|---|---|---|---|",
    ]
    kinds = {kind.code: kind for kind in _tree() if "code" in vars(kind)}
    for code in sorted(kinds):
        error = kinds[code]()
        lines.append(f"| `{code}` | {error.status} | {_cell(error.message)} | {_cell(error.next_step)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


async def _described() -> dict[str, Any]:
    closed: Any = SimpleNamespace(gateway=None)  # the description asks no room
    none: dict[str, Any] = dict.fromkeys(("workflows", "tenancy", "policy"))
    rooms: Any = SimpleNamespace(settings=Settings.read(environment={}), inference=closed, **none)
    async with local_client(create(rooms)) as client:
        reply = await client.request("GET", "/openapi.json")
    described: dict[str, Any] = json.loads(reply.body)
    return described


def operations() -> str:
    """Every operation on HTTP, from the OpenAPI description."""
    lines = ["# Operations", "", NOTE, "", "The machine-readable description is at `/openapi.json`.", ""]
    lines += ["| operation | does |", "|---|---|"]
    for path, methods in sorted(asyncio.run(_described())["paths"].items()):
        for method, operation in methods.items():
            lines.append(f"| `{method.upper()} {path}` | {_cell(operation.get('summary', ''))} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command, with its help."""
    lines = ["# Commands", "", NOTE, ""]
    for name, command, context in _commands("bastide", get_command(tree._root), None):
        lines += [f"## {name}", "", "```text", command.get_help(context).strip(), "```", ""]
    return "\n".join(lines)


def _commands(name: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = command.make_context(name.rsplit(" ", 1)[-1], [], parent=parent, resilient_parsing=True)
    if hasattr(command, "list_commands"):
        for below in command.list_commands(context):
            yield from _commands(f"{name} {below}", command.get_command(context, below), context)
    else:
        yield name, command, context


def main() -> None:
    """Write the three pages."""
    FOLDER.mkdir(exist_ok=True)
    for page in (errors, operations, commands):
        (FOLDER / f"{page.__name__}.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
