"""PDF: its lines, found by a process apart, become paragraphs and headings (`layout`)."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, ReaderUnavailable, UnreadableFile
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.layout import Line, Outline, lay_out
from bastide.knowledge.reading.values import Limits

_END_MARK_WITHIN = 4096
_PROGRAM = Path(__file__).with_name("pdf_lines.py")
_SPEC = find_spec("pypdfium2")
_LIBRARY = Path(_SPEC.origin).parents[1] if _SPEC is not None and _SPEC.origin else Path()
_PATIENCE = 10
"""Seconds of waiting per second of computing that the process may use: the machine may be busy."""
_OUT_OF_TIME = frozenset({-24, -9, 128 + 24, 128 + 9})


def read_pdf(data: bytes, limits: Limits) -> Draft:
    """The paragraphs and headings of a PDF with a text layer; running headers and footers become marks."""
    if b"%%EOF" not in data[-_END_MARK_WITHIN:]:
        raise UnreadableFile("The PDF ends before its end mark: it was cut off.")
    answer = _ask(data, limits)
    if "error" in answer:
        raise _refusal(answer)
    found = answer["pages"]
    draft = Draft([], title=answer["title"], pages=len(found))
    pages = [_page(lines, number) for number, lines in enumerate(found, 1)]
    broken = [number for number, page in enumerate(found, 1) if page is None]
    silent = [number for number, page in enumerate(found, 1) if page is not None and not page[1]]
    if broken:
        draft.problems.append(f"pages that could not be read: {_ranges(broken)}")
    if silent and len(silent) < len(found):
        draft.problems.append(f"pages without text (blank or pictures): {_ranges(silent)}")
    heights = [page[0] if page is not None else 1.0 for page in found]
    draft.blocks, draft.marks = lay_out(pages, heights, [Outline(*entry) for entry in answer["outline"]])
    return draft


def _ask(data: bytes, limits: Limits) -> dict[str, Any]:
    """The answer of `pdf_lines`, run without our environment, our modules or our patience for ever."""
    figures = (limits.pages_max, limits.text_max, limits.seconds_max, limits.memory_max)
    command = [sys.executable, "-I", "-S", str(_PROGRAM), *map(str, figures), str(_LIBRARY)]
    try:
        done = subprocess.run(  # our own program; the file is on its standard input
            command, input=data, capture_output=True, env={}, timeout=limits.seconds_max * _PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BombFile("Reading the PDF took too long, so it was given up.") from error
    except OSError as error:
        raise ReaderUnavailable from error
    if done.returncode in _OUT_OF_TIME:
        raise BombFile(f"Reading the PDF would take more than {limits.seconds_max} seconds of computing.")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise UnreadableFile(
            "The PDF makes its reader fail: it is damaged, or made to do harm.", exit_status=done.returncode
        ) from error
    return answer if isinstance(answer, dict) else {"error": "damaged"}


def _refusal(answer: dict[str, Any]) -> Exception:
    if answer["error"] == "locked":
        return EncryptedFile("The PDF is protected by a password.")
    if answer["error"] == "too_large":
        return FileTooLarge(str(answer["what"]))
    if answer["error"] == "memory":
        return BombFile("Reading the PDF would take more memory than a document may have.")
    return UnreadableFile("The PDF is damaged: it cannot be opened.")


def _page(page: Any, number: int) -> list[Line]:
    lines = [Line(*line) for line in page[1]] if page is not None else []
    for line in lines:
        line.page = number
    return _joined(lines)


def _joined(lines: list[Line]) -> list[Line]:
    """Stretches of one line that PDFium tells apart (after raised numbers, for one) are joined again."""
    joined: list[Line] = []
    for line in lines:
        before = joined[-1] if joined else None
        if before is None or before.hyphen or not before.upright:
            joined.append(line)
            continue
        gap = line.left - before.right
        level = abs(line.bottom - before.bottom) < 0.4 * before.size
        if level and -0.3 * before.size <= gap < 1.2 * before.size:
            joint = "" if gap < 0.12 * before.size or line.text[0] in ",.;:)”" else " "
            before.text += joint + line.text
            before.right, before.hyphen = line.right, line.hyphen
        else:
            joined.append(line)
    return joined


def _ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] -> "1-3, 7"; the first ten stretches."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in stretches[:10]]
    return ", ".join(shown) + (" and more" if len(stretches) > 10 else "")
