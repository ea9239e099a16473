"""Whatever stands in a body, it is taken or refused in words: nothing that a client writes breaks what reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.errors import BadChat, BastideError
from bastide.inference import gateway
from bastide.inference.gateway.asking import read
from bastide.inference.gateway.checking import check
from bastide.inference.gateway.counting import tokens_likely
from bastide.store import Scope, new_id

from .conftest import Rooms
from .test_gateway import begin

PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {
    "type": ["object", "null"],
    "properties": {"a": {"anyOf": [{"type": "string"}, {"enum": [1]}]}, "b": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"c": True},
}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": PNG}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "w"}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "w", "parameters": SCHEMA}}, {"type": "custom"}],
    },
    "responses": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}, {"type": "reasoning"}],
        "tools": [{"type": "function", "name": "w", "parameters": SCHEMA}, {"type": "web_search"}],
    },
    "messages": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
                ],
            }
        ],
        "tools": [{"name": "w", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
    },
    "completions": {"prompt": ["Once", "upon"]},
    "embeddings": {"input": [[1, 2], [3]], "dimensions": 3},
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, the outermost first."""
    if at:
        yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*at, key))


@pytest.mark.parametrize("wire", BODIES)
def test_what_is_right_is_taken(wire: str) -> None:
    check(wire, BODIES[wire])
    assert tokens_likely(BODIES[wire]) >= 1


@pytest.mark.parametrize("wire", BODIES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_anything_anywhere_is_taken_or_refused_in_words(wire: str, data: st.DataObject) -> None:
    body = json.loads(json.dumps(BODIES[wire]))
    *path, last = data.draw(st.sampled_from(list(places(body))))
    inner = body
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(JUNK)
    try:
        asking = read(wire, json.dumps(body).encode())
    except BastideError as refusal:
        assert refusal.status == 400
        assert refusal.message
    else:
        assert tokens_likely(asking.body) >= 1


def shown(wire: str, picture: str) -> bytes:
    """A request of a wire with this picture."""
    head, _, data = picture.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": picture}}
    if wire == "responses":
        part = {"type": "input_image", "image_url": picture}
    elif wire == "messages":
        part = {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    turns = [{"role": "user", "content": [part]}]
    return json.dumps({"input": turns} if wire == "responses" else {"messages": turns}).encode()


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
@pytest.mark.parametrize(
    "picture",
    [
        "data:image/tiff;base64,SUkqAAgAAAA=",
        "data:image/png;base64,bm8gcGljdHVyZQ==",
        "data:image/png;base64,?",
        "data:image/png,no base64",
        "ftp://example.org/a.png",
    ],
    ids=["type", "sign", "letters", "url", "address"],
)
def test_a_picture_that_is_none_is_told_how_one_looks(wire: str, picture: str) -> None:
    with pytest.raises(BadChat) as told:
        read(wire, shown(wire, picture))
    error = told.value.to_wire()
    assert "JPEG, PNG, GIF or WebP" in str(error["next"])
    assert '"messages"' not in str(error["next"])
    assert "image" in str(error["param"]) or "source" in str(error["param"])


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_another_mistake_is_told_how_a_request_looks(wire: str) -> None:
    with pytest.raises(BadChat) as told:
        read(wire, b'{"messages": 1, "input": 1}')
    assert "/openapi.json" in told.value.next_step
    assert "JPEG" not in told.value.next_step


async def test_what_nobody_thought_of_is_told_and_nobody_waits_for_ever(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(wire: str, data: bytes) -> None:
        raise ValueError("hidden words")

    monkeypatch.setattr(gateway.call, "read", broken)
    scope = Scope(new_id("ten"), None, None, frozenset(), frozenset({"model:use"}), key=new_id("key"))
    taken, _ = begin(rooms, scope, {"messages": []})
    assert (taken.status, taken.json["error"]["code"]) == (500, "request.broken")
    assert b"hidden" not in taken.body
