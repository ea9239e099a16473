"""Provisioning: the roles of the house, so that nobody who serves a request owns anything.

    owner                owns the tables, creates roles; used at start for migrations, never for a request
    bastide_app          no login; may touch tenants' rows under row security and nothing else
    bastide_operator     no login; sees across tenants only where a policy names it
    bastide_app_x, bastide_operator_x    this home's two logins, members of the two above

A superuser or a role with BYPASSRLS is refused: row security would silently be off.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bastide.errors import DatabaseUnavailable, UnsafeDatabase
from bastide.store.keys import secret_file

DATABASE = "bastide"


async def provision_embedded(superuser_url: str, home: Path) -> str:
    """In our own cluster: the owner, the database and the extension. Gives the owner's URL."""
    password = secret_file(home / "secrets" / "database-owner", length=32).hex()
    async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as connection:
        if not await _exists(connection, "select 1 from pg_roles where rolname = 'bastide_owner'"):
            await connection.execute(
                sql.SQL("create role bastide_owner login createrole nosuperuser nobypassrls password {}").format(
                    sql.Literal(password)
                )
            )
        if not await _exists(connection, "select 1 from pg_database where datname = 'bastide'"):
            await connection.execute("create database bastide owner bastide_owner")
    inside = make_conninfo(superuser_url, dbname=DATABASE)
    async with await psycopg.AsyncConnection.connect(inside, autocommit=True) as connection:
        await connection.execute("create extension if not exists vector")
        await connection.execute("alter extension vector update")
    return make_conninfo(superuser_url, dbname=DATABASE, user="bastide_owner", password=password)


async def provision_roles(owner_url: str, home: Path) -> tuple[str, str]:
    """The two roles and this home's logins. Gives the URLs of the application and of the operator.

    Raises UnsafeDatabase when `owner_url` is a superuser or bypasses row security, or when it may not
    create roles and the roles are not there.
    """
    async with await connect(owner_url) as connection:
        await refuse_unsafe_owner(connection)
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('bastide roles'))")
            for role in ("bastide_app", "bastide_operator"):
                if not await _exists(connection, "select 1 from pg_roles where rolname = %s", role):
                    await _create_role(connection, role)
            await _require_vector(connection)
            logins = _logins(home)
            for role, (name, password) in logins.items():
                await _ensure_login(connection, role, name, password)
            await connection.execute("revoke create on schema public from public")
    urls = [make_conninfo(owner_url, user=name, password=password) for name, password in logins.values()]
    return urls[0], urls[1]


async def connect(url: str) -> psycopg.AsyncConnection[Any]:
    """A connection in autocommit. Raises DatabaseUnavailable with the server's own words."""
    try:
        return await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as fault:
        said = [line for line in str(fault).strip().splitlines() if not line.startswith("\t")] or [
            ""
        ]  # those are hints
        raise DatabaseUnavailable(f"The database does not answer: {said[-1]}") from fault


async def refuse_unsafe_owner(connection: psycopg.AsyncConnection[Any]) -> None:
    """Refuse a login for which row security is off."""
    row = await (
        await connection.execute(
            "select rolsuper, rolbypassrls, current_setting('server_version_num')::int from pg_roles"
            " where rolname = current_user"
        )
    ).fetchone()
    assert row is not None
    if row[0] or row[1]:
        raise UnsafeDatabase(
            "The database URL connects as a superuser or with BYPASSRLS, so row security would be off.",
            next_step="Make an ordinary role that owns the database (create role bastide_owner login createrole; "
            "alter database ... owner to bastide_owner) and put it into BASTIDE_DATABASE_URL.",
        )
    if row[2] < 160000:
        raise UnsafeDatabase(
            f"PostgreSQL {row[2] // 10000} is older than 16.", next_step="Use PostgreSQL 16 or later with pgvector 0.8."
        )


async def _create_role(connection: psycopg.AsyncConnection[Any], role: str) -> None:
    try:
        await connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
        await connection.execute(
            sql.SQL("grant {} to current_user with set true, inherit false").format(sql.Identifier(role))
        )
    except psycopg.errors.InsufficientPrivilege as fault:
        raise UnsafeDatabase(
            f"The role {role} does not exist, and this login may not create it.",
            next_step="Give the login CREATEROLE, or make bastide_app and bastide_operator (nologin) beforehand.",
        ) from fault


async def _require_vector(connection: psycopg.AsyncConnection[Any]) -> None:
    if await _exists(connection, "select 1 from pg_extension where extname = 'vector'"):
        return
    try:
        async with connection.transaction():
            await connection.execute("create extension vector")
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.UndefinedFile,
    ) as fault:
        raise DatabaseUnavailable(
            "The extension pgvector is not in this database, and this login may not add it.",
            next_step="As a superuser of that database run once: create extension vector; (pgvector 0.8 or later).",
        ) from fault


def _logins(home: Path) -> dict[str, tuple[str, str]]:
    path = home / "secrets" / "database-logins.json"
    if not path.exists():
        suffix = secrets.token_hex(4)
        content = {role: [f"{role}_{suffix}", secrets.token_hex(24)] for role in ("bastide_app", "bastide_operator")}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return {role: (name, password) for role, (name, password) in loaded.items()}


async def _ensure_login(connection: psycopg.AsyncConnection[Any], role: str, name: str, password: str) -> None:
    if await _exists(connection, "select 1 from pg_roles where rolname = %s", name):
        return
    await connection.execute(
        sql.SQL("create role {} login nosuperuser nobypassrls nocreaterole nocreatedb in role {} password {}").format(
            sql.Identifier(name), sql.Identifier(role), sql.Literal(password)
        )
    )
    # Every session of the login begins as the role itself, and RESET goes back to that, not further.
    for setting, value in (
        ("role", role),
        ("statement_timeout", "120s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("search_path", "public"),  # pg_catalog is searched first by itself; a list would need two literals
    ):
        await connection.execute(
            sql.SQL("alter role {} set {} = {}").format(
                sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
            )
        )


async def _exists(connection: psycopg.AsyncConnection[Any], question: Any, *values: str) -> bool:
    return await (await connection.execute(question, values)).fetchone() is not None
