"""The lines of a file of calls: checked all together before the first is made, then handed out one by one.

What is wrong is told with the number of its line and never with a word of it. Checked lines are held compressed, so
that a file that takes a day to work through does not lie in memory as it came.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from bastide.errors import BadLabel
from bastide.policy import Label

LINES_MAX: Final = 50_000
LINE_BYTES_MAX: Final = 16 * 1024 * 1024  # as of a call that comes by itself
_NAME_MAX: Final = 512
_PROBLEMS_MAX: Final = 100
_BLOCK_BYTES: Final = 256 * 1024
_DEPTH_MAX: Final = 64
_LABEL: Final = "x_label"

Problem = dict[str, Any]


class Line(msgspec.Struct):
    """A call: which one it is to whoever asks, and its body as it came."""

    custom_id: str
    body: msgspec.Raw


class _Read(msgspec.Struct):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = msgspec.Raw(b"")


class _Body(msgspec.Struct):
    stream: Any = None


_LINE: Final = msgspec.json.Decoder(_Read)
_BODY: Final = msgspec.json.Decoder(_Body)
_PLAIN: Final = msgspec.json.Decoder(Line)


class Lines:
    """The calls of a file by their numbers, which count every line, also an empty one."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._blocks: list[bytes] = []
        self._firsts: list[int] = []  # of each block: the place of its first line
        self._open: list[bytes] = []
        self._size = 0
        self._read, self._lines = -1, list[bytes]()

    def add(self, number: int, line: bytes) -> None:
        """One more."""
        self.numbers.append(number)
        self._open.append(line)
        self._size += len(line)
        if self._size >= _BLOCK_BYTES:
            self.close()

    def close(self) -> None:
        """There are no more, for now."""
        if self._open:
            self._firsts.append(len(self.numbers) - len(self._open))
            self._blocks.append(zlib.compress(b"\n".join(self._open), level=1))
            self._open, self._size = [], 0

    def at(self, n: int) -> Line:
        """The call with this number. Raises KeyError. Cheap for one that is near the last one asked for."""
        place = bisect_left(self.numbers, n)
        if place == len(self.numbers) or self.numbers[place] != n:
            raise KeyError(n)
        block = bisect_right(self._firsts, place) - 1
        if block != self._read:
            self._read, self._lines = block, zlib.decompress(self._blocks[block]).split(b"\n")
        return _PLAIN.decode(self._lines[place - self._firsts[block]])

    def __iter__(self) -> Iterator[tuple[int, Line]]:
        place = 0
        for block in self._blocks:
            for line in zlib.decompress(block).split(b"\n"):
                yield self.numbers[place], _PLAIN.decode(line)
                place += 1


def read(data: bytes, endpoint: str) -> tuple[Lines, list[Problem]]:
    """The calls of a file that all go to `endpoint`, and what is wrong with it: if anything is, none is made."""
    lines, problems = Lines(), list[Problem]()
    names: set[str] = set()
    for number, line in enumerate(_split(data), 1):
        if not line.strip():
            continue
        problem = _problem(line, endpoint, names)
        if problem is not None:
            problems.append({**problem, "line": number})
            if len(problems) >= _PROBLEMS_MAX:
                return lines, problems
            continue
        lines.add(number, line)
        if len(lines.numbers) > LINES_MAX:
            said = f"A batch has at most {LINES_MAX:,} requests; split the file."
            return lines, [*problems, _told("too_many_requests", said, None) | {"line": None}]
    lines.close()
    if not lines.numbers and not problems:
        problems.append(_told("empty_file", "The file holds no request.", None) | {"line": None})
    return lines, problems


def declared(data: bytes) -> Label | None:
    """The join of the labels that lines carry for their parts; None where none does.

    A line or a label that cannot be read is refused when it is called, and says nothing here.
    """
    if b"x_label" not in data and b"\\u00" not in data:
        return None
    found: list[Label] = []
    for line in _split(data):
        if b"x_label" in line or b"\\u00" in line:
            try:
                found += [Label.from_wire(one) for one in _labels(msgspec.json.decode(line), 0)]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadLabel):
                continue
    return Label.join_all(found) if found else None


def _split(data: bytes) -> Iterator[bytes]:
    """The lines, without a copy of the whole; a mark of UTF-8 at the beginning belongs to none."""
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = end + 1


def _problem(line: bytes, endpoint: str, names: set[str]) -> Problem | None:
    if len(line) > LINE_BYTES_MAX:
        return _told("line_too_large", f"A request has at most {LINE_BYTES_MAX:,} bytes.", None)
    try:
        found = _LINE.decode(line)
        body = _BODY.decode(found.body) if bytes(found.body) else None
    except msgspec.ValidationError:
        return _told("invalid_request", "A line is an object with custom_id, method, url and body, an object.", None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _told("invalid_json_line", "This line is not JSON.", None)
    name = found.custom_id
    if type(name) is not str or not 0 < len(name) <= _NAME_MAX:
        return _told("invalid_custom_id", f"`custom_id` is a text of 1 to {_NAME_MAX} characters.", "custom_id")
    known = name in names
    names.add(name)
    wrong = (
        (known, "duplicate_custom_id", "An earlier line has the same custom_id.", "custom_id"),
        (found.method != "POST", "invalid_method", "`method` must be POST.", "method"),
        (found.url != endpoint, "mismatched_endpoint", f"`url` must be {endpoint}, that of the batch.", "url"),
        (body is None, "missing_required_parameter", "There is no `body`.", "body"),
        (bool(body and body.stream), "streaming_not_supported", "An answer in a batch is not streamed.", "body.stream"),
    )
    return next((_told(*said) for is_so, *said in wrong if is_so), None)


def _told(code: str, message: str, param: str | None) -> Problem:
    return {"code": code, "message": message, "param": param}


def _labels(value: Any, depth: int) -> Iterator[Any]:
    if depth > _DEPTH_MAX:
        return
    if type(value) is dict:
        if _LABEL in value:
            yield value[_LABEL]
        for inner in value.values():
            yield from _labels(inner, depth + 1)
    elif type(value) is list:
        for inner in value:
            yield from _labels(inner, depth + 1)
