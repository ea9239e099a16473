"""Store: the only door to the disk.

PostgreSQL under row security, blobs and sealed secrets. A caller shows a `Scope` and gets a short
transaction that sees one tenant and no other; there is no way to a cursor without one. What crosses
tenants (`as_operator`, `as_owner`) is ugly to type and names its reason.
"""

from bastide.store.backup import BackedUp
from bastide.store.db import Db, Json
from bastide.store.ending import ended, for_ever, told_to_end
from bastide.store.identifiers import from_uuid, is_id, made_at, new_id, to_uuid
from bastide.store.keys import TenantKeys, secret_file
from bastide.store.lint import Fault
from bastide.store.presence import Presence
from bastide.store.questions import Query, queries
from bastide.store.restoring import restore
from bastide.store.rewriting import Rewriting, Rewritten
from bastide.store.store import Store
from bastide.store.values import Page, Scope, vector_text

__all__ = [
    "BackedUp",
    "Db",
    "Fault",
    "Json",
    "Page",
    "Presence",
    "Query",
    "Rewriting",
    "Rewritten",
    "Scope",
    "Store",
    "TenantKeys",
    "ended",
    "for_ever",
    "from_uuid",
    "is_id",
    "made_at",
    "new_id",
    "queries",
    "restore",
    "secret_file",
    "to_uuid",
    "told_to_end",
    "vector_text",
]
