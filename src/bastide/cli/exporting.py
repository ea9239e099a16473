"""The program behind `bastide audit export`: opens the house beside the server and writes the log's files."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bastide.app import open_house
from bastide.cli.attending import attended
from bastide.errors import NoHouse
from bastide.settings import Settings


async def _export(settings: Settings, folder: Path) -> dict[str, object]:
    async with open_house(settings, sequence=False) as house:
        return asdict(await house.audit.export(folder))


def run(words: dict[str, Any]) -> int:
    """Export what the words name; the exit status."""
    folder = Path(words["folder"]).absolute()

    def work() -> int:
        settings = Settings.read(Path(words["home"]) if words["home"] else None)
        if not (settings.home / "secrets").is_dir():
            raise NoHouse(f"There is no house in {settings.home} yet.")
        folder.mkdir(parents=True, exist_ok=True)
        wire = asyncio.run(_export(settings, folder))
        text = f"{wire['size']} leaves, {wire['added']} of them new, in {folder}. Check: bastide verify {folder}"
        print(json.dumps(wire) if words["as_json"] else text)
        return 0

    return attended(work, as_json=words["as_json"])


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
