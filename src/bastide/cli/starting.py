"""`bastide up` and `bastide serve`, and `bastide restore` for a home that has lost its database."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bastide.cli.programs import Program
from bastide.cli.registering import program

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.  [default: 8092]")]
Host = Annotated[str | None, typer.Option("--host", help="The address to listen at.  [default: 127.0.0.1]")]
AirGap = Annotated[bool, typer.Option("--air-gap", help="Reach nothing but loopback and BASTIDE_ALLOWED_NETWORKS.")]
NoExamples = Annotated[bool, typer.Option("--no-examples", help="Do not load the example documents at first start.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log every request on standard error, without its content.")]
RoleName = Annotated[
    Literal["api", "gateway", "worker", "sequencer", "all"], typer.Option("--role", help="What this process does.")
]
Backup = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the job store.backup wrote.")]


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    program(root, "up", "serving", example="bastide up --port 8092 --air-gap")(up)
    program(root, "serve", _serving, example="bastide serve --role api --host 0.0.0.0")(serve)
    program(root, "restore", "restoring", example="bastide restore /mnt/safe/nightly --home /srv/bastide")(restore)


def up(
    port: Port = None,
    host: Host = None,
    air_gap: AirGap = False,
    no_examples: NoExamples = False,
    verbose: Verbose = False,
) -> None:
    """Start everything: database, keys, administrator, examples, server.

    The first start makes the home and takes some seconds longer. Stop it with ctrl-C.
    """


def serve(
    role: RoleName = "all", port: Port = None, host: Host = None, air_gap: AirGap = False, verbose: Verbose = False
) -> None:
    """Play one role, for more than one process or machine.

    `api` answers HTTP, `sequencer` carries events into the log, `worker` does durable work, `all` is the three.
    `gateway` answers calls of models, in little memory, and passes everything else on to the `api` or `all` of the home
    on this machine; several may share a port.
    """


def _serving(given: dict[str, Any]) -> Program:
    return "gatekeeping" if given["role"] == "gateway" else "serving"


def restore(folder: Backup) -> None:
    """Read a backup into a home that has its secrets and no database.

    Copy secrets/ of the home that was backed up into the new one first; no server may run on it. A backup that does not
    fit, or that is damaged, leaves the home as it was.
    """
