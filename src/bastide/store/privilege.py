"""Privilege: how a program that refuses to be root is run by root, without making users or opening folders.

PostgreSQL does not start as uid 0. An ordinary user starts it as itself. Root tries, in this order, and takes the first
way that works here (each is tried with the real programs and the real data folder):

1. *user*: become the existing user `postgres` or `nobody`; enough where every folder can be reached.
2. *mounts*: the same, in a private mount namespace in which each closed folder on the way (say /root) is covered by an
   empty one that holds only what PostgreSQL needs, under the same paths. Nothing outside that namespace changes.
3. *capability*: the same user with one capability, to search closed folders (CAP_DAC_READ_SEARCH, else ..._OVERRIDE).
4. *namespace*: a user namespace in which root has another number. Files stay root's; no capability is left.

This module is loaded by the supervisor without the rest of the house: standard library only, and little of it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

_PDEATHSIG, _KEEPCAPS, _SECUREBITS, _SUBREAPER, _NO_NEW_PRIVS, _AMBIENT, _AMBIENT_RAISE = 1, 8, 28, 36, 38, 47, 2
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION = 0x20080522
_IS_LINUX = sys.platform == "linux"


class NoWay(Exception):
    """This way does not work on this machine."""


class Way(NamedTuple):
    """One way to run a program: its name, whose numbers the files must have, and what a child does before exec."""

    name: str
    uid: int
    gid: int
    enter: Callable[[Sequence[str]], None]


def ways(owner: int) -> list[Way]:
    """The ways worth trying here, best first; `owner` is whose the data folder is now (kept where possible)."""
    if os.geteuid() != 0:
        return [Way("self", os.geteuid(), os.getegid(), lambda needs: None)]
    user = _somebody(owner)
    if user is None:
        return []
    uid, gid = user.pw_uid, user.pw_gid
    found = [Way("user", uid, gid, lambda needs: _become(uid, gid))]
    if _IS_LINUX:
        found.append(Way("mounts", uid, gid, lambda needs: _become_behind_mounts(uid, gid, needs)))
        found.append(Way("capability", uid, gid, lambda needs: _become_with_search(uid, gid)))
        found.append(Way("namespace", 0, 0, lambda needs: _become_in_namespace(uid, gid)))
    return found


def launch(way: Way, program: Sequence[str], *, needs: Sequence[str], output: int, environment: dict[str, str]) -> int:
    """Starts a program in this way, its output going to the descriptor `output`; returns its pid.

    The kernel sends it SIGINT (for PostgreSQL: a clean, fast shutdown) when this process is gone,
    however it went. The caller must be single-threaded. Exit status 97: the way did not work.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        _restore_signals()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.umask(0o022)
        way.enter(needs)
        os.umask(0o077)
        for folder in needs:
            os.stat(os.path.join(folder, "."))
        if not os.access(program[0], os.R_OK | os.X_OK):  # asked as PostgreSQL itself will ask
            raise NoWay(f"{program[0]} is out of reach")
        os.chdir("/")
        if _IS_LINUX:
            _prctl(_NO_NEW_PRIVS, 1)
            _prctl(_PDEATHSIG, signal.SIGINT)  # after the change of user, which clears it
            if os.getppid() != parent:
                os._exit(98)
        os.execve(program[0], list(program), environment)
    except BaseException as error:
        os.write(2, f"bastide: way {way.name}: {error!r}\n".encode())
        os._exit(97)


def adopt_orphans() -> None:
    """Orphaned grandchildren become ours to reap, so that none stays a zombie where pid 1 does not care."""
    if _IS_LINUX:
        _prctl(_SUBREAPER, 1)


def _somebody(owner: int) -> pwd.struct_passwd | None:
    """Who to become: the present owner of the data if that is a known user, else postgres, else nobody."""
    if owner > 0:
        try:
            return pwd.getpwuid(owner)
        except KeyError:
            pass
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid) if hasattr(os, "setresgid") else os.setgid(gid)
    os.setresuid(uid, uid, uid) if hasattr(os, "setresuid") else os.setuid(uid)
    if os.geteuid() != uid:
        raise NoWay("the user did not change")


def _become_behind_mounts(uid: int, gid: int, needs: Sequence[str]) -> None:
    """Told in order: 1. hold on to what is needed; 2. cover each closed folder; 3. put the needed back; 4. become."""
    closed = {path: first for path in sorted(needs, key=len) if (first := _first_closed(path, uid, gid))}
    _check(_libc().unshare(_NEWNS), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    held = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in closed}
    for cover in sorted(set(closed.values()), key=len):
        _mount("none", cover, "tmpfs", 0, "mode=755,size=64k")
    for path, descriptor in held.items():
        os.makedirs(path, mode=0o755, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND | _MS_REC)
        os.close(descriptor)
    _become(uid, gid)


def _first_closed(path: str, uid: int, gid: int) -> str | None:
    """The highest folder above `path` that this user may not search; None if the whole path is open."""
    groups = os.getgroups()
    parts = path.strip("/").split("/")
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        for count in range(1, len(parts)):
            folder = "/" + "/".join(parts[:count])
            if not os.access(folder, os.X_OK, effective_ids=True):
                return folder
        return None
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _become_with_search(uid: int, gid: int) -> None:
    libc = _libc()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    libc.prctl(_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)  # so that access(2) counts the capability, where that is allowed
    _prctl(_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    for capability in (_DAC_READ_SEARCH, _DAC_OVERRIDE):
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
        if libc.capset(header, sets) == 0 and libc.prctl(_AMBIENT, _AMBIENT_RAISE, capability, 0, 0) == 0:
            return
    raise NoWay("no capability to search closed folders")


def _become_in_namespace(uid: int, gid: int) -> None:
    _check(_libc().unshare(_NEWUSER), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    _become_number(uid, gid)


def _become_number(uid: int, gid: int) -> None:
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    _check(_libc().prctl(option, value, 0, 0, 0), "prctl")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _check(
        _libc().mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3]), f"mount {target}"
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NoWay(f"{what}: {os.strerror(number)}")
