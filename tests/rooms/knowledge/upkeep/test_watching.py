"""A watched folder: what is new and changed comes in, what is known is left, and the house remembers it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from bastide.cli.watching import Looked, Seen, Watch, followed, place_of
from bastide.errors import BadName, BadOption, Forbidden, MissingFile, Unreachable
from bastide.knowledge import Knowledge
from bastide.knowledge.watching import WatchedFile
from bastide.store import Scope
from tests.rooms.knowledge.conftest import LEASE, MENU

LONG_AGO = 1_700_000_000


@dataclass
class Near:
    """The house without a line between: the room itself."""

    knowledge: Knowledge
    scope: Scope
    place: str
    handed_in: int = 0
    away: bool = False

    async def files(self) -> list[Seen]:
        """What it remembers."""
        return [Seen(**asdict(one)) for one in await self.knowledge.upkeep.watched(self.scope, self.place)]

    async def take_in(self, path: Path, name: str) -> dict[str, Any]:
        """Hand a file in."""
        if self.away:
            raise Unreachable("The house is away.")
        self.handed_in += 1
        taken = await self.knowledge.ingest(self.scope, name, path.read_bytes(), collection="folder", vectors=False)
        return asdict(taken.documents[0])

    async def note(self, file: Seen) -> None:
        """Remember."""
        await self.knowledge.upkeep.note_watched(self.scope, self.place, WatchedFile(**asdict(file)))

    async def forget(self, paths: list[str]) -> None:
        """Forget."""
        await self.knowledge.upkeep.forget_watched(self.scope, self.place, paths)

    async def delete(self, document: str) -> None:
        """Delete."""
        await self.knowledge.delete(self.scope, document, reason="the file is gone")


def put(folder: Path, name: str, data: bytes, at: int = LONG_AGO) -> None:
    """A file that was written at a time."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))


async def names(knowledge: Knowledge, scope: Scope) -> dict[str, int]:
    """The documents by name, with their versions."""
    return {one.name: one.version for one in (await knowledge.documents(scope, limit=100)).items}


@pytest.fixture
def near(knowledge: Knowledge, ours: Scope, tmp_path: Path) -> Near:
    """Our house, and a folder with two files."""
    put(tmp_path, "lease.md", LEASE)
    put(tmp_path, "sub/menu.md", MENU)
    put(tmp_path, ".hidden.md", b"Nothing to see.")
    return Near(knowledge, ours, place_of(tmp_path, "folder"))


async def test_new_and_changed_files_come_in_and_known_ones_are_left(
    near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path
) -> None:
    watch = Watch(tmp_path, near)
    assert await watch.look() == Looked(taken_in=2)
    assert await names(knowledge, ours) == {"lease.md": 1, "sub/menu.md": 1}
    assert await watch.look() == Looked()
    put(tmp_path, "lease.md", LEASE + b"\nMore.", LONG_AGO + 5)
    put(tmp_path, "new.md", b"Something new stands here.")
    assert await watch.look() == Looked(taken_in=2)
    assert (await names(knowledge, ours))["lease.md"] == 2
    put(tmp_path, "sub/menu.md", MENU, LONG_AGO + 9)  # written again, the same
    assert await watch.look() == Looked(unchanged=1)
    assert near.handed_in == 4


async def test_it_goes_on_after_a_restart_where_it_was(
    near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path
) -> None:
    await Watch(tmp_path, near).look()
    put(tmp_path, "lease.md", LEASE + b"\nMore.", LONG_AGO + 5)
    assert await Watch(tmp_path, near).look() == Looked(taken_in=1)
    assert near.handed_in == 3
    assert await Watch(tmp_path, Near(knowledge, ours, place_of(tmp_path, "other"))).look() == Looked(unchanged=2)


async def test_a_file_that_is_being_written_is_left_until_it_rests(near: Near, tmp_path: Path) -> None:
    (tmp_path / "fresh.md").write_bytes(b"This is only half of")
    watch = Watch(tmp_path, near)
    assert await watch.look() == Looked(taken_in=2, later=1)
    put(tmp_path, "fresh.md", b"This is only half of what there is to say.")
    assert await watch.look() == Looked(taken_in=1)


async def test_a_refused_file_is_named_once_and_tried_again_when_it_changes(near: Near, tmp_path: Path) -> None:
    put(tmp_path, "bad.pdf", b"%PDF-1.7\nthis is cut off")
    said: list[str] = []
    assert (await Watch(tmp_path, near, tell=said.append).look()).refused == 1
    assert [line for line in said if "knowledge.unreadable_file" in line]
    assert await Watch(tmp_path, near).look() == Looked()
    put(tmp_path, "bad.pdf", b"%PDF-1.7\nthis is cut off again", LONG_AGO + 5)
    assert (await Watch(tmp_path, near).look()).refused == 1


