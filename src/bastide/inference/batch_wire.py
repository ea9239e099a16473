"""The wire of files and batches, as a client: hand a file in, have it worked through, read what came of it, delete it.

OpenAI's shape, which others speak as well. Nothing that arrives is trusted to have it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import quote

from bastide.egress import Client, Reply
from bastide.errors import UpstreamGarbage
from bastide.inference.openai_style import Place, encode, read_object
from bastide.inference.upstream_faults import fault_of, told_in
from bastide.inference.values import Usage

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""The states of a batch that it does not leave."""

_ID_MAX: Final = 256
_PAGE: Final = 100
_PAGES_MAX: Final = 20
_NOT_THERE: Final = frozenset({404, 405, 501})
_TOKENS_MAX: Final = 2**40
_LINE_BYTES_MAX: Final = 32 * 1024 * 1024
_TOLD_MAX: Final = 5  # reasons of a batch that failed
_KEPT_S: Final = 30 * 86_400


class Pieces(Protocol):
    """A file that is sent piece by piece."""

    @property
    def length(self) -> int:
        """How many bytes."""

    def __aiter__(self) -> Any:
        """The bytes."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """A batch as its provider tells of it."""

    id: str
    status: str
    output: str | None = None
    errors: str | None = None
    done: int = 0
    told: str = ""  # why it failed
    used: Usage | None = None  # of all its lines, where that is told

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED


class BatchClient:
    """One provider's files and batches, over one permitted client."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place

    @property
    def tls(self) -> Any:
        """Who answered last."""
        return self._client.tls

    async def upload(self, name: str, data: Pieces) -> str:
        """Hand a file in; the id that it has there."""
        fields = {"purpose": "batch"}
        batches = self._place.adapter.batches
        if batches is not None and batches.expires:  # what we cannot delete goes by itself
            fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(_KEPT_S)}
        form = _Form(fields, name, data)
        headers = {**self._place.headers(), "content-type": form.media_type}
        return _id(await self._asked("POST", "/files", content=form, headers=headers))

    async def create(self, file: str, endpoint: str, window: str) -> Theirs:
        """Have a file worked through."""
        body = encode({"input_file_id": file, "endpoint": endpoint, "completion_window": window})
        return _batch(await self._asked("POST", "/batches", content=body))

    async def look(self, batch: str) -> Theirs | None:
        """How it is; None where there is no such batch."""
        found = await self._asked("GET", f"/batches/{quote(batch, safe='')}", or_none=True)
        return None if found is None else _batch(found)

    async def cancel(self, batch: str) -> None:
        """Stop it; that it has ended or is there no more is as good."""
        reply = await self._exchanged("POST", f"/batches/{quote(batch, safe='')}/cancel", content=b"{}")
        if reply.status not in {200, 202, 204, 400, 404, 409}:
            self._refuse(reply)

    async def delete(self, file: str) -> None:
        """Delete a file; that it is there no more is as good."""
        reply = await self._exchanged("DELETE", f"/files/{quote(file, safe='')}")
        if reply.status not in {200, 202, 204, 404, 410}:
            self._refuse(reply)

    async def find_file(self, name: str) -> str | None:
        """The file of this name, which only we give. Raises CannotList."""
        async with aclosing(self._listed("/files", "purpose=batch")) as rows:
            async for row in rows:
                if row.get("filename") == name:
                    return _id(row)
        return None

    async def find_batch(self, file: str) -> Theirs | None:
        """The batch that works through this file. Raises CannotList."""
        async with aclosing(self._listed("/batches", "")) as rows:
            async for row in rows:
                if row.get("input_file_id") == file:
                    return _batch(row)
        return None

    async def lines(self, file: str) -> AsyncGenerator[bytes | None]:
        """The lines of a file as they arrive; None for one that is too long to be anything."""
        path = f"{self._place.path}/files/{quote(file, safe='')}/content"
        async with self._client.stream("GET", path, headers=self._place.headers("*/*")) as flow:
            if flow.status != 200:
                raise fault_of(flow.status, flow.headers, await flow.read(), self._place.key)
            async with aclosing(_split(flow)) as lines:
                async for line in lines:
                    yield line

    async def _listed(self, path: str, query: str) -> AsyncGenerator[Mapping[str, Any]]:
        after = ""
        for _ in range(_PAGES_MAX):
            asked = "&".join(one for one in (f"limit={_PAGE}", query, after) if one)
            reply = await self._exchanged("GET", f"{path}?{asked}")
            if reply.status in _NOT_THERE:
                raise CannotList
            if reply.status != 200:
                self._refuse(reply)
            found = read_object(reply.body)
            rows = found.get("data")
            if not isinstance(rows, list):
                raise CannotList
            for row in rows:
                if isinstance(row, Mapping):
                    yield row
            last = rows[-1].get("id") if rows and isinstance(rows[-1], Mapping) else None
            if not found.get("has_more") or not isinstance(last, str):
                return
            after = f"after={quote(last, safe='')}"
        raise CannotList  # what is not among so many may be behind them

    async def _asked(self, method: str, path: str, *, or_none: bool = False, **sent: Any) -> Any:
        reply = await self._exchanged(method, path, **sent)
        if reply.status == 404 and or_none:
            return None
        if reply.status not in {200, 201, 202}:
            self._refuse(reply)
        return read_object(reply.body)

    async def _exchanged(self, method: str, path: str, **sent: Any) -> Reply:
        headers = sent.pop("headers", None) or self._place.headers()
        return await self._client.request(method, self._place.path + path, headers=headers, **sent)

    def _refuse(self, reply: Reply) -> NoReturn:
        raise fault_of(reply.status, reply.headers, reply.body, self._place.key)


