"""Every query parses and plans on the real schema, is used, and stays in its own room's schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bastide.app import House
from bastide.store import Query, queries
from bastide.store.migrate import ROOMS, shipped

SOURCE = Path(__file__).parents[2] / "src" / "bastide"
PARAMETER = re.compile(r"%\((?P<name>[a-z_0-9]+)\)s")
WITH_SQL = [room for room in ROOMS if any((SOURCE / room).glob("*.sql"))]


def _all() -> list[Query]:
    return [query for room in WITH_SQL for query in queries(f"bastide.{room}").values()]


def _schemas_named(sql: str) -> set[str]:
    text = re.sub(r"--[^\n]*|'[^']*'", " ", sql)
    return {room for room in ROOMS if re.search(rf"\b{room}\.[a-z_]+", text)}


def _planned() -> list[Query]:
    """All but utility statements, which have no plan; the rooms' own tests run those."""
    text = {query: re.sub(r"\A(?:\s*--[^\n]*\n)*", "", query.sql).lower() for query in _all()}
    return [query for query in text if not text[query].startswith(("copy", "listen", "call", "lock", "set "))]


@pytest.mark.parametrize("query", _planned(), ids=lambda query: f"{query.room}.{query.name}")
async def test_a_query_plans(house: House, query: Query) -> None:  # the house: the queue's tables are there too
    numbers: dict[str, str] = {}
    sql = PARAMETER.sub(lambda m: numbers.setdefault(m["name"], f"${len(numbers) + 1}"), query.sql).replace("%%", "%")
    async with house.store.as_owner(reason="explain the queries") as owner:
        await owner.execute(f"explain (generic_plan) {sql}")


@pytest.mark.parametrize("query", [one for one in _all() if "store.tenant()" in one.sql], ids=lambda one: one.name)
def test_the_tenant_is_asked_for_once_and_not_for_every_row(query: Query) -> None:
    # The planner moves `from (select store.tenant()) as t` into the rows; a question of its own it asks once.
    once = re.sub(r"(?<!from )\(select store\.tenant\(\)\)", "", re.sub(r"--[^\n]*", "", query.sql))
    assert "store.tenant()" not in once


@pytest.mark.parametrize("room", WITH_SQL)
def test_a_query_names_its_own_schema_only(room: str) -> None:
    for query in queries(f"bastide.{room}").values():
        foreign = _schemas_named(query.sql) - {room, "store"}
        assert not foreign, f"{query.name} reads {foreign}: ask that room by its face"


@pytest.mark.parametrize("room", WITH_SQL)
def test_every_query_is_used(room: str) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / room).rglob("*.py"))
    unused = [name for name in queries(f"bastide.{room}") if f'"{name}"' not in code]
    assert not unused


def test_a_migration_names_its_own_schema_only() -> None:
    for migration in shipped():
        assert _schemas_named(migration.sql) <= {migration.room, "store"}, f"{migration.room}/{migration.name}"


def test_migrations_are_numbered_without_a_gap() -> None:
    for room in ROOMS:
        numbers = [migration.number for migration in shipped() if migration.room == room]
        assert numbers == list(range(1, len(numbers) + 1)), room
