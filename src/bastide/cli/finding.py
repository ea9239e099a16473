"""Finding: the files of folders by the names they get, and what in them is not taken in, with the reason."""

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from bastide.errors import MissingFile

File = tuple[Path, str]
"""Where it lies, and the name it gets."""

_NO_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something in a folder that is not taken in, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Found:
    """What lies in files and folders that were named."""

    files: list[File] = field(default_factory=list)
    hidden: list[Unseen] = field(default_factory=list)
    """What begins with a dot; of a folder nothing but the folder."""
    skipped: list[Unseen] = field(default_factory=list)
    """Links that lead nowhere or to folders, pipes, sockets, devices."""
    closed: list[Unseen] = field(default_factory=list)
    """Folders and files that may not be looked at: nobody knows what is in them."""

    def may_hold(self, name: str) -> bool:
        """Whether a file of this name may be there although it was not found."""
        return any(name == one.name or name.startswith(f"{one.name}/") for one in (*self.skipped, *self.closed))


def found_in(paths: list[Path]) -> Found:
    """Every file with the name it gets: a folder's files keep their path below it. Hidden ones are left out.

    A link to a file is that file; a link to a folder is not followed. Raises MissingFile.
    """
    found = Found()
    for path in paths:
        if path.is_dir():
            _walk(path, found)
            continue
        why = _no_file(path)
        if why:
            raise MissingFile(f"{path}: {why}" if os.path.lexists(path) else f"There is no {path}.")
        found.files.append((path, path.name))
    return found


def _walk(top: Path, found: Found) -> None:
    def named(place: str | Path) -> str:
        inside = Path(place).relative_to(top).as_posix()
        return top.name or str(top) if inside == "." else inside

    def cannot_be_opened(fault: OSError) -> None:
        found.closed.append(Unseen(named(fault.filename), f"The folder cannot be opened: {fault.strerror}."))

    for folder, folders, names in os.walk(top, onerror=cannot_be_opened):
        inner = []
        for name in sorted(folders):
            place = Path(folder) / name
            if name.startswith("."):
                found.hidden.append(Unseen(named(place), "It is hidden."))
            elif os.path.islink(place):
                found.skipped.append(Unseen(named(place), "It is a link to a folder, and such links are not followed."))
            else:
                inner.append(name)
        folders[:] = inner
        for name in sorted(names):
            place = Path(folder) / name
            if name.startswith("."):
                found.hidden.append(Unseen(named(place), "It is hidden."))
                continue
            try:
                why = _no_file(place)
            except OSError as fault:
                found.closed.append(Unseen(named(place), f"It cannot be looked at: {fault.strerror}."))
                continue
            if why:
                found.skipped.append(Unseen(named(place), why))
            else:
                found.files.append((place, named(place)))


def _no_file(path: Path) -> str:
    """Why what stands here is no file; "" for a file. Raises OSError where it may not be looked at."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "It is a link that leads nowhere." if path.is_symlink() else "It is gone."
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            return "It is a link that leads in a circle."
        raise
    what = _NO_FILES.get(stat.S_IFMT(mode))
    return f"It is {what}, no file." if what else ""
