"""Lines: the fast way out keeps every promise of the slow one, against real servers on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bastide.egress import Egress, Exchange, Patience, TlsEvidence
from bastide.errors import (
    AddressRefused,
    AirGapClosed,
    BastideError,
    BrokenReply,
    PermitRefused,
    PinMismatch,
    RedirectRefused,
    ReplyTooLarge,
    RequestRefused,
    TlsRefused,
    TooSlow,
    Unreachable,
)
from bastide.settings import EgressSettings

from .conftest import Answer, Authority, always, http, serving
from .test_egress import local, names, outside

QUICK = Patience(connect_s=1.0, first_s=0.3, idle_s=0.3, total_s=5.0)
SURE = Patience(connect_s=60.0, first_s=60.0, idle_s=60.0, total_s=120.0)  # where time is not the question


class Heard:
    """A listener that remembers, and says when it is over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.evidence: TlsEvidence | None = None
        self.pieces: list[bytes] = []
        self.fault: BastideError | None = None
        self.done = asyncio.Event()
        self.begun = asyncio.Event()

    def on_head(self, status: int, headers: Mapping[str, str], evidence: TlsEvidence) -> None:
        assert not self.begun.is_set(), "one head"
        self.status, self.headers, self.evidence = status, headers, evidence
        self.begun.set()

    def on_piece(self, piece: bytes) -> None:
        assert self.begun.is_set(), "a head comes first"
        assert not self.done.is_set(), "nothing comes after the end"
        self.pieces.append(piece)

    def on_end(self) -> None:
        assert not self.done.is_set(), "one end"
        self.done.set()

    def on_fault(self, fault: BastideError) -> None:
        assert not self.done.is_set(), "one end"
        self.fault = fault
        self.done.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Egress]:
    settings = options.pop("settings", EgressSettings())
    egress = Egress(settings, **options)
    try:
        yield egress
    finally:
        await egress.stop()


def begin(egress: Egress, decision: Any, patience: Patience = SURE, body: bytes = b"{}") -> tuple[Heard, Exchange]:
    line = egress.line(egress.permit(decision))
    heard = Heard()
    return heard, line.send(line.head("POST", "/v1/chat", {"content-type": "application/json"}), body, heard, patience)


async def asked(egress: Egress, decision: Any, patience: Patience = SURE, body: bytes = b"{}") -> Heard:
    heard, _ = begin(egress, decision, patience, body)
    async with asyncio.timeout(60):
        await heard.done.wait()
    return heard


async def test_a_request_goes_out_whole_and_its_answer_comes_back() -> None:
    async with serving(always(http("200 OK", b'{"a":1}', "X-Kind: plain"))) as server, opened() as egress:
        heard = await asked(egress, local(server.port), body=b'{"q":1}')
    assert (heard.status, heard.body, heard.headers["x-kind"]) == (200, b'{"a":1}', "plain")
    assert heard.evidence == TlsEvidence("127.0.0.1", server.port)
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat HTTP/1.1\r\n")
    assert body == b'{"q":1}'
    assert f"host: 127.0.0.1:{server.port}".encode() in head
    assert b"content-length: 7" in head


async def test_a_connection_is_kept_and_used_again() -> None:
    async with serving(always(http("200 OK", b"x"))) as server, opened() as egress:
        for _ in range(5):
            assert (await asked(egress, local(server.port))).body == b"x"
        many = await asyncio.gather(*(asked(egress, local(server.port)) for _ in range(20)))
    assert all(one.body == b"x" for one in many)
    assert server.connections <= 20


@pytest.mark.parametrize("seed", range(4))
async def test_however_the_bytes_are_cut_the_answer_is_the_same(seed: int) -> None:
    chance = random.Random(seed)
    text = bytes(chance.randrange(256) for _ in range(3000))
    chunks, left = b"", text
    while left:
        size = chance.randint(1, 400)
        part, left = left[:size], left[size:]
        chunks += b"%x\r\n%b\r\n" % (len(part), part)
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    async def answer(_reader: Any, writer: asyncio.StreamWriter, _head: bytes) -> None:
        left = raw
        while left:
            size = chance.randint(1, 700)
            writer.write(left[:size])
            left = left[size:]
            await asyncio.sleep(0)
        await writer.drain()

    async with serving(answer) as server, opened() as egress:
        assert (await asked(egress, local(server.port))).body == text
        assert (await asked(egress, local(server.port))).body == text
    assert server.connections == 1


async def test_an_interim_answer_is_no_answer() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + http("200 OK", b"real")
    async with serving(always(raw)) as server, opened() as egress:
        heard = await asked(egress, local(server.port))
    assert (heard.status, heard.body) == (200, b"real")


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    async def answer(_reader: Any, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()
        writer.close()

    async with serving(answer) as server, opened() as egress:
        heard = await asked(egress, local(server.port))
    assert (heard.body, heard.fault) == (b"all of it", None)


def cut(raw: bytes) -> Answer:
    async def answer(_reader: Any, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", BrokenReply),
        (b"nonsense\r\n\r\n", BrokenReply),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", BrokenReply),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf", BrokenReply),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf", BrokenReply),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n",
            BrokenReply,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf", BrokenReply),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", BrokenReply),
        (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n", RedirectRefused),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", BrokenReply),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, ReplyTooLarge),
    ],
)
async def test_what_is_no_answer_is_a_fault_of_its_own(raw: bytes, fault: type[BastideError]) -> None:
    async with serving(cut(raw)) as server, opened() as egress:
        heard = await asked(egress, local(server.port), replace(SURE, body_bytes_max=1000))
    assert isinstance(heard.fault, fault)


