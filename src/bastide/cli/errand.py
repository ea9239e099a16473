"""The program behind every command that speaks to the server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bastide.cli.attending import attended
from bastide.cli.desk import Desk
from bastide.cli.registering import ERRANDS
from bastide.settings import Settings


def run(words: dict[str, Any]) -> int:
    """Run one errand; the exit status."""
    as_json = words["as_json"]

    def work() -> int:
        settings = Settings.read(Path(words["home"]) if words["home"] else None)
        desk = Desk(settings, as_json, words["tenant"])
        return asyncio.run(ERRANDS[words["errand"]](desk, **words["given"])) or 0

    return attended(work, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
