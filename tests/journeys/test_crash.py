"""kill -9 at random moments while documents are taken in: nothing half written, nothing acknowledged lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.journeys.processes import answer_of, call, free_port, postmaster
from tests.journeys.typist import Forked

PARAGRAPHS = 12


def _text(number: int) -> str:
    return "\n\n".join(
        f"# Part {part} of file {number}\n\nThe word marker{number:05d} stands in part {part}; nothing else says it."
        for part in range(PARAGRAPHS)
    )


class Clerk(threading.Thread):
    """Takes in one document after the other and remembers which were acknowledged."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__(daemon=True)
        self.port, self.key = port, key
        self.number = 0
        self.acknowledged: list[tuple[int, str, int]] = []
        self.refused: list[tuple[int, object]] = []
        self.stopping = threading.Event()

    def wait_for_one_more(self, timeout_s: float) -> None:
        """Until something was acknowledged since now, so that each kill meets a clerk who works."""
        before, deadline = len(self.acknowledged), time.monotonic() + timeout_s
        while len(self.acknowledged) == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.number += 1
            body = {"name": f"file-{self.number:05d}.md", "text": _text(self.number)}
            status, answer = call(self.port, "POST", "/api/v1/documents", key=self.key, body=body)
            if status == 201 and answer["documents"][0]["status"] == "ready":
                taken = answer["documents"][0]
                self.acknowledged.append((self.number, taken["id"], taken["chunks"]))
            else:
                self.refused.append((status, answer))
                time.sleep(0.1)


KILLED = ("api", "sequencer", "postgres", "api and postgres")


def _kill(what: str, api: Forked, sequencer: Forked) -> None:
    match what:
        case "api":
            api.kill()
        case "sequencer":
            sequencer.kill()
        case "postgres":
            _kill_postgres(api.home)
        case _:
            api.kill()
            _kill_postgres(api.home)


def _kill_postgres(home: Path) -> None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(postmaster(home), signal.SIGKILL)


def _crash(tmp_path: Path, kills: Iterable[str], seed: int) -> None:
    home, chance = tmp_path / "home", random.Random(seed)
    first = Forked(home, "up", "--no-examples").wait_ready()
    key = (home / "secrets" / "admin-key").read_text().strip()
    assert first.stop() == 0
    port = free_port()
    api = Forked(home, "serve", "--role", "api", port=port).wait_ready()
    sequencer = Forked(home, "serve", "--role", "sequencer", port=free_port())
    clerk = Clerk(port, key)
    clerk.start()
    for what in kills:
        clerk.wait_for_one_more(timeout_s=15)
        time.sleep(chance.uniform(0.0, 1.0))
        _kill(what, api, sequencer)
        for process in (api, sequencer):
            if process.process.poll() is not None:
                process.again()
        api.wait_ready()
    time.sleep(1)
    clerk.stopping.set()
    clerk.join(timeout=60)
    api.wait_ready()
    try:
        _nothing_is_half(port, key, clerk)
    finally:
        api.stop()
        sequencer.stop()
    verdict = answer_of("audit", "verify", home=home)
    assert verdict["valid"] is True, verdict
    assert verdict["size"] >= len(clerk.acknowledged)


def _nothing_is_half(port: int, key: str, clerk: Clerk) -> None:
    assert len(clerk.acknowledged) >= 3, f"the clerk could hardly work: {clerk.refused[-3:]}"
    listed: dict[str, str] = {}
    cursor = ""
    while True:
        status, page = call(port, "GET", f"/api/v1/documents?limit=100{cursor}", key=key)
        assert status == 200, page
        listed |= {document["id"]: document["name"] for document in page["documents"]}
        if not page.get("next"):
            break
        cursor = f"&cursor={page['next']}"
    chunks = {count for _, _, count in clerk.acknowledged}
    assert len(chunks) == 1, "equal files have equally many chunks"
    for _, identifier, _ in clerk.acknowledged:
        assert identifier in listed, "an acknowledged document is lost"
    for identifier, name in listed.items():  # acknowledged or not: whole or not at all
        number = int(name.removeprefix("file-").removesuffix(".md"))
        status, original = call(port, "GET", f"/api/v1/documents/{identifier}/original", key=key)
        assert status == 200
        assert original == _text(number).encode()
        status, document = call(port, "GET", f"/api/v1/documents/{identifier}", key=key)
        assert document["chunks"] in chunks, f"{name} is half taken in"
    number, identifier, _ = clerk.acknowledged[-1]
    status, found = call(port, "POST", "/api/v1/search", key=key, body={"query": f"marker{number:05d}", "mode": "text"})
    assert status == 200
    assert found["passages"][0]["document_id"] == identifier


@pytest.mark.early
def test_each_killed_once_loses_nothing(tmp_path: Path) -> None:
    _crash(tmp_path, ("sequencer", "postgres", "api and postgres"), seed=1)


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    _crash(tmp_path, random.Random(2).choices(KILLED, k=50), seed=2)
