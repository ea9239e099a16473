"""The operations of tenancy: identities are made, listed, shown and disabled; keys are admitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bastide.audit import Audit
from bastide.errors import (
    AlreadyThere,
    BadIdentityName,
    BadRole,
    NameTaken,
    UnknownIdentity,
    UnknownTenant,
)
from bastide.settings import TenancySettings
from bastide.store import Db, Page, Query, Scope, Store, is_id, new_id, queries, to_uuid
from bastide.tenancy.admission import Admission
from bastide.tenancy.delegation import Delegation
from bastide.tenancy.keys import Keys, refuse_beyond
from bastide.tenancy.listening import Listening
from bastide.tenancy.names import plain, proper_email, proper_name
from bastide.tenancy.roles import PERMISSIONS, PLATFORM, ROLES, granted
from bastide.tenancy.rows import TenantRow, found, limited, tenant_of
from bastide.tenancy.values import App, NewKey, Tenant, User

_Q = queries("bastide.tenancy")

_HOME = "home"
Identity = TypeVar("Identity", User, App)


class Tenancy:
    """Who there is and who is acting. Every change is recorded in its own transaction."""

    def __init__(self, store: Store, audit: Audit, settings: TenancySettings | None = None) -> None:
        self._store = store
        self._audit = audit
        self._admission = Admission(store, stale_s=(settings or TenancySettings()).stale_s)
        self.listening = Listening(store, self._admission)
        self.changes = self._admission.changes  # how often identities changed here: memories end with it
        self._delegation = Delegation(store)
        self._keys = keys = Keys(store, audit, self.acting_for, self._is_home, self._forget)
        self.create_key, self.list_keys, self.get_key = keys.create, keys.list, keys.get
        self.bind_key, self.rotate_key, self.disable_key = keys.bind, keys.rotate, keys.disable

    async def authenticate(
        self, bearer: str | None, *, company: str | None = None, user: str | None = None, app: str | None = None
    ) -> Scope:
        """The scope of a request with this key and these headers, which can only narrow it.

        Raises Unauthorised, Forbidden or BadRequest, and DatabaseUnavailable for a key that was not met lately.
        """
        return await self._admission.admit(bearer, company=company, user=user, app=app)

    # -- the platform -------------------------------------------------------------------------------

    async def first_start(self) -> NewKey | None:
        """Make the tenant `home` and its first administrator key; None when there is one already."""
        # Two processes may come here at once, and either may die in between. Each step holds the same lock and
        # looks before it acts, so there is one home and one first key however often this is begun:
        #   1. the tenant      2. its key, in the tenant's own transaction
        async with self._store.as_operator(reason="first start") as db:
            await db.run(_Q["serialise"])
            row = await db.row(tuple, _Q["home_tenant"])
            tenant = await self._add_tenant(db, _HOME, home=True) if row is None else tenant_of(row)
        scope = await self.system_scope(tenant.id)
        async with self._store.under(scope) as db:
            await db.run(_Q["serialise"])
            if await db.rows(tuple, _Q["keys"], after="", limit=1):
                return None
            return await self._keys.add(db, tenant.id, role="administrator")

    async def renew_admin_key(self) -> NewKey:
        """Another administrator key of the home tenant, for an operator who has the home but lost the key."""
        async with self._store.as_operator(reason="a new administrator key for the home tenant") as db:
            row = await db.row(tuple, _Q["home_tenant"])
        if row is None:
            raise UnknownTenant
        return await self._keys.new(await self.system_scope(tenant_of(row).id), role="administrator")

    async def system_scope(self, tenant: str, *, user: str | None = None) -> Scope:
        """A scope for the house's own work in one tenant: first start, workers. Never made from a request."""
        permissions = frozenset(PERMISSIONS) - {PLATFORM}
        return Scope(tenant=tenant, user=user, app=None, roles=frozenset({"system"}), permissions=permissions)

    async def active_tenants(self) -> list[str]:
        """Every tenant that is not disabled, for the house's own work. Never for a request."""
        return await self._delegation.tenants()

    async def scope_of_work(self, tenant: str, **who: Any) -> Scope:
        """The scope for work that was asked for by `user`, `app` and `key` under `permissions` and `label`.

        Their rights then, less what was taken from them since. Raises DisabledKey when one of them was disabled.
        """
        return await self._delegation.scope(await self.system_scope(tenant), **who)

    def _forget(self) -> None:
        self._admission.forget()
        self._delegation.forget()

    async def create_tenant(self, scope: Scope, name: str) -> Tenant:
        """A new tenant. Raises NameTaken or BadIdentityName."""
        scope.need(PLATFORM)
        name = proper_name(name)
        async with self._store.as_operator(reason=f"{scope.key} creates a tenant") as db:
            await db.run(_Q["serialise"])
            if await db.row(tuple, _Q["tenant_named"], name=name) is not None:
                raise NameTaken
            return await self._add_tenant(db, name, home=False)

    async def list_tenants(self, scope: Scope, *, cursor: str | None = None, limit: int = 100) -> Page[Tenant]:
        """The tenants this scope may see: all for the platform's administrator, else its own."""
        if PLATFORM not in scope.permissions:
            return Page((await self.get_tenant(scope, scope.tenant),))
        if cursor is not None and not is_id(cursor, "ten"):
            raise BadIdentityName("The cursor is not one that this list gave.", next_step="Begin without a cursor.")
        after = to_uuid(cursor) if cursor is not None else None
        async with self._store.as_operator(reason=f"{scope.key} lists tenants") as db:
            rows = await db.rows(tuple, _Q["tenants"], after=after, limit=limited(limit))
        items = tuple(tenant_of(row) for row in rows)
        return Page(items, items[-1].id if len(items) == limited(limit) else None)

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
        return tenant_of(row)

    async def disable_tenant(self, scope: Scope, tenant: str) -> Tenant:
        """Every key of the tenant stops working. The home tenant cannot be disabled."""
        scope.need(PLATFORM)
        found = await self.get_tenant(scope, tenant)
        if found.home:
            raise BadIdentityName("The home tenant cannot be disabled.", next_step="Name another tenant.")
        async with self._store.as_operator(reason=f"{scope.key} disables a tenant") as db:
            row = await db.row(tuple, _Q["disable_tenant"], tenant=to_uuid(found.id))
            await self._audit.record(db, "tenant.disable", resource=found.id)
        self._forget()
        assert row is not None
        return tenant_of(row)

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
        return tenant_of(row)

    @staticmethod
    async def _find_tenant(db: Db, tenant: str) -> TenantRow | None:
        if is_id(tenant, "ten"):
            return await db.row(tuple, _Q["tenant_of"], tenant=to_uuid(tenant))
        return await db.row(tuple, _Q["tenant_named"], name=plain(tenant))

    # -- users and apps -----------------------------------------------------------------------------

    async def create_user(
        self, scope: Scope, *, email: str, name: str = "", roles: Sequence[str] = ("member",), tenant: str | None = None
    ) -> User:
        """A new user of the tenant. Raises NameTaken, BadIdentityName or BadRole."""
        scope.need("tenant:manage")
        email = proper_email(email)
        unknown = sorted(set(roles) - set(ROLES))
        if unknown or not roles:
            raise BadRole(f"There is no role {', '.join(unknown) or 'named'}.")
        target = await self.acting_for(scope, tenant)
        refuse_beyond(target, granted(roles, home=await self._is_home(target)))
        values = {"id": new_id("usr"), "email": email, "name": proper_name(name or email), "roles": sorted(set(roles))}
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
        return await found(self._store, await self.acting_for(scope, tenant), User, _Q["member"], user.strip().lower())

    async def disable_user(self, scope: Scope, user: str, *, tenant: str | None = None) -> User:
        """The user's keys stop working, and no header can name them any more."""
        member = await self.get_user(scope, user, tenant=tenant)
        return await self._disable(
            await self.acting_for(scope, tenant), User, _Q["disable_member"], "user.disable", member.id
        )

    async def create_app(self, scope: Scope, *, name: str, tenant: str | None = None) -> App:
        """A new app of the tenant. Raises NameTaken or BadIdentityName."""
        scope.need("tenant:manage")
        target = await self.acting_for(scope, tenant)
        return await self._add(target, App, "add_app", "app.create", {"id": new_id("app"), "name": proper_name(name)})

    async def list_apps(
        self, scope: Scope, *, tenant: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[App]:
        """The apps of the tenant, oldest first."""
        scope.need("tenant:manage")
        return await self._list(await self.acting_for(scope, tenant), App, _Q["apps"], cursor, limit)

    async def get_app(self, scope: Scope, app: str, *, tenant: str | None = None) -> App:
        """An app by id or name. Raises UnknownIdentity."""
        scope.need("tenant:manage")
        return await found(self._store, await self.acting_for(scope, tenant), App, _Q["app"], app)

    async def disable_app(self, scope: Scope, app: str, *, tenant: str | None = None) -> App:
        """The app's keys stop working, and no header can name it any more."""
        program = await self.get_app(scope, app, tenant=tenant)
        return await self._disable(
            await self.acting_for(scope, tenant), App, _Q["disable_app"], "app.disable", program.id
        )

    async def _add(
        self, scope: Scope, kind: type[Identity], query: str, act: str, values: Mapping[str, object]
    ) -> Identity:
        try:
            async with self._store.under(scope) as db:
                made = await db.row(kind, _Q[query], **values)
                assert made is not None
                about = {"name": str(values["name"])}
                await self._audit.record(db, act, resource=made.id, subjects=_persons(made), details=about)
                return made
        except AlreadyThere as fault:
            raise NameTaken from fault

    async def _list(
        self, scope: Scope, kind: type[Identity], query: Query, cursor: str | None, limit: int
    ) -> Page[Identity]:
        async with self._store.under(scope) as db:
            items = tuple(await db.rows(kind, query, after=plain(cursor or ""), limit=limited(limit)))
        return Page(items, items[-1].id if len(items) == limited(limit) else None)

    async def _disable(self, scope: Scope, kind: type[Identity], query: Query, act: str, identifier: str) -> Identity:
        async with self._store.under(scope) as db:
            disabled = await db.row(kind, query, id=identifier)
            if disabled is None:
                raise UnknownIdentity
            await self._audit.record(db, act, resource=identifier, subjects=_persons(disabled))
        self._forget()
        return disabled

    async def _is_home(self, scope: Scope) -> bool:
        """Whether the scope's tenant is the platform's home: asked of the database, not of the caller's rights."""
        return (await self.get_tenant(scope, scope.tenant)).home


def _persons(identity: User | App) -> tuple[str, ...]:
    """Whom an event about this identity is about: what can be read of it is erased with them."""
    return (identity.id, identity.email) if isinstance(identity, User) else ()