async def test_more_than_was_asked_for_never_becomes_the_next_answer() -> None:
    two = http("200 OK", b"mine") + http("200 OK", b"of somebody else")
    async with serving(always(two)) as server, opened() as egress:
        first = await asked(egress, local(server.port))
        await asyncio.sleep(0.05)
        second = await asked(egress, local(server.port))
    assert b"somebody" not in first.body + second.body


@pytest.mark.parametrize(
    ("begun", "said"), [(b"", "did not begin"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "stalled")]
)
async def test_a_server_that_says_no_more_is_too_slow(begun: bytes, said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(begun)
        await reader.read()

    async with serving(answer) as server, opened() as egress:
        heard = await asked(egress, local(server.port), QUICK)
    assert isinstance(heard.fault, TooSlow)
    assert said in heard.fault.message


async def test_a_stream_that_lives_may_take_longer_than_one_pause_but_not_for_ever() -> None:
    async def answer(_reader: Any, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\n.\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(answer) as server, opened() as egress:
        heard = await asked(egress, local(server.port), replace(QUICK, total_s=0.9))
    assert isinstance(heard.fault, TooSlow)
    assert len(heard.body) > 8


async def test_a_cancelled_exchange_closes_its_connection_and_says_nothing_more() -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n")
        await writer.drain()
        if not await reader.read(1):
            gone.set()

    async with serving(answer) as server, opened() as egress:
        heard, exchange = begin(egress, local(server.port))
        await heard.begun.wait()
        exchange.cancel()
        async with asyncio.timeout(60):
            await gone.wait()
        assert not heard.done.is_set()


async def test_a_held_exchange_reads_no_further() -> None:
    sent = 0

    async def answer(_reader: Any, writer: asyncio.StreamWriter, _head: bytes) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
        for _ in range(300):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 1

    async with serving(answer) as server, opened() as egress:
        heard, exchange = begin(egress, local(server.port), replace(QUICK, total_s=20.0))
        await heard.begun.wait()
        exchange.pause()
        await asyncio.sleep(0.6)
        held = sent
        assert held < 300, "the server is held back, and being held is not being late"
        exchange.resume()
        async with asyncio.timeout(60):
            await heard.done.wait()
    assert len(heard.body) == 30_000_000
    assert heard.fault is None


async def test_nobody_listens() -> None:
    async with serving(always(b"")) as server:
        port = server.port
    async with opened() as egress:
        assert isinstance((await asked(egress, local(port))).fault, Unreachable)


async def test_inside_addresses_are_refused_to_outside_endpoints_and_the_gap_to_all() -> None:
    async with opened(resolver=names("10.0.0.7")) as egress:
        assert isinstance((await asked(egress, outside())).fault, AddressRefused)
    resolver = names("9.9.9.9")
    async with opened(settings=EgressSettings(air_gap=True), resolver=resolver) as egress:
        assert isinstance((await asked(egress, outside())).fault, AirGapClosed)
    assert resolver.asked == []


def mapped(port: int) -> Any:
    async def connect(factory: Any, _address: str, _port: int, **options: Any) -> Any:
        return await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port, **options)

    return connect


async def test_the_certificate_that_answered_is_the_evidence_and_pins_are_kept(authority: Authority) -> None:
    tls = authority.server_context("api.example.com")
    settings = EgressSettings(ca_file=authority.ca_file)
    async with serving(always(http("200 OK", b"x")), tls=tls) as server:
        outer = {"settings": settings, "resolver": names("9.9.9.9"), "connect": mapped(server.port)}
        async with opened(**outer) as egress:
            heard = await asked(egress, outside())
            assert heard.evidence is not None
            assert heard.evidence.ip == "9.9.9.9"
            assert heard.evidence.protocol == "TLSv1.3"
            pem = (authority.folder / "api.example.com-1.pem").read_text()
            shown = pem[pem.index("-----BEGIN CERTIFICATE") :]
            assert heard.evidence.cert_sha256 == hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()
            seen = len(server.seen)
            line = egress.line(egress.permit(outside(), pins=["0" * 64]))
            pinned = Heard()
            line.send(line.head("POST", "/", {}), b"secret", pinned, SURE)
            await pinned.done.wait()
            assert isinstance(pinned.fault, PinMismatch)
            assert len(server.seen) == seen, "not a byte was sent"
        async with opened(resolver=names("9.9.9.9"), connect=mapped(server.port)) as egress:
            assert isinstance((await asked(egress, outside())).fault, TlsRefused)


async def test_a_permit_runs_out_between_two_requests() -> None:
    now = datetime.now(UTC)
    async with serving(always(http("200 OK", b"x"))) as server, opened(clock=lambda: now) as egress:
        decision = replace(local(server.port), expires_at=now + timedelta(seconds=30))
        line = egress.line(egress.permit(decision))
        head = line.head("POST", "/", {})
        first = Heard()
        line.send(head, b"", first, SURE)
        await first.done.wait()
        now += timedelta(seconds=31)
        with pytest.raises(PermitRefused):
            line.send(head, b"", Heard(), SURE)
        forged = replace(line.permit, host="elsewhere")
        with pytest.raises(PermitRefused):
            egress.line(forged)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nx: y", {}),
        ("a", {}),
        ("/", {"host": "elsewhere"}),
        ("/", {"content-length": "0"}),
        ("/", {"transfer-encoding": "chunked"}),
        ("/", {"x": "a\r\nhost: elsewhere"}),
        ("/", {"x y": "z"}),
    ],
)
async def test_a_head_says_nothing_that_belongs_to_the_connection(path: str, headers: dict[str, str]) -> None:
    async with opened() as egress:
        line = egress.line(egress.permit(local(9)))
        with pytest.raises(RequestRefused):
            line.head("POST", path, headers)
