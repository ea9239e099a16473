"""Moving: documents change their collection or their name, and stay what they are: id, versions, label, index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bastide.audit import Audit, JsonValue
from bastide.errors import BadOption, NameHeld, UnknownDocument
from bastide.knowledge.members import need
from bastide.knowledge.preparing import called
from bastide.store import Db, Scope, Store, queries

_Q = queries("bastide.knowledge")
_LOCK, _TAKEN, _MOVE = _Q["lock_documents"], _Q["names_taken"], _Q["move_documents"]
_RENAME, _RETITLE, _STIR = _Q["rename_document"], _Q["retitle_document"], _Q["stir_extent"]
_ADD_COLLECTION = _Q["add_collection"]

MOVED_MAX = 1_000
"""So many documents move in one transaction; a longer list is moved in parts."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Here:
    id: str
    number: int
    collection: str
    name: str


class Moving:
    """Puts documents elsewhere."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def move(self, scope: Scope, documents: Sequence[str], collection: str, *, reason: str) -> int:
        """Put documents into a collection, which is made if it is not there: all of them or none; how many moved.

        Needs the access write on both sides. Raises UnknownDocument, MembersOnly, NameHeld with the names that clash.
        """
        ids = sorted(set(documents))
        if not ids or len(ids) > MOVED_MAX:
            raise BadOption(f"Name 1 to {MOVED_MAX:,} documents.", option="documents")
        async with self._store.under(scope) as db:
            await need(db, collection, "write")
            await db.run(_ADD_COLLECTION, name=collection)
            there = [one for one in await _locked(db, ids) if one.collection != collection]
            for source in sorted({one.collection for one in there}):
                await need(db, source, "write")
            names = [one.name for one in there]
            twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
            taken = twice or [name for (name,) in await db.rows(tuple, _TAKEN, **_among(collection, there))]
            if taken:
                raise NameHeld(f"{collection!r} has a document of this name already: {_listed(taken)}.")
            numbers = [one.number for one in there]
            await db.run(_MOVE, collection=collection, documents=numbers)
            for one in there:
                details: dict[str, JsonValue] = {"from": one.collection, "to": collection, "reason": reason}
                await self._audit.record(db, "document.move", resource=one.id, details=details)
            await db.run(_STIR, documents=numbers)
        return len(there)

    async def rename(self, scope: Scope, document_id: str, name: str, *, reason: str) -> None:
        """Call a document otherwise. What has no title of its own is titled by its name, and so is retitled.

        Passages are found by the words of the old name until the document is read anew (`reindex`). Raises
        UnknownDocument, MembersOnly, NameHeld.
        """
        async with self._store.under(scope) as db:
            (here,) = await _locked(db, [document_id])
            await need(db, here.collection, "write")
            if here.name == name:
                return
            if await db.rows(tuple, _TAKEN, collection=here.collection, names=[name], ids=[here.id]):
                raise NameHeld(f"{here.collection!r} has a document of this name already.")
            await db.run(_RENAME, document=here.number, name=name)
            await db.run(_RETITLE, document=here.number, before=[here.name, called(here.name)], title=called(name))
            details: dict[str, JsonValue] = {"from": here.name, "to": name, "reason": reason}
            await self._audit.record(db, "document.rename", resource=here.id, details=details)
            await db.run(_STIR, documents=[here.number])


async def _locked(db: Db, ids: Sequence[str]) -> list[_Here]:
    rows = await db.rows(_Here, _LOCK, ids=list(ids))
    if len(rows) < len(ids):
        raise UnknownDocument("One of these documents is not here; none was changed.")
    return rows


def _among(collection: str, documents: Sequence[_Here]) -> dict[str, object]:
    return {
        "collection": collection,
        "names": [one.name for one in documents],
        "ids": [one.id for one in documents],
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
