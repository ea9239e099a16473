"""Mutations: whatever is done to the bytes of a file, reading gives a sound document or one of its own refusals."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bastide import errors
from bastide.knowledge.reading import Limits, cut, read
from tests.rooms.knowledge.reading.made import bare_docx
from tests.rooms.knowledge.reading.office import (
    contract_docx,
    contract_epub,
    contract_html,
    contract_markdown,
    contract_odp,
    contract_ods,
    contract_odt,
    contract_pptx,
    contract_xlsx,
    gzipped,
    mail,
    tar_of,
    zip_of,
)
from tests.rooms.knowledge.reading.test_laws import well_built, well_cut
from tests.rooms.knowledge.reading.test_mail import outlook
from tests.rooms.knowledge.reading.test_programs import BOMBS, PYTHON
from tests.rooms.knowledge.reading.test_records import FEED

SMALL = Limits(text_max=400_000, nodes_max=20_000, unpacked_max=20_000_000, pixels_max=1_000, seconds_max=5)
LETTER = bare_docx("<w:p><w:r><w:t>Words of the letter.</w:t></w:r></w:p>")
MAKERS: dict[str, Callable[[], bytes]] = {
    "a.docx": contract_docx,
    "a.pptx": contract_pptx,
    "a.xlsx": contract_xlsx,
    "a.odt": contract_odt,
    "a.ods": contract_ods,
    "a.odp": contract_odp,
    "a.epub": contract_epub,
    "a.html": lambda: contract_html().encode(),
    "a.md": lambda: contract_markdown().encode(),
    "a.csv": lambda: b'Name;Sum\n"M\xc3\xbcller; Anna";3\n"x ""y""";4\n',
    "a.json": lambda: b'{"a": [1, {"b": "c", "d": null}], "e": [{"f": 1}, {"f": 2}]}',
    "a.xml": lambda: FEED.encode("iso-8859-1"),
    "a.py": PYTHON.encode,
    "a.eml": lambda: mail(page="<p>Words</p>", files=[("l.docx", LETTER), ("n.txt", b"Note.")]),
    "a.msg": outlook,
    "a.zip": lambda: zip_of({"l.docx": LETTER, "d/n.txt": b"Note.", "m.eml": mail()}),
    "a.tar": lambda: tar_of({"l.docx": LETTER, "d/n.txt": b"Note."}),
    "a.gz": lambda: gzipped(tar_of({"n.txt": b"Note."}), "n.tar"),
    "a.png": lambda: BOMBS["a.png"],
    "a.tif": lambda: BOMBS["a.tif"],
}
_CHANGE = st.tuples(st.sampled_from(["set", "cut", "insert", "repeat", "zero"]), st.floats(0, 1), st.binary(max_size=8))
_HOSTILE = (
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"</a>", b"<a><a><a>", b"\xff\xfe", b"\x00" * 9, b'"', b"99999999999",
    b"-1", b"&#0;", b"\xed\xa0\x80", b"=?utf-8?q?=ff?=", b"\r\n\r\n", b"{" * 40, b"../../x",
)  # fmt: skip


@cache
def _made(name: str) -> bytes:
    return MAKERS[name]()


def changed(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """`data` after each of the changes, one behind the other."""
    out = bytearray(data)
    for kind, share, piece in changes:
        at = int(share * len(out))
        if kind == "set":
            out[at : at + len(piece)] = piece
        elif kind == "cut":
            del out[at : at + 40 * len(piece)]
        elif kind == "insert":
            out[at:at] = _HOSTILE[len(piece) % len(_HOSTILE)] + piece
        elif kind == "repeat":
            out[at:at] = out[at : at + 60] * 3
        else:
            out[at : at + 16] = bytes(min(16, max(0, len(out) - at)))
    return bytes(out)


def changed_within(data: bytes, share: float, changes: list[tuple[str, float, bytes]]) -> bytes:
    """A zip file whose container is sound, and one of whose parts is not."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        parts = [part for part in before.infolist() if part.file_size]
        chosen = parts[min(int(share * len(parts)), len(parts) - 1)]
        for part in parts:
            body = before.read(part)
            after.writestr(part.filename, changed(body, changes) if part is chosen else body)
    return out.getvalue()


def sound_or_refused(name: str, data: bytes) -> None:
    """The law of this file."""
    try:
        reading = read(name, data, SMALL)
    except errors.Refusal as refused:
        assert refused.code.startswith("knowledge.")
        return
    well_built(reading)
    well_cut(reading, cut(reading))
    for node in reading.nodes:
        line = reading.text[node.start : node.end]
        assert all(0 <= cell.start <= cell.end <= len(line) for cell in node.cells)


def _law(name: str) -> Callable[..., None]:
    def law(changes: list[tuple[str, float, bytes]], within: float) -> None:
        data = _made(name)
        inside = data.startswith(b"PK") and within < 0.8
        sound_or_refused(name, changed_within(data, within / 0.8, changes) if inside else changed(data, changes))

    return law


def _often(times: int) -> settings:
    return settings(max_examples=times, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", MAKERS)
def test_mutated_bytes(name: str) -> None:
    _often(50)(given(st.lists(_CHANGE, min_size=1, max_size=4), st.floats(0, 0.999))(_law(name)))()


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_mutated_bytes_for_long(name: str) -> None:
    _often(2_000)(given(st.lists(_CHANGE, min_size=1, max_size=6), st.floats(0, 0.999))(_law(name)))()


@settings(max_examples=100)
@given(st.sampled_from(sorted(MAKERS)), st.binary(max_size=400))
def test_noise_under_every_name(name: str, data: bytes) -> None:
    sound_or_refused(name, data)
