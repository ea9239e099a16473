"""Permits and connections, against real servers on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import ssl
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from bastide.egress import Egress, Permit, local_client
from bastide.errors import (
    AddressRefused,
    AirGapClosed,
    BadSetting,
    BastideError,
    BrokenReply,
    NameUnknown,
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

from .conftest import Authority, MappingDial, always, http, serving

SOON = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    """As much of a policy endpoint as egress reads."""

    url: str
    kind: str = "local"
    id: str = "test/endpoint"


@dataclass(frozen=True)
class Verdict:
    """As much of a policy decision as egress reads."""

    endpoint: Place
    allowed: bool = True
    digest: str = "sha256:d"
    expires_at: datetime = datetime(9999, 1, 1, tzinfo=UTC)


def local(port: int, scheme: str = "http", host: str = "127.0.0.1") -> Any:
    """An allowed decision for a server of this test."""
    return Verdict(Place(f"{scheme}://{host}:{port}/v1"))


def outside(host: str = "api.example.com", scheme: str = "https") -> Any:
    """An allowed decision for somebody else's server."""
    return Verdict(Place(f"{scheme}://{host}/v1", kind="api"))


def names(*addresses: str) -> Any:
    """A resolver that gives these addresses for every name and counts how often it is asked."""

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses

    asked: list[str] = []
    resolver.asked = asked  # type: ignore[attr-defined]
    return resolver


async def get(egress: Egress, decision: Any, path: str = "/", **options: Any) -> Any:
    """One exchange."""
    async with egress.open(egress.permit(decision)) as client:
        return await client.request("GET", path, **options)


# -- permits ----------------------------------------------------------------------------------------


def test_a_permit_names_exactly_scheme_host_and_port() -> None:
    permit = Egress(EgressSettings()).permit(outside("API.Example.com"))
    assert (permit.scheme, permit.host, permit.port) == ("https", "api.example.com", 443)
    assert permit.origin == "https://api.example.com:443"
    assert permit.decision_hash.startswith("sha256:")


def test_no_permit_from_a_no() -> None:
    with pytest.raises(PermitRefused):
        Egress(EgressSettings()).permit(replace(outside(), allowed=False))


def test_no_permit_from_an_expired_decision() -> None:
    with pytest.raises(PermitRefused):
        Egress(EgressSettings()).permit(replace(outside(), expires_at=datetime.now(UTC)))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "ftp://api.example.com",
        "https://user:secret@api.example.com",
        "https://",
        "https://api.example.com:99999",
        "https://bücher.example",
        "https://[fe80::1%25eth0]/",
        "//api.example.com",
        "",
        "https://[::1",
    ],
)
def test_no_permit_for_an_address_that_means_something_else(url: str) -> None:
    with pytest.raises(PermitRefused) as refused:
        Egress(EgressSettings()).permit(Verdict(Place(url, kind="api")))  # type: ignore[arg-type]
    assert "secret" not in str(refused.value.to_wire())


async def test_a_permit_made_up_or_changed_opens_nothing() -> None:
    egress = Egress(EgressSettings())
    ours = egress.permit(local(1))
    forged = Permit("http", "127.0.0.1", 1, "e", True, "sha256:x", datetime.now(UTC) + SOON)
    for bad in [forged, replace(ours, port=2), replace(ours, host="localhost"), replace(ours, local=False)]:
        with pytest.raises(PermitRefused):
            async with egress.open(bad):
                pass
    with pytest.raises(PermitRefused):  # another house's permit
        async with Egress(EgressSettings()).open(ours):
            pass


async def test_a_permit_runs_out_between_two_requests() -> None:
    now = datetime.now(UTC)
    moments = [now]
    egress = Egress(EgressSettings(), clock=lambda: moments[-1])
    async with serving(always(http("200 OK", b"{}"))) as server:
        permit = egress.permit(replace(local(server.port), expires_at=now + SOON))
        async with egress.open(permit) as client:
            assert (await client.request("GET", "/")).status == 200
            moments.append(now + SOON)
            with pytest.raises(PermitRefused):
                await client.request("GET", "/")
    assert len(server.seen) == 1
    await egress.stop()


# -- exchanges --------------------------------------------------------------------------------------


