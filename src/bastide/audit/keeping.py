"""What the log keeps outside its database: the signing key, the public key, the last checkpoint.

secrets/log-key       Ed25519, mode 0600, made once; without it nothing is ever signed again
log.vkey              the public key, for whoever verifies
checkpoint.latest     the last signed checkpoint: a database set back to an older state is found out by it
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bastide.audit.merkle import NotProven
from bastide.audit.note import Checkpoint, PublicKey, SecretKey
from bastide.errors import LogKeyMismatch


class Keeping:
    """The files of one log in one home."""

    def __init__(self, home: Path) -> None:
        self._key = home / "secrets" / "log-key"
        self._vkey = home / "log.vkey"
        self._latest = home / "checkpoint.latest"

    def load_key(self) -> SecretKey | None:
        """The signing key, or None where there is none. Raises LogKeyMismatch when the file is not a key."""
        if not self._key.exists():
            return None
        try:
            return SecretKey.parse(self._key.read_text(encoding="utf-8"))
        except (NotProven, ValueError) as fault:
            raise LogKeyMismatch(f"The file secrets/log-key cannot be used: {fault}.") from fault

    def make_key(self) -> SecretKey:
        """A new key for a new log, written before anything is signed; two processes that race get the same."""
        self._key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._key.with_name(f".log-key.{os.getpid()}.{secrets.token_hex(4)}")
        text = SecretKey.generate(f"bastide/{secrets.token_hex(8)}").reveal() + "\n"
        _write_new(fresh, text.encode(), mode=0o600)
        try:
            os.link(fresh, self._key)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        _sync_folder(self._key.parent)
        made = self.load_key()
        assert made is not None, "the key was just written"
        return made

    def publish(self, key: PublicKey) -> None:
        """Write the public key beside the database."""
        text = f"{key}\n"
        if not self._vkey.exists() or self._vkey.read_text(encoding="utf-8") != text:
            replace_whole(self._vkey, text.encode())

    def latest(self, key: PublicKey) -> Checkpoint | None:
        """The last checkpoint this home has seen, or None. Raises NotProven when the file is not one of this key."""
        try:
            return Checkpoint.open(self._latest.read_text(encoding="utf-8"), key)
        except FileNotFoundError:
            return None
        except ValueError as fault:
            raise NotProven("the file is not text") from fault

    def keep_latest(self, note: str) -> None:
        """Remember a checkpoint, durably."""
        replace_whole(self._latest, note.encode())

    def set_latest_aside(self, size: int) -> None:
        """Keep the last checkpoint as evidence under another name: the log goes on from an older state."""
        if self._latest.exists():
            self._latest.replace(self._latest.with_name(f"checkpoint.lost-{size}"))


def replace_whole(path: Path, content: bytes) -> None:
    """Put `content` in place of the file at once or not at all, and wait until the disk has it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write_new(fresh, content)
    fresh.replace(path)


def _write_new(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
