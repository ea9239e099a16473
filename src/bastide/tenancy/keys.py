"""Keys: made, listed, shown, bound to models, rotated and disabled. No key carries more than its maker has."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bastide.audit import Audit, JsonValue
from bastide.errors import BadKeyTerm, BadModelList, BadRole, BeyondOwnRights, UnknownIdentity
from bastide.store import Db, Page, Scope, Store, new_id, queries
from bastide.tenancy.admission import fingerprint
from bastide.tenancy.names import plain
from bastide.tenancy.roles import PERMISSIONS, ROLES, granted
from bastide.tenancy.rows import found, key_of, limited
from bastide.tenancy.values import App, Key, NewKey, User

_Q = queries("bastide.tenancy")
_HOUR_S, _DAY_S = 3_600, 86_400
_KEEP_HOURS_MAX, _DAYS_MAX = 720, 3650
_MODELS_MAX = 100
_NAME = re.compile(r"(?!auto\Z)[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}\*?|\*")


class Keys:
    """The keys of all tenants. Every change is recorded in its own transaction."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        acting_for: Callable[[Scope, str | None], Awaitable[Scope]],
        is_home: Callable[[Scope], Awaitable[bool]],
        forget: Callable[[], None],
    ) -> None:
        """`acting_for` gives the scope in which a caller may administer a tenant; `forget` hears of each change."""
        self._store = store
        self._audit = audit
        self._acting_for = acting_for
        self._is_home = is_home
        self._forget = forget

    async def create(
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
        models: Sequence[str] | None = None,
    ) -> NewKey:
        """A key, shown this once. It can carry no more rights than its maker has, and name no other models.

        Raises BadRole, BadKeyTerm, BadModelList, BeyondOwnRights, UnknownTenant or UnknownIdentity.
        """
        scope.need("key:manage")
        target = await self._acting_for(scope, tenant)
        if role not in ROLES:
            raise BadRole(f"There is no role {role}.")
        if unknown := sorted(set(permissions or ()) - set(PERMISSIONS)):
            raise BadRole(f"There is no permission {', '.join(unknown)}.", next_step="GET /api/v1/roles lists them.")
        _check_days(expires_days)
        rights = granted([role], home=await self._is_home(target))
        if permissions is not None:
            if outside := sorted(set(permissions) - rights):
                raise BadRole(f"The role {role} does not carry {', '.join(outside)} in this tenant.")
            rights = frozenset(permissions)
        refuse_beyond(target, rights)
        listed = _models(scope, models)
        member = await found(self._store, target, User, _Q["member"], user) if user is not None else None
        program = await found(self._store, target, App, _Q["app"], app) if app is not None else None
        return await self.new(
            target,
            role=role,
            member=member.id if member else None,
            app=program.id if program else None,
            permissions=sorted(set(permissions)) if permissions is not None else None,
            gateway=gateway,
            models=listed,
            seconds=_seconds(expires_days),
        )

    async def list(
        self, scope: Scope, *, tenant: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[Key]:
        """What is known of the tenant's keys, oldest first."""
        scope.need("key:manage")
        target = await self._acting_for(scope, tenant)
        async with self._store.under(target) as db:
            rows = await db.rows(tuple, _Q["keys"], after=plain(cursor or ""), limit=limited(limit))
        items = tuple(key_of(target.tenant, row) for row in rows)
        return Page(items, items[-1].id if len(items) == limited(limit) else None)

    async def get(self, scope: Scope, key: str, *, tenant: str | None = None) -> Key:
        """What is known of one key, by its id. Raises UnknownIdentity."""
        scope.need("key:manage")
        target = await self._acting_for(scope, tenant)
        async with self._store.under(target) as db:
            row = await db.row(tuple, _Q["key"], id=plain(key))
        if row is None:
            raise UnknownIdentity
        return key_of(target.tenant, row)

    async def bind(self, scope: Scope, key: str, models: Sequence[str] | None, *, tenant: str | None = None) -> Key:
        """The key may name these models and no others; None: every model. It holds as soon as `disable` would.

        Raises BadModelList, BeyondOwnRights or UnknownIdentity.
        """
        scope.need("key:manage")
        listed = _models(scope, models)
        about: dict[str, JsonValue] = {"models": [*listed] if listed is not None else None}
        return await self._change(scope, "bind_key", "key.bind", key, tenant, about, models=listed)

    async def rotate(
        self,
        scope: Scope,
        key: str,
        *,
        keep_hours: float = 0,
        expires_days: float | None = None,
        tenant: str | None = None,
    ) -> NewKey:
        """Another secret for a key that stays all that it is, shown this once; the former one is good for `keep_hours`.

        When it expires stays, too, but for `expires_days` from now. Raises BadKeyTerm, BeyondOwnRights for a key
        that may more than who asks, UnknownIdentity also for one that is disabled.
        """
        known = await self.get(scope, key, tenant=tenant)
        _check_days(expires_days)
        if not 0 <= keep_hours <= _KEEP_HOURS_MAX:
            raise BadKeyTerm(f"The former secret is good for 0 to {_KEEP_HOURS_MAX} hours.")
        target = await self._acting_for(scope, tenant)
        rights = granted([known.role], home=await self._is_home(target))
        refuse_beyond(target, rights if known.permissions is None else rights & frozenset(known.permissions))
        _models(scope, known.models)
        secret = _secret()
        about: dict[str, JsonValue] = {"keep_hours": keep_hours, "expires_days": expires_days}
        changed = await self._change(
            scope,
            "rotate_key",
            "key.rotate",
            key,
            tenant,
            about,
            hash=fingerprint(secret),
            keep=keep_hours * _HOUR_S,
            seconds=_seconds(expires_days),
        )
        return NewKey(secret, changed)

    async def disable(self, scope: Scope, key: str, *, tenant: str | None = None) -> Key:
        """The key stops working: at once in this process, within two seconds in others."""
        scope.need("key:manage")
        return await self._change(scope, "disable_key", "key.disable", key, tenant, {})

    async def _change(
        self,
        scope: Scope,
        query: str,
        act: str,
        key: str,
        tenant: str | None,
        about: dict[str, JsonValue],
        **values: object,
    ) -> Key:
        target = await self._acting_for(scope, tenant)
        async with self._store.under(target) as db:
            row = await db.row(tuple, _Q[query], id=plain(key), **values)
            if row is None:
                raise UnknownIdentity
            changed = key_of(target.tenant, row)
            await self._audit.record(db, act, resource=changed.id, details=about)
        self._forget()
        return changed

    async def new(self, scope: Scope, **of_key: Any) -> NewKey:
        """A key in a transaction of its own; what it may is checked."""
        async with self._store.under(scope) as db:
            return await self.add(db, scope.tenant, **of_key)

    async def add(
        self,
        db: Db,
        tenant: str,
        *,
        role: str,
        member: str | None = None,
        app: str | None = None,
        permissions: Sequence[str] | None = None,
        gateway: bool = False,
        models: Sequence[str] | None = None,
        seconds: float | None = None,
    ) -> NewKey:
        """The same in an open transaction of its tenant."""
        key, identifier = _secret(), new_id("key")
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
            models=models,
            seconds=seconds,
        )
        assert row is not None
        made = key_of(tenant, row)
        about: dict[str, JsonValue] = {"role": role, "gateway": gateway, "user": member, "app": app}
        about["permissions"] = [*permissions] if permissions is not None else None
        about["models"] = [*models] if models is not None else None
        await self._audit.record(db, "key.create", resource=identifier, details=about)
        return NewKey(key, made)


