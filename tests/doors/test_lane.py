"""The fast lane on real sockets: what it takes, what it leaves to the server behind, and what nobody gets through."""

from __future__ import annotations

import asyncio
import json
import random

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.api.lane.head import Elsewhere, Head, Heads
from bastide.testing import Says, ScriptedModel
from tests.doors.calls import ASKED, Answers, request, wire
from tests.doors.conftest import Company, bearer


async def test_one_connection_carries_many_calls_and_then_anything_else(
    served: str, us: Company, model: ScriptedModel
) -> None:
    async with wire(served) as (reader, writer):
        answers = Answers(reader)
        for _ in range(3):
            writer.write(request(us))
            status, headers, body = await answers.next()
            assert status == 200
            assert headers["x-bastide-receipt"].startswith("rcp_")
            assert headers["x-content-type-options"] == "nosniff"
            assert json.loads(body)["choices"][0]["message"]["content"] == "One two three."
        writer.write(request(us, {**ASKED, "stream": True}, "X-Request-ID: mine-1"))
        status, headers, body = await answers.next()
        assert (status, headers["content-type"], headers["x-request-id"]) == (200, "text/event-stream", "mine-1")
        assert body.endswith(b"data: [DONE]\n\n")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await answers.next())[0] == 200
        writer.write(request(us))  # the server behind knows the wires, too
        assert (await answers.next())[0] == 200
    assert len(model.chats) == 5


async def test_requests_sent_ahead_are_answered_in_their_order(served: str, us: Company, model: ScriptedModel) -> None:
    async with wire(served) as (reader, writer):
        answers = Answers(reader)
        ahead = [request(us, ASKED, f"X-Request-ID: n-{n}") for n in range(5)]
        writer.write(b"".join(ahead) + b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Request-ID: n-5\r\n\r\n")
        for n in range(6):
            status, headers, _ = await answers.next()
            assert (status, headers["x-request-id"]) == (200, f"n-{n}")


@pytest.mark.parametrize("seed", range(3))
async def test_however_the_bytes_come(served: str, us: Company, model: ScriptedModel, seed: int) -> None:
    chance = random.Random(seed)
    raw = b"".join(request(us, {**ASKED, "pad": "x" * chance.randint(0, 3000)}) for _ in range(3))
    async with wire(served) as (reader, writer):
        answers = Answers(reader)
        while raw:
            size = chance.choice((1, 2, 7, 30, 500, 4000))
            writer.write(raw[:size])
            raw = raw[size:]
            await writer.drain()
            await asyncio.sleep(0)
        for _ in range(3):
            assert (await answers.next())[0] == 200


async def test_a_body_in_chunks_and_expect_go_the_other_way_with_not_a_byte_lost(
    served: str, us: Company, model: ScriptedModel
) -> None:
    data = json.dumps(ASKED).encode()
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    async with wire(served) as (reader, writer):
        answers = Answers(reader)
        head = request(us, b"", "Transfer-Encoding: chunked")
        writer.write(head + chunks)
        assert (await answers.next())[0] == 200
    async with wire(served) as (reader, writer):
        writer.write(request(us, b"", "Expect: 100-continue", f"Content-Length: {len(data)}"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(data)
        assert (await Answers(reader).next())[0] == 200


HIDDEN = b"GET /api/v1/documents HTTP/1.1\r\nHost: h\r\nX-Smuggled: yes\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: identity, chunked", "Content-Length: 5"],
        ["Transfer-Encoding:\tchunked", "Content-Length: 5"],
        ["Transfer-Encoding : chunked", "Content-Length: 5"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5, 5"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999"],
        ["Content-Length:"],
        ["X: a\r\n b", "Content-Length: 5"],
        ["X: a\nContent-Length: 5"],
        ["X\x00: a", "Content-Length: 5"],
    ],
)
async def test_no_request_hides_in_another(served: str, us: Company, lines: list[str], model: ScriptedModel) -> None:
    """Whatever is made of an ambiguous head, at most one answer comes, and never that of the hidden request."""
    async with wire(served) as (reader, writer):
        writer.write(request(us, b"0\r\n\r\n" + HIDDEN, *lines))
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(60):
            said = await reader.read()
    answers = said.count(b"HTTP/1.1 ")
    assert b"documents" not in said
    assert answers <= 2
    assert not (answers == 2 and b" 200 " in said), "a second answer is a refusal of what is no request"


