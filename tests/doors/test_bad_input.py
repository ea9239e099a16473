"""What a client may get wrong, on every wire, told to the unchanged `openai` and `anthropic` clients as they know it.

No model is asked: what is wrong is said here, in the same words whatever server stands behind.
"""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from bastide.app import House
from bastide.testing import ScriptedModel
from tests.doors.conftest import Company, bearer, company

Client = openai.AsyncOpenAI | anthropic.AsyncAnthropic

PATHS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "messages": "/v1/messages",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
ASKED: Mapping[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "responses": {"input": "Hello"},
    "messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9},
    "completions": {"prompt": "Hello"},
    "embeddings": {"input": "Hello"},
}
FIELD = {
    "chat": "messages",
    "messages": "messages",
    "responses": "input",
    "completions": "prompt",
    "embeddings": "input",
}
EVERY = tuple(PATHS)
TURNS = ("chat", "messages", "responses")
LISTS = ("completions", "embeddings")


class Clients:
    """The clients of one key; `ask` sends a body to a wire as bytes or as an object."""

    def __init__(self, served: str, key: str) -> None:
        self.openai = openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=served, api_key=key, max_retries=0)

    async def ask(self, wire: str, body: Any, **headers: str) -> Any:
        """What the wire's own client makes of the answer; it raises what is no answer."""
        client: Client = self.anthropic if wire == "messages" else self.openai
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await client.post(PATHS[wire], cast_to=object, content=content, options={"headers": named})

    async def refused(self, wire: str, body: Any, **headers: str) -> Any:
        """The error that the client raises, its body looked at for what all errors have."""
        kind = anthropic.APIStatusError if wire == "messages" else openai.APIStatusError
        with pytest.raises(kind) as refusal:
            await self.ask(wire, body, **headers)
        fault = refusal.value
        whole: Any = fault.response.json()
        error = whole["error"]
        assert error["message"].endswith((".", "?"))
        assert error["next"]
        assert error["request_id"] == fault.response.headers["x-request-id"]
        assert (whole.get("type") == "error") is (wire == "messages"), "in the wire's own shape"
        assert fault.response.headers.get("x-should-retry", "false") == "false"
        return fault


@pytest.fixture(scope="module")
async def server(web: httpx2.AsyncClient, us: Company) -> AsyncIterator[ScriptedModel]:
    """An OpenAI-style server with a model `bad-chat` and one `bad-vectors`."""
    admin = bearer(us.keys["administrator"])
    async with ScriptedModel() as made:
        for name, does in (("bad-chat", "chat"), ("bad-vectors", "embeddings")):
            spec = {"name": name, "url": made.url, "local": True, "model": "scripted", "capabilities": [does]}
            added = await web.post("/api/v1/models", json=spec, headers=admin)
            assert added.status_code == 201, added.text
        made.asked.clear()
        yield made
        for name in ("bad-chat", "bad-vectors"):
            await web.delete(f"/api/v1/models/{name}", headers=admin)


@pytest.fixture
def clients(served: str, us: Company) -> Clients:
    return Clients(served, us.keys["member"])


def body(wire: str, **more: Any) -> dict[str, Any]:
    """A request that is right, but for `more`."""
    return {"model": "bad-vectors" if wire == "embeddings" else "bad-chat", **ASKED[wire], **more}


def with_turn(wire: str, turn: Any) -> dict[str, Any]:
    """A request whose second turn is this."""
    first = {"role": "user", "content": "Hello"}
    return body(wire, **{FIELD[wire]: [first, turn]})


def with_picture(wire: str, media_type: str, data: str) -> dict[str, Any]:
    """A request with a picture, as each wire has it."""
    url = f"data:{media_type};base64,{data}"
    part: dict[str, Any] = {
        "chat": {"type": "image_url", "image_url": {"url": url}},
        "responses": {"type": "input_image", "image_url": url},
        "messages": {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}},
    }[wire]
    return with_turn(wire, {"role": "user", "content": [part]})


