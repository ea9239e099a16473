"""A folder is one job: neither a broken file nor a killed worker harms the others; each is taken in once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.processes import BASTIDE, answer_of, call, free_port
from tests.journeys.typist import Forked

BROKEN, LOCKED = b"%PDF-1.7\nthis was cut off", b"PK\x03\x04 no archive"


def _folder(place: Path, files: int) -> dict[str, bytes]:
    """So many good files, and two that cannot be read."""
    made = {f"part-{n % 7}/note-{n:04}.md": _text(n) for n in range(files)}
    made |= {"part-0/broken.pdf": BROKEN, "part-1/broken.docx": LOCKED}
    for name, data in made.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return made


def _text(number: int) -> bytes:
    return f"# Note {number}\n\nThe word marker{number:05d} stands in this note; nothing else says it.\n".encode()


def _ingest(home: Path, folder: Path) -> subprocess.Popen[str]:
    words = [BASTIDE, "ingest", str(folder), "--collection", "folder", "--json", "--home", str(home)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _intake(port: int, key: str) -> dict[str, Any]:
    """The parent job, once it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, page = call(port, "GET", "/api/v1/jobs?type=knowledge.intake", key=key)
        if status == 200 and page["jobs"]:
            found: dict[str, Any] = page["jobs"][0]
            return found
        time.sleep(0.1)
    raise AssertionError("no intake was opened")


def _documents(port: int, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        status, page = call(port, "GET", f"/api/v1/documents?limit=200{cursor}", key=key)
        assert status == 200, page
        found += page["documents"]
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def _take_in(tmp_path: Path, files: int, kills: int) -> None:
    home = tmp_path / "home"
    assert Forked(home, "up", "--no-examples").wait_ready().stop() == 0
    key = (home / "secrets" / "admin-key").read_text().strip()
    port = free_port()
    api = Forked(home, "serve", "--role", "api", port=port).wait_ready()
    sequencer = Forked(home, "serve", "--role", "sequencer", port=free_port())
    workers = [Forked(home, "serve", "--role", "worker", port=free_port()) for _ in range(2)]
    made = _folder(tmp_path / "papers", files)
    _wait_for_workers(port, 2)
    command = _ingest(home, tmp_path / "papers")
    try:
        job = _intake(port, key)
        for number in range(kills):
            _wait_for(port, key, at_least=(number + 1) * files // (kills + 2))
            workers[number % 2].kill()
            workers[number % 2].again()
        said, wrong = command.communicate(timeout=60 + files * 2)
        _each_once(said, wrong, made, command.returncode)
        _progress_reached_the_end(port, key, job["id"], len(made))
        listed = _documents(port, key)
        assert Counter(one["name"] for one in listed) == Counter(name for name in made if "broken" not in name)
        assert {one["version"] for one in listed} == {1}, "a file was taken in twice"
        status, found = call(
            port, "POST", "/api/v1/search", key=key, body={"query": f"marker{files - 1:05d}", "mode": "text"}
        )
        assert status == 200
        assert found["passages"][0]["name"].endswith(f"note-{files - 1:04}.md")
        status, statistics = call(port, "GET", "/api/v1/knowledge/statistics", key=key)
        assert (statistics["documents"], statistics["queued"]) == (files, 0)
    finally:
        command.kill()
        for process in (*workers, api, sequencer):
            process.stop()
    assert answer_of("audit", "verify", home=home)["valid"] is True


def _wait_for_workers(port: int, wanted: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        status, said = call(port, "GET", "/metrics", key="")
        if status == 200 and re.search(rf"^bastide_workers {wanted}$", said.decode(), re.MULTILINE):
            return
        time.sleep(0.5)
    raise AssertionError(said.decode()[-500:])


def _wait_for(port: int, key: str, *, at_least: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status, statistics = call(port, "GET", "/api/v1/knowledge/statistics", key=key)
        if status == 200 and statistics["documents"] >= at_least:
            return
        time.sleep(0.05)
    raise AssertionError(f"never {at_least} documents")


def _each_once(said: str, wrong: str, made: dict[str, bytes], status: int) -> None:
    assert said, wrong
    total = json.loads(said)
    assert status == 1, "two files were refused"
    assert (total["ingested"], total["unchanged"], total["refused"]) == (len(made) - 2, 0, 2), wrong
    assert [one["name"] for one in total["documents"]] == sorted(made), "in the order of the folder"
    codes = {one["name"]: one["error"]["code"] for one in total["documents"] if one["status"] == "refused"}
    assert set(codes) == {"part-0/broken.pdf", "part-1/broken.docx"}
    assert all(code.startswith("knowledge.") for code in codes.values())


def _progress_reached_the_end(port: int, key: str, job: str, files: int) -> None:
    status, shown = call(port, "GET", f"/api/v1/jobs/{job}", key=key)
    assert (status, shown["status"]) == (200, "done"), shown
    assert shown["output"]["files"] == files
    status, page = call(port, "GET", f"/api/v1/jobs?parent={job}&limit=500", key=key)
    assert {one["status"] for one in page["jobs"]} == {"done"}


@pytest.mark.early
def test_forty_files_and_a_worker_that_is_killed(tmp_path: Path) -> None:
    _take_in(tmp_path, files=40, kills=1)


@pytest.mark.slow
def test_a_thousand_files_and_workers_that_are_killed(tmp_path: Path) -> None:
    _take_in(tmp_path, files=1000, kills=5)


@pytest.mark.slow
def test_a_folder_goes_on_when_somebody_leaves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = Forked(home, "up", "--no-examples").wait_ready()
    key = (home / "secrets" / "admin-key").read_text().strip()
    made = _folder(tmp_path / "papers", 40)
    command = _ingest(home, tmp_path / "papers")
    try:
        job = _intake(server.port, key)
        _wait_for(server.port, key, at_least=3)
        os.kill(command.pid, signal.SIGINT)
        said, wrong = command.communicate(timeout=120)
        assert command.returncode == 130, (said, wrong)
        assert f"bastide job follow {job['id']}" in wrong
        deadline = time.monotonic() + 90
        while (shown := call(server.port, "GET", f"/api/v1/jobs/{job['id']}", key=key)[1])["status"] != "done":
            assert time.monotonic() < deadline, shown
            time.sleep(0.2)
        out = shown["output"]
        assert out["files"] == out["ingested"] + out["refused"]
        assert len(_documents(server.port, key)) == out["ingested"]
        again = json.loads(_ingest(home, tmp_path / "papers").communicate(timeout=120)[0])
        assert again["ingested"] + again["unchanged"] == len(made) - 2, "the rest is taken in by asking again"
    finally:
        command.kill()
        server.stop()
