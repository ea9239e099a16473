"""`bastide doctor`: what is wrong, and what to do about it."""

import os
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bastide import __version__
from bastide.cli.printing import wrap
from bastide.cli.registering import errand
from bastide.cli.running import find, read_key
from bastide.errors import BastideError, ServerSaid

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

_FREE_MB_LOW, _FREE_MB_GONE = 2048, 256
_SIGNS = {"ok": "ok        ", "busy": "busy      ", "attention": "attention ", "broken": "BROKEN    "}

Line = dict[str, Any]


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    errand(root, "doctor", example="bastide doctor --json")(doctor)


async def doctor(desk: "Desk") -> int:
    """Check the machine, the home, the database and every room; say what to do.

    Exit status 1 if something is broken.
    """
    home = desk.settings.home
    lines = [_version(), _home(home), _disk(home), _clock(home), _server(home)]
    lines += await _rooms(desk)
    states = {line["state"] for line in lines}
    state = next(state for state in ("broken", "attention", "busy", "ok") if state in states)
    desk.say({"state": state, "checks": lines}, lambda: "\n".join(map(_said, lines)))
    return 1 if state == "broken" else 0


def _line(name: str, state: str, message: str, step: str | None = None) -> Line:
    return {"name": name, "state": state, "message": message, "next": step}


def _said(line: Line) -> str:
    head = f"{_SIGNS.get(line['state'], line['state'])} {line['name']:<13} "
    text = wrap(line["message"], " " * len(head), head)
    if line["next"] and line["state"] in {"attention", "broken"}:
        text += "\n" + wrap(line["next"], " " * len(head), " " * len(head))
    return text


def _version() -> Line:
    python = ".".join(map(str, sys.version_info[:3]))
    return _line("version", "ok", f"Bastide {__version__}, Python {python}, {os.uname().sysname} {os.uname().machine}.")


def _home(home: Path) -> Line:
    try:
        mode = stat.S_IMODE(home.stat().st_mode)
    except FileNotFoundError:
        return _line("home", "attention", f"{home} does not exist yet.", "Start with `bastide up`.")
    except OSError as fault:
        return _line("home", "broken", f"{home}: {fault.strerror}.", "Run as the user who owns it, or choose --home.")
    if not os.access(home, os.W_OK | os.X_OK):
        return _line("home", "broken", f"{home} cannot be written.", "Run as the user who owns it, or choose --home.")
    loose = [place.name for place in (home / "secrets").glob("*") if stat.S_IMODE(place.stat().st_mode) & 0o077]
    if loose:
        step = f"chmod 600 {home / 'secrets'}/*"
        return _line("home", "broken", f"Others may read the secrets {', '.join(sorted(loose))}.", step)
    if mode & 0o022:
        return _line("home", "attention", f"Others may write into {home}.", f"chmod go-w {home}")
    return _line("home", "ok", f"{home}, its secrets readable by their owner only.")


def _disk(home: Path) -> Line:
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free // (1024 * 1024)
    state = "broken" if free < _FREE_MB_GONE else "attention" if free < _FREE_MB_LOW else "ok"
    return _line(
        "disk", state, f"{free} MiB free at {place}.", "Make room on this disk: a full one stops the database."
    )


def _clock(home: Path) -> Line:
    # Nothing outside is asked: a clock is wrong when files that we wrote lie in its future.
    newest = max((place.stat().st_mtime for place in home.glob("*")), default=0.0)
    ahead = newest - time.time()
    if ahead > 60:
        step = "Set this machine's clock: keys, permits and checkpoints expire by it."
        return _line("clock", "broken", f"Files of this home are {ahead:.0f} s in the clock's future.", step)
    return _line("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _server(home: Path) -> Line:
    running = find(home)
    if running is None:
        return _line("server", "ok", "No server runs on this home; commands start one for themselves.")
    return _line("server", "ok", f"Running at {running.url}, process {running.pid}.")


async def _rooms(desk: "Desk") -> list[Line]:
    if not (desk.settings.home / "secrets").is_dir():
        return []
    key, place = read_key(desk.settings.home, desk.settings.api_key)
    if key is None:
        return [
            _line("key", "broken", f"There is no key in {place}.", "Set BASTIDE_API_KEY, or run as the home's owner.")
        ]
    try:
        async with desk.server(within=False) as line:
            wire = await line.get("/api/v1/doctor")
    except ServerSaid as fault:
        name = "key" if fault.wire_code.startswith("tenancy.") else "house"
        return [_line(name, "broken", f"{fault.message} ({fault.wire_code})", fault.next_step)]
    except BastideError as fault:
        return [_line("house", "broken", f"{fault.message} ({fault.code})", fault.next_step)]
    return [*wire["parts"]]
