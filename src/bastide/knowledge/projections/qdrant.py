"""Qdrant: chunks as points with their vectors, over its REST interface.

One collection for each embedder, named by a hash of its name and the dimension. Tenants share it: the tenant is an
indexed key of the payload, part of each point's id, and in the filter of each request. What a chunk says goes along
only with the option `text`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bastide.errors import TargetGarbled
from bastide.knowledge.projections.speaking import Wire, counted, member
from bastide.knowledge.projections.values import Content, Point, Target

_SPACE = uuid.UUID("6f4b6cf1-4f7e-5a53-9b0e-2d9a1c2b7e10")  # of the ids of our points
_AT_ONCE = 128


class Qdrant:
    """One tenant's part of a Qdrant server."""

    def __init__(self, target: Target, wire: Wire) -> None:
        self._target = target
        self._wire = wire
        self._prefix = str(target.options.get("collection", "bastide"))
        self._text = target.options.get("text") is True
        self._headers = {"api-key": target.key} if target.key else {}

    # First the new points, then what else is there of the document: a crash in between leaves too much, not too little.
    async def put(self, content: Content) -> int:
        """As `Adapter.put`. A document without vectors has no points."""
        own = ""
        ids = [self._id(content.id, content.model, point.ord) for point in content.points]
        if content.points:
            own = self._collection(content.model, len(content.points[0].vector))
            await self._make(own, len(content.points[0].vector))
            for start in range(0, len(ids), _AT_ONCE):
                some = zip(ids[start : start + _AT_ONCE], content.points[start : start + _AT_ONCE], strict=True)
                points = [self._point(id, point, content) for id, point in some]
                await self._write("PUT", f"/collections/{own}/points?wait=true", {"points": points})
        for name in await self._collections():
            rest = self._only(content.id) | ({"must_not": [{"has_id": ids}]} if name == own else {})
            await self._delete(name, rest)
        return len(ids)

    async def take(self, document: str) -> None:
        """As `Adapter.take`."""
        for name in await self._collections():
            await self._delete(name, self._only(document))

    async def held(self, document: str) -> int:
        """As `Adapter.held`."""
        return await self._count(self._only(document))

    async def total(self) -> int:
        """As `Adapter.total`."""
        return await self._count(self._only(None))

    async def clear(self) -> None:
        """As `Adapter.clear`."""
        for name in await self._collections():
            await self._delete(name, self._only(None))

    async def alias(self, entity: str, same_as: str) -> None:
        """Points know of no entities."""

    # -- the wire -----------------------------------------------------------------------------------

    async def _collections(self) -> list[str]:
        reply = await self._wire.ask("GET", "/collections", headers=self._headers)
        found = member(reply.json(), "result", "collections")
        if not isinstance(found, list):
            raise TargetGarbled("The target's list of collections is no list.")
        names = [member(one, "name") for one in found]
        return sorted(name for name in names if isinstance(name, str) and name.startswith(f"{self._prefix}_"))

    async def _make(self, name: str, dimensions: int) -> None:
        if name in await self._collections():
            return
        vectors = {"vectors": {"size": dimensions, "distance": "Dot"}}
        await self._wire.ask("PUT", f"/collections/{name}", json=vectors, headers=self._headers, ok=(200, 409))
        for field, schema in (("tenant", {"type": "keyword", "is_tenant": True}), ("document", "keyword")):
            await self._write(
                "PUT", f"/collections/{name}/index?wait=true", {"field_name": field, "field_schema": schema}
            )

    async def _write(self, method: str, path: str, body: Any) -> None:
        reply = await self._wire.ask(method, path, json=body, headers=self._headers)
        if member(reply.json(), "result", "status") != "completed":
            raise TargetGarbled("The target does not say that the write is completed.")

    async def _delete(self, name: str, which: dict[str, Any]) -> None:
        await self._write("POST", f"/collections/{quote(name)}/points/delete?wait=true", {"filter": which})

    async def _count(self, which: dict[str, Any]) -> int:
        found = 0
        for name in await self._collections():
            body = {"filter": which, "exact": True}
            reply = await self._wire.ask(
                "POST", f"/collections/{quote(name)}/points/count", json=body, headers=self._headers
            )
            found += counted(member(reply.json(), "result", "count"))
        return found

    # -- what is written ----------------------------------------------------------------------------

    def _collection(self, model: str, dimensions: int) -> str:
        return f"{self._prefix}_{hashlib.sha256(model.encode()).hexdigest()[:12]}_{dimensions}"

    def _only(self, document: str | None) -> dict[str, Any]:
        must = [{"key": "tenant", "match": {"value": self._target.tenant}}]
        if document is not None:
            must.append({"key": "document", "match": {"value": document}})
        return {"must": must}

    def _id(self, document: str, model: str, ord: int) -> str:
        return str(uuid.uuid5(_SPACE, f"{self._target.tenant}|{document}|{model}|{ord}"))

    def _point(self, id: str, point: Point, content: Content) -> dict[str, Any]:
        section: Sequence[str] = point.section if self._text else ()
        payload: dict[str, Any] = {
            "tenant": self._target.tenant,
            "document": content.id,
            "version": content.version,
            "chunk": point.ord,
            "collection": content.collection,
            "class": content.label.cls,
            "language": content.language,
            "page": point.page,
            "start": point.start,
            "end": point.end,
        }
        if self._text:
            payload |= {"name": content.name, "title": content.title, "section": list(section), "text": point.text}
        return {"id": id, "vector": list(point.vector), "payload": payload}
