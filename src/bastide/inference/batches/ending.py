"""How a batch ends: what came of it gets its files, in the transaction that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bastide.audit import Audit, JsonValue
from bastide.errors import UnknownBatch
from bastide.inference.batches.handed import doom
from bastide.inference.batches.lines import Problem
from bastide.inference.batches.values import Batch
from bastide.policy import Label
from bastide.store import Db, Json, new_id, queries

_Q = queries("bastide.inference")
_AT_WORK, _END, _ADD_OUTPUT = _Q["batch_at_work"], _Q["end_batch"], _Q["add_output"]


async def batch_at_work(db: Db, id: str) -> Batch:
    """A batch, held until the transaction ends. Raises UnknownBatch."""
    row = await db.row(dict, _AT_WORK, id=id)
    if row is None:
        raise UnknownBatch
    return batch_of(row)


async def end(db: Db, audit: Audit, batch: Batch, status: str, problems: Sequence[Problem] | None) -> Batch:
    """End a batch that is held: its answers and its errors become files, as far as there are any."""
    outputs: dict[bool, str | None] = {}
    for failed, word in ((False, "output"), (True, "error")):
        id, name = new_id("file"), f"{batch.id}_{word}.jsonl"
        outputs[failed] = await db.value(_ADD_OUTPUT, id=id, name=name, batch=batch.id, failed=failed)
    await db.run(
        _END,
        id=batch.id,
        status=status,
        problems=None if problems is None else Json(list(problems)),
        output_file=outputs[False],
        error_file=outputs[True],
    )
    await doom(db, batches=[batch.id])  # whatever of it still lies at a provider
    details: dict[str, JsonValue] = {
        "status": status,
        "total": batch.total,
        "completed": batch.answered,
        "failed": batch.failed,
    }
    subjects = sorted(batch.label.subjects)
    await audit.record(db, "batch.end", resource=batch.id, subjects=subjects, details=details)
    return await batch_at_work(db, batch.id)


def batch_of(row: dict[str, Any]) -> Batch:
    """A row as the value."""
    return Batch(**{**row, "said": Label.from_wire(row["said"]), "label": Label.from_wire(row["label"])})
