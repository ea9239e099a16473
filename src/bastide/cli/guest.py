"""A server for the length of one command: a child process that stops when its standard input ends.

So it cannot outlive the command, however that ends. See `serving` for what it runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from bastide.cli.programs import module_of
from bastide.errors import ServerSaid, StartFailed
from bastide.settings import Settings

_START_S = 120.0
_STOP_S = 20.0


@asynccontextmanager
async def guest(settings: Settings) -> AsyncGenerator[str]:
    """The address of a server of our own on this home. Raises what kept the house from opening."""
    words = {"command": "guest", "home": str(settings.home), "as_json": True, "air_gap": settings.air_gap}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # keeps the current folder out of the path that modules are found on
        "-m",
        module_of("serving"),
        json.dumps(words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # an interrupt at the keyboard is for the command; it ends the guest itself
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield await _address(process.stdout)
    finally:
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(said: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(_START_S):
            line = await said.readline()
        wire = json.loads(line)
    except (TimeoutError, ValueError) as fault:
        raise StartFailed from fault
    if "error" in wire:
        raise ServerSaid(wire["error"], 503)
    return str(wire["url"])
