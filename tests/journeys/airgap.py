"""The main journey where nothing but loopback exists, with every attempt to connect on record.

    python tests/journeys/airgap.py        exit 0: the journey worked and nothing tried to leave

A network namespace with loopback only (no route to anywhere) holds the whole process tree, and strace
writes down each connect, sendto and sendmsg of every process in it; its filter in the kernel lets all other
calls pass at full speed. An address outside loopback in that record is a failure even though it could not
have been reached.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INSIDE = "BASTIDE_INSIDE_THE_NAMESPACE"
IPV4 = re.compile(r'sa_family=AF_INET, sin_port=htons\(\d+\), sin_addr=inet_addr\("(?P<a>[0-9.]+)"\)')
IPV6 = re.compile(r'sa_family=AF_INET6,.*?inet_pton\(AF_INET6, "(?P<a>[0-9a-f:.]+)"')
ANSWERS = {
    "How soon must a personal data breach be notified to the supervisory authority?": "72 hours",
    "Wann ist ein Datenschutzbeauftragter zu benennen?": "20 Personen",
}


def outside(trace: str) -> list[str]:
    """The lines of a trace that name an address outside loopback."""
    found = []
    for line in trace.splitlines():
        for match in (*IPV4.finditer(line), *IPV6.finditer(line)):
            address = match["a"]
            loopback = address.startswith("127.") or address in {"::1", "0.0.0.0", "::"}  # 0.0.0.0 reaches this host
            if not (loopback or address.startswith("::ffff:127.")):
                found.append(line)
    return found


def journey(home: str) -> None:
    """Up, ask, ingest, ask, receipt, verify, audit verify, with the commands that a person types."""
    bastide = str(Path(sys.executable).with_name("bastide"))

    def run(*arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [bastide, *arguments, "--home", home, "--json"], capture_output=True, text=True, check=False, timeout=300
        )
        print(f"$ bastide {' '.join(arguments)}  -> {done.returncode}", flush=True)
        if done.returncode:
            raise SystemExit(f"{done.stdout}\n{done.stderr}")
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    server = subprocess.Popen(
        [bastide, "up", "--air-gap", "--port", "0", "--home", home, "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        started = json.loads(server.stdout.readline())
        assert started["air_gap"] is True, started
        for question, place in ANSWERS.items():
            answer = run("ask", question)
            assert place in str(answer["answer"]), answer
        own = Path(home).parent / "note.md"
        own.write_text("# Lease\n\nThe lease of the town hall ends on 30 June 2031.\n", encoding="utf-8")
        assert run("ingest", str(own))["ingested"] == 1
        answer = run("ask", "When does the lease of the town hall end?")
        assert "30 June 2031" in str(answer["answer"]), answer
        receipt = Path(home).parent / "receipt.json"
        run("receipt", str(answer["receipt"]), "--out", str(receipt))
        assert run("verify", str(receipt))["valid"] is True
        through_a_gateway(bastide, home)
        assert run("audit", "verify")["valid"] is True
    finally:
        server.terminate()
        server.wait(timeout=60)


def through_a_gateway(bastide: str, home: str) -> None:
    """The same house's process for calls: it answers one itself, passes another address on, and has receipts."""
    words = ["serve", "--role", "gateway", "--air-gap", "--port", "0", "--home", home, "--json"]
    gateway = subprocess.Popen([bastide, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert gateway.stdout is not None
        url = json.loads(gateway.stdout.readline())["url"]
        key = (Path(home) / "secrets" / "admin-key").read_text().strip()
        about = "When does the gate open?\n\nPassages:\n[1] The east gate opens at eight."
        asked = {"model": "local/extractive", "messages": [{"role": "user", "content": about}]}
        said, headers = _asked(f"{url}/v1/chat/completions", key, json.dumps(asked).encode())
        assert "eight" in said["choices"][0]["message"]["content"], said
        assert _asked(f"{url}/api/v1/me", key)[0]["permissions"]
        until = time.monotonic() + 60
        while True:
            try:
                receipt = _asked(f"{url}/api/v1/receipts/{headers['x-bastide-receipt']}", key)[0]
                break
            except urllib.error.HTTPError as not_yet:  # its sequencer carries it into the log a moment later
                assert time.monotonic() < until, not_yet.read()
                time.sleep(0.1)
        assert receipt["act"] == "inference", receipt
        print("$ bastide serve --role gateway  -> one call answered, two passed on", flush=True)
    finally:
        gateway.terminate()
        gateway.wait(timeout=60)


def _asked(url: str, key: str, body: bytes | None = None) -> tuple[dict[str, Any], Mapping[str, str]]:
    wanted = urllib.request.Request(url, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(wanted, timeout=60) as answer:
        return json.load(answer), answer.headers


def main() -> int:
    """Enter the namespace, run the journey under strace, read the record."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        journey(sys.argv[1])
        return 0
    for tool, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("strace", "strace")):
        if not shutil.which(tool):
            print(f"{tool} is needed: apt install {package}", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory(prefix="bastide-airgap-") as folder:
        trace = Path(folder) / "trace"
        namespace = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
        only = ["-e", "trace=connect,sendto,sendmsg,sendmmsg"]
        strace = ["strace", "-f", "--seccomp-bpf", "-qq", *only, "-s", "64", "-o", str(trace)]
        done = subprocess.run(
            [*namespace, *strace, sys.executable, __file__, str(Path(folder) / "home")],
            env={**os.environ, INSIDE: "1"},
            cwd=ROOT,
            check=False,
        )
        record = trace.read_text(encoding="utf-8", errors="replace") if trace.exists() else ""
        connects = record.count("connect(")
        left = outside(record)
        print(f"{connects} connects on record, {len(left)} to an address outside loopback")
        print("\n".join(left[:20]))
        return 1 if done.returncode or left or not connects else 0


if __name__ == "__main__":
    sys.exit(main())
