"""Handing over: a planned file goes to its provider, step by step, each known to the database before it is taken.

    1. the law is asked again, for each label that is in it       3. the provider is told to work through it
    2. the file is handed in                                      4. that is recorded: how many lines, to whom

Where a step may have been taken and nobody knows, the provider's own list is looked at first. What cannot be known is
not done twice: those lines are told so.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final

from bastide.audit import Audit
from bastide.errors import BastideError, BrokenReply, HandoverUnknown, TooMany, Unavailable, UpstreamGarbage
from bastide.inference.accounts import Reserving
from bastide.inference.adapters import ADAPTERS
from bastide.inference.batch_wire import BatchClient, CannotList, Theirs
from bastide.inference.batches.asking import refused
from bastide.inference.batches.handed import Handed, Known, add, doom, fill, note
from bastide.inference.batches.keeping import Standing
from bastide.inference.batches.receipting import Receipting
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.gateway import Gateway, url_of
from bastide.store import Db, new_id
from bastide.workflows import Run

_SURE_S: Final = 10.0  # what was asked by a worker that died is there, or is not, after so long
_PAUSES_S: Final = (1.0, 3.0, 10.0, 30.0, 120.0, 300.0, 600.0, 900.0)  # after as many tries it is given up
_BLOCK: Final = 256 * 1024
_TOO_LARGE: Final = 413


class Later(Exception):
    """It is to be tried again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Troubled(Exception):
    """The provider did not do as it was asked."""

    def __init__(self, fault: BastideError) -> None:
        self.fault = fault


