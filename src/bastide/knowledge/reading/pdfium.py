"""PDFium, as far as `pdf_pages` asks it: imported by that program only, in its own process, never by the house.

The binding of pypdfium2 declares some five hundred functions and takes longer to import than a short PDF to read. Here
are the fifty that are asked. The library itself is that of pypdfium2; the folder that it lies in is on the path.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_size_t, c_uint, c_ulong, c_ushort, c_void_p

TYPE_CHECKING = False  # importing `typing` takes half as long as reading a page
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_NAMES = ("libpdfium.so", "libpdfium.dylib", "pdfium.dll")
_CONFIGURATION = 2  # the version of the structure that PDFium is begun with


class FS_RECTF(ctypes.Structure):
    """A box, as PDFium orders its sides."""

    _fields_ = [(side, c_float) for side in ("left", "top", "right", "bottom")]


class FS_MATRIX(ctypes.Structure):
    """How a thing is moved and turned."""

    _fields_ = [(name, c_float) for name in "abcdef"]


class _Configuration(ctypes.Structure):
    _fields_ = [("version", c_int), ("fonts", c_void_p), ("isolate", c_void_p), ("slot", c_uint)]


_FLOAT, _INT, _UINT, _RECT, _MATRIX = (POINTER(kind) for kind in (c_float, c_int, c_uint, FS_RECTF, FS_MATRIX))
_OF_DOCUMENT: dict[str, tuple[Any, ...]] = {  # name -> what it gives, what it takes; a handle is a `c_void_p`
    "FPDF_InitLibraryWithConfig": (None, POINTER(_Configuration)),
    "FPDF_LoadMemDocument64": (c_void_p, c_char_p, c_size_t, c_char_p),
    "FPDF_GetPageCount": (c_int, c_void_p),
    "FPDF_GetLastError": (c_ulong,),
    "FPDF_GetMetaText": (c_ulong, c_void_p, c_char_p, c_void_p, c_ulong),
    "FPDFBookmark_GetFirstChild": (c_void_p, c_void_p, c_void_p),
    "FPDFBookmark_GetNextSibling": (c_void_p, c_void_p, c_void_p),
    "FPDFBookmark_GetTitle": (c_ulong, c_void_p, c_void_p, c_ulong),
    "FPDFBookmark_GetDest": (c_void_p, c_void_p, c_void_p),
    "FPDFDest_GetDestPageIndex": (c_int, c_void_p, c_void_p),
}
_OF_PAGE: dict[str, tuple[Any, ...]] = {
    "FPDF_LoadPage": (c_void_p, c_void_p, c_int),
    "FPDF_ClosePage": (None, c_void_p),
    "FPDFPage_GetRotation": (c_int, c_void_p),
    "FPDF_GetPageBoundingBox": (c_int, c_void_p, _RECT),
    "FPDFPage_CountObjects": (c_int, c_void_p),
    "FPDFPage_GetObject": (c_void_p, c_void_p, c_int),
    "FPDFPageObj_GetType": (c_int, c_void_p),
    "FPDFPageObj_GetBounds": (c_int, c_void_p, _FLOAT, _FLOAT, _FLOAT, _FLOAT),
    "FPDFPageObj_GetMatrix": (c_int, c_void_p, _MATRIX),
    "FPDFPageObj_GetFillColor": (c_int, c_void_p, _UINT, _UINT, _UINT, _UINT),
    "FPDFFormObj_CountObjects": (c_int, c_void_p),
    "FPDFFormObj_GetObject": (c_void_p, c_void_p, c_ulong),
    "FPDFPath_GetDrawMode": (c_int, c_void_p, _INT, _INT),
    "FPDFPath_CountSegments": (c_int, c_void_p),
    "FPDFPath_GetPathSegment": (c_void_p, c_void_p, c_int),
    "FPDFPathSegment_GetPoint": (c_int, c_void_p, _FLOAT, _FLOAT),
    "FPDFPathSegment_GetType": (c_int, c_void_p),
    "FPDFPathSegment_GetClose": (c_int, c_void_p),
}
_OF_TEXT: dict[str, tuple[Any, ...]] = {
    "FPDFText_LoadPage": (c_void_p, c_void_p),
    "FPDFText_ClosePage": (None, c_void_p),
    "FPDFText_CountChars": (c_int, c_void_p),
    "FPDFText_GetTextIndexFromCharIndex": (c_int, c_void_p, c_int),
    "FPDFText_GetText": (c_int, c_void_p, c_int, c_int, POINTER(c_ushort)),
    "FPDFText_GetUnicode": (c_uint, c_void_p, c_int),
    "FPDFText_HasUnicodeMapError": (c_int, c_void_p, c_int),
    "FPDFText_GetLooseCharBox": (c_int, c_void_p, c_int, _RECT),
    "FPDFText_GetFontSize": (c_double, c_void_p, c_int),
    "FPDFText_GetFontWeight": (c_int, c_void_p, c_int),
    "FPDFText_GetFontInfo": (c_ulong, c_void_p, c_int, c_void_p, c_ulong, _INT),
    "FPDFText_GetMatrix": (c_int, c_void_p, c_int, _MATRIX),
    "FPDFText_GetTextObject": (c_void_p, c_void_p, c_int),
    "FPDFTextObj_GetTextRenderMode": (c_int, c_void_p),
    "FPDFTextObj_GetFont": (c_void_p, c_void_p),
    "FPDFFont_GetGlyphWidth": (c_int, c_void_p, c_uint, c_float, _FLOAT),
}


class _Raw:
    """PDFium's own functions and numbers by their own names."""

    FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY = 4, 5
    FPDF_PAGEOBJ_PATH, FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_FORM = 2, 3, 5
    FPDF_SEGMENT_LINETO, FPDF_SEGMENT_MOVETO = 0, 2
    FPDF_TEXTRENDERMODE_INVISIBLE = 3
    FS_RECTF, FS_MATRIX = FS_RECTF, FS_MATRIX

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (gives, *takes) in {**_OF_DOCUMENT, **_OF_PAGE, **_OF_TEXT}.items():
            function = getattr(library, name)
            function.restype, function.argtypes = gives, takes
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _library() -> ctypes.CDLL:
    places = [os.path.join(folder, "pypdfium2_raw", name) for folder in sys.path for name in _NAMES]
    return ctypes.CDLL(next((place for place in places if os.path.isfile(place)), _NAMES[0]))


