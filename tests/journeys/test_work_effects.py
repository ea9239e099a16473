"""kill -9 between an effect's gate and its record: it happens once by its key, and nobody is asked twice.

And after a stop was acknowledged not one more effect begins, whoever dies and whoever comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bastide.settings import Settings
from bastide.store import Query, Store, from_uuid
from tests.conftest import scope_of
from tests.journeys.processes import call, free_port
from tests.journeys.typist import Forked
from tests.journeys.work_types import Outside

_WHOSE = Query("effects", "whose", "select tenant_id from workflows.run where id = %(run)s")
_EFFECTS = Query(
    "effects",
    "effects",
    "select name, status, attempt, key::text, approval from workflows.effect where run = %(run)s order by name",
)
_STEPS = Query(
    "effects", "steps", "select name, attempt from workflows.step where run = %(run)s and kind = 'effect' order by name"
)
_OPENED = Query("effects", "opened", "select who from workflows.verdict where approval = %(approval)s")


class Player(Forked):
    """A process of the house that knows the types of `effect_types`."""

    module = "tests.journeys.effect_types"


class Journey:
    """A home with an API; one worker at a time is at work."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.outside = Outside(folder)
        self.hold = folder / "hold"
        self.port = free_port()
        self.api = Player(self.home, "--role", "api", port=self.port).wait_ready()
        self.key = (self.home / "secrets" / "admin-key").read_text().strip()
        user = self.ask(
            "POST", "/api/v1/users", {"email": "claire@example.org", "name": "Claire", "roles": ["overseer"]}
        )
        self.claire = self.ask("POST", "/api/v1/keys", {"role": "overseer", "user": user["id"]})["key"]
        self.workers: list[Player] = []

    def worker(self) -> Player:
        """Another worker."""
        made = Player(self.home, "--role", "worker", port=free_port())
        self.workers.append(made)
        return made

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """An answer."""
        status, answer = call(self.port, method, path, key=key or self.key, body=body)
        assert status in {200, 201, 202}, (status, answer)
        return answer

    def dispatch(self, type: str, **given: Any) -> str:
        """A job's id."""
        return str(self.ask("POST", "/api/v1/jobs", {"type": type, "input": given})["id"])

    def until(self, id: str, *statuses: str, timeout_s: float = 60) -> Any:
        """The job, once it is in one of these states."""
        deadline = time.monotonic() + timeout_s
        while (job := self.ask("GET", f"/api/v1/jobs/{id}"))["status"] not in statuses:
            assert time.monotonic() < deadline, f"{job}\n{self.log()}"
            time.sleep(0.05)
        return job

    def called(self, kind: str, id: str) -> list[tuple[int, str]]:
        """(attempt, key) of each call of the world outside."""
        return [(attempt, key) for job, attempt, _, key in self.outside.calls(kind) if job == id]

    def until_called(self, kind: str, id: str, times: int = 1) -> list[tuple[int, str]]:
        """The same, once there are so many."""
        deadline = time.monotonic() + 60
        while len(calls := self.called(kind, id)) < times:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        return calls

    def accepted(self, key: str) -> bool:
        """Whether the receiver has this key."""
        return (self.outside.folder / "accepted" / key).exists()

    def agreed(self, id: str) -> str:
        """Claire opens what the job asks, and says yes; the approval's id."""
        deadline = time.monotonic() + 60
        while not (found := self.ask("GET", "/api/v1/approvals?status=pending", key=self.claire)["approvals"]):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        (asked,) = [one for one in found if one["job"] == id]
        path = f"/api/v1/approvals/{asked['id']}"
        shown = self.ask("GET", path, key=self.claire)
        self.ask("POST", f"{path}:approve", {"digest": shown["digest"]}, key=self.claire)
        return str(asked["id"])

    def rows(self, query: Query, id: str, **values: Any) -> list[Any]:
        """What the database keeps of this job."""

        async def read() -> list[Any]:
            store = Store(Settings.read(self.home, environment={}).store)
            await store.start()
            try:
                async with store.as_operator(reason="a journey looks") as db:
                    tenant = await db.value(_WHOSE, run=id)
                async with store.under(scope_of(from_uuid("ten", tenant))) as db:
                    return await db.rows(tuple, query, **(values or {"run": id}))
            finally:
                await store.stop()

        return asyncio.run(read())

    def log(self) -> str:
        """The end of what the processes wrote."""
        return (self.home.parent / "process.log").read_text()[-3000:]

    def leave(self) -> None:
        """Nobody works, and nobody is held."""
        self.hold.unlink(missing_ok=True)
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.workers.clear()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """One home and one API for all journeys here."""
    made = Journey(tmp_path_factory.mktemp("effects"))
    yield made
    made.leave()
    made.api.stop()


