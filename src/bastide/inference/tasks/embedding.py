"""Texts as vectors."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field

from bastide.inference.tasks.kinds import Kind, Name, Output, Text
from bastide.inference.tasks.task import Task
from bastide.workflows import JsonValue

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Embed:
    """Texts, whether they are passages or questions, and how the vectors are written.

    `base64` is little-endian float32, a quarter of the size of `float`.
    """

    texts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=512)]
    kind: Literal["passage", "query"] = "passage"
    encoding: Literal["float", "base64"] = "float"
    model: Name | None = None


async def _embed(task: Task[Embed]) -> Output:
    """One step a batch, so that a job that is taken over does not embed again what is done."""
    asked = task.input
    vectors: list[JsonValue] = []
    dimensions = 0
    for start in range(0, len(asked.texts), _BATCH):
        batch = asked.texts[start : start + _BATCH]

        async def work(batch: tuple[str, ...] = batch) -> JsonValue:
            got = await task.inference.embed(
                task.run.scope, batch, label=task.run.label, model=asked.model, kind=asked.kind
            )
            await task.run.spent(tokens_in=got.usage.input)
            rows = np.ascontiguousarray(got.vectors, dtype="<f4")
            return {
                "vectors": [base64.b64encode(row.tobytes()).decode() for row in rows],
                "dimensions": got.dimensions,
                "model": got.model,
                "receipt": got.receipt,
            }

        said = cast("dict[str, Any]", await task.run.step(f"embed {start}", work))
        task.note([said["receipt"]], [said["model"]])
        dimensions = said["dimensions"]
        vectors += said["vectors"] if asked.encoding == "base64" else [_numbers(row) for row in said["vectors"]]
        await task.run.progress(min(start + _BATCH, len(asked.texts)), len(asked.texts))
    return task.output("embedded", vectors=vectors, dimensions=dimensions, encoding=asked.encoding)


def _numbers(row: str) -> list[float]:
    """A row as numbers that are the same float32 when read again, in as few digits as that takes."""
    return [float(str(number)) for number in np.frombuffer(base64.b64decode(row), dtype="<f4")]


def _nearer(output: Any) -> bool:
    """Whether two texts on one thing are nearer to each other than to one on another."""
    first, second, other = output["vectors"]
    lengths = [math.sqrt(sum(number * number for number in row)) for row in output["vectors"]]
    alike = sum(a * b for a, b in zip(first, second, strict=True))
    unlike = sum(a * b for a, b in zip(first, other, strict=True))
    return alike > unlike and all(abs(length - 1) < 1e-3 for length in lengths)


KINDS = (
    Kind(
        "embed",
        "Turn texts into vectors of length 1, in their order, for comparing them by meaning.",
        Embed,
        _embed,
        {"texts": ["The cat sleeps on the sofa.", "A cat is asleep on the couch.", "The invoice is due in June."]},
        _nearer,
    ),
)
"""The task types of this file."""
