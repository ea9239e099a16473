"""The functions of PDFium that we declare ourselves are those that its own binding declares."""

from __future__ import annotations

import subprocess
import sys

from bastide.knowledge.reading.confining import LIBRARY, PAGES

_COMPARED = """
import ctypes, sys
sys.path += sys.argv[1:]
import pdfium, pypdfium2_raw as theirs
from pypdfium2 import PdfDocument

def plain(kind):
    return "pointer" if kind is not None and getattr(kind, "_type_", "P") not in tuple("bBhHiIlLqQfd") else kind

names = [name for table in (pdfium._OF_DOCUMENT, pdfium._OF_PAGE, pdfium._OF_TEXT) for name in table]
for name in names:
    ours, own = getattr(pdfium.raw, name), getattr(theirs, name)
    said = [plain(kind) for kind in (ours.restype, *ours.argtypes)]
    assert said == [plain(kind) for kind in (own.restype, *own.argtypes)], name
numbers = [name for name in vars(pdfium._Raw) if name.startswith("FPDF_")]
assert numbers and all(getattr(pdfium.raw, name) == getattr(theirs, name) for name in numbers)
for shape in ("FS_RECTF", "FS_MATRIX"):
    assert [one[0] for one in getattr(pdfium, shape)._fields_] == [one[0] for one in getattr(theirs, shape)._fields_]
print(len(names))
"""


def test_what_we_declare_is_what_the_binding_declares() -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _COMPARED, LIBRARY, str(PAGES.parent)],
        capture_output=True,
        text=True,
        env={},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 40
