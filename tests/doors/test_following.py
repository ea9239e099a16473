"""Following a job while the server goes and comes: what is said, how long it is waited for, and when it is given up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.cli.following import _Away, states
from bastide.errors import BastideError, LostServer, ServerSaid, TooSlow, Unreachable
from tests.doors.test_commands import BASTIDE, CLEAN
from tests.doors.test_commands_work import TEXT, started

JOB = "job_06ar2k8m1v6t7c9d0e1f2g3h4j"
WAITS, DONE = ({"id": JOB, "status": status} for status in ("queued", "done"))


class Wire:
    """A line to a server that answers, or does not, as the script says: one word a request, the last for ever."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)

    def _next(self) -> dict[str, Any]:
        said = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(said, BastideError):
            raise said
        return dict(said)

    async def get(self, path: str, **query: Any) -> Any:
        return self._next()

    async def events(self, path: str) -> AsyncGenerator[Any]:
        yield self._next()


async def followed(wire: Wire, patience_s: float) -> tuple[list[str], list[tuple[int, float]]]:
    """What was seen of the job; and of a server that did not answer, how often, and the pause after it."""
    away: list[tuple[int, float]] = []
    seen = states(wire, JOB, lost=lambda n, pause, _: away.append((n, pause)), patience_s=patience_s)  # type: ignore[arg-type]
    return [state["status"] async for state in seen], away


async def test_a_server_that_comes_back_is_taken_up_again() -> None:
    seen, away = await followed(Wire(WAITS, Unreachable(), TooSlow(), DONE), 60)
    assert seen == ["queued", "done", "done"]
    assert away == [(1, 1.0), (2, 2.0)]


async def test_a_server_that_stays_away_is_given_up_with_a_clear_word() -> None:
    begun = time.monotonic()
    with pytest.raises(LostServer) as lost:
        await followed(Wire(WAITS, Unreachable("Nobody listens there.")), 1.5)
    assert 1.4 < time.monotonic() - begun < 60
    assert "Nobody listens there." in lost.value.message
    assert f"bastide job follow {JOB}" in lost.value.next_step


@pytest.mark.parametrize("code", ["tenancy.no_key", "workflows.unknown_job", "tenancy.disabled_key"])
async def test_what_the_server_refuses_is_said_at_once(code: str) -> None:
    with pytest.raises(ServerSaid) as said:
        await followed(Wire(WAITS, ServerSaid({"code": code, "message": "No."}, 401)), 60)
    assert said.value.wire_code == code


@pytest.mark.parametrize("code", ["app.stopping", "store.database_unavailable"])
async def test_a_server_that_is_just_going_or_coming_is_waited_for(code: str) -> None:
    seen, away = await followed(Wire(WAITS, ServerSaid({"code": code}, 503), DONE), 60)
    assert (seen[-1], len(away)) == ("done", 1)


@given(tries=st.integers(1, 40), patience_s=st.floats(2, 1e6))
def test_pauses_grow_and_never_outlast_the_patience(tries: int, patience_s: float) -> None:
    away = _Away(patience_s)
    pauses = [away.pause_s(JOB, Unreachable()) for _ in range(tries)]
    assert pauses == sorted(pauses) or patience_s < 31
    assert all(0 < pause <= min(30.0, patience_s) for pause in pauses)
    away.ended()
    assert away.for_s == 0
    assert away.pause_s(JOB, Unreachable()) == 1.0


@pytest.mark.slow
def test_a_killed_server_is_missed_then_given_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [BASTIDE, "job", "run", "summarise", "--field", f"text={TEXT}", "--delay", "600", "--home", str(home)]
    servers: Iterator[Any] = started(home, "up", "--no-examples")
    server = next(servers)
    follower = subprocess.Popen(
        [*words, "--patience", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN
    )
    assert follower.stderr is not None
    assert follower.stderr.readline().startswith("It waits: ")
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    begun = time.monotonic()
    out, said = follower.communicate(timeout=120)
    assert time.monotonic() - begun < 30
    assert (follower.returncode, out) == (1, "")
    assert "The server is lost" in said
    assert "cli.lost_server" in " ".join(said.split())
    assert "bastide up" in said
    with pytest.raises(AssertionError):
        next(servers)  # it did not end well: it was killed


def test_patience_has_a_unit_and_a_bound(tmp_path: Path) -> None:
    done = subprocess.run(
        [BASTIDE, "job", "follow", JOB, "--patience", "-1", "--home", str(tmp_path), "--json"],
        capture_output=True, text=True, env=CLEAN, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["code"] == "cli.wrong_usage"
