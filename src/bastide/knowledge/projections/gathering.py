"""Gathering: what a target is to hold of a document now, or why nothing; read as who feeds may see it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bastide.errors import UnknownDocument
from bastide.knowledge.projections.values import Content, Mention, Point, Target, Tie
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries

_Q = queries("bastide.knowledge")
_DOCUMENT, _POINTS = _Q["projected_document"], _Q["projected_points"]
_MENTIONS, _TIES = _Q["projected_mentions"], _Q["projected_ties"]
_VERSIONS, _ORIGINAL, _ALIAS, _HERE = (
    _Q["projected_versions"],
    _Q["projected_original"],
    _Q["projected_alias"],
    _Q["documents_here"],
)

ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nothing of this document may be in the target, and why."""

    why: str


class Gathering:
    """Reads documents for targets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # What is asked, in this order: is it here; may who feeds see it; does the target want its collection; its class.
    async def content(self, scope: Scope, target: Target, document: str) -> Content | Withheld:
        """The document's present state, as the kind of target needs it."""
        async with self._store.under(scope) as db:
            row = await db.row(dict, _DOCUMENT, id=document)
            if row is not None:
                why = _withheld(target, row)
                return Withheld(why) if why else await self._read(db, scope, target, row)
        async with self._store.under(scope, past_members=True) as db:
            here = await db.value(_HERE, ids=[document])
        return Withheld("Its collection has members, and who feeds the target is none." if here else ERASED)

    async def same_as(self, scope: Scope, entity: str) -> str:
        """The entity that this one is, itself where it was not merged."""
        key = int(entity.removeprefix("ent_"), 16)
        async with self._store.under(scope, past_members=True) as db:
            found = await db.value(_ALIAS, key=key - (1 << 64) if key >= 1 << 63 else key)
        return str(found or entity)

    async def _read(self, db: Db, scope: Scope, target: Target, row: dict[str, object]) -> Content:
        number = row["number"]
        assert isinstance(number, int), "an identity"
        label = row["label"]
        assert isinstance(label, dict), "a label"
        model, points, mentions, ties, versions = "", [], [], [], []
        if target.kind == "qdrant":
            found = await db.rows(dict, _POINTS, document=number)
            model = found[0]["model"] if found else ""
            points = [
                Point(
                    one["ord"],
                    one["section"],
                    one["page"],
                    one["start_at"],
                    one["end_at"],
                    one["text"],
                    json.loads(one["vector"]),
                )
                for one in found
            ]
        elif target.kind == "neo4j":
            mentions = await db.rows(Mention, _MENTIONS, document=number)
            ties = await db.rows(Tie, _TIES, document=number)
        else:
            versions = [version for (version,) in await db.rows(tuple, _VERSIONS, document=number)]

        async def original(version: int) -> bytes:
            async with self._store.under(scope) as own:
                blob = await own.value(_ORIGINAL, document=number, version=version)
                if blob is None:
                    raise UnknownDocument
                data = await own.get_blob(blob)
                plain = target.options.get("plain") is True
                return data if plain else await own.seal(data, about=about(str(row["id"]), version))

        return Content(
            id=str(row["id"]),
            version=int(str(row["version"])),
            collection=str(row["collection"]),
            name=str(row["name"]),
            title=str(row["title"]),
            language=str(row["language"]),
            label=Label.from_wire(label),
            model=model,
            points=points,
            mentions=mentions,
            ties=ties,
            versions=versions,
            original=original,
        )


def about(document: str, version: int) -> str:
    """What a sealed original is bound to."""
    return f"knowledge.projection|{document}|{version}"


def _withheld(target: Target, row: dict[str, object]) -> str:
    label = row["label"]
    assert isinstance(label, dict), "a label"
    if target.collections is None and row["closed"]:
        return "Its collection has members, and the target does not name it."
    if target.collections is not None and row["collection"] not in target.collections:
        return "The target does not name its collection."
    if not target.admits(Label.from_wire(label)):
        return f"Its class is above {target.class_max}."
    return ""
