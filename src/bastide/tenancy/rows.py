"""Rows of the database as the values that cross the door."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from bastide.store import from_uuid
from bastide.tenancy.values import Key, Tenant

TenantRow = tuple[UUID, str, bool, datetime | None, datetime]
KeyRow = tuple[
    str,
    str,
    str | None,
    str | None,
    list[str] | None,
    bool,
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
    identifier, role, member, app, listed, gateway, expires_at, disabled_at, used_at, created_at = row
    permissions = None if listed is None else tuple(listed)
    return Key(
        identifier, tenant, role, member, app, permissions, gateway, expires_at, disabled_at, used_at, created_at
    )
