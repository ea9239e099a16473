"""Tenants, users, apps, keys and roles on the wire."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from bastide.api.shapes.ground import Asked, Said


class NewTenant(Asked):
    """A tenant to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "city-of-montauban"}]})
    name: str


class NewUser(Asked):
    """A user of the caller's tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.org", "name": "Ada"}]})
    email: str
    name: str = ""
    roles: list[str] = Field(default_factory=lambda: ["member"], max_length=10)
    tenant: str | None = Field(None, description="Id or name; null: the caller's own.")


class NewApp(Asked):
    """An application of the caller's tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "intranet"}]})
    name: str
    tenant: str | None = Field(None, description="Id or name; null: the caller's own.")


class NewKey(Asked):
    """A key to be made; it is shown once, in the answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tenant": "city-of-montauban", "role": "member", "expires_days": 90}]}
    )
    tenant: str | None = Field(None, max_length=200, description="Id or name; null: the caller's own.")
    role: str = Field(max_length=40, examples=["member"])
    user: str | None = Field(None, max_length=320)
    app: str | None = Field(None, max_length=200)
    expires_days: float | None = None
    permissions: list[str] | None = Field(None, max_length=50, description="Fewer than the role has; never more.")
    gateway: bool = Field(False, description="Trusted to name users and apps in headers.")
    models: list[str] | None = Field(
        None, description="What it may name: 100 models, routes, beginnings like `local/*` at most; null: all."
    )


class KeyBound(Asked):
    """What a key may name from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"models": ["lane", "local/*"]}]})
    models: list[str] | None = Field(description="As for a new key. Null: every model.")


class KeyRotated(Asked):
    """How a key gets another secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_hours": 24, "expires_days": 90}]})
    keep_hours: float = Field(0, description="For how long the former secret is good; at most 720.")
    expires_days: float | None = Field(None, description="From now; null: when it expired before.")


class Identity(Said):
    """A tenant, a user or an app."""

    id: str
    name: str


class KeyShown(Said):
    """A key, this once."""

    id: str
    key: str = Field(examples=["bst_..."])
    tenant: str
    role: str
