"""`bastide model serve` as a person uses it: begun twice, ended while it loads, beside models of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doors.test_commands import BASTIDE, CLEAN, Server, bastide, server

__all__ = ["server"]

ANSWERS = """#!{python}
import http.server, json, sys
class Says(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = json.dumps({{"data": [{{"id": "tiny"}}]}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Says).serve_forever()
"""
LOADS = """#!/bin/sh
echo loads > {mark}
exec sleep 1000
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model for llama.cpp, by its name at least."""
    place = tmp_path / "tiny"
    place.mkdir()
    (place / "tiny.gguf").touch()
    return place


@contextmanager
def serving(server: Server, folder: Path, program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`bastide model serve` with this as llama.cpp's server."""
    place = folder.parent / "bin"
    place.mkdir(exist_ok=True)
    (place / "llama-server").write_text(program)
    (place / "llama-server").chmod(0o755)
    environment = CLEAN | {"PATH": f"{place}{os.pathsep}{CLEAN['PATH']}"}
    line = [BASTIDE, "model", "serve", str(folder), "--home", str(server.home), "--json", *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def urls(server: Server) -> dict[str, str]:
    return {model["name"]: model["url"] for model in server.json("model", "list")["models"]}


def test_who_serves_a_folder_a_second_time_keeps_its_name_when_the_first_ends(server: Server, folder: Path) -> None:
    program = ANSWERS.format(python=sys.executable)
    with serving(server, folder, program) as first:
        assert first.stdout is not None
        assert first.stdout.readline()
        before = urls(server)["tiny"]
        with serving(server, folder, program) as second:
            assert second.stdout is not None
            assert second.stdout.readline()
            now = urls(server)["tiny"]
            assert now != before
            assert ended(first) == 0
            assert urls(server)["tiny"] == now
            assert ended(second) == 0
    assert "tiny" not in urls(server)


def test_a_model_that_is_still_loading_can_be_ended(server: Server, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mark")
    with serving(server, folder, LOADS.format(mark=tmp_path / "mark"), "--name", "large") as process:
        assert (tmp_path / "mark").read_text() == "loads\n"
        assert ended(process) == 0
    assert "large" not in urls(server)


def test_no_other_model_makes_room(server: Server, folder: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    server.json("model", "add", "--name", "mine", "--url", url, "--local", "--kind", "ollama", "--model", "mine")
    with serving(server, folder, ANSWERS.format(python=sys.executable), "--name", "mine") as process:
        assert process.wait(60) == 1
    assert urls(server)["mine"] == url
    assert bastide("model", "remove", "mine", home=server.home).returncode == 0