def with_tool(wire: str, schema: Any, name: Any = "weather") -> dict[str, Any]:
    """A request with a tool, as each wire has it."""
    described = {"name": name, "parameters": schema}
    tool: dict[str, Any] = {
        "chat": {"type": "function", "function": described},
        "responses": {"type": "function", **described},
        "messages": {"name": name, "input_schema": schema},
    }[wire]
    return body(wire, tools=[tool])


def raw(wire: str, old: bytes, new: bytes) -> bytes:
    return json.dumps(body(wire)).encode().replace(old, new)


PLACE_OF_PICTURE = {
    "chat": "messages[1].content[0].image_url.url",
    "responses": "input[1].content[0].image_url",
    "messages": "messages[1].content[0].source.data",
}
SCHEMA_AT = {
    "chat": "tools[0].function.parameters",
    "responses": "tools[0].parameters",
    "messages": "tools[0].input_schema",
}
NOT_JSON = {
    "nothing": (lambda wire: b"", "empty"),
    "cut": (lambda wire: json.dumps(body(wire)).encode()[:-3], "character"),
    "not UTF-8": (lambda wire: raw(wire, b"Hello", b"\xff\xfe"), "UTF-8"),
    "UTF-16": (lambda wire: json.dumps(body(wire)).encode("utf-16"), "UTF-8"),
    "half a pair": (lambda wire: raw(wire, b"Hello", b"\\ud800"), "surrogate"),
    "no number": (lambda wire: raw(wire, b'"Hello"', b"NaN"), "NaN"),
    "a list": (lambda wire: b"[]", "object"),
    "a thousand deep": (lambda wire: raw(wire, b'"Hello"', b"[" * 60_000 + b"]" * 60_000), "deeply"),
}


@pytest.mark.parametrize("what", NOT_JSON)
async def test_a_body_that_is_no_json(clients: Clients, server: ScriptedModel, what: str) -> None:
    made, said = NOT_JSON[what]
    for wire in EVERY:
        fault = await clients.refused(wire, made(wire))
        assert isinstance(fault, openai.BadRequestError | anthropic.BadRequestError)
        assert said in fault.message
    assert server.asked == []


async def test_a_body_that_is_compressed_is_not_called_broken(clients: Clients, server: ScriptedModel) -> None:
    for wire in EVERY:
        packed = gzip.compress(json.dumps(body(wire)).encode())
        fault = await clients.refused(wire, packed, content_encoding="gzip")
        assert fault.status_code == 415
        assert "Content-Encoding" in fault.response.json()["error"]["next"]
    assert server.asked == []


@pytest.mark.parametrize("deep", [200, 900, 1_100, 5_000])
@pytest.mark.parametrize("place", ["elsewhere", "tools", "text"])
async def test_what_is_deep_is_taken_or_refused_in_words(
    clients: Clients, server: ScriptedModel, place: str, deep: int
) -> None:
    """How deep a reader goes is its own affair (Python, its version, the decoder): nobody falls over it."""
    nest = b'{"type": "object", "properties": ' * deep + b"{}" + b"}" * deep
    for wire in ("chat", "responses", "messages"):
        made = {
            "elsewhere": lambda wire: body(wire, elsewhere="NEST"),
            "tools": lambda wire: with_tool(wire, "NEST"),
            "text": lambda wire: with_turn(wire, {"role": "user", "content": "NEST"}),
        }[place](wire)
        sent = json.dumps(made).encode().replace(b'"NEST"', nest)
        try:
            await clients.ask(wire, sent)
        except (openai.BadRequestError, anthropic.BadRequestError) as refusal:
            assert refusal.response.json()["error"]["next"]
    server.asked.clear()


async def test_a_body_that_is_too_large(clients: Clients, server: ScriptedModel) -> None:
    for wire in EVERY:
        fault = await clients.refused(wire, json.dumps(body(wire)).encode() + b" " * (17 * 1024 * 1024))
        assert fault.status_code == 413
        if wire == "messages":
            assert isinstance(fault, anthropic.RequestTooLargeError)
    assert server.asked == []


