"""The five minutes of a newcomer, run by `make up`: start, ask, verify, keep serving.

Every step is a command that a person would type; it is printed before its answer. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BASTIDE = str(Path(sys.executable).with_name("bastide"))
QUESTION = "How soon must a personal data breach be notified to the supervisory authority?"


def show(*arguments: str) -> str:
    """Run a command as a person would, with its words and its answer on the screen; gives the answer."""
    print(f"\n$ bastide {' '.join(json.dumps(a) if ' ' in a else a for a in arguments)}", flush=True)
    done = subprocess.run([BASTIDE, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return done.stdout


def main() -> int:
    """Start the house, ask the first question, verify its receipt, then wait for the house to stop."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", default="8092")
    port = options.parse_args().port
    print(f"$ bastide up --port {port}", flush=True)
    server = subprocess.Popen([BASTIDE, "up", "--port", port], stdout=subprocess.PIPE, text=True)
    # The house stops on the signals that stop us: it is asked once, and finishes what it is doing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.send_signal(signal.SIGTERM))
    assert server.stdout is not None
    for line in server.stdout:
        print(line, end="", flush=True)
        if line.startswith("Ctrl-C"):
            break
    if server.poll() is not None:
        return server.returncode
    try:
        (receipt,) = re.findall(r"^Receipt: (\S+)", show("ask", QUESTION), re.MULTILINE)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "receipt.json")
            show("receipt", receipt, "--out", file)
            show("verify", file)
        print("\nThe house keeps serving; Ctrl-C stops it.", flush=True)
    except SystemExit as fault:
        server.send_signal(signal.SIGTERM)
        server.wait()
        return int(fault.code or 1)
    for line in server.stdout:
        print(line, end="", flush=True)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
