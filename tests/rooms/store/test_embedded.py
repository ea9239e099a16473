"""The embedded PostgreSQL: shared, stubborn, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bastide import errors
from bastide.store import cluster
from bastide.store.donors import examine, find_donor
from bastide.store.embedded import EmbeddedPostgres, Server

IS_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not IS_ROOT, reason="what root must do to become somebody else")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")

USER = """
import asyncio, sys
from pathlib import Path
from bastide.store.embedded import EmbeddedPostgres
server = asyncio.run(EmbeddedPostgres(Path(sys.argv[1]), grace_s=0.2).ensure())
print(server.host, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    """A folder in which nothing was ever started. Short, so that a socket's path fits."""
    folder = Path(tempfile.mkdtemp(prefix="bst"))
    yield folder / "h"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
async def model_home() -> AsyncIterator[Path]:
    """A home whose database was made, used and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="bst"))
    embedded = running(folder)
    async with connected(await embedded.ensure()) as connection:
        await connection.execute("create table kept (n integer)")
        await connection.execute("insert into kept values (41)")
    await embedded.release(wait_s=20)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(model_home: Path, fresh_home: Path) -> Path:
    """A copy of that home, all of it the present user's: the server's owner is set right at the next start."""
    shutil.copytree(model_home, fresh_home)
    return fresh_home


def running(home: Path, **options: Any) -> EmbeddedPostgres:
    """The home's server, with a grace that suits tests."""
    return EmbeddedPostgres(home, grace_s=0.2, **options)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    connection = await psycopg.AsyncConnection.connect(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=server.superuser_password,
        dbname="postgres",
        autocommit=True,
    )
    async with connection:
        yield connection


async def asked(server: Server, question: str) -> Any:
    async with connected(server) as connection:
        row = await (await connection.execute(question.encode())).fetchone()
        return row[0] if row else None


async def asked_again(embedded: EmbeddedPostgres, question: str) -> Any:
    """As a client asks after a kill: what answered a moment ago may be on its way out, so ask again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await asked(await embedded.ensure(), question)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "not back within five seconds"


def state(home: Path) -> dict[str, Any]:
    """What the supervisor says about its server."""
    found: dict[str, Any] = json.loads((home / "postgres" / "server.json").read_text())
    return found


def servers(home: Path) -> list[int]:
    """Every living PostgreSQL process of this home, by what the kernel says."""
    data = str(home / "postgres" / "data")
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and cluster.is_server_of(int(name), data)]


def is_postmaster(pid: int) -> bool:
    """Whether this server process is the first of its server; a backend may be gone by now."""
    try:
        return b"-D" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False


async def until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        await asyncio.sleep(0.02)


def start_user(home: Path) -> subprocess.Popen[bytes]:
    """Another process that uses the home until its standard input is closed."""
    return subprocess.Popen([sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def told(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


async def finish(embedded: EmbeddedPostgres, home: Path) -> None:
    """Every test ends here: after the last user nothing is left running."""
    await embedded.release(wait_s=20)
    assert sys.platform != "linux" or servers(home) == []


async def test_first_start_gives_a_server_that_asks_everybody_for_a_password(fresh_home: Path) -> None:
    embedded = running(fresh_home)
    server = await embedded.ensure()
    assert server.version // 10_000 >= 16
    assert await asked(server, "show data_checksums") == "on"
    assert await asked(server, "show fsync") == "on"
    assert await asked(server, "select datlocprovider from pg_database where datname = 'postgres'") in ("b", "c")
    assert await asked(server, "select every(auth_method = 'scram-sha-256') from pg_hba_file_rules") is True
    assert await asked(server, "select upper('é')") == "É"
    secret = fresh_home / "secrets" / "postgres-superuser"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(server.superuser_password) >= 32
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(host=server.host, port=server.port, user="postgres", password="guess")
    assert not (fresh_home / "postgres" / "superuser.once").exists()
    await finish(embedded, fresh_home)


async def test_ensure_twice_is_one_server(home: Path) -> None:
    embedded = running(home)
    assert await embedded.ensure() == await embedded.ensure()
    assert await asked(await embedded.ensure(), "select n from kept") == 41
    await finish(embedded, home)


@linux_only
async def test_four_processes_racing_on_a_fresh_home_share_one_server(fresh_home: Path) -> None:
    users = [start_user(fresh_home) for _ in range(4)]
    hosts = {told(user) for user in users}
    assert len(hosts) == 1
    assert all(host.strip() for host in hosts)
    assert [pid for pid in servers(fresh_home) if is_postmaster(pid)] == [state(fresh_home)["pid"]]
    for user in users[:-1]:
        user.kill()  # killed users are no users any more; the last one keeps the server
        user.wait()
    await asyncio.sleep(3)
    assert servers(fresh_home)
    users[-1].kill()
    users[-1].wait()
    await until(lambda: servers(fresh_home) == [])


@linux_only
async def test_a_killed_postmaster_is_back_at_once_with_its_data(home: Path) -> None:
    embedded = running(home)
    server = await embedded.ensure()
    async with connected(server) as connection:
        await connection.execute("insert into kept values (42)")
    for _ in range(2):
        os.kill(state(home)["pid"], signal.SIGKILL)
        began = time.monotonic()
        assert await asked_again(embedded, "select count(*) from kept") == 2
        assert time.monotonic() - began < 60
    await finish(embedded, home)


@linux_only
async def test_a_killed_backend_costs_a_reconnect(home: Path) -> None:
    embedded = running(home)
    server = await embedded.ensure()
    async with connected(server) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("select 1")
    assert await asked_again(embedded, "select n from kept") == 41
    await finish(embedded, home)


@linux_only
async def test_a_killed_supervisor_takes_its_server_with_it_cleanly(home: Path) -> None:
    embedded = running(home)
    await embedded.ensure()
    first = state(home)
    os.kill(first["supervisor"], signal.SIGKILL)
    assert await asked_again(embedded, "select n from kept") == 41
    second = state(home)
    assert first["pid"] not in servers(home)
    assert second["supervisor"] != first["supervisor"]
    assert "was not properly shut down" not in (home / "postgres" / "server.log").read_text().split("starting")[-1]
    await finish(embedded, home)


@linux_only
async def test_a_supervisor_asked_to_stop_leaves_nothing(home: Path) -> None:
    embedded = running(home)
    await embedded.ensure()
    os.kill(state(home)["supervisor"], signal.SIGTERM)
    await until(lambda: servers(home) == [] and not (home / "postgres" / "server.json").exists())
    assert await asked_again(embedded, "select n from kept") == 41
    await finish(embedded, home)


@linux_only
async def test_a_pid_file_that_names_a_foreign_process_does_not_stop_the_start(home: Path) -> None:
    embedded = running(home)
    await embedded.ensure()
    data = home / "postgres" / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    owner = (data / "PG_VERSION").stat().st_uid
    await embedded.release(wait_s=20)
    foreign = subprocess.Popen(
        ["sleep", "60"], user=owner if IS_ROOT else None
    )  # PostgreSQL's own user: it would refuse
    try:
        lines[0] = str(foreign.pid)
        (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        os.chown(data / "postmaster.pid", owner, -1)
        assert await asked(await embedded.ensure(), "select n from kept") == 41
        assert foreign.poll() is None
        await finish(embedded, home)
    finally:
        foreign.kill()
        foreign.wait()


@linux_only
async def test_a_deleted_home_leaves_no_server(home: Path) -> None:
    embedded = running(home)
    await embedded.ensure()
    pid = state(home)["pid"]
    with suppress(FileNotFoundError):  # the server that notices tidies up beside us
        shutil.rmtree(home)
    shutil.rmtree(home, ignore_errors=True)
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    await embedded.release(wait_s=1)


async def test_a_start_of_an_existing_home_makes_nothing_anew(home: Path) -> None:
    embedded = running(home)
    await embedded.ensure()
    made = (home / "postgres" / "data" / "PG_VERSION").stat()
    await embedded.release(wait_s=60)
    await embedded.ensure()
    found = (home / "postgres" / "data" / "PG_VERSION").stat()
    assert (found.st_ino, found.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    await finish(embedded, home)


async def test_a_path_too_long_for_a_socket_uses_a_port_of_the_loopback(home: Path) -> None:
    far = home.parent / ("x" * 90) / "home"
    far.parent.mkdir()
    home.rename(far)
    embedded = running(far)
    server = await embedded.ensure()
    assert server.host == "127.0.0.1"
    assert await asked(server, "select n from kept") == 41
    await finish(embedded, far)


@root_only
@pytest.mark.parametrize("way", ["user", "mounts", "capability", "namespace"])
async def test_every_way_out_of_root_serves_the_same_data(home: Path, way: str) -> None:
    if way == "user":  # the one way that needs an open path, and the only one that needs nothing else
        home.parent.chmod(0o711)
        home.chmod(0o711)
    for this_way in (way, "namespace", way):
        embedded = running(home, only_way=this_way)
        try:
            server = await embedded.ensure()
        except errors.PrivilegesNotDropped as refused:
            pytest.skip(f"{this_way} does not work on this machine: {refused.facts}")
        assert state(home)["way"] == this_way
        assert await asked(server, "select n from kept") == 41
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{state(home)['pid']}/status").read_text().splitlines()
        )
        assert int(status["CapPrm"], 16).bit_count() == (1 if this_way == "capability" else 0)
        assert status["NoNewPrivs"].strip() == "1"
        os.kill(state(home)["supervisor"], signal.SIGKILL)
        await until(lambda: servers(home) == [])  # the kernel's signal reaches the server in this way too
        assert await asked(await embedded.ensure(), "select n from kept") == 41
        await finish(embedded, home)


@root_only
@pytest.mark.parametrize("way", ["mounts", "capability", "namespace"])
async def test_the_programs_too_may_lie_where_only_root_may_look(home: Path, way: str) -> None:
    packages = home.parent / "site-packages"
    for folder in find_donor().needs:
        inside = Path(folder.parent.name, folder.name) if folder.name.startswith("pginstall") else Path(folder.name)
        shutil.copytree(folder, packages / inside, symlinks=True)
    donor = next(packages.glob("*/pginstall*"))
    assert stat.S_IMODE(packages.parent.stat().st_mode) == 0o700
    embedded = running(home, donor=donor, only_way=way)
    try:
        server = await embedded.ensure()
    except errors.PrivilegesNotDropped as refused:
        pytest.skip(f"{way} does not work on this machine: {refused.facts}")
    assert await asked(server, "select n from kept") == 41
    async with connected(server) as connection:
        await connection.execute("create extension vector")
    await finish(embedded, home)


@root_only
async def test_root_with_only_the_capabilities_of_a_container(home: Path) -> None:
    allowed = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,sys_chroot,setfcap"
    fence = ["setpriv", "--bounding-set", "-all,+" + allowed.replace(",", ",+")]
    if shutil.which("setpriv") is None or subprocess.run([*fence, "true"], check=False).returncode != 0:
        pytest.skip("no setpriv here")
    program = USER.replace("sys.stdin.read()", "import os; print(open(sys.argv[1] + '/postgres/server.json').read())")
    for _ in range(2):
        ran = subprocess.run([*fence, sys.executable, "-c", program, str(home)], capture_output=True, check=False)
        assert b'"way": "capability"' in ran.stdout, ran.stderr.decode()
        os.kill(state(home)["supervisor"], signal.SIGKILL)  # the next start meets what is left of this one


@root_only
async def test_root_that_may_become_nobody_else(home: Path) -> None:
    fence = ["unshare", "--user", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*fence, "true"], check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    program = USER.replace("sys.stdin.read()", "import os; print(open(sys.argv[1] + '/postgres/server.json').read())")
    ran = subprocess.run([*fence, sys.executable, "-c", program, str(home)], capture_output=True, check=False)
    assert b'"way": "namespace"' in ran.stdout, ran.stderr.decode()
    await until(lambda: servers(home) == [])


@root_only
async def test_behind_mounts_the_server_sees_neither_secrets_nor_neighbours(home: Path) -> None:
    (home.parent / "neighbour").write_text("private")
    embedded = running(home, only_way="mounts")
    try:
        server = await embedded.ensure()
    except errors.PrivilegesNotDropped:
        pytest.skip("no mount namespaces here")
    assert await asked(server, f"select string_agg(n, ',') from pg_ls_dir('{home}') n") == "postgres"
    assert await asked(server, f"select string_agg(n, ',') from pg_ls_dir('{home.parent}') n") == home.name
    assert "neighbour" in os.listdir(home.parent)  # nothing changed for us
    await finish(embedded, home)


@root_only
async def test_no_user_is_made_and_nothing_above_the_home_is_opened(fresh_home: Path) -> None:
    before = Path("/etc/passwd").read_bytes()
    embedded = running(fresh_home)
    await embedded.ensure()
    assert Path("/etc/passwd").read_bytes() == before
    assert stat.S_IMODE(fresh_home.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(fresh_home.stat().st_mode) == 0o700
    await finish(embedded, fresh_home)


@root_only
async def test_when_every_way_fails_one_error_says_what_to_do(home: Path) -> None:
    with pytest.raises(errors.PrivilegesNotDropped) as refused:
        await running(home, only_way="user").ensure()  # the path is closed
    assert "ordinary user" in refused.value.next_step


@root_only
async def test_an_ordinary_user_needs_nothing_special(fresh_home: Path) -> None:
    fresh_home.parent.chmod(0o711)
    fresh_home.mkdir()
    os.chown(fresh_home, 65534, 65534)
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def as_nobody(python: str, program: str) -> subprocess.CompletedProcess[bytes]:
        command = ["/usr/bin/env", python, "-c", program, str(fresh_home)]
        nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
        return subprocess.run(command, env=paths, capture_output=True, check=False, **nobody)

    probe = "import bastide.store.embedded"  # the interpreter or the checkout may lie where nobody else may look
    python = next(
        (path for path in (sys.executable, "/usr/bin/python3") if not as_nobody(path, probe).returncode), None
    )
    if python is None:
        pytest.skip("no interpreter here that another user can run with this checkout")
    ran = as_nobody(python, USER.replace("sys.stdin.read()", "import os; print(os.geteuid())"))
    assert ran.stdout.split()[-1:] == [b"65534"], ran.stderr.decode()
    assert (fresh_home / "postgres" / "data").stat().st_uid == 65534
    await until(lambda: servers(fresh_home) == [])


@root_only
async def test_a_full_disk_is_told_and_leaves_no_half_database(fresh_home: Path) -> None:
    fresh_home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(fresh_home)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no mounts here")
    embedded = running(fresh_home)
    try:
        with pytest.raises(errors.DatabaseDiskFull):
            await embedded.ensure()
        assert not (fresh_home / "postgres" / "data").exists()
        assert not (fresh_home / "postgres" / "data.new").exists()
        subprocess.run(["mount", "-o", "remount,size=200m", fresh_home], check=True)
        assert await asked(await embedded.ensure(), "select 1") == 1  # the same object goes on when there is room
        await finish(embedded, fresh_home)
    finally:
        subprocess.run(["umount", "-l", fresh_home], check=True)


async def test_a_home_that_cannot_be_written_is_told(fresh_home: Path) -> None:
    fresh_home.write_text("a file stands where the folder should be")
    with pytest.raises(errors.HomeNotWritable):
        await running(fresh_home).ensure()


async def test_a_lost_password_is_told_and_not_replaced(home: Path) -> None:
    (home / "secrets" / "postgres-superuser").unlink()
    with pytest.raises(errors.KeysMissing):
        await running(home).ensure()


async def test_a_donor_without_programs_is_told(fresh_home: Path) -> None:
    with pytest.raises(errors.DonorUnfit, match="bin/postgres"):
        await running(fresh_home, donor=fresh_home.parent).ensure()


async def test_a_donor_too_old_is_told(fresh_home: Path) -> None:
    programs = fresh_home.parent / "bin"
    programs.mkdir()
    for name in ("postgres", "initdb"):
        (programs / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.18 (Some System)'\n")
        (programs / name).chmod(0o755)
    with pytest.raises(errors.DonorUnfit, match="16 or newer"):
        await running(fresh_home, donor=fresh_home.parent).ensure()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("FATAL:  could not create any TCP/IP sockets", errors.DatabasePortTaken),
        ("PANIC:  could not write: No space left on device", errors.DatabaseDiskFull),
        ("FATAL:  something else", errors.DatabaseNotStarted),
    ],
)
async def test_what_a_server_says_when_it_does_not_start_is_told(fresh_home: Path, said: str, error: type) -> None:
    programs = fresh_home.parent / "bin"
    programs.mkdir()
    for name, otherwise in (("postgres", f"echo '{said}'; exit 1"), ("initdb", 'echo 18 > "$2/PG_VERSION"')):
        told = "echo 'postgres (PostgreSQL) 18.4'"
        (programs / name).write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {told}; else {otherwise}; fi\n')
        (programs / name).chmod(0o755)
    with pytest.raises(error) as refused:
        await running(fresh_home, donor=fresh_home.parent).ensure()
    assert said in refused.value.facts["seen"]


async def test_data_of_another_major_version_is_refused_untouched(home: Path) -> None:
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(errors.DatabaseMajorDiffers, match="16's"):
        await running(home, donor=find_donor(major=18).prefix).ensure()
    assert not (home / "postgres" / "server.json").exists()


async def test_the_other_major_of_a_wheel_is_a_donor_too(fresh_home: Path) -> None:
    older = find_donor(major=16)
    if older.major != 16:
        pytest.skip("no PostgreSQL 16 here")
    embedded = running(fresh_home, donor=older.prefix)
    server = await embedded.ensure()
    assert server.version // 10_000 == 16
    await finish(embedded, fresh_home)
    again = running(fresh_home)  # not told which: follows the data
    assert (await again.ensure()).version == server.version
    await finish(again, fresh_home)


def test_the_default_donor_is_the_newest_of_the_wheel() -> None:
    donor = find_donor()
    assert donor.version >= 180_000
    assert examine(donor.prefix) == donor
    assert all(folder.is_dir() for folder in donor.needs)
