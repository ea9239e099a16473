"""Confining: native code that reads foreign files works in a process of its own, with limits on time and memory."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from bastide.errors import BombFile, ReaderUnavailable

_PROGRAM = Path(__file__).with_name("pdf_pages.py")
_SPEC = find_spec("pypdfium2")
LIBRARY = str(Path(_SPEC.origin).parents[1]) if _SPEC is not None and _SPEC.origin else ""
"""The folder that pypdfium2 lies in."""
_PATIENCE = 10
"""Seconds of waiting per second of computing that the process may use: the machine may be busy."""
_OUT_OF_TIME = frozenset({-24, -9, 128 + 24, 128 + 9})


def confined(task: list[str], data: bytes, seconds: float) -> subprocess.CompletedProcess[bytes]:
    """What `pdf_pages` answers to a task on `data`, without our environment, our modules or our patience for ever.

    `seconds` = of computing, at most; the process sets that limit for itself. Raises BombFile where it is reached,
    ReaderUnavailable where the process cannot be started.
    """
    command = [sys.executable, "-I", "-S", str(_PROGRAM), *task]
    try:
        done = subprocess.run(  # our own program; the file is on its standard input
            command, input=data, capture_output=True, env={}, timeout=seconds * _PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BombFile("Reading the PDF took too long, so it was given up.") from error
    except OSError as error:
        raise ReaderUnavailable from error
    if done.returncode in _OUT_OF_TIME:
        raise BombFile(f"Reading the PDF would take more than {seconds:g} seconds of computing.")
    return done
