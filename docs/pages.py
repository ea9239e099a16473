"""Writes the reference pages that are read off the code: errors, operations, commands.

    python docs/pages.py             `make docs`; house tests hold that the pages name everything
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from bastide import cli
from bastide.app import describe
from bastide.errors import BastideError

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
        "`{\"error\": {\"code\": ..., \"message\": ..., \"next\": ..., \"request_id\": ...}}`.",
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


def operations() -> str:
    """Every operation on HTTP, from the OpenAPI description."""
    lines = ["# Operations", "", NOTE, "", "The machine-readable description is at `/openapi.json`.", ""]
    lines += ["| operation | does |", "|---|---|"]
    for path, methods in sorted(asyncio.run(describe())["paths"].items()):
        for method, operation in methods.items():
            lines.append(f"| `{method.upper()} {path}` | {_cell(operation.get('summary', ''))} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command, with its help."""
    lines = ["# Commands", "", NOTE, ""]
    for name, text in cli.pages():
        lines += [f"## {name}", "", "```text", text.strip(), "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Write the three pages."""
    FOLDER.mkdir(exist_ok=True)
    for page in (errors, operations, commands):
        (FOLDER / f"{page.__name__}.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
