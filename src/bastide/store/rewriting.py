"""Rewriting: tables are written anew, so that what was deleted leaves the disk.

PostgreSQL keeps the bytes of a deleted row in its table's file, also after a plain VACUUM; VACUUM FULL writes a new one
and deletes the old. The write-ahead log holds them a while longer: until its files are used again, after the next
checkpoint. Whoever asks is told what was done and what is left to time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

_LOCK_S = 10


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One table: its bytes on the disk before and after, with indexes; `problem` says why it was left as it is."""

    table: str
    bytes_before: int
    bytes_after: int
    took_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """All of them. Not `checkpointed`: the log's old files are used again after the server's own next checkpoint."""

    tables: tuple[Rewritten, ...]
    checkpointed: bool
    wal_at: str


async def rewrite(connection: psycopg.AsyncConnection[Any], rooms: Sequence[str], also: Sequence[str]) -> Rewriting:
    """Write every table of these schemas anew, and those named `schema.table`; one after the other, smallest first.

    Each is locked while it is written; one that is not free within ten seconds is left out, and named.
    """
    cursor = await connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and (n.nspname = any(%s) or n.nspname || '.' || c.relname = any(%s))"
        " order by pg_total_relation_size(c.oid), n.nspname, c.relname",
        (list(rooms), list(also)),
    )
    tables = [await _rewrite(connection, schema, name) for schema, name in await cursor.fetchall()]
    try:
        await connection.execute("checkpoint")
        checkpointed = True
    except psycopg.errors.InsufficientPrivilege:  # an owner is no superuser, and rarely a member of pg_checkpoint
        checkpointed = False
    row = await (await connection.execute("select pg_current_wal_insert_lsn()::text")).fetchone()
    return Rewriting(tuple(tables), checkpointed, row[0] if row else "")


async def _rewrite(connection: psycopg.AsyncConnection[Any], schema: str, name: str) -> Rewritten:
    table = sql.Identifier(schema, name)
    began, before, problem = time.monotonic(), await _bytes(connection, schema, name), ""
    try:
        await connection.execute(f"set lock_timeout = '{_LOCK_S}s'")
        await connection.execute(sql.SQL("vacuum (full, analyze) {}").format(table))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        problem = f"It was in use for {_LOCK_S} seconds: run this again when less is going on."
    except psycopg.errors.UndefinedTable:
        problem = "It went away meanwhile."
    after = await _bytes(connection, schema, name)
    return Rewritten(f"{schema}.{name}", before, after, round(time.monotonic() - began, 3), problem)


async def _bytes(connection: psycopg.AsyncConnection[Any], schema: str, name: str) -> int:
    row = await (
        await connection.execute(
            "select coalesce(pg_total_relation_size(to_regclass(format('%%I.%%I', %s::text, %s::text))), 0)",
            (schema, name),
        )
    ).fetchone()
    return int(row[0]) if row else 0
