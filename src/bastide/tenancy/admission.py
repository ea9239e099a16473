"""Admission: from a bearer key and three headers to a scope, or to a refusal that says why.

1. the form of each header is checked            4. X-Company-ID must be the key's own tenant
2. the key is looked up by its hash              5. X-User-ID and X-App-ID must be of that tenant,
3. disabled or expired is refused                   and of the key if it is bound to one
6. permissions = the key's role, narrowed by the key's own list and by the roles of the user who acts;
   models = those that the key may name
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from bastide.errors import (
    BastideError,
    DatabaseUnavailable,
    DisabledKey,
    ExpiredKey,
    ForeignApp,
    ForeignCompany,
    ForeignUser,
    MalformedHeader,
    MissingHeader,
    Refusal,
    Unauthorised,
    UnknownKey,
)
from bastide.store import Scope, Store, from_uuid, is_id, queries
from bastide.telemetry import count
from bastide.tenancy.roles import granted
from bastide.tenancy.values import App, User

_Q = queries("bastide.tenancy")
_AUTHENTICATE, _TOUCH_KEY, _MEMBER, _APP = _Q["authenticate"], _Q["touch_key"], _Q["member"], _Q["app"]

_FORM = re.compile(r"bst_[A-Za-z0-9]{8,64}\Z")
_REMEMBERED_S = 2.0  # how long a change elsewhere may go unseen
_REMEMBERED_MAX = 10_000
_RENEWED_MAX = 200
_RETURN_S = 5.0  # who is not known waits so long for a database that is away
_ANSWER_S = 2.0  # whoever is known waits so long


@dataclass(frozen=True, slots=True)
class Held:
    """What the database says of one key."""

    tenant: UUID
    home: bool
    tenant_disabled: bool
    id: str
    role: str
    member: str | None
    member_roles: list[str] | None
    member_disabled: bool
    app: str | None
    app_disabled: bool
    permissions: list[str] | None
    gateway: bool
    expired: bool
    disabled: bool
    used_lately: bool
    expires_at: datetime | None
    models: list[str] | None


def fingerprint(key: str) -> bytes:
    """What is stored of a key. It is 256 random bits, so a plain SHA-256 leaves nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


