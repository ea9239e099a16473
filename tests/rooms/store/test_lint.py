"""The catalogue linter: each rule is broken on the real database, seen as the application, and rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from bastide.settings import Settings
from bastide.store import Fault, Store, lint
from bastide.store.embedded import EmbeddedPostgres

TABLE = (
    "create table store.thing (tenant_id uuid not null default store.tenant(), id text, primary key (tenant_id, id));"
)
PROTECTED = TABLE + "call store.protect('store.thing');"
PARTITIONED = (
    "create table store.thing (tenant_id uuid not null, id text, primary key (tenant_id, id)) "
    "partition by list (tenant_id);"
    "create table store.thing_rest partition of store.thing default; call store.protect('store.thing');"
)
DEFINER = "create function store.peek() returns bigint language sql security definer"
DECLARED = "insert into store.definer_allowed values ('store.peek()', 'a test');"

# What breaks a rule, where it must be seen, a word of the rule. First what takes a superuser, then what takes a slip.
BY_SUPERUSER = {
    "app login made superuser": ("alter role {login} superuser", "{login}", "superuser"),
    "app with bypassrls": ("alter role bastide_app bypassrls", "bastide_app", "superuser"),
    "app may become powerful": (
        "create role strong bypassrls; grant strong to bastide_app with inherit false",
        "strong",
        "superuser",
    ),
    "owner with bypassrls": ("alter role bastide_owner bypassrls", "bastide_owner", "superuser"),
    "table of a superuser": ("alter table store.blob owner to postgres", "postgres", "superuser"),
    "app owns a table": (TABLE + "alter table store.thing owner to bastide_app", "bastide_app as bastide_app", "owner"),
    "app is a member of the owner": (
        "create role other; alter table store.blob owner to other; grant other to bastide_app with inherit false",
        "bastide_app as other",
        "owner",
    ),
    "login is a member of the operator": ("grant bastide_operator to {login}", "{login} as bastide_operator", "owner"),
    "plain view elsewhere": ("create view public.seen as select * from store.blob", "public.seen", "view"),
    "definer elsewhere": (
        "create function public.peek() returns int language sql security definer return 1",
        "public.peek()",
        "not declared",
    ),
    "leakproof": (
        "create function store.peek(text) returns bool language sql leakproof return true",
        "store.peek(text)",
        "LEAKPROOF",
    ),
    "old pgvector": ("update pg_extension set extversion = '0.7.4' where extname = 'vector'", "pgvector 0.7.4", "0.8"),
    "no pgvector": ("drop extension vector cascade", "pgvector is missing", "0.8"),
}
BY_OWNER = {
    "no row security": (TABLE, "store.thing", "forced"),
    "row security off": ("alter table store.blob disable row level security", "store.blob", "forced"),
    "not forced": ("alter table store.blob no force row level security", "store.blob", "forced"),
    "no tenant and not declared": ("create table store.thing (id text)", "store.thing", "forced"),
    "shared, but with a tenant": (TABLE + "call store.share('store.thing', '', 'a test')", "store.thing", "forced"),
    "partition not forced": (
        PARTITIONED + "alter table store.thing_rest no force row level security",
        "store.thing_rest",
        "forced",
    ),
    "no policy": ("drop policy tenant_only on store.blob", "store.blob (select)", "without a policy"),
    "policy for one command only": (
        "drop policy tenant_only on store.blob;"
        "create policy tenant_only on store.blob for select using (tenant_id = (select store.tenant()))",
        "store.blob (delete)",
        "without a policy",
    ),
    "policy for everybody": ("create policy every on store.blob using (true)", "store.blob.every", "store.tenant()"),
    "policy with an or": (
        "create policy every on store.blob using (tenant_id = (select store.tenant()) or bytes = 0)",
        "store.blob.every",
        "store.tenant()",
    ),
    "policy turned round": (
        "create policy every on store.blob using (not (tenant_id = (select store.tenant())))",
        "store.blob.every",
        "store.tenant()",
    ),
    "policy that only asks whether": (
        "create policy every on store.blob using ((tenant_id = (select store.tenant())) is not null)",
        "store.blob.every",
        "store.tenant()",
    ),
    "policy that lets in": (
        "create policy every on store.blob using (tenant_id = (select store.tenant())) with check (true)",
        "store.blob.every",
        "store.tenant()",
    ),
    "policy by a setting": (
        "create policy every on store.blob using (tenant_id::text = current_setting('bastide.tenant', true))",
        "store.blob.every",
        "store.tenant()",
    ),
    "operator policy for the app": (
        "create policy operator_reads on store.blob to bastide_operator, bastide_app using (true)",
        "store.blob.operator_reads",
        "store.tenant()",
    ),
    "partition granted": (
        PARTITIONED + "grant select on store.thing_rest to bastide_app",
        "store.thing_rest",
        "partition",
    ),
    "partition granted to public": (
        PARTITIONED + "grant select (id) on store.thing_rest to public",
        "store.thing_rest",
        "partition",
    ),
    "plain view": ("create view store.seen as select * from store.blob", "store.seen", "view"),
    "view over a view": (
        "create view store.inner_one with (security_invoker = true) as select * from store.blob;"
        "create view store.outer_one as select * from store.inner_one",
        "store.outer_one",
        "view",
    ),
    "materialised view": ("create materialized view store.seen as select * from store.blob", "store.seen", "view"),
    "definer": (DEFINER + " set search_path = pg_catalog return 1", "store.peek()", "not declared"),
    "definer without a path": (DEFINER + " return 1;" + DECLARED, "store.peek()", "search_path"),
    "truncate": ("grant truncate on store.blob to bastide_app", "store.blob (truncate)", "granted"),
    "references": ("grant references on store.blob to public", "store.blob (references)", "granted"),
    "trigger": ("grant trigger on store.blob to bastide_app", "store.blob (trigger)", "granted"),
    "create in a room": ("grant create on schema store to bastide_app", "schema store (create)", "granted"),
    "unique without the tenant": ("create unique index telling on store.blob (address)", "store.telling", "unique"),
    "tenant not first": ("create unique index telling on store.blob (address, tenant_id)", "store.telling", "unique"),
    "reference without the tenant": (
        "create unique index telling on store.blob (address);"
        "alter table store.blob_piece add constraint telling foreign key (address) references store.blob (address)",
        "store.blob_piece.telling",
        "foreign key",
    ),
}
BROKEN = BY_SUPERUSER | BY_OWNER

SOUND = {
    "protected table": PROTECTED,
    "partitions": PARTITIONED,
    "invoker view": "create view store.seen with (security_invoker = true) as select * from store.blob",
    "view of a shared table": "create view store.seen as select * from store.migration",
    "restrictive policy": "create policy less on store.blob as restrictive using (bytes > 0)",
    "narrower policy": "create policy less on store.blob using (tenant_id = (select store.tenant()) and bytes > 0)",
    "operator policy": "create policy operator_reads on store.blob to bastide_operator using (true)",
    "declared definer": DEFINER + " set search_path = pg_catalog return 1;" + DECLARED,
    "append only": TABLE + "alter table store.thing enable row level security, force row level security;"
    "create policy adds on store.thing for insert with check (tenant_id = (select store.tenant()));"
    "grant insert on store.thing to bastide_app",
}


@pytest.fixture
async def superuser(store: Store, settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection of the superuser whose one transaction never commits."""
    embedded = EmbeddedPostgres(settings.home)
    server = await embedded.ensure()
    connection = await psycopg.AsyncConnection.connect(
        host=server.host, port=server.port, user=server.superuser, password=server.superuser_password, dbname="bastide"
    )
    yield connection
    await connection.rollback()
    await connection.close()
    await embedded.release()


