"""kill -9 while jobs run: each is done exactly once, and what it does to the world happens once by its key.

Workers, the API and PostgreSQL are real processes, killed, frozen and asked to stop; the jobs have five steps each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest

from bastide.settings import Settings
from bastide.store import Query, Store
from bastide.testing import Asked, Says, ScriptedModel
from tests.journeys.processes import answer_of, call, free_port, postmaster
from tests.journeys.typist import Forked
from tests.journeys.work_types import Outside, prepare
from tests.rooms.inference.batch_provider import BatchProvider

Server = TypeVar("Server", bound=ScriptedModel | BatchProvider)

_RUNS = Query(
    "crash", "runs", "select id, status, attempt, lost, failures from workflows.run where type = %(type)s order by id"
)
_EFFECTS = Query(
    "crash",
    "effects",
    "select e.run, e.step, e.attempt from crash.effect e join workflows.run r on r.id = e.run where r.type = %(type)s",
)
KEY = Path("secrets") / "admin-key"


class Player(Forked):
    """A process of the house that knows the types of `work_types`."""

    module = "tests.journeys.work_types"


class Journey:
    """A home with an API, asked over HTTP; workers come and go."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.outside = Outside(folder)
        self.port = free_port()
        self.settings = Settings.read(self.home, environment={})
        asyncio.run(prepare(self.settings))
        self.api = Player(self.home, "--role", "api", port=self.port).wait_ready()
        self.key = (self.home / KEY).read_text().strip()
        self.others: list[Player] = []

    def player(self, *arguments: str) -> Player:
        """Another process."""
        made = Player(self.home, *arguments, port=free_port())
        self.others.append(made)
        return made

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """An answer, however often the API or the database goes away meanwhile."""
        deadline = time.monotonic() + 90
        while True:
            status, answer = call(self.port, method, path, key=self.key, body=body, timeout_s=20)
            if status in {200, 202}:
                return answer
            assert status in {0, 409, 429, 500, 503}, (status, answer)
            assert time.monotonic() < deadline, (status, answer)
            time.sleep(0.1)

    def dispatch(self, type: str, *, key: str | None = None, **given: Any) -> str:
        """A job's id."""
        version = given.pop("version", None)
        return str(
            self.ask("POST", "/api/v1/jobs", {"type": type, "input": given, "key": key, "version": version})["id"]
        )

    def job(self, id: str) -> Any:
        """How it is now."""
        return self.ask("GET", f"/api/v1/jobs/{id}")

    def until(self, id: str, *statuses: str, timeout_s: float = 60) -> Any:
        """The job, once it is in one of these states."""
        deadline = time.monotonic() + timeout_s
        while (job := self.job(id))["status"] not in statuses:
            assert time.monotonic() < deadline, f"{job}\n{self._log()}"
            time.sleep(0.1)
        return job

    def called(self, kind: str, *ids: str) -> list[tuple[str, int, int, str]]:
        """What these jobs called outside, with the attempt, the pid and the key."""
        return [one for one in self.outside.calls(kind) if one[0] in ids]

    def until_called(self, kind: str, *ids: str, times: int = 1, timeout_s: float = 60) -> list[Any]:
        """The calls of this kind by these jobs, once there are so many."""
        deadline = time.monotonic() + timeout_s
        while len(calls := self.called(kind, *ids)) < times:
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.02)
        return calls

    def rows(self, type: str) -> tuple[list[Any], list[Any]]:
        """Every run of a type, and every row that their steps wrote."""

        async def read() -> tuple[list[Any], list[Any]]:
            store = Store(self.settings.store)
            await store.start()
            try:
                async with store.as_operator(reason="a journey looks at its end") as db:
                    return await db.rows(tuple, _RUNS, type=type), await db.rows(tuple, _EFFECTS, type=type)
            finally:
                await store.stop()

        return asyncio.run(read())

    def leave(self) -> None:
        """Stop all but the API."""
        for process in self.others:
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.stop()
        self.others.clear()

    def close(self) -> None:
        """Stop everything."""
        self.leave()
        if self.api.process.poll() is None:
            self.api.stop()

    def _log(self) -> str:
        return (self.home.parent / "process.log").read_text()[-3000:]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """One home and one API for all journeys here: what takes long is made once."""
    made = Journey(tmp_path_factory.mktemp("work"))
    yield made
    made.close()


