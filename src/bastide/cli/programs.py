"""Programs: what a command does, apart from what it is called.

The tree of commands loads in a blink, because it knows only names, options and examples. What needs an HTTP
client or the rooms is a module that is run as a program, in this process, when its command was really given:

    errand      speaks to the server             verifying   reads evidence from files
    serving     is the server                    exporting   writes the log's files
    gatekeeping answers calls of models          restoring   reads a backup into a home
    speaking    speaks MCP on standard input     hosting     serves a model folder

Each gets its words as one argument of JSON.
"""

from __future__ import annotations

import gc
import json
import runpy
import sys
from typing import Any, Literal

Program = Literal["errand", "serving", "verifying", "exporting", "speaking", "restoring", "hosting", "gatekeeping"]


def run_program(name: Program, words: dict[str, Any]) -> int:
    """Run a program with its words; its exit status."""
    gc.disable()  # loading makes many objects and hardly a circle; `attended` enables it again
    before = sys.argv
    sys.argv = [module_of(name), json.dumps(words, default=str)]
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
