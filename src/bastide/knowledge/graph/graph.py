"""The graph's one class. Each operation asks the scope first; what it tells comes from readable documents only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from bastide.audit import Audit
from bastide.errors import BadGraphType, BadOption, GraphTypeInUse, UnknownGraphType
from bastide.knowledge import bounds
from bastide.knowledge.graph import asking, communities, deciding, telling
from bastide.knowledge.graph.asking import Narrowed
from bastide.knowledge.graph.options import (
    depth_in,
    offset_in,
    page_of,
    pair_in,
    reason_in,
    triple_in,
    word_in,
    zoned,
)
from bastide.knowledge.graph.types import SHIPPED, TYPES_MAX, Registry, checked
from bastide.knowledge.graph.values import (
    Candidate,
    Community,
    Decision,
    Entity,
    Episode,
    GraphStatistics,
    GraphType,
    Mention,
    Neighbour,
    Path,
    Relation,
    Subgraph,
)
from bastide.store import Db, Page, Scope, Store, queries

READ, WRITE = "knowledge:read", "knowledge:write"
LIST_MAX = 200

_Q = queries("bastide.knowledge")
_TYPES, _ADD_TYPE, _FORGET_TYPE = _Q["graph_types"], _Q["add_graph_type"], _Q["forget_graph_type"]
_IN_USE, _STATISTICS, _SHARES = _Q["graph_type_in_use"], _Q["graph_statistics"], _Q["graph_shares"]


class Graph:
    """Who and what the documents name, how it is tied, and when it was so."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    # -- types --------------------------------------------------------------------------------------

    async def types(self, scope: Scope) -> tuple[GraphType, ...]:
        """Every type of node and relation that there is here, the tenant's own last."""
        scope.need(READ)
        async with self._store.under(scope) as db:
            return (await registry(db)).all()

    async def add_type(self, scope: Scope, type: GraphType) -> GraphType:
        """Add a type of node or relation. Raises BadGraphType, which says what is wrong with it."""
        scope.need(WRITE)
        async with self._store.under(scope) as db:
            known = await registry(db)
            own = checked(type, known)
            if len(known.all()) - len(SHIPPED.all()) >= TYPES_MAX:
                raise BadGraphType(f"A tenant adds at most {TYPES_MAX} types.")
            await db.run(
                _ADD_TYPE,
                kind=own.kind,
                name=own.name,
                about=own.about.strip(),
                from_types=list(own.from_types),
                to_types=list(own.to_types),
                symmetric=own.symmetric,
                inverse=own.inverse,
                transitive=own.transitive,
            )
            await self._audit.record(db, "graph.type.add", details={"kind": own.kind, "name": own.name})
            found = await registry(db)
        return (found.nodes if own.kind == "node" else found.relations)[own.name]

    async def remove_type(self, scope: Scope, kind: str, name: str) -> None:
        """Take a type of the tenant's own away. Raises UnknownGraphType, GraphTypeInUse."""
        scope.need(WRITE)
        async with self._store.under(scope) as db:
            known = await registry(db)
            type = (known.nodes if kind == "node" else known.relations if kind == "relation" else {}).get(name)
            if type is None:
                raise UnknownGraphType
            if type.shipped or await db.value(_IN_USE, kind=kind, name=name):
                raise GraphTypeInUse
            await db.run(_FORGET_TYPE, kind=kind, name=name)
            await self._audit.record(db, "graph.type.remove", details={"kind": kind, "name": name})

    # -- entities -----------------------------------------------------------------------------------

    async def entities(
        self,
        scope: Scope,
        *,
        query: str | None = None,
        type: str | None = None,
        collection: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Entity]:
        """The entities whose name holds `query`, those named most often first.

        With a collection, everything told of them (names, counts, labels) is what its documents say.
        """
        scope.need(READ)
        after = pair_in(cursor)
        wanted = bounds.limit(limit, LIST_MAX)
        within = bounds.collection(collection) if collection is not None else None
        said = bounds.query(query) if query is not None else None
        async with self._store.under(scope) as db:
            found = await asking.page(
                db, query=said, type=word_in(type, "type"), collection=within, after=after, limit=wanted + 1
            )
            known = await asking.described(db, found, collection=within)
        kept = [known[entity] for entity in found[:wanted] if entity in known]
        last = (kept[-1].mentions, found[min(wanted, len(found)) - 1]) if len(found) > wanted and kept else None
        return Page(tuple(kept), bounds.cursor_of(f"{last[0]}:{last[1]}") if last else None)

    async def entity(self, scope: Scope, id: str) -> Entity:
        """One entity; an id that was merged into another leads there. Raises UnknownEntity."""
        scope.need(READ)
        async with self._store.under(scope) as db:
            return (await asking.one(db, id))[2]

    async def mentions(self, scope: Scope, id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Mention]:
        """The passages that name an entity. Raises UnknownEntity."""
        scope.need(READ)
        wanted = bounds.limit(limit, LIST_MAX)
        after = triple_in(cursor)
        async with self._store.under(scope) as db:
            _, keys, _ = await asking.one(db, id)
            found = await asking.mentions(db, keys, after=after, limit=wanted + 1)
        kept, more = found[:wanted], len(found) > wanted
        last = kept[-1] if more else None
        return Page(tuple(kept), bounds.cursor_of(f"{last.id}:{last.extractor}") if last else None)

    async def resolve(self, scope: Scope, name_or_id: str, *, limit: int = 10) -> tuple[Candidate, ...]:
        """The entities that a name may mean, or that may be the same as an entity, with reasons and a score."""
        scope.need(READ)
        asked = bounds.query(name_or_id)
        async with self._store.under(scope) as db:
            return tuple(await deciding.candidates(db, asked, bounds.limit(limit, LIST_MAX)))

    # -- ties ---------------------------------------------------------------------------------------

    async def neighbours(
        self,
        scope: Scope,
        id: str,
        *,
        depth: int = 1,
        types: Iterable[str] | None = None,
        as_of: date | None = None,
        limit: int = 50,
    ) -> tuple[Neighbour, ...]:
        """The entities up to three steps from one, the nearest and strongest first. Raises UnknownEntity."""
        scope.need(READ)
        narrowed = Narrowed(types=asking.checked_types(types), as_of=as_of)
        hops, wanted = depth_in(depth), bounds.limit(limit, LIST_MAX)
        async with self._store.under(scope) as db:
            (entity,) = await asking.owned(db, [asking.key(id)])
            return tuple(await asking.neighbours(db, entity, depth=hops, narrowed=narrowed, limit=wanted))

    async def relations(
        self,
        scope: Scope,
        *,
        id: str | None = None,
        types: Iterable[str] | None = None,
        collection: str | None = None,
        as_of: date | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Relation]:
        """Ties, the strongest first: of an entity, of what a document itself does (`doc_`), or of all.

        `as_of` keeps those that hold on a day, or do not say when; `known_at` those that were known at a time. What was
        replaced by a newer version is not known any more.
        """
        scope.need(READ)
        within = bounds.collection(collection) if collection is not None else None
        narrowed = Narrowed(asking.checked_types(types), as_of, zoned(known_at), within)
        wanted, offset = bounds.limit(limit, LIST_MAX), offset_in(cursor)
        async with self._store.under(scope) as db:
            document = keys = None
            if id is not None and id.startswith("doc_"):
                document = telling.section_in(id)[0]
            elif id is not None:
                _, keys, _ = await asking.one(db, id)
            found = await asking.relations(
                db, keys=keys, document=document, narrowed=narrowed, limit=wanted + 1, offset=offset
            )
        return page_of(found, wanted, offset)

    async def references(
        self, scope: Scope, id: str, *, incoming: bool = False, limit: int = 50
    ) -> tuple[Relation, ...]:
        """What a document (`doc_`) or a section (`sec_`) refers to, or what refers to it. Raises UnknownEntity."""
        scope.need(READ)
        wanted = bounds.limit(limit, LIST_MAX)
        async with self._store.under(scope) as db:
            ask = telling.points_here if incoming else telling.points_to
            return tuple(await ask(db, id, wanted))

    async def paths(
        self, scope: Scope, a: str, b: str, *, max_hops: int = 3, types: Iterable[str] | None = None, limit: int = 5
    ) -> tuple[Path, ...]:
        """The shortest ways between two entities, at most `max_hops` steps; none is no error. Raises UnknownEntity."""
        scope.need(READ)
        narrowed = Narrowed(types=asking.checked_types(types))
        hops, wanted = depth_in(max_hops, 6), bounds.limit(limit, 20)
        async with self._store.under(scope) as db:
            one, other = (await asking.one(db, a))[0], (await asking.one(db, b))[0]
            return tuple(await asking.paths(db, one, other, hops_max=hops, narrowed=narrowed, limit=wanted))

    async def subgraph(
        self,
        scope: Scope,
        seeds: Sequence[str],
        *,
        hops: int = 1,
        types: Iterable[str] | None = None,
        limit: int = 100,
    ) -> Subgraph:
        """The seeds, what stands up to `hops` steps from them, and all ties among these. Raises UnknownEntity."""
        scope.need(READ)
        if isinstance(seeds, str) or not 1 <= len(seeds) <= 50:
            raise BadOption("A subgraph begins at 1 to 50 entities.", option="seeds")
        narrowed = Narrowed(types=asking.checked_types(types))
        depth, wanted = depth_in(hops), bounds.limit(limit, 500)
        async with self._store.under(scope) as db:
            roots = list(dict.fromkeys([(await asking.one(db, one))[0] for one in seeds]))
            return await asking.subgraph(db, roots, hops=depth, narrowed=narrowed, limit=wanted)

    # -- time ---------------------------------------------------------------------------------------

    async def timeline(
        self, scope: Scope, id: str, *, known_at: datetime | None = None, limit: int = 100
    ) -> tuple[Episode, ...]:
        """What the documents say happened to an entity, and when they came in, in the order of time."""
        scope.need(READ)
        wanted, at = bounds.limit(limit, 500), zoned(known_at)
        async with self._store.under(scope) as db:
            _, keys, _ = await asking.one(db, id)
            told = await telling.episodes(db, keys=keys, known_at=at, limit=wanted)
            came = await telling.intakes(db, keys, known_at=at, limit=wanted)
        return tuple(sorted([*told, *came], key=telling.moment)[:wanted])

    async def episodes(
        self,
        scope: Scope,
        *,
        collection: str | None = None,
        since: date | None = None,
        until: date | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Episode]:
        """Dated sentences with a name in them, the earliest first; `since` and `until` bound the time they tell of."""
        scope.need(READ)
        wanted, offset = bounds.limit(limit, LIST_MAX), offset_in(cursor)
        within = bounds.collection(collection) if collection is not None else None
        async with self._store.under(scope) as db:
            found = await telling.episodes(
                db,
                collection=within,
                since=since,
                until=until,
                known_at=zoned(known_at),
                limit=wanted + 1,
                offset=offset,
            )
        return page_of(found, wanted, offset)

    # -- decisions ----------------------------------------------------------------------------------

    async def merge(self, scope: Scope, ids: Sequence[str], reason: str) -> Decision:
        """Make entities one, known by the first. Raises UnknownEntity, BadMerge, BadOption without a reason."""
        scope.need(WRITE)
        why = reason_in(reason)
        async with self._store.under(scope) as db:
            made = await deciding.merge(db, scope.user or scope.app or "", ids, why)
            await self._audit.record(db, "graph.merge", resource=made.id, details={"entities": list(made.entities)})
        return made

    async def split(self, scope: Scope, id: str, sources: Sequence[str], reason: str) -> Decision:
        """Make what these mentions (`Mention.id`) name an entity of its own. Raises UnknownEntity, BadMerge."""
        scope.need(WRITE)
        why = reason_in(reason)
        async with self._store.under(scope) as db:
            made = await deciding.split(db, scope.user or scope.app or "", id, sources, why)
            await self._audit.record(db, "graph.split", resource=made.id, details={"entities": list(made.entities)})
        return made

    async def undo(self, scope: Scope, id: str, *, reason: str = "") -> Decision:
        """Take a merge or a split back, exactly; later decisions stay. Raises UnknownDecision."""
        scope.need(WRITE)
        why = bounds.reason(reason)
        async with self._store.under(scope) as db:
            undone = await deciding.undo(db, scope.user or scope.app or "", id, why)
            await self._audit.record(db, "graph.undo", resource=undone.id, details={"kind": undone.kind})
        return undone

    async def decisions(self, scope: Scope, *, cursor: str | None = None, limit: int = 50) -> Page[Decision]:
        """Merges and splits, newest first, those undone included."""
        scope.need(READ)
        wanted = bounds.limit(limit, LIST_MAX)
        async with self._store.under(scope) as db:
            found = await deciding.decisions(db, before=bounds.after_cursor(cursor), limit=wanted + 1)
        kept = found[:wanted]
        return Page(tuple(kept), bounds.cursor_of(kept[-1].id) if len(found) > wanted else None)

    # -- the whole ----------------------------------------------------------------------------------

    async def communities(self, scope: Scope, *, level: int = 0, limit: int = 50) -> tuple[Community, ...]:
        """Entities that belong together, the largest group first; made by the job `knowledge.communities`."""
        scope.need(READ)
        if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= 9:
            raise BadOption("level is a whole number from 0 to 9.", option="level")
        async with self._store.under(scope) as db:
            return tuple(await communities.listed(db, level, bounds.limit(limit, LIST_MAX)))

    async def statistics(self, scope: Scope) -> GraphStatistics:
        """How large the graph is that the caller may see."""
        scope.need(READ)
        async with self._store.under(scope) as db:
            row = await db.row(dict, _STATISTICS)
            shares: list[tuple[str, str, int]] = await db.rows(tuple, _SHARES)
        assert row is not None, "a select without from has a row"
        by: dict[str, dict[str, int]] = {"type": {}, "relation": {}, "extractor": {}}
        for of, name, count in shares:
            by[of][name] = count
        return GraphStatistics(**row, by_type=by["type"], by_relation=by["relation"], by_extractor=by["extractor"])


async def registry(db: Db) -> Registry:
    """The shipped types and the tenant's own."""
    rows = await db.rows(tuple, _TYPES)
    return SHIPPED.with_more(
        GraphType(kind, name, about, tuple(ends), tuple(others), symmetric, inverse, transitive, shipped=False)
        for kind, name, about, ends, others, symmetric, inverse, transitive in rows
    )
