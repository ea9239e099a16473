"""Row security in the ground itself: raw SQL, forged contexts and dirty connections see nothing foreign."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import os
import signal
import time
import uuid
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bastide.errors import AlreadyThere, BlobDamaged, DatabaseUnavailable, NotFound
from bastide.store import Query, Scope, Store, new_id
from bastide.store.identifiers import to_uuid

_BLOBS = Query("test", "blobs", "select address, bytes from store.blob")
_CONTEXT = Query("test", "context", "select current_setting('bastide.context')")
_SET = Query("test", "set", "select set_config('bastide.context', %(context)s, true)")
_SET_SESSION = Query("test", "set_session", "select set_config('bastide.context', %(context)s, false)")
_WHO = Query("test", "who", "select store.tenant()")
_INSERT_FOREIGN = Query(
    "test", "insert_foreign", "insert into store.blob (tenant_id, address, bytes) values (%(t)s, 'x', 1)"
)
_KEY = Query("test", "key", "select * from store.context_key")
_ADD = Query("test", "add", "insert into store.blob (address, bytes) values (%(address)s, 1)")
_FIND_NOTHING = Query("test", "find_nothing", "do $$ begin raise no_data_found; end $$")
_NOTE = Query("test", "note", "insert into audit.journal (owner, carried) values (%(owner)s, 1) returning owner")
_NOTED = Query("test", "noted", "select carried from audit.journal where owner = %(owner)s")
_PID = Query("test", "pid", "select pg_backend_pid()")


async def test_a_neighbour_finds_no_blob_and_no_trace(store: Store, ours: Scope, neighbour: Scope) -> None:
    content = b"The lease ends in June." * 100
    async with store.under(ours) as db:
        reference = await db.put_blob(content)
        assert await db.get_blob(reference) == content
    async with store.under(neighbour) as db:
        assert await db.rows(tuple, _BLOBS) == []
        with pytest.raises(NotFound):
            await db.get_blob(reference)
        assert await db.put_blob(content) != reference, "equal bytes of two tenants have nothing in common"


async def test_the_application_cannot_write_a_foreign_row(store: Store, ours: Scope, neighbour: Scope) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with store.under(ours) as db:
            await db.run(_INSERT_FOREIGN, t=to_uuid(neighbour.tenant))


async def test_the_application_cannot_read_the_context_key(store: Store, ours: Scope) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with store.under(ours) as db:
            await db.rows(tuple, _KEY)


def _forgeries(valid: str, other: Scope) -> dict[str, str]:
    tenant, user, pid, expiry, mac = valid.split("|")
    foreign = str(to_uuid(other.tenant))
    late = str(int(time.time()) - 5)
    body = f"{foreign}|{user}|{pid}|{expiry}"
    guess = hmac.new(b"\0" * 64, body.encode(), hashlib.sha256).hexdigest()
    return {
        "another tenant": f"{foreign}|{user}|{pid}|{expiry}|{mac}",
        "another tenant, guessed key": f"{body}|{guess}",
        "another backend": f"{tenant}|{user}|{int(pid) + 1}|{expiry}|{mac}",
        "expired": f"{tenant}|{user}|{pid}|{late}|{mac}",
        "longer life": f"{tenant}|{user}|{pid}|{int(expiry) + 9999}|{mac}",
        "no mac": f"{tenant}|{user}|{pid}|{expiry}|",
        "a plain tenant": foreign,
        "empty": "",
        "bars": "||||",
        "words": "a|b|c|d|e",
        "huge pid": f"{tenant}|{user}|{'9' * 30}|{expiry}|{mac}",
        "nul-free garbage": "\u2028|%s|'; select 1; --|x|y",
    }


async def test_a_forged_context_sees_nobody(store: Store, ours: Scope, neighbour: Scope) -> None:
    async with store.under(neighbour) as db:
        await db.put_blob(b"a secret of the neighbour")
    async with store.under(ours) as db:
        valid = await db.value(_CONTEXT)
    for name, context in _forgeries(valid, neighbour).items():
        async with store.under(ours) as db:
            await db.run(_SET, context=context)
            assert await db.value(_WHO) is None, name
            assert await db.rows(tuple, _BLOBS) == [], name


async def test_a_connection_returned_dirty_does_not_leak(store: Store, ours: Scope, neighbour: Scope) -> None:
    async with store.under(ours) as db:
        await db.put_blob(b"ours")
        await db.run(_SET_SESSION, context=await db.value(_CONTEXT))
        dirty = await db.value(_PID)
    for _ in range(20):
        async with store.under(neighbour) as db:
            assert await db.rows(tuple, _BLOBS) == []
            if await db.value(_PID) == dirty:
                break
    async with store.as_operator(reason="test") as db:
        assert await db.value(_WHO) is None


async def test_one_statement_alone_is_a_transaction(store: Store) -> None:
    owner = new_id("jrn")
    with pytest.raises(ZeroDivisionError):
        async with store.as_operator(reason="test") as db:
            assert await db.only(_NOTE, owner=owner) == owner
            raise ZeroDivisionError  # too late: it was committed by itself
    with pytest.raises(AlreadyThere):
        async with store.as_operator(reason="test") as db:
            await db.only(_NOTE, owner=owner)
    async with store.as_operator(reason="test") as db:
        assert await db.rows(tuple, _NOTED, owner=owner) == [(1,)], "and the connection is as good as before"


async def test_a_sealed_value_opens_only_at_its_place(store: Store, ours: Scope, neighbour: Scope) -> None:
    async with store.under(ours) as db:
        sealed = await db.seal(b"sk-123", about="inference.model|m1")
        assert await db.unseal(sealed, about="inference.model|m1") == b"sk-123"
        with pytest.raises(BlobDamaged):
            await db.unseal(sealed, about="inference.model|m2")
        with pytest.raises(BlobDamaged):
            await db.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), about="inference.model|m1")
    async with store.under(neighbour) as db:
        with pytest.raises(BlobDamaged):
            await db.unseal(sealed, about="inference.model|m1")


@pytest.mark.parametrize(
    "content", [b"", b"x", os.urandom(3_000_000), b"a" * 5_000_000], ids=["empty", "one", "random", "run"]
)
async def test_a_blob_comes_back_bit_for_bit_and_goes_when_nobody_holds_it(
    store: Store, ours: Scope, content: bytes
) -> None:
    async with store.under(ours) as db:
        first, second = await db.put_blob(content), await db.put_blob(content)
        assert first == second
        assert await db.get_blob(first) == content
        await db.drop_blob(first)
        assert await db.get_blob(first) == content, "a second holder is left"
        await db.drop_blob(first)
        with pytest.raises(NotFound):
            await db.get_blob(first)
        with pytest.raises(NotFound):
            await db.get_into(first, io.BytesIO())


@pytest.mark.parametrize(
    "content", [b"", b"x", os.urandom(9_500_000), b"a" * 5_000_000], ids=["empty", "one", "random", "run"]
)
async def test_a_file_is_the_same_blob_as_its_bytes(store: Store, ours: Scope, content: bytes) -> None:
    """Nine and a half million random bytes are ten pieces: more than one statement takes."""
    async with store.under(ours) as db:
        reference = await db.put_file(io.BytesIO(content))
        assert await db.get_blob(reference) == content
        assert await db.put_blob(content) == reference
        file = io.BytesIO()
        await db.get_into(reference, file)
        assert file.getvalue() == content
        await db.drop_blob(reference)
        await db.drop_blob(reference)
        assert await db.rows(tuple, _BLOBS) == []


async def test_a_damaged_blob_is_named_as_such(store: Store, ours: Scope) -> None:
    swap = Query("test", "swap", "update store.blob_piece set sealed = overlay(sealed placing '\\x00'::bytea from 20)")
    async with store.under(ours) as db:
        reference = await db.put_blob(b"content" * 100)
        await db.run(swap)
        with pytest.raises(BlobDamaged):
            await db.get_blob(reference)
        with pytest.raises(BlobDamaged):
            await db.get_into(reference, io.BytesIO())


async def test_an_error_rolls_back(store: Store, ours: Scope) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.under(ours) as db:
            await db.put_blob(b"never")
            raise ZeroDivisionError
    async with store.under(ours) as db:
        assert await db.rows(tuple, _BLOBS) == []


async def test_lost_connections_are_replaced_before_anything_is_sent(store: Store, ours: Scope) -> None:
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            async with store.under(ours) as db:
                os.kill(await db.value(_PID), signal.SIGTERM)
                await asyncio.sleep(0.2)
                await db.value(_WHO)
        async with store.under(ours) as db:
            assert await db.value(_WHO) == to_uuid(ours.tenant)


async def test_all_in_one_message_finds_a_lost_connection_before_it_is_sent(store: Store, ours: Scope) -> None:
    async with store.under(ours) as db:
        pids = [await db.value(_PID)]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(0.3)
    address = os.urandom(16)
    async with store.under(ours) as db:
        await db.at_commit(_ADD, address=address)
    async with store.under(ours) as db:
        assert [row for row in await db.rows(tuple, _BLOBS) if row[0] == address] == [(address, 1)]


async def test_what_is_said_at_commit_stands_under_row_security(store: Store, ours: Scope, neighbour: Scope) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with store.under(ours) as db:
            await db.at_commit(_INSERT_FOREIGN, t=to_uuid(neighbour.tenant))
    async with store.under(ours) as db:
        pass  # nothing is asked: nothing is sent, and the connection goes back clean
    async with store.under(neighbour) as db:
        assert await db.value(_WHO) == to_uuid(neighbour.tenant)


async def test_a_function_that_finds_nothing_undoes_its_whole_transaction(store: Store, ours: Scope) -> None:
    address = os.urandom(16)
    with pytest.raises(NotFound):
        async with store.under(ours) as db:
            await db.at_commit(_ADD, address=address)
            await db.at_commit(_FIND_NOTHING)
    async with store.under(ours) as db:
        assert address not in [row[0] for row in await db.rows(tuple, _BLOBS)]


async def test_a_malformed_tenant_never_reaches_the_database(store: Store, ours: Scope) -> None:
    for tenant in ("", "ten_", "ten_x'; drop", str(uuid.uuid4()), "ten_" + "u" * 26):
        with pytest.raises(ValueError, match="not an id"):
            async with store.under(replace(ours, tenant=tenant)):
                pass


async def test_the_user_of_a_scope_cannot_inject(store: Store, ours: Scope) -> None:
    sly: Any = replace(ours, user="x'); select set_config('bastide.context', '', true); --")
    async with store.under(sly) as db:
        assert await db.value(_WHO) == to_uuid(ours.tenant)


def test_ids_sort_by_time_and_hold_a_uuid7() -> None:
    first = new_id("doc")
    time.sleep(0.002)
    second = new_id("doc")
    assert first < second
    assert to_uuid(first).version == 7
