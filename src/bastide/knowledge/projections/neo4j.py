"""Neo4j: documents, the entities that they name, and the ties that they state, over its HTTP Query API.

Each node has one key that begins with its tenant, and the tenant as a property; no statement matches a node without one
of the two. An entity is there as long as a document names it. A tie belongs to the document that states it.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from bastide.errors import TargetGarbled, TargetRefused
from bastide.knowledge.projections.speaking import Wire, counted
from bastide.knowledge.projections.values import Content, Target

UNIQUE: Final = (
    "CREATE CONSTRAINT bastide_document IF NOT EXISTS FOR (d:BastideDocument) REQUIRE d.key IS UNIQUE",
    "CREATE CONSTRAINT bastide_entity IF NOT EXISTS FOR (e:BastideEntity) REQUIRE e.key IS UNIQUE",
)
PUT_DOCUMENT: Final = (
    "MERGE (d:BastideDocument {key: $key}) SET d.tenant = $tenant, d.id = $id, d.version = $version, "
    "d.collection = $collection, d.name = $name, d.title = $title, d.language = $language, d.class = $class"
)
PUT_MENTIONS: Final = (
    "MATCH (d:BastideDocument {key: $key}) UNWIND $rows AS row MERGE (e:BastideEntity {key: row.key}) "
    "SET e.tenant = $tenant, e.id = row.id, e.type = row.type, e.name = row.name, e.same_as = row.same_as "
    "MERGE (d)-[m:MENTIONS]->(e) SET m.times = row.times"
)
PUT_TIES: Final = (
    "UNWIND $rows AS row MATCH (a:BastideEntity {key: row.a}), (b:BastideEntity {key: row.b}) "
    "MERGE (a)-[r:RELATES {document: $key, type: row.type}]->(b) "
    "SET r.weight = row.weight, r.valid_from = row.valid_from, r.valid_to = row.valid_to"
)
DROP_MENTIONS: Final = "MATCH (d:BastideDocument {key: $key})-[m:MENTIONS]->(:BastideEntity) DELETE m"
DROP_TIES: Final = "MATCH (:BastideEntity {tenant: $tenant})-[r:RELATES {document: $key}]->(:BastideEntity) DELETE r"
DROP_DOCUMENT: Final = "MATCH (d:BastideDocument {key: $key}) DETACH DELETE d"
DROP_UNNAMED: Final = (
    "MATCH (e:BastideEntity {tenant: $tenant}) "
    "WHERE NOT EXISTS { MATCH (e)<-[:MENTIONS]-(:BastideDocument) } DETACH DELETE e"
)
ALIAS: Final = "MATCH (e:BastideEntity {key: $key}) SET e.same_as = $same_as"
COUNT_OF: Final = (
    "MATCH (d:BastideDocument {key: $key}) RETURN count(d) AS n",
    "MATCH (d:BastideDocument {key: $key})-[m:MENTIONS]->(:BastideEntity) RETURN count(m) AS n",
    "MATCH (:BastideEntity {tenant: $tenant})-[r:RELATES {document: $key}]->(:BastideEntity) RETURN count(r) AS n",
)
COUNT_ALL: Final = (
    "MATCH (d:BastideDocument {tenant: $tenant}) RETURN count(d) AS n",
    "MATCH (d:BastideDocument {tenant: $tenant})-[m:MENTIONS]->(:BastideEntity) RETURN count(m) AS n",
    "MATCH (:BastideEntity {tenant: $tenant})-[r:RELATES]->(:BastideEntity) RETURN count(r) AS n",
)
CLEAR: Final = (
    "MATCH (d:BastideDocument {tenant: $tenant}) DETACH DELETE d",
    "MATCH (e:BastideEntity {tenant: $tenant}) DETACH DELETE e",
)

_AT_ONCE = 500


class Neo4j:
    """One tenant's part of a Neo4j database."""

    def __init__(self, target: Target, wire: Wire) -> None:
        self._target = target
        self._wire = wire
        self._path = f"/db/{target.options.get('database', 'neo4j')}/query/v2"
        self._headers = {"accept": "application/json"} | _credentials(target.key)

    # What is no longer said goes before what is said comes, and entities that nobody names go last.
    async def put(self, content: Content) -> int:
        """As `Adapter.put`."""
        for statement in UNIQUE:
            await self._run(statement)
        key = self._key(content.id)
        await self._run(
            PUT_DOCUMENT,
            key=key,
            tenant=self._target.tenant,
            id=content.id,
            version=content.version,
            collection=content.collection,
            name=content.name,
            title=content.title,
            language=content.language,
            **{"class": content.label.cls},
        )
        await self._drop_said(key)
        mentions = [
            {
                "key": self._key(one.entity),
                "id": one.entity,
                "type": one.type,
                "name": one.name,
                "times": one.times,
                "same_as": one.same_as,
            }
            for one in content.mentions
        ]
        named = {one.entity for one in content.mentions}
        ties = {
            (one.a, one.b, one.type): {
                "a": self._key(one.a),
                "b": self._key(one.b),
                "type": one.type,
                "weight": float(one.weight),
                "valid_from": one.valid_from,
                "valid_to": one.valid_to,
            }
            for one in content.ties
            if one.a in named and one.b in named
        }
        for start in range(0, len(mentions), _AT_ONCE):
            some = mentions[start : start + _AT_ONCE]
            await self._run(PUT_MENTIONS, key=key, tenant=self._target.tenant, rows=some)
        rows = list(ties.values())
        for start in range(0, len(rows), _AT_ONCE):
            await self._run(PUT_TIES, key=key, rows=rows[start : start + _AT_ONCE])
        await self._run(DROP_UNNAMED, tenant=self._target.tenant)
        return 1 + len(mentions) + len(rows)

    async def take(self, document: str) -> None:
        """As `Adapter.take`."""
        key = self._key(document)
        await self._drop_said(key)
        await self._run(DROP_DOCUMENT, key=key)
        await self._run(DROP_UNNAMED, tenant=self._target.tenant)

    async def held(self, document: str) -> int:
        """As `Adapter.held`: the document, its mentions, its ties."""
        key = self._key(document)
        document_, mentions, ties = COUNT_OF
        found = await self._count(document_, key=key) + await self._count(mentions, key=key)
        return found + await self._count(ties, key=key, tenant=self._target.tenant)

    async def total(self) -> int:
        """As `Adapter.total`: documents, mentions, ties."""
        return sum([await self._count(statement, tenant=self._target.tenant) for statement in COUNT_ALL])

    async def clear(self) -> None:
        """As `Adapter.clear`."""
        for statement in CLEAR:
            await self._run(statement, tenant=self._target.tenant)

    async def alias(self, entity: str, same_as: str) -> None:
        """As `Adapter.alias`."""
        await self._run(ALIAS, key=self._key(entity), same_as=same_as)

    async def _drop_said(self, key: str) -> None:
        await self._run(DROP_TIES, key=key, tenant=self._target.tenant)
        await self._run(DROP_MENTIONS, key=key)

    def _key(self, id: str) -> str:
        return f"{self._target.tenant}/{id}"

    # -- the wire -----------------------------------------------------------------------------------

    async def _count(self, statement: str, **parameters: Any) -> int:
        rows = await self._run(statement, **parameters)
        if len(rows) != 1 or not isinstance(rows[0], list) or len(rows[0]) != 1:
            raise TargetGarbled("The target's answer gives no count.")
        return counted(rows[0][0])

    async def _run(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of a statement; each is a transaction of its own. Its errors may come with any status."""
        body = {"statement": statement, "parameters": parameters}
        reply = await self._wire.ask("POST", self._path, json=body, headers=self._headers, ok=(200, 202))
        answer = reply.json()
        if not isinstance(answer, dict):
            raise TargetGarbled("The target's answer is no object.")
        if answer.get("errors"):
            raise TargetRefused(f"The target refuses a statement: {str(answer['errors'])[:200]}.")
        data = answer.get("data")
        values = data.get("values") if isinstance(data, dict) else None
        if not isinstance(values, list):
            raise TargetGarbled("The target's answer has no data.")
        return values


def _credentials(key: str | None) -> dict[str, str]:
    """`user:password`, or a token."""
    if not key:
        return {}
    if ":" in key:
        return {"authorization": "Basic " + base64.b64encode(key.encode()).decode()}
    return {"authorization": f"Bearer {key}"}
