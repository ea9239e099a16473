"""Inspection: the whole log in the database, verified from the stored leaves.

    1. leaves → tiles → roots → signatures, checkpoint by checkpoint (see replay)
    2. each tenant's list of events says what the leaves say, no more and no less
    3. every producer's count ends where its counter stands: nothing vanished from the outbox
    4. the last checkpoint this home has seen is part of this log: the database was not set back

All in one snapshot, block by block; memory does not grow with the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from bastide.audit.keeping import Keeping
from bastide.audit.merkle import HASH_BYTES, NotProven
from bastide.audit.note import Checkpoint, PublicKey
from bastide.audit.replay import Leaf, Replay
from bastide.audit.tiles import WIDTH, widths
from bastide.audit.values import Verification
from bastide.store import Db, Store, queries

_Q = queries("bastide.audit")
_ONE_PICTURE, _LOG, _LAST_CHECKPOINTS, _UPPER_TILES = (
    _Q["one_picture"],
    _Q["log"],
    _Q["last_checkpoints"],
    _Q["upper_tiles"],
)
_LEAF_BLOCKS, _LEAF_TILES, _CHECKPOINTS = _Q["leaf_blocks"], _Q["leaf_tiles"], _Q["checkpoints"]
_BEYOND, _DOUBLED_EVENTS, _COUNTERS = _Q["beyond"], _Q["doubled_events"], _Q["counters"]

_LEAVES_AT_ONCE = 64 * WIDTH

_Block: TypeAlias = tuple[int, bytes, list[int], list[int], list[str]]  # n, bodies joined, lengths, indices, lines


class Inspection:
    """One verification of one log."""

    def __init__(self, store: Store, keeping: Keeping, key: PublicKey) -> None:
        self._store = store
        self._keeping = keeping
        self._key = key
        self._tenants: dict[str, str] = {}  # a leaf's pseudonym -> the tenant whose list has its event
        self._latest: Checkpoint | None = None

    async def run(self) -> Verification:
        """Verify everything."""
        async with self._store.as_operator(reason="audit verify") as db:
            await db.run(_ONE_PICTURE)
            size, forged = await self._signed_size(db)
            upper = {(level, n): bytes(hashes) for level, n, hashes in await db.rows(tuple, _UPPER_TILES)}
            replay = Replay(self._key, upper, whole_history=True)
            for one in forged:
                replay.report(max(one - 1, 0), f"the checkpoint of size {one} does not hold")
            await self._check_identity(db, replay)
            self._read_latest(replay, size)
            await self._check_leaves(db, replay, size)
            replay.finish(size)
            await self._check_beyond(db, replay, size)
            await self._check_counters(db, replay)
        valid, index, problems, warnings = replay.outcome()
        return Verification(
            valid, "log", self._key.name, index, size, problems=problems, warnings=warnings, key="database"
        )

    async def _signed_size(self, db: Db) -> tuple[int, list[int]]:
        """The size of the last checkpoint that this log has signed, and of those after it that it has not."""
        forged: list[int] = []
        for size, note in await db.rows(tuple, _LAST_CHECKPOINTS):
            try:
                if Checkpoint.open(note, self._key).size == size:
                    return size, forged
            except NotProven:
                pass
            forged.append(size)
        return 0, forged or [0]

    async def _check_identity(self, db: Db, replay: Replay) -> None:
        row = await db.row(tuple, _LOG)
        if row is None or row[1] != str(self._key) or f"bastide/{row[0]}" != self._key.name:
            replay.report(-1, "the database names another log key than the one this house started with")

    # -- leaves, tiles, checkpoints, events ---------------------------------------------------------

    async def _check_leaves(self, db: Db, replay: Replay, size: int) -> None:
        parts = [(low, min(low + _LEAVES_AT_ONCE, size)) for low in range(0, size, _LEAVES_AT_ONCE)]
        read = await self._read(db, *parts[0]) if parts else None
        for part, following in zip(parts, [*parts, None][1:], strict=True):
            assert read is not None
            followed = asyncio.create_task(asyncio.to_thread(self._follow, replay, part, *read))
            try:
                read = await self._read(db, *following) if following else None  # while the last is being followed
            finally:
                await followed

    @staticmethod
    async def _read(db: Db, low: int, high: int) -> tuple[dict[int, _Block], dict[int, bytes], list[tuple[int, str]]]:
        blocks: dict[int, _Block] = {row[0]: row for row in await db.rows(tuple, _LEAF_BLOCKS, low=low, high=high)}
        tiles: dict[int, bytes] = dict(await db.rows(tuple, _LEAF_TILES, low=low // WIDTH, high=-(-high // WIDTH)))
        checkpoints: list[tuple[int, str]] = await db.rows(tuple, _CHECKPOINTS, low=low or -1, high=high)
        return blocks, tiles, checkpoints

    def _follow(
        self,
        replay: Replay,
        part: tuple[int, int],
        blocks: dict[int, _Block],
        tiles: dict[int, bytes],
        checkpoints: Sequence[tuple[int, str]],
    ) -> None:
        at = 0
        for first in range(*part, WIDTH):
            width = min(WIDTH, part[1] - first)
            n = first // WIDTH
            entries, lines = self._unpack(replay, blocks.get(n), first, width)
            upto = at
            while upto < len(checkpoints) and checkpoints[upto][0] <= first + width:
                upto += 1
            inside, at = checkpoints[at:upto], upto
            leaves = replay.block(entries, bytes(tiles.get(n, b""))[: width * HASH_BYTES], inside)
            self._compare_events(replay, first, leaves, lines)
            self._compare_latest(replay, inside)

    @staticmethod
    def _unpack(replay: Replay, row: _Block | None, first: int, width: int) -> tuple[list[bytes | None], list[str]]:
        if row is None:
            return [None] * width, [""] * width
        _, joined, lengths, indices, lines = row
        bodies: list[bytes | None] = []
        at = 0
        for length in lengths:
            bodies.append(joined[at : at + length])
            at += length
        if indices == list(range(first, first + width)):
            return bodies, lines
        for before, after in pairwise(indices):
            if before == after:
                replay.report(before, "two events name this leaf")
        by_index = dict(zip(indices, bodies, strict=True))
        line_of = dict(zip(indices, lines, strict=True))
        wanted = range(first, first + width)
        return [by_index.get(i) for i in wanted], [line_of.get(i, "") for i in wanted]

    def _compare_events(self, replay: Replay, first: int, leaves: list[Leaf | None], lines: list[str]) -> None:
        known = self._tenants
        if [f"{_line(leaf)}|{known.get(str(leaf.get('tenant')))}" if leaf else "" for leaf in leaves] == lines:
            return  # the ordinary case, fast
        for offset, (leaf, line) in enumerate(zip(leaves, lines, strict=True)):
            if leaf is None:
                continue
            told, _, tenant = line.rpartition("|")
            if told != _line(leaf):
                text = "the tenant's list of events says otherwise" if line else "its event was deleted"
                replay.report(first + offset, text)
            elif known.setdefault(str(leaf.get("tenant")), tenant) != tenant:
                replay.report(first + offset, "its event stands in another tenant's list")

    async def _check_beyond(self, db: Db, replay: Replay, size: int) -> None:
        row = await db.row(tuple, _BEYOND, size=size)
        assert row is not None
        leaf, event, events, tiles = row
        if leaf is not None:
            replay.report(leaf, "the leaf lies outside the last checkpoint")
        if event is not None:
            replay.report(event, "an event without a leaf")
        if events > size and event is None:
            doubled = await db.value(_DOUBLED_EVENTS)
            replay.report(-1 if doubled is None else doubled, "more events than leaves")
        expected = sum(1 for _ in widths(size))
        if tiles > expected:
            replay.report(-1, f"there are {tiles} tiles where {expected} belong to this size")

    # -- what vanished ------------------------------------------------------------------------------

    @staticmethod
    async def _check_counters(db: Db, replay: Replay) -> None:
        rest = dict(replay.counts)
        for producer, n, waiting, first, last in await db.rows(tuple, _COUNTERS):
            seen = rest.pop(producer, 0)
            whole = (first == seen + 1 and last == n and waiting == n - seen) if waiting else n == seen
            if not whole:
                lost = n - seen - waiting
                replay.report(-1, f"{lost} events of producer {producer[:8]} were recorded and never reached the log")
        for producer in rest:
            replay.report(-1, f"the counter of producer {producer[:8]} was deleted")

    def _read_latest(self, replay: Replay, size: int) -> None:
        try:
            self._latest = self._keeping.latest(self._key)
        except (NotProven, OSError) as fault:
            replay.report(-1, f"checkpoint.latest does not hold: {fault}")
            return
        if self._latest and self._latest.size > size:
            replay.report(size, f"the database was set back: this house has signed {self._latest.size} leaves")

    def _compare_latest(self, replay: Replay, inside: Sequence[tuple[int, str]]) -> None:
        for size, note in inside:
            if self._latest and size == self._latest.size:
                try:
                    root = Checkpoint.open(note, self._key).root
                except NotProven:
                    continue  # reported by the replay
                if root != self._latest.root:
                    replay.report(size - 1, f"two checkpoints of size {size} with different roots: a split view")


def _line(leaf: Leaf) -> str:
    return f"{leaf.get('event')}|{leaf.get('act')}|{leaf.get('outcome')}|{leaf.get('t')}"
