"""Lint: could row security be bypassed on this database? Asked of the catalogue at every start, and in tests.

PostgreSQL has many ways to switch row security off by accident, each measured to show foreign rows: a powerful login, a
table without FORCE, a plain view, a definer function, a partition read directly. Here is one question for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from bastide.store.migrate import ROOMS
from bastide.store.questions import Query, queries
from bastide.telemetry import log

_Q = queries("bastide.store")

OLDEST_POSTGRES = 160_000
# The minor releases of May 2026 closed eleven holes; below them we warn, because only the operator can update.
SAFE_MINORS = {16: 14, 17: 10, 18: 4}
OLDEST_VECTOR = (0, 8)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which row security could be bypassed: where, what is wrong, what to do."""

    object: str
    rule: str
    next: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """What must never be found; the query names what breaks it."""

    query: Query
    rule: str
    next: str


_RULES = (
    _Rule(
        _Q["lint_powerful_roles"],
        "is a superuser or has BYPASSRLS, so row security is off for it",
        "Connect as ordinary roles: alter role ... nosuperuser nobypassrls; nor may a superuser own our tables.",
    ),
    _Rule(
        _Q["lint_owning_roles"],
        "may act as an owner or as the operator",
        "Take the membership or the ownership away: the application owns nothing and becomes nobody.",
    ),
    _Rule(
        _Q["lint_unprotected_tables"],
        "has no enabled and forced row security",
        "End its migration with `call store.protect('...')`, or with `call store.share(...)` if it has no tenant.",
    ),
    _Rule(
        _Q["lint_uncovered_commands"],
        "is granted to the application without a policy for that command",
        "Add a policy for the command, or revoke it from bastide_app.",
    ),
    _Rule(
        _Q["lint_open_policies"],
        "shows rows without asking store.tenant() first of all, or under an OR",
        "Begin the policy with `tenant_id = (select store.tenant())`; for cross-tenant duties name it operator_... and "
        "give it to bastide_operator alone.",
    ),
    _Rule(
        _Q["lint_open_partitions"],
        "is a partition that the application may touch directly",
        "Revoke everything on the partition from bastide_app and public; the parent's grant is enough.",
    ),
    _Rule(
        _Q["lint_bypassing_views"],
        "is a view over a tenant's table that runs with its owner's rights, or keeps rows of everybody",
        "Make it `with (security_invoker = true)`, or drop it; a materialised one must go.",
    ),
    _Rule(
        _Q["lint_undeclared_definers"],
        "is a SECURITY DEFINER function that is not declared in store.definer_allowed",
        "Make it SECURITY INVOKER, or declare it with its reason (see store.lend).",
    ),
    _Rule(
        _Q["lint_unpinned_definers"],
        "is a SECURITY DEFINER function without a search_path of its own",
        "Add `set search_path = pg_catalog` to it and write schema names in its body.",
    ),
    _Rule(
        _Q["lint_wide_grants"],
        "is granted to the application and reaches past row security",
        "Revoke it from bastide_app and public; select, insert, update and delete are enough.",
    ),
    _Rule(
        _Q["lint_leakproof_functions"],
        "is marked LEAKPROOF, so it may see rows before the policy is asked",
        "alter function ... not leakproof.",
    ),
    _Rule(
        _Q["lint_telling_keys"],
        "is a unique key that does not begin with tenant_id, so it tells what other tenants have",
        "Put tenant_id first into the key.",
    ),
    _Rule(
        _Q["lint_telling_references"],
        "is a foreign key between tenants' tables that does not carry tenant_id",
        "Refer to (tenant_id, ...) with (tenant_id, ...).",
    ),
)


async def faults(connection: psycopg.AsyncConnection[Any]) -> list[Fault]:
    """Everything by which this login, or the application, could see or touch a foreign row; empty when all is well.

    Reads the catalogue only. A PostgreSQL below the security releases of SAFE_MINORS is a warning in the log.
    """
    found: list[Fault] = []
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_Q["lint_versions"].sql)
        postgres, vector = await cursor.fetchone() or (0, "")
        found += _old_versions(postgres, vector)
        for rule in _RULES:
            await cursor.execute(rule.query.sql, {"rooms": list(ROOMS)})
            found += [Fault(name, rule.rule, rule.next) for (name,) in await cursor.fetchall()]
    return found


def _old_versions(postgres: int, vector: str) -> list[Fault]:
    found: list[Fault] = []
    major, minor = divmod(postgres, 10_000)
    if postgres < OLDEST_POSTGRES:
        found.append(Fault(f"PostgreSQL {major}", "is older than 16", "Move the database to PostgreSQL 16 or newer."))
    elif minor < SAFE_MINORS.get(major, 0):
        log.warning(
            "PostgreSQL %d.%d lacks security fixes; update it to %d.%d", major, minor, major, SAFE_MINORS[major]
        )
    numbers = tuple(int(number) for number in re.findall(r"\d+", vector)[:2])
    if numbers < OLDEST_VECTOR:
        found.append(
            Fault(
                f"pgvector {vector or 'is missing'}",
                "is older than 0.8, without iterative scans: filtered searches lose most answers",
                "Install pgvector 0.8 or newer, then: alter extension vector update;",
            )
        )
    return found