class CannotList(Exception):
    """The provider has no list to look in, or none that ends."""


class _Form:
    """A form with a few fields and one file (RFC 7578), sent piece by piece."""

    def __init__(self, fields: Mapping[str, str], name: str, data: Pieces) -> None:
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        ]
        disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        parts.append(f"--{boundary}\r\n{disposition}\r\nContent-Type: application/jsonl\r\n\r\n")
        self._head, self._data, self._tail = "".join(parts).encode(), data, f"\r\n--{boundary}--\r\n".encode()
        self.media_type = f"multipart/form-data; boundary={boundary}"

    @property
    def length(self) -> int:
        """Of head, file and tail."""
        return len(self._head) + self._data.length + len(self._tail)

    @property
    def pieces(self) -> AsyncIterable[bytes]:
        """All of them, once."""
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[bytes]:
        yield self._head
        async for piece in self._data:
            yield piece
        yield self._tail


async def _split(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes | None]:
    """Lines that hold something; of one that is too long nothing is kept."""
    held: list[bytes] = []
    size = 0
    async for piece in pieces:
        first, *more = piece.split(b"\n")
        held.append(first)
        size += len(first)
        for start in more:
            if size > _LINE_BYTES_MAX:
                yield None
            elif (line := b"".join(held)).strip():
                yield line
            held, size = [start], len(start)
        if size > _LINE_BYTES_MAX:
            held = []
    if size > _LINE_BYTES_MAX:
        yield None
    elif (line := b"".join(held)).strip():
        yield line


def _id(found: Mapping[str, Any]) -> str:
    id = found.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= _ID_MAX or not id.isprintable():
        raise UpstreamGarbage("The provider's answer names no id.")
    return id


def _batch(found: Mapping[str, Any]) -> Theirs:
    status = found.get("status")
    if not isinstance(status, str):
        raise UpstreamGarbage("The provider's batch has no status.")
    counts = found.get("request_counts")
    done = counts.get("completed") if isinstance(counts, Mapping) else 0
    output, errors = (_file(found.get(name)) for name in ("output_file_id", "error_file_id"))
    done = done if type(done) is int else 0
    return Theirs(_id(found), status, output, errors, done, _why(found.get("errors")), _used(found.get("usage")))


def _used(usage: Any) -> Usage | None:
    if not isinstance(usage, Mapping):
        return None
    sent, got = (usage.get(name) for name in ("input_tokens", "output_tokens"))
    told = [one for one in (sent, got) if type(one) is int and 0 <= one < _TOKENS_MAX]
    return Usage(told[0], told[1]) if len(told) == 2 and any(told) else None


def _file(id: Any) -> str | None:
    return id if isinstance(id, str) and 0 < len(id) <= _ID_MAX and id.isprintable() else None


def _why(errors: Any) -> str:
    rows = errors.get("data") if isinstance(errors, Mapping) else errors
    told = [told_in({"error": row}) for row in rows[:_TOLD_MAX]] if isinstance(rows, list) else []
    return " ".join(told)
