"""Forms: what clients send as multipart/form-data (RFC 7578), read as UTF-8 and as nothing else.

The parser behind reads what is no UTF-8 as Latin-1 without a word. So it is told Latin-1, which loses no byte, and the
bytes are read here.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bastide.errors import BadRequest

_KIND: Final = b"multipart/form-data"
_OF_UTF_8: Final = frozenset({"utf-8", "ascii"})
_NEXT: Final = "Send names and texts in UTF-8; files may be anything."


async def form_of(request: Request, *, files_max: int, fields_max: int) -> FormData:
    """The form, which whoever asks for it closes; an empty one where the body is none.

    Raises BadRequest for what is not UTF-8, is too much, or cannot be read.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != _KIND:
        return FormData()
    headers = Headers({"content-type": _in_latin_1(options)})
    parser = MultiPartParser(headers, request.stream(), max_files=files_max, max_fields=fields_max)
    try:
        raw = await parser.parse()
    except MultiPartException as fault:
        raise BadRequest(f"The body cannot be read: {fault.message.rstrip('.')}.") from fault
    try:
        return FormData([_read(name, value) for name, value in raw.multi_items()])
    except BaseException:
        await raw.close()
        raise


@asynccontextmanager
async def opened_form(request: Request, *, files_max: int, fields_max: int) -> AsyncGenerator[FormData]:
    """The same, open while the block runs."""
    form = await form_of(request, files_max=files_max, fields_max=fields_max)
    try:
        yield form
    finally:
        await form.close()


def _in_latin_1(options: dict[bytes, bytes]) -> str:
    """The media type with this boundary. Raises BadRequest where another charset is named, or no boundary."""
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    try:
        known = codecs.lookup(charset).name if len(charset) < 64 else ""
    except (LookupError, ValueError):
        known = ""
    if known not in _OF_UTF_8:
        raise BadRequest(f"The form is said to be in {charset[:64]!r}, not in UTF-8.", next_step=_NEXT)
    if b"boundary" not in options:
        raise BadRequest("The body cannot be read: the form has no boundary.")
    quoted = options[b"boundary"].decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    return f'multipart/form-data; charset=latin-1; boundary="{quoted}"'


def _read(name: str, value: str | UploadFile) -> tuple[str, str | UploadFile]:
    raw = name.encode("latin-1")
    shown = raw.decode("utf-8", "replace")[:64]
    named = _text(raw, "name of a field", shown)
    if isinstance(value, str):
        return named, _text(value.encode("latin-1"), "text", shown)
    value.filename = _text((value.filename or "").encode("latin-1"), "name of the file", shown)
    return named, value


def _text(raw: bytes, what: str, shown: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise BadRequest(f"The {what} in `{shown}` is not UTF-8.", next_step=_NEXT, param=shown) from fault
