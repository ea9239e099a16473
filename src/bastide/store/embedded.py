"""Embedded: a PostgreSQL of our own inside the home, shared by every process of this user that has the home open.

    home/postgres/        data/  socket/  server.log  server.json  supervisor.lock  users.lock
    home/secrets/         postgres-superuser

Nobody holds the server's life in a pid file. Two kernel locks do: whoever uses the server holds `users.lock` shared,
its one supervisor (see `supervisor.py`) holds `supervisor.lock`; both are given back by the kernel when a process
ends, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq

from bastide import errors
from bastide.store.donors import Donor, find_donor

_PATIENCE_S = 120.0
_ATTEMPTS_MAX = 8  # to start a supervisor, within one call
_LOOK_EVERY_S = 0.02
_SUPERUSER = "postgres"
# Loads the supervisor and its neighbours without running the packages that they lie in (40 ms instead of 400).
_BOOTSTRAP = """
import sys, types
for name, folder in (("bastide", sys.argv[1]), ("bastide.store", sys.argv[2])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from bastide.store.supervisor import main
main(sys.argv[3])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and its superuser. `host` is a socket folder or 127.0.0.1; version as 180004."""

    host: str
    port: int
    superuser: str
    superuser_password: str
    version: int


class EmbeddedPostgres:
    """The server of one home, from the point of view of one process that uses it."""

    def __init__(
        self, home: Path, *, donor: Path | None = None, grace_s: float = 2.0, only_way: str | None = None
    ) -> None:
        """`donor` is a folder with bin/, lib/ and share/; `only_way` (see `privilege.py`) is for tests.

        The server outlives its last user by `grace_s` (the value of whoever started it), so that one short command
        after another meets it running.
        """
        self._home = home.absolute()
        self._folder = self._home / "postgres"
        self._secret = self._home / "secrets" / "postgres-superuser"
        self._wanted = donor
        self._donor: Donor | None = None
        self._grace_s = grace_s
        self._only_way = only_way
        self._users: int | None = None
        self._one_at_a_time = threading.Lock()

    async def ensure(self) -> Server:
        """A server that accepts connections: found, started or restarted. Call again after a lost connection.

        Raises HomeNotWritable, DonorUnfit, DatabaseMajorDiffers, DatabaseDiskFull, PrivilegesNotDropped,
        DatabasePortTaken or DatabaseNotStarted.
        """
        return await asyncio.to_thread(self._ensure)

    def donor(self) -> Donor:
        """Whose programs the server runs on. Raises DonorUnfit or DatabaseMajorDiffers."""
        with self._one_at_a_time:
            return self._checked_donor()

    async def release(self, *, wait_s: float = 0.0) -> None:
        """This process needs the server no more. The last one's release stops it, after the grace.

        With `wait_s` waits up to so long for that; returns at once if others still use the server.
        """
        await asyncio.to_thread(self._release, wait_s)

    def _ensure(self) -> Server:
        with self._one_at_a_time:
            try:
                return self._attach()
            except OSError as error:
                if "No space left" in str(error):
                    raise errors.DatabaseDiskFull(home=str(self._home)) from error
                raise errors.HomeNotWritable(f"The home folder {self._home} cannot be used: {error}.") from error

    def _attach(self) -> Server:
        password = self._prepare()
        self._hold()
        deadline = time.monotonic() + _PATIENCE_S
        attempts = 0
        while time.monotonic() < deadline and attempts < _ATTEMPTS_MAX:
            if not self._is_supervised():
                attempts += 1
                self._start_supervisor(deadline)
            elif (server := self._server(password)) is not None:
                return server
            time.sleep(_LOOK_EVERY_S)
        raise errors.DatabaseNotStarted(log=self._log)

    def _prepare(self) -> str:
        """The folders and the superuser's password; made by whichever process is first. Returns the password."""
        for folder, mode in ((self._home, 0o700), (self._folder, self._folder_mode), (self._secret.parent, 0o700)):
            if not folder.is_dir():
                folder.mkdir(mode=mode, parents=folder is self._home, exist_ok=True)
        if os.stat(self._folder).st_mode & 0o777 != self._folder_mode:
            self._folder.chmod(self._folder_mode)
        if not self._secret.exists():
            if (self._folder / "data").exists():
                raise errors.KeysMissing(f"The database of {self._home} is there, but {self._secret} is not.")
            fresh = self._secret.with_name(f"{self._secret.name}.{secrets.token_hex(8)}")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, self._secret)  # the first of several processes wins
            fresh.unlink()
        return self._secret.read_text()

    @property
    def _folder_mode(self) -> int:
        return 0o711 if os.geteuid() == 0 else 0o700  # root's PostgreSQL is another user and passes through

    @property
    def _log(self) -> str:
        return str(self._folder / "server.log")

    def _hold(self) -> None:
        """From here until release, or until this process ends in any way, the server has a user."""
        if self._users is None:
            self._users = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)  # waits while a supervisor that found nobody is shutting down

    def _is_supervised(self) -> bool:
        descriptor = os.open(self._folder / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _server(self, password: str) -> Server | None:
        """The running server, if it accepts connections at this moment."""
        try:
            state = json.loads((self._folder / "server.json").read_text())
            host, port = str(state["host"]), int(state["port"])
            version = int(state["version"])
        except (OSError, ValueError, KeyError):
            return None
        asked = f"host='{_quoted(host)}' port={port} user={_SUPERUSER} dbname=postgres connect_timeout=2"
        if pq.PGconn.ping(asked.encode()) != pq.Ping.OK:
            return None
        return Server(host, port, _SUPERUSER, password, version)

    def _start_supervisor(self, deadline: float) -> None:
        """Starts one and waits for its one line; raises what it tells. Another process may be first: that is fine."""
        donor = self._checked_donor()
        here = Path(__file__).parent
        plan = {
            "folder": str(self._folder.resolve()),
            "prefix": str(donor.prefix),
            "major": donor.major,
            "version": donor.version,
            "needs": [str(folder) for folder in donor.needs],
            "password_file": str(self._secret.resolve()),
            "grace_s": self._grace_s,
            "only_way": self._only_way,
        }
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(here.parent), str(here), json.dumps(plan)]
        with open(os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        process.wait()  # it forks at once
        assert process.stdout is not None
        with process.stdout as pipe:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return
            line = pipe.readline()
        if line:
            said = json.loads(line)
            self._raise(said["word"], said["seen"])

    def _checked_donor(self) -> Donor:
        """The donor for this data folder: of its major version, or none."""
        try:
            written: int | None = int((self._folder / "data" / "PG_VERSION").read_text())
        except (FileNotFoundError, NotADirectoryError):
            written = None
        if self._donor is None:
            self._donor = find_donor(self._wanted, major=written)
        if written is not None and written != self._donor.major:
            donor = f"{self._donor.prefix} is PostgreSQL {self._donor.major}"
            raise errors.DatabaseMajorDiffers(f"The data in {self._folder} is PostgreSQL {written}'s; {donor}.")
        return self._donor

    def _raise(self, word: str, seen: str) -> None:
        match word:
            case "ready" | "held":
                return
            case "disk_full":
                raise errors.DatabaseDiskFull(home=str(self._home), seen=seen)
            case "no_way":
                raise errors.PrivilegesNotDropped(seen=seen)
            case "port_taken":
                raise errors.DatabasePortTaken(seen=seen)
            case _:
                raise errors.DatabaseNotStarted(log=self._log, seen=seen)

    def _release(self, wait_s: float) -> None:
        with self._one_at_a_time:
            if self._users is not None:
                os.close(self._users)
                self._users = None
            deadline = time.monotonic() + wait_s
            with contextlib.suppress(FileNotFoundError):  # the home was deleted meanwhile
                while time.monotonic() < deadline and self._is_supervised() and self._is_unused():
                    time.sleep(_LOOK_EVERY_S)

    def _is_unused(self) -> bool:
        """Whether no other process uses the server (a supervisor that is shutting down counts as nobody)."""
        descriptor = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        finally:
            os.close(descriptor)
        return True


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
