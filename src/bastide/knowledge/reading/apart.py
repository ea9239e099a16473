"""Apart: a file that is not small is read by a process of its own, with limits on its time and memory.

Whatever a file was made to do to its reader (to hang in one pattern, to swell, to crash a library) it does there, and
is refused with the reason; here, everything else goes on. A small file is read here: it cannot cost much.
"""

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Generator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path

from bastide.errors import BastideError, BombFile, FileTooLarge, ReaderFailed, ReaderUnavailable
from bastide.knowledge.reading import media
from bastide.knowledge.reading.documents import read
from bastide.knowledge.reading.standing import DIED, OUT_OF_MEMORY, OUT_OF_TIME, Outcome, Task, heard, say
from bastide.knowledge.reading.upper import Upper
from bastide.knowledge.reading.values import Limits, Reading

SMALL = 64 * 1024
"""Bytes that are read here: to begin a reader costs more than they do."""

_CONFINED = frozenset({media.PDF, media.PNG, media.JPEG, media.TIFF, media.WEBP, media.GIF, media.BMP})
"""What is read by a process of its own anyway."""
_HOLDS_ANYTHING = frozenset({media.ZIP, media.TAR, media.GZIP, media.BZIP2, media.XZ, media.MSG})
_UNPACKED = 8
"""So many times as large as itself may be what a small Office document unpacks to."""
_SECONDS_PER_MB = 4
_PATIENCE = 10
"""Seconds of waiting per second of computing: the machine may be busy."""
_GRACE_S = 5
_ROOM = Path(__file__).parents[1]
_PROGRAM = f"""
import sys, types
import bastide
room = types.ModuleType("bastide.knowledge")  # what reads needs no more of its room, and starts three times as fast
room.__path__ = [{str(_ROOM)!r}]
sys.modules[room.__name__] = room
from bastide.knowledge.reading.standing import stand
sys.exit(stand(sys.stdin.buffer, sys.stdout.buffer))
"""
_OURS = ("bastide.errors", "bastide.knowledge.reading")
_ARRAYS = {("numpy", "ndarray"), ("numpy", "dtype")}
_REBUILDS = frozenset({"_reconstruct", "_frombuffer", "scalar"})

Process = subprocess.Popen[bytes]