@pytest.fixture
def journey(home: Journey) -> Iterator[Journey]:
    """It, and afterwards nobody works."""
    yield home
    home.leave()


# -- kill -9 ------------------------------------------------------------------------------------------------


def _kill(chance: random.Random, journey: Journey, workers: list[Player]) -> None:
    match chance.choice(["worker", "worker", "postgres", "api", "both workers", "worker and postgres"]):
        case "worker":
            chance.choice(workers).kill()
        case "api":
            journey.api.kill()
        case "both workers":
            for worker in workers:
                worker.kill()
        case "postgres":
            _kill_postgres(journey.home)
        case _:
            chance.choice(workers).kill()
            _kill_postgres(journey.home)


def _kill_postgres(home: Path) -> None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(postmaster(home), signal.SIGKILL)


def _soak(journey: Journey, *, jobs: int, kills: int, seed: int, patience_s: float) -> None:
    chance = random.Random(seed)
    workers = [journey.player("--role", "worker") for _ in range(2)]
    sequencer = journey.player("--role", "sequencer")
    first = time.monotonic()
    before = {run[0] for run in journey.rows("crash.five")[0]}
    accepted = journey.outside.accepted()
    ids: list[str] = []
    at = sorted(chance.sample(range(2, jobs), kills))
    for number in range(jobs):
        if number in at:
            _wait_for_work(journey)
            time.sleep(chance.uniform(0, 0.5))
            _kill(chance, journey, workers)
            for process in (journey.api, *workers, sequencer):
                if process.process.poll() is not None:
                    process.again()
        ids.append(journey.dispatch("crash.five", key=f"{seed}-{number}", number=number))
        time.sleep(chance.uniform(0, 0.02))
    assert len(set(ids)) == jobs, "an idempotency key gave two jobs"
    deadline = time.monotonic() + patience_s
    while (left := _unfinished(journey)) and time.monotonic() < deadline:
        time.sleep(0.3)
    took, attempts = time.monotonic() - first, max(run[2] for run in journey.rows("crash.five")[0])
    print(f"{jobs} jobs, {kills} kills: {took:.1f} s; at most {attempts} attempts")
    assert not left, f"{left[:5]}\n{journey._log()}"
    journey.leave()
    _each_exactly_once(journey, ids, before)
    assert journey.outside.accepted() - accepted == jobs, "the receiver accepted another number than there are jobs"
    verdict = answer_of("audit", "verify", home=journey.home)
    assert verdict["valid"] is True, verdict


def _wait_for_work(journey: Journey) -> None:
    """Until a step was begun since now, so that each kill meets workers who work."""
    before, deadline = journey.outside.size(), time.monotonic() + 60
    while journey.outside.size() == before and time.monotonic() < deadline:
        time.sleep(0.005)


def _unfinished(journey: Journey) -> list[Any]:
    found: list[Any] = []
    for status in ("delayed", "queued", "running", "waiting", "stopping", "failed", "cancelled"):
        found += journey.ask("GET", f"/api/v1/jobs?status={status}&limit=5")["jobs"]
    return found


def _each_exactly_once(journey: Journey, ids: list[str], before: set[str]) -> None:
    everything = journey.rows("crash.five")
    runs, effects = ([row for row in rows if row[0] not in before] for rows in everything)
    assert Counter(run[0] for run in runs) == Counter(ids), "a run is missing, or one too many is there"
    assert {run[1] for run in runs} == {"done"}
    assert Counter((run, step) for run, step, _ in effects) == Counter(
        (id, step) for id in ids for step in ("book", "book#2")
    ), "a write happened twice, or not at all"
    sent = {(job, key) for job, _, _, key in journey.called("send", *ids)}
    assert Counter(job for job, _ in sent) == Counter(ids), "a job sent under two keys, or not at all"


