"""Which server runs on a home: a lock that dies with its holder, and `run.json`, which says where.

The lock is the truth. A `run.json` whose lock nobody holds was left by a server that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bastide.errors import AlreadyRunning, HomeNotWritable

LOCK, WHERE = "run.lock", "run.json"


@dataclass(frozen=True, slots=True)
class Running:
    """Where a server answers: the first line of `bastide up --json`, and the content of `run.json`."""

    url: str
    home: str
    admin_key_file: str
    tenant: str
    database: str
    air_gap: bool
    pid: int = 0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def find(home: Path) -> Running | None:
    """The server that runs on `home`, if one does."""
    if not _is_held(home / LOCK):
        return None
    try:
        wire = json.loads((home / WHERE).read_text())
        return Running(**{name: wire[name] for name in Running.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is still starting, or just stopping


def prepare(home: Path) -> None:
    """Make the home, for its owner alone. Raises HomeNotWritable."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".write-{os.getpid()}"
        probe.write_bytes(b"bastide")
        probe.unlink()
    except OSError as fault:
        raise HomeNotWritable(f"The home {home} cannot be written: {fault.strerror}.") from fault


@contextmanager
def claimed(home: Path) -> Generator[None]:
    """Hold the home's lock for as long as the block runs. Raises AlreadyRunning, with the other's address."""
    prepare(home)
    with (home / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = find(home)
            where = f"already running at {other.url}" if other else "just starting or stopping"
            raise AlreadyRunning(f"The server of {home} is {where}.", url=other.url if other else None) from None
        try:
            yield
        finally:
            with suppress(OSError):
                (home / WHERE).unlink(missing_ok=True)


def announce(home: Path, running: Running) -> None:
    """Write `run.json`, whole or not at all."""
    place = home / WHERE
    fresh = place.with_suffix(".new")
    fresh.write_text(running.to_json() + "\n")
    fresh.replace(place)


def read_key(home: Path, environment_key: str | None) -> tuple[str | None, str]:
    """The key to act with, and where it was found."""
    if environment_key:
        return environment_key, "BASTIDE_API_KEY"
    place = home / "secrets" / "admin-key"
    with suppress(OSError):
        return place.read_text().strip(), str(place)
    return None, str(place)


def _is_held(place: Path) -> bool:
    try:
        with place.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def fields(wire: Mapping[str, object]) -> Running:
    """A `Running` from its JSON."""
    return Running(**{name: wire[name] for name in Running.__slots__})  # type: ignore[arg-type]  # checked by the reader
