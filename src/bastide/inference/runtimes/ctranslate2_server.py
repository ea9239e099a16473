"""A server for models in CTranslate2's form: chat and completions, whole and streamed, on loopback.

python -m bastide.inference.runtimes.ctranslate2_server FOLDER PORT

The folder holds what CTranslate2 converts a model to, and its `tokenizer.json`. The prompt of a chat is each message
under its role, as `chat.txt` in the folder may say it otherwise (`{role}` and `{content}`, one line a message).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ctranslate2
from tokenizers import Tokenizer

_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
_TOKENS: Final = 256  # that are written where the request names no number
_TURN: Final = "{role}: {content}\n"


class Refused(Exception):
    """The request cannot be worked with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    prompt: str
    tokens: int
    heat: float
    stream: bool
    chat: bool


class Engine:
    """One model."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._generator = ctranslate2.Generator(str(folder), device="auto", inter_threads=1)
        self._end = json.loads((folder / "config.json").read_text("utf-8")).get("eos_token")
        place = folder / "chat.txt"
        self._turn = place.read_text("utf-8") if place.is_file() else _TURN

    def wanted(self, path: str, body: Any) -> Wanted:
        """The request. Raises Refused."""
        if not isinstance(body, dict):
            raise Refused("The body must be a JSON object.")
        tokens = body.get("max_tokens") or body.get("max_completion_tokens") or _TOKENS
        heat = body.get("temperature", 0)
        if not isinstance(tokens, int) or not 0 < tokens <= 100_000 or not isinstance(heat, int | float):
            raise Refused("`max_tokens` is a whole number above 0, `temperature` a number.")
        if path.endswith("/completions") and not path.endswith("/chat/completions"):
            return Wanted(str(body.get("prompt", "")), tokens, float(heat), bool(body.get("stream")), False)
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            raise Refused("`messages` must be a list of messages.")
        _able(body)
        turns = [
            self._turn.format(role=one.get("role", "user"), content=_words(one.get("content"))) for one in messages
        ]
        prompt = "".join(turns) + self._turn.format(role="assistant", content="").rstrip()
        return Wanted(prompt, tokens, float(heat), bool(body.get("stream")), True)

    def pieces(self, wanted: Wanted) -> Iterator[tuple[str, int]]:
        """The text as it is written, and how many tokens that is so far."""
        asked = self._tokenizer.encode(wanted.prompt, add_special_tokens=True).tokens
        ids: list[int] = []
        said = ""
        found = self._generator.generate_tokens(
            asked,
            max_length=wanted.tokens,
            sampling_topk=1 if wanted.heat <= 0 else 40,
            sampling_temperature=max(wanted.heat, 0.01),
        )
        for step in found:
            if step.token == self._end:
                break
            ids.append(step.token_id)
            text = self._tokenizer.decode(ids, skip_special_tokens=True)
            if not text.endswith("\ufffd"):  # half a character waits for the rest of it
                yield text[len(said) :], len(ids)
                said = text

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokenizer.encode(text).ids)


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise Refused("`messages` may hold text only: this model sees and hears nothing.")
    return "\n".join(part["text"] for part in parts)


def _able(body: dict[str, Any]) -> None:
    """Raises Refused for what would be promised and not held: a call that must be made, JSON of a form."""
    if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
        raise Refused("`tool_choice`: this model calls no tools.")
    form = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
        raise Refused("`response_format`: this model writes text of no certain form.")


class Server:
    """Speaks the OpenAI-style wire."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(1)  # one model, one answer at a time

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ", 2)
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                length = int(fields.get("content-length", "0"))
                if not 0 <= length <= _BODY_BYTES_MAX:
                    return
                await self._answer(writer, method, path, await reader.readexactly(length))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, path: str, data: bytes) -> None:
        if path == "/health":
            _send(writer, 200, {"status": "ok"})
        elif path == "/v1/models":
            _send(writer, 200, {"object": "list", "data": [{"id": self._engine.name, "object": "model"}]})
        elif method == "POST" and path in {"/v1/chat/completions", "/v1/completions"}:
            try:
                wanted = self._engine.wanted(path, json.loads(data))
            except (Refused, ValueError) as fault:
                _send(writer, 400, {"error": {"message": str(fault), "type": "invalid_request_error"}})
                return
            async with self._turns:
                await (self._stream if wanted.stream else self._whole)(writer, wanted)
        else:
            _send(writer, 404, {"error": {"message": "There is no such address.", "type": "not_found_error"}})

    async def _pieces(self, wanted: Wanted) -> AsyncGenerator[tuple[str, int]]:
        coming = self._engine.pieces(wanted)
        while (piece := await asyncio.to_thread(next, coming, None)) is not None:
            yield piece

    async def _whole(self, writer: asyncio.StreamWriter, wanted: Wanted) -> None:
        text, count = "", 0
        async for piece, so_far in self._pieces(wanted):
            text, count = text + piece, so_far
        said = {"message": {"role": "assistant", "content": text}} if wanted.chat else {"text": text}
        choice = {"index": 0, "finish_reason": "length" if count >= wanted.tokens else "stop", **said}
        _send(writer, 200, {**self._head(wanted), "choices": [choice], "usage": self._usage(wanted, count)})

    async def _stream(self, writer: asyncio.StreamWriter, wanted: Wanted) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        count = 0
        async for piece, so_far in self._pieces(wanted):
            count = so_far
            said = {"delta": {"role": "assistant", "content": piece}} if wanted.chat else {"text": piece}
            _event(writer, {**self._head(wanted), "choices": [{"index": 0, "finish_reason": None, **said}]})
            await writer.drain()
        end: dict[str, Any] = {"index": 0, "finish_reason": "length" if count >= wanted.tokens else "stop"}
        last = {**end, "delta": {}} if wanted.chat else {**end, "text": ""}
        _event(writer, {**self._head(wanted), "choices": [last]})
        _event(writer, {**self._head(wanted), "choices": [], "usage": self._usage(wanted, count)})
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _head(self, wanted: Wanted) -> dict[str, Any]:
        kind = "chat.completion" if wanted.chat else "text_completion"
        kind += ".chunk" if wanted.stream and wanted.chat else ""
        return {"id": "ct2", "object": kind, "created": int(time.time()), "model": self._engine.name}

    def _usage(self, wanted: Wanted, written: int) -> dict[str, int]:
        asked = self._engine.count(wanted.prompt)
        return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _send(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


def _event(writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
    _chunk(writer, b"data: " + json.dumps(body).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def main(folder: str, port: str) -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = Server(await asyncio.to_thread(Engine, Path(folder)))
    listening = await asyncio.start_server(server.connection, "127.0.0.1", int(port), limit=64 * 1024)
    async with listening:
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
