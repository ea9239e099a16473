"""The sequencer is killed at any moment: no gap, no event twice, nothing signed and lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bastide.audit import Journal
from bastide.store import Scope

from .conftest import Logged, somebody
from .journal.journals import COUNTED, carried, made

# A process of its own that sequences and nothing else, in small batches so that a kill hits a turn.
_SEQUENCE = """
import asyncio, sys
from pathlib import Path
from bastide.audit import Audit
from bastide.settings import AuditSettings, Settings
from bastide.store import Store

async def main(home):
    settings = Settings.read(home, environment={})
    store = Store(settings.store)
    await store.start()
    audit = Audit(store, AuditSettings(home=home, gather_s=0.0, idle_s=0.01, batch_max=7))
    await audit.start()
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main(Path(sys.argv[1])))
"""


@asynccontextmanager
async def _killed_at_the_end(home: Path) -> AsyncIterator[None]:
    """A process of its own that takes the turns of the log, until it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SEQUENCE, str(home), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def _kill_at_random(logged: Logged, scope: Scope, *, kills: int) -> int:
    dice = random.Random(11)
    made = 0
    for _ in range(kills):
        async with _killed_at_the_end(logged.home):
            until = asyncio.get_running_loop().time() + dice.uniform(0.05, 0.6)
            while asyncio.get_running_loop().time() < until:
                async with logged.store.under(scope) as db:
                    for _ in range(20):
                        await logged.audit.record(db, "test.act")
                made += 20
    return made


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
async def test_kill_9_at_any_moment(quiet: Logged, kills: int) -> None:
    ours = somebody()
    made = await _kill_at_random(quiet, ours, kills=kills)
    found = await quiet.audit.verify()
    assert found.valid, found.problems
    await quiet.audit.start()
    await quiet.settle()
    found = await quiet.audit.verify()
    assert found.valid, found.problems
    counted = await quiet.value(
        "select count(*) from audit.event where tenant_id ="
        " (select tenant_id from audit.event order by index desc limit 1)"
    )
    assert counted == made
    await quiet.audit.stop()


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.slow)])
async def test_kill_9_of_whom_carries_straight_into_the_log(quiet: Logged, kills: int) -> None:
    dice, ours, ids = random.Random(12), somebody(), []
    journal = Journal(quiet.store, quiet.settings)
    for _ in range(kills):
        async with _killed_at_the_end(quiet.home):
            until = asyncio.get_running_loop().time() + dice.uniform(0.2, 0.8)
            while asyncio.get_running_loop().time() < until:
                ids += [made(journal, ours) for _ in range(20)]
                async with quiet.store.under(ours) as db:
                    await quiet.audit.record(db, "test.act")
                await asyncio.sleep(0.01)
    straight = await quiet.value("select count(*) from audit.counter where slot = 32")
    await quiet.audit.start()
    await carried(journal)
    await journal.stop()
    await quiet.settle()
    found = await quiet.audit.verify()
    assert found.valid, found.problems
    async with quiet.store.under(ours) as db:
        assert [row[0] for row in await db.rows(tuple, COUNTED)] == ids
    assert straight, "some of it went that way before the last kill"
    await quiet.audit.stop()
