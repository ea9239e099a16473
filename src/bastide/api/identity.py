"""Tenants, users, apps, keys, roles, and who the caller is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.paging import Cursor, Limit, page, whole
from bastide.api.reading import Route
from bastide.api.shapes import identity as shapes
from bastide.api.shapes.ground import Listed
from bastide.tenancy import PERMISSIONS, ROLES

Of = Annotated[
    str | None, Query(max_length=200, description="Id or name of another tenant, for the platform's administrator.")
]

router = APIRouter(route_class=Route, tags=["identity"])


@router.get("/api/v1/me", summary="Who am I?", responses=answers({}))
async def me(caller: Asking, rooms: Behind) -> Any:
    """Tenant, user, app, permissions, models and label that this key and these headers stand for."""
    scope = caller.scope
    tenant = await rooms.tenancy.get_tenant(scope, scope.tenant)
    return JSONResponse(
        {
            "tenant": {"id": tenant.id, "name": tenant.name},
            "user": scope.user,
            "app": scope.app,
            "key": scope.key,
            "roles": sorted(scope.roles),
            "permissions": sorted(scope.permissions),
            "models": None if scope.models is None else list(scope.models),
            "label": caller.label.to_wire(),
        }
    )


@router.get("/api/v1/roles", summary="The roles", responses=answers({200: Listed}))
async def list_roles(caller: Asking) -> Any:
    """What each role may do."""
    roles = [{"name": name, "permissions": sorted(held)} for name, held in sorted(ROLES.items())]
    return JSONResponse({**whole("roles", roles), "permissions": dict(PERMISSIONS)})


# -- tenants ----------------------------------------------------------------------------------------


@router.post("/api/v1/tenants", status_code=201, summary="Make a tenant", responses=answers({201: shapes.Identity}))
async def create_tenant(body: shapes.NewTenant, caller: Asking, rooms: Behind) -> Any:
    """For the platform's administrator."""
    return JSONResponse((await rooms.tenancy.create_tenant(caller.scope, body.name)).to_wire(), 201)


@router.get("/api/v1/tenants", summary="List the tenants", responses=answers({200: Listed}))
async def list_tenants(caller: Asking, rooms: Behind, cursor: Cursor = None, limit: Limit = 100) -> Any:
    """All for the platform's administrator; for everybody else their own."""
    return JSONResponse(page("tenants", await rooms.tenancy.list_tenants(caller.scope, cursor=cursor, limit=limit)))


@router.get("/api/v1/tenants/{id}", summary="Show a tenant", responses=answers({200: shapes.Identity}))
async def show_tenant(id: str, caller: Asking, rooms: Behind) -> Any:
    """By id or name."""
    return JSONResponse((await rooms.tenancy.get_tenant(caller.scope, id)).to_wire())


@router.post("/api/v1/tenants/{id}:disable", summary="Disable a tenant", responses=answers({200: shapes.Identity}))
async def disable_tenant(id: str, caller: Asking, rooms: Behind) -> Any:
    """Every key of the tenant stops working; nothing is deleted."""
    return JSONResponse((await rooms.tenancy.disable_tenant(caller.scope, id)).to_wire())


# -- users and apps ---------------------------------------------------------------------------------


@router.post("/api/v1/users", status_code=201, summary="Make a user", responses=answers({201: shapes.Identity}))
async def create_user(body: shapes.NewUser, caller: Asking, rooms: Behind) -> Any:
    """A user of the caller's tenant, or of the named one."""
    made = await rooms.tenancy.create_user(
        caller.scope, email=body.email, name=body.name, roles=body.roles, tenant=body.tenant
    )
    return JSONResponse(made.to_wire(), 201)


@router.get("/api/v1/users", summary="List the users", responses=answers({200: Listed}))
async def list_users(
    caller: Asking, rooms: Behind, tenant: Of = None, cursor: Cursor = None, limit: Limit = 100
) -> Any:
    """Oldest first."""
    found = await rooms.tenancy.list_users(caller.scope, tenant=tenant, cursor=cursor, limit=limit)
    return JSONResponse(page("users", found))


