"""The import contracts hold, and would notice if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path[:0] = ['src', '.']; from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_contracts_hold() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house, copied, to be broken."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "house").mkdir(parents=True)
    for name in ("tests/__init__.py", "tests/house/__init__.py", "tests/house/faces.py", ".importlinter"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("store/values.py", "import bastide.tenancy", "Imports only go down"),
        ("inference/values.py", "import bastide.compute", "Imports only go down"),
        ("policy/values.py", "def late() -> None:\n    import bastide.api", "Imports only go down"),
        ("knowledge/values.py", "import bastide.store.db", "A room is imported by its face"),
        ("knowledge/values.py", "import psycopg", "Only the store speaks to PostgreSQL"),
        ("inference/values.py", "import httpx2", "Only egress opens a connection"),
        ("utils.py", '"""Nothing."""', "Imports only go down"),
    ],
)
def test_a_breach_is_found(copy: Path, file: str, line: str, contract: str) -> None:
    target = copy / "src" / "bastide" / file
    before = target.read_text() if target.exists() else None
    target.write_text((before or "") + f"\n{line}\n")
    try:
        done = _lint(copy)
    finally:
        if before is None:
            target.unlink()
        else:
            target.write_text(before)
    assert done.returncode != 0
    assert contract in done.stdout, done.stdout
