"""The program behind `bastide serve --role gateway`: calls of models, and nothing else in memory."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop

from bastide.cli.attending import attended
from bastide.cli.beginning import logs, settings_of, signals_held_back
from bastide.cli.running import find, prepare
from bastide.gatehouse import keep

Words = dict[str, Any]


def run(words: Words) -> int:
    """Keep the gate as the words say; the exit status."""
    logs(verbose=bool(words.get("verbose")))
    return attended(lambda: _keep(words), as_json=words["as_json"])


def _keep(words: Words) -> int:
    settings = settings_of(words)
    prepare(settings.home)

    def rest() -> str | None:
        running = find(settings.home)
        return running.url if running else None

    def ready(url: str) -> None:
        told = json.dumps({"role": "gateway", "url": url})
        text = f"Calls of models are answered at {url}; everything else is passed on. Ctrl-C stops it."
        print(told if words["as_json"] else text, flush=True)

    try:
        with signals_held_back(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(keep(settings, find=rest, on_ready=ready))
    except asyncio.CancelledError:  # the second signal came before the gate was open
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
