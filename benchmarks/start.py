"""How long a start takes, and what it weighs: an empty home, an existing home, the first question after it, a gateway.

python -m benchmarks.start
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.journeys.processes import BASTIDE, Process, call, free_port

ROUNDS = 3


def _resident_mb(pid: int) -> float:
    """Proportional memory of a process and of all below it, in MB (Linux)."""
    below = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout.split("\n")[1:]
    parents = {int(line.split()[0]): int(line.split()[1]) for line in below if line.strip()}
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0.0
    for member in family:
        try:
            text = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return total


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="bastide-bench-") as folder:
        home = Path(folder) / "home"
        begun = time.perf_counter()
        process = Process(home, "up", "--no-examples", "--port", str(port := free_port()), port=port).wait_ready()
        print(f"empty home, without examples: ready after {time.perf_counter() - begun:.2f} s")
        key = (home / "secrets" / "admin-key").read_text().strip()
        text = "# Lease\n\nThe lease of the town hall ends on 30 June 2031.\n"
        call(port, "POST", "/api/v1/documents", key=key, body={"name": "lease.md", "text": text})
        starts, questions = [], []
        for _ in range(ROUNDS):
            process.stop()
            time.sleep(3)  # the database has stopped too
            begun = time.perf_counter()
            process.again().wait_ready()
            starts.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            status, _ = call(port, "POST", "/api/v1/answer", key=key, body={"question": "When does the lease end?"})
            assert status == 200
            questions.append(time.perf_counter() - begun)
        print(f"existing home: ready after {min(starts):.2f} to {max(starts):.2f} s ({ROUNDS} starts)")
        print(f"first question after that: {min(questions):.2f} to {max(questions):.2f} s")
        print(f"memory of the server's process tree (PSS): {_resident_mb(process.process.pid):.0f} MB")
        for words in (["--help"], ["key", "list", "--home", str(home)]):
            spent, begun = _children_s(), time.perf_counter()
            subprocess.run([BASTIDE, *words], stdout=subprocess.DEVNULL, check=True)
            took = time.perf_counter() - begun
            print(f"bastide {' '.join(words[:2])}: {took:.2f} s, {_children_s() - spent:.2f} s of CPU")
        begun = time.perf_counter()
        words = ("serve", "--role", "gateway", "--port", str(port := free_port()))
        gateway = Process(home, *words, port=port).wait_ready()
        print(f"role gateway beside it: ready after {time.perf_counter() - begun:.2f} s")
        print(f"memory of that process (PSS): {_resident_mb(gateway.process.pid):.0f} MB")
        gateway.stop()
        process.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
