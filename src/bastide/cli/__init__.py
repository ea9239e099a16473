"""Cli: every operation for a person at a terminal, and for a script.

A command speaks HTTP to the server that runs on the home; where none runs, it starts one for as long as it
takes, on a free port of loopback. So there is one way through the doors, and a command loads no room: what
needs the rooms (`up`, `serve`, `verify`) is a program of its own that takes the command's place.
"""

from bastide.cli.programs import main

__all__ = ["main"]
