"""The queue: procrastinate on our own connections, in a PostgreSQL schema of its own.

Its rows carry the id of a run and nothing else. It gives what a queue gives: rows handed out once, workers
with a heartbeat, a word when something arrives. Whether a run may go on is decided by `workflows.run` alone,
so a row that is lost or comes twice does no harm; that is why its transactions need not wait for the disk.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from procrastinate import exceptions, sql
from procrastinate.connector import BaseAsyncConnector, Notify
from procrastinate.jobs import Job as QueueRow
from procrastinate.jobs import Status as QueueStatus
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager

from bastide.errors import BastideError
from bastide.store import Db, Query, Store, queries

_Q = queries("bastide.workflows")
_TAKE, _QUEUE_VERSION, _NOTE_VERSION = _Q["take"], _Q["queue_version"], _Q["note_version"]
_BEAT = _Q["beat"]

SCHEMA = "procrastinate"
TASK = "run"
ANY_QUEUE = "procrastinate_any_queue_v1"
_QUIET = "bastide/quiet"  # stands among the migrations
_AGAIN_S = 0.01
_LOCK = 0x6261737469646502  # "bastide", 2


async def install(store: Store) -> None:
    """Bring procrastinate's schema up to the installed version, as the owner; two processes may come here at once."""
    names = sorted(file.name for file in files("procrastinate.sql.migrations").iterdir() if file.name.endswith(".sql"))
    async with store.as_operator(reason="the queue's version") as db:
        known = set(await db.value(_QUEUE_VERSION) or ())
    if known >= {*names, _QUIET}:
        return
    async with store.as_owner(reason="the queue's tables") as owner, owner.transaction():
        await owner.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        rows = await (await owner.execute(_QUEUE_VERSION.sql)).fetchone()
        known = set((rows and rows[0]) or ())
        await owner.execute(f"create schema if not exists {SCHEMA}")
        await owner.execute(f"set local search_path = {SCHEMA}")
        if not known:
            await owner.execute(SchemaManager.get_schema().encode())
        else:
            for name in (name for name in names if name not in known):
                await owner.execute(files("procrastinate.sql.migrations").joinpath(name).read_bytes())
        # Its triggers keep a history of each row, and announce each row by itself. Nobody reads that history, a row
        # is deleted as soon as it is taken, and the feeder announces what it hands over, once.
        await owner.execute("alter table procrastinate_jobs disable trigger user")
        for name in [*names, _QUIET]:
            await owner.execute(_NOTE_VERSION.sql, {"name": name})
        await owner.execute(
            f"grant usage on schema {SCHEMA} to bastide_operator;"
            f"grant select, insert, update, delete on all tables in schema {SCHEMA} to bastide_operator;"
            f"grant usage on all sequences in schema {SCHEMA} to bastide_operator;"
            f"revoke all on all functions in schema {SCHEMA} from public;"
            f"grant execute on all functions in schema {SCHEMA} to bastide_operator"
        )


class StoreConnector(BaseAsyncConnector):
    """procrastinate's questions, asked through the store: its reconnecting, its pool, its operator's rights."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get_sync_connector(self) -> BaseAsyncConnector:
        """There is none; nothing here is asked synchronously."""
        return self

    async def open_async(self, pool: Any = None) -> None:
        """The store is open already."""

    async def close_async(self) -> None:
        """The store is closed by the house."""

    @asynccontextmanager
    async def transaction(self, why: str) -> AsyncIterator[Db]:
        """A transaction of the queue."""
        async with self.store.as_operator(reason=why, search_path=SCHEMA, durable=False) as db:
            yield db

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        """Execute."""
        async with self.transaction("queue") as db:
            await db.run(_query(query), **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        """The first row."""
        async with self.transaction("queue") as db:
            return await self.execute_query_one_async_with_connection(db, query, **arguments)

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        """All rows."""
        async with self.transaction("queue") as db:
            return await db.rows(dict, _query(query), **arguments)

    async def execute_query_one_async_with_connection(
        self, connection: Db, query: Any, **arguments: Any
    ) -> dict[str, Any]:
        """The first row, in a transaction that is open."""
        row = await connection.row(dict, _query(query), **arguments)
        if row is None:
            raise exceptions.NoResult
        return row

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Pass on what is announced; a connection that is lost is opened again."""
        while True:
            try:
                async for payload in self.store.listen(ANY_QUEUE):
                    await on_notification(channel=ANY_QUEUE, payload=payload)
            except BastideError:
                pass  # the database is away: the store brings it back
            await asyncio.sleep(0.2)


