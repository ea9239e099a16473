"""The journal: receipts of calls that happen outside any transaction, at the speed of those calls.

A receipt's id exists when its call begins. What the call left behind is kept in memory when it ends, and a moment
later, with all others that ended meanwhile, it is recorded like any event, in a transaction of its tenant.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bastide.audit.leaf import SECRET_BYTES, derive
from bastide.audit.receipts import Committed
from bastide.audit.values import CallFacts, ReceiptFacts
from bastide.store import Db, Scope, Store, new_id

_GROUP_S: Final = 0.05
_GROUP_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry that was closed."""

    id: str
    scope: Scope
    secret: bytes
    input: str
    output: str
    facts: CallFacts
    outcome: str
    resource: str
    subjects: Sequence[str]

    def receipt(self) -> ReceiptFacts:
        """As the log records it."""
        facts = self.facts
        return ReceiptFacts(
            act=facts.act,
            decision=facts.decision,
            label=facts.label,
            endpoint=facts.endpoint,
            model=facts.model,
            input=Committed(self.input),
            output=Committed(self.output),
            tokens_in=facts.tokens_in,
            tokens_out=facts.tokens_out,
            tls=facts.tls,
            started=datetime.fromtimestamp(facts.started, UTC),
            ended=datetime.fromtimestamp(facts.ended, UTC),
            assurance=facts.assurance,
        )


Record = Callable[[Db, Noted], Awaitable[Any]]
"""How an entry becomes an event of a transaction."""


class Entry:
    """One call while it runs: what goes in and what comes out is committed to, never kept."""

    __slots__ = ("_input", "_journal", "_output", "_scope", "_secret", "id")

    def __init__(self, journal: Journal, scope: Scope) -> None:
        self._journal = journal
        self._scope = scope
        self.id = new_id("rcp")
        self._secret = secret = os.urandom(SECRET_BYTES)
        self._input = hmac.new(derive(secret, "input"), digestmod="sha256")
        self._output = hmac.new(derive(secret, "output"), digestmod="sha256")

    def input(self, data: bytes) -> None:
        """Some of what went in."""
        self._input.update(data)

    def output(self, data: bytes) -> None:
        """Some of what came out."""
        self._output.update(data)

    def close(
        self, facts: CallFacts, *, outcome: str = "done", resource: str = "", subjects: Sequence[str] = ()
    ) -> None:
        """The call is over. Nothing is raised: the record does not decide about the call any more."""
        sides = (f"hmac:{self._input.hexdigest()}", f"hmac:{self._output.hexdigest()}")
        self._journal.note(Noted(self.id, self._scope, self._secret, *sides, facts, outcome, resource, subjects))


class Journal:
    """The entries of a process on their way into the log."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self._record = record
        self._noted: list[Noted] = []
        self._on_the_way: set[str] = set()
        self._carrying: asyncio.Task[None] | None = None

    def begin(self, scope: Scope) -> Entry:
        """An entry for a call of `scope`."""
        return Entry(self, scope)

    def holds(self, id: str) -> bool:
        """Whether this receipt is on its way into the log."""
        return id in self._on_the_way

    def note(self, noted: Noted) -> None:
        """An entry was closed."""
        self._noted.append(noted)
        self._on_the_way.add(noted.id)
        if self._carrying is None:
            self._carrying = asyncio.get_running_loop().create_task(self._carry())

    async def stop(self) -> None:
        """Carry what is left."""
        if self._carrying is not None:
            await self._carrying

    async def _carry(self) -> None:
        while self._noted:
            await asyncio.sleep(_GROUP_S)
            taken, self._noted = self._noted[:_GROUP_MAX], self._noted[_GROUP_MAX:]
            tenants: dict[str, list[Noted]] = {}
            for one in taken:
                tenants.setdefault(one.scope.tenant, []).append(one)
            for some in tenants.values():
                await self._write(some)
        self._carrying = None

    async def _write(self, some: list[Noted]) -> None:
        for one in some:
            async with self._store.under(one.scope) as db:
                await self._record(db, one)
            self._on_the_way.discard(one.id)
