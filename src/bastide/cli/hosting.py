"""The program behind `bastide model serve`: a runtime for a model folder, for as long as the command runs."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bastide.cli.attending import attended
from bastide.cli.desk import Desk
from bastide.cli.line import Line, segment
from bastide.errors import BastideError, ModelExists
from bastide.inference import Runtime, choose_runtime, watched_runtime
from bastide.settings import Settings

_OURS = "http://127.0.0.1:"


async def _host(desk: Desk, folder: Path, name: str | None, *, as_json: bool) -> int:
    runtime = choose_runtime(folder)
    name = name or folder.stem
    working = asyncio.ensure_future(_hosted(desk, folder, runtime, name, as_json=as_json))
    for number in (signal.SIGINT, signal.SIGTERM):  # also while it is still loading
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
    return 0


async def _hosted(desk: Desk, folder: Path, runtime: Runtime, name: str, *, as_json: bool) -> None:
    """Until cancelled, or until the runtime cannot stay up."""
    _say(f"Starting {runtime.program} for {folder} ...")
    async with desk.server() as line, watched_runtime(runtime, said=_say) as server:
        await _make_room(line, name, runtime)
        body = {"name": name, "kind": runtime.kind, "url": server.url, "local": True, "model": runtime.model}
        made = await line.post("/api/v1/models", {**body, "capabilities": ["chat"]})
        text = f"{name} answers, by {runtime.program}. Ctrl-C ends it and takes it off the list of models."
        print(json.dumps(made) if as_json else text, flush=True)
        try:
            await server.stay()
        finally:
            with suppress(BastideError):
                if (await line.get(f"/api/v1/models/{segment(name)}"))["url"] == server.url:  # else it is another's
                    await line.delete(f"/api/v1/models/{segment(name)}")


async def _make_room(line: Line, name: str, runtime: Runtime) -> None:
    """What this command has left behind in an earlier run goes. Raises ModelExists for any other model."""
    for model in await line.all("/api/v1/models"):
        if model["name"] == name:
            same = (model["kind"], model["upstream"]) == (runtime.kind, runtime.model)
            if not (same and model["local"] and str(model["url"]).startswith(_OURS)):
                raise ModelExists(f"There is a model {name} already.", model=name)
            await line.delete(f"/api/v1/models/{segment(name)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(words: dict[str, Any]) -> int:
    """Host what the words name; the exit status."""

    def work() -> int:
        settings = Settings.read(Path(words["home"]) if words["home"] else None)
        desk = Desk(settings, words["as_json"], words["tenant"])
        folder = Path(words["folder"]).expanduser().absolute()
        return asyncio.run(_host(desk, folder, words.get("name"), as_json=words["as_json"]))

    return attended(work, as_json=words["as_json"])


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
