"""Segments: what a process must not lose, on its own disk, until the database has it.

    home/journal/jrn_OWNER.lock             held by the process as long as it lives; the kernel gives it back
    home/journal/jrn_OWNER-000000000000     its frames, from this number on; the next file goes on where one ends
    home/journal/carrier.lock               held by the process that carries for all others of this home
    home/secrets/journal-key                what seals the frames

A frame is its length (4 bytes), a nonce (12) and the sealed content (AES-256-GCM, bound to owner and number). A frame
that a kill cut off at the end of a file is not there; one that was damaged in the middle is left out and told loudly.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bastide.store import is_id, new_id, secret_file
from bastide.telemetry import count, log

_LENGTH: Final = 4
_NONCE: Final = 12
_FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
_OFFICE: Final = "carrier.lock"
_NOT_OURS: Final = -1

Sync = Callable[[int], None]
"""Waits until the disk has a file's content."""

SYNC: Final[Sync] = getattr(os, "fdatasync", os.fsync)


class Folder:
    """The segments of all processes of one home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "journal"
        self._key_file = home / "secrets" / "journal-key"
        self._cipher: AESGCM | None = None

    def seal(self, content: bytes, owner: str, number: int) -> bytes:
        """A frame."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphered().encrypt(nonce, content, _about(owner, number))
        return (len(sealed) + _NONCE).to_bytes(_LENGTH) + nonce + sealed

    def open(self, frame: bytes, owner: str, number: int) -> bytes:
        """The content of a frame without its length. Raises InvalidTag."""
        return self._ciphered().decrypt(frame[:_NONCE], frame[_NONCE:], _about(owner, number))

    def _ciphered(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(secret_file(self._key_file, length=32))
        return self._cipher

    def claim(self) -> Owned:
        """Segments of our own, for this process."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = self._locked(new_id("jrn"), create=True)
        assert owned is not None, "the name is new"
        return owned

    def orphans(self) -> Iterator[Owned]:
        """The segments of processes that are gone; whoever gets them has them until `release`."""
        for owner in self.owners():
            owned = self._locked(owner, create=False)
            if owned is not None:
                yield owned

    def owners(self) -> list[str]:
        """Whose segments there are, of processes that run and of those that are gone."""
        names = {name.partition("-")[0].removesuffix(".lock") for name in self._names()}
        return sorted(name for name in names if is_id(name, "jrn"))

    def seen(self, owner: str) -> Owned:
        """The segments of a process that runs, to be read only."""
        return Owned(self, owner, _NOT_OURS)

    def carry_for_all(self) -> Office | None:
        """The office of carrying for every process of this home; None while another process has it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path / _OFFICE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return Office(descriptor)

    def somebody_carries(self) -> bool:
        """Whether a process carries for all others of this home."""
        try:
            descriptor = os.open(self.path / _OFFICE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []

    def _locked(self, owner: str, *, create: bool) -> Owned | None:
        path = self.path / f"{owner}.lock"
        there = create or path.exists() or any(name.startswith(f"{owner}-") for name in self._names())
        if not there:
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:  # nobody has removed it meanwhile
                return Owned(self, owner, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None


class Office:
    """Held by whoever carries for all, until `leave` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def leave(self) -> None:
        """Let another have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Owned:
    """The segments of one process, in our hands; or of one that runs, to be read."""

    def __init__(self, folder: Folder, name: str, lock: int) -> None:
        self.folder = folder
        self.name = name
        self._lock = lock

    def files(self) -> list[tuple[int, Path]]:
        """Its files in order, each with the number of its first frame."""
        found = []
        for name in self.folder._names():
            owner, dash, first = name.partition("-")
            if owner == self.name and dash and first.isdecimal():
                found.append((int(first), self.folder.path / name))
        return sorted(found)

    def drop(self, before: int, *, last: bool = False) -> None:
        """Remove the files whose frames are all below `before`; the last file only if `last` says so."""
        files = self.files()
        for (_, path), (following, _) in pairwise(files):
            if following <= before:
                path.unlink(missing_ok=True)
        if files and last:
            files[-1][1].unlink(missing_ok=True)

    def release(self, *, whole: bool) -> None:
        """Give it up; `whole` says that everything was carried, and nothing of it is to stay."""
        if self._lock == _NOT_OURS:
            return
        if whole:
            for _, path in self.files():
                path.unlink(missing_ok=True)
            (self.folder.path / f"{self.name}.lock").unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = _NOT_OURS


class Writer:
    """Appends frames. What it says is written is on the disk."""

    def __init__(self, owned: Owned, *, sync: Sync) -> None:
        self._owned = owned
        self._sync = sync
        self._file = -1
        self._path = owned.folder.path
        self.size = 0
        self.number = 0  # of the next frame

    @property
    def open(self) -> bool:
        """Whether there is a file that goes on."""
        return self._file >= 0

    def begin(self) -> None:
        """Begin the next file. Raises OSError."""
        self.close()
        self._path = self._owned.folder.path / f"{self._owned.name}-{self.number:012d}"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.size = 0
        folder = os.open(self._owned.folder.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def append(self, contents: Sequence[bytes]) -> None:
        """Append these, and wait until the disk has them. Whatever it raises, mostly OSError: then the file is over.

        What could not be written keeps its numbers: after a fault nobody knows what the disk has of it.
        """
        folder, owner = self._owned.folder, self._owned.name
        try:
            sealed = [folder.seal(content, owner, self.number + n) for n, content in enumerate(contents)]
            data, done = memoryview(b"".join(sealed)), 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self.size + done)
            self._sync(self._file)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
                if not self.size:
                    self._path.unlink()
            self.close()
            raise
        finally:
            self.number += len(contents)
        self.size += len(data)

    def close(self) -> None:
        """The file is over."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Reader:
    """Reads the frames of an owner in order; what is written later is read later."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._first = -1  # of the file that is being read
        self._offset = 0
        self.number = 0  # of the next frame

    def read(self) -> Iterator[tuple[int, bytes, bool]]:
        """The number of each frame, its content, and whether it is the first of a file."""
        while True:
            files = self._owned.files()
            later = [one for one in files if one[0] > self._first]
            if self._first < 0:
                if not later:
                    return
                self._enter(later[0])
                continue
            path = dict(files).get(self._first)
            if path is not None:
                yield from self._rest(path)
            if not later:
                return
            self._enter(later[0])

    def _enter(self, file: tuple[int, Path]) -> None:
        self._first, self._offset = file[0], 0
        self.number = file[0]

    def _rest(self, path: Path) -> Iterator[tuple[int, bytes, bool]]:
        owner, folder = self._owned.name, self._owned.folder
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return  # its process has just seen that all of it was carried
        with file:
            size = os.fstat(file.fileno()).st_size
            while self._offset + _LENGTH <= size:
                file.seek(self._offset)
                length = int.from_bytes(file.read(_LENGTH))
                after = self._offset + _LENGTH + length
                if not _NONCE < length <= _FRAME_BYTES_MAX or after > size:
                    return
                frame = file.read(length)
                first, number = self._offset == 0, self.number
                try:
                    content = folder.open(frame, owner, number)
                except InvalidTag:
                    if after == size:
                        count("journal_frames_torn")
                        return  # the end, cut off: space that was given to the file and never written
                    count("journal_frames_damaged")
                    log.error("the journal's frame %d of %s is damaged: its receipts are lost", number, owner)
                    content = b""
                self._offset, self.number = after, number + 1
                if content:
                    yield number, content, first


def _about(owner: str, number: int) -> bytes:
    return f"{owner}|{number}".encode()