class Handing:
    """Hands over what is planned of one batch."""

    def __init__(
        self,
        run: Run[Any],
        batch: Batch,
        audit: Audit,
        gateway: Gateway,
        reserving: Reserving,
        standing: Standing,
        receipting: Receipting,
    ) -> None:
        self._run = run
        self._batch = batch
        self._audit = audit
        self._gateway = gateway
        self._reserving = reserving
        self._standing = standing
        self._receipting = receipting
        self._keeping, self._lines = receipting.keeping, receipting.lines
        self._wire = ENDPOINTS[batch.endpoint]
        self._asking = False  # whether what it is asked for now would leave something there

    async def hand(self, one: Handed) -> None:
        """Take what steps are left. Raises Later where the provider asks to wait, or is away."""
        allowed = await self._allowed(one) if one.state in {"planned", "uploading"} else one
        if allowed is None:
            return
        try:
            async with self._reached(replace(allowed, said=one.said)) as client:
                if allowed.state in {"planned", "uploading"}:
                    allowed = await self._upload(client, allowed, again=allowed.lines != one.lines)
                if allowed.state in {"uploaded", "creating"}:
                    await self._create(client, allowed)
        except Troubled as trouble:
            await self._troubled(trouble.fault)

    async def _give_up(self, one: Handed, fault: BastideError) -> None:
        """It cannot be handed over, or nobody knows whether it was: each line is told why."""
        await self._receipting.finish(one, lambda n, name, receipt: refused(n, name, self._wire, fault, receipt))

    @asynccontextmanager
    async def _reached(self, one: Handed) -> AsyncGenerator[BatchClient]:
        self._at, self._asking = one, False
        scope = await self._standing.now()
        with troubles():
            reach = self._gateway.by_file.reach(scope, one.model, one.key)
            client = await reach.__aenter__()
        try:
            yield client
        finally:
            await reach.__aexit__(None, None, None)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """It is asked for what leaves something there."""
        self._asking = True
        with troubles():
            yield
        self._asking = False

    async def _note(self, one: Handed, *, asks: bool = False, filled: bool = False) -> Handed:
        async with self._run.fenced() as db:
            if filled:
                await fill(db, one)
            self._at = await note(db, one, asks=asks)
        return self._at

    # -- the law ------------------------------------------------------------------------------------

    async def _allowed(self, one: Handed) -> Handed | None:
        """What of it the law and the asker's key still let go; None where that is nothing."""
        scope, by_file = await self._standing.now(), self._gateway.by_file
        decisions = await by_file.decisions(scope, one.model, list(one.labels))
        said = tuple(Known.of(by_file.said(decision)) for decision in decisions)
        places, entries = [], []
        for place, (n, of) in enumerate(zip(one.lines, one.of_label, strict=True)):
            try:
                decisions[of].permit()
                if scope.models is not None:
                    by_file.check_named(scope, self._wire, bytes(self._lines.at(n).body))
                places.append(place)
            except BastideError as fault:
                entries.append(refused(n, self._lines.at(n).custom_id, self._wire, fault))
        if len(places) == len(one.lines):
            return replace(one, said=said)
        kept = tuple(one.lines[place] for place in places)
        less = replace(one, said=said, lines=kept, of_label=tuple(one.of_label[place] for place in places))

        async def beside(db: Db) -> None:
            if kept:
                await fill(db, replace(less, said=one.said))
            else:
                await self._reserving.release(db, one.id)
                await doom(db, id=one.id)

        await self._keeping.keep_all(entries, beside)
        return less if kept else None

    # -- the file -----------------------------------------------------------------------------------

    async def _upload(self, client: BatchClient, one: Handed, *, again: bool) -> Handed:
        if one.state == "uploading" and (found := await self._found_file(client, one)) is not None:
            if not again:
                return await self._note(replace(one, state="uploaded", upstream_file=found))
            with troubles():  # it holds what may not be there any more
                await client.delete(found)
        data = await self._packed(one)
        one = await self._note(replace(one, state="uploading", problem=""), asks=True, filled=True)
        with self._asked():
            file = await client.upload(one.file_name, data)
        return await self._note(replace(one, state="uploaded", upstream_file=file, tries=0, problem=""))

    async def _found_file(self, client: BatchClient, one: Handed) -> str | None:
        if one.asked_s < _SURE_S and not one.problem:
            raise Later(_SURE_S - one.asked_s)
        try:
            with troubles():
                return await client.find_file(one.file_name)
        except CannotList:  # a file that nobody works through costs nothing, but it may lie there: that is told
            details: dict[str, Any] = {"to": one.model.endpoint_id, "their_name": one.file_name}
            async with self._run.fenced() as db:
                await self._audit.record(db, "batch.handover", resource=one.batch, outcome="unknown", details=details)
            return None

    async def _packed(self, one: Handed) -> Packed:
        packed = Packed()
        for count, n in enumerate(one.lines, 1):
            data = bytes(self._lines.at(n).body)
            packed.add(self._gateway.by_file.line(one.model, self._wire, one.wire, n, data))
            if count % 100 == 0:
                await asyncio.sleep(0)
        packed.close()
        return packed

    # -- the batch ----------------------------------------------------------------------------------

    async def _create(self, client: BatchClient, one: Handed) -> None:
        made, file = None, one.upstream_file
        assert file is not None, "a file that was handed in has an id"
        if one.state == "creating":
            if one.asked_s < _SURE_S and not one.problem:
                raise Later(_SURE_S - one.asked_s)
            try:
                with troubles():
                    made = await client.find_batch(file)
            except CannotList:
                await self._give_up(one, HandoverUnknown())
                return
        if made is None:
            one = await self._note(replace(one, state="creating", problem=""), asks=True)
            takes = ADAPTERS[one.model.kind].batches
            assert takes is not None, "its kind works through files"
            with self._asked():
                made = await client.create(file, url_of(one.model, one.wire), takes.window(self._batch.window_h))
        await self._made(one, made)

    async def _made(self, one: Handed, made: Theirs) -> None:
        running = replace(one, state="running", upstream_batch=made.id, tries=0, problem="")
        subjects = sorted({name for known in one.said for name in known.subjects})
        details: dict[str, Any] = {
            "lines": len(one.lines),
            "to": one.model.endpoint_id,
            "record": one.model.record,
            "their_file": one.upstream_file,
            "their_batch": made.id,
        }
        async with self._run.fenced() as db:
            await note(db, running)
            await self._audit.record(db, "batch.handover", resource=one.batch, subjects=subjects, details=details)

    # -- trouble ------------------------------------------------------------------------------------

    async def _troubled(self, fault: BastideError) -> None:
        """A file that is too large is halved; what may pass is tried again; all else is told to each line."""
        one, status = self._at, fault.facts.get("upstream_status")
        if status == _TOO_LARGE and one.upstream_file is None and len(one.lines) > 1:
            await self._halve(one)
            raise Later(0.0)
        if self._asking and isinstance(status, int) and status < 500:  # it said no: nothing more of it is there
            one = await self._note(replace(one, state="planned" if one.upstream_file is None else "uploaded"))
        if not passes(fault) or one.tries >= len(_PAUSES_S):
            await self._give_up(one, fault)
            return
        pause = wait_s(fault, one.tries)
        await self._note(replace(one, tries=one.tries + 1, problem=fault.code, wait_s=pause))
        raise Later(pause)

    async def _halve(self, one: Handed) -> None:
        middle = len(one.lines) // 2
        first = replace(one, state="planned", lines=one.lines[:middle], of_label=one.of_label[:middle])
        second = replace(
            one, id=new_id("hov"), state="planned", lines=one.lines[middle:], of_label=one.of_label[middle:]
        )
        async with self._run.fenced() as db:
            await note(db, first)
            await fill(db, first)
            await add(db, second)
            await self._reserving.halve(db, first.id, second.id)


class Packed:
    """A file that is handed in: held compressed, sent piece by piece."""

    def __init__(self) -> None:
        self.length = 0
        self._blocks: list[bytes] = []
        self._open: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        """One more line."""
        self._open.append(line)
        self._size += len(line)
        self.length += len(line)
        if self._size >= _BLOCK:
            self.close()

    def close(self) -> None:
        """There are no more, for now."""
        if self._open:
            self._blocks.append(zlib.compress(b"".join(self._open), level=1))
            self._open, self._size = [], 0

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for block in self._blocks:
            yield zlib.decompress(block)


def passes(fault: BastideError) -> bool:
    """Whether what was asked of a provider may go well later."""
    return isinstance(fault, Unavailable | TooMany | BrokenReply | UpstreamGarbage)


def wait_s(fault: BastideError, tries: int) -> float:
    """How long to wait before a provider is asked again: as long as it says, at least."""
    told = fault.facts.get("retry_after_s")
    pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
    return max(pause, float(told)) if isinstance(told, int | float) else pause


@contextmanager
def troubles() -> Iterator[None]:
    """What a provider does not do as it was asked is told apart from what the house itself fails in."""
    try:
        yield
    except BastideError as fault:
        raise Troubled(fault) from fault
