"""Syncing: the catalogues of a tenant's endpoints asked for as a job, so that a schedule can do it each night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from bastide.errors import BastideError
from bastide.inference import tasks
from bastide.inference.batching import batch_type
from bastide.inference.inference import Inference
from bastide.workflows import Example, JobType, JsonValue, Retry, Run


@dataclass(frozen=True, slots=True)
class Catalogues:
    """Those of one provider's record, or of every endpoint that the tenant has a model of."""

    provider: str | None = None


def job_types(inference: Inference) -> list[JobType]:
    """All types of work of the room but the batches of files: what a text is asked for, batches, the catalogues."""
    return [*tasks.job_types(inference), batch_type(inference), sync_type(inference)]


def sync_type(inference: Inference) -> JobType:
    """The job type `inference.sync`."""
    return JobType(
        name="inference.sync",
        about="Asks each endpoint what it offers: what came, what went, whose price has changed.",
        input=Catalogues,
        run=partial(_sync, inference),
        permission="model:manage",
        retry=Retry(attempts=4, first_s=30.0),
        example=Example({}, lambda out: isinstance(out, Mapping) and out["failed"] == 0),
    )


async def _sync(inference: Inference, run: Run[Catalogues]) -> JsonValue:
    endpoints: list[JsonValue] = []
    failed = 0
    models = await inference.catalogue.endpoints(run.scope, run.input.provider)
    for number, model in enumerate(models):
        try:
            endpoints.append(await run.step(f"ask {model}", partial(_one, inference, run, model)))
        except BastideError as fault:  # one that is away or refused does not keep the others from being asked
            failed += 1
            endpoints.append({"model": model, "error": {"code": fault.code, "message": fault.message}})
        await run.progress(number + 1, len(models))
    return {"endpoints": endpoints, "failed": failed}


async def _one(inference: Inference, run: Run[Catalogues], model: str) -> JsonValue:
    return {"model": model, **(await inference.catalogue.sync(run.scope, model=model)).to_wire()}
