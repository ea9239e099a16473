"""Server-sent events out of bytes that arrive in any pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from bastide.errors import UpstreamGarbage

EVENT_BYTES_MAX = 8 * 1024 * 1024


class Splitter:
    """Bytes in, the data of whole events out.

    Lines end in LF, CR LF or CR; comments and fields other than `data` are skipped (WHATWG HTML, 9.2.6).
    Raises UpstreamGarbage for an event beyond the limit.
    """

    __slots__ = ("_data", "_size", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[bytes] = []  # of a line that has not ended
        self._data: list[bytes] = []
        self._size = 0  # of all of it

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that is whole now."""
        waiting, found = self._waiting, list[bytes]()
        ends = b"\n" in piece or b"\r" in piece or (waiting and waiting[-1].endswith(b"\r"))
        waiting.append(piece)
        self._size += len(piece)
        if ends:  # to join it anew with each piece of a long line would take the square of its length
            lines, rest = _lines(b"".join(waiting))
            for line in lines:
                if line:
                    _read(line, self._data)
                elif self._data:
                    found.append(b"\n".join(self._data))
                    self._data = []
            self._waiting, self._size = [rest], len(rest) + sum(map(len, self._data))
        if self._size > EVENT_BYTES_MAX:
            raise UpstreamGarbage("One event of the stream is larger than any answer.")
        return found

    def end(self) -> list[bytes]:
        """A last event without its blank line counts too."""
        _read(b"".join(self._waiting).rstrip(b"\r"), self._data)
        found = [b"\n".join(self._data)] if self._data else []
        self._waiting, self._data, self._size = [], [], 0
        return found


async def events(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The data of each event, in order. Raises UpstreamGarbage for an event beyond the limit."""
    splitter = Splitter()
    async for piece in pieces:
        for event in splitter.feed(piece):
            yield event
    for event in splitter.end():
        yield event


def _lines(text: bytes) -> tuple[list[bytes], bytes]:
    """The complete lines, and what waits for the rest. A CR at the end may be half of a CR LF, so it waits."""
    held = b"\r" if text.endswith(b"\r") else b""
    whole = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, rest = whole.split(b"\n")
    return lines, rest + held


def _read(line: bytes, data: list[bytes]) -> None:
    name, _, value = line.partition(b":")
    if name == b"data":
        data.append(value.removeprefix(b" "))
