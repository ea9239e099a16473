"""Restoring: a backup read back into a home that has its secrets and no database yet.

The order is such that a crash leaves a home that can be restored again:
    1. the archive is the one that was made, and the home's key opens what is sealed in it
    2. an empty cluster, with the roles of the house
    3. the whole archive in one transaction
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from pathlib import Path

from psycopg.conninfo import make_conninfo

from bastide.errors import BackupElsewhere, BackupFailed, KeysMissing, RestoreFailed, RestoreRefused
from bastide.settings import StoreSettings
from bastide.store.backup import ABOUT, ARCHIVE, BackedUp, run_donor
from bastide.store.embedded import EmbeddedPostgres
from bastide.store.keys import KeyRing
from bastide.store.provision import DATABASE, provision_embedded, provision_roles

_STOP_S = 30.0


async def restore(settings: StoreSettings, folder: Path) -> BackedUp:
    """Read the backup in `folder` into the home of `settings`; what was restored.

    The house must not be open. Raises RestoreRefused, KeysMissing, BackupElsewhere or RestoreFailed; then the home has
    no database, as before.
    """
    if settings.database_url:
        raise BackupElsewhere
    about = await asyncio.to_thread(_checked, settings.home, folder)
    embedded = EmbeddedPostgres(settings.home, donor=settings.postgres_folder)
    try:
        await _fill(embedded, settings.home, folder)
    except BaseException:
        await embedded.release(wait_s=_STOP_S)
        await asyncio.to_thread(shutil.rmtree, settings.home / "postgres", ignore_errors=True)
        raise
    await embedded.release()
    return about


async def _fill(embedded: EmbeddedPostgres, home: Path, folder: Path) -> None:
    server = await embedded.ensure()
    superuser = make_conninfo(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=server.superuser_password,
        dbname="postgres",
    )
    await provision_roles(await provision_embedded(superuser, home), home)
    try:
        await run_donor(
            embedded.donor(),
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            f"--host={server.host}",
            f"--port={server.port}",
            f"--username={server.superuser}",
            "--no-password",
            f"--dbname={DATABASE}",
            str(folder / ARCHIVE),
            password=server.superuser_password,
        )
    except BackupFailed as fault:
        raise RestoreFailed(fault.message) from fault


def _checked(home: Path, folder: Path) -> BackedUp:
    if (home / "postgres").exists():
        raise RestoreRefused(f"{home} has a database already; a backup is read into a home without one.")
    if not (home / "secrets" / "kek").is_file():
        raise KeysMissing(f"{home}/secrets holds no key-encryption key.", next_step=_COPY)
    try:
        about = BackedUp(**json.loads((folder / ABOUT).read_text("utf-8")))
        with (folder / ARCHIVE).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, TypeError) as fault:
        raise RestoreRefused(f"{folder} is not a backup: it needs {ARCHIVE} and {ABOUT}.") from fault
    if digest != about.sha256:
        raise RestoreRefused(f"{ARCHIVE} is not the file that {ABOUT} speaks of: its SHA-256 differs.")
    if KeyRing.of_home(home).name != about.kek:
        raise KeysMissing("The key in secrets/ is not the one that this backup was sealed under.", next_step=_COPY)
    return about


_COPY = "Copy the folder secrets/ of the home that was backed up into this one first."
