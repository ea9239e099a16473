"""Export: the log as static files that anybody can keep, serve and verify.

The folder has the layout of C2SP tlog-tiles, and `log.vkey`. An older export of the same log is
continued: what it holds stays, what is new is added, and the checkpoint is replaced last, so that the
folder is whole at every moment.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from bastide.audit.keeping import replace_whole
from bastide.audit.merkle import HASH_BYTES, NotProven
from bastide.audit.note import Checkpoint, PublicKey
from bastide.audit.tiles import WIDTH, Frontier, edge_tiles, pack_entries, tile_path, widths
from bastide.audit.values import Exported
from bastide.audit.verify import CHECKPOINT, VKEY
from bastide.errors import LogDamaged, OtherLog
from bastide.store import Store, queries

_Q = queries("bastide.audit")
_LAST_CHECKPOINT, _TILES, _LEAF_BODIES = _Q["last_checkpoint"], _Q["tiles"], _Q["leaf_bodies"]

_TILES_AT_ONCE = 64
_WHY = "audit export"


@dataclass(frozen=True, slots=True)
class _Held:
    """What the folder holds already."""

    size: int
    root: bytes | None


async def export(store: Store, key: PublicKey, folder: Path) -> Exported:
    """Write the log into `folder`, or continue the export that lies there.

    Raises OtherLog when the folder holds another log, or one that is no beginning of this.
    """
    held = await asyncio.to_thread(_held, folder, key)
    async with store.as_operator(reason=_WHY) as db:
        row = await db.row(tuple, _LAST_CHECKPOINT)
    if row is None:
        raise LogDamaged("The audit log has no checkpoint.")
    size, note = row
    if held.size > size:
        raise OtherLog(f"The folder holds {held.size} leaves of this log, the database only {size}.")
    await _check_beginning(store, held)
    files = 0
    wanted = [one for one in widths(size) if _fresh(one, held.size)]
    for start in range(0, len(wanted), _TILES_AT_ONCE):
        files += await _write_tiles(store, folder, wanted[start : start + _TILES_AT_ONCE])
    for n in range(held.size // WIDTH, -(-size // WIDTH)):
        files += await _write_entries(store, folder, n, min(WIDTH, size - n * WIDTH))
    await asyncio.to_thread(_finish, folder, key, note)
    return Exported(f"{key.name}", size, size - held.size, files)


def _held(folder: Path, key: PublicKey) -> _Held:
    checkpoint = folder / CHECKPOINT
    try:
        if (folder / VKEY).exists() and str(PublicKey.parse((folder / VKEY).read_text("utf-8"))) != str(key):
            raise OtherLog
        if checkpoint.exists():
            found = Checkpoint.open(checkpoint.read_text("utf-8"), key)
            return _Held(found.size, found.root)
    except (NotProven, ValueError) as fault:
        raise OtherLog(f"The folder's {VKEY} or {CHECKPOINT} is not of this log: {fault}.") from fault
    if (folder / "tile").exists() and not (folder / VKEY).exists():
        raise OtherLog("The folder holds tiles, but neither key nor checkpoint say of which log.")
    return _Held(0, None)


async def _check_beginning(store: Store, held: _Held) -> None:
    if held.root is None:
        return
    edges = edge_tiles(held.size)
    async with store.as_operator(reason=_WHY) as db:
        rows = await db.rows(tuple, _TILES, levels=[one[0] for one in edges], ns=[one[1] for one in edges])
    try:
        frontier = Frontier.restore(held.size, {(level, n): bytes(hashes) for level, n, hashes in rows})
    except NotProven as fault:
        raise LogDamaged(f"The stored tiles cannot be exported: {fault}.") from fault
    if frontier.root() != held.root:
        raise OtherLog("The folder's checkpoint is no beginning of this log: one of the two was changed.")


def _fresh(tile: tuple[int, int, int], held: int) -> bool:
    level, n, _ = tile
    return (n + 1) * WIDTH > held >> (8 * level)


async def _write_tiles(store: Store, folder: Path, tiles: list[tuple[int, int, int]]) -> int:
    async with store.as_operator(reason=_WHY) as db:
        rows = await db.rows(tuple, _TILES, levels=[one[0] for one in tiles], ns=[one[1] for one in tiles])
    stored = {(level, n): bytes(hashes) for level, n, hashes in rows}
    files = {}
    for level, n, width in tiles:
        hashes = stored.get((level, n), b"")[: width * HASH_BYTES]
        if len(hashes) < width * HASH_BYTES:
            raise LogDamaged(f"The tile {level}/{n} is missing or too short.")
        files[folder / tile_path(level, n, width)] = hashes
    await asyncio.to_thread(_write_all, files)
    return len(files)


async def _write_entries(store: Store, folder: Path, n: int, width: int) -> int:
    async with store.as_operator(reason=_WHY) as db:
        rows = await db.rows(tuple, _LEAF_BODIES, low=n * WIDTH, high=n * WIDTH + width)
    if len(rows) != width:
        raise LogDamaged(f"Between the leaves {n * WIDTH} and {n * WIDTH + width} some are missing.")
    bundle = pack_entries(bytes(body) for (body,) in rows)
    await asyncio.to_thread(_write_all, {folder / tile_path("entries", n, width): bundle})
    return 1


def _write_all(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.replace(path)


def _finish(folder: Path, key: PublicKey, note: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":
        os.sync()  # the tiles before the checkpoint that vouches for them
    replace_whole(folder / VKEY, f"{key}\n".encode())
    replace_whole(folder / CHECKPOINT, note.encode())