WRONG: Mapping[str, tuple[tuple[str, ...], Any, Any]] = {
    "a model that is no name": (EVERY, lambda wire: body(wire, model=7), "model"),
    "a stream that is neither": (EVERY, lambda wire: body(wire, stream="yes"), "stream"),
    "nothing asked": (EVERY, lambda wire: {**body(wire), FIELD[wire]: None}, lambda wire: FIELD[wire]),
    "an empty list": (EVERY, lambda wire: body(wire, **{FIELD[wire]: []}), lambda wire: FIELD[wire]),
    "a number for a text": (EVERY, lambda wire: body(wire, **{FIELD[wire]: 7}), lambda wire: FIELD[wire]),
    "texts and numbers": (LISTS, lambda wire: body(wire, **{FIELD[wire]: ["a", 7]}), lambda wire: FIELD[wire]),
    "10,000 turns": (
        TURNS,
        lambda wire: body(wire, **{FIELD[wire]: [{"role": "user", "content": "Hello"}] * 10_000}),
        lambda wire: FIELD[wire],
    ),
    "a turn that is none": (TURNS, lambda wire: with_turn(wire, "Hello"), lambda wire: f"{FIELD[wire]}[1]"),
    "a content that is none": (
        ("chat", "messages"),
        lambda wire: with_turn(wire, {"role": "user", "content": {"text": "Hello"}}),
        "messages[1].content",
    ),
    "a part that is none": (
        TURNS,
        lambda wire: with_turn(wire, {"role": "user", "content": ["Hello"]}),
        lambda wire: f"{FIELD[wire]}[1].content[0]",
    ),
    "a picture of the wrong type": (
        TURNS,
        lambda wire: with_picture(wire, "image/tiff", "SUkqAAgAAAA="),
        PLACE_OF_PICTURE.__getitem__,
    ),
    "a picture that is a document": (
        TURNS,
        lambda wire: with_picture(wire, "image/png", "JVBERi0xLjcKJeLjz9M="),
        PLACE_OF_PICTURE.__getitem__,
    ),
    "a picture that is no base64": (
        TURNS,
        lambda wire: with_picture(wire, "image/png", "@@@@"),
        PLACE_OF_PICTURE.__getitem__,
    ),
    "tools that are no list": (TURNS, lambda wire: body(wire, tools={"name": "weather"}), "tools"),
    "a tool that is none": (TURNS, lambda wire: body(wire, tools=["weather"]), "tools[0]"),
    "a tool without a name": (
        TURNS,
        lambda wire: with_tool(wire, {"type": "object"}, name=""),
        lambda wire: "tools[0].function.name" if wire == "chat" else "tools[0].name",
    ),
    "a schema that is text": (TURNS, lambda wire: with_tool(wire, "{}"), SCHEMA_AT.__getitem__),
    "a schema of no type": (
        TURNS,
        lambda wire: with_tool(wire, {"type": "object", "properties": {"city": {"type": "text"}}}),
        lambda wire: f"{SCHEMA_AT[wire]}.properties.city.type",
    ),
    "a schema that needs no names": (
        TURNS,
        lambda wire: with_tool(wire, {"type": "object", "required": "city"}),
        lambda wire: f"{SCHEMA_AT[wire]}.required",
    ),
    "a choice of nothing": (
        TURNS,
        lambda wire: with_tool(wire, {"type": "object", "properties": {"city": {"anyOf": []}}}),
        lambda wire: f"{SCHEMA_AT[wire]}.properties.city.anyOf",
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_field_that_is_wrong_is_named(clients: Clients, server: ScriptedModel, what: str) -> None:
    wires, made, field = WRONG[what]
    for wire in wires:
        fault = await clients.refused(wire, made(wire))
        assert isinstance(fault, openai.BadRequestError | anthropic.BadRequestError), (wire, fault)
        error = fault.response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == (field(wire) if callable(field) else field), (wire, error)
        assert f"`{error['param']}`" in error["message"]
    assert server.asked == []


async def test_a_model_that_is_not_here_or_is_another_s(
    clients: Clients, served: str, them: Company, server: ScriptedModel
) -> None:
    strangers = Clients(served, them.keys["member"])
    for wire in EVERY:
        for asker, name in ((clients, "gpt-4o"), (clients, "x" * 5000), (strangers, body(wire)["model"])):
            fault = await asker.refused(wire, body(wire, model=name))
            assert isinstance(fault, openai.NotFoundError | anthropic.NotFoundError)
            error = fault.response.json()["error"]
            assert (error["code"], error["param"], error["type"]) == (
                "inference.unknown_model",
                "model",
                "not_found_error",
            )
    assert server.asked == []


async def test_a_model_that_cannot_do_that(clients: Clients, server: ScriptedModel) -> None:
    for wire in EVERY:
        fault = await clients.refused(wire, body(wire, model="bad-chat" if wire == "embeddings" else "bad-vectors"))
        assert isinstance(fault, openai.BadRequestError | anthropic.BadRequestError)
        assert fault.response.json()["error"]["code"] == "inference.wrong_capability"
    assert server.asked == []


async def test_who_nobody_knows_and_who_may_not(
    served: str, us: Company, them: Company, clients: Clients, server: ScriptedModel
) -> None:
    unknown = "bst_" + "0" * 64
    for wire in EVERY:
        asked = body(wire)
        nobody = await Clients(served, unknown).refused(wire, asked)
        assert isinstance(nobody, openai.AuthenticationError | anthropic.AuthenticationError)
        may_not = await Clients(served, us.keys["auditor"]).refused(wire, asked)
        assert isinstance(may_not, openai.PermissionDeniedError | anthropic.PermissionDeniedError)
        foreign = await clients.refused(wire, asked, x_company_id=them.id)
        assert isinstance(foreign, openai.PermissionDeniedError | anthropic.PermissionDeniedError)
        assert foreign.response.json()["error"]["code"] == "tenancy.foreign_company"
    assert server.asked == []


async def test_headers_that_contradict_each_other(
    web: httpx2.AsyncClient, us: Company, them: Company, server: ScriptedModel
) -> None:
    key = us.keys["member"]
    twice = (
        [("x-label", '{"class": "secret"}'), ("x-label", '{"class": "internal"}')],
        [("x-company-id", us.id), ("x-company-id", them.id)],
        [("authorization", f"Bearer {them.keys['member']}")],
        [("x-api-key", them.keys["member"])],
    )
    for wire, path in PATHS.items():
        place = path if wire == "messages" else f"/v1{path}"
        for more in twice:
            headers = [("authorization", f"Bearer {key}"), *more]
            reply = await web.post(place, json=body(wire), headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "request.malformed"), (wire, more)
            assert (reply.json().get("type") == "error") is (wire == "messages")
        same = [("authorization", f"Bearer {key}"), ("x-api-key", key)]
        assert (await web.post(place, json=body(wire), headers=same)).status_code == 200
    assert len(server.asked) == len(PATHS)
    server.asked.clear()


async def test_a_label_can_only_tighten(web: httpx2.AsyncClient, served: str, house: House, platform_key: str) -> None:
    """A tenant that has set a default of its own: nothing said is that, less is refused, more is what holds."""
    ours = await company(house, platform_key, "strict")
    chief, clients = bearer(ours.keys["administrator"]), Clients(served, ours.keys["member"])
    now = (await web.get("/api/v1/policies", headers=chief)).json()
    strict = {**now, "default": {"class": "confidential", "zone": ["FR", "DE"]}, "min_seal": {"SOV-2": 0}}
    async with ScriptedModel() as server:
        for name, does in (("bad-chat", "chat"), ("bad-vectors", "embeddings")):
            spec = {"name": name, "url": server.url, "local": True, "model": "scripted", "capabilities": [does]}
            assert (await web.post("/api/v1/models", json=spec, headers=chief)).status_code == 201
        before = await clients.openai.chat.completions.with_raw_response.create(**body("chat"))
        public = {"x-label": '{"class": "public"}'}  # what is said takes a guess's place
        loose = await clients.openai.chat.completions.with_raw_response.create(**body("chat"), extra_headers=public)
        now = (await web.get("/api/v1/policies", headers=chief)).json()
        put = await web.put("/api/v1/policies", json={**strict, "version": now["version"]}, headers=chief)
        assert put.status_code == 200, put.text
        plain = await clients.openai.chat.completions.with_raw_response.create(**body("chat"))
        more = {"x-label": '{"class": "restricted", "zone": ["FR"]}'}
        tight = await clients.openai.chat.completions.with_raw_response.create(**body("chat"), extra_headers=more)
        server.asked.clear()
        for wire in EVERY:
            for said, fields in (
                ({"class": "public"}, ["class"]),
                ({"class": "internal", "zone": ["FR", "DE", "US"]}, ["class", "zone"]),
                ({"class": "secret", "min_evidence": "none"}, ["min_evidence"]),
            ):
                fault = await clients.refused(wire, body(wire), x_label=json.dumps(said))
                error = fault.response.json()["error"]
                assert (fault.status_code, error["code"], error["fields"]) == (400, "policy.label_loosens", fields)
            part = await clients.refused(wire, body(wire, x_label={"class": "cosmic"}))
            assert part.response.json()["error"]["code"] == "policy.bad_label"
        assert server.asked == []
    labels = []
    for answer in (before, loose, plain, tight):
        shown = await web.get(
            f"/api/v1/receipts/{answer.headers['x-bastide-receipt']}", headers=bearer(ours.keys["auditor"])
        )
        labels.append(shown.json()["label"])
    assert [label["class"] for label in labels] == ["internal", "public", "confidential", "restricted"]
    assert [label["zone"] for label in labels] == [None, None, ["DE", "FR"], ["FR"]]
    assert [label["personal"] for label in labels] == ["none"] * 4, "that is looked for"


async def test_rates_and_budgets_are_errors_that_clients_know(
    web: httpx2.AsyncClient, served: str, house: House, platform_key: str
) -> None:
    ours = await company(house, platform_key, "bounded")
    chief, clients = bearer(ours.keys["administrator"]), Clients(served, ours.keys["member"])
    local = {"model": "local/extractive"}
    for place, bound, status in (
        ("rates", {"scope": "tenant", "requests": 1}, 429),
        ("budgets", {"scope": "tenant", "tokens": 0, "contact": "Ms Peer"}, 402),
    ):
        made = await web.post(f"/api/v1/{place}", json=bound, headers=chief)
        assert made.status_code == 201, made.text
        if status == 429:
            await clients.ask("chat", body("chat") | local)
        for wire in ("chat", "messages", "responses", "completions"):
            fault = await clients.refused(wire, body(wire) | local)
            assert fault.status_code == status
            if status == 429:
                assert isinstance(fault, openai.RateLimitError | anthropic.RateLimitError)
                assert int(fault.response.headers["retry-after"]) >= 1
            else:
                assert fault.response.json()["error"]["contact"] == "Ms Peer"
        await web.delete(f"/api/v1/{place}/{made.json()['id']}", headers=chief)


async def test_a_name_that_nobody_could_guess_is_not_repeated(clients: Clients) -> None:
    """What is wrong is told without what was asked."""
    word = secrets.token_hex(16)
    for wire in TURNS:
        for wrong in (with_turn(wire, {"role": word, "content": [word]}), with_tool(wire, {"type": word})):
            assert word not in (await clients.refused(wire, wrong)).response.text
