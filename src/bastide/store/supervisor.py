"""Supervisor: the small process that keeps one embedded PostgreSQL alive for as long as somebody uses it.

`embedded.py` starts it, with a plan as one JSON document, in a Python without site packages and without the house.

What it promises, in the order in which it is done:
1. One supervisor per home: it holds an flock on `supervisor.lock`, or says "held" and goes away.
2. It ends what a dead predecessor left, makes the data folder if there is none (in `data.new`, renamed when complete),
   starts the postmaster as its child, and says "ready" on standard output, or why not. Then `server.json` tells where.
3. It starts the postmaster again when it dies.
4. It stops it when no process has held `users.lock` for a grace of two seconds, or when it is asked to (SIGTERM).
5. If it is killed itself, the kernel sends SIGINT to the postmaster: a clean shutdown.

It imports nothing of the house but its two neighbours, so that it starts in some 40 ms and weighs little.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import time
from typing import Any

from bastide.store import cluster, privilege

_LOOK_EVERY_S = 0.5
_SOCKET_PATH_MAX = 100  # bytes; the kernels allow 103 to 107
_SOCKET_NAME = ".s.PGSQL.5432"
_ATTEMPTS = 6
_DEATHS_A_MINUTE_MAX = 6
_LOG_BYTES_MAX = 10_000_000


class Trouble(Exception):
    """Why there is no server: a word that `embedded.py` knows, and what was seen."""

    def __init__(self, word: str, seen: str) -> None:
        super().__init__(seen)
        self.word, self.seen = word, seen


class Supervisor:
    """One home's server and its state between two looks."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.folder: str = plan["folder"]
        self.prefix: str = plan["prefix"]
        self.major: int = plan["major"]
        self.version: int = plan["version"]
        self.password_file: str = plan["password_file"]
        self.needs: list[str] = [*plan["needs"], self.folder]
        self.grace_s: float = plan["grace_s"]
        self.only_way: str | None = plan["only_way"]
        self.data = os.path.join(self.folder, "data")
        self.state = os.path.join(self.folder, "server.json")
        self.socket = os.path.join(self.folder, "socket")
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"}
        self.way: privilege.Way | None = None
        self.postmaster = 0
        self.address: tuple[str, int] = ("", 0)
        self.asked_to_stop = False
        self.deaths: list[float] = []
        self.log = self._open_log()
        self.users = os.open(os.path.join(self.folder, "users.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self.woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()

    # -- starting -------------------------------------------------------------------------------------

    def start(self) -> None:
        """From nothing, or from anything, to a server that accepts connections. Raises Trouble."""
        self._forget()
        if os.path.isdir(self.data):
            cluster.make_way(self.data)
        if self.way is None:
            self.way = self._choose_way()
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._make_cluster(self.way)
        cluster.give(self.data, self.way.uid, self.way.gid)
        for attempt in range(_ATTEMPTS):
            self._prepare_address(self.way)
            said = self._start_once(self.way)
            if said is None:
                self._remember()
                return
            word = _word_for(said)
            if word not in ("port_taken", "still_there") or attempt == _ATTEMPTS - 1:
                raise Trouble(word, said)
            if word == "still_there":  # children of a dead server; they go by themselves
                time.sleep(0.3 * (attempt + 1))

    def _choose_way(self) -> privilege.Way:
        owner = os.stat(self.data).st_uid if os.path.isdir(self.data) else -1
        mark = os.lseek(self.log, 0, os.SEEK_END)
        for way in privilege.ways(owner):
            if self.only_way in (None, way.name) and self._run(way, [self._program("initdb"), "--version"]) == 0:
                return way
        raise Trouble("no_way", self._said_since(mark))

    def _make_cluster(self, way: privilege.Way) -> None:
        """The data folder, complete or not at all."""
        fresh, once = self.data + ".new", os.path.join(self.folder, "superuser.once")
        mark = os.lseek(self.log, 0, os.SEEK_END)
        cluster.discard(fresh)
        try:
            os.mkdir(fresh, 0o700)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(once)
            with open(self.password_file, "rb") as secret, open(once, "xb") as copy:
                copy.write(secret.read())
            for path in (fresh, once):
                if os.geteuid() == 0:
                    os.chown(path, way.uid, way.gid)
            if self._run(way, cluster.initdb_arguments(self._program("initdb"), fresh, once, self.major)) != 0:
                raise Trouble("", self._said_since(mark))
            cluster.configure(fresh, self.major)
            os.rename(fresh, self.data)
            _sync(self.folder)
        except (OSError, Trouble) as error:
            cluster.discard(fresh)
            raise Trouble(_word_for(str(error)), str(error)) from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(once)

    def _prepare_address(self, way: privilege.Way) -> None:
        """A socket beside the data if its path is short enough, else a port of 127.0.0.1 (another at each attempt)."""
        if len(os.fsencode(os.path.join(self.socket, _SOCKET_NAME))) <= _SOCKET_PATH_MAX:
            os.makedirs(self.socket, mode=0o700, exist_ok=True)
            for left in os.listdir(self.socket):  # a dead server's; its lock file may name a foreign process by now
                os.unlink(os.path.join(self.socket, left))
            if os.geteuid() == 0:
                os.chown(self.socket, way.uid, way.gid)
            self.address = (self.socket, 5432)
        else:
            self.address = ("127.0.0.1", 20_000 + int.from_bytes(os.urandom(2), "big") % 40_000)

    def _start_once(self, way: privilege.Way) -> str | None:
        """Starts the postmaster and waits until it is ready; else returns what it said when it went."""
        host, port = self.address
        by_socket = host == self.socket
        command = [self._program("postgres"), "-D", self.data, "-p", str(port)]
        command += ["-c", f"listen_addresses={'' if by_socket else host}"]
        command += ["-c", f"unix_socket_directories={host if by_socket else ''}"]
        mark = os.lseek(self.log, 0, os.SEEK_END)
        self.postmaster = self._launch(way, command)
        while not cluster.is_ready(self.data, self.postmaster):
            if self._reap():
                return self._said_since(mark)
            time.sleep(0.01)
        return None

    # -- watching -------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Until nobody uses the server, or until asked to stop. Raises Trouble when it cannot be kept alive."""
        unused_since: float | None = None
        while not self.asked_to_stop:
            select.select([self.woken], [], [], min(_LOOK_EVERY_S, self.grace_s))
            with contextlib.suppress(BlockingIOError):
                os.read(self.woken, 512)
            if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
                break  # the home was deleted
            if self._try_alone():
                now = time.monotonic()
                unused_since = unused_since or now
                if now - unused_since >= self.grace_s:
                    break  # alone, and holding the lock: newcomers wait until we are gone
                fcntl.flock(self.users, fcntl.LOCK_UN)
            else:
                unused_since = None
            if self._reap():
                self._start_again()
        self.stop()

    def _start_again(self) -> None:
        self.note("the server went away; starting it again")
        now = time.monotonic()
        self.deaths = [then for then in self.deaths if now - then < 60] + [now]
        if len(self.deaths) > _DEATHS_A_MINUTE_MAX:
            raise Trouble("not_started", "the server died too often")
        self.start()

    def _try_alone(self) -> bool:
        try:
            fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def stop(self) -> None:
        """A fast shutdown; a hard one if that takes too long, or if the data folder is gone."""
        self._forget()
        gentle = os.path.isdir(self.data)
        for number, wait_s in ((signal.SIGINT, 60.0 if gentle else 0.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not self.postmaster:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.postmaster, number)
            deadline = time.monotonic() + wait_s
            while not self._reap() and time.monotonic() < deadline:
                time.sleep(0.01)

    def ask_to_stop(self, *_: object) -> None:
        """A signal handler."""
        self.asked_to_stop = True

    def note(self, text: str) -> None:
        """A line in the server's log."""
        os.write(self.log, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC [supervisor] {text}\n".encode())

    # -- small things ---------------------------------------------------------------------------------

    def _reap(self) -> bool:
        """Buries the dead; true if the postmaster is among them or was never there."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if pid == self.postmaster:
                    self.postmaster = 0
        return self.postmaster == 0

    def _run(self, way: privilege.Way, command: list[str]) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._launch(way, command), 0)[1])

    def _launch(self, way: privilege.Way, command: list[str]) -> int:
        return privilege.launch(way, command, needs=self.needs, output=self.log, environment=self.environment)

    def _program(self, name: str) -> str:
        return os.path.join(self.prefix, "bin", name)

    def _open_log(self) -> int:
        path = os.path.join(self.folder, "server.log")
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_size > _LOG_BYTES_MAX:
                os.replace(path, path + ".1")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def _said_since(self, mark: int) -> str:
        size = os.lseek(self.log, 0, os.SEEK_END) - mark
        return os.pread(self.log, min(size, 4000), mark + max(0, size - 4000)).decode(errors="replace").strip()

    def _remember(self) -> None:
        host, port = self.address
        state = {"host": host, "port": port, "pid": self.postmaster, "version": self.version}
        state |= {"supervisor": os.getpid(), "way": self.way.name if self.way else None}
        fresh = self.state + ".new"
        with open(fresh, "w") as file:
            json.dump(state, file)
        os.replace(fresh, self.state)

    def _forget(self) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self.state)

    def listen(self) -> None:
        """From now on signals wake the watch."""
        for descriptor in (self.woken, self._waker):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        signal.signal(signal.SIGINT, self.ask_to_stop)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)


def main(plan_text: str) -> None:
    """The whole life of one supervisor; what it has to say goes to standard output as one line of JSON."""
    if os.fork():  # our parent may live long and must not have to bury us
        os._exit(0)
    plan = json.loads(plan_text)
    os.chdir("/")
    os.umask(0o077)
    if not _take(os.path.join(plan["folder"], "supervisor.lock")):
        _say("held", "")
        return
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(plan)
        privilege.adopt_orphans()
        supervisor.listen()
        supervisor.start()
        _say("ready", "")
        supervisor.watch()
    except Trouble as trouble:
        _say(trouble.word, trouble.seen)
        if supervisor:
            supervisor.note(f"gave up: {trouble.word}")
            supervisor.stop()
    except OSError as error:
        _say(_word_for(str(error)), str(error))
        if supervisor:
            supervisor.stop()


def _word_for(said: str) -> str:
    """What PostgreSQL's words mean to us."""
    for word, signs in (
        ("disk_full", ("No space left on device", "Disk quota exceeded")),
        ("port_taken", ("could not create any TCP/IP sockets", "Address already in use")),
        ("still_there", ("pre-existing shared memory block", "lock file")),
    ):
        if any(sign in said for sign in signs):
            return word
    return "not_started"


def _take(path: str) -> bool:
    """The lock that makes this process the only supervisor, for as long as it lives (the kernel gives it back)."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(20):  # somebody may be looking at it just now
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def _say(word: str, seen: str) -> None:
    """One line to whoever started us, then silence: that process may be gone long before us."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps({"word": word, "seen": seen[-3000:]}).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
