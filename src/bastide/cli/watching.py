"""`bastide watch`: a folder whose new and changed files are taken in, for as long as the command runs.

What the files were when they were last taken in is kept in the house, so the command may be stopped and begun again:
by size and time it finds what changed meanwhile. A file that is still being written is left until it rests. A file
whose document was deleted in the house is not brought back until it changes.
"""

import asyncio
import hashlib
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from bastide.cli.finding import Found, found_in
from bastide.cli.line import Line, said_code, segment
from bastide.cli.printing import plain
from bastide.cli.registering import errand
from bastide.cli.taking_in import handed_in
from bastide.errors import BastideError, MissingFile, Unreachable

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder with all that is in it, hidden files aside.")
]
Shelf = Annotated[str, typer.Option("--collection", help="Which collection to put the files into.")]
Mirror = Annotated[bool, typer.Option("--mirror", help="Delete the documents of files that are gone.")]
Once = Annotated[bool, typer.Option("--once", help="Look once, take in what is due, and leave.")]
Every = Annotated[float, typer.Option("--every", min=0.1, max=3600.0, help="Seconds between two looks.")]

_RESTS_NS = 1_000_000_000  # a file that was written less long ago is looked at again


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it was taken in; `modified` is in nanoseconds, `document` None for a refused one."""

    path: str
    document: str | None
    bytes: int
    modified: int


class House(Protocol):
    """What watching asks of the house."""

    async def files(self) -> list[Seen]:
        """What it remembers of this folder."""

    async def take_in(self, path: Path, name: str) -> dict[str, Any]:
        """Hand a file in; what became of it: `id`, `status`, `error`."""

    async def note(self, file: Seen) -> None:
        """Remember a file."""

    async def forget(self, paths: list[str]) -> None:
        """Forget files."""

    async def delete(self, document: str) -> None:
        """Delete a document."""


@dataclass(slots=True)
class Looked:
    """What one look, or all looks together, did."""

    taken_in: int = 0
    unchanged: int = 0
    refused: int = 0
    deleted: int = 0
    later: int = 0
    """Files that were being written, or that could not be looked at or taken just now: looked at again."""

    def add(self, other: "Looked") -> None:
        """Together with another look; what is left for later is what the last one left."""
        for name in ("taken_in", "unchanged", "refused", "deleted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.later = other.later


@dataclass(slots=True)
class Watch:
    """One folder and what is known of it. `tell` gets a line for whatever a person should read."""

    folder: Path
    house: House
    mirror: bool = False
    tell: Callable[[str], None] = lambda line: None
    rests_ns: int = _RESTS_NS
    _known: dict[str, Seen] | None = None
    _digests: dict[str, bytes] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    # 1. sizes and times are compared with what is known      3. files that are gone are forgotten, their documents
    # 2. what differs is read; what is new in it goes in          deleted where the folder is mirrored; what may not
    #                                                             be looked at is not gone
    async def look(self, stop: Callable[[], bool] = lambda: False) -> Looked:
        """Look at the folder once. Raises MissingFile when it is gone: then nothing is deleted."""
        if not await asyncio.to_thread(self.folder.is_dir):
            raise MissingFile(f"There is no folder {self.folder}.")
        if self._known is None:
            self._known = {one.path: one for one in await self.house.files()}
        found, here = await asyncio.to_thread(_found, self.folder)
        done = Looked(later=len(found.closed))
        for one in (*found.skipped, *found.closed):
            self._say_once(f"{one.name}: {one.why}")
        for name, (path, size, modified) in here.items():
            if stop():
                return done
            known = self._known.get(name)
            if known is not None and (known.bytes, known.modified) == (size, modified):
                continue
            if abs(time.time_ns() - modified) < self.rests_ns:
                done.later += 1
                continue
            await self._take_in(Seen(name, known.document if known else None, size, modified), path, done)
        gone = [one for name, one in self._known.items() if name not in here and not found.may_hold(name)]
        await self._drop(gone, done)
        return done

    async def _take_in(self, seen: Seen, path: Path, done: Looked) -> None:
        assert self._known is not None, "what is known was asked for first"
        try:
            digest = await asyncio.to_thread(_digest, path)
        except OSError as fault:
            done.later += 1
            self._say_once(f"{seen.path}: it cannot be opened: {fault.strerror}.")
            return
        if self._digests.get(seen.path) != digest:
            became = await self.house.take_in(path, seen.path)
            error = became.get("error") or {}
            seen = Seen(seen.path, became["id"], seen.bytes, seen.modified)
            done.taken_in += became["status"] == "ready"
            done.unchanged += became["status"] == "unchanged"
            if became["status"] == "refused":
                done.refused += 1
                self.tell(f"{seen.path}: {error.get('message')} ({error.get('code')})")
            else:
                self.tell(f"{seen.path}: {became['status']}")
        else:
            done.unchanged += 1
        await self.house.note(
            seen
        )  # with the time from before it was read: what is written meanwhile is seen next time
        self._known[seen.path] = seen
        self._digests[seen.path] = digest

    async def _drop(self, gone: Iterable[Seen], done: Looked) -> None:
        assert self._known is not None, "what is known was asked for first"
        forgotten = []
        for one in gone:
            if self.mirror and one.document is not None:
                try:
                    await self.house.delete(one.document)
                    done.deleted += 1
                    self.tell(f"{one.path}: deleted")
                except Unreachable:
                    raise
                except BastideError as fault:
                    if said_code(fault) != "knowledge.unknown_document":  # on hold, or not ours to delete
                        done.later += 1
                        self._say_once(f"{one.path}: {fault.message}")
                        continue
            forgotten.append(one.path)
        if forgotten:
            await self.house.forget(forgotten)
        for path in forgotten:
            del self._known[path]
            self._digests.pop(path, None)

    def _say_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)


def _found(folder: Path) -> tuple[Found, dict[str, tuple[Path, int, int]]]:
    """What lies in the folder, and every file by its name: where it is, its bytes, when it was last written."""
    found = found_in([folder])
    here = {}
    for path, name in found.files:
        with suppress(FileNotFoundError):  # it went away between two looks
            status = path.stat()
            here[name] = (path, status.st_size, status.st_mtime_ns)
    return found, here


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def place_of(folder: Path, collection: str) -> str:
    """By what the house knows a watched folder: a hash of the machine, the folder and the collection."""
    return hashlib.sha256("\0".join((platform.node(), str(folder.resolve()), collection)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _OverTheLine:
    """The house behind its API."""

    line: Line
    place: str
    collection: str

    @property
    def _watched(self) -> str:
        return f"/api/v1/watched/{self.place}"

    async def files(self) -> list[Seen]:
        return [Seen(**one) for one in (await self.line.get(self._watched))["files"]]

    async def take_in(self, path: Path, name: str) -> dict[str, Any]:
        return await handed_in(self.line, path, name, [("collection", self.collection)])

    async def note(self, file: Seen) -> None:
        await self.line.put(self._watched, asdict(file))

    async def forget(self, paths: list[str]) -> None:
        await self.line.post(f"{self._watched}:forget", {"paths": paths})

    async def delete(self, document: str) -> None:
        await self.line.delete(f"/api/v1/documents/{segment(document)}")


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    errand(root, "watch", example="bastide watch contracts/ --collection contracts")(watch)


async def watch(
    desk: "Desk",
    folder: Folder,
    collection: Shelf = "default",
    mirror: Mirror = False,
    once: Once = False,
    every: Every = 2.0,
) -> int:
    """Take in the new and changed files of a folder, and go on until it is stopped (Ctrl-C).

    What was taken in is remembered in the house: after a restart only what changed is looked at. Exit status 1 with
    --once if a file was refused or left for later.
    """
    folder = Path(folder)
    async with desk.server() as line:
        house = _OverTheLine(line, place_of(folder, collection), collection)
        total = await followed(
            Watch(folder, house, mirror, _say), once=once, every_s=every, stopped=_stopped_by_signals()
        )
    desk.say(asdict(total), lambda: _summary(total))
    return 1 if once and (total.refused or total.later) else 0


async def followed(watching: Watch, *, once: bool, every_s: float, stopped: asyncio.Event) -> Looked:
    """Look again and again until `stopped`; a house that is away is waited for. The file in hand is finished first."""
    total = Looked()
    while not stopped.is_set():
        try:
            total.add(await watching.look(stopped.is_set))
        except Unreachable as fault:
            if once:
                raise
            watching.tell(f"{fault.message} Waiting for it.")
        if once:
            break
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), every_s)
    return total


def _stopped_by_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr)


def _summary(total: Looked) -> str:
    return (
        f"{total.taken_in} taken in, {total.unchanged} known already, {total.refused} refused, "
        f"{total.deleted} deleted, {total.later} left for later."
    )
