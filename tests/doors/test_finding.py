"""What a folder holds: each file by its name, and whatever is none by its name and the reason."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.cli.finding import Found, found_in
from bastide.cli.printing import plain
from bastide.errors import MissingFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, and one of everything else that a folder can hold."""
    top = tmp_path / "papers"
    (top / "below").mkdir(parents=True)
    (top / "lease.md").write_text("The lease of the mill.")
    (top / "below" / "mill.md").write_text("The mill has two wheels.")
    (top / ".git").mkdir()
    (top / ".git" / "config").write_text("hidden")
    (top / "below" / ".note").write_text("hidden")
    (top / "same.md").symlink_to("lease.md")
    (top / "again").symlink_to("below")
    (top / "nowhere.md").symlink_to("/nowhere/at/all")
    (top / "circle.md").symlink_to("circle.md")
    os.mkfifo(top / "pipe.md")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(top / "s"))
    return top


def test_files_are_found_and_what_is_none_is_named_with_the_reason(folder: Path) -> None:
    found = found_in([folder, folder / "lease.md"])
    assert [name for _, name in found.files] == ["lease.md", "same.md", "below/mill.md", "lease.md"]
    assert all(path.is_file() for path, _ in found.files)
    assert {one.name for one in found.hidden} == {".git", "below/.note"}
    assert {one.name: one.why for one in found.skipped} == {
        "again": "It is a link to a folder, and such links are not followed.",
        "nowhere.md": "It is a link that leads nowhere.",
        "circle.md": "It is a link that leads in a circle.",
        "pipe.md": "It is a pipe, no file.",
        "s": "It is a socket, no file.",
    }
    assert found.closed == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.md", "There is no"), ("nowhere.md", "leads nowhere"), ("pipe.md", "It is a pipe, no file")],
)
def test_what_was_named_itself_is_missed_with_the_reason(folder: Path, name: str, said: str) -> None:
    with pytest.raises(MissingFile, match=said):
        found_in([folder / name])


@pytest.fixture
def too_deep(tmp_path: Path) -> Iterator[Path]:
    """A folder of folders whose inmost has a path that is longer than any may be: nobody can open it by its name."""
    here, name = os.open(tmp_path, os.O_RDONLY), "d" * 200
    for _ in range(25):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    yield tmp_path
    inmost = tmp_path
    while len(str(inmost / name)) < 4000:
        inmost /= name
    moved = os.open(inmost, os.O_RDONLY)  # what is too deep is lifted, so that whoever clears up can reach it
    os.rename(name, tmp_path / "lifted", src_dir_fd=moved)
    os.close(moved)


def test_a_folder_that_cannot_be_opened_is_told_and_may_hold_anything(too_deep: Path) -> None:
    found = found_in([too_deep])
    assert found.files == []
    (closed,) = found.closed
    assert closed.why == "The folder cannot be opened: File name too long."
    assert found.may_hold(closed.name)
    assert found.may_hold(f"{closed.name}/lease.md")
    assert not found.may_hold(f"{closed.name}.md")
    assert not Found().may_hold(closed.name)


@given(st.text())
def test_no_name_gives_a_terminal_orders(name: str) -> None:
    shown = plain(name)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u202a\u202e\u2066\u2069" for one in shown)
    shown.encode()
    assert shown == name or not name.isprintable()


def test_letters_of_every_script_are_shown_as_they_are() -> None:
    assert plain("Führung نامه‌ها 契約.md") == "Führung نامه‌ها 契約.md"
    assert plain("a\x1b[2J\nb\u202e.md") == "a\\x1b[2J\\nb\\u202e.md"
