"""The platform's own jobs: the log verified and exported, a backup that can be read, and how the house is."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bastide.api.doors import create
from bastide.app import House, open_house
from bastide.audit import log_step, verify_file
from bastide.egress import local_client
from bastide.errors import BackupElsewhere, BackupFailed, Forbidden, JournalUnwritable
from bastide.settings import Settings
from bastide.store import Query, Scope, Store
from bastide.store.backup import back_up
from bastide.store.donors import find_donor
from bastide.store.embedded import Server
from bastide.workflows import Job, JobRecord
from tests.conftest import ALL_PERMISSIONS, scope_of

TYPES = ["audit.verify", "audit.export", "store.backup", "house.health"]
KEY = Query("test", "key", "select wrapped from store.tenant_key")


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


@pytest.fixture
def operator(ours: Scope) -> Scope:
    """Somebody who runs the platform."""
    return scope_of(ours.tenant, permissions=ALL_PERMISSIONS | {"platform:operate"})


async def run(house: House, scope: Scope, type: str, **given: Any) -> JobRecord:
    """A job, at its end."""
    made = await house.workflows.dispatch(scope, Job(type, given))
    return await house.workflows.result(scope, made.id, timeout_s=90)


@pytest.mark.parametrize("name", TYPES)
async def test_the_example_of_a_type_works(house: House, operator: Scope, name: str) -> None:
    await house.knowledge.ingest(operator, "gate.md", b"# Gate\n\nThe east gate opens at eight.")
    example = house.workflows.type(name).example
    assert example is not None
    record = await run(house, operator, name, **example.input)
    assert record.status == "done", record.problem
    assert example.check(record.output)


async def test_a_journal_that_cannot_be_written_is_a_matter_of_the_disk(house: House) -> None:
    journal = house.audit.journal
    assert "sequencer" in log_step(house.audit), "whatever else keeps the log is its sequencer's"
    step = ""
    async with asyncio.timeout(60), local_client(create(house)) as client:
        while not step:  # a receipt that is written meanwhile mends it
            journal.problem = "The journal cannot be written: No space left on device."
            try:
                ready = json.loads((await client.request("GET", "/readyz")).body)
            finally:
                journal.problem = ""
            (log,) = (part for part in ready["parts"] if part["name"] == "audit")
            step = log["next"] or ""
    assert (log["state"], step) == ("attention", JournalUnwritable.next)


async def test_only_the_platforms_operator_may(house: House, ours: Scope) -> None:
    for name in TYPES[1:]:
        with pytest.raises(Forbidden):
            await house.workflows.dispatch(ours, Job(name))
    member = scope_of(ours.tenant, permissions=ALL_PERMISSIONS - {"audit:verify"})
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(member, Job("audit.verify"))


async def test_an_exported_log_is_verified_without_us(house: House, operator: Scope) -> None:
    record = await run(house, operator, "audit.export", name="for-the-auditor")
    assert isinstance(record.output, dict)
    folder = Path(str(record.output["folder"]))
    assert folder == house.settings.home / "exports" / "for-the-auditor"
    assert verify_file(folder).valid
    again = await run(house, operator, "audit.export", name="for-the-auditor")  # continued, not refused
    assert again.status == "done"
    assert verify_file(folder).valid


async def test_a_backup_holds_every_table_and_no_key(house: House, operator: Scope) -> None:
    await house.knowledge.ingest(operator, "lease.md", b"The lease of the observatory ends in June.")
    record = await run(house, operator, "store.backup", name="nightly")
    assert record.status == "done", record.problem
    assert isinstance(record.output, dict)
    folder = Path(str(record.output["folder"]))
    about = json.loads((folder / "backup.json").read_text())
    assert about == record.output
    assert (folder / "database.dump").stat().st_mode & 0o077 == 0
    donor = find_donor(major=int(str(about["postgres"]).split(".")[0]))
    program = str(donor.prefix / "bin" / "pg_restore")
    text = subprocess.run([program, "-f", "-", str(folder / "database.dump")], capture_output=True, check=True).stdout
    async with house.store.under(operator) as db:
        wrapped = bytes(await db.value(KEY)).hex()
    assert wrapped.encode() in text  # the tenant's key is there as it lies in the database: wrapped
    kek = (house.settings.home / "secrets" / "kek").read_bytes()
    assert kek not in text
    assert kek.hex().encode() not in text
    assert b"COPY store.blob_piece " in text  # the originals, sealed
    context = text.partition(b"COPY store.context_key ")[2]
    assert not context  # every home has its own
    assert text.count(b"\nCOPY ") == about["tables"]


async def test_a_second_backup_replaces_the_first_of_its_name(house: House, operator: Scope) -> None:
    first = await run(house, operator, "store.backup", name="weekly")
    second = await run(house, operator, "store.backup", name="weekly")
    assert first.output != second.output
    names = [path.name for path in (house.settings.home / "backups").iterdir()]
    assert names.count("weekly") == 1
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "x" * 81])
async def test_a_name_cannot_leave_its_folder(house: House, operator: Scope, name: str) -> None:
    for type in ("store.backup", "audit.export"):
        record = await run(house, operator, type, name=name)
        if name:
            assert record.problem is not None
            assert record.problem.code == "workflows.bad_job"
        else:  # nothing said: the job's own id
            assert isinstance(record.output, dict)
            assert str(record.output["folder"]).endswith(record.id)


async def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    nobody = Server("127.0.0.1", 1, "postgres", "wrong", 180000)
    with pytest.raises(BackupFailed):
        await back_up(nobody, find_donor(), tmp_path / "nightly", database="bastide", kek="none")
    assert list(tmp_path.iterdir()) == []


async def test_a_database_of_somebody_else_is_not_ours_to_back_up(settings: Settings, tmp_path: Path) -> None:
    elsewhere = Store(replace(settings.store, home=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(BackupElsewhere):
        await elsewhere.back_up(tmp_path / "nightly")


async def test_health_says_of_each_part_how_it_is(house: House, operator: Scope) -> None:
    record = await run(house, operator, "house.health")
    assert isinstance(record.output, dict)
    parts = {part["name"]: part for part in record.output["parts"]}
    assert set(parts) == {"row security", "audit", "work", "models", "knowledge", "disk"}
    assert parts["row security"]["state"] == "ok"
    assert "workers; " in parts["work"]["message"]
