"""Files and batches as OpenAI's clients speak of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bastide.api.shapes.ground import Asked, Said
from bastide.api.shapes.work import example

FILE_EXAMPLE, BATCH_EXAMPLE = "file_06ar2k8m1v6t7c9d0e1f2g3h4j", "batch_06ar2k8m1v6t7c9d0e1f2g3h4j"


class WhichFiles(Asked):
    """A page of the files."""

    after: str | None = Field(None, max_length=200, description="The last one of the page before.")
    limit: int = Field(10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = Field("desc", description="By when they came: the newest first is `desc`.")
    purpose: str | None = Field(None, max_length=100)


class HowDeleted(Asked):
    """What goes with a file."""

    derived: bool = Field(False, description="Also the batches that were made of it, and all that came of them.")


class KeptUntil(Asked):
    """How long a file is kept."""

    anchor: Literal["created_at"]
    seconds: int = Field(description="3600 to 2592000, counted from when it came.")


class NewBatch(Asked):
    """A file of calls that are to be made."""

    model_config = example(
        input_file_id=FILE_EXAMPLE, endpoint="/v1/chat/completions", completion_window="24h", metadata={"case": "7"}
    )
    input_file_id: str = Field(max_length=200)
    endpoint: str = Field(max_length=200, description="Where every line goes: one of the wires of models.")
    completion_window: str = Field("24h", max_length=20, description="24h, 48h or 72h; what is not done then expires.")
    metadata: dict[str, str] | None = Field(None, max_length=16)
    output_expires_after: KeptUntil | None = Field(None, description="Thirty days unless it is said.")


class WhichBatches(Asked):
    """A page of the batches."""

    after: str | None = Field(None, max_length=200, description="The last one of the page before.")
    limit: int = Field(20, ge=1, le=100)


class File(Said):
    """A file, with the label of what stands in it."""

    id: str = Field(examples=[FILE_EXAMPLE])
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    x_label: dict[str, Any]


class FileDeleted(Said):
    """It is gone."""

    id: str
    object: Literal["file"]
    deleted: bool = True


class Batch(Said):
    """A batch; `x_job` is the durable work that makes its calls."""

    id: str = Field(examples=[BATCH_EXAMPLE])
    object: Literal["batch"]
    status: Literal["validating", "in_progress", "completed", "expired", "cancelling", "cancelled", "failed"]
    input_file_id: str
    endpoint: str
    request_counts: dict[str, int]
    output_file_id: str | None
    error_file_id: str | None
    errors: dict[str, Any] | None
    x_job: str


class PageOfOpenAI(Said):
    """A page of a list; `last_id` is the `after` of the next one."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    has_more: bool
    first_id: str | None
    last_id: str | None
