"""The room's jobs on the real queue: a folder taken in, mended, erased, handed out, measured; and the neighbour."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastide.app import House, open_house
from bastide.errors import ArtifactGone, BadName, Forbidden, IntakeClosed, UnknownIntake, UnknownJob
from bastide.knowledge.evaluating import Question, figures
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope, Store, new_id
from bastide.workflows import Job, JobRecord, Lane
from tests.conftest import scope_of
from tests.rooms.knowledge.conftest import LEASE, MENU

BROKEN = b"%PDF-1.7\nthis is cut off"


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


LOOKED: dict[str, Any] = {"held": {}, "left": {}, "unverified": 0}  # what an erasure says when all is gone
STAGED = Query("test", "staged", "select id from knowledge.staged where job = %(job)s")
USES = Query("test", "uses", "select uses from store.blob")
NAMES = Query("test", "names", "select name from knowledge.staged")
AGE = Query("test", "age", "update knowledge.staged set made_at = now() - interval '31 days' where name = %(name)s")
LOSE = Query("test", "lose", "update knowledge.staged set blob = repeat('00', 32) where job = %(job)s")
PIECES = Query("test", "pieces", "select sealed from store.blob_piece")


async def done(house: House, scope: Scope, id: str) -> dict[str, Any]:
    """What a job gave; it must have ended well."""
    record = await house.workflows.result(scope, id, timeout_s=60)
    assert record.status == "done", (record.status, record.why, record.problem)
    assert isinstance(record.output, dict)
    return record.output


async def run(house: House, scope: Scope, type: str, **given: Any) -> JobRecord:
    """A job, at its end."""
    made = await house.workflows.dispatch(scope, Job(type, given))
    return await house.workflows.result(scope, made.id, timeout_s=60)


# -- taking in --------------------------------------------------------------------------------------


async def test_a_staged_file_becomes_a_document(house: House, ours: Scope, neighbour: Scope) -> None:
    made = await house.knowledge.stage(ours, "lease.md", LEASE, collection="contracts", subjects=["ada"])
    out = await done(house, ours, made.id)
    assert (out["status"], out["name"], out["version"]) == ("ready", "lease.md", 1)
    document = await house.knowledge.document(ours, out["id"])
    assert (document.collection, document.label.subjects) == ("contracts", frozenset({"ada"}))
    assert (await house.knowledge.original(ours, out["id"])).data == LEASE
    assert (await house.knowledge.statistics(ours)).queued == 0
    found = await house.knowledge.search(ours, "When does the lease of the workshop end?")
    assert found.passages[0].document_id == out["id"]
    assert (await house.knowledge.search(neighbour, "When does the lease of the workshop end?")).passages == ()
    with pytest.raises(UnknownJob):
        await house.workflows.job(neighbour, made.id)


async def test_the_same_file_again_is_unchanged(house: House, ours: Scope) -> None:
    first = await done(house, ours, (await house.knowledge.stage(ours, "lease.md", LEASE)).id)
    again = await done(house, ours, (await house.knowledge.stage(ours, "lease.md", LEASE)).id)
    assert (again["status"], again["id"]) == ("unchanged", first["id"])


async def test_a_file_that_cannot_be_read_is_refused_and_its_job_is_done(house: House, ours: Scope) -> None:
    out = await done(house, ours, (await house.knowledge.stage(ours, "bad.pdf", BROKEN)).id)
    assert (out["status"], out["id"]) == ("refused", None)
    assert out["error"]["code"] == "knowledge.unreadable_file"
    assert out["error"]["next"]
    assert (await house.knowledge.statistics(ours)).documents == 0


async def test_text_can_be_taken_in_by_a_job_alone(house: House, ours: Scope) -> None:
    record = await run(house, ours, "knowledge.ingest", name="note.md", text="The cellar is dry.", subjects=["bob"])
    assert record.status == "done"
    assert isinstance(record.output, dict)
    document = await house.knowledge.document(ours, str(record.output["id"]))
    assert document.label.subjects == {"bob"}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": "a.md"}, "knowledge.bad_option"),
        ({"name": "a.md", "text": "x", "staged": "stg_1"}, "knowledge.bad_option"),
        ({"name": "a.md", "staged": "stg_00000000000000000000000000"}, "knowledge.staged_gone"),
        ({"name": "a\nb.md", "text": "x"}, "knowledge.bad_name"),
        ({"name": "a.md", "text": "x", "collection": "../etc"}, "knowledge.bad_name"),
    ],
)
async def test_a_wrong_input_fails_with_its_reason(house: House, ours: Scope, given: dict[str, Any], code: str) -> None:
    record = await run(house, ours, "knowledge.ingest", **given)
    assert (record.status, record.attempt) == ("failed", 1)
    assert record.problem is not None
    assert record.problem.code == code


async def test_nobody_takes_in_what_another_tenant_staged(house: House, ours: Scope, neighbour: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    staged = await house.knowledge.stage(ours, "secret.md", LEASE)
    async with house.store.under(ours) as db:
        id = await db.value(STAGED, job=staged.id)
    record = await run(house, neighbour, "knowledge.ingest", name="mine.md", staged=id)
    assert record.problem is not None
    assert record.problem.code == "knowledge.staged_gone"
    assert (await house.knowledge.statistics(ours)).queued == 1
    await house.workflows.cancel(ours, staged.id)


async def test_a_folder_is_one_job_that_sums_up(house: House, ours: Scope) -> None:
    opened = await house.knowledge.intake(ours, collection="archive", label={"class": "confidential"})
    files = {f"note-{n:02}.md": f"# Note {n}\n\nThe word marker{n:02} stands here alone.".encode() for n in range(12)}
    children = {(await house.knowledge.stage(ours, name, data, job=opened.id)).id: name for name, data in files.items()}
    bad = await house.knowledge.stage(ours, "bad.pdf", BROKEN, job=opened.id)
    copy = await house.knowledge.stage(ours, "note-00.md", files["note-00.md"], job=opened.id)
    await house.knowledge.close_intake(ours, opened.id)
    await house.knowledge.close_intake(ours, opened.id)
    with pytest.raises(IntakeClosed):
        await house.knowledge.stage(ours, "late.md", b"Too late.", job=opened.id)
    out = await done(house, ours, opened.id)
    assert (out["ingested"], out["unchanged"], out["refused"], out["files"]) == (12, 1, 1, 14)
    by_job = {one["job"]: one for one in out["documents"]}
    assert {by_job[job]["name"] for job in children} == set(files)
    assert by_job[bad.id]["error"]["code"] == "knowledge.unreadable_file"
    assert by_job[copy.id]["status"] in {"ready", "unchanged"}
    page = await house.knowledge.documents(ours, limit=100)
    assert {one.name for one in page.items} == set(files)
    assert {(one.collection, one.label.cls) for one in page.items} == {("archive", "confidential")}
    record = await house.workflows.job(ours, opened.id)
    assert (record.progress.done, record.progress.total) in {(14, 14), (0, 0)}
    with pytest.raises(IntakeClosed):
        await house.knowledge.stage(ours, "late.md", b"Much too late.", job=opened.id)


async def test_an_empty_intake_ends_at_once(house: House, ours: Scope) -> None:
    opened = await house.knowledge.intake(ours)
    await house.knowledge.close_intake(ours, opened.id)
    out = await done(house, ours, opened.id)
    assert out["documents"] == []


async def test_an_intake_is_its_owners(house: House, ours: Scope, neighbour: Scope) -> None:
    opened = await house.knowledge.intake(ours)
    with pytest.raises(UnknownJob):
        await house.knowledge.stage(neighbour, "a.md", b"Hello.", job=opened.id)
    with pytest.raises(UnknownJob):
        await house.knowledge.close_intake(neighbour, opened.id)
    colleague = scope_of(ours.tenant, permissions=ours.permissions - {"work:manage", "work:approve"})
    with pytest.raises(UnknownJob):
        await house.knowledge.stage(colleague, "a.md", b"Hello.", job=opened.id)
    alone = await house.knowledge.stage(ours, "b.md", b"Not an intake.")
    with pytest.raises(UnknownIntake):
        await house.knowledge.stage(ours, "c.md", b"Hello.", job=alone.id)
    with pytest.raises(BadName):
        await house.knowledge.stage(ours, "", b"Hello.")
    await house.knowledge.close_intake(ours, opened.id)
    await done(house, ours, opened.id)


async def test_a_stopped_intake_takes_nothing_more_in(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(ours)
    child = await house.knowledge.stage(ours, "a.md", LEASE, job=opened.id)
    record = await house.workflows.cancel(ours, opened.id)
    assert record.status == "cancelled"
    assert (await house.workflows.job(ours, child.id)).status == "cancelled"
    await house.workflows.set_lane(ours, Lane("knowledge.ingest"))
    assert (await house.knowledge.statistics(ours)).documents == 0
    again = await house.workflows.retry(ours, child.id)  # its bytes were kept for that
    assert (await done(house, ours, again.id))["status"] == "ready"


async def test_who_may_not_write_opens_and_stages_nothing(house: House, nobody: Scope) -> None:
    with pytest.raises(Forbidden):
        await house.knowledge.intake(nobody)
    with pytest.raises(Forbidden):
        await house.knowledge.stage(nobody, "a.md", b"Hello.")


async def test_what_is_staged_is_sealed_and_given_up_with_the_document(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    staged = await house.knowledge.stage(ours, "lease.md", LEASE)
    async with house.store.under(ours) as db:
        assert await db.value(USES) == 1
        (piece,) = (await db.rows(tuple, PIECES))[0]
        assert b"workshop" not in bytes(piece)
    await house.workflows.set_lane(ours, Lane("knowledge.ingest"))
    out = await done(house, ours, staged.id)
    async with house.store.under(ours) as db:
        assert await db.value(USES) == 1  # the document's alone
        assert await db.value(STAGED, job=staged.id) is None
    await house.knowledge.delete(ours, out["id"])
    async with house.store.under(ours) as db:
        assert await db.value(USES) is None


# -- mending ----------------------------------------------------------------------------------------


async def test_documents_are_embedded_that_were_not(house: House, ours: Scope, neighbour: Scope) -> None:
    for scope in (ours, neighbour):
        for name, data in (("lease.md", LEASE), ("menu.md", MENU)):
            await house.knowledge.ingest(scope, name, data, vectors=False)
    before = await house.knowledge.search(ours, "soup", mode="vector")
    assert before.passages == ()
    record = await run(house, ours, "knowledge.reembed")
    assert record.status == "done", record.problem
    assert record.output == {"documents": 2, "chunks": 2, "failed": []}
    assert (await house.knowledge.search(ours, "soup", mode="vector")).passages[0].name == "menu.md"
    assert (await house.knowledge.search(neighbour, "soup", mode="vector")).passages == ()
    page = await house.knowledge.documents(ours)
    assert [one.problems for one in page.items] == [(), ()]
    again = await run(house, ours, "knowledge.reembed")
    assert again.output == {"documents": 0, "chunks": 0, "failed": []}


async def test_a_collection_is_read_anew(house: House, ours: Scope) -> None:
    taken = await house.knowledge.ingest(ours, "lease.md", LEASE, collection="contracts", vectors=False)
    await house.knowledge.ingest(ours, "menu.md", MENU, collection="kitchen", vectors=False)
    record = await run(house, ours, "knowledge.reindex", collection="contracts")
    assert record.output == {"documents": 1, "chunks": 1, "failed": []}
    found = await house.knowledge.search(ours, "workshop", mode="vector")
    assert [one.document_id for one in found.passages] == [taken.documents[0].id]
    none = await run(house, ours, "knowledge.reindex", documents=[new_id("doc")])
    assert none.problem is not None
    assert none.problem.code == "knowledge.unknown_document"


# -- leaving ----------------------------------------------------------------------------------------


async def test_documents_about_a_person_are_erased(house: House, ours: Scope, neighbour: Scope) -> None:
    await house.knowledge.ingest(ours, "ada.md", LEASE, subjects=["ada"])
    kept = await house.knowledge.ingest(ours, "menu.md", MENU)
    await house.knowledge.ingest(neighbour, "ada.md", LEASE, subjects=["ada"])
    record = await run(house, ours, "knowledge.erase", subject="ada", reason="asked for")
    assert record.status == "done", record.problem
    assert isinstance(record.output, dict)
    assert record.output["erased"] == 1
    assert [one.id for one in (await house.knowledge.documents(ours)).items] == [kept.documents[0].id]
    assert len((await house.knowledge.documents(neighbour)).items) == 1
    for given in ({}, {"subject": "ada", "collection": "default"}):
        wrong = await run(house, ours, "knowledge.erase", **given)
        assert wrong.problem is not None
        assert wrong.problem.code == "knowledge.bad_option"


async def test_what_waits_to_be_taken_in_is_erased_too(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    ada = await house.knowledge.stage(ours, "ada.md", LEASE, subjects=["ada"])
    bob = await house.knowledge.stage(ours, "bob.md", MENU, subjects=["bob"])
    record = await run(house, ours, "knowledge.erase", subject="ada", reason="asked for")
    assert record.output == {"erased": 0, "documents": [], **LOOKED, "staged": 1, "orders": 0, "files": 0}
    await house.workflows.set_lane(ours, Lane("knowledge.ingest"))
    assert (await done(house, ours, bob.id))["status"] == "ready"
    failed = await house.workflows.result(ours, ada.id, timeout_s=30)
    assert failed.problem is not None
    assert failed.problem.code == "knowledge.staged_gone"
    async with house.store.under(ours) as db:
        assert len(await db.rows(tuple, USES)) == 1


async def test_schedules_and_triggers_lose_what_they_name(house: House, ours: Scope, neighbour: Scope) -> None:
    lease, menu = [(await house.knowledge.ingest(ours, *one)).documents[0] for one in (("a.md", LEASE), ("b.md", MENU))]
    orders = house.workflows.schedules, house.workflows.triggers
    for scope in (ours, neighbour):
        for name, text in (
            ("of the lease", f"see {lease.id}"),
            ("of the menu", f"see {menu.id}"),
            ("of ada", "to ada"),
        ):
            given: dict[str, Any] = {"name": name, "type": "title", "input": {"text": text}}
            await orders[0].create(scope, cron="0 6 * * *", **given)
            await orders[1].create(scope, on="webhook", **given)
    await house.knowledge.delete(ours, str(lease.id), reason="out of date")
    record = await run(house, ours, "knowledge.erase", documents=[menu.id], reason="asked for")
    assert record.output == {"erased": 1, "documents": [menu.id], **LOOKED, "staged": 0, "orders": 0, "files": 0}
    for kind in orders:
        texts = {one.name: (one.input["text"], one.paused) for one in (await kind.list(ours)).items}
        blotted = ("see [erased]", True)
        assert texts == {"of the lease": blotted, "of the menu": blotted, "of ada": ("to ada", False)}
    record = await run(house, ours, "knowledge.erase", subject="ada", reason="asked for")
    assert record.output == {"erased": 0, "documents": [], **LOOKED, "staged": 0, "orders": 2, "files": 0}
    for kind in orders:
        assert [one.name for one in (await kind.list(ours)).items] == ["of the lease", "of the menu"]
        assert not any(one.paused for one in (await kind.list(neighbour)).items)
        assert len((await kind.list(neighbour)).items) == 3


async def test_a_foreign_document_is_not_erased(house: House, ours: Scope, neighbour: Scope) -> None:
    theirs = (await house.knowledge.ingest(neighbour, "lease.md", LEASE)).documents[0]
    record = await run(house, ours, "knowledge.erase", documents=[theirs.id])
    assert record.output == {"erased": 0, "documents": [], **LOOKED, "staged": 0, "orders": 0, "files": 0}
    assert (await house.knowledge.document(neighbour, str(theirs.id))).name == "lease.md"


async def test_an_export_holds_the_originals_and_what_they_are(house: House, ours: Scope, neighbour: Scope) -> None:
    for name, data, cls in (("lease.md", LEASE, "confidential"), ("folder/menu.md", MENU, "internal")):
        await house.knowledge.ingest(ours, name, data, collection="papers", label={"class": cls})
    record = await run(house, ours, "knowledge.export", collection="papers")
    assert record.status == "done", record.problem
    assert isinstance(record.output, dict)
    assert record.label.cls == "confidential"
    found = await house.knowledge.artifact(ours, record.id)
    assert hashlib.sha256(found.data).hexdigest() == record.output["sha256"]
    with zipfile.ZipFile(io.BytesIO(found.data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        originals = {one["name"]: archive.read(one["file"]) for one in manifest["documents"]}
    assert originals == {"lease.md": LEASE, "folder/menu.md": MENU}
    with pytest.raises(UnknownJob):
        await house.knowledge.artifact(neighbour, record.id)
    missing = await run(house, ours, "knowledge.export", collection="nothing")
    assert missing.problem is not None
    assert missing.problem.code == "knowledge.unknown_collection"
    with pytest.raises(ArtifactGone):
        await house.knowledge.artifact(ours, missing.id)


# -- evaluating -------------------------------------------------------------------------------------


async def test_a_set_of_questions_is_measured(house: House, ours: Scope) -> None:
    await house.knowledge.ingest(ours, "lease.md", LEASE)
    await house.knowledge.ingest(ours, "menu.md", MENU)
    questions = [
        {"question": "When does the lease of the workshop end?", "documents": ["lease.md"], "section": "Lease"},
        {"question": "Which soup does the kitchen serve?", "documents": ["menu.md"]},
        {"question": "Which soup does the kitchen serve?", "documents": ["lease.md"], "section": "Leas"},
        {"question": "Who composed the opera about the flying Dutchman?"},
    ]
    record = await run(house, ours, "knowledge.evaluate", questions=questions, limit=1)
    assert record.status == "done", record.problem
    out = record.output
    assert isinstance(out, dict)
    assert (out["answerable"], out["unanswerable"], out["no_answer_rate"]) == (3, 1, 1.0)
    assert out["recall"] == {"1": 0.6667}
    assert out["mrr"] == 0.6667
    assert isinstance(out["missed"], list)
    assert len(out["missed"]) == 1


def test_the_figures_are_those_of_the_book() -> None:
    asked = [Question("a", ("x",)), Question("b", ("x",)), Question("c", ("x",)), Question("d")]
    label: dict[str, object] = {}
    found = [
        {"rank": rank, "first": None, "silent": silent, "took_ms": 1.0, "label": label}
        for rank, silent in ((1, None), (4, None), (None, None), (None, False))
    ]
    out = figures(asked, found, 5)
    assert out["recall"] == {"1": 0.3333, "3": 0.3333, "5": 0.6667}
    assert out["mrr"] == round((1 + 0.25) / 3, 4)
    assert out["no_answer_rate"] == 0.0


# -- every type -------------------------------------------------------------------------------------

OURS = ["knowledge.ingest", "knowledge.evaluate", "knowledge.reindex", "knowledge.reembed", "knowledge.export"]


@pytest.mark.parametrize("name", [*OURS, "knowledge.erase"])
async def test_the_example_of_a_type_works(house: House, ours: Scope, name: str) -> None:
    await house.knowledge.ingest(ours, "gate.md", b"# Gate\n\nThe east gate opens at eight.", collection="notes")
    example = house.workflows.type(name).example
    assert example is not None
    record = await run(house, ours, name, **example.input)
    assert record.status == "done", record.problem
    assert example.check(record.output)


async def test_a_job_needs_the_permission_of_its_act(house: House, ours: Scope) -> None:
    reader = scope_of(ours.tenant, permissions=frozenset({"work:run", "work:read", "knowledge:read"}))
    for name in ("knowledge.ingest", "knowledge.reindex", "knowledge.reembed", "knowledge.erase"):
        with pytest.raises(Forbidden):
            await house.workflows.dispatch(reader, Job(name, {"name": "a"}))


async def test_a_label_that_a_job_has_seen_holds_for_its_document(house: House, ours: Scope) -> None:
    job = Job(
        "knowledge.ingest",
        {"name": "note.md", "text": "Written from something secret.", "label": {"class": "public"}},
        label=Label(cls="restricted"),
    )
    made = await house.workflows.dispatch(ours, job)
    out = await done(house, ours, made.id)
    assert (await house.knowledge.document(ours, out["id"])).label.cls == "restricted"


# -- what else may happen ---------------------------------------------------------------------------


async def test_a_job_that_fails_counts_as_refused_and_harms_no_other(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    opened = await house.knowledge.intake(ours)
    lost = await house.knowledge.stage(ours, "lost.md", LEASE, job=opened.id)
    kept = await house.knowledge.stage(ours, "kept.md", MENU, job=opened.id)
    async with house.store.under(ours) as db:
        assert await db.run(LOSE, job=lost.id) == 1
    await house.workflows.set_lane(ours, Lane("knowledge.ingest"))
    await house.knowledge.close_intake(ours, opened.id)
    out = await done(house, ours, opened.id)
    assert (out["ingested"], out["refused"]) == (1, 1)
    by_job = {one["job"]: one for one in out["documents"]}
    assert by_job[kept.id]["status"] == "ready"
    assert (by_job[lost.id]["name"], by_job[lost.id]["status"]) == ("lost.md", "refused")
    assert by_job[lost.id]["error"]["code"] == "request.not_found"
    assert (await house.workflows.job(ours, lost.id)).status == "failed"
    assert (await house.knowledge.statistics(ours)).queued == 0, "what has failed waits for nothing"


async def test_what_nobody_came_for_goes_with_the_next_intake(house: House, ours: Scope) -> None:
    await house.workflows.set_lane(ours, Lane("knowledge.ingest", paused=True))
    for name, data in (("old.md", LEASE), ("new.md", MENU)):
        await house.knowledge.stage(ours, name, data)
    async with house.store.under(ours) as db:
        assert await db.run(AGE, name="old.md") == 1
        assert len(await db.rows(tuple, USES)) == 2
    opened = await house.knowledge.intake(ours)
    await house.knowledge.close_intake(ours, opened.id)
    async with house.store.under(ours) as db:
        assert [name for (name,) in await db.rows(tuple, NAMES)] == ["new.md"]
        assert len(await db.rows(tuple, USES)) == 1


async def test_a_document_sets_off_a_trigger_and_the_trigger_does_not_run_in_circles(house: House, ours: Scope) -> None:
    copied = {"name": "copy-{document}.md", "text": "There is a new document called {name}.", "collection": "copies"}
    await house.workflows.triggers.create(
        ours, name="copies", on="document.ingested", type="knowledge.ingest", input=copied
    )
    out = await done(house, ours, (await house.knowledge.stage(ours, "lease.md", LEASE)).id)
    for _ in range(200):
        jobs = (await house.workflows.jobs(ours, type="knowledge.ingest")).items
        if len(jobs) > 1 and all(job.ended for job in jobs):
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # a circle would go on
    jobs = (await house.workflows.jobs(ours, type="knowledge.ingest")).items
    names = {one.name for one in (await house.knowledge.documents(ours)).items}
    assert names == {"lease.md", f"copy-{out['id']}.md"}
    assert len(jobs) == 2


async def test_a_deleted_document_sets_off_a_trigger(house: House, ours: Scope) -> None:
    noted = {"name": "gone-{document}.md", "text": "A document of {collection} was deleted."}
    await house.workflows.triggers.create(
        ours, name="gone", on="document.deleted", type="knowledge.ingest", input=noted
    )
    taken = (await house.knowledge.ingest(ours, "lease.md", LEASE, collection="contracts")).documents[0]
    await house.knowledge.delete(ours, str(taken.id))
    for _ in range(200):
        page = await house.knowledge.documents(ours)
        if page.items:
            break
        await asyncio.sleep(0.05)
    assert [one.name for one in page.items] == [f"gone-{taken.id}.md"]
