"""Switching: an embedder is taken away from a collection, or from all, with the vectors that it made."""

from __future__ import annotations

from bastide.audit import Audit
from bastide.errors import LastEmbedder, UnknownModel
from bastide.knowledge.embedders import Embedders, Switched
from bastide.store import Scope, Store, queries

_Q = queries("bastide.knowledge")
_ROWS, _DROP, _COLLECTIONS = _Q["embedders"], _Q["drop_embedders"], _Q["collections_here"]
_FORGET = _Q["forget_vectors_of_collections"]


class Switching:
    """Switches embedders off. On is a job (`reembedding`), because it takes as long as it takes."""

    def __init__(self, store: Store, audit: Audit, embedders: Embedders) -> None:
        self._store = store
        self._audit = audit
        self._embedders = embedders

    async def off(self, scope: Scope, model: str, collection: str | None) -> None:
        """In one transaction: it is asked no more, and its vectors go. Raises UnknownModel, LastEmbedder."""
        async with self._store.under(scope, past_members=True) as db:
            rows = await db.rows(Switched, _ROWS)
            here = [one for one in rows if one.collection == collection]
            if model not in {one.model for one in here}:
                raise UnknownModel(
                    f"{model[:128]!r} is not switched on {_where(collection)}.",
                    next_step="`bastide embedder list` shows which embedder reads which collection.",
                    model=model[:128],
                )
            if not any(one.state == "on" and one.model != model for one in here):
                raise LastEmbedder(f"{model} is the only embedder {_where(collection)}.", model=model)
            own = {one.collection for one in rows if one.collection is not None}
            names = [name for (name,) in await db.rows(tuple, _COLLECTIONS) if name not in own]
            await db.run(_DROP, collection=collection, models=[model])
            await db.run(_FORGET, collections=names if collection is None else [collection], models=[model])
            await self._audit.record(db, "embedder.off", resource=model, details={"collection": collection})
        self._embedders.forget()


def _where(collection: str | None) -> str:
    return "for all collections" if collection is None else f"for the collection {collection!r}"
