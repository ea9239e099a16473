"""The program behind `bastide verify`: reads files and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bastide.audit import verify_file
from bastide.cli.attending import attended
from bastide.cli.evidence import verdict
from bastide.errors import MissingFile


def run(words: dict[str, Any]) -> int:
    """Verify what the words name; the exit status."""

    def work() -> int:
        file, key = Path(words["file"]), Path(words["key"]) if words["key"] else None
        for path in (file, key):
            if path and not path.exists():
                raise MissingFile(f"There is no {path}.")
        found = verify_file(file, key).to_wire()
        print(json.dumps(found, default=str) if words["as_json"] else verdict(dict(found)))
        return 0 if found["valid"] else 1

    return attended(work, as_json=words["as_json"])


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
