"""Server-sent events: however the bytes are cut, the events are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import UpstreamGarbage
from bastide.inference import event_stream


async def read(pieces: Sequence[bytes]) -> list[bytes]:
    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in event_stream.events(arriving())]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b": a comment\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 7\nretry: 1\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: last", [b"last"]),
        (b"data: last\r", [b"last"]),
        (b"\n\n\n", []),
        (b"", []),
        ("data: é€😀\n\n".encode(), ["é€😀".encode()]),
    ],
)
async def test_forms(text: bytes, events: list[bytes]) -> None:
    assert await read([text]) == events
    assert await read([text[place : place + 1] for place in range(len(text))]) == events


@given(st.lists(st.binary(max_size=5)), st.data())
async def test_law_cuts_do_not_matter(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(b"data: " + line.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[one:other] for one, other in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert await read(pieces) == await read([text])


async def test_an_endless_event_is_given_up() -> None:
    with pytest.raises(UpstreamGarbage):
        await read([b"data: " + b"x" * 1_000_000] * 10)
