"""Models of two tenants, called through policy, egress and audit on the real database."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from tests.rooms.egress.conftest import Authority

from bastide.audit import canonical
from bastide.errors import (
    BadModel,
    BastideError,
    Forbidden,
    KeyRefused,
    ModelExists,
    NoPermittedModel,
    NotLocal,
    PinMismatch,
    StreamBroken,
    TooSlow,
    UnknownModel,
    UnknownRecord,
    Unreachable,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamRefused,
    UpstreamUnknownModel,
    WrongCapability,
)
from bastide.inference import EXTRACTIVE, ChatPiece, ChatRequest, Message, ModelSpec
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Fails, Raw, Says, ScriptedModel

from .conftest import Rooms

LEAST = Label()
KEY = "sk-very-secret-0123456789"
CONFIDENTIAL = Label(cls="confidential", personal="personal")


def question(text: str = "When does the lease end?", model: str | None = None, **raw: Any) -> ChatRequest:
    """A chat of one message."""
    return ChatRequest((Message("user", text),), model=model, raw=raw)


async def add(rooms: Rooms, scope: Scope, server: ScriptedModel, name: str = "ours", **more: Any) -> None:
    """The server as a local model of this tenant."""
    await rooms.inference.add_model(scope, ModelSpec(name, url=server.url, local=True, **more))


async def receipt(rooms: Rooms, scope: Scope, identity: str) -> dict[str, Any]:
    """A receipt as the wire shows it."""
    return dict((await rooms.audit.receipt(scope, identity)).to_wire())


async def acts(rooms: Rooms, scope: Scope) -> list[tuple[str, str]]:
    """What the log says of this tenant, newest first: act and outcome."""
    for _ in range(100):
        if (await rooms.audit.health()).waiting == 0:
            break
        await asyncio.sleep(0.02)
    return [(event.act, event.outcome) for event in (await rooms.audit.events(scope)).items]


async def pieces_of(rooms: Rooms, scope: Scope, request: ChatRequest) -> list[ChatPiece]:
    """A whole stream."""
    return [piece async for piece in rooms.inference.stream_chat(scope, request, label=LEAST)]


# -- a call and its receipt -------------------------------------------------------------------------


async def test_a_chat_is_decided_made_and_recorded(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("In June.", names=("theirs",)) as server:
        await add(rooms, ours, server, key=KEY)
        promised = new_id("rcp")
        reply = await rooms.inference.chat(
            ours, question(model="ours", seed=7, tools=[{"x": 1}]), label=LEAST, receipt_id=promised
        )
    assert (reply.text, reply.model, reply.finish, reply.receipt) == ("In June.", "ours", "stop", promised)
    assert reply.raw["model"] == "ours"
    assert reply.raw["id"] == "chatcmpl-scripted"
    assert (reply.usage.input, reply.usage.output, reply.usage.estimated) == (5, 2, False)
    sent = server.chats[0]
    assert sent.body == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "When does the lease end?"}],
        "seed": 7,
        "tools": [{"x": 1}],
    }
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    found = await receipt(rooms, ours, promised)
    assert found["act"] == "inference"
    assert found["decision"]["allowed"] is True
    assert [rule["id"] for rule in found["decision"]["rules"]] == [f"R{number:02}" for number in range(1, 19)]
    assert found["endpoint"]["id"] == "local/runtime/theirs"
    assert found["endpoint"]["record"].startswith("sha256:")
    assert (found["model"], found["assurance"]) == ("ours", "local-measured")
    assert found["tokens"] == {"input": 5, "output": 2}
    assert found["tls"]["ip"] == "127.0.0.1"
    assert found["proof"]
    assert "June" not in json.dumps(found)
    assert (await acts(rooms, ours))[0] == ("inference", "done")


async def test_without_a_name_the_first_permitted_generator_answers(rooms: Rooms, ours: Scope) -> None:
    assert await rooms.inference.generator(ours, LEAST) is None
    async with ScriptedModel("one") as one, ScriptedModel("two") as two:
        await add(rooms, ours, one, "second", rank=60)
        await add(rooms, ours, two, "first", rank=40)
        reply = await rooms.inference.chat(ours, question(), label=LEAST)
        assert (reply.text, reply.model) == ("two", "first")
        found = await rooms.inference.generator(ours, CONFIDENTIAL)
        assert found is not None
        assert found.name == "first"
        assert await rooms.inference.has_generator(ours, LEAST)


async def test_messages_bring_their_own_labels(rooms: Rooms, ours: Scope, authority: Authority) -> None:
    async with remote(rooms, authority, "api.foreign.example") as server:
        await rooms.inference.add_model(ours, ModelSpec("far", provider="test/foreign", upstream="scripted"))
        plain = ChatRequest((Message("user", "hello"),), model="far")
        assert (await rooms.inference.chat(ours, plain, label=LEAST)).text == "From afar."
        mixed = ChatRequest((Message("system", "a file", label=CONFIDENTIAL), Message("user", "hello")), model="far")
        with pytest.raises(NoPermittedModel) as refused:
            await rooms.inference.chat(ours, mixed, label=LEAST)
    assert "R05" in refused.value.facts["rules"]  # type: ignore[operator]
    assert len(server.chats) == 1


# -- remote providers -------------------------------------------------------------------------------


def remote(rooms: Rooms, authority: Authority, host: str, answer: Any = "From afar.") -> ScriptedModel:
    """A provider's server at `host` in the test's world."""

    class Placed(ScriptedModel):
        async def __aenter__(self) -> Placed:
            await super().__aenter__()
            rooms.world.place(host, self.port)
            return self

    return Placed(answer, tls=authority.server_context(host))


async def test_a_remote_provider_with_evidence(rooms: Rooms, ours: Scope, authority: Authority) -> None:
    async with remote(rooms, authority, "api.good.example") as server:
        model = await rooms.inference.add_model(ours, ModelSpec("good", provider="test/good", key=KEY))
        assert (model.url, model.upstream, model.problem) == ("https://api.good.example/v1", "scripted", "")
        assert "test/good" in (await rooms.policy.settings(ours)).enabled
        reply = await rooms.inference.chat(ours, question(model="good"), label=CONFIDENTIAL)
    assert reply.text == "From afar."
    assert server.chats[0].headers["host"] == "api.good.example"
    found = await receipt(rooms, ours, reply.receipt)
    assert found["endpoint"]["id"] == "test/good/scripted"
    assert found["assurance"] == "contractual"
    assert found["tls"]["ip"].startswith("9.9.9.")
    assert len(found["tls"]["spki_sha256"]) == 64
    assert found["label"]["class"] == "confidential"


async def test_personal_data_does_not_go_to_an_undocumented_provider(rooms: Rooms, ours: Scope) -> None:
    asked = len(rooms.world.asked)
    model = await rooms.inference.add_model(ours, ModelSpec("dark", provider="test/unknown"))
    assert "policy" in model.problem
    for label in (LEAST, CONFIDENTIAL):
        with pytest.raises(NoPermittedModel) as refused:
            await rooms.inference.chat(ours, question(model="dark"), label=label)
        rules = refused.value.facts["rules"]
        assert {"R03", "R09", "R10"} <= set(rules)  # type: ignore[call-overload]
        assert "local/extractive" in refused.value.next_step
        assert refused.value.facts["rejected"]
    assert len(rooms.world.asked) == asked, "not even its name was resolved"
    assert (await acts(rooms, ours))[0] == ("inference.refused", "refused")
    reply = await rooms.inference.chat(ours, question(), label=CONFIDENTIAL)
    assert reply.model == EXTRACTIVE
    rejected = (await receipt(rooms, ours, reply.receipt))["decision"]["rejected"]
    assert rejected[0]["endpoint"] == "test/unknown/dark"


async def test_a_stranger_at_a_pinned_endpoint_gets_nothing_and_ends_in_quarantine(
    rooms: Rooms, ours: Scope, authority: Authority
) -> None:
    async with remote(rooms, authority, "api.pinned.example") as server:
        spec = ModelSpec("pinned", provider="test/pinned", key=KEY, upstream="scripted")
        await rooms.inference.add_model(ours, spec)
        with pytest.raises(PinMismatch):
            await rooms.inference.chat(ours, question(model="pinned"), label=LEAST)
        assert server.asked == []
        with pytest.raises(NoPermittedModel) as refused:
            await rooms.inference.chat(ours, question(model="pinned"), label=LEAST)
    assert "R15" in refused.value.facts["rules"]  # type: ignore[operator]


# -- two tenants ------------------------------------------------------------------------------------


async def test_a_neighbour_sees_no_model_of_ours(rooms: Rooms, ours: Scope, neighbour: Scope) -> None:
    async with ScriptedModel("ours says", names=("x",)) as one, ScriptedModel("theirs says", names=("x",)) as other:
        await add(rooms, ours, one, "same", key=KEY)
        assert [model.name for model in await rooms.inference.models(neighbour) if not model.built_in] == []
        for call in (
            rooms.inference.chat(neighbour, question(model="same"), label=LEAST),
            rooms.inference.embed(neighbour, ["x"], label=LEAST, model="same"),
            rooms.inference.remove_model(neighbour, "same"),
        ):
            with pytest.raises(UnknownModel):
                await call
        await add(rooms, neighbour, other, "same")
        assert (await rooms.inference.chat(neighbour, question(model="same"), label=LEAST)).text == "theirs says"
        assert (await rooms.inference.chat(ours, question(model="same"), label=LEAST)).text == "ours says"
        assert "authorization" not in other.chats[0].headers
        await rooms.inference.remove_model(neighbour, "same")
        assert (await rooms.inference.chat(ours, question(model="same"), label=LEAST)).text == "ours says"


async def test_nobody_may_do_anything(rooms: Rooms, nobody: Scope) -> None:
    for call in (
        rooms.inference.models(nobody),
        rooms.inference.chat(nobody, question(), label=LEAST),
        pieces_of(rooms, nobody, question()),
        rooms.inference.embed(nobody, ["x"], label=LEAST),
        rooms.inference.answer_extractively(nobody, "q", ["p"], label=LEAST),
        rooms.inference.generator(nobody, LEAST),
        rooms.inference.add_model(nobody, ModelSpec("x", url="http://127.0.0.1:1", local=True)),
        rooms.inference.remove_model(nobody, "x"),
    ):
        with pytest.raises(Forbidden):
            await call


async def test_the_key_is_nowhere_to_be_read(rooms: Rooms, ours: Scope) -> None:
    heard = io.StringIO()
    listener = logging.StreamHandler(heard)
    logging.getLogger().addHandler(listener)
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        answers = [Fails(401, f"bad key {KEY}"), Fails(500, f"cannot use {KEY}"), Fails(400, f"no {KEY}"), "fine"]
        async with ScriptedModel(*answers) as server:
            spec = ModelSpec("keyed", url=server.url, local=True, key=KEY)
            model = await rooms.inference.add_model(ours, spec)
            for kind in (KeyRefused, UpstreamFailed, UpstreamRefused):
                with pytest.raises(kind) as fault:
                    await rooms.inference.chat(ours, question(model="keyed"), label=LEAST)
                assert KEY not in str(fault.value.to_wire())
            reply = await rooms.inference.chat(ours, question(model="keyed"), label=LEAST)
    finally:
        logging.getLogger().removeHandler(listener)
        logging.getLogger().setLevel(logging.WARNING)
    listed = await rooms.inference.models(ours)
    shown = [spec, model, listed, reply, heard.getvalue(), await receipt(rooms, ours, reply.receipt)]
    assert KEY not in repr(shown)
    assert next(one for one in listed if one.name == "keyed").has_key
    assert server.chats[0].headers["authorization"] == f"Bearer {KEY}"
    events = await rooms.audit.events(ours)
    assert KEY not in repr(events)


# -- adding models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (ModelSpec("x", url="http://127.0.0.1:1"), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:1", local=True, provider="test/good"), BadModel),
        (ModelSpec("local/x", url="http://127.0.0.1:1", local=True), BadModel),
        (ModelSpec("", url="http://127.0.0.1:1", local=True), BadModel),
        (ModelSpec("a b", url="http://127.0.0.1:1", local=True), BadModel),
        (ModelSpec("x", url="127.0.0.1:1", local=True), BadModel),
        (ModelSpec("x", url="ftp://127.0.0.1", local=True), BadModel),
        (ModelSpec("x", url="http://user:pw@127.0.0.1:1", local=True), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:1/v1?key=1", local=True), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:99999", local=True), BadModel),
        (ModelSpec("x", url="", local=True), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:1", local=True, kind="telepathy"), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:1", local=True, capabilities=("magic",)), BadModel),
        (ModelSpec("x", url="http://127.0.0.1:1", local=True, key="a\nb"), BadModel),
        (ModelSpec("x", url="http://9.9.9.9", local=True), NotLocal),
        (ModelSpec("x", url="http://10.0.0.5:8000", local=True), NotLocal),
        (ModelSpec("x", url="http://169.254.169.254", local=True), NotLocal),
        (ModelSpec("x", url="http://gpu.example:8000", local=True), NotLocal),
        (ModelSpec("x", url="http://127.0.0.1.evil.example", local=True), NotLocal),
        (ModelSpec("x", provider="test/nothing"), UnknownRecord),
        (ModelSpec("x", provider="local/runtime", url="http://127.0.0.1:1"), BadModel),
        (ModelSpec("x", provider="test/good", url="https://api.evil.example/v1"), BadModel),
        (ModelSpec("x", provider="test/good", url="http://api.good.example/v1"), BadModel),
        (ModelSpec("x", provider="test/good", url="https://api.good.example:8443/v1"), BadModel),
    ],
)
async def test_a_model_that_is_not_taken(rooms: Rooms, ours: Scope, spec: ModelSpec, kind: type[BastideError]) -> None:
    with pytest.raises(kind):
        await rooms.inference.add_model(ours, spec)
    assert all(model.built_in for model in await rooms.inference.models(ours))
    assert "test/good" not in (await rooms.policy.settings(ours)).enabled


async def test_names_of_models(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(names=("a", "b")) as two, ScriptedModel(names=("only-embed",)) as one:
        listed = await rooms.inference.add_model(ours, ModelSpec("a", url=two.url, local=True))
        assert (listed.upstream, listed.problem, listed.capabilities) == ("a", "", ("chat",))
        strange = await rooms.inference.add_model(ours, ModelSpec("c", url=two.url, local=True))
        assert strange.upstream == "c"
        assert "a, b" in strange.problem
        single = await rooms.inference.add_model(ours, ModelSpec("mine", url=one.url.removesuffix("/v1"), local=True))
        assert (single.url, single.upstream, single.capabilities) == (one.url, "only-embed", ("embeddings",))
        with pytest.raises(ModelExists):
            await rooms.inference.add_model(ours, ModelSpec("mine", url=one.url, local=True))
    gone = await rooms.inference.add_model(ours, ModelSpec("gone", url=one.url, local=True))
    assert "could not be asked" in gone.problem
    names = [model.name for model in await rooms.inference.models(ours)]
    assert [name for name in names if not name.startswith("local/")] == ["a", "c", "gone", "mine"]
    with pytest.raises(Unreachable):
        await rooms.inference.chat(ours, question(model="gone"), label=LEAST)
    await rooms.inference.remove_model(ours, "gone")
    for name in ("gone", "local/nothing", "x" * 500, "'; drop table inference.model; --"):
        with pytest.raises(UnknownModel):
            await rooms.inference.chat(ours, question(model=name), label=LEAST)
        with pytest.raises(UnknownModel):
            await rooms.inference.remove_model(ours, name)
    with pytest.raises(WrongCapability):
        await rooms.inference.chat(ours, question(model="mine"), label=LEAST)
    with pytest.raises(WrongCapability):
        await rooms.inference.embed(ours, ["x"], label=LEAST, model="a")
    assert ("model.remove", "done") in await acts(rooms, ours)


# -- faults of the model's server -------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
GARBAGE: list[tuple[Any, type[BastideError]]] = [
    (Raw(HEAD + b"<html>hello</html>"), UpstreamGarbage),
    (Raw(HEAD + b"[1, 2]"), UpstreamGarbage),
    (Raw(HEAD + b'{"choices": []}'), UpstreamGarbage),
    (Raw(HEAD + b'{"choices": "x"}'), UpstreamGarbage),
    (Raw(HEAD + b'{"choices": [{"text": "old style"}]}'), UpstreamGarbage),
    (Raw(HEAD + b'{"choices": [{"message": {"content": "x"}, "logprobs": NaN}]}'), UpstreamGarbage),
    (Raw(HEAD + b'{"choices": [{"message": {"content": "cut of'), UpstreamGarbage),
    (Raw(HEAD + b"[" * 100_000), UpstreamGarbage),
    (Raw(HEAD), UpstreamGarbage),
    (Raw(HEAD + b'{"error": {"message": "in disguise"}}'), UpstreamFailed),
    (Raw(b"\x00\xff\x00"), BastideError),
    (Raw(b""), BastideError),
    (Raw(b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"), BastideError),
    (Fails(401), KeyRefused),
    (Fails(403), KeyRefused),
    (Fails(404), UpstreamUnknownModel),
    (Fails(429, headers={"Retry-After": "7"}), UpstreamBusy),
    (Fails(400, "too long"), UpstreamRefused),
    (Fails(422, "what is seed?"), UpstreamRefused),
    (Fails(500), UpstreamFailed),
    (Fails(503), UpstreamFailed),
    (Fails(204), UpstreamGarbage),
    (Says("late", pause_s=9), TooSlow),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_faults_become_ours_and_leave_a_receipt(rooms: Rooms, ours: Scope, stream: bool) -> None:
    for answer, kind in GARBAGE:
        if isinstance(answer, Says) and stream:
            continue
        async with ScriptedModel(answer) as server:
            await add(rooms, ours, server)
            promised = new_id("rcp")
            with pytest.raises(kind) as fault:
                if stream:
                    call = rooms.inference.stream_chat(ours, question(model="ours"), label=LEAST, receipt_id=promised)
                    _ = [piece async for piece in call]
                else:
                    await rooms.inference.chat(ours, question(model="ours"), label=LEAST, receipt_id=promised)
            assert fault.value.next_step
            assert 400 <= fault.value.status < 600
            assert (await receipt(rooms, ours, promised))["id"] == promised
            await rooms.inference.remove_model(ours, "ours")
    assert ("inference", "failed") in await acts(rooms, ours)


async def test_how_long_to_wait_is_passed_on(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Fails(429, headers={"Retry-After": "7"})) as server:
        await add(rooms, ours, server)
        with pytest.raises(UpstreamBusy) as busy:
            await rooms.inference.chat(ours, question(model="ours"), label=LEAST)
    assert busy.value.facts["retry_after_s"] == 7


async def test_half_characters_do_not_break_what_is_sent_on(rooms: Rooms, ours: Scope) -> None:
    body = rb'{"choices": [{"message": {"content": "a\ud800b \u0000 \ud83d\ude00"}}]}'
    async with ScriptedModel(Raw(HEAD + body)) as server:
        await add(rooms, ours, server)
        reply = await rooms.inference.chat(ours, question(model="ours"), label=LEAST)
    assert json.dumps(reply.raw, ensure_ascii=False).encode()
    assert "😀" in reply.text


# -- streams ----------------------------------------------------------------------------------------


async def test_a_stream_comes_in_order_while_it_is_written(rooms: Rooms, ours: Scope) -> None:
    text = " ".join(f"w{number}" for number in range(30))
    async with ScriptedModel(Says(text, pause_s=0.01)) as server:
        await add(rooms, ours, server)
        begun = time.monotonic()
        first = 0.0
        pieces = []
        request = question(model="ours", stream_options={"include_usage": True})
        async for piece in rooms.inference.stream_chat(ours, request, label=LEAST):
            first = first or time.monotonic() - begun
            pieces.append(piece)
        whole = time.monotonic() - begun
    assert "".join(piece.text for piece in pieces) == text
    assert first < whole / 2
    assert pieces[0].receipt.startswith("rcp_")
    assert {piece.receipt for piece in pieces} == {pieces[0].receipt}
    assert [piece.finish for piece in pieces if piece.finish] == ["stop"]
    assert all(piece.raw["model"] == "ours" for piece in pieces)
    assert pieces[-1].raw["usage"]["completion_tokens"] == 30
    found = await receipt(rooms, ours, pieces[0].receipt)
    assert found["tokens"]["output"] == 30
    assert server.chats[0].body["stream"] is True


async def test_a_stream_and_a_whole_answer_commit_to_the_same_words(rooms: Rooms, ours: Scope) -> None:
    """The commitments are keyed per receipt, so they are compared through audit."""
    async with ScriptedModel("the same words") as server:
        await add(rooms, ours, server)
        whole = await rooms.inference.chat(ours, question(model="ours"), label=LEAST)
        pieces = await pieces_of(rooms, ours, question(model="ours"))
    one = await receipt(rooms, ours, whole.receipt)
    other = await receipt(rooms, ours, pieces[0].receipt)
    assert one["output"].startswith("hmac:")
    assert one["output"] != other["output"]
    assert canonical(one["endpoint"]) == canonical(other["endpoint"])


async def test_a_caller_who_leaves_closes_the_stream_and_the_receipt_is_written(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Says("word " * 500, pause_s=0.005)) as server:
        await add(rooms, ours, server)
        promised = new_id("rcp")
        stream = rooms.inference.stream_chat(ours, question(model="ours"), label=LEAST, receipt_id=promised)
        async with aclosing(stream):
            async for _ in stream:
                break
        found = await receipt(rooms, ours, promised)
        assert found["tokens"]["output"] >= 1
        assert (await acts(rooms, ours))[0] == ("inference", "aborted")
        for _ in range(100):
            if server.closed_early:
                break
            await asyncio.sleep(0.02)
        assert server.closed_early == 1


async def test_a_cancelled_call_leaves_its_receipt(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Says("late", pause_s=4)) as server:
        await add(rooms, ours, server)
        promised = new_id("rcp")
        task = asyncio.create_task(rooms.inference.chat(ours, question(model="ours"), label=LEAST, receipt_id=promised))
        while not server.chats:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await receipt(rooms, ours, promised))["id"] == promised
        assert (await acts(rooms, ours))[0] == ("inference", "aborted")


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WORD = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'


@pytest.mark.parametrize(
    "reply",
    [
        SSE,
        SSE + WORD,
        SSE + WORD + b"data: not json\n\n",
        SSE + WORD + b"data: [1]\n\n",
        SSE + WORD + b'data: {"error": {"message": "out of memory"}}\n\n',
        SSE + WORD + b'data: {"choices": [{"delta": {"cont',
        SSE + WORD + b'data: {"choices": 7}\n\n',
        SSE.replace(b"close\r\n", b"close\r\nContent-Length: 9999\r\n") + WORD,
    ],
)
async def test_a_stream_that_breaks_off_says_so(rooms: Rooms, ours: Scope, reply: bytes) -> None:
    async with ScriptedModel(Raw(reply)) as server:
        await add(rooms, ours, server)
        pieces = []
        with pytest.raises(StreamBroken):
            async for piece in rooms.inference.stream_chat(ours, question(model="ours"), label=LEAST):
                pieces.append(piece.text)
        assert pieces == (["word"] if b"word" in reply else [])
        assert (await acts(rooms, ours))[0] == ("inference", "failed")


@pytest.mark.parametrize(
    "reply",
    [
        SSE + WORD + b"data: [DONE]\n\n",
        SSE + WORD + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n',
        SSE + b": ping\n\n" + WORD.replace(b"\n", b"\r\n") + b"data: [DONE]",
        HEAD + b'{"choices": [{"message": {"content": "word"}, "finish_reason": "stop"}]}',
    ],
)
async def test_streams_that_end_in_their_own_way(rooms: Rooms, ours: Scope, reply: bytes) -> None:
    async with ScriptedModel(Raw(reply)) as server:
        await add(rooms, ours, server)
        pieces = await pieces_of(rooms, ours, question(model="ours"))
        assert "".join(piece.text for piece in pieces) == "word"


# -- many at once -----------------------------------------------------------------------------------


async def test_fifty_chats_at_once(rooms: Rooms, ours: Scope, neighbour: Scope) -> None:
    async with ScriptedModel(lambda asked: Says(asked.body["messages"][0]["content"][::-1], pause_s=0.05)) as server:
        await add(rooms, ours, server)
        await add(rooms, neighbour, server)
        replies = await asyncio.gather(
            *(
                rooms.inference.chat(scope, question(f"question {number}", "ours"), label=LEAST)
                for number, scope in enumerate([ours, neighbour] * 25)
            )
        )
    assert [reply.text for reply in replies] == [f"question {number}"[::-1] for number in range(50)]
    assert len({reply.receipt for reply in replies}) == 50
    assert (await acts(rooms, neighbour)).count(("inference", "done")) == 25


# -- this machine -----------------------------------------------------------------------------------

LEASE = "The tenant pays 900 euros each month. The lease ends on 30 June 2027. Pets are welcome."


async def test_extractive_answers_say_what_they_are(rooms: Rooms, ours: Scope) -> None:
    chat = ChatRequest((Message("system", LEASE), Message("user", "When does the lease end?")))
    reply = await rooms.inference.chat(ours, chat, label=CONFIDENTIAL)
    assert (reply.model, reply.mode) == (EXTRACTIVE, "extractive")
    assert "30 June 2027" in reply.text
    assert reply.raw["bastide"] == {"mode": "extractive"}
    assert reply.raw["choices"][0]["message"]["content"] == reply.text
    found = await receipt(rooms, ours, reply.receipt)
    assert (found["endpoint"]["id"], found["assurance"], found["tls"]) == ("local/onnx", "local-measured", None)
    nothing = await rooms.inference.chat(ours, question("What is the capital of Peru?", EXTRACTIVE), label=LEAST)
    assert "No generative model" in nothing.text
    pieces = await pieces_of(rooms, ours, chat)
    assert "".join(piece.text for piece in pieces) == reply.text
    assert (pieces[-1].finish, pieces[0].mode) == ("stop", "extractive")


async def test_extracts_stand_where_they_say(rooms: Rooms, ours: Scope) -> None:
    passages = ["Nothing here.", LEASE]
    reply = await rooms.inference.answer_extractively(ours, "When does the lease end?", passages, label=CONFIDENTIAL)
    best = reply.sentences[0]
    assert passages[best.passage][best.start : best.end] == best.text
    assert "30 June 2027" in best.text
    assert (await receipt(rooms, ours, reply.receipt))["model"] == EXTRACTIVE
    assert (await rooms.inference.answer_extractively(ours, "Why?", [], label=LEAST)).sentences == ()


async def test_local_embeddings(rooms: Rooms, ours: Scope) -> None:
    if not rooms.inference.has_embedder():
        pytest.skip("the default embedding model is not installed")
    texts = ["The lease ends in June.", "Cats sleep a lot.", "", "a" * 100_000, "When does the lease end?"]
    found = await rooms.inference.embed(ours, texts, label=CONFIDENTIAL)
    assert found.vectors.shape == (5, found.dimensions)
    assert found.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    assert found.vectors[4] @ found.vectors[0] > found.vectors[4] @ found.vectors[1]
    assert found.model == "local/minilm"
    assert found.usage.input > 0
    one = await rooms.inference.embed(ours, texts[:1], label=LEAST, kind="query")
    assert np.allclose(one.vectors[0], found.vectors[0], atol=1e-5)
    none = await rooms.inference.embed(ours, [], label=LEAST)
    assert none.vectors.shape == (0, found.dimensions)
    assert (await receipt(rooms, ours, found.receipt))["endpoint"]["id"] == "local/onnx"


async def test_a_question_does_not_wait_behind_a_library(rooms: Rooms, ours: Scope) -> None:
    if not rooms.inference.has_embedder():
        pytest.skip("the default embedding model is not installed")
    library = [f"Sentence number {number} of a long library about law." for number in range(600)]
    task = asyncio.create_task(rooms.inference.embed(ours, library, label=LEAST))
    await asyncio.sleep(0.05)
    await rooms.inference.embed(ours, ["When does the lease end?"], label=LEAST, kind="query")
    assert not task.done()
    assert (await task).vectors.shape[0] == 600


async def test_remote_embeddings(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(names=("some-embed",)) as server:
        await add(rooms, ours, server, "vectors")
        texts = [f"text number {number}" for number in range(150)] + [""]
        found = await rooms.inference.embed(ours, texts, label=LEAST, model="vectors")
        assert found.vectors.shape == (151, 32)
        assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
        assert found.usage.input == 450
        asked = [one for one in server.asked if one.path == "/v1/embeddings"]
        assert [len(one.body["input"]) for one in asked] == [64, 64, 23]
        assert len([act for act in await acts(rooms, ours) if act[0] == "inference"]) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'[{"index": 0, "embedding": [1]}]',
        b'[{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]',
        b'[{"index": 0, "embedding": [1]}, {"index": 5, "embedding": [1]}]',
        b'[{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]',
        b'[{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "AAAA"}]',
        b'[{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1e999]}]',
        b'[{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]',
        b'["a", "b"]',
        b'"x"',
    ],
)
async def test_vectors_that_are_none(rooms: Rooms, ours: Scope, data: bytes) -> None:
    async with ScriptedModel(Raw(HEAD + b'{"data": ' + data + b"}"), names=("embed",)) as server:
        await add(rooms, ours, server, "vectors")
        with pytest.raises(UpstreamGarbage):
            await rooms.inference.embed(ours, ["a", "b"], label=LEAST, model="vectors")


async def test_vectors_in_another_order_are_put_back(rooms: Rooms, ours: Scope) -> None:
    data = b'{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 0]}]}'
    async with ScriptedModel(Raw(HEAD + data), names=("embed",)) as server:
        await add(rooms, ours, server, "vectors")
        found = await rooms.inference.embed(ours, ["a", "b"], label=LEAST, model="vectors")
        assert found.vectors.tolist() == [[1, 0], [0, 1]]
