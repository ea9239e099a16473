"""The program behind `bastide audit export`: opens the house beside the server and writes the log's files."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bastide.app import open_house
from bastide.cli.printing import failure
from bastide.errors import BastideError, FileNotWritten
from bastide.settings import Settings


async def _export(home: Path, folder: Path) -> dict[str, object]:
    async with open_house(Settings.read(home), sequence=False) as house:
        return asdict(await house.audit.export(folder))


def run(words: str) -> int:
    """Export what the words name; the exit status."""
    home, folder, as_json = json.loads(words)
    try:
        wire = asyncio.run(_export(Path(home), Path(folder)))
    except BastideError as fault:
        failure(fault, as_json=as_json)
        return 1
    except OSError as fault:
        failure(FileNotWritten(f"{fault.filename or folder}: {fault.strerror}."), as_json=as_json)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run it again to go on.", file=sys.stderr)
        return 130
    text = f"{wire['size']} leaves, {wire['added']} of them new, in {folder}. Check: bastide verify {folder}"
    print(json.dumps(wire) if as_json else text)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
