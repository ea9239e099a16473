"""Standing: the process that begins a reader for each file that is read apart.

It has loaded what reads, has one thread, and never reads itself: a reader is a copy of it that begins in milliseconds,
limits its own time and memory, reads one file and ends. When nobody is left who could ask, it ends as well.

What goes over a socket is a pickled value behind its length:
    1. the reader says its process id       3. (pages done, pages in all), as often as it has read a page
    2. it is given a Task                   4. an Outcome, and it ends
"""

import contextlib
import os
import pickle
import resource
import signal
import socket
import struct
from dataclasses import dataclass, replace

from bastide.errors import FileTooLarge, ReaderFailed, Refusal
from bastide.knowledge.reading.documents import read
from bastide.knowledge.reading.languages import detect_language
from bastide.knowledge.reading.upper import Upper
from bastide.knowledge.reading.values import Limits, Reading

_LENGTH = struct.Struct(">Q")
_WARM = "What every reader needs is loaded once, by whoever stands by."


@dataclass(frozen=True, slots=True)
class Task:
    """One file to be read. `seconds` = of computing, anew with each page; `memory` = bytes of address space."""

    name: str
    data: bytes
    limits: Limits
    seconds: int
    memory: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: a reading or a refusal; and what models are to be asked, where somebody asks them."""

    reading: Reading | None = None
    refusal: Refusal | None = None
    upper: Upper | None = None


def say(line: socket.socket, value: object) -> None:
    """Sends a value. Raises OSError."""
    said = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    line.sendall(_LENGTH.pack(len(said)))
    line.sendall(said)


def heard(line: socket.socket) -> bytes:
    """What was sent, still pickled. Raises EOFError when the other side is gone, OSError when it says nothing."""
    return _bytes(line, _LENGTH.unpack(_bytes(line, _LENGTH.size))[0])


def _bytes(line: socket.socket, size: int) -> bytes:
    got = bytearray(size)
    view, have = memoryview(got), 0
    while have < size:
        piece = line.recv_into(view[have:])
        if not piece:
            raise EOFError
        have += piece
    return bytes(got)


def stand(control: int) -> None:
    """Begin a reader for every line that comes over the socket `control`, until it is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # readers end by themselves, and nobody asks how
    detect_language(_WARM)
    with socket.socket(fileno=control) as asked:
        while True:
            _, lines, _, _ = socket.recv_fds(asked, 1, 1)
            if not lines:
                return
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                asked.close()
                _read_one(socket.socket(fileno=lines[0]))
            os.close(lines[0])


def _read_one(line: socket.socket) -> None:
    """The life of a reader."""
    with contextlib.suppress(OSError, EOFError):  # whoever asked is gone
        say(line, os.getpid())
        task: Task = pickle.loads(heard(line))  # noqa: S301  # from the process that began ours
        _limit(resource.RLIMIT_AS, task.memory)
        _limit(resource.RLIMIT_CPU, task.seconds)
        say(line, _outcome(task, line))
    os._exit(0)


def _outcome(task: Task, line: socket.socket) -> Outcome:
    def told(done: int, total: int) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + task.seconds)
        say(line, (done, total))

    limits = replace(task.limits, heard=told)
    try:
        return Outcome(read(task.name, task.data, limits), upper=limits.upper)
    except Refusal as no:
        return Outcome(refusal=no, upper=limits.upper)
    except MemoryError:
        return Outcome(refusal=FileTooLarge(f"Reading the file would take more than {task.memory:,} bytes of memory."))
    except OSError:
        raise
    except Exception as fault:  # an error of a reader is no error of whoever asked it
        return Outcome(refusal=ReaderFailed(f"Its reader failed ({type(fault).__name__})."))


def _limit(what: int, most: int) -> None:
    """The soft limit alone: programs that a reader begins have limits of their own."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
