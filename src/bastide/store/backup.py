"""Backup: the whole database in one archive, as it was at one moment, read back before it is called done.

    home/backups/NAME/database.dump    PostgreSQL's custom format; for `pg_restore` of the same or a later major version
    home/backups/NAME/backup.json      when, how large, its SHA-256, and which key-encryption key opens what is sealed

What is sealed stays sealed: the key-encryption key (`secrets/kek`) is not in it and must be kept elsewhere. What is
not sealed in the database (chunks, names) is not sealed here either, so the archive is as confidential as the database.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bastide.errors import BackupFailed
from bastide.store.donors import Donor
from bastide.store.embedded import Server

ARCHIVE, ABOUT = "database.dump", "backup.json"
_SAID_MAX = 500


@dataclass(frozen=True, slots=True)
class BackedUp:
    """An archive that is whole: its contents were listed from it."""

    folder: str
    made_at: str
    bytes: int
    sha256: str
    tables: int  # with their rows
    postgres: str
    kek: str  # which key opens what is sealed; the name tells nothing of the key


async def back_up(server: Server, donor: Donor, place: Path, *, database: str, kek: str) -> BackedUp:
    """Write the archive into the folder `place`, which is there whole or not at all; an older one of its name goes.

    Raises BackupFailed.
    """
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    await asyncio.to_thread(_empty, fresh)
    try:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        archive = fresh / ARCHIVE
        await run_donor(
            donor,
            "pg_dump",
            "--format=custom",
            "--exclude-table-data=store.context_key",  # every home has its own
            f"--file={archive}",
            f"--host={server.host}",
            f"--port={server.port}",
            f"--username={server.superuser}",
            "--no-password",
            database,
            password=server.superuser_password,
        )
        listed = await run_donor(donor, "pg_restore", "--list", str(archive))
        tables = sum(" TABLE DATA " in line for line in listed.splitlines())
        if not tables:
            raise BackupFailed("The archive lists no table.")
        done = BackedUp(
            folder=str(place),
            made_at=made_at,
            bytes=archive.stat().st_size,
            sha256=await asyncio.to_thread(_digest, archive),
            tables=tables,
            postgres=f"{donor.major}.{donor.minor}",
            kek=kek,
        )
        await asyncio.to_thread(_finish, fresh, place, done)
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return done


async def run_donor(donor: Donor, program: str, *arguments: str, password: str = "") -> str:
    """What one of the donor's programs says; nothing of our environment reaches it. Raises BackupFailed."""
    path = donor.prefix / "bin" / program
    if not path.is_file():
        raise BackupFailed(f"This PostgreSQL has no {program}: {donor.prefix}.")
    process = await asyncio.create_subprocess_exec(
        str(path),
        *arguments,
        env={"PGPASSWORD": password, "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await process.communicate()
    except BaseException:  # we are being stopped: nobody would read the rest
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        lines = wrong.decode("utf-8", "replace").strip().splitlines()
        raise BackupFailed(f"{program}: {' '.join(lines[-2:])[:_SAID_MAX]}", exit_status=process.returncode)
    return said.decode("utf-8", "replace")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finish(fresh: Path, place: Path, done: BackedUp) -> None:
    (fresh / ARCHIVE).chmod(0o600)
    (fresh / ABOUT).write_text(json.dumps(asdict(done), indent=1) + "\n")
    (fresh / ABOUT).chmod(0o600)
    for path in (fresh / ARCHIVE, fresh / ABOUT, fresh):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
