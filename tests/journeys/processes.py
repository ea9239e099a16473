"""Real processes of the house, for journeys: started, asked over HTTP, killed, started again."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

BASTIDE = str(Path(sys.executable).with_name("bastide"))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*arguments: str, home: Path, check: bool = True, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """A command as a person types it; its output is captured."""
    done = subprocess.run(
        [BASTIDE, *arguments, "--home", str(home)], capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def answer_of(*arguments: str, home: Path) -> Any:
    """The same command's JSON."""
    return json.loads(run(*arguments, "--json", home=home).stdout)


class Living(Protocol):
    """A process, whoever started it."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Process:
    """One long-running command of the house."""

    def __init__(self, home: Path, *arguments: str, port: int | None = None) -> None:
        self.home = home
        self.port = port or free_port()
        self.arguments = arguments
        self.process = self._launch()
        atexit.register(lambda: self.process.poll() is None and self.process.kill())  # a failed test leaves nobody

    def _launch(self) -> Living:
        log = open(self.home.parent / "process.log", "a")  # noqa: SIM115
        environment = {**os.environ, "BASTIDE_PORT": str(self.port)}
        return subprocess.Popen(
            [BASTIDE, *self.arguments, "--home", str(self.home)],
            stdout=log,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def wait_ready(self, timeout_s: float = 90) -> Process:
        """Wait until `/readyz` says so."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.home.parent / "process.log").read_text()[-3000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError("never ready: " + (self.home.parent / "process.log").read_text()[-3000:])

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def again(self) -> Process:
        """The same command, started anew."""
        self.process = self._launch()
        return self


def call(port: int, method: str, path: str, *, key: str, body: Any = None, timeout_s: float = 60) -> tuple[int, Any]:
    """One request; the status and the JSON (or the bytes). A connection that breaks gives status 0."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return reply.status, _decoded(reply.read())
    except urllib.error.HTTPError as refused:
        return refused.code, _decoded(refused.read())
    except OSError:
        return 0, None


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content


def postmaster(home: Path) -> int:
    """The pid of the embedded PostgreSQL's first process."""
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
