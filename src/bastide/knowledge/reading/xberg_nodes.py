"""What the library xberg finds in a file, told by a process of its own: run as a script, never imported.

Input: the file. Arguments: media type, seconds, bytes of memory, folder of xberg.
Output: {"sizes": [[width, height] of each page], "title", "nodes": [[kind, text, level, page, box, rows], ...]} or
{"error"}; `box` is [left, bottom, right, top] in points or null, `rows` the cells of a table or null.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

_NAMES = {"application/pdf": "a.pdf", "text/html": "a.html"}


def _confine(seconds: int, memory: int) -> None:
    """Limits of this process; where the system knows none, the parent's patience is the only one."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return
    most = ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0))
    for what, limit in (*most, (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (bound, bound))


async def _extracted(data: bytes, kind: str) -> Any:
    import xberg  # noqa: PLC0415  # only once the process is confined

    config = xberg.ExtractionConfig(include_document_structure=True, use_cache=False, disable_ocr=True)
    given = xberg.ExtractInput(
        kind=xberg.ExtractInputKind.BYTES, bytes=data, mime_type=kind, filename=_NAMES.get(kind, "a")
    )
    found = xberg.extract(given, config)
    return await found if hasattr(found, "__await__") else found


def _sizes(data: bytes) -> list[tuple[float, float]]:
    from pypdfium2 import PdfDocument  # noqa: PLC0415  # only once the process is confined

    document = PdfDocument(data)
    return [document.get_page_size(at) for at in range(len(document))]


def _told(found: Any, sizes: list[tuple[float, float]]) -> dict[str, Any]:
    if not found.results:
        errors = "; ".join(str(getattr(one, "message", one)) for one in found.errors)
        return {"error": "locked" if "password" in errors.lower() or "encrypt" in errors.lower() else "damaged"}
    document = found.results[0]
    nodes = []
    for node in document.document.nodes if document.document else []:
        said = json.loads(str(node.content))
        box = node.bbox and [round(edge, 1) for edge in (node.bbox.x0, node.bbox.y0, node.bbox.x1, node.bbox.y1)]
        nodes.append([said["node_type"], said.get("text", ""), said.get("level", 0), node.page, box, _rows(said)])
    return {"sizes": sizes, "title": document.metadata.title or "", "nodes": nodes}


def _rows(said: dict[str, Any]) -> list[list[str]] | None:
    grid = said.get("grid")
    if not grid:
        return None
    rows = [["" for _ in range(grid["cols"])] for _ in range(grid["rows"])]
    for cell in grid["cells"]:
        rows[cell["row"]][cell["col"]] = cell["content"]
    return rows


def main() -> None:
    """Reads standard input, writes standard output."""
    kind, seconds, memory, folder = sys.argv[1:5]
    sys.path.append(folder)
    _confine(int(seconds), int(memory))
    try:
        data = sys.stdin.buffer.read()
        sizes = _sizes(data) if kind == "application/pdf" else []
        told = _told(asyncio.run(_extracted(data, kind)), sizes)
    except MemoryError:
        told = {"error": "memory"}
    except Exception as error:  # the library raises kinds of its own; none of them leaves this process
        words = str(error).lower()
        told = {"error": "locked" if "password" in words or "encrypt" in words else "damaged"}
    sys.stdout.buffer.write(json.dumps(told).encode("ascii"))


if __name__ == "__main__":
    main()
