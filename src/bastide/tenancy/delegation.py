"""Delegation: the scope in which work goes on that somebody asked for and does not wait for.

It is what they might do when they asked, less what was taken from them since: a disabled user, key, app or tenant
ends the work. A key that has merely expired does not; it was good when the work was accepted. Models are named as the
key may name them now.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from bastide.errors import DisabledKey
from bastide.store import Db, Scope, Store, queries
from bastide.tenancy.roles import PERMISSIONS, granted
from bastide.tenancy.rows import tenant_of

_Q = queries("bastide.tenancy")
_STANDING, _TENANTS = _Q["standing"], _Q["tenants"]

_PAGE = 500

_REMEMBERED_S = 2.0
_REMEMBERED_MAX = 10_000

_Known = tuple[bool, bool, list[str] | None, tuple[str, ...] | None]


class Delegation:
    """Makes scopes for work; remembers for two seconds how its people stand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[tuple[str | None, ...], tuple[float, _Known]] = OrderedDict()

    def forget(self) -> None:
        """Ask the database again: an identity has changed."""
        self._remembered.clear()

    async def tenants(self) -> list[str]:
        """Every tenant in which work may go on."""
        found: list[str] = []
        async with self._store.as_operator(reason="the house's own work in every tenant") as db:
            after = None
            while rows := await db.rows(tuple, _TENANTS, after=after, limit=_PAGE):
                after = rows[-1][0]
                found += [one.id for one in map(tenant_of, rows) if one.disabled_at is None]
        return found

    async def scope(
        self,
        system: Scope,
        *,
        user: str | None,
        app: str | None,
        key: str | None,
        permissions: Iterable[str],
        label: Mapping[str, object] | None,
        db: Db | None = None,
    ) -> Scope:
        """The scope. Raises DisabledKey when one of them was disabled since.

        `db` is a transaction of this tenant that is open already: a second connection, while the first is held, could
        be waited for in vain.
        """
        disabled, home, roles, models = await self._standing(system, user, app, key, db)
        if disabled:
            raise DisabledKey("Who asked for this work was disabled since.", user=user, key=key, app=app)
        allowed = frozenset(permissions) & frozenset(PERMISSIONS)
        if roles is not None:
            allowed &= granted(roles, home=home)
        return Scope(
            tenant=system.tenant,
            user=user,
            app=app,
            roles=frozenset(roles or (("system",) if key is None else ())),
            permissions=allowed,
            label=json.dumps(label, sort_keys=True, separators=(",", ":")) if label else "{}",
            key=key,
            models=models,
        )

    async def _standing(
        self, system: Scope, user: str | None, app: str | None, key: str | None, db: Db | None
    ) -> _Known:
        asked = (system.tenant, user, app, key)
        known = self._remembered.get(asked)
        if known is None or known[0] < time.monotonic():
            if db is not None:
                row = await db.row(tuple, _STANDING, user=user, app=app, key=key)
            else:
                async with self._store.under(system) as own:
                    row = await own.row(tuple, _STANDING, user=user, app=app, key=key)
            assert row is not None
            models = None if row[3] is None else tuple(row[3])
            known = self._remembered[asked] = (time.monotonic() + _REMEMBERED_S, (row[0], row[1], row[2], models))
            if len(self._remembered) > _REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return known[1]
