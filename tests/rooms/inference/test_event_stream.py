"""Server-sent events: however the bytes are cut, the events are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import UpstreamGarbage
from bastide.inference import event_stream
from bastide.inference.gateway.watching import Watched


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


def test_a_long_event_is_joined_once() -> None:
    """A picture in an event of seven megabytes had taken two seconds of the loop: it was joined with each piece."""
    pieces = [b"data: ", *(b"x" * 1000 for _ in range(20))]
    splitter, watched = event_stream.Splitter(), Watched("responses", usage_wanted=True)
    for piece in pieces:
        assert splitter.feed(piece) == []
        assert watched.feed(piece) == b""
    assert all(held is piece for held, piece in zip(splitter._waiting, pieces, strict=True))
    assert all(held is piece for held, piece in zip([watched._held, *watched._later], pieces, strict=True))
    assert splitter.feed(b"\n\n") == [b"".join(pieces)[6:]]
    watched.feed(b"\n\n")
    assert watched.fault is not None, "it was no event of the wire, and was looked at"


@given(st.integers(1, 7), st.lists(st.integers(0, 200), max_size=12))
def test_law_a_watched_stream_is_the_same_however_it_is_cut(size: int, cuts: list[int]) -> None:
    said = [b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % (b"w" * (size * n)) for n in range(5)]
    said.append(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    for separator in (b"\n\n", b"\r\n\r\n"):
        text = b"".join(b"data: " + one + separator for one in said)
        at = sorted({min(cut, len(text)) for cut in cuts})
        watched, out = Watched("chat", usage_wanted=True), b""
        for one, other in zip([0, *at], [*at, len(text)], strict=True):
            out += watched.feed(text[one:other])
        out += watched.end()
        assert watched.fault is None
        assert out == text + b"data: [DONE]\n\n"
