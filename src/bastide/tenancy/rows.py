"""Rows of the database as the values that cross the door."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from bastide.errors import UnknownIdentity
from bastide.store import Query, Scope, Store, from_uuid
from bastide.tenancy.names import plain
from bastide.tenancy.values import App, Key, Tenant, User

_LIMIT_MAX = 500
Identity = TypeVar("Identity", User, App)

TenantRow = tuple[UUID, str, bool, datetime | None, datetime]
KeyRow = tuple[
    str,
    str,
    str | None,
    str | None,
    list[str] | None,
    bool,
    list[str] | None,
    datetime | None,
    datetime | None,
    datetime | None,
    datetime | None,
    datetime,
]


def tenant_of(row: TenantRow) -> Tenant:
    """A tenant; its id on the wire is its uuid in letters."""
    return Tenant(from_uuid("ten", row[0]), row[1], row[2], row[3], row[4])


def key_of(tenant: str, row: KeyRow) -> Key:
    """What is known of a key of this tenant."""
    id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, made_at = row
    may, names = _several(permissions), _several(models)
    times = expires_at, former_until, disabled_at, used_at, made_at
    return Key(id, tenant, role, member, app, may, gateway, names, *times)


def _several(listed: list[str] | None) -> tuple[str, ...] | None:
    return None if listed is None else tuple(listed)


async def found(store: Store, scope: Scope, kind: type[Identity], query: Query, identifier: str) -> Identity:
    """A user or an app of the tenant. Raises UnknownIdentity."""
    async with store.under(scope) as db:
        row = await db.row(kind, query, id=plain(identifier))
    if row is None:
        raise UnknownIdentity
    return row


def limited(limit: int) -> int:
    """How many are listed at a time."""
    return max(1, min(limit, _LIMIT_MAX))
