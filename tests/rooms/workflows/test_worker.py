"""A worker whose inside breaks: it is known again and takes the next job, whatever part of it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from bastide.app import House
from bastide.store import Query, Scope
from bastide.workflows import worker as module
from bastide.workflows.worker import Worker
from tests.rooms.workflows.workshop import QUICK, Workshop, opened

FORGET = Query("test", "forget_worker", "delete from workflows.worker where id = %(id)s")

Break = Callable[[Worker], Awaitable[object]]


@pytest.fixture(scope="module")
async def shop(house: House) -> AsyncIterator[Workshop]:
    """A worker of a family that no other worker takes from."""
    async with opened(house, replace(QUICK, heartbeat_s=0.1), family="broken") as workshop:
        yield workshop


async def forgotten(worker: Worker) -> None:
    """The others delete it, as one that was silent for too long."""
    async with worker._store.as_operator(reason="test") as db:
        await db.run(FORGET, id=worker.id)


async def cancelled_whole(worker: Worker) -> None:
    """Somebody cancels its loop."""
    assert worker._loop
    assert worker._loop.run_task
    worker._loop.run_task.cancel()


async def cancelled_inside(worker: Worker) -> None:
    """A question of its loop ends with a cancellation that nobody asked for."""
    (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == "worker loop" and _is_of(task, worker)]
    loop.cancel()


async def sick(worker: Worker) -> None:
    """Three beats fail: as a cancellation of nobody, as a fault, and by not ending."""
    queue, real, said = worker._queue, worker._queue.beat, []

    async def beat(id: int) -> bool:
        said.append(id)
        match len(said):
            case 1:
                raise asyncio.CancelledError
            case 2:
                raise ConnectionError("nobody knows why")
            case 3:
                await asyncio.Event().wait()
        queue.beat = real  # type: ignore[method-assign]
        return await real(id)

    queue.beat = beat  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        while queue.beat is beat:
            await asyncio.sleep(0.02)
    assert len(said) == 4


async def never_ending(worker: Worker) -> None:
    """It is asked to stop by a part of its own, and does not."""
    loop = worker._loop
    assert loop

    async def shutdown(side_tasks: object) -> None:
        await asyncio.Event().wait()

    loop._shutdown = shutdown  # type: ignore[method-assign]
    loop.stop()  # type: ignore[no-untyped-call]


def _is_of(task: asyncio.Task[object], worker: Worker) -> bool:
    coroutine = task.get_coro()
    frame = getattr(coroutine, "cr_frame", None)
    return frame is not None and frame.f_locals.get("self") is worker._loop


@pytest.mark.parametrize("broken", [forgotten, cancelled_whole, cancelled_inside, sick, never_ending])
async def test_whatever_breaks_in_a_worker_it_is_at_work_again(
    shop: Workshop, ours: Scope, broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNDO_S", 0.5)
    worker = shop.workflows._worker
    before = worker._loop
    await broken(worker)
    async with asyncio.timeout(60):
        while worker._loop is before or worker.id is None:
            await asyncio.sleep(0.02)
    job = await shop.end(ours, await shop.put(ours, "returns", text="still here"), timeout_s=60)
    assert job.output == "still here"
