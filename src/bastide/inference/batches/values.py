"""What crosses the door: a file that was handed in or came of a batch, and a batch as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bastide.policy import Label

LIVE: Final = frozenset({"validating", "in_progress", "cancelling"})
"""The states of a batch that it leaves by itself."""

ENDPOINTS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}
"""What the lines of a batch may ask, and by which wire."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of calls (`batch`), or what came of them (`batch_output`): the answers, or the errors."""

    id: str
    name: str
    purpose: str
    bytes: int
    blob: str | None
    batch: str | None
    errors: bool | None
    said: Label
    label: Label
    created_at: datetime
    expires_at: datetime

    def to_wire(self) -> dict[str, Any]:
        """As OpenAI's clients read it, with the label of what stands in it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": _moment(self.created_at),
            "expires_at": _moment(self.expires_at),
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
            "x_label": self.label.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch. `job` is the durable work that makes its calls; `left_s` how long it may still take."""

    id: str
    job: str
    input_file: str
    endpoint: str
    window_h: int
    metadata: Mapping[str, str] | None
    keep_s: int
    said: Label
    label: Label
    status: str
    total: int
    answered: int
    failed: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_thought: int
    problems: list[dict[str, Any]] | None
    output_file: str | None
    error_file: str | None
    created_at: datetime
    expires_at: datetime
    begun_at: datetime | None
    cancelling_at: datetime | None
    ended_at: datetime | None
    left_s: float

    @property
    def live(self) -> bool:
        """Whether more will come of it by itself."""
        return self.status in LIVE

    @property
    def over(self) -> bool:
        """Whether its window has closed, and not because somebody cancelled it."""
        return self.left_s <= 0 and self.status != "cancelling"

    @property
    def stopping_s(self) -> float:
        """Since how long it is being cancelled."""
        return 0.0 if self.cancelling_at is None else (datetime.now(UTC) - self.cancelling_at).total_seconds()

    def to_wire(self) -> dict[str, Any]:
        """As OpenAI's clients read it, with the job that makes its calls."""
        ended: dict[str, int | None] = {f"{word}_at": None for word in ("completed", "failed", "expired", "cancelled")}
        if not self.live:
            ended[f"{self.status}_at"] = _moment(self.ended_at)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": None if self.problems is None else {"object": "list", "data": self.problems},
            "input_file_id": self.input_file,
            "completion_window": f"{self.window_h}h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": _moment(self.created_at),
            "in_progress_at": _moment(self.begun_at),
            "expires_at": _moment(self.expires_at),
            "finalizing_at": _moment(self.ended_at) if self.status == "completed" else None,
            **ended,
            "cancelling_at": _moment(self.cancelling_at),
            "request_counts": {"total": self.total, "completed": self.answered, "failed": self.failed},
            "usage": {
                "input_tokens": self.tokens_in,
                "input_tokens_details": {"cached_tokens": self.tokens_cached},
                "output_tokens": self.tokens_out,
                "output_tokens_details": {"reasoning_tokens": self.tokens_thought},
                "total_tokens": self.tokens_in + self.tokens_out,
            },
            "metadata": None if self.metadata is None else dict(self.metadata),
            "x_job": self.job,
        }


def _moment(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
