"""`bastide mcp`."""

import typer

from bastide.cli.registering import program


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    program(root, "mcp", "speaking", example="claude mcp add bastide -- bastide mcp")(mcp)


def mcp() -> None:
    """Speak the Model Context Protocol on standard input and output.

    The tools are the operations that this home's key may use; programs that speak HTTP find them at /mcp.
    """
