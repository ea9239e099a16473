"""A typist: commands of the house, each a process of its own, without an interpreter's start for each.

One process has loaded what commands and servers load, and forks for every one of them: with its own environment,
folder and descriptors, and an exit status. `typed` waits for the end; `begun` gives a process that lives, and may be
killed, frozen and asked to stop as any other. Only the start is not that of `bastide`; the tests that are about it run
the real thing (`processes.BASTIDE`).

    python -m tests.journeys.typist SOCKET        serves until its standard input ends
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from bastide import app
from bastide.cli import attending, desk, registering, running, tree
from tests.journeys.processes import BASTIDE, Process

# What `errand` and `serving` load; they run as programs, and must not be loaded themselves.
LOADED = (app, attending, desk, registering, running)
ROOT = Path(__file__).parents[2]
# The command in a shell: hands over its words and descriptors, and ends as the forked process did.
_COMMAND = """
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    wish = json.dumps(["", sys.argv[2:], dict(os.environ), os.getcwd()]).encode() + b"\\n"
    sent = line.sendmsg([wish], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    line.sendall(wish[sent:])
    sys.exit(int(line.makefile().read().partition("\\n")[2] or 70))
"""


@cache
def _socket() -> str:
    """Where the typist of this process of pytest listens; started at the first question."""
    folder = tempfile.TemporaryDirectory(prefix="bastide-typist-")
    place = str(Path(folder.name) / "socket")
    words = [sys.executable, "-m", "tests.journeys.typist", place]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def leave(end: IO[str] = process.stdin) -> None:
        end.close()
        process.wait(timeout=120)
        folder.cleanup()

    atexit.register(leave)
    return place


class Begun:
    """A process that the typist forked, with what `subprocess.Popen` says of its own."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        self._line = line  # its status comes here; if this end is closed, the process is asked to stop
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises TimeoutExpired."""
        if (status := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """A signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._line], [], [], timeout)[0]:
            with self._line, self._line.makefile() as said:
                self.returncode = int(said.read())
        return self.returncode


def begun(
    words: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    module: str = "",
    out: IO[Any] | int = subprocess.DEVNULL,
    said: IO[Any] | int = subprocess.DEVNULL,
) -> Begun:
    """`bastide` with these words, or the `main` of a module; in a session of its own, with nothing to read.

    `out` and `said` are open files that take what it writes.
    """
    with open(os.devnull, "r+b") as nothing:
        ends = [nothing.fileno()]
        for one in (out, said):
            ends.append(one.fileno() if not isinstance(one, int) else nothing.fileno())
        line = _wished(module, words, environment if environment is not None else os.environ, ends)
    pid = b""
    while not pid.endswith(b"\n"):
        more = line.recv(1)
        assert more, "the typist went away"
        pid += more
    return Begun(line, int(pid))


@contextmanager
def begun_and_heard(words: Sequence[str], *, environment: Mapping[str, str]) -> Iterator[tuple[Begun, str]]:
    """A long-running command, stopped at the end, and its first line; or what it said on its errors, as JSON."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        reading, writing = os.pipe()
        with open(reading, encoding="utf-8") as heard:
            with open(writing, "w", encoding="utf-8") as out:
                process = begun(words, environment=environment, out=out, said=said)
            try:
                line = heard.readline()
                if not line:
                    process.wait(120)
                    said.seek(0)
                    line = json.dumps({"error": said.read()})
                yield process, line
            finally:
                process.terminate()
                process.wait(120)


def typed(
    words: Sequence[str], *, environment: Mapping[str, str], timeout_s: float = 180
) -> subprocess.CompletedProcess[str]:
    """`bastide` with these words, its output captured. Raises TimeoutExpired."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as said,
    ):
        process = begun(words, environment=environment, out=out, said=said)
        try:
            status = process.wait(timeout_s)
        finally:
            process.terminate()
        out.seek(0)
        said.seek(0)
        return subprocess.CompletedProcess(["bastide", *words], status, out.read(), said.read())


class Forked(Process):
    """A long-running command of the house, or a player: the `main` of a `module`, forked by the typist."""

    module = ""

    def _launch(self) -> Begun:
        words = [*self.arguments, "--home", str(self.home)]
        if self.module:
            words += ["--port", str(self.port)]
        with open(self.home.parent / "process.log", "a") as log:
            environment = {**os.environ, "BASTIDE_PORT": str(self.port)}
            return begun(words, environment=environment, module=self.module, out=log, said=log)


def _wished(module: str, words: Sequence[str], environment: Mapping[str, str], ends: Sequence[int]) -> socket.socket:
    """The line on which the typist answers: a process's number, and once it has ended its status."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(_socket())
    wish = json.dumps([module, list(words), dict(environment), os.getcwd()]).encode() + b"\n"
    sent = line.sendmsg([wish], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends))])
    line.sendall(wish[sent:])
    return line


def in_a_shell(folder: Path) -> Path:
    """A folder for PATH, in which `bastide` is the typist's; `up` and `serve`, which signals end, are real."""
    folder.mkdir()
    command = folder / "bastide"
    program = shlex.join([sys.executable, "-IS", "-c", _COMMAND, _socket()])
    long = f'case "${{1:-}}" in up|serve) exec {shlex.quote(BASTIDE)} "$@" ;; esac'
    command.write_text(f'#!/bin/sh\n{long}\nexec {program} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return folder


# -- the process that forks ---------------------------------------------------------------------------------


def _serve(place: str) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen(16)
        gc.freeze()  # a forked process shares what is loaded
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who keep the lines
        watcher = os.fork()
        if watcher == 0:  # ends the server with whoever started it
            sys.stdin.read()
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(0)
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _keep(line)
            line.close()


def _keep(line: socket.socket) -> None:
    """Run one command in a process of its own; its status goes back over the line."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    wish, ends, _, _ = socket.recv_fds(line, 1 << 20, 3)
    while not wish.endswith(b"\n"):
        wish += line.recv(1 << 20)
    lives, end = os.pipe()  # ends with the command
    child = os.fork()
    if child == 0:
        line.close()
        os.close(lives)
        _become(ends, *json.loads(wish))
    os.close(end)
    with suppress(OSError):
        line.sendall(f"{child}\n".encode())
    if lives not in select.select([line, lives], [], [])[0]:  # nobody waits for it any more
        os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(ends: Sequence[int], module: str, words: list[str], environment: dict[str, str], folder: str) -> None:
    status = 1
    try:
        os.setsid()
        for number, end in enumerate(ends):
            os.dup2(end, number)
            os.close(end)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdout = open(1, "w", encoding="utf-8", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        sys.argv = [module or "bastide", *words]
        try:
            if module:
                sys.exit(importlib.import_module(module).main())
            tree.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
