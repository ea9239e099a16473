"""A typist: commands of the house, each a process of its own, without an interpreter's start for each.

One process has loaded what commands load, and forks for every command: with its own environment, folder and
descriptors, and an exit status. Only the start is not that of `bastide`; the tests that are about it, and about
signals, run the real thing (`processes.BASTIDE`).

    python -m tests.journeys.typist SOCKET        serves until its standard input ends
"""

from __future__ import annotations

import array
import atexit
import gc
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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from bastide.cli import attending, desk, main, registering
from tests.journeys.processes import BASTIDE

LOADED = (attending, desk, registering)  # what `errand` loads; it runs as a program, and must not be loaded itself
ROOT = Path(__file__).parents[2]
# The command in a shell: hands over its words and descriptors, and ends as the forked process did.
_COMMAND = """
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    wish = json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()]).encode() + b"\\n"
    sent = line.sendmsg([wish], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    line.sendall(wish[sent:])
    sys.exit(int(line.makefile().read() or 70))
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
        process.wait(timeout=20)
        folder.cleanup()

    atexit.register(leave)
    return place


def typed(
    words: Sequence[str], *, environment: Mapping[str, str], timeout_s: float = 180
) -> subprocess.CompletedProcess[str]:
    """`bastide` with these words, its output captured. Raises TimeoutError."""
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as said,
        socket.socket(socket.AF_UNIX) as line,
    ):
        line.settimeout(timeout_s)
        line.connect(_socket())
        wish = json.dumps([list(words), dict(environment), os.getcwd()]).encode() + b"\n"
        ends = array.array("i", [one.fileno() for one in (nothing, out, said)])
        sent = line.sendmsg([wish], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ends)])
        line.sendall(wish[sent:])
        status = int(line.makefile().read())
        out.seek(0)
        said.seek(0)
        return subprocess.CompletedProcess(["bastide", *words], status, out.read(), said.read())


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
    if lives not in select.select([line, lives], [], [])[0]:  # nobody waits for it any more
        os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(ends: Sequence[int], words: list[str], environment: dict[str, str], folder: str) -> None:
    status = 1
    try:
        for number, end in enumerate(ends):
            os.dup2(end, number)
            os.close(end)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdout = open(1, "w", encoding="utf-8", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        sys.argv = ["bastide", *words]
        try:
            main()
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
