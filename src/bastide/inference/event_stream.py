"""Server-sent events out of bytes that arrive in any pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from bastide.errors import UpstreamGarbage

EVENT_BYTES_MAX = 8 * 1024 * 1024


async def events(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The data of each event, in order. A last event without its blank line counts too.

    Lines end in LF, CR LF or CR; comments and fields other than `data` are skipped (WHATWG HTML, 9.2.6).
    Raises UpstreamGarbage for an event beyond the limit.
    """
    waiting = b""
    data: list[bytes] = []
    async for piece in pieces:
        lines, waiting = _lines(waiting + piece)
        for line in lines:
            if line:
                _read(line, data)
            elif data:
                yield b"\n".join(data)
                data = []
        if len(waiting) + sum(map(len, data)) > EVENT_BYTES_MAX:
            raise UpstreamGarbage("One event of the stream is larger than any answer.")
    _read(waiting.rstrip(b"\r"), data)
    if data:
        yield b"\n".join(data)


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
