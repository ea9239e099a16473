"""Nothing speaks behind our back: libraries that report to their makers are silenced before they are loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOOK = """
import os, sys

def look(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        print("silenced" if os.environ.get("ORT_DISABLE_TELEMETRY") == "1" else "speaks")

sys.addaudithook(look)
import {module}
print("loaded" if "onnxruntime" in sys.modules else "not loaded")
"""


@pytest.mark.parametrize("module", ["bastide.inference", "bastide.knowledge", "bastide.app", "bastide.cli.serving"])
def test_the_model_runtime_is_silenced_before_it_is_loaded(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK.format(module=module)], capture_output=True, text=True, check=True
    )
    said = done.stdout.split("\n")
    assert "speaks" not in said, done.stdout
    if "loaded" in said:
        assert said[0] == "silenced"
