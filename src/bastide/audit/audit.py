"""Audit: the one class of this room."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bastide.audit.canonical import JsonValue
from bastide.audit.export import export
from bastide.audit.inspection import Inspection
from bastide.audit.journal import Journal
from bastide.audit.keeping import Keeping
from bastide.audit.merkle import HASH_BYTES, NotProven, inclusion_proof, inclusion_ranges, pieces
from bastide.audit.note import Checkpoint, PublicKey, SecretKey
from bastide.audit.proof import Proof
from bastide.audit.receipts import committed, letters, opening_of
from bastide.audit.recording import Opened, Recorder, actor_of, forget, open_payload
from bastide.audit.sequencer import Sequencer, restore
from bastide.audit.tiles import Frontier, TileReader, edge_tiles, place
from bastide.audit.values import Event, Exported, Health, Receipt, ReceiptFacts, Verification
from bastide.errors import (
    LogDamaged,
    LogKeyMismatch,
    LogKeyMissing,
    LogNotStarted,
    LogRewound,
    ReceiptOnItsWay,
    UnknownReceipt,
    UnknownTile,
)
from bastide.settings import AuditSettings
from bastide.store import Db, Page, Scope, Store, is_id, made_at, queries

_Q = queries("bastide.audit")
_LOG, _BEGIN_LOG, _LAST_CHECKPOINT, _ADD_CHECKPOINT = (
    _Q["log"],
    _Q["begin_log"],
    _Q["last_checkpoint"],
    _Q["add_checkpoint"],
)
_TILE, _TILES, _LEAF, _WAITING = _Q["tile"], _Q["tiles"], _Q["leaf"], _Q["waiting"]
_EVENT, _EVENTS, _PAYLOAD = _Q["event"], _Q["events"], _Q["payload"]

_READ = "audit:read"
_RECEIPT_WAIT_S = 2.0
_ANSWER_S = 5.0
_LIMIT_MAX = 500
_LAG_S_MAX = 30.0
_NEVER = 1 << 62


class Audit:
    """What happened, recorded with the act itself, appended to a log that nobody can rewrite."""

    def __init__(self, store: Store, settings: AuditSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._keeping = Keeping(settings.home)
        self._recorder = Recorder()
        self.journal = Journal(store, settings)
        self._sequencer: Sequencer | None = None
        self._public: PublicKey | None = None
        self._verifying = asyncio.Lock()

    # -- starting -----------------------------------------------------------------------------------

    async def start(self, *, sequence: bool = True) -> None:
        """Open the log, or begin it; with `sequence`, append to it until `stop`.

        Raises LogKeyMissing, LogKeyMismatch, LogRewound or LogDamaged: a log that cannot be continued
        honestly is not continued.
        """
        stored = await self._stored_key()
        if not sequence:
            self._public = stored
            if stored:
                await self._refuse_rewound(stored)
            await self.journal.start()
            return
        key = await self._signing_key(stored)
        self._public = key.public
        await self._refuse_rewound(key.public)
        async with self._store.as_operator(reason="audit start") as db:
            await restore(db, key)
        await asyncio.to_thread(self._keeping.publish, key.public)
        self._sequencer = Sequencer(self._store, self._settings, key, clock=self._clock)
        self._sequencer.start()
        await self.journal.start(for_all=True, enter=self._sequencer.enter)

    async def stop(self) -> None:
        """Append what still waits, then end."""
        await self.journal.stop()
        if self._sequencer:
            sequencer, self._sequencer = self._sequencer, None
            await sequencer.stop()

    async def _stored_key(self) -> PublicKey | None:
        async with self._store.as_operator(reason="audit start") as db:
            row = await db.row(tuple, _LOG)
        try:
            return PublicKey.parse(row[1]) if row else None
        except NotProven as fault:
            raise LogDamaged(f"The log's public key in the database is damaged: {fault}.") from fault

    async def _signing_key(self, stored: PublicKey | None) -> SecretKey:
        key = await asyncio.to_thread(self._keeping.load_key)
        if stored is not None:
            if key is None:
                raise LogKeyMissing
            if key.public != stored:
                raise LogKeyMismatch
            return key
        if key is None:
            key = await asyncio.to_thread(self._keeping.make_key)
        await self._begin(key)
        return key

    async def _begin(self, key: SecretKey) -> None:
        # A database without a log, but a home that has already signed for one: refused as rewound.
        await self._refuse_rewound(key.public, size=0)
        first = Checkpoint.sign(key, 0, Frontier().root())
        async with self._store.as_operator(reason="begin the audit log") as db:
            begun = await db.run(_BEGIN_LOG, id=key.public.name.removeprefix("bastide/"), vkey=str(key.public))
            if begun:
                await db.run(_ADD_CHECKPOINT, size=0, note=first.note)
        if not begun and await self._stored_key() != key.public:
            raise LogKeyMismatch

    async def _refuse_rewound(self, key: PublicKey, size: int | None = None) -> None:
        try:
            latest = await asyncio.to_thread(self._keeping.latest, key)
        except NotProven as fault:
            raise LogKeyMismatch(f"The file checkpoint.latest is not of this log: {fault}.") from fault
        if latest is None or latest.size == 0:
            return
        root = b""
        if size is None:
            size, root = await self._root_at(latest.size)
        if size < latest.size:
            raise LogRewound(
                f"The database holds {size} events of the audit log, this house has signed {latest.size}: "
                "an older state was restored.",
                database=size,
                signed=latest.size,
            )
        if root != latest.root:
            raise LogRewound("The first events of the audit log are not those that this house has signed.")

    async def _root_at(self, size: int) -> tuple[int, bytes]:
        edges = edge_tiles(size)
        async with self._store.as_operator(reason="audit start") as db:
            row = await db.row(tuple, _LAST_CHECKPOINT)
            rows = await db.rows(tuple, _TILES, levels=[one[0] for one in edges], ns=[one[1] for one in edges])
        now = row[0] if row else 0
        try:
            frontier = Frontier.restore(size, {(level, n): bytes(hashes) for level, n, hashes in rows})
        except NotProven:
            return now, b""
        return now, frontier.root()

    async def accept_rewind(self, reason: str) -> None:
        """Go on from an older state of the database, and say so in the log: the lost checkpoint is kept as evidence.

        For `restore` only, before `start`.
        """
        own = await asyncio.to_thread(self._keeping.load_key)
        key = await self._stored_key() or (own.public if own else None)
        latest = await asyncio.to_thread(self._keeping.latest, key) if key else None
        if latest is None:
            return
        async with self._store.as_operator(reason=reason) as db:
            await self.record(db, "audit.rewound", outcome="accepted", details={"reason": reason, "lost": latest.note})
        await asyncio.to_thread(self._keeping.set_latest_aside, latest.size)

    # -- recording ----------------------------------------------------------------------------------

    async def record(
        self,
        db: Db,
        act: str,
        *,
        resource: str = "",
        subjects: Sequence[str] = (),
        outcome: str = "done",
        details: Mapping[str, JsonValue] | None = None,
        receipt: ReceiptFacts | None = None,
        id: str | None = None,
    ) -> str:
        """Record what this transaction does; it commits or vanishes with it. The event's id, `evt_…` or `rcp_…`.

        `act` and `outcome` are words (`knowledge.erase`, `refused`). `details` may hold text: they are sealed
        under the tenant's key and can be erased. `subjects` are the persons the event is about. `id` is a
        receipt's id that was already promised to the caller.

        Raises ValueError for an act that is no word, details that are not JSON, or an unknown assurance.
        """
        return await self._recorder.record(
            db,
            act,
            resource=resource,
            subjects=subjects,
            outcome=outcome,
            details=details,
            receipt=receipt,
            id=id,
        )

    async def forget(self, db: Db, subject: str) -> int:
        """Erase what can be read of the events that name this person; how many those were.

        The leaves stay and the log verifies; their commitments can no longer be opened by anybody.
        """
        return await forget(db, subject)

    # -- reading ------------------------------------------------------------------------------------

    async def events(self, scope: Scope, *, cursor: str | None = None, limit: int = 50) -> Page[Event]:
        """The tenant's events, newest first."""
        scope.need(_READ)
        before = int(cursor) if cursor and cursor.isascii() and cursor.isdecimal() else _NEVER
        limit = max(1, min(limit, _LIMIT_MAX))
        async with self._store.under(scope) as db:
            rows = await db.rows(tuple, _EVENTS, before=min(before, _NEVER), limit=limit + 1)
            found = [await _event(db, row) for row in rows[:limit]]
        return Page(tuple(found), str(found[-1].index) if len(rows) > limit else None)

    async def receipt(self, scope: Scope, id: str) -> Receipt:
        """A receipt of this tenant, with its proof; without `audit:read`, only one's own.

        Waits up to 2 s for it and for the sequencer; after that the receipt comes without its proof. Raises
        UnknownReceipt, ReceiptOnItsWay, and DatabaseUnavailable at once while the database is away.
        """
        opened, index = await self._await_receipt(scope, id)
        body = opened.part("receipt")
        if body is None:
            raise UnknownReceipt
        receipt = Receipt(id, body, letters(opening_of(opened.secret)))
        if index is None:
            return receipt
        leaf, proof = await self._prove(index)
        key = await self._key()
        return Receipt(id, body, receipt.opening, letters(leaf), str(proof), str(key), key.name, index)

    async def matches(self, scope: Scope, id: str, *, input: bytes | None = None, output: bytes | None = None) -> bool:
        """Whether a receipt is of exactly this input and output (those that are given)."""
        opened, _ = await self._await_receipt(scope, id)
        body = opened.part("receipt") or {}
        sides = {"input": input, "output": output}
        return all(
            hmac.compare_digest(str(body.get(side)), committed(opened.secret, side, content))
            for side, content in sides.items()
            if content is not None
        )

    async def _await_receipt(self, scope: Scope, id: str) -> tuple[Opened, int | None]:
        if not is_id(id, "rcp"):
            raise UnknownReceipt
        deadline = time.monotonic() + _RECEIPT_WAIT_S
        young = time.time() - made_at(id) < _RECEIPT_WAIT_S  # it may come from another process
        while True:
            coming = self.journal.holds(id)  # looked at first: it may arrive while we ask
            over = time.monotonic() > deadline
            sealed, index, found = await self._store.presence.promptly(
                self._look_for(scope, id, over=over), within_s=_ANSWER_S
            )
            if found is not None:
                return found, index
            if index is not None and sealed is None:
                raise UnknownReceipt("This receipt's content was erased.")
            if over and coming:
                raise ReceiptOnItsWay
            if sealed is None and (over or not (coming or young)):
                raise UnknownReceipt
            await asyncio.sleep(0.03)

    async def _look_for(self, scope: Scope, id: str, *, over: bool) -> tuple[bytes | None, int | None, Opened | None]:
        async with self._store.under(scope) as db:
            index = await db.value(_EVENT, id=id)  # first: both may arrive in between, and are not erased for that
            sealed = await db.value(_PAYLOAD, id=id)
            if sealed is None or (index is None and not over):
                return sealed, index, None
            opened = await open_payload(db, id, sealed)
            own = opened.text("actor") == actor_of(db) != ""
            if _READ not in scope.permissions and not own:
                raise UnknownReceipt
            return sealed, index, opened

    async def _prove(self, index: int) -> tuple[bytes, Proof]:
        async with self._store.as_operator(reason="audit proof") as db:
            row = await db.row(tuple, _LAST_CHECKPOINT)
            leaf = await db.value(_LEAF, index=index)
            if row is None or leaf is None or index >= row[0]:
                raise LogDamaged(f"The leaf {index} is missing.")
            size, note = row
            spots = {
                place(height, n)[:2] for low, high in inclusion_ranges(index, size) for height, n in pieces(low, high)
            }
            rows = await db.rows(tuple, _TILES, levels=[one[0] for one in spots], ns=[one[1] for one in spots])
        reader = TileReader({(level, n): bytes(hashes) for level, n, hashes in rows})
        try:
            return bytes(leaf), Proof(index, tuple(inclusion_proof(index, size, reader)), note)
        except NotProven as fault:
            raise LogDamaged(f"The proof of leaf {index} cannot be made: {fault}.") from fault

    # -- the log itself -----------------------------------------------------------------------------

    async def key(self) -> str:
        """The log's public key, as `log.vkey` holds it. Raises LogNotStarted."""
        return str(await self._key())

    async def checkpoint(self) -> str:
        """The last signed checkpoint. Raises LogNotStarted."""
        async with self._store.as_operator(reason="audit checkpoint") as db:
            row = await db.row(tuple, _LAST_CHECKPOINT)
        if row is None:
            raise LogNotStarted
        return str(row[1])

    async def tile(self, level: int, n: int, width: int | None = None) -> bytes:
        """The hashes of a tile: 32 bytes each; `width` asks for a partial one. Raises UnknownTile."""
        if not (0 <= level <= 63 and 0 <= n < _NEVER) or (width is not None and not 0 < width <= 256):
            raise UnknownTile
        async with self._store.as_operator(reason="audit tile") as db:
            hashes = await db.value(_TILE, level=level, n=n)
        if hashes is None or len(hashes) < (width or 1) * HASH_BYTES:
            raise UnknownTile
        return bytes(hashes)[: width * HASH_BYTES] if width else bytes(hashes)

    async def verify(self) -> Verification:
        """Verify the whole log from its stored leaves; the first bad index is named."""
        async with self._verifying:  # one at a time: it keeps a connection for as long as it reads
            return await Inspection(self._store, self._keeping, await self._key()).run()

    async def export(self, directory: Path) -> Exported:
        """Write the log as static files (C2SP tlog-tiles) into `directory`, or continue the export there.

        Raises OtherLog.
        """
        return await export(self._store, await self._key(), directory)

    async def health(self) -> Health:
        """How the log keeps up."""
        async with self._store.as_operator(reason="audit health") as db:
            waiting = await db.row(tuple, _WAITING)
            row = await db.row(tuple, _LAST_CHECKPOINT)
        assert waiting is not None
        lag_s = max(0.0, time.time() - waiting[1] / 1000) if waiting[0] else 0.0
        problem = self.journal.problem or (self._sequencer.problem if self._sequencer else "")
        if not problem and lag_s > _LAG_S_MAX:
            problem = f"{waiting[0]} events have waited for up to {lag_s:.0f} s: is a sequencer running?"
        return Health(row[0] if row else 0, waiting[0], lag_s, problem, self.journal.waiting)

    async def _key(self) -> PublicKey:
        if self._public is None:
            self._public = await self._stored_key()
        if self._public is None:
            raise LogNotStarted
        return self._public


async def _event(db: Db, row: tuple[str, int, str, str, int, bytes | None]) -> Event:
    id, index, act, outcome, t, sealed = row
    when = datetime.fromtimestamp(t / 1000, UTC)
    if sealed is None:
        return Event(id, when, act, outcome, index, erased=True)
    opened = await open_payload(db, id, sealed)
    subjects = opened.content.get("subjects")
    return Event(
        id,
        when,
        act,
        outcome,
        index,
        actor=opened.text("actor"),
        app=opened.text("app"),
        resource=opened.text("resource"),
        subjects=tuple(str(one) for one in subjects) if isinstance(subjects, list) else (),
        details=opened.part("details"),
        receipt=opened.part("receipt"),
    )
