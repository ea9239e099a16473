"""Every `sh` block of the how-to pages runs, in order, as a person would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.typist import Forked, in_a_shell

PAGES = sorted((Path(__file__).parents[2] / "docs" / "how-to").glob("*.md"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """A house that is already running, without the examples."""
    home = tmp_path_factory.mktemp("pages") / "home"
    process = Forked(home, "up", "--no-examples").wait_ready()
    yield process
    process.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page: Path, served: Forked, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    work = tmp_path / "work"
    work.mkdir()
    script = "set -eu\n" + "\n".join(blocks)
    environment = {
        **os.environ,
        "BASTIDE_HOME": str(served.home),
        "PATH": f"{in_a_shell(tmp_path / 'bin')}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
