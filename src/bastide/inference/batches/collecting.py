"""Collecting: how a file that was handed over is getting on, and what came of each of its lines.

What a provider writes is not trusted to be what was agreed: a line that is none, that nobody asked for, or that comes a
second time is passed over and counted; a line that never comes is told. The file is read as it arrives, page by page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec

from bastide.audit import Audit
from bastide.errors import BastideError, UpstreamFailed, UpstreamGarbage
from bastide.inference.batch_wire import BatchClient, Theirs
from bastide.inference.batches.asking import Entry, answered, cancelled, out_of_time, refused
from bastide.inference.batches.handed import Handed, note
from bastide.inference.batches.handing import Later, Troubled, troubles
from bastide.inference.batches.keeping import Standing
from bastide.inference.batches.receipting import Page, Receipting, Told, shown
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.gateway import Gateway
from bastide.inference.upstream_faults import fault_of, told_in
from bastide.store import new_id
from bastide.telemetry import log
from bastide.workflows import Run

_END: Final = object()
_FIRST_LOOK_S: Final = 0.5
_LOOK_S_MAX: Final = 600.0
_STOPPING_S: Final = 8.0
_GROWS: Final = 1.6


class _Response(msgspec.Struct):
    status_code: Any = None
    body: msgspec.Raw = msgspec.Raw(b"")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_LINES: Final = msgspec.json.Decoder(_Line)


class Collecting:
    """Looks at what was handed over of one batch, and collects what came of it."""

    def __init__(self, run: Run[Any], batch: Batch, audit: Audit, gateway: Gateway, standing: Standing) -> None:
        self._run = run
        self._batch = batch
        self._audit = audit
        self._gateway = gateway
        self._standing = standing
        self._wire = ENDPOINTS[batch.endpoint]

    async def look(self, one: Handed, *, stopping: bool) -> Theirs | None:
        """How it is, once nothing more comes of it; None where its provider knows it no more.

        Raises Later as long as it is worked through; with `stopping` it is told to stop.
        """
        assert one.upstream_batch is not None, "what runs has an id"
        scope = await self._standing.now()
        try:
            async with self._gateway.by_file.reach(scope, one.model, one.key) as client:
                found = await client.look(one.upstream_batch)
                if found is not None and not found.ended and stopping and found.status != "cancelling":
                    await client.cancel(one.upstream_batch)
        except BastideError as fault:  # it is not lost by that: the window bounds how long it is tried
            raise await self._later(one, fault.code) from fault
        if found is None or found.ended:
            return found
        raise await self._later(one, "", _STOPPING_S if stopping else _LOOK_S_MAX)

    async def _later(self, one: Handed, problem: str, most_s: float = _LOOK_S_MAX) -> Later:
        """That it is looked at again: each time a little later."""
        pause = min(most_s, _FIRST_LOOK_S * _GROWS ** min(one.looks, 40))
        async with self._run.fenced() as db:
            await note(db, replace(one, looks=one.looks + 1, problem=problem, wait_s=pause))
        return Later(pause)

    async def collect(self, one: Handed, theirs: Theirs | None, keeping: Receipting) -> None:
        """Keep what came of each line, and tell those of which nothing came. Raises Later where that breaks off."""
        odd: Counter[str] = Counter()
        if theirs is not None:
            one = replace(one, upstream_output=theirs.output, upstream_errors=theirs.errors)
            async with self._run.fenced() as db:
                await note(db, one)
            try:
                async with self._reached(one) as client:
                    for file in (theirs.output, theirs.errors):
                        if file is not None:
                            await self._read(client, one, file, keeping, odd)
            except Troubled as trouble:  # what has come of it is kept
                raise await self._later(one, trouble.fault.code) from trouble
        if odd:
            log.warning("%s gave lines that cannot be used: %s", one.model.record, dict(odd))
        await keeping.finish(one, lambda n, name, receipt: self._missing(one, n, name, receipt, theirs))

    async def _read(self, client: BatchClient, one: Handed, file: str, keeping: Receipting, odd: Counter[str]) -> None:
        all_, page = set(one.lines), Page()
        ours = all_ - keeping.keeping.done
        async with aclosing(client.lines(file)) as lines:
            while True:
                with troubles():
                    line = await anext(lines, _END)
                if line is _END:
                    break
                found = _read(line)
                n = _number(found)
                if found is None or n not in ours:
                    odd["garbage" if found is None else "twice" if n in all_ else "unknown"] += 1
                    continue
                ours.discard(n)
                if page.add(self._told(one, n, found, keeping)):
                    await keeping.keep(one, page.taken(), shown(client.tls))
                    await self._run.progress(len(keeping.keeping.done), self._batch.total)
        if page.told:
            await keeping.keep(one, page.taken(), shown(client.tls))

    @asynccontextmanager
    async def _reached(self, one: Handed) -> AsyncGenerator[BatchClient]:
        scope = await self._standing.now()
        async with AsyncExitStack() as open_:
            with troubles():
                client = await open_.enter_async_context(
                    self._gateway.by_file.reach(scope, one.model, one.key, reading=True)
                )
            yield client

    def _told(self, one: Handed, n: int, found: _Line, keeping: Receipting) -> Told:
        """What a line of theirs is as a line of ours."""
        line, receipt = keeping.lines.at(n), new_id("rcp")
        response = found.response
        output = bytes(response.body) if response is not None else b""
        try:
            if response is None or found.error:
                raise UpstreamFailed(f"The provider's batch reports: {_struck(told_in({'error': found.error}), one)}")
            if response.status_code != 200:
                status = response.status_code if type(response.status_code) is int else 0
                raise fault_of(status, {}, output, one.key)
            body, usage = self._gateway.by_file.answer(one.model.name, self._wire, one.wire, bytes(line.body), output)
        except BastideError as fault:
            if _code(found.error) == "batch_expired":
                return Told(out_of_time(n, line.custom_id), receipt, output)
            return Told(refused(n, line.custom_id, self._wire, fault, receipt), receipt, output)
        return Told(answered(n, line.custom_id, 200, body, receipt, new_id("req")), receipt, output, usage)

    def _missing(self, one: Handed, n: int, name: str, receipt: str, theirs: Theirs | None) -> Entry:
        """A line of which nothing came."""
        if theirs is None:
            gone = UpstreamFailed("The provider knows this batch no more.")
            return refused(n, name, self._wire, gone, receipt)
        if theirs.status == "expired" or (theirs.status == "cancelled" and self._batch.over):
            return out_of_time(n, name)
        if theirs.status == "cancelled":
            return cancelled(n, name)
        if theirs.status == "failed":
            why = UpstreamFailed(f"The provider's batch failed: {_struck(theirs.told, one) or 'no reason'}")
            return refused(n, name, self._wire, why, receipt)
        return refused(n, name, self._wire, UpstreamGarbage("The provider gave no answer to this line."), receipt)


def _read(line: object) -> _Line | None:
    try:
        return _LINES.decode(line) if isinstance(line, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _struck(told: str, one: Handed) -> str:
    """What a provider tells, without the key that it may quote."""
    return told.replace(one.key, "***") if one.key else told


def _number(found: _Line | None) -> int:
    """Which of our lines it calls itself; 0, which none has, where it calls itself something else."""
    name = "" if found is None else found.custom_id
    return int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else 0


def _code(error: Any) -> Any:
    return error.get("code") if isinstance(error, dict) else None
