"""A chat with a server that does not speak the chat wire: put into its words, and its answer put back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any

from bastide.inference.wires import FORMATS, Cut, Event


def put(body: Mapping[str, Any], wire: str, model: str) -> dict[str, Any]:
    """A chat as a body of `wire`. Raises BadChat for what that wire cannot say."""
    asked = FORMATS["chat"].read(dict(body))
    return FORMATS[wire].write(asked, model=model, stream=bool(body.get("stream")))


def put_back(answer: Mapping[str, Any], wire: str, model: str) -> dict[str, Any]:
    """A whole answer in `wire` as a chat's. Raises UpstreamGarbage for what is none."""
    return FORMATS["chat"].write_reply(FORMATS[wire].read_reply(answer), model=model, id=secrets.token_hex(12))


async def chat_stream(pieces: AsyncIterable[bytes], wire: str, model: str) -> AsyncGenerator[bytes]:
    """A stream in `wire` as that of a chat. Raises what it is cut by."""
    reader = FORMATS[wire].reader()
    writer = FORMATS["chat"].writer(model=model, id=secrets.token_hex(12), usage=True, echo={})

    def written(events: list[Event]) -> bytes:
        out = []
        for event in events:
            if isinstance(event, Cut):
                raise event.fault
            out.append(writer.write(event))
        return b"".join(out)

    async for piece in pieces:
        yield written(reader.feed(piece))
    yield written(reader.end())
