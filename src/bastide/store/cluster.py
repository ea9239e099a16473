"""Cluster: the data folder of the embedded PostgreSQL: made, owned, configured, and read for signs of life.

Loaded by the supervisor without the rest of the house: standard library only, and little of it.
"""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import sys
import time

NO_SUCH_PID = 2**31 - 1  # larger than any pid a kernel gives

_CONFIGURATION = """\
# Written by Bastide when the data folder was made. `alter system` goes before it; addresses come from the supervisor.
max_connections = 100
shared_buffers = 128MB
max_wal_size = 1GB
min_wal_size = 80MB
password_encryption = scram-sha-256
unix_socket_permissions = 0600
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
jit = off
logging_collector = off
log_checkpoints = off
log_line_prefix = '%m [%p] '
# What people write must not reach a log: no statements, no values from constraint messages.
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""
_ADMISSION = """\
# Written by Bastide. A password, kept as SCRAM, from everybody, also on this machine.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""


def initdb_arguments(initdb: str, data: str, password_file: str, major: int) -> list[str]:
    """The command that makes a data folder: UTF-8, code-point order on every machine, checksums on."""
    arguments = [initdb, "-D", data, "-U", "postgres", f"--pwfile={password_file}", "--data-checksums", "-E", "UTF8"]
    arguments += ["--auth=scram-sha-256", "--locale=C", f"--lc-ctype={_unicode_ctype()}"]
    if major >= 17:
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return arguments


def configure(data: str, major: int) -> None:
    """Writes postgresql.conf and pg_hba.conf; only right after initdb, so that a person's changes stay."""
    text = _CONFIGURATION + ("io_method = sync\n" if major >= 18 else "")  # no idle workers; 15 MB for the whole server
    for name, content in (("postgresql.conf", text), ("pg_hba.conf", _ADMISSION)):
        path = os.path.join(data, name)
        with open(path, "w") as file:  # keeps owner and mode of the file that initdb made
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def give(folder: str, uid: int, gid: int) -> None:
    """Makes everything in a folder this user's, the folder itself last, so that a broken-off run starts again."""
    if os.geteuid() != 0:
        return
    status = os.stat(folder)
    if (status.st_uid, status.st_gid) == (uid, gid):
        return
    for _, directories, files, descriptor in os.fwalk(folder, topdown=False, follow_symlinks=False):
        for name in [*directories, *files]:
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, gid)


def discard(folder: str) -> None:
    """Removes what a broken-off initdb left."""
    for root, directories, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(root, name))
        for name in directories:
            os.rmdir(os.path.join(root, name))
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)


def is_ready(data: str, pid: int) -> bool:
    """Whether the postmaster with this pid says in its pid file that it accepts connections."""
    lines = _pid_file(data)
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def make_way(data: str, *, patience_s: float = 30.0) -> None:
    """Ends a server that a dead supervisor left behind, and disarms a pid file that names a foreign process.

    PostgreSQL refuses to start when postmaster.pid names any living process. Whether that process is a server of this
    data folder is asked of the kernel. If it is foreign, only the number is replaced: the shared-memory line stays, by
    which PostgreSQL itself recognises surviving children of a dead server.
    """
    lines = _pid_file(data)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    if pid > 0 and is_server_of(pid, data):
        for number, wait_s in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0)):
            _signal(pid, number)
            if _gone(pid, data, wait_s):
                break
    elif pid > 0:
        lines[0] = str(NO_SUCH_PID)
        path = os.path.join(data, "postmaster.pid")
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
    deadline = time.monotonic() + 5.0
    while (left := list(_servers_of(data))) and time.monotonic() < deadline:  # children of a killed postmaster
        time.sleep(0.02)
    for child in left:
        _signal(child, signal.SIGKILL)


def is_server_of(pid: int, data: str) -> bool:
    """Whether this living process is a PostgreSQL that works in this data folder."""
    if sys.platform == "linux":
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)") != "postgres":
                return False
            return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), os.stat(data))
        except PermissionError:  # root without CAP_SYS_PTRACE, as in containers
            return _says_it_serves(pid, data)
        except OSError:
            return False
    with os.popen(f"ps -p {pid:d} -o command=") as answer:  # noqa: S605 (a number)
        shown = answer.read()
    return "postgres" in shown and data in shown


def _says_it_serves(pid: int, data: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return os.path.basename(words[0]) == b"postgres" and os.fsencode(data) in words


def _servers_of(data: str) -> list[int]:
    if sys.platform != "linux":
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and is_server_of(int(name), data)]


def _gone(pid: int, data: str, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while is_server_of(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _pid_file(data: str) -> list[str]:
    try:
        with open(os.path.join(data, "postmaster.pid")) as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _unicode_ctype() -> str:
    """C.UTF-8 where the C library knows it, else C."""
    previous = locale.setlocale(locale.LC_CTYPE)
    try:
        return locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, previous)
