"""Confining: native code that reads foreign files works in a process of its own, with limits on time and memory."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

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
_OUT_OF_TIME = frozenset({-24, -9, 128 + 24, 128 + 9})


def confined(program: Path, task: list[str], data: bytes, seconds: float) -> subprocess.CompletedProcess[bytes]:
    """What a program answers to a task on `data`, without our environment, our modules or our patience for ever.

    `seconds` = of computing, at most; the process sets that limit for itself. Raises BombFile where it is reached,
    ReaderUnavailable where the process cannot be started.
    """
    command = [sys.executable, "-I", "-S", str(program), *task]
    try:
        done = subprocess.run(  # our own program; the file is on its standard input
            command, input=data, capture_output=True, env={}, timeout=seconds * _PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BombFile("Reading the file took too long, so it was given up.") from error
    except OSError as error:
        raise ReaderUnavailable from error
    if done.returncode in _OUT_OF_TIME:
        raise BombFile(f"Reading the file would take more than {seconds:g} seconds of computing.")
    return done
