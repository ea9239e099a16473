"""What stands between a client and the upstream: our own gateway, a bare proxy, and peers, each on one core."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SETTLED_S = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error crit;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  upstream u {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; keepalive_requests 1000000;
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; }} }} }}
"""
MESSAGES = [
    {"role": "system", "content": "You are helpful."},
    {
        "role": "user",
        "content": "When does the lease of the town hall end? Answer in one sentence, name the paragraph.",
    },
]


@dataclass
class Standing:
    """A gateway that answers at `url` under `path`; `pids` are the processes whose time counts."""

    name: str
    port: int
    pids: list[int]
    headers: Mapping[str, str]
    model: str
    path: str = "/v1/chat/completions"
    beside: list[int] = field(default_factory=list)  # works for it, told apart

    def body(self, **more: object) -> bytes:
        """A chat of two messages."""
        asked = {"model": self.model, "messages": MESSAGES, "temperature": 0.2, "max_tokens": 100, **more}
        return json.dumps(asked, separators=(",", ":")).encode()

    def cpu_s(self) -> float:
        """The time that its processes have burnt, in user and system mode."""
        return sum(_cpu_s(pid) for top in self.pids for pid in family(top))

    def beside_s(self) -> float:
        """The same of what works for it elsewhere: the log's sequencer and the database."""
        return sum(_cpu_s(pid) for top in self.beside for pid in family(top))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """What works for it elsewhere stands still: here that shares the client's core. It catches up afterwards."""
        for pid in self.beside[:1]:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in self.beside[:1]:
                os.kill(pid, signal.SIGCONT)

    def settle(self) -> None:
        """Wait until what its answers left to do behind them is done."""
        ends = time.monotonic() + _SETTLED_S
        while self.beside and self._waiting() and time.monotonic() < ends:
            time.sleep(0.1)

    def _waiting(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as told:
            lines = [line.decode() for line in told if line.startswith(b"bastide_journal_waiting ")]
        return any(float(line.split()[1]) > 0 for line in lines)

    def memory_mb(self) -> tuple[float, float]:
        """Its share of memory (PSS), and what is all its own (USS)."""
        members = [pid for top in self.pids for pid in family(top)]
        shared = sum(_held_mb(pid, "Pss:") for pid in members)
        return shared, sum(_held_mb(pid, "Private_Clean:", "Private_Dirty:") for pid in members)


def family(top: int) -> set[int]:
    """A process and all below it."""
    rows = [line.split() for line in subprocess.check_output(["ps", "-eo", "pid,ppid"], text=True).splitlines()[1:]]
    parents = {int(pid): int(parent) for pid, parent in rows}
    found = {top}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _held_mb(pid: int, *kinds: str) -> float:
    try:
        lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    except OSError:
        return 0.0
    return sum(int(line[1]) for line in lines if line[0] in kinds) / 1024


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(*command: str, core: int | None, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, on one core if it is named, ended at the end."""
    pinned = ["taskset", "-c", str(core), *command] if core is not None else list(command)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    process = subprocess.Popen(pinned, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int, path: str = "/healthz", *, seconds: float = 120.0) -> float:
    """Wait until something answers there; how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                return time.monotonic() - began
        except urllib.error.HTTPError:
            return time.monotonic() - began
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"nothing answers at port {port}")


@contextmanager
def upstream() -> Iterator[int]:
    """The model's server, on the first core."""
    port = free_port()
    with running(sys.executable, "-m", "benchmarks.gateway.upstream", str(port), core=0):
        answers(port, "/v1/models")
        yield port


@contextmanager
def nginx(folder: Path, to: int) -> Iterator[Standing]:
    """A bare proxy on the second core: the limit."""
    port = free_port()
    folder.mkdir()
    (folder / "conf").write_text(_NGINX.format(folder=folder, upstream=to, port=port))
    with running("nginx", "-c", str(folder / "conf"), "-p", str(folder), core=1) as process:
        answers(port, "/v1/models")
        yield Standing("nginx, a bare proxy", port, [process.pid], {}, "fixed")


def _post(port: int, path: str, key: str, body: object) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert reply.status < 300


@contextmanager
def ours(folder: Path, to: int) -> Iterator[tuple[Standing, float]]:
    """Our gateway as one worker of its own role on the second core, its sequencer elsewhere; how long to be ready."""
    home, port, program = str(folder / "home"), free_port(), [str(Path(sys.executable).with_name("bastide"))]
    with running(*program, "up", "--no-examples", "--home", home, "--port", str(port), core=None):
        answers(port)
        key = Path(home, "secrets", "admin-key").read_text().strip()
        model = {"name": "fixed", "url": f"http://127.0.0.1:{to}/v1", "local": True, "model": "fixed"}
        _post(port, "/api/v1/models", key, {**model, "capabilities": ["chat"]})
    serve = [*program, "serve", "--home", home]
    with running(*serve, "--role", "sequencer", core=0) as sequencer:
        time.sleep(8)
        with running(*serve, "--role", "gateway", "--port", str(port), core=1) as worker:
            ready = answers(port)
            label = json.dumps({"class": "internal", "personal": "none"})
            headers = {"authorization": f"Bearer {key}", "x-label": label}
            database = [int(line) for line in subprocess.check_output(["pgrep", "-f", f"{home}/postgres"]).split()]
            standing = Standing("Bastide, fast lane", port, [worker.pid], headers, "fixed")
            standing.beside = [sequencer.pid, *database[:1]]
            yield standing, ready


@contextmanager
def litellm(python: Path, folder: Path, to: int) -> Iterator[Standing]:
    """LiteLLM's proxy, one worker, without a database."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n- model_name: fixed\n  litellm_params:\n    model: openai/fixed\n"
        f"    api_base: http://127.0.0.1:{to}/v1\n    api_key: none\n"
    )
    key = "sk-" + secrets.token_hex(24)  # it does not start without one
    offline = ("env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_MODE=PRODUCTION", f"LITELLM_MASTER_KEY={key}")
    program = (str(python.with_name("litellm")), "--config", str(config), "--port", str(port), "--host", "127.0.0.1")
    with running(*offline, *program, core=1) as process:
        answers(port, "/health/liveliness")
        yield Standing("LiteLLM", port, [process.pid], {"authorization": f"Bearer {key}"}, "fixed")


@contextmanager
def portkey(folder: Path, to: int) -> Iterator[Standing]:
    """Portkey's open gateway."""
    port = free_port()
    start = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    headers = {
        "authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{to}/v1",
    }
    with running("node", str(start), f"--port={port}", "--headless", core=1) as process:
        answers(port, "/")
        yield Standing("Portkey", port, [process.pid], headers, "fixed")
