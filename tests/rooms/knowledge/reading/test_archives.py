"""Archives: files read as what they are, bombs and locks told or refused, names that lead out, what is cut off."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile

import pytest

from bastide import errors
from bastide.knowledge.reading import Limits, read
from tests.rooms.knowledge.reading.office import contract_docx, contract_odt, gzipped, mail, tar_of, zip_of
from tests.rooms.knowledge.reading.test_formats import outline

FILES = {
    "docs/a.txt": b"Words of the first file.",
    "docs/b.md": b"# Title\n\nWords of the second.",
    "c.csv": b"a,b\n1,2\n",
}
PACKED = {
    "zip": zip_of(FILES),
    "tar": tar_of(FILES),
    "tar.gz": tar_of(FILES, "w:gz"),
    "tar.bz2": tar_of(FILES, "w:bz2"),
    "tar.xz": tar_of(FILES, "w:xz"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_every_file_is_a_section_read_as_what_it_is(kind: str) -> None:
    reading = read(f"a.{kind}", PACKED[kind])
    assert outline(reading) == ["docs/a.txt", "docs/b.md", "  Title", "c.csv"]
    assert [cell.header for node in reading.nodes for cell in node.cells] == [True, True, False, False]
    assert reading.problems == ()


@pytest.mark.parametrize("kind", PACKED)
def test_cut_off_archives_are_refused_whole(kind: str) -> None:
    data = PACKED[kind]
    for share in (0.1, 0.2, 0.29) if kind == "tar" else (0.3, 0.6, 0.9):  # a TAR ends in much padding
        with pytest.raises(errors.Refusal) as refused:
            read(f"a.{kind}", data[: int(len(data) * share)])
        assert refused.value.code == "knowledge.unreadable_file"


def test_one_packed_file() -> None:
    reading = read("a.gz", gzipped(b"# Title\n\nwords", "notes.md"))
    assert outline(reading) == ["notes.md", "  Title"]
    assert read("a.bz2", bz2.compress(b"words of text")).text == "content\n\nwords of text"
    assert read("a.xz", lzma.compress(b"words of text")).text == "content\n\nwords of text"
    assert outline(read("a.gz", gzipped(contract_docx(), "l.docx")))[:2] == ["l.docx", "  Rental handbook"]
    two = gzipped(b"one ") + gzipped(b"two")
    assert "one two" in read("a.gz", two).text


def test_bombs() -> None:
    with pytest.raises(errors.BombFile, match="zeros"):
        read("a.zip", zip_of({"zeros.txt": bytes(30_000_000)}))
    with pytest.raises(errors.BombFile):
        read("a.gz", gzipped(bytes(30_000_000)))
    with pytest.raises(errors.BombFile):
        read("a.xz", lzma.compress(bytes(30_000_000)))
    with pytest.raises(errors.BombFile, match="5,000"):
        read("a.zip", zip_of({f"{n}.txt": b"words " * 300 for n in range(9)}), Limits(unpacked_max=5_000))
    layers = b"At the bottom of it all."
    for n in range(9):
        layers = zip_of({f"{n}.zip" if n else "a.txt": layers})
    with pytest.raises(errors.BombFile, match="holds further files"):
        read("a.zip", layers)


def test_the_limit_holds_for_archives_within_archives_together() -> None:
    inner = zip_of({"a.txt": b"abc " * 2_000})
    outer = zip_of({f"{n}.zip": inner for n in range(20)})
    assert read("a.zip", outer, Limits(unpacked_max=400_000)).text.count("a.txt") == 20
    with pytest.raises(errors.BombFile, match="100,000"):
        read("a.zip", outer, Limits(unpacked_max=100_000))


def test_a_file_with_a_password_is_told_and_an_archive_of_them_is_refused() -> None:
    data = bytearray(PACKED["zip"])
    data[data.index(b"PK\x01\x02") + 8] |= 1
    reading = read("a.zip", bytes(data))
    assert reading.problems == ("docs/a.txt: It is protected by a password.",)
    assert outline(reading)[0] == "docs/b.md"
    for at in [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]:
        data[at + 8] |= 1
    with pytest.raises(errors.EncryptedFile):
        read("a.zip", bytes(data))


def test_a_damaged_file_is_told_and_the_rest_is_read() -> None:
    data = bytearray(zip_of({"a.txt": bytes(n * n % 251 for n in range(900)), "b.txt": b"Fine words."}))
    data[145:160] = bytes(15)
    reading = read("a.zip", bytes(data))
    assert reading.problems == ("a.txt: It is damaged and cannot be unpacked.",)
    assert reading.text.endswith("Fine words.")


@pytest.mark.parametrize(
    "name",
    ["../../up.txt", "/etc/up.txt", "C:\\windows\\up.txt", "a/../../up.txt", "./././up.txt", "..", "\x1bup\n.txt"],
)
def test_names_that_lead_out(name: str) -> None:
    for data in (zip_of({name: b"Some words."}), tar_of({name: b"Some words."})):
        reading = read("a", data)
        title = outline(reading)[0]
        assert ".." not in title
        assert not title.startswith(("/", "C:", "."))
        assert title.isprintable()


def test_links_and_devices_of_a_tar_are_not_followed() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        device = tarfile.TarInfo("zero")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
        plain = tarfile.TarInfo("a.txt")
        plain.size = 11
        archive.addfile(plain, io.BytesIO(b"Some words."))
    reading = read("a.tar", out.getvalue())
    assert reading.text == "a.txt\n\nSome words."
    assert reading.problems == tuple(f"{name}: It is a link or a device, no file." for name in ("passwd", "zero"))


def test_a_file_without_a_name() -> None:
    data = zip_of({"x": b"Some words."}).replace(b"x", b"\0")  # a name ends at a zero
    assert outline(read("a.zip", data)) == ["without a name"]


def test_empty_archives_and_litter() -> None:
    for data in (zip_of({}), zip_of({"__MACOSX/x": b"y", "a/.DS_Store": b"z"}), zip_of({"a.txt": b""})):
        with pytest.raises(errors.EmptyFile):
            read("a.zip", data)


def test_many_files_and_two_of_one_name() -> None:
    many = zip_of({f"{n:04}.txt": b"w" for n in range(600)})
    assert sum(node.kind == "section" for node in read("a.zip", many).nodes) == 600
    with pytest.raises(errors.FileTooLarge, match="600 files"):
        read("a.zip", many, Limits(members_max=599))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "First words.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "Other words.")
    assert "Other words." in read("a.zip", out.getvalue()).text


def test_pages_marks_and_problems_come_from_within() -> None:
    reading = read(
        "a.zip",
        zip_of({"x/l.odt": contract_odt(), "m.eml": mail(Sensitivity="Private"), "n.txt": "Häuser".encode("cp1252")}),
    )
    assert reading.marks == ("Sensitivity: Private",)
    assert reading.problems == ("n.txt: not UTF-8; read as windows-1252, so letters with accents may be wrong",)
    assert reading.pages is None
