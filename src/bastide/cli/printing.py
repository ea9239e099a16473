"""What a person reads: wrapped, aligned, coloured only on a terminal that wants it; progress on standard error."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from bastide.errors import BastideError

Wire = Mapping[str, Any]

_COLUMN_MAX = 60  # what is wider is told by --json alone
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """One line that gives a terminal no orders: a file may be called anything."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def width(stream: TextIO | None = None) -> int:
    """Columns to write in: the terminal's, at most 110; 100 where there is none."""
    if (stream or sys.stdout).isatty():
        return min(shutil.get_terminal_size().columns, 110)
    return 100


def wrap(text: str, indent: str = "", first: str | None = None) -> str:
    """`text` in lines of the terminal's width, its own line breaks kept."""
    lines = []
    for paragraph in text.splitlines() or [""]:
        head = indent if first is None else first
        lines.append(
            textwrap.fill(
                paragraph,
                width(),
                initial_indent=head,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            or head.rstrip()
        )
        first = None
    return "\n".join(lines)


def table(rows: Iterable[Sequence[object]], head: Sequence[str]) -> str:
    """Rows under their heads, each column as wide as its widest cell; nothing is cut off."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *cells]) for column in range(len(head))]
    lines = [list(head), ["-" * size for size in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def sheet(wire: Wire) -> str:
    """One thing, a field a line; a list of things is a table below, and what else is nested is shown as JSON."""
    lists = {name: value for name, value in wire.items() if _is_list_of_things(value)}
    plain = {name: value for name, value in wire.items() if name not in lists}
    if lists and plain.get("next", "") is None:
        del plain["next"]  # there is no further page
    size = max((len(name) for name in plain), default=0)
    lines = []
    for name, value in plain.items():
        nested = isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(one, str) for one in value))
        shown = (json.dumps(value, ensure_ascii=False) if value else "none") if nested else _cell(value)
        lines.append(wrap(shown, " " * (size + 2), f"{name.ljust(size)}  "))
    parts = ["\n".join(lines)] if lines else []
    for name, value in lists.items():
        parts.append(_things(value) if len(wire) - ("next" in wire) == 1 else f"{name}\n{_things(value)}")
    return "\n\n".join(parts)


def _is_list_of_things(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _things(things: list[Wire]) -> str:
    """A table with as many of their plain fields as the line takes; `--json` has all."""
    rows = [{name: _cell(value) for name, value in _flat(one).items()} for one in things]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns, left = [], width()
    for name in names:
        wide = max(len(name), *(len(row.get(name, "-")) for row in rows))
        if wide <= left and wide <= _COLUMN_MAX:
            columns.append(name)
            left -= wide + 2
    text = table([[row.get(name, "-") for name in columns] for row in rows], columns)
    return text if len(columns) == len(names) else f"{text}\n(--json shows all of it)"


def _flat(thing: Wire) -> Wire:
    """What is plain in a thing, and in the things that it holds."""
    flat: dict[str, Any] = {}
    for name, value in thing.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in _flat(value).items()}
        elif not _is_list_of_things(value):
            flat[name] = value
    return flat


def passage(wire: Wire) -> str:
    """A passage with where it stands."""
    place = " > ".join([wire["title"], *wire["section"]])
    page = f", page {wire['page']}" if wire.get("page") else ""
    head = f"[{wire['n']}] {place}{page}"
    facts = (
        f"{wire['document_id']} v{wire['version']}, characters {wire['start']}-{wire['end']}, "
        f"{wire['label'].get('class', '?')}, score {wire['score']:.2f}"
    )
    return "\n".join([wrap(head, "    ", ""), wrap(wire["text"].strip(), "    "), wrap(facts, "    ")])


def failure(fault: BastideError, *, as_json: bool) -> None:
    """An error and its next step, on standard error."""
    wire = {name: value for name, value in fault.to_wire().items() if value is not None}
    if as_json:
        print(json.dumps({"error": wire}, default=str), file=sys.stderr)
        return
    print(wrap(f"{fault.message} ({wire['code']})", "  ", "Error: "), file=sys.stderr)
    if fault.next_step:
        print(wrap(fault.next_step, "  ", "Next:  "), file=sys.stderr)


def when(moment: str | None, *, exact: bool = False) -> str:
    """A moment of the wire in UTC, to the second or, when `exact`, to the millisecond."""
    if not moment:
        return "-"
    found = datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None)
    return found.isoformat(" ", "milliseconds" if exact else "seconds")


def how_long(milliseconds: float | None) -> str:
    """A length of time in the unit that a person would choose."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class LiveLine:
    """One line on standard error that is written over; without a terminal, a line every five seconds if it is new."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()
        self._last = ""

    def show(self, line: str) -> None:
        """Say what is being done now."""
        line = plain(line)
        now = time.monotonic()
        if self._quiet or (not self._live and (now - self._said < 5.0 or line == self._last)):
            return
        self._said, self._last = now, line
        if self._live:
            room = width(sys.stderr) - 1
            print("\r" + line[:room].ljust(room), end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.clear()
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the live line away."""
        if self._live and not self._quiet:
            print("\r" + " " * (width(sys.stderr) - 1) + "\r", end="", file=sys.stderr, flush=True)


class Progress(LiveLine):
    """How far the taking in of files is."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._total = total
        self._start = time.monotonic()
        self.done = 0
        self.chunks = 0

    def show(self, current: str) -> None:
        """Say which file it is at."""
        rate = self.chunks / max(time.monotonic() - self._start, 0.001)
        known = f", {self.chunks} chunks, {rate:.0f} chunks/s" if self.chunks else ""
        super().show(f"{self.done}/{self._total} files{known}  {current}")
