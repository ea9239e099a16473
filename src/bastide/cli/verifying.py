"""The program behind `bastide verify`: reads files and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bastide.audit import verify_file
from bastide.cli.evidence import verdict
from bastide.cli.printing import failure
from bastide.errors import BastideError, UnreadableFile


def run(words: str) -> int:
    """Verify what the words name; the exit status."""
    file, key, as_json = json.loads(words)
    try:
        found = verify_file(Path(file), Path(key) if key else None).to_wire()
    except BastideError as fault:
        failure(fault, as_json=as_json)
        return 1
    except (OSError, ValueError) as fault:
        failure(UnreadableFile(f"{file} cannot be read as evidence: {fault}."), as_json=as_json)
        return 1
    print(json.dumps(found, default=str) if as_json else verdict(dict(found)))
    return 0 if found["valid"] else 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
