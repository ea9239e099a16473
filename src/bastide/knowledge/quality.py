"""Quality: what of the documents could not be read, or not well, and why; in counts, and one by one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from bastide.errors import UnknownCollection
from bastide.inference import Inference
from bastide.knowledge.bounds import after_cursor, cursor_of
from bastide.knowledge.embedders import known_languages
from bastide.knowledge.keeping import embedder
from bastide.knowledge.likeness import Likeness
from bastide.store import Page, Scope, Store, queries

_Q = queries("bastide.knowledge")
_HAS, _REFUSALS, _PAGES = _Q["has_collection"], _Q["quality_refusals"], _Q["quality_pages"]
_COUNTS, _LIST = _Q["quality_counts"], _Q["quality_list"]

NEAR = 0.8
"""From this similarity on two documents count as near duplicates here."""

_PAIRS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """Files that were refused, by the code of the reason. What they were called stands in the audit log only."""

    code: str
    files: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the documents were read. Only those that the caller may read are counted; refusals are the tenant's.

    `pages` counts by band: how a page was read. `other_language` are documents in a language that `embedder` does not
    know: found by their words only, or less well. `near_duplicates` counts pairs, at most a thousand.
    """

    documents: int
    empty: int
    not_embedded: int
    with_problems: int
    other_language: int
    near_duplicates: int
    pages: dict[str, int]
    refused: tuple[Refused, ...]
    embedder: str | None

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        refused = [{**asdict(one), "last_at": one.last_at.isoformat()} for one in self.refused]
        return {**asdict(self), "refused": refused}


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A document of which something is to be said."""

    id: str
    name: str
    collection: str
    language: str
    chunks: int
    problems: list[str]
    not_embedded: bool
    doubtful_pages: int

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return asdict(self)


class QualityReport:
    """Looks the documents over."""

    def __init__(self, store: Store, inference: Inference, likeness: Likeness) -> None:
        self._store = store
        self._inference = inference
        self._likeness = likeness

    async def counts(self, scope: Scope, collection: str | None) -> Quality:
        """The counts, of one collection or of all. Raises UnknownCollection."""
        present = await embedder(self._inference, scope)
        async with self._store.under(scope) as db:
            if collection is not None and not await db.value(_HAS, name=collection):
                raise UnknownCollection(f"There is no collection {collection!r} here.")
            row = await db.row(dict, _COUNTS, collection=collection, known=_known(present))
            pages: dict[str, int] = dict(await db.rows(tuple, _PAGES, collection=collection))
            refused = await db.rows(Refused, _REFUSALS)
        assert row is not None, "an aggregate always gives a row"
        pairs = await self._likeness.near(scope, collection=collection, least=NEAR, limit=_PAIRS_MAX)
        return Quality(**row, near_duplicates=len(pairs), pages=pages, refused=tuple(refused), embedder=present)

    async def documents(
        self, scope: Scope, collection: str | None, *, cursor: str | None, limit: int
    ) -> Page[Doubtful]:
        """The documents that were read badly or not embedded, or whose language the embedder does not know; by id."""
        present = await embedder(self._inference, scope)
        values = {"collection": collection, "known": _known(present), "after": after_cursor(cursor) or ""}
        async with self._store.under(scope) as db:
            rows = await db.rows(Doubtful, _LIST, **values, limit=limit + 1)
        kept = rows[:limit]
        return Page(tuple(kept), cursor_of(kept[-1].id) if len(rows) > limit else None)


def _known(embedder_name: str | None) -> list[str]:
    """The languages that an embedder knows; none said means all."""
    return sorted(known_languages(embedder_name or ""))
