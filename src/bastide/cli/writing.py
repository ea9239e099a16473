"""Writing a file for the person: whole or not at all, and never through a half-full disk in silence."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bastide.errors import FileNotWritten


def write_file(place: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `place`. Raises FileNotWritten; what was there before is then still there."""
    with fresh_file(place, mode=mode) as file:
        file.write(data)


@contextmanager
def fresh_file(place: Path, *, mode: int = 0o644) -> Generator[IO[bytes]]:
    """A file that stands at `place` once the block is left without an error. Raises FileNotWritten."""
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(place)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as fault:
        raise FileNotWritten(f"{place} could not be written: {fault.strerror}.") from fault