def read_apart(name: str, data: bytes, limits: Limits | None = None, *, small: int = SMALL) -> Reading:
    """The same as `read`, and it ends: after `Limits.seconds_max` of computing and four more a megabyte, at most.

    Call it in a thread. Raises what `read` does; BombFile where that time is over, FileTooLarge where it takes twice
    `Limits.memory_max`, ReaderFailed where the reader died of the file, ReaderUnavailable where there is none.
    """
    limits = limits or Limits()
    if len(data) > limits.bytes_max or _costs_little(name, data, small):
        return read(name, data, limits)
    seconds = limits.seconds_max + _SECONDS_PER_MB * (len(data) // 1_000_000)
    task = Task(name, data, replace(limits, heard=None), seconds, 2 * limits.memory_max)
    outcome = _outcome(task, limits)
    if limits.upper is not None and outcome.upper is not None:
        for one in fields(Upper):
            setattr(limits.upper, one.name, getattr(outcome.upper, one.name))
    if outcome.refusal is not None:
        raise outcome.refusal
    assert outcome.reading is not None, "it was read or refused"
    return outcome.reading


def _costs_little(name: str, data: bytes, small: int) -> bool:
    """Whether it may be read here. What is packed counts by what it says that it unpacks to."""
    kind = media.media_type(name, data)
    if len(data) > small:
        return kind in _CONFINED
    if kind in _HOLDS_ANYTHING:
        return False
    if kind == media.EML:
        return b"base64" not in data
    if not data.startswith(b"PK"):
        return True
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(part.file_size for part in archive.infolist()) <= _UNPACKED * small


def _outcome(task: Task, limits: Limits) -> Outcome:
    """What a reader says of the file."""
    for _ in range(2):
        with _STANDING.one() as process, _Watch(process, task.seconds * _PATIENCE) as watch:
            try:
                return _said(process, task, limits, watch)
            except (EOFError, BrokenPipeError):
                with contextlib.suppress(subprocess.TimeoutExpired):  # it ends, and its exit status says why
                    process.wait(_GRACE_S)
        if watch.late:
            raise BombFile("Reading the file took too long, so it was given up.")
        if process.returncode == OUT_OF_TIME:
            raise BombFile(f"Reading the file would take more than {task.seconds} seconds of computing.")
        if process.returncode == OUT_OF_MEMORY:
            raise FileTooLarge(f"Reading the file would take more than {task.memory:,} bytes of memory.")
        if process.returncode == DIED:
            raise ReaderFailed
    raise ReaderUnavailable  # twice it was not the reader that was lost, but who stands by


def _said(process: Process, task: Task, limits: Limits, watch: "_Watch") -> Outcome:
    assert isinstance(process.stdin, io.BufferedWriter), "it was asked for"
    assert isinstance(process.stdout, io.BufferedReader), "bytes were asked for"
    say(process.stdin, task)
    while True:
        said = heard(process.stdout)
        watch.heard_at = time.monotonic()
        try:
            value = _Values(io.BytesIO(said)).load()
        except Exception as fault:  # whatever it is, no reader of ours says that
            raise ReaderFailed from fault
        if isinstance(value, Outcome):
            return value
        limits.tell(*value)


def _end(process: Process) -> None:
    """Ends who stands by and its reader, which are a session of their own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was not told any more
                pipe.close()


class _Watch(threading.Thread):
    """Ends a process that says nothing for so many seconds."""

    def __init__(self, process: Process, seconds: float) -> None:
        super().__init__(daemon=True)
        self._process, self._seconds = process, seconds
        self._over = threading.Event()
        self.heard_at = time.monotonic()
        self.late = False

    def __enter__(self) -> "_Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        left = self._seconds
        while not self._over.wait(left):
            left = self.heard_at + self._seconds - time.monotonic()
            if left <= 0:
                self.late = True
                os.killpg(self._process.pid, signal.SIGKILL)
                return


class _Values(pickle.Unpickler):
    """A reader has met what nobody vouches for: of what it says only values of ours are taken.

    A name is taken at its word only if it is a kind of value that is defined where the name says: `module` may have
    imported anything, and a name with dots leads into whatever it has imported.
    """

    def find_class(self, module: str, name: str) -> object:
        if "." in name:
            raise pickle.UnpicklingError(f"{module}.{name} is no value of a reader's")
        if (module, name) in _ARRAYS or (module.startswith("numpy.") and name in _REBUILDS):
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith(_OURS) else set
        ours = isinstance(found, type) and found.__module__ == module and _is_value(found)
        if not (ours or (module, name) == ("builtins", "set")):
            raise pickle.UnpicklingError(f"{module}.{name} is no value of a reader's")
        return found


def _is_value(kind: type) -> bool:
    return is_dataclass(kind) or issubclass(kind, BastideError | Enum)


class _Standing:
    """Processes that stand by: as many as there were readers at a time."""

    def __init__(self) -> None:
        self._idle: list[Process] = []
        self._owner = os.getpid()

    @contextlib.contextmanager
    def one(self) -> Generator[Process]:
        """One that nobody else asks meanwhile. Raises ReaderUnavailable."""
        process = self._taken() or _begun()
        try:
            yield process
        except BaseException:  # nobody has heard what it says
            _end(process)
            raise
        if process.poll() is None:
            self._idle.append(process)
        else:
            _end(process)

    def _taken(self) -> Process | None:
        if self._owner != os.getpid():  # those of the process that ours is a copy of
            self._idle, self._owner = [], os.getpid()
        with contextlib.suppress(IndexError):
            while (process := self._idle.pop()).poll() is not None:  # it was not asked for long, and has ended
                _end(process)
            return process
        return None


def _begun() -> Process:
    try:
        return subprocess.Popen(  # our own program
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the house, which lets its readers finish
        )
    except OSError as error:
        raise ReaderUnavailable from error


_STANDING = _Standing()
