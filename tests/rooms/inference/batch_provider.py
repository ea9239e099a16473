"""A provider of batches: a real server on loopback that takes files of calls, works through them and keeps the answers.

It speaks OpenAI's files and batches, and remembers every byte that it was sent. What a test wants to go wrong is said
in `faults` (status and headers for the next requests of a kind) and `spoils` (what it writes instead of its output).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Body = dict[str, Any]
Answer = Callable[[Body], tuple[int, Body]]


def echo(body: Body) -> tuple[int, Body]:
    """Repeats what it hears, in the wire that it is asked in."""
    if "messages" not in body:
        row = {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}
        return 200, {"object": "list", "data": [row], "model": body["model"], "usage": {"prompt_tokens": 3}}
    text = f"You said {body['messages'][-1]['content']}"
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return 200, {"id": "c1", "object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage}


@dataclass
class File:
    """What lies there."""

    name: str
    data: bytes
    purpose: str = "batch"


@dataclass
class Fault:
    """What the next request of a kind is answered by; `after` it is done all the same."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False


class BatchProvider:
    """The server. Batches are done at once, unless `held`; then `finish` is called."""

    def __init__(self, answer: Answer = echo, *, lists: bool = True, bytes_max: int = 10**9, tls: Any = None) -> None:
        self.answer = answer
        self.lists = lists
        self.bytes_max = bytes_max
        self.held = False
        self.refuses_to_delete = False
        self.offers: list[Body] = [{"id": "scripted"}]
        self.stalls: list[str] = []  # kinds of requests of which the next is done and never answered
        self.stalled: list[str] = []
        self.cuts: list[float] = []  # what share of the next contents is sent before the connection breaks
        self.files: dict[str, File] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.made: list[str] = []  # ids of all batches that ever were
        self.uploads: list[bytes] = []  # all files that were ever handed in
        self.deleted: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.keys: set[str] = set()
        self.heard = bytearray()
        self.faults: dict[str, list[Fault]] = {}
        self.spoils: Callable[[list[bytes]], list[bytes]] = list
        self.changed = asyncio.Event()
        self.port = 0
        self._tls = tls
        self._numbers = itertools.count(1)
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where its interface begins."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def lines(self) -> list[Body]:
        """All lines of all files that were ever handed in."""
        return [json.loads(line) for data in self.uploads for line in data.splitlines()]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.close()

    async def until(self, true: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(within_s):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    def finish(self, *, status: str = "completed", only: Callable[[int], bool] = lambda n: True) -> None:
        """Work through whatever is held: only some of its lines, if the rest is not done when it ends."""
        for batch in self.batches.values():
            if batch["status"] in {"in_progress", "cancelling"}:
                self._work(batch, status, only)

    # -- the wire -----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ", 2)
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if ": " in line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.heard += head + body
                self.keys.add(headers.get("authorization", ""))
                status, answer, more = self._answered(method, path, headers, body)
                if (kind := _kind(method, path)) in self.stalls:
                    self.stalls.remove(kind)
                    self.stalled.append(kind)
                    self.changed.set()
                    await reader.read()  # until who asked is gone
                    return
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                told = [f"HTTP/1.1 {status} Told", f"content-length: {len(data)}", "content-type: application/json"]
                told += [f"{name}: {value}" for name, value in more.items()]
                cut = self.cuts.pop(0) if kind.endswith("/content") and self.cuts else 1.0
                writer.write("\r\n".join(told).encode() + b"\r\n\r\n" + data[: round(cut * len(data))])
                await writer.drain()
                self.changed.set()
                if cut < 1.0:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _answered(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Body | bytes, dict[str, str]]:
        kind = _kind(method, path)
        self.asked.append((method, path))
        waiting = self.faults.get(kind, [])
        fault = waiting.pop(0) if waiting else None
        if fault is not None and not fault.after:
            return fault.status, {"error": {"message": "scripted trouble"}}, fault.headers
        status, answer = self._done(kind, path, headers, body)
        if fault is not None:
            return fault.status, {"error": {"message": "scripted trouble"}}, fault.headers
        return status, answer, {}

    def _done(self, kind: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Body | bytes]:
        place = path.partition("?")[0].split("/")
        id = place[3] if len(place) > 3 else ""
        match kind:
            case "GET /models":
                return 200, {"object": "list", "data": self.offers}
            case "POST /files":
                return self._take(headers, body)
            case "GET /files":
                return self._list([self._file(one) for one in self.files])
            case "GET /files/ID/content":
                return (200, self.files[id].data) if id in self.files else (404, _wrong("no such file"))
            case "DELETE /files/ID":
                return self._delete(id)
            case "POST /batches":
                return self._create(json.loads(body))
            case "GET /batches":
                return self._list(list(self.batches.values()))
            case "GET /batches/ID":
                return (200, self.batches[id]) if id in self.batches else (404, _wrong("no such batch"))
            case "POST /batches/ID/cancel":
                self.batches[id]["status"] = "cancelling"
                if not self.held:
                    self._work(self.batches[id], "cancelled", lambda n: False)
                return 200, self.batches[id]
        return 404, _wrong("no such address")

    def _list(self, rows: list[Body]) -> tuple[int, Body]:
        return (200, {"object": "list", "data": rows, "has_more": False}) if self.lists else (404, _wrong("no list"))

    def _take(self, headers: dict[str, str], body: bytes) -> tuple[int, Body]:
        if len(body) > self.bytes_max:
            return 413, _wrong("too large")
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        fields: dict[str, tuple[str, bytes]] = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, data = part.strip(b"\r\n").partition(b"\r\n\r\n")
            name, file = (re.search(rf'[ ;]{word}="([^"]*)"'.encode(), head) for word in ("name", "filename"))
            assert name is not None
            fields[name[1].decode()] = (file[1].decode() if file else "", data)
        assert fields["purpose"][1] == b"batch"
        name, data = fields["file"]
        id = f"file-{next(self._numbers)}"
        self.files[id] = File(name, data + b"\n" if not data.endswith(b"\n") else data)
        self.uploads.append(data)
        return 200, self._file(id)

    def _file(self, id: str) -> Body:
        return {"id": id, "object": "file", "filename": self.files[id].name, "purpose": self.files[id].purpose}

    def _delete(self, id: str) -> tuple[int, Body]:
        if self.refuses_to_delete:
            return 500, _wrong("not now")
        if id not in self.files:
            return 404, _wrong("no such file")
        del self.files[id]
        self.deleted.append(id)
        return 200, {"id": id, "deleted": True}

    def _create(self, asked: Body) -> tuple[int, Body]:
        id = f"batch-{next(self._numbers)}"
        kept = ("input_file_id", "endpoint", "completion_window")
        batch = {"id": id, "object": "batch", "status": "in_progress", **{name: asked[name] for name in kept}}
        self.batches[id] = {**batch, "output_file_id": None, "error_file_id": None, "errors": None}
        self.made.append(id)
        if not self.held:
            self._work(self.batches[id], "completed", lambda n: True)
        return 200, self.batches[id]

    def _work(self, batch: Body, status: str, only: Callable[[int], bool]) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].data.splitlines()]
        good, bad = list[bytes](), list[bytes]()
        for place, line in enumerate(lines):
            assert line["url"] == batch["endpoint"]
            if not only(place):
                continue
            code, body = self.answer(line["body"])
            response = {"status_code": code, "request_id": "r", "body": body}
            told = {"id": f"b{place}", "custom_id": line["custom_id"], "response": response, "error": None}
            (good if code == 200 else bad).append(json.dumps(told).encode())
        for field_, rows in (("output_file_id", self.spoils(good)), ("error_file_id", bad)):
            if rows:
                id = f"file-{next(self._numbers)}"
                self.files[id] = File(f"{field_}.jsonl", b"\n".join(rows) + b"\n", "batch_output")
                batch[field_] = id
        batch["status"] = status
        batch["usage"] = {"input_tokens": 10 * len(good), "output_tokens": 5 * len(good)}
        self.changed.set()


def _kind(method: str, path: str) -> str:
    """What is asked, without whose."""
    return f"{method} {re.sub('/(file|batch)-[0-9]+', '/ID', path.partition('?')[0]).removeprefix('/v1')}"


def _wrong(message: str) -> Body:
    return {"error": {"message": message, "type": "invalid_request_error"}}
