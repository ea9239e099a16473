"""A log of its own for this room's tests: they damage it, and nobody else should see that."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bastide.audit import Audit, ReceiptFacts
from bastide.settings import AuditSettings, Settings
from bastide.store import Scope, Store, new_id

TABLES = ("leaf", "tile", "checkpoint", "event", "outbox", "counter", "payload", "mention", "log")
PERMISSIONS = frozenset({"audit:read", "audit:verify"})


def somebody(tenant: str | None = None, *, permissions: frozenset[str] = PERMISSIONS) -> Scope:
    """A user of a tenant, new unless named."""
    return Scope(tenant or new_id("ten"), new_id("usr"), None, frozenset({"auditor"}), permissions)


def facts(**changes: Any) -> ReceiptFacts:
    """The facts of a call to a model."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "act": "inference",
        "decision": {
            "allowed": True,
            "policy": "sha256:" + "a" * 64,
            "rules": [{"id": "R01", "ok": True, "why": "on this machine"}, {"id": "R04", "ok": False, "why": "x"}],
            "rejected": [],
        },
        "label": {"class": "internal", "personal": "none", "zone": None},
        "endpoint": {"id": "local/onnx", "record": "sha256:" + "b" * 64},
        "model": "local/extractive",
        "input": b"When does the lease end?",
        "output": b"The lease ends in June.",
        "tokens_in": 7,
        "tokens_out": 6,
        "tls": None,
        "started": now,
        "ended": now,
        "assurance": "local-measured",
    }
    return ReceiptFacts(**{**given, **changes})


@dataclass
class Logged:
    """A store, the audit room on it, and the rights to do damage."""

    home: Path
    settings: AuditSettings
    store: Store
    audit: Audit

    async def act(self, scope: Scope, n: int = 1, **options: Any) -> list[str]:
        """Record `n` events, each in its own transaction, and see them appended."""
        made = []
        for _ in range(n):
            async with self.store.under(scope) as db:
                made.append(await self.audit.record(db, "test.act", **options))
        await self.settle()
        return made

    async def settle(self) -> None:
        """Wait until nothing waits."""
        while (await self.audit.health()).waiting:
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """The database as its administrator: row security does not bind it."""
        server = self.store._server
        assert server is not None
        url = self.store._superuser_url(server)
        async with await psycopg.AsyncConnection.connect(url, dbname="bastide", autocommit=True) as connection:
            yield connection

    async def sql(self, *statements: str) -> None:
        """Run statements as the administrator, triggers and keys off."""
        async with self.superuser() as connection:
            await connection.execute("set session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement)

    async def value(self, query: str) -> Any:
        """One value, as the administrator."""
        async with self.superuser() as connection:
            row = await (await connection.execute(query)).fetchone()
            return row[0] if row else None

    async def keep(self) -> None:
        """Remember all tables."""
        await self.sql(
            *(
                f"drop table if exists public.kept_{t}; create unlogged table public.kept_{t} as table audit.{t}"
                for t in TABLES
            )
        )

    async def bring_back(self) -> None:
        """Undo the damage."""
        async with self.superuser() as connection:
            await connection.execute("set session_replication_role = replica")
            for table in TABLES:
                overriding = "overriding system value" if table == "outbox" else ""
                await connection.execute(f"truncate audit.{table}")
                await connection.execute(f"insert into audit.{table} {overriding} select * from public.kept_{table}")


@pytest.fixture(scope="session")
def log_home() -> Iterator[Path]:
    """A home for this room's own database."""
    place = Path(tempfile.mkdtemp(prefix="bastide-audit-"))
    yield place / "home"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
async def logged(log_home: Path) -> AsyncIterator[Logged]:
    """A started log."""
    async with started(log_home) as one:
        yield one


@asynccontextmanager
async def started(log_home: Path) -> AsyncIterator[Logged]:
    """A log in this home, started for as long as the block runs."""
    settings = Settings.read(log_home, environment={})
    store = Store(settings.store)
    await store.start()
    quick = AuditSettings(home=log_home, gather_s=0.01, idle_s=0.05)
    audit = Audit(store, quick)
    await audit.start()
    yield Logged(log_home, quick, store, audit)
    await audit.stop()
    await store.stop()


@pytest.fixture
async def quiet(logged: Logged) -> AsyncIterator[Logged]:
    """The log with its sequencer stopped, for tests that call the turns themselves; restored afterwards."""
    await logged.settle()
    await logged.audit.stop()
    await logged.keep()
    latest = (logged.home / "checkpoint.latest").read_bytes() if (logged.home / "checkpoint.latest").exists() else None
    yield logged
    await logged.bring_back()
    if latest is not None:
        (logged.home / "checkpoint.latest").write_bytes(latest)
    else:
        (logged.home / "checkpoint.latest").unlink(missing_ok=True)
    logged.audit = Audit(logged.store, logged.settings)
    await logged.audit.start()


Damage = Callable[[], Awaitable[None]]