@pytest.fixture
def journey(home: Journey) -> Iterator[Journey]:
    """It, and afterwards nobody works."""
    yield home
    home.leave()


@pytest.mark.parametrize(
    ("type", "stays"),
    [
        ("effect.free", "after"),
        ("effect.asked", "before"),
        pytest.param("effect.free", "before", marks=pytest.mark.slow),
        pytest.param("effect.asked", "after", marks=pytest.mark.slow),
    ],
)
def test_a_worker_killed_inside_an_effect(journey: Journey, type: str, stays: str) -> None:
    journey.hold.touch()
    dying = journey.worker()
    id = journey.dispatch(type, number=1, stays=stays)
    approval = journey.agreed(id) if type == "effect.asked" else None
    ((attempt, key),) = journey.until_called("gate" if stays == "before" else "send", id)
    if stays == "after":
        while not journey.accepted(key):
            time.sleep(0.01)
    dying.kill()
    assert journey.accepted(key) == (stays == "after")
    assert journey.rows(_EFFECTS, id) == [("send", "begun", 1, key, approval)], "the record of the gate stands"
    journey.hold.unlink()
    journey.worker()
    job = journey.until(id, "done")
    last = attempt + 1
    assert job["output"] == [{"attempt": last, "key": key}]
    assert {sent for _, sent in journey.called("send", id)} == {key}, "another key: the receiver would do it twice"
    assert len(journey.called("send", id)) == (2 if stays == "after" else 1)
    assert journey.accepted(key)
    assert journey.rows(_EFFECTS, id) == [("send", "done", 2, key, approval)]
    assert journey.rows(_STEPS, id) == [("send", last)]
    kinds = [line["kind"] for line in journey.ask("GET", f"/api/v1/jobs/{id}/timeline")["timeline"]]
    assert "taken over" in kinds
    if approval:
        assert len(journey.rows(_OPENED, id, approval=approval)) == 1, "a person was asked twice"
        pending = journey.ask("GET", "/api/v1/approvals?status=pending", key=journey.claire)["approvals"]
        assert pending == []


def test_after_a_stop_was_acknowledged_nothing_happens_whoever_comes(journey: Journey) -> None:
    """The worker dies inside an effect; the stop is asked for while nobody holds the run; then another worker comes."""
    journey.hold.touch()
    dying = journey.worker()
    id = journey.dispatch("effect.free", number=1, times=3, stays="before")
    ((_, key),) = journey.until_called("gate", id)
    dying.kill()
    journey.ask("POST", f"/api/v1/jobs/{id}:cancel", {})
    journey.hold.unlink()
    journey.worker()
    journey.until(id, "cancelled")
    later = journey.dispatch("effect.free", number=2)
    journey.until(later, "done")
    time.sleep(1.0)
    assert journey.called("send", id) == []
    assert not journey.accepted(key)
    assert journey.rows(_EFFECTS, id) == [("send", "begun", 1, key, None)], (
        "how it ended nobody knows, and that is said"
    )


def test_after_a_living_worker_has_acknowledged_a_stop_it_does_nothing_more(journey: Journey) -> None:
    worker = journey.worker()
    id = journey.dispatch("effect.free", number=1, times=200, pause_s=0.02)
    journey.until_called("send", id, times=5)
    journey.ask("POST", f"/api/v1/jobs/{id}:cancel", {})
    journey.until(id, "cancelled")
    sent = len(journey.called("send", id))
    assert 5 <= sent < 200
    time.sleep(1.5)
    worker.kill()
    journey.worker()
    journey.until(journey.dispatch("effect.free", number=3), "done")
    assert len(journey.called("send", id)) == sent
    assert len(journey.called("gate", id)) == sent
