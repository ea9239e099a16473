"""Restoring: what was backed up is there again in a fresh home, sealed things open, the log is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.conftest import scope_of

from bastide.app import House, open_house
from bastide.errors import BackupElsewhere, BastideError, KeysMissing, RestoreFailed, RestoreRefused
from bastide.settings import Settings
from bastide.store import BackedUp, Scope, restore
from bastide.workflows import Job, JobRecord, Lane

TEXT = b"# Lease\n\nThe lease of the observatory ends in June."


@dataclass(frozen=True)
class Kept:
    """A house that was backed up, as it was."""

    home: Path
    folder: Path
    about: BackedUp
    ours: Scope
    theirs: Scope
    jobs: list[JobRecord]
    leaves: int


async def jobs_of(house: House, scope: Scope) -> list[JobRecord]:
    """Every job of a tenant, whole."""
    return [await house.workflows.job(scope, one.id) for one in (await house.workflows.jobs(scope)).items]


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A house with work done and work that waits, and its backup."""
    home = tmp_path_factory.mktemp("kept") / "home"
    ours, theirs = scope_of("ten_06ar2k8m1v6t7c9d0e1f2g3h4j"), scope_of("ten_06ar2k8m1v6t7c9d0e1f2g3h4k")
    async with open_house(Settings.read(home, environment={}), sequence=True, work=True) as house:
        await house.knowledge.ingest(ours, "lease.md", TEXT)
        done = await house.workflows.dispatch(ours, Job("title", {"text": "The mill of the town has two wheels."}))
        assert (await house.workflows.result(ours, done.id)).status == "done"
        await house.workflows.set_lane(ours, Lane("summarise", paused=True))
        await house.workflows.dispatch(ours, Job("summarise", {"text": "The mill."}))
        await house.workflows.schedules.create(ours, name="weekly", type="title", cron="0 6 * * 1", input={"text": "x"})
        leaves = (await house.audit.verify()).size
        about = await house.store.back_up(home / "backups" / "nightly")
        jobs = await jobs_of(house, ours)
    return Kept(home, home / "backups" / "nightly", about, ours, theirs, jobs, leaves)


def fresh(kept: Kept, home: Path) -> Settings:
    """An empty home with the secrets of the one that was backed up."""
    shutil.copytree(kept.home / "secrets", home / "secrets")
    return Settings.read(home, environment={})


async def test_a_backup_is_restored_into_an_empty_home(kept: Kept, tmp_path: Path) -> None:
    settings = fresh(kept, tmp_path / "home")
    assert await restore(settings.store, kept.folder) == kept.about
    async with open_house(settings, sequence=True) as house:
        assert await jobs_of(house, kept.theirs) == []
        restored = await jobs_of(house, kept.ours)
        assert [replace(one, why="") for one in restored] == [replace(one, why="") for one in kept.jobs]
        assert {one.status for one in restored} == {"done", "queued"}
        verdict = await house.audit.verify()
        assert verdict.valid
        assert verdict.size >= kept.leaves
        (document,) = (await house.knowledge.documents(kept.ours)).items
        assert (await house.knowledge.original(kept.ours, document.id)).data == TEXT
        assert [one.input for one in (await house.workflows.schedules.list(kept.ours)).items] == [{"text": "x"}]
        assert await house.store.lint() == []
    with pytest.raises(RestoreRefused, match="has a database"):
        await restore(settings.store, kept.folder)


@pytest.mark.parametrize("wrong", ["no secrets", "another key", "no backup", "damaged", "another database"])
async def test_what_cannot_be_restored_leaves_the_home_as_it_was(kept: Kept, tmp_path: Path, wrong: str) -> None:
    settings, folder = fresh(kept, tmp_path / "home"), tmp_path / "backup"
    shutil.copytree(kept.folder, folder)
    expected: dict[str, type[BastideError]] = {"no secrets": KeysMissing, "another key": KeysMissing}
    match wrong:
        case "no secrets":
            shutil.rmtree(settings.home / "secrets")
        case "another key":
            (settings.home / "secrets" / "kek").write_bytes(os.urandom(32))
        case "no backup":
            shutil.rmtree(folder)
        case "damaged":
            archive = folder / "database.dump"
            archive.write_bytes(archive.read_bytes()[:-1000])
        case _:
            elsewhere = replace(settings.store, database_url="postgresql://nobody@127.0.0.1:1/none")
            with pytest.raises(BackupElsewhere):
                await restore(elsewhere, folder)
            return
    with pytest.raises(expected.get(wrong, RestoreRefused)) as refused:
        await restore(settings.store, folder)
    assert refused.value.next_step
    assert not (settings.home / "postgres").exists()


async def test_an_archive_that_postgresql_refuses_leaves_no_half_database(kept: Kept, tmp_path: Path) -> None:
    settings, folder = fresh(kept, tmp_path / "home"), tmp_path / "backup"
    shutil.copytree(kept.folder, folder)
    cut = (folder / "database.dump").read_bytes()[:-1000]
    (folder / "database.dump").write_bytes(cut)
    about = (folder / "backup.json").read_text().replace(kept.about.sha256, hashlib.sha256(cut).hexdigest())
    (folder / "backup.json").write_text(about)
    with pytest.raises(RestoreFailed):
        await restore(settings.store, folder)
    assert not (settings.home / "postgres").exists()
    await restore(settings.store, kept.folder)
