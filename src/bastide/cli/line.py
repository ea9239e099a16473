"""The line to the server: JSON both ways, and an error of the server as an error here."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from bastide.errors import BastideError, BrokenReply, ServerSaid, WrongUsage

if TYPE_CHECKING:
    from bastide.egress import Client, Flow, Reply

_PIECE = 256 * 1024


def said_code(fault: BastideError) -> str:
    """The stable code of an error, whoever said it."""
    return fault.wire_code if isinstance(fault, ServerSaid) else fault.code


@dataclass(frozen=True, slots=True)
class Sent:
    """A file to be sent: its name, its size in bytes, and who is told how many of them have gone."""

    name: str
    size: int
    file: IO[bytes]
    told: Callable[[int], object]

    async def between(self, head: bytes, tail: bytes) -> AsyncGenerator[bytes]:
        """The file, with what stands before and behind it; never more than `size` of it."""
        yield head
        gone = 0
        while gone < self.size and (piece := await asyncio.to_thread(self.file.read, min(_PIECE, self.size - gone))):
            yield piece
            gone += len(piece)
            self.told(gone)
        yield tail


@dataclass(frozen=True, slots=True)
class _Body:
    length: int
    pieces: AsyncIterable[bytes]


class Line:
    """Requests with one key. Every method returns the JSON of the answer or raises ServerSaid."""

    def __init__(self, client: Client, key: str) -> None:
        self._client = client
        self._key = key

    def with_key(self, key: str) -> Line:
        """The same line with another key."""
        return Line(self._client, key)

    async def get(self, path: str, **query: Any) -> Any:
        """GET."""
        return _json(await self._request("GET", address(path, query)))

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST, with a body of JSON if there is one."""
        return _json(await self._request("POST", path, json=body, headers=headers))

    async def put(self, path: str, body: Any) -> Any:
        """PUT."""
        return _json(await self._request("PUT", path, json=body))

    async def patch(self, path: str, body: Any) -> Any:
        """PATCH."""
        return _json(await self._request("PATCH", path, json=body))

    async def delete(self, path: str) -> Any:
        """DELETE."""
        return _json(await self._request("DELETE", path))

    async def fetch(self, path: str, take: Callable[[bytes], object]) -> None:
        """GET, the body as it is: `take` gets it piece by piece."""
        async with self._client.stream("GET", path, headers=self._said()) as flow:
            if flow.status >= 400:
                raise _refusal(flow.status, await flow.read())
            async for piece in flow:
                take(piece)

    async def upload(self, path: str, files: Sequence[tuple[str, bytes]], fields: Sequence[tuple[str, str]]) -> Any:
        """POST files with their fields; a refusal that lists the files is an answer too."""
        boundary = secrets.token_hex(16)
        reply = await self._request(
            "POST",
            path,
            content=_multipart(boundary, files, fields),
            headers={"content-type": f"multipart/form-data; boundary={boundary}"},
        )
        wire = _parsed(reply.status, reply.body)
        return wire if isinstance(wire, dict) and "documents" in wire else _json(reply)

    async def send(self, path: str, file: Sent, fields: Sequence[tuple[str, str]]) -> Any:
        """POST one file that need not fit into memory, with its fields."""
        boundary = secrets.token_hex(16)
        head, tail = _multipart(boundary, [(file.name, b"")], fields).rsplit(b"\r\n--", 1)
        body = _Body(len(head) + file.size + len(tail) + 4, file.between(head, b"\r\n--" + tail))
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        return _json(await self._request("POST", path, content=body, headers=headers))

    async def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every item of a list, page by page; the list is called as the last word of its path."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, limit=200, cursor=cursor, **query)
            items += page[path.rpartition("/")[2]]
            cursor = page["next"]
            if cursor is None:
                return items

    async def events(self, path: str, body: Any = None) -> AsyncGenerator[Any]:
        """What a stream of Server-Sent Events says, event by event, until the server ends it; POST with a body."""
        headers = self._said(accept="text/event-stream")
        sent = {"json": body} if body is not None else {}
        async with self._client.stream("POST" if sent else "GET", path, headers=headers, **sent) as flow:
            if flow.status >= 400:
                raise _refusal(flow.status, await flow.read())
            data: list[str] = []
            async for line in _lines(flow):
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:  # a blank line ends an event; without data it was a sign of life
                    yield _event("\n".join(data))
                    data = []

    def _said(self, **headers: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._key}", **headers}

    async def _request(self, method: str, path: str, **rest: Any) -> Reply:
        return await self._client.request(method, path, headers=self._said(**rest.pop("headers", {})), **rest)


def address(path: str, query: Mapping[str, Any]) -> str:
    """A path with those fields of `query` that are not None."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def segment(text: str) -> str:
    """`text` as one segment of a path. Raises WrongUsage when it is empty, as an unset variable of a shell is."""
    if not text:
        raise WrongUsage("An id or a name is empty.")
    return quote(text, safe="")


async def _lines(flow: Flow) -> AsyncGenerator[str]:
    rest = b""
    async for piece in flow:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _event(data: str) -> Any:
    try:
        wire = json.loads(data)
    except ValueError as fault:
        raise BrokenReply("An event of the server is not JSON.") from fault
    if isinstance(wire, dict) and isinstance(wire.get("error"), dict) and "id" not in wire:
        raise ServerSaid(wire["error"], 500)  # a stream that has begun can only say so in an event
    return wire


def _parsed(status: int, body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError as fault:
        raise BrokenReply("The server's answer is not JSON.", upstream_status=status) from fault


def _refusal(status: int, body: bytes) -> ServerSaid:
    wire = _parsed(status, body)
    return ServerSaid(wire.get("error", {}) if isinstance(wire, dict) else {}, status)


def _checked(reply: Reply) -> Reply:
    if reply.status >= 400:
        raise _refusal(reply.status, reply.body)
    return reply


def _json(reply: Reply) -> Any:
    return _parsed(reply.status, _checked(reply).body)


def _multipart(boundary: str, files: Sequence[tuple[str, bytes]], fields: Sequence[tuple[str, str]]) -> bytes:
    # The form of RFC 7578. A name is a quoted string of RFC 2045, which the server reads back letter by letter; of
    # line breaks it takes the signs that browsers put there.
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields
    ]
    for name, data in files:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = quoted.replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{shown}"\r\n'
            "content-type: application/octet-stream\r\n\r\n"
        )
        parts += [head.encode("utf-8", "surrogateescape"), data, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])
