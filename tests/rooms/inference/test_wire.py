"""What the wire carries stays what it was: requests passed on, extractive chats read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadChat, UpstreamGarbage
from bastide.inference import ChatRequest, Message
from bastide.inference.local.extractive_chat import question_and_passages, reply_text
from bastide.inference.openai_style import Chunk, Gathered, encode, normalised, read_completion, said

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": st.none() | st.text(max_size=9) | st.lists(JSON, max_size=2),
        "name": JSON,
        "tool_calls": JSON,
    },
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    optional={
        "model": st.just("ours"),
        "max_tokens": st.integers(1, 99),
        "temperature": st.floats(0, 2),
        "tools": JSON,
        "response_format": JSON,
        "seed": JSON,
        "n": JSON,
    },
)


@given(BODY, st.booleans())
def test_law_a_request_is_passed_on_as_it_came(body: dict[str, Any], stream: bool) -> None:
    """Only the model's name is ours to change; what we do not know means the same on the other side."""
    sent = json.loads(encode(ChatRequest.from_wire({**body, "stream": stream}).to_wire("theirs", stream=stream)))
    expected = json.loads(json.dumps({**body, "model": "theirs", **({"stream": True} if stream else {})}))
    for message in expected["messages"]:  # a message that says nothing at all may say so
        if set(message) == {"role"}:
            message["content"] = None
    assert sent == expected


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"content": "no role"}]},
        {"messages": [{"role": 7, "content": "x"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": ["hello"]},
        {"messages": [{"role": "user", "content": "x"}], "model": 7},
        {"messages": [{"role": "user", "content": "x"}], "model": ""},
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 0},
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": True},
        {"messages": [{"role": "user", "content": "x"}], "temperature": "hot"},
    ],
)
def test_a_malformed_request_is_named(body: object) -> None:
    with pytest.raises(BadChat) as refused:
        ChatRequest.from_wire(body)
    assert refused.value.next_step


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(BadChat):
        encode(ChatRequest((Message("user", "x"),), raw={"seed": value}).to_wire("m", stream=False))


def test_half_a_character_does_not_reach_the_reply() -> None:
    assert reply_text(["a\ud800b", "c"]) == "a?b c"
    assert encode({"a": "\ud800"}) == b'{"a":"\\ud800"}'


def test_the_words_of_a_message_with_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}, 7]
    assert Message("user", parts).text == "a\nb"
    assert Message("user", None).text == ""


def test_a_question_is_found_in_a_chat() -> None:
    lease = "The lease ends on 30 June 2027."
    assert question_and_passages([Message("system", lease), Message("user", "When does it end?")]) == (
        "When does it end?",
        [lease],
    )
    both = f"Context:\n\n{lease}\n\nWhen does it end?\n\nAnswer in one sentence."
    question, passages = question_and_passages([Message("user", both)])
    assert question == "When does it end?"
    assert lease in passages
    assert question_and_passages([Message("system", "only")]) == ("", ["only"])
    assert question_and_passages([Message("user", "")]) == ("", [])
    assert "No generative model" in reply_text([])


def test_what_a_stream_has_said_is_what_a_whole_answer_says() -> None:
    gathered = Gathered()
    for text in ["The ", "lease", ""]:
        gathered.add(Chunk(text, None, None, {"choices": [{"delta": {"content": text}}]}))
    assert gathered.said == b"The lease" == said([{"role": "assistant", "content": "The lease"}])
    begun = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    for part in [begun, {"index": 0, "function": {"arguments": ":1}"}}]:
        gathered.add(Chunk("", None, None, {"choices": [{"delta": {"tool_calls": [part]}}]}))
    assert json.loads(gathered.said)[0]["tool_calls"] == {"0": {"id": "c1", "name": "f", "arguments": '{"a":1}'}}
    assert Gathered().said == b""


def test_vectors_are_normalised() -> None:
    rows = normalised([np.array([[3.0, 4.0]], np.float32), np.array([[0.0, 0.0]], np.float32)])
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert normalised([]).shape == (0, 0)
    with pytest.raises(UpstreamGarbage):
        normalised([np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)])


def test_content_in_parts_and_missing_fields_are_read() -> None:
    found = read_completion({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]})
    assert (found.text, found.finish, found.usage) == ("ab", "stop", None)
    found = read_completion({"choices": [{"message": {}}], "usage": {"prompt_tokens": -1}})
    assert (found.text, found.usage) == ("", None)