raw = _Raw(_library())
raw.FPDF_InitLibraryWithConfig(_Configuration(_CONFIGURATION, None, None, 0))


class PdfiumError(Exception):
    """PDFium will not; `err_code` is its own."""

    def __init__(self, err_code: int = 0) -> None:
        super().__init__(err_code)
        self.err_code = err_code


class PdfDocument:
    """A PDF that is open until its process ends. Raises PdfiumError for what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data  # PDFium reads it where it lies
        self._raw = raw.FPDF_LoadMemDocument64(data, len(data), None)
        if len(self) < 1:
            raise PdfiumError(raw.FPDF_GetLastError())

    def __len__(self) -> int:
        return int(raw.FPDF_GetPageCount(self._raw))

    def __getitem__(self, number: int) -> Page:
        return Page(_there(raw.FPDF_LoadPage(self._raw, number)))

    def title(self) -> str:
        """What its metadata call it; "" where they do not."""
        return _text(raw.FPDF_GetMetaText, self._raw, b"Title")

    def outline(self, depth_max: int) -> Iterator[tuple[str, int, int | None]]:
        """(title, level, page) of each entry, both from 0; no page where it leads nowhere."""
        yield from self._entries(None, 0, depth_max, set())

    def _entries(
        self, parent: int | None, level: int, depth_max: int, seen: set[int]
    ) -> Iterator[tuple[str, int, int | None]]:
        entry = raw.FPDFBookmark_GetFirstChild(self._raw, parent)
        while entry and entry not in seen:  # an outline may lead back to itself
            seen.add(entry)
            target = raw.FPDFBookmark_GetDest(self._raw, entry)
            page = raw.FPDFDest_GetDestPageIndex(self._raw, target) if target else -1
            yield _text(raw.FPDFBookmark_GetTitle, entry), level, page if page >= 0 else None
            if level + 1 < depth_max:
                yield from self._entries(entry, level + 1, depth_max, seen)
            entry = raw.FPDFBookmark_GetNextSibling(self._raw, entry)


class Page:
    """One page."""

    def __init__(self, handle: int) -> None:
        self.raw = handle

    def get_bbox(self) -> tuple[float, float, float, float]:
        """What is shown of it: left, bottom, right, top."""
        box = FS_RECTF()
        if not raw.FPDF_GetPageBoundingBox(self.raw, box):
            raise PdfiumError
        return box.left, box.bottom, box.right, box.top

    def get_rotation(self) -> int:
        """By how many degrees it is shown turned, clockwise."""
        quarters = raw.FPDFPage_GetRotation(self.raw)
        if quarters not in range(4):
            raise PdfiumError
        return 90 * int(quarters)

    def get_textpage(self) -> TextPage:
        """Its text."""
        return TextPage(_there(raw.FPDFText_LoadPage(self.raw)))

    def close(self) -> None:
        """Give it back."""
        raw.FPDF_ClosePage(self.raw)


class TextPage:
    """The text of a page."""

    def __init__(self, handle: int) -> None:
        self.raw = handle

    def count_chars(self) -> int:
        """How many characters it has."""
        count = int(raw.FPDFText_CountChars(self.raw))
        if count < 0:
            raise PdfiumError
        return count

    def get_text_range(self) -> str:
        """All of it, without the characters before the first and behind the last that are of a text at all."""
        first, last = 0, self.count_chars() - 1
        at = raw.FPDFText_GetTextIndexFromCharIndex
        while first <= last and at(self.raw, first) < 0:
            first += 1
        while first <= last and at(self.raw, last) < 0:
            last -= 1
        if first > last:
            return ""
        room = at(self.raw, last) - at(self.raw, first) + 2  # and a zero behind them
        found = (c_ushort * room)()
        written = raw.FPDFText_GetText(self.raw, first, last - first + 1, found)
        return bytes(found)[: 2 * (min(written, room) - 1)].decode("utf-16-le", "ignore")

    def unmapped(self) -> float:
        """The share of its letters that mean nothing outside their fonts; of every fifth of them, for speed."""
        asked = range(0, self.count_chars(), 5)
        lost = [at for at in asked if raw.FPDFText_HasUnicodeMapError(self.raw, at) == 1]
        return len(lost) / max(1, len(asked))

    def close(self) -> None:
        """Give it back."""
        raw.FPDFText_ClosePage(self.raw)


def _there(handle: int | None) -> int:
    if not handle:
        raise PdfiumError
    return handle


def _text(asked: Any, *of: Any) -> str:
    """A text that PDFium first tells the length of."""
    size = asked(*of, None, 0)
    found = ctypes.create_string_buffer(size)
    asked(*of, found, size)
    return found.raw[: max(size - 2, 0)].decode("utf-16-le")