async def test_what_is_too_large_or_too_long_is_refused_and_the_connection_closed(served: str, us: Company) -> None:
    async with wire(served) as (reader, writer):
        writer.write(request(us, b"{}", f"Content-Length: {17 * 1024 * 1024}"))
        status, headers, body = await Answers(reader).next()
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body)["error"]["code"] == "request.body_too_large"
        assert await reader.read() == b""
    async with wire(served) as (reader, writer):
        writer.write(request(us, b"{}", "X-Long: " + "a" * 200_000))
        async with asyncio.timeout(60):
            said = await reader.read()
        assert said.startswith(b"HTTP/1.1 431 ")


async def test_keys_are_asked_for_and_told_apart(served: str, us: Company, model: ScriptedModel) -> None:
    async with wire(served) as (reader, writer):
        answers = Answers(reader)
        writer.write(request(us, ASKED, key="bst_" + "0" * 64))
        status, headers, body = await answers.next()
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert json.loads(body)["error"]["next"]
        writer.write(request(us, ASKED, f"X-Label: {json.dumps({'class': 'nonsense'})}"))
        assert (await answers.next())[0] == 400
        writer.write(request(us, ASKED, "X-Company-ID: ten_00000000000000000000000000"))
        assert (await answers.next())[0] == 403
        writer.write(request(us, ASKED))
        assert (await answers.next())[0] == 200


async def test_who_hangs_up_stops_the_model(served: str, us: Company, web: httpx2.AsyncClient) -> None:
    async with ScriptedModel(Says("one two three four five six seven eight nine", pause_s=0.1)) as slow:
        body = {"name": "slow", "url": slow.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
        async with wire(served) as (reader, writer):
            writer.write(request(us, {**ASKED, "model": "slow", "stream": True}))
            await reader.readuntil(b"one")
        async with asyncio.timeout(60):
            while not slow.closed_early:
                await asyncio.sleep(0.02)
        await web.delete("/api/v1/models/slow", headers=bearer(us.keys["administrator"]))


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_before_the_first_word_stops_the_model_by_the_other_way_too(
    served: str, us: Company, web: httpx2.AsyncClient, stream: bool
) -> None:
    """A body in chunks goes to the server behind, which notices that its client is gone by asking only."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):  # what does it list?
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            asked.set()
            while await reader.read(65536):
                pass
            left.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        body = {"name": f"mute-{stream}", "url": url, "local": True, "model": "x", "capabilities": ["chat"]}
        assert (await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))).is_success
        data = json.dumps({**ASKED, "model": f"mute-{stream}", "stream": stream}).encode()
        async with asyncio.timeout(60):
            async with wire(served) as (_, writer):
                chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
                writer.write(request(us, b"", "Transfer-Encoding: chunked") + chunks)
                await asked.wait()
            await left.wait()
        await web.delete(f"/api/v1/models/mute-{stream}", headers=bearer(us.keys["administrator"]))


async def test_a_slow_reader_holds_the_server_back_and_gets_every_byte(
    served: str, us: Company, web: httpx2.AsyncClient
) -> None:
    text = " ".join(f"word{n}" * 40 for n in range(3000))
    async with ScriptedModel(Says(text)) as long:
        body = {"name": "long", "url": long.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        await web.post("/api/v1/models", json=body, headers=bearer(us.keys["administrator"]))
        async with wire(served) as (reader, writer):
            writer.write(request(us, {**ASKED, "model": "long", "stream": True}))
            await asyncio.sleep(0.5)
            status, _, said = await Answers(reader).next(60)
        await web.delete("/api/v1/models/long", headers=bearer(us.keys["administrator"]))
    events = [json.loads(one[6:]) for one in said.decode().split("\n\n") if one.startswith("data: {")]
    assert status == 200
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in events) == text


LINES = st.sampled_from(
    [
        *(f"{name}: {value}" for name in ("content-length", "Content-Length", "CONTENT-LENGTH") for value in (5, 17)),
        "content-length: 0",
        "content-length:5",
        "content-length: 5 ",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: 1_0",
        "content-length: 9999999999999999",
        " content-length: 7",
        "x: content-length: 7",
        "host: h",
        "authorization: Bearer a",
        "authorization: Bearer b",
        "x-request-id: one",
        "connection: close",
        "transfer-encoding: chunked",
    ]
)


@given(st.lists(st.lists(LINES, max_size=5), min_size=2, max_size=4))
def test_what_is_known_of_a_head_is_what_reading_it_anew_gives(requests: list[list[str]]) -> None:
    heads = Heads()
    for lines in requests:
        data = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", "host: h", *lines]).encode() + b"\r\n\r\n"
        try:
            fresh = Head(data)
        except Elsewhere:
            with pytest.raises(Elsewhere):
                heads.read(data)
            continue
        known, length = heads.read(data)
        assert (length, known.said, known.request_id) == (fresh.length, fresh.said, fresh.request_id)
        assert (known.stays, known.wire) == (fresh.stays, fresh.wire)
