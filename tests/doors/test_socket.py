"""The WebSocket: who is let in, operations as messages, what is followed, and everything that could be done to it."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import socket as sockets
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.api import entrance
from bastide.api.outbox import STATES_MAX, Outbox
from bastide.app import House
from bastide.store import new_id
from tests.doors.conftest import Company, bearer
from tests.doors.sockets import Closed, Refused, connected
from tests.doors.test_serving import running
from tests.doors.working import Working, tcp, working


def is_job(id: str, *statuses: str) -> Any:
    """Whether a push is about this job, in one of these states."""

    def fits(push: dict[str, Any]) -> bool:
        return push["event"] == "job" and push["job"]["id"] == id and push["job"]["status"] in (statuses or ("done",))

    return fits


# -- who is let in ----------------------------------------------------------------------------------


async def test_the_key_in_the_header(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"], x_request_id="mine.1")) as client:
        assert client.headers["x-request-id"] == "mine.1"
        assert "jobs" in await client.ok("jobs.list", limit=1)


async def test_the_key_in_the_first_message(at_work: Working, us: Company) -> None:
    async with connected(at_work.url) as client:
        await client.say({"authorization": f"Bearer {us.keys['member']}", "x-label": {"class": "secret"}})
        made = await client.ok("jobs.dispatch", type="door.echo", delay_s=3600)
        job = await client.ok("jobs.get", job=made["id"])
        assert job["label"]["class"] == "secret", "the label of the first message holds"
        await client.ok("jobs.cancel", job=made["id"])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": "Bearer bst_" + "0" * 64}, 401, "tenancy.unknown_key"),
        ({"authorization": "Basic abc"}, 401, "tenancy.no_key"),
        ({"authorization": "Bearer nonsense"}, 401, "tenancy.unknown_key"),
    ],
)
async def test_a_bad_key_is_refused_before_the_socket_opens(
    at_work: Working, headers: dict[str, str], status: int, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        async with connected(at_work.url, headers):
            pass
    assert refused.value.status == status
    error = refused.value.body["error"]
    assert (error["code"], bool(error["next"]), bool(error["request_id"])) == (code, True, True)


async def test_foreign_and_malformed_headers(at_work: Working, us: Company, them: Company) -> None:
    for extra, code in (({"x_company_id": them.id}, "tenancy.foreign_company"), ({"x_label": "["}, "policy.bad_label")):
        with pytest.raises(Refused) as refused:
            async with connected(at_work.url, bearer(us.keys["member"], **extra)):
                pass
        assert refused.value.body["error"]["code"] == code


@pytest.mark.parametrize(
    ("first", "code", "error"),
    [
        ({"authorization": "Bearer bst_" + "0" * 64}, 4401, "tenancy.unknown_key"),
        ({"authorization": ""}, 4401, "tenancy.no_key"),
        ({"authorization": 7}, 4401, "tenancy.no_key"),
        ({"id": 1, "op": "jobs.list"}, 4401, "tenancy.no_key"),
        ("[]", 4401, "tenancy.no_key"),
        ("not json", 4401, "tenancy.no_key"),
        ("[" * 100_000, 4401, "tenancy.no_key"),
        (b"\x00\x01", 4401, "tenancy.no_key"),
        ({"authorization": "Bearer bst_1", "cookie": "x"}, 1008, "request.malformed"),
        ({"authorization": "Bearer bst_1", "x-company-id": 3}, 1008, "request.malformed"),
    ],
)
async def test_a_first_message_without_a_key(at_work: Working, first: Any, code: int, error: str) -> None:
    async with connected(at_work.url) as client:
        await client.say(first)
        assert (await client.hear())["error"]["code"] == error
        with pytest.raises(Closed) as closed:
            await client.hear()
    assert closed.value.code == code


async def test_who_says_nothing_is_sent_away(at_work: Working, us: Company) -> None:
    started = time.monotonic()
    async with connected(at_work.url) as client:
        assert (await client.hear())["error"]["code"] == "tenancy.no_key"
        assert (await client.closed()).code == 4401
    assert 4 < time.monotonic() - started < 60


async def test_the_key_is_never_taken_from_the_address(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, path=f"/ws?authorization=Bearer%20{us.keys['member']}") as client:
        await client.say({"id": 1, "op": "jobs.list"})
        assert (await client.closed()).code == 4401


@pytest.mark.parametrize("path", ["/", "/ws/", "/api/v1/jobs", "/ws/../api/v1/me", "/healthz", "/ws%00"])
async def test_there_is_one_address(at_work: Working, us: Company, path: str) -> None:
    for headers, known in (({}, False), (bearer(us.keys["member"]), True)):
        with pytest.raises(Refused) as refused:
            async with connected(at_work.url, headers, path=path):
                pass
        expected = {404, 400} if known else {401, 400}
        assert refused.value.status in expected, (path, refused.value)


async def test_a_key_that_is_disabled_closes_its_sockets(
    at_work: Working, us: Company, house: House, platform_key: str
) -> None:
    operator = await house.tenancy.authenticate(platform_key)
    key = await house.tenancy.create_key(operator, tenant=us.id, role="member")
    async with connected(at_work.url, bearer(key.key)) as client, connected(at_work.url, bearer(key.key)) as second:
        made = await client.ok("jobs.dispatch", type="door.listen")
        await client.ok("subscribe", jobs=[made["id"]])
        await house.tenancy.disable_key(operator, key.about.id, tenant=us.id)
        started = time.monotonic()
        ends = await asyncio.gather(client.closed(), second.closed())
    assert {(end.code, end.reason) for end in ends} == {(4401, "tenancy.disabled_key")}
    assert time.monotonic() - started < 60
    async with connected(at_work.url, bearer(us.keys["administrator"])) as client:
        reply = await client.ask("jobs.cancel", job=made["id"])
        assert "ok" in reply or reply["error"]["code"] == "workflows.job_ended", "it ends with its key, by itself or so"


# -- operations -------------------------------------------------------------------------------------


async def test_a_job_from_dispatch_to_its_end(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        made = await client.ok(
            "jobs.dispatch", type="door.echo", input={"text": "bell", "seconds": 0.3, "times": 3}, priority=5
        )
        assert made["fresh"] is True
        assert (await client.ok("subscribe", jobs=[made["id"]]))["jobs"] == 1
        done = await client.push(is_job(made["id"]))
        assert done["job"]["output"] == {"text": "bell"}
        assert (await client.ok("jobs.timeline", job=made["id"]))["timeline"]
        listener = await client.ok("jobs.dispatch", type="door.listen")
        await client.ok("subscribe", jobs=[listener["id"]])
        await client.push(is_job(listener["id"], "waiting"))
        await client.ok("jobs.signal", job=listener["id"], name="go", payload=[1])
        assert (await client.push(is_job(listener["id"])))["job"]["output"] == {"heard": [1]}


async def test_every_operation_is_one_of_http(at_work: Working, us: Company, doors: httpx2.AsyncClient) -> None:
    async with connected(at_work.url, bearer(us.keys["administrator"])) as client:
        for op, path in (
            ("job-types.list", "/api/v1/job-types"),
            ("lanes.list", "/api/v1/lanes"),
            ("approvals.list", "/api/v1/approvals"),
            ("oversight-rules.list", "/api/v1/oversight-rules"),
            ("schedules.list", "/api/v1/schedules"),
            ("triggers.list", "/api/v1/triggers"),
        ):
            by_http = await doors.get(path, headers=bearer(us.keys["administrator"]))
            assert await client.ok(op) == by_http.json(), op
        type = await client.ok("job-types.get", type="door.echo")
        assert type["name"] == "door.echo"
        refused = await client.refused("work.pause", type="*")
        assert refused["code"] == "tenancy.forbidden"


async def test_replies_carry_the_messages_id(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"], x_request_id="conn")) as client:
        for number in ("a", "ü", 0, -1, None):
            await client.say({"id": number, "op": "nonsense"})
            reply = await client.hear()
            assert reply["id"] == number
            assert reply["error"]["code"] == "request.no_such_operation"
            assert reply["error"]["request_id"].startswith("conn.")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not json", "request.malformed"),
        ("[]", "request.malformed"),
        ('"jobs.list"', "request.malformed"),
        ("{}", "request.no_such_operation"),
        ('{"op": null}', "request.no_such_operation"),
        ('{"op": ["jobs.list"]}', "request.no_such_operation"),
        ('{"op": "__class__"}', "request.no_such_operation"),
        ('{"op": "jobs.list", "id": {"a": 1}}', "request.malformed"),
        ('{"op": "jobs.list", "id": true}', "request.malformed"),
        ('{"op": "jobs.list", "limit": 0}', "request.fields_wrong"),
        ('{"op": "jobs.list", "limt": 5}', "request.fields_wrong"),
        ('{"op": "jobs.list", "limit": NaN}', "request.malformed"),
        ('{"op": "jobs.get"}', "request.fields_wrong"),
        ('{"op": "jobs.get", "job": 7}', "request.fields_wrong"),
        ('{"op": "jobs.get", "job": "nonsense"}', "workflows.unknown_job"),
        ('{"op": "jobs.get", "job": "a\\u0000b"}', "request.malformed"),
        ('{"op": "jobs.get", "job": "\\ud800"}', "request.malformed"),
        ('{"op": "jobs.dispatch", "type": "nonsense"}', "workflows.unknown_type"),
        ('{"op": "jobs.dispatch", "type": "door.echo", "input": {"x": 1}}', "workflows.bad_input"),
        ('{"op": "approvals.list"}', "tenancy.forbidden"),
        ('{"op": "subscribe", "jobs": "job_1"}', "request.fields_wrong"),
        ('{"op": "subscribe", "types": ["nonsense"]}', "workflows.unknown_type"),
        ('{"op": "subscribe", "approvals": true}', "tenancy.forbidden"),
        ('{"op": "subscribe", "everything": true}', "request.fields_wrong"),
        ('{"op":' * 90 + "1" + "}" * 90, "request.malformed"),
    ],
)
async def test_a_bad_message_is_one_clear_error(at_work: Working, us: Company, message: str, code: str) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        await client.say(message)
        error = (await client.hear())["error"]
        assert (error["code"], error["message"].endswith((".", "?")), bool(error["next"])) == (code, True, True), error
        assert "jobs" in await client.ok("jobs.list"), "the socket goes on"


# -- who sees what ----------------------------------------------------------------------------------


async def test_a_neighbour_follows_nothing_of_ours(at_work: Working, us: Company, them: Company) -> None:
    async with (
        connected(at_work.url, bearer(us.keys["member"])) as ours,
        connected(at_work.url, bearer(them.keys["administrator"])) as theirs,
        connected(at_work.url, bearer(us.keys["nobody"])) as nobody,
    ):
        made = await ours.ok("jobs.dispatch", type="door.listen")
        await theirs.ok("subscribe", types=["*"], approvals=True)
        for fields in ({"jobs": [made["id"]]}, {"jobs": [made["id"], new_id("job")]}):
            assert (await theirs.refused("subscribe", **fields))["code"] == "workflows.unknown_job"
        for op in ("jobs.get", "jobs.timeline", "jobs.cancel", "jobs.retry"):
            assert (await theirs.refused(op, job=made["id"]))["code"] == "workflows.unknown_job"
            assert (await nobody.refused(op, job=made["id"]))["code"] == "tenancy.forbidden"
        assert (await nobody.refused("subscribe", types=["*"]))["code"] == "tenancy.forbidden"
        await ours.ok("subscribe", jobs=[made["id"]])
        await ours.ok("jobs.signal", job=made["id"], name="go")
        await ours.push(is_job(made["id"]))
        own = await theirs.ok("jobs.dispatch", type="door.echo", input={"text": secrets.token_hex(4)})
        while True:
            push = await theirs.push(lambda one: True)
            assert made["id"] not in json.dumps(push)
            if is_job(own["id"])(push):
                break


async def test_members_follow_their_own_and_overseers_all(
    at_work: Working, us: Company, house: House, platform_key: str
) -> None:
    operator = await house.tenancy.authenticate(platform_key)
    other = (await house.tenancy.create_key(operator, tenant=us.id, role="member")).key
    async with (
        connected(at_work.url, bearer(us.keys["member"])) as member,
        connected(at_work.url, bearer(us.keys["overseer"])) as overseer,
        connected(at_work.url, bearer(other)) as colleague,
    ):
        await overseer.ok("subscribe", types=["door.echo"])
        await colleague.ok("subscribe", types=["*"])
        made = await member.ok("jobs.dispatch", type="door.echo", input={"text": "seen"})
        assert (await overseer.push(is_job(made["id"])))["job"]["output"] == {"text": "seen"}
        own = await colleague.ok("jobs.dispatch", type="door.echo")
        while True:
            push = await colleague.push(lambda one: True)
            assert push["job"]["id"] != made["id"]
            if is_job(own["id"])(push):
                break


async def test_an_approval_comes_and_is_decided(at_work: Working, us: Company) -> None:
    async with (
        connected(at_work.url, bearer(us.keys["member"])) as member,
        connected(at_work.url, bearer(us.keys["overseer"])) as overseer,
    ):
        await overseer.ok("subscribe", approvals=True)
        made = await member.ok("jobs.dispatch", type="door.letter", input={"to": "ws@example.org"})
        await member.ok("subscribe", jobs=[made["id"]])
        push = await overseer.push(lambda one: one["event"] == "approval" and one["approval"]["job"] == made["id"])
        id = push["approval"]["id"]
        assert push["approval"]["arguments"] is None, "to see what is proposed is recorded, so it is not pushed"
        waiting = await member.push(is_job(made["id"], "waiting"))
        assert id in waiting["job"]["waits_for"]
        seen = await overseer.ok("approvals.get", approval=id)
        assert seen["arguments"]["to"] == "ws@example.org"
        done = await overseer.ok("approvals.approve", approval=id, digest=seen["digest"])
        assert done["status"] == "approved"
        await overseer.push(lambda one: one.get("approval", {}).get("status") == "approved")
        assert (await member.push(is_job(made["id"])))["job"]["output"] == {"sent": True}


async def test_what_is_no_longer_followed_is_not_pushed(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        first = await client.ok("jobs.dispatch", type="door.listen")
        second = await client.ok("jobs.dispatch", type="door.listen")
        ids = [first["id"], second["id"]]
        assert (await client.ok("subscribe", jobs=ids))["jobs"] == 2
        waiting = set()
        while waiting != set(ids):
            push = await client.push(lambda one: one["job"]["status"] == "waiting")
            waiting.add(push["job"]["id"])
        assert (await client.ok("unsubscribe", jobs=[first["id"], "unknown"]))["jobs"] == 1
        for id in ids:
            await client.ok("jobs.signal", job=id, name="go")
        while True:
            push = await client.push(lambda one: True)
            assert push["job"]["id"] == second["id"]
            if push["job"]["status"] == "done":
                break


# -- what could be done to it -----------------------------------------------------------------------


async def test_a_message_over_the_limit(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        await client.say(json.dumps({"id": 1, "op": "jobs.list", "x": "y" * (2 * 1024 * 1024)}))
        assert (await client.closed()).code == 1009
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        text = "é" * (600 * 1024)  # bytes count, not letters
        await client.say(json.dumps({"id": 1, "op": text}, ensure_ascii=False))
        assert (await client.closed()).code == 1009


async def test_bytes_are_not_taken(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        await client.say(b'{"id": 1, "op": "jobs.list"}')
        assert (await client.hear())["error"]["code"] == "request.malformed"
        assert (await client.closed()).code == 1008


async def test_ten_thousand_subscriptions(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        many = [new_id("job") for _ in range(10_000)]
        assert (await client.refused("subscribe", jobs=many))["code"] == "request.fields_wrong"
        assert (await client.refused("subscribe", jobs=many[:1000]))["code"] == "workflows.unknown_job"
        assert (await client.refused("subscribe", types=["*"] * 10_000))["code"] == "request.fields_wrong"
        made = [(await client.ok("jobs.dispatch", type="door.echo", delay_s=3600))["id"] for _ in range(3)]
        for _ in range(300):
            assert (await client.ok("subscribe", jobs=made))["jobs"] == 3, "the same again is the same"
        for id in made:
            await client.ok("jobs.cancel", job=id)


async def test_a_flood_of_messages_is_answered_in_full(at_work: Working, us: Company) -> None:
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        for number in range(300):
            await client.say({"id": number, "op": "jobs.get", "job": "nonsense"})
        replies = [await client.hear() for _ in range(300)]
        assert sorted(reply["id"] for reply in replies) == list(range(300))


async def test_who_does_not_read_is_no_burden(house: House, at_work: Working, us: Company) -> None:
    headers = bearer(us.keys["administrator"])
    async with connected(at_work.url, headers) as client:
        large = await client.ok("jobs.dispatch", type="door.echo", input={"text": "x" * 900_000})
        await client.ok("subscribe", jobs=[large["id"]])
        assert (await client.push(is_job(large["id"])))["job"]["left_out"] == ["output"], "it is fetched, not pushed"
    async with working(house, work=False) as brief, connected(brief.url, headers) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of asyncio's transports
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for sent in range(20_000):
                await client.say(json.dumps({"id": sent, "op": "jobs.get", "job": large["id"]}) + " " * 20_000)

        flooding, before = asyncio.create_task(flood()), -1
        while sent > before:
            before = sent
            await asyncio.sleep(1.5)
        assert not flooding.done(), "the server stops listening to who does not read"
        started = time.monotonic()
        async with httpx2.AsyncClient(base_url=brief.url, trust_env=False) as web:
            for _ in range(20):
                assert (await web.get("/healthz")).status_code == 200
        assert time.monotonic() - started < 60, "others are served"
        started = time.monotonic()
        await brief.close()
        assert time.monotonic() - started < 60, "and it does not hold up a stop"
        flooding.cancel()
        client.writer.transport.abort()


async def test_an_unfinished_handshake_holds_up_nobody(at_work: Working, us: Company) -> None:
    half = []
    for _ in range(20):
        one = tcp(at_work.url)
        one.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
        half.append(one)
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        assert "jobs" in await client.ok("jobs.list", limit=1)
    for one in half:
        one.close()


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 64,  # reserved bits and an unknown opcode
        b"\x81\x05hello",  # not masked
        b"\x81\xff" + b"\xff" * 8 + b"abcd",  # of 2^64 bytes
        b"\x09\x80abcd",  # a ping in pieces
        b"\x81\x82abcd" + bytes([0xFF ^ ord("a"), 0xFE ^ ord("b")]),  # not UTF-8
        b"",  # gone in the middle
    ],
)
async def test_frames_that_are_none(at_work: Working, us: Company, frame: bytes) -> None:
    one = tcp(at_work.url)
    nonce = base64.b64encode(secrets.token_bytes(16)).decode()
    head = (
        f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nAuthorization: Bearer {us.keys['member']}\r\n\r\n"
    )
    await asyncio.to_thread(one.sendall, head.encode())
    assert (await asyncio.to_thread(one.recv, 4096)).startswith(b"HTTP/1.1 101")
    await asyncio.to_thread(one.sendall, frame)
    if not frame:
        one.shutdown(sockets.SHUT_WR)
    one.settimeout(30)

    def rest() -> None:
        while one.recv(4096):
            pass

    if frame[:2] != b"\x81\xff":  # the long one would still have to come
        await asyncio.to_thread(rest)
    one.close()
    async with connected(at_work.url, bearer(us.keys["member"])) as client:
        assert "jobs" in await client.ok("jobs.list", limit=1)


async def test_strangers_are_not_let_in_without_end(
    at_work: Working, us: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "_FIRST_WORD_S", 120.0)  # none is sent away while the others come
    async with AsyncExitStack() as open:
        silent = [await open.enter_async_context(connected(at_work.url)) for _ in range(200)]
        with pytest.raises(Refused) as refused:
            async with connected(at_work.url):
                pass
        assert (refused.value.status, refused.value.body["error"]["code"]) == (429, "request.too_many")
        async with connected(at_work.url, bearer(us.keys["member"])) as client:
            assert "jobs" in await client.ok("jobs.list", limit=1), "who has a key is not kept out"
        assert not any(one.reader.at_eof() for one in silent)


async def test_a_graceful_stop_says_goodbye(house: House, us: Company) -> None:
    async with working(house, work=False) as brief, connected(brief.url, bearer(us.keys["member"])) as client:
        made = await client.ok("jobs.dispatch", type="door.echo", delay_s=3600)
        await client.ok("subscribe", jobs=[made["id"]], types=["*"])
        async with httpx2.AsyncClient(base_url=brief.url, trust_env=False) as web:
            path = f"/api/v1/jobs/{made['id']}/events"
            async with web.stream("GET", path, headers=bearer(us.keys["member"])) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "event: job"
                started = time.monotonic()
                await brief.close()
                rest = [line async for line in lines]
                assert "event: error" in rest
                assert any("app.stopping" in line for line in rest)
        end = await client.closed()
        assert (end.code, end.reason) == (1001, "app.stopping")
        assert time.monotonic() - started < 60
        await brief.workflows.cancel(await house.tenancy.authenticate(us.keys["member"]), made["id"])


async def test_a_server_that_is_asked_to_stop_closes_its_sockets(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running("up", "--no-examples", "--port", "0", home=home) as (process, line):
        key = (home / "secrets" / "admin-key").read_text().strip()
        async with connected(line["url"], bearer(key)) as client:
            made = await client.ok("jobs.dispatch", type="summarise", input={"text": "The bell rang."}, delay_s=3600)
            assert (await client.ok("subscribe", types=["*"], approvals=True))["types"] == ["*"]
            await client.push(is_job(made["id"], "delayed"))
            process.send_signal(signal.SIGTERM)
            assert (await client.closed()).code == 1001
        assert await asyncio.to_thread(process.wait, 40) == 0


# -- the outbox -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1000)), max_size=200))
def test_of_each_thing_only_the_latest_state_waits(changes: list[tuple[int, int]]) -> None:
    async def sent() -> list[dict[str, Any]]:
        outbox = Outbox()
        for of, value in changes:
            outbox.state(str(of), {"of": of, "value": value})
        return [json.loads(await outbox.next()) for _ in range(len({of for of, _ in changes}))]

    found = asyncio.run(sent())
    assert {one["of"]: one["value"] for one in found} == dict(changes)
    assert len(found) == len(dict(changes))


async def test_more_things_than_fit_are_left_out_and_said() -> None:
    outbox = Outbox()
    for number in range(STATES_MAX + 7):
        outbox.state(str(number), {"event": "job", "number": number})
    told = json.loads(await outbox.next())
    assert (told["event"], told["changes"]) == ("left_out", 7)
    numbers = [json.loads(await outbox.next())["number"] for _ in range(STATES_MAX)]
    assert numbers == list(range(7, STATES_MAX + 7)), "the oldest are left out"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.next(), 0.05)


async def test_states_are_bounded_by_their_size_too() -> None:
    outbox = Outbox()
    for number in range(200):
        outbox.state(str(number), {"event": "job", "number": number, "text": "x" * 60_000})
    told = json.loads(await outbox.next())
    assert told["changes"] == 200 - 4 * 1024 * 1024 // 60_042
    assert json.loads(await outbox.next())["number"] == told["changes"]


async def test_a_large_state_goes_without_its_contents() -> None:
    outbox = Outbox()
    outbox.state("a", {"event": "job", "job": {"id": "job_1", "status": "done", "output": "x" * 200_000}})
    told = json.loads(await outbox.next())
    assert told["job"] == {"id": "job_1", "status": "done", "left_out": ["output"]}


async def test_replies_wait_for_room() -> None:
    outbox = Outbox()

    async def fill() -> None:
        for number in range(100):
            await outbox.reply({"id": number})

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.05)
    assert not filling.done()
    assert [json.loads(await outbox.next())["id"] for _ in range(100)] == list(range(100))
    await filling
