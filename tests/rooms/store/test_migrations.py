"""Migrations: once each, unchanged, never backwards; equal whether two processes start or one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.conftest import scope_of

from bastide.errors import DatabaseUnavailable, MigrationChanged, NewerDatabase, UnsafeDatabase
from bastide.settings import Settings
from bastide.store import Store, new_id


@pytest.fixture
async def empty_database(store: Store) -> str:
    """A fresh database on the same server, owned by an ordinary role: what `BASTIDE_DATABASE_URL` would name."""
    assert store._server is not None
    name = "db" + new_id("x")[-8:]
    superuser = store._superuser_url(store._server)
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        await connection.execute(f"create database {name} owner bastide_owner")
    async with await psycopg.AsyncConnection.connect(make_conninfo(superuser, dbname=name), autocommit=True) as inside:
        await inside.execute("create extension vector")
    return make_conninfo(store._owner_url, dbname=name)


def _settings(home: Path, url: str) -> Settings:
    return Settings.read(home, environment={"BASTIDE_DATABASE_URL": url})


async def test_two_processes_starting_at_once_apply_each_file_once(empty_database: str, tmp_path: Path) -> None:
    houses = [Store(_settings(tmp_path / name, empty_database).store) for name in ("a", "b")]
    await asyncio.gather(*(house.start() for house in houses))
    scope = scope_of(new_id("ten"))
    async with houses[0].under(scope) as db:
        reference = await db.put_blob(b"x")
    with pytest.raises(Exception, match=r"key-encryption key|no such bytes"):
        # The other home has another KEK: it shares the database, but cannot open what this one sealed.
        async with houses[1].under(scope) as db:
            await db.get_blob(reference)
    for house in houses:
        await house.stop()


async def test_a_changed_migration_is_refused(empty_database: str, tmp_path: Path) -> None:
    first = Store(_settings(tmp_path, empty_database).store)
    await first.start()
    async with first.as_owner(reason="test") as owner:
        await owner.execute("update store.migration set checksum = 'other' where room = 'store'")
    await first.stop()
    with pytest.raises(MigrationChanged):
        await Store(_settings(tmp_path, empty_database).store).start()


async def test_a_newer_database_is_refused(empty_database: str, tmp_path: Path) -> None:
    first = Store(_settings(tmp_path, empty_database).store)
    await first.start()
    async with first.as_owner(reason="test") as owner:
        await owner.execute("insert into store.migration values ('store', 9999, 'later', 'x')")
    await first.stop()
    with pytest.raises(NewerDatabase):
        await Store(_settings(tmp_path, empty_database).store).start()


async def test_a_superuser_is_refused(store: Store, tmp_path: Path) -> None:
    assert store._server is not None
    url = make_conninfo(store._superuser_url(store._server), dbname="bastide")
    with pytest.raises(UnsafeDatabase, match="superuser"):
        await Store(_settings(tmp_path, url).store).start()


async def test_a_database_without_pgvector_says_what_to_do(store: Store, tmp_path: Path) -> None:
    assert store._server is not None
    superuser = store._superuser_url(store._server)
    name = "db" + new_id("x")[-8:]
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        await connection.execute(f"create database {name} owner bastide_owner")
    with pytest.raises(DatabaseUnavailable) as refused:
        await Store(_settings(tmp_path, make_conninfo(store._owner_url, dbname=name)).store).start()
    assert "create extension vector" in refused.value.next_step


async def test_no_server_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await Store(_settings(tmp_path, "postgresql://nobody@127.0.0.1:1/none").store).start()


async def test_an_unforced_table_is_refused_at_start(empty_database: str, tmp_path: Path) -> None:
    first = Store(_settings(tmp_path, empty_database).store)
    await first.start()
    async with first.as_owner(reason="test") as owner:
        await owner.execute("alter table store.blob no force row level security")
    await first.stop()
    with pytest.raises(UnsafeDatabase, match=r"store\.blob"):
        await Store(_settings(tmp_path, empty_database).store).start()
