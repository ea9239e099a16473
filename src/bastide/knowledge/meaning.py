"""Meaning: the vectors of documents' chunks, by each embedder of their collection. No transaction is open meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bastide.errors import NoPermittedModel, Refusal, Unavailable
from bastide.inference import Inference
from bastide.knowledge.embedders import Embedders
from bastide.knowledge.indexing import Known, Vectors
from bastide.knowledge.keeping import Embeddings, embedded, embedder
from bastide.knowledge.preparing import Prepared
from bastide.policy import Label
from bastide.store import Scope, Store, vector_text
from bastide.telemetry import count, timed

LATER = "Not embedded yet: found by its words only."
_AT_ONCE = 1_024


class Meaning:
    """Embeds documents."""

    def __init__(self, store: Store, inference: Inference, embedders: Embedders) -> None:
        self._store = store
        self._inference = inference
        self._embedders = embedders

    async def of(self, scope: Scope, prepared: Prepared, label: Label, collection: str, older: Known | None) -> Vectors:
        """The vectors of all chunks of a document; what `older` has stays."""
        models = await self._embedders.of(scope, collection)
        known = {model: await self._known(scope, older, prepared, model) for model in models}
        return (await self._by_all(scope, [prepared], label, known))[0]

    async def of_many(self, scope: Scope, each: Sequence[Prepared], label: Label, collection: str) -> list[Vectors]:
        """The same for documents of one label that are new: one call of each embedder for all of them."""
        known = {model: Embeddings() for model in await self._embedders.of(scope, collection)}
        return await self._by_all(scope, each, label, known)

    async def _by_all(
        self, scope: Scope, each: Sequence[Prepared], label: Label, known: dict[str | None, Embeddings]
    ) -> list[Vectors]:
        made = [await self._by(scope, each, label, own, model) for model, own in known.items()]
        return [_together(list(found)) for found in zip(*made, strict=True)]

    async def _known(self, scope: Scope, older: Known | None, prepared: Prepared, model: str | None) -> Embeddings:
        """What the document has embedded already, of the texts that are to be embedded: by this embedder."""
        if older is None or not prepared.pieces:
            return Embeddings()
        present = model or await embedder(self._inference, scope)
        wanted = set(prepared.texts_to_embed())
        async with self._store.under(scope, past_members=True) as db:  # who may was asked before
            return await embedded(db, older.id, present, wanted)

    async def _by(
        self, scope: Scope, each: Sequence[Prepared], label: Label, known: Embeddings, by: str | None
    ) -> list[Vectors]:
        """The vectors of all chunks by one embedder; a text that `known` has is not embedded again."""
        texts = [one.texts_to_embed() for one in each]
        wanted = dict.fromkeys(text for own in texts for text in own)
        fresh = [text for text in wanted if text not in known.vectors]
        made: dict[str, str] = {}
        model = known.model
        try:
            with timed("knowledge_embed"):
                for start in range(0, len(fresh), _AT_ONCE):
                    some = fresh[start : start + _AT_ONCE]
                    part = await self._inference.embed(scope, some, label=label, model=by, kind="passage")
                    made |= zip(some, await asyncio.to_thread(_as_texts, part.vectors), strict=True)
                    model = part.model
        except (Refusal, Unavailable) as no:
            if isinstance(no, NoPermittedModel) and len(each) > 1:  # what is found in one says nothing of the others
                return [(await self._by(scope, [one], label, known, by))[0] for one in each]
            problem = f"Not embedded ({no.code}): found by its words only until it is reindexed."
            return [Vectors(problem=problem) if own else Vectors() for own in texts]
        if known.vectors and model != known.model:  # another embedder took over between the two
            return await self._by(scope, each, label, Embeddings(), by)
        count("knowledge_embedded", len(fresh))
        count("knowledge_embeddings_kept", sum(map(len, texts)) - len(fresh))
        found = {**known.vectors, **made}
        return [Vectors(model, [found[text] for text in own]) if own else Vectors() for own in texts]


def _together(found: list[Vectors]) -> Vectors:
    """What several embedders made of one document, as one."""
    found.sort(key=lambda one: not one.texts)
    beside = tuple(one for one in found[1:] if one.texts)
    return replace(found[0], beside=beside, problem=next((one.problem for one in found if one.problem), ""))


def _as_texts(vectors: np.ndarray) -> list[str]:
    return [vector_text(row) for row in vectors]
