"""The program behind `bastide mcp`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bastide.api.doors import MCP_PATH, speak
from bastide.cli.attending import attended
from bastide.cli.desk import Desk
from bastide.settings import Settings


async def _speak(desk: Desk) -> int:
    async with desk.server() as line:

        async def post(message: dict[str, Any]) -> dict[str, Any]:
            said: dict[str, Any] = await line.post(MCP_PATH, message, accept="application/json, text/event-stream")
            return said

        await speak(post)
    return 0


def run(words: dict[str, Any]) -> int:
    """Speak until the other side closes; the exit status."""

    def work() -> int:
        settings = Settings.read(Path(words["home"]) if words["home"] else None)
        return asyncio.run(_speak(Desk(settings, False, words["tenant"])))

    return attended(work, as_json=False)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
