"""The sequencer: the one hand that appends to the log.

A turn is one transaction, so that a crash at any step leaves either nothing or all of it:

    1. take the turn (an advisory lock; another process's turn is waited out by the next look)
    2. take the oldest rows out of the outbox        4. sign the checkpoint of the new size
    3. write leaves, events and tiles                5. commit; then keep the checkpoint outside the database

What a crash between commit and 5 loses is a file that lags, which the next turn mends. Calls that this process carries
itself do not wait in the outbox: they come into a turn of their own, with how far they are carried (see `entering`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bastide.audit.composing import Row
from bastide.audit.entering import Stands, stamped, tenants_of, values_of
from bastide.audit.keeping import Keeping
from bastide.audit.merkle import NotProven, leaf_hashes
from bastide.audit.note import Checkpoint, SecretKey
from bastide.audit.tiles import Frontier, Tiles, edge_tiles
from bastide.errors import AlreadyThere, BastideError, LogDamaged
from bastide.settings import AuditSettings
from bastide.store import Db, Store, ended, for_ever, queries, told_to_end
from bastide.telemetry import count, gauge, log, observe

_Q = queries("bastide.audit")
_TAKE_TURN, _APPEND, _PUT_TILES, _ADD_CHECKPOINT = (
    _Q["take_turn"],
    _Q["append"],
    _Q["put_tiles"],
    _Q["add_checkpoint"],
)
_TILES, _LAST_CHECKPOINT = _Q["tiles"], _Q["last_checkpoint"]
_ENTER, _COUNTS_STRAIGHT = _Q["enter"], _Q["counts_straight"]

_CHANNEL = "audit_outbox"
_QUIET_LOOKS = 10  # short looks after the last event, before the long ones begin again
_RETRY_S = 1.0
_TRIES = 3
_STANDS_MAX = 10_000  # tenants
_KEEP_S = 1.0  # between two checkpoints kept: waiting for the disk delays the commits of everybody


class Sequencer:
    """Moves the outbox into the log, batch by batch, for as long as it runs."""

    def __init__(
        self,
        store: Store,
        settings: AuditSettings,
        key: SecretKey,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._key = key
        self._log_id = key.public.name.removeprefix("bastide/")
        self._keeping = Keeping(settings.home)
        self._clock = clock
        self._frontier = Frontier()
        self._agreed = False  # the frontier is the database's
        self._stands: Stands = {}  # counts of the calls that go straight in, as far as they are known
        self._called = asyncio.Event()
        self._turning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._unkept = ""  # the last checkpoint, while it is not outside the database yet
        self._kept_at = 0.0
        self.problem = ""

    # -- running ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take turns."""
        self._tasks = [
            asyncio.create_task(for_ever("hearing of the log's outbox", self._listen, pause_s=_RETRY_S)),
            asyncio.create_task(self._run()),
        ]

    async def stop(self) -> None:
        """End after the turn that is under way; what is still waiting is appended once more."""
        await ended(*self._tasks)
        self._tasks = []
        try:
            while await self.turn() == self._settings.batch_max:
                pass
        except Exception as fault:  # what waits is still there for the next start
            log.warning("the last turn of the sequencer failed: %s", type(fault).__name__)
        await self._keep(now=True)

    async def _listen(self) -> None:
        async for _ in self._store.listen(_CHANNEL):
            self._called.set()
        await asyncio.sleep(_RETRY_S)

    async def _run(self) -> None:
        quiet = _QUIET_LOOKS
        while True:
            settings = self._settings
            if quiet >= _QUIET_LOOKS:
                with suppress(TimeoutError):
                    async with asyncio.timeout(settings.idle_s):
                        await self._called.wait()
            self._called.clear()
            begun = time.monotonic()
            try:
                turn = asyncio.create_task(self.turn())
                turn.add_done_callback(lambda turn: turn.cancelled() or turn.exception())  # seen, whoever has gone
                appended = await asyncio.shield(turn)
                await self._keep()
                self.problem = ""
            except (
                Exception,
                asyncio.CancelledError,
            ) as fault:  # it goes on when what broke it is mended
                if told_to_end():
                    raise
                told = fault.message if isinstance(fault, BastideError) else type(fault).__name__
                if told != self.problem:
                    log.error("nothing is appended to the audit log: %s", told)
                self.problem = told
                count("audit_turns_failed")
                await asyncio.sleep(_RETRY_S)
                continue
            quiet = 0 if appended else quiet + 1
            if appended < settings.batch_max:
                await asyncio.sleep(max(0.0, settings.gather_s - (time.monotonic() - begun)))

    # -- a turn -------------------------------------------------------------------------------------

    async def turn(self) -> int:
        """Append what waits, up to one batch; how many events that were.

        Raises LogDamaged when the stored tiles do not lead to the last checkpoint.
        """
        async with self._turning:
            return await self._turn()

    async def _turn(self) -> int:
        begun = time.monotonic()
        async with self._store.as_operator(reason="audit sequencer") as db:
            checkpoint, appended = await self._append(db)
        if checkpoint is not None:
            await self._appended(checkpoint, appended, begun)
        return appended

    async def enter(self, owner: str, place: int, upto: int, rows: Sequence[Row]) -> bool | None:
        """Append calls of the frames from `place` to `upto`, and say with them that these are carried; see `Enter`.

        None where another process has the turn, or where the log has one of them already. Raises as `turn` does.
        """
        frames = {"owner": owner, "place": place, "upto": upto, "first": False}
        async with self._turning:
            said = ""
            for _ in range(_TRIES):
                try:
                    said = await self._entered(frames, rows)
                except AlreadyThere:
                    return None
                if said == "waits":
                    while await self._turn() == self._settings.batch_max:
                        pass
                    frames["first"] = True
                elif said != "stale":
                    break
        return True if said == "done" else False if said == "carried" else None

    async def _entered(self, frames: Mapping[str, Any], rows: Sequence[Row]) -> str:
        """What `audit.enter` says."""
        begun, uuids = time.monotonic(), tenants_of(rows)
        if not await self._agree(uuids.values()):
            return "taken"
        frontier, at = self._frontier.copy(), int(self._clock() * 1000)
        made = stamped(rows, uuids, self._stands, base=frontier.size, at=at, log=self._log_id)
        tiles = frontier.extend(leaf_hashes(made.leaves))
        checkpoint = Checkpoint.sign(self._key, frontier.size, frontier.root())
        values = {**values_of(rows, uuids, made), **frames, "base": self._frontier.size, "note": checkpoint.note}
        values |= {"levels": [level for level, _ in tiles], "ns": [n for _, n in tiles]}
        self._agreed = False  # until it has answered
        async with self._store.as_operator(reason="audit sequencer") as db:
            said: str = await db.only(_ENTER, **values, hashes=list(tiles.values()))
        self._agreed = said != "stale"
        if said == "done":
            self._frontier = frontier
            self._stands.update(made.after)
            await self._appended(checkpoint, len(rows), begun)
        elif said == "stale":
            self._stands.clear()
        return said

    async def _appended(self, checkpoint: Checkpoint, events: int, begun: float) -> None:
        """It is committed."""
        self._agreed = True
        self._unkept = checkpoint.note
        await self._keep()
        count("audit_events", events)
        gauge("audit_log_size", checkpoint.size)
        observe("audit_turn", time.monotonic() - begun)

    async def _agree(self, uuids: Collection[str]) -> bool:
        """See to it that the frontier and the counts of these tenants are the database's; False: not our turn."""
        if self._agreed and self._stands.keys() >= set(uuids):
            return True
        async with self._store.as_operator(reason="audit sequencer") as db:
            taken = await db.row(tuple, _TAKE_TURN)
            assert taken is not None
            if not taken[0]:
                return False
            if not self._agreed or self._frontier.size != (taken[1] or 0):
                self._frontier = await restore(db, self._key)
            if len(self._stands) > _STANDS_MAX:
                self._stands.clear()
            stands = dict.fromkeys(uuids, ("", 0))
            for uuid, producer, n in await db.rows(tuple, _COUNTS_STRAIGHT, tenants=",".join(uuids)):
                stands[uuid] = producer, n
            self._stands.update(stands)
        self._agreed = True
        return True

    async def _keep(self, *, now: bool = False) -> None:
        if self._unkept and (now or time.monotonic() - self._kept_at > _KEEP_S):
            note, self._unkept, self._kept_at = self._unkept, "", time.monotonic()
            await asyncio.to_thread(self._keeping.keep_latest, note)

    async def _append(self, db: Db) -> tuple[Checkpoint | None, int]:
        taken = await db.row(tuple, _TAKE_TURN)
        assert taken is not None
        if not taken[0]:
            return None, 0
        size, at = taken[1] or 0, int(self._clock() * 1000)
        rows: list[tuple[str]] = await db.rows(
            tuple, _APPEND, limit=self._settings.batch_max, base=size, at=str(at), log=self._log_id
        )
        if not rows:
            return None, 0
        if not self._agreed or self._frontier.size != size:
            self._frontier = await restore(db, self._key)
        self._agreed = False  # until the commit: a turn that fails leaves the frontier ahead
        tiles = await asyncio.to_thread(self._grow, rows)
        await db.run(
            _PUT_TILES,
            levels=[level for level, _ in tiles],
            ns=[n for _, n in tiles],
            hashes=list(tiles.values()),
        )
        checkpoint = Checkpoint.sign(self._key, self._frontier.size, self._frontier.root())
        await db.run(_ADD_CHECKPOINT, size=checkpoint.size, note=checkpoint.note)
        return checkpoint, len(rows)

    def _grow(self, rows: list[tuple[str]]) -> Tiles:
        return self._frontier.extend(leaf_hashes(body.encode() for (body,) in rows))


async def restore(db: Db, key: SecretKey) -> Frontier:
    """The frontier of the stored log, once its root has been found to be the signed one.

    Raises LogDamaged.
    """
    row = await db.row(tuple, _LAST_CHECKPOINT)
    if row is None:
        return Frontier()
    size, note = row
    edges = edge_tiles(size)
    tiles = await db.rows(tuple, _TILES, levels=[level for level, _, _ in edges], ns=[n for _, n, _ in edges])
    try:
        checkpoint = Checkpoint.open(note, key.public)
        frontier = Frontier.restore(size, {(level, n): bytes(hashes) for level, n, hashes in tiles})
    except NotProven as fault:
        raise LogDamaged(f"The audit log cannot be continued: {fault}.") from fault
    if checkpoint.size != size or frontier.root() != checkpoint.root:
        raise LogDamaged
    return frontier
