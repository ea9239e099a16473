"""Keeping: vectors that are there already. A new version embeds only the chunks whose words, or headings, are new."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bastide.inference import Inference
from bastide.knowledge.preparing import heading
from bastide.store import Db, Scope, queries

_Q = queries("bastide.knowledge")
_EMBEDDED = _Q["chunks_embedded"]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors by the text that they were made from, as the database writes them; all of one model."""

    model: str = ""
    vectors: Mapping[str, str] = field(default_factory=dict)


async def embedder(inference: Inference, scope: Scope) -> str | None:
    """The name of the embedder that a document would get now; None where there is none."""
    known = [one for one in await inference.models(scope) if "embeddings" in one.capabilities]
    known.sort(key=lambda one: not one.built_in)
    return known[0].name if known else None


async def embedded(db: Db, document_id: str, model: str | None, wanted: Collection[str]) -> Embeddings:
    """Of the texts `wanted` those that this document has embedded by `model`; half precision, as they were kept."""
    if model is None:
        return Embeddings()
    found: dict[str, str] = {}
    async for section, text, title, by, vector in db.stream(tuple, _EMBEDDED, id=document_id, page=500):
        key = f"{heading(title, section)}\n{text}".strip()
        if by == model and key in wanted:
            found[key] = vector
    return Embeddings(model, found) if found else Embeddings()
