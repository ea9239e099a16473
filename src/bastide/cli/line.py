"""The line to the server: JSON both ways, and an error of the server as an error here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from bastide.errors import BastideError, BrokenReply, ServerSaid

if TYPE_CHECKING:
    from bastide.egress import Client, Reply


def said_code(fault: BastideError) -> str:
    """The stable code of an error, whoever said it."""
    return fault.wire_code if isinstance(fault, ServerSaid) else fault.code


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

    async def post(self, path: str, body: Any = None) -> Any:
        """POST, with a body of JSON if there is one."""
        return _json(await self._request("POST", path, json=body))

    async def put(self, path: str, body: Any) -> Any:
        """PUT."""
        return _json(await self._request("PUT", path, json=body))

    async def delete(self, path: str) -> Any:
        """DELETE."""
        return _json(await self._request("DELETE", path))

    async def raw(self, path: str) -> bytes:
        """GET, the body as it is."""
        return _checked(await self._request("GET", path)).body

    async def upload(self, path: str, name: str, data: bytes, fields: Sequence[tuple[str, str]]) -> Any:
        """POST one file with its fields; a refusal that lists the file is an answer too."""
        boundary = secrets.token_hex(16)
        reply = await self._request(
            "POST",
            path,
            content=_multipart(boundary, name, data, fields),
            headers={"content-type": f"multipart/form-data; boundary={boundary}"},
        )
        wire = _parsed(reply)
        return wire if isinstance(wire, dict) and "documents" in wire else _json(reply)

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

    async def _request(self, method: str, path: str, **rest: Any) -> Reply:
        headers = {"authorization": f"Bearer {self._key}", **rest.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **rest)


def address(path: str, query: Mapping[str, Any]) -> str:
    """A path with those fields of `query` that are not None."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def _parsed(reply: Reply) -> Any:
    try:
        return json.loads(reply.body) if reply.body else None
    except ValueError as fault:
        raise BrokenReply("The server's answer is not JSON.", upstream_status=reply.status) from fault


def _checked(reply: Reply) -> Reply:
    if reply.status >= 400:
        wire = _parsed(reply)
        raise ServerSaid(wire.get("error", {}) if isinstance(wire, dict) else {}, reply.status)
    return reply


def _json(reply: Reply) -> Any:
    return _parsed(_checked(reply))


def _multipart(boundary: str, name: str, data: bytes, fields: Sequence[tuple[str, str]]) -> bytes:
    # The form of RFC 7578; a name's quotes and line breaks are escaped as browsers do.
    shown = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields
    ]
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{shown}"\r\n'
        "content-type: application/octet-stream\r\n\r\n"
    )
    return b"".join([*parts, head.encode("utf-8", "surrogateescape"), data, f"\r\n--{boundary}--\r\n".encode()])
