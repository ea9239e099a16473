"""What a model's server says when it does not answer, as errors of our own tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from bastide.errors import (
    BastideError,
    ContextExceeded,
    KeyRefused,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamRefused,
    UpstreamTooLarge,
    UpstreamUnknownModel,
)

_NOT_OF_THE_REQUEST: Final = frozenset({402, 408, 409, 425})  # an empty account, no time, no turn: another may answer
_NOT_THERE: Final = frozenset({404, 405, 410})
_CONTEXT: Final = (
    "context length",
    "context_length",
    "context size",
    "context window",
    "prompt is too long",
    "maximum number of tokens",
)
"""What servers say of a request that is longer than they can read: OpenAI, vLLM, llama.cpp, Anthropic, Gemini."""

_TOLD_MAX = 500
_WAIT_MAX_S = 86_400


def fault_of(status: int, headers: Mapping[str, str], body: bytes, key: str | None) -> BastideError:
    """The error for a status that is not 200. A key that the server echoes is struck out."""
    try:
        told = told_in(json.loads(body.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        told = "no reason that can be read"
    if key:
        told = told.replace(key, "***")
    if status in {401, 403}:  # such messages tend to quote parts of the key
        return KeyRefused(upstream_status=status)
    if status in _NOT_THERE:
        return UpstreamUnknownModel(upstream_status=status)
    if status == 429:
        return UpstreamBusy(upstream_status=status, retry_after_s=_seconds(headers.get("retry-after", "")))
    if 400 <= status < 500 and status not in _NOT_OF_THE_REQUEST:
        return _refused(status, told)
    if status >= 400:
        wait = _seconds(headers.get("retry-after", ""))
        facts: dict[str, Any] = {} if wait is None else {"retry_after_s": wait}
        return UpstreamFailed(f"The model's server failed ({status}): {told}", upstream_status=status, **facts)
    return UpstreamGarbage(f"The model's server answers with status {status}.", upstream_status=status)


def _refused(status: int, told: str) -> BastideError:
    if status == 413:
        return UpstreamTooLarge(f"The model's server takes no request of this size: {told}", upstream_status=status)
    if status == 400 and any(words in told.lower() for words in _CONTEXT):
        code = "context_length_exceeded"  # as OpenAI has it, and as programs look for it
        said = f"The request is longer than the model's context: {told}"
        return ContextExceeded(said, upstream_status=status, upstream_code=code)
    return UpstreamRefused(f"The model's server refuses the request: {told}", upstream_status=status)


def told_in(answer: Any) -> str:
    """The sentence of an error in any of the shapes that servers give it."""
    if isinstance(answer, list):  # as Gemini's streams do
        answer = answer[0] if answer else {}
    if not isinstance(answer, Mapping):
        return "no reason"
    error = answer.get("error", answer.get("detail", answer.get("message")))
    message = error.get("message") if isinstance(error, Mapping) else error
    return " ".join(str(message or "no reason").encode("utf-8", "replace").decode().split())[:_TOLD_MAX]


def _seconds(wait: str) -> int | None:
    """How long to wait, which a server says in seconds or as a moment; None where it says neither."""
    if wait.isascii() and wait.isdecimal():
        return min(int(wait), _WAIT_MAX_S) if len(wait) < 9 else None
    try:
        moment = parsedate_to_datetime(wait)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0, min(round((moment - datetime.now(UTC)).total_seconds()), _WAIT_MAX_S))
