"""Tenancy: who there is, who is acting, and what they may do.

Tenants, users, apps, roles and keys; the only maker of a `Scope`. A key names its tenant; headers can
only narrow what it allows, and what is missing, malformed or foreign is refused, never defaulted.
"""

from bastide.tenancy.roles import PERMISSIONS, ROLES
from bastide.tenancy.tenancy import Tenancy
from bastide.tenancy.values import App, Key, NewKey, Tenant, User

__all__ = ["PERMISSIONS", "ROLES", "App", "Key", "NewKey", "Tenancy", "Tenant", "User"]
