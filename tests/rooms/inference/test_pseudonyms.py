"""What identifies a person goes out under a pseudonym and comes back itself, wherever a stream is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import WrongCapability
from bastide.inference import ChatRequest, Message, ModelSpec
from bastide.inference.gateway.pseudonyms import Pseudonyms
from bastide.inference.gateway.turning_back import TurnedEvents
from bastide.policy import Label, find_personal
from bastide.store import Scope
from bastide.testing import Asked, Raw, Says, ScriptedModel

from .conftest import Rooms
from .test_gateway import add, call, chunked, scope

__all__ = ["scope"]

MAIL, ACCOUNT = "ada@example.eu", "DE89 3704 0044 0532 0130 00"
TEXT = f"Tell {MAIL} to pay to {ACCOUNT}, and {MAIL.upper()} again."
HIDDEN = "Tell [EMAIL-1] to pay to [IBAN-1], and [EMAIL-1] again."


def asking(content: Any = TEXT, **more: Any) -> dict[str, Any]:
    return {"model": "ours", "messages": [{"role": "user", "content": content}], **more}


# -- what stands for what -------------------------------------------------------------------------------


def test_one_value_has_one_pseudonym_and_comes_back_as_it_was_written_first() -> None:
    pseudonyms = Pseudonyms()
    assert pseudonyms.hide(TEXT) == HIDDEN
    assert pseudonyms.turn_back(HIDDEN) == TEXT.replace(MAIL.upper(), MAIL)
    assert pseudonyms.turn_back("To [email-1], not [EMAIL-2] or [IBAN-1") == f"To {MAIL}, not [EMAIL-2] or [IBAN-1"
    assert pseudonyms.kinds == {"email", "iban"}


def test_a_pseudonym_that_the_request_writes_itself_is_not_given() -> None:
    said = f"[EMAIL-1] and [email-2] stand for nobody, {MAIL} does not."
    pseudonyms = Pseudonyms(said)
    assert pseudonyms.hide(said) == said.replace(MAIL, "[EMAIL-3]")
    assert pseudonyms.turn_back(pseudonyms.hide(said)) == said


def test_everything_in_a_body_is_hidden_but_pictures() -> None:
    body = {
        "model": f"x/{MAIL}",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": MAIL}, {"image_url": {"url": f"data:{MAIL}"}}]},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": json.dumps({"to": MAIL})}}]},
        ],
    }
    pseudonyms = Pseudonyms()
    sent = pseudonyms.hide_all(body)
    assert sent["messages"][0]["content"][0]["text"] == "[EMAIL-1]"
    assert json.loads(sent["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL-1]"}
    assert sent["messages"][0]["content"][1] == body["messages"][0]["content"][1]  # type: ignore[index]
    assert sent["model"] == body["model"]
    assert json.loads(pseudonyms.turn_back_bytes(json.dumps(sent).encode())) == body


BITS = st.sampled_from([MAIL, ACCOUNT, "ö.l@example.eu", "+33 6 12 34 56 78", "[", "]", "[EMAIL-1]", "[EM", "\n", "é"])
TEXTS = st.lists(st.one_of(BITS, st.text(max_size=6)), max_size=8).map(" ".join)


@given(TEXTS)
def test_what_was_hidden_comes_back_and_nothing_that_was_found_stays(text: str) -> None:
    pseudonyms = Pseudonyms(text)
    sent = pseudonyms.hide(text)
    found = {text[one.start : one.end] for one in find_personal(text) if one.personal}
    firsts = {pseudonyms.turn_back(pseudonyms.hide(value)) for value in found}
    assert all(value not in sent for value in firsts if len(value) > 6)
    if len(found) == len(firsts):
        assert pseudonyms.turn_back(sent) == text


# -- streams --------------------------------------------------------------------------------------------


def event(**said: Any) -> bytes:
    name = f"event: {said['type']}\n" if "type" in said else ""
    return f"{name}data: {json.dumps(said)}\n\n".encode()


def told(out: bytes) -> list[Any]:
    lines = [line[6:] for line in out.decode().split("\n") if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line) for line in lines]


def chat(part: str) -> bytes:
    return event(id="x", choices=[{"index": 0, "delta": {"content": part}, "finish_reason": None}])


def tool(part: str) -> bytes:
    calls = [{"index": 1, "function": {"arguments": part}}]
    return event(id="x", choices=[{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": None}])


def completion(part: str) -> bytes:
    return event(id="x", choices=[{"index": 0, "text": part, "finish_reason": None}])


def block(part: str) -> bytes:
    return event(type="content_block_delta", index=2, delta={"type": "text_delta", "text": part})


def output(part: str) -> bytes:
    return event(type="response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=part)


STOP = event(id="x", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
WIRES: dict[str, tuple[Any, bytes, Any]] = {
    "chat": (chat, STOP, lambda one: one["choices"][0]["delta"].get("content", "")),
    "tool": (
        tool,
        STOP,
        lambda one: one["choices"][0]["delta"].get("tool_calls", [{"function": {"arguments": ""}}])[0]["function"][
            "arguments"
        ],
    ),
    "completions": (
        completion,
        event(id="x", choices=[{"index": 0, "text": "", "finish_reason": "stop"}]),
        lambda one: one["choices"][0]["text"],
    ),
    "messages": (
        block,
        event(type="content_block_stop", index=2),
        lambda one: one.get("delta", {}).get("text", ""),
    ),
    "responses": (
        output,
        event(type="response.output_text.done", item_id="m", text="[EMAIL-1]"),
        lambda one: one.get("delta", ""),
    ),
}


@given(
    wire=st.sampled_from(sorted(WIRES)),
    text=st.lists(st.sampled_from(["[EMAIL-1]", "[IBAN-1]", "[", "[E", "[EMAIL-", "]", " and ", "é", "[EMAIL-11]"])),
    cuts=st.lists(st.integers(0, 60), max_size=12),
    together=st.booleans(),
)
def test_wherever_a_stream_is_cut_it_comes_back_whole(
    wire: str, text: list[str], cuts: list[int], together: bool
) -> None:
    pseudonyms = Pseudonyms()
    pseudonyms.hide(TEXT)
    said = "".join(text)
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    make, stop, read = WIRES[wire]
    events = [*(make(said[a:b]) for a, b in pairwise(places)), stop, b"data: [DONE]\n\n"]
    stream = TurnedEvents(pseudonyms)
    out = stream.feed(b"".join(events)) if together else b"".join(map(stream.feed, events))
    assert stream.flush(lambda key: True) == b"", "nothing is left at the end"
    assert "".join(map(read, told(out))) == pseudonyms.turn_back(said)
    if wire == "responses":
        assert told(out)[-1]["text"] == MAIL, "an event that says all is turned back at once"


def test_only_what_may_begin_a_pseudonym_is_held_back() -> None:
    pseudonyms = Pseudonyms()
    pseudonyms.hide(TEXT)
    stream = TurnedEvents(pseudonyms)
    assert [one["choices"][0]["delta"]["content"] for one in told(stream.feed(chat("See [a] and [EM")))] == [
        "See [a] and "
    ]
    assert [one["choices"][0]["delta"]["content"] for one in told(stream.feed(chat("BER] [")))] == ["[EMBER] "]
    assert told(stream.flush(lambda key: True))[0]["choices"][0]["delta"]["content"] == "["


def test_what_is_not_an_event_with_text_passes_as_it_is() -> None:
    stream = TurnedEvents(Pseudonyms())
    for raw in (b": alive\n\n", b"data: [1]\n\n", b'event: ping\ndata: {"type":"ping"}\n\n', b"data: [DONE]\r\n\r\n"):
        assert stream.feed(raw) == raw


# -- through the gateway --------------------------------------------------------------------------------


def repeating(asked: Asked) -> Says:
    """A model that says what it was told."""
    return Says("So: " + asked.body["messages"][-1]["content"])


async def test_a_model_that_gets_pseudonyms_never_sees_the_values_and_the_client_never_a_pseudonym(
    rooms: Rooms, scope: Scope
) -> None:
    async with ScriptedModel(repeating) as server:
        await add(rooms, scope, server, pseudonymise=True)
        whole = await call(rooms, scope, asking())
        streamed = await call(rooms, scope, asking(stream=True))
        plain = await call(rooms, scope, asking("nothing of anybody"))
    expected = "So: " + TEXT.replace(MAIL.upper(), MAIL)
    assert whole.json["choices"][0]["message"]["content"] == streamed.text == expected
    assert [one.body["messages"][0]["content"] for one in server.chats] == [HIDDEN, HIDDEN, "nothing of anybody"]
    for taken in (whole, streamed):
        receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
        assert receipt.body["label"]["personal"] == "pseudonymised"  # type: ignore[call-overload, index]
        assert receipt.body["decision"]["pseudonymised"] == ["email", "iban"]  # type: ignore[call-overload, index]
        assert await rooms.audit.matches(scope, receipt.id, output=taken.body)
        assert MAIL not in json.dumps(receipt.body)
    receipt = await rooms.audit.receipt(scope, plain.headers["x-bastide-receipt"])
    assert "pseudonymised" not in receipt.body["decision"]  # type: ignore[operator]


@pytest.mark.parametrize("cut", [1, 2, 5, 1000])
async def test_a_pseudonym_cut_between_events_and_pieces_is_turned_back(rooms: Rooms, scope: Scope, cut: int) -> None:
    said = "Ask [EMAIL-1] or [Iban-1] [EM"
    events = [chat(said[at : at + cut]) for at in range(0, len(said), cut)]
    async with ScriptedModel(chunked(*events, STOP, b"data: [DONE]\n\n")) as server:
        await add(rooms, scope, server, pseudonymise=True)
        taken = await call(rooms, scope, asking(stream=True))
    assert taken.text == f"Ask {MAIL} or {ACCOUNT} [EM"
    assert taken.events[-1] == "[DONE]"


async def test_a_stream_that_breaks_off_still_tells_what_was_held_back(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(chunked(chat("To [EMAIL-1], [EM"), b"data: {\n\n")) as server:
        await add(rooms, scope, server, pseudonymise=True)
        taken = await call(rooms, scope, asking(stream=True))
    parts = [one["choices"][0]["delta"]["content"] for one in taken.events if "choices" in one]
    assert "".join(parts) == f"To {MAIL}, [EM"
    assert taken.events[-1]["error"]["code"] == "inference.stream_broken"


async def test_the_label_that_the_caller_gives_is_never_made_weaker(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(repeating) as server:
        await add(rooms, scope, server, pseudonymise=True)
        taken = await call(rooms, scope, asking(), label=Label(personal="personal"))
    assert server.chats[0].body["messages"][0]["content"] == HIDDEN
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["label"]["personal"] == "personal"  # type: ignore[call-overload, index]


async def test_what_could_not_be_replaced_keeps_the_label_up(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server, pseudonymise=True)
        taken = await call(rooms, scope, asking(f"{MAIL} and {{\\u0022to\\u0022: \\u0022b\\u0040example.eu\\u0022}}"))
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["label"]["personal"] == "personal"  # type: ignore[call-overload, index]


async def test_a_body_without_a_floor_is_refused(rooms: Rooms, scope: Scope) -> None:
    deep: Any = MAIL
    for _ in range(80):
        deep = [deep]
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server, pseudonymise=True)
        assert (await call(rooms, scope, asking(deep))).json["error"]["code"] == "inference.bad_chat"
        assert server.chats == []


async def test_each_target_gets_what_it_may_have(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel(Raw(b"")) as broken, ScriptedModel(repeating) as server:
        await add(rooms, scope, broken, "first", rank=1)
        await add(rooms, scope, server, "second", rank=2, pseudonymise=True)
        taken = await call(rooms, scope, {**asking(), "model": "auto"})
    assert broken.chats[0].body["messages"][0]["content"] == TEXT
    assert server.chats[0].body["messages"][0]["content"] == HIDDEN
    assert MAIL in taken.body.decode()


async def test_the_rooms_own_operations_do_not_go_round_it(rooms: Rooms, scope: Scope) -> None:
    async with ScriptedModel("Here.") as server:
        model = await rooms.inference.add_model(scope, ModelSpec("ours", url=server.url, local=True, pseudonymise=True))
        assert model.pseudonymise
        assert [one.pseudonymise for one in await rooms.inference.models(scope) if one.name == "ours"] == [True]
        with pytest.raises(WrongCapability):
            await rooms.inference.chat(scope, ChatRequest((Message("user", MAIL),), model="ours"), label=Label())
        assert await rooms.inference.generator(scope, Label()) is None
    assert server.chats == []


@pytest.mark.parametrize("wire", ["messages", "responses"])
async def test_what_is_translated_between_formats_is_turned_back_too(rooms: Rooms, scope: Scope, wire: str) -> None:
    turns = [{"role": "user", "content": TEXT}]
    body = (
        {"model": "ours", "max_tokens": 50, "messages": turns}
        if wire == "messages"
        else {"model": "ours", "input": turns}
    )
    said = "To [EMAIL-1], for [IBAN-1] [EM"
    async with ScriptedModel(chunked(*(chat(said[at : at + 3]) for at in range(0, len(said), 3)), STOP)) as server:
        await add(rooms, scope, server, pseudonymise=True)
        taken = await call(rooms, scope, {**body, "stream": True}, wire=wire)
    assert MAIL not in json.dumps(server.chats[0].body)
    kind = "content_block_delta" if wire == "messages" else "response.output_text.delta"
    deltas = [one["delta"] for one in told(taken.body) if one.get("type") == kind]
    words = "".join(one["text"] if wire == "messages" else one for one in deltas)
    assert words == f"To {MAIL}, for {ACCOUNT} [EM"
