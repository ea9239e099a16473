"""The command line as one tree, and the way errors leave it: 0 done, 1 refused or failed, 2 wrong usage."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from bastide import __version__
from bastide.cli import (
    accounting,
    asking,
    calling,
    doctor,
    embedders,
    evidence,
    identities,
    law,
    models,
    overseeing,
    routes,
    shelves,
    starting,
    taking_in,
    timely,
    tooling,
    watching,
    work,
)
from bastide.cli.attending import attended
from bastide.cli.printing import failure
from bastide.cli.registering import AsJson, Home, Shared, Tenant
from bastide.errors import WrongUsage

_root = typer.Typer(
    name="bastide",
    help="AI in a closed loop, under rules you write, with evidence you can show.",
    epilog="Begin with `bastide up`. Every command has --help with an example.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@_root.callback()
def _before(
    ctx: typer.Context,
    json: AsJson = False,
    home: Home = None,
    tenant: Tenant = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    ctx.obj = Shared(json, home, tenant)


for _part in (
    starting,
    taking_in,
    shelves,
    asking,
    watching,
    calling,
    work,
    overseeing,
    timely,
    evidence,
    identities,
    law,
    models,
    routes,
    accounting,
    embedders,
    tooling,
    doctor,
):
    _part.add_to(_root)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit status."""
    as_json = "--json" in arguments
    try:
        return attended(lambda: _run(arguments, as_json=as_json), as_json=as_json)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: Sequence[str], *, as_json: bool) -> int:
    try:
        result = get_command(_root).main(list(arguments), prog_name="bastide", standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except typer.Abort:
        print("\nStopped.", file=sys.stderr)
        return 130
    except typer.TyperException as fault:
        return _wrong_usage(fault, as_json=as_json)
    return result if isinstance(result, int) else 0


def _wrong_usage(fault: typer.TyperException, *, as_json: bool) -> int:
    said = fault.format_message() if hasattr(fault, "format_message") else str(fault)
    context = getattr(fault, "ctx", None)
    path = context.command_path if context is not None else "bastide"
    if "\n\nCommands:\n" in said:  # a group without its command: its help is the answer
        print(said, file=sys.stderr)
        return 2
    failure(WrongUsage(said, next_step=f"See `{path} --help`; it has an example."), as_json=as_json)
    return 2


if __name__ == "__main__":
    main()
