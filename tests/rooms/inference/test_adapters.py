"""Every kind of server, over every wire that it speaks by itself: the right path, headers, body; and nothing of a key.

The table below says what each kind must be sent, as its documentation has it, and not as the code has it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any

import pytest
from tests.rooms.egress.conftest import Authority

from bastide.errors import BadChat, BadModel, StreamBroken
from bastide.inference import ChatRequest, ModelSpec
from bastide.inference.adapters import ADAPTERS
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.testing import Fails, Says, ScriptedModel

from .conftest import Rooms
from .test_gateway import call
from .test_inference import remote

KEY = "sk-0123456789abcdef"
BEARER = {"authorization": f"Bearer {KEY}"}
ANTHROPIC = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
TURNS = [{"role": "user", "content": "When does the lease end?"}]
ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": TURNS, "seed": 7, "max_completion_tokens": 50},
    "completions": {"prompt": "The lease ends in", "max_tokens": 50},
    "embeddings": {"input": ["a lease"]},
    "responses": {"input": "When does the lease end?", "store": True},
    "messages": {"messages": TURNS, "max_tokens": 50},
}
TEXTS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}
WITHOUT_OLD = {wire: path for wire, path in TEXTS.items() if wire != "completions"}
RESPONSES = {"responses": "/v1/responses"}

# kind: the address that is given, the paths that must be asked, the headers that carry the key
KINDS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "openai": ("", TEXTS, BEARER),
    "openai-api": ("", TEXTS | RESPONSES, BEARER),
    "vllm": ("", TEXTS | RESPONSES, BEARER),
    "llamacpp": ("", TEXTS, BEARER),
    "ollama": ("", TEXTS, BEARER),
    "ovhcloud": ("", TEXTS | RESPONSES, BEARER),
    "mistral": ("", WITHOUT_OLD, BEARER),
    "scaleway": ("/0f1e/v1", {"chat": "/0f1e/v1/chat/completions", "embeddings": "/0f1e/v1/embeddings"}, BEARER),
    "ionos": ("", TEXTS, BEARER),
    "stackit": ("", TEXTS, BEARER),
    "t-systems": ("", {w: p.replace("/v1", "/v2") for w, p in (WITHOUT_OLD | RESPONSES).items()}, BEARER),
    "infomaniak": (
        "/1/ai/1234/openai",
        {"chat": "/1/ai/1234/openai/chat/completions", "embeddings": "/1/ai/1234/openai/embeddings"},
        BEARER,
    ),
    "nebius": ("", TEXTS, BEARER),
    "openrouter": ("", {wire: f"/api{path}" for wire, path in TEXTS.items()}, BEARER),
    "anthropic": ("", {"messages": "/v1/messages"}, ANTHROPIC),
}
SPOKEN = [(kind, wire) for kind, (_, paths, _) in KINDS.items() for wire in paths]
KEPT_NOWHERE = ("openai-api", "ovhcloud", "vllm", "t-systems")
# What of a body is not as it was asked.
DIFFERS: dict[tuple[str, str], dict[str, Any]] = {
    ("mistral", "chat"): {"messages": TURNS, "random_seed": 7, "max_tokens": 50},
    **{
        (kind, "responses"): {**ASKED["responses"], "store": False}
        for kind in ("openai-api", "ovhcloud", "vllm", "t-systems")
    },
    **{
        ("openrouter", wire): {**ASKED[wire], "provider": {"allow_fallbacks": False, "data_collection": "deny"}}
        for wire in TEXTS
    },
}


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


async def _add(rooms: Rooms, scope: Scope, server: ScriptedModel, kind: str, **more: Any) -> None:
    place, paths, _ = KINDS.get(kind, ("", {}, {}))
    url = f"http://127.0.0.1:{server.port}{place}"
    can = ("chat", "embeddings") if "embeddings" in paths else ("chat",)
    spec = ModelSpec("theirs", url=url, kind=kind, key=KEY, local=True, upstream="scripted", capabilities=can)
    added = await rooms.inference.add_model(scope, dataclasses.replace(spec, **more))
    assert added.problem == "", "its list of models was asked for, in its own way"


def test_every_kind_is_in_the_table() -> None:
    by_batches = {kind for kind, one in ADAPTERS.items() if one.batches is not None}
    assert by_batches == {"openai-batch", "ovhcloud-batch"}, "see test_handed"
    assert {*KINDS, "gemini", *by_batches} == set(ADAPTERS)
    for kind, (_, paths, _) in KINDS.items():
        assert set(ADAPTERS[kind].paths) & set(ASKED) == set(paths), kind


@pytest.mark.parametrize(("kind", "wire"), SPOKEN)
async def test_a_kind_is_asked_as_its_documentation_says(
    rooms: Rooms,
    scope: Scope,
    kind: str,
    wire: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, paths, headers = KINDS[kind]
    body = ASKED[wire]
    async with ScriptedModel("In June.", names=("scripted",)) as server:
        await _add(rooms, scope, server, kind)
        with caplog.at_level(logging.DEBUG):
            whole = await call(rooms, scope, {**body, "model": "theirs"}, wire=wire)
            assert whole.status == 200, whole.body
            streams = wire != "embeddings"
            if streams:
                streamed = await call(rooms, scope, {**body, "model": "theirs", "stream": True}, wire=wire)
                assert streamed.headers["content-type"] == "text/event-stream"
                assert b'"error"' not in streamed.body.replace(b'"error": null', b""), streamed.body
    listed, *asked = server.asked
    assert listed.method == "GET"
    assert [one.path for one in asked] == [paths[wire]] * (1 + streams)
    for one in server.asked:
        carried = {name: value for name, value in one.headers.items() if KEY in value or name.startswith("anthropic")}
        assert carried == headers, "the key stands in its own header and in no other"
    assert asked[0].body == {**DIFFERS.get((kind, wire), body), "model": "scripted"}
    if wire in {"chat", "completions"}:
        wanted = None if kind == "mistral" else {"include_usage": True}
        assert asked[1].body.get("stream_options") == wanted
    assert KEY not in caplog.text


@pytest.mark.parametrize("wire", ["chat", "messages"])
async def test_openai_is_told_the_most_tokens_by_their_new_name(rooms: Rooms, scope: Scope, wire: str) -> None:
    """Its newer models refuse `max_tokens`, which clients of other formats, older ones and the house itself say."""
    async with ScriptedModel("In June.") as server:
        await _add(rooms, scope, server, "openai-api")
        asked = {"model": "theirs", "messages": TURNS, "max_tokens": 50}
        assert (await call(rooms, scope, asked, wire=wire)).status == 200
        await rooms.inference.chat(scope, ChatRequest.from_wire(asked), label=Label())
    for one in server.chats:
        assert "max_tokens" not in one.body
        assert one.body["max_completion_tokens"] == 50
    assert len(server.chats) == 2


# In which format a server is asked that does not speak the client's: kind, the client's wire, the path.
GENERATIVE = ("chat", "completions", "responses", "messages")
GEMINI = ("/v1beta/models/scripted:generateContent", "/v1beta/models/scripted:streamGenerateContent?alt=sse")
TRANSLATED = [
    *((kind, wire, paths["chat"]) for kind, (_, paths, _) in KINDS.items() if "chat" in paths for wire in GENERATIVE),
    *(("anthropic", wire, "/v1/messages") for wire in GENERATIVE),
    *(("gemini", wire, "") for wire in GENERATIVE),
]
TRANSLATED = [one for one in TRANSLATED if one[1] not in KINDS.get(one[0], ("", {}, {}))[1]]


@pytest.mark.parametrize(("kind", "wire", "path"), TRANSLATED, ids=[f"{kind}-{wire}" for kind, wire, _ in TRANSLATED])
async def test_every_client_is_answered_by_every_kind(
    rooms: Rooms, scope: Scope, kind: str, wire: str, path: str
) -> None:
    kept = {name: value for name, value in ASKED[wire].items() if name not in {"seed", "store"}}
    async with ScriptedModel("In June, it ends.", names=("scripted",)) as server:
        await _add(rooms, scope, server, kind)
        whole = await call(rooms, scope, {**kept, "model": "theirs"}, wire=wire)
        streamed = await call(rooms, scope, {**kept, "model": "theirs", "stream": True}, wire=wire)
    assert (whole.status, streamed.status) == (200, 200), (whole.body, streamed.body)
    assert b"In June, it ends." in whole.body
    said = "".join(_texts(wire, streamed.body))
    assert said == "In June, it ends."
    assert [one.path for one in server.asked[1:]] == ([path, path] if path else list(GEMINI))
    for one in server.asked:
        carried = {name: value for name, value in one.headers.items() if KEY in value or name.startswith("anthropic")}
        assert carried == (KINDS[kind][2] if kind in KINDS else {"x-goog-api-key": KEY})
    assert "scripted" not in {json.loads(whole.body).get("model")}, "it is called as its tenant calls it"
    receipt = await rooms.audit.receipt(scope, streamed.headers["x-bastide-receipt"])
    assert receipt.body["tokens"]["output"] == 4  # type: ignore[call-overload,index]


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_the_house_itself_asks_in_the_servers_words(rooms: Rooms, scope: Scope, kind: str) -> None:
    turns = [{"role": "system", "content": "Be brief."}, *TURNS]
    async with ScriptedModel(Says("In June, it ends.")) as server:
        await _add(rooms, scope, server, kind)
        asked = ChatRequest.from_wire({"messages": turns, "max_tokens": 50})
        reply = await rooms.inference.chat(scope, asked, label=Label())
        pieces = [one async for one in rooms.inference.stream_chat(scope, asked, label=Label())]
    assert (reply.text, reply.model, reply.finish) == ("In June, it ends.", "theirs", "stop")
    assert not reply.usage.estimated
    assert "".join(one.text for one in pieces) == "In June, it ends."
    assert [one.finish for one in pieces if one.finish] == ["stop"]
    system = {"anthropic": "system", "gemini": "systemInstruction"}[kind]
    for one in server.asked[1:]:
        assert "Be brief." in json.dumps(one.body[system])
    async with ScriptedModel(Says("In June, it ends.", cut_after=2)) as broken:
        await rooms.inference.remove_model(scope, "theirs")
        await _add(rooms, scope, broken, kind)
        with pytest.raises(StreamBroken):
            _ = [one async for one in rooms.inference.stream_chat(scope, asked, label=Label())]


def _texts(wire: str, body: bytes) -> list[str]:
    """The pieces of text in a stream of this wire."""
    found = []
    for event in body.split(b"\n\n"):
        data = next((line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")), b"[DONE]")
        one = {} if data == b"[DONE]" else json.loads(data)
        if wire in {"chat", "completions"}:
            for choice in one.get("choices", ()):
                found.append(choice.get("text") or (choice.get("delta") or {}).get("content") or "")
        elif one.get("type") == "response.output_text.delta":
            found.append(one["delta"])
        elif one.get("type") == "content_block_delta":
            found.append(one["delta"].get("text", ""))
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_that_a_server_repeats_goes_no_further(rooms: Rooms, scope: Scope, kind: str) -> None:
    wire = next(iter(KINDS[kind][1]))
    for status, code in ((400, "inference.upstream_refused"), (401, "inference.key_refused"), (503, None)):
        async with ScriptedModel(Fails(status, f"bad key {KEY}")) as server:
            await _add(rooms, scope, server, kind)
            taken = await call(rooms, scope, {**ASKED[wire], "model": "theirs"}, wire=wire)
            assert taken.status >= 400
            assert code in {None, taken.json["error"]["code"]}
            assert KEY.encode() not in taken.body
            assert KEY not in repr(taken.headers)
            shown = await rooms.inference.models(scope)
            assert KEY not in repr(shown)
            await rooms.inference.remove_model(scope, "theirs")


def test_gemini_is_asked_by_an_address_with_the_model_in_it() -> None:
    gemini = ADAPTERS["gemini"]
    assert {gemini.speaks(wire) for wire in ("chat", "messages", "responses", "completions")} == {"gemini"}
    assert gemini.path("gemini", "models/gemini-x", stream=False) == "/models/gemini-x:generateContent"
    assert gemini.path("gemini", "gemini-x", stream=True) == "/models/gemini-x:streamGenerateContent?alt=sse"
    assert gemini.path("gemini", "a/../b?c", stream=False) == "/models/a%2F..%2Fb%3Fc:generateContent"
    assert gemini.headers(KEY) == {"x-goog-api-key": KEY}
    body = {"model": "gemini-x", "stream": True, "contents": [{"parts": [{"text": "Hello"}]}]}
    assert gemini.prepared(body, "gemini") == {"contents": body["contents"]}


def test_a_thought_that_only_a_server_would_know_is_not_named_to_it() -> None:
    """Clients send back what they were given; a thought without its seal is known to whoever kept it only."""
    said = {"type": "message", "role": "user", "content": "When?"}
    bare, summed = (
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "id": "rs_2", "summary": [1]},
    )
    sealed = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "x"}
    told = {"type": "reasoning", "id": "rs_4", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    called = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    asked = {"model": "m", "input": [said, bare, summed, sealed, told, called], "reasoning": {"effort": "low"}}
    for kind in KEPT_NOWHERE:
        sent = ADAPTERS[kind].prepared(asked, "responses")
        assert sent["input"] == [said, sealed, told, called]
        assert sent.get("include") == (["reasoning.encrypted_content"] if kind == "openai-api" else None)
        assert ADAPTERS[kind].prepared({"input": [said]}, "responses") == {"input": [said], "store": False}
        for named in ({"type": "item_reference", "id": "fc_1"}, {"id": "fc_1"}):
            with pytest.raises(BadChat, match=r"`input\[1\].type`"):
                ADAPTERS[kind].prepared({"input": [said, named]}, "responses")
    both = {**asked, "include": ["message.output_text.logprobs"]}
    found = ADAPTERS["openai-api"].prepared(both, "responses")["include"]
    assert found == ["message.output_text.logprobs", "reasoning.encrypted_content"]
    assert ADAPTERS["openai-api"].prepared({**asked, "include": found}, "responses")["include"] == found


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "background"])
def test_no_server_is_asked_to_keep_a_state(field: str) -> None:
    for kind in ("ovhcloud", "vllm", "t-systems"):
        with pytest.raises(BadChat, match=field):
            ADAPTERS[kind].prepared({"input": "x", field: "resp_1"}, "responses")
    assert ADAPTERS["openai"].prepared({"messages": [], "store": True}, "chat") == {"messages": []}


async def test_a_router_stays_with_the_upstream_of_its_record(rooms: Rooms, scope: Scope, authority: Authority) -> None:
    away = {
        "models": ["other/model"],
        "route": "fallback",
        "plugins": [{"id": "web"}],
        "provider": {"order": ["elsewhere"], "allow_fallbacks": True},
    }
    sent = ADAPTERS["openrouter"].prepared({"messages": TURNS, "model": "m", **away}, "chat", "mistral")
    assert sent == {
        "messages": TURNS,
        "model": "m",
        "provider": {
            "order": ["mistral"],
            "only": ["mistral"],
            "allow_fallbacks": False,
            "data_collection": "deny",
        },
    }
    async with remote(rooms, authority, "api.router.example") as router:
        spec = ModelSpec("routed", kind="openrouter", provider="test/behind", upstream="scripted")
        await rooms.inference.add_model(scope, spec)
        asked = {"messages": TURNS, "model": "routed", **away}
        assert (await call(rooms, scope, asked)).status == 200
        reply = await rooms.inference.chat(scope, ChatRequest.from_wire(asked), label=Label())
        assert reply.text == "From afar."
        for one in router.chats:
            assert one.body["provider"] == sent["provider"], "however it is asked"
            assert not {"models", "route", "plugins"} & set(one.body)
    with pytest.raises(BadModel, match="kind openrouter"):
        await rooms.inference.add_model(scope, ModelSpec("r", kind="vllm", provider="test/behind"))
    with pytest.raises(BadModel, match="kind openrouter"):
        await rooms.inference.add_model(scope, ModelSpec("r", kind="openai", provider="openrouter/api/eu"))
    with pytest.raises(BadModel, match="pinned_upstream"):
        await rooms.inference.add_model(scope, ModelSpec("r", kind="openrouter", provider="test/good"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ovhcloud", "code_chat@latest"),
        ("ovhcloud", "llama@biggest?context_size>100000"),
        ("openrouter", "openrouter/auto"),
        ("openrouter", "auto"),
        ("openrouter", "mistralai/mistral-large:floor"),
        ("openrouter", "~openai/gpt-latest"),
        ("openrouter", "@preset/mine"),
    ],
)
async def test_a_name_that_leaves_the_choice_to_the_server_is_resolved_or_refused(
    rooms: Rooms,
    scope: Scope,
    kind: str,
    name: str,
) -> None:
    async with ScriptedModel(names=("concrete",)) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        spec = ModelSpec("chosen", url=url, kind=kind, local=True, upstream=name)
        with pytest.raises(BadModel, match="leaves the choice"):
            await rooms.inference.add_model(scope, spec)
        server.listed[0]["aliases"] = [name]
        added = await rooms.inference.add_model(scope, spec)
        assert (added.upstream, added.problem) == ("concrete", "")
        await rooms.inference.remove_model(scope, "chosen")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "telepathy"}, "kinds: openai"),
        ({"kind": "anthropic", "capabilities": ("embeddings",)}, "embeddings"),
        ({"kind": "gemini", "capabilities": ("rerank",)}, "rerank"),
        ({"kind": "infomaniak", "url": "http://127.0.0.1:9"}, "own product"),
        ({"requests_per_minute": 0}, "1 to"),
    ],
)
async def test_what_cannot_be_is_refused(rooms: Rooms, scope: Scope, change: dict[str, Any], why: str) -> None:
    spec = dataclasses.replace(ModelSpec("no", url="http://127.0.0.1:9/v1", local=True), **change)
    with pytest.raises(BadModel, match=why):
        await rooms.inference.add_model(scope, spec)


def test_lists_of_models_are_read_in_the_forms_that_servers_have() -> None:
    ovh = {"id": "gpt-oss-120b", "context_length": 131000, "max_completion_tokens": 32000}
    rows = [
        {**ovh, "pricing": {"prompt": "0.00000009", "completion": "0.00000047"}},
        {"id": "vllm", "max_model_len": 8192},
        {"id": "mistral-small", "max_context_length": 32768, "capabilities": {"completion_chat": True, "vision": True}},
        {"id": "routed", "top_provider": {"max_completion_tokens": 9}, "architecture": {"input_modalities": ["image"]}},
        {"id": "half", "pricing": {"prompt": "0.1", "completion": "NaN"}, "context_length": -1},
        {"id": 3},
        "none",
    ]
    found = {one.name: one for one in ADAPTERS["ovhcloud"].offered({"data": rows})}
    one = found["gpt-oss-120b"]
    assert (one.context_tokens, one.output_tokens_max) == (131000, 32000)
    assert (one.input, one.output, one.currency) == (0.09, 0.47, "USD")
    assert found["vllm"].context_tokens == 8192
    assert found["mistral-small"].capabilities == ("chat", "vision")
    assert (found["routed"].output_tokens_max, found["routed"].capabilities) == (9, ("vision",))
    assert (found["half"].input, found["half"].output, found["half"].context_tokens) == (None, None, None)
    assert len(found) == 5
    google = {"name": "models/gemini-x", "inputTokenLimit": 10, "supportedGenerationMethods": ["generateContent"]}
    (theirs,) = ADAPTERS["gemini"].offered(json.loads(json.dumps({"models": [google]})))
    assert (theirs.name, theirs.context_tokens, theirs.capabilities) == ("gemini-x", 10, ("chat",))