def _secret() -> str:
    return f"bst_{secrets.token_hex(32)}"


def _check_days(days: float | None) -> None:
    if days is not None and not 0 < days <= _DAYS_MAX:
        raise BadKeyTerm(f"A key expires after more than 0 and at most {_DAYS_MAX} days.")


def _seconds(days: float | None) -> float | None:
    return days * _DAY_S if days else None


def refuse_beyond(scope: Scope, rights: frozenset[str]) -> None:
    """Raises BeyondOwnRights where these are more than the scope has."""
    if beyond := sorted(rights - scope.permissions):
        raise BeyondOwnRights(beyond=beyond)


def _models(maker: Scope, models: Sequence[str] | None) -> Sequence[str] | None:
    """A list as it is kept: each name once, in order. None is every model, which only who has no list can give."""
    if models is None:
        if maker.models is not None:
            raise BeyondOwnRights("This key may name some models only.", beyond=["*"])
        return None
    if not models:
        raise BadModelList("A list without a name lets nobody name anything.")
    listed = sorted(set(models))
    if len(listed) > _MODELS_MAX:
        raise BadModelList(f"A list has at most {_MODELS_MAX} names.")
    for name in listed:
        if not _NAME.fullmatch(name):
            raise BadModelList(f"{name[:128]!r} is neither a name nor the beginning of one with `*` at its end.")
    if beyond := [name for name in listed if not _within(maker, name)]:
        raise BeyondOwnRights("This key may name other models only.", beyond=beyond)
    return listed


def _within(maker: Scope, name: str) -> bool:
    if maker.models is None or not name.endswith("*"):
        return maker.may_name(name)
    return any(own.endswith("*") and name.startswith(own[:-1]) for own in maker.models)
