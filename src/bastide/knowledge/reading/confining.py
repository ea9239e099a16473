"""Confining: native code that reads foreign files works in a process of its own, with limits on time and memory."""

import contextlib
import io
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from bastide.errors import BombFile, ReaderUnavailable

PAGES, PICTURE, XBERG = (
    Path(__file__).with_name(name) for name in ("pdf_pages.py", "pdf_picture.py", "xberg_nodes.py")
)
"""What may be run: each is a program of ours that stands alone and says itself what it takes and gives."""
_SPEC = find_spec("pypdfium2")
LIBRARY = str(Path(_SPEC.origin).parents[1]) if _SPEC is not None and _SPEC.origin else ""
"""The folder that pypdfium2 lies in."""
_PATIENCE = 10
"""Seconds of waiting per second of computing that the process may use: the machine may be busy."""
_OUT_OF_TIME = frozenset({-24, 128 + 24})
_KILLED = frozenset({-9, 128 + 9})
"""Out of time as well, unless that time has not even passed: then somebody killed it, for want of memory perhaps."""
_LINE_MAX = 256 * 1024 * 1024
"""Bytes of one line: what says more without an end is no program of ours any more."""


@contextlib.contextmanager
def confined(program: Path, task: list[str], data: bytes, seconds: float) -> Generator[io.BufferedReader]:
    """What a program answers to a task on `data`, as it says it: nothing of that is kept here.

    It works without our environment, our modules or our patience for ever. `seconds` = of computing, at most; the
    process sets that limit for itself. Raises BombFile where it is reached, ReaderUnavailable where the process cannot
    be started. A program that crashes has said what it said; one that is left early is ended.
    """
    command = [sys.executable, "-I", "-S", str(program), *task]
    try:
        process = subprocess.Popen(  # our own program; the file is on its standard input
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
        )
    except OSError as error:
        raise ReaderUnavailable from error
    assert process.stdin is not None, "it was asked for"
    assert isinstance(process.stdout, io.BufferedReader), "bytes were asked for"
    late, began = threading.Event(), time.monotonic()
    watch = threading.Timer(seconds * _PATIENCE, _end, (process, late))
    feed = threading.Thread(target=_feed, args=(process.stdin, data))
    watch.daemon = feed.daemon = True
    watch.start()
    feed.start()
    whole = False
    try:
        yield process.stdout
        whole = not process.stdout.read(1)
        if whole:
            process.wait()
    finally:
        watch.cancel()
        process.kill()  # it has ended, unless somebody did not want to hear the rest
        process.stdout.close()
        process.wait()
        feed.join()
    if late.is_set():
        raise BombFile("Reading the file took too long, so it was given up.")
    passed = process.returncode in _KILLED and time.monotonic() - began >= seconds
    if whole and (passed or process.returncode in _OUT_OF_TIME):
        raise BombFile(f"Reading the file would take more than {seconds:g} seconds of computing.")


def lines(said: io.BufferedReader) -> Iterator[bytes]:
    """What is said, line by line; one that is cut off is none."""
    while (line := said.readline(_LINE_MAX)).endswith(b"\n"):
        yield line


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError):  # it has ended, or does not want it all
        pipe.write(data)
    with contextlib.suppress(OSError):
        pipe.close()


def _end(process: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    process.kill()
