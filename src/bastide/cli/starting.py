"""`bastide up` and `bastide serve`: the server takes the command's place."""

from typing import Annotated, Literal

import typer

from bastide.cli.registering import errand
from bastide.cli.orders import Orders, become

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.  [default: 8092]")]
Host = Annotated[str | None, typer.Option("--host", help="The address to listen at.  [default: 127.0.0.1]")]
AirGap = Annotated[bool, typer.Option("--air-gap", help="Reach nothing but loopback and BASTIDE_ALLOWED_NETWORKS.")]
NoExamples = Annotated[bool, typer.Option("--no-examples", help="Do not load the example documents at first start.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log every request on standard error, without its content.")]
RoleName = Annotated[
    Literal["api", "worker", "sequencer", "all"], typer.Option("--role", help="What this process does.")
]


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    errand(root, "up", example="bastide up --port 8092 --air-gap")(up)
    errand(root, "serve", example="bastide serve --role api --host 0.0.0.0")(serve)


async def up(
    desk: "Desk",
    port: Port = None,
    host: Host = None,
    air_gap: AirGap = False,
    no_examples: NoExamples = False,
    verbose: Verbose = False,
) -> int:
    """Start everything: database, keys, administrator, examples, server.

    The first start makes the home and takes some seconds longer. Stop it with ctrl-C.
    """
    become("bastide.cli.serving", _orders(desk, "up", "all", port, host, air_gap, not no_examples, verbose).to_json())


async def serve(
    desk: "Desk", role: RoleName = "all", port: Port = None, host: Host = None, air_gap: AirGap = False, verbose: Verbose = False
) -> int:
    """Play one role, for more than one process or machine.

    `api` answers HTTP, `sequencer` carries events into the log, `worker` does durable work, `all` is the three.
    """
    become("bastide.cli.serving", _orders(desk, "serve", role, port, host, air_gap, False, verbose).to_json())


def _orders(
    desk: "Desk",
    mode: Literal["up", "serve"],
    role: Literal["api", "worker", "sequencer", "all"],
    port: int | None,
    host: str | None,
    air_gap: bool,
    examples: bool,
    verbose: bool,
) -> Orders:
    settings = desk.settings
    return Orders(
        mode=mode,
        home=str(settings.home),
        host=host or settings.server.host,
        port=settings.server.port if port is None else port,
        air_gap=air_gap or settings.air_gap,
        role=role,
        examples=examples,
        as_json=desk.as_json,
        verbose=verbose,
    )