async def test_a_whole_exchange() -> None:
    egress = Egress(EgressSettings())
    async with serving(always(http("201 Created", b'{"a": 1}', "X-One: 1"))) as server:
        async with egress.open(egress.permit(local(server.port))) as client:
            reply = await client.request("POST", "/v1/x?y=1", json={"q": "é"}, headers={"Authorization": "Bearer k"})
        assert (reply.status, reply.json(), reply.headers["x-one"]) == (201, {"a": 1}, "1")
        assert reply.tls is not None
        assert (reply.tls.ip, reply.tls.port, reply.tls.cert_sha256) == ("127.0.0.1", server.port, "")
        head, _, body = server.seen[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/x?y=1 HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{server.port}".lower().encode() in head.lower()
        assert b"authorization: bearer k" in head.lower()
        assert json.loads(body) == {"q": "é"}
    await egress.stop()


async def test_connections_are_kept_but_cookies_are_not() -> None:
    egress = Egress(EgressSettings())
    async with serving(always(http("200 OK", b"{}", "Set-Cookie: session=neighbour"))) as server:
        for _ in range(3):
            await get(egress, local(server.port))
        assert server.connections == 1
        assert not any(b"neighbour" in seen for seen in server.seen)
    await egress.stop()


async def test_a_stream_arrives_in_pieces_and_in_order() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            writer.write(b"2\r\n%d\n\r\n" % number)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    egress = Egress(EgressSettings())
    async with serving(answer) as server, egress.open(egress.permit(local(server.port))) as client:
        begun, first, pieces = time.monotonic(), 0.0, []
        async with client.stream("GET", "/") as flow:
            assert flow.status == 200
            async for piece in flow:
                first = first or time.monotonic() - begun
                pieces.append(piece)
        assert b"".join(pieces) == b"0\n1\n2\n3\n4\n"
        assert len(pieces) >= 3
        assert first < 0.08
    await egress.stop()


async def test_leaving_a_stream_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await writer.drain()
        await reader.read(1)
        closed.set()

    egress = Egress(EgressSettings())
    async with serving(answer) as server, egress.open(egress.permit(local(server.port))) as client:
        async with client.stream("GET", "/") as flow:
            async for _ in flow:
                break
        await asyncio.wait_for(closed.wait(), 60)
    await egress.stop()


@pytest.mark.parametrize("path", ["v1", "", "/a b", "/a\r\nX: y", "/a\\b", "http://evil.example/", "/é"])
async def test_a_path_that_may_not_be_sent(path: str) -> None:
    with pytest.raises(RequestRefused):
        await get(Egress(EgressSettings()), local(1), path)


async def test_a_path_cannot_change_the_host() -> None:
    egress = Egress(EgressSettings())
    async with serving(always(http("200 OK", b"{}"))) as server:
        for path in ["//evil.example/x", "/@evil.example/", "/x#@evil.example"]:
            assert (await get(egress, local(server.port), path)).status == 200
    await egress.stop()


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil"}, {"Proxy-Authorization": "x"}, {"X": "a\r\nY: b"}, {"Transfer-Encoding": "chunked"}, {"X": "é"}],
)
async def test_headers_of_the_connection_are_not_for_callers(headers: dict[str, str]) -> None:
    with pytest.raises(RequestRefused):
        await get(Egress(EgressSettings()), local(1), headers=headers)


# -- faults of the other side -----------------------------------------------------------------------


@pytest.mark.parametrize("location", ["https://evil.example/secret?token=1", "/elsewhere", "", "::::"])
async def test_redirects_are_refused_and_named(location: str) -> None:
    egress = Egress(EgressSettings())
    async with serving(always(http("307 Temporary Redirect", b"", f"Location: {location}"))) as server:
        with pytest.raises(RedirectRefused) as refused:
            await get(egress, local(server.port))
    assert "token" not in refused.value.message
    await egress.stop()