_known: dict[str, Query] = {}


def _query(text: str) -> Query:
    known = _known.get(text)
    if known is None:
        name = re.search(r"procrastinate_[a-z_0-9]+", text)
        known = _known[text] = Query("procrastinate", name[0] if name else "query", text)
    return known


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker may go on with, and no other."""

    tenant: uuid.UUID
    run: str
    type: str
    version: int
    attempt: int
    fence: uuid.UUID
    queue_row: int


class Queue(JobManager):
    """procrastinate's manager: what is fetched is claimed in the same transaction, what has ended is gone already."""

    def __init__(self, connector: StoreConnector) -> None:
        super().__init__(connector)
        self._connector = connector
        self.claims: dict[int, Claim] = {}

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> QueueRow | None:
        """The next row whose run is still wanted; a row whose run is not is taken out."""
        fence = uuid.uuid4()
        rows = await self._connector.store.ask_as_operator(
            dict, _TAKE, search_path=SCHEMA, durable=False, queues=queues, worker=worker_id, fence=fence
        )
        if not rows:
            return None
        row = rows[0]
        claim = Claim(
            tenant=row["run_tenant"],
            run=row["run_id"],
            type=row["run_type"],
            version=row["run_version"],
            attempt=row["run_attempt"],
            fence=fence,
            queue_row=row["queue_row"],
        )
        self.claims[claim.queue_row] = claim
        queue = queue_name(claim.type, claim.version)
        return QueueRow(id=claim.queue_row, queue=queue, lock=None, queueing_lock=None, task_name=TASK)

    async def finish_job(self, job: QueueRow, status: QueueStatus, delete_job: bool) -> None:
        """The run took its row with it; a row whose run was taken over is deleted by whoever took it over."""
        assert job.id is not None
        self.claims.pop(job.id, None)

    async def beat(self, worker_id: int) -> bool:
        """Say in one transaction that this worker lives, to procrastinate and to the rescuer; whether it is known."""
        async with self._connector.transaction("heartbeat") as db:
            await db.run(_query(sql.queries["update_heartbeat"]), worker_id=worker_id)
            return bool(await db.run(_BEAT, id=worker_id))

    async def listen_for_jobs(self, *, on_notification: Any, queues: Iterable[str] | None = None) -> None:
        """Pass on what is announced, and once more a moment later.

        procrastinate forgets an announcement that comes between its look into the queue and the end of that look; the
        second word closes that gap, for otherwise the row would wait for the next poll.
        """
        again: set[asyncio.Task[None]] = set()

        async def repeat(notification: Any) -> None:
            await asyncio.sleep(_AGAIN_S)
            await on_notification(channel=ANY_QUEUE, notification=notification)

        async def heard(channel: str, payload: str) -> None:
            notification = json.loads(payload)
            await on_notification(channel=channel, notification=notification)
            if not again:
                task = asyncio.create_task(repeat(notification))
                again.add(task)
                task.add_done_callback(again.discard)

        await self._connector.listen_notify(on_notification=heard, channels=[ANY_QUEUE])


def queue_name(type_: str, version: int) -> str:
    """The queue of one version of a type: a worker fetches from those that it can run."""
    return f"{type_}@{version}"
