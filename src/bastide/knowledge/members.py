"""Members: who may see a collection, for how long it keeps its documents, and which of them must be kept.

A collection without members is open to its tenant. With members it is theirs alone, and that is held by row security
(schema/0007), not here: a search, a list, a graph show a person only what the person may read. Access is read, write
or manage, each with those before it. Whoever has the permission knowledge:manage sees no more than others do; but
may change the members of any collection, themselves included, and that is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from bastide.audit import Audit, JsonValue
from bastide.errors import BadOption, DocumentHeld, MembersOnly, UnknownCollection, UnknownDocument
from bastide.knowledge.bounds import after_cursor, cursor_of
from bastide.store import Db, Page, Scope, Store, is_id, queries

_Q = queries("bastide.knowledge")
_CLOSED, _LOCK, _LIST = _Q["closed_collections"], _Q["lock_collection"], _Q["list_members"]
_PUT, _FORGET = _Q["put_members"], _Q["forget_members"]
_GET, _SET_RETENTION = _Q["get_collection"], _Q["set_retention"]
_PLACE_HOLD, _RELEASE_HOLD, _HOLDS_ON, _LIST_HOLDS = (
    _Q["place_hold"],
    _Q["release_hold"],
    _Q["holds_on"],
    _Q["list_holds"],
)

Access = Literal["read", "write", "manage"]

MANAGE = "knowledge:manage"
MEMBERS_MAX = 500
RETENTION_DAYS_MAX = 36_500

_ROLE = re.compile(r"role:[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A collection with who may see it and how long it keeps its documents; no members means everybody."""

    name: str
    documents: int
    members: Mapping[str, Access]
    retention_days: int | None
    created: datetime

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "name": self.name,
            "documents": self.documents,
            "members": dict(self.members),
            "retention_days": self.retention_days,
            "created": self.created.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Hold:
    """A document that must be kept, and why."""

    document: str
    name: str
    collection: str
    reason: str
    placed_by: str
    placed_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {**asdict(self), "placed_at": self.placed_at.isoformat()}


async def need(db: Db, collection: str, access: Access) -> None:
    """Refuse who is no member with this access, where the collection has members. Raises MembersOnly."""
    if collection in await closed(db, access):
        raise MembersOnly(f"{collection!r} has members; this needs the access {access}.")


async def closed(db: Db, access: Access = "read") -> list[str]:
    """The collections that who acts has not this access to."""
    return list(await db.value(_CLOSED, access=access))


async def refuse_held(db: Db, document_id: str) -> None:
    """Refuse for a document on hold. Raises DocumentHeld, which says why it is kept."""
    found = await db.row(tuple, _HOLDS_ON, ids=[document_id])
    if found is not None:
        raise DocumentHeld(f"{document_id} is on hold: {found[1]}")


async def held(db: Db, documents: list[str]) -> dict[str, str]:
    """Of these documents those on hold, with the reason."""
    return dict(await db.rows(tuple, _HOLDS_ON, ids=documents))


