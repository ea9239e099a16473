"""Opening: what begins a stream and says nothing yet, by the recorded shapes of each wire."""

from __future__ import annotations

from typing import Any

import pytest

from bastide.inference.gateway.opening import only_opens

from . import shapes
from .test_answers import spelled


def _saying(wire: str) -> int:
    """How many events of the recorded stream come before the first that says something."""
    events: tuple[Any, ...] = shapes.EVENTS[wire]
    return next(place for place in range(len(events)) if not only_opens(wire, spelled(events[: place + 1])))


@pytest.mark.parametrize("wire", ["chat", "messages", "responses"])
def test_the_events_before_the_first_word_only_open(wire: str) -> None:
    events: tuple[Any, ...] = shapes.EVENTS[wire]
    first = _saying(wire)
    assert first > 0
    said = str(events[first])
    assert any(word in said for word in ("delta", "content", "name", "summary")), said
    assert only_opens(wire, spelled(events[:first], newline="\r\n"))


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        ("chat", {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "I"}}]}),
        ("chat", {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}]}),
        ("chat", {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c"}]}}]}),
        ("chat", {"choices": [], "usage": {"prompt_tokens": 1}}),
        ("chat", {"choices": [7]}),
        ("completions", {"choices": [{"index": 0, "text": ""}]}),
        (
            "messages",
            {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t", "name": "clock"}},
        ),
        ("messages", {"type": "message_stop"}),
        ("responses", {"type": "response.output_item.added", "item": {"type": "function_call", "name": "clock"}}),
        ("responses", {"type": "response.failed"}),
    ],
)
def test_what_says_something_ends_the_opening(wire: str, event: dict[str, Any]) -> None:
    assert not only_opens(wire, spelled((event,)))


_NO_EVENTS = [b"", b": alive\n\n", b"data: [DONE]\n\n", b"data: {\n\n", b"data: []\n\n", b"data: " + b" " * 70_000]


@pytest.mark.parametrize("data", _NO_EVENTS)
def test_what_is_no_event_opens_nothing(data: bytes) -> None:
    assert not only_opens("chat", data)
