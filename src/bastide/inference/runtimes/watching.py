"""A runtime while it runs: started on a free port, watched, begun again when it dies, ended with us."""

from __future__ import annotations

import asyncio
import ctypes
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from bastide.egress import local_client
from bastide.errors import BastideError, RuntimeFailed
from bastide.inference.runtimes.choosing import Runtime

_READY_S: Final = 900.0  # a large model is long in loading
_LOOK_S: Final = 0.2
_GRACE_S: Final = 10.0
_RESTARTS_MAX: Final = 5  # within one run; a program that cannot stay is told and left
_TOLD_MAX: Final = 2000
_PDEATHSIG: Final = 1  # prctl(2)


class Watched:
    """One runtime. `url` is where its interface begins, the same across restarts."""

    def __init__(self, runtime: Runtime, port: int, said: Callable[[str], None]) -> None:
        self.runtime = runtime
        self.url = f"http://127.0.0.1:{port}/v1"
        self.restarts = 0
        self._port = port
        self._said = said
        self._process: asyncio.subprocess.Process | None = None
        self._last = b""

    async def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeFailed with its last words."""
        command = [part.replace("{port}", str(self._port)) for part in self.runtime.command]
        extra = [f"{name}={value}" for name, value in self.runtime.environment]
        self._process = await asyncio.create_subprocess_exec(
            "env",
            *extra,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
        listening = asyncio.create_task(self._listen(self._process))
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._answers():
                    if self._process.returncode is not None:
                        await listening
                        raise RuntimeFailed(self._words(f"{self.runtime.program} ended before it answered."))
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as late:
            await self.stop()
            raise RuntimeFailed(self._words(f"{self.runtime.program} did not answer in time.")) from late

    async def stay(self) -> None:
        """Watch it until cancelled; one that dies is begun again. Raises RuntimeFailed when it dies too often."""
        while True:
            assert self._process is not None, "started before it is watched"
            await self._process.wait()
            self.restarts += 1
            if self.restarts > _RESTARTS_MAX:
                raise RuntimeFailed(self._words(f"{self.runtime.program} died {self.restarts} times."))
            self._said(f"{self.runtime.program} ended by itself; it is started again.")
            await asyncio.sleep(min(2.0**self.restarts, 30.0) / 4)
            await self.start()

    async def stop(self) -> None:
        """End it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _answers(self) -> bool:
        with suppress(BastideError):
            async with local_client(f"http://127.0.0.1:{self._port}") as client:
                return (await client.request("GET", self.runtime.health)).status == 200
        return False

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "its output is a pipe"
        while piece := await process.stdout.read(4096):
            self._last = (self._last + piece)[-_TOLD_MAX:]

    def _words(self, what: str) -> str:
        last = self._last.decode("utf-8", "replace").strip().splitlines()[-8:]
        return f"{what} Its last words: {' | '.join(last)}" if last else what


@asynccontextmanager
async def watched_runtime(runtime: Runtime, *, said: Callable[[str], None]) -> AsyncGenerator[Watched]:
    """The runtime, answering while the block runs. Raises RuntimeFailed."""
    held = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, start_serving=False)
    port = int(held.sockets[0].getsockname()[1])
    held.close()  # free, and known: the runtime is told which it is
    made = Watched(runtime, port, said)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


def _die_with_parent() -> None:
    """In the child: it gets SIGTERM when we are gone, however we went (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
