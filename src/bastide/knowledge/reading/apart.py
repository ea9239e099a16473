"""Apart: a file that is not small is read by a process of its own, with limits on its time and memory.

Whatever a file was made to do to its reader (to hang in one pattern, to swell, to crash a library) it does there, and
is refused with the reason; here, everything else goes on. A small file is read here: it cannot cost much.
"""

import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bastide.errors import BombFile, ReaderFailed, ReaderUnavailable
from bastide.knowledge.reading import media
from bastide.knowledge.reading.documents import read
from bastide.knowledge.reading.standing import Outcome, Task, heard, say
from bastide.knowledge.reading.upper import Upper
from bastide.knowledge.reading.values import Limits, Reading

SMALL = 64 * 1024
"""Bytes that are read here: to begin a reader costs more than they do."""

_CONFINED = frozenset({media.PDF, media.PNG, media.JPEG, media.TIFF, media.WEBP, media.GIF, media.BMP})
"""What is read by a process of its own anyway."""
_SECONDS_PER_MB = 4
_PATIENCE = 10
"""Seconds of waiting per second of computing: the machine may be busy."""
_ROOM = Path(__file__).parents[1]
_PROGRAM = f"""
import sys, types
import bastide
room = types.ModuleType("bastide.knowledge")  # what reads needs no more of its room, and starts three times as fast
room.__path__ = [{str(_ROOM)!r}]
sys.modules[room.__name__] = room
from bastide.knowledge.reading.standing import stand
stand(int(sys.argv[1]))
"""
_OURS = ("bastide.errors", "bastide.knowledge.reading")
_ARRAYS = {("numpy", "ndarray"), ("numpy", "dtype")}
_REBUILDS = frozenset({"_reconstruct", "_frombuffer", "scalar"})


def read_apart(name: str, data: bytes, limits: Limits | None = None, *, small: int = SMALL) -> Reading:
    """The same as `read`, and it ends: after `Limits.seconds_max` of computing and four more a megabyte, at most.

    Call it in a thread. Raises what `read` does; BombFile where that time is over, FileTooLarge where it takes twice
    `Limits.memory_max`, ReaderFailed where the reader died of the file, ReaderUnavailable where there is none.
    """
    limits = limits or Limits()
    if len(data) <= small or len(data) > limits.bytes_max or media.media_type(name, data) in _CONFINED:
        return read(name, data, limits)
    seconds = limits.seconds_max + _SECONDS_PER_MB * (len(data) // 1_000_000)
    task = Task(name, data, replace(limits, heard=None), seconds, 2 * limits.memory_max)
    began = time.monotonic()
    outcome = _outcome(task, limits)
    if outcome is None:
        if time.monotonic() - began >= seconds:
            raise BombFile(f"Reading the file would take more than {seconds} seconds of computing.")
        raise ReaderFailed("The file makes its reader fail: it is damaged, or made to do harm.")
    if limits.upper is not None and outcome.upper is not None:
        for one in fields(Upper):
            setattr(limits.upper, one.name, getattr(outcome.upper, one.name))
    if outcome.refusal is not None:
        raise outcome.refusal
    assert outcome.reading is not None, "it was read or refused"
    return outcome.reading


def _outcome(task: Task, limits: Limits) -> Outcome | None:
    """What a reader says of the file; None where it died of it."""
    for _ in range(2):
        with _STANDING.line() as line:
            line.settimeout(task.seconds * _PATIENCE)
            try:
                reader = _value(line)
            except (EOFError, OSError):  # who stands by was lost, not the reader: there is another one
                continue
            assert isinstance(reader, int), "it says its process id"
            try:
                return _said(line, task, limits)
            except (EOFError, ConnectionError, pickle.UnpicklingError):
                return None
            except BaseException as fault:  # nobody hears its end: it lives
                os.kill(reader, signal.SIGKILL)
                if isinstance(fault, TimeoutError):
                    raise BombFile("Reading the file took too long, so it was given up.") from None
                raise
    raise ReaderUnavailable


def _said(line: socket.socket, task: Task, limits: Limits) -> Outcome:
    say(line, task)
    while not isinstance(value := _value(line), Outcome):
        limits.tell(*value)
    return value


def _value(line: socket.socket) -> Any:
    return _Values(io.BytesIO(heard(line))).load()


class _Values(pickle.Unpickler):
    """A reader has met what nobody vouches for: of what it says only values of ours are taken."""

    def find_class(self, module: str, name: str) -> object:
        ours = module.startswith(_OURS)
        arrays = (module, name) in _ARRAYS or (module.startswith("numpy.") and name in _REBUILDS)
        if not (ours or arrays or (module, name) == ("builtins", "set")):
            raise pickle.UnpicklingError(f"{module}.{name} is no value of a reader's")
        return super().find_class(module, name)


class _Standing:
    """The process that begins readers, begun when first it is needed and anew when it was lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def line(self) -> socket.socket:
        """A line to a new reader. Raises ReaderUnavailable."""
        with self._lock:
            for last in (False, True):
                ours, theirs = socket.socketpair()
                with theirs:
                    try:
                        socket.send_fds(self._begun(), [b"r"], [theirs.fileno()])
                        return ours
                    except OSError as error:
                        ours.close()
                        self._forget()
                        if last:
                            raise ReaderUnavailable from error
        raise AssertionError("unreachable")

    def _begun(self) -> socket.socket:
        if self._control is None or self._owner != os.getpid():
            self._forget()
            control, theirs = socket.socketpair()
            with theirs:
                number = theirs.fileno()
                self._process = subprocess.Popen(  # our own program
                    [sys.executable, "-P", "-c", _PROGRAM, str(number)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[number],
                    start_new_session=True,  # Ctrl-C is for the house, which lets its readers finish
                )
            self._control, self._owner = control, os.getpid()
        return self._control

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


_STANDING = _Standing()
