"""Run every benchmark, one after the other, each in a process of its own.

python -m benchmarks [NAME...] [--full]      --full: 100,000 chunks, 10^6 events (takes long)
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_PACKAGES = [path.parent.name for path in _HERE.glob("*/__main__.py")]
NAMES = sorted([path.stem for path in _HERE.glob("[a-z]*.py")] + _PACKAGES)


def main() -> int:
    """The exit code is the number of benchmarks that failed to run; no figure fails a run."""
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    unknown = sorted(set(asked) - set(NAMES))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(
        f"machine: {platform.node()}, {platform.machine()}, {platform.platform()}, Python {platform.python_version()}"
    )
    failed = 0
    for name in asked or NAMES:
        print(f"\n== {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