class Members:
    """Who may see what, and what is kept."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def get(self, scope: Scope, collection: str) -> Kept:
        """A collection that the caller sees, or manages by permission. Raises UnknownCollection."""
        async with self._store.under(scope, past_members=MANAGE in scope.permissions) as db:
            return await kept_collection(db, collection)

    async def set(self, scope: Scope, collection: str, members: Mapping[str, str], *, reason: str) -> Kept:
        """Exactly these members from now on; none opens the collection to the tenant.

        For those who manage it, and whoever has knowledge:manage. Raises UnknownCollection, MembersOnly, BadOption.
        """
        wanted = _members(members)
        async with self._store.under(scope, past_members=True) as db:
            before = await kept_collection(db, collection)
            if MANAGE not in scope.permissions:
                _refuse_strangers(scope, before, wanted)
            await db.value(_LOCK, name=collection)
            await db.run(_FORGET, collection=collection, kept=list(wanted))
            await db.run(_PUT, collection=collection, members=list(wanted), accesses=list(wanted.values()))
            details: dict[str, JsonValue] = {
                "collection": collection,
                "before": cast("JsonValue", dict(before.members)),
                "after": cast("JsonValue", dict(wanted)),
                "reason": reason,
            }
            await self._audit.record(
                db, "collection.members", subjects=_persons({*before.members, *wanted}), details=details
            )
            return await kept_collection(db, collection)

    async def retain(self, scope: Scope, collection: str, days: int | None, *, reason: str) -> Kept:
        """How many days after it was last changed a document of the collection is deleted; None keeps it for good.

        Raises BadOption, UnknownCollection.
        """
        if days is not None and (isinstance(days, bool) or not 1 <= days <= RETENTION_DAYS_MAX):
            raise BadOption(f"Documents are kept for 1 to {RETENTION_DAYS_MAX:,} days, or for good.", option="days")
        scope.need(MANAGE)
        async with self._store.under(scope, past_members=True) as db:
            before = await kept_collection(db, collection)
            await db.run(_SET_RETENTION, name=collection, days=days)
            details: dict[str, JsonValue] = {
                "collection": collection,
                "before": before.retention_days,
                "after": days,
                "reason": reason,
            }
            await self._audit.record(db, "collection.retention", details=details)
            return await kept_collection(db, collection)

    async def hold(self, scope: Scope, document_id: str, *, reason: str) -> None:
        """Keep a document until it is released: nothing deletes it. Raises UnknownDocument, BadOption."""
        if not reason:
            raise BadOption("A hold needs its reason: whoever may not delete the document is told it.", option="reason")
        scope.need(MANAGE)
        async with self._store.under(scope, past_members=True) as db:
            by = scope.user or scope.app or "-"
            if not await db.run(_PLACE_HOLD, id=document_id, reason=reason, placed_by=by):
                raise UnknownDocument
            await self._audit.record(db, "document.hold", resource=document_id, details={"reason": reason})

    async def release(self, scope: Scope, document_id: str, *, reason: str) -> None:
        """Keep it no longer than others. Raises UnknownDocument where there is no hold on it."""
        scope.need(MANAGE)
        async with self._store.under(scope, past_members=True) as db:
            if not await db.run(_RELEASE_HOLD, id=document_id):
                raise UnknownDocument("There is no such document on hold here.")
            await self._audit.record(db, "document.release", resource=document_id, details={"reason": reason})

    async def holds(self, scope: Scope, *, cursor: str | None, limit: int) -> Page[Hold]:
        """The documents on hold that the caller sees, by id."""
        async with self._store.under(scope) as db:
            rows = await db.rows(Hold, _LIST_HOLDS, after=after_cursor(cursor) or "", limit=limit + 1)
        kept = rows[:limit]
        return Page(tuple(kept), cursor_of(kept[-1].document) if len(rows) > limit else None)


async def kept_collection(db: Db, collection: str) -> Kept:
    """A collection with its members. Raises UnknownCollection."""
    row = await db.row(dict, _GET, name=collection)
    if row is None:
        raise UnknownCollection(f"There is no collection {collection!r} here.")
    members: list[tuple[str, Access]] = await db.rows(tuple, _LIST, collection=collection)
    return Kept(**row, members=dict(members))


def _refuse_strangers(scope: Scope, before: Kept, wanted: Mapping[str, Access]) -> None:
    """Who manages a collection sets its members; the first of them, and none, are a manager's of the whole house."""
    mine = [before.members[one] for one in acting(scope) if one in before.members]
    if before.members and not mine:
        raise UnknownCollection(f"There is no collection {before.name!r} here.")
    if "manage" not in mine or not wanted:
        raise MembersOnly("This needs the access manage; the first members, and none, need knowledge:manage.")


def acting(scope: Scope) -> list[str]:
    """The names under which this caller may be a member."""
    return [*(one for one in (scope.user, scope.app) if one), *(f"role:{role}" for role in sorted(scope.roles))]


def _members(members: Mapping[str, str]) -> dict[str, Access]:
    """Raises BadOption for one that is no user, app or role, or has no such access."""
    if len(members) > MEMBERS_MAX:
        raise BadOption(f"A collection has at most {MEMBERS_MAX} members; name a role instead.", option="members")
    for member, access in members.items():
        if not isinstance(member, str) or not (_ROLE.fullmatch(member) or is_id(member, "usr") or is_id(member, "app")):
            raise BadOption(f"A member is an id of a user or an app, or role:NAME, not {member!r}.", option="members")
        if access not in get_args(Access):
            raise BadOption(f"Access is read, write or manage, not {access!r}.", option="members")
    return cast("dict[str, Access]", dict(members))


def _persons(members: set[str]) -> list[str]:
    return sorted(one for one in members if is_id(one, "usr"))
