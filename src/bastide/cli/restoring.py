"""The program behind `bastide restore`: reads a backup into a home on which no server runs."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bastide.cli.attending import attended
from bastide.cli.running import claimed
from bastide.errors import MissingFile
from bastide.settings import Settings
from bastide.store import restore


def run(words: dict[str, Any]) -> int:
    """Restore what the words name; the exit status."""
    folder = Path(words["folder"]).absolute()

    def work() -> int:
        settings = Settings.read(Path(words["home"]) if words["home"] else None)
        if not folder.is_dir():
            raise MissingFile(f"There is no folder {folder}.")
        with claimed(settings.home):
            wire = asdict(asyncio.run(restore(settings.store, folder)))
        text = f"{wire['tables']} tables of {wire['made_at']} are in {settings.home}. Start the house: bastide up"
        print(json.dumps(wire) if words["as_json"] else text)
        return 0

    return attended(work, as_json=words["as_json"])


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
