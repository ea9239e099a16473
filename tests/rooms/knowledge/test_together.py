"""Files of a folder that wait go along with the one at work: one transaction, and each still a job of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastide.app import House, open_house
from bastide.errors import BadName, IntakeClosed
from bastide.knowledge.together import Together
from bastide.settings import Settings
from bastide.store import Query, Scope, Store
from bastide.workflows import Job, Lane
from tests.conftest import scope_of

NOTES = {f"note-{n:02}.md": f"# Note {n}\n\nThe word marker{n:02} stands here alone.".encode() for n in range(20)}
BROKEN = b"%PDF-1.7\nthis is cut off"

_TRANSACTIONS = Query("test", "transactions", "select count(distinct xmin::text) from knowledge.document")
_ALONG = Query("test", "along", "select run, facts->>'by' from workflows.moment where kind = 'taken along'")
_STAGED = Query("test", "staged", "select name from knowledge.staged order by name")
_SEIZE = Query(
    "test",
    "seize",
    "update workflows.run set status = 'waiting', attempt = 1, waits_for = 'together ' || %(by)s, "
    "wake_at = now() + make_interval(secs => %(seconds)s) where id = any(%(ids)s)",
)
_BEGUN = Query("test", "begun", "update workflows.run set attempt = attempt + 1 where id = any(%(ids)s)")


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


async def _staged(house: House, scope: Scope, files: dict[str, bytes], **said: Any) -> tuple[str, dict[str, str]]:
    """An intake with these files, none of them begun; the intake's job and that of each file."""
    await house.workflows.set_lane(scope, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(scope)
    jobs = {
        name: (await house.knowledge.stage(scope, name, data, job=opened.id, **said)).id for name, data in files.items()
    }
    await house.knowledge.close_intake(scope, opened.id)
    return opened.id, jobs


async def _ended(house: House, scope: Scope, job: str) -> dict[str, Any]:
    record = await house.workflows.result(scope, job, timeout_s=60)
    assert record.status == "done", record.problem
    assert isinstance(record.output, dict)
    return record.output


async def _let_go(house: House, scope: Scope) -> None:
    await house.workflows.set_lane(scope, Lane("knowledge.ingest", concurrency=1))


async def _rows(house: House, scope: Scope, query: Query) -> list[Any]:
    async with house.store.under(scope) as db:
        return await db.rows(tuple, query)


async def test_files_that_wait_go_along_in_one_transaction(house: House, ours: Scope) -> None:
    files = {"bad.pdf": BROKEN, **NOTES, "copy.md": NOTES["note-03.md"]}
    intake, jobs = await _staged(house, ours, files)
    await _let_go(house, ours)
    out = await _ended(house, ours, intake)
    assert (out["ingested"], out["unchanged"], out["refused"], out["files"]) == (20, 1, 1, 22)
    told = {one["job"]: (one["name"], one["status"]) for one in out["documents"]}
    wanted = dict.fromkeys(NOTES, "ready") | {"bad.pdf": "refused", "copy.md": "unchanged"}
    assert {name: told[job][1] for name, job in jobs.items()} == wanted
    assert (await _rows(house, ours, _TRANSACTIONS)) == [(1,)]
    along = await _rows(house, ours, _ALONG)
    assert len(along) == 21
    assert len({by for _, by in along}) == 1
    assert await _rows(house, ours, _STAGED) == []
    one = await house.workflows.job(ours, jobs["note-05.md"])
    assert (one.status, one.attempt, one.output["id"] if isinstance(one.output, dict) else None) == (
        "done", 1, next(d["id"] for d in out["documents"] if d["name"] == "note-05.md")
    )  # fmt: skip


async def test_each_goes_under_its_own_words_and_metadata(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(ours)
    for n, (name, data) in enumerate(list(NOTES.items())[:6]):
        said: dict[str, Any] = {"metadata": {"page": n}}
        if n == 4:
            said["label"] = {"class": "confidential"}
        if n == 5:
            said["collection"] = "elsewhere"
        await house.knowledge.stage(ours, name, data, job=opened.id, **said)
    await house.knowledge.close_intake(ours, opened.id)
    await _let_go(house, ours)
    await _ended(house, ours, opened.id)
    found = {one.name: one for one in (await house.knowledge.documents(ours)).items}
    assert [found[name].metadata for name in sorted(found)] == [{"page": n} for n in range(6)]
    assert [found[name].label.cls for name in sorted(found)].count("confidential") == 1
    assert found["note-04.md"].label.cls == "confidential"
    assert found["note-05.md"].collection == "elsewhere"


async def test_a_colleagues_files_are_taken_in_with_the_colleagues_rights(house: House, ours: Scope) -> None:
    intake, _ = await _staged(house, ours, dict(list(NOTES.items())[:3]))
    await house.workflows.cancel(ours, intake)
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(ours)
    own = [(await house.knowledge.stage(ours, name, NOTES[name], job=opened.id)).id for name in list(NOTES)[:3]]
    colleague = scope_of(ours.tenant, permissions=ours.permissions)
    theirs = [
        (await house.knowledge.stage(colleague, name, NOTES[name], job=opened.id)).id for name in list(NOTES)[3:6]
    ]
    await house.knowledge.close_intake(ours, opened.id)
    await _let_go(house, ours)
    await _ended(house, ours, opened.id)
    along = dict(await _rows(house, ours, _ALONG))
    for mine, others in ((own, theirs), (theirs, own)):
        assert not {along[one] for one in mine if one in along} & set(others)


async def test_what_a_worker_that_died_had_taken_along_goes_by_itself(house: House, ours: Scope) -> None:
    intake, jobs = await _staged(house, ours, NOTES)
    first, *others = jobs.values()
    async with house.store.under(ours) as db:
        await db.run(_SEIZE, by=first, ids=others[:5], seconds=3600.0)  # as the dead worker left them
        await db.run(_BEGUN, ids=[first])
    await _let_go(house, ours)
    out = await _ended(house, ours, intake)
    assert out["ingested"] == len(NOTES)
    along = dict(await _rows(house, ours, _ALONG))
    assert not {first, *others[:5]} & (set(along) | set(along.values())), "what may have killed it goes alone"
    documents = (await house.knowledge.documents(ours, limit=100)).items
    assert {one.version for one in documents} == {1}


async def test_a_part_whose_time_is_over_is_begun_by_somebody_else(house: House, ours: Scope) -> None:
    intake, jobs = await _staged(house, ours, dict(list(NOTES.items())[:4]))
    async with house.store.under(ours) as db:
        await db.run(_SEIZE, by="job_gone", ids=list(jobs.values()), seconds=0.0)
    await _let_go(house, ours)
    assert (await _ended(house, ours, intake))["ingested"] == 4


async def test_a_file_that_is_stopped_while_it_goes_along_is_not_taken_in(
    house: House, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, jobs = await _staged(house, ours, dict(list(NOTES.items())[:6]))
    write, stopped = Together._write, jobs["note-04.md"]

    async def later(*given: Any) -> Any:
        other = asyncio.create_task(house.workflows.cancel(ours, stopped))
        await other
        return await write(*given)

    monkeypatch.setattr(Together, "_write", later)
    await _let_go(house, ours)
    out = await _ended(house, ours, intake)
    assert (out["ingested"], out["refused"]) == (5, 1)
    assert (await house.workflows.job(ours, stopped)).status == "cancelled"
    assert [name for (name,) in await _rows(house, ours, _STAGED)] == ["note-04.md"], "kept for a retry"
    monkeypatch.undo()
    again = await house.workflows.retry(ours, stopped)
    assert (await _ended(house, ours, again.id))["status"] == "ready"


async def test_when_the_transaction_fails_all_of_it_is_done_again(
    house: House, ours: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, jobs = await _staged(house, ours, dict(list(NOTES.items())[:6]))
    write, failed = Together._write, []

    async def breaks(*given: Any) -> Any:
        out = await write(*given)
        if not failed:
            failed.append(out)
            raise OSError("the disk is away")
        return out

    monkeypatch.setattr(Together, "_write", breaks)
    await _let_go(house, ours)
    out = await _ended(house, ours, intake)
    assert failed
    assert out["ingested"] == 6
    attempts = sorted([(await house.workflows.job(ours, job)).attempt for job in jobs.values()])
    assert attempts == [2] * 6, "each by itself, the second time"
    assert {one.version for one in (await house.knowledge.documents(ours)).items} == {1}


async def test_files_that_are_handed_in_at_once_are_all_kept_or_none(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(ours)
    with pytest.raises(BadName):
        await house.knowledge.stage_all(ours, [("a.md", b"One."), ("b\0.md", b"Two.")], job=opened.id)
    assert await _rows(house, ours, _STAGED) == []
    made = await house.knowledge.stage_all(ours, list(NOTES.items()), job=opened.id)
    assert len({one.id for one in made}) == len(NOTES)
    assert [name for (name,) in await _rows(house, ours, _STAGED)] == sorted(NOTES)
    await house.knowledge.close_intake(ours, opened.id)
    with pytest.raises(IntakeClosed):
        await house.knowledge.stage_all(ours, [("late.md", b"Too late.")], job=opened.id)
    assert len(await _rows(house, ours, _STAGED)) == len(NOTES)
    await house.workflows.cancel(ours, opened.id)


async def test_a_neighbours_file_does_not_wait_for_a_folder(house: House, ours: Scope, neighbour: Scope) -> None:
    files = {f"page-{n:03}.md": f"Page {n} of the long ledger.".encode() for n in range(150)}
    intake, _ = await _staged(house, ours, files)
    await house.workflows.set_lane(ours, Lane("knowledge.ingest"))
    job = Job("knowledge.ingest", {"name": "gate.md", "text": "The east gate opens at eight."})
    theirs = await house.workflows.dispatch(neighbour, job)
    await _ended(house, neighbour, theirs.id)
    assert not (await house.workflows.job(ours, intake)).ended, "the folder goes on"
    out = await _ended(house, ours, intake)
    assert out["ingested"] == 150
    assert [one.name for one in (await house.knowledge.documents(neighbour)).items] == ["gate.md"]
