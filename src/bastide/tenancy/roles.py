"""Roles, and what each may do. A key or a user has roles; an operation asks for one permission."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

PLATFORM = "platform:operate"

PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {
        PLATFORM: "create and disable tenants, act for a tenant; in the home tenant only",
        "tenant:manage": "create and disable the tenant's users and apps",
        "key:manage": "create and disable the tenant's keys",
        "knowledge:read": "search, ask, read documents",
        "knowledge:write": "take documents in, tighten their label",
        "knowledge:erase": "delete documents",
        "knowledge:manage": "set members and retention of any collection, hold documents; each use is recorded",
        "work:read": "see one's own jobs",
        "work:run": "dispatch jobs, cancel and retry one's own",
        "work:manage": "see and steer all jobs of the tenant; schedules, triggers, limits, pauses",
        "work:approve": "see all jobs, decide what waits for a person, stop what runs",
        "model:use": "call models",
        "model:manage": "add and remove models",
        "budget:manage": "set budgets and rates of calls, see what everybody used",
        "policy:read": "see records and what a decision would be",
        "policy:manage": "enable endpoints, change the tenant's policy, loosen a label",
        "audit:read": "read events and receipts",
        "audit:verify": "verify and export the log",
        "rights:use": "act on a person's rights of access and erasure",
    }
)

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "administrator": frozenset(PERMISSIONS),
        "member": frozenset({"knowledge:read", "knowledge:write", "model:use", "policy:read", "work:read", "work:run"}),
        "overseer": frozenset({"work:read", "work:approve", "policy:read", "knowledge:read"}),
        "auditor": frozenset({"audit:read", "audit:verify", "policy:read"}),
        "dpo": frozenset({"audit:read", "rights:use", "knowledge:read", "knowledge:erase", "policy:read"}),
        "worker": frozenset({"knowledge:read", "knowledge:write", "model:use", "work:read", "work:run"}),
    }
)


def granted(roles: Iterable[str], *, home: bool) -> frozenset[str]:
    """What these roles may do together; the platform only in the home tenant, an unknown role nothing."""
    together = frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))
    return together if home else together - {PLATFORM}
