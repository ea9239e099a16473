"""Limits: what a caller has left of its rates, in the headers that clients of each wire know.

OpenAI's clients read durations until all is there again (`6m0s`), Anthropic's the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bastide.inference.accounts import Left
from bastide.inference.gateway.behind import Admission
from bastide.inference.gateway.values import Headers, Sink

_OPENAI: Final = {
    kind: (
        b"x-ratelimit-limit-" + kind.encode(),
        b"x-ratelimit-remaining-" + kind.encode(),
        b"x-ratelimit-reset-" + kind.encode(),
    )
    for kind in ("requests", "tokens")
}
_ANTHROPIC: Final = {
    kind: (
        b"anthropic-ratelimit-%b-limit" % kind.encode(),
        b"anthropic-ratelimit-%b-remaining" % kind.encode(),
        b"anthropic-ratelimit-%b-reset" % kind.encode(),
    )
    for kind in ("requests", "tokens")
}


class Limited:
    """A sink that says in the head of an answer what is left. Only where a rate bounds the caller."""

    __slots__ = ("_admission", "_sink", "_wire")

    def __init__(self, sink: Sink, wire: str, admission: Admission) -> None:
        self._sink = sink
        self._wire = wire
        self._admission = admission

    def on_head(self, status: int, headers: Headers) -> None:
        """With what is left."""
        self._sink.on_head(status, headers + limit_headers(self._wire, self._admission.left()))

    def on_piece(self, piece: bytes) -> None:
        """As it is."""
        self._sink.on_piece(piece)

    def on_end(self) -> None:
        """As it is."""
        self._sink.on_end()


def limit_headers(wire: str, left: Mapping[str, Left]) -> Headers:
    """The headers for what is `left` of requests and of tokens."""
    headers: Headers = []
    anthropic = wire == "messages"
    for kind, (limit, remaining, reset_s) in left.items():
        of_limit, of_remaining, of_reset = (_ANTHROPIC if anthropic else _OPENAI)[kind]
        whole = moment(reset_s) if anthropic else duration(reset_s)
        headers += ((of_limit, b"%d" % limit), (of_remaining, b"%d" % remaining), (of_reset, whole))
    return headers


def limits_told(wire: str, limits: Any) -> Headers:
    """The same for the `limits` of a refusal."""
    if not isinstance(limits, Mapping):
        return []
    return limit_headers(wire, {kind: (one["limit"], one["remaining"], one["reset_s"]) for kind, one in limits.items()})


def duration(seconds: float) -> bytes:
    """As OpenAI says how long: `120ms`, `6s`, `1m30s`."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    minutes, rest = divmod(round(seconds), 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


def moment(seconds: float) -> bytes:
    """As Anthropic says when: in UTC, by RFC 3339."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