async def test_only_a_mirror_deletes(near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path) -> None:
    await knowledge.ingest(ours, "mine.md", b"Handed in by a person.", collection="folder", vectors=False)
    watch = Watch(tmp_path, near)
    await watch.look()
    (tmp_path / "lease.md").unlink()
    assert await watch.look() == Looked()
    assert set(await names(knowledge, ours)) == {"lease.md", "sub/menu.md", "mine.md"}
    mirror = Watch(tmp_path, near, mirror=True)
    await mirror.look()
    (tmp_path / "sub/menu.md").unlink()
    assert await mirror.look() == Looked(deleted=1)
    assert set(await names(knowledge, ours)) == {"lease.md", "mine.md"}


async def test_a_mirror_leaves_what_is_on_hold_and_goes_on(near: Near, ours: Scope, tmp_path: Path) -> None:
    said: list[str] = []
    mirror = Watch(tmp_path, near, mirror=True, tell=said.append)
    await mirror.look()
    (lease,) = (await near.knowledge.documents(ours, name="lease.md")).items
    await near.knowledge.upkeep.hold(ours, lease.id, reason="Case 12 is pending.")
    (tmp_path / "lease.md").unlink()
    (tmp_path / "sub/menu.md").unlink()
    assert await mirror.look() == Looked(deleted=1, later=1)
    assert await mirror.look() == Looked(later=1)
    assert len([line for line in said if "Case 12" in line]) == 1
    await near.knowledge.upkeep.release(ours, lease.id)
    assert await mirror.look() == Looked(deleted=1)


async def test_what_was_deleted_in_the_house_is_not_brought_back(
    near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path
) -> None:
    await Watch(tmp_path, near).look()
    (lease,) = (await knowledge.documents(ours, name="lease.md")).items
    await knowledge.delete(ours, lease.id)
    assert await Watch(tmp_path, near).look() == Looked()
    put(tmp_path, "lease.md", LEASE + b"\nMore.", LONG_AGO + 5)
    assert await Watch(tmp_path, near).look() == Looked(taken_in=1)


async def test_a_folder_that_is_gone_deletes_nothing(
    near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path
) -> None:
    mirror = Watch(tmp_path, near, mirror=True)
    await mirror.look()
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(MissingFile):
        await mirror.look()
    assert len(await names(knowledge, ours)) == 2


async def test_it_stops_between_two_files_and_waits_for_a_house_that_is_away(near: Near, tmp_path: Path) -> None:
    stopped = asyncio.Event()
    near.away = True

    def told(line: str) -> None:
        if "Waiting" in line:
            near.away = False
        elif line.startswith("lease.md"):
            stopped.set()

    total = await followed(Watch(tmp_path, near, tell=told), once=False, every_s=0.01, stopped=stopped)
    assert total == Looked(taken_in=1)
    assert await Watch(tmp_path, near).look() == Looked(taken_in=1)
    near.away = True
    put(tmp_path, "new.md", b"Something new stands here.")
    with pytest.raises(Unreachable):
        await followed(Watch(tmp_path, near), once=True, every_s=0.01, stopped=asyncio.Event())


async def test_what_is_remembered_is_the_tenants_own(
    near: Near, neighbour: Scope, nobody: Scope, tmp_path: Path
) -> None:
    await Watch(tmp_path, near).look()
    upkeep = near.knowledge.upkeep
    assert await upkeep.watched(neighbour, near.place) == ()
    await upkeep.forget_watched(neighbour, near.place, ["lease.md"])
    assert len(await upkeep.watched(near.scope, near.place)) == 2
    with pytest.raises(Forbidden):
        await upkeep.watched(nobody, near.place)
    with pytest.raises(Forbidden):
        await upkeep.note_watched(nobody, near.place, WatchedFile("a.md", None, 1, 1))
    for wrong in (WatchedFile("a.md", None, -1, 1), WatchedFile("a.md", None, 1, 2**63)):
        with pytest.raises(BadOption):
            await upkeep.note_watched(near.scope, near.place, wrong)
    with pytest.raises(BadName):
        await upkeep.note_watched(near.scope, near.place, WatchedFile("a\nb.md", None, 1, 1))
    for place in ("", "../x", "A" * 64):
        with pytest.raises(BadOption):
            await upkeep.watched(near.scope, place)


async def test_what_cannot_be_looked_at_is_not_gone_and_its_documents_stay(
    near: Near, knowledge: Knowledge, ours: Scope, tmp_path: Path
) -> None:
    """A drive that is away for a moment: its link leads nowhere, and nothing that was on it is deleted."""
    said: list[str] = []
    watch = Watch(tmp_path, near, mirror=True, tell=said.append)
    drive, away = tmp_path / "sub", tmp_path.parent / f"{tmp_path.name}-drive"
    await watch.look()
    drive.rename(away)
    drive.symlink_to("/nowhere/at/all")
    assert await watch.look() == Looked()
    assert await names(knowledge, ours) == {"lease.md": 1, "sub/menu.md": 1}
    assert "sub: It is a link that leads nowhere." in said
    drive.unlink()
    assert await watch.look() == Looked(deleted=1), "and now it is gone"
    assert await names(knowledge, ours) == {"lease.md": 1}