@router.get("/api/v1/users/{id}", summary="Show a user", responses=answers({200: shapes.Identity}))
async def show_user(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """By id or e-mail."""
    return JSONResponse((await rooms.tenancy.get_user(caller.scope, id, tenant=tenant)).to_wire())


@router.post("/api/v1/users/{id}:disable", summary="Disable a user", responses=answers({200: shapes.Identity}))
async def disable_user(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """The user's keys stop working."""
    return JSONResponse((await rooms.tenancy.disable_user(caller.scope, id, tenant=tenant)).to_wire())


@router.post("/api/v1/apps", status_code=201, summary="Make an app", responses=answers({201: shapes.Identity}))
async def create_app(body: shapes.NewApp, caller: Asking, rooms: Behind) -> Any:
    """An app of the caller's tenant, or of the named one."""
    made = await rooms.tenancy.create_app(caller.scope, name=body.name, tenant=body.tenant)
    return JSONResponse(made.to_wire(), 201)


@router.get("/api/v1/apps", summary="List the apps", responses=answers({200: Listed}))
async def list_apps(caller: Asking, rooms: Behind, tenant: Of = None, cursor: Cursor = None, limit: Limit = 100) -> Any:
    """Oldest first."""
    found = await rooms.tenancy.list_apps(caller.scope, tenant=tenant, cursor=cursor, limit=limit)
    return JSONResponse(page("apps", found))


@router.get("/api/v1/apps/{id}", summary="Show an app", responses=answers({200: shapes.Identity}))
async def show_app(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """By id or name."""
    return JSONResponse((await rooms.tenancy.get_app(caller.scope, id, tenant=tenant)).to_wire())


@router.post("/api/v1/apps/{id}:disable", summary="Disable an app", responses=answers({200: shapes.Identity}))
async def disable_app(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """The app's keys stop working."""
    return JSONResponse((await rooms.tenancy.disable_app(caller.scope, id, tenant=tenant)).to_wire())


# -- keys -------------------------------------------------------------------------------------------


@router.post("/api/v1/keys", status_code=201, summary="Make a key", responses=answers({201: shapes.KeyShown}))
async def create_key(body: shapes.NewKey, caller: Asking, rooms: Behind) -> Any:
    """The key is in this answer and nowhere else. It can carry no more rights than its maker has."""
    made = await rooms.tenancy.create_key(
        caller.scope,
        role=body.role,
        tenant=body.tenant,
        user=body.user,
        app=body.app,
        expires_days=body.expires_days,
        permissions=body.permissions,
        gateway=body.gateway,
        models=body.models,
    )
    return JSONResponse(made.to_wire(), 201)


@router.get("/api/v1/keys", summary="List the keys", responses=answers({200: Listed}))
async def list_keys(caller: Asking, rooms: Behind, tenant: Of = None, cursor: Cursor = None, limit: Limit = 100) -> Any:
    """What is known of them; a key itself is known to nobody but its holder."""
    found = await rooms.tenancy.list_keys(caller.scope, tenant=tenant, cursor=cursor, limit=limit)
    return JSONResponse(page("keys", found))


@router.get("/api/v1/keys/{id}", summary="Show a key", responses=answers({}))
async def show_key(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """What is known of it."""
    return JSONResponse((await rooms.tenancy.get_key(caller.scope, id, tenant=tenant)).to_wire())


@router.patch("/api/v1/keys/{id}", summary="Bind a key to models", responses=answers({}))
async def bind_key(id: str, body: shapes.KeyBound, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """It may name these and no others: at once in this process, within two seconds in others."""
    return JSONResponse((await rooms.tenancy.bind_key(caller.scope, id, body.models, tenant=tenant)).to_wire())


@router.post("/api/v1/keys/{id}:rotate", summary="Rotate a key", responses=answers({200: shapes.KeyShown}))
async def rotate_key(id: str, body: shapes.KeyRotated, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """Another secret, shown this once; the key stays what it is: rights, models, rates, what it has dispatched."""
    made = await rooms.tenancy.rotate_key(
        caller.scope, id, keep_hours=body.keep_hours, expires_days=body.expires_days, tenant=tenant
    )
    return JSONResponse(made.to_wire())


@router.post("/api/v1/keys/{id}:disable", summary="Disable a key", responses=answers({}))
async def disable_key(id: str, caller: Asking, rooms: Behind, tenant: Of = None) -> Any:
    """It stops working at once in this process, within two seconds in others."""
    return JSONResponse((await rooms.tenancy.disable_key(caller.scope, id, tenant=tenant)).to_wire())
