"""The store: opens the database safely or not at all, and hands out short transactions."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolClosed, PoolTimeout

from bastide.errors import BackupElsewhere, DatabaseUnavailable, UnsafeDatabase
from bastide.settings import StoreSettings
from bastide.store.backup import BackedUp, back_up
from bastide.store.context import Context, agree_on_key, operator_begin
from bastide.store.db import Db, is_silent
from bastide.store.embedded import EmbeddedPostgres, Server
from bastide.store.hearing import Hearing
from bastide.store.identifiers import to_uuid
from bastide.store.keys import KeyRing, KnownKeys, TenantKeys
from bastide.store.lint import Fault, faults
from bastide.store.migrate import migrate
from bastide.store.pools import Connection, Pool, Pools
from bastide.store.presence import Presence
from bastide.store.provision import DATABASE, connect, provision_embedded, provision_roles
from bastide.store.questions import Query, queries
from bastide.store.rewriting import Rewriting, rewrite
from bastide.store.values import Scope
from bastide.telemetry import count, log

Row = TypeVar("Row")

_Q = queries("bastide.store")
_ADD_TENANT_KEY, _TENANT_KEY = _Q["add_tenant_key"], _Q["tenant_key"]
_ADD_KEY_OF, _KEY_OF = _Q["add_key_of"], _Q["key_of"]

_REVIVE_S = 20.0  # how long a lost database is waited for
_LEAVING_S = 1.0  # and by a house that closes
_CONNECTION_S = 5.0  # a pool that gives none for so long may be cut off


class Store:
    """The one way to PostgreSQL, blobs and sealed values."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._embedded = (
            None if settings.database_url else EmbeddedPostgres(settings.home, donor=settings.postgres_folder)
        )
        self._ring = KeyRing.of_home(settings.home)
        self._platform_keys = self._ring.platform()
        self._keys = KnownKeys(self._ring)
        self._context_key = b""
        self._owner_url = ""
        self._urls = ("", "")
        self._pools = Pools(settings.pool_size_max)
        self._reviving = asyncio.Lock()
        self._leave_by = float("inf")
        self._server: Server | None = None
        self.presence = Presence(self._look, self._reopen)
        self.hearing = Hearing(self.listen, self.presence)

    @property
    def kind(self) -> str:
        """`embedded` or `url`."""
        return "embedded" if self._embedded else "url"

    # -- opening and closing ------------------------------------------------------------------------

    # The house opens in this order, and stops at the first thing that is not safe:
    #   1. a server answers                          4. the migrations of every room
    #   2. the owner is no superuser                 5. the context key is in the database and here
    #   3. the roles and this home's logins          6. the catalogue has no fault, seen as the application
    async def start(self) -> None:
        """Open. Raises UnsafeDatabase, MigrationChanged, NewerDatabase, KeysMissing or DatabaseUnavailable."""
        self._owner_url = await self._owner()
        self._urls = await provision_roles(self._owner_url, self._settings.home)
        if self._settings.app_url:
            self._urls = (self._settings.app_url, self._urls[1])
        async with await connect(self._owner_url) as owner:
            applied = await migrate(owner)
            if applied:
                log.info("%d migrations applied", applied)
            self._context_key = await agree_on_key(owner, self._settings.home)
        await self._pools.open(self._urls)
        await self._lint()

    def leave(self) -> None:
        """The house closes: a database that is away is no longer waited for; what was to be written is lost or kept
        elsewhere, as when the process is killed."""
        self._leave_by = time.monotonic() + _LEAVING_S

    async def stop(self) -> None:
        """Close the pools; the embedded server stops when its last user has left."""
        await self.hearing.stop()
        await self.presence.stop()
        await self._pools.close()
        if self._embedded:
            await self._embedded.release()

    async def _owner(self) -> str:
        if not self._embedded:
            assert self._settings.database_url is not None
            return self._settings.database_url
        deadline = time.monotonic() + _REVIVE_S
        while True:
            self._server = await self._embedded.ensure()
            try:
                return await provision_embedded(self._superuser_url(self._server), self._settings.home)
            except psycopg.OperationalError as fault:  # a server that was killed a moment ago, and is coming back
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable from fault
                await asyncio.sleep(0.1)

    @staticmethod
    def _superuser_url(server: Server) -> str:
        return make_conninfo(
            host=server.host,
            port=server.port,
            user=server.superuser,
            password=server.superuser_password,
            dbname="postgres",
        )

    async def _lint(self) -> None:
        found = await self.lint()
        if found:
            await self.stop()
            listed = "; ".join(f"{fault.object}: {fault.rule}" for fault in found)
            raise UnsafeDatabase(f"Row security could be bypassed: {listed}.", next_step=found[0].next)

    async def lint(self) -> list[Fault]:
        """What the catalogue linter finds, seen as the application role; empty when all is well."""
        async with self._session("app", lambda connection: "begin") as db:
            return list(await faults(await db.begun()))

    # -- transactions -------------------------------------------------------------------------------

    @asynccontextmanager
    async def under(self, scope: Scope, *, past_members: bool = False) -> AsyncIterator[Db]:
        """A transaction that sees the tenant of `scope` and no other; commits at the end, rolls back on an error.

        With `past_members` it also sees collections that `scope` is no member of: who says so has asked for the right.
        """
        keys = await self._tenant_keys(scope)
        async with self._session("app", self._enter(scope, past_members=past_members), scope, keys) as db:
            yield db

    @asynccontextmanager
    async def as_anybody(self) -> AsyncIterator[Db]:
        """A transaction of the application without a tenant: it sees no row, and may call what is lent to it."""
        async with self._session("app", lambda connection: "reset all; begin") as db:
            yield db

    @asynccontextmanager
    async def as_operator(self, *, reason: str, search_path: str = "public", durable: bool = True) -> AsyncIterator[Db]:
        """A transaction across tenants, on the tables whose policies name bastide_operator; the reason is logged.

        `search_path` is one schema; not `durable` is a transaction that a crash of the server may undo.
        """
        log.debug("as operator: %s", reason)
        begin = operator_begin(search_path, durable)
        async with self._session("operator", lambda connection: begin) as db:
            yield db

    @asynccontextmanager
    async def as_owner(self, *, reason: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection of the owner, for definitions (a partition, an index); it sees no tenant's row."""
        log.info("as owner: %s", reason)
        async with await connect(self._owner_url) as connection:
            yield connection

    async def ask(
        self, scope: Scope, shape: type[Row], query: Query, *, again: bool = False, **values: Any
    ) -> list[Row]:
        """One statement as a whole transaction, in one round trip: its rows.

        `again` says that it may be sent a second time when the connection broke under it. Raises as `Db.rows` does.
        """
        keys = await self._tenant_keys(scope)
        return await self._ask("app", self._enter(scope), scope, keys, shape, query, again, values)

    async def ask_as_operator(
        self,
        shape: type[Row],
        query: Query,
        *,
        search_path: str = "public",
        durable: bool = True,
        alone: str = "",
        **values: Any,
    ) -> list[Row]:
        """The same across tenants, as in `as_operator`; sent a second time when the connection broke under it.

        `alone` is a name: of the transactions that name it, one runs at a time.
        """
        begin = operator_begin(search_path, durable)
        if alone:
            begin += f"; select pg_advisory_xact_lock({zlib.crc32(alone.encode())})"
        return await self._ask("operator", lambda _: begin, None, self._platform_keys, shape, query, True, values)

    async def _ask(
        self,
        door: str,
        begin: Callable[[Connection], str],
        scope: Scope | None,
        keys: TenantKeys,
        shape: type[Row],
        query: Query,
        again: bool,
        values: dict[str, Any],
    ) -> list[Row]:
        deadline = time.monotonic() + _REVIVE_S
        while True:
            pool, connection = await self._connection(door, deadline)
            try:
                return await Db(connection, scope, keys).alone(begin(connection), shape, query, values)
            except (psycopg.OperationalError, psycopg.InterfaceError) as fault:
                if not connection.closed:
                    raise
                if not again:
                    raise DatabaseUnavailable("The database went away in the middle of a transaction.") from fault
                await self._revive(deadline, fault)
            except BaseException:
                if not connection.closed:
                    with suppress(psycopg.Error):
                        await connection.execute("rollback")
                raise
            finally:
                await pool.putconn(connection)

    async def seal(self, scope: Scope, plaintext: bytes, *, about: str) -> bytes:
        """As `Db.seal`, outside a transaction."""
        return (await self._tenant_keys(scope)).seal(plaintext, about)

    async def unseal(self, scope: Scope, sealed: bytes, *, about: str) -> bytes:
        """As `Db.unseal`, outside a transaction."""
        return (await self._tenant_keys(scope)).unseal(bytes(sealed), about)

    async def listen(self, channel: str, *, begun: Callable[[], None] = lambda: None) -> AsyncIterator[str]:
        """Payloads notified on `channel`; ends when the connection is lost, so that the caller listens anew.

        `begun` is called when nothing that is notified from then on can be missed.
        """
        async with await connect(self._urls[1]) as connection:
            try:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                begun()
                async for notify in connection.notifies():
                    yield notify.payload
            except psycopg.OperationalError:
                return

    # One round trip: whatever an earlier user left in the session is gone, and the context holds for this transaction.
    def _enter(self, scope: Scope, *, past_members: bool = False) -> Callable[[Connection], str]:
        context = Context(scope, self._context_key, past_members=past_members)
        return lambda connection: context.begin(connection.info.backend_pid)

    @asynccontextmanager
    async def _session(
        self, door: str, begin: Callable[[Connection], str], scope: Scope | None = None, keys: TenantKeys | None = None
    ) -> AsyncIterator[Db]:
        pool, connection, left = await self._begin(door, begin)
        db = Db(connection, scope, keys or self._platform_keys, begin=left)
        try:
            try:
                yield db
                await db.commit()
            except BaseException:
                if not connection.closed:
                    with suppress(psycopg.Error):
                        await connection.execute("rollback")
                raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as fault:
            if connection.closed:
                raise DatabaseUnavailable("The database went away in the middle of a transaction.") from fault
            raise
        finally:
            await pool.putconn(connection)

    # A connection may be dead since it was last used (the server restarted); then there is something to read on it, and
    # `begin` is sent before anything of the caller, so that asking again is safe. Otherwise Db sends it.
    async def _begin(self, door: str, begin: Callable[[Connection], str]) -> tuple[Pool, Connection, str]:
        deadline = time.monotonic() + _REVIVE_S
        while True:
            pool, connection = await self._connection(door, deadline)
            if is_silent(connection):
                return pool, connection, begin(connection)
            try:
                await connection.execute(begin(connection))
            except (psycopg.OperationalError, psycopg.InterfaceError) as fault:
                await pool.putconn(connection)
                if not connection.closed:
                    raise
                await self._revive(deadline, fault)
                continue
            except BaseException:
                await pool.putconn(connection)
                raise
            return pool, connection, ""

    async def _connection(self, door: str, deadline: float) -> tuple[Pool, Connection]:
        while True:
            pool = self._pools.of(door)
            try:
                return pool, await pool.getconn(timeout=max(0.1, min(_CONNECTION_S, self._leave_by - time.monotonic())))
            except (PoolTimeout, PoolClosed, psycopg.OperationalError) as fault:
                await self._revive(deadline, fault)

    async def _look(self) -> None:
        async with self._reviving:
            if self._embedded is not None and (server := await self._embedded.ensure()) != self._server:
                await self._move(server)
            await (await connect(self._urls[0])).close()

    async def _reopen(self) -> None:
        async with self._reviving:
            await self._pools.open(self._urls)

    async def _revive(self, deadline: float, fault: Exception) -> None:
        if isinstance(fault, PoolTimeout):
            self.presence.doubt()
        elif not isinstance(fault, PoolClosed):  # closed: another was opened in its place
            self.presence.gone()
        if time.monotonic() > min(deadline, self._leave_by):
            raise DatabaseUnavailable from fault
        if self._embedded is None:
            await asyncio.sleep(0.2)
            return
        async with self._reviving:
            count("store_revivals")
            server = await self._embedded.ensure()
            if server != self._server:
                await self._move(server)
            await asyncio.sleep(0.05)

    async def _move(self, server: Server) -> None:
        # The embedded server came back elsewhere (another port): the pools follow it.
        self._server = server
        self._owner_url = make_conninfo(self._owner_url, host=server.host, port=server.port)
        first, second = (make_conninfo(url, host=server.host, port=server.port) for url in self._urls)
        self._urls = (first, second)
        await self._pools.open(self._urls)

    # -- keys of a tenant ---------------------------------------------------------------------------

    async def _tenant_keys(self, scope: Scope) -> TenantKeys:
        known = self._keys.of(scope.tenant)
        if known is not None:
            return known
        async with self._session("app", self._enter(scope), scope) as db:
            row = await db.row(tuple, _TENANT_KEY)
            if row is None:
                _, wrapped = self._ring.wrap(scope.tenant)
                await db.run(_ADD_TENANT_KEY, wrapped=wrapped, wrapped_by=self._ring.name)
                row = await db.row(tuple, _TENANT_KEY)
        assert row is not None, "the key was just written"
        return self._keys.unwrap(scope.tenant, bytes(row[0]))

    async def keys_of(self, tenant: str) -> TenantKeys:
        """The keys of a tenant of whom no scope is at hand, for what the house itself records."""
        known = self._keys.of(tenant)
        if known is not None:
            return known
        _, fresh = self._ring.wrap(tenant)
        async with self.as_operator(reason="keys for what is recorded") as db:
            await db.run(_ADD_KEY_OF, tenant=to_uuid(tenant), wrapped=fresh, wrapped_by=self._ring.name)
            wrapped = await db.value(_KEY_OF, tenant=to_uuid(tenant))
        return self._keys.unwrap(tenant, bytes(wrapped))

    # -- backup -------------------------------------------------------------------------------------

    async def back_up(self, place: Path) -> BackedUp:
        """Write an archive of the whole database into the folder `place`. What is sealed stays sealed.

        Raises BackupElsewhere for a database that is not ours, BackupFailed.
        """
        if self._embedded is None:
            raise BackupElsewhere
        server = await self._embedded.ensure()
        donor = await asyncio.to_thread(self._embedded.donor)
        return await back_up(server, donor, place, database=DATABASE, kek=self._ring.name)

    async def rewrite(self, rooms: Sequence[str], *, also: Sequence[str] = ()) -> Rewriting:
        """Write the tables of these rooms anew, so that what was deleted leaves the disk; each is locked meanwhile."""
        async with self.as_owner(reason="deleted rows leave the disk") as owner:
            return await rewrite(owner, rooms, also)

    def forget_keys(self, tenant: str) -> None:
        """Drop a tenant's unwrapped keys from this process's memory."""
        self._keys.forget(tenant)