def test_five_kills_and_each_job_is_done_once(journey: Journey) -> None:
    _soak(journey, jobs=60, kills=5, seed=3, patience_s=60)


@pytest.mark.slow
def test_fifty_kills_and_each_job_is_done_once(journey: Journey) -> None:
    _soak(journey, jobs=1000, kills=50, seed=4, patience_s=300)


# -- a batch of calls ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _serving(server: Server) -> Iterator[Server]:
    """A model's server in a thread of its own, for as long as the block runs."""
    started, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(20)
    try:
        yield server
    finally:
        over.set()
        thread.join(20)


def _line(name: str, model: str = "answering") -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": name}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_a_worker_that_is_killed_repeats_only_the_lines_in_flight(journey: Journey) -> None:
    """Killed with eight lines in flight: each line stands once in the output, and no other was asked again."""
    asked: Counter[str] = Counter()
    names = [f"n{n}" for n in range(60)]

    def answer(one: Asked) -> Says:
        asked[one.body["messages"][0]["content"]] += 1
        return Says("Yes.", pause_s=0.15)

    with (
        _serving(ScriptedModel(answer)) as model,
        openai.OpenAI(base_url=f"http://127.0.0.1:{journey.port}/v1", api_key=journey.key) as client,
    ):
        spec = {"name": "answering", "url": model.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
        call(journey.port, "POST", "/api/v1/models", key=journey.key, body=spec)
        data = b"".join(json.dumps(_line(name)).encode() + b"\n" for name in names)
        file = client.files.create(file=("calls.jsonl", data), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        worker = journey.player("--role", "worker", "--stale-s", "1")
        deadline = time.monotonic() + 60
        while (counts := client.batches.retrieve(batch.id).request_counts) is None or counts.completed < 20:
            assert time.monotonic() < deadline, journey._log()
            time.sleep(0.02)
        worker.kill()
        counts = client.batches.retrieve(batch.id).request_counts
        assert counts is not None
        assert counts.completed < len(names), "it was killed in the middle"
        worker.again()
        job = journey.until(str(batch.to_dict()["x_job"]), "done", timeout_s=60)
        done = client.batches.retrieve(batch.id)
        answers = [json.loads(one) for one in client.files.content(str(done.output_file_id)).text.splitlines()]
    assert (job["attempt"], done.status, done.error_file_id) == (2, "completed", None)
    assert [one["custom_id"] for one in answers] == names, "none is lost, none stands there twice"
    assert set(asked) == set(names)
    assert 0 < sum(asked.values()) - len(names) <= 8, "not only the lines in flight were asked again"


def _until_stalled(provider: BatchProvider, step: str, journey: Journey) -> None:
    """Somebody has asked for this and is not answered."""
    deadline = time.monotonic() + 90
    while step not in provider.stalled:
        assert time.monotonic() < deadline, journey._log()
        time.sleep(0.02)


def test_whoever_is_killed_while_he_hands_over_hands_nothing_over_twice(journey: Journey) -> None:
    """Killed while one file is handed in and another is begun, both of which was done and nobody had heard of it; and
    again while what came of one is read."""
    with (
        _serving(BatchProvider()) as provider,
        openai.OpenAI(base_url=f"http://127.0.0.1:{journey.port}/v1", api_key=journey.key) as client,
    ):
        spec = {"name": "nightly", "url": provider.url, "local": True, "model": "scripted", "kind": "openai-batch"}
        status, told = call(journey.port, "POST", "/api/v1/models", key=journey.key, body=spec)
        assert status == 201, told

        def hand_in(*names: str) -> Any:
            data = b"".join(json.dumps(_line(name, "nightly")).encode() + b"\n" for name in names)
            file = client.files.create(file=("calls.jsonl", data), purpose="batch")
            return client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )

        worker = journey.player("--role", "worker", "--stale-s", "1")
        batches = []
        for step, name in (("POST /files", "a"), ("POST /batches", "b")):
            provider.stalls.append(step)
            batches.append(hand_in(f"{name}1", f"{name}2"))
            _until_stalled(provider, step, journey)
        provider.stalls.append("GET /files/ID/content")
        worker.kill()
        worker.again()
        _until_stalled(provider, "GET /files/ID/content", journey)
        worker.kill()
        worker.again()
        answers = []
        for batch in batches:
            journey.until(str(batch.to_dict()["x_job"]), "done", timeout_s=120)
            done = client.batches.retrieve(batch.id)
            assert done.error_file_id is None
            content = client.files.content(str(done.output_file_id)).text.splitlines()
            answers += [json.loads(one)["custom_id"] for one in content]
        heard = Counter(one["body"]["messages"][0]["content"] for one in provider.lines)
        deadline = time.monotonic() + 60
        while provider.files:
            assert time.monotonic() < deadline, "nothing is left there"
            time.sleep(0.1)
        used = journey.ask("GET", "/api/v1/usage?by=model")["usage"]
        call(journey.port, "DELETE", "/api/v1/models/nightly", key=journey.key)
    assert answers == ["a1", "a2", "b1", "b2"]
    assert heard == {"a1": 1, "a2": 1, "b1": 1, "b2": 1}, "each line was handed in once"
    assert (len(provider.uploads), len(provider.made)) == (2, 2), "each batch was begun once"
    (paid,) = (one for one in used if one["name"] == "nightly")
    assert (paid["calls"], paid["tokens_in"], paid["tokens_out"]) == (4, 40, 20), "each line was paid for once"


# -- frozen, killed, stopped ------------------------------------------------------------------------------------


def test_a_frozen_worker_that_wakes_commits_nothing(journey: Journey) -> None:
    frozen = journey.player("--role", "worker")
    id = journey.dispatch("crash.slow", number=1, seconds=1.0)
    ((_, attempt, pid, _),) = journey.until_called("slow", id)
    assert (attempt, pid) == (1, frozen.process.pid)
    frozen.process.send_signal(signal.SIGSTOP)
    other = journey.player("--role", "worker")
    job = journey.until(id, "done")
    assert job["output"] == {"attempt": 2, "pid": other.process.pid}
    frozen.process.send_signal(signal.SIGCONT)
    woken = [call for call in journey.until_called("slept", id, times=2) if call[2] == frozen.process.pid]
    assert [attempt for _, attempt, _, _ in woken] == [1], "the frozen worker went on where it was"
    time.sleep(1.0)
    runs, effects = journey.rows("crash.slow")
    assert [one for one in effects if one[0] == id] == [(id, "book", 2)], "the frozen worker wrote"
    ((_, status, attempts, lost, failures),) = (run for run in runs if run[0] == id)
    assert (status, attempts, lost, failures) == ("done", 2, 1, 0)
    assert journey.job(id)["output"]["attempt"] == 2
    later = journey.dispatch("crash.slow", number=2, seconds=0.0)  # both go on working
    assert journey.until(later, "done")["attempt"] == 1
    kinds = [line["kind"] for line in journey.ask("GET", f"/api/v1/jobs/{id}/timeline")["timeline"]]
    assert "taken over" in kinds


@pytest.mark.slow
def test_two_workers_share_the_queue_and_either_may_die(journey: Journey) -> None:
    workers = [journey.player("--role", "worker", "--concurrency", "2") for _ in range(2)]
    first = [journey.dispatch("crash.slow", number=number, seconds=0.3) for number in range(8)]
    for id in first:
        journey.until(id, "done")
    assert {pid for _, _, pid, _ in journey.called("slow", *first)} == {worker.process.pid for worker in workers}
    for dying in workers:
        ids = [journey.dispatch("crash.slow", number=number, seconds=0.5) for number in range(6)]
        journey.until_called("slow", *ids)
        dying.kill()
        for id in ids:
            assert journey.until(id, "done")["status"] == "done"
        dying.again()
    runs, effects = journey.rows("crash.slow")
    assert {run[1] for run in runs} == {"done"}
    assert Counter(run for run, _, _ in effects) == Counter(run[0] for run in runs)


def test_sigterm_in_a_step_gives_the_run_back_without_counting_a_failure(journey: Journey) -> None:
    worker = journey.player("--role", "worker")  # its grace is three seconds
    short = journey.dispatch("crash.slow", number=1, seconds=1.0)
    long = journey.dispatch("crash.slow", number=2, seconds=120.0)
    journey.until_called("slow", short, long, times=2)
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun < 60, "the grace is over and it still works"
    assert journey.job(short)["status"] == "done", "what was short was finished"
    waiting = journey.job(long)
    assert waiting["status"] == "queued"
    assert "No worker is running" in waiting["why"]
    by_id = {run[0]: run for run in journey.rows("crash.slow")[0]}
    assert by_id[long][3:] == (0, 0), "neither lost nor failed"
    kinds = [line["kind"] for line in journey.ask("GET", f"/api/v1/jobs/{long}/timeline")["timeline"]]
    assert "given back" in kinds
    journey.player("--role", "worker")
    assert journey.until_called("slow", long, times=2)[-1][1] == 2, "another worker began it again"
    journey.ask("POST", f"/api/v1/jobs/{long}:cancel", {})


@pytest.mark.slow
def test_a_job_that_kills_its_workers_ends_as_a_dead_letter(journey: Journey) -> None:
    id = journey.dispatch("crash.kill", number=1)
    for attempt in range(1, 8):
        worker = journey.player("--role", "worker", "--stale-s", "1")
        deadline = time.monotonic() + 60
        while worker.process.poll() is None and journey.job(id)["status"] != "failed" and time.monotonic() < deadline:
            time.sleep(0.1)
        if (job := journey.job(id))["status"] == "failed":
            break
        assert worker.process.poll() is not None, f"attempt {attempt}: {job}"
    assert job["status"] == "failed"
    assert job["error"]["code"] == "workflows.too_many_attempts"
    assert job["error"]["next"]
    assert worker.process.poll() is None, "the last worker lives: the job was not begun once more"
    assert len(journey.called("die", id)) < 7


@pytest.mark.slow
def test_a_run_of_another_version_waits_for_a_worker_that_knows_it(journey: Journey) -> None:
    journey.api.stop()
    journey.api = Player(journey.home, "--role", "api", "--version", "2", port=journey.port).wait_ready()
    journey.player("--role", "worker", "--version", "1")
    canary = journey.dispatch("crash.noop", number=1)
    id = journey.dispatch("crash.versioned", number=1)
    journey.until(canary, "done")
    time.sleep(1.0)
    job = journey.job(id)
    assert (job["version"], job["status"]) == (2, "queued")
    assert "version 2" in job["why"]
    assert "worker" in job["why"]
    journey.player("--role", "worker", "--version", "2")
    assert journey.until(id, "done")["output"] == 2
    journey.api.stop()
    journey.api = Player(journey.home, "--role", "api", port=journey.port).wait_ready()


@pytest.mark.slow
def test_a_clock_that_jumps_moves_nothing(journey: Journey) -> None:
    journey.player("--role", "worker", "--jumping-clock")
    journey.until(journey.dispatch("crash.noop", number=1), "done")
    ids = [journey.dispatch("crash.nap", number=number, seconds=2.0) for number in range(4)]
    for id in ids:
        job = journey.until(id, "done")
        slept = datetime.fromisoformat(job["ended_at"]) - datetime.fromisoformat(job["started_at"])
        assert 2.0 <= slept.total_seconds() < 15, "an hour was gained or lost"
    assert {run[3:] for run in journey.rows("crash.nap")[0]} == {(0, 0)}, "taken for dead by its own clock"
