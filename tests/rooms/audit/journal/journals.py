"""Calls that are made, and what becomes of them: for the tests of the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.rooms.audit.conftest import Logged, facts

from bastide.audit import CallFacts, Journal
from bastide.audit.entering import Enter
from bastide.audit.segments import Owned
from bastide.store import Query, Scope

IN, OUT = b"When does the lease end?", b"The lease ends in June."
COUNTED = Query("test", "counted", "select id from audit.event where act = 'inference' order by index")


def call(**changes: Any) -> CallFacts:
    """What a call left."""
    whole, now = facts(), time.time()
    given = {
        "act": "inference",
        "decision": whole.decision,
        "label": whole.label,
        "endpoint": whole.endpoint,
        "model": whole.model,
        "tokens_in": 7,
        "tokens_out": 6,
        "estimated": False,
        "tls": None,
        "started": now,
        "ended": now,
        "assurance": "local-measured",
    }
    return CallFacts(**{**given, **changes})


def made(journal: Journal, scope: Scope, said: CallFacts | None = None, **more: Any) -> str:
    """A call that began, went and ended."""
    entry = journal.begin(scope)
    entry.input(IN)
    entry.output(OUT[:5])
    entry.output(OUT[5:])
    entry.close(said or call(), **more)
    return entry.id


async def carried(journal: Journal) -> None:
    """Until all that is over is in the outbox; if that does not come about, what it waits for."""
    until = time.monotonic() + 60
    while journal.waiting:
        assert time.monotonic() < until, _what_waits(journal)
        await asyncio.sleep(0.01)


def _what_waits(journal: Journal) -> str:
    return "\n".join(
        [
            f"{journal.waiting} calls wait; frames {list(journal._reach)[:3]}; problem {journal.problem!r}",
            f"another process carries: {journal._folder.somebody_carries()}; its way: {vars(journal._way or object)}",
            *(str(task) for task in asyncio.all_tasks() if "bastide" in str(task)),
        ]
    )


def keep_back(journal: Journal) -> None:
    """From now on nothing is carried: it stays on the disk."""

    async def nothing() -> None:
        journal._carrying = None

    journal._carry = nothing  # type: ignore[method-assign]


def let_go(journal: Journal) -> None:
    """Again all is carried."""
    del journal._carry
    journal._carrying = asyncio.create_task(journal._carry())


async def recorded(logged: Logged, scope: Scope) -> list[str]:
    """The calls in the log, in their order."""
    await logged.settle()
    async with logged.store.under(scope) as db:
        return [row[0] for row in await db.rows(tuple, COUNTED)]


def straight(logged: Logged) -> Enter:
    """The way past the outbox."""
    sequencer = logged.audit._sequencer
    assert sequencer is not None
    return sequencer.enter


async def until(condition: Callable[[], bool]) -> None:
    """Until this is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def written(journal: Journal) -> Owned:
    """Until something that is over lies on the disk; where."""
    await until(lambda: bool(journal._reach))
    assert journal._owned is not None
    return journal._owned
