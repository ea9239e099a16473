"""Limits: what a caller has left of its rates, in the headers that clients of each wire know.

OpenAI's clients read durations until all is there again (`6m0s`), Anthropic's the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bastide.inference.gateway.behind import Admission
from bastide.inference.gateway.values import Headers, Sink

_KINDS: Final = ("requests", "tokens")


class Limited:
    """A sink that says in the head of an answer what is left. Only where a rate bounds the caller."""

    __slots__ = ("_admission", "_sink", "_wire")

    def __init__(self, sink: Sink, wire: str, admission: Admission) -> None:
        self._sink = sink
        self._wire = wire
        self._admission = admission

    def on_head(self, status: int, headers: Headers) -> None:
        """With what is left."""
        left = {kind: (one.limit, one.remaining, one.reset_s) for kind, one in self._admission.left().items()}
        self._sink.on_head(status, [*headers, *limit_headers(self._wire, left)])

    def on_piece(self, piece: bytes) -> None:
        """As it is."""
        self._sink.on_piece(piece)

    def on_end(self) -> None:
        """As it is."""
        self._sink.on_end()


def limit_headers(wire: str, left: Mapping[str, tuple[int, int, float]]) -> Headers:
    """The headers for `left`: by kind, the limit of a minute, what remains of it, seconds until it is whole."""
    headers: Headers = []
    for kind in _KINDS:
        if kind not in left:
            continue
        limit, remaining, reset_s = left[kind]
        if wire == "messages":
            whole = (datetime.now(UTC) + timedelta(seconds=reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            said = {"limit": str(limit), "remaining": str(remaining), "reset": whole}
            headers += [(f"anthropic-ratelimit-{kind}-{name}".encode(), value.encode()) for name, value in said.items()]
        else:
            said = {"limit": str(limit), "remaining": str(remaining), "reset": duration(reset_s)}
            headers += [(f"x-ratelimit-{name}-{kind}".encode(), value.encode()) for name, value in said.items()]
    return headers


def limits_told(wire: str, limits: Any) -> Headers:
    """The same for the `limits` of a refusal."""
    if not isinstance(limits, Mapping):
        return []
    return limit_headers(wire, {kind: (one["limit"], one["remaining"], one["reset_s"]) for kind, one in limits.items()})


def duration(seconds: float) -> str:
    """As OpenAI says how long: `120ms`, `6s`, `1m30s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
