"""The operations of tenancy: identities are made, listed, shown and disabled; keys are admitted."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from bastide.audit import Audit
from bastide.errors import AlreadyThere, BadIdentityName, BadRole, BeyondOwnRights, NameTaken, UnknownIdentity, UnknownTenant
from bastide.store import Db, Page, Query, Scope, Store, from_uuid, is_id, new_id, queries, to_uuid
from bastide.tenancy.admission import Admission, fingerprint
from bastide.tenancy.roles import PERMISSIONS, PLATFORM, ROLES, granted
from bastide.tenancy.values import App, Key, NewKey, Tenant, User

_Q = queries("bastide.tenancy")

_HOME = "home"
_NAME_MAX = 200
_LIMIT_MAX = 500
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\Z")
_DAY_S = 86_400

Identity = TypeVar("Identity", User, App)
_TenantRow = tuple[UUID, str, bool, datetime | None, datetime]
_KeyRow = tuple[
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


class Tenancy:
    """Who there is and who is acting. Every change is recorded in its own transaction."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit
        self._admission = Admission(store)

    async def authenticate(
        self, bearer: str | None, *, company: str | None = None, user: str | None = None, app: str | None = None
    ) -> Scope:
        """The scope of a request with this key and these headers, which can only narrow it.

        Raises Unauthorised (no key, unknown, expired, disabled), Forbidden (a foreign header) or BadRequest
        (a malformed header, or a missing one where the key is a gateway's).
        """
        return await self._admission.admit(bearer, company=company, user=user, app=app)

    # -- the platform -------------------------------------------------------------------------------

    async def first_start(self) -> NewKey | None:
        """Make the tenant `home` and its first administrator key; None when there is one already."""
        async with self._store.as_operator(reason="first start") as db:
            await db.run(_Q["serialise"])
            if await db.row(tuple, _Q["home_tenant"]) is not None:
                return None
            tenant = await self._add_tenant(db, _HOME, home=True)
        return await self._new_key(await self.system_scope(tenant.id), role="administrator")

    async def renew_admin_key(self) -> NewKey:
        """Another administrator key of the home tenant, for an operator who has the home but lost the key."""
        async with self._store.as_operator(reason="a new administrator key for the home tenant") as db:
            row = await db.row(tuple, _Q["home_tenant"])
        if row is None:
            raise UnknownTenant
        return await self._new_key(await self.system_scope(_tenant(row).id), role="administrator")

    async def system_scope(self, tenant: str, *, user: str | None = None) -> Scope:
        """A scope for the house's own work in one tenant: first start, workers. Never made from a request."""
        permissions = frozenset(PERMISSIONS) - {PLATFORM}
        return Scope(tenant=tenant, user=user, app=None, roles=frozenset({"system"}), permissions=permissions)

    async def create_tenant(self, scope: Scope, name: str) -> Tenant:
        """A new tenant. Raises NameTaken or BadIdentityName."""
        scope.need(PLATFORM)
        name = _name(name)
        async with self._store.as_operator(reason=f"{scope.key} creates a tenant") as db:
            await db.run(_Q["serialise"])
            if await db.row(tuple, _Q["tenant_named"], name=name) is not None:
                raise NameTaken
            return await self._add_tenant(db, name, home=False)

    async def list_tenants(self, scope: Scope, *, cursor: str | None = None, limit: int = 100) -> Page[Tenant]:
        """The tenants this scope may see: all for the platform's administrator, else its own."""
        if PLATFORM not in scope.permissions:
            return Page((await self.get_tenant(scope, scope.tenant),))
        after = to_uuid(cursor) if cursor and is_id(cursor, "ten") else None
        async with self._store.as_operator(reason=f"{scope.key} lists tenants") as db:
            rows = await db.rows(tuple, _Q["tenants"], after=after, limit=_limit(limit))
        items = tuple(_tenant(row) for row in rows)
        return Page(items, items[-1].id if len(items) == _limit(limit) else None)

    async def get_tenant(self, scope: Scope, tenant: str) -> Tenant:
        """A tenant by id or name. Raises UnknownTenant, also for one that is not yours to see."""
        if PLATFORM in scope.permissions:
            async with self._store.as_operator(reason=f"{scope.key} looks up a tenant") as db:
                row = await self._find_tenant(db, tenant)
        else:
            async with self._store.under(scope) as db:
                row = await self._find_tenant(db, tenant)
        if row is None:
            raise UnknownTenant
        return _tenant(row)

    async def disable_tenant(self, scope: Scope, tenant: str) -> Tenant:
        """Every key of the tenant stops working. The home tenant cannot be disabled."""
        scope.need(PLATFORM)
        found = await self.get_tenant(scope, tenant)
        if found.home:
            raise BadIdentityName("The home tenant cannot be disabled.", next_step="Name another tenant.")
        async with self._store.as_operator(reason=f"{scope.key} disables a tenant") as db:
            row = await db.row(tuple, _Q["disable_tenant"], tenant=to_uuid(found.id))
            await self._audit.record(db, "tenant.disable", resource=found.id)
        self._admission.forget()
        assert row is not None
        return _tenant(row)

    async def acting_for(self, scope: Scope, tenant: str | None) -> Scope:
        """The scope in which this caller may administer `tenant` (id or name; None is its own).

        Another tenant than its own needs the platform's permission. Raises UnknownTenant.
        """
        if tenant is None or tenant == scope.tenant:
            return scope
        found = await self.get_tenant(scope, tenant)
        if found.id == scope.tenant:
            return scope
        scope.need(PLATFORM)
        return await self.system_scope(found.id, user=scope.user)

    async def _add_tenant(self, db: Db, name: str, *, home: bool) -> Tenant:
        identifier = new_id("ten")
        row = await db.row(tuple, _Q["add_tenant"], tenant=to_uuid(identifier), name=name, home=home)
        assert row is not None
        await self._audit.record(db, "tenant.create", resource=identifier, details={"name": name})
        return _tenant(row)

    @staticmethod
    async def _find_tenant(db: Db, tenant: str) -> _TenantRow | None:
        if is_id(tenant, "ten"):
            return await db.row(tuple, _Q["tenant_of"], tenant=to_uuid(tenant))
        return await db.row(tuple, _Q["tenant_named"], name=tenant[:_NAME_MAX].replace("\0", ""))

    # -- users and apps -----------------------------------------------------------------------------

    async def create_user(
        self, scope: Scope, *, email: str, name: str = "", roles: Sequence[str] = ("member",), tenant: str | None = None
    ) -> User:
        """A new user of the tenant. Raises NameTaken, BadIdentityName or BadRole."""
        scope.need("tenant:manage")
        email = email.strip().lower()
        if not _EMAIL.match(email) or not email.isprintable():
            raise BadIdentityName("This is not an e-mail address.", next_step="Give it as name@organisation.example.")
        unknown = sorted(set(roles) - set(ROLES))
        if unknown or not roles:
            raise BadRole(f"There is no role {', '.join(unknown) or 'named'}.")
        target = await self.acting_for(scope, tenant)
        self._refuse_beyond(target, granted(roles, home=False))
        values = {"id": new_id("usr"), "email": email, "name": _name(name or email), "roles": sorted(set(roles))}
        return await self._add(target, User, "add_member", "user.create", values)

    async def list_users(
        self, scope: Scope, *, tenant: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[User]:
        """The users of the tenant, oldest first."""
        scope.need("tenant:manage")
        return await self._list(await self.acting_for(scope, tenant), User, _Q["members"], cursor, limit)

    async def get_user(self, scope: Scope, user: str, *, tenant: str | None = None) -> User:
        """A user by id or e-mail. Raises UnknownIdentity."""
        scope.need("tenant:manage")
        return await self._get(await self.acting_for(scope, tenant), User, _Q["member"], user.strip().lower())

    async def disable_user(self, scope: Scope, user: str, *, tenant: str | None = None) -> User:
        """The user's keys stop working, and no header can name them any more."""
        found = await self.get_user(scope, user, tenant=tenant)
        return await self._disable(
            await self.acting_for(scope, tenant), User, _Q["disable_member"], "user.disable", found.id
        )

    async def create_app(self, scope: Scope, *, name: str, tenant: str | None = None) -> App:
        """A new app of the tenant. Raises NameTaken or BadIdentityName."""
        scope.need("tenant:manage")
        target = await self.acting_for(scope, tenant)
        return await self._add(target, App, "add_app", "app.create", {"id": new_id("app"), "name": _name(name)})

    async def list_apps(
        self, scope: Scope, *, tenant: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[App]:
        """The apps of the tenant, oldest first."""
        scope.need("tenant:manage")
        return await self._list(await self.acting_for(scope, tenant), App, _Q["apps"], cursor, limit)

    async def get_app(self, scope: Scope, app: str, *, tenant: str | None = None) -> App:
        """An app by id or name. Raises UnknownIdentity."""
        scope.need("tenant:manage")
        return await self._get(await self.acting_for(scope, tenant), App, _Q["app"], app)

    async def disable_app(self, scope: Scope, app: str, *, tenant: str | None = None) -> App:
        """The app's keys stop working, and no header can name it any more."""
        found = await self.get_app(scope, app, tenant=tenant)
        return await self._disable(
            await self.acting_for(scope, tenant), App, _Q["disable_app"], "app.disable", found.id
        )

    async def _add(
        self, scope: Scope, kind: type[Identity], query: str, act: str, values: Mapping[str, object]
    ) -> Identity:
        try:
            async with self._store.under(scope) as db:
                made = await db.row(kind, _Q[query], **values)
                assert made is not None
                await self._audit.record(db, act, resource=made.id, details={"name": str(values["name"])})
                return made
        except AlreadyThere as fault:
            raise NameTaken from fault

    async def _list(
        self, scope: Scope, kind: type[Identity], query: Query, cursor: str | None, limit: int
    ) -> Page[Identity]:
        async with self._store.under(scope) as db:
            items = tuple(await db.rows(kind, query, after=cursor or "", limit=_limit(limit)))
        return Page(items, items[-1].id if len(items) == _limit(limit) else None)

    async def _get(self, scope: Scope, kind: type[Identity], query: Query, identifier: str) -> Identity:
        async with self._store.under(scope) as db:
            found = await db.row(kind, query, id=identifier.replace("\0", ""))
        if found is None:
            raise UnknownIdentity
        return found

    async def _disable(self, scope: Scope, kind: type[Identity], query: Query, act: str, identifier: str) -> Identity:
        async with self._store.under(scope) as db:
            found = await db.row(kind, query, id=identifier)
            if found is None:
                raise UnknownIdentity
            await self._audit.record(db, act, resource=identifier)
        self._admission.forget()
        return found

    # -- keys ---------------------------------------------------------------------------------------

    async def create_key(
        self,
        scope: Scope,
        *,
        role: str,
        tenant: str | None = None,
        user: str | None = None,
        app: str | None = None,
        expires_days: float | None = None,
        permissions: Sequence[str] | None = None,
        gateway: bool = False,
    ) -> NewKey:
        """A key, shown this once. It can carry no more rights than its maker has.

        Raises BadRole, BeyondOwnRights, UnknownTenant or UnknownIdentity.
        """
        scope.need("key:manage")
        target = await self.acting_for(scope, tenant)
        if role not in ROLES:
            raise BadRole(f"There is no role {role}.")
        if unknown := sorted(set(permissions or ()) - set(PERMISSIONS)):
            raise BadRole(f"There is no permission {', '.join(unknown)}.", next_step="GET /api/v1/roles lists them.")
        if expires_days is not None and not 0 < expires_days <= 3650:
            raise BadRole("A key expires after more than 0 and at most 3650 days.", next_step="Correct the days.")
        rights = granted([role], home=PLATFORM in target.permissions)
        self._refuse_beyond(target, rights if permissions is None else rights & frozenset(permissions))
        member = await self._get(target, User, _Q["member"], user) if user else None
        program = await self._get(target, App, _Q["app"], app) if app else None
        return await self._new_key(
            target,
            role=role,
            member=member.id if member else None,
            app=program.id if program else None,
            permissions=sorted(set(permissions)) if permissions is not None else None,
            gateway=gateway,
            seconds=expires_days * _DAY_S if expires_days else None,
        )

    async def list_keys(
        self, scope: Scope, *, tenant: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[Key]:
        """What is known of the tenant's keys, oldest first."""
        scope.need("key:manage")
        target = await self.acting_for(scope, tenant)
        async with self._store.under(target) as db:
            rows = await db.rows(tuple, _Q["keys"], after=cursor or "", limit=_limit(limit))
        items = tuple(_key(target.tenant, row) for row in rows)
        return Page(items, items[-1].id if len(items) == _limit(limit) else None)

    async def get_key(self, scope: Scope, key: str, *, tenant: str | None = None) -> Key:
        """What is known of one key, by its id. Raises UnknownIdentity."""
        scope.need("key:manage")
        target = await self.acting_for(scope, tenant)
        async with self._store.under(target) as db:
            row = await db.row(tuple, _Q["key"], id=key.replace("\0", ""))
        if row is None:
            raise UnknownIdentity
        return _key(target.tenant, row)

    async def disable_key(self, scope: Scope, key: str, *, tenant: str | None = None) -> Key:
        """The key stops working: at once in this process, within two seconds in others."""
        scope.need("key:manage")
        target = await self.acting_for(scope, tenant)
        async with self._store.under(target) as db:
            row = await db.row(tuple, _Q["disable_key"], id=key.replace("\0", ""))
            if row is None:
                raise UnknownIdentity
            await self._audit.record(db, "key.disable", resource=key)
        self._admission.forget()
        return _key(target.tenant, row)

    @staticmethod
    def _refuse_beyond(scope: Scope, rights: frozenset[str]) -> None:
        if beyond := sorted(rights - scope.permissions):
            raise BeyondOwnRights(beyond=beyond)

    async def _new_key(
        self,
        scope: Scope,
        *,
        role: str,
        member: str | None = None,
        app: str | None = None,
        permissions: list[str] | None = None,
        gateway: bool = False,
        seconds: float | None = None,
    ) -> NewKey:
        key, identifier = f"bst_{secrets.token_hex(32)}", new_id("key")
        async with self._store.under(scope) as db:
            row = await db.row(
                tuple,
                _Q["add_key"],
                id=identifier,
                hash=fingerprint(key),
                role=role,
                member=member,
                app=app,
                permissions=permissions,
                gateway=gateway,
                seconds=seconds,
            )
            assert row is not None
            await self._audit.record(db, "key.create", resource=identifier, details={"role": role})
        return NewKey(key, _key(scope.tenant, row))


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= _NAME_MAX or not name.isprintable():
        raise BadIdentityName
    return name


def _limit(limit: int) -> int:
    return max(1, min(limit, _LIMIT_MAX))


def _tenant(row: _TenantRow) -> Tenant:
    return Tenant(from_uuid("ten", row[0]), row[1], row[2], row[3], row[4])


def _key(tenant: str, row: _KeyRow) -> Key:
    identifier, role, member, app, listed, gateway, expires_at, disabled_at, used_at, created_at = row
    permissions = None if listed is None else tuple(listed)
    return Key(
        identifier, tenant, role, member, app, permissions, gateway, expires_at, disabled_at, used_at, created_at
    )
