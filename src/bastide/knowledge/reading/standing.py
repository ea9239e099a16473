"""Standing by: a process that has loaded what reads, and begins a reader for each file that is read apart.

It has one thread and never looks into a file itself: a reader is a copy of it that begins in milliseconds, limits its
own time and memory, reads one file and ends. When nobody has asked for minutes, or is left who could, it ends as well.

What goes through its pipes is pickled values behind their lengths. In: a Task. Out:
    1. (pages done, pages in all), as often as a page was read      2. an Outcome
A reader that dies before its Outcome takes it along, with one of three exit statuses.
"""

import io
import os
import pickle
import resource
import select
import signal
import struct
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, BinaryIO

from bastide.errors import ReaderFailed, Refusal
from bastide.knowledge.reading.documents import read
from bastide.knowledge.reading.languages import detect_language
from bastide.knowledge.reading.upper import Upper
from bastide.knowledge.reading.values import Box, Cell, Limits, Node, Reading

DIED, OUT_OF_TIME, OUT_OF_MEMORY = 70, 71, 72
"""Exit statuses: the reader died of its file, or of its limit on computing or memory."""
_IDLE_S = 300.0  # who is not asked for so long ends, and gives its memory back
_LENGTH = struct.Struct(">Q")
_FIELDS: dict[type, Any] = {kind: attrgetter(*(one.name for one in fields(kind))) for kind in (Node, Box, Cell)}
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


def say(pipe: BinaryIO, value: object) -> None:
    """Sends a value. Raises OSError."""
    said = io.BytesIO()
    _Pickler(said, pickle.HIGHEST_PROTOCOL).dump(value)
    pipe.write(_LENGTH.pack(said.tell()))
    pipe.write(said.getbuffer())
    pipe.flush()


class _Pickler(pickle.Pickler):
    """Of what a reading has most, fields alone: twice as fast as what frozen values say of themselves."""

    def reducer_override(self, value: object) -> Any:
        parts = _FIELDS.get(type(value))
        return NotImplemented if parts is None else (type(value), parts(value))


def heard(pipe: BinaryIO) -> bytes:
    """What was sent, still pickled. Raises EOFError when the other side is gone."""
    return _bytes(pipe, _LENGTH.unpack(_bytes(pipe, _LENGTH.size))[0])


def _bytes(pipe: BinaryIO, size: int) -> bytes:
    got = pipe.read(size)
    if len(got) < size:
        raise EOFError
    return got


def stand(asked: BinaryIO, answers: BinaryIO) -> int:
    """Begin a reader for every task, one after the other; an exit status once none came for a while, or one died."""
    detect_language(_WARM)
    while select.select([asked], [], [], _IDLE_S)[0]:
        try:
            task = heard(asked)
        except EOFError:
            return 0
        reader = os.fork()
        if reader == 0:
            os._exit(_read_one(task, answers))
        del task
        _, status = os.waitpid(reader, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == OUT_OF_MEMORY:
            return OUT_OF_MEMORY
        if status != 0:
            return OUT_OF_TIME if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU else DIED
    return 0


def _read_one(given: bytes, answers: BinaryIO) -> int:
    """The life of a reader; its exit status."""
    task: Task = pickle.loads(given)  # noqa: S301  # from the process that began ours
    del given
    _limit(resource.RLIMIT_AS, task.memory)
    _limit(resource.RLIMIT_CPU, task.seconds)
    try:
        say(answers, _outcome(task, answers))
    except OSError:  # whoever asked is gone
        return 1
    except MemoryError:  # there is none left to say so
        return OUT_OF_MEMORY
    return 0


def _outcome(task: Task, answers: BinaryIO) -> Outcome:
    def told(done: int, total: int) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + task.seconds)
        say(answers, (done, total))

    limits = replace(task.limits, heard=told)
    try:
        return Outcome(read(task.name, task.data, limits), upper=limits.upper)
    except Refusal as no:
        return Outcome(refusal=no, upper=limits.upper)
    except (OSError, MemoryError):
        raise
    except Exception as fault:  # an error of a reader is no error of whoever asked it
        return Outcome(refusal=ReaderFailed(f"Its reader failed ({type(fault).__name__})."))


def _limit(what: int, most: int) -> None:
    """The soft limit alone: programs that a reader begins have limits of their own."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
