"""Programs: what a command does, apart from what it is called.

The tree of commands loads in a blink, because it knows only names, options and examples. What needs an HTTP
client or the rooms is a module that is run as a program, in this process, when its command was really given:

    errand      speaks to the server             verifying   reads evidence from files
    serving     is the server                    exporting   writes the log's files
    gatekeeping answers calls of models          restoring   reads a backup into a home
    speaking    speaks MCP on standard input     hosting     serves a model folder

Each gets its words as one argument of JSON. The one that lives long and small takes the whole process: what the
commands have made is gone then.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import sys
from typing import Any, Literal

Program = Literal["errand", "serving", "verifying", "exporting", "speaking", "restoring", "hosting", "gatekeeping"]

_ALONE: frozenset[Program] = frozenset({"gatekeeping"})


def main() -> None:
    """The console script. The tree of commands is run as well: a program that is none of them does not load it."""
    gc.disable()
    try:
        runpy.run_module("bastide.cli.tree", run_name="__main__")
    except KeyboardInterrupt:  # while it was loading; from then on `attended` knows what to say
        sys.exit(130)


def run_program(name: Program, words: dict[str, Any]) -> int:
    """Run a program with its words; its exit status."""
    said = json.dumps(words, default=str)
    if name in _ALONE:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-P", "-m", module_of(name), said])
    gc.disable()  # loading makes many objects and hardly a circle; `attended` enables it again
    before = sys.argv
    sys.argv = [module_of(name), said]
    try:
        runpy.run_module(module_of(name), run_name="__main__", alter_sys=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    finally:
        sys.argv = before
    return 0


def module_of(name: Program) -> str:
    """The module that `python -m` runs."""
    return f"bastide.cli.{name}"