@pytest.mark.parametrize(
    "reply",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    ],
)
async def test_broken_replies(reply: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    egress = Egress(EgressSettings())
    async with serving(answer) as server:
        with pytest.raises(BrokenReply) as fault:
            await get(egress, local(server.port))
    assert fault.value.next_step
    await egress.stop()


async def test_a_reply_beyond_the_limit() -> None:
    egress = Egress(EgressSettings(reply_bytes_max=1000))
    async with serving(always(http("200 OK", b"x" * 1001))) as server:
        with pytest.raises(ReplyTooLarge):
            await get(egress, local(server.port))
    await egress.stop()


async def test_a_server_that_is_silent_and_one_that_trickles() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
        await reader.read(1)

    async def trickling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    egress = Egress(EgressSettings(idle_timeout_s=0.2, total_timeout_s=0.4))
    for answer in (silent, trickling):
        async with serving(answer) as server:
            begun = time.monotonic()
            with pytest.raises(TooSlow):
                await get(egress, local(server.port))
            assert time.monotonic() - begun < 15
    await egress.stop()


async def test_nobody_listens() -> None:
    async with serving(always(b"")) as server:
        port = server.port
    with pytest.raises(Unreachable) as fault:
        await get(Egress(EgressSettings()), local(port))
    assert fault.value.status == 502


# -- names and addresses ----------------------------------------------------------------------------


async def test_a_name_is_resolved_once_and_the_checked_address_is_dialled() -> None:
    """A rebinding name server that would answer loopback the second time is never asked a second time."""
    turns = iter([("9.9.9.9",), ("127.0.0.1",)])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(turns)

    async with serving(always(http("200 OK", b"{}"))) as server:
        dial = MappingDial(server.port)
        egress = Egress(EgressSettings(connect_timeout_s=0.5), resolver=rebinding, dial=dial)
        with pytest.raises(BastideError):  # plain bytes where TLS was expected; the dialled address is what matters
            await get(egress, outside())
        assert dial.asked == ["9.9.9.9"]
        with pytest.raises(AddressRefused):
            await get(egress, outside())
        assert dial.asked == ["9.9.9.9"]
    await egress.stop()


@pytest.mark.parametrize("answers", [("127.0.0.1",), ("9.9.9.9", "10.0.0.1"), ("169.254.169.254",), ("::1",)])
async def test_an_outside_name_that_leads_inside(answers: tuple[str, ...]) -> None:
    dial = MappingDial(1)
    with pytest.raises(AddressRefused):
        await get(Egress(EgressSettings(), resolver=names(*answers), dial=dial), outside())
    assert dial.asked == []


async def test_a_local_endpoint_on_a_listed_network() -> None:
    async with serving(always(http("200 OK", b"{}"))) as server:
        dial = MappingDial(server.port)
        listed = EgressSettings(allowed_networks=(ip_network("10.20.0.0/16"),))
        egress = Egress(listed, resolver=names("10.20.0.7"), dial=dial)
        reply = await get(egress, local(8000, host="gpu.internal"))
        assert reply.tls.ip == "10.20.0.7"
        with pytest.raises(AddressRefused):
            await get(
                Egress(EgressSettings(), resolver=names("10.20.0.7"), dial=dial), local(8000, host="gpu.internal")
            )
        await egress.stop()


async def test_an_unreachable_first_address_leaves_the_second() -> None:
    async with serving(always(http("200 OK", b"{}"))) as server:
        egress = Egress(EgressSettings(), resolver=names("::1", "127.0.0.1"))
        assert (await get(egress, local(server.port, host="two.example"))).tls.ip == "127.0.0.1"
        await egress.stop()


async def test_a_name_server_that_does_not_answer() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    with pytest.raises(NameUnknown):
        await get(Egress(EgressSettings(connect_timeout_s=0.1), resolver=silent), local(1, host="gpu.example"))


async def test_an_address_of_six_groups_and_more() -> None:
    egress = Egress(EgressSettings())
    async with serving(always(http("200 OK", b"{}")), host="::1") as server:
        reply = await get(egress, local(server.port, host="[::1]"))
    assert reply.tls.ip == "::1"
    assert f"host: [::1]:{server.port}".encode() in server.seen[0].lower()
    await egress.stop()


async def test_a_server_that_forgets_its_connections() -> None:
    """A kept connection that the server has closed meanwhile is not used again."""

    async def closing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(http("200 OK", b"{}"))
        await writer.drain()
        writer.close()

    egress = Egress(EgressSettings())
    async with serving(closing) as server:
        for _ in range(5):
            assert (await get(egress, local(server.port))).status == 200
            await asyncio.sleep(0.02)
    assert server.connections == 5
    await egress.stop()


async def test_noise_becomes_an_error_of_ours() -> None:
    """Whatever bytes come, the caller meets our own errors or a reply, never a library's exception."""
    chance = random.Random(7)
    starts = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HTTP/2 200\r\n\r\n"]
    noise = [chance.choice(starts) + chance.randbytes(chance.randrange(200)) + b"\r\n\r\n" for _ in range(150)]

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(noise.pop())
        await writer.drain()
        writer.close()

    egress, codes = Egress(EgressSettings(total_timeout_s=2)), {"egress"}
    async with serving(answer) as server:
        while noise:
            try:
                assert (await get(egress, local(server.port))).status
            except BastideError as fault:
                codes.add(fault.code.split(".")[0])
    assert codes == {"egress"}
    await egress.stop()


async def test_an_unknown_name() -> None:
    with pytest.raises(NameUnknown):
        await get(Egress(EgressSettings()), local(1, host="no-such-name.invalid"))


async def test_numeric_spellings_of_loopback_are_checked_as_loopback() -> None:
    for host in ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"]:
        with pytest.raises((AddressRefused, NameUnknown, RequestRefused)):
            await get(Egress(EgressSettings()), outside(host))


# -- the air gap ------------------------------------------------------------------------------------


async def test_behind_the_air_gap_loopback_works_and_the_world_is_not_even_resolved() -> None:
    resolver = names("9.9.9.9")
    dial = MappingDial(1)
    egress = Egress(EgressSettings(air_gap=True), resolver=resolver, dial=dial)
    with pytest.raises(AirGapClosed):
        await get(egress, outside())
    with pytest.raises(AirGapClosed):
        await get(egress, outside("9.9.9.9"))
    with pytest.raises(AirGapClosed):
        await get(egress, local(1, host="10.1.2.3"))
    assert resolver.asked == []
    assert dial.asked == []
    async with serving(always(http("200 OK", b"{}"))) as server:
        real = Egress(EgressSettings(air_gap=True))
        assert (await get(real, local(server.port, host="localhost"))).status == 200
        await real.stop()


# -- TLS --------------------------------------------------------------------------------------------


async def test_tls_evidence_is_kept_and_the_name_is_checked(authority: Authority) -> None:
    context = authority.server_context("localhost")
    async with serving(always(http("200 OK", b"{}")), tls=context) as server:
        egress = Egress(EgressSettings(ca_file=authority.ca_file))
        decision = local(server.port, "https", "localhost")
        async with egress.open(egress.permit(decision)) as client:
            assert client.tls is None
            reply = await client.request("GET", "/")
            again = await client.request("GET", "/")
        pem = (authority.folder / "localhost-1.pem").read_text()
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
        assert reply.tls == again.tls == client.tls
        assert reply.tls is not None
        assert reply.tls.cert_sha256 == hashlib.sha256(der).hexdigest()
        assert len(reply.tls.spki_sha256) == 64
        assert reply.tls.issuer == "CN=Test authority"
        assert reply.tls.not_after > datetime.now(UTC).isoformat()
        assert reply.tls.protocol == "TLSv1.3"
        assert reply.tls.to_wire()["ip"] == "127.0.0.1"
        with pytest.raises(TlsRefused):  # the right server under a name its certificate does not carry
            await get(egress, local(server.port, "https", "127.0.0.1"))
        await egress.stop()


async def test_an_outside_endpoint_by_name_with_tls(authority: Authority) -> None:
    """The whole way of a remote provider: name, checked public address, certificate for the name."""
    context = authority.server_context("api.example.com")
    async with serving(always(http("200 OK", b"{}")), tls=context) as server:
        dial = MappingDial(server.port)
        egress = Egress(EgressSettings(ca_file=authority.ca_file), resolver=names("9.9.9.9"), dial=dial)
        reply = await get(egress, outside())
        assert reply.status == 200
        assert (reply.tls.ip, dial.asked) == ("9.9.9.9", ["9.9.9.9"])
        assert b"Host: api.example.com" in server.seen[0].title() or b"host: api.example.com" in server.seen[0].lower()
        await egress.stop()


async def test_certificates_that_are_not_accepted(authority: Authority) -> None:
    async with serving(always(http("200 OK")), tls=authority.server_context("localhost", days=-5)) as server:
        with pytest.raises(TlsRefused, match="expired"):
            await get(Egress(EgressSettings(ca_file=authority.ca_file)), local(server.port, "https", "localhost"))
    async with serving(always(http("200 OK")), tls=authority.server_context("localhost")) as server:
        with pytest.raises(TlsRefused) as refused:  # nobody told this house about the authority
            await get(Egress(EgressSettings()), local(server.port, "https", "localhost"))
    assert "BASTIDE_CA_FILE" in refused.value.next_step


async def test_a_pinned_key_is_checked_before_anything_is_sent(authority: Authority) -> None:
    async with serving(always(http("200 OK", b"{}")), tls=authority.server_context("localhost")) as server:
        egress = Egress(EgressSettings(ca_file=authority.ca_file))
        decision = local(server.port, "https", "localhost")
        async with egress.open(egress.permit(decision, pins=["0" * 64])) as client:
            with pytest.raises(PinMismatch):
                await client.request("POST", "/", json={"secret": 1})
        assert server.seen == []
        evidence = (await get(egress, decision)).tls
        async with egress.open(egress.permit(decision, pins=["0" * 64, evidence.spki_sha256])) as client:
            assert (await client.request("GET", "/")).status == 200
        await egress.stop()


async def test_old_tls_is_refused(authority: Authority) -> None:
    context = authority.server_context("localhost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(always(http("200 OK")), tls=context) as server:
        with pytest.raises(TlsRefused):
            await get(Egress(EgressSettings(ca_file=authority.ca_file)), local(server.port, "https", "localhost"))


async def test_plain_http_where_tls_is_expected() -> None:
    async with serving(always(http("200 OK"))) as server:
        with pytest.raises(BastideError) as fault:
            await get(Egress(EgressSettings(connect_timeout_s=1)), local(server.port, "https", "localhost"))
    assert fault.value.code in {"egress.tls_refused", "egress.unreachable"}


def test_a_bad_authority_file_is_said_at_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for file in [tmp_path / "ca.pem", tmp_path / "missing.pem"]:
        with pytest.raises(BadSetting):
            Egress(EgressSettings(ca_file=file))


async def test_proxies_of_the_environment_are_ignored() -> None:
    """Run in a process of its own, because the environment belongs to the process."""
    script = (
        "import asyncio, sys\n"
        "from bastide.egress import local_client\n"
        "async def main():\n"
        "    async with local_client(sys.argv[1]) as client:\n"
        "        print((await client.request('GET', '/')).status)\n"
        "asyncio.run(main())\n"
    )
    async with serving(always(http("200 OK"))) as server, serving(always(http("502 Bad", b""))) as proxy:
        proxied = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "ALL_PROXY": f"http://127.0.0.1:{proxy.port}"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            f"http://127.0.0.1:{server.port}",
            env={**proxied, "http_proxy": proxied["HTTP_PROXY"]},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert out.strip() == b"200"
    assert proxy.seen == []


# -- our own server ---------------------------------------------------------------------------------


async def test_the_local_client_speaks_to_loopback_only() -> None:
    async with serving(always(http("200 OK", b'{"ok": true}'))) as server:
        for host in ["127.0.0.1", "localhost"]:
            async with local_client(f"http://{host}:{server.port}") as client:
                assert (await client.request("GET", "/healthz")).json() == {"ok": True}
    for url in ["http://example.com", "http://10.0.0.1:8092", "https://127.0.0.1", "http://127.0.0.1.evil.example", ""]:
        with pytest.raises(AddressRefused):
            async with local_client(url):
                pass


async def test_the_local_client_speaks_to_an_application_in_this_process() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
        await send({"type": "http.response.body", "body": body})

    async with local_client(app) as client:
        reply = await client.request("POST", "/api/v1/x", json={"a": 1})
        assert (reply.json(), reply.headers["x-path"], reply.tls) == ({"a": 1}, "/api/v1/x", None)