async def seen_after(
    superuser: psycopg.AsyncConnection[Any], change: str, *, by_owner: bool = True
) -> tuple[list[Fault], str]:
    """What the linter sees as the application after a change, and the name of the application's login."""
    row = await (
        await superuser.execute(r"select rolname from pg_roles where rolname like 'bastide\_app\__%'")
    ).fetchone()
    assert row is not None
    login: str = row[0]
    if by_owner:
        await superuser.execute("set local role bastide_owner")
    await superuser.execute(change.replace("{login}", login).encode())
    await superuser.execute("reset role")
    await superuser.execute(f"set local session authorization {login}".encode())
    await superuser.execute("set local role bastide_app")
    return await lint.faults(superuser), login


async def test_the_shipped_database_has_no_fault(store: Store) -> None:
    assert await store.lint() == []


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_rule_is_found(superuser: psycopg.AsyncConnection[Any], case: str) -> None:
    change, where, word = BROKEN[case]
    found, login = await seen_after(superuser, change, by_owner=case in BY_OWNER)
    mine = [fault for fault in found if fault.object == where.replace("{login}", login) and word in fault.rule]
    assert mine, f"not found; the linter said: {found}"
    assert all(fault.next for fault in mine)


@pytest.mark.parametrize("case", SOUND)
async def test_what_is_sound_is_left_alone(superuser: psycopg.AsyncConnection[Any], case: str) -> None:
    found, _ = await seen_after(superuser, SOUND[case])
    assert found == []


async def test_a_superuser_is_told_of_itself(superuser: psycopg.AsyncConnection[Any]) -> None:
    assert "postgres" in [fault.object for fault in await lint.faults(superuser)]


def test_every_rule_is_broken_by_a_case() -> None:
    said = [word for _, _, word in BROKEN.values()]
    for rule in lint._RULES:
        assert any(word in rule.rule for word in said), rule.rule


@pytest.mark.parametrize(
    ("postgres", "vector", "faults"),
    [
        (180_004, "0.8.5", 0),
        (180_000, "0.8.0", 0),
        (150_018, "0.8.0", 1),
        (160_014, "0.10.1", 0),
        (160_014, "0.7.4", 1),
    ],
)
def test_versions(postgres: int, vector: str, faults: int) -> None:
    assert len(lint._old_versions(postgres, vector)) == faults
