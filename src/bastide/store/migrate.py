"""Migrations: numbered SQL files, forward only, room by room from the ground up.

1. one process at a time (an advisory lock)     3. what is new is applied, a file a transaction
2. what was applied must be unchanged           4. a database of a newer version is refused
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import psycopg

from bastide.errors import MigrationChanged, NewerDatabase
from bastide.telemetry import log

# The rooms that keep tables, from the ground up; each has a PostgreSQL schema of its name.
ROOMS = (
    "store",
    "audit",
    "tenancy",
    "policy",
    "workflows",
    "inference",
    "compute",
    "knowledge",
    "connectors",
    "skills",
    "plugins",
    "compliance",
)

_LOCK = 0x6261737469646501  # "bastide", 1


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of a room's `schema/`."""

    room: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in the order in which they apply."""
    found: list[Migration] = []
    for room in ROOMS:
        folder = files("bastide").joinpath(room, "schema")
        if folder.is_dir():
            found += sorted((_read(room, file) for file in folder.iterdir() if file.name.endswith(".sql")), key=_order)
    return found


def _order(migration: Migration) -> int:
    return migration.number


def _read(room: str, file: Traversable) -> Migration:
    number, _, name = file.name.removesuffix(".sql").partition("_")
    return Migration(room, int(number), name, file.read_text(encoding="utf-8"))


async def migrate(connection: psycopg.AsyncConnection[Any]) -> int:
    """Bring the database up to this version, as its owner; how many files were applied.

    Raises MigrationChanged or NewerDatabase; then nothing was applied.
    """
    await connection.set_autocommit(True)
    await connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
    try:
        await _prepare(connection)
        rows = await (await connection.execute("select room, number, checksum from store.migration")).fetchall()
        applied = {(room, number): checksum for room, number, checksum in rows}
        migrations = shipped()
        known = {(one.room, one.number) for one in migrations}
        if newer := sorted(set(applied) - known):
            raise NewerDatabase(unknown=[f"{room}/{number:04d}" for room, number in newer])
        for one in migrations:
            if applied.get((one.room, one.number), one.checksum) != one.checksum:
                raise MigrationChanged(f"The migration {one.room}/{one.number:04d} differs from what was applied.")
        fresh = [one for one in migrations if (one.room, one.number) not in applied]
        for one in fresh:
            await _apply(connection, one)
        return len(fresh)
    finally:
        await connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


async def _prepare(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("create schema if not exists store")
    await connection.execute(
        """create table if not exists store.migration (
            room text not null, number integer not null, name text not null, checksum text not null,
            applied_at timestamptz not null default now(), primary key (room, number))"""
    )


async def _apply(connection: psycopg.AsyncConnection[Any], migration: Migration) -> None:
    log.info("migration %s/%04d %s", migration.room, migration.number, migration.name)
    room = migration.room  # one of ROOMS
    async with connection.transaction():
        await connection.execute(f"create schema if not exists {room}")
        await connection.execute(f"grant usage on schema {room} to bastide_app, bastide_operator")
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into store.migration (room, number, name, checksum) values (%s, %s, %s, %s)",
            (migration.room, migration.number, migration.name, migration.checksum),
        )
