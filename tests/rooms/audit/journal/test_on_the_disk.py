"""What a call left is on the disk before anybody asks: sealed, whole, and gone when it was carried."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.rooms.audit.conftest import Logged, somebody

from bastide.audit import Journal
from bastide.audit.entries import Reading, Writing
from bastide.audit.segments import SYNC, Folder, Reader, Writer
from bastide.store import new_id

from .journals import call, carried, keep_back, let_go, made, recorded, until, written


async def test_segments_are_sealed_and_for_their_owner_only(journal: Journal, tmp_path: Path) -> None:
    ours = somebody()
    keep_back(journal)
    id = made(journal, ours, call(model="a-model-of-ours"), subjects=["anna"])
    await until(lambda: bool(journal._reach))
    folder = tmp_path / "journal"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = [path for path in folder.iterdir() if not path.name.endswith(".lock")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert stat.S_IMODE((tmp_path / "secrets" / "journal-key").stat().st_mode) == 0o600
    content = file.read_bytes()
    for word in (id, ours.tenant, "a-model-of-ours", "anna", "lease", "R01"):
        assert word.encode() not in content
    assert file.stat().st_size < 4096


def frames_of(folder: Folder) -> tuple[Any, Path, list[int]]:
    """A file with five frames, and where each ends."""
    owned = folder.claim()
    writer = Writer(owned, sync=SYNC)
    writer.begin()
    ends = []
    for n in range(5):
        writer.append([b"frame %d" % n])
        ends.append(writer.size)
    writer.close()
    (_, path) = owned.files()[0]
    return owned, path, ends


def test_a_torn_end_is_not_there_and_what_is_whole_is(tmp_path: Path) -> None:
    owned, path, ends = frames_of(Folder(tmp_path))
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        expected = [b"frame %d" % n for n, end in enumerate(ends) if end <= size]
        assert [content for _, content, _ in Reader(owned).read()] == expected
    path.write_bytes(whole + bytes(100))  # space that the file system gave and nobody filled
    assert len(list(Reader(owned).read())) == 5
    path.write_bytes(whole + os.urandom(100))
    assert len(list(Reader(owned).read())) == 5


def test_a_damaged_frame_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    owned, path, ends = frames_of(Folder(tmp_path))
    whole = bytearray(path.read_bytes())
    whole[ends[1] + 20] ^= 1
    path.write_bytes(whole)
    assert [number for number, _, _ in Reader(owned).read()] == [0, 1, 3, 4]
    swapped = path.read_bytes()
    path.write_bytes(swapped[ends[0] :] + swapped[: ends[0]])
    assert [content for _, content, _ in Reader(owned).read()] == [], "a frame belongs to its place"


def test_another_home_cannot_read_it(tmp_path: Path) -> None:
    owned, path, _ = frames_of(Folder(tmp_path / "one"))
    other = Folder(tmp_path / "two")
    theirs = other.claim()
    (other.path / path.name.replace(owned.name, theirs.name)).write_bytes(path.read_bytes())
    assert list(Reader(theirs).read()) == []


def test_what_rests_on_a_lost_frame_is_counted_and_not_guessed() -> None:
    writing, reading = Writing(), Reading()
    scope, said = somebody(), call()
    contents = []
    for _ in range(2):
        writing.over(new_id("rcp"), scope, said, b"", (b"", b""), "done", "", [])
        contents.append(writing.taken(1.0))
    assert reading.read(contents[1])[2:] == ([], 1)
    assert len(reading.read(contents[0])[2]) == 1
    assert len(reading.read(contents[1])[2]) == 1
    reading.begin()
    assert reading.read(contents[1])[3] == 1, "numbers count within one file"


async def test_calls_that_the_disk_has_spoiled_are_waited_for_no_longer(logged: Logged, journal: Journal) -> None:
    ours = somebody()
    keep_back(journal)
    made(journal, ours)
    owned = await written(journal)
    made(journal, ours)  # its frame rests on the first
    await until(lambda: len(journal._reach) == 2)
    ((_, path),) = owned.files()
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    let_go(journal)
    await carried(journal)
    assert await recorded(logged, ours) == []


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"")])
async def test_calls_that_are_gone_from_the_disk_are_told_as_lost(
    logged: Logged, journal: Journal, spoil: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    ours = somebody()
    keep_back(journal)
    made(journal, ours)
    ((_, path),) = (await written(journal)).files()
    spoil(path)
    let_go(journal)
    await carried(journal)
    assert "the receipts of 1 calls cannot be read from the journal and are lost" in caplog.text
    assert await recorded(logged, ours) == []


async def test_a_file_goes_when_all_of_it_was_carried(
    logged: Logged, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bastide.audit.journal._FILE_BYTES_MAX", 1)
    ours = somebody()
    long = journal.begin(ours, call)
    ids = []
    for _ in range(4):
        ids += [made(journal, ours) for _ in range(3)]
        await carried(journal)
    files = [path.name for path in (tmp_path / "journal").iterdir() if not path.name.endswith(".lock")]
    assert len(files) == 1, "and the call that goes on is noted in the last one again"
    long.close(call())
    await journal.stop()
    assert list((tmp_path / "journal").iterdir()) == []
    assert await recorded(logged, ours) == [*ids, long.id]
