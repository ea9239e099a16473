"""One page of a PDF as a picture, drawn by a process of its own: run as a script, never imported.

Input: the PDF. Arguments: page (from 1), dots per inch, seconds, bytes of memory, folder of pypdfium2, 1 for shades of
gray. Output: {"width", "height", "depth"} or {"error"}, a line end, then the picture: 8 bits a sample, row by row.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

_DOTS_MAX = 60_000_000


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
        try:
            resource.setrlimit(what, (bound, bound))
        except (ValueError, OSError):
            continue


def _say(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode("ascii") + b"\n")


def draw(data: bytes, number: int, dpi: int, gray: bool) -> None:
    """Says how large the picture is, then its dots, without padding."""
    from pypdfium2 import PdfDocument, PdfiumError, raw  # noqa: PLC0415  # only once the process is confined

    try:
        document = PdfDocument(data)
        if not 1 <= number <= len(document):
            return _say({"error": "no_page", "pages": len(document)})
        page = document[number - 1]
    except PdfiumError as error:
        locked = getattr(error, "err_code", None) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
        return _say({"error": "locked" if locked else "damaged"})
    wide, high = (math.ceil(length * dpi / 72) for length in page.get_size())
    if wide * high > _DOTS_MAX:
        return _say({"error": "too_large", "what": f"Page {number} would have {wide:,} x {high:,} dots."})
    return _show(page.render(scale=dpi / 72, grayscale=gray, rev_byteorder=not gray))


def _show(bitmap: Any) -> None:
    wide, high, stride, depth = bitmap.width, bitmap.height, bitmap.stride, bitmap.n_channels
    rows = bytes(bitmap.buffer)
    _say({"width": wide, "height": high, "depth": depth})
    for row in range(high):
        sys.stdout.buffer.write(rows[row * stride : row * stride + wide * depth])


def main() -> None:
    """Reads standard input, writes standard output."""
    number, dpi, seconds, memory = map(int, sys.argv[1:5])
    sys.path.append(sys.argv[5])
    _confine(seconds, memory)
    try:
        draw(sys.stdin.buffer.read(), number, dpi, sys.argv[6] == "1")
    except MemoryError:
        _say({"error": "memory"})


if __name__ == "__main__":
    main()
