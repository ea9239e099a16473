"""Writing a file for the person: whole or not at all, and never through a half-full disk in silence."""

from __future__ import annotations

import os
from pathlib import Path

from bastide.errors import FileNotWritten


def write_file(place: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `place`. Raises FileNotWritten; what was there before is then still there."""
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
    except OSError as fault:
        fresh.unlink(missing_ok=True)
        raise FileNotWritten(f"{place} could not be written: {fault.strerror}.") from fault