_Asked = tuple[bytes, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """Who was let in, and when that was asked."""

    asked_at: float
    scope: Scope
    gateway: bool
    expires_at: datetime | None


class Admission:
    """Turns what a request carries into a scope; remembers the outcome for two seconds.

    Longer only while the database is away: who was let in since it was there last, and at most for `stale_s`.
    """

    def __init__(self, store: Store, *, stale_s: float) -> None:
        self._store = store
        self._stale_s = stale_s
        self._remembered: OrderedDict[_Asked, _Known] = OrderedDict()
        self._forgotten: dict[_Asked, None] = {}
        self._changes = 0  # what was read before a change is not remembered after it

    async def admit(self, bearer: str | None, *, company: str | None, user: str | None, app: str | None) -> Scope:
        """The scope of this request. Raises Unauthorised, Forbidden or BadRequest, each with its code."""
        try:
            return await self._admit(bearer, company, user, app)
        except Refusal as refusal:
            count("tenancy_refusals", reason=refusal.code.removeprefix("tenancy."))
            raise

    async def _admit(self, bearer: str | None, company: str | None, user: str | None, app: str | None) -> Scope:
        _refuse_malformed(company, user, app)
        if not bearer:
            raise Unauthorised
        if not _FORM.match(bearer):
            raise UnknownKey
        asked = (fingerprint(bearer), user, app)
        known = self._remembered.get(asked)
        if known is None:
            if not await self._store.presence.returned(within_s=_RETURN_S):
                raise DatabaseUnavailable
            known = await self._asked(asked)
        elif time.monotonic() - known.asked_at > _REMEMBERED_S:
            known = await self._asked_again(asked, known)
        scope = known.scope
        if known.gateway and (company is None or user is None or app is None):
            raise MissingHeader
        if company is not None and company != scope.tenant:
            raise ForeignCompany
        return scope

    async def _asked(self, asked: _Asked) -> _Known:
        hashed, user, app = asked
        changes, asked_at = self._changes, time.monotonic()
        held = await self._held(hashed)
        known = _Known(asked_at, await self._scope(held, user, app), held.gateway, held.expires_at)
        if changes == self._changes:
            self._remember(asked, known)
        return known

    async def _asked_again(self, asked: _Asked, known: _Known) -> _Known:
        """What the database says now; while it is away, what it said lately. An expired key has expired anyway."""
        presence = self._store.presence
        try:
            return await presence.unless_silent(lambda: self._asked(asked), within_s=_ANSWER_S)
        except Refusal:
            self._remembered.pop(asked, None)
            raise
        except DatabaseUnavailable:
            if not presence.excuses(known.asked_at, stale_s=self._stale_s):
                raise
            if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
                raise ExpiredKey from None
            count("tenancy_from_memory")
            return known

    def changes(self) -> int:
        """How often identities have changed in this process."""
        return self._changes

    def forget(self) -> None:
        """Ask the database again at the next request: an identity has changed."""
        self._changes += 1
        self._forgotten.update(dict.fromkeys(reversed(self._remembered)))
        self._remembered.clear()

    async def renew(self) -> None:
        """Ask for those who were forgotten last, so that they are known should the database go away."""
        again, self._forgotten = list(self._forgotten)[:_RENEWED_MAX], {}
        for asked in again:
            if asked not in self._remembered and not self._store.presence.silent:
                with suppress(BastideError):
                    await self._asked(asked)

    def _remember(self, asked: _Asked, known: _Known) -> None:
        self._remembered[asked] = known
        self._remembered.move_to_end(asked)
        while len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    async def _held(self, hashed: bytes) -> Held:
        async with self._store.as_anybody() as db:
            held = await db.row(Held, _AUTHENTICATE, hash=hashed)
        if held is None:
            raise UnknownKey
        if held.expired:
            raise ExpiredKey
        if held.disabled or held.tenant_disabled or held.member_disabled or held.app_disabled:
            raise DisabledKey
        return held

    async def _scope(self, held: Held, user: str | None, app: str | None) -> Scope:
        if held.member is not None and user not in (None, held.member):
            raise ForeignUser
        if held.app is not None and app not in (None, held.app):
            raise ForeignApp
        scope = _scope_of_key(held)
        roles = held.member_roles
        asked_user = user if held.member is None else None
        asked_app = app if held.app is None else None
        if asked_user is None and asked_app is None and held.used_lately:
            return _narrowed(scope, held, user=held.member, app=held.app, roles=roles)
        async with self._store.under(scope) as db:
            if asked_user is not None:
                acting = await db.row(User, _MEMBER, id=asked_user)
                if acting is None or acting.disabled_at is not None:
                    raise ForeignUser
                roles = acting.roles
            if asked_app is not None:
                program = await db.row(App, _APP, id=asked_app)
                if program is None or program.disabled_at is not None:
                    raise ForeignApp
            if not held.used_lately:
                await db.run(_TOUCH_KEY, id=held.id)
        return _narrowed(scope, held, user=held.member or user, app=held.app or app, roles=roles)


def _refuse_malformed(company: str | None, user: str | None, app: str | None) -> None:
    for header, value, kind in (("X-Company-ID", company, "ten"), ("X-User-ID", user, "usr"), ("X-App-ID", app, "app")):
        if value is not None and not is_id(value, kind):
            raise MalformedHeader(f"{header} has not the form {kind}_....", header=header)


def _scope_of_key(held: Held) -> Scope:
    permissions = granted([held.role], home=held.home)
    if held.permissions is not None:
        permissions &= frozenset(held.permissions)
    return Scope(
        tenant=from_uuid("ten", held.tenant),
        user=held.member,
        app=held.app,
        roles=frozenset({held.role}),
        permissions=permissions,
        key=held.id,
        models=None if held.models is None else tuple(held.models),
    )


def _narrowed(scope: Scope, held: Held, *, user: str | None, app: str | None, roles: list[str] | None) -> Scope:
    permissions = scope.permissions
    if roles is not None:
        permissions &= granted(roles, home=held.home)
    return Scope(
        tenant=scope.tenant,
        user=user,
        app=app,
        roles=scope.roles if roles is None else frozenset(roles),
        permissions=permissions,
        key=scope.key,
        models=scope.models,
    )
