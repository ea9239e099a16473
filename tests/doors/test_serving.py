"""Processes of the house: roles, a graceful stop, a start that fails, two servers on one home."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bastide.testing import Says, ScriptedModel
from tests.doors.conftest import bearer
from tests.journeys.processes import free_port
from tests.journeys.typist import Begun, begun_and_heard

BASTIDE = str(Path(sys.executable).with_name("bastide"))
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("BASTIDE_")}


@contextmanager
def running(*arguments: str, home: Path) -> Iterator[tuple[Begun, dict[str, Any]]]:
    """A long-running command, and its first line."""
    with begun_and_heard([*arguments, "--home", str(home), "--json"], environment=CLEAN) as (process, line):
        yield process, json.loads(line)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has been started once."""
    place = tmp_path_factory.mktemp("serving") / "home"
    with running("up", "--no-examples", "--port", "0", home=place) as (_, line):
        assert line["url"]
    return place


def get(url: str, key: str = "", timeout_s: float = 60) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_api_and_sequencer_apart(home: Path) -> None:
    key = (home / "secrets" / "admin-key").read_text().strip()
    with running("serve", "--role", "api", "--port", "0", home=home) as (_, api):
        with running("serve", "--role", "sequencer", home=home) as (_, sequencer):
            assert sequencer == {"role": "sequencer"}
            with running("serve", "--role", "api", "--port", "0", home=home) as (_, second):
                assert second["url"] != api["url"]
                assert json.loads((home / "run.json").read_text())["url"] == api["url"]
                for one in (api, second):
                    assert get(f"{one['url']}/api/v1/me", key)[0] == 200
            assert (home / "run.json").exists(), "the second one was not the server of this home"
        with running("up", "--port", "0", home=home) as (up, line):
            assert up.wait(timeout=120) == 1
            assert api["url"] in line["error"]


def test_a_worker_says_how_much_it_takes(home: Path) -> None:
    words = ["serve", "--role", "worker", "--home", str(home)]
    with begun_and_heard(words, environment=CLEAN) as (process, line):
        assert "16 jobs at a time" in line
        process.terminate()
        assert process.wait(timeout=120) == 0


def test_a_running_request_is_finished_when_asked_to_stop(home: Path) -> None:
    key = (home / "secrets" / "admin-key").read_text().strip()
    text = "\n\n".join(f"Paragraph {number} speaks of the walls and of gate {number}." for number in range(120))
    body = json.dumps({"name": f"slow-{time.time()}.md", "text": text}).encode()
    done: list[Any] = []

    def take_in(url: str) -> None:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{url}/api/v1/documents", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                done.append((reply.status, json.loads(reply.read())))
        except urllib.error.HTTPError as refused:
            done.append((refused.code, json.loads(refused.read())))

    with running("serve", "--port", "0", home=home) as (process, line):
        asking = threading.Thread(target=take_in, args=(line["url"],))
        asking.start()
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        asking.join(timeout=60)
        assert process.wait(timeout=120) == 0
    status, answer = done[0]
    assert status == 201 or answer["error"]["code"] == "app.stopping", done
    assert not (home / "run.json").exists()


@pytest.fixture
def slow() -> Iterator[str]:
    """A model's server that takes its time, in a thread of its own."""
    place: list[str] = []
    up, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with ScriptedModel(Says("one two three four five", pause_s=0.2)) as made:
            place.append(made.url)
            up.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    up.wait(20)
    yield place[0]
    over.set()
    thread.join(20)


def test_processes_beside_the_server_of_the_home(home: Path, slow: str) -> None:
    key = (home / "secrets" / "admin-key").read_text().strip()
    port = str(free_port())
    gateway = ("serve", "--role", "gateway", "--port", port)
    with running("serve", "--role", "all", "--port", "0", home=home) as (_, server):
        model = {"name": "slow", "url": slow, "local": True, "model": "slow", "capabilities": ["chat"]}
        client = httpx2.Client(headers=bearer(key), timeout=60)
        assert client.post(f"{server['url']}/api/v1/models", json=model).status_code == 201
        with running(*gateway, home=home) as (first, line), running(*gateway, home=home) as (second, other):
            assert line == other == {"role": "gateway", "url": f"http://127.0.0.1:{port}"}
            assert json.loads((home / "run.json").read_text())["url"] == server["url"]
            assert get(f"{line['url']}/api/v1/me", key)[0] == 200
            os.kill(second.pid, signal.SIGTERM)
            assert second.wait(timeout=120) == 0
            asked = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "Count."}]}
            with client.stream("POST", f"{line['url']}/v1/chat/completions", json=asked) as answer:
                pieces = answer.iter_bytes()
                said = next(pieces)
                os.kill(first.pid, signal.SIGTERM)  # what runs is finished first
                said += b"".join(pieces)
            assert said.endswith(b"data: [DONE]\n\n")
            assert b"five" in said
            assert first.wait(timeout=120) == 0
        receipt = answer.headers["x-bastide-receipt"]
        until = time.monotonic() + 60
        while (told := client.get(f"{server['url']}/api/v1/receipts/{receipt}")).status_code != 200:
            assert time.monotonic() < until, told.text  # it is carried to the log by the sequencer, a moment later
            time.sleep(0.1)
        assert told.json()["act"] == "inference"
        assert client.delete(f"{server['url']}/api/v1/models/slow").status_code < 300
        client.close()


def _interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said until Ctrl-C ended it; whoever waits for very long presses it again."""
    for patience in (90, 90, 90):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)
    process.kill()
    raise AssertionError(f"three times Ctrl-C did not end it: {process.communicate()}")


@pytest.mark.early
def test_a_start_can_be_interrupted(tmp_path: Path) -> None:
    words = [BASTIDE, "up", "--no-examples", "--port", "0", "--home", str(tmp_path / "home")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    time.sleep(2.5)
    out, err = _interrupted(process)
    assert "Traceback" not in out + err
    again = subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True, env=CLEAN)
    assert again.stdout is not None
    assert json.loads(again.stdout.readline())["url"], "what was begun is finished"
    assert (tmp_path / "home" / "secrets" / "admin-key").read_text().startswith("bst_")
    again.terminate()
    assert again.wait(timeout=120) == 0


@pytest.mark.early
def test_examples_are_loaded_once_and_resumed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [BASTIDE, "up", "--port", "0", "--home", str(home)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith("Example 2"):
            break
    where = json.loads((home / "run.json").read_text())
    status, ready = get(f"{where['url']}/readyz")
    assert status == 200
    assert next(part for part in ready["parts"] if part["name"] == "examples")["state"] == "busy"
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (home / "examples.pending").exists(), "the next start goes on with them"
