"""Batching: many chats in one job, each a step of its own, so that a batch goes on where it was interrupted.

A request that is refused (no model may receive it, it is malformed) says so in its own place and the rest goes on.
What is away may come back: then the job is tried again, and the answers that are here are not asked for twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from bastide.errors import BadChat, Refusal, TooMany
from bastide.inference.inference import Inference
from bastide.inference.values import ChatRequest
from bastide.workflows import Example, JobType, JsonValue, Limits, Retry, Run

_REQUESTS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The requests, each a body as `/v1/chat/completions` takes it, perhaps with a `custom_id`; `model` for all."""

    requests: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    model: str | None = None


def batch_type(inference: Inference) -> JobType:
    """The job type `inference.batch`."""
    question = "When does the gate open?\n\nPassages:\n[1] The east gate opens at eight."
    return JobType(
        name="inference.batch",
        about="Answers a list of chat requests one by one; each keeps its own receipt, and its own refusal.",
        input=Batch,
        run=partial(_batch, inference),
        permission="model:use",
        limits=Limits(
            input_bytes_max=16 * 1024 * 1024, output_bytes_max=64 * 1024 * 1024, run_s=12 * 3600.0, per_tenant=2
        ),
        retry=Retry(attempts=8, first_s=5.0),
        example=Example(
            {"requests": [{"custom_id": "a", "messages": [{"role": "user", "content": question}]}]},
            lambda out: isinstance(out, Mapping) and out["answered"] == 1,
        ),
    )


async def _batch(inference: Inference, run: Run[Batch]) -> JsonValue:
    asked = run.input.requests
    if not 0 < len(asked) <= _REQUESTS_MAX:
        raise BadChat(f"A batch has 1 to {_REQUESTS_MAX:,} requests.", field="requests")
    results: list[Mapping[str, JsonValue]] = []
    for number, body in enumerate(asked):
        name = f"request {number}"
        before = run.remembered(name) is not None
        result = cast("Mapping[str, JsonValue]", await run.step(name, partial(_ask, inference, run, body)))
        usage = result.get("usage")
        if not before and isinstance(usage, Mapping):
            await run.spent(tokens_in=cast(int, usage["input"]), tokens_out=cast(int, usage["output"]))
        results.append({"n": number, "custom_id": body.get("custom_id"), **result})
        await run.progress(number + 1, len(asked))
    refused = sum("error" in one for one in results)
    return {"results": results, "answered": len(results) - refused, "refused": refused}


async def _ask(inference: Inference, run: Run[Batch], body: Mapping[str, Any]) -> JsonValue:
    wire = {"model": run.input.model, **{name: value for name, value in body.items() if name != "custom_id"}}
    try:
        reply = await inference.chat(run.scope, ChatRequest.from_wire(wire), label=run.label)
    except TooMany:  # not now is no refusal: the job is tried again
        raise
    except Refusal as no:
        return {"error": {"code": no.code, "message": no.message, "next": no.next_step}}
    return {
        "text": reply.text,
        "model": reply.model,
        "finish": reply.finish,
        "receipt": reply.receipt,
        "usage": {"input": reply.usage.input, "output": reply.usage.output, "estimated": reply.usage.estimated},
    }
