"""What crosses the gateway's door: a sink for the answer, and a call while it runs."""

from __future__ import annotations

from typing import Protocol

Headers = list[tuple[bytes, bytes]]


class Sink(Protocol):
    """Who takes the answer of a call, in the event loop: one head, pieces, one end. Nothing comes after a cancel."""

    def on_head(self, status: int, headers: Headers) -> None:
        """The answer begins. Names are in lower case; what belongs to the connection is the door's own."""

    def on_piece(self, piece: bytes) -> None:
        """Some more of its body."""

    def on_end(self) -> None:
        """It is whole, or it says itself what went wrong."""


CAPABILITIES = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "chat",
    "embeddings": "embeddings",
}
"""What a model must be able to do to answer a request of each wire."""

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
EVENTS: tuple[bytes, bytes] = (b"content-type", b"text/event-stream")


def streams(content_type: str) -> bool:
    """Whether an answer of this type is a stream of events."""
    return content_type.lower().startswith("text/event-stream")
